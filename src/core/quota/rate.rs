//! A rate for each client: so many requests at once, and as many again over each interval. Of a client an address and two
//! moments are kept; who asks waits for nobody.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use papaya::HashMap;

/// The clients of one rule.
pub(super) struct Limiter {
    /// Between two requests of a client that asks as often as it may, in nanoseconds.
    step: u64,
    /// Requests at once.
    burst: u64,
    /// How long who asked too often is refused; zero: until there is room again.
    block: u64,
    clients: HashMap<IpAddr, Arc<Client>>,
    most_clients: usize,
    /// When clients that left were looked for last.
    swept: AtomicU64,
    /// Stands for those that find no place.
    others: Client,
}

#[derive(Debug, Default)]
struct Client {
    /// When all it asked for would be used up.
    until: AtomicU64,
    blocked_until: AtomicU64,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pass {
    pub(super) allowed: bool,
    pub(super) limit: u64,
    pub(super) remaining: u64,
    /// Whole seconds until all of it is there again.
    pub(super) reset: u64,
    /// Whole seconds until the next request has a chance; 0 when this one was allowed.
    pub(super) retry: u64,
}

impl Limiter {
    /// `rate` requests, above zero, each `interval`.
    pub(super) fn new(rate: f64, interval: Duration, block: Duration, most_clients: usize) -> Self {
        let step = Duration::try_from_secs_f64(interval.as_secs_f64() / rate).unwrap_or(LONGEST).min(LONGEST);
        let rounded = Duration::try_from_secs_f64(rate.floor()).map_or(u64::MAX, |whole| whole.as_secs());
        Self {
            step: nanos(step).max(1),
            burst: rounded.max(1),
            block: nanos(block),
            clients: HashMap::new(),
            most_clients,
            swept: AtomicU64::new(0),
            others: Client::default(),
        }
    }

    /// One more request of a client at `now`, of the clock that only runs forward.
    pub(super) fn pass(&self, client: IpAddr, now: Duration) -> Pass {
        let now = nanos(now);
        let clients = self.clients.pin();
        if let Some(client) = clients.get(&client) {
            return self.take(client, now);
        }
        if clients.len() >= self.most_clients {
            self.sweep(now);
        }
        if clients.len() >= self.most_clients {
            return self.take(&self.others, now);
        }
        self.take(clients.get_or_insert_with(client, Arc::default), now)
    }

    fn take(&self, client: &Client, now: u64) -> Pass {
        let room = self.burst.saturating_mul(self.step);
        let refused = |wait: u64, until: u64| Pass {
            allowed: false,
            limit: self.burst,
            remaining: 0,
            reset: seconds(until.saturating_sub(now)),
            retry: seconds(wait).max(1),
        };
        let blocked_until = client.blocked_until.load(Ordering::Relaxed);
        if now < blocked_until {
            return refused(blocked_until - now, blocked_until);
        }
        let mut until = client.until.load(Ordering::Relaxed);
        loop {
            let next = until.max(now).saturating_add(self.step);
            let ahead = next - now;
            if ahead > room {
                if self.block > 0 {
                    let blocked = now.saturating_add(self.block);
                    client.blocked_until.store(blocked, Ordering::Relaxed);
                    return refused(self.block, blocked);
                }
                return refused(ahead - room, until);
            }
            match client.until.compare_exchange_weak(until, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    let remaining = (room - ahead) / self.step;
                    return Pass { allowed: true, limit: self.burst, remaining, reset: seconds(ahead), retry: 0 };
                }
                Err(changed) => until = changed,
            }
        }
    }

    /// Forgets clients that have all their requests again; not more often than once a second.
    fn sweep(&self, now: u64) {
        let swept = self.swept.load(Ordering::Relaxed);
        if now.saturating_sub(swept) < SWEEP
            || self.swept.compare_exchange(swept, now, Ordering::Relaxed, Ordering::Relaxed).is_err()
        {
            return;
        }
        self.clients
            .pin()
            .retain(|_, client| client.until.load(Ordering::Relaxed) > now || client.blocked_until.load(Ordering::Relaxed) > now);
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").field("burst", &self.burst).field("clients", &self.clients.len()).finish_non_exhaustive()
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Whole seconds, rounded up.
fn seconds(nanos: u64) -> u64 {
    nanos.div_ceil(SECOND)
}

const SECOND: u64 = 1_000_000_000;
/// Between two looks for clients that left.
const SWEEP: u64 = SECOND;
/// A rate slower than one request a year is one a year.
const LONGEST: Duration = Duration::from_hours(365 * 24);

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn limiter(rate: f64, interval: u64, block: u64) -> Limiter {
        Limiter::new(rate, Duration::from_secs(interval), Duration::from_secs(block), 3)
    }

    #[test]
    fn a_client_has_its_rate_again_after_the_interval() {
        let limiter = limiter(2.0, 10, 0);
        let at = |seconds: u64| limiter.pass(ip(1), Duration::from_secs(100 + seconds));
        assert_eq!(at(0), Pass { allowed: true, limit: 2, remaining: 1, reset: 5, retry: 0 });
        assert_eq!(at(0), Pass { allowed: true, limit: 2, remaining: 0, reset: 10, retry: 0 });
        assert_eq!(at(0), Pass { allowed: false, limit: 2, remaining: 0, reset: 10, retry: 5 });
        assert!(limiter.pass(ip(2), Duration::from_secs(100)).allowed, "another client has its own");
        assert!(!at(4).allowed);
        assert!(at(5).allowed);
        assert!(!at(5).allowed);
        assert!(at(30).allowed && at(30).allowed && !at(30).allowed);
    }

    #[test]
    fn a_rate_below_one_is_one_request_in_more_than_an_interval() {
        let limiter = limiter(0.5, 1, 0);
        assert!(limiter.pass(ip(1), Duration::from_secs(1)).allowed);
        assert!(!limiter.pass(ip(1), Duration::from_millis(2900)).allowed);
        assert!(limiter.pass(ip(1), Duration::from_secs(3)).allowed);
    }

    #[test]
    fn who_asked_too_often_is_blocked_for_the_whole_time() {
        let limiter = limiter(1.0, 1, 60);
        let at = |seconds: u64| limiter.pass(ip(1), Duration::from_secs(seconds));
        assert!(at(1).allowed);
        assert_eq!(at(1).retry, 60);
        assert!(!at(60).allowed);
        assert!(at(61).allowed);
    }

    #[test]
    fn clients_without_a_place_share_one_and_those_that_left_make_room() {
        let limiter = limiter(1.0, 10, 0);
        for client in 1..=3 {
            assert!(limiter.pass(ip(client), Duration::from_secs(5)).allowed);
        }
        assert!(limiter.pass(ip(4), Duration::from_secs(5)).allowed);
        assert!(!limiter.pass(ip(5), Duration::from_secs(5)).allowed, "it shares with the fourth");
        assert_eq!(limiter.clients.len(), 3);
        assert!(limiter.pass(ip(5), Duration::from_secs(16)).allowed);
        assert_eq!(limiter.clients.len(), 1);
    }

    #[test]
    fn exactly_the_rate_passes_however_many_ask_at_once() {
        let limiter = Limiter::new(50.0, Duration::from_secs(10), Duration::ZERO, 10);
        let passed: usize = std::thread::scope(|scope| {
            let asks = || (0..40).filter(|_| limiter.pass(ip(1), Duration::from_secs(9)).allowed).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(asks)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(passed, 50);
    }
}
