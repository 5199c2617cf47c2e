path "prod/*" {
  capabilities = ["read"]
  mfa_methods  = ["totp"]
  control_group = {
    factor "owners" {
      identity {
        group_names = ["owners"]
        approvals = 2
      }
    }
  }
}
