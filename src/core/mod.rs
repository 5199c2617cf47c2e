//! The life of a request, the state of the server, and `sys/`.
//!
//! [`Core`] is the server without its edge: sealed or [`Active`]. `handle` is a request's way through it; everything that
//! holds while unsealed hangs on [`Active`], so that a sealed server has nothing to misuse.

mod access;
mod active;
mod answer;
mod audited;
mod browser;
mod envelope;
mod grant;
mod handle;
mod in_flight;
mod issuers;
mod lockout;
mod metrics;
mod mounts;
mod operator;
mod quota;
mod revoker;
mod seal_state;
mod settings;
mod settle;
mod shares;
mod sys;
mod wrapping;

pub use active::Active;
pub use answer::{Answer, AnswerBody, Outcome, Refusal};
pub use browser::{Cors, UiHeaders};
pub use envelope::{Auth, Data, Envelope, HtmlSafe};
pub use operator::{Health, InitInput, Leader, NewKeys, SealStatus, State, UnsealInput};
pub use quota::{Admission, RateHeaders};
pub use seal_state::{Core, CoreError, Initialized};
pub use settings::Settings;
pub use shares::{RekeyInput, RekeyKeys, RekeyReply, RekeyStatus, RootStatus, ShareInput, VerifyReply, VerifyStatus};

use metrics::Seen;
