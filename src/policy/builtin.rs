//! The policies every server has, and what may be done with their names (spec `policies.md` §5, §7).

/// Everything is allowed. Has no text.
pub const ROOT: &str = "root";

/// Added to every token unless asked otherwise.
pub const DEFAULT: &str = "default";

/// Of the tokens that stand for a wrapped reply.
pub const RESPONSE_WRAPPING: &str = "response-wrapping";

/// Reserved for approvals.
pub const CONTROL_GROUP: &str = "control-group";

/// Whether no token may be given this policy by its name.
pub fn is_unassignable(name: &str) -> bool {
    name == RESPONSE_WRAPPING || name == CONTROL_GROUP
}

/// Whether the text is the server's own and cannot be changed.
pub fn is_immutable(name: &str) -> bool {
    name == ROOT || is_unassignable(name)
}

/// Whether the policy is left out of lists.
pub fn is_hidden(name: &str) -> bool {
    is_unassignable(name)
}

/// The form in which a policy's name is stored and compared.
pub fn normal_name(name: &str) -> String {
    name.trim().to_lowercase()
}

/// A list of policies as tokens hold it: normal names, in order, each once; `root` makes all others needless.
pub fn sanitize(names: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<String> {
    let mut names: Vec<_> = names.into_iter().map(|name| normal_name(name.as_ref())).filter(|name| !name.is_empty()).collect();
    if names.iter().any(|name| name == ROOT) {
        return vec![ROOT.to_owned()];
    }
    names.sort();
    names.dedup();
    names
}

/// Written at the first unseal, and never again: operators edit it.
pub const DEFAULT_TEXT: &str = r#"# What every token may do unless it was created without the policy "default".
# This text is yours to edit. It is written once and not replaced by upgrades.

# The token itself: look at it, renew it, end it.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
path "auth/token/renew-self" {
  capabilities = ["update"]
}
path "auth/token/revoke-self" {
  capabilities = ["update"]
}

# What the token may do on a path.
path "sys/capabilities-self" {
  capabilities = ["update"]
}
path "sys/internal/ui/resultant-acl" {
  capabilities = ["read"]
}

# The entity behind the token, by id and by name.
path "identity/entity/id/{{identity.entity.id}}" {
  capabilities = ["read"]
}
path "identity/entity/name/{{identity.entity.name}}" {
  capabilities = ["read"]
}

# Leases, by whoever knows their id. The first path is an older spelling of the second.
path "sys/renew" {
  capabilities = ["update"]
}
path "sys/leases/renew" {
  capabilities = ["update"]
}
path "sys/leases/lookup" {
  capabilities = ["update"]
}

# The token's own storage, which ends with it.
path "cubbyhole/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}

# Wrapped replies.
path "sys/wrapping/wrap" {
  capabilities = ["update"]
}
path "sys/wrapping/lookup" {
  capabilities = ["update"]
}
path "sys/wrapping/unwrap" {
  capabilities = ["update"]
}

# Digests of texts.
path "sys/tools/hash" {
  capabilities = ["update"]
}
path "sys/tools/hash/*" {
  capabilities = ["update"]
}

# The state of a request that waits for approvals.
path "sys/control-group/request" {
  capabilities = ["update"]
}

# Logging in elsewhere with the token's entity.
path "identity/oidc/provider/+/authorize" {
  capabilities = ["read", "update"]
}
"#;

/// Written anew at an unseal when what is stored differs.
pub const RESPONSE_WRAPPING_TEXT: &str = r#"# A token that stands for a wrapped reply may open it, and nothing else.
path "cubbyhole/response" {
  capabilities = ["create", "read"]
}
path "sys/wrapping/unwrap" {
  capabilities = ["update"]
}
"#;

/// Written anew at an unseal when what is stored differs.
pub const CONTROL_GROUP_TEXT: &str = r#"# A token that stands for a request which waits for approvals.
path "cubbyhole/control-group" {
  capabilities = ["create", "read"]
}
path "sys/wrapping/unwrap" {
  capabilities = ["update"]
}
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Acl, NoEntity, Policy};

    #[test]
    fn lists_of_policies_are_put_in_order() {
        let sanitized = |names: &[&str]| sanitize(names);
        assert_eq!(sanitized(&[" B", "a ", "b", "", "  "]), ["a", "b"]);
        assert_eq!(sanitized(&["default", "ROOT"]), ["root"]);
        assert!(sanitized(&[]).is_empty());
    }

    #[test]
    fn the_default_policy_gives_what_the_specification_lists() {
        let policy = Policy::parse(DEFAULT, DEFAULT_TEXT).unwrap();
        assert!(policy.warnings.is_empty());
        let acl = Acl::new([&policy].into_iter(), &NoEntity);
        for (path, capabilities) in [
            ("auth/token/lookup-self", "read"),
            ("auth/token/renew-self", "update"),
            ("auth/token/revoke-self", "update"),
            ("sys/capabilities-self", "update"),
            ("sys/internal/ui/resultant-acl", "read"),
            ("sys/renew", "update"),
            ("sys/leases/renew", "update"),
            ("sys/leases/lookup", "update"),
            ("cubbyhole/x/y", "create,delete,list,read,update"),
            ("sys/wrapping/wrap", "update"),
            ("sys/wrapping/lookup", "update"),
            ("sys/wrapping/unwrap", "update"),
            ("sys/tools/hash", "update"),
            ("sys/tools/hash/sha2-512", "update"),
            ("sys/control-group/request", "update"),
            ("identity/oidc/provider/x/authorize", "read,update"),
            ("sys/tools/random", "deny"),
            ("sys/leases/revoke", "deny"),
            ("sys/mounts", "deny"),
            ("identity/entity/id/", "deny"),
        ] {
            assert_eq!(acl.capabilities(path).join(","), capabilities, "{path}");
        }
        assert_eq!(policy.rules.len(), 18);
    }

    #[test]
    fn the_wrapping_policies_open_one_reply() {
        let policy = Policy::parse(RESPONSE_WRAPPING, RESPONSE_WRAPPING_TEXT).unwrap();
        let acl = Acl::new([&policy].into_iter(), &NoEntity);
        assert_eq!(acl.capabilities("cubbyhole/response"), ["create", "read"]);
        assert_eq!(acl.capabilities("sys/wrapping/unwrap"), ["update"]);
        assert_eq!(acl.capabilities("cubbyhole/other"), ["deny"]);
        assert!(Policy::parse(CONTROL_GROUP, CONTROL_GROUP_TEXT).is_ok());
    }
}
