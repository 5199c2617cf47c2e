path "x" = { capabilities = ["read"] }
