path "a" { capabilities = ["read"] min_wrapping_ttl = "1m", max_wrapping_ttl = 90 } path "b/*" { policy = "write" }, path "c" {}
