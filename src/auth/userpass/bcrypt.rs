//! Hashes of passwords, in bcrypt's form: `$2b$10$`, 22 characters of salt, 31 of the sum.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::base::{Secret, random};

/// The hash of a password.
#[derive(Clone)]
pub(super) struct Hashed {
    cost: u32,
    salt: [u8; 16],
    sum: Zeroizing<[u8; SUM]>,
}

impl Hashed {
    /// Of a password under a fresh salt. Takes tens of milliseconds.
    pub(super) fn of(password: &str) -> Self {
        Self::of_cost(password, COST)
    }

    /// The same, of some cost.
    pub(super) fn of_cost(password: &str, cost: u32) -> Self {
        let salt = random::bytes();
        Self { cost, salt, sum: sum(password, cost, salt) }
    }

    /// Of none that anybody knows.
    pub(super) fn of_nothing() -> Self {
        Self { cost: COST, salt: random::bytes(), sum: Zeroizing::new(random::bytes()) }
    }

    /// Reads bcrypt's form; `None`: it is none, or one comparison would cost seconds.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let rest = ["$2a$", "$2b$", "$2y$"].iter().find_map(|version| text.strip_prefix(version))?;
        let (cost, rest) = rest.split_once('$')?;
        if cost.len() != 2 || !cost.bytes().all(|byte| byte.is_ascii_digit()) || rest.len() != SALT_CHARS + SUM_CHARS {
            return None;
        }
        let cost = cost.parse().ok().filter(|cost| COSTS.contains(cost))?;
        let (salt, sum) = rest.split_at_checked(SALT_CHARS)?;
        let salt = BASE64.decode(salt).ok()?.try_into().ok()?;
        let sum = BASE64.decode(sum).map(Zeroizing::new).ok()?;
        Some(Self { cost, salt, sum: Zeroizing::new(sum.as_slice().try_into().ok()?) })
    }

    /// In bcrypt's form.
    pub(super) fn text(&self) -> Secret<String> {
        let Self { cost, salt, sum } = self;
        Secret::new(format!("$2b${cost:02}${}{}", BASE64.encode(salt), BASE64.encode(sum.as_slice())))
    }

    /// Whether this is the hash of a password. Takes as long for one that is too long.
    pub(super) fn matches(&self, password: &str) -> bool {
        #[cfg(test)]
        compared::note(password);
        let same = self.sum.ct_eq(sum(password, self.cost, self.salt).as_slice());
        bool::from(same) && !is_too_long(password)
    }
}

/// Whether bcrypt would not look at all of it.
pub(super) fn is_too_long(password: &str) -> bool {
    password.len() > MOST_BYTES
}

/// Of the first 72 bytes, with the zero behind a shorter password that belongs to bcrypt.
fn sum(password: &str, cost: u32, salt: [u8; 16]) -> Zeroizing<[u8; SUM]> {
    let mut ended = Zeroizing::new(Vec::with_capacity(password.len() + 1));
    ended.extend_from_slice(password.as_bytes());
    ended.push(0);
    ended.truncate(MOST_BYTES);
    let whole = Zeroizing::new(bcrypt::bcrypt(cost, salt, &ended));
    let mut sum = Zeroizing::new([0; SUM]);
    // The form leaves the last byte out.
    sum.iter_mut().zip(whole.iter()).for_each(|(to, from)| *to = *from);
    sum
}

/// As bcrypt counts; each step doubles the work (spec `userpass.md`, "Parameters").
const COST: u32 = 10;

/// Costs of hashes that clients bring along.
const COSTS: std::ops::RangeInclusive<u32> = 4..=14;

/// bcrypt looks at no more.
pub(super) const MOST_BYTES: usize = 72;

const SALT_CHARS: usize = 22;
const SUM_CHARS: usize = 31;
const SUM: usize = 23;

/// bcrypt's own alphabet; other programs leave something in the bits that are not used.
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::BCRYPT, NO_PAD.with_decode_allow_trailing_bits(true));

/// How often each password was compared: tests of all threads share the workers, so each has passwords of its own.
#[cfg(test)]
pub(crate) mod compared {
    use std::collections::HashMap;
    use std::sync::{LazyLock, Mutex};

    static TIMES: LazyLock<Mutex<HashMap<String, usize>>> = LazyLock::new(Mutex::default);

    pub(super) fn note(password: &str) {
        *TIMES.lock().unwrap().entry(password.to_owned()).or_default() += 1;
    }

    /// Comparisons of a password so far, with whomever's hash.
    pub(crate) fn times(password: &str) -> usize {
        TIMES.lock().unwrap().get(password).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_of_other_programs_are_understood() {
        // Vectors of OpenBSD's and of crypt_blowfish.
        for (password, hash) in [
            ("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
            ("U*U*", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK"),
            ("päss", "$2y$05$CCCCCCCCCCCCCCCCCCCCC.5kpTD25GePrSUcfL0i1f4KqzkSTLlJu"),
            ("", "$2a$06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s."),
        ] {
            let hashed = Hashed::parse(hash).unwrap();
            assert!(hashed.matches(password), "{password}");
            assert!(!hashed.matches("other"));
        }
    }

    #[test]
    fn a_hash_reads_back_as_it_was_written() {
        let hashed = Hashed::of("correct horse");
        let text = hashed.text();
        assert!(text.expose().starts_with("$2b$10$"), "{}", text.expose());
        assert_eq!(text.expose().len(), 60);
        let read = Hashed::parse(text.expose()).unwrap();
        assert!(read.matches("correct horse"));
        assert!(!read.matches("correct horse "));
        assert!(Hashed::parse(&text.expose().replace("$2b$", "$2y$")).unwrap().matches("correct horse"));
    }

    #[test]
    fn all_of_a_password_counts() {
        let longest = "x".repeat(72);
        let hashed = Hashed::of_cost(&longest, 4);
        assert!(hashed.matches(&longest));
        assert!(!hashed.matches(&"x".repeat(71)));
        assert!(!hashed.matches(&"x".repeat(73)), "what bcrypt does not look at is not let pass");
    }

    #[test]
    fn what_is_no_hash_or_costs_too_much_is_not_read() {
        let good = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
        for bad in [
            "",
            "secret",
            "$2a$05$CCCC",
            &good[..59],
            &format!("{good}a"),
            &good.replace("$2a$", "$2x$"),
            &good.replace("$2a$", "$1$"),
            &good.replace("$05$", "$03$"),
            &good.replace("$05$", "$15$"),
            &good.replace("$05$", "$+5$"),
            &good.replace("CCCC.E5", "CCCC.ü"),
            &good.replace("CCCC.E5", "CCCC.!5"),
        ] {
            assert!(Hashed::parse(bad).is_none(), "{bad}");
        }
        assert!(Hashed::parse(&good.replace("$05$", "$14$")).is_some());
    }
}
