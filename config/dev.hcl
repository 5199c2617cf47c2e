# Beside a dev server: `leasehold server -dev -config=config/dev.hcl`. It adds a socket to the dev server's own listener,
# and lets leases end soon, so that their ends can be watched.

listener "unix" {
  address = "/tmp/leasehold-dev.sock"
}

default_lease_ttl = "5m"
max_lease_ttl     = "1h"
log_level         = "debug"
