path "a" {
  capabilities = ["read"]
}
# end
b = <<E
x
E
