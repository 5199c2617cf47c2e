//! From BER to DER: the container of an identity document may have lengths that are not given in advance and texts in pieces,
//! which the reader behind does not take (spec `aws-auth-method.md` §6.2).
//!
//! Bounded in size and depth. What is DER already comes out as it went in.

/// Why bytes are no BER, or none that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BerError {
    /// It ends too early, or goes on too long.
    #[error("the lengths do not add up")]
    Length,
    /// Deeper than [`DEEPEST`].
    #[error("nested too deeply")]
    Depth,
    /// Larger than [`LARGEST`].
    #[error("too large")]
    Size,
    /// A tag, or a form of one, that has no place in a signed document.
    #[error("unknown form of a tag")]
    Tag,
}

/// The one element that `input` is, in DER.
pub(super) fn to_der(input: &[u8]) -> Result<Vec<u8>, BerError> {
    if input.len() > LARGEST {
        return Err(BerError::Size);
    }
    let mut reader = Reader { rest: input };
    let mut out = Vec::with_capacity(input.len());
    reader.element(&mut out, DEEPEST)?;
    if reader.rest.is_empty() { Ok(out) } else { Err(BerError::Length) }
}

struct Reader<'a> {
    rest: &'a [u8],
}

/// How long the contents are.
enum Length {
    Known(usize),
    /// To the next end-of-contents.
    Open,
}

impl Reader<'_> {
    /// Reads one element and appends it to `out`.
    fn element(&mut self, out: &mut Vec<u8>, depth: usize) -> Result<(), BerError> {
        let depth = depth.checked_sub(1).ok_or(BerError::Depth)?;
        let tag = self.byte()?;
        // Tags of several bytes, and the end-of-contents where none is due.
        if tag & TAG_NUMBER == TAG_NUMBER || tag == 0 {
            return Err(BerError::Tag);
        }
        let length = self.length()?;
        let is_constructed = tag & CONSTRUCTED != 0;
        if !is_constructed {
            let Length::Known(length) = length else { return Err(BerError::Tag) };
            let contents = self.take(length)?;
            write(out, tag, contents);
            return Ok(());
        }
        let mut contents = Vec::new();
        match length {
            Length::Known(length) => {
                let mut inner = Reader { rest: self.take(length)? };
                while !inner.rest.is_empty() {
                    inner.element(&mut contents, depth)?;
                }
            }
            Length::Open => {
                while !self.ends()? {
                    self.element(&mut contents, depth)?;
                }
            }
        }
        match tag {
            OCTETS_IN_PIECES => write(out, OCTETS, &joined(&contents)?),
            // No other text comes in pieces where we read.
            _ if tag & UNIVERSAL == 0 && tag != SEQUENCE && tag != SET => return Err(BerError::Tag),
            _ => write(out, tag, &contents),
        }
        Ok(())
    }

    fn length(&mut self) -> Result<Length, BerError> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(Length::Known(usize::from(first)));
        }
        let count = usize::from(first & 0x7f);
        if count == 0 {
            return Ok(Length::Open);
        }
        let bytes = self.take(count)?;
        // Zeros in front are BER; what is left must be a length that fits.
        let mut length: usize = 0;
        for byte in bytes {
            if length > LARGEST {
                return Err(BerError::Size);
            }
            length = length << 8 | usize::from(*byte);
        }
        Ok(Length::Known(length))
    }

    /// Whether the end-of-contents is next; then it is read.
    fn ends(&mut self) -> Result<bool, BerError> {
        match self.rest {
            [0, 0, rest @ ..] => {
                self.rest = rest;
                Ok(true)
            }
            [] => Err(BerError::Length),
            _ => Ok(false),
        }
    }

    fn byte(&mut self) -> Result<u8, BerError> {
        let (first, rest) = self.rest.split_first().ok_or(BerError::Length)?;
        self.rest = rest;
        Ok(*first)
    }

    fn take(&mut self, length: usize) -> Result<&'_ [u8], BerError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(BerError::Length)?;
        self.rest = rest;
        Ok(taken)
    }
}

/// What the pieces of a text hold, which are in DER by now.
fn joined(pieces: &[u8]) -> Result<Vec<u8>, BerError> {
    let mut reader = Reader { rest: pieces };
    let mut out = Vec::with_capacity(pieces.len());
    while !reader.rest.is_empty() {
        let (tag, length) = (reader.byte()?, reader.length()?);
        match (tag, length) {
            (OCTETS, Length::Known(length)) => out.extend_from_slice(reader.take(length)?),
            _ => return Err(BerError::Tag),
        }
    }
    Ok(out)
}

fn write(out: &mut Vec<u8>, tag: u8, contents: &[u8]) {
    out.push(tag);
    let length = contents.len();
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let bytes = length.to_be_bytes();
            let bytes: Vec<u8> = bytes.into_iter().skip_while(|byte| *byte == 0).collect();
            out.push(0x80 | u8::try_from(bytes.len()).unwrap_or(0));
            out.extend(bytes);
        }
    }
    out.extend_from_slice(contents);
}

/// Bits of a tag.
const TAG_NUMBER: u8 = 0x1f;
const CONSTRUCTED: u8 = 0x20;
const UNIVERSAL: u8 = 0xc0;

const OCTETS: u8 = 0x04;
const OCTETS_IN_PIECES: u8 = 0x24;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

/// Bytes. A document with its signature has some two thousand.
pub(super) const LARGEST: usize = 64 * 1024;

/// A signed document is nested about ten deep.
const DEEPEST: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    fn der(hex: &str) -> Result<String, BerError> {
        to_der(&hex::decode(hex.replace(' ', "")).unwrap()).map(hex::encode)
    }

    #[test]
    fn der_stays_as_it_is() {
        for text in ["3003020105", "0400", "a0053003020100", "310a3003020101 3003020102"] {
            assert_eq!(der(text).unwrap(), text.replace(' ', ""));
        }
    }

    #[test]
    fn open_lengths_and_pieces_are_put_right() {
        // SEQUENCE of open length around an OCTET STRING in two pieces, one of them in pieces again.
        let text = "3080 2480 0401aa 2403 0401bb 0000 0000";
        assert_eq!(der(text).unwrap(), "30040402aabb");
        // A length with more bytes than needed.
        assert_eq!(der("30 820003 020105").unwrap(), "3003020105");
        let long = format!("0481c8{}", "00".repeat(200));
        assert_eq!(der(&long).unwrap(), long);
    }

    #[test]
    fn what_does_not_add_up_is_refused() {
        for (text, error) in [
            ("", BerError::Length),
            ("30", BerError::Length),
            ("300302", BerError::Length),
            ("3003020105ff", BerError::Length),
            ("3080020105", BerError::Length),
            ("30020480", BerError::Tag),
            ("0480", BerError::Tag),
            ("0000", BerError::Tag),
            ("3f0100", BerError::Tag),
            ("23030301aa", BerError::Tag),
            ("24030201aa", BerError::Tag),
            ("0488ffffffffffffffff", BerError::Size),
        ] {
            assert_eq!(der(text), Err(error), "{text}");
        }
        assert_eq!(to_der(&"30".repeat(10).bytes().collect::<Vec<_>>()), Err(BerError::Length));
        assert_eq!(to_der(&[0x30, 0x80].repeat(1000)), Err(BerError::Depth));
        assert_eq!(to_der(&vec![0x30; LARGEST + 1]), Err(BerError::Size));
    }
}
