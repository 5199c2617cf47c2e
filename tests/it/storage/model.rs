//! Random batches and pages, answered by a store and by a plain map.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::*;

type Model = BTreeMap<String, String>;

/// One thing asked of both.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Commit(Vec<(String, Option<String>)>, Vec<Wish>),
    Scan { prefix: String, after: Option<String>, limit: usize },
    List { prefix: String, after: Option<String>, limit: usize },
}

/// An expectation, before the model says which version is meant.
#[derive(Clone, Debug)]
pub(super) enum Wish {
    Absent(String),
    /// The stored version, or when `true` another one.
    At(String, bool),
    Empty(String),
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let write = (key(), proptest::option::weighted(0.7, "[a-c]{0,3}"));
    let wish = prop_oneof![
        key().prop_map(Wish::Absent),
        (key(), proptest::bool::weighted(0.2)).prop_map(|(key, other)| Wish::At(key, other)),
        prefix().prop_map(Wish::Empty),
    ];
    let commit = (vec(write, 0..5), vec(wish, 0..2)).prop_map(|(writes, wishes)| Step::Commit(writes, wishes));
    let scan = (prefix(), proptest::option::of(key()), 0..6_usize).prop_map(|(prefix, after, limit)| Step::Scan {
        prefix,
        after,
        limit,
    });
    let list = (folder(), proptest::option::of("[ab!0]{0,2}/?"), 0..6_usize).prop_map(|(prefix, after, limit)| Step::List {
        prefix,
        after,
        limit,
    });
    vec(prop_oneof![2 => commit, 1 => scan, 1 => list], 1..20)
}

/// Few letters around `/`, so that keys, folders and prefixes meet.
fn key() -> impl Strategy<Value = String> {
    "[ab!0]{1,2}(/[ab!0]{1,2}){0,2}/?"
}

fn prefix() -> impl Strategy<Value = String> {
    prop_oneof![key(), folder()]
}

fn folder() -> impl Strategy<Value = String> {
    "([ab]{1,2}/){0,2}"
}

/// Whether the emptied `storage` answers `steps` as a plain map does.
pub(super) async fn agree(storage: &dyn Storage, steps: &[Step]) -> Result<(), TestCaseError> {
    let left = storage.scan(&"".into(), Page::first(10_000)).await.unwrap();
    storage.commit(batch(left.into_iter().map(|(key, _)| Write::Delete(key)))).await.unwrap();
    let mut model = Model::new();
    for step in steps {
        match step {
            Step::Commit(writes, wishes) => {
                let expects = wishes.iter().map(|wish| expect(&model, wish));
                let writes_out = writes.iter().map(|(key, to)| to.as_ref().map_or_else(|| delete(key), |to| put(key, to)));
                let asked = Batch { writes: writes_out.collect(), expects: expects.collect() };
                let done = storage.commit(asked).await.is_ok();
                prop_assert_eq!(done, wishes.iter().all(|wish| holds(&model, wish)), "{:?}", step);
                if done {
                    apply(&mut model, writes);
                }
            }
            Step::Scan { prefix, after, limit } => {
                let page = Page { after: after.as_deref(), limit: *limit };
                let got = storage.scan(&Key::from(prefix.as_str()), page).await.unwrap();
                let got: Vec<_> = got.iter().map(|(key, stored)| (key.as_str(), &stored.bytes[..])).collect();
                let under = model.iter().filter(|(key, _)| key.starts_with(prefix) && Some(*key) > after.as_ref());
                let expected: Vec<_> = under.take(*limit).map(|(key, to)| (key.as_str(), to.as_bytes())).collect();
                prop_assert_eq!(got, expected, "{:?}", step);
            }
            Step::List { prefix, after, limit } => {
                let page = Page { after: after.as_deref(), limit: *limit };
                let got = names(storage, prefix, page).await;
                let expected: Vec<_> = children(&model, prefix).into_iter().filter(|name| Some(name) > after.as_ref()).collect();
                prop_assert_eq!(got, expected.into_iter().take(*limit).collect::<Vec<_>>(), "{:?}", step);
            }
        }
    }
    Ok(())
}

fn expect(model: &Model, wish: &Wish) -> Expect {
    match wish {
        Wish::Absent(key) => Expect::Absent(Key::from(key.as_str())),
        Wish::Empty(prefix) => Expect::Empty(Key::from(prefix.as_str())),
        Wish::At(key, other) => {
            let stored = model.get(key).map_or("", String::as_str);
            let meant = if *other { format!("{stored}~") } else { stored.to_owned() };
            Expect::At(Key::from(key.as_str()), Version::of(meant.as_bytes()))
        }
    }
}

fn holds(model: &Model, wish: &Wish) -> bool {
    match wish {
        Wish::Absent(key) => !model.contains_key(key),
        Wish::Empty(prefix) => !model.keys().any(|key| key.starts_with(prefix)),
        Wish::At(key, other) => model.contains_key(key) && !other,
    }
}

fn apply(model: &mut Model, writes: &[(String, Option<String>)]) {
    for (key, to) in writes {
        match to {
            Some(to) => model.insert(key.clone(), to.clone()),
            None => model.remove(key),
        };
    }
}

fn children(model: &Model, prefix: &str) -> BTreeSet<String> {
    let under = model.keys().filter_map(|key| key.strip_prefix(prefix)).filter(|rest| !rest.is_empty());
    under.map(|rest| rest.split_once('/').map_or_else(|| rest.to_owned(), |(folder, _)| format!("{folder}/"))).collect()
}
