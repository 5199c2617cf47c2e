//! The embedded store on a disk that fails: answers stay true, and it comes back by itself.

use std::time::Duration;

use leasehold::base::time::ManualClock;
use leasehold::storage::embedded::{EmbeddedStorage, Options};

use super::disk::{Disk, Fault};
use super::embedded::clock;
use super::*;

struct Bench {
    disk: Arc<Disk>,
    clock: Arc<ManualClock>,
    store: EmbeddedStorage,
}

fn bench(disk: Disk, cache_bytes: usize) -> Bench {
    let (disk, clock) = (Arc::new(disk), clock());
    let store = EmbeddedStorage::open_on(disk.clone(), Options { cache_bytes }, clock.clone()).unwrap();
    Bench { disk, clock, store }
}

/// The bytes of a store in which `a` is `1`, with so many entries that their tree has a page below its root.
fn prepared() -> Vec<u8> {
    let bench = bench(Disk::default(), CACHE);
    let others = (0..500).map(|number| put(&format!("other/{number}"), "0123456789"));
    run(async { bench.store.commit(batch(others.chain([put("a", "1")]))).await.unwrap() });
    drop(bench.store);
    bench.disk.bytes()
}

fn assert_io(result: &Result<(), StorageError>) {
    assert!(matches!(result, Err(StorageError::Io(_))), "{result:?}");
}

#[test]
fn a_full_disk_refuses_writes_and_goes_on_reading_until_there_is_space() {
    let bytes = prepared();
    run(async {
        let Bench { disk, clock, store } = bench(Disk::with(bytes), NO_CACHE);
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
        let Bench { disk, clock, store } = bench(Disk::with(bytes), CACHE);
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
fn answers_are_true_wherever_one_step_fails() {
    let bytes = prepared();
    let mut failed = 0;
    for step in 0.. {
        let Bench { disk, clock, store } = bench(Disk::with(bytes.clone()), CACHE);
        disk.fail_after(step, Fault::Once);
        let is_over = run(async {
            let seen = record(&store);
            let first = store.commit(batch([put("a", "2"), put("b", "2")])).await;
            let expected = if first.is_ok() { Some("2") } else { None };
            assert_eq!(value(&store, "b").await.as_deref(), expected, "step {step}: {first:?}");
            assert_eq!(seen.lock().unwrap().len(), usize::from(first.is_ok()), "step {step}");
            failed += usize::from(first.is_err());
            let is_over = !disk.has_failed();
            disk.set_dead(false);
            clock.advance(Duration::from_secs(5));
            store.commit(batch([put("c", "3")])).await.unwrap();
            store.close().await;
            let again = EmbeddedStorage::open_on(disk.clone(), Options::default(), clock).unwrap();
            assert_eq!(value(&again, "b").await.as_deref(), expected);
            assert_eq!(value(&again, "c").await.as_deref(), Some("3"));
            is_over
        });
        if is_over {
            break;
        }
    }
    assert!(failed > 3, "early steps fail the commit");
}

#[test]
fn hooks_hear_of_a_write_that_turns_out_to_be_durable_after_its_error() {
    let bytes = prepared();
    let mut late = 0;
    for step in 0..STEPS_OF_A_COMMIT {
        let Bench { disk, clock, store } = bench(Disk::with(bytes.clone()), CACHE);
        run(async {
            let seen = record(&store);
            disk.fail_after(step, Fault::Power);
            let first = store.commit(batch([put("a", "2")])).await;
            let told = seen.lock().unwrap().len();
            disk.set_dead(false);
            clock.advance(Duration::from_secs(5));
            store.commit(batch([put("b", "2")])).await.unwrap();
            if value(&store, "a").await.as_deref() == Some("2") && first.is_err() {
                late += 1;
                assert!(seen.lock().unwrap().len() > told + 1, "the hook heard of the late write too");
            }
        });
    }
    assert!(late > 0, "a failure of the last flush leaves the write in sight");
}

/// A second failure while the group is written once more: the answer says that it knows nothing, and hooks have heard.
#[test]
fn an_answer_that_cannot_be_known_says_so() {
    let bytes = prepared();
    let mut unknown = 0;
    for step in 0..STEPS_OF_A_COMMIT {
        for gap in 0..STEPS_OF_AN_OPENING {
            let Bench { disk, clock, store } = bench(Disk::with(bytes.clone()), CACHE);
            run(async {
                let seen = record(&store);
                disk.fail_after(step, Fault::Once);
                disk.fail_again_after(gap);
                let first = store.commit(batch([put("a", "2")])).await;
                disk.set_dead(false);
                clock.advance(Duration::from_secs(5));
                store.commit(batch([put("b", "2")])).await.unwrap();
                let is_stored = value(&store, "a").await.as_deref() == Some("2");
                match first {
                    Ok(()) => assert!(is_stored),
                    Err(error) if error.to_string().contains("is not known") => unknown += 1,
                    Err(error) => assert!(!is_stored, "step {step}, {gap}: {error}"),
                }
                let told = seen.lock().unwrap().iter().flatten().any(|write| write.key().as_str() == "a");
                assert!(told || !is_stored, "step {step}, {gap}: what is seen was told");
            });
        }
    }
    assert!(unknown > 0);
}

#[test]
fn a_read_that_fails_heals_by_opening_anew() {
    let bytes = prepared();
    run(async {
        let Bench { disk, clock, store } = bench(Disk::with(bytes), NO_CACHE);
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
        let Bench { disk, store, .. } = bench(Disk::with(bytes.clone()), CACHE);
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
            let after = bench(disk, CACHE).store;
            run(async {
                let x = value(&after, "x").await;
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
        let Bench { disk, store, .. } = bench(Disk::with(bytes.clone()), CACHE);
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
            let after = bench(Disk::with(disk.after_power_loss(&mut chance)), CACHE).store;
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

const CACHE: usize = 1 << 20;
/// Every read goes to the disk.
const NO_CACHE: usize = 0;
/// Flushes and changes until a group is written once more, and somewhat beyond.
const STEPS_OF_AN_OPENING: u64 = 20;
/// More than a commit makes.
const STEPS_OF_A_COMMIT: u64 = 40;
const ROUNDS: u32 = 6;
/// Disks that one power loss may leave.
const IMAGES: usize = 4;
