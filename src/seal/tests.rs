//! The ceremonies over a storage that can refuse.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::*;
use crate::barrier::Locked;
use crate::base::Timestamp;
use crate::storage::{Batch, CommitHook, Expect, Page, Stored};

/// A map that judges expectations, and refuses commits when told.
#[derive(Debug, Default)]
struct Shelf {
    entries: Mutex<BTreeMap<String, Bytes>>,
    full: AtomicBool,
}

impl Shelf {
    fn keys(&self) -> Vec<String> {
        self.entries.lock().unwrap().keys().cloned().collect()
    }

    fn put(&self, key: &str, bytes: Bytes) {
        self.entries.lock().unwrap().insert(key.to_owned(), bytes);
    }
}

#[async_trait]
impl Storage for Shelf {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, StorageError> {
        Ok(self.entries.lock().unwrap().get(key.as_str()).map(|bytes| Stored::new(bytes.clone())))
    }
    async fn scan(&self, _: &Key, _: Page<'_>) -> Result<Vec<(Key, Stored)>, StorageError> {
        Err(StorageError::Closed)
    }
    async fn list(&self, _: &Key, _: Page<'_>) -> Result<Vec<String>, StorageError> {
        Err(StorageError::Closed)
    }
    async fn commit(&self, batch: Batch) -> Result<(), StorageError> {
        if self.full.load(Ordering::SeqCst) {
            return Err(StorageError::Io("no space".to_owned()));
        }
        let mut entries = self.entries.lock().unwrap();
        for expect in &batch.expects {
            let holds = match expect {
                Expect::Absent(key) => !entries.contains_key(key.as_str()),
                Expect::At(key, version) => entries.get(key.as_str()).is_some_and(|bytes| Version::of(bytes) == *version),
                Expect::Empty(prefix) => !entries.keys().any(|key| key.starts_with(prefix.as_str())),
            };
            if !holds {
                return Err(StorageError::Conflict(Key::from("some key")));
            }
        }
        for write in batch.writes {
            match write {
                Write::Put(key, bytes) => entries.insert(key.as_str().to_owned(), bytes),
                Write::Delete(key) => entries.remove(key.as_str()),
            };
        }
        Ok(())
    }
    fn on_commit(&self, _: CommitHook) {}
    fn kind(&self) -> &'static str {
        "shelf"
    }
}

fn config(shares: i64, threshold: i64) -> SealConfig {
    SealConfig::shamir(shares, threshold).unwrap()
}

fn hexed(share: &Share) -> String {
    hex::encode(share.expose())
}

async fn initialized(shares: i64, threshold: i64) -> (Arc<Shelf>, Locked, Initialized) {
    let shelf = Arc::new(Shelf::default());
    let storage: Arc<dyn Storage> = Arc::<Shelf>::clone(&shelf);
    let locked = Locked::new(storage);
    let ceremony = Ceremony::prepare(&locked, &config(shares, threshold), Timestamp::from_seconds(1)).await.unwrap();
    let outcome = ceremony.commit(&locked).await.unwrap();
    (shelf, locked, outcome)
}

fn waiting(step: Step) -> Progress {
    match step {
        Step::Waiting(progress) => progress,
        Step::Complete(_) => panic!("complete too early"),
    }
}

fn complete(step: Step) -> Kek {
    match step {
        Step::Complete(kek) => kek,
        Step::Waiting(progress) => panic!("still waiting: {progress:?}"),
    }
}

#[tokio::test]
async fn enough_shares_open_the_barrier() {
    let (shelf, locked, outcome) = initialized(3, 2).await;
    assert_eq!(shelf.keys(), ["core/hsm/barrier-unseal-keys", "core/keyring", "core/seal-config"]);
    let config = SealConfig::stored(shelf.as_ref()).await.unwrap().unwrap();
    let mut unsealing = Unsealing::default();
    let first = waiting(unsealing.submit(&config, &hexed(&outcome.shares[2])).unwrap());
    assert_eq!((first.count, first.nonce.len()), (1, 36));
    let base64 = STANDARD.encode(outcome.shares[0].expose());
    let kek = complete(unsealing.submit(&config, &base64).unwrap());
    assert_eq!(unsealing.progress(), Progress::default());
    let root = open(shelf.as_ref(), &kek).await.unwrap();
    assert_eq!(root.expose(), outcome.root_key.expose());
    assert!(locked.unlock(&root).await.is_ok());
}

#[tokio::test]
async fn a_single_share_is_the_key_itself() {
    let (shelf, _, outcome) = initialized(1, 1).await;
    assert_eq!(outcome.shares[0].expose().len(), 32);
    let kek = complete(Unsealing::default().submit(&config(1, 1), &hexed(&outcome.shares[0])).unwrap());
    assert!(open(shelf.as_ref(), &kek).await.is_ok());
}

#[tokio::test]
async fn wrong_shares_reset_progress_and_say_so() {
    let (shelf, _, outcome) = initialized(3, 2).await;
    let (_, _, other) = initialized(3, 2).await;
    let mut unsealing = Unsealing::default();
    unsealing.submit(&config(3, 2), &hexed(&outcome.shares[0])).unwrap();
    // Of another server; but not at the same x, which would be refused before.
    let x = outcome.shares[0].expose().last();
    let foreign = other.shares.iter().find(|share| share.expose().last() != x).unwrap();
    let kek = complete(unsealing.submit(&config(3, 2), &hexed(foreign)).unwrap());
    let error = open(shelf.as_ref(), &kek).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "unable to retrieve stored keys: invalid key: failed to decrypt keys from storage: cipher: message authentication failed"
    );
    assert_eq!(error.fault(), Fault::Invalid);
    assert_eq!(unsealing.progress(), Progress::default());

    unsealing.submit(&config(3, 2), &hexed(&outcome.shares[0])).unwrap();
    let error = unsealing.submit(&config(3, 2), &"ab".repeat(32)).unwrap_err();
    assert!(matches!(error, SealError::Shares(ShamirError::Lengths)), "{error}");
    assert_eq!(unsealing.progress(), Progress::default());
}

#[tokio::test]
async fn the_same_share_twice_counts_once() {
    let (_, _, outcome) = initialized(3, 2).await;
    let mut unsealing = Unsealing::default();
    let first = waiting(unsealing.submit(&config(3, 2), &hexed(&outcome.shares[0])).unwrap());
    let again = waiting(unsealing.submit(&config(3, 2), &hexed(&outcome.shares[0]).to_uppercase()).unwrap());
    assert_eq!(first, again);
    unsealing.reset();
    assert_eq!(unsealing.progress(), Progress::default());
    let fresh = waiting(unsealing.submit(&config(3, 2), &hexed(&outcome.shares[0])).unwrap());
    assert_ne!(fresh.nonce, first.nonce);
}

#[test]
fn texts_that_are_no_shares_are_named_and_change_nothing() {
    let mut unsealing = Unsealing::default();
    for (text, error) in [
        ("", "'key' must be specified in request body as JSON, or 'reset' set to true"),
        ("zz!!", "'key' must be a valid hex or base64 string"),
        ("abcd", "invalid key: key is shorter than minimum 16 bytes"),
        (&"ab".repeat(15), "invalid key: key is shorter than minimum 16 bytes"),
        (&"ab".repeat(34), "invalid key: key is longer than maximum 33 bytes"),
        (&"ab".repeat(35), "invalid key: key is longer than maximum 33 bytes"),
        (&"ab".repeat(40), "invalid key: key is longer than maximum 33 bytes"),
        (&STANDARD.encode([7; 34]), "invalid key: key is longer than maximum 33 bytes"),
        (&STANDARD.encode([7; 32]).replace('=', ""), "'key' must be a valid hex or base64 string"),
    ] {
        let refused = unsealing.submit(&config(3, 2), text).unwrap_err();
        assert_eq!(refused.to_string(), error, "{text}");
        assert_eq!(refused.fault(), Fault::Invalid);
    }
    assert_eq!(unsealing.progress(), Progress::default());
}

#[test]
fn hex_comes_before_base64_when_both_fit() {
    // 44 hex digits: 22 bytes as hex, 33 as base64.
    assert_eq!(unseal::decode(&"ab".repeat(22)).unwrap().expose(), &[0xab; 22]);
    // 24 hex digits: 12 bytes as hex, too few; 18 as base64.
    assert_eq!(unseal::decode(&"ab".repeat(12)).unwrap().expose().len(), 18);
    assert_eq!(unseal::decode(&STANDARD.encode([9; 33])).unwrap().expose(), &[9; 33]);
}

#[test]
fn parameters_of_init_are_judged_in_order() {
    let input = |text: &str| serde_json::from_str::<InitInput>(text).unwrap();
    for (text, error) in [
        ("{}", "invalid seal configuration: shares must be at least one"),
        (r#"{"secret_shares":0,"secret_threshold":0}"#, "invalid seal configuration: shares must be at least one"),
        (r#"{"secret_shares":-1,"secret_threshold":1}"#, "invalid seal configuration: shares must be at least one"),
        (r#"{"secret_shares":5,"secret_threshold":6}"#, "invalid seal configuration: threshold cannot be larger than shares"),
        (
            r#"{"secret_shares":5,"secret_threshold":1}"#,
            "invalid seal configuration: threshold must be greater than one for multiple shares",
        ),
        (r#"{"secret_shares":256,"secret_threshold":3}"#, "invalid seal configuration: shares must be less than 256"),
        (r#"{"secret_shares":5,"secret_threshold":256}"#, "invalid seal configuration: threshold must be less than 256"),
        (r#"{"secret_shares":3,"secret_threshold":0}"#, "invalid seal configuration: threshold must be at least one"),
        (
            r#"{"secret_shares":3,"secret_threshold":2,"pgp_keys":["a"]}"#,
            "invalid seal configuration: count mismatch between number of provided PGP keys and number of shares",
        ),
        (
            r#"{"secret_shares":3,"secret_threshold":2,"pgp_keys":["a","b","c"]}"#,
            "pgp_keys: encryption with PGP keys is not supported by this server",
        ),
        (
            r#"{"secret_shares":3,"secret_threshold":2,"root_token_pgp_key":"a"}"#,
            "root_token_pgp_key: encryption with PGP keys is not supported by this server",
        ),
        (
            r#"{"secret_shares":3,"secret_threshold":2,"recovery_shares":1,"recovery_threshold":1}"#,
            "parameters recovery_shares,recovery_threshold not applicable to seal type shamir",
        ),
    ] {
        let refused = input(text).validate().unwrap_err();
        assert_eq!(refused.to_string(), error, "{text}");
        assert_eq!(refused.fault(), Fault::Invalid);
    }
    let text = r#"{"secret_shares":5,"secret_threshold":3,"stored_shares":1,"recovery_shares":0,"pgp_keys":null}"#;
    assert_eq!(input(text).validate().unwrap(), config(5, 3));
}

#[tokio::test]
async fn only_the_first_of_two_initialisations_is_true() {
    let shelf: Arc<dyn Storage> = Arc::new(Shelf::default());
    let locked = Locked::new(Arc::clone(&shelf));
    let single = config(1, 1);
    let prepare = || Ceremony::prepare(&locked, &single, Timestamp::default());
    let (first, second) = (prepare().await.unwrap(), prepare().await.unwrap());
    let outcome = first.commit(&locked).await.unwrap();
    assert!(matches!(second.commit(&locked).await, Err(SealError::AlreadyInitialized)));
    assert!(matches!(prepare().await, Err(SealError::AlreadyInitialized)));
    let kek = Kek::from_bytes(outcome.shares[0].expose()).unwrap();
    assert!(open(shelf.as_ref(), &kek).await.is_ok(), "the loser changed nothing");
}

#[tokio::test]
async fn a_refused_batch_leaves_the_store_uninitialised() {
    let shelf = Arc::new(Shelf::default());
    let storage: Arc<dyn Storage> = Arc::<Shelf>::clone(&shelf);
    let locked = Locked::new(storage);
    let more = Batch { writes: vec![Write::Put(Key::from("core/more"), Bytes::from_static(b"x"))], expects: vec![] };
    let prepare = || async { Ceremony::prepare(&locked, &config(3, 2), Timestamp::default()).await.unwrap().with(more.clone()) };
    shelf.full.store(true, Ordering::SeqCst);
    let error = prepare().await.commit(&locked).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Internal, "{error}");
    assert!(shelf.keys().is_empty());
    assert_eq!(SealConfig::stored(shelf.as_ref()).await.unwrap(), None);
    shelf.full.store(false, Ordering::SeqCst);
    assert!(prepare().await.commit(&locked).await.is_ok(), "a later try succeeds");
    assert!(shelf.keys().contains(&"core/more".to_owned()), "what core adds is in the same batch");
}

#[tokio::test]
async fn a_changed_record_is_noticed() {
    let (shelf, _, outcome) = initialized(1, 1).await;
    let kek = Kek::from_bytes(outcome.shares[0].expose()).unwrap();
    let good = shelf.get(&root_path()).await.unwrap().unwrap().bytes;
    for index in 0..good.len() {
        let mut bad = good.to_vec();
        bad[index] ^= 1;
        shelf.put(ROOT_PATH, bad.into());
        let error = open(shelf.as_ref(), &kek).await.unwrap_err();
        assert_eq!(matches!(error, SealError::Damaged(_)), index == 0, "byte {index}: {error}");
        assert_eq!(matches!(error, SealError::WrongKey), index != 0, "byte {index}: {error}");
    }
    shelf.put(ROOT_PATH, good.slice(..20));
    assert!(matches!(open(shelf.as_ref(), &kek).await, Err(SealError::Damaged(_))));
    for text in [
        "",
        "{}",
        r#"{"type":"shamir","secret_shares":0,"secret_threshold":0}"#,
        r#"{"type":"x","secret_shares":1,"secret_threshold":1}"#,
    ] {
        shelf.put("core/seal-config", Bytes::from(text));
        assert!(matches!(SealConfig::stored(shelf.as_ref()).await, Err(SealError::Damaged(_))), "{text}");
    }
}

#[test]
fn nothing_of_a_ceremony_shows_its_keys() {
    let kek = Kek::from_bytes(&[0x41; 32]).unwrap();
    let mut unsealing = Unsealing::default();
    unsealing.submit(&config(3, 2), &"41".repeat(33)).unwrap();
    for shown in [format!("{kek:?}"), format!("{unsealing:?}")] {
        assert!(!shown.contains("65, 65") && !shown.contains("AAAA"), "{shown}");
    }
}

fn rekey_input(text: &str) -> RekeyInput {
    serde_json::from_str(text).unwrap()
}

fn refusal(step: Result<RekeyStep, RekeyError>) -> (String, Fault) {
    let error = step.unwrap_err();
    (error.to_string(), error.fault())
}

/// Whether these shares open the store, and to which root key.
async fn opened(shelf: &Shelf, shares: &[Share]) -> Result<RootKey, SealError> {
    let config = SealConfig::stored(shelf).await?.unwrap();
    open(shelf, &config.collect(shares)?).await
}

/// Old shares are shown, new ones dealt.
async fn dealt(shelf: &Shelf, old: &[Share], rekey: &mut Rekey, input: &str) -> Dealt {
    let config = SealConfig::stored(shelf).await.unwrap().unwrap();
    let nonce = rekey.begin(&config, &rekey_input(input)).unwrap().nonce;
    let (last, first) = old.split_last().unwrap();
    for share in first {
        assert!(matches!(rekey.update(&config, &hexed(share), &nonce), Ok(RekeyStep::Waiting(_))));
    }
    let Ok(RekeyStep::Authenticate(kek)) = rekey.update(&config, &hexed(last), &nonce) else { panic!() };
    let root = open(shelf, &kek).await.unwrap();
    rekey.deal(&root).await.unwrap()
}

#[tokio::test]
async fn new_shares_open_the_same_root_key_and_old_ones_no_more() {
    let (shelf, locked, outcome) = initialized(3, 2).await;
    let mut rekey = Rekey::default();
    let input = r#"{"secret_shares":4,"secret_threshold":3}"#;
    let dealt = dealt(&shelf, &outcome.shares[..2], &mut rekey, input).await;
    assert_eq!((dealt.shares.len(), dealt.verification_nonce), (4, None));
    assert!(opened(&shelf, &outcome.shares[1..]).await.is_ok(), "nothing has changed yet");
    dealt.change.unwrap().commit(shelf.as_ref()).await.unwrap();
    rekey.finish();
    let root = opened(&shelf, &dealt.shares[1..]).await.unwrap();
    assert_eq!(root.expose(), outcome.root_key.expose());
    assert!(locked.unlock(&root).await.is_ok());
    assert!(matches!(opened(&shelf, &outcome.shares).await, Err(SealError::WrongKey)));
    assert_eq!(SealConfig::stored(shelf.as_ref()).await.unwrap(), Some(config(4, 3)));
    assert!(!rekey.status(&config(4, 3)).started);
}

#[tokio::test]
async fn shares_to_be_verified_count_only_when_they_were_shown() {
    let (shelf, _, outcome) = initialized(1, 1).await;
    let mut rekey = Rekey::default();
    assert_eq!(rekey.verify_status().unwrap_err().to_string(), "no rekey configuration found");
    let input = r#"{"secret_shares":2,"secret_threshold":2,"require_verification":true}"#;
    let dealt = dealt(&shelf, &outcome.shares, &mut rekey, input).await;
    assert!(dealt.change.is_none());
    let due = dealt.verification_nonce.unwrap();
    let status = rekey.status(&config(1, 1));
    assert_eq!((status.verification_nonce.as_deref(), status.progress, status.required), (Some(due.as_str()), 0, 1));
    let finished = format!(
        "rekey operation already finished; verification must be performed; nonce for the verification operation is \"{due}\""
    );
    let again = rekey.update(&config(1, 1), &hexed(&outcome.shares[0]), &dealt.nonce);
    assert_eq!(refusal(again), (finished, Fault::Invalid));

    let wrong = rekey.verify(&hexed(&dealt.shares[0]), "bad").unwrap_err().to_string();
    assert_eq!(wrong, format!("incorrect nonce supplied; nonce for this verify operation is \"{due}\""));
    assert!(matches!(rekey.verify(&hexed(&dealt.shares[0]), &due), Ok(VerifyStep::Waiting(VerifyStatus { progress: 1, .. }))));
    let again = rekey.verify(&hexed(&dealt.shares[0]), &due).unwrap_err().to_string();
    assert_eq!(again, "given key has already been provided during this verify operation");
    let failed = rekey.verify(&"ab".repeat(32), &due).unwrap_err().to_string();
    assert_eq!(failed, "rekey verification failed; incorrect key shares supplied");
    assert_eq!(rekey.verify_status().unwrap().progress, 0);

    rekey.verify(&hexed(&dealt.shares[0]), &due).unwrap();
    let restarted = rekey.restart_verification().unwrap();
    assert!(restarted.nonce != due && restarted.progress == 0 && (restarted.t, restarted.n) == (2, 2));
    rekey.verify(&hexed(&dealt.shares[1]), &restarted.nonce).unwrap();
    assert!(opened(&shelf, &outcome.shares).await.is_ok(), "the old share still counts");
    let Ok(VerifyStep::Complete { nonce, change }) = rekey.verify(&hexed(&dealt.shares[0]), &restarted.nonce) else { panic!() };
    assert_eq!(nonce, restarted.nonce);
    change.commit(shelf.as_ref()).await.unwrap();
    rekey.finish();
    assert_eq!(opened(&shelf, &dealt.shares).await.unwrap().expose(), outcome.root_key.expose());
    assert!(matches!(opened(&shelf, &outcome.shares).await, Err(SealError::Shares(ShamirError::TooFew))));
}

#[tokio::test]
async fn every_refusal_of_a_rekey_has_its_text() {
    let (shelf, _, outcome) = initialized(3, 2).await;
    let config = config(3, 2);
    let mut rekey = Rekey::default();
    let key = hexed(&outcome.shares[0]);
    let invalid = |text: &str| (text.to_owned(), Fault::Invalid);
    assert_eq!(refusal(rekey.update(&config, &key, "x")), invalid("no barrier rekey in progress"));
    assert_eq!(rekey.verify(&key, "x").unwrap_err().to_string(), "no rekey in progress");
    for (input, text, fault) in [
        (
            r#"{"secret_shares":2,"secret_threshold":3}"#,
            "invalid rekey seal configuration: threshold cannot be larger than shares",
            Fault::Told,
        ),
        ("{}", "invalid rekey seal configuration: shares must be at least one", Fault::Told),
        (
            r#"{"secret_shares":3,"secret_threshold":2,"pgp_keys":["x"]}"#,
            "incorrect number of PGP keys for rekey",
            Fault::Invalid,
        ),
        (
            r#"{"secret_shares":1,"secret_threshold":1,"pgp_keys":["x"]}"#,
            "pgp_keys: encryption with PGP keys is not supported by this server",
            Fault::Invalid,
        ),
        (
            r#"{"secret_shares":3,"secret_threshold":2,"backup":true}"#,
            "cannot request a backup of the new keys without providing PGP keys for encryption",
            Fault::Invalid,
        ),
    ] {
        let error = rekey.begin(&config, &rekey_input(input)).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.fault()), (text, fault), "{input}");
    }
    let good = rekey_input(r#"{"secret_shares":1,"secret_threshold":1}"#);
    let begun = rekey.begin(&config, &good).unwrap();
    assert_eq!(
        serde_json::to_string(&RekeyStatus { nonce: "n".to_owned(), ..begun.clone() }).unwrap(),
        r#"{"nonce":"n","started":true,"t":1,"n":1,"progress":0,"required":2,"pgp_fingerprints":null,"backup":false,"verification_required":false}"#
    );
    assert_eq!(rekey.begin(&config, &good).unwrap_err().to_string(), "rekey already in progress");
    let nonce = begun.nonce;
    let wrong = format!("incorrect nonce supplied; nonce for this rekey operation is \"{nonce}\"");
    for sent in ["bad", ""] {
        assert_eq!(refusal(rekey.update(&config, &key, sent)), invalid(&wrong));
    }
    assert_eq!(refusal(rekey.update(&config, "abcd", &nonce)), invalid("key is shorter than minimum 16 bytes"));
    rekey.update(&config, &key, &nonce).unwrap();
    let twice = "given key has already been provided during this generation operation";
    assert_eq!(refusal(rekey.update(&config, &key, &nonce)), invalid(twice));
    assert_eq!(rekey.verify(&key, "x").unwrap_err().to_string(), "no rekey verification in progress");

    let (_, _, other) = initialized(3, 2).await;
    let x = outcome.shares[0].expose().last();
    let foreign = other.shares.iter().find(|share| share.expose().last() != x).unwrap();
    let Ok(RekeyStep::Authenticate(kek)) = rekey.update(&config, &hexed(foreign), &nonce) else { panic!() };
    let error = RekeyError::unread(open(shelf.as_ref(), &kek).await.unwrap_err());
    assert_eq!(
        (error.to_string().as_str(), error.fault()),
        (
            "failed to read root key: invalid key: failed to decrypt keys from storage: cipher: message authentication failed",
            Fault::Told
        )
    );
    let status = rekey.status(&config);
    assert!(status.started && status.progress == 0 && status.nonce == nonce, "the operation stays");
    rekey.finish();
    assert_eq!(rekey.status(&config), RekeyStatus { required: 2, ..Rekey::default().status(&config) });
}

#[tokio::test]
async fn a_refused_change_leaves_the_old_shares_in_force() {
    let (shelf, _, outcome) = initialized(1, 1).await;
    let input = r#"{"secret_shares":1,"secret_threshold":1}"#;
    let first = dealt(&shelf, &outcome.shares, &mut Rekey::default(), input).await;
    shelf.full.store(true, Ordering::SeqCst);
    assert!(first.change.unwrap().commit(shelf.as_ref()).await.is_err());
    assert!(opened(&shelf, &outcome.shares).await.is_ok());
}
