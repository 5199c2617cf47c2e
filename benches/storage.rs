//! What storage costs: reads from the published tables, durable commits alone and in groups.
//!
//! `cargo bench --bench storage`. The store lies in `$TMPDIR`: a flush of that file system is part of each commit.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot start has nothing to measure")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use futures_util::future::join_all;
use leasehold::base::time::SystemClock;
use leasehold::base::{Key, random};
use leasehold::storage::embedded::{EmbeddedStorage, Options};
use leasehold::storage::memory::MemoryStorage;
use leasehold::storage::{Batch, Page, Storage, Write};
use tokio::runtime::Runtime;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let embedded = EmbeddedStorage::open(&folder.path().join("store"), Options::default(), Arc::new(SystemClock::new()));
    let embedded = embedded.unwrap();
    let mut criterion = Criterion::default().configure_from_args();
    measure(&mut criterion, &runtime, &MemoryStorage::new());
    measure(&mut criterion, &runtime, &embedded);
    criterion.final_summary();
}

fn measure(criterion: &mut Criterion, runtime: &Runtime, storage: &dyn Storage) {
    runtime.block_on(fill(storage));
    let numbers = AtomicU64::new(ENTRIES);
    let mut group = criterion.benchmark_group(storage.kind());
    let keys: Vec<_> = (0..ENTRIES).step_by(7).map(key).collect();
    let mut next = keys.iter().cycle();
    group.bench_function("get", |bencher| {
        bencher.iter(|| next.next().map(|key| runtime.block_on(storage.get(key))));
    });
    group.bench_function("first 64 of a prefix", |bencher| {
        bencher.iter(|| runtime.block_on(storage.scan(&Key::from("n/"), Page::first(64))));
    });
    for committers in [1, 4, 16, 64] {
        group.throughput(Throughput::Elements(committers));
        group.bench_function(format!("commit, {committers} at once"), |bencher| {
            bencher.iter(|| {
                runtime
                    .block_on(join_all((0..committers).map(|_| storage.commit(entry(numbers.fetch_add(1, Ordering::Relaxed))))))
            });
        });
    }
    group.finish();
}

async fn fill(storage: &dyn Storage) {
    for start in (0..ENTRIES).step_by(1000) {
        let writes = (start..start + 1000).flat_map(|number| entry(number).writes).collect();
        storage.commit(Batch { writes, expects: vec![] }).await.unwrap();
    }
}

fn entry(number: u64) -> Batch {
    let value = Bytes::copy_from_slice(&random::bytes::<300>());
    Batch { writes: vec![Write::Put(key(number), value)], expects: vec![] }
}

/// In order of time, as the suffixes of leases and tokens are.
fn key(number: u64) -> Key {
    Key::from(format!("n/{}", random::time62(1_000_000_000 + number)))
}

const ENTRIES: u64 = 50_000;
