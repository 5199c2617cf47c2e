//! Where the keys of a lease lie, and what they say. All of them are relative to `lease/`.

use crate::base::{LeaseId, MountId, Timestamp, TokenKey};

/// The lane of tokens; the others are named by a mount's id, which is a UUID.
pub(super) const TOKENS: &str = "token";

/// Everything of this folder.
pub(super) const ROOT: &str = "lease/";

/// Where records lie.
pub(super) const IDS: &str = "id/";

/// Where lanes lie, one folder each.
pub(super) const LANES: &str = "due/";

/// Where intents lie, one folder a mount.
pub(super) const OPEN: &str = "open/";

/// Where those lie that need an operator.
pub(super) const STUCK: &str = "stuck/";

/// Where those lie whose end is refused, one folder a mount.
pub(super) const FAILING: &str = "failing/";

/// Where what hangs on tokens lies, one folder each.
pub(super) const OF_TOKENS: &str = "token/";

pub(super) fn id(id: &LeaseId) -> String {
    format!("{IDS}{id}")
}

/// The record's key of a token's lease.
pub(super) fn token_id(creation_path: &str, token: &TokenKey) -> String {
    format!("{IDS}{}/{token}", creation_path.trim_end_matches('/'))
}

pub(super) fn lane(lane: &str) -> String {
    format!("{LANES}{lane}/")
}

pub(super) fn due(lane: &str, at: Timestamp, suffix: &str) -> String {
    format!("{LANES}{lane}/{:010x}/{suffix}", at.seconds().min(LAST))
}

/// Before every key of a lane that is due at `at`.
pub(super) fn before(lane: &str, at: Timestamp) -> String {
    due(lane, at, "")
}

/// Before `key`, and behind every other key before it.
pub(super) fn just_before(key: &str) -> String {
    let mut text = key.to_owned();
    match text.pop() {
        // Keys end in letters and digits: what comes before one is ASCII.
        Some(last) => {
            text.push(char::from_u32(u32::from(last).saturating_sub(1)).unwrap_or('\0'));
            text.push('\u{7f}');
            text
        }
        None => text,
    }
}

pub(super) fn of_token(token: &TokenKey) -> String {
    format!("{OF_TOKENS}{token}/")
}

pub(super) fn of_token_lease(token: &TokenKey, suffix: &str) -> String {
    format!("{OF_TOKENS}{token}/{suffix}")
}

pub(super) fn stuck(suffix: &str) -> String {
    format!("{STUCK}{suffix}")
}

pub(super) fn failing(mount: &MountId, suffix: &str) -> String {
    format!("{FAILING}{mount}/{suffix}")
}

pub(super) fn open(mount: &MountId, suffix: &str) -> String {
    format!("{OPEN}{mount}/{suffix}")
}

/// Lane, time and suffix of a due key.
pub(super) fn parse(key: &str) -> Option<(&str, Timestamp, &str)> {
    let (lane, rest) = key.strip_prefix(LANES)?.split_once('/')?;
    let (time, suffix) = rest.split_once('/')?;
    Some((lane, Timestamp::from_seconds(u64::from_str_radix(time, 16).ok()?), suffix))
}

/// The token whose lease has this id, if it is one's: their suffixes differ in length from all others.
pub(super) fn token_of(id: &LeaseId) -> Option<TokenKey> {
    TokenKey::parse(id.suffix())
}

/// The last second that ten hex digits name: the year 36,812. What ends later is looked at then.
const LAST: u64 = 0xff_ffff_ffff;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_keys_sort_by_time_and_are_read_back() {
        let early = due("m", Timestamp::from_seconds(9), "zz");
        let late = due("m", Timestamp::from_seconds(16), "aa");
        assert!(early < late);
        assert_eq!(parse(&late), Some(("m", Timestamp::from_seconds(16), "aa")));
        assert_eq!(parse(&due("m", Timestamp::from_seconds(u64::MAX), "s")).map(|(_, at, _)| at.seconds()), Some(LAST));
    }

    #[test]
    fn just_before_leaves_no_room() {
        let key = due("m", Timestamp::from_seconds(9), "ab0");
        let mark = just_before(&key);
        assert!(mark < key);
        assert!(mark > due("m", Timestamp::from_seconds(9), "aaz"));
        assert!(before("m", Timestamp::from_seconds(9)) < mark);
    }
}
