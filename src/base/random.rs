//! Chance, from the operating system.

use std::cell::RefCell;

use ring::rand::{SecureRandom, SystemRandom};

/// Fills `out` from the operating system's generator.
///
/// # Panics
/// When the operating system refuses randomness: no secret may be made then.
#[expect(clippy::expect_used, reason = "a server without randomness must not go on")]
pub fn fill(out: &mut [u8]) {
    SystemRandom::new().fill(out).expect("the operating system gives randomness");
}

/// `N` random bytes.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    fill(&mut out);
    out
}

/// `len` characters of `0-9A-Za-z`, each equally likely.
pub fn base62(len: usize) -> String {
    let mut out = Vec::with_capacity(len);
    let mut pool = [0; 32];
    while out.len() < len {
        fill(&mut pool);
        // 248 = 4 × 62: values above would favour the first letters.
        let left = len - out.len();
        out.extend(pool.iter().filter(|&&byte| byte < 248).take(left).map(|&byte| digit62(u64::from(byte))));
    }
    text(out)
}

/// A number in `0..bound`, each equally likely; 0 when `bound` is.
pub fn below(bound: usize) -> usize {
    let Some(bound) = u64::try_from(bound).ok().filter(|bound| *bound > 0) else { return 0 };
    // The numbers from `fair` on would favour the first ones.
    let fair = u64::MAX - u64::MAX % bound;
    loop {
        let number = u64::from_le_bytes(bytes::<8>());
        if number < fair {
            return usize::try_from(number % bound).unwrap_or(0);
        }
    }
}

/// As [`uuid()`], for names that are no secrets, such as those of requests. A thread asks the operating system for many at once.
pub fn public_uuid() -> String {
    let bytes = POOL.with_borrow_mut(|pool| {
        if pool.left == 0 {
            fill(pool.bytes.as_flattened_mut());
            pool.left = POOLED;
        }
        pool.left -= 1;
        pool.bytes.get(pool.left).copied().unwrap_or_default()
    });
    uuid_of(bytes)
}

/// See [`public_uuid`].
struct Pool {
    bytes: [[u8; 16]; POOLED],
    left: usize,
}

/// UUIDs drawn at once.
const POOLED: usize = 32;

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { bytes: [[0; 16]; POOLED], left: 0 }) };
}

/// A random (version 4) UUID in its usual text form.
pub fn uuid() -> String {
    uuid_of(bytes::<16>())
}

fn uuid_of(bytes: [u8; 16]) -> String {
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}

/// A number in `0..1`, for jitter.
pub fn unit() -> f64 {
    f64::from(u32::from_le_bytes(bytes::<4>())) / (f64::from(u32::MAX) + 1.0)
}

/// A number as seven digits in base 62, whose alphabet is in ASCII order, so that texts sort as numbers do; what does not fit is
/// cut. For times: neighbours in time are neighbours in storage (architecture §6).
pub fn time62(number: u64) -> String {
    let mut digits = [0_u8; 7];
    digits62(number, &mut digits);
    text(digits.to_vec())
}

/// Fills `out` with the last digits of `number` in base 62. Eleven hold every number.
pub fn digits62(number: u64, out: &mut [u8]) {
    let mut rest = number;
    for place in out.iter_mut().rev() {
        *place = digit62(rest % 62);
        rest /= 62;
    }
}

fn digit62(value: u64) -> u8 {
    usize::try_from(value % 62).ok().and_then(|place| DIGITS.get(place)).copied().unwrap_or(b'0')
}

/// Digits as text: all of them are ASCII.
fn text(digits: Vec<u8>) -> String {
    String::from_utf8(digits).unwrap_or_default()
}

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_sorts_as_text() {
        let texts: Vec<_> = [0, 61, 62, 1_700_000_000, 1_700_000_001, 4_000_000_000].map(time62).to_vec();
        let mut sorted = texts.clone();
        sorted.sort();
        assert_eq!(texts, sorted);
        assert!(texts.iter().all(|text| text.len() == 7));
    }

    #[test]
    fn below_reaches_every_number_and_no_other() {
        let mut seen = [0_u32; 7];
        (0..7000).for_each(|_| seen[below(7)] += 1);
        assert!(seen.iter().all(|&count| (800..1200).contains(&count)), "{seen:?}");
        assert_eq!((below(0), below(1)), (0, 0));
    }

    #[test]
    fn base62_has_the_length_asked_for() {
        assert_eq!(base62(0), "");
        assert_eq!(base62(24).len(), 24);
        assert!(base62(500).chars().all(|c| c.is_ascii_alphanumeric()));
    }
}
