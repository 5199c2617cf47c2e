//! Role tags: a tag of an instance that narrows what its logins get, signed by the key of its role so that nobody who may only
//! set tags can make one (spec `aws-auth-method.md` §15).
//!
//! `v1:<nonce>:r=<role>:d=<bool>:m=<bool>[:p=<policies>][:i=<instance>][:t=<seconds>]:<HMAC>`, where what is empty is left out.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::hmac;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::auth::aws::AwsAuth;
use crate::auth::aws::failure::{Code, Failure};
use crate::auth::aws::role::Role;
use crate::base::{Secret, Ttl, random};
use crate::lease::Limits;
use crate::mount::field::{CommaList, Flag, LowerText, SignedSeconds};
use crate::mount::{ApiError, Both, Ctx, Named, Reply, Table};

/// What a tag says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RoleTag {
    /// Makes it unlike others that say the same.
    nonce: String,
    /// In lower case.
    pub(super) role: String,
    /// Instead of the role's; empty: the role's.
    pub(super) policies: Vec<String>,
    /// Zero: not given.
    pub(super) max_ttl: Ttl,
    /// The only instance it is for; empty: any.
    pub(super) instance: String,
    /// Signed, but not asked for at a login: only the role's own counts.
    allow_migration: bool,
    /// Instances with it log in once.
    pub(super) disallow_reauthentication: bool,
}

/// A tag beside its signature.
#[derive(Clone, Debug)]
pub(super) struct Signed {
    pub(super) tag: RoleTag,
    signature: Vec<u8>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct TagInput {
    /// Policies of the tokens, a part of the role's. Default: the role's.
    policies: CommaList,
    /// The longest a token lives. Default: as the role says.
    max_ttl: Option<SignedSeconds>,
    /// The only instance the tag is for. Default: any.
    instance_id: LowerText,
    /// Whether an instance that was started anew may come with another nonce.
    allow_instance_migration: Flag,
    /// Whether an instance may log in only once.
    disallow_reauthentication: Flag,
}

/// Declares the endpoint.
pub(super) fn endpoints(table: &mut Table<AwsAuth>) {
    table.at("role/{role}/tag", "Makes the value of a tag for instances that log in with the role.").update(AwsAuth::make_tag);
}

impl AwsAuth {
    async fn make_tag(self: Arc<Self>, cx: Ctx, Both(named, input): Both<Named, TagInput>) -> Result<Reply, ApiError> {
        let name = named.name.to_lowercase();
        let role = self.role(&name).await?.ok_or_else(|| ApiError::invalid(format!("entry not found for role {name}")))?;
        if role.role_tag.is_empty() {
            return Err(ApiError::invalid("tag creation is not enabled for this role"));
        }
        if *input.allow_instance_migration && *input.disallow_reauthentication {
            let text = "cannot set both disallow_reauthentication and allow_instance_migration";
            return Err(ApiError::invalid(text));
        }
        let max_ttl = input.max_ttl.unwrap_or_default();
        let tag = RoleTag {
            nonce: BASE64.encode(random::bytes::<8>()),
            role: name,
            policies: input.policies.0,
            max_ttl: max_ttl.ttl().ok_or_else(|| ApiError::invalid("max_ttl cannot be negative"))?,
            instance: input.instance_id.0,
            allow_migration: *input.allow_instance_migration,
            disallow_reauthentication: *input.disallow_reauthentication,
        };
        if [&tag.instance].into_iter().chain(&tag.policies).any(|text| text.contains([':', ','])) {
            return Err(ApiError::invalid("policies and instance_id of a tag cannot have ':' or ',' in them"));
        }
        let value = tag.signed(&role.hmac_key);
        if value.len() > LONGEST {
            return Err(ApiError::invalid(format!("role tag 'value' exceeding the limit of {LONGEST} characters")));
        }
        let warnings = tag.warnings(&role, cx.limits);
        let reply = Reply::field("tag_key", json!(role.role_tag)).and("tag_value", json!(value));
        Ok(reply.warn_all(warnings))
    }

    /// The tag, if its role signed it.
    pub(super) async fn verified_tag(&self, value: &str) -> Result<(RoleTag, Role), Failure> {
        let signed = Signed::parse(value).map_err(|text| refused(text, "it is not one that this server has made"))?;
        let missing = || refused(format!("entry not found for {:?}", signed.tag.role), "its role is not there any more");
        let role = self.role_of_login(&signed.tag.role, missing).await?;
        if !signed.is_by(&role.hmac_key) {
            let sentence = "it was not made by this server for this role, or changed since";
            return Err(refused("role tag signature verification failed", sentence));
        }
        Ok((signed.tag, role))
    }
}

impl RoleTag {
    /// With its signature.
    pub(super) fn signed(&self, key: &Secret<String>) -> String {
        let text = self.text();
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes()), text.as_bytes());
        format!("{text}:{}", BASE64.encode(signature))
    }

    /// In its one order.
    fn text(&self) -> String {
        let (role, once, moves) = (&self.role, self.disallow_reauthentication, self.allow_migration);
        let mut text = format!("{VERSION}:{}:r={role}:d={once}:m={moves}", self.nonce);
        for (name, value) in [("p", self.policies.join(",")), ("i", self.instance.clone())] {
            if !value.is_empty() {
                text.extend([":", name, "=", &value]);
            }
        }
        if !self.max_ttl.is_zero() {
            text.extend([":t=", &self.max_ttl.as_seconds().to_string()]);
        }
        text
    }

    fn warnings(&self, role: &Role, limits: Limits) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.policies.iter().all(|policy| role.token.policies.contains(policy)) {
            warnings.push(NOT_A_SUBSET.to_owned());
        }
        if self.allow_migration && !role.allow_instance_migration {
            warnings.push(NO_MIGRATION.to_owned());
        }
        for (whose, most) in [("mount", limits.max_ttl), ("role", role.token.max_ttl)] {
            if !most.is_zero() && self.max_ttl > most {
                let (own, most) = (self.max_ttl.as_seconds(), most.as_seconds());
                warnings.push(format!(
                    "Given max TTL of {own} is greater than the {whose} maximum of {most} seconds, and will be capped at login time."
                ));
            }
        }
        warnings
    }
}

impl Signed {
    /// Reads a value; says nothing on who made it.
    pub(super) fn parse(value: &str) -> Result<Self, String> {
        let parts: Vec<&str> = value.split(':').collect();
        let [version, nonce, items @ .., signature] = parts.as_slice() else { return Err("invalid tag".to_owned()) };
        if parts.len() < 4 || value.len() > 2 * LONGEST {
            return Err("invalid tag".to_owned());
        }
        if *version != VERSION {
            return Err("invalid role tag version".to_owned());
        }
        let mut tag = RoleTag { nonce: (*nonce).to_owned(), ..RoleTag::default() };
        for item in items {
            let unknown = || format!("unrecognized item {item:?} in tag");
            let (name, text) = item.split_once('=').ok_or_else(unknown)?;
            let flag = || text.parse::<bool>().map_err(|_| unknown());
            match name {
                "r" => text.clone_into(&mut tag.role),
                "d" => tag.disallow_reauthentication = flag()?,
                "m" => tag.allow_migration = flag()?,
                "p" => tag.policies = text.split(',').map(str::to_owned).collect(),
                "i" => text.clone_into(&mut tag.instance),
                "t" => tag.max_ttl = Ttl::parse(text).map_err(|_| unknown())?,
                _ => return Err(unknown()),
            }
        }
        if tag.role.is_empty() {
            return Err("missing role name".to_owned());
        }
        let signature = BASE64.decode(signature).map_err(|_| "role tag signature verification failed".to_owned())?;
        Ok(Self { tag, signature })
    }

    fn is_by(&self, key: &Secret<String>) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes());
        // Over what it says, written anew: there is one text for one meaning.
        hmac::verify(&key, self.tag.text().as_bytes(), &self.signature).is_ok()
    }
}

/// A login whose tag does not do.
pub(super) fn refused(text: impl Into<String>, sentence: &str) -> Failure {
    Failure::named(Code::RoleTag, text, format!("the role wants a role tag on the instance: {sentence}"))
}

const VERSION: &str = "v1";

/// Characters of the value of a tag in EC2.
const LONGEST: usize = 255;

const NOT_A_SUBSET: &str = "Policies on the tag are not a subset of the policies set on the role. Login will not be allowed with \
    this tag unless the role policies are updated.";
const NO_MIGRATION: &str = "Role does not allow instance migration. Login will not be allowed with this tag unless the role value \
    is updated.";

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Secret<String> {
        Secret::from(text)
    }

    fn full() -> RoleTag {
        RoleTag {
            nonce: "AAAAAAAAAAA=".to_owned(),
            role: "web".to_owned(),
            policies: vec!["a".to_owned(), "b".to_owned()],
            max_ttl: Ttl::hours(1),
            instance: "i-1".to_owned(),
            allow_migration: false,
            disallow_reauthentication: true,
        }
    }

    #[test]
    fn a_tag_reads_back_as_it_was_made() {
        let value = full().signed(&key("k"));
        assert!(value.starts_with("v1:AAAAAAAAAAA=:r=web:d=true:m=false:p=a,b:i=i-1:t=3600:"), "{value}");
        let signed = Signed::parse(&value).unwrap();
        assert_eq!(signed.tag, full());
        assert!(signed.is_by(&key("k")) && !signed.is_by(&key("other")));
        let small = RoleTag { nonce: "n".to_owned(), role: "web".to_owned(), ..RoleTag::default() };
        assert!(small.signed(&key("k")).starts_with("v1:n:r=web:d=false:m=false:"));
        assert_eq!(Signed::parse(&small.signed(&key("k"))).unwrap().tag, small);
    }

    #[test]
    fn whatever_is_changed_is_noticed() {
        let value = full().signed(&key("k"));
        for (from, to) in
            [("p=a,b", "p=a,b,root"), ("t=3600", "t=7200"), ("d=true", "d=false"), ("i=i-1:", ""), ("r=web", "r=dev")]
        {
            let signed = Signed::parse(&value.replace(from, to)).unwrap();
            assert!(!signed.is_by(&key("k")), "{to}");
        }
        // What is said twice counts once, and is not what was signed.
        assert!(!Signed::parse(&value.replace(":p=a,b", ":p=z:p=a")).unwrap().is_by(&key("k")));
    }

    #[test]
    fn what_is_no_tag_is_told_in_the_known_words() {
        let value = full().signed(&key("k"));
        for (text, error) in [
            ("v1:n:x", "invalid tag"),
            (value.replace("v1:", "v2:").as_str(), "invalid role tag version"),
            (value.replace("t=3600", "z=1").as_str(), "unrecognized item \"z=1\" in tag"),
            (value.replace("r=web:", "").as_str(), "missing role name"),
        ] {
            assert_eq!(Signed::parse(text).unwrap_err(), error, "{text}");
        }
        assert!(Signed::parse("v1:n:r=web:%%").is_err());
    }
}
