# Configuration of a server: `leasehold server -config=leasehold.hcl`. JSON in the same shape is read as well.
# Every key there is. Those behind a `#` are not set: they show their default, or else an example, and may be used as they stand.
# Durations are a number of seconds or a text such as "1h30m"; so many bytes may be written "32MiB" for cache_size.

# Where the data is kept. `file` has a folder as path, `embedded` the file itself; `inmem` forgets all when the process ends.
# `backend` is another name for `storage`.
storage "file" {
  path = "/var/lib/leasehold"
  # cache_size = "8MiB"
}

# One block for each address. Without tls_cert_file and tls_key_file a listener needs tls_disable = true in so many words.
listener "tcp" {
  address       = "127.0.0.1:8200"
  tls_cert_file = "/etc/leasehold/tls.crt"
  tls_key_file  = "/etc/leasehold/tls.key"
  # tls_disable = false
  # tls_min_version = "tls12"
  # tls_max_version = "tls13"

  # http_read_header_timeout = "10s"
  # http_read_timeout = "30s"
  # http_write_timeout = "0s"
  # http_idle_timeout = "5m"

  # What each request is held to; max_request_size = -1 lifts the bound, zeros are the defaults.
  # max_request_size = 33554432
  # max_request_duration = "90s"
  # max_json_depth = 300
  # max_json_string_value_length = 0
  # max_json_object_entry_count = 10000
  # max_json_array_element_count = 10000
  # max_json_token = 500000

  # telemetry {
  #   unauthenticated_metrics_access = false
  # }

  # Headers of replies, for all, for a class of statuses, for one status.
  # custom_response_headers {
  #   "default" = { "X-Served-By" = ["leasehold"] }
  #   "4xx" = { "X-Help" = ["https://wiki.example.com/secrets"] }
  # }
}

# A socket in the file system takes the keys above too, and needs no TLS.
# listener "unix" {
#   address = "/run/leasehold/leasehold.sock"
#   socket_mode = "0600"
#   socket_user = "leasehold"
#   socket_group = "leasehold"
# }

# Who protects the root key: the holders of shares of a key.
# seal "shamir" {}

# The addresses that clients and other servers are told. [VAULT_API_ADDR, VAULT_CLUSTER_ADDR]
# api_addr = "https://secrets.example.com:8200"
# cluster_addr = "https://secrets.example.com:8201"
# cluster_name = "vault-cluster-5a1c9e07"

# How long leases last where neither a mount nor a role says so; the first may not be longer than the second.
# default_lease_ttl = "768h"
# max_lease_ttl = "768h"
# default_max_request_duration = "90s"

# [VAULT_UI]
# ui = false
# disable_mlock = false
# pid_file = "/run/leasehold/leasehold.pid"

# [VAULT_LOG_LEVEL, VAULT_LOG_FORMAT] The log goes to standard error, and into the file too; SIGHUP opens that anew.
# log_level = "info"
# log_format = "standard"
# log_file = "/var/log/leasehold/leasehold.log"

# Paths for experts that are not there otherwise: sys/raw, sys/internal/inspect.
# raw_storage_endpoint = false
# introspection_endpoint = false

# enable_response_header_hostname = false

# Some clients insist on a version of the API; this one is reported instead of our own.
# reported_version = "1.14.10"

# Failed logins lock a user out. For "all" types, or for "userpass", "ldap", "approle". [VAULT_DISABLE_USER_LOCKOUT]
# user_lockout "all" {
#   lockout_threshold = 5
#   lockout_duration = "15m"
#   lockout_counter_reset = "15m"
#   disable_lockout = false
# }

telemetry {
  prometheus_retention_time = "24h"
  # disable_hostname = false
  # metrics_prefix = "vault"
}
