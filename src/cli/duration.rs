//! Durations as requests and tables write them.

use crate::base::Ttl;

/// As Go prints a duration of so many nanoseconds: `5m0s`, `1.5s`, `20ms`, `-1s`.
pub(crate) fn go(nanos: i128) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    let (seconds, rest) = (nanos / NANOS, nanos % NANOS);
    if rest == 0 {
        return format!("{sign}{}", Ttl::seconds(u64::try_from(seconds).unwrap_or(u64::MAX)));
    }
    if seconds == 0 {
        let (unit, size) = match rest {
            1_000_000.. => ("ms", 1_000_000),
            1_000.. => ("µs", 1_000),
            _ => ("ns", 1),
        };
        return format!("{sign}{}{}{unit}", rest / size, fraction(rest % size, size));
    }
    let whole = Ttl::seconds(u64::try_from(seconds).unwrap_or(u64::MAX)).go();
    let whole = whole.strip_suffix('s').unwrap_or(&whole);
    format!("{sign}{whole}{}s", fraction(rest, NANOS))
}

/// Whole seconds of so many nanoseconds.
pub(crate) fn seconds(nanos: i128) -> i128 {
    nanos / NANOS.cast_signed()
}

/// Seconds as tables show them: without zero parts at the end.
pub(crate) fn short(seconds: i64) -> String {
    let sign = if seconds < 0 { "-" } else { "" };
    format!("{sign}{}", Ttl::seconds(seconds.unsigned_abs()).short())
}

fn fraction(part: u128, size: u128) -> String {
    if part == 0 {
        return String::new();
    }
    let width = size.ilog10() as usize;
    let digits = format!("{part:0width$}");
    format!(".{}", digits.trim_end_matches('0'))
}

const NANOS: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_print_as_go_prints_them() {
        for (nanos, text) in [
            (0, "0s"),
            (300_000_000_000, "5m0s"),
            (1_500_000_000, "1.5s"),
            (20_000_000, "20ms"),
            (1_500, "1.5µs"),
            (61_000_000_001, "1m1.000000001s"),
            (-1_000_000_000, "-1s"),
        ] {
            assert_eq!(go(nanos), text);
        }
        assert_eq!((short(3600), short(-60), short(0)), ("1h".to_owned(), "-1m".to_owned(), "0s".to_owned()));
    }
}
