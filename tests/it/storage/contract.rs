//! What every storage promises, as tests over `fresh`: an empty store.

use proptest::prelude::*;

use super::*;

/// The contract as tests of the module that names it, over the stores its function makes.
macro_rules! contract {
    ($fresh:expr; $($test:ident),+ $(,)?) => {
        $(
            #[test]
            fn $test() {
                run(super::contract::$test($fresh));
            }
        )+
    };
}
pub(super) use contract;

/// All of them, for a store made by `$fresh`.
macro_rules! whole_contract {
    ($fresh:expr) => {
        crate::storage::contract::contract! { $fresh;
            a_value_is_read_as_it_was_written,
            the_last_write_to_a_key_wins,
            deleting_nothing_succeeds,
            an_expectation_that_fails_leaves_everything,
            a_version_is_expected_exactly,
            a_version_that_was_read_holds_until_the_value_is_replaced,
            empty_means_nothing_under_the_prefix,
            a_batch_of_expectations_alone_writes_nothing,
            scans_end_at_the_prefix_and_go_on_after_a_key,
            lists_name_children_once,
            lists_continue_after_a_name,
            a_limit_of_nothing_returns_nothing,
            hooks_are_called_in_order_before_the_answer,
            a_conflict_calls_no_hook,
            a_dropped_commit_stands,
            one_of_many_committers_wins_each_version,
            a_conflict_leaves_its_neighbours_alone,
            large_values_and_long_keys_come_back,
            readers_see_batches_whole,
            it_agrees_with_a_model,
        }
    };
}
pub(super) use whole_contract;

pub(super) async fn a_value_is_read_as_it_was_written(storage: Arc<dyn Storage>) {
    assert_eq!(value(&*storage, "a").await, None);
    storage.commit(batch([put("a", "1"), put("b", "")])).await.unwrap();
    assert_eq!(value(&*storage, "a").await.as_deref(), Some("1"));
    assert_eq!(value(&*storage, "b").await.as_deref(), Some(""));
    assert_eq!(value(&*storage, "").await, None);
}

pub(super) async fn the_last_write_to_a_key_wins(storage: Arc<dyn Storage>) {
    storage.commit(batch([put("a", "1"), delete("a"), put("a", "2"), put("b", "1"), delete("b")])).await.unwrap();
    assert_eq!(value(&*storage, "a").await.as_deref(), Some("2"));
    assert_eq!(value(&*storage, "b").await, None);
}

pub(super) async fn deleting_nothing_succeeds(storage: Arc<dyn Storage>) {
    storage.commit(batch([delete("a")])).await.unwrap();
    storage.commit(batch([])).await.unwrap();
}

pub(super) async fn an_expectation_that_fails_leaves_everything(storage: Arc<dyn Storage>) {
    storage.commit(expecting(Expect::Absent("a".into()), put("a", "1"))).await.unwrap();
    let twice = Batch { writes: vec![put("b", "1"), delete("a")], expects: vec![Expect::Absent("a".into())] };
    assert!(matches!(storage.commit(twice).await, Err(StorageError::Conflict(key)) if key.as_str() == "a"));
    assert_eq!(value(&*storage, "a").await.as_deref(), Some("1"));
    assert_eq!(value(&*storage, "b").await, None);
}

pub(super) async fn a_version_is_expected_exactly(storage: Arc<dyn Storage>) {
    let at = |text: &str| Expect::At("a".into(), Version::of(text.as_bytes()));
    storage.commit(expecting(at(""), put("a", "1"))).await.expect_err("nothing is not the empty value");
    storage.commit(batch([put("a", "1")])).await.unwrap();
    storage.commit(expecting(at("2"), put("a", "3"))).await.expect_err("another version is stored");
    storage.commit(expecting(at("1"), put("a", "2"))).await.unwrap();
    let stored = storage.get(&"a".into()).await.unwrap().unwrap();
    storage.commit(expecting(Expect::At("a".into(), stored.version()), delete("a"))).await.unwrap();
    assert_eq!(value(&*storage, "a").await, None);
}

pub(super) async fn a_version_that_was_read_holds_until_the_value_is_replaced(storage: Arc<dyn Storage>) {
    // Enough for a small journal to begin anew.
    let others = || async {
        for number in 0..4 {
            storage.commit(batch([put(&format!("other/{number}"), &"x".repeat(100))])).await.unwrap();
        }
    };
    for round in 0..4 {
        storage.commit(batch([put("a", &format!("{round}"))])).await.unwrap();
        if round % 2 == 0 {
            others().await;
        }
        let read = storage.get(&"a".into()).await.unwrap().unwrap().version();
        let expected = |write| storage.commit(expecting(Expect::At("a".into(), read), write));
        expected(put("b", "1")).await.unwrap();
        others().await;
        expected(put("b", "2")).await.unwrap();
        expected(put("a", "new")).await.unwrap();
        expected(put("a", "newer")).await.expect_err("it was replaced");
        others().await;
        expected(put("a", "newer")).await.expect_err("it was replaced some time ago");
        storage.commit(batch([delete("a")])).await.unwrap();
        expected(put("a", "newer")).await.expect_err("it is gone");
        others().await;
        expected(put("a", "newer")).await.expect_err("it is gone for some time");
        assert_eq!(value(&*storage, "a").await, None);
    }
}

pub(super) async fn empty_means_nothing_under_the_prefix(storage: Arc<dyn Storage>) {
    let expect = |prefix: &str| expecting(Expect::Empty(prefix.into()), put("x", "1"));
    storage.commit(expect("")).await.unwrap();
    storage.commit(expect("")).await.unwrap_err();
    storage.commit(batch([put("t/a", "1"), put("t0", "1")])).await.unwrap();
    storage.commit(expect("t/")).await.unwrap_err();
    storage.commit(expect("t/a")).await.unwrap_err();
    storage.commit(expect("t/a/")).await.unwrap();
    storage.commit(batch([delete("t/a")])).await.unwrap();
    storage.commit(expect("t/")).await.unwrap();
    storage.commit(expect("u")).await.unwrap();
}

pub(super) async fn a_batch_of_expectations_alone_writes_nothing(storage: Arc<dyn Storage>) {
    let seen = record(&*storage);
    let ask = |key: &str| Batch { writes: vec![], expects: vec![Expect::Absent(key.into())] };
    storage.commit(batch([put("a", "1")])).await.unwrap();
    storage.commit(ask("b")).await.unwrap();
    storage.commit(ask("a")).await.unwrap_err();
    assert_eq!(seen.lock().unwrap().len(), 1);
}

pub(super) async fn scans_end_at_the_prefix_and_go_on_after_a_key(storage: Arc<dyn Storage>) {
    let keys = ["p", "p/", "p/a", "p/a/b", "p/b", "p/é", "p0"];
    storage.commit(batch(keys.map(|key| put(key, key)))).await.unwrap();
    let under = |prefix: &'static str, page: Page<'static>| {
        let storage = Arc::clone(&storage);
        async move {
            let entries = storage.scan(&prefix.into(), page).await.unwrap();
            assert!(entries.iter().all(|(key, stored)| stored.bytes == key.as_str()));
            entries.into_iter().map(|(key, _)| key.as_str().to_owned()).collect::<Vec<_>>()
        }
    };
    assert_eq!(under("p/", Page::first(10)).await, ["p/", "p/a", "p/a/b", "p/b", "p/é"]);
    assert_eq!(under("p/", Page::first(2)).await, ["p/", "p/a"]);
    assert_eq!(under("p/", Page::after("p/a", 2)).await, ["p/a/b", "p/b"]);
    assert_eq!(under("p/", Page::after("p/a/", 1)).await, ["p/a/b"]);
    assert_eq!(under("p/", Page::after("p/é", 2)).await, [] as [&str; 0]);
    assert_eq!(under("p/", Page::after("z", 2)).await, [] as [&str; 0]);
    assert_eq!(under("p/", Page::after("a", 1)).await, ["p/"], "a place before the prefix is its beginning");
    assert_eq!(under("", Page::first(100)).await.len(), keys.len());
}

pub(super) async fn lists_name_children_once(storage: Arc<dyn Storage>) {
    let keys = ["p", "p/", "p/a", "p/a!", "p/a/1", "p/a/2/3", "p/a/2/4", "p/a0", "p//x", "p/z/1", "q"];
    storage.commit(batch(keys.map(|key| put(key, "")))).await.unwrap();
    assert_eq!(names(&*storage, "p/", Page::first(10)).await, ["/", "a", "a!", "a/", "a0", "z/"]);
    assert_eq!(names(&*storage, "p/a/", Page::first(10)).await, ["1", "2/"]);
    assert_eq!(names(&*storage, "", Page::first(10)).await, ["p", "p/", "q"]);
    assert_eq!(names(&*storage, "p/b/", Page::first(10)).await, [] as [&str; 0]);
    assert_eq!(names(&*storage, "p/z/1/", Page::first(10)).await, [] as [&str; 0]);
}

pub(super) async fn lists_continue_after_a_name(storage: Arc<dyn Storage>) {
    let keys = ["p/a", "p/a/1", "p/a/2", "p/b/1", "p/c", "p/d/1"];
    storage.commit(batch(keys.map(|key| put(key, "")))).await.unwrap();
    let all = ["a", "a/", "b/", "c", "d/"];
    for limit in 1..=all.len() + 1 {
        let mut seen: Vec<String> = vec![];
        loop {
            let page = Page { after: seen.last().map(String::as_str), limit };
            let more = names(&*storage, "p/", page).await;
            assert!(more.len() <= limit);
            if more.is_empty() {
                break;
            }
            seen.extend(more);
        }
        assert_eq!(seen, all, "in pages of {limit}");
    }
    assert_eq!(names(&*storage, "p/", Page::after("aa", 1)).await, ["b/"], "a name need not exist");
    assert_eq!(names(&*storage, "p/", Page::after("", 1)).await, ["a"]);
}

pub(super) async fn a_limit_of_nothing_returns_nothing(storage: Arc<dyn Storage>) {
    storage.commit(batch([put("a", "")])).await.unwrap();
    assert!(names(&*storage, "", Page::first(0)).await.is_empty());
    assert!(storage.scan(&"".into(), Page::first(0)).await.unwrap().is_empty());
}

pub(super) async fn hooks_are_called_in_order_before_the_answer(storage: Arc<dyn Storage>) {
    let (first, second) = (record(&*storage), record(&*storage));
    for number in 0..20 {
        let write = put("a", &number.to_string());
        storage.commit(batch([write.clone()])).await.unwrap();
        assert_eq!(first.lock().unwrap().last(), Some(&vec![write]));
    }
    let order: Vec<_> = (0..20).map(|number| vec![put("a", &number.to_string())]).collect();
    assert_eq!(*first.lock().unwrap(), order);
    assert_eq!(*second.lock().unwrap(), order);
}

pub(super) async fn a_conflict_calls_no_hook(storage: Arc<dyn Storage>) {
    let seen = record(&*storage);
    storage.commit(expecting(Expect::At("a".into(), Version::of(b"")), put("a", ""))).await.unwrap_err();
    assert!(seen.lock().unwrap().is_empty());
}

pub(super) async fn a_dropped_commit_stands(storage: Arc<dyn Storage>) {
    let mut abandoned = storage.commit(batch([put("a", "1")]));
    let _ = waits(&mut abandoned);
    drop(abandoned);
    // Judged in order of arrival: when this is answered, the one before has happened.
    storage.commit(expecting(Expect::At("a".into(), Version::of(b"1")), put("b", "1"))).await.unwrap();
    assert_eq!(value(&*storage, "a").await.as_deref(), Some("1"));
}

pub(super) async fn one_of_many_committers_wins_each_version(storage: Arc<dyn Storage>) {
    storage.commit(batch([put("n", "0")])).await.unwrap();
    let seen = record(&*storage);
    for round in 0..10 {
        let version = storage.get(&"n".into()).await.unwrap().unwrap().version();
        let contest = (0..64).map(|one| {
            let storage = Arc::clone(&storage);
            let write = put("n", &format!("{round}.{one}"));
            Tasks::default().spawn(async move {
                storage.commit(expecting(Expect::At("n".into(), version), write.clone())).await.map(|()| write)
            })
        });
        let mut winners = vec![];
        for committer in contest.collect::<Vec<_>>() {
            match committer.await.unwrap() {
                Ok(write) => winners.push(write),
                Err(error) => assert!(matches!(error, StorageError::Conflict(_)), "{error}"),
            }
        }
        assert_eq!(winners.len(), 1);
        assert_eq!(seen.lock().unwrap().last(), Some(&winners));
        assert_eq!(seen.lock().unwrap().len(), round + 1);
    }
}

pub(super) async fn a_conflict_leaves_its_neighbours_alone(storage: Arc<dyn Storage>) {
    let tasks: Vec<_> = (0..64)
        .map(|one| {
            let storage = Arc::clone(&storage);
            let expect = if one % 2 == 0 { Expect::Empty("own/".into()) } else { Expect::Absent(format!("own/{one}").into()) };
            let write = put(&format!("own/{one}"), "1");
            Tasks::default().spawn(async move { storage.commit(expecting(expect, write)).await.is_ok() })
        })
        .collect();
    let mut kept = 0;
    for (one, task) in tasks.into_iter().enumerate() {
        let won = task.await.unwrap();
        assert_eq!(value(&*storage, &format!("own/{one}")).await.is_some(), won);
        assert!(won || one % 2 == 0);
        kept += usize::from(won);
    }
    assert!((32..=33).contains(&kept));
}

pub(super) async fn large_values_and_long_keys_come_back(storage: Arc<dyn Storage>) {
    let long = format!("k/{}", "x".repeat(16 * 1024));
    let large = "v".repeat(3 << 20);
    storage.commit(batch([put(&long, &large)])).await.unwrap();
    assert_eq!(value(&*storage, &long).await.as_deref(), Some(&*large));
    assert_eq!(names(&*storage, "k/", Page::first(2)).await.len(), 1);
}

pub(super) async fn readers_see_batches_whole(storage: Arc<dyn Storage>) {
    let writer = {
        let storage = Arc::clone(&storage);
        Tasks::default().spawn(async move {
            for number in 0..200 {
                let text = number.to_string();
                storage.commit(batch(["x/a", "x/b", "x/c"].map(|key| put(key, &text)))).await.unwrap();
            }
        })
    };
    while !writer.is_finished() {
        let entries = storage.scan(&"x/".into(), Page::first(3)).await.unwrap();
        assert!(entries.windows(2).all(|pair| pair[0].1 == pair[1].1), "a batch was seen in part");
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
}

pub(super) async fn it_agrees_with_a_model(storage: Arc<dyn Storage>) {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig { cases: CASES, ..ProptestConfig::default() });
    let handle = tokio::runtime::Handle::current();
    let check = move |steps: Vec<Step>| {
        // Blocks this worker only; the store's answers come from its writer or another worker.
        tokio::task::block_in_place(|| handle.block_on(super::model::agree(&*storage, &steps)))
    };
    runner.run(&super::model::steps(), check).unwrap();
}

use super::model::Step;

/// Enough that each kind of page and expectation meets each other; a case commits about ten times.
const CASES: u32 = 96;
