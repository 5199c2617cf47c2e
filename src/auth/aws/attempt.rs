//! One login on its way through its checks. A login ends with the first check that fails; the doctor notes it and goes on with
//! those that do not depend on it (spec `aws-auth-method.md` §21.2, §21.3).

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use crate::base::RequestId;
use crate::base::time::rfc3339_nano;
use crate::mount::Ctx;

use super::failure::{AwsFault, Failure};

/// See the module.
#[derive(Debug)]
pub(super) struct Attempt {
    request: RequestId,
    is_doctor: bool,
    time: DateTime<Utc>,
    began: Duration,
    peer: String,
    /// `iam` or `ec2`; empty while it is not known.
    pub(super) kind: &'static str,
    /// Name of the role; empty while it is not known.
    pub(super) role: String,
    /// ARN or instance id; empty while it is not known.
    pub(super) principal: String,
    checks: Vec<Check>,
    /// Outcome of the first failure.
    failed: Option<&'static str>,
    aws: Option<Box<AwsFault>>,
}

#[derive(Debug)]
struct Check {
    name: &'static str,
    result: &'static str,
    code: Option<&'static str>,
    detail: String,
}

impl Attempt {
    /// A login, or what the doctor looks at.
    pub(super) fn new(cx: &Ctx, is_doctor: bool) -> Self {
        Self {
            request: cx.asked.id.clone(),
            is_doctor,
            time: cx.clock.precise(),
            began: cx.clock.elapsed(),
            peer: cx.asked.remote.address(),
            kind: "",
            role: String::new(),
            principal: String::new(),
            checks: Vec::new(),
            failed: None,
            aws: None,
        }
    }

    /// Whether this is not a login: nothing may be written.
    pub(super) fn is_doctor(&self) -> bool {
        self.is_doctor
    }

    /// Whether a check has failed.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Notes what a check came to. `None`: it failed, and the doctor goes on with what does not need its result.
    ///
    /// # Errors
    /// Of a login, the failure.
    pub(super) fn check<T>(&mut self, name: &'static str, result: Result<T, Failure>) -> Result<Option<T>, Failure> {
        match result {
            Ok(value) => {
                self.note(name, "pass", None, String::new());
                Ok(Some(value))
            }
            Err(failure) => {
                self.note(name, "fail", failure.code().map(super::failure::Code::as_str), detail(&failure));
                self.failed.get_or_insert(failure.outcome());
                if self.aws.is_none() {
                    self.aws.clone_from(&failure.aws);
                }
                if self.is_doctor { Ok(None) } else { Err(failure) }
            }
        }
    }

    /// Says more of the last check.
    pub(super) fn detail(&mut self, text: impl Into<String>) {
        if let Some(check) = self.checks.last_mut() {
            check.detail = text.into();
        }
    }

    /// Notes checks that cannot be made, or need not be.
    pub(super) fn skip(&mut self, names: &[&'static str], why: &str) {
        for name in names {
            self.note(name, "skipped", None, why.to_owned());
        }
    }

    /// What the doctor answers.
    pub(super) fn diagnosis(&self) -> Map<String, Value> {
        Map::from_iter([("verdict".to_owned(), json!(self.outcome())), ("checks".to_owned(), self.shown_checks())])
    }

    /// What an operator may read later.
    pub(super) fn trace(&self, now: Duration) -> Map<String, Value> {
        let trace = json!({
            "time": rfc3339_nano(self.time),
            "type": self.kind,
            "role": self.role,
            "peer": self.peer,
            "principal": self.principal,
            "outcome": self.outcome(),
            "checks": self.shown_checks(),
            "aws_error": self.aws.as_ref().map(|aws| aws.shown()),
            "seconds": now.saturating_sub(self.began).as_secs_f64(),
        });
        match trace {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }

    /// The request it came with.
    pub(super) fn request(&self) -> &RequestId {
        &self.request
    }

    /// `ok`, or the word for the first failure.
    pub(super) fn outcome(&self) -> &'static str {
        self.failed.unwrap_or("ok")
    }

    fn shown_checks(&self) -> Value {
        let shown =
            |check: &Check| json!({ "name": check.name, "result": check.result, "code": check.code, "detail": check.detail });
        Value::Array(self.checks.iter().map(shown).collect())
    }

    fn note(&mut self, name: &'static str, result: &'static str, code: Option<&'static str>, detail: String) {
        self.checks.push(Check { name, result, code, detail });
    }
}

/// The text, and the sentence behind it.
fn detail(failure: &Failure) -> String {
    match &failure.named {
        Some((_, sentence)) => format!("{}; {sentence}", failure.error.text),
        None => failure.error.text.clone(),
    }
}
