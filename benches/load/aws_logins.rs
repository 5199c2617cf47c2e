//! Logins by AWS, of either type. The stand-in for AWS that they need runs in the driver, as for `aws-issue`.

use std::time::SystemTime;

use leasehold::aws::sandbox::{Machine, Sandbox};
use serde_json::{Value, json};

use crate::Failed;
use crate::client::{Operator, Script, always, request};

#[expect(dead_code, clippy::unwrap_used, reason = "shared with tests, which need more of it and may panic")]
#[path = "../../tests/it/auth_aws/signer.rs"]
mod signer;

#[expect(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "shared with tests, which need more of it and may panic"
)]
#[path = "../../src/auth/aws/ec2/notary.rs"]
mod notary;

use notary::{Notary, document};
use signer::{Keys, Wish};

/// What logs in.
pub(crate) struct AwsLogins {
    keys: Keys,
    notary: Notary,
}

impl AwsLogins {
    /// The method, a role of each type, a user of IAM, and an instance for each connection.
    pub(crate) async fn prepare(operator: &Operator, sandbox: &Sandbox, connections: usize) -> Result<Self, Failed> {
        let (access_key, secret_key) = sandbox.root_keys();
        let url = sandbox.url();
        let client = json!({
            "access_key": access_key, "secret_key": secret_key.expose(), "sts_region": "us-east-1",
            "endpoint": url, "iam_endpoint": url, "sts_endpoint": url,
        });
        // As AWS signs what it gives as `pkcs7`.
        let notary = Notary::dsa(1);
        operator.ask("POST", "sys/auth/aws", &json!({"type": "aws"})).await?;
        operator.ask("POST", "auth/aws/config/client", &client).await?;
        operator.ask("POST", "auth/aws/config/certificate/load", &json!({"aws_public_cert": notary.pem()})).await?;
        let (id, secret) = sandbox.create_user("load").map_err(|failure| format!("{failure:?}"))?;
        let arn = format!("arn:aws:iam::{}:user/load", sandbox.account());
        let of_user = json!({"bound_iam_principal_arn": arn, "token_policies": "load", "token_ttl": "1h"});
        operator.ask("POST", "auth/aws/role/user", &of_user).await?;
        let of_instance = json!({"auth_type": "ec2", "bound_ami_id": IMAGE, "token_policies": "load", "token_ttl": "1h"});
        operator.ask("POST", "auth/aws/role/instance", &of_instance).await?;
        (0..connections).for_each(|lane| sandbox.put_instance(Machine::running(&instance(lane), IMAGE)));
        Ok(Self { keys: Keys { id, secret: secret.expose().clone(), token: None }, notary })
    }

    /// One request, signed now, again and again; good for a quarter of an hour.
    pub(crate) fn iam(&self) -> Script {
        let login = Wish::post("us-east-1").signed(&self.keys, SystemTime::now()).role("user");
        log_in(&Value::Object(login.data()))
    }

    /// The instance of a connection, which repeats its nonce.
    pub(crate) fn ec2(&self, lane: usize) -> Script {
        let document = document(&instance(lane), IMAGE, "2026-01-01T00:00:00Z");
        log_in(&json!({"role": "instance", "pkcs7": self.notary.pkcs7(&document), "nonce": format!("nonce-{lane}")}))
    }
}

fn log_in(body: &Value) -> Script {
    always(request("POST", "auth/aws/login", "", &body.to_string()))
}

fn instance(lane: usize) -> String {
    format!("i-{lane:017x}")
}

const IMAGE: &str = "ami-1";
