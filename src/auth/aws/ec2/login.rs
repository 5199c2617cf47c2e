//! `ec2` logins: a document that AWS signed, the instance it names, and the nonce of that instance's first login
//! (spec `aws-auth-method.md` §14).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::auth::aws::AwsAuth;
use crate::auth::aws::attempt::Attempt;
use crate::auth::aws::clients::Place;
use crate::auth::aws::failure::{Code, Failure};
use crate::auth::aws::identity_config::chosen;
use crate::auth::aws::login::LoginInput;
use crate::auth::aws::role::{AuthType, Role};
use crate::auth::cidr;
use crate::base::Ttl;
use crate::mount::{Alias, Along, ApiError, Ctx, Grant, TokenRenewal};
use crate::token::TokenInfo;

use super::access_api::access_key;
use super::access_list::{Admitted, Shown, admit};
use super::bounds::Running;
use super::certificates::Form;
use super::deny_list::after;
use super::document::Document;
use super::pkcs7::{Pkcs7Error, verified};
use super::role_tag::{self, RoleTag};
use super::signer::{Anchor, Hash};

impl AwsAuth {
    /// `None`: the doctor found something, or is done.
    pub(in crate::auth::aws) async fn judge_ec2(
        self: &Arc<Self>,
        cx: &Ctx,
        input: &LoginInput,
        attempt: &mut Attempt,
    ) -> Result<Option<Grant>, Failure> {
        let until = cx.clock.elapsed().saturating_add(LONGEST);
        let document = self.document(input).await;
        let Some(document) = attempt.check("document", document)? else {
            attempt.skip(&CHECKS, "there is no document to go by");
            return Ok(None);
        };
        attempt.principal.clone_from(&document.instance);
        attempt.detail(format!("instance {} in {} of account {}", document.instance, document.region, document.account));
        let name = if input.role.is_empty() { document.image.to_lowercase() } else { input.role.0.clone() };
        attempt.role.clone_from(&name);
        let role = self.role_of_login(&name, || Failure::plain(format!("entry for role {name:?} not found"))).await;
        let Some(role) = attempt.check("role", role)? else {
            attempt.skip(CHECKS.get(1..).unwrap_or_default(), "there is no role to go by");
            return Ok(None);
        };
        attempt.check("cidr", check_address(&role, cx))?;
        attempt.check("auth_type", check_type(&role))?;
        let place = Place { partition: document.partition(), account: &document.account, region: &document.region };
        let running = self.running(place, &document.instance, until).await;
        let running = attempt.check("instance", running.map_err(|failure| failure.within("failed to verify instance ID: ")))?;
        attempt.check("bound_region", check_region(&role, &document))?;
        if let Some(running) = &running {
            let bounds = self.check_bounds(&role, &document.account, running, until).await;
            attempt.check("bounds", bounds.map_err(|failure| failure.within("Error validating instance: ")))?;
        } else {
            attempt.skip(&["bounds"], "the instance is not known");
        }
        self.admitted(cx, input, attempt, &role, &document, running.as_ref()).await
    }

    /// What is left once the instance is the right one: the nonce, the tag, and the token.
    async fn admitted(
        self: &Arc<Self>,
        cx: &Ctx,
        input: &LoginInput,
        attempt: &mut Attempt,
        role: &Role,
        document: &Document,
        running: Option<&Running>,
    ) -> Result<Option<Grant>, Failure> {
        let key = access_key(&document.instance);
        // Held until the entry is durable: of two first logins the second sees what the first one left.
        let turn = if attempt.is_doctor() { None } else { Some(self.turn(&key).await) };
        let stored = self.access(&document.instance).await.map_err(ApiError::from)?;
        let (before, version) = stored.map_or((None, None), |(entry, version)| (Some(entry), Some(version)));
        let shown = Shown { nonce: input.nonce.as_ref().map(|nonce| nonce.expose().as_str()), pending: &document.pending };
        let nonce = admit(before.as_ref(), shown, role.disallow_reauthentication, role.allow_instance_migration);
        let admitted = attempt.check("nonce", nonce)?;
        let tag = match running {
            Some(running) if !role.role_tag.is_empty() => attempt.check("role_tag", self.tag_of(role, running).await)?,
            Some(_) => {
                attempt.skip(&["role_tag"], "the role wants none");
                Some(None)
            }
            None => {
                attempt.skip(&["role_tag"], "the instance is not known");
                None
            }
        };
        let (Some(mut admitted), Some(tag)) = (admitted, tag) else { return Ok(None) };
        admitted.disallow |= tag.as_ref().is_some_and(|tag| tag.disallow_reauthentication);
        let tag_ttl = tag.as_ref().map(|tag| tag.max_ttl).unwrap_or_default();
        let now = cx.clock.precise();
        let longest = cx.limits.max_ttl.max(role.token.max_ttl).max(tag_ttl);
        let entry = admitted.entry(before.as_ref(), &role.name, &document.pending, now, after(now, longest));
        let Some(entry) = attempt.check("nonce_length", entry)? else { return Ok(None) };
        if attempt.is_doctor() || attempt.has_failed() {
            return Ok(None);
        }
        let mut grant = self.grant(role, document, &admitted, tag.as_ref()).await?;
        let view = self.view.clone();
        let write = move |txn: &mut crate::barrier::Txn| {
            match version {
                Some(version) => txn.expect_at(&view, &key, version),
                None => txn.expect_absent(&view, &key),
            };
            txn.put(&view, &key, &entry).map(drop)
        };
        grant.along = Some(Along { write: Box::new(write), turn });
        Ok(Some(grant))
    }

    async fn grant(
        &self,
        role: &Role,
        document: &Document,
        admitted: &Admitted,
        tag: Option<&RoleTag>,
    ) -> Result<Grant, ApiError> {
        let config = self.identity_config().await?;
        let tag_ttl = tag.map(|tag| tag.max_ttl).unwrap_or_default();
        let known = BTreeMap::from([
            ("account_id", document.account.clone()),
            ("ami_id", document.image.clone()),
            ("auth_type", AuthType::Ec2.as_str().to_owned()),
            ("instance_id", document.instance.clone()),
            ("region", document.region.clone()),
        ]);
        let told = chosen(&config.ec2_metadata, &known);
        let mut metadata = told.clone();
        metadata.insert("role".to_owned(), role.name.clone());
        metadata.insert(TAG_TTL.to_owned(), tag_ttl.go());
        if admitted.is_made && !admitted.disallow {
            metadata.insert("nonce".to_owned(), admitted.nonce.expose().clone());
        }
        let mut grant = role.token.grant();
        if let Some(tag) = tag.filter(|tag| !tag.policies.is_empty()) {
            grant.policies.clone_from(&tag.policies);
        }
        grant.max_ttl = shortest(grant.max_ttl, tag_ttl);
        let internal = [
            ("auth_type", AuthType::Ec2.as_str()),
            (INSTANCE, &document.instance),
            (REGION, &document.region),
            (ACCOUNT, &document.account),
            (TAG_TTL, &tag_ttl.go()),
        ];
        grant.internal.extend(internal.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let alias = match config.ec2_alias.as_str() {
            "instance_id" => &document.instance,
            "image_id" => &document.image,
            _ => &role.role_id,
        };
        grant.alias = Some(Alias { name: alias.clone(), metadata: told });
        grant.metadata = Some(metadata);
        Ok(grant)
    }

    /// The document, once its signature is known to be true.
    async fn document(&self, input: &LoginInput) -> Result<Document, Failure> {
        let text = |field: &Option<crate::mount::field::Text>| field.as_ref().map(|text| text.0.clone()).unwrap_or_default();
        let (pkcs7, identity, signature) = (text(&input.pkcs7), text(&input.identity), text(&input.signature));
        let has_pair = !identity.is_empty() || !signature.is_empty();
        match (pkcs7.is_empty(), has_pair) {
            (true, false) => Err(Failure::plain(NOTHING)),
            (false, true) => Err(Failure::plain(BOTH)),
            (false, false) => {
                let anchors = self.anchors(Form::Pkcs7).await?;
                let content = verified(&pkcs7, anchors.iter()).map_err(of_pkcs7)?;
                Document::read(&content)
            }
            (true, true) => {
                let anchors = self.anchors(Form::Identity).await?;
                Document::read(&identity_of(&identity, &signature, anchors.iter())?)
            }
        }
    }

    /// The tag of the instance, where the role wants one.
    async fn tag_of(&self, role: &Role, running: &Running) -> Result<Option<RoleTag>, Failure> {
        let value = running.instance.tags.get(&role.role_tag).filter(|value| !value.is_empty());
        let value = value.ok_or_else(|| {
            let text = format!("missing tag with key {:?} on the instance", role.role_tag);
            role_tag::refused(text, "it has none")
        })?;
        let (tag, _) = self.verified_tag(value).await?;
        if tag.role != role.name {
            return Err(role_tag::refused("role on the tag is not matching the role supplied", "it is of another role"));
        }
        if !tag.instance.is_empty() && tag.instance != running.instance.id.to_lowercase() {
            return Err(role_tag::refused("role tag is being used by an unauthorized instance", "it is for another instance"));
        }
        if self.is_denied(value).await? {
            return Err(role_tag::refused("role tag is deny listed", "an operator has put it on roletag-denylist"));
        }
        if !tag.policies.iter().all(|policy| role.token.policies.contains(policy)) {
            let text = "policies on the role tag must be subset of policies on the role";
            return Err(role_tag::refused(text, "it has policies that the role has not"));
        }
        Ok(Some(tag))
    }

    /// What renewing a token gives now: its instance must still run, and be on the access list (§13).
    pub(in crate::auth::aws) async fn renew_ec2(&self, cx: &Ctx, token: &TokenInfo) -> Result<TokenRenewal, ApiError> {
        let told = |name: &str| {
            let public = token.meta.as_ref().and_then(|meta| meta.get(name));
            token.internal_meta.get(name).or(public).cloned()
        };
        let needed = |name: &str| told(name).ok_or_else(|| ApiError::invalid(format!("{name:?} not found in auth metadata")));
        let (id, region, account) = (needed(INSTANCE)?, needed(REGION)?, needed(ACCOUNT)?);
        let document = Document { instance: id.clone(), region, account, ..Document::default() };
        let place = Place { partition: document.partition(), account: &document.account, region: &document.region };
        let until = cx.clock.elapsed().saturating_add(LONGEST);
        let running = self.running(place, &id, until).await;
        running.map_err(|failure| failure.within(&format!("failed to verify instance ID {id:?}: ")).told(&cx.asked.id))?;
        let key = access_key(&id);
        let _turn = self.turn(&key).await;
        let missing = || ApiError::invalid(format!("failed to verify the access list identity entry for instance ID: {id:?}"));
        let (mut entry, version) = self.access(&id).await?.ok_or_else(missing)?;
        let role = self.role(&entry.role).await?.ok_or_else(|| ApiError::invalid("role entry not found"))?;
        let tag_ttl = told(TAG_TTL).and_then(|text| Ttl::parse(&text).ok()).unwrap_or_default();
        let now = cx.clock.precise();
        entry.last_updated_time = now;
        entry.expiration_time = after(now, cx.limits.max_ttl.max(role.token.max_ttl).max(tag_ttl));
        let mut txn = self.view.txn();
        txn.expect_at(&self.view, &key, version);
        txn.put(&self.view, &key, &entry)?;
        txn.commit().await?;
        Ok(TokenRenewal { max_ttl: shortest(role.token.max_ttl, tag_ttl), ..role.token.renewal() })
    }
}

/// The document beside its signature, if one of the RSA keys has signed it.
fn identity_of<'a>(identity: &str, signature: &str, anchors: impl Iterator<Item = &'a Anchor>) -> Result<Vec<u8>, Failure> {
    let decode = |text: &str| {
        let digits: String = text.split_ascii_whitespace().collect();
        BASE64.decode(digits).ok().filter(|bytes| !bytes.is_empty() && bytes.len() <= super::ber::LARGEST)
    };
    if identity.is_empty() {
        return Err(Failure::plain("missing instance identity document"));
    }
    if signature.is_empty() {
        return Err(Failure::plain("missing SHA256 RSA signature of the instance identity document"));
    }
    let document = decode(identity).ok_or_else(|| Failure::plain("failed to base64 decode the instance identity document"))?;
    let bad = "failed to base64 decode the SHA256 RSA signature of the instance identity document";
    let signature = decode(signature).ok_or_else(|| Failure::plain(bad))?;
    let mut tried: Vec<&Anchor> = Vec::new();
    for anchor in anchors.filter(|anchor| anchor.is_rsa()) {
        // Many regions share one key.
        if tried.iter().any(|other| other.has_key_of(anchor)) {
            continue;
        }
        if anchor.signed(Hash::Sha256, &document, &signature) {
            return Ok(document);
        }
        tried.push(anchor);
    }
    let text = "instance identity verification using SHA256 RSA signature is unsuccessful";
    Err(Failure::named(Code::DocumentCertificateUnknown, text, no_certificate(&document, "identity")))
}

fn of_pkcs7(error: Pkcs7Error) -> Failure {
    let text = error.to_string();
    match error {
        Pkcs7Error::Unknown(content) => Failure::named(Code::DocumentCertificateUnknown, text, no_certificate(&content, "pkcs7")),
        Pkcs7Error::Signature(_) => {
            let sentence =
                "the signature of the instance's document is not true: the document was changed, or is no document of AWS";
            Failure::named(Code::DocumentSignature, text, sentence)
        }
        Pkcs7Error::Pem | Pkcs7Error::Form(_) | Pkcs7Error::Empty => Failure::plain(text),
    }
}

/// Names the region that the document claims to be of, whoever wrote it.
fn no_certificate(document: &[u8], form: &str) -> String {
    let region = Document::glimpse(document).map(|document| document.region).filter(|region| super::document::is_name(region));
    let region = region.map_or_else(|| "no region".to_owned(), |region| format!("region {region}"));
    format!(
        "no known certificate has signed this document, which claims to be of {region}: if AWS published a new one, an operator can \
         write it to config/certificate/<name> with type={form}"
    )
}

fn check_address(role: &Role, cx: &Ctx) -> Result<(), Failure> {
    let blocks = &role.token.bound_cidrs;
    if blocks.is_empty() || cidr::holds(blocks, cx.asked.remote.ip) { Ok(()) } else { Err(Failure::cidr()) }
}

fn check_type(role: &Role) -> Result<(), Failure> {
    match role.auth_type {
        AuthType::Ec2 => Ok(()),
        AuthType::Iam => Err(Failure::plain(format!("auth method ec2 not allowed for role {}", role.name))),
    }
}

fn check_region(role: &Role, document: &Document) -> Result<(), Failure> {
    if super::bounds::holds(&role.bound_region, &document.region) {
        return Ok(());
    }
    let region = &document.region;
    let text = format!("Region {region:?} does not satisfy the constraint on role {:?}", role.name);
    Err(Failure::named(
        Code::BoundMismatch,
        text,
        format!("the role's bound_region does not hold what the instance has: {region}"),
    ))
}

/// The shorter of two, of which zero says nothing.
fn shortest(one: Ttl, other: Ttl) -> Ttl {
    match (one.nonzero(), other.nonzero()) {
        (Some(one), Some(other)) => one.min(other),
        (one, other) => one.or(other).unwrap_or_default(),
    }
}

/// What a login goes through once there is a document, in order.
const CHECKS: [&str; 9] =
    ["role", "cidr", "auth_type", "instance", "bound_region", "bounds", "nonce", "role_tag", "nonce_length"];

/// For all calls to EC2 and IAM of one login (§14.3).
const LONGEST: Duration = Duration::from_millis(9500);

/// What a token remembers.
const INSTANCE: &str = "instance_id";
const REGION: &str = "region";
const ACCOUNT: &str = "account_id";
const TAG_TTL: &str = "role_tag_max_ttl";

const NOTHING: &str = "either pkcs7 or a tuple containing the instance identity document and its SHA256 RSA signature needs to be \
    provided";
const BOTH: &str = "both pkcs7 and a tuple containing the instance identity document and its SHA256 RSA signature is supplied; \
    provide only one";
