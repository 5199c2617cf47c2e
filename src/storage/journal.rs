//! The journal of an embedded store: what was committed since the database last took everything in.
//!
//! A group becomes durable by one frame and one flush, where the database would copy a page per key and flush twice or
//! more. Frames follow each other from the beginning of the medium; when the database has taken them in, the next epoch
//! begins there again. A frame is
//!
//! ```text
//! length of the payload, 4 bytes | epoch, 8 | number in the epoch, 8 | digest of the rest, 16 | payload
//! ```
//!
//! with numbers in little-endian order. The frames of an epoch end at the first that is torn, or of another epoch.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::medium::Medium;
use super::{StorageError, Write};
use crate::base::Key;

/// Where frames go.
#[derive(Debug)]
pub(super) struct Journal {
    medium: Arc<dyn Medium>,
    epoch: u64,
    /// Frames of this epoch so far.
    count: u64,
    /// Where the next one goes.
    end: u64,
    /// Kept between frames for its space.
    frame: Vec<u8>,
}

impl Journal {
    /// The journal on `medium` as the store of `epoch` left it, and the writes in it, in order.
    ///
    /// # Errors
    /// [`StorageError::Unusable`] when it belongs to a later state of the store, or is damaged before its end.
    pub(super) fn open(medium: Arc<dyn Medium>, epoch: u64) -> Result<(Self, Vec<Write>), StorageError> {
        let mut journal = Self { medium, epoch, count: 0, end: 0, frame: Vec::new() };
        let mut writes = Vec::new();
        let io = |error: io::Error| StorageError::Io(error.to_string());
        loop {
            let (head, payload) = match journal.frame_at(journal.end).map_err(io)? {
                Found::Frame(head, _) if head.epoch > epoch => {
                    return Err(StorageError::Unusable("the journal belongs to a later state of the file".to_owned()));
                }
                Found::Frame(head, payload) if head.epoch == epoch && head.number == journal.count => (head, payload),
                // The one after it was written when this one was durable.
                Found::Torn(head) if journal.is_followed(head).map_err(io)? => {
                    return Err(StorageError::Unusable("the journal is damaged".to_owned()));
                }
                _ => break,
            };
            let more = decode(&payload);
            writes.extend(more.ok_or_else(|| StorageError::Unusable("a newer version wrote the journal".to_owned()))?);
            journal.count += 1;
            journal.end += head.frame_length();
        }
        // What the process before wrote and did not flush is read as well: it must not vanish later.
        journal.medium.sync().map_err(io)?;
        Ok((journal, writes))
    }

    /// Makes `writes` durable together.
    ///
    /// # Errors
    /// When they may not be durable. The next frame takes the place of this one.
    pub(super) fn append<'a>(&mut self, writes: impl Iterator<Item = &'a Write>) -> io::Result<()> {
        self.frame.clear();
        self.frame.resize(HEAD, 0);
        writes.for_each(|write| encode(write, &mut self.frame));
        let length = u32::try_from(self.frame.len() - HEAD).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let (head, payload) = self.frame.split_at_mut(HEAD);
        let numbers = [&length.to_le_bytes()[..], &self.epoch.to_le_bytes(), &self.count.to_le_bytes()].concat();
        let digest = digest(&numbers, payload);
        head.iter_mut().zip(numbers.into_iter().chain(digest)).for_each(|(to, from)| *to = from);
        self.medium.write_at(self.end, &self.frame)?;
        self.medium.sync()?;
        self.count += 1;
        self.end += self.frame.len() as u64;
        self.frame.shrink_to(FRAME_KEPT);
        Ok(())
    }

    /// Begins `epoch`: the database has taken in all that is here.
    pub(super) fn begin(&mut self, epoch: u64) {
        (self.epoch, self.count, self.end) = (epoch, 0, 0);
    }

    /// Bytes of this epoch.
    pub(super) fn len(&self) -> u64 {
        self.end
    }

    /// Nothing in it is needed any more.
    pub(super) fn discard(self) {
        self.medium.discard();
    }

    /// What stands at `offset`.
    fn frame_at(&self, offset: u64) -> io::Result<Found> {
        let len = self.medium.len()?;
        if offset.saturating_add(HEAD as u64) > len {
            return Ok(Found::End);
        }
        let mut bytes = [0; HEAD];
        self.medium.read_at(offset, &mut bytes)?;
        let Some(head) = Head::read(&bytes) else { return Ok(Found::End) };
        if offset.saturating_add(head.frame_length()) > len {
            return Ok(Found::End);
        }
        let mut payload = vec![0; head.length as usize];
        self.medium.read_at(offset + HEAD as u64, &mut payload)?;
        let (numbers, stored) = bytes.split_at(NUMBERS);
        let is_whole = digest(numbers, &payload) == *stored;
        Ok(if is_whole { Found::Frame(head, payload.into()) } else { Found::Torn(head) })
    }

    /// Whether the frame after the one of `head`, which stands at the end, is of the same run.
    fn is_followed(&self, head: Head) -> io::Result<bool> {
        let next = self.frame_at(self.end.saturating_add(head.frame_length()))?;
        Ok(matches!(next, Found::Frame(next, _) if next.epoch == self.epoch && next.number == self.count + 1))
    }
}

/// What stands at a place.
enum Found {
    /// A frame that was written whole.
    Frame(Head, Bytes),
    /// Something as long as this, which is no whole frame.
    Torn(Head),
    /// Nothing of the length it claims.
    End,
}

/// What a frame says of itself.
#[derive(Clone, Copy)]
struct Head {
    length: u32,
    epoch: u64,
    number: u64,
}

impl Head {
    fn read(mut bytes: &[u8]) -> Option<Self> {
        let rest = &mut bytes;
        Some(Self { length: take_u32(rest)?, epoch: take_u64(rest)?, number: take_u64(rest)? })
    }

    fn frame_length(self) -> u64 {
        HEAD as u64 + u64::from(self.length)
    }
}

fn digest(numbers: &[u8], payload: &[u8]) -> [u8; 16] {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    context.update(numbers);
    context.update(payload);
    let mut half = [0; 16];
    half.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
    half
}

/// A kind, the length and text of the key, and for a put the length and bytes of the value.
fn encode(write: &Write, out: &mut Vec<u8>) {
    let (kind, value) = match write {
        Write::Put(_, value) => (PUT, Some(value)),
        Write::Delete(_) => (DELETE, None),
    };
    out.push(kind);
    let parts = [Some(write.key().as_str().as_bytes()), value.map(AsRef::as_ref)];
    for part in parts.into_iter().flatten() {
        // A frame longer than a length can say is refused before it is written.
        out.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend(part);
    }
}

/// The writes of a payload; `None` when it holds something else.
fn decode(payload: &Bytes) -> Option<Vec<Write>> {
    let mut rest = &payload[..];
    let mut writes = Vec::new();
    while let Some((&kind, after)) = rest.split_first() {
        rest = after;
        let key = Key::from(std::str::from_utf8(take_part(&mut rest)?).ok()?);
        writes.push(match kind {
            PUT => Write::Put(key, payload.slice_ref(take_part(&mut rest)?)),
            DELETE => Write::Delete(key),
            _ => return None,
        });
    }
    Some(writes)
}

fn take_part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = take_u32(rest)?;
    rest.split_off(..length as usize)
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    rest.split_off(..4)?.try_into().ok().map(u32::from_le_bytes)
}

fn take_u64(rest: &mut &[u8]) -> Option<u64> {
    rest.split_off(..8)?.try_into().ok().map(u64::from_le_bytes)
}

const PUT: u8 = 1;
const DELETE: u8 = 2;
/// Bytes of length, epoch and number.
const NUMBERS: usize = 4 + 8 + 8;
/// Bytes before the payload.
const HEAD: usize = NUMBERS + 16;
/// Space kept for the next frame: that of most groups.
const FRAME_KEPT: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_come_back_from_a_payload() {
        let writes =
            [Write::Put("a/é".into(), Bytes::from_static(b"1")), Write::Delete("b".into()), Write::Put("".into(), Bytes::new())];
        let mut payload = vec![];
        for write in &writes {
            encode(write, &mut payload);
        }
        assert_eq!(decode(&payload.clone().into()), Some(writes.to_vec()));
        for len in 1..payload.len() {
            let cut = decode(&payload[..len].to_vec().into());
            assert!(cut.is_none_or(|cut| cut.len() < writes.len()));
        }
        assert_eq!(decode(&Bytes::from_static(&[9, 0, 0, 0, 0])), None);
    }
}
