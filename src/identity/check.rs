//! What names and notes may be like.

use std::collections::BTreeMap;

use super::IdentityError;

/// Whether notes of operators on an entity, a group or an alias are within bounds; what is wrong with them.
///
/// # Errors
/// The words behind `invalid entity metadata: `.
pub fn check_metadata(pairs: &BTreeMap<String, String>) -> Result<(), String> {
    if pairs.len() > MOST_PAIRS {
        return Err(format!("metadata can contain at most {MOST_PAIRS} key/value pairs"));
    }
    for (key, value) in pairs {
        let length = key.chars().count();
        if length == 0 || key.trim().is_empty() {
            return Err(format!("key {key:?} is blank"));
        }
        if length > LONGEST_KEY {
            return Err(format!("key {key:?} is {length} characters but must be at most {LONGEST_KEY}"));
        }
        if key.chars().any(char::is_control) {
            return Err(format!("key {key:?} contains unprintable characters"));
        }
        if key.starts_with(RESERVED) {
            return Err(format!("key {key:?} begins with {RESERVED:?}, which is reserved"));
        }
        let length = value.chars().count();
        if length > LONGEST_VALUE {
            return Err(format!("the value of key {key:?} is {length} characters but must be at most {LONGEST_VALUE}"));
        }
    }
    Ok(())
}

/// The same for custom metadata of aliases, whose values must be printable and not empty (spec `kv.md` §3).
///
/// # Errors
/// The words behind `custom_metadata validation failed: `.
pub fn check_custom_metadata(pairs: &BTreeMap<String, String>) -> Result<(), String> {
    if pairs.len() > MOST_PAIRS {
        return Err(format!("payload must contain at most {MOST_PAIRS} keys, provided {}", pairs.len()));
    }
    for (key, value) in pairs {
        let length = key.chars().count();
        if length == 0 || length > LONGEST_KEY {
            return Err(format!("length of key {key:?} is {length} but must be 0 < len(key) <= {LONGEST_KEY}"));
        }
        let length = value.chars().count();
        if length == 0 || length > LONGEST_VALUE {
            return Err(format!("length of value for key {key:?} is {length} but must be 0 < len(value) <= {LONGEST_VALUE}"));
        }
        if key.chars().any(char::is_control) {
            return Err(format!("key {key:?} contains unprintable characters"));
        }
        if value.chars().any(char::is_control) {
            return Err(format!("value for key {key:?} contains unprintable characters"));
        }
    }
    Ok(())
}

pub(super) fn check_name(what: &'static str, name: &str) -> Result<(), IdentityError> {
    if name.len() > LONGEST_NAME { Err(IdentityError::TooLong(what, LONGEST_NAME)) } else { Ok(()) }
}

/// Spec `identity.md` §3.
const MOST_PAIRS: usize = 64;
const LONGEST_KEY: usize = 128;
const LONGEST_VALUE: usize = 512;
const RESERVED: &str = "vault-";

/// In bytes; the longest distinguished names of directories are shorter.
const LONGEST_NAME: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn notes_have_bounds() {
        let long = "x".repeat(LONGEST_KEY + 1);
        let much = "x".repeat(LONGEST_VALUE + 1);
        assert!(check_metadata(&of(&[("team", "a b"), ("empty", "")])).is_ok());
        for wrong in [of(&[("", "x")]), of(&[(" ", "x")]), of(&[(&long, "x")]), of(&[("k", &much)]), of(&[("a\u{7}", "x")])] {
            assert!(check_metadata(&wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(
            check_metadata(&of(&[("vault-x", "")])).unwrap_err(),
            "key \"vault-x\" begins with \"vault-\", which is reserved"
        );
        let many: BTreeMap<_, _> = (0..65).map(|number| (format!("k{number}"), String::new())).collect();
        assert_eq!(check_metadata(&many).unwrap_err(), "metadata can contain at most 64 key/value pairs");
    }

    #[test]
    fn custom_notes_are_not_empty_and_printable() {
        assert!(check_custom_metadata(&of(&[("k", "v")])).is_ok());
        for wrong in [of(&[("", "x")]), of(&[("k", "")]), of(&[("k", "a\nb")]), of(&[("a\tb", "x")])] {
            assert!(check_custom_metadata(&wrong).is_err(), "{wrong:?}");
        }
    }
}
