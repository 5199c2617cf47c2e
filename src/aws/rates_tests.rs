use std::sync::Arc;

use super::*;
use crate::base::Timestamp;
use crate::base::time::ManualClock;

const ACTION: Action = "iam:CreateUser";

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::from_seconds(1_800_000_000)))
}

fn throttled() -> Result<(), AwsError> {
    let (code, message) = ("Throttling".to_owned(), "Rate exceeded".to_owned());
    Err(AwsError::Refused(Refusal { action: ACTION, code, message, status: 400, retry_after: None }))
}

async fn admit(rates: &Rates, clock: &ManualClock, urgency: Urgency, wait: u64) -> Result<(), AwsError> {
    let until = clock.elapsed() + Duration::from_secs(wait);
    rates.admit(clock, ACTION, urgency, Some(until)).await
}

fn allowed(rates: &Rates, clock: &ManualClock) -> Option<f64> {
    rates.seen(clock.elapsed())[ACTION].allowed
}

/// Somebody who waits, for as long as this is kept.
fn waiter(rates: &Rates, urgency: Urgency) -> Waiting<'_> {
    let place = (urgency, rates.next_ticket());
    rates.state().actions.entry(ACTION).or_default().waiting.insert(place);
    Waiting { rates, action: ACTION, place }
}

#[tokio::test]
async fn an_action_is_not_limited_before_aws_says_so() {
    let (rates, clock) = (Rates::default(), clock());
    for _ in 0..500 {
        admit(&rates, &clock, Urgency::Issue, 0).await.unwrap();
    }
    assert_eq!(rates.seen(clock.elapsed())[ACTION], Rate { allowed: None, used: 500, throttled: 0 });
}

#[tokio::test]
async fn a_refusal_halves_the_rate_once_a_second_and_silence_lets_it_grow() {
    let (rates, clock) = (Rates::default(), clock());
    for _ in 0..20 {
        admit(&rates, &clock, Urgency::Issue, 0).await.unwrap();
    }
    for _ in 0..3 {
        let error = rates.learn(clock.elapsed(), ACTION, throttled()).unwrap_err();
        assert!(matches!(error, AwsError::Refused(Refusal { retry_after: Some(_), .. })));
    }
    assert_eq!(allowed(&rates, &clock), Some(10.0));
    clock.advance(STEP);
    rates.learn(clock.elapsed(), ACTION, throttled()).unwrap_err();
    assert_eq!(allowed(&rates, &clock), Some(5.0));
    clock.advance(STEP);
    rates.learn(clock.elapsed(), ACTION, Ok(())).unwrap();
    assert_eq!(allowed(&rates, &clock), Some(9.0), "soon near what was too much");
    clock.advance(STEP);
    rates.learn(clock.elapsed(), ACTION, Ok(())).unwrap();
    assert_eq!(allowed(&rates, &clock), Some(9.2), "and slowly from there");
}

#[tokio::test]
async fn what_is_not_too_much_any_more_grows_until_it_is_not_limited() {
    let (rates, clock) = (Rates::default(), clock());
    admit(&rates, &clock, Urgency::Issue, 0).await.unwrap();
    rates.learn(clock.elapsed(), ACTION, throttled()).unwrap_err();
    assert_eq!(allowed(&rates, &clock), Some(SLOWEST));
    clock.advance(Duration::from_hours(1));
    rates.learn(clock.elapsed(), ACTION, Ok(())).unwrap();
    assert!(allowed(&rates, &clock) < Some(1.5), "an hour of which nothing is known");
    for _ in 0..130 {
        clock.advance(STEP);
        rates.learn(clock.elapsed(), ACTION, Ok(())).unwrap();
    }
    assert_eq!(allowed(&rates, &clock), None);
}

#[tokio::test]
async fn who_would_wait_too_long_is_told_what_aws_said() {
    let (rates, clock) = (Rates::default(), clock());
    rates.learn(clock.elapsed(), ACTION, throttled()).unwrap_err();
    let error = admit(&rates, &clock, Urgency::Issue, 0).await.unwrap_err();
    assert_eq!((error.is_throttled(), error.to_string().as_str()), (true, "Throttling: Rate exceeded"));
}

#[tokio::test]
async fn the_more_urgent_go_first() {
    let (rates, clock) = (Rates::default(), clock());
    rates.learn(clock.elapsed(), ACTION, throttled()).unwrap_err();
    let _waits = waiter(&rates, Urgency::Clean);
    clock.advance(Duration::from_secs(2));
    assert!(admit(&rates, &clock, Urgency::Issue, 0).await.is_err());
    assert!(admit(&rates, &clock, Urgency::Clean, 0).await.is_err(), "behind who came earlier");
    admit(&rates, &clock, Urgency::Kill, 0).await.unwrap();
}

#[tokio::test]
async fn issues_that_wait_are_bounded() {
    let (rates, clock) = (Rates::default(), clock());
    rates.learn(clock.elapsed(), ACTION, throttled()).unwrap_err();
    let places: Vec<_> = (0..MOST_WAITING).map(|_| waiter(&rates, Urgency::Issue)).collect();
    assert!(admit(&rates, &clock, Urgency::Issue, 1000).await.is_err());
    drop(places);
    clock.advance(Duration::from_secs(2));
    admit(&rates, &clock, Urgency::Issue, 0).await.unwrap();
}

#[tokio::test]
async fn who_waits_is_let_through_when_there_is_room() {
    let (rates, clock) = (Rates::default(), clock());
    rates.learn(clock.elapsed(), ACTION, throttled()).unwrap_err();
    let waiting = admit(&rates, &clock, Urgency::Issue, 10);
    let moving = async {
        for _ in 0..30 {
            tokio::task::yield_now().await;
            clock.advance(Duration::from_millis(100));
        }
    };
    let (admitted, ()) = tokio::join!(waiting, moving);
    admitted.unwrap();
}

#[test]
fn whoever_calls_an_account_has_its_rates() {
    let accounts = Accounts::default();
    let first = accounts.of("aws/1");
    first.learn(Duration::from_secs(9), ACTION, throttled()).unwrap_err();
    let (same, other) = (accounts.of("aws/1"), accounts.of("aws/2"));
    assert!(Arc::ptr_eq(&first, &same) && !Arc::ptr_eq(&first, &other));
    drop((first, same));
    assert!(accounts.of("aws/1").seen(Duration::from_secs(9)).is_empty(), "nobody calls it any more");
}
