//! Amazon Resource Names, taken apart.

/// `arn:<partition>:<service>:<region>:<account>:<resource>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arn<'a> {
    /// `aws`, `aws-cn`, `aws-us-gov`, …
    pub partition: &'a str,
    /// `iam`, `sts`, …
    pub service: &'a str,
    /// Empty for global services.
    pub region: &'a str,
    /// Twelve digits, `aws` for what AWS itself owns, or empty.
    pub account: &'a str,
    /// What is left, colons and slashes included: `user/path/name`.
    pub resource: &'a str,
}

/// Why a text is no ARN; in the words clients know (spec `aws-secrets-engine.md` §7.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArnError {
    /// It does not begin with `arn:`.
    #[error("arn: invalid prefix")]
    Prefix,
    /// Fewer than six parts.
    #[error("arn: not enough sections")]
    Sections,
}

impl<'a> Arn<'a> {
    /// Takes a text apart; says nothing on whether the parts make sense.
    pub fn parse(text: &'a str) -> Result<Self, ArnError> {
        let rest = text.strip_prefix("arn:").ok_or(ArnError::Prefix)?;
        let mut parts = rest.splitn(5, ':');
        let mut part = || parts.next().ok_or(ArnError::Sections);
        Ok(Self { partition: part()?, service: part()?, region: part()?, account: part()?, resource: part()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resource_keeps_its_colons_and_slashes() {
        let arn = Arn::parse("arn:aws:iam::123456789012:user/a/b:c").unwrap();
        assert_eq!((arn.partition, arn.service, arn.region), ("aws", "iam", ""));
        assert_eq!((arn.account, arn.resource), ("123456789012", "user/a/b:c"));
    }

    #[test]
    fn what_is_no_arn_is_told_by_its_fault() {
        assert_eq!(Arn::parse("garbage"), Err(ArnError::Prefix));
        assert_eq!(Arn::parse("arn:aws:iam::x"), Err(ArnError::Sections));
    }
}
