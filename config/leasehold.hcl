# Configuration of a server, commented; what is not set has the value shown behind a `#`.
# leasehold server -config=leasehold.hcl

# Everything in one file. `inmem` instead of `embedded` keeps it in memory, until the process ends.
storage "embedded" {
  path = "/var/lib/leasehold/leasehold.redb"
  # cache_size = "32MiB"
}

# One stanza for each address; `unix` with a path as address is there as well.
listener "tcp" {
  address       = "127.0.0.1:8200"
  tls_cert_file = "/etc/leasehold/tls.crt"
  tls_key_file  = "/etc/leasehold/tls.key"
  # tls_min_version = "tls12"
  # tls_disable = false        # only where nobody else can listen in
}

# The address that clients are told.
# api_addr = "https://secrets.example.com:8200"

# default_lease_ttl = "768h"
# max_lease_ttl     = "768h"

# log_level  = "info"
# log_format = "standard"      # or "json"

# disable_mlock = false        # memory is kept from being swapped out where the system allows it

telemetry {
  prometheus_retention_time = "24h"
}
