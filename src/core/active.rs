//! Everything that holds while the server is unsealed.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::audit::Broker;
use crate::barrier::Barrier;
use crate::base::turns::Turns;
use crate::base::{Clock, Key, Shutdown, Tasks, TokenKey};
use crate::identity::IdentityStore;
use crate::lease::LeaseManager;
use crate::mount::{ApiError, Deps, MountEntry, Registry, RouteTable, Shared};
use crate::policy::PolicyStore;
use crate::token::{TokenRecords, TokenStore};

use super::Seen;
use super::audited::AuditedHeaders;
use super::browser::Browser;
use super::lockout::Lockouts;
use super::mounts::MountTable;
use super::quota::Quotas;
use super::revoker::CoreRevoker;
use super::settings::Settings;
use super::sys::cluster::Cluster;
use super::sys::{audit_devices, config, keys};

/// See the module. Dropped with the last request that holds it.
pub struct Active {
    pub(super) barrier: Arc<Barrier>,
    pub(super) routes: ArcSwap<RouteTable>,
    pub(super) mounts: MountTable,
    pub(super) policies: Arc<PolicyStore>,
    pub(super) tokens: Arc<TokenStore>,
    pub(super) leases: Arc<LeaseManager>,
    pub(super) entities: Arc<IdentityStore>,
    pub(super) audit: Arc<Broker>,
    pub(super) audited_headers: AuditedHeaders,
    pub(super) cluster: Cluster,
    pub(super) lockouts: Lockouts,
    pub(super) quotas: Arc<Quotas>,
    pub(super) browser: Browser,
    /// Of the process.
    pub(super) seen: Arc<Seen>,
    pub(super) key_watch: keys::Watch,
    pub(super) settings: Arc<Settings>,
    pub(super) registry: Arc<Registry>,
    pub(super) clock: Arc<dyn Clock>,
    /// Work that sealing waits for.
    pub(super) tasks: Tasks,
    /// Ends background duties.
    pub(super) shutdown: Shutdown,
    /// One change of mounts, audit devices or keys at a time; taken by rare operator actions only, held across their commits.
    pub(super) admin: tokio::sync::Mutex<()>,
    /// Of plugins.
    pub(super) turns: Arc<Turns>,
    /// Of plugins.
    pub(super) shared: Arc<Shared>,
}

/// How plugins of the server's own reach what they belong to.
#[derive(Clone, Debug, Default)]
pub(super) struct Back(Arc<OnceLock<Weak<Active>>>);

impl Back {
    /// The server, unless it was sealed.
    pub(super) fn active(&self) -> Result<Arc<Active>, ApiError> {
        self.0.get().and_then(Weak::upgrade).ok_or_else(ApiError::sealed)
    }
}

/// What a server is made active with.
pub(super) struct Parts {
    pub(super) barrier: Arc<Barrier>,
    pub(super) settings: Arc<Settings>,
    pub(super) registry: Arc<Registry>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) seen: Arc<Seen>,
}

impl Active {
    /// Reads what there is: policies, mounts, audit devices. Nothing runs yet.
    pub(super) async fn open(parts: Parts) -> Result<Arc<Self>, ApiError> {
        let Parts { barrier, settings, registry, clock, seen } = parts;
        let tasks = Tasks::default();
        let policies = PolicyStore::open(&barrier).await?;
        let records = TokenRecords::open(&barrier, Arc::clone(&clock)).await.map_err(ApiError::internal)?;
        let leases = LeaseManager::new(&barrier, Arc::clone(&clock), tasks.clone(), Arc::clone(&records) as _);
        let tokens = TokenStore::new(records, Arc::clone(&leases), &barrier, Arc::clone(&clock), tasks.clone());
        let entities = IdentityStore::open(&barrier, Arc::clone(&clock));
        let audit = Arc::new(Broker::new(Arc::clone(&clock)));
        let audited_headers = AuditedHeaders::open(&barrier).await?;
        let quotas = Quotas::open(&barrier, Arc::clone(&seen)).await?;
        leases.obey(Arc::clone(&quotas) as _);
        let browser = Browser::open(&barrier).await?;
        let cluster = Cluster::open(&barrier, settings.cluster_name.as_deref()).await?;
        let active = Arc::new(Self {
            mounts: MountTable::new(&barrier),
            routes: ArcSwap::default(),
            policies,
            tokens,
            leases,
            entities,
            audit,
            audited_headers,
            cluster,
            lockouts: Lockouts::default(),
            quotas,
            browser,
            seen,
            key_watch: keys::Watch::default(),
            settings,
            registry,
            clock,
            tasks,
            shutdown: Shutdown::new(),
            admin: tokio::sync::Mutex::new(()),
            turns: Turns::new(),
            shared: Arc::default(),
            barrier,
        });
        let back = Back::default();
        let _first = back.0.set(Arc::downgrade(&active));
        active.mounts.load(&active, &back).await?;
        for prefix in ["logical/", "auth/"] {
            let told = Arc::downgrade(&active);
            active.barrier.subscribe(prefix, Arc::new(move |key| tell_plugin(&told, prefix, key)));
        }
        audit_devices::restore(&active).await?;
        config::note_version(&active).await?;
        Ok(active)
    }

    /// Starts what ends leases and tidies.
    pub(super) fn start(self: &Arc<Self>) {
        let revoker = Arc::new(CoreRevoker::new(Arc::downgrade(self)));
        self.tasks.spawn(Arc::clone(&self.leases).run(revoker, self.shutdown.clone()));
        let (ticking, shutdown, clock) = (Arc::downgrade(self), self.shutdown.clone(), Arc::clone(&self.clock));
        self.tasks.spawn(async move {
            let mut pause = FIRST_TICK;
            loop {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = clock.sleep(pause) => {}
                }
                pause = TICK;
                let Some(active) = ticking.upgrade() else { return };
                active.tick().await;
            }
        });
        super::mounts::resume(self);
        let again = Arc::clone(self);
        self.tasks.spawn(async move {
            if let Err(error) = again.resume_recounts().await {
                tracing::warn!(error = %error, "leases under quotas are counted again at the next unsealing");
            }
        });
    }

    /// Ends what [`Active::start`] started, and waits for requests under way; then nothing of it can be read any more.
    pub(super) async fn stop(&self) {
        self.shutdown.cancel();
        let drained = self.tasks.drained();
        if crate::base::time::timeout(&*self.clock, DRAIN, drained).await.is_none() {
            tracing::warn!(tasks = self.tasks.running(), "sealing does not wait any longer for what is still running");
        }
        self.audit.close().await;
        self.barrier.lock();
    }

    /// What a plugin on this mount is opened with.
    pub(super) fn deps(&self, entry: &Arc<MountEntry>) -> Deps {
        Deps {
            clock: Arc::clone(&self.clock),
            tasks: self.tasks.clone(),
            shutdown: self.shutdown.clone(),
            entry: Arc::clone(entry),
            turns: Arc::clone(&self.turns),
            policies: Arc::clone(&self.policies),
            environment: Arc::clone(&self.settings.environment),
            cluster: self.cluster.id.as_str().into(),
            shared: Arc::clone(&self.shared),
        }
    }

    /// Ends a token behind the answer.
    pub(super) fn end_behind(self: &Arc<Self>, token: TokenKey) {
        let active = Arc::clone(self);
        self.tasks.spawn(async move {
            if let Err(error) = active.tokens.revoke(&token).await {
                tracing::warn!(error = %error, "a token whose last use was taken could not be ended yet; it ends by itself");
            }
        });
    }

    async fn tick(&self) {
        keys::watch(self).await;
        self.quotas.mend().await;
        let ids: Vec<_> = self.routes.load().mounts().map(|mount| mount.entry.id.clone()).collect();
        for id in ids {
            // Held for its own turn only: a mount that goes is not held up by another one's.
            let mount = self.routes.load().by_id(&id).filter(|mount| mount.entry.is_ready()).cloned();
            if let Some(mount) = mount {
                mount.plugin.tick().await;
            }
        }
    }
}

impl fmt::Debug for Active {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Active").field("routes", &self.routes).finish_non_exhaustive()
    }
}

/// A key of a mount's storage changed: its plugin may have kept something of it.
fn tell_plugin(active: &Weak<Active>, prefix: &str, key: &Key) {
    let Some((id, _)) = key.as_str().strip_prefix(prefix).and_then(|rest| rest.split_once('/')) else { return };
    let Some(active) = active.upgrade() else { return };
    if let Some(mount) = active.routes.load().by_id(id) {
        mount.plugin.invalidate(key);
    }
}

/// Between two rounds of tidying.
const TICK: Duration = Duration::from_mins(1);

/// What a process before this one left half done is gone on with soon.
const FIRST_TICK: Duration = Duration::from_secs(1);

/// How long sealing waits for requests under way (architecture §7).
const DRAIN: Duration = Duration::from_secs(30);
