//! The `iam` login (spec `aws-auth-method.md` §12).

mod headers;

pub(super) use headers::HeaderField;
