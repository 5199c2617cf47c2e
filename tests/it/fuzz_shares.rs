//! Shares as an attacker sends them: no text may panic the server, count twice, or make a key it should not.
//!
//! A case is a threshold on the first line and one submission on each further line. The kept cases lie in
//! `tests/corpus/shares`; 100,000 mutants of them are made from a fixed seed, so that a failure can be run again.

use std::collections::BTreeSet;
use std::path::Path;

use leasehold::base::Secret;
use leasehold::seal::{Fault, SealConfig, Share, Step, Unsealing, shamir, unseal};

const MUTANTS: usize = 100_000;
const SEED: u64 = 0x5ea1_0000_2a35_1f40;

#[test]
fn no_mutant_of_a_share_breaks_the_ceremony() {
    let corpus = corpus();
    assert!(corpus.len() >= 8, "the kept cases are there");
    let mut outcomes = Outcomes::default();
    for case in &corpus {
        outcomes.add(&run(case));
    }
    let mut chance = Chance(SEED);
    for _ in 0..MUTANTS {
        let mut case = corpus[chance.below(corpus.len())].clone();
        for _ in 0..=chance.below(4) {
            mutate(&mut case, &corpus, &mut chance);
        }
        outcomes.add(&run(&case));
    }
    // The mutants reach every part of the machine, else they prove nothing.
    assert!(outcomes.refused > 1000 && outcomes.waiting > 1000 && outcomes.unfit > 1000 && outcomes.keys > 1000, "{outcomes:?}");
}

/// What became of the submissions of one case or of all.
#[derive(Debug, Default)]
struct Outcomes {
    refused: usize,
    waiting: usize,
    unfit: usize,
    keys: usize,
}

impl Outcomes {
    fn add(&mut self, other: &Self) {
        self.refused += other.refused;
        self.waiting += other.waiting;
        self.unfit += other.unfit;
        self.keys += other.keys;
    }
}

/// Sends a case's lines and checks what must hold after each.
fn run(case: &[u8]) -> Outcomes {
    let text = String::from_utf8_lossy(case);
    let mut lines = text.split('\n');
    let threshold = lines.next().and_then(|line| line.trim().parse::<u8>().ok()).unwrap_or(2).clamp(1, 5);
    let config = SealConfig::shamir(if threshold == 1 { 1 } else { 5 }, threshold.into()).unwrap();
    let mut unsealing = Unsealing::default();
    let mut known: BTreeSet<Vec<u8>> = BTreeSet::new();
    let mut outcomes = Outcomes::default();
    for line in lines {
        let decoded = unseal::decode(line).ok();
        let before = unsealing.progress();
        let outcome = unsealing.submit(&config, line);
        let Some(share) = decoded else {
            assert_eq!(outcome.unwrap_err().fault(), Fault::Invalid);
            assert_eq!(unsealing.progress(), before, "a refused text changes nothing");
            outcomes.refused += 1;
            continue;
        };
        assert!((16..=33).contains(&share.expose().len()));
        check_combine(&share);
        known.insert(share.expose().clone());
        if known.len() < usize::from(threshold) {
            let Ok(Step::Waiting(progress)) = outcome else { panic!("complete below the threshold") };
            assert_eq!(progress.count, known.len(), "each share counts once");
            outcomes.waiting += 1;
            continue;
        }
        let shares: Vec<Share> = known.iter().cloned().map(Secret::new).collect();
        let fits = if threshold == 1 { share.expose().len() == 32 } else { fit(&shares) };
        match outcome {
            Ok(Step::Complete(_)) => {
                assert!(fits, "a key was made of shares that do not fit");
                outcomes.keys += 1;
            }
            Ok(Step::Waiting(_)) => panic!("waiting at the threshold"),
            Err(error) => {
                assert!(error.fault() == Fault::Invalid && !fits, "{error}");
                outcomes.unfit += 1;
            }
        }
        assert_eq!(unsealing.progress().count, 0, "shares are consumed at the threshold");
        assert_eq!(unsealing.progress().nonce, "");
        known.clear();
    }
    outcomes
}

/// Whether shares can belong to one key of 32 bytes, said in other words than the server's.
fn fit(shares: &[Share]) -> bool {
    let places: BTreeSet<u8> = shares.iter().filter_map(|share| share.expose().last().copied()).collect();
    shares.iter().all(|share| share.expose().len() == 33) && places.len() == shares.len() && !places.contains(&0)
}

/// Parts of any length, straight into the arithmetic.
fn check_combine(share: &Share) {
    let bytes = share.expose();
    let parts: Vec<Share> = bytes.chunks(1 + usize::from(bytes[0] % 8)).map(|part| Secret::new(part.to_vec())).collect();
    if let Ok(secret) = shamir::combine(&parts) {
        assert!(parts.iter().all(|part| part.expose().len() == secret.expose().len() + 1));
    }
}

fn mutate(case: &mut Vec<u8>, corpus: &[Vec<u8>], chance: &mut Chance) {
    let at = chance.below(case.len().max(1));
    match chance.below(8) {
        0 => case.truncate(at),
        1 if !case.is_empty() => case[at] ^= 1 << chance.below(8),
        2 if !case.is_empty() => case[at] = b"0123456789abcdefABCDEF+/=\n -_"[chance.below(29)],
        3 if !case.is_empty() => drop(case.remove(at)),
        4 => case.insert(at.min(case.len()), b"0a=\n"[chance.below(4)]),
        5 => {
            let other = &corpus[chance.below(corpus.len())];
            case.truncate(at);
            case.extend_from_slice(&other[chance.below(other.len())..]);
        }
        6 => {
            let lines: Vec<Vec<u8>> = case.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
            let line = lines[chance.below(lines.len())].clone();
            case.push(b'\n');
            case.extend(line);
        }
        _ => {
            let mut lines: Vec<Vec<u8>> = case.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
            let (one, other) = (chance.below(lines.len()), chance.below(lines.len()));
            lines.swap(one, other);
            *case = lines.join(&b'\n');
        }
    }
}

fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/shares");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
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
