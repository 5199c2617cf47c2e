path "kv/+/config" {
  capabilities = ["create", "update", "patch"]
  allowed_parameters = {
    "*"    = []
    "mode" = ["on*", "*off", 1, 2.5, true, ["x", 1]]
  }
  denied_parameters {
    "admin" = []
    token = ["", "x"]
  }
  required_parameters = ["mode", "Owner"]
  comment = "who may change what"
}
