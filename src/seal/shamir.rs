//! A secret in shares: any `threshold` of them give it back, fewer say nothing about it (spec `seal-and-barrier.md` §2).
//!
//! Each byte of the secret is the value at 0 of its own random polynomial over GF(2⁸) with the polynomial of AES. A share is
//! the polynomials' values at one x, followed by that x. Nothing here is indexed by a secret or branches on one; x is not
//! secret. Shares carry no check of their own: wrong ones give a wrong secret, which whoever decrypts with it notices.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::base::{Secret, random};

/// The values of all polynomials at one x, then x.
pub type Share = Secret<Vec<u8>>;

/// Why there is no secret from these shares, or no shares from these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShamirError {
    /// One share alone is the secret itself and needs no combining.
    #[error("at least two parts are needed")]
    TooFew,
    /// No x, or no value before it.
    #[error("a part is shorter than two bytes")]
    TooShort,
    /// They cannot stem from one secret.
    #[error("the parts differ in length")]
    Lengths,
    /// Two parts with the same x: one of them says nothing.
    #[error("duplicate part detected")]
    Duplicate,
    /// No share is made at 0: there lies the secret.
    #[error("a part claims to be the secret itself")]
    Zero,
    /// More needed than there are, or fewer than two.
    #[error("the threshold is not between two and the number of parts")]
    Threshold,
    /// Nothing to share.
    #[error("the secret is empty")]
    Empty,
}

/// Parts `secret` into `shares`, of which any `threshold` (at least 2) give it back. The x of the shares are in random order.
pub fn split(secret: &[u8], shares: u8, threshold: u8) -> Result<Vec<Share>, ShamirError> {
    if secret.is_empty() {
        return Err(ShamirError::Empty);
    }
    if threshold < 2 || threshold > shares {
        return Err(ShamirError::Threshold);
    }
    let polynomials: Vec<Polynomial> = secret.iter().map(|&byte| Polynomial::random(byte, threshold)).collect();
    let places = shuffled(1..=u8::MAX);
    Ok(places.into_iter().take(shares.into()).map(|x| share_at(&polynomials, x)).collect())
}

/// The secret of these shares: the value at 0 of the polynomials through them.
pub fn combine(shares: &[Share]) -> Result<Secret<Vec<u8>>, ShamirError> {
    let parts = shares.iter().map(Part::read).collect::<Result<Vec<_>, _>>()?;
    let [first, rest @ ..] = parts.as_slice() else { return Err(ShamirError::TooFew) };
    if rest.is_empty() {
        return Err(ShamirError::TooFew);
    }
    if rest.iter().any(|part| part.values.len() != first.values.len()) {
        return Err(ShamirError::Lengths);
    }
    let places: BTreeSet<u8> = parts.iter().map(|part| part.x).collect();
    if places.len() < parts.len() {
        return Err(ShamirError::Duplicate);
    }
    let mut secret = Zeroizing::new(vec![0; first.values.len()]);
    for part in &parts {
        let weight = weight_at_zero(part.x, places.iter().copied());
        for (sum, &value) in secret.iter_mut().zip(part.values) {
            *sum ^= multiply(value, weight);
        }
    }
    Ok(Secret::new(std::mem::take(&mut *secret)))
}

/// Whether two shares are the same, without telling by time where they differ.
pub fn same(one: &Share, other: &Share) -> bool {
    one.expose().ct_eq(other.expose()).into()
}

/// A share taken apart.
struct Part<'a> {
    values: &'a [u8],
    x: u8,
}

impl<'a> Part<'a> {
    fn read(share: &'a Share) -> Result<Self, ShamirError> {
        match share.expose().split_last() {
            None | Some((_, [])) => Err(ShamirError::TooShort),
            Some((0, _)) => Err(ShamirError::Zero),
            Some((&x, values)) => Ok(Self { values, x }),
        }
    }
}

/// Coefficients, that of the highest power first; the last is the secret byte.
struct Polynomial(Zeroizing<Vec<u8>>);

impl Polynomial {
    fn random(secret: u8, threshold: u8) -> Self {
        let mut coefficients = Zeroizing::new(vec![0; usize::from(threshold)]);
        if let Some((last, random)) = coefficients.split_last_mut() {
            random::fill(random);
            *last = secret;
        }
        Self(coefficients)
    }

    fn value_at(&self, x: u8) -> u8 {
        self.0.iter().fold(0, |value, &coefficient| multiply(value, x) ^ coefficient)
    }
}

fn share_at(polynomials: &[Polynomial], x: u8) -> Share {
    let mut share = Zeroizing::new(Vec::with_capacity(polynomials.len() + 1));
    share.extend(polynomials.iter().map(|polynomial| polynomial.value_at(x)));
    share.push(x);
    Secret::new(std::mem::take(&mut *share))
}

/// What the value at `x` counts in the value at 0: the product of `other ∕ (other − x)` over the other places.
fn weight_at_zero(x: u8, places: impl Iterator<Item = u8>) -> u8 {
    places.filter(|&other| other != x).fold(1, |weight, other| multiply(weight, multiply(other, invert(other ^ x))))
}

/// The product in GF(2⁸) modulo x⁸+x⁴+x³+x+1, in the same steps whatever the factors.
fn multiply(mut a: u8, b: u8) -> u8 {
    let mut product = 0;
    for bit in 0..8 {
        product ^= a & mask(b >> bit);
        a = (a << 1) ^ (REDUCTION & mask(a >> 7));
    }
    product
}

/// The inverse in GF(2⁸), as the 254th power; 0 for 0.
fn invert(a: u8) -> u8 {
    // 254 = 2 + 4 + 8 + 16 + 32 + 64 + 128
    let mut square = a;
    let mut power = 1;
    for _ in 0..7 {
        square = multiply(square, square);
        power = multiply(power, square);
    }
    power
}

/// All ones when the lowest bit is set, else all zeros.
fn mask(bits: u8) -> u8 {
    0_u8.wrapping_sub(std::hint::black_box(bits & 1))
}

/// The numbers of `range` in random order, each order equally likely.
fn shuffled(range: RangeInclusive<u8>) -> Vec<u8> {
    let mut numbers: Vec<u8> = range.collect();
    for unplaced in (1..numbers.len()).rev() {
        numbers.swap(unplaced, random_up_to(unplaced));
    }
    numbers
}

/// A random number from 0 to `last` inclusive; `last` is below 256.
fn random_up_to(last: usize) -> usize {
    let count = last + 1;
    let fair = 256 - 256 % count;
    loop {
        let [byte] = random::bytes::<1>();
        if usize::from(byte) < fair {
            return usize::from(byte) % count;
        }
    }
}

/// x⁴+x³+x+1: what x⁸ is worth.
const REDUCTION: u8 = 0x1b;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Long division of the carry-less product by x⁸+x⁴+x³+x+1: slow, and written without looking at `multiply`.
    fn naive_product(a: u8, b: u8) -> u8 {
        let mut product: u32 =
            (0..8).filter(|bit| b >> bit & 1 == 1).map(|bit| u32::from(a) << bit).fold(0, |sum, term| sum ^ term);
        for degree in (8..16).rev() {
            if product >> degree & 1 == 1 {
                product ^= 0x11b << (degree - 8);
            }
        }
        u8::try_from(product).unwrap()
    }

    fn naive_value(coefficients_from_constant: &[u8], x: u8) -> u8 {
        let mut sum = 0;
        for (degree, &coefficient) in coefficients_from_constant.iter().enumerate() {
            let power = (0..degree).fold(1, |power, _| naive_product(power, x));
            sum ^= naive_product(coefficient, power);
        }
        sum
    }

    fn parts(texts: &[&[u8]]) -> Vec<Share> {
        texts.iter().map(|text| Secret::new(text.to_vec())).collect()
    }

    #[test]
    fn products_are_those_of_long_division() {
        for a in 0..=u8::MAX {
            for b in 0..=u8::MAX {
                assert_eq!(multiply(a, b), naive_product(a, b), "{a} × {b}");
            }
        }
        // The example of FIPS 197, §4.2.
        assert_eq!(multiply(0x57, 0x83), 0xc1);
    }

    #[test]
    fn every_number_but_zero_has_its_inverse() {
        for a in 1..=u8::MAX {
            assert_eq!(naive_product(a, invert(a)), 1, "{a}");
        }
        assert_eq!(invert(0), 0);
        assert_eq!(invert(0x53), 0xca);
    }

    #[test]
    fn shares_worked_out_by_hand_combine() {
        // 0x2a + 0x35·x: 0x1f at 1, 0x40 at 2, 0x75 at 3.
        let shares = [[0x1f, 1], [0x40, 2], [0x75, 3]].map(|share| Secret::new(share.to_vec()));
        for pair in [[0, 1], [1, 2], [2, 0]] {
            let pair = pair.map(|index| shares[index].clone());
            assert_eq!(combine(&pair).unwrap().expose(), &[0x2a]);
        }
        assert_eq!(combine(&shares).unwrap().expose(), &[0x2a], "more than enough");
    }

    #[test]
    fn polynomials_of_any_degree_have_the_naive_values() {
        for degree in [1, 2, 7, 254] {
            let ascending: Vec<u8> = (0..=degree).map(|power: u8| power.wrapping_mul(73).wrapping_add(5)).collect();
            let descending = Polynomial(Zeroizing::new(ascending.iter().rev().copied().collect()));
            for x in [1, 2, 3, 0x53, 0x80, 0xff] {
                assert_eq!(descending.value_at(x), naive_value(&ascending, x), "degree {degree} at {x}");
            }
        }
    }

    #[test]
    fn shares_end_in_their_x_and_no_two_in_the_same() {
        let shares = split(&[7; 32], 255, 2).unwrap();
        let mut places: Vec<u8> = shares.iter().map(|share| *share.expose().last().unwrap()).collect();
        assert!(shares.iter().all(|share| share.expose().len() == 33));
        assert_ne!(places, (1..=255).collect::<Vec<_>>(), "in random order");
        places.sort_unstable();
        assert_eq!(places, (1..=255).collect::<Vec<_>>());
    }

    #[test]
    fn all_of_255_are_needed_when_asked_for() {
        let secret = b"thirty-two bytes, neither fewer.";
        let mut shares = split(secret, 255, 255).unwrap();
        assert_eq!(combine(&shares).unwrap().expose(), secret);
        shares.pop();
        assert_ne!(combine(&shares).unwrap().expose(), secret);
    }

    #[test]
    fn malformed_parts_are_named() {
        for (shares, error) in [
            (parts(&[]), ShamirError::TooFew),
            (parts(&[b"ab"]), ShamirError::TooFew),
            (parts(&[b"ab", b"c"]), ShamirError::TooShort),
            (parts(&[b"", b"ab"]), ShamirError::TooShort),
            (parts(&[b"ab", b"abc"]), ShamirError::Lengths),
            (parts(&[b"ab", b"cd", b"eb"]), ShamirError::Duplicate),
            (parts(&[b"ab", b"c\0"]), ShamirError::Zero),
        ] {
            assert_eq!(combine(&shares).unwrap_err(), error);
        }
        for (shares, threshold) in [(3, 4), (3, 1), (3, 0), (0, 0), (1, 1)] {
            assert_eq!(split(b"k", shares, threshold).unwrap_err(), ShamirError::Threshold, "{shares} {threshold}");
        }
        assert_eq!(split(b"", 3, 2).unwrap_err(), ShamirError::Empty);
    }

    #[test]
    fn every_order_of_three_comes_up() {
        let orders: std::collections::HashSet<_> = (0..1000).map(|_| shuffled(1..=3)).collect();
        assert_eq!(orders.len(), 6);
    }

    proptest! {
        #[test]
        fn any_subset_of_the_threshold_recombines_and_fewer_do_not(
            secret in prop::array::uniform32(any::<u8>()),
            shares in 2_u8..12,
            threshold in 2_u8..12,
            order in Just((0..12_usize).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let threshold = threshold.min(shares);
            let all = split(&secret, shares, threshold).unwrap();
            let chosen: Vec<Share> =
                order.into_iter().filter_map(|index| all.get(index).cloned()).take(threshold.into()).collect();
            let combined = combine(&chosen).unwrap();
            prop_assert_eq!(combined.expose().as_slice(), secret.as_slice());
            match combine(&chosen[1..]) {
                Ok(wrong) => prop_assert_ne!(wrong.expose().as_slice(), secret.as_slice()),
                Err(error) => prop_assert_eq!(error, ShamirError::TooFew),
            }
        }

        #[test]
        fn a_flipped_bit_in_a_share_changes_the_secret(secret in prop::array::uniform32(any::<u8>()), bit in 0_usize..32 * 8) {
            let mut shares = split(&secret, 3, 3).unwrap();
            let mut changed = shares.pop().unwrap().expose().clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            shares.push(Secret::new(changed));
            let combined = combine(&shares).unwrap();
            prop_assert_ne!(combined.expose().as_slice(), secret.as_slice());
        }
    }
}
