//! What the rows work on: mounts, a policy, keys, tokens, a role to log in to, a stand-in for AWS.

use std::sync::Arc;

use leasehold::aws::sandbox::Sandbox;
use leasehold::base::time::SystemClock;
use leasehold::base::{Shutdown, Tasks};
use serde_json::{Value, json};

use crate::Failed;
use crate::aws_logins::AwsLogins;
use crate::client::Operator;
use crate::server::Server;

/// A part that could not be prepared says why, and the rows that need it are not measured.
pub(crate) struct World {
    /// A client's token for each connection.
    pub(crate) tokens: Vec<String>,
    kv1: Result<(), String>,
    kv2: Result<(), String>,
    leases: Result<Vec<String>, String>,
    login: Result<String, String>,
    aws: Result<(), String>,
    aws_logins: Result<AwsLogins, String>,
    /// Answers for as long as the driver runs.
    _sandbox: Option<Sandbox>,
}

impl World {
    /// Everything, for as many connections.
    pub(crate) async fn prepare(server: &Server, connections: usize) -> Result<Self, Failed> {
        let operator = server.operator().await?;
        let tokens = tokens(&operator, connections).await?;
        let text = |error: Failed| error.to_string();
        let kv1 = kv(&operator, 1, connections).await.map_err(text);
        let kv2 = kv(&operator, 2, connections).await.map_err(text);
        let leases = leases(&operator).await.map_err(text);
        let login = login(&operator).await.map_err(text);
        let (sandbox, aws) = match aws(&operator).await {
            Ok(sandbox) => (Some(sandbox), Ok(())),
            Err(error) => (None, Err(text(error))),
        };
        let aws_logins = match &sandbox {
            Some(sandbox) => AwsLogins::prepare(&operator, sandbox, connections).await.map_err(text),
            None => Err("there is no stand-in for AWS".to_owned()),
        };
        Ok(Self { tokens, kv1, kv2, leases, login, aws, aws_logins, _sandbox: sandbox })
    }

    /// The token of one connection.
    pub(crate) fn token(&self, lane: usize) -> &str {
        self.tokens.get(lane).map_or("", String::as_str)
    }

    /// A secret that is there, in the engine of this version.
    pub(crate) fn fixed(&self, version: u8, lane: usize) -> Result<String, Failed> {
        self.mount(version)?;
        Ok(fixed(version, lane))
    }

    /// The folder of the engine of this version.
    pub(crate) fn mount(&self, version: u8) -> Result<&'static str, Failed> {
        let (state, mount) = if version == 1 { (&self.kv1, "kv1/") } else { (&self.kv2, "kv2/data/") };
        state.as_ref().map_err(Clone::clone)?;
        Ok(mount)
    }

    /// The id of a token's lease.
    pub(crate) fn lease(&self, lane: usize) -> Result<String, Failed> {
        let leases = self.leases.as_ref().map_err(Clone::clone)?;
        let lease = leases.get(lane % leases.len().max(1)).ok_or("no lease is listed")?;
        Ok(format!("auth/token/create/{lease}"))
    }

    /// The body of an `AppRole` login.
    pub(crate) fn login(&self) -> Result<&str, Failed> {
        Ok(self.login.as_ref().map_err(Clone::clone)?)
    }

    /// Whether credentials can be issued.
    pub(crate) fn aws(&self) -> Result<(), Failed> {
        Ok(self.aws.as_ref().map_err(Clone::clone).copied()?)
    }

    /// Who logs in by AWS.
    pub(crate) fn aws_logins(&self) -> Result<&AwsLogins, Failed> {
        Ok(self.aws_logins.as_ref().map_err(Clone::clone)?)
    }
}

/// A secret of usual size.
pub(crate) fn secret() -> Value {
    json!({"username": "application", "password": "x".repeat(180)})
}

/// The policy, and a client's token of it for each connection.
pub(crate) async fn tokens(operator: &Operator, connections: usize) -> Result<Vec<String>, Failed> {
    operator.ask("PUT", "sys/policies/acl/load", &json!({"policy": POLICY})).await?;
    let mut tokens = Vec::with_capacity(connections);
    for _ in 0..connections {
        let reply = operator.ask("POST", "auth/token/create", &json!({"policies": ["load"], "ttl": "768h"})).await?;
        tokens.push(reply.text("client_token").ok_or("no token was created")?.to_owned());
    }
    Ok(tokens)
}

/// A role, and the body of a login to it; the role's tokens live for an hour.
pub(crate) async fn login(operator: &Operator) -> Result<String, Failed> {
    operator.ask("POST", "sys/auth/approle", &json!({"type": "approle"})).await?;
    operator.ask("POST", "auth/approle/role/load", &json!({"token_policies": "load", "token_ttl": "1h"})).await?;
    let role = operator.ask("GET", "auth/approle/role/load/role-id", &Value::Null).await?;
    let role = role.text("role_id").ok_or("no role id")?;
    let secret = operator.ask("POST", "auth/approle/role/load/secret-id", &Value::Null).await?;
    let secret = secret.text("secret_id").ok_or("no secret id")?;
    Ok(json!({"role_id": role, "secret_id": secret}).to_string())
}

/// Switches a file audit device on or off.
pub(crate) async fn audit(operator: &Operator, file: Option<&str>) -> Result<(), Failed> {
    match file {
        Some(file) => {
            let body = json!({"type": "file", "options": {"file_path": file}});
            operator.ask("PUT", "sys/audit/load", &body).await?
        }
        None => operator.ask("DELETE", "sys/audit/load", &Value::Null).await?,
    };
    Ok(())
}

async fn kv(operator: &Operator, version: u8, connections: usize) -> Result<(), Failed> {
    let body = json!({"type": "kv", "options": {"version": version.to_string()}});
    operator.ask("POST", &format!("sys/mounts/kv{version}"), &body).await?;
    let body = if version == 1 { secret() } else { json!({"data": secret()}) };
    for lane in 0..connections {
        operator.ask("PUT", &fixed(version, lane), &body).await?;
    }
    Ok(())
}

fn fixed(version: u8, lane: usize) -> String {
    let folder = if version == 1 { "kv1/" } else { "kv2/data/" };
    format!("{folder}fixed/{lane}")
}

async fn leases(operator: &Operator) -> Result<Vec<String>, Failed> {
    let listed = operator.ask("LIST", "sys/leases/lookup/auth/token/create", &Value::Null).await?.json()?;
    let keys = listed.pointer("/data/keys").and_then(Value::as_array).ok_or("no lease is listed")?;
    Ok(keys.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

/// The stand-in runs here, on the core of the load.
async fn aws(operator: &Operator) -> Result<Sandbox, Failed> {
    let sandbox = Sandbox::start(Arc::new(SystemClock::new()), &Tasks::default(), &Shutdown::new()).await?;
    let (access_key, secret_key) = sandbox.root_keys();
    let url = sandbox.url();
    let root = json!({
        "access_key": access_key, "secret_key": secret_key.expose(), "region": "us-east-1",
        "iam_endpoint": url, "sts_endpoint": url,
    });
    operator.ask("POST", "sys/mounts/aws", &json!({"type": "aws"})).await?;
    operator.ask("POST", "aws/config/root", &root).await?;
    let document = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;
    let role = json!({"credential_type": "iam_user", "policy_document": document});
    operator.ask("POST", "aws/roles/load", &role).await?;
    Ok(sandbox)
}

const POLICY: &str = r#"
path "kv1/*" { capabilities = ["create", "read", "update", "delete", "list"] }
path "kv2/*" { capabilities = ["create", "read", "update", "delete", "list"] }
path "aws/creds/*" { capabilities = ["read"] }
path "auth/token/create" { capabilities = ["create", "update"] }
path "sys/leases/lookup" { capabilities = ["create", "update"] }
"#;
