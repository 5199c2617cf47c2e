//! Addresses a token may be used from.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A network, or one address. Keeps the address as it was written: `10.1.2.3/8` stays so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoundCidr(IpNet);

/// Why a text is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unable to convert {0:?} to an address or a network")]
pub struct CidrError(String);

impl BoundCidr {
    /// Reads `10.0.0.0/8`, `10.1.2.3`, `::1`.
    pub fn parse(text: &str) -> Result<Self, CidrError> {
        let text = text.trim();
        let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        net.map(Self).map_err(|_| CidrError(text.chars().take(LONGEST_SHOWN).collect()))
    }

    /// Whether an address lies in it. One of IPv4 written as IPv6 is taken for what it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl From<IpNet> for BoundCidr {
    fn from(net: IpNet) -> Self {
        Self(net)
    }
}

impl fmt::Display for BoundCidr {
    /// One address is shown without the length of its prefix.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() { write!(f, "{}", self.0.addr()) } else { write!(f, "{}", self.0) }
    }
}

impl Serialize for BoundCidr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BoundCidr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Characters of a bad text that an error repeats.
const LONGEST_SHOWN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        let net = BoundCidr::parse("10.1.2.3/8").unwrap();
        assert!(net.contains("10.200.0.1".parse().unwrap()));
        assert!(net.contains("::ffff:10.0.0.1".parse().unwrap()));
        assert!(!net.contains("11.0.0.1".parse().unwrap()));
        assert!(!net.contains("::1".parse().unwrap()));
    }

    #[test]
    fn texts_are_shown_as_they_were_written() {
        for text in ["10.1.2.3/8", "127.0.0.1", "::1", "fe80::/10"] {
            let cidr = BoundCidr::parse(text).unwrap();
            assert_eq!(cidr.to_string(), text);
            let stored = serde_json::to_string(&cidr).unwrap();
            assert_eq!(serde_json::from_str::<BoundCidr>(&stored).unwrap(), cidr);
        }
        assert_eq!(BoundCidr::parse("127.0.0.1/32").unwrap().to_string(), "127.0.0.1");
        assert!(BoundCidr::parse("10.0.0.0/33").is_err());
        assert!(BoundCidr::parse("localhost").is_err());
    }
}
