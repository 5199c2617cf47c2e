//! What we ask of AWS, and what it answered: IAM and STS in our own words. Types of the SDK never leave this folder.
//!
//! [`Outside`] is made once and connects: from [`Settings`] it makes an [`Aws`], on which each call is a plain function.
//! Every call answers what was asked, or an [`AwsError`] that says whether it may have happened. Below us nothing is
//! repeated: calls that are the same when made twice are repeated here, at most [`Settings::max_retries`] times; calls that
//! create ([`Aws::create_user`], [`Aws::create_access_key`]) never (`aws-secrets-engine.md` §21.3).

mod arn;
mod call;
mod clock;
mod connect;
mod error;
mod foreign;
mod group;
mod hosts;
mod http;
mod key;
mod policy;
mod rates;
pub mod rotation;
pub mod sandbox;
mod simulate;
mod sts;
mod user;

pub use arn::{Arn, ArnError};
pub use call::Action;
pub use connect::{Aws, AwsEnvironment, DEFAULT_REGION, Outside, Settings};
pub use error::{AwsError, Refusal, Unsent};
pub use foreign::{ForeignKind, Foreigner};
pub use key::{KeyListed, KeyPair};
pub use policy::Inline;
pub use rates::{Accounts, Rate, Urgency};
pub use sts::{AssumeRole, Assumed, Federate, Identity, Session};
pub use user::{NewUser, User};

#[cfg(test)]
#[path = "aws_tests.rs"]
mod tests;
