//! Chance, from the operating system.

use ring::rand::{SecureRandom, SystemRandom};
use uuid::Uuid;

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
    let mut out = String::with_capacity(len);
    let mut pool = [0; 32];
    while out.len() < len {
        fill(&mut pool);
        // 248 = 4 × 62: values above would favour the first letters.
        out.extend(pool.iter().filter(|&&byte| byte < 248).take(len - out.len()).map(|&byte| digit62(u64::from(byte % 62))));
    }
    out
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

/// A random (version 4) UUID in its usual text form.
pub fn uuid() -> String {
    uuid::Builder::from_random_bytes(bytes::<16>()).into_uuid().to_string()
}

/// A random (version 4) UUID.
pub fn uuid_value() -> Uuid {
    uuid::Builder::from_random_bytes(bytes::<16>()).into_uuid()
}

/// A number in `0..1`, for jitter.
pub fn unit() -> f64 {
    f64::from(u32::from_le_bytes(bytes::<4>())) / (f64::from(u32::MAX) + 1.0)
}

/// `seconds` as seven digits in base 62, whose alphabet is in ASCII order: neighbours in time are neighbours in storage
/// (architecture §6). Enough until the year 113,000.
pub fn time62(seconds: u64) -> String {
    let mut rest = seconds;
    let mut digits = [0_u8; 7];
    for place in digits.iter_mut().rev() {
        *place = u8::try_from(rest % 62).unwrap_or(0);
        rest /= 62;
    }
    digits.iter().map(|&digit| digit62(u64::from(digit))).collect()
}

fn digit62(value: u64) -> char {
    let value = u8::try_from(value % 62).unwrap_or(0);
    char::from(match value {
        0..=9 => b'0' + value,
        10..=35 => b'A' + value - 10,
        _ => b'a' + value - 36,
    })
}

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
