//! Who is calling: tokens.

use std::collections::BTreeMap;

use ipnet::IpNet;

use crate::base::{Accessor, MountId, Timestamp, TokenKey, Ttl};
use crate::storage::Version;

/// What kind of token it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// Stored.
    Service,
    /// Not stored.
    Batch,
}

/// What is known of a live token.
#[derive(Clone, Debug)]
pub struct TokenInfo {
    /// Keyed hash.
    pub key: TokenKey,
    /// Kind.
    pub kind: TokenKind,
    /// Accessor.
    pub accessor: Option<Accessor>,
    /// Version of its record.
    pub version: Option<Version>,
    /// Parent.
    pub parent: Option<TokenKey>,
    /// Policies.
    pub policies: Vec<String>,
    /// Creation path.
    pub path: String,
    /// Metadata.
    pub meta: Option<BTreeMap<String, String>>,
    /// For renewals.
    pub internal_meta: BTreeMap<String, String>,
    /// Name.
    pub display_name: String,
    /// Uses.
    pub num_uses: u64,
    /// Created.
    pub created: Timestamp,
    /// First ttl.
    pub creation_ttl: Ttl,
    /// Max.
    pub explicit_max_ttl: Ttl,
    /// Period.
    pub period: Ttl,
    /// End.
    pub end: Option<Timestamp>,
    /// Last renewal.
    pub last_renewal: Option<Timestamp>,
    /// Renewable.
    pub renewable: bool,
    /// Role.
    pub role: Option<String>,
    /// Entity.
    pub entity_id: String,
    /// No identity policies.
    pub no_identity_policies: bool,
    /// CIDRs.
    pub bound_cidrs: Vec<IpNet>,
    /// Mount.
    pub mount: MountId,
    /// Has a lease.
    pub has_lease: bool,
}
