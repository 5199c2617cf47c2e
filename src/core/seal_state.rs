//! Sealed or active, and how it becomes the other (spec `seal-and-barrier.md` §2, architecture §7).

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwapOption, Guard};

use crate::barrier::{Barrier, BarrierError, Locked, RootKey};
use crate::base::{Clock, Secret, Ttl};
use crate::mount::{ApiError, Registry, Request};
use crate::policy::builtin::ROOT;
use crate::seal::{
    self, Ceremony, InitInput, Kek, Progress, Rekey, RootGeneration, SealConfig, SealError, Share, Step, Unsealing,
};
use crate::storage::Storage;
use crate::token::NewToken;

use super::active::Parts;
use super::answer::{Outcome, Refusal};
use super::settings::Settings;
use super::{Active, Seen};

/// The server without its edge.
pub struct Core {
    /// What holds while unsealed; requests load it and go on with what they loaded.
    state: ArcSwapOption<Active>,
    locked: Locked,
    settings: Arc<Settings>,
    registry: Arc<Registry>,
    clock: Arc<dyn Clock>,
    /// What requests were seen, sealed or not.
    pub(super) seen: Arc<Seen>,
    /// One of initialising, unsealing, sealing at a time; held across their storage calls, never taken by requests.
    pub(super) admin: tokio::sync::Mutex<()>,
    /// Shares that were sent so far. Guards a few texts; operators wait for each other; held for an arithmetic of microseconds.
    ceremonies: Mutex<Ceremonies>,
}

/// Operator ceremonies under way; in memory of this process only.
#[derive(Debug, Default)]
pub(super) struct Ceremonies {
    pub(super) unsealing: Unsealing,
    pub(super) rekey: Rekey,
    pub(super) root: RootGeneration,
}

/// Why the server did not become active, or did not become at all.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CoreError {
    /// The ceremony went wrong.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// What is stored could not be taken up.
    #[error("{0}")]
    Api(Box<ApiError>),
}

/// What an initialisation tells, once.
#[derive(Debug)]
pub struct Initialized {
    /// To be given to as many people.
    pub shares: Vec<Share>,
    /// The first token.
    pub root_token: Secret<String>,
}

impl Core {
    /// A sealed server over this storage.
    pub fn new(storage: Arc<dyn Storage>, settings: Settings, registry: Registry, clock: Arc<dyn Clock>) -> Arc<Self> {
        let seen: Arc<Seen> = Arc::default();
        seen.metrics.begin(clock.elapsed());
        Arc::new(Self {
            state: ArcSwapOption::empty(),
            locked: Locked::new(storage),
            settings: Arc::new(settings),
            registry: Arc::new(registry),
            clock,
            seen,
            admin: tokio::sync::Mutex::new(()),
            ceremonies: Mutex::default(),
        })
    }

    /// What holds while unsealed.
    pub fn active(&self) -> Option<Arc<Active>> {
        self.state.load_full()
    }

    /// The same for a look at it only.
    pub(super) fn state(&self) -> Guard<Option<Arc<Active>>> {
        self.state.load()
    }

    /// Answers a request within `limit`.
    pub async fn handle(&self, request: Request, limit: Ttl) -> Outcome {
        match self.active() {
            Some(active) => active.handle(request, limit).await,
            None => Err(Refusal::from(ApiError::sealed())),
        }
    }

    /// Makes keys, the first records and the first token. The server stays sealed.
    ///
    /// # Errors
    /// [`SealError::AlreadyInitialized`], or what is wrong with the numbers.
    pub async fn initialize(&self, input: &InitInput) -> Result<Initialized, CoreError> {
        let _one_at_a_time = self.admin.lock().await;
        if SealConfig::stored(self.locked.storage().as_ref()).await?.is_some() {
            return Err(SealError::AlreadyInitialized.into());
        }
        let config = input.validate()?;
        let ceremony = Ceremony::prepare(&self.locked, &config, self.clock.now()).await?;
        let made = ceremony.commit(&self.locked).await?;
        // Whoever crashes here told nobody the shares: what is stored is lost anyway.
        let barrier = self.locked.unlock(&made.root_key).await.map_err(SealError::from)?;
        let token = self.first_token(&barrier).await;
        barrier.lock();
        Ok(Initialized { shares: made.shares, root_token: token? })
    }

    /// Takes a share; with the last one needed the server becomes active.
    ///
    /// # Errors
    /// What is wrong with the share, or with all of them together.
    pub async fn unseal(&self, key: &str) -> Result<(), CoreError> {
        let _one_at_a_time = self.admin.lock().await;
        let config = SealConfig::stored(self.locked.storage().as_ref()).await?.ok_or(SealError::NotInitialized)?;
        if self.state.load().is_some() {
            return Ok(());
        }
        let step = self.ceremonies().unsealing.submit(&config, key)?;
        match step {
            Step::Waiting(_) => Ok(()),
            Step::Complete(kek) => self.open(&kek).await,
        }
    }

    /// Forgets the shares that were sent.
    ///
    /// # Errors
    /// [`SealError::Unsealed`].
    pub async fn reset_unseal(&self) -> Result<(), CoreError> {
        let _one_at_a_time = self.admin.lock().await;
        if self.state.load().is_some() {
            return Err(SealError::Unsealed.into());
        }
        self.ceremonies().unsealing.reset();
        Ok(())
    }

    /// Refuses new requests, lets those under way come to their end, and forgets the keys.
    pub async fn seal(&self) {
        let _one_at_a_time = self.admin.lock().await;
        if let Some(active) = self.state.swap(None) {
            *self.ceremonies() = Ceremonies::default();
            active.stop().await;
            tracing::info!("the server is sealed");
        }
    }

    /// Opens audit devices anew, as after a rotation of their files.
    pub async fn reopen_audit(&self) {
        if let Some(active) = self.active() {
            active.audit.reopen().await;
        }
    }

    /// Returns when nothing that is due is left to be tried now; at once while sealed. For those who move the clock.
    pub async fn settled(&self) {
        if let Some(active) = self.active() {
            active.leases.settled().await;
        }
    }

    /// How far unsealing has come.
    pub fn unseal_progress(&self) -> Progress {
        self.ceremonies().unsealing.progress()
    }

    /// The configuration of the seal; `None` before initialisation.
    pub async fn seal_config(&self) -> Result<Option<SealConfig>, SealError> {
        SealConfig::stored(self.locked.storage().as_ref()).await
    }

    /// What the storage calls itself.
    pub fn storage_kind(&self) -> &'static str {
        self.locked.storage().kind()
    }

    /// What the server was started with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The time.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    pub(super) fn storage(&self) -> &Arc<dyn Storage> {
        self.locked.storage()
    }

    pub(super) fn ceremonies(&self) -> MutexGuard<'_, Ceremonies> {
        self.ceremonies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn open(&self, kek: &Kek) -> Result<(), CoreError> {
        let root: RootKey = seal::open(self.locked.storage().as_ref(), kek).await?;
        let barrier = self.locked.unlock(&root).await.map_err(SealError::from)?;
        match self.activate(&barrier).await {
            Ok(active) => {
                active.start();
                self.state.store(Some(active));
                tracing::info!("the server is unsealed");
                Ok(())
            }
            Err(error) => {
                barrier.lock();
                Err(error)
            }
        }
    }

    async fn activate(&self, barrier: &Arc<Barrier>) -> Result<Arc<Active>, CoreError> {
        let parts = Parts {
            barrier: Arc::clone(barrier),
            settings: Arc::clone(&self.settings),
            registry: Arc::clone(&self.registry),
            clock: Arc::clone(&self.clock),
            seen: Arc::clone(&self.seen),
        };
        Ok(Active::open(parts).await?)
    }

    async fn first_token(&self, barrier: &Arc<Barrier>) -> Result<Secret<String>, CoreError> {
        let active = self.activate(barrier).await?;
        active.root_token().await.map_err(CoreError::from)
    }
}

impl Active {
    /// A new token that may do everything and never ends: of an initialisation, or of `sys/generate-root`.
    pub(super) async fn root_token(&self) -> Result<Secret<String>, ApiError> {
        let routes = self.routes.load();
        let mount = routes.at("auth/token/").ok_or_else(|| ApiError::internal("auth/token/ is not mounted"))?;
        let mut new = NewToken::service(vec![ROOT.to_owned()], "auth/token/root", mount.entry.id.clone());
        "root".clone_into(&mut new.display_name);
        new.renewable = false;
        new.has_lease = false;
        let mut txn = self.barrier.txn();
        let made = self.tokens.create(&new, &mut txn).await.map_err(super::access::of_token)?;
        txn.commit().await?;
        Ok(made.token)
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("active", &self.state.load().is_some()).finish_non_exhaustive()
    }
}

impl From<ApiError> for CoreError {
    fn from(error: ApiError) -> Self {
        Self::Api(Box::new(error))
    }
}

impl From<BarrierError> for CoreError {
    fn from(error: BarrierError) -> Self {
        Self::Seal(error.into())
    }
}
