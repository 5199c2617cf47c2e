path "secret/data/{{identity.entity.id}}/*" { capabilities = ["create", "read", "update", "delete", "list"] }
path "secret/{{ identity.groups.names.ops.metadata.area }}/+" { capabilities = ["list"] }
path "users/{{identity.entity.aliases.auth_userpass_1234abcd.name}}" { capabilities = ["read"] }
