//! The cache is bounded, keeps what is asked for, and takes nothing that is older than a change.

use crate::base::random;
use crate::base::{MountId, Timestamp, Ttl};
use crate::token::NewToken;

use super::*;

fn key() -> TokenKey {
    TokenKey::new("0AbCdEf", &random::bytes()).unwrap()
}

fn info(key: TokenKey) -> Arc<TokenInfo> {
    let new = NewToken { ttl: Ttl::hours(1), ..NewToken::service(vec![], "auth/token/create", MountId::new("m")) };
    Arc::new(new.info(key, None, Timestamp::from_seconds(1)))
}

fn put(cache: &Cache, key: TokenKey) {
    cache.fill(cache.ticket(&key), info(key));
}

#[test]
fn what_was_put_is_found_until_it_changes() {
    let cache = Cache::new(SHARDS * 8);
    let (one, other) = (key(), key());
    put(&cache, one);
    assert_eq!(cache.get(&one).unwrap().key, one);
    assert!(cache.get(&other).is_none());
    cache.changed(&one);
    assert!(cache.get(&one).is_none());
    put(&cache, one);
    assert!(cache.get(&one).is_some());
}

#[test]
fn what_was_read_before_a_change_is_not_put() {
    let cache = Cache::new(SHARDS * 8);
    let key = key();
    let ticket = cache.ticket(&key);
    cache.changed(&key);
    cache.fill(ticket, info(key));
    assert!(cache.get(&key).is_none());
}

#[test]
fn however_many_come_it_stays_bounded_and_keeps_what_is_asked_for() {
    let cache = Cache::new(SHARDS * 8);
    let hot: Vec<TokenKey> = (0..16).map(|_| key()).collect();
    for key in &hot {
        put(&cache, *key);
    }
    for _ in 0..20_000 {
        put(&cache, key());
        assert!(hot.iter().all(|key| cache.get(key).is_some()));
    }
    assert!(cache.map.len() <= SHARDS * 8);
    assert!(cache.map.len() > SHARDS * 6);
    let in_line: usize = cache.shards.iter().map(|shard| shard.lock().unwrap().line.len()).sum();
    assert_eq!(in_line, cache.map.len());
}

#[test]
fn keys_spread_over_all_shards() {
    let cache = Cache::new(SHARDS * 100);
    (0..SHARDS * 50).for_each(|_| put(&cache, key()));
    let lines: Vec<usize> = cache.shards.iter().map(|shard| shard.lock().unwrap().line.len()).collect();
    assert!(lines.iter().all(|count| (15..100).contains(count)), "{lines:?}");
}
