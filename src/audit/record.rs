//! What happened, as facts: plain and borrowed, so that making a record costs nothing. Nothing here is hashed yet.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::base::Timestamp;

/// One line to be: a request before it runs, or with its response after it ran (spec `seal-and-barrier.md` §6).
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// When it is written, with nanoseconds.
    pub time: DateTime<Utc>,
    /// Who asked; at the response of a login, who it turned out to be.
    pub auth: &'a AuthFacts<'a>,
    /// What was asked for.
    pub request: &'a RequestFacts<'a>,
    /// What was answered; `None` makes this the line of a request.
    pub response: Option<&'a ResponseFacts<'a>>,
    /// The error, in the server's words; empty for none.
    pub error: &'a str,
}

/// A token, as the line shows it. Empty texts, lists and zeros are left out.
#[derive(Clone, Debug, Default)]
pub struct AuthFacts<'a> {
    /// The token; hashed.
    pub client_token: &'a str,
    /// Its accessor; hashed unless the device is told otherwise.
    pub accessor: &'a str,
    /// How the token is called.
    pub display_name: &'a str,
    /// All policies.
    pub policies: &'a [String],
    /// Those of the token.
    pub token_policies: &'a [String],
    /// Those of the entity behind it.
    pub identity_policies: &'a [String],
    /// The token was made without `default`.
    pub no_default_policy: bool,
    /// What the policies said; `None` where none were asked.
    pub policy_results: Option<PolicyResults<'a>>,
    /// Metadata of the token.
    pub metadata: Option<&'a BTreeMap<String, String>>,
    /// Uses of a token that is being created; 0 for any number.
    pub num_uses: u64,
    /// Uses the token had left before this request; 0 for any number.
    pub remaining_uses: u64,
    /// The entity.
    pub entity_id: &'a str,
    /// The entity was made by this login.
    pub entity_created: bool,
    /// `service`, `batch`, or `default` where there is no token.
    pub token_type: &'a str,
    /// Lifetime from its creation, in seconds.
    pub token_ttl: u64,
    /// When the token was made.
    pub token_issue_time: Option<Timestamp>,
}

impl AuthFacts<'_> {
    /// No usable token: none was sent, it is unknown, or this is a login.
    pub const ANONYMOUS: Self = Self {
        client_token: "",
        accessor: "",
        display_name: "",
        policies: &[],
        token_policies: &[],
        identity_policies: &[],
        no_default_policy: false,
        policy_results: None,
        metadata: None,
        num_uses: 0,
        remaining_uses: 0,
        entity_id: "",
        entity_created: false,
        token_type: "default",
        token_ttl: 0,
        token_issue_time: None,
    };
}

/// What the policies said.
#[derive(Clone, Copy, Debug, Default)]
pub struct PolicyResults<'a> {
    /// Whether the request may run.
    pub allowed: bool,
    /// Names of the policies that allow it.
    pub granting: &'a [&'a str],
}

/// The mount that was addressed.
#[derive(Clone, Copy, Debug, Default)]
pub struct MountFacts<'a> {
    /// Its path, ending in `/`.
    pub point: &'a str,
    /// The type of the plugin.
    pub kind: &'a str,
    /// Its accessor; never hashed.
    pub accessor: &'a str,
    /// The version of the plugin.
    pub running_version: &'a str,
    /// `secret` or `auth`.
    pub class: &'a str,
    /// `audit_non_hmac_request_keys`: their values stay readable.
    pub clear_request_keys: &'a [String],
    /// `audit_non_hmac_response_keys`.
    pub clear_response_keys: &'a [String],
}

/// What was asked for.
#[derive(Clone, Debug, Default)]
pub struct RequestFacts<'a> {
    /// The request's id.
    pub id: &'a str,
    /// The entity, or a hash of the policies.
    pub client_id: &'a str,
    /// `create`, `read`, `update`, `patch`, `delete`, `list`, `help`.
    pub operation: &'a str,
    /// `None` when the path leads nowhere.
    pub mount: Option<MountFacts<'a>>,
    /// The token as sent, known or not; hashed.
    pub client_token: &'a str,
    /// Its accessor, when it is known; hashed unless the device is told otherwise.
    pub client_token_accessor: &'a str,
    /// The whole path.
    pub path: &'a str,
    /// The body.
    pub data: Option<&'a Map<String, Value>>,
    /// Where it came from.
    pub remote_address: &'a str,
    /// Its port; 0 for none.
    pub remote_port: u16,
    /// How long the reply shall stay wrapped, in seconds; 0 for not at all.
    pub wrap_ttl: u64,
    /// Those of its headers that are audited.
    pub headers: &'a [HeaderFacts<'a>],
    /// Serial number of the client's certificate.
    pub certificate_serial: &'a str,
}

/// A header that is audited.
#[derive(Clone, Copy, Debug)]
pub struct HeaderFacts<'a> {
    /// In lower case.
    pub name: &'a str,
    /// Its values.
    pub values: &'a [String],
    /// Whether they are hashed.
    pub hashed: bool,
}

/// What was answered. The mount is that of the request.
#[derive(Clone, Debug, Default)]
pub struct ResponseFacts<'a> {
    /// A token that was made.
    pub auth: Option<&'a AuthFacts<'a>>,
    /// The lease; `Some("")` for a secret without one.
    pub lease: Option<&'a str>,
    /// The data.
    pub data: Reply<'a>,
    /// Warnings; never hashed.
    pub warnings: &'a [String],
    /// The wrapping token, instead of data.
    pub wrap: Option<WrapFacts<'a>>,
}

/// The data of an answer, in the form it is at hand.
#[derive(Clone, Copy, Debug, Default)]
pub enum Reply<'a> {
    /// None.
    #[default]
    Empty,
    /// A JSON object.
    Data(&'a Map<String, Value>),
    /// Names under `keys`, and what stands beside them.
    List(&'a [String], &'a Map<String, Value>),
    /// An error's text, as the client gets it; shown hashed as `data.error`.
    Error(&'a str),
}

/// A reply that is wrapped.
#[derive(Clone, Copy, Debug, Default)]
pub struct WrapFacts<'a> {
    /// Seconds it stays.
    pub ttl: u64,
    /// The wrapping token; hashed.
    pub token: &'a str,
    /// Its accessor; hashed unless the device is told otherwise.
    pub accessor: &'a str,
    /// As in the reply, RFC 3339.
    pub creation_time: &'a str,
    /// The path that was asked.
    pub creation_path: &'a str,
    /// The accessor of the token or secret id inside; hashed likewise.
    pub wrapped_accessor: &'a str,
}
