//! What the database takes in is what it was given, in full pages.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use redb::ReadableTableMetadata as _;

use super::*;
use crate::base::Key;
use crate::storage::medium::StoreFile;

/// A store, and the folder it lies in.
fn tables() -> (tempfile::TempDir, Tables) {
    let folder = tempfile::tempdir().unwrap();
    let medium: Arc<dyn Medium> = Arc::new(StoreFile::draft(&folder.path().join("store")).unwrap());
    let tables = Tables::create(&medium, 1 << 20).unwrap();
    (folder, tables)
}

fn absorb(tables: &Tables, fresh: impl IntoIterator<Item = (String, Option<Vec<u8>>)>) {
    let fresh = fresh.into_iter().map(|(key, value)| (Key::new(key), value.map(Bytes::from))).collect();
    tables.absorb(&fresh, Progress { epoch: 2, is_journalled: true }).unwrap();
}

fn all(tables: &Tables) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let keep = |entries: &Entries<'_>| {
        entries.walk("", Bound::Unbounded, |key, value| {
            found.insert(key.to_owned(), value.to_vec());
            ControlFlow::Continue(())
        })
    };
    tables.snapshot(1).unwrap().read(keep).unwrap();
    found
}

#[test]
fn ascending_keys_fill_their_pages() {
    let (_folder, tables) = tables();
    // Three indexes that grow at their ends, as those of tokens do.
    for round in 0..20 {
        let keys = (0..200).flat_map(|number| ["a", "b", "c"].map(|index| format!("{index}/{:06}", round * 200 + number)));
        absorb(&tables, keys.map(|key| (key, Some(vec![7; 150]))));
    }
    let stats = tables.snapshot(1).unwrap().entries.stats().unwrap();
    let fill = stats.stored_bytes() * 100 / (stats.leaf_pages() * 4096);
    assert!(fill > 85, "{fill} % in {} pages", stats.leaf_pages());
    assert_eq!(all(&tables).len(), 12_000);
}

#[test]
fn a_run_of_removals_leaves_its_neighbours() {
    let (_folder, tables) = tables();
    absorb(&tables, (0..1000).map(|number| (format!("k/{number:04}"), Some(vec![1; 40]))));
    let doomed = (100..900).filter(|number| number % 250 != 0).map(|number| (format!("k/{number:04}"), None));
    // One that never was, in the middle of the run.
    absorb(&tables, doomed.chain([("k/0100x".to_owned(), None), ("k/0700x".to_owned(), Some(vec![2]))]));
    let left: Vec<_> = all(&tables).into_keys().filter(|key| ("k/0099".."k/0901").contains(&key.as_str())).collect();
    assert_eq!(left, ["k/0099", "k/0250", "k/0500", "k/0700x", "k/0750", "k/0900"]);
}

/// Some hundred possible keys in few folders, so that runs, gaps, and keys put again are frequent.
fn fresh() -> impl Strategy<Value = BTreeMap<String, Option<Vec<u8>>>> {
    let key = (0..3_u8, 0..120_u8).prop_map(|(folder, number)| format!("{folder}/{number:03}"));
    let value = proptest::option::weighted(0.7, proptest::collection::vec(any::<u8>(), 0..300));
    let single = proptest::collection::btree_map(key, value, 0..80);
    let run = (0..3_u8, 0..100_u8, 1..60_u8, any::<bool>()).prop_map(|(folder, from, len, is_put)| {
        (from..from.saturating_add(len))
            .map(|number| (format!("{folder}/{number:03}"), is_put.then(|| vec![number; 90])))
            .collect()
    });
    prop_oneof![single, run]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_taken_in_is_what_a_map_would_hold(rounds in proptest::collection::vec(fresh(), 1..12)) {
        let (_folder, tables) = tables();
        let mut model = BTreeMap::new();
        for fresh in rounds {
            for (key, value) in &fresh {
                match value {
                    Some(value) => model.insert(key.clone(), value.clone()),
                    None => model.remove(key),
                };
            }
            absorb(&tables, fresh);
            prop_assert_eq!(&all(&tables), &model);
        }
    }
}
