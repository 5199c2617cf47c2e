//! Tidying of both lists: what is over for longer than a buffer is removed, once an hour and on demand
//! (spec `aws-auth-method.md` §16).
//!
//! An access list entry that is gone lets the next login of its instance be the first one: hence the buffer, and the length of
//! the longest token before it.

use std::future::ready;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::auth::aws::AwsAuth;
use crate::auth::busy::Busy;
use crate::base::Ttl;
use crate::mount::field::{Flag, SignedSeconds};
use crate::mount::{ApiError, Ctx, Nothing, Reply, Table};
use crate::storage::Page;

use super::access_api::ACCESS;
use super::access_list::{Entry, is_over};
use super::deny_list::{DENIED, Denied};

/// What is tidied when.
#[derive(Debug, Default)]
pub(in crate::auth::aws) struct Tidying {
    access: Arc<AtomicBool>,
    denied: Arc<AtomicBool>,
    /// When it was done last, on `Clock::elapsed`. Guards a time; one tick at a time; held to take or put it.
    last: Mutex<Option<Duration>>,
}

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    Access,
    Denied,
}

/// The record of a list's configuration, and what a read shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct TidyConfig {
    /// How long after its end an entry stays.
    safety_buffer: Ttl,
    disable_periodic_tidy: bool,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct ConfigInput {
    /// How long after its end an entry stays. Default: 72 hours; of role tags 180 days.
    safety_buffer: Option<SignedSeconds>,
    /// Leaves it to tidying on demand.
    disable_periodic_tidy: Option<Flag>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct TidyInput {
    /// How long after its end an entry stays, this time. Default: 72 hours.
    safety_buffer: Option<SignedSeconds>,
}

/// Declares the endpoints.
pub(super) fn endpoints(table: &mut Table<AwsAuth>) {
    for (list, config, start) in [
        (List::Access, "config/tidy/identity-accesslist", "tidy/identity-accesslist"),
        (List::Access, "config/tidy/identity-whitelist", "tidy/identity-whitelist"),
        (List::Denied, "config/tidy/roletag-denylist", "tidy/roletag-denylist"),
        (List::Denied, "config/tidy/roletag-blacklist", "tidy/roletag-blacklist"),
    ] {
        let (about_config, about_start) = list.about();
        table
            .at(config, about_config)
            .exists(move |plugin: Arc<AwsAuth>, _: Ctx, _: Nothing| async move { plugin.has_tidy_config(list).await })
            .read(move |plugin: Arc<AwsAuth>, _: Ctx, _: Nothing| async move { plugin.read_tidy_config(list).await })
            .update(move |plugin: Arc<AwsAuth>, _: Ctx, input: ConfigInput| async move {
                plugin.write_tidy_config(list, &input).await
            })
            .delete(move |plugin: Arc<AwsAuth>, _: Ctx, _: Nothing| async move { plugin.delete_tidy_config(list).await });
        table
            .at(start, about_start)
            .update(move |plugin: Arc<AwsAuth>, _: Ctx, input: TidyInput| ready(plugin.start(list, &input)));
    }
}

impl AwsAuth {
    async fn has_tidy_config(&self, list: List) -> Result<bool, ApiError> {
        Ok(self.view.exists(list.config_key()).await?)
    }

    async fn read_tidy_config(&self, list: List) -> Result<Reply, ApiError> {
        let config = self.view.read::<TidyConfig>(list.config_key()).await?;
        Ok(config.map_or_else(Reply::empty, |config| {
            Reply::field("safety_buffer", json!(config.safety_buffer))
                .and("disable_periodic_tidy", json!(config.disable_periodic_tidy))
        }))
    }

    async fn write_tidy_config(&self, list: List, input: &ConfigInput) -> Result<Reply, ApiError> {
        let key = list.config_key();
        let _turn = self.turn(key).await;
        let mut config = self.view.read::<TidyConfig>(key).await?.unwrap_or_else(|| list.config());
        if let Some(buffer) = input.safety_buffer {
            config.safety_buffer = checked(buffer)?;
        }
        if let Some(flag) = &input.disable_periodic_tidy {
            config.disable_periodic_tidy = **flag;
        }
        self.view.put(key, &config).await?;
        Ok(Reply::empty())
    }

    async fn delete_tidy_config(&self, list: List) -> Result<Reply, ApiError> {
        let _turn = self.turn(list.config_key()).await;
        self.view.delete(list.config_key()).await?;
        Ok(Reply::empty())
    }

    fn start(self: Arc<Self>, list: List, input: &TidyInput) -> Result<Reply, ApiError> {
        let buffer = input.safety_buffer.map(checked).transpose()?.unwrap_or(ON_DEMAND);
        let Some(busy) = Busy::new(self.tidying.flag(list)) else {
            return Ok(Reply::warning("Tidy operation already in progress."));
        };
        let plugin = Arc::clone(&self);
        self.deps.tasks.spawn(async move {
            plugin.tidy(list, buffer).await;
            drop(busy);
        });
        let text =
            "Tidy operation successfully started. Any information from the operation will be printed to Vault's server logs.";
        Ok(Reply::warning(text).accepted())
    }

    /// The first minute's tick, and then one in an hour.
    pub(in crate::auth::aws) async fn tidy_hourly(&self) {
        let now = self.deps.clock.elapsed();
        {
            let mut last = self.tidying.last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.is_some_and(|last| now.saturating_sub(last) < HOUR) {
                return;
            }
            *last = Some(now);
        }
        for list in [List::Access, List::Denied] {
            let Some(_busy) = Busy::new(self.tidying.flag(list)) else { continue };
            match self.view.read::<TidyConfig>(list.config_key()).await {
                Ok(Some(config)) if config.disable_periodic_tidy => {}
                Ok(config) => self.tidy(list, config.unwrap_or_else(|| list.config()).safety_buffer).await,
                Err(error) => self.say(list, &error),
            }
        }
    }

    async fn tidy(&self, list: List, buffer: Ttl) {
        let (mut after, mut removed): (Option<String>, u64) = (None, 0);
        loop {
            let page = Page { after: after.as_deref(), limit: PAGE };
            let keys = match self.view.scan_keys(list.prefix(), page).await {
                Ok(keys) => keys,
                Err(error) => return self.say(list, &error),
            };
            for key in &keys {
                match self.remove_if_over(list, key, buffer).await {
                    Ok(is_removed) => removed += u64::from(is_removed),
                    // One that cannot be read does not keep the others.
                    Err(error) => self.say(list, &error),
                }
            }
            if keys.len() < PAGE {
                break;
            }
            after = keys.last().cloned();
        }
        tracing::info!(mount = %self.deps.entry.id, auth.list = list.prefix(), auth.removed = removed, "tidied a list");
    }

    async fn remove_if_over(&self, list: List, key: &str, buffer: Ttl) -> Result<bool, crate::barrier::BarrierError> {
        let now = self.deps.clock.precise();
        if !self.end_of(list, key).await?.is_some_and(|(end, _)| is_over(end, buffer, now)) {
            return Ok(false);
        }
        // A login may have made it longer meanwhile.
        let _turn = self.turn(key).await;
        let Some((_, version)) = self.end_of(list, key).await?.filter(|(end, _)| is_over(*end, buffer, now)) else {
            return Ok(false);
        };
        let mut txn = self.view.txn();
        txn.expect_at(&self.view, key, version);
        txn.delete(&self.view, key);
        match txn.commit().await {
            Err(error) if error.is_conflict() => Ok(false),
            result => result.map(|()| true),
        }
    }

    async fn end_of(
        &self,
        list: List,
        key: &str,
    ) -> Result<Option<(DateTime<Utc>, crate::storage::Version)>, crate::barrier::BarrierError> {
        Ok(match list {
            List::Access => self.view.read_versioned::<Entry>(key).await?.map(|(entry, at)| (entry.expiration_time, at)),
            List::Denied => self.view.read_versioned::<Denied>(key).await?.map(|(denied, at)| (denied.expiration_time, at)),
        })
    }

    fn say(&self, list: List, error: &dyn std::fmt::Display) {
        tracing::warn!(mount = %self.deps.entry.id, auth.list = list.prefix(), error = %error, "a list is not tidied");
    }
}

impl Tidying {
    fn flag(&self, list: List) -> &Arc<AtomicBool> {
        match list {
            List::Access => &self.access,
            List::Denied => &self.denied,
        }
    }
}

impl List {
    /// Of its configuration, and of tidying it.
    fn about(self) -> (&'static str, &'static str) {
        match self {
            Self::Access => {
                ("When entries of the access list are removed.", "Starts to remove entries of the access list that are over.")
            }
            Self::Denied => {
                ("When role tags are removed from the deny list.", "Starts to remove role tags from the deny list that are over.")
            }
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Access => ACCESS,
            Self::Denied => DENIED,
        }
    }

    fn config_key(self) -> &'static str {
        match self {
            Self::Access => "config/tidy/identity-whitelist",
            Self::Denied => "config/tidy/roletag-blacklist",
        }
    }

    /// What counts where nothing is configured.
    fn config(self) -> TidyConfig {
        let safety_buffer = match self {
            Self::Access => Ttl::hours(72),
            Self::Denied => Ttl::hours(180 * 24),
        };
        TidyConfig { safety_buffer, disable_periodic_tidy: false }
    }
}

fn checked(buffer: SignedSeconds) -> Result<Ttl, ApiError> {
    buffer.ttl().ok_or_else(|| ApiError::invalid("'safety_buffer' cannot be negative"))
}

/// The buffer of tidying on demand, for both lists.
const ON_DEMAND: Ttl = Ttl::hours(72);

const HOUR: Duration = Duration::from_hours(1);

/// Keys read at once.
const PAGE: usize = 256;
