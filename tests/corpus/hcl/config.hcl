ui = "true"
disable_mlock = 1
default_lease_ttl = "768h"
api_addr = "https://127.0.0.1:8200"
storage "file" { path = "/var/lib/leasehold" }
listener "tcp" {
  address = "127.0.0.1:8200"
  tls_disable = false
  telemetry { unauthenticated_metrics_access = true }
  custom_response_headers {
    "default" = { "X-Frame" = ["deny"] }
    "2xx" = { "A" = ["b", "c"] }
  }
}
listener "unix" { address = "/run/leasehold.sock" socket_mode = "0600" }
telemetry { prometheus_retention_time = "30s", disable_hostname = true }
