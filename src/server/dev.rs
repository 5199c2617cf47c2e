//! A dev server: in memory, unsealed, with something to try (spec `seal-and-barrier.md` §4).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::aws::sandbox::Sandbox;
use crate::base::{ApiPath, Secret, Ttl};
use crate::cli::{Io, ServerFlags, store_token};
use crate::config::Environment;
use crate::config::banner::dev_banner;
use crate::core::{Core, InitInput};
use crate::mount::{Asked, Request};
use crate::policy::Operation;

use super::dev_tls::DevTls;
use super::{Background, say, say_error};

/// Initialises and unseals the server, and mounts what was asked for.
pub(super) async fn prepare(
    core: &Arc<Core>,
    flags: &ServerFlags,
    tls: Option<&DevTls>,
    environment: &Environment,
    url: &str,
    background: &Background,
) -> Result<(), String> {
    let input = InitInput { secret_shares: Some(1), secret_threshold: Some(1), ..InitInput::default() };
    let made = core.initialize(&input).await.map_err(|error| format!("the dev server cannot be initialised: {error}"))?;
    let share = made.shares.first().ok_or("the dev server has no key")?;
    let unseal_key = Secret::new(STANDARD.encode(share.expose()));
    core.unseal(unseal_key.expose()).await.map_err(|error| format!("the dev server cannot be unsealed: {error}"))?;
    let mut admin = Admin { core, token: made.root_token };
    if let Some(id) = flags.dev_root_token_id.clone().map(Secret::new).or_else(|| environment.dev_root_token_id.clone()) {
        let body = json!({ "id": id.expose(), "policies": ["root"], "no_parent": true });
        admin.write("auth/token/create", body).await?;
        admin.write("auth/token/revoke-self", json!({})).await?;
        admin.token = id;
    }
    let version = if flags.dev_kv_v1 { "1" } else { "2" };
    let body = json!({ "type": "kv", "description": "key/value secret storage", "options": { "version": version } });
    admin.write("sys/mounts/secret", body).await?;
    say(dev_banner(url, tls.map(DevTls::ca).as_deref(), &unseal_key, &admin.token).expose());
    if flags.dev_aws {
        aws(&admin, background).await?;
        // What the command line has not got by itself.
        let ca = tls.map(|tls| tls.ca().display().to_string());
        let token = flags.dev_no_store_token.then(|| admin.token.expose().as_str());
        say(&lines_to_paste(&program(), url, ca.as_deref(), token));
    }
    if !flags.dev_no_store_token
        && let Err(error) = store_token(&Io::process(), admin.token.expose())
    {
        say_error(&format!("WARNING: the root token is not kept for the command line: {error}"));
    }
    Ok(())
}

/// A stand-in for AWS beside the server, an engine that uses it, and an application that may log in.
async fn aws(admin: &Admin<'_>, background: &Background) -> Result<(), String> {
    let started = Sandbox::start(Arc::clone(&background.clock), &background.tasks, &background.shutdown).await;
    let sandbox = started.map_err(|error| format!("-dev-aws: the stand-in for AWS does not start: {error}"))?;
    let (access_key, secret_key) = sandbox.root_keys();
    let url = sandbox.url();
    let root = json!({
        "access_key": access_key, "secret_key": secret_key.expose(), "region": "us-east-1",
        "iam_endpoint": url, "sts_endpoint": url,
    });
    admin.write("sys/mounts/aws", json!({ "type": "aws" })).await?;
    admin.write("aws/config/root", root).await?;
    admin.write("aws/config/lease", json!({ "lease": "1h", "lease_max": "24h" })).await?;
    admin.write("aws/roles/deploy", json!({ "credential_type": "iam_user", "policy_document": S3_POLICY })).await?;
    admin.write("sys/auth/approle", json!({ "type": "approle" })).await?;
    admin.write("sys/policies/acl/app", json!({ "policy": APP_POLICY })).await?;
    let role = json!({ "token_policies": ["app"], "token_ttl": "1h", "token_max_ttl": "4h" });
    admin.write("auth/approle/role/app", role).await?;
    let account = sandbox.account();
    say(&format!("A stand-in for AWS answers at {url} (IAM and STS, account {account}).\n"));
    Ok(())
}

/// The command line, as a shell calls it: this program, wherever the other terminal stands.
fn program() -> String {
    let path = std::env::current_exe().ok().and_then(|path| path.into_os_string().into_string().ok());
    let path = path.filter(|path| !path.contains(['\'', '"', '$', '`', '\\', '\n']));
    path.unwrap_or_else(|| "leasehold".to_owned())
}

/// Credentials of AWS from login to revocation, line by line; a certificate and a token where the command line needs them.
fn lines_to_paste(program: &str, address: &str, ca: Option<&str>, token: Option<&str>) -> String {
    let export =
        |name: &str, value: Option<&str>| value.map(|value| format!("    export {name}='{value}'\n")).unwrap_or_default();
    format!(
        "Paste these in another terminal, one after the other:

    alias vault=\"'{program}'\"
{address}{ca}{token}    ROLE_ID=$(vault read -field=role_id auth/approle/role/app/role-id)
    SECRET_ID=$(vault write -f -field=secret_id auth/approle/role/app/secret-id)
    APP_TOKEN=$(vault write -field=token auth/approle/login role_id=\"$ROLE_ID\" secret_id=\"$SECRET_ID\")
    VAULT_TOKEN=$APP_TOKEN vault read aws/creds/deploy
    LEASE_ID=$(vault list -format=json sys/leases/lookup/aws/creds/deploy | tr -d '[]\" \\n')
    vault lease renew -increment=1h \"aws/creds/deploy/$LEASE_ID\"
    vault lease revoke -sync \"aws/creds/deploy/$LEASE_ID\"
    vault list sys/leases/lookup/aws/creds/deploy    # nothing left: the user is gone at AWS, too

",
        address = export("VAULT_ADDR", Some(address)),
        ca = export("VAULT_CACERT", ca),
        token = export("VAULT_TOKEN", token),
    )
}

/// Speaks to the server as its operator.
struct Admin<'a> {
    core: &'a Arc<Core>,
    token: Secret<String>,
}

impl Admin<'_> {
    async fn write(&self, path: &str, body: Value) -> Result<(), String> {
        let data = match body {
            Value::Object(data) => data,
            _ => Map::new(),
        };
        let parsed = ApiPath::parse(path).map_err(|error| error.to_string())?;
        let asked = Asked::new(Operation::Update, parsed, Some(self.token.clone()));
        match Box::pin(self.core.handle(Request { asked, data }, Ttl::seconds(90))).await {
            Ok(_) => Ok(()),
            Err(refusal) => Err(format!("{path}: {}", refusal.text.unwrap_or_default())),
        }
    }
}

const S3_POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;
const APP_POLICY: &str = "path \"aws/creds/deploy\" {\n  capabilities = [\"read\"]\n}\n";
