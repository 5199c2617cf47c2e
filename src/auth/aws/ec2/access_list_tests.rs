//! The rules of nonces, one by one.

use super::*;

const T1: &str = "2026-01-01T00:00:00Z";
const T2: &str = "2026-01-02T00:00:00Z";

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn entry(nonce: &str) -> Entry {
    let admitted = Admitted { nonce: Secret::from(nonce), is_made: false, disallow: false };
    admitted.entry(None, "web", T1, now(), now()).unwrap()
}

fn shown<'a>(nonce: Option<&'a str>, pending: &'a str) -> Shown<'a> {
    Shown { nonce, pending }
}

fn refused(entry: &Entry, nonce: Option<&str>, pending: &str, migrate: bool) -> (&'static str, String) {
    let failure = admit(Some(entry), shown(nonce, pending), false, migrate).unwrap_err();
    (failure.outcome(), failure.error.text)
}

fn is(refused: &(&'static str, String), code: &str, text: &str) -> bool {
    refused.0 == code && refused.1 == text
}

#[test]
fn the_first_login_brings_a_nonce_or_is_given_one() {
    let own = admit(None, shown(Some("abc"), T1), false, false).unwrap();
    assert_eq!((own.nonce.expose().as_str(), own.is_made, own.disallow), ("abc", false, false));
    let made = admit(None, shown(None, T1), false, false).unwrap();
    assert_eq!((made.nonce.expose().len(), made.is_made, made.disallow), (36, true, false));
    for nonce in ["", NO_MORE] {
        let last = admit(None, shown(Some(nonce), T1), false, false).unwrap();
        assert!(last.disallow && !last.is_made);
        assert_eq!(last.entry(None, "web", T1, now(), now()).unwrap().client_nonce.expose(), "");
    }
    assert!(admit(None, shown(Some("abc"), T1), true, false).unwrap().disallow);
}

#[test]
fn a_later_login_needs_the_same_nonce() {
    let entry = entry("abc");
    let again = admit(Some(&entry), shown(Some("abc"), T1), false, false).unwrap();
    assert_eq!((again.nonce.expose().as_str(), again.is_made), ("abc", false));
    for nonce in [Some("abd"), Some("abcd"), None] {
        assert!(is(&refused(&entry, nonce, T1, false), "nonce_mismatch", "client nonce mismatch"), "{nonce:?}");
    }
    for nonce in ["", NO_MORE] {
        assert!(is(&refused(&entry, Some(nonce), T1, false), "reauthentication_disabled", "reauthentication is disabled"));
    }
}

#[test]
fn an_entry_without_a_nonce_admits_nobody() {
    let mut entry = entry("");
    assert!(is(&refused(&entry, Some(""), T1, false), "nonce_missing", "client nonce missing in stored identity"));
    entry.disallow_reauthentication = true;
    assert_eq!(refused(&entry, Some(""), T1, true).0, "reauthentication_disabled");
    assert_eq!(refused(&entry, None, T2, true).0, "reauthentication_disabled");
}

#[test]
fn an_instance_that_was_started_anew_may_come_with_another_nonce_where_the_role_says_so() {
    let old = entry("abc");
    let moved = admit(Some(&old), shown(Some("new"), T2), false, true).unwrap();
    let next = moved.entry(Some(&old), "other", T2, now(), now()).unwrap();
    assert_eq!((next.client_nonce.expose().as_str(), next.role.as_str(), next.pending_time.as_str()), ("new", "web", T2));
    assert!(admit(Some(&next), shown(Some("new"), T2), false, false).is_ok());
    assert_eq!(refused(&next, Some("abc"), T2, true).0, "nonce_mismatch");

    let text = "client nonce mismatch and instance meta-data incorrect";
    assert!(is(&refused(&old, Some("new"), T1, true), "nonce_mismatch", text));
    assert!(is(&refused(&old, Some("new"), T2, false), "nonce_mismatch", "client nonce mismatch"));
    let made = admit(Some(&old), shown(None, T2), false, true).unwrap();
    assert!(made.is_made && made.nonce.expose() != "abc");
}

#[test]
fn an_older_document_is_refused_even_with_the_nonce() {
    let mut entry = entry("abc");
    entry.pending_time = T2.to_owned();
    let text = "instance meta-data is older than the one used for previous login";
    assert!(is(&refused(&entry, Some("abc"), T1, false), "document_older", text));
    assert!(refused(&entry, Some("abc"), "yesterday", false).1.contains("pendingTime"));
}

#[test]
fn what_was_disallowed_stays_so_until_the_entry_is_gone() {
    let first = admit(None, shown(Some("abc"), T1), true, false).unwrap();
    let entry = first.entry(None, "web", T1, now(), now()).unwrap();
    assert!(entry.disallow_reauthentication);
    assert_eq!(refused(&entry, Some("abc"), T1, false).0, "reauthentication_disabled");
}

#[test]
fn a_nonce_has_128_characters_at_the_most() {
    let long = "x".repeat(129);
    let admitted = admit(None, shown(Some(&long), T1), false, false).unwrap();
    let failure = admitted.entry(None, "web", T1, now(), now()).unwrap_err();
    assert_eq!(failure.error.text, "client nonce exceeding the limit of 128 characters");
    // One that is not kept may be of any length.
    assert!(Admitted { disallow: true, ..admitted }.entry(None, "web", T1, now(), now()).is_ok());
    let fits = "x".repeat(128);
    assert!(admit(None, shown(Some(&fits), T1), false, false).unwrap().entry(None, "web", T1, now(), now()).is_ok());
}

#[test]
fn a_time_is_over_after_the_buffer() {
    let at = |seconds| now() + chrono::TimeDelta::seconds(seconds);
    assert!(!is_over(now(), Ttl::seconds(10), at(10)));
    assert!(is_over(now(), Ttl::seconds(10), at(11)));
    assert!(!is_over(now(), Ttl::seconds(u64::MAX), at(1_000_000_000)));
}
