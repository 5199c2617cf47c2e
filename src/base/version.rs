//! What this program calls itself: the API level it reports, and its own version and origin.

/// The API level reported to clients, by the command line, `sys/health` and `sys/seal-status` (spec `clients.md` §1.3).
/// The server's configuration may report another one.
pub const API_LEVEL: &str = "1.14.10";

/// Our own version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit this was built from, 40 hex digits; zeros when the build did not say.
pub const COMMIT: &str = match option_env!("LEASEHOLD_COMMIT") {
    Some(commit) if is_commit(commit.as_bytes()) => commit,
    _ => "0000000000000000000000000000000000000000",
};

/// When this was built, RFC 3339. Never empty: clients decode it (spec `clients.md` §4).
pub const BUILD_DATE: &str = match option_env!("LEASEHOLD_BUILD_DATE") {
    Some(date) if !date.is_empty() => date,
    _ => "2026-01-01T00:00:00Z",
};

/// The version of plugins that are part of this program, in the form clients know.
pub const RUNNING_PLUGIN: &str = concat!("v", env!("CARGO_PKG_VERSION"), "+builtin.vault");

/// The line printed by `version`: its second word is what scripts read.
pub fn line() -> String {
    format!("Vault v{API_LEVEL} ({COMMIT}), built {BUILD_DATE}")
}

const fn is_commit(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        if !first.is_ascii_hexdigit() {
            return false;
        }
        rest = after;
    }
    text.len() == 40
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_the_form_clients_read() {
        let line = line();
        let words: Vec<_> = line.split(' ').collect();
        assert_eq!(words[..2], ["Vault", "v1.14.10"]);
        assert_eq!(words[2].len(), "(),".len() + 40);
        assert_eq!(words[3], "built");
        assert!(chrono::DateTime::parse_from_rfc3339(words[4]).is_ok());
    }

    #[test]
    fn only_forty_hex_digits_are_a_commit() {
        assert!(is_commit(COMMIT.as_bytes()));
        assert!(!is_commit(b"abc"));
        assert!(!is_commit(b"zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"));
    }
}
