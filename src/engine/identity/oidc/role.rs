//! Roles: which key signs for whom, and what the tokens say.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::base::{Ttl, random};
use crate::mount::field::{SignedSeconds, Text};
use crate::mount::{ApiError, Both, Ctx, Named, Nothing, Reply, Table};
use crate::storage::Page;

use super::template::Template;
use super::{Identity, Oidc, checked};

/// Declares their endpoints.
pub(super) fn endpoints(table: &mut Table<Identity>) {
    table.at("oidc/role/", "Names of the roles that identity tokens are made for.").list(list);
    table.at("oidc/role/{name}", "What identity tokens say, and which key signs them.").read(read).update(write).delete(delete);
}

/// What is stored of a role.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Role {
    /// The name of the key.
    pub(super) key: String,
    /// Whom its tokens are for.
    pub(super) client_id: String,
    /// What they say beside the usual; empty: nothing.
    pub(super) template: String,
    /// How long they count.
    pub(super) ttl: Ttl,
}

/// Absent fields keep their value.
#[derive(Debug, Deserialize, JsonSchema)]
struct RoleInput {
    /// Name of the key that signs.
    key: Option<Text>,
    /// JSON with `{{…}}` in it, plain or in base64: what tokens say beside the usual.
    template: Option<Text>,
    /// How long tokens count. Default: a day.
    ttl: Option<SignedSeconds>,
    /// Whom tokens are for. Default: made up.
    client_id: Option<Text>,
}

async fn list(identity: Arc<Identity>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    Ok(Reply::list(identity.oidc.view.sub(ROLES).scan_keys_all().await?))
}

async fn read(identity: Arc<Identity>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
    let Some(role) = identity.oidc.role(&named.name).await? else { return Ok(Reply::empty()) };
    Reply::object(&json!({
        "client_id": role.client_id,
        "key": role.key,
        "template": role.template,
        "ttl": role.ttl.as_seconds(),
    }))
}

async fn write(identity: Arc<Identity>, _: Ctx, Both(named, input): Both<Named, RoleInput>) -> Result<Reply, ApiError> {
    let (oidc, name) = (&identity.oidc, checked(&named.name)?);
    let _turn = oidc.turn().await;
    let fresh = || Role { key: String::new(), client_id: String::new(), template: String::new(), ttl: Ttl::hours(24) };
    let mut role = oidc.role(name).await?.unwrap_or_else(fresh);
    if let Some(key) = input.key {
        role.key = key.0;
    }
    if role.key.is_empty() {
        return Err(ApiError::invalid("the key parameter is required"));
    }
    if let Some(client_id) = input.client_id.filter(|id| !id.is_empty()) {
        role.client_id = client_id.0;
    }
    if role.client_id.is_empty() {
        role.client_id = random::base62(CLIENT_ID);
    }
    if let Some(template) = input.template {
        role.template = plain(template.0);
        Template::parse(&role.template)?;
    }
    if let Some(ttl) = input.ttl {
        role.ttl = ttl.ttl().ok_or_else(|| ApiError::invalid("ttl cannot be negative"))?;
    }
    if let Some(mut key) = oidc.key(&role.key).await? {
        if role.ttl > key.verification_ttl {
            return Err(ApiError::invalid(
                "a role's token ttl cannot be longer than the verification_ttl of the key it references",
            ));
        }
        // Published before the first token: verifiers keep copies.
        if key.pairs.is_none() {
            oidc.fill_key(&mut key).await?;
            oidc.put_key(&role.key, &key).await?;
        }
    }
    oidc.view.put(&role_path(name), &role).await?;
    Ok(Reply::empty())
}

async fn delete(identity: Arc<Identity>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
    let _turn = identity.oidc.turn().await;
    identity.oidc.view.delete(&role_path(&named.name)).await?;
    Ok(Reply::empty())
}

impl Oidc {
    /// A role by its name.
    pub(super) async fn role(&self, name: &str) -> Result<Option<Role>, ApiError> {
        Ok(self.view.read(&role_path(name)).await?)
    }

    /// The roles that use a key, with their names.
    pub(super) async fn roles_of(&self, key: &str) -> Result<Vec<(String, Role)>, ApiError> {
        let (mut found, mut after) = (Vec::new(), None::<String>);
        loop {
            let page: Vec<(String, Role)> = self.view.scan(ROLES, Page { after: after.as_deref(), limit: PAGE }).await?;
            let is_last = page.len() < PAGE;
            after = page.last().map(|(path, _)| path.clone());
            let users = page.into_iter().filter(|(_, role)| role.key == key);
            found.extend(users.map(|(path, role)| (path.strip_prefix(ROLES).unwrap_or_default().to_owned(), role)));
            if is_last {
                return Ok(found);
            }
        }
    }
}

/// What a text says, if it is base64 of something readable; else the text.
fn plain(text: String) -> String {
    let decoded = STANDARD.decode(text.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.filter(|decoded| !decoded.is_empty()).unwrap_or(text)
}

fn role_path(name: &str) -> String {
    format!("{ROLES}{name}")
}

const ROLES: &str = "role/";

/// Characters of a client id that is made up.
const CLIENT_ID: usize = 26;

/// Roles read at once.
const PAGE: usize = 256;
