//! From the intent to an active lease: nothing is issued that could be forgotten (architecture §5).

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::barrier::{BarrierError, Txn};
use crate::base::{ApiPath, LeaseId, MountId, Timestamp, TokenKey, Ttl};
use crate::storage::Version;

use super::lane::Released;
use super::manager::TRIES;
use super::token::TOKENS;
use super::ttl::{self, Wish};
use super::{LaneReport, Lease, LeaseError, LeaseManager, Leased, Limits, State, Terms, due};

/// Whom a lease hangs on.
#[derive(Clone, Debug, Default)]
pub struct Owner {
    /// The token it ends with: the caller's; a batch token's parent; none for an orphan batch token.
    pub token: Option<TokenKey>,
    /// The version of that token's record when the caller was read. Without one it is read anew.
    pub version: Option<Version>,
    /// When a batch token ends: its leases are clipped to that.
    pub ends: Option<Timestamp>,
    /// The token's last use, which cannot carry a lease.
    pub last_use: bool,
}

/// What the token store says of owners.
#[async_trait]
pub trait Owners: Send + Sync {
    /// The version of a token's record, stored at `token/id/<token key>`; none when it has ended or is being ended.
    async fn version(&self, token: &TokenKey) -> Result<Option<Version>, BarrierError>;
}

/// What an engine is given to issue with.
#[derive(Clone)]
pub struct Leases {
    manager: Arc<LeaseManager>,
    mount: MountId,
    path: Arc<str>,
    owner: Owner,
}

/// An intent that is durable, in its issuer's hand. Dropped unsettled it is ended at once.
pub struct Pending<L> {
    hand: Hand,
    lease: Lease,
    version: Version,
    owner: Owner,
    what: L,
}

/// Something issued, that core has yet to record. Dropped, it is ended at once.
pub struct Issued {
    lease: Lease,
    owner: Owner,
    body: Body,
}

enum Body {
    /// The intent's record is expected at this version.
    Fulfilled(Hand, Version),
    /// Nothing is stored, and nothing need be undone.
    Lent(Arc<LeaseManager>),
    /// It could not be written down.
    Unwritable { _hand: Hand, error: String },
}

/// A lease that is `Active` in a batch core is about to commit. Dropped, it is ended at once.
#[must_use = "say what became of the batch"]
pub struct Activation {
    /// As it will be.
    pub lease: Lease,
    /// For the caller.
    pub warnings: Vec<String>,
    before: Issued,
}

/// Keeps the reaper off an intent until it is settled.
struct Hand {
    manager: Arc<LeaseManager>,
    id: LeaseId,
    mount: MountId,
    /// What was created, once more is known than the intent says.
    lost: Option<Box<Lease>>,
    settled: bool,
}

impl Leases {
    pub(super) fn new(manager: Arc<LeaseManager>, mount: MountId, path: &ApiPath, owner: Owner) -> Self {
        Self { manager, mount, path: path.as_str().into(), owner }
    }

    /// Makes the intent durable, before anything is created outside. Unless fulfilled it ends by itself.
    ///
    /// # Errors
    /// [`LeaseError::OwnerEnded`] when the token has ended, [`LeaseError::LastUse`] on its last use.
    pub async fn begin<L: Leased>(&self, what: L) -> Result<Pending<L>, LeaseError> {
        let lease = self.fresh(&what, Terms::default())?;
        let manager = &self.manager;
        manager.take_in_hand(&lease.id);
        let hand =
            Hand { manager: Arc::clone(manager), id: lease.id.clone(), mount: lease.mount.clone(), lost: None, settled: false };
        let mut owner = self.owner.clone();
        for _ in 0..TRIES {
            let mut txn = manager.view.txn();
            manager.insert(&mut txn, &lease)?;
            manager.expect_owner(&mut txn, &owner);
            match txn.commit().await {
                Ok(()) => {
                    let (stored, version) = manager.read(&lease.id).await?.ok_or(LeaseError::Revoked)?;
                    // Revoked already: dropping the hand has it ended.
                    if stored.state != State::Pending {
                        return Err(LeaseError::Revoked);
                    }
                    return Ok(Pending { hand, lease: stored, version, owner, what });
                }
                Err(error) if error.is_conflict() => owner = manager.owner_again(owner).await?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(LeaseError::Contended)
    }

    /// For credentials that need no undoing: recorded when core activates it, in one commit.
    ///
    /// # Errors
    /// As [`Leases::begin`].
    #[expect(clippy::needless_pass_by_value, reason = "it belongs to the lease from now on")]
    pub fn lend<L: Leased>(&self, what: L, terms: Terms) -> Result<Issued, LeaseError> {
        let mut lease = self.fresh(&what, terms)?;
        lease.intent = false;
        Ok(Issued { lease, owner: self.owner.clone(), body: Body::Lent(Arc::clone(&self.manager)) })
    }

    /// Has leases of this mount that were put off, or rest with the mount, tried again at once: whatever kept them from
    /// ending may be mended. Works behind the caller.
    pub fn hasten(&self) {
        let (manager, mount) = (Arc::clone(&self.manager), self.mount.clone());
        self.manager.tasks.spawn(async move {
            if let Err(error) = manager.hasten(&mount).await {
                tracing::warn!(lease.mount = %mount, error = %error, "leases that were put off are not tried before their time");
            }
        });
    }

    /// The leases of this mount that end first, intents too, at most `limit`.
    ///
    /// # Errors
    /// Storage.
    pub async fn first(&self, limit: usize) -> Result<Vec<Lease>, LeaseError> {
        self.manager.first(&self.mount, limit).await
    }

    /// How the leases of this mount fare.
    ///
    /// # Errors
    /// Storage.
    pub async fn report(&self) -> Result<LaneReport, LeaseError> {
        self.manager.report(&self.mount).await
    }

    fn fresh<L: Leased>(&self, what: &L, terms: Terms) -> Result<Lease, LeaseError> {
        let now = self.manager.clock.now();
        if self.owner.last_use {
            return Err(LeaseError::LastUse);
        }
        if self.owner.ends.is_some_and(|ends| ends <= now) {
            return Err(LeaseError::OwnerEnded);
        }
        let id = LeaseId::fresh(&self.path, now);
        let end = now.plus(PENDING_FOR);
        Ok(Lease {
            path: id.path().to_owned(),
            id,
            mount: self.mount.clone(),
            kind: L::KIND.to_owned(),
            what: serialize(what).map_err(LeaseError::Unreadable)?,
            owner: self.owner.token,
            owner_ends: self.owner.ends,
            state: State::Pending,
            intent: true,
            issued: now,
            end,
            last_renewal: None,
            terms,
            failures: 0,
            irrevocable: None,
            failing: None,
            due: end,
            looks: 0,
            left: None,
        })
    }
}

impl<L: Leased> Pending<L> {
    /// The id the lease will have.
    pub fn id(&self) -> &LeaseId {
        &self.lease.id
    }

    /// What the intent says.
    pub fn what(&self) -> &L {
        &self.what
    }

    /// When the intent was begun.
    pub fn issued(&self) -> Timestamp {
        self.lease.issued
    }

    /// Everything was created. `what` is what it takes to undo it, `terms` how long it should live.
    #[expect(clippy::needless_pass_by_value, reason = "it belongs to the lease from now on")]
    pub fn fulfil(self, what: L, terms: Terms) -> Issued {
        let Self { mut hand, mut lease, version, owner, .. } = self;
        lease.terms = terms;
        match serialize(&what) {
            Ok(what) => {
                lease.what = what;
                hand.lost = Some(Box::new(lease.clone()));
                Issued { lease, owner, body: Body::Fulfilled(hand, version) }
            }
            Err(error) => Issued { lease, owner, body: Body::Unwritable { _hand: hand, error } },
        }
    }

    /// Removes the intent: nothing was created. Only after a definite refusal of the first call outside.
    pub async fn abandon(self) -> Result<(), LeaseError> {
        let Self { hand, lease, .. } = self;
        hand.manager.forget(&lease.id).await?;
        hand.settle(None);
        Ok(())
    }
}

impl Issued {
    /// The id the lease will have.
    pub fn id(&self) -> &LeaseId {
        &self.lease.id
    }
}

impl LeaseManager {
    /// Adds an active lease to the batch core is about to commit. Core then says what became of it:
    /// [`Activation::settled`], or [`Activation::conflicted`], which may give the [`Issued`] back for another try. Whatever
    /// else happens, dropping it has what was created ended.
    pub fn activate(&self, issued: Issued, limits: Limits, txn: &mut Txn) -> Result<Activation, LeaseError> {
        let now = self.clock.now();
        let mut lease = issued.lease.clone();
        let granted = ttl::ttl(&Wish::of(lease.terms, now), limits, now)?;
        let end = now.plus(granted.ttl);
        let end = lease.owner_ends.map_or(end, |ends| ends.min(end));
        if end <= now {
            return Err(LeaseError::OwnerEnded);
        }
        (lease.issued, lease.end, lease.due) = (now, end, end);
        (lease.state, lease.intent, lease.left) = (State::Active, false, Some(self.left_now()));
        match &issued.body {
            Body::Fulfilled(_, version) => self.replace(txn, &issued.lease, *version, &lease)?,
            Body::Lent(_) => {
                self.insert(txn, &lease)?;
                self.expect_owner(txn, &issued.owner);
            }
            Body::Unwritable { error, .. } => return Err(LeaseError::Unreadable(error.clone())),
        }
        Ok(Activation { lease, warnings: granted.warnings, before: issued })
    }

    /// Writes down what left its issuer's hand: `Revoking`, due now, whatever is stored.
    pub(super) async fn put_back(&self, released: &Released) -> Result<(), LeaseError> {
        let id = &released.id;
        let _turn = self.turns.take(id.as_str()).await;
        for _ in 0..TRIES {
            let now = self.clock.now();
            let stored = self.read(id).await?;
            let Some(mut lease) = released.lost.as_deref().or(stored.as_ref().map(|(lease, _)| lease)).cloned() else {
                return Ok(());
            };
            (lease.state, lease.end, lease.due) = (State::Revoking, now, now);
            (lease.left, lease.looks) = (Some(self.left_now()), 0);
            let mut txn = self.view.txn();
            if let Some((old, version)) = stored {
                lease.intent = old.intent;
                self.replace(&mut txn, &old, version, &lease)?;
            } else {
                txn.expect_absent(&self.view, &due::id(id));
                self.insert(&mut txn, &lease)?;
            }
            match txn.commit().await {
                Err(error) if error.is_conflict() => {}
                result => return Ok(result?),
            }
        }
        Err(LeaseError::Contended)
    }

    /// Has a batch expect the owner's record at the version it was read at, whatever else the batch writes.
    pub fn expect_owner(&self, txn: &mut Txn, owner: &Owner) {
        let Some(token) = &owner.token else { return };
        let tokens = self.view.barrier().view(TOKENS);
        let key = format!("id/{token}");
        // The version of nothing: fails whether or not the token is there, whereupon its version is read.
        txn.expect_at(&tokens, &key, owner.version.unwrap_or_else(|| Version::of(&[])));
    }

    /// The owner with the version of its record as it is now, once a batch that expected it conflicted.
    ///
    /// # Errors
    /// [`LeaseError::OwnerEnded`] when the token has ended or is being ended, [`LeaseError::Contended`] without a token.
    pub async fn owner_again(&self, owner: Owner) -> Result<Owner, LeaseError> {
        let Some(token) = &owner.token else { return Err(LeaseError::Contended) };
        let version = self.owners.version(token).await?.ok_or(LeaseError::OwnerEnded)?;
        Ok(Owner { version: Some(version), ..owner })
    }
}

impl Activation {
    /// The batch is durable.
    pub fn settled(self) -> (Lease, Vec<String>) {
        if let Body::Fulfilled(hand, _) = self.before.body {
            hand.settle(Some(self.lease.due));
        }
        (self.lease, self.warnings)
    }

    /// The batch conflicted. Gives back what to activate again, at most a few times, when the conflict was not about this
    /// lease or its owner lives on.
    ///
    /// # Errors
    /// [`LeaseError::Revoked`] when the lease was revoked meanwhile: it is put back as `Revoking`, due now.
    /// [`LeaseError::OwnerEnded`] when the token ended.
    pub async fn conflicted(self) -> Result<Issued, LeaseError> {
        let Issued { lease, owner, body } = self.before;
        match body {
            Body::Fulfilled(mut hand, version) => {
                let manager = Arc::clone(&hand.manager);
                if manager.read(&lease.id).await?.is_some_and(|(_, stored)| stored == version) {
                    return Ok(Issued { lease, owner, body: Body::Fulfilled(hand, version) });
                }
                let released = Released { id: lease.id, lost: hand.lost.take() };
                if let Err(error) = manager.put_back(&released).await {
                    hand.lost = released.lost;
                    return Err(error);
                }
                hand.settle(Some(manager.clock.now()));
                Err(LeaseError::Revoked)
            }
            Body::Lent(manager) if owner.token.is_some() => {
                let owner = manager.owner_again(owner).await?;
                Ok(Issued { lease, owner, body: Body::Lent(manager) })
            }
            body @ Body::Lent(_) => Ok(Issued { lease, owner, body }),
            Body::Unwritable { error, .. } => Err(LeaseError::Unreadable(error)),
        }
    }
}

impl Hand {
    /// Lets go without ending it; `due`: when the lane must look at it, as it passed over it while it was held.
    fn settle(mut self, due: Option<Timestamp>) {
        self.settled = true;
        self.manager.let_go(&self.id);
        if let Some(due) = due {
            self.manager.lanes.lane(self.mount.as_str()).notice(due, self.id.suffix());
        }
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        if !self.settled {
            // Drop cannot wait: the lane writes it down, and only then lets the id go.
            let released = Released { id: self.id.clone(), lost: self.lost.take() };
            self.manager.lanes.lane(self.mount.as_str()).release(released);
        }
    }
}

impl fmt::Debug for Leases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leases").field("mount", &self.mount).field("path", &self.path).finish_non_exhaustive()
    }
}

impl<L> fmt::Debug for Pending<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pending").field(&self.lease).finish()
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Issued").field(&self.lease).finish()
    }
}

impl fmt::Debug for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Activation").field(&self.lease).finish()
    }
}

fn serialize<L: Leased>(what: &L) -> Result<serde_json::Value, String> {
    serde_json::to_value(what).map_err(|error| format!("what is leased cannot be written down: {error}"))
}

/// An intent that nobody settles is ended after so long. Five minutes: an issue has 90 seconds, and an outside that is slow
/// to show what it created has shown it by then.
const PENDING_FOR: Ttl = Ttl::minutes(5);
