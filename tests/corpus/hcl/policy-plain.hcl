# Read what the application needs.
path "secret/data/app/*" {
  capabilities = ["read", "list"]
}

// Nothing else below it.
path "secret/data/app/admin" {
  capabilities = ["deny"]
}
