//! What the embedded store does beyond the contract: its file, its lock, its recovery.

use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use leasehold::base::Timestamp;
use leasehold::base::time::ManualClock;
use leasehold::storage::embedded::{EmbeddedStorage, Options};

use super::*;

fn open(path: &Path) -> Result<EmbeddedStorage, StorageError> {
    EmbeddedStorage::open(path, Options::default(), clock())
}

pub(super) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::from_seconds(1_700_000_000)))
}

/// A store and its folder, which goes with it.
#[derive(Debug)]
struct InFolder {
    store: EmbeddedStorage,
    _folder: tempfile::TempDir,
}

fn fresh() -> Arc<dyn Storage> {
    fresh_with(Options::default())
}

fn fresh_with(options: Options) -> Arc<dyn Storage> {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStorage::open(&folder.path().join("store"), options, clock()).unwrap();
    Arc::new(InFolder { store, _folder: folder })
}

#[async_trait::async_trait]
impl Storage for InFolder {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, StorageError> {
        self.store.get(key).await
    }
    async fn scan(&self, prefix: &Key, page: Page<'_>) -> Result<Vec<(Key, Stored)>, StorageError> {
        self.store.scan(prefix, page).await
    }
    async fn list(&self, prefix: &Key, page: Page<'_>) -> Result<Vec<String>, StorageError> {
        self.store.list(prefix, page).await
    }
    async fn commit(&self, batch: Batch) -> Result<(), StorageError> {
        self.store.commit(batch).await
    }
    fn on_commit(&self, hook: CommitHook) {
        self.store.on_commit(hook);
    }
    fn kind(&self) -> &'static str {
        self.store.kind()
    }
}

contract::whole_contract!(fresh());

/// The contract again, where the database takes in what is fresh every few commits.
mod absorbing {
    use super::*;

    contract::whole_contract!(fresh_with(Options { journal_bytes: 300, ..Options::default() }));
}

fn text_of(result: Result<EmbeddedStorage, StorageError>) -> String {
    match result.unwrap_err() {
        StorageError::Unusable(text) => text,
        other => panic!("expected an unusable file, got {other:?}"),
    }
}

#[test]
fn entries_are_there_after_closing_and_opening() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let store = open(&path).unwrap();
        store.commit(batch([put("a", "1")])).await.unwrap();
        store.close().await;
        assert!(matches!(store.get(&"a".into()).await, Err(StorageError::Closed)));
        assert!(matches!(store.commit(batch([put("a", "2")])).await, Err(StorageError::Closed)));
        store.close().await;

        let again = open(&path).unwrap();
        assert_eq!(value(&again, "a").await.as_deref(), Some("1"));
        again.commit(batch([put("b", "2")])).await.unwrap();
        drop(again);
        assert_eq!(value(&open(&path).unwrap(), "b").await.as_deref(), Some("2"));
    });
}

#[test]
fn the_files_are_their_owners_alone_and_one_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("store")).unwrap();
    run(async { store.commit(batch([put("a", "1")])).await.unwrap() });
    let files: Vec<_> = folder.path().read_dir().unwrap().map(Result::unwrap).collect();
    assert_eq!(files.len(), 2);
    assert!(files.iter().all(|file| file.metadata().unwrap().permissions().mode() & 0o777 == 0o600));
    drop(store);
    assert_eq!(folder.path().read_dir().unwrap().count(), 1);
}

/// Copies the files of a store as they are.
fn copy(from: &Path, to: &Path, endings: &[&str]) {
    for ending in endings {
        let [from, to] = [from, to].map(|path| format!("{}{ending}", path.display()));
        std::fs::copy(from, to).unwrap();
    }
}

#[test]
fn a_copy_of_both_files_is_a_store_and_one_without_its_journal_is_refused() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let [path, whole, half] = ["store", "whole", "half"].map(|name| folder.path().join(name));
        let store = open(&path).unwrap();
        for number in 0..10 {
            store.commit(batch([put(&format!("n/{number}"), "1")])).await.unwrap();
        }
        copy(&path, &whole, &["", ".journal"]);
        copy(&path, &half, &[""]);
        assert_eq!(names(&open(&whole).unwrap(), "n/", Page::first(20)).await.len(), 10);
        let text = text_of(open(&half));
        assert!(text.contains("its journal") && text.contains("is missing"), "{text}");
    });
}

#[test]
fn a_journal_of_a_later_state_is_refused_and_one_of_an_earlier_is_passed_over() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let [path, early, mixed] = ["store", "early", "mixed"].map(|name| folder.path().join(name));
        let store = open(&path).unwrap();
        store.commit(batch([put("a", "1")])).await.unwrap();
        copy(&path, &early, &["", ".journal"]);
        store.close().await;
        let store = open(&path).unwrap();
        store.commit(batch([put("a", "2")])).await.unwrap();
        copy(&early, &mixed, &[""]);
        std::fs::copy(folder.path().join("store.journal"), folder.path().join("mixed.journal")).unwrap();
        let text = text_of(open(&mixed));
        assert!(text.contains("the journal belongs to a later state"), "{text}");

        copy(&path, &mixed, &[""]);
        std::fs::copy(folder.path().join("early.journal"), folder.path().join("mixed.journal")).unwrap();
        assert_eq!(value(&open(&mixed).unwrap(), "a").await.as_deref(), Some("1"), "the database's own state");
    });
}

#[test]
fn damage_inside_the_journal_is_an_error_and_a_torn_end_is_none() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let [path, other] = ["store", "other"].map(|name| folder.path().join(name));
        let store = open(&path).unwrap();
        for number in 0..3 {
            store.commit(batch([put(&format!("n/{number}"), "value")])).await.unwrap();
        }
        copy(&path, &other, &["", ".journal"]);
        let journal = std::fs::read(folder.path().join("other.journal")).unwrap();
        let frame = journal.len() / 3;
        let open_with = |at: usize| {
            let mut damaged = journal.clone();
            damaged[at] ^= 1;
            copy(&path, &other, &[""]);
            std::fs::write(folder.path().join("other.journal"), damaged).unwrap();
            open(&other)
        };
        let text = text_of(open_with(frame - 1));
        assert!(text.contains("the journal is damaged"), "{text}");
        let text = text_of(open_with(2 * frame - 1));
        assert!(text.contains("the journal is damaged"), "{text}");
        let torn = open_with(journal.len() - 1).unwrap();
        assert_eq!(names(&torn, "n/", Page::first(5)).await, ["0", "1"]);
    });
}

#[test]
fn an_abandoned_draft_does_not_stand_in_the_way() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("store.new"), "half a store").unwrap();
    drop(open(&folder.path().join("store")).unwrap());
    assert_eq!(folder.path().read_dir().unwrap().count(), 1);
}

#[test]
fn a_store_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = open(&path).unwrap();
    let text = text_of(open(&path));
    assert_eq!(text, format!("{} is in use by another process", path.display()));
    drop(store);
    open(&path).unwrap();
}

#[test]
fn a_missing_folder_is_an_error_and_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let text = text_of(open(&folder.path().join("no/store")));
    assert!(text.contains("cannot be created: No such file or directory"), "{text}");
    assert!(!folder.path().join("no").exists());
}

#[test]
fn a_folder_that_admits_no_file_is_an_error() {
    // Nobody may write here, not even an administrator.
    let text = text_of(open(Path::new("/proc/self/store")));
    assert!(text.starts_with("/proc/self/store cannot be created: "), "{text}");
    let text = text_of(open(Path::new("/dev/null/store")));
    assert!(text.starts_with("/dev/null/store cannot be "), "{text}");
    let folder = tempfile::tempdir().unwrap();
    let text = text_of(open(folder.path()));
    assert!(text.contains("cannot be opened: Is a directory"), "{text}");
}

#[test]
fn another_programs_file_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    for content in [b"hello".to_vec(), vec![0; 1 << 20], b"SQLite format 3\0".repeat(1000)] {
        std::fs::write(&path, &content).unwrap();
        let text = text_of(open(&path));
        assert!(text.contains("is not a Leasehold store") || text.contains("damaged"), "{text}");
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }
    std::fs::remove_file(&path).unwrap();
    drop(redb::Database::create(&path).unwrap());
    let text = text_of(open(&path));
    assert!(text.contains("is not a Leasehold store"), "{text}");
}

#[test]
fn an_empty_file_is_not_taken_for_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    std::fs::write(&path, "").unwrap();
    let text = text_of(open(&path));
    assert!(text.contains("the file is empty"), "{text}");
}

/// A closed store of some hundred entries.
async fn filled(path: &Path) -> Vec<u8> {
    let store = open(path).unwrap();
    for number in 0..40 {
        store.commit(batch((0..10).map(|one| put(&format!("k/{number}/{one}"), &"v".repeat(500))))).await.unwrap();
    }
    store.close().await;
    std::fs::read(path).unwrap()
}

#[test]
fn a_truncated_file_is_an_error() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let whole = filled(&path).await;
        for len in [1, 100, 4096, whole.len() / 2, whole.len() - 4096] {
            std::fs::write(&path, &whole[..len]).unwrap();
            let text = text_of(open(&path));
            assert!(text.starts_with(&*path.to_string_lossy()), "{text}");
        }
    });
}

#[test]
fn damage_is_an_error_or_harmless_but_never_a_panic() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let whole = filled(&path).await;
        let mut refused = 0;
        for round in 0..60_usize {
            let mut bytes = whole.clone();
            let page = (round * 7919 % (whole.len() / 4096)) * 4096;
            for (at, byte) in bytes[page..page + 4096].iter_mut().enumerate() {
                *byte ^= u8::try_from((at * 31 + round * 17) % 251).unwrap();
            }
            std::fs::write(&path, &bytes).unwrap();
            let Ok(store) = open(&path) else {
                refused += 1;
                continue;
            };
            let read = store.scan(&"".into(), Page::first(1000)).await;
            let wrote = store.commit(batch([put("k/3/3", "new")])).await;
            refused += usize::from(read.is_err() || wrote.is_err());
            store.close().await;
        }
        assert!(refused > 0, "some of the pages damaged were in use");
    });
}

#[test]
fn a_large_page_is_read_in_order() {
    run(async {
        let store = fresh();
        let keys = (0..500).map(|number| format!("k/{number:04}"));
        store.commit(batch(keys.clone().map(|key| put(&key, &key)))).await.unwrap();
        let entries = store.scan(&"k/".into(), Page::first(400)).await.unwrap();
        assert!(entries.iter().map(|(key, _)| key.as_str()).eq(keys.take(400)));
        assert_eq!(names(&*store, "k/", Page::after("0449", 400)).await.len(), 50);
    });
}

#[test]
fn a_killed_process_leaves_all_it_was_answered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut answered = 0;
    for round in 1..=3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "storage::embedded::child_that_writes_until_killed", "--ignored", "--nocapture"])
            .env(CHILD_STORE, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let numbers = lines.by_ref().filter_map(|line| line.strip_prefix("done ")?.parse::<u32>().ok());
        answered = numbers.take(50).last().expect("the child writes");
        if round == 1 {
            assert!(text_of(open(&path)).contains("in use by another process"));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        run(async {
            let store = open(&path).unwrap();
            let count: u32 = value(&store, "count").await.unwrap().parse().unwrap();
            assert!(count >= answered, "{answered} were answered, {count} are there");
            let entries = store.scan(&"n/".into(), Page::first(100_000)).await.unwrap();
            assert_eq!(entries.len(), usize::try_from(count).unwrap(), "a batch is whole");
        });
    }
    assert!(answered > 50, "each child goes on where the one before ended");
}

#[test]
#[ignore = "runs as a child of the test above, until it is killed"]
fn child_that_writes_until_killed() {
    #[expect(clippy::disallowed_methods, reason = "a parent test says where to write")]
    let Ok(path) = std::env::var(CHILD_STORE) else { return };
    run(async {
        let store = open(Path::new(&path)).unwrap();
        let start: u32 = value(&store, "count").await.map_or(0, |count| count.parse().unwrap());
        for number in start + 1.. {
            store.commit(batch([put("count", &number.to_string()), put(&format!("n/{number}"), "x")])).await.unwrap();
            writeln!(std::io::stdout(), "\ndone {number}").unwrap();
        }
    });
}

const CHILD_STORE: &str = "LEASEHOLD_TEST_CHILD_STORE";

#[test]
fn the_answers_of_a_group_reach_those_who_wait_when_others_left() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder.path().join("store")).unwrap();
        for round in 0..50 {
            let mut commits: Vec<_> = (0..8).map(|one| Box::pin(commit_one(&store, round, one))).collect();
            for commit in &mut commits {
                waits(commit);
            }
            // The first is the one who passes on the answers of its group.
            drop(commits.remove(0));
            for (one, commit) in commits.into_iter().enumerate() {
                commit.await.unwrap();
                assert!(value(&store, &format!("{round}/{}", one + 1)).await.is_some());
            }
            store.commit(batch([])).await.unwrap();
            assert!(value(&store, &format!("{round}/0")).await.is_some(), "what was left behind stands");
        }
    });
}

async fn commit_one(store: &EmbeddedStorage, round: u32, one: u32) -> Result<(), StorageError> {
    store.commit(batch([put(&format!("{round}/{one}"), "1")])).await
}
