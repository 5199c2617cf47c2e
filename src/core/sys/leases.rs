//! Leases, from outside (spec `leases.md` §4, §5, §7).

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::base::{LeaseId, MountId, Timestamp, Ttl};
use crate::core::Active;
use crate::core::access::of_token;
use crate::lease::{How, Lease, LeaseError, Terms, When};
use crate::mount::field::{Flag, Text};
use crate::mount::{ApiError, Body, Ctx, ErrorKind, Named, Nothing, Renewed, Reply, Table};

use super::{Sys, data};

pub(super) fn endpoints(table: &mut Table<Sys>) {
    table.at("leases", "Leases that need an operator.").read(irrevocable).sudo();
    table.at("leases/count", "How many leases need an operator.").read(count);
    table.at("leases/lookup", "What is known of a lease.").update(lookup).looks();
    table.at("leases/lookup/", "What lies below a prefix of lease ids.").list(children).sudo();
    table.at("leases/lookup/{prefix:rest}", "What lies below a prefix of lease ids.").list(children).sudo();
    table.at("leases/tidy", "Looks at all leases and repairs what is wrong with them.").update(tidy);
    for pattern in ["leases/renew", "leases/renew/{url_lease_id:rest}", "renew", "renew/{url_lease_id:rest}"] {
        table.at(pattern, "Lets a lease live on.").update(renew);
    }
    for pattern in ["leases/revoke", "leases/revoke/{url_lease_id:rest}", "revoke", "revoke/{url_lease_id:rest}"] {
        table.at(pattern, "Ends a lease.").update(revoke);
    }
    for pattern in ["leases/revoke-prefix/{prefix:rest}", "revoke-prefix/{prefix:rest}"] {
        table.at(pattern, "Ends all leases below a prefix.").update(revoke_prefix).sudo();
    }
    for pattern in ["leases/revoke-force/{prefix:rest}", "revoke-force/{prefix:rest}"] {
        table.at(pattern, "Ends all leases below a prefix, whatever the outside says.").update(revoke_force).sudo();
    }
}

/// A lease.
#[derive(Debug, Deserialize, JsonSchema)]
struct Lookup {
    /// Id of the lease.
    lease_id: Option<Text>,
}

/// A lease that shall live on.
#[derive(Debug, Deserialize, JsonSchema)]
struct Renew {
    /// Id of the lease.
    lease_id: Option<Text>,
    /// The same as part of the path.
    url_lease_id: Option<Text>,
    /// How long it shall live from now; zero: as long as its issuer gives.
    #[serde(default)]
    increment: Ttl,
}

/// A lease that shall end.
#[derive(Debug, Deserialize, JsonSchema)]
struct Revoke {
    /// Id of the lease.
    lease_id: Option<Text>,
    /// The same as part of the path.
    url_lease_id: Option<Text>,
    /// Waits for the end.
    sync: Option<Flag>,
}

/// Leases that shall end.
#[derive(Debug, Deserialize, JsonSchema)]
struct RevokePrefix {
    /// A folder of lease ids, or one id.
    prefix: String,
    /// Waits for the end.
    sync: Option<Flag>,
}

/// The same whatever the outside says.
#[derive(Debug, Deserialize, JsonSchema)]
struct RevokeForce {
    /// A folder of lease ids, or one id.
    prefix: String,
}

/// Which leases are counted.
#[derive(Debug, Deserialize, JsonSchema)]
struct Count {
    /// Which; only those that need an operator can be asked for: irrevocable.
    #[serde(default, rename = "type")]
    kind: Text,
    /// There are no namespaces here; either says the same.
    #[serde(rename = "include_child_namespaces")]
    _include_child_namespaces: Option<Flag>,
}

/// Which leases are listed.
#[derive(Debug, Deserialize, JsonSchema)]
struct Irrevocable {
    /// Which; only those that need an operator can be asked for: irrevocable.
    #[serde(default, rename = "type")]
    kind: Text,
    /// There are no namespaces here; either says the same.
    #[serde(rename = "include_child_namespaces")]
    _include_child_namespaces: Option<Flag>,
    /// So many at most, or none for all of them.
    #[serde(default)]
    limit: Text,
}

async fn lookup(sys: Arc<Sys>, cx: Ctx, input: Lookup) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    let id = wanted(input.lease_id, None)?;
    let now = cx.clock.now();
    let facts = match active.leases.lookup(&id).await {
        Ok(lease) => Facts::of(&lease, now),
        Err(LeaseError::OfToken(token)) => {
            let info = active.tokens.find_spent_key(&token).await.map_err(of_token)?.ok_or_else(invalid)?;
            Facts {
                issued: info.created,
                end: info.end,
                last_renewal: info.last_renewal,
                renewable: info.renewable,
                ttl: info.ttl(now),
            }
        }
        Err(LeaseError::NotFound) => return Err(invalid()),
        Err(error) => return Err(error.into()),
    };
    Ok(facts.shown(&id))
}

async fn children(sys: Arc<Sys>, _: Ctx, input: Named) -> Result<Reply, ApiError> {
    Ok(Reply::list(sys.active()?.leases.children(&input.name).await?))
}

async fn renew(sys: Arc<Sys>, cx: Ctx, input: Renew) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    let id = wanted(input.lease_id, input.url_lease_id)?;
    let lease = active.leases.lookup(&id).await?;
    let (fresh, limits) = said(&active, &lease, input.increment, cx.clock.now()).await?;
    let (lease, warnings) = active.leases.renew(&id, input.increment, limits, fresh).await?;
    let ttl = lease.ttl(cx.clock.now());
    Ok(Reply::new(Body::Renewed(Renewed { id, renewable: lease.terms.renewable, ttl })).warn_all(warnings))
}

async fn revoke(sys: Arc<Sys>, _: Ctx, input: Revoke) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    let id = wanted(input.lease_id, input.url_lease_id)?;
    let waits = waits(input.sync);
    match active.leases.revoke(&id, if waits { When::Waited } else { When::Soon }).await {
        Ok(()) | Err(LeaseError::NotFound) => Ok(done(waits)),
        Err(error) => Err(error.into()),
    }
}

async fn revoke_prefix(sys: Arc<Sys>, _: Ctx, input: RevokePrefix) -> Result<Reply, ApiError> {
    let waits = waits(input.sync);
    let how = if waits { How::Sync } else { How::Queued };
    let count = sys.active()?.leases.revoke_prefix(&input.prefix, how).await?;
    tracing::info!(lease.count = count, "all {count} leases below `{}` are revoked", input.prefix);
    Ok(done(waits))
}

async fn revoke_force(sys: Arc<Sys>, _: Ctx, input: RevokeForce) -> Result<Reply, ApiError> {
    let count = sys.active()?.leases.revoke_prefix(&input.prefix, How::Force).await?;
    tracing::warn!(lease.count = count, "all {count} leases below `{}` are revoked by force", input.prefix);
    Ok(Reply::empty())
}

async fn tidy(sys: Arc<Sys>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    Ok(if sys.active()?.leases.start_tidy() {
        Reply::warning(TIDY_STARTED).accepted()
    } else {
        Reply::warning("Tidy operation already in progress.")
    })
}

async fn count(sys: Arc<Sys>, _: Ctx, input: Count) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    if input.kind.as_str() != IRREVOCABLE {
        return Err(ApiError::missing());
    }
    let counts = active.leases.count_irrevocable().await?;
    let total: u64 = counts.values().sum();
    let counts: Map<String, Value> = counts.into_iter().map(|(mount, count)| (accessor(&active, &mount), json!(count))).collect();
    Ok(data([("lease_count", json!(total)), ("counts", Value::Object(counts))]))
}

async fn irrevocable(sys: Arc<Sys>, _: Ctx, input: Irrevocable) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    if input.kind.as_str() != IRREVOCABLE {
        return Err(ApiError::missing());
    }
    let (found, is_cut) = active.leases.irrevocable(limit(&input.limit)?).await?;
    let shown: Vec<Value> = found
        .iter()
        .map(|lease| json!({ "lease_id": lease.id.as_str(), "mount_id": accessor(&active, &lease.mount), "error": lease.error }))
        .collect();
    let reply = data([("lease_count", json!(shown.len())), ("leases", Value::Array(shown))]);
    Ok(if is_cut { reply.warn(CUT) } else { reply })
}

/// What whoever issued the lease says of its renewal, and the limits of the mount. One that cannot be renewed anyway is not
/// asked about: the lease manager has the words for it.
async fn said(
    active: &Active,
    lease: &Lease,
    increment: Ttl,
    now: Timestamp,
) -> Result<(Option<Terms>, crate::lease::Limits), ApiError> {
    let found = active.lease_cx(lease).filter(|(mount, _)| mount.entry.is_ready());
    let can_be = lease.is_renewable(now) && lease.irrevocable.is_none();
    match found {
        Some((mount, cx)) if can_be => {
            let limits = cx.limits;
            let terms = mount.plugin.renew(cx, increment).await.map_err(failed)?;
            Ok((terms, limits))
        }
        None if can_be => Err(failed(ApiError::invalid("the mount that issued it is gone or being disabled"))),
        _ => Ok((None, active.settings.limits(&crate::mount::MountConfig::default()))),
    }
}

/// In the words of spec `leases.md` §4; what is our own fault is not told.
fn failed(error: ApiError) -> ApiError {
    match error.kind {
        ErrorKind::Internal | ErrorKind::Sealed => error,
        _ => ApiError::invalid(format!("failed to renew entry: resp: (*logical.Response)(nil) err: {}", error.text)),
    }
}

struct Facts {
    issued: Timestamp,
    end: Option<Timestamp>,
    last_renewal: Option<Timestamp>,
    renewable: bool,
    ttl: Ttl,
}

impl Facts {
    fn of(lease: &Lease, now: Timestamp) -> Self {
        Self {
            issued: lease.issued,
            end: Some(lease.end),
            last_renewal: lease.last_renewal,
            renewable: lease.is_renewable(now),
            ttl: lease.ttl(now),
        }
    }

    fn shown(&self, id: &LeaseId) -> Reply {
        data([
            ("id", json!(id.as_str())),
            ("issue_time", json!(self.issued.rfc3339())),
            ("expire_time", json!(self.end.map(Timestamp::rfc3339))),
            ("last_renewal", json!(self.last_renewal.map(Timestamp::rfc3339))),
            ("renewable", json!(self.renewable)),
            ("ttl", json!(self.ttl)),
        ])
    }
}

/// The id of the body, else of the path.
fn wanted(body: Option<Text>, url: Option<Text>) -> Result<LeaseId, ApiError> {
    let id = [body, url].into_iter().flatten().find(|id| !id.is_empty());
    id.map(|id| LeaseId::new(id.as_str())).ok_or_else(|| ApiError::invalid("lease_id must be specified"))
}

fn invalid() -> ApiError {
    ApiError::invalid("invalid lease")
}

fn waits(sync: Option<Flag>) -> bool {
    sync.is_none_or(|sync| sync.0)
}

fn done(waited: bool) -> Reply {
    if waited { Reply::empty() } else { Reply::empty().accepted() }
}

/// Of a mount as clients know it; of one that is gone, its id.
fn accessor(active: &Active, mount: &MountId) -> String {
    let routes = active.routes.load();
    routes.by_id(mount).map_or_else(|| mount.as_str().to_owned(), |mount| mount.entry.accessor.clone())
}

/// The spec's 500 for a bad limit is a 400 here, as the recordings allow: it is the caller's mistake.
fn limit(text: &str) -> Result<usize, ApiError> {
    match text {
        "" => Ok(LISTED),
        "none" => Ok(usize::MAX),
        text => {
            let number: i64 = text.parse().map_err(|_| {
                ApiError::invalid_listed(format!("invalid 'limit' provided: strconv.Atoi: parsing {text:?}: invalid syntax"))
            })?;
            let number = usize::try_from(number).ok().filter(|number| *number > 0);
            number.ok_or_else(|| ApiError::invalid_listed("limit must be 'none' or a positive integer"))
        }
    }
}

/// The only kind there is.
const IRREVOCABLE: &str = "irrevocable";
/// Listed without a limit of the caller's (spec `leases.md` §7).
const LISTED: usize = 10_000;
const CUT: &str = "Command halted because many irrevocable leases were found. To emit the entire list, re-run the command with \
                   force set true.";
/// Literal (spec `tokens.md`, "tidy").
const TIDY_STARTED: &str =
    "Tidy operation successfully started. Any information from the operation will be printed to Vault's server logs.";
