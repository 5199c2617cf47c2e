path "a/{{identity.entity.id}/x" { capabilities = ["read"] }
path "b/+*" { capabilities = ["fly"] }
