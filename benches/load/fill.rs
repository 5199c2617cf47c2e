//! A store of very many token leases, made by the server's own token store in batches of its own.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use leasehold::barrier::{Barrier, Locked};
use leasehold::base::time::SystemClock;
use leasehold::base::{Clock, Tasks, Ttl};
use leasehold::lease::LeaseManager;
use leasehold::seal::{self, SealConfig, Step, Unsealing};
use leasehold::storage::embedded::{EmbeddedStorage, Options};
use leasehold::token::{NewToken, TokenInfo, TokenRecords, TokenStore};
use serde::{Deserialize, Serialize};

use crate::Failed;
use crate::report::say;
use crate::server::{Keys, Launcher, size_of_store, store_in};
use crate::world;

/// What one must know to use such a store.
#[derive(Serialize, Deserialize)]
pub(crate) struct Filled {
    pub(crate) leases: usize,
    pub(crate) keys: Keys,
    /// Tokens that are used all the time.
    pub(crate) hot: Vec<String>,
    /// The body of an `AppRole` login.
    pub(crate) login: String,
    /// Tokens from all over the store.
    pub(crate) sample: Vec<String>,
}

impl Filled {
    /// Of a folder that [`fill`] was given.
    pub(crate) fn of(folder: &Path) -> Result<Self, Failed> {
        let path = folder.join(KNOWN);
        let text = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(serde_json::from_slice(&text)?)
    }

    fn keep(&self, folder: &Path) -> Result<(), Failed> {
        // It holds tokens.
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(folder.join(KNOWN))?;
        Ok(file.write_all(&serde_json::to_vec(self)?)?)
    }
}

/// Has a server prepare a store in `folder`, ends it, and adds tokens: each as a login to a role of the server's would have
/// made it, with ends spread over a month.
pub(crate) async fn fill(launcher: &Launcher<'_>, folder: &Path, leases: usize) -> Result<Filled, Failed> {
    std::fs::create_dir_all(folder)?;
    if store_in(folder).exists() {
        return Err(format!("{} holds a store already", folder.display()).into());
    }
    let mut server = launcher.start(folder)?;
    let keys = server.initialize().await?;
    let operator = server.operator().await?;
    let hot = world::tokens(&operator, HOT).await?;
    let login = world::login(&operator).await?;
    let seed = operator.ask("POST", "auth/approle/login", &serde_json::from_str(&login)?).await?;
    let seed = seed.text("client_token").ok_or("a login gave no token")?.to_owned();
    server.stop().await?;
    let mut filled = Filled { leases, keys, hot, login, sample: vec![] };
    launcher.cores.take_all()?;
    let added = add(folder, &mut filled, &seed).await;
    launcher.cores.take_load()?;
    added?;
    filled.keep(folder)?;
    Ok(filled)
}

/// The same with words for whoever waits.
pub(crate) async fn fill_aloud(launcher: &Launcher<'_>, folder: &Path, leases: usize) -> Result<(), Failed> {
    let began = Instant::now();
    fill(launcher, folder, leases).await?;
    let (took, size) = (began.elapsed().as_secs_f64(), size_of_store(folder)? >> 20);
    say(&format!("{leases} token leases in {}: {size} MiB, after {took:.0} s", folder.display()));
    Ok(())
}

async fn add(folder: &Path, filled: &mut Filled, seed: &str) -> Result<(), Failed> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let options = Options { cache_bytes: 512 << 20, ..Options::default() };
    let storage = Arc::new(EmbeddedStorage::open(&store_in(folder), options, Arc::clone(&clock))?);
    let barrier = open(&storage, &filled.keys.unseal).await?;
    let tasks = Tasks::default();
    let records = TokenRecords::open(&barrier, Arc::clone(&clock)).await?;
    let leases = LeaseManager::new(&barrier, Arc::clone(&clock), tasks.clone(), Arc::clone(&records) as _);
    let tokens = TokenStore::new(records, leases, &barrier, clock, tasks);
    let seed = tokens.find(seed).await?.ok_or("the token that is to be copied has ended")?;
    let mut new = like(&seed);
    let every = (filled.leases / SAMPLE).max(1);
    for start in (0..filled.leases).step_by(BATCH) {
        let mut txn = barrier.txn();
        for number in start..filled.leases.min(start + BATCH) {
            new.ttl = Ttl::seconds(A_DAY + u64::try_from(number)?.wrapping_mul(STRIDE) % SPREAD);
            let made = tokens.create(&new, &mut txn).await?;
            if number % every == 0 {
                filled.sample.push(made.token.expose().clone());
            }
        }
        txn.commit().await?;
    }
    barrier.lock();
    storage.close().await;
    Ok(())
}

async fn open(storage: &Arc<EmbeddedStorage>, key: &str) -> Result<Arc<Barrier>, Failed> {
    let config = SealConfig::stored(&**storage).await?.ok_or("the store is not initialised")?;
    let Step::Complete(kek) = Unsealing::default().submit(&config, key)? else {
        return Err("the store has more than one share".into());
    };
    let root = seal::open(&**storage, &kek).await?;
    Ok(Locked::new(Arc::clone(storage) as _).unlock(&root).await?)
}

/// A token like this one.
fn like(info: &TokenInfo) -> NewToken {
    let mut new = NewToken::service(info.policies.clone(), info.path.clone(), info.mount.clone());
    new.meta.clone_from(&info.meta);
    new.internal_meta.clone_from(&info.internal_meta);
    new.display_name.clone_from(&info.display_name);
    new.entity_id.clone_from(&info.entity_id);
    new.explicit_max_ttl = info.explicit_max_ttl;
    new
}

/// Where [`Filled`] is kept.
const KNOWN: &str = "filled.json";
/// Tokens that are used all the time.
const HOT: usize = 16;
/// Tokens from all over the store.
const SAMPLE: usize = 10_000;
/// Tokens in a batch: some megabytes.
const BATCH: usize = 2000;
/// Seconds until the first end.
const A_DAY: u64 = 24 * 60 * 60;
/// Seconds between the first end and the last.
const SPREAD: u64 = 30 * A_DAY;
/// A prime, so that neighbours end at different times.
const STRIDE: u64 = 7919;
