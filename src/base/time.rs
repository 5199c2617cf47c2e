//! Time: the only file that reads a clock.

use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Datelike as _, Timelike as _, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// A point in time, in whole seconds since 1970 (UTC).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// From seconds since 1970, as read from a record.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Seconds since 1970.
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// This time and `ttl` more.
    #[must_use]
    pub const fn plus(self, ttl: Ttl) -> Self {
        Self(self.0.saturating_add(ttl.0))
    }

    /// How long from `earlier` until this time; zero when it is not later.
    pub const fn since(self, earlier: Self) -> Ttl {
        Ttl(self.0.saturating_sub(earlier.0))
    }

    /// As text of RFC 3339, in UTC, without fraction.
    pub fn rfc3339(self) -> String {
        self.to_datetime().to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    }

    /// As calendar time.
    pub fn to_datetime(self) -> DateTime<Utc> {
        i64::try_from(self.0).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0)).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

/// Text of RFC 3339 with as many digits of nanoseconds as needed, as Go prints it. Years of other than four digits, which RFC 3339
/// does not know, have a sign.
pub fn rfc3339_nano(time: DateTime<Utc>) -> String {
    let mut text = String::with_capacity("2006-01-02T15:04:05.999999999Z".len());
    match u32::try_from(time.year()) {
        Ok(year @ 0..=9999) => push_digits(&mut text, year, 1000),
        _ => text.push_str(&time.format("%Y").to_string()),
    }
    for (mark, value) in [('-', time.month()), ('-', time.day()), ('T', time.hour()), (':', time.minute()), (':', time.second())]
    {
        text.push(mark);
        push_digits(&mut text, value, 10);
    }
    // A leap second's are more than a second's.
    let nanos = time.timestamp_subsec_nanos() % 1_000_000_000;
    if nanos != 0 {
        text.push('.');
        push_digits(&mut text, nanos, 100_000_000);
        text.truncate(text.trim_end_matches('0').len());
    }
    text.push('Z');
    text
}

/// The digits of a number from this place on, which is a power of ten.
fn push_digits(text: &mut String, number: u32, first: u32) {
    let mut place = first;
    while place > 0 {
        text.push(char::from(b'0' + u8::try_from(number / place % 10).unwrap_or(0)));
        place /= 10;
    }
}

/// `#[serde(with = "stored_time")]`: a time up to the year 2262 in a record, in nanoseconds since 1970, which are shorter and read
/// faster than text.
pub mod stored_time {
    use super::{DateTime, Deserialize, Utc};
    use serde::{Deserializer, Serialize, Serializer, ser};

    /// Writes nanoseconds.
    pub fn serialize<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
        time.timestamp_nanos_opt().ok_or_else(|| ser::Error::custom("a time after 2262"))?.serialize(serializer)
    }

    /// Reads them.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
        i64::deserialize(deserializer).map(DateTime::from_timestamp_nanos)
    }

    /// Any time, as seconds and nanoseconds; it may not be.
    pub mod option {
        use super::{DateTime, Deserialize, Utc};
        use serde::{Deserializer, Serialize, Serializer, de};

        /// Writes seconds and nanoseconds, or null.
        pub fn serialize<S: Serializer>(time: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
            time.map(|time| (time.timestamp(), time.timestamp_subsec_nanos())).serialize(serializer)
        }

        /// Reads them.
        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DateTime<Utc>>, D::Error> {
            let Some((seconds, nanos)) = Option::<(i64, u32)>::deserialize(deserializer)? else { return Ok(None) };
            DateTime::from_timestamp(seconds, nanos).map(Some).ok_or_else(|| de::Error::custom("no time"))
        }
    }
}

/// A length of time in whole seconds. Reads `3600`, `"3600"`, `"1h30m"`, `"5d"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Ttl(u64);

/// Why a text is not a duration.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum DurationError {
    /// Not of the form of a Go duration.
    #[error("time: invalid duration \"{0}\"")]
    Invalid(String),
    /// Below zero where that has no meaning (spec `00-conventions.md` §1).
    #[error("cannot provide negative value '{0}'")]
    Negative(String),
}

impl Ttl {
    /// No time at all; in many settings: not set.
    pub const ZERO: Self = Self(0);

    /// From seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// From minutes.
    pub const fn minutes(minutes: u64) -> Self {
        Self(minutes * 60)
    }

    /// From hours.
    pub const fn hours(hours: u64) -> Self {
        Self(hours * 3600)
    }

    /// In seconds.
    pub const fn as_seconds(self) -> u64 {
        self.0
    }

    /// In the standard library's form.
    pub const fn to_duration(self) -> Duration {
        Duration::from_secs(self.0)
    }

    /// Whether it is zero.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// `None` for zero, which in settings means "not set".
    pub const fn nonzero(self) -> Option<Self> {
        if self.0 == 0 { None } else { Some(self) }
    }

    /// Reads `3600`, `1h30m`, `1.5h`, `100ms`, `5d`, `1d12h`; empty is zero; fractions of a second are cut
    /// (spec `http-api.md` §8).
    pub fn parse(text: &str) -> Result<Self, DurationError> {
        let nanos = parse_nanos(text)?;
        if nanos < 0 {
            return Err(DurationError::Negative(text.to_owned()));
        }
        u64::try_from(nanos / 1_000_000_000).map(Self).map_err(|_| DurationError::Invalid(text.to_owned()))
    }

    /// As Go prints it: `768h0m0s`, `1m30s`, `0s`.
    pub fn go(self) -> String {
        let (hours, minutes, seconds) = (self.0 / 3600, self.0 / 60 % 60, self.0 % 60);
        match (hours, minutes) {
            (0, 0) => format!("{seconds}s"),
            (0, _) => format!("{minutes}m{seconds}s"),
            _ => format!("{hours}h{minutes}m{seconds}s"),
        }
    }

    /// As Go prints it, without zero parts at the end: `768h`, `1h30m`, `0s` (spec `tokens.md` §5).
    pub fn short(self) -> String {
        let text = self.go();
        let text = text.strip_suffix("m0s").map_or(text.clone(), |rest| format!("{rest}m"));
        text.strip_suffix("h0m").map_or(text.clone(), |rest| format!("{rest}h"))
    }
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.go())
    }
}

impl<'de> Deserialize<'de> for Ttl {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::Null => Ok(Self::ZERO),
            serde_json::Value::Number(number) => Self::parse(&number.to_string()).map_err(D::Error::custom),
            serde_json::Value::String(text) => Self::parse(&text).map_err(D::Error::custom),
            other => Err(D::Error::custom(format!("expected a duration, got {other}"))),
        }
    }
}

impl schemars::JsonSchema for Ttl {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "integer", "format": "seconds" })
    }
}

/// Nanoseconds of a duration's text; bare digits are seconds.
pub fn parse_nanos(text: &str) -> Result<i128, DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Ok(0);
    }
    // No sum of what follows leaves i128: at most 40 characters, each part at most 10^18 days.
    if trimmed.len() > 40 {
        return Err(invalid());
    }
    let (sign, mut rest) = match trimmed.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, trimmed.strip_prefix('+').unwrap_or(trimmed)),
    };
    if !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds: i64 = rest.parse().map_err(|_| invalid())?;
        return Ok(sign * i128::from(seconds) * 1_000_000_000);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (whole, after) = rest.split_at(digits);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => {
                let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
                after.split_at(digits)
            }
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let unit_len = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_len);
        let nanos: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" if fraction.is_empty() => 86_400_000_000_000,
            _ => return Err(invalid()),
        };
        let whole: i128 = if whole.is_empty() { 0 } else { i128::from(whole.parse::<i64>().map_err(|_| invalid())?) };
        total += whole * nanos;
        let mut scale = nanos;
        for digit in fraction.bytes().take(18) {
            scale /= 10;
            total += i128::from(digit - b'0') * scale;
        }
        rest = after;
    }
    // What Go's own type holds: 2^63 nanoseconds, 292 years; longer ones only as bare seconds or days.
    Ok(sign * total)
}

/// The clock everything is handed. Leases and tokens end by `now`; waits and deadlines run on `elapsed`.
#[async_trait]
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Wall time in whole seconds; never goes back within a process and never stands still (architecture §14).
    fn now(&self) -> Timestamp;
    /// The same instant with its nanoseconds, for what is shown or written.
    fn precise(&self) -> DateTime<Utc>;
    /// Time since some fixed point, that only runs forward, suspended time included.
    fn elapsed(&self) -> Duration;
    /// Returns when `elapsed` has grown by `duration`.
    async fn sleep(&self, duration: Duration);
    /// Returns when `now` has reached `at`.
    async fn sleep_until(&self, at: Timestamp);
}

/// `work`, or `None` when `limit` passes first on `clock`.
pub async fn timeout<F: Future>(clock: &dyn Clock, limit: Duration, work: F) -> Option<F::Output> {
    let mut work = std::pin::pin!(work);
    // What is ready at once needs no timer.
    let mut end = None;
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(out) => Poll::Ready(Some(out)),
        Poll::Pending => end.get_or_insert_with(|| clock.sleep(limit)).as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// The clock of the machine.
#[derive(Debug)]
pub struct SystemClock {
    wall_at_start: Duration,
    elapsed_at_start: Duration,
    latest: AtomicU64,
}

impl SystemClock {
    /// Reads the machine's clocks for the first time.
    pub fn new() -> Self {
        Self { wall_at_start: wall(), elapsed_at_start: boot_time(), latest: AtomicU64::new(0) }
    }

    /// Nanoseconds since 1970: the later of the wall clock and (wall clock at start + elapsed since).
    fn nanos(&self) -> u64 {
        let run = self.wall_at_start + boot_time().saturating_sub(self.elapsed_at_start);
        let nanos = u64::try_from(wall().max(run).as_nanos()).unwrap_or(u64::MAX);
        self.latest.fetch_max(nanos, Ordering::Relaxed).max(nanos)
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.nanos() / 1_000_000_000)
    }

    fn precise(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_nanos(i64::try_from(self.nanos()).unwrap_or(i64::MAX))
    }

    fn elapsed(&self) -> Duration {
        boot_time()
    }

    async fn sleep(&self, duration: Duration) {
        sleep_real(duration).await;
    }

    async fn sleep_until(&self, at: Timestamp) {
        loop {
            let left = at.since(self.now());
            if left.is_zero() {
                return;
            }
            // The wall clock may jump ahead meanwhile: look again at least each half minute.
            sleep_real(left.to_duration().min(Duration::from_secs(30))).await;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the system clock is where waiting happens")]
async fn sleep_real(duration: Duration) {
    tokio::time::sleep(duration).await;
}

fn wall() -> Duration {
    timespec(rustix::time::clock_gettime(rustix::time::ClockId::Realtime))
}

fn boot_time() -> Duration {
    timespec(rustix::time::clock_gettime(rustix::time::ClockId::Boottime))
}

fn timespec(time: rustix::time::Timespec) -> Duration {
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), nanos)
}

/// A clock for tests: stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock {
    state: Mutex<ManualState>,
    moved: Notify,
}

#[derive(Debug, Clone, Copy)]
struct ManualState {
    wall: Duration,
    elapsed: Duration,
}

impl ManualClock {
    /// A clock that shows `start`.
    pub fn at(start: Timestamp) -> Self {
        let state = ManualState { wall: Duration::from_secs(start.seconds()), elapsed: Duration::from_secs(1) };
        Self { state: Mutex::new(state), moved: Notify::new() }
    }

    /// Lets `duration` pass and wakes who waited for it.
    pub fn advance(&self, duration: Duration) {
        self.set(|state| {
            state.wall += duration;
            state.elapsed += duration;
        });
    }

    /// The wall clock jumps ahead; no time passes.
    pub fn jump_forward(&self, duration: Duration) {
        self.set(|state| state.wall += duration);
    }

    fn set(&self, change: impl FnOnce(&mut ManualState)) {
        // Guards two numbers; nobody waits; held for an addition.
        if let Ok(mut state) = self.state.lock() {
            change(&mut state);
        }
        self.moved.notify_waiters();
    }

    fn read(&self) -> ManualState {
        *self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn until(&self, reached: impl Fn(ManualState) -> bool + Send) {
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            if reached(self.read()) {
                return;
            }
            moved.await;
        }
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.read().wall.as_secs())
    }

    fn precise(&self) -> DateTime<Utc> {
        let nanos = i64::try_from(self.read().wall.as_nanos()).unwrap_or(i64::MAX);
        DateTime::from_timestamp_nanos(nanos)
    }

    fn elapsed(&self) -> Duration {
        self.read().elapsed
    }

    async fn sleep(&self, duration: Duration) {
        let end = self.elapsed() + duration;
        self.until(move |state| state.elapsed >= end).await;
    }

    async fn sleep_until(&self, at: Timestamp) {
        self.until(move |state| state.wall.as_secs() >= at.seconds()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_every_form() {
        for (text, seconds) in [
            ("", 0),
            ("0", 0),
            ("3600", 3600),
            ("1h30m", 5400),
            ("1.5h", 5400),
            ("100ms", 0),
            ("5d", 432_000),
            ("1d12h", 129_600),
            ("90s", 90),
            ("+5s", 5),
        ] {
            assert_eq!(Ttl::parse(text), Ok(Ttl(seconds)), "{text}");
        }
        for text in ["x", "1", "-1", "1x", "h", "1.5d", ".s", "1h-2m", "99999999999999999999"] {
            assert_eq!(Ttl::parse(text).is_ok(), text == "1", "{text}");
        }
    }

    #[test]
    fn times_print_as_go_prints_them() {
        let shown = |seconds, nanos| rfc3339_nano(DateTime::from_timestamp(seconds, nanos).unwrap());
        assert_eq!(shown(0, 0), "1970-01-01T00:00:00Z");
        assert_eq!(shown(1_800_000_000, 1), "2027-01-15T08:00:00.000000001Z");
        assert_eq!(shown(1_800_000_000, 120_000_000), "2027-01-15T08:00:00.12Z");
        assert_eq!(shown(253_402_300_799, 999_999_999), "9999-12-31T23:59:59.999999999Z");
        assert_eq!(shown(253_402_300_800, 0), "+10000-01-01T00:00:00Z");
        assert_eq!(shown(-62_135_596_800, 0), "0001-01-01T00:00:00Z");
        assert_eq!(shown(-62_198_755_200, 0), "-0001-01-01T00:00:00Z");
    }

    #[test]
    fn stored_times_are_read_back() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Record(#[serde(with = "stored_time")] DateTime<Utc>, #[serde(with = "stored_time::option")] Option<DateTime<Utc>>);
        let at = DateTime::from_timestamp(1_800_000_000, 5).unwrap();
        let far = DateTime::from_timestamp(11_000_000_000, 7).unwrap();
        for record in [Record(at, None), Record(DateTime::UNIX_EPOCH, Some(at)), Record(at, Some(far))] {
            let text = serde_json::to_string(&record).unwrap();
            assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record, "{text}");
        }
        assert!(serde_json::to_string(&Record(far, None)).is_err());
        assert!(serde_json::from_str::<Record>("[0,[0,4000000000]]").is_err());
    }

    #[test]
    fn durations_print_as_go_prints_them() {
        for (seconds, go, short) in [
            (0, "0s", "0s"),
            (90, "1m30s", "1m30s"),
            (60, "1m0s", "1m"),
            (3600, "1h0m0s", "1h"),
            (2_764_800, "768h0m0s", "768h"),
            (5400, "1h30m0s", "1h30m"),
            (10, "10s", "10s"),
        ] {
            assert_eq!(Ttl(seconds).go(), go);
            assert_eq!(Ttl(seconds).short(), short);
        }
    }

    #[test]
    fn the_system_clock_never_goes_back() {
        let clock = SystemClock::new();
        let first = clock.precise();
        assert!(clock.precise() >= first);
    }
}
