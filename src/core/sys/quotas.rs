//! `sys/quotas`: rules on how often clients may ask and how many leases there may be (spec `sys.md` §13).

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::base::Ttl;
use crate::core::Active;
use crate::core::quota::{Config, CountTerms, Kind, RateTerms, Rule};
use crate::mount::field::{CommaList, Flag, Int, Text};
use crate::mount::{ApiError, Both, Class, Ctx, Named, Nothing, Reply, Table};

use super::{Sys, data};

pub(super) fn endpoints(table: &mut Table<Sys>) {
    table.at("quotas/config", "What is exempt from rates, and what replies tell of them.").read(read_config).update(write_config);
    table.at("quotas/rate-limit/", "Names of the rules on rates.").list(list::<RateTerms>);
    table
        .at("quotas/rate-limit/{name}", "How often a client may ask.")
        .read(read_rate)
        .update(write_rate)
        .delete(delete::<RateTerms>);
    table.at("quotas/lease-count/", "Names of the rules on numbers of leases.").list(list::<CountTerms>);
    table
        .at("quotas/lease-count/{name}", "How many leases there may be.")
        .read(read_count)
        .update(write_count)
        .delete(delete::<CountTerms>);
}

/// What holds for all rules; what is absent is off.
#[derive(Debug, Deserialize, JsonSchema)]
struct WriteConfig {
    /// Paths no rate holds for; a `*` at the end takes what follows.
    rate_limit_exempt_paths: Option<CommaList>,
    /// Requests over a rate are audited.
    enable_rate_limit_audit_logging: Option<Flag>,
    /// Replies tell what is left of a rate.
    enable_rate_limit_response_headers: Option<Flag>,
}

/// A rule and what it is for, whatever it bounds.
#[derive(Debug, Deserialize, JsonSchema)]
struct Whom {
    /// Name of the rule.
    name: String,
    /// A mount, a path below one, or one with a `*` at its end; empty: everything.
    #[serde(default)]
    path: Text,
    /// Logins of this role only.
    #[serde(default)]
    role: Text,
    /// Kept and shown: there are no namespaces.
    inheritable: Option<Flag>,
}

/// A rule on a rate.
#[derive(Debug, Deserialize, JsonSchema)]
struct WriteRate {
    /// Requests in each interval, above zero.
    #[serde(default)]
    rate: Text,
    /// The time the rate is meant for; a second without it.
    #[serde(default)]
    interval: Ttl,
    /// How long a client that asked too often is refused; zero: until there is room again.
    block_interval: Option<Text>,
}

/// A rule on a number of leases.
#[derive(Debug, Deserialize, JsonSchema)]
struct WriteCount {
    /// So many leases at most, above zero.
    #[serde(default)]
    max_leases: Int,
}

async fn read_config(sys: Arc<Sys>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    let config = active.quotas.config();
    Ok(data([
        ("enable_rate_limit_audit_logging", json!(config.audits)),
        ("enable_rate_limit_response_headers", json!(config.tells)),
        ("rate_limit_exempt_paths", json!(config.exempt)),
    ]))
}

async fn write_config(sys: Arc<Sys>, _: Ctx, input: WriteConfig) -> Result<Reply, ApiError> {
    let WriteConfig { rate_limit_exempt_paths: exempt, enable_rate_limit_audit_logging: audits, .. } = input;
    let tells = input.enable_rate_limit_response_headers;
    if exempt.is_none() && audits.is_none() && tells.is_none() {
        return Ok(Reply::empty());
    }
    let exempt = exempt.map(|exempt| exempt.0).unwrap_or_default();
    if exempt.len() > MOST_PATHS {
        return Err(ApiError::invalid(format!("there are more than {MOST_PATHS} exempt paths")));
    }
    let active = sys.active()?;
    let _one_at_a_time = active.admin.lock().await;
    let is = |flag: Option<Flag>| flag.is_some_and(|flag| *flag);
    active.quotas.set_config(Config { exempt, audits: is(audits), tells: is(tells) }).await?;
    Ok(Reply::empty())
}

async fn list<K: Kind + 'static>(sys: Arc<Sys>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    Ok(Reply::list(sys.active()?.quotas.names::<K>().await?))
}

async fn read_rate(sys: Arc<Sys>, _: Ctx, input: Named) -> Result<Reply, ApiError> {
    let Some(rule) = sys.active()?.quotas.read::<RateTerms>(&input.name).await? else { return Ok(Reply::empty()) };
    Ok(shown(&rule)
        .and("rate", json!(rule.kind.rate))
        .and("interval", json!(rule.kind.interval))
        .and("block_interval", json!(rule.kind.block_interval)))
}

async fn read_count(sys: Arc<Sys>, _: Ctx, input: Named) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    let Some(rule) = active.quotas.read::<CountTerms>(&input.name).await? else { return Ok(Reply::empty()) };
    let counter = active.quotas.counter(&input.name).await?;
    Ok(shown(&rule)
        .and("inheritable", json!(rule.inheritable))
        .and("max_leases", json!(rule.kind.max_leases))
        .and("counter", json!(counter)))
}

async fn write_rate(sys: Arc<Sys>, _: Ctx, Both(whom, input): Both<Whom, WriteRate>) -> Result<Reply, ApiError> {
    let rate = input.rate.parse::<f64>().ok().filter(|rate| rate.is_finite() && *rate > 0.0);
    let rate = rate.ok_or_else(|| ApiError::invalid("'rate' is invalid"))?;
    let interval = input.interval.nonzero().unwrap_or(Ttl::seconds(1));
    let block = input.block_interval.map(|Text(text)| text).unwrap_or_default();
    let block_interval = Ttl::parse(&block).map_err(|_| ApiError::invalid("'block' is invalid"))?;
    let active = sys.active()?;
    let _one_at_a_time = active.admin.lock().await;
    let rule = rule(&active, whom, RateTerms { rate, interval, block_interval })?;
    active.quotas.write_rate(&rule).await?;
    Ok(Reply::empty())
}

async fn write_count(sys: Arc<Sys>, _: Ctx, Both(whom, input): Both<Whom, WriteCount>) -> Result<Reply, ApiError> {
    let max_leases = u64::try_from(*input.max_leases).ok().filter(|max| *max > 0);
    let max_leases = max_leases.ok_or_else(|| ApiError::invalid("'max_leases' is invalid"))?;
    let active = sys.active()?;
    let _one_at_a_time = active.admin.lock().await;
    let rule = rule(&active, whom, CountTerms::new(max_leases))?;
    let recount = active.quotas.write_count(rule).await?;
    active.recount(recount);
    Ok(Reply::empty())
}

async fn delete<K: Kind + 'static>(sys: Arc<Sys>, _: Ctx, input: Named) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    let _one_at_a_time = active.admin.lock().await;
    if let Some(recount) = active.quotas.delete::<K>(&input.name).await? {
        active.recount(recount);
    }
    Ok(Reply::empty())
}

/// A rule, when what it is for is there.
fn rule<K>(active: &Active, whom: Whom, kind: K) -> Result<Rule<K>, ApiError> {
    let asked = whom.path.trim_start_matches('/');
    let (path, mount) = if asked.is_empty() { (String::new(), None) } else { placed(active, asked)? };
    if !whom.role.is_empty() && mount.as_ref().is_none_or(|(_, class)| *class != Class::Auth) {
        let path = mount.map_or_else(|| asked.to_owned(), |(mount, _)| mount);
        let text = "is not a valid auth method and therefore unsuitable for use with role-based quotas";
        return Err(ApiError::invalid(format!("Mount path {path:?} {text}")));
    }
    let inheritable = whom.inheritable.as_ref().map_or(path.is_empty(), |flag| **flag);
    Ok(Rule { name: whom.name, path, mount: mount.map(|(mount, _)| mount), role: whom.role.0, inheritable, kind })
}

/// A path as it is kept, with the mount it lies in. A mount's own path ends in `/`.
fn placed(active: &Active, asked: &str) -> Result<(String, Option<(String, Class)>), ApiError> {
    let routes = active.routes.load();
    let bare = asked.strip_suffix('*').unwrap_or(asked);
    let found = routes.find(bare).map(|(mount, _)| &mount.entry);
    let entry = found.ok_or_else(|| ApiError::invalid(format!("invalid mount path {asked:?}")))?;
    let mount = entry.path.as_str().to_owned();
    let path = if asked.trim_end_matches('/') == mount.trim_end_matches('/') { mount.clone() } else { asked.to_owned() };
    Ok((path, Some((mount, entry.class))))
}

fn shown<K: Kind>(rule: &Rule<K>) -> Reply {
    data([("type", json!(K::FOLDER)), ("name", json!(rule.name)), ("path", json!(rule.path)), ("role", json!(rule.role))])
}

const MOST_PATHS: usize = 1000;
