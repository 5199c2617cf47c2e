//! Logins and the doctor: what was sent, which type of login it is, and what is told of it afterwards
//! (spec `aws-auth-method.md` §11, §21).

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::mount::field::{LowerText, SecretText, Text};
use crate::mount::{ApiError, Ctx, Grant, Perhaps, Reply, Table};

use super::AwsAuth;
use super::attempt::Attempt;
use super::failure::Failure;
use super::iam::{self, HeaderField};
use super::role::{AuthType, LONGEST_NAME};

/// Body of `POST login` and of `POST doctor`. What is supplied, even empty, counts as supplied.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct LoginInput {
    /// Name of the role. Default: the name of the principal, or the image of the instance.
    pub(super) role: LowerText,
    /// The signed identity document of an instance, in PKCS#7.
    pub(super) pkcs7: Option<Text>,
    /// The identity document of an instance, in base64.
    pub(super) identity: Option<Text>,
    /// Its signature, in base64.
    pub(super) signature: Option<Text>,
    /// What the first login of an instance came with. Default: made by the server and returned.
    pub(super) nonce: Option<SecretText>,
    /// Method of the signed request: POST or GET.
    pub(super) iam_http_request_method: Option<Text>,
    /// URL of the signed request, in base64.
    pub(super) iam_request_url: Option<Text>,
    /// Body of the signed request, in base64.
    pub(super) iam_request_body: Option<Text>,
    /// Headers of the signed request: a JSON object, or that in base64.
    pub(super) iam_request_headers: Option<HeaderField>,
}

/// Declares the endpoints.
pub(super) fn endpoints(table: &mut Table<AwsAuth>) {
    table.at("login", "Logs in.").update(AwsAuth::log_in).login();
    table
        .at("doctor", "Takes what a login takes, and tells what each of its checks comes to. Gives no token and keeps nothing.")
        .update(AwsAuth::diagnose)
        .issues();
}

impl AwsAuth {
    async fn log_in(self: Arc<Self>, cx: Ctx, input: LoginInput) -> Result<Reply, ApiError> {
        let mut attempt = Attempt::new(&cx, false);
        let result = Box::pin(self.judge(&cx, &input, &mut attempt)).await;
        self.logins.keep(&attempt, cx.clock.elapsed());
        match result {
            Ok(Some(grant)) => Ok(Reply::login(grant)),
            Ok(None) => Err(ApiError::internal("a login without a failure and without a token")),
            Err(failure) => {
                tracing::info!(
                    request.id = %cx.asked.id,
                    auth.mount = %cx.mount.path,
                    auth.role = attempt.role,
                    auth.principal = attempt.principal,
                    auth.code = failure.outcome(),
                    "a login was refused: {}",
                    failure.error.text
                );
                Err(failure.told(&cx.asked.id))
            }
        }
    }

    async fn diagnose(self: Arc<Self>, cx: Ctx, Perhaps(input): Perhaps<LoginInput>) -> Result<Reply, ApiError> {
        let mut attempt = Attempt::new(&cx, true);
        let judged = match attempt.check("fields", input.map_err(Failure::from)) {
            Ok(Some(input)) => Box::pin(self.judge(&cx, &input, &mut attempt)).await.map(drop),
            result => result.map(drop),
        };
        // What the doctor's checks do not note is a fault of ours.
        judged.map_err(|failure| failure.told(&cx.asked.id))?;
        Ok(Reply::data(attempt.diagnosis()))
    }

    /// `None`: the doctor found something, or is done.
    async fn judge(self: &Arc<Self>, cx: &Ctx, input: &LoginInput, attempt: &mut Attempt) -> Result<Option<Grant>, Failure> {
        let Some(kind) = attempt.check("type", input.kind())? else { return Ok(None) };
        attempt.role.clone_from(&input.role);
        attempt.kind = kind.as_str();
        attempt.detail(kind.as_str());
        match kind {
            AuthType::Iam => iam::log_in(self, cx, input, attempt).await,
            AuthType::Ec2 => self.judge_ec2(cx, input, attempt).await,
        }
    }
}

impl LoginInput {
    /// Which type of login it is.
    fn kind(&self) -> Result<AuthType, Failure> {
        if self.role.len() > LONGEST_NAME {
            return Err(Failure::plain(format!("role is longer than maximum of {LONGEST_NAME} bytes")));
        }
        let is_ec2 = self.pkcs7.is_some() || (self.identity.is_some() && self.signature.is_some());
        let is_get = self.iam_http_request_method.as_ref().is_some_and(|method| method.as_str() == "GET");
        let is_iam = self.iam_http_request_method.is_some()
            && self.iam_request_url.is_some()
            && self.iam_request_headers.is_some()
            && (is_get || self.iam_request_body.is_some());
        match (is_ec2, is_iam) {
            (true, true) => Err(Failure::plain("supplied auth values for both ec2 and iam auth types")),
            (true, false) => Ok(AuthType::Ec2),
            (false, true) => Ok(AuthType::Iam),
            (false, false) => Err(Failure::plain(MISSING)),
        }
    }
}

const MISSING: &str = "didn't supply required authentication values";
