path "x" { max_wrapping_ttl = 1d }
