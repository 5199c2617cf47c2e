//! Tokens of which nothing is stored: the token is its record, sealed under a label that no stored value has.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::barrier::{Barrier, BarrierError};
use crate::base::{Key, MountId, Secret, Timestamp, TokenKey, Ttl};

use super::info::State;
use super::{BoundCidr, TokenError, TokenInfo, TokenKind};

/// What a batch token says. Short names: they are part of every token.
#[derive(Serialize, Deserialize)]
struct Sealed {
    #[serde(rename = "p")]
    policies: Vec<String>,
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    parent: Option<TokenKey>,
    #[serde(rename = "w")]
    path: String,
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    meta: Option<BTreeMap<String, String>>,
    #[serde(rename = "i", default, skip_serializing_if = "BTreeMap::is_empty")]
    internal_meta: BTreeMap<String, String>,
    #[serde(rename = "n")]
    display_name: String,
    #[serde(rename = "c")]
    created: Timestamp,
    #[serde(rename = "t")]
    creation_ttl: Ttl,
    #[serde(rename = "e")]
    end: Timestamp,
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    #[serde(rename = "u", default, skip_serializing_if = "String::is_empty")]
    entity_id: String,
    #[serde(rename = "x", default, skip_serializing_if = "std::ops::Not::not")]
    no_identity_policies: bool,
    #[serde(rename = "b", default, skip_serializing_if = "Vec::is_empty")]
    bound_cidrs: Vec<BoundCidr>,
    #[serde(rename = "o")]
    mount: MountId,
}

/// Makes the token that says this.
pub(super) fn seal(barrier: &Arc<Barrier>, info: &TokenInfo) -> Result<Secret<String>, TokenError> {
    let sealed = Sealed {
        policies: info.policies.clone(),
        parent: info.parent,
        path: info.path.clone(),
        meta: info.meta.clone(),
        internal_meta: info.internal_meta.clone(),
        display_name: info.display_name.clone(),
        created: info.created,
        creation_ttl: info.creation_ttl,
        end: info.end.ok_or(TokenError::Endless)?,
        role: info.role.clone(),
        entity_id: info.entity_id.clone(),
        no_identity_policies: info.no_identity_policies,
        bound_cidrs: info.bound_cidrs.clone(),
        mount: info.mount.clone(),
    };
    let plain = serde_json::to_vec(&sealed).map(Zeroizing::new);
    let plain = plain.map_err(|error| BarrierError::Decode(Key::from(LABEL), error.to_string()))?;
    let mut token = PREFIX.to_owned();
    URL_SAFE_NO_PAD.encode_string(barrier.seal_text(LABEL, &plain)?, &mut token);
    Ok(Secret::new(token))
}

/// What stands behind the prefix says, if it is a token of ours at all.
pub(super) fn open(barrier: &Arc<Barrier>, key: TokenKey, text: &str) -> Result<Option<TokenInfo>, TokenError> {
    let Ok(sealed) = URL_SAFE_NO_PAD.decode(text) else { return Ok(None) };
    let plain = match barrier.open_text(LABEL, &sealed) {
        Ok(plain) => Zeroizing::new(plain),
        // Nothing of ours.
        Err(BarrierError::Forged(_) | BarrierError::UnknownTerm(_) | BarrierError::Decode(..)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let Ok(said) = serde_json::from_slice::<Sealed>(&plain) else { return Ok(None) };
    Ok(Some(TokenInfo {
        key,
        kind: TokenKind::Batch,
        accessor: None,
        version: None,
        parent: said.parent,
        policies: said.policies,
        path: said.path,
        meta: said.meta,
        internal_meta: said.internal_meta,
        display_name: said.display_name,
        num_uses: 0,
        created: said.created,
        creation_ttl: said.creation_ttl,
        explicit_max_ttl: Ttl::ZERO,
        period: Ttl::ZERO,
        end: Some(said.end),
        last_renewal: None,
        renewable: false,
        role: said.role,
        entity_id: said.entity_id,
        no_identity_policies: said.no_identity_policies,
        bound_cidrs: said.bound_cidrs,
        mount: said.mount,
        quota: None,
        has_lease: false,
        state: State::Live,
        due: None,
    }))
}

/// Begins every batch token.
pub(super) const PREFIX: &str = "hvb.";

/// Associated data of every batch token. No storage key begins so.
const LABEL: &str = "batch token";
