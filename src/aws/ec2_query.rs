//! The Query protocol of EC2: a signed form goes out, XML comes back. Deadlines, repetition and rates are as in `call`.

use std::time::Duration;

use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_async::time::TimeSource as _;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tracing::subscriber::NoSubscriber;

use crate::base::random;
use crate::base::time::timeout;

use super::connect::Aws;
use super::ec2::{DESCRIBE, Instance};
use super::ec2_reply::{Described, read_failure};
use super::error::{AwsError, Unsent};
use super::http::HttpError;

impl Aws {
    /// What EC2 knows of these instances, all pages of it. One that is not there refuses them all.
    pub(super) async fn describe_instances(&self, ids: &[String]) -> Result<Vec<Instance>, AwsError> {
        let mut all = Vec::new();
        let mut next: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let described = self.repeated_page(ids, next.as_deref()).await?;
            all.extend(described.instances);
            next = described.next;
            if next.is_none() {
                return Ok(all);
            }
        }
        Err(AwsError::Unknown { text: format!("{DESCRIBE}: the answer has more than {MOST_PAGES} pages") })
    }

    async fn repeated_page(&self, ids: &[String], next: Option<&str>) -> Result<Described, AwsError> {
        let mut delay = FIRST_DELAY;
        for _ in 0..self.retries() {
            match self.corrected_page(ids, next).await {
                Err(error) if error.is_passing() => {
                    tracing::debug!(aws.action = DESCRIBE, error = %error, "AWS did not answer as hoped; asking again");
                    self.clock().sleep(delay.mul_f64(0.5 + random::unit())).await;
                    delay = (delay * 2).min(LONGEST_DELAY);
                }
                result => return result,
            }
        }
        self.corrected_page(ids, next).await
    }

    /// Once more if AWS's clock was found to be far from ours.
    async fn corrected_page(&self, ids: &[String], next: Option<&str>) -> Result<Described, AwsError> {
        match self.page(ids, next).await {
            Err(error) if error.is_of_clock() && self.corrects_clock() => {
                tracing::warn!(
                    aws.action = DESCRIBE,
                    aws.ahead_s = self.ahead(),
                    "AWS's clock differs; signing by it from now on"
                );
                self.page(ids, next).await
            }
            result => result,
        }
    }

    async fn page(&self, ids: &[String], next: Option<&str>) -> Result<Described, AwsError> {
        self.admitted(DESCRIBE).await?;
        let asking = async { self.ask_ec2(form(ids, next)).await.and_then(|answer| read(&answer)) };
        let result = match timeout(self.clock(), ONE_CALL, asking).await {
            Some(result) => result,
            None => Err(AwsError::Unknown {
                text: format!("{DESCRIBE}: no answer from {} within {} s", self.ec2_host(), ONE_CALL.as_secs()),
            }),
        };
        self.learnt(DESCRIBE, result)
    }

    async fn ask_ec2(&self, form: String) -> Result<Response<Bytes>, AwsError> {
        let ec2 = self.ec2();
        let endpoint = ec2.endpoint.as_deref();
        let endpoint = endpoint.ok_or_else(|| AwsError::setting(format!("{:?} is no region", ec2.region)))?;
        let now = self.route().clock.now();
        let credentials = ec2.credentials(now).await?;
        let target: http::Uri = format!("{endpoint}/").parse().map_err(|error: http::uri::InvalidUri| {
            AwsError::setting(format!("the endpoint of EC2: {error}")) //
        })?;
        let host = target.authority().ok_or_else(|| AwsError::setting("the endpoint of EC2 has no host"))?.as_str().to_owned();
        let mut request = Request::builder().method(Method::POST).uri(target);
        request = request.header(header::HOST, &host).header(header::CONTENT_TYPE, FORM);
        let mut request = request.body(Bytes::from(form)).map_err(|error| AwsError::setting(error.to_string()))?;
        // What is signed and with what is not for the log.
        tracing::subscriber::with_default(NoSubscriber::default(), || {
            let identity = credentials.into();
            let params = v4::SigningParams::builder().identity(&identity).region(&ec2.region).name("ec2").time(now);
            let params =
                params.settings(SigningSettings::default()).build().map_err(|error| AwsError::setting(error.to_string()))?;
            let uri = request.uri().to_string();
            let headers = [("host", host.as_str()), ("content-type", FORM)].into_iter();
            let signable = SignableRequest::new("POST", uri, headers, SignableBody::Bytes(request.body()));
            let signed = signable.and_then(|signable| sign(signable, &params.into()));
            let (signature, _) = signed.map_err(|error| AwsError::setting(error.to_string()))?.into_parts();
            apply(signature.into_parts().0.iter().map(|header| (header.name(), header.value())), &mut request)
        })?;
        self.route().exchange(request).await.map_err(|error| match error {
            HttpError::Unsent(why, text) => AwsError::Unsent { why, text },
            HttpError::Sent(text) => AwsError::Unknown { text },
        })
    }
}

/// Sets what the signature adds.
fn apply<'h>(headers: impl Iterator<Item = (&'h str, &'h str)>, request: &mut Request<Bytes>) -> Result<(), AwsError> {
    for (name, value) in headers {
        // A key with a line break in it gets no further.
        let unfit =
            |_| AwsError::Unsent { why: Unsent::Credentials, text: "the credentials do not fit into a header".to_owned() };
        let mut value = http::HeaderValue::from_str(value).map_err(unfit)?;
        value.set_sensitive(true);
        let name = http::HeaderName::from_bytes(name.as_bytes()).map_err(|error| AwsError::setting(error.to_string()))?;
        request.headers_mut().insert(name, value);
    }
    Ok(())
}

fn form(ids: &[String], next: Option<&str>) -> String {
    let mut form = "Action=DescribeInstances&Version=2016-11-15".to_owned();
    let mut add = |name: &str, value: &str| {
        form.extend(["&", name, "="]);
        form.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
    };
    for (number, id) in (1..).zip(ids) {
        add(&format!("InstanceId.{number}"), id);
    }
    if let Some(next) = next {
        add("NextToken", next);
    }
    form
}

fn read(answer: &Response<Bytes>) -> Result<Described, AwsError> {
    let (status, body) = (answer.status(), answer.body());
    if body.len() > LARGEST {
        return Err(AwsError::Unknown { text: format!("{DESCRIBE}: the answer has more than {LARGEST} bytes") });
    }
    if status == StatusCode::OK {
        return Described::read(body);
    }
    let failure = read_failure(body);
    let text = if failure.code.is_empty() { format!("the answer cannot be read, status {status}") } else { failure.message };
    let error = AwsError::of_answer(DESCRIBE, status.as_u16(), &failure.code, &text);
    Err(error.with_request_id(Some(failure.request_id.as_str()).filter(|id| !id.is_empty())))
}

/// One call, connecting included: three of them fit into the time of a login.
const ONE_CALL: Duration = Duration::from_secs(3);

const FIRST_DELAY: Duration = Duration::from_millis(200);
const LONGEST_DELAY: Duration = Duration::from_secs(1);

/// Bytes of an answer. A hundred instances with all that hangs on them have about two million.
const LARGEST: usize = 8 << 20;

/// An answer for a hundred ids has one page; the bound is against a service that never ends.
const MOST_PAGES: usize = 20;

const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
