//! Addresses and blocks of them, as roles bind logins and tokens to them (spec `00-conventions.md` §3, `approle.md` §4).

use std::net::IpAddr;

use ipnet::IpNet;

use crate::token::BoundCidr;

/// A text that is not an address or block. Worded as Go's `net` does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// Not `address/bits`.
    #[error("invalid CIDR address: {0}")]
    Block(String),
    /// Neither that nor an address alone.
    #[error("invalid address: {0}")]
    Address(String),
}

/// Reads a block; the bits after the slash are needed, blanks around it are not part of it.
pub fn block(text: &str) -> Result<IpNet, CidrError> {
    text.trim().parse().map_err(|_| CidrError::Block(text.to_owned()))
}

/// Reads blocks.
pub fn blocks(texts: &[String]) -> Result<Vec<IpNet>, CidrError> {
    texts.iter().map(|text| block(text)).collect()
}

/// Reads blocks, of which an address alone is the smallest.
pub fn blocks_or_addresses(texts: &[String]) -> Result<Vec<IpNet>, CidrError> {
    let read = |text: &String| match text.trim().parse::<IpAddr>() {
        Ok(address) => Ok(address.into()),
        Err(_) => block(text).map_err(|_| CidrError::Address(text.clone())),
    };
    texts.iter().map(read).collect()
}

/// A block as the API shows it: one of a single address as that address.
pub fn shown(block: &IpNet) -> String {
    BoundCidr::from(*block).to_string()
}

/// Whether an address is in one of the blocks. Nowhere is in none; an IPv4 address written as IPv6 is the IPv4 address.
pub fn holds(blocks: &[IpNet], address: Option<IpAddr>) -> bool {
    let address = address.map(|address| address.to_canonical());
    address.is_some_and(|address| blocks.iter().any(|block| is_sound(block) && block.contains(&address)))
}

/// Whether each of `inner` lies in one of `outer` as a whole.
pub fn is_within(inner: &[IpNet], outer: &[IpNet]) -> bool {
    inner.iter().all(|inner| is_sound(inner) && outer.iter().any(|outer| is_sound(outer) && outer.contains(inner)))
}

/// No bits at all mean everything, and then the address must say so too: `10.0.0.1/0` is a slip.
fn is_sound(block: &IpNet) -> bool {
    block.prefix_len() > 0 || block.addr().is_unspecified()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| block(text).unwrap()).collect()
    }

    #[test]
    fn a_block_needs_its_bits() {
        assert_eq!(block("10.0.0.1").unwrap_err().to_string(), "invalid CIDR address: 10.0.0.1");
        assert_eq!(shown(&block(" 10.0.0.1/8 ").unwrap()), "10.0.0.1/8");
        assert!(block("10.0.0.0/33").is_err() && block("x/8").is_err() && block("").is_err());
    }

    #[test]
    fn an_address_alone_is_a_block_where_that_is_taken() {
        let texts = ["10.0.0.1", "fd00::1", "10.0.0.0/8"].map(str::to_owned);
        let shown: Vec<_> = blocks_or_addresses(&texts).unwrap().iter().map(shown).collect();
        assert_eq!(shown, texts);
        assert!(blocks_or_addresses(&["10.0.0".to_owned()]).is_err());
    }

    #[test]
    fn addresses_match_their_own_family() {
        let blocks = read(&["10.0.0.0/8", "::/0"]);
        assert!(holds(&blocks, Some("10.9.9.9".parse().unwrap())));
        assert!(holds(&blocks, Some("::ffff:10.9.9.9".parse().unwrap())));
        assert!(holds(&blocks, Some("fd00::1".parse().unwrap())));
        assert!(!holds(&blocks, Some("11.0.0.1".parse().unwrap())));
        assert!(!holds(&blocks, None));
        assert!(!holds(&read(&["10.0.0.1/0"]), Some("10.0.0.1".parse().unwrap())));
    }

    #[test]
    fn a_block_lies_in_one_other_as_a_whole() {
        assert!(is_within(&read(&["10.1.0.0/16", "10.0.0.1/32"]), &read(&["10.0.0.0/8"])));
        assert!(is_within(&[], &read(&["10.0.0.0/8"])));
        assert!(is_within(&read(&["10.0.0.0/8"]), &read(&["0.0.0.0/0"])));
        // Two halves are not looked at together.
        assert!(!is_within(&read(&["10.0.0.0/8"]), &read(&["10.0.0.0/9", "10.128.0.0/9"])));
        assert!(!is_within(&read(&["10.0.0.0/8"]), &read(&["10.0.0.1/0"])));
        assert!(!is_within(&read(&["10.0.0.1/32"]), &read(&["::/0"])));
    }
}
