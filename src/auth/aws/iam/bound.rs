//! Whether a role is for a principal (spec `aws-auth-method.md` §12.4, 6).

use super::super::AwsAuth;
use super::super::failure::{Code, Failure};
use super::super::principal::Principal;
use super::super::role::Role;
use super::Caller;

impl AwsAuth {
    /// One of three: his unique id is bound; or his name, where names are enough; or a wildcard holds his whole ARN.
    pub(super) async fn check_principal(&self, role: &Role, caller: &Caller) -> Result<(), Failure> {
        if is_bound_by_id(role, caller) || is_bound_by_name(role, caller) {
            return Ok(());
        }
        if role.bound_iam_principal_arn.iter().any(|bound| bound.ends_with('*')) {
            let full = self.full_arn(caller).await.map_err(|failure| {
                let (arn, name) = (&caller.principal.arn, &role.name);
                failure
                    .within(&format!("error looking up full ARN of entity \"{arn}\" when attempting login for role \"{name}\": "))
            })?;
            if role.bound_iam_principal_arn.iter().any(|bound| holds(bound, &full)) {
                return Ok(());
            }
        }
        Err(not_bound(role, caller))
    }

    /// The ARN of a caller with its path, and without a session.
    async fn full_arn(&self, caller: &Caller) -> Result<String, Failure> {
        let (principal, id) = (&caller.principal, caller.unique_id.as_str());
        if let Some(arn) = self.iam.names.find(principal, id, self.deps.clock.elapsed()) {
            return Ok(arn);
        }
        let entity = self.entity(principal).await?;
        if entity.id != id {
            return Err(recreated(&principal.canonical_arn(), id, &entity.id));
        }
        self.iam.names.keep(principal, id, entity.arn.clone(), self.deps.clock.elapsed());
        Ok(entity.arn)
    }
}

fn is_bound_by_id(role: &Role, caller: &Caller) -> bool {
    role.resolved.iter().any(|resolved| resolved.id == caller.unique_id && is_of_account(&resolved.arn, &caller.principal))
}

fn is_bound_by_name(role: &Role, caller: &Caller) -> bool {
    !role.resolve_aws_unique_ids && role.bound_iam_principal_arn.contains(&caller.principal.canonical_arn())
}

fn is_of_account(arn: &str, principal: &Principal) -> bool {
    Principal::parse(arn).is_ok_and(|bound| bound.account == principal.account && bound.partition == principal.partition)
}

/// Whether an entry with a wildcard holds a whole ARN. A lone `*` holds nobody; one at the front as well means "anywhere in it".
fn holds(bound: &str, full: &str) -> bool {
    match bound.strip_suffix('*') {
        None | Some("") => false,
        Some(rest) => match rest.strip_prefix('*') {
            Some("") => false,
            Some(inner) => full.contains(inner),
            None => full.starts_with(rest),
        },
    }
}

fn not_bound(role: &Role, caller: &Caller) -> Failure {
    let (arn, name) = (&caller.principal.arn, &role.name);
    let text = format!("IAM Principal \"{arn}\" does not belong to the role \"{name}\"");
    let canonical = caller.principal.canonical_arn();
    let was = |resolved: &&super::super::role::Resolved| {
        Principal::parse(&resolved.arn).is_ok_and(|bound| bound.canonical_arn() == canonical)
    };
    if let Some(old) = role.resolved.iter().find(was) {
        return Failure { error: Failure::plain(text).error, ..recreated(&canonical, &caller.unique_id, &old.id) };
    }
    let sentence = format!("{canonical} is not among the principals of the role: its operator can write the ARN there");
    Failure::named(Code::PrincipalNotBound, text, sentence)
}

/// The name is known, but belongs to somebody else than before.
fn recreated(arn: &str, now: &str, before: &str) -> Failure {
    let sentence = format!(
        "{arn} was deleted and created again: the role knows it by the unique id {before} and it is {now} now; write the ARN again"
    );
    Failure::named(Code::PrincipalRecreated, format!("{arn} has another unique id"), sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_a_prefix_or_a_part_and_never_everything() {
        let full = "arn:aws:iam::123456789012:role/team/web";
        for bound in ["arn:aws:iam::123456789012:role/*", "arn:aws:iam::123456789012:role/team/w*", "*role/team*", "*:role/*"] {
            assert!(holds(bound, full), "{bound}");
        }
        for bound in
            ["*", "**", "arn:aws:iam::*:role/team/web", "arn:aws:iam::123456789012:role/team/web", "arn:aws:iam::1:role/*"]
        {
            assert!(!holds(bound, full), "{bound}");
        }
    }
}
