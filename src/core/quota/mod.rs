//! Quotas: how often a client may ask, and how many leases there may be (spec `sys.md` §13).
//!
//! ```text
//! core/quota/config              what is exempt, what is told
//! core/quota/rate-limit/<name>   a rule
//! core/quota/lease-count/<name>  a rule
//! core/quota/count/<id>/…        the leases under a rule
//! core/quota/recount/<id>        what is still to be counted again
//! ```
//!
//! One change at a time, with `Active::admin` held: stored first, then published as a whole. The rules that lie in a mount go
//! with it: to its new path when it moves, and for good when it is unmounted.

mod admit;
mod follow;
mod rate;
mod recount;
mod rule;

use std::fmt;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use serde::{Deserialize, Serialize};

use crate::barrier::{Barrier, BarrierError, Tally, View};
use crate::base::{Ttl, random};
use crate::lease::{LeaseQuotas, Room};
use crate::mount::{ApiError, ErrorKind};

use super::Seen;
use rate::Limiter;
use recount::Recount;
use rule::{Book, Target};

pub use admit::{Admission, RateHeaders};

/// See the module.
pub(in crate::core) struct Quotas {
    view: View,
    config: ArcSwap<Config>,
    rates: ArcSwap<Book<Rate>>,
    leases: ArcSwap<Book<LeaseCount>>,
    seen: Arc<Seen>,
}

/// What holds for all rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::core) struct Config {
    /// Paths no rate holds for; a `*` at the end takes what follows.
    pub(in crate::core) exempt: Vec<String>,
    /// Requests over a rate are audited.
    pub(in crate::core) audits: bool,
    /// Replies tell what is left of a rate.
    pub(in crate::core) tells: bool,
}

/// A rule of either kind, as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::core) struct Rule<K> {
    pub(in crate::core) name: String,
    /// Empty: everything.
    pub(in crate::core) path: String,
    /// The mount it lies in.
    pub(in crate::core) mount: Option<String>,
    /// Empty: all.
    pub(in crate::core) role: String,
    /// Kept and shown: there are no namespaces.
    pub(in crate::core) inheritable: bool,
    pub(in crate::core) kind: K,
}

/// How often.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::core) struct RateTerms {
    pub(in crate::core) rate: f64,
    pub(in crate::core) interval: Ttl,
    pub(in crate::core) block_interval: Ttl,
}

/// How many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::core) struct CountTerms {
    /// Names the count for as long as the rule is for the same.
    pub(in crate::core) id: Arc<str>,
    pub(in crate::core) max_leases: u64,
}

/// Kinds of rules.
pub(in crate::core) trait Kind: Clone + Serialize + for<'de> Deserialize<'de> + Send + Sync {
    /// Its folder, and its name in the API.
    const FOLDER: &'static str;
}

impl Kind for RateTerms {
    const FOLDER: &'static str = "rate-limit";
}

impl Kind for CountTerms {
    const FOLDER: &'static str = "lease-count";
}

#[derive(Debug)]
struct Rate {
    rule: Rule<RateTerms>,
    limiter: Limiter,
}

#[derive(Debug)]
struct LeaseCount {
    rule: Rule<CountTerms>,
    tally: Arc<Tally>,
    most: u64,
}

/// The leases under a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::core) struct Counted {
    pub(in crate::core) name: String,
    pub(in crate::core) counter: u64,
    pub(in crate::core) max: u64,
}

impl Quotas {
    pub(in crate::core) async fn open(barrier: &Arc<Barrier>, seen: Arc<Seen>) -> Result<Arc<Self>, BarrierError> {
        let view = barrier.view("core/quota/");
        let config = view.read(CONFIG).await?.unwrap_or_default();
        let quotas =
            Self { view, config: ArcSwap::from_pointee(config), rates: ArcSwap::default(), leases: ArcSwap::default(), seen };
        quotas.publish_rates().await?;
        quotas.publish_counts().await?;
        Ok(Arc::new(quotas))
    }

    pub(in crate::core) fn config(&self) -> Guard<Arc<Config>> {
        self.config.load()
    }

    /// Stores, then publishes. One change at a time.
    pub(in crate::core) async fn set_config(&self, config: Config) -> Result<(), BarrierError> {
        self.view.put(CONFIG, &config).await?;
        self.config.store(Arc::new(config));
        Ok(())
    }

    /// Names of the rules of a kind.
    pub(in crate::core) async fn names<K: Kind>(&self) -> Result<Vec<String>, BarrierError> {
        self.view.list_all(&folder::<K>("")).await
    }

    /// A rule.
    pub(in crate::core) async fn read<K: Kind>(&self, name: &str) -> Result<Option<Rule<K>>, BarrierError> {
        self.view.read(&folder::<K>(name)).await
    }

    /// Whether logins there have to say for which role they are.
    pub(in crate::core) fn asks_for_role(&self, path: &str) -> bool {
        self.leases.load().asks_for_role(path)
    }

    /// The leases under all rules.
    pub(in crate::core) fn lease_counts(&self) -> Vec<Counted> {
        let book = self.leases.load();
        let each = book.rules().map(|(_, count)| Counted {
            name: count.rule.name.clone(),
            counter: count.tally.count(),
            max: count.most,
        });
        each.collect()
    }

    /// The leases under a rule.
    pub(in crate::core) async fn counter(&self, name: &str) -> Result<u64, BarrierError> {
        let book = self.leases.load_full();
        let Some((_, count)) = book.rules().find(|(_, count)| count.rule.name == name) else { return Ok(0) };
        count.tally.mend().await?;
        Ok(count.tally.count())
    }

    /// Reads again what a failure of storage left open.
    pub(in crate::core) async fn mend(&self) {
        let book = self.leases.load_full();
        for (_, count) in book.rules() {
            if let Err(error) = count.tally.mend().await {
                tracing::warn!(error = %error, "the leases under a quota cannot be counted again yet");
            }
        }
    }

    /// Stores a rule, then publishes. One change at a time.
    pub(in crate::core) async fn write_rate(&self, rule: &Rule<RateTerms>) -> Result<(), ApiError> {
        self.check_new(rule).await?;
        self.view.put(&folder::<RateTerms>(&rule.name), rule).await?;
        Ok(self.publish_rates().await?)
    }

    /// Stores a rule, then publishes. What was counted under one of the same name counts on if it is for the same.
    pub(in crate::core) async fn write_count(&self, mut rule: Rule<CountTerms>) -> Result<Recount, ApiError> {
        self.check_new(&rule).await?;
        let mut txn = self.view.txn();
        if let Some(old) = self.read::<CountTerms>(&rule.name).await? {
            if old.target() == rule.target() {
                rule.kind.id = old.kind.id;
            } else {
                self.forget_count(&old, &mut txn);
            }
        }
        txn.put(&self.view, &folder::<CountTerms>(&rule.name), &rule)?;
        let recount = self.note_recount(&mut txn, rule.mount.as_deref())?;
        txn.commit().await?;
        self.publish_counts().await?;
        Ok(recount)
    }

    /// Removes a rule, if it is there. One change at a time.
    pub(in crate::core) async fn delete<K: Kind>(&self, name: &str) -> Result<Option<Recount>, ApiError> {
        let mut txn = self.view.txn();
        let mut recount = None;
        if K::FOLDER == CountTerms::FOLDER
            && let Some(old) = self.read::<CountTerms>(name).await?
        {
            self.forget_count(&old, &mut txn);
            recount = Some(self.note_recount(&mut txn, old.mount.as_deref())?);
        }
        txn.delete(&self.view, &folder::<K>(name));
        txn.commit().await?;
        self.publish_rates().await?;
        self.publish_counts().await?;
        Ok(recount)
    }

    fn forget_count(&self, old: &Rule<CountTerms>, txn: &mut crate::barrier::Txn) {
        let book = self.leases.load();
        if let Some((_, count)) = book.rules().find(|(_, count)| count.rule.kind.id == old.kind.id) {
            count.tally.forget(txn);
        }
    }

    /// Whether there is room for a rule, and no other for the same.
    async fn check_new<K: Kind>(&self, rule: &Rule<K>) -> Result<(), ApiError> {
        let others: Vec<Rule<K>> = self.view.sub(&folder::<K>("")).scan_all().await?;
        if let Some(other) = others.iter().find(|other| other.name != rule.name && other.target() == rule.target()) {
            let text = format!("quota rule with similar properties exists under the name {:?}", other.name);
            return Err(ApiError::invalid(text));
        }
        if others.len() >= MOST_RULES && others.iter().all(|other| other.name != rule.name) {
            return Err(ApiError::new(ErrorKind::Invalid, format!("there are {MOST_RULES} rules already")));
        }
        Ok(())
    }

    async fn publish_rates(&self) -> Result<(), BarrierError> {
        let stored: Vec<Rule<RateTerms>> = self.view.sub(&folder::<RateTerms>("")).scan_all().await?;
        let old = self.rates.load_full();
        let most_clients = (MOST_CLIENTS / stored.len().max(1)).max(FEWEST_CLIENTS);
        let rates = stored.into_iter().map(|rule| {
            // Who was near its rate is as near as before.
            let same = old.rules().find(|(_, rate)| rate.rule == rule).map(|(_, rate)| Arc::clone(rate));
            let fresh = || {
                let RateTerms { rate, interval, block_interval } = &rule.kind;
                let limiter = Limiter::new(*rate, interval.to_duration(), block_interval.to_duration(), most_clients);
                Arc::new(Rate { rule: rule.clone(), limiter })
            };
            (rule.target(), same.unwrap_or_else(fresh))
        });
        let book = Book::new(rates.collect::<Vec<_>>());
        self.rates.store(Arc::new(book));
        Ok(())
    }

    async fn publish_counts(&self) -> Result<(), BarrierError> {
        let stored: Vec<Rule<CountTerms>> = self.view.sub(&folder::<CountTerms>("")).scan_all().await?;
        let old = self.leases.load_full();
        let mut counts = Vec::with_capacity(stored.len());
        for rule in stored {
            let same = old.rules().find(|(_, count)| count.rule.kind.id == rule.kind.id).map(|(_, count)| count);
            let tally = match same {
                Some(count) => Arc::clone(&count.tally),
                None => Tally::open(self.view.sub(&format!("{COUNT}{}/", rule.kind.id))).await?,
            };
            let most = rule.kind.max_leases;
            counts.push((rule.target(), Arc::new(LeaseCount { rule, tally, most })));
        }
        self.leases.store(Arc::new(Book::new(counts)));
        Ok(())
    }
}

impl CountTerms {
    /// A count of its own.
    pub(in crate::core) fn new(max_leases: u64) -> Self {
        Self { id: random::uuid().into(), max_leases }
    }
}

impl<K> Rule<K> {
    fn target(&self) -> Target {
        Target::of(&self.path, self.mount.as_deref(), &self.role)
    }
}

impl LeaseQuotas for Quotas {
    fn room(&self, path: &str, role: Option<&str>) -> Option<Room> {
        let book = self.leases.load();
        let count = book.find(path, role)?;
        let most = count.most;
        Some(Room { rule: Arc::clone(&count.rule.kind.id), tally: Arc::clone(&count.tally), most })
    }

    fn tally(&self, rule: &str) -> Option<Arc<Tally>> {
        let book = self.leases.load();
        book.rules().find(|(_, count)| *count.rule.kind.id == *rule).map(|(_, count)| Arc::clone(&count.tally))
    }

    fn is_of_role(&self, rule: &str) -> bool {
        let book = self.leases.load();
        book.rules().any(|(target, count)| matches!(target, Target::Role(..)) && *count.rule.kind.id == *rule)
    }

    fn refused(&self) {
        self.seen.metrics.over_leases();
    }
}

impl Default for Config {
    fn default() -> Self {
        Self { exempt: EXEMPT.iter().map(|path| (*path).to_owned()).collect(), audits: false, tells: false }
    }
}

impl Config {
    /// Whether no rate holds for a path.
    fn exempts(&self, path: &str) -> bool {
        self.exempt.iter().any(|exempt| match exempt.strip_suffix('*') {
            Some(prefix) => path.starts_with(prefix),
            None => path == exempt,
        })
    }
}

impl fmt::Debug for Quotas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quotas").field("rates", &*self.rates.load()).field("leases", &*self.leases.load()).finish_non_exhaustive()
    }
}

fn folder<K: Kind>(name: &str) -> String {
    format!("{}/{name}", K::FOLDER)
}

const CONFIG: &str = "config";
const COUNT: &str = "count/";
/// Rules of a kind: each request is held against all lengths of globs.
const MOST_RULES: usize = 1000;
/// Clients remembered over all rules, about a hundred bytes each, and at least of each rule.
const MOST_CLIENTS: usize = 500_000;
const FEWEST_CLIENTS: usize = 1000;
/// What nobody may be kept from unless an operator says so.
const EXEMPT: [&str; 7] = [
    "sys/generate-recovery-token/attempt",
    "sys/generate-recovery-token/update",
    "sys/generate-root/attempt",
    "sys/generate-root/update",
    "sys/health",
    "sys/seal-status",
    "sys/unseal",
];
