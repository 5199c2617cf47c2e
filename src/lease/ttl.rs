//! How long something lives: the one computation for tokens and leases (spec `tokens.md` §5).

use serde::{Deserialize, Serialize};

use crate::base::{Timestamp, Ttl};

/// What whoever issues asks for. Zero means: the mount's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// How long it lives unless renewed.
    pub ttl: Ttl,
    /// The longest it lives, renewals included.
    pub max_ttl: Ttl,
    /// Whether it can be renewed at all.
    pub renewable: bool,
}

/// What the mount allows: its own setting where it has one, else the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For whoever asks for nothing.
    pub default_ttl: Ttl,
    /// The longest anything lives; periods excepted.
    pub max_ttl: Ttl,
}

/// Everything the computation depends on. Zero means "not given" for all lengths of time.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// What the caller asks for, counted from now.
    pub increment: Ttl,
    /// What the issuer asks for.
    pub ttl: Ttl,
    /// The issuer's maximum; lowers the limit, never raises it.
    pub max_ttl: Ttl,
    /// Renewals give this, without end unless `explicit_max_ttl` sets one.
    pub period: Ttl,
    /// A token's own maximum, which holds for periodic ones too.
    pub explicit_max_ttl: Ttl,
    /// When it was issued: maxima count from here.
    pub issued: Timestamp,
}

impl Wish {
    /// What an issuer's terms ask for, without increment.
    pub fn of(terms: Terms, issued: Timestamp) -> Self {
        Self {
            increment: Ttl::ZERO,
            ttl: terms.ttl,
            max_ttl: terms.max_ttl,
            period: Ttl::ZERO,
            explicit_max_ttl: Ttl::ZERO,
            issued,
        }
    }
}

/// The computed life, and what the caller should be told about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Counted from now; zero only when everything given was zero.
    pub ttl: Ttl,
    /// In the literal words clients know.
    pub warnings: Vec<String>,
}

/// Nothing is left of the maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("past the max TTL, cannot renew")]
pub struct PastMax;

/// The life of what is issued or renewed `now`.
pub fn ttl(wish: &Wish, limits: Limits, now: Timestamp) -> Result<Granted, PastMax> {
    let mut warnings = Vec::new();
    let max = [wish.max_ttl, wish.explicit_max_ttl].into_iter().filter_map(Ttl::nonzero).fold(limits.max_ttl, Ttl::min);
    let (mut ttl, limit) = if let Some(period) = wish.period.nonzero() {
        if period > max {
            warnings.push(format!(
                "period of \"{}\" exceeded the effective max_ttl of \"{}\"; period value is capped accordingly",
                period.short(),
                max.short()
            ));
        }
        (period.min(max), wish.explicit_max_ttl.nonzero().map(|max| wish.issued.plus(max)))
    } else {
        let asked = wish.increment.nonzero().or(wish.ttl.nonzero()).unwrap_or(limits.default_ttl);
        (asked, Some(wish.issued.plus(max)))
    };
    if let Some(limit) = limit {
        let left = limit.since(now).nonzero().ok_or(PastMax)?;
        if ttl > left {
            warnings.push(format!(
                "TTL of \"{}\" exceeded the effective max_ttl of \"{}\"; TTL value is capped accordingly",
                ttl.short(),
                left.short()
            ));
            ttl = left;
        }
    }
    Ok(Granted { ttl, warnings })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
    const LIMITS: Limits = Limits { default_ttl: Ttl::hours(768), max_ttl: Ttl::hours(768) };

    fn wish() -> Wish {
        Wish::of(Terms::default(), NOW)
    }

    fn seconds(wish: &Wish) -> u64 {
        ttl(wish, LIMITS, NOW).unwrap().ttl.as_seconds()
    }

    #[test]
    fn who_asks_for_nothing_gets_the_default() {
        assert_eq!(ttl(&wish(), LIMITS, NOW), Ok(Granted { ttl: Ttl::hours(768), warnings: vec![] }));
    }

    #[test]
    fn the_increment_wins_over_the_issuer_and_the_issuer_over_the_default() {
        assert_eq!(seconds(&Wish { ttl: Ttl::hours(2), ..wish() }), 7200);
        assert_eq!(seconds(&Wish { ttl: Ttl::hours(2), increment: Ttl::seconds(5), ..wish() }), 5);
    }

    #[test]
    fn more_than_the_maximum_is_capped_with_a_warning() {
        let granted = ttl(&Wish { increment: Ttl::hours(9000), ..wish() }, LIMITS, NOW).unwrap();
        assert_eq!(granted.ttl, Ttl::hours(768));
        assert_eq!(
            granted.warnings,
            [r#"TTL of "9000h" exceeded the effective max_ttl of "768h"; TTL value is capped accordingly"#]
        );
    }

    #[test]
    fn the_warning_names_what_is_left_of_the_maximum() {
        let wish = Wish { increment: Ttl::hours(3), max_ttl: Ttl::hours(2), ..wish() };
        let granted = ttl(&wish, LIMITS, NOW.plus(Ttl::minutes(30))).unwrap();
        assert_eq!(granted.ttl, Ttl::minutes(90));
        assert_eq!(
            granted.warnings,
            [r#"TTL of "3h" exceeded the effective max_ttl of "1h30m"; TTL value is capped accordingly"#]
        );
    }

    #[test]
    fn maxima_of_issuers_lower_and_never_raise() {
        let more = Wish { increment: Ttl::hours(9000), max_ttl: Ttl::hours(9000), ..wish() };
        assert_eq!(seconds(&more), Ttl::hours(768).as_seconds());
        let less = Wish { increment: Ttl::hours(9), max_ttl: Ttl::hours(3), explicit_max_ttl: Ttl::hours(2), ..wish() };
        assert_eq!(seconds(&less), 7200);
    }

    #[test]
    fn nothing_left_is_an_error() {
        let wish = Wish { max_ttl: Ttl::hours(1), ..wish() };
        assert_eq!(ttl(&wish, LIMITS, NOW.plus(Ttl::hours(1))), Err(PastMax));
        assert_eq!(PastMax.to_string(), "past the max TTL, cannot renew");
    }

    #[test]
    fn a_period_ignores_increment_and_age() {
        let wish = Wish { period: Ttl::hours(1), increment: Ttl::hours(7), ..wish() };
        let granted = ttl(&wish, LIMITS, NOW.plus(Ttl::hours(10_000))).unwrap();
        assert_eq!(granted, Granted { ttl: Ttl::hours(1), warnings: vec![] });
    }

    #[test]
    fn a_period_is_capped_by_the_maximum_and_ends_at_the_explicit_one() {
        let long = ttl(&Wish { period: Ttl::hours(1000), ..wish() }, LIMITS, NOW).unwrap();
        assert_eq!(long.ttl, Ttl::hours(768));
        assert_eq!(
            long.warnings,
            [r#"period of "1000h" exceeded the effective max_ttl of "768h"; period value is capped accordingly"#]
        );
        let wish = Wish { period: Ttl::hours(1), explicit_max_ttl: Ttl::hours(2), ..wish() };
        assert_eq!(ttl(&wish, LIMITS, NOW.plus(Ttl::minutes(90))).unwrap().ttl, Ttl::minutes(30));
        assert_eq!(ttl(&wish, LIMITS, NOW.plus(Ttl::minutes(120))), Err(PastMax));
    }
}
