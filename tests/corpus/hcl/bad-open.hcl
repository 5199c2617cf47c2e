path "x" { capabilities = ["read", "list"
