//! Kept corpora, and mutants of them from a fixed seed: every run makes the same ones.

use std::path::Path;

/// A small generator with a seed (xorshift64*).
pub(super) struct Chance(pub(super) u64);

impl Chance {
    /// A number below `bound`, which is not 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % bound
    }

    /// One of several.
    pub(super) fn of<'a, T>(&mut self, several: &'a [T]) -> &'a T {
        &several[self.below(several.len())]
    }
}

/// The files of a folder of `tests/corpus`, by name.
pub(super) fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 12, "the kept texts are there");
    files.iter().map(|file| (file.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(file).unwrap())).collect()
}

/// Changes a text in one place; `pieces` are what means something in texts of its kind.
pub(super) fn mutate(text: &mut Vec<u8>, others: &[(String, Vec<u8>)], pieces: &[&str], chance: &mut Chance) {
    let at = chance.below(text.len() + 1);
    let end = at + chance.below((text.len() - at + 1).min(40));
    match chance.below(11) {
        0 => text.truncate(at),
        1 if at < text.len() => text[at] ^= 1 << chance.below(8),
        2 if at < text.len() => drop(text.remove(at)),
        3 | 4 => drop(text.splice(at..at, chance.of(pieces).bytes())),
        5 if at < text.len() => drop(text.splice(at..=at, chance.of(pieces).bytes())),
        6 => {
            let end = at + chance.below(text.len() - at + 1);
            let piece: Vec<u8> = text[at..end].to_vec();
            text.splice(at..at, piece);
        }
        7 => drop(text.drain(at..end)),
        8 => {
            let mut lines: Vec<Vec<u8>> = text.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
            let (one, other) = (chance.below(lines.len()), chance.below(lines.len()));
            if chance.below(2) == 0 {
                lines.swap(one, other);
            } else {
                let line = lines[one].clone();
                lines.insert(other, line);
            }
            *text = lines.join(&b'\n');
        }
        _ => {
            let other = &chance.of(others).1;
            let start = chance.below(other.len() + 1);
            let end = start + chance.below(other.len() - start + 1);
            text.splice(at..at, other[start..end].iter().copied());
        }
    }
    text.truncate(LONGEST);
}

/// Bytes of a mutant: pieces are doubled at times, and doubled again.
const LONGEST: usize = 64 * 1024;
