"path" "secret/x" { "capabilities" = ["read"], "denied_parameters" = { "a" = [] } }
"path" "secret/y"
{
  "capabilities"
    =
    ["create", "update",]
}
