//! What an identity document says.

use serde_json::Value;

use crate::auth::aws::failure::Failure;

/// The keys of a document that count (spec `aws-auth-method.md` §6.3). What it does not say is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Document {
    /// `i-…`.
    pub(super) instance: String,
    /// `ami-…`.
    pub(super) image: String,
    /// Twelve digits.
    pub(super) account: String,
    /// Such as `eu-central-1`.
    pub(super) region: String,
    /// When the instance was started last, as AWS wrote it.
    pub(super) pending: String,
}

impl Document {
    /// Reads a document whose signature is known to be true.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Failure> {
        let document = Self::glimpse(bytes).ok_or_else(|| Failure::plain("the instance identity document is not JSON"))?;
        if !is_name(&document.instance) {
            return Err(Failure::plain("the instance identity document has no instanceId"));
        }
        if document.account.is_empty() || !document.account.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Failure::plain("the instance identity document has no accountId"));
        }
        if !is_name(&document.region) {
            return Err(Failure::plain("the instance identity document has no region"));
        }
        Ok(document)
    }

    /// What it says, whoever wrote it.
    pub(super) fn glimpse(bytes: &[u8]) -> Option<Self> {
        let Ok(Value::Object(keys)) = serde_json::from_slice(bytes) else { return None };
        let text = |name: &str| keys.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Some(Self {
            instance: text("instanceId"),
            image: text("imageId"),
            account: text("accountId"),
            region: text("region"),
            pending: text("pendingTime"),
        })
    }

    /// The partition of its region.
    pub(super) fn partition(&self) -> &'static str {
        let known = PARTITIONS.iter().find(|(prefix, _)| self.region.starts_with(prefix));
        known.map_or("aws", |(_, partition)| partition)
    }
}

/// What may be a part of a key or of a host's name.
pub(super) fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// By what the names of their regions begin with.
const PARTITIONS: &[(&str, &str)] = &[
    ("cn-", "aws-cn"),
    ("us-gov-", "aws-us-gov"),
    ("us-iso-", "aws-iso"),
    ("us-isob-", "aws-iso-b"),
    ("us-isof-", "aws-iso-f"),
    ("eu-isoe-", "aws-iso-e"),
    ("eusc-", "aws-eusc"),
];

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"instanceId":"i-0","instanceId":"i-1","imageId":"ami-1","accountId":"123456789012","region":"cn-north-1",
        "pendingTime":"2026-01-01T00:00:00Z","unknown":{"deep":[1]},"billingProducts":null}"#;

    #[test]
    fn what_counts_is_read_and_the_rest_is_passed_over() {
        let document = Document::read(TEXT.as_bytes()).unwrap();
        assert_eq!((document.instance.as_str(), document.image.as_str()), ("i-1", "ami-1"));
        assert_eq!((document.account.as_str(), document.region.as_str()), ("123456789012", "cn-north-1"));
        assert_eq!((document.pending.as_str(), document.partition()), ("2026-01-01T00:00:00Z", "aws-cn"));
    }

    #[test]
    fn a_document_that_names_no_instance_or_something_else_is_refused() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"instanceId":"i-1"}"#,
            r#"{"instanceId":"../i-1","accountId":"1","region":"r"}"#,
            r#"{"instanceId":"i-1","accountId":"x","region":"r"}"#,
            r#"{"instanceId":"i-1","accountId":"1","region":"evil.example/#"}"#,
        ] {
            assert!(Document::read(text.as_bytes()).is_err(), "{text}");
        }
    }
}
