//! `userpass`: how people log in (spec `userpass.md`). A user has a name and a password, whose bcrypt hash is stored; names differ
//! in more than case.
//!
//! ```text
//! user/<name in lower case>     the hash of the password, and what tokens of the user are like
//! ```
//!
//! A name that is unknown and a password that is wrong get the same answer after the same work.

mod bcrypt;
mod login;
mod user;
mod user_api;
mod workers;

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::barrier::View;
use crate::mount::{ApiError, Ctx, Deps, Plugin, Table, TokenRenewal};
use crate::token::TokenInfo;

use self::bcrypt::Hashed;
#[cfg(test)]
pub(crate) use self::bcrypt::compared;

/// The auth method.
pub struct Userpass {
    view: View,
    deps: Deps,
    /// What the password of somebody unknown is compared with.
    nobody: Hashed,
}

impl Plugin for Userpass {
    const KIND: &'static str = "userpass";
    const ABOUT: &'static str = "Logs people in with a name and a password.";

    async fn open(view: View, deps: Deps) -> Result<Self, ApiError> {
        Ok(Self { view, deps, nobody: Hashed::of_nothing() })
    }

    fn endpoints(table: &mut Table<Self>) {
        user_api::endpoints(table);
        table.at("login/{username}", "Logs a user in.").update(Self::log_in).login();
    }

    fn login_name(path: &str, _: &Map<String, Value>) -> Option<String> {
        path.strip_prefix("login/").map(str::to_ascii_lowercase)
    }

    async fn renew_token(self: Arc<Self>, _: Ctx, token: Arc<TokenInfo>) -> Result<TokenRenewal, ApiError> {
        self.renewal(&token).await
    }
}

impl fmt::Debug for Userpass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Userpass").field("mount", &self.deps.entry.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
