use super::*;
use crate::base::time::ManualClock;

const START: u64 = 1_800_000_000;

fn clock() -> ManualClock {
    ManualClock::at(Timestamp::from_seconds(START))
}

fn subject(name: &str) -> Subject {
    Subject { name: name.to_owned(), id: "AIDA1".to_owned(), arn: format!("arn:aws:iam::123456789012:user/{name}") }
}

fn key(id: &str, created: u64) -> KeyListed {
    KeyListed { id: id.to_owned(), created: Some(Timestamp::from_seconds(created)) }
}

/// A creation at the start that was not answered.
fn doubtful(watch: &Watch, clock: &ManualClock) -> Record {
    let mut record = Record::default();
    record.begin(subject("u"), vec!["OLD".to_owned()], watch, clock);
    record.give_up(watch, clock);
    record
}

#[test]
fn only_what_was_made_since_may_be_lost() {
    let clock = clock();
    let record = doubtful(&Watch::new(&clock), &clock);
    let may_be = |user: &str, key: &KeyListed| record.may_be_lost(user, key, None);
    assert!(may_be("u", &key("NEW", START)) && may_be("u", &key("NEW", START - 5)) && may_be("u", &key("NEW", START + 600)));
    assert!(!may_be("u", &key("NEW", START - 6)), "it is older");
    assert!(!may_be("u", &key("NEW", START + 18 * 60 + 6)), "it is of after the horizon");
    assert!(!may_be("u", &key("OLD", START)), "it was there before");
    assert!(!may_be("other", &key("NEW", START)), "it is somebody else's");
    assert!(!may_be("u", &KeyListed { id: "NEW".to_owned(), created: None }), "nobody knows when");
}

#[test]
fn dates_of_keys_are_read_by_our_clock() {
    let clock = clock();
    let record = doubtful(&Watch::new(&clock), &clock);
    assert!(record.may_be_lost("u", &key("NEW", START + 1200), Some(1200)));
    assert!(!record.may_be_lost("u", &key("NEW", START), Some(1200)));
}

#[test]
fn a_doubt_ends_at_the_horizon_of_its_last_creation() {
    let clock = clock();
    let watch = Watch::new(&clock);
    let mut record = doubtful(&watch, &clock);
    clock.advance(Duration::from_mins(10));
    record.begin(subject("u"), vec!["OLD".to_owned(), "B".to_owned()], &watch, &clock);
    record.give_up(&watch, &clock);
    assert!(!record.may_be_lost("u", &key("B", START + 60), None));
    clock.advance(Duration::from_mins(17));
    assert!(!record.forget_old_doubts(&watch, &clock));
    clock.advance(Duration::from_mins(1));
    assert!(record.forget_old_doubts(&watch, &clock) && record.is_empty());
}

#[test]
fn a_process_must_have_watched_as_long_itself() {
    let before = clock();
    let mut record = doubtful(&Watch::new(&before), &before);
    let after = ManualClock::at(Timestamp::from_seconds(START + 3600));
    let watch = Watch::new(&after);
    after.advance(Duration::from_mins(17));
    assert!(!record.forget_old_doubts(&watch, &after));
    after.advance(Duration::from_mins(1));
    assert!(record.forget_old_doubts(&watch, &after));
}

#[test]
fn what_lasts_longer_is_looked_at_less_often() {
    let clock = clock();
    let record = doubtful(&Watch::new(&clock), &clock);
    let next = |seconds: u64| record.next(Timestamp::from_seconds(START + seconds)).unwrap().seconds() - START;
    assert_eq!([0, 1, 2, 8, 60, 600].map(next), [1, 2, 4, 16, 120, 660]);
    assert_eq!(Record::default().next(clock.now()), None);
}

#[test]
fn a_key_of_another_account_is_forgotten_once_the_configuration_is_of_that_account() {
    let clock = clock();
    let watch = Watch::new(&clock);
    let mut record = Record::default();
    record.begin(subject("u"), vec![], &watch, &clock);
    record.created(&KeyPair { id: "NEW".to_owned(), secret: Secret::from("s") }, clock.now());
    let mut same = record.clone();
    record.close(&watch, &clock, "WRITTEN");
    assert_eq!(record.retired().collect::<Vec<_>>(), ["NEW"]);
    record.open_again("123456789012");
    assert_eq!(record.retired().count(), 1);
    record.close(&watch, &clock, "WRITTEN");
    record.open_again("999999999999");
    assert!(record.is_empty());
    same.close(&watch, &clock, "NEW");
    assert!(same.is_empty(), "the key that was written is in use");
}

#[test]
fn the_phase_is_that_of_what_is_furthest_behind() {
    let clock = clock();
    let watch = Watch::new(&clock);
    let mut record = doubtful(&watch, &clock);
    assert_eq!(record.phase().unwrap().0, Phase::Searching);
    record.begin(subject("u"), vec![], &watch, &clock);
    assert_eq!(record.phase().unwrap().0, Phase::Creating);
    record.created(&KeyPair { id: "NEW".to_owned(), secret: Secret::from("s") }, clock.now());
    assert_eq!(record.phase().unwrap().0, Phase::Verifying);
    record.switched(Some("OLD"), clock.now());
    assert_eq!(record.phase().unwrap().0, Phase::Retiring);
    assert!(record.is_successor("NEW"));
    record.deleted("OLD");
    assert_eq!(record.phase().unwrap().0, Phase::Searching);
}

#[test]
fn a_secret_is_not_in_what_is_printed() {
    let clock = clock();
    let mut record = Record::default();
    record.begin(subject("u"), vec![], &Watch::new(&clock), &clock);
    record.created(&KeyPair { id: "NEW".to_owned(), secret: Secret::from("hunter2") }, clock.now());
    assert!(!format!("{record:?}").contains("hunter2"));
    let stored = serde_json::to_string(&record).unwrap();
    let read: Record = serde_json::from_str(&stored).unwrap();
    assert!(read.fresh().unwrap().1.secret.matches("hunter2"));
}
