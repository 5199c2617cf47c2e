//! Shares: no text may panic the server, count twice, or make a key it should not.
//!
//! A case is a threshold on the first line and one submission on each further line.

use std::collections::BTreeSet;

use leasehold::base::Secret;
use leasehold::seal::{Fault, SealConfig, Share, Step, Unsealing, shamir, unseal};

/// Sends a case's lines and checks what must hold after each.
pub(crate) fn run(case: &[u8], seen: &mut dyn FnMut(&'static str)) {
    let text = String::from_utf8_lossy(case);
    let mut lines = text.split('\n');
    let threshold = lines.next().and_then(|line| line.trim().parse::<u8>().ok()).unwrap_or(2).clamp(1, 5);
    let config = SealConfig::shamir(if threshold == 1 { 1 } else { 5 }, threshold.into()).unwrap();
    let mut unsealing = Unsealing::default();
    let mut known: BTreeSet<Vec<u8>> = BTreeSet::new();
    for line in lines {
        let decoded = unseal::decode(line).ok();
        let before = unsealing.progress();
        let outcome = unsealing.submit(&config, line);
        let Some(share) = decoded else {
            assert_eq!(outcome.unwrap_err().fault(), Fault::Invalid);
            assert_eq!(unsealing.progress(), before, "a refused text changes nothing");
            seen("refused");
            continue;
        };
        assert!((16..=33).contains(&share.expose().len()));
        check_combine(&share);
        known.insert(share.expose().clone());
        if known.len() < usize::from(threshold) {
            let Ok(Step::Waiting(progress)) = outcome else { panic!("complete below the threshold") };
            assert_eq!(progress.count, known.len(), "each share counts once");
            seen("waiting");
            continue;
        }
        let shares: Vec<Share> = known.iter().cloned().map(Secret::new).collect();
        let fits = if threshold == 1 { share.expose().len() == 32 } else { fit(&shares) };
        match outcome {
            Ok(Step::Complete(_)) => {
                assert!(fits, "a key was made of shares that do not fit");
                seen("key");
            }
            Ok(Step::Waiting(_)) => panic!("waiting at the threshold"),
            Err(error) => {
                assert!(error.fault() == Fault::Invalid && !fits, "{error}");
                seen("unfit");
            }
        }
        assert_eq!(unsealing.progress().count, 0, "shares are consumed at the threshold");
        assert_eq!(unsealing.progress().nonce, "");
        known.clear();
    }
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
