//! The record of a token as it is stored: there are more of these than of anything else, so names are short, what follows from
//! the rest or is as usual is left out, and UUIDs take 22 characters.
//!
//! ```text
//! a  accessor               c  created                      y  entity
//! u  parent                 t  lifetime given then          z  true: not the entity's policies
//! p  policies               e  end: created + t             b  blocks of addresses
//! w  path that made it      q  due: its end; 0: never       g  mount
//! m  metadata               x  explicit maximum             h  false: not listed among the leases
//! i  metadata for renewals  d  period                       s  state: live
//! n  display name           r  last renewal                 k  false: cannot be renewed
//! l  uses left              o  role                       f  quota rule
//! ```

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::base::{Accessor, MountId, Timestamp, TokenKey, Ttl};

use super::info::{State, no_key};
use super::{BoundCidr, TokenInfo, TokenKind};

/// See the module.
#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    accessor: Option<Cow<'a, Accessor>>,
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    parent: Option<TokenKey>,
    #[serde(rename = "p")]
    policies: Cow<'a, [String]>,
    #[serde(rename = "w")]
    path: Cow<'a, str>,
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    meta: Option<Cow<'a, BTreeMap<String, String>>>,
    #[serde(rename = "i", default, skip_serializing_if = "is_empty")]
    internal_meta: Cow<'a, BTreeMap<String, String>>,
    #[serde(rename = "n", default, skip_serializing_if = "str::is_empty")]
    display_name: Cow<'a, str>,
    #[serde(rename = "l", default, skip_serializing_if = "is_usual")]
    num_uses: u64,
    #[serde(rename = "c")]
    created: Timestamp,
    #[serde(rename = "t", default, skip_serializing_if = "is_usual")]
    creation_ttl: Ttl,
    #[serde(rename = "x", default, skip_serializing_if = "is_usual")]
    explicit_max_ttl: Ttl,
    #[serde(rename = "d", default, skip_serializing_if = "is_usual")]
    period: Ttl,
    /// Zero: never.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    end: Option<Timestamp>,
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    last_renewal: Option<Timestamp>,
    #[serde(rename = "k", default = "yes", skip_serializing_if = "is_yes")]
    renewable: bool,
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    role: Option<Cow<'a, str>>,
    #[serde(rename = "y", default, skip_serializing_if = "str::is_empty")]
    entity_id: Cow<'a, str>,
    #[serde(rename = "z", default, skip_serializing_if = "is_usual")]
    no_identity_policies: bool,
    #[serde(rename = "b", default, skip_serializing_if = "<[_]>::is_empty")]
    bound_cidrs: Cow<'a, [BoundCidr]>,
    #[serde(rename = "g")]
    mount: Cow<'a, str>,
    #[serde(rename = "h", default = "yes", skip_serializing_if = "is_yes")]
    has_lease: bool,
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    quota: Option<Arc<str>>,
    #[serde(rename = "s", default, skip_serializing_if = "is_usual")]
    state: State,
    /// Zero: never.
    #[serde(rename = "q", default, skip_serializing_if = "Option::is_none")]
    due: Option<Timestamp>,
}

impl Serialize for TokenInfo {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let usual_end = usual_end(self.created, self.creation_ttl);
        let stored = Stored {
            accessor: self.accessor.as_ref().map(Cow::Borrowed),
            parent: self.parent,
            policies: Cow::Borrowed(&self.policies),
            path: Cow::Borrowed(&self.path),
            meta: self.meta.as_ref().map(Cow::Borrowed),
            internal_meta: Cow::Borrowed(&self.internal_meta),
            display_name: Cow::Borrowed(&self.display_name),
            num_uses: self.num_uses,
            created: self.created,
            creation_ttl: self.creation_ttl,
            explicit_max_ttl: self.explicit_max_ttl,
            period: self.period,
            end: (self.end != usual_end).then(|| self.end.unwrap_or_default()),
            last_renewal: self.last_renewal,
            renewable: self.renewable,
            role: self.role.as_deref().map(Cow::Borrowed),
            entity_id: short(&self.entity_id),
            no_identity_policies: self.no_identity_policies,
            bound_cidrs: Cow::Borrowed(&self.bound_cidrs),
            mount: short(self.mount.as_str()),
            has_lease: self.has_lease,
            quota: self.quota.clone(),
            state: self.state,
            due: (self.due != self.end).then(|| self.due.unwrap_or_default()),
        };
        stored.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for TokenInfo {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stored = Stored::deserialize(deserializer)?;
        let time = |at: Timestamp| (at != Timestamp::default()).then_some(at);
        let end = stored.end.map_or_else(|| usual_end(stored.created, stored.creation_ttl), time);
        Ok(Self {
            key: no_key(),
            kind: TokenKind::Service,
            accessor: stored.accessor.map(Cow::into_owned),
            version: None,
            parent: stored.parent,
            policies: stored.policies.into_owned(),
            path: stored.path.into_owned(),
            meta: stored.meta.map(Cow::into_owned),
            internal_meta: stored.internal_meta.into_owned(),
            display_name: stored.display_name.into_owned(),
            num_uses: stored.num_uses,
            created: stored.created,
            creation_ttl: stored.creation_ttl,
            explicit_max_ttl: stored.explicit_max_ttl,
            period: stored.period,
            end,
            last_renewal: stored.last_renewal,
            renewable: stored.renewable,
            role: stored.role.map(Cow::into_owned),
            entity_id: long(&stored.entity_id),
            no_identity_policies: stored.no_identity_policies,
            bound_cidrs: stored.bound_cidrs.into_owned(),
            mount: MountId::new(long(&stored.mount)),
            has_lease: stored.has_lease,
            quota: stored.quota,
            state: stored.state,
            due: stored.due.map_or(end, time),
        })
    }
}

/// The end of a token that was never renewed.
fn usual_end(created: Timestamp, ttl: Ttl) -> Option<Timestamp> {
    ttl.nonzero().map(|ttl| created.plus(ttl))
}

/// A UUID in 22 characters; any other text as it is, behind a mark.
fn short(id: &str) -> Cow<'_, str> {
    match Uuid::try_parse(id) {
        Ok(uuid) if uuid.to_string() == id => Cow::Owned(URL_SAFE_NO_PAD.encode(uuid.as_bytes())),
        _ if id.is_empty() => Cow::Borrowed(id),
        _ => Cow::Owned([MARK, id].concat()),
    }
}

/// What [`short`] was given.
fn long(id: &str) -> String {
    if let Some(other) = id.strip_prefix(MARK) {
        return other.to_owned();
    }
    let bytes = URL_SAFE_NO_PAD.decode(id).ok().and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
    bytes.map_or_else(|| id.to_owned(), |bytes| Uuid::from_bytes(bytes).to_string())
}

fn is_empty(map: &BTreeMap<String, String>) -> bool {
    map.is_empty()
}

fn is_usual<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it")]
fn is_yes(flag: &bool) -> bool {
    *flag
}

/// Stands before an id that is no UUID.
const MARK: &str = "=";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random;

    fn login() -> TokenInfo {
        let created = Timestamp::from_seconds(1_800_000_000);
        let end = Some(created.plus(Ttl::hours(1)));
        TokenInfo {
            key: no_key(),
            kind: TokenKind::Service,
            accessor: Some(Accessor::new("0123456789abcdefghijklmn")),
            version: None,
            parent: None,
            policies: vec!["default".to_owned(), "load".to_owned()],
            path: "auth/approle/login".to_owned(),
            meta: Some(BTreeMap::from([("role_name".to_owned(), "load".to_owned())])),
            internal_meta: BTreeMap::new(),
            display_name: "approle".to_owned(),
            num_uses: 0,
            created,
            creation_ttl: Ttl::hours(1),
            explicit_max_ttl: Ttl::ZERO,
            period: Ttl::ZERO,
            end,
            last_renewal: None,
            renewable: true,
            role: None,
            entity_id: random::uuid(),
            no_identity_policies: false,
            bound_cidrs: Vec::new(),
            mount: MountId::fresh(),
            has_lease: true,
            quota: None,
            state: State::Live,
            due: end,
        }
    }

    /// Everything of a record, as text.
    fn all(info: &TokenInfo) -> String {
        let TokenInfo {
            key,
            kind,
            accessor,
            version,
            parent,
            policies,
            path,
            meta,
            internal_meta,
            display_name,
            num_uses,
            created,
            creation_ttl,
            explicit_max_ttl,
            period,
            end,
            last_renewal,
            renewable,
            role,
            entity_id,
            no_identity_policies,
            bound_cidrs,
            mount,
            has_lease,
            quota,
            state,
            due,
        } = info;
        format!(
            "{key} {kind:?} {accessor:?} {version:?} {parent:?} {policies:?} {path} {meta:?} {internal_meta:?} {display_name} \
             {num_uses} {created:?} {creation_ttl:?} {explicit_max_ttl:?} {period:?} {end:?} {last_renewal:?} {renewable} \
             {role:?} {entity_id} {no_identity_policies} {bound_cidrs:?} {mount} {has_lease} {quota:?} {state:?} {due:?}"
        )
    }

    fn read_back(info: &TokenInfo) -> TokenInfo {
        serde_json::from_slice(&serde_json::to_vec(info).unwrap()).unwrap()
    }

    #[test]
    fn a_login_is_read_back_and_takes_little() {
        let info = login();
        assert_eq!(all(&read_back(&info)), all(&info));
        let stored = serde_json::to_string(&info).unwrap();
        assert!(stored.len() < 230, "{} {stored}", stored.len());
    }

    #[test]
    fn whatever_is_unusual_is_read_back() {
        let other = TokenInfo {
            parent: Some(no_key()),
            meta: None,
            internal_meta: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
            display_name: String::new(),
            num_uses: 3,
            explicit_max_ttl: Ttl::hours(2),
            period: Ttl::seconds(5),
            end: Some(Timestamp::from_seconds(1_900_000_000)),
            last_renewal: Some(Timestamp::from_seconds(7)),
            renewable: false,
            role: Some("r".to_owned()),
            entity_id: "not a uuid".to_owned(),
            no_identity_policies: true,
            bound_cidrs: vec![BoundCidr::parse("10.0.0.0/8").unwrap()],
            mount: MountId::new(random::uuid().to_uppercase()),
            has_lease: false,
            quota: Some("rule".into()),
            state: State::Revoking,
            due: None,
            ..login()
        };
        assert_eq!(all(&read_back(&other)), all(&other));
        let endless = TokenInfo { end: None, due: Some(Timestamp::from_seconds(9)), entity_id: String::new(), ..login() };
        assert_eq!(all(&read_back(&endless)), all(&endless));
        let root = TokenInfo { creation_ttl: Ttl::ZERO, end: None, due: None, accessor: None, ..login() };
        assert_eq!(all(&read_back(&root)), all(&root));
    }

    #[test]
    fn ids_of_every_form_are_read_back() {
        for id in [
            "",
            "=",
            "=x",
            "AAAAAAAAAAAAAAAAAAAAAA",
            "6f1f7a02-7a1c-4d3e-8f4b-0a1b2c3d4e5f",
            "{6f1f7a02-7a1c-4d3e-8f4b-0a1b2c3d4e5f}",
        ] {
            assert_eq!(long(&short(id)), id);
        }
        assert_eq!(short("6f1f7a02-7a1c-4d3e-8f4b-0a1b2c3d4e5f").len(), 22);
    }
}
