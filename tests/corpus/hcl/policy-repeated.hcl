path "a" {
  capabilities = ["read"]
  capabilities = ["list"]
  max_wrapping_ttl = "1h"
  max_wrapping_ttl = "2h"
}
path "a" { capabilities = ["update"] }
