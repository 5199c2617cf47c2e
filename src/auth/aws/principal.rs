//! Who a principal of AWS is, by its ARN (spec `aws-auth-method.md` §7).

use std::fmt;

/// Kinds of principals that are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// `iam:…:user/…`.
    User,
    /// `iam:…:role/…`.
    Role,
    /// `sts:…:assumed-role/<role>/<session>`.
    AssumedRole,
    /// `iam:…:instance-profile/…`.
    InstanceProfile,
}

/// An ARN of `iam` or `sts`, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Principal {
    /// The whole of it.
    pub(super) arn: String,
    /// `aws`, `aws-cn`, …
    pub(super) partition: String,
    /// Twelve digits.
    pub(super) account: String,
    /// Which kind.
    pub(super) kind: Kind,
    /// Name of the user, role or profile, without its path.
    pub(super) name: String,
    /// Of an assumed role; else empty.
    pub(super) session: String,
}

impl Principal {
    /// Takes an ARN apart.
    ///
    /// # Errors
    /// In the words clients know.
    pub(super) fn parse(arn: &str) -> Result<Self, String> {
        let parts: Vec<&str> = arn.split(':').collect();
        let [prefix, partition, service, _, account, resource] = parts.as_slice() else {
            return Err(format!("unrecognized arn: contains {} colon-separated parts, expected 6", parts.len()));
        };
        if *prefix != "arn" {
            return Err("unrecognized arn: does not begin with \"arn:\"".to_owned());
        }
        if !matches!(*service, "iam" | "sts") {
            return Err(format!("unrecognized service: {service}, not one of iam or sts"));
        }
        let pieces: Vec<&str> = resource.split('/').collect();
        let few = |least: usize| format!("unrecognized arn: \"{resource}\" contains fewer than {least} slash-separated parts");
        let (Some(kind), Some(last), 2..) = (pieces.first(), pieces.last(), pieces.len()) else { return Err(few(2)) };
        let (kind, name, session) = match *kind {
            "user" => (Kind::User, *last, ""),
            "role" => (Kind::Role, *last, ""),
            "instance-profile" => (Kind::InstanceProfile, *last, ""),
            "assumed-role" => match pieces.as_slice() {
                [_, name, session, ..] => (Kind::AssumedRole, *name, *session),
                _ => return Err(few(3)),
            },
            other => return Err(format!("unrecognized principal type: \"{other}\"")),
        };
        Ok(Self {
            arn: arn.to_owned(),
            partition: (*partition).to_owned(),
            account: (*account).to_owned(),
            kind,
            name: name.to_owned(),
            session: session.to_owned(),
        })
    }

    /// Without the path, and an assumed role as the role.
    pub(super) fn canonical_arn(&self) -> String {
        let kind = match self.kind {
            Kind::AssumedRole => Kind::Role,
            kind => kind,
        };
        format!("arn:{}:iam::{}:{kind}/{}", self.partition, self.account, self.name)
    }

    /// The region in which IAM is asked about it.
    ///
    /// # Errors
    /// In the words clients know.
    pub(super) fn iam_region(&self) -> Result<&'static str, String> {
        iam_region(&self.partition)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Role => "role",
            Self::AssumedRole => "assumed-role",
            Self::InstanceProfile => "instance-profile",
        })
    }
}

/// The region in which IAM of a partition is asked.
///
/// # Errors
/// In the words clients know.
pub(super) fn iam_region(partition: &str) -> Result<&'static str, String> {
    match partition {
        "aws" => Ok("us-east-1"),
        "aws-cn" => Ok("cn-north-1"),
        "aws-us-gov" => Ok("us-gov-west-1"),
        other => Err(format!("unable to resolve partition \"{other}\" to a region")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principals_are_taken_apart() {
        for (arn, kind, name, session, canonical) in [
            ("arn:aws:iam::123456789012:user/bob", Kind::User, "bob", "", "arn:aws:iam::123456789012:user/bob"),
            ("arn:aws:iam::123456789012:user/a/b/bob", Kind::User, "bob", "", "arn:aws:iam::123456789012:user/bob"),
            ("arn:aws:iam::123456789012:role/web", Kind::Role, "web", "", "arn:aws:iam::123456789012:role/web"),
            (
                "arn:aws:sts::123456789012:assumed-role/web/i-1",
                Kind::AssumedRole,
                "web",
                "i-1",
                "arn:aws:iam::123456789012:role/web",
            ),
            ("arn:aws-cn:sts::1:assumed-role/web/x", Kind::AssumedRole, "web", "x", "arn:aws-cn:iam::1:role/web"),
            (
                "arn:aws-us-gov:iam::1:instance-profile/p/web",
                Kind::InstanceProfile,
                "web",
                "",
                "arn:aws-us-gov:iam::1:instance-profile/web",
            ),
        ] {
            let principal = Principal::parse(arn).unwrap();
            assert_eq!((principal.kind, principal.name.as_str(), principal.session.as_str()), (kind, name, session), "{arn}");
            assert_eq!(principal.canonical_arn(), canonical);
        }
    }

    #[test]
    fn what_is_no_principal_is_told_by_its_fault() {
        for (arn, error) in [
            ("arn:aws:iam::123456789012", "unrecognized arn: contains 5 colon-separated parts, expected 6"),
            ("arn:aws:iam::1:user/a:b", "unrecognized arn: contains 7 colon-separated parts, expected 6"),
            ("xrn:aws:iam::1:user/a", "unrecognized arn: does not begin with \"arn:\""),
            ("arn:aws:s3::1:user/a", "unrecognized service: s3, not one of iam or sts"),
            ("arn:aws:iam::1:root", "unrecognized arn: \"root\" contains fewer than 2 slash-separated parts"),
            (
                "arn:aws:sts::1:assumed-role/web",
                "unrecognized arn: \"assumed-role/web\" contains fewer than 3 slash-separated parts",
            ),
            ("arn:aws:sts::1:federated-user/bob", "unrecognized principal type: \"federated-user\""),
        ] {
            assert_eq!(Principal::parse(arn).unwrap_err(), error);
        }
    }

    #[test]
    fn iam_of_a_partition_is_asked_in_one_of_its_regions() {
        assert_eq!(iam_region("aws-us-gov"), Ok("us-gov-west-1"));
        assert_eq!(iam_region("mars").unwrap_err(), "unable to resolve partition \"mars\" to a region");
    }
}
