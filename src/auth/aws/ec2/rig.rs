//! A mount whose AWS is the stand-in, and an instance with a document that a certificate of the test signs.

use std::sync::Arc;

use serde_json::{Value, json};

use super::notary::{Notary, document};
use crate::auth::aws::AwsAuth;
use crate::aws::sandbox::{Machine, Sandbox};
use crate::base::{Clock, Shutdown, Tasks};
use crate::mount::harness::{Bench, Rig};
use crate::mount::{ApiError, Class, ErrorKind, Grant, Registry};

pub(super) const T1: &str = "2026-01-01T00:00:00Z";
pub(super) const T2: &str = "2026-01-02T00:00:00Z";
pub(super) const INSTANCE: &str = "i-0a";
pub(super) const IMAGE: &str = "ami-1";

pub(super) struct Scene {
    pub(super) bench: Bench,
    pub(super) sandbox: Sandbox,
    pub(super) notary: Notary,
}

impl Scene {
    /// With an instance that runs, but without a role.
    pub(super) async fn bare() -> Self {
        let rig = Rig::new().await;
        let clock = Arc::clone(&rig.clock) as Arc<dyn Clock>;
        // Its tasks are its own: who waits for the mount's does not wait for it.
        let sandbox = Sandbox::start(clock, &Tasks::default(), &Shutdown::new()).await.unwrap();
        let mut registry = Registry::new();
        registry.auth::<AwsAuth>();
        let bench = rig.mount(&registry, Class::Auth, "aws", &[]).await.unwrap();
        let (id, secret) = sandbox.root_keys();
        let url = sandbox.url();
        let client = json!({
            "access_key": id, "secret_key": secret.expose(), "endpoint": url, "iam_endpoint": url, "sts_endpoint": url,
            "sts_region": "us-east-1",
        });
        bench.post("config/client", client).await.is_empty();
        let notary = Notary::dsa(1);
        bench.post("config/certificate/test", json!({ "aws_public_cert": notary.pem() })).await.is_empty();
        sandbox.put_instance(Machine::running(INSTANCE, IMAGE));
        Self { bench, sandbox, notary }
    }

    /// With the role `web` as well, bound to the image.
    pub(super) async fn new(more: Value) -> Self {
        let scene = Self::bare().await;
        scene.role("web", more).await;
        scene
    }

    pub(super) async fn role(&self, name: &str, more: Value) {
        let mut data = json!({ "auth_type": "ec2", "bound_ami_id": IMAGE });
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = self.bench.post(&format!("role/{name}"), data).await;
        assert!(matches!(answer.status, 200 | 204), "{answer:?}");
    }

    /// A login of the instance with the role `web`; `null` leaves a field out.
    pub(super) fn login_data(&self, more: Value) -> Value {
        let mut data = json!({ "role": "web", "pkcs7": self.notary.pkcs7(&document(INSTANCE, IMAGE, T1)), "nonce": "abc" });
        let Value::Object(more) = more else { panic!("the data of a login is an object") };
        data.as_object_mut().unwrap().extend(more);
        data
    }

    pub(super) async fn login(&self, more: Value) -> Result<Grant, ApiError> {
        self.bench.login(self.login_data(more)).await
    }

    pub(super) async fn refused(&self, more: Value) -> (String, String) {
        refusal_of(self.login(more).await)
    }

    /// A document of the instance, started then, as `pkcs7`.
    pub(super) fn started(&self, pending: &str) -> String {
        self.notary.pkcs7(&document(INSTANCE, IMAGE, pending))
    }

    /// The access list entry of the instance.
    pub(super) async fn entry(&self) -> Value {
        self.bench.get(&format!("identity-accesslist/{INSTANCE}")).await.data
    }
}

/// Code and text of a login that must be refused.
#[track_caller]
pub(super) fn refusal_of(result: Result<Grant, ApiError>) -> (String, String) {
    let error = result.map(|_| ()).unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Invalid | ErrorKind::Denied), "{error:?}");
    let advice = error.advice.as_deref().unwrap_or_default();
    let code = advice.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(code, _)| code.to_owned());
    (code.unwrap_or_default(), error.text)
}

/// Whether a refusal has this code and these words.
pub(super) fn is(told: &(String, String), code: &str, text: &str) -> bool {
    told.0 == code && told.1.contains(text)
}
