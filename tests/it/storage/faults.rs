//! The embedded store on a disk that fails: answers stay true, and it comes back by itself.

use std::time::Duration;

use leasehold::base::time::ManualClock;
use leasehold::storage::embedded::{EmbeddedStorage, Options};

use super::disk::{Disk, Fault, Image};
use super::embedded::clock;
use super::*;

struct Bench {
    disk: Disk,
    clock: Arc<ManualClock>,
    store: EmbeddedStorage,
}

fn bench(disk: Disk, options: Options) -> Bench {
    let clock = clock();
    let store = open(&disk, options, &clock);
    Bench { disk, clock, store }
}

fn open(disk: &Disk, options: Options, clock: &Arc<ManualClock>) -> EmbeddedStorage {
    let [medium, journal] = disk.media();
    EmbeddedStorage::open_on(medium, journal, options, clock.clone()).unwrap()
}

/// The bytes of a store in which `a` is `1`, with so many entries that their tree has a page below its root.
fn prepared() -> Image {
    let bench = bench(Disk::default(), CACHED);
    let others = (0..500).map(|number| put(&format!("other/{number}"), "0123456789"));
    run(async { bench.store.commit(batch(others.chain([put("a", "1")]))).await.unwrap() });
    drop(bench.store);
    bench.disk.image()
}

fn assert_io(result: &Result<(), StorageError>) {
    assert!(matches!(result, Err(StorageError::Io(_))), "{result:?}");
}

#[test]
fn a_full_disk_refuses_writes_and_goes_on_reading_until_there_is_space() {
    let bytes = prepared();
    run(async {
        let Bench { disk, clock, store } = bench(Disk::with(bytes), UNCACHED);
        disk.set_full(true);
        let large = "v".repeat(1 << 20);
        let mut refused = 0;
        for number in 0..20 {
            let done = store.commit(batch([put(&format!("k/{number}"), &large)])).await;
            refused += usize::from(done.is_err());
            assert_eq!(value(&store, "a").await.as_deref(), Some("1"));
            assert_eq!(value(&store, &format!("k/{number}")).await.is_some(), done.is_ok());
            clock.advance(Duration::from_secs(10));
        }
        assert!(refused > 10);
        disk.set_full(false);
        store.commit(batch([put("k/last", &large)])).await.unwrap();
        assert_eq!(value(&store, "k/last").await, Some(large));
    });
}

#[test]
fn a_dead_device_gives_errors_without_being_asked_each_time_and_is_noticed_when_it_is_back() {
    let bytes = prepared();
    run(async {
        let Bench { disk, clock, store } = bench(Disk::with(bytes), CACHED);
        disk.set_dead(true);
        for _ in 0..5 {
            assert_io(&store.commit(batch([put("a", "2")])).await);
        }
        assert_eq!(value(&store, "a").await.as_deref(), Some("1"), "what is in memory is still read");
        let asked = disk.steps();
        assert_io(&store.commit(batch([put("a", "2")])).await);
        assert_eq!(disk.steps(), asked, "between tries it rests");

        disk.set_dead(false);
        assert_io(&store.commit(batch([put("a", "2")])).await);
        clock.advance(Duration::from_secs(5));
        store.commit(batch([put("a", "3")])).await.unwrap();
        assert_eq!(value(&store, "a").await.as_deref(), Some("3"));
    });
}

#[test]
fn answers_are_true_wherever_a_step_fails() {
    let bytes = prepared();
    for options in [CACHED, SMALL_JOURNAL, Options { journal_bytes: 1, ..CACHED }] {
        let mut failed = 0;
        for step in 0..STEPS {
            for gap in [None, Some(0), Some(1), Some(4), Some(9)] {
                let Bench { disk, clock, store } = bench(Disk::with(bytes.clone()), options);
                disk.fail_after(step, Fault::Once);
                if let Some(gap) = gap {
                    disk.fail_again_after(gap);
                }
                let context = format!("step {step}, {gap:?}, {options:?}");
                run(async {
                    let seen = record(&store);
                    let mut stored = vec![];
                    for name in ["b/1", "b/2"] {
                        let first = store.commit(batch([put("a", name), put(name, "2")])).await;
                        assert_eq!(value(&store, name).await.is_some(), first.is_ok(), "{context}: {first:?}");
                        failed += usize::from(first.is_err());
                        stored.extend(first.is_ok().then_some(name));
                        assert_eq!(seen.lock().unwrap().len(), stored.len(), "{context}");
                    }
                    disk.set_dead(false);
                    clock.advance(Duration::from_secs(5));
                    store.commit(batch([put("c", "3")])).await.unwrap();
                    assert_eq!(value(&store, "a").await.as_deref(), stored.last().copied().or(Some("1")));
                    store.close().await;
                    let again = open(&disk, options, &clock);
                    assert_eq!(names(&again, "b/", Page::first(3)).await.len(), stored.len(), "{context}");
                    assert_eq!(value(&again, "c").await.as_deref(), Some("3"));
                });
            }
        }
        assert!(failed > 5, "early steps fail the commit");
    }
}

#[test]
fn a_read_that_fails_heals_by_opening_anew() {
    let bytes = prepared();
    run(async {
        let Bench { disk, clock, store } = bench(Disk::with(bytes), UNCACHED);
        disk.set_reads_fail(true);
        assert!(matches!(store.get(&"a".into()).await, Err(StorageError::Io(_))));
        assert_io(&store.commit(batch([put("b", "1")])).await);
        disk.set_reads_fail(false);
        clock.advance(Duration::from_secs(5));
        let _ = store.get(&"a".into()).await;
        // Judged after the new opening that the read asked for.
        store.commit(batch([put("b", "1")])).await.unwrap();
        assert_eq!(value(&store, "a").await.as_deref(), Some("1"));
    });
}

/// Power is lost at every step of a run of commits; what the disk kept of the unflushed is left to chance. All that was
/// answered is there, and a batch is there whole or not at all.
#[test]
fn what_was_answered_survives_power_loss_at_every_step() {
    let bytes = prepared();
    let mut chance = chance();
    for step in 0.. {
        let Bench { disk, store, .. } = bench(Disk::with(bytes.clone()), SMALL_JOURNAL);
        disk.fail_after(step, Fault::Power);
        let mut answered = 0;
        run(async {
            for round in 1..=ROUNDS {
                let text = round.to_string();
                let filler = put(&format!("f/{round}"), &"f".repeat(3000));
                let writes = [
                    put("x", &text),
                    put("y/y", &text),
                    put("z", &text),
                    filler,
                    delete(&format!("f/{}", round.saturating_sub(2))),
                ];
                if store.commit(batch(writes)).await.is_err() {
                    break;
                }
                answered = round;
            }
        });
        for _ in 0..IMAGES {
            let disk = Disk::with(disk.after_power_loss(&mut chance));
            let Bench { disk: again, store: after, .. } = bench(disk, SMALL_JOURNAL);
            run(async {
                let x = value(&after, "x").await;
                let once_more = bench(Disk::with(again.after_power_loss(&mut chance)), CACHED).store;
                assert_eq!(x, value(&once_more, "x").await, "what was seen once stays");
                let round: u32 = x.as_ref().map_or(0, |text| text.parse().unwrap());
                assert!(round == answered || round == answered + 1, "{answered} answered, {round} there, step {step}");
                assert_eq!(x, value(&after, "y/y").await);
                assert_eq!(x, value(&after, "z").await);
                let fillers = after.scan(&"f/".into(), Page::first(100)).await.unwrap();
                assert_eq!(fillers.len(), usize::try_from(round.min(2)).unwrap());
                after.commit(batch([put("x", "on")])).await.unwrap();
            });
        }
        if answered == ROUNDS {
            break;
        }
    }
}

/// As above, with groups of several batches: each is whole or not there at all.
#[test]
fn each_batch_of_a_group_survives_power_loss_whole() {
    let bytes = prepared();
    let mut chance = chance();
    for step in 0.. {
        let Bench { disk, store, .. } = bench(Disk::with(bytes.clone()), SMALL_JOURNAL);
        disk.fail_after(step, Fault::Power);
        let mut answered = vec![];
        run(async {
            for round in 0..3 {
                let names: Vec<_> = (0..5).map(|one| format!("{round}.{one}")).collect();
                let commits = names.iter().map(|name| {
                    let writes = [put(&format!("l/{name}"), name), put(&format!("r/{name}"), name), delete("other/7")];
                    store.commit(batch(writes))
                });
                let verdicts = futures_util::future::join_all(commits).await;
                let done = names.into_iter().zip(verdicts).filter(|(_, verdict)| verdict.is_ok());
                answered.extend(done.map(|(name, _)| name));
            }
        });
        for _ in 0..IMAGES {
            let after = bench(Disk::with(disk.after_power_loss(&mut chance)), SMALL_JOURNAL).store;
            run(async {
                let left = names(&after, "l/", Page::first(100)).await;
                assert_eq!(left, names(&after, "r/", Page::first(100)).await, "step {step}");
                assert!(answered.iter().all(|name| left.contains(name)), "step {step}: {answered:?} answered, {left:?} there");
            });
        }
        if answered.len() == 15 {
            break;
        }
    }
}

/// Numbers that look random and are the same in each run.
fn chance() -> impl FnMut() -> u32 {
    let mut seed = 1_u32;
    move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed >> 8
    }
}

const CACHED: Options = Options { cache_bytes: 1 << 20, journal_bytes: 1 << 20 };
/// Every read of the database goes to the disk.
const UNCACHED: Options = Options { cache_bytes: 0, ..CACHED };
/// The database takes in what is fresh after every second or third commit.
const SMALL_JOURNAL: Options = Options { journal_bytes: 8 << 10, ..CACHED };
/// Changes and flushes of two commits, with all that a journal of one byte makes of them.
const STEPS: u64 = 60;
const ROUNDS: u32 = 8;
/// Disks that one power loss may leave.
const IMAGES: usize = 4;
