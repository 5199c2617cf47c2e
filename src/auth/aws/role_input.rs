//! What a write makes of a role: fields taken over, then rules in the order of the spec, whose first mistake wins
//! (`aws-auth-method.md` §10.2).

use schemars::JsonSchema;
use serde::Deserialize;

use crate::auth::token_fields::{TokenInput, renamed, sanitized};
use crate::lease::Limits;
use crate::mount::ApiError;
use crate::mount::field::{CommaList, Flag, SignedSeconds, Text};

use super::role::{AuthType, EC2_INSTANCE, OldNames, Role};

/// Fields of a role beside those of its tokens. Absent ones keep their value.
#[expect(clippy::doc_markdown, reason = "shown to people as help")]
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct RoleInput {
    /// How logins prove who they are: iam or ec2. Fixed when the role is created. Default: iam.
    pub(super) auth_type: Option<Text>,
    /// Images the instance may run.
    pub(super) bound_ami_id: Option<CommaList>,
    /// Accounts the instance may be in.
    pub(super) bound_account_id: Option<CommaList>,
    /// Instances that may log in.
    pub(super) bound_ec2_instance_id: Option<CommaList>,
    /// Another name of bound_ec2_instance_id.
    pub(super) bound_instance_ids: Option<CommaList>,
    /// ARNs of users and roles that may log in; a * at the end stands for anything.
    pub(super) bound_iam_principal_arn: Option<CommaList>,
    /// ARNs of roles the instance may have; a * at the end stands for anything.
    pub(super) bound_iam_role_arn: Option<CommaList>,
    /// ARNs of profiles the instance may have; a * at the end stands for anything.
    pub(super) bound_iam_instance_profile_arn: Option<CommaList>,
    /// Regions the instance may be in.
    pub(super) bound_region: Option<CommaList>,
    /// Subnets the instance may be in.
    pub(super) bound_subnet_id: Option<CommaList>,
    /// Networks the instance may be in.
    pub(super) bound_vpc_id: Option<CommaList>,
    /// What an iam login also names: ec2_instance. Default: nothing.
    pub(super) inferred_entity_type: Option<Text>,
    /// Where the inferred instance is looked for.
    pub(super) inferred_aws_region: Option<Text>,
    /// Whether principals are bound by their unique ids, so that a new one of the same name is another one. Default: yes.
    pub(super) resolve_aws_unique_ids: Option<Flag>,
    /// Key of the instance tag that holds a role tag. Default: none.
    pub(super) role_tag: Option<Text>,
    /// Whether an instance that was started anew may come with another nonce.
    pub(super) allow_instance_migration: Option<Flag>,
    /// Whether an instance may log in only once.
    pub(super) disallow_reauthentication: Option<Flag>,
    /// Old name of token_ttl.
    pub(super) ttl: Option<SignedSeconds>,
    /// Old name of token_max_ttl.
    pub(super) max_ttl: Option<SignedSeconds>,
    /// Old name of token_period.
    pub(super) period: Option<SignedSeconds>,
    /// Old name of token_policies.
    pub(super) policies: Option<CommaList>,
}

impl RoleInput {
    /// Steps 3 to 5: bounds and principals. Principals whose ids are to be found follow.
    pub(super) fn bind(&self, role: &mut Role, is_new: bool) -> Result<(), ApiError> {
        let instances = self.bound_ec2_instance_id.as_ref().or(self.bound_instance_ids.as_ref());
        let lists = [
            (&mut role.bound_ami_id, self.bound_ami_id.as_ref()),
            (&mut role.bound_account_id, self.bound_account_id.as_ref()),
            (&mut role.bound_ec2_instance_id, instances),
            (&mut role.bound_iam_role_arn, self.bound_iam_role_arn.as_ref()),
            (&mut role.bound_iam_instance_profile_arn, self.bound_iam_instance_profile_arn.as_ref()),
            (&mut role.bound_region, self.bound_region.as_ref()),
            (&mut role.bound_subnet_id, self.bound_subnet_id.as_ref()),
            (&mut role.bound_vpc_id, self.bound_vpc_id.as_ref()),
        ];
        for (field, supplied) in lists {
            if let Some(supplied) = supplied {
                field.clone_from(supplied);
            }
        }
        if let Some(resolve) = &self.resolve_aws_unique_ids {
            if !is_new && role.resolve_aws_unique_ids && !**resolve {
                return Err(ApiError::invalid("changing resolve_aws_unique_ids from true to false is not allowed"));
            }
            role.resolve_aws_unique_ids = **resolve;
        }
        if let Some(arns) = &self.bound_iam_principal_arn {
            role.bound_iam_principal_arn.clone_from(arns);
            role.resolved.clear();
        }
        Ok(())
    }

    /// Steps 7 to 18. Returns warnings.
    pub(super) fn finish(
        &self,
        role: &mut Role,
        token: &TokenInput,
        is_new: bool,
        limits: Limits,
    ) -> Result<Vec<String>, ApiError> {
        keep_text(&mut role.inferred_entity_type, self.inferred_entity_type.as_ref());
        keep_text(&mut role.inferred_aws_region, self.inferred_aws_region.as_ref());
        if let Some(text) = &self.auth_type {
            let kind = AuthType::parse(text);
            match kind {
                _ if !is_new && kind != Some(role.auth_type) => {
                    return Err(ApiError::invalid("changing auth_type on a role is not allowed"));
                }
                Some(kind) => role.auth_type = kind,
                None => return Err(ApiError::invalid(format!("unrecognized auth_type: {}", text.0))),
            }
        }
        check_inference(role)?;
        check_bounds(role)?;
        self.flags(role)?;
        let mut warnings = role.token.merge(token)?;
        self.old_names(role, token)?;
        warnings.extend(check_times(role, limits)?);
        if let Some(tag) = &self.role_tag {
            role.role_tag.clone_from(tag);
        }
        if !role.role_tag.is_empty() && role.auth_type == AuthType::Iam {
            return Err(ApiError::invalid("tried to enable role_tag when not using ec2 auth method"));
        }
        if role.role_tag.chars().count() > LONGEST_TAG_KEY {
            let text = format!("length of role tag exceeds the EC2 key limit of {LONGEST_TAG_KEY} characters");
            return Err(ApiError::invalid(text));
        }
        Ok(warnings)
    }

    fn flags(&self, role: &mut Role) -> Result<(), ApiError> {
        for (name, supplied, field) in [
            ("disallow_reauthentication", &self.disallow_reauthentication, &mut role.disallow_reauthentication),
            ("allow_instance_migration", &self.allow_instance_migration, &mut role.allow_instance_migration),
        ] {
            let Some(flag) = supplied else { continue };
            if role.auth_type == AuthType::Iam {
                return Err(ApiError::invalid(format!("specified {name} when not using ec2 auth type")));
            }
            *field = **flag;
        }
        if role.disallow_reauthentication && role.allow_instance_migration {
            return Err(ApiError::invalid(
                "cannot specify both disallow_reauthentication=true and allow_instance_migration=true",
            ));
        }
        Ok(())
    }

    fn old_names(&self, role: &mut Role, token: &TokenInput) -> Result<(), ApiError> {
        let Role { token: fields, old: OldNames { ttl, max_ttl, period, policies }, .. } = role;
        let times = [
            ("ttl", self.ttl, token.token_ttl, ttl, &mut fields.ttl),
            ("max_ttl", self.max_ttl, token.token_max_ttl, max_ttl, &mut fields.max_ttl),
            ("period", self.period, token.token_period, period, &mut fields.period),
        ];
        for (name, supplied, new, old_field, new_field) in times {
            let supplied = supplied.map(|time| time.ttl().ok_or_else(|| negative(name))).transpose()?;
            renamed(supplied, new.is_some(), old_field, new_field);
        }
        let names = self.policies.as_ref().map(|names| of_old_policies(names));
        renamed(names, token.token_policies.is_some(), policies, &mut fields.policies);
        Ok(())
    }
}

fn check_inference(role: &Role) -> Result<(), ApiError> {
    let (kind, region) = (role.inferred_entity_type.as_str(), role.inferred_aws_region.as_str());
    let mistake = match (kind, region) {
        ("", "") => return Ok(()),
        ("", _) => "specified inferred_aws_region but not inferred_entity_type".to_owned(),
        _ if role.auth_type != AuthType::Iam => "specified inferred_entity_type but didn't allow iam auth_type".to_owned(),
        (kind, _) if kind != EC2_INSTANCE => format!("specified invalid inferred_entity_type: {kind}"),
        (_, "") => "specified inferred_entity_type but not inferred_aws_region".to_owned(),
        _ => return Ok(()),
    };
    Err(ApiError::invalid(mistake))
}

fn check_bounds(role: &Role) -> Result<(), ApiError> {
    let is_ec2 = role.auth_type == AuthType::Ec2;
    let has_instance = is_ec2 || role.infers_instance();
    let of_instance = "but not specifying ec2 auth_type or inferring ec2_instance";
    let bounds = [
        ("bound_account_id", &role.bound_account_id, has_instance, of_instance),
        ("bound_region", &role.bound_region, is_ec2, "but not specifying ec2 auth_type"),
        ("bound_ami_id", &role.bound_ami_id, has_instance, of_instance),
        ("bound_iam_instance_profile_arn", &role.bound_iam_instance_profile_arn, has_instance, of_instance),
        ("bound_ec2_instance_id", &role.bound_ec2_instance_id, has_instance, of_instance),
        ("bound_iam_role_arn", &role.bound_iam_role_arn, has_instance, of_instance),
        ("bound_iam_principal_arn", &role.bound_iam_principal_arn, !is_ec2, "but not specifying iam auth_type"),
        ("bound_vpc_id", &role.bound_vpc_id, has_instance, of_instance),
        ("bound_subnet_id", &role.bound_subnet_id, has_instance, of_instance),
    ];
    let mut has_bound = false;
    for (name, values, is_legal, why) in bounds {
        if values.is_empty() {
            continue;
        }
        if !is_legal {
            return Err(ApiError::invalid(format!("specified {name} {why}")));
        }
        has_bound = true;
    }
    if has_bound { Ok(()) } else { Err(ApiError::invalid("at least one bound parameter should be specified on the role")) }
}

fn check_times(role: &Role, limits: Limits) -> Result<Option<String>, ApiError> {
    let (ttl, max_ttl, period) = (role.token.ttl, role.token.max_ttl, role.token.period);
    let warning = (max_ttl > limits.max_ttl).then(|| {
        format!(
            "Given max ttl of {} seconds greater than current mount/system default of {} seconds; max ttl will be capped at login time",
            max_ttl.as_seconds(),
            limits.max_ttl.as_seconds()
        )
    });
    if !max_ttl.is_zero() && max_ttl < ttl {
        return Err(ApiError::invalid("ttl should be shorter than max ttl"));
    }
    if period > limits.max_ttl {
        let text =
            format!("period of {:?} is greater than the backend's maximum lease TTL of {:?}", period.go(), limits.max_ttl.go());
        return Err(ApiError::invalid(text));
    }
    role.token.check()?;
    Ok(warning)
}

/// Under the old name policies are put in order, and `root` swallows all others.
fn of_old_policies(names: &[String]) -> Vec<String> {
    let names = sanitized(names);
    if names.iter().any(|name| name == "root") { vec!["root".to_owned()] } else { names }
}

fn keep_text(field: &mut String, supplied: Option<&Text>) {
    if let Some(text) = supplied {
        field.clone_from(text);
    }
}

fn negative(field: &str) -> ApiError {
    ApiError::invalid(format!("'{field}' cannot be negative"))
}

/// Keys of EC2's tags.
const LONGEST_TAG_KEY: usize = 127;
