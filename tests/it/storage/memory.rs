//! What memory storage does beyond the contract: faults and holds.

use super::*;

#[test]
fn power_is_lost_after_the_nth_commit_and_a_new_handle_sees_what_was_durable() {
    run(async {
        let before = MemoryStorage::new();
        let seen = record(&before);
        before.lose_power_after(2);
        before.commit(batch([put("a", "1")])).await.unwrap();
        before.commit(batch([put("b", "2")])).await.unwrap();
        let error = before.commit(batch([put("c", "3")])).await.unwrap_err();
        assert!(matches!(error, StorageError::Io(_)));
        assert!(before.is_dead());
        assert!(before.get(&"a".into()).await.is_err());
        assert_eq!(seen.lock().unwrap().len(), 2);

        let after = before.reopen();
        assert_eq!(after.commits(), 2);
        assert_eq!(value(&after, "b").await.as_deref(), Some("2"));
        assert_eq!(value(&after, "c").await, None);
        after.commit(batch([put("c", "3")])).await.unwrap();
        assert_eq!(seen.lock().unwrap().len(), 2, "hooks end with their handle");
    });
}

#[test]
fn power_can_go_between_a_commit_and_its_answer() {
    run(async {
        let before = MemoryStorage::new();
        let seen = record(&before);
        before.lose_power_answering(1);
        before.commit(batch([put("a", "1")])).await.unwrap();
        before.commit(batch([put("b", "2")])).await.unwrap_err();
        before.commit(batch([put("c", "3")])).await.unwrap_err();
        assert_eq!(seen.lock().unwrap().len(), 1);
        assert_eq!(before.reopen().keys(""), ["a", "b"].map(Key::from));
    });
}

#[test]
fn an_answer_can_be_lost_while_the_store_lives_on() {
    run(async {
        let storage = MemoryStorage::new();
        let seen = record(&storage);
        storage.lose_answer_after(0);
        storage.commit(batch([put("a", "1")])).await.unwrap_err();
        storage.commit(batch([put("b", "2")])).await.unwrap();
        assert_eq!(value(&storage, "a").await.as_deref(), Some("1"));
        assert_eq!(seen.lock().unwrap().len(), 2);
    });
}

#[test]
fn a_full_disk_refuses_writes_until_there_is_space() {
    run(async {
        let storage = MemoryStorage::new();
        storage.commit(batch([put("a", "1")])).await.unwrap();
        storage.set_full(true);
        assert!(matches!(storage.commit(batch([put("a", "2")])).await, Err(StorageError::Io(_))));
        assert_eq!(value(&storage, "a").await.as_deref(), Some("1"));
        storage.set_full(false);
        storage.commit(batch([put("a", "2")])).await.unwrap();
    });
}

#[test]
fn held_commits_happen_in_order_even_when_nobody_waits_for_them() {
    run(async {
        let storage = MemoryStorage::new();
        let held = storage.hold_after(1);
        storage.commit(batch([put("a", "1")])).await.unwrap();
        let mut abandoned = storage.commit(batch([put("a", "2")]));
        let mut kept = storage.commit(batch([put("b", "2")]));
        assert!(waits(&mut abandoned));
        assert!(waits(&mut kept));
        held.waiting(2).await;
        assert_eq!(value(&storage, "a").await.as_deref(), Some("1"));
        drop(abandoned);
        held.let_pass(1);
        assert_eq!(value(&storage, "a").await.as_deref(), Some("2"));
        assert!(waits(&mut kept));
        held.release();
        kept.await.unwrap();
        storage.commit(batch([put("c", "3")])).await.unwrap();
    });
}

#[test]
fn power_lost_while_commits_wait_fails_them() {
    run(async {
        let storage = MemoryStorage::new();
        let _held = storage.hold_after(0);
        let mut waiting = storage.commit(batch([put("a", "1")]));
        assert!(waits(&mut waiting));
        let next = storage.reopen();
        waiting.await.unwrap_err();
        assert_eq!(next.keys(""), []);
    });
}

#[test]
fn a_held_read_answers_what_was_there_before() {
    run(async {
        let storage = MemoryStorage::new();
        storage.commit(batch([put("a", "old")])).await.unwrap();
        let mut held = storage.hold_get("a");
        let key = Key::from("a");
        let mut read = storage.get(&key);
        assert!(waits(&mut read));
        held.reached().await;
        storage.commit(batch([put("a", "new")])).await.unwrap();
        assert_eq!(value(&storage, "a").await.as_deref(), Some("new"));
        held.release();
        assert_eq!(read.await.unwrap().unwrap().bytes, "old");
    });
}

fn fresh() -> Arc<dyn Storage> {
    Arc::new(MemoryStorage::new())
}

contract::whole_contract!(fresh());
