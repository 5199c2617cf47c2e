//! The AWS secrets engine: IAM users with keys, and credentials of STS, made by role and leased (`aws-secrets-engine.md`).
//!
//! Users are made under an intent that is the lease itself; nothing is created that could be forgotten (§21). Sessions of STS
//! end by themselves and are lent.

mod config;
mod connection;
mod creds;
mod document;
mod issue;
mod names;
mod patience;
mod preflight;
mod revoke;
mod role;
mod role_input;
mod role_rules;
mod rotate;
mod schedule;
mod static_input;
mod static_role;
mod static_state;
mod status;
mod template;
mod user;
mod words;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use tokio::sync::OnceCell;

use crate::aws::rotation::{Holding, KeyHolders, Watch};
use crate::aws::{Accounts, AwsEnvironment, Outside};
use crate::barrier::{BarrierError, View};
use crate::base::turns::Turn;
use crate::base::{Key, MountPath, Ttl, random};
use crate::lease::Terms;
use crate::mount::{ApiError, Ctx, Deps, LeaseCtx, LeaseKinds, Named, Nothing, Number, Plugin, Reply, Table};

use config::{LEASE, LeaseConfig, LeaseInput, ROOT, Root, RootInput};
use connection::Connection;
use creds::Sts;
use patience::shown;
use role::{ROLES, Role};
use role_input::RoleInput;
use schedule::Schedule;
use template::Template;
use user::IamUser;

/// The engine of one mount.
pub struct AwsSecrets {
    view: View,
    deps: Deps,
    /// Names this start where credentials are whatever the machine has.
    run: String,
    outside: OnceCell<Outside>,
    connection: ArcSwapOption<Connection>,
    /// Moves with every change of `config/root`: a client made of an older one is not kept.
    epoch: AtomicU64,
    /// For rotations.
    watch: Watch,
    /// Tells other mounts which key is held here.
    holding: Holding,
    schedule: Schedule,
}

impl Plugin for AwsSecrets {
    const KIND: &'static str = "aws";
    const ABOUT: &'static str = "Makes AWS credentials by role: IAM users, assumed roles, federation and session tokens.";

    async fn open(view: View, deps: Deps) -> Result<Self, ApiError> {
        let watch = Watch::new(&*deps.clock);
        let holding = deps.shared.of::<KeyHolders>().join(&deps.entry.id, &deps.entry.path);
        holding.set(&view.read::<Root>(ROOT).await?.unwrap_or_default().access_key);
        Ok(Self {
            view,
            deps,
            run: random::base62(8),
            outside: OnceCell::new(),
            connection: ArcSwapOption::empty(),
            epoch: AtomicU64::new(0),
            watch,
            holding,
            schedule: Schedule::default(),
        })
    }

    fn endpoints(table: &mut Table<Self>) {
        table
            .at("config/root", "The credentials and endpoints that AWS is reached with.")
            .exists(Self::root_exists)
            .read(Self::read_root)
            .update(Self::write_root);
        table.at("config/rotate-root", "Replaces the access key of `config/root` by a new one.").update(Self::rotate_root);
        table.at("config/lease", "How long leases on IAM users live.").read(Self::read_lease).update(Self::write_lease);
        table.at("roles/", "Names of the roles.").list(Self::list_roles);
        table
            .at("roles/{name:at}", "How credentials are made.")
            .read(Self::read_role)
            .update(Self::write_role)
            .delete(Self::delete_role);
        table.at("creds/{name:at}", "Credentials by a role.").read(Self::creds).update(Self::creds).issues();
        table.at("sts/{name:at}", "Credentials by a role.").read(Self::sts).update(Self::sts).issues();
        static_role::endpoints(table);
        table.at("status", "What is known of the account and its credentials.").read(Self::status);
    }

    fn leases(kinds: &mut LeaseKinds<Self>) {
        kinds.revoked_by::<IamUser, _, _>(Self::revoke_user).renewed_by::<IamUser, _, _>(Self::renew_user);
        kinds.ends_by_itself::<Sts>();
    }

    fn numbers(&self) -> Vec<Number> {
        self.connection.load_full().map(|connection| status::numbers(&connection)).unwrap_or_default()
    }

    fn placed(&self, path: Option<&MountPath>) {
        self.holding.placed(path);
    }

    fn invalidate(&self, key: &Key) {
        if key.as_str().ends_with(ROOT) {
            self.forget_connection();
        }
    }

    async fn parting(self: Arc<Self>) -> Vec<String> {
        self.last_words().await
    }

    async fn tick(self: Arc<Self>) {
        self.wake_schedule();
    }
}

impl AwsSecrets {
    async fn root_exists(self: Arc<Self>, _: Ctx, _: RootInput) -> Result<bool, ApiError> {
        Ok(self.view.exists(ROOT).await?)
    }

    async fn read_root(self: Arc<Self>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
        let root = self.view.read::<Root>(ROOT).await?;
        Ok(root.map_or_else(Reply::empty, |root| Reply::data(root.shown())))
    }

    async fn write_root(self: Arc<Self>, cx: Ctx, input: RootInput) -> Result<Reply, ApiError> {
        let looks = input.verify();
        let before = self.connection.load_full().and_then(|connection| connection.known_account());
        let has_keys = {
            let _turn = self.turn(ROOT).await;
            let before = self.view.read(ROOT).await?;
            let root = input.over(before.clone())?;
            self.own_key().store(before.as_ref(), Some(&root)).await?;
            !root.uses_chain()
        };
        self.wake_schedule();
        self.forget_connection();
        // What could not be ended by the old credentials may be by the new.
        cx.leases().hasten();
        Ok(Reply::empty().warn_all(if looks { self.look(&cx.leases(), before, has_keys).await } else { Vec::new() }))
    }

    async fn read_lease(self: Arc<Self>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
        Ok(self.lease_config().await?.map_or_else(Reply::empty, |config| Reply::data(config.shown())))
    }

    async fn write_lease(self: Arc<Self>, _: Ctx, input: LeaseInput) -> Result<Reply, ApiError> {
        self.view.put(LEASE, &input.read()?).await?;
        Ok(Reply::empty())
    }

    async fn list_roles(self: Arc<Self>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
        Ok(Reply::list(self.view.list_all(ROLES).await?))
    }

    async fn read_role(self: Arc<Self>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
        let role = self.view.read::<Role>(&role::key(&named.name)).await?;
        Ok(role.map_or_else(Reply::empty, |role| Reply::data(role.shown())))
    }

    async fn write_role(self: Arc<Self>, _: Ctx, input: RoleInput) -> Result<Reply, ApiError> {
        let key = role::key(&input.name);
        let _turn = self.turn(&key).await;
        let written = input.over(self.view.read(&key).await?)?;
        self.view.put(&key, &written.role).await?;
        Ok(Reply::empty().warn_all(written.warnings))
    }

    async fn delete_role(self: Arc<Self>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
        let key = role::key(&named.name);
        let _turn = self.turn(&key).await;
        self.view.delete(&key).await?;
        Ok(Reply::empty())
    }

    /// What is configured now, not what was when it was issued.
    async fn renew_user(self: Arc<Self>, _: LeaseCtx, _: IamUser, _: Ttl) -> Result<Terms, ApiError> {
        let config = self.lease_config().await?.unwrap_or_default();
        Ok(Terms { ttl: config.lease, max_ttl: config.lease_max, renewable: true })
    }

    async fn lease_config(&self) -> Result<Option<LeaseConfig>, BarrierError> {
        self.view.read(LEASE).await
    }

    /// The client as configured now; without configuration, with whatever credentials the machine has.
    async fn connection(&self) -> Result<Arc<Connection>, ApiError> {
        if let Some(connection) = self.connection.load_full() {
            return Ok(connection);
        }
        let epoch = self.epoch.load(Ordering::Acquire);
        let root = self.view.read::<Root>(ROOT).await?.unwrap_or_default();
        let template = Template::parse(&root.username_template)
            .map_err(|error| ApiError::fault(format!("unable to initialize username template: {error}")))?;
        let aws = self.outside().await?.connect(&root.settings()).await.map_err(|error| shown("", &error))?;
        let mut generation = root.generation.to_string();
        if root.uses_chain() {
            generation = format!("{generation}/{}", self.run);
        }
        let connection = Arc::new(Connection::new(aws, template, generation, root.key_in_place(), Arc::clone(&self.deps.clock)));
        if self.epoch.load(Ordering::Acquire) == epoch {
            self.connection.store(Some(Arc::clone(&connection)));
            // Changed between the two lines: nobody keeps it.
            if self.epoch.load(Ordering::Acquire) != epoch {
                self.connection.store(None);
            }
        }
        Ok(connection)
    }

    /// The way to AWS.
    async fn outside(&self) -> Result<&Outside, ApiError> {
        let made = self.outside.get_or_try_init(async || {
            let environment = AwsEnvironment::of(&self.deps.environment);
            let outside = Outside::new(Arc::clone(&self.deps.clock), environment).map_err(ApiError::internal)?;
            Ok(outside.sharing(self.deps.shared.of::<Accounts>()))
        });
        made.await
    }

    fn forget_connection(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.connection.store(None);
    }

    /// What a user's marks say.
    fn cluster(&self) -> &str {
        &self.deps.cluster
    }

    /// Waits until it may change the record at a key of this mount.
    async fn turn(&self, key: &str) -> Turn {
        self.deps.turns.take(&self.view.key(key)).await
    }
}

impl fmt::Debug for AwsSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsSecrets").field("mount", &self.deps.entry.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
