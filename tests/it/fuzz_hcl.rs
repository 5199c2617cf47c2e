//! Documents as an attacker sends them: no text may stop the reader, take it long, or mean something else when laid out anew.
//!
//! The kept documents lie in `tests/corpus/hcl`; 100,000 mutants of them are made from a fixed seed, so that a failure can
//! be run again.

use std::path::Path;
use std::time::Duration;

use leasehold::base::hcl;
use leasehold::base::time::{Clock as _, SystemClock};
use leasehold::policy::password::PasswordPolicy;
use leasehold::policy::{Acl, NoEntity, Policy};

const MUTANTS: usize = 100_000;
const SEED: u64 = 0x0bad_c0de_1ea5_e401;

/// For one small document. A thousand times what it takes, since the machine may be busy.
const LONGEST: Duration = Duration::from_secs(5);

#[test]
fn no_mutant_of_a_document_stops_the_reader() {
    let corpus = corpus();
    let clock = SystemClock::new();
    let mut outcomes = Outcomes::default();
    for (name, text) in &corpus {
        let before = outcomes.documents;
        outcomes.add(text);
        let is_read = outcomes.documents > before;
        assert_eq!(is_read, !name.starts_with("bad-") || name == "bad-template.hcl", "{name}");
    }
    let mut chance = Chance(SEED);
    for _ in 0..MUTANTS {
        let mut text = corpus[chance.below(corpus.len())].1.clone();
        for _ in 0..=chance.below(4) {
            mutate(&mut text, &corpus, &mut chance);
        }
        let start = clock.elapsed();
        outcomes.add(&text);
        assert!(clock.elapsed().saturating_sub(start) < LONGEST, "{:?}", String::from_utf8_lossy(&text));
    }
    // The mutants reach every part, else they prove nothing.
    let Outcomes { documents, refused, json, policies, passwords } = outcomes;
    assert!(documents > 10_000 && refused > 10_000 && json > 1_000 && policies > 1_000 && passwords > 100, "{outcomes:?}");
}

/// What became of the texts.
#[derive(Debug, Default, Clone, Copy)]
struct Outcomes {
    documents: usize,
    refused: usize,
    json: usize,
    policies: usize,
    passwords: usize,
}

impl Outcomes {
    /// Reads one text and checks what must hold.
    fn add(&mut self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        if let Ok(policy) = Policy::parse("p", &text) {
            let acl = Acl::new([&policy].into_iter(), &NoEntity);
            for rule in &policy.rules {
                assert!(!acl.capabilities(&rule.path).is_empty());
            }
            self.policies += 1;
        }
        if let Ok(policy) = PasswordPolicy::parse(&text) {
            assert!((4..=100).contains(&policy.generate().expose().chars().count()));
            self.passwords += 1;
        }
        let body = match hcl::parse(&text) {
            Ok(body) => body,
            Err(error) => {
                assert!(usize::try_from(error.line()).unwrap() <= text.lines().count() + 1, "{error}");
                assert!(!error.message().is_empty());
                self.refused += 1;
                return;
            }
        };
        self.documents += 1;
        let said = body.to_json();
        // The same in the other notation.
        assert_eq!(hcl::parse(&said.to_string()).unwrap().to_json(), said);
        if hcl::is_json(&text) {
            assert!(hcl::fmt(&text).is_err());
            self.json += 1;
            return;
        }
        let laid_out = hcl::fmt(&text).unwrap();
        assert_eq!(hcl::parse(&laid_out).unwrap_or_else(|error| panic!("{text:?} → {laid_out:?}: {error}")).to_json(), said);
        assert_eq!(hcl::fmt(&laid_out).unwrap(), laid_out, "{text:?}");
    }
}

#[test]
fn the_largest_documents_are_read_or_refused_soon() {
    let clock = SystemClock::new();
    let fill = |piece: &str| piece.repeat((hcl::MAX_LEN - 100) / piece.len());
    let nested = |open: &str, close: &str| open.repeat(hcl::MAX_DEPTH - 1) + &fill("[],")[..500_000] + &close.repeat(63);
    for text in [
        fill("a=1 "),
        fill("a{}"),
        fill("a "),
        fill("["),
        fill("{"),
        fill("\""),
        fill("/*"),
        fill("#\n"),
        fill("<<A\n"),
        fill("a=<<A\nA\n"),
        fill("${"),
        format!("a=\"{}", fill("${")),
        format!("a=[{}]", fill("1,")),
        format!("a={}", fill("9")),
        format!("a=\"{}\"", fill("\\n")),
        format!("{{\"a\":{}}}", nested("[", "]")),
        fill("path\"{{\"{}"),
        format!("a={}", fill("1e-")),
        format!("a={}", fill("-")),
        format!("path \"a\" {{ denied_parameters = {{ {} }} }}", fill("a=[1],")),
        fill("path \"a\" {required_parameters=[\"a\"]}"),
        fill("a/**/"),
        fill("a=[1,#\n],"),
        format!("a {} = 1", fill("/*x*/")),
    ] {
        assert!(text.len() <= hcl::MAX_LEN);
        let start = clock.elapsed();
        let _ = hcl::fmt(&text);
        let _ = Policy::parse("p", &text);
        let took = clock.elapsed().saturating_sub(start);
        assert!(took < Duration::from_mins(1), "{:?}: {took:?}", &text[..20]);
    }
}

fn mutate(text: &mut Vec<u8>, corpus: &[(String, Vec<u8>)], chance: &mut Chance) {
    const PIECES: [&str; 28] = [
        "{", "}", "[", "]", "\"", "=", ",", "#", "//", "/*", "*/", "<<E\n", "\nE\n", "<<-E\n", "${", "\\", "\\x4", "\n", "\r\n",
        " ", "0x", "1e", "-", ".", "path", "true", "{{", "\0",
    ];
    let at = chance.below(text.len() + 1);
    let other = &corpus[chance.below(corpus.len())].1;
    match chance.below(8) {
        0 => text.truncate(at),
        1 if at < text.len() => text[at] ^= 1 << chance.below(8),
        2 if at < text.len() => drop(text.remove(at)),
        3 | 4 => drop(text.splice(at..at, PIECES[chance.below(PIECES.len())].bytes())),
        5 => {
            let end = at + chance.below(text.len() - at + 1);
            let piece: Vec<u8> = text[at..end].to_vec();
            text.splice(at..at, piece);
        }
        6 => {
            let end = at + chance.below((text.len() - at + 1).min(40));
            text.drain(at..end);
        }
        _ => {
            let start = chance.below(other.len());
            let end = start + chance.below(other.len() - start + 1);
            text.splice(at..at, other[start..end].iter().copied());
        }
    }
}

fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/hcl");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 25, "the kept documents are there");
    files.iter().map(|file| (file.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(file).unwrap())).collect()
}

/// A small generator with a seed (xorshift64*), so that every run makes the same mutants.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % bound
    }
}
