path = { "a" = { capabilities = ["read"] }, "b" = { policy = "read" } }
path { "c" { policy = "sudo" } }
