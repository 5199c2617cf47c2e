//! The AWS auth method: workloads log in with the identity they already have (spec `aws-auth-method.md`).
//!
//! Two types of login. `iam`: the client signs a request to STS, which is sent on, and what STS answers is believed.
//! `ec2`: the client shows the document that AWS signed for its instance. A role is of one type.
//!
//! ```text
//! role/<name>                     a role
//! config/client                   credentials and endpoints, what logins must carry
//! config/identity                 aliases and metadata
//! config/sts/<account>            the role by which we act in an account
//! config/certificate/<name>       certificates that documents may be signed with
//! config/tidy/…                   when what is too old is removed
//! rotation/root                   what is open of a rotation of the access key
//! whitelist/identity/<instance>   the first login of an instance
//! blacklist/roletag/<base64>      role tags that count no more
//! ```
//!
//! A login is an `Attempt`: its checks in order, of which each has a name, and its failures codes.

mod attempt;
mod client_config;
mod clients;
mod ec2;
mod failure;
mod iam;
mod identity_config;
mod login;
mod logins;
mod principal;
mod resolve;
mod role;
mod role_api;
mod role_input;
mod rotate_root;
mod sts_config;

use std::fmt;
use std::sync::Arc;

use crate::aws::rotation::{Holding, KeyHolders, Watch};
use crate::barrier::View;
use crate::base::turns::Turn;
use crate::base::{Key, MountPath};
use crate::mount::{ApiError, Ctx, Deps, Plugin, Table, TokenRenewal};
use crate::token::TokenInfo;

pub use iam::{Preview, preview};

use client_config::{CLIENT, ClientConfig};
use clients::Clients;
use logins::Logins;

/// The auth method of one mount.
pub struct AwsAuth {
    view: View,
    deps: Deps,
    clients: Clients,
    logins: Logins,
    iam: iam::Iam,
    tidying: ec2::Tidying,
    watch: Watch,
    holding: Holding,
}

impl Plugin for AwsAuth {
    const KIND: &'static str = "aws";
    const ABOUT: &'static str = "Logs workloads in with their AWS identity: a signed request to STS, or an instance's document.";

    async fn open(view: View, deps: Deps) -> Result<Self, ApiError> {
        let holding = deps.shared.of::<KeyHolders>().join(&deps.entry.id, &deps.entry.path);
        holding.set(&view.read::<ClientConfig>(CLIENT).await?.unwrap_or_default().access_key);
        let watch = Watch::new(&*deps.clock);
        Ok(Self {
            view,
            deps,
            clients: Clients::default(),
            logins: Logins::default(),
            iam: iam::Iam::default(),
            tidying: ec2::Tidying::default(),
            watch,
            holding,
        })
    }

    fn endpoints(table: &mut Table<Self>) {
        role_api::endpoints(table);
        client_config::endpoints(table);
        identity_config::endpoints(table);
        sts_config::endpoints(table);
        login::endpoints(table);
        logins::endpoints(table);
        rotate_root::endpoints(table);
        ec2::endpoints(table);
    }

    async fn renew_token(self: Arc<Self>, cx: Ctx, token: Arc<TokenInfo>) -> Result<TokenRenewal, ApiError> {
        // Tokens remember the type themselves: it may be left out of what is shown.
        let shown = || token.meta.as_ref().and_then(|meta| meta.get(AUTH_TYPE));
        let kind = token.internal_meta.get(AUTH_TYPE).or_else(shown);
        match kind.map_or("ec2", String::as_str) {
            "iam" => self.renew_iam(&cx, &token).await,
            "ec2" => self.renew_ec2(&cx, &token).await,
            other => Err(ApiError::invalid_listed(format!("unrecognized auth_type: \"{other}\""))),
        }
    }

    fn placed(&self, path: Option<&MountPath>) {
        self.holding.placed(path);
    }

    fn invalidate(&self, key: &Key) {
        if key.as_str().ends_with(CLIENT) {
            self.clients.forget();
        }
    }

    async fn tick(self: Arc<Self>) {
        self.logins.drop_old(self.deps.clock.elapsed());
        self.tidy_hourly().await;
        if let Err(error) = self.tend_root().await {
            tracing::warn!(error = %error, "a rotation of config/client cannot be gone on with");
        }
    }
}

impl AwsAuth {
    /// Waits until it may change the record at a key of this mount.
    async fn turn(&self, key: &str) -> Turn {
        self.deps.turns.take(&self.view.key(key)).await
    }
}

impl fmt::Debug for AwsAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsAuth").field("mount", &self.deps.entry.id).finish_non_exhaustive()
    }
}

/// Under which name a token remembers its type of login.
const AUTH_TYPE: &str = "auth_type";
