//! Reading JSON that may be deeper than the usual parser goes, and is never deeper than this module says.

use serde::de::DeserializeOwned;
use serde_json::de::{Deserializer, SliceRead};

/// Levels that a body may have at the most, whatever a listener is set to: to read, copy and drop a value takes stack for each.
pub const MOST_LEVELS: usize = 500;

/// Reads a record that was written from something bounded, or was checked before it was written.
///
/// # Errors
/// When it is not JSON, not a `T`, or something follows it.
pub fn read_back<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    let mut parser = Deserializer::new(SliceRead::new(bytes));
    parser.disable_recursion_limit();
    let value = T::deserialize(&mut parser)?;
    parser.end()?;
    Ok(value)
}

/// Reads a text that came from outside.
///
/// # Errors
/// As [`read_back`], and when it has more levels than a body of ours can have with its envelope.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    if levels(bytes) > MOST_LEVELS + ENVELOPE { serde_json::from_slice(bytes) } else { read_back(bytes) }
}

/// What an answer puts around a value.
const ENVELOPE: usize = 8;

/// How deep the brackets of a JSON text are nested.
fn levels(bytes: &[u8]) -> usize {
    let (mut deepest, mut depth, mut in_text, mut escaped) = (0, 0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn nested(levels: usize) -> String {
        format!("{}{}", "[".repeat(levels), "]".repeat(levels))
    }

    #[test]
    fn brackets_in_texts_are_not_levels() {
        assert_eq!(levels(br#"{"a[[\"[":"{{","b":[{}],"c":[]}"#), 3);
    }

    #[test]
    fn a_text_is_read_as_deep_as_a_body_can_be_and_no_deeper() {
        assert!(read::<Value>(nested(MOST_LEVELS + ENVELOPE).as_bytes()).is_ok());
        assert!(read::<Value>(nested(MOST_LEVELS + ENVELOPE + 1).as_bytes()).is_err());
        assert!(read::<Value>(nested(1_000_000).as_bytes()).is_err());
        assert!(read::<Value>(b"{} {}").is_err());
    }
}
