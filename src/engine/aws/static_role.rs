//! `static-roles/` and `static-creds/`: access keys of users somebody else made (`aws-secrets-engine.md` §15, §21.7).

use std::sync::Arc;

use serde_json::Value;

use crate::aws::rotation::{Record, Rotation, RotationError, Whose};
use crate::aws::{Arn, AwsError, Settings};
use crate::barrier::BarrierError;
use crate::base::{Timestamp, Ttl};
use crate::mount::{ApiError, Ctx, Named, Nothing, Reply, Table};
use crate::storage::Page;

use super::AwsSecrets;
use super::config::{ROOT, Root};
use super::connection::Connection;
use super::static_input::{ROLES, StaticInput, StaticRole, role_key};
use super::static_state::{CREDS, Item, StaticLedger, StaticState, due_key, key, user_key};

pub(super) fn endpoints(table: &mut Table<AwsSecrets>) {
    table.at("static-roles/", "Names of the static roles.").list(AwsSecrets::list_static);
    table
        .at("static-roles/{name:at}", "An IAM user whose access key is rotated.")
        .read(AwsSecrets::read_static)
        .update(AwsSecrets::write_static)
        .delete(AwsSecrets::delete_static);
    table.at("static-creds/{name:at}", "The access key of a static role.").read(AwsSecrets::static_creds);
}

/// A rotation that failed: for the caller, and for `status`.
struct Failed {
    error: ApiError,
    code: String,
}

impl AwsSecrets {
    async fn list_static(self: Arc<Self>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
        Ok(Reply::list(self.view.list_all(ROLES).await?))
    }

    async fn read_static(self: Arc<Self>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
        let role = self.view.read::<StaticRole>(&role_key(&named.name)).await?;
        Ok(role.map_or_else(Reply::empty, |role| Reply::data(role.shown())))
    }

    async fn static_creds(self: Arc<Self>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
        let state = self.view.read::<StaticState>(&key(&Item::Role(named.name))).await?.unwrap_or_default();
        let Some(pair) = state.pair else { return Ok(Reply::empty()) };
        Ok(Reply::field("access_key", pair.access_key.into())
            .and("secret_key", pair.secret_key.expose().clone().into())
            .and("expiration", state.due.rfc3339().into()))
    }

    async fn write_static(self: Arc<Self>, _: Ctx, input: StaticInput) -> Result<Reply, ApiError> {
        let _turn = self.turn(&role_key(&input.name)).await;
        input.check_account()?;
        let stored = self.view.read::<StaticRole>(&role_key(&input.name)).await?;
        let is_new = stored.is_none();
        let mut role = stored.unwrap_or_else(|| StaticRole { name: input.name.clone(), ..StaticRole::default() });
        let before = role.rotation_period;
        if let Some(username) = input.username(is_new)? {
            let connection = self.connection().await?;
            let user = connection.aws.get_user(Some(&username)).await;
            let user = user.map_err(|error| refused(format!("unable to validate username \"{username}\": {error}"), &error))?;
            connection.sees(&user.arn);
            role.is_of(&username, user)?;
        }
        if let Some(period) = input.period(is_new)? {
            role.rotation_period = period;
        }
        let written = if is_new { self.begin_static(&role).await } else { self.change_static(&role, before).await };
        // Its place in the schedule may be the first one now.
        self.wake_schedule();
        written?;
        Ok(Reply::data(role.shown()))
    }

    async fn begin_static(&self, role: &StaticRole) -> Result<(), ApiError> {
        // What an earlier role on this user left open is taken over by one of the two.
        let _turn = self.turn(&user_key(&role.id)).await;
        if let Some(other) = self.view.read::<String>(&user_key(&role.id)).await? {
            return Err(ApiError::invalid(format!(
                "user \"{}\" is already managed by static role \"{other}\"; two would delete each other's keys",
                role.username
            )));
        }
        let mut ledger = StaticLedger::begin(&self.view, &*self.deps.clock, role.clone()).await?;
        self.rotate_static(role, &mut ledger).await.map_err(|failed| in_words(role, failed))
    }

    async fn change_static(&self, role: &StaticRole, before: Ttl) -> Result<(), ApiError> {
        let clock = &*self.deps.clock;
        let item = Item::Role(role.name.clone());
        let opened = StaticLedger::open(&self.view, clock, item, role.rotation_period).await?;
        let mut ledger = opened.ok_or_else(|| ApiError::internal("a static role without a state"))?;
        let (mut state, mut txn) = (ledger.state.clone(), self.view.txn());
        txn.put(&self.view, &role.key(), role)?;
        let has_pair = state.pair.is_some();
        if has_pair && role.rotation_period != before {
            (state.due, state.trouble) = (clock.now().plus(role.rotation_period), None);
        }
        ledger.store(state, txn).await?;
        if has_pair {
            return Ok(());
        }
        self.rotate_static(role, &mut ledger).await.map_err(|failed| in_words(role, failed))
    }

    async fn delete_static(self: Arc<Self>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
        let _turn = self.turn(&role_key(&named.name)).await;
        let Some(role) = self.view.read::<StaticRole>(&role_key(&named.name)).await? else { return Ok(Reply::empty()) };
        let item = Item::Role(named.name.clone());
        let opened = StaticLedger::open(&self.view, &*self.deps.clock, item, role.rotation_period).await?;
        let mut ledger = opened.ok_or_else(|| ApiError::internal("a static role without a state"))?;
        let left = self.erase(&role, &mut ledger).await.map_err(|failed| {
            let text = format!("failed to clean credentials while deleting role \"{}\": couldn't delete from IAM: ", role.name);
            ApiError { text: text + &failed.error.text, ..failed.error }
        })?;
        ledger.remove(&role, left).await?;
        self.wake_schedule();
        Ok(Reply::empty())
    }

    /// Deletes all keys that were made for a role; what is left open.
    async fn erase(&self, role: &StaticRole, ledger: &mut StaticLedger<'_>) -> Result<Record, Failed> {
        let state = ledger.state.clone();
        let in_use = state.pair.map(|pair| pair.access_key);
        let ids: Vec<&str> = in_use.iter().chain(&state.previous).map(String::as_str).collect();
        if ids.is_empty() && state.record.is_empty() {
            return Ok(Record::default());
        }
        let (connection, settings) = self.reach().await?;
        check_account(&connection, role).await?;
        let rotation = self.rotation(&connection, &settings, role, None, None).await?;
        let erased = Box::pin(rotation.erase(ledger, state.record, &role.username, &ids)).await;
        erased.map_err(|error| failed(role, &error))
    }

    /// Rotates now. What goes wrong is noted, if anything of the role is stored.
    async fn rotate_static(&self, role: &StaticRole, ledger: &mut StaticLedger<'_>) -> Result<(), Failed> {
        let rotated = async {
            let state = ledger.state.clone();
            let in_use = state.pair.map(|pair| pair.access_key);
            let (connection, settings) = self.reach().await?;
            let previous = state.previous.as_deref();
            let rotation = self.rotation(&connection, &settings, role, in_use.as_deref(), previous).await?;
            let rotated = Box::pin(rotation.rotate(ledger, state.record)).await;
            rotated.map_err(|error| failed(role, &error))
        };
        let failed = match rotated.await {
            Ok(id) => {
                tracing::info!(aws.user = role.username, aws.access_key = id, "static role `{}` has a new access key", role.name);
                return Ok(());
            }
            Err(failed) => failed,
        };
        if !ledger.is_unborn() {
            let mut state = ledger.state.clone();
            state.fails(self.deps.clock.now(), &failed.code, &failed.error.text);
            if let Err(error) = ledger.store(state, self.view.txn()).await {
                tracing::warn!(error = %error, "that a rotation failed cannot be noted");
            }
        }
        Err(failed)
    }

    /// What is due of a role: its rotation, or what is open of one.
    pub(super) async fn serve_role(&self, name: &str, at: Timestamp) -> Result<(), ApiError> {
        let _turn = self.turn(&role_key(name)).await;
        let (clock, item) = (&*self.deps.clock, Item::Role(name.to_owned()));
        let role = self.view.read::<StaticRole>(&role_key(name)).await?.unwrap_or_default();
        let Some(mut ledger) = self.due_ledger(item, at, role.rotation_period).await? else { return Ok(()) };
        let now = clock.now();
        if ledger.state.rotates() <= now {
            if let Err(failed) = self.rotate_static(&role, &mut ledger).await {
                tracing::warn!(aws.user = role.username, error = %failed.error, "static role `{name}` is not rotated; it is tried again");
            }
        } else if ledger.state.at <= now {
            self.tend_static(&role, &mut ledger).await;
        }
        Ok(ledger.reschedule().await?)
    }

    /// What is open of a role that is gone.
    pub(super) async fn serve_gone(&self, user: &str, at: Timestamp) -> Result<(), ApiError> {
        let _turn = self.turn(&user_key(user)).await;
        let opened = self.due_ledger(Item::Gone(user.to_owned()), at, Ttl::ZERO).await?;
        let Some(mut ledger) = opened else { return Ok(()) };
        self.tend_static(&StaticRole::default(), &mut ledger).await;
        if ledger.state.record.is_empty() {
            return Ok(ledger.forget().await?);
        }
        Ok(ledger.reschedule().await?)
    }

    /// The state that a place in the schedule is of; one that is nobody's is removed.
    async fn due_ledger(&self, item: Item, at: Timestamp, period: Ttl) -> Result<Option<StaticLedger<'_>>, BarrierError> {
        let place = due_key(at, &item);
        let ledger = StaticLedger::open(&self.view, &*self.deps.clock, item, period).await?;
        let ledger = ledger.filter(|ledger| ledger.state.at == at);
        if ledger.is_none() {
            self.view.delete(&place).await?;
        }
        Ok(ledger)
    }

    async fn tend_static(&self, role: &StaticRole, ledger: &mut StaticLedger<'_>) {
        let tended = async {
            let state = ledger.state.clone();
            let in_use = state.pair.map(|pair| pair.access_key);
            let (connection, settings) = self.reach().await?;
            let previous = state.previous.as_deref();
            let rotation = self.rotation(&connection, &settings, role, in_use.as_deref(), previous).await?;
            let tended = Box::pin(rotation.tend(ledger, state.record)).await;
            tended.map_err(|error| failed(role, &error))
        };
        if let Err(failed) = tended.await {
            tracing::warn!(aws.user = role.username, error = %failed.error, "a rotation that is open does not go on yet; it is tried again");
        }
    }

    async fn reach(&self) -> Result<(Arc<Connection>, Settings), Failed> {
        let reached = async {
            let root = self.view.read::<Root>(ROOT).await?.unwrap_or_default();
            Ok::<_, ApiError>((self.connection().await?, root.settings()))
        };
        reached.await.map_err(|error| {
            let text = format!("unable to get the AWS IAM client: {}", error.text);
            Failed { error: ApiError { text, ..error }, code: "Configuration".to_owned() }
        })
    }

    async fn rotation<'a>(
        &'a self,
        connection: &'a Connection,
        settings: &'a Settings,
        role: &'a StaticRole,
        in_use: Option<&'a str>,
        previous: Option<&'a str>,
    ) -> Result<Rotation<'a>, Failed> {
        let outside = self.outside().await.map_err(|error| Failed { error, code: "Configuration".to_owned() })?;
        Ok(Rotation {
            clock: &*self.deps.clock,
            outside,
            settings,
            aws: &connection.aws,
            watch: &self.watch,
            whose: Whose::Named { name: &role.username, id: Some(&role.id), previous },
            in_use,
        })
    }

    /// Failing roles, for `status`.
    pub(super) async fn failing_static_roles(&self) -> Result<Vec<Value>, BarrierError> {
        let mut failing = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page: Vec<(String, StaticState)> = self.view.scan(CREDS, Page { after: after.as_deref(), limit: PAGE }).await?;
            let is_last = page.len() < PAGE;
            after = page.last().map(|(key, _)| key.clone());
            failing.extend(page.iter().filter_map(|(key, state)| state.failing(key.strip_prefix(CREDS).unwrap_or(key))));
            if is_last || failing.len() >= SHOWN {
                failing.truncate(SHOWN);
                return Ok(failing);
            }
        }
    }

    /// What whoever unmounts it should know.
    pub(super) async fn last_words(&self) -> Vec<String> {
        let mut words = Vec::new();
        match self.view.list_all(ROLES).await.map(|names| names.len()) {
            Ok(0) => {}
            Ok(count) => {
                let (roles, their) = if count == 1 { ("role", "its") } else { ("roles", "their") };
                words.push(format!(
                    "{count} static {roles} went with the mount: {their} access keys stay valid at AWS, and are not rotated any more"
                ));
            }
            Err(error) => tracing::warn!(error = %error, "static roles cannot be counted"),
        }
        if let Ok(ids) = self.keys_to_delete().await
            && !ids.is_empty()
        {
            words.push(format!("a rotation of config/root was not finished: access key {} stays at AWS", ids.join(", ")));
        }
        words
    }
}

/// Whether the credentials are of the account the role's user is in (§21.6).
async fn check_account(connection: &Connection, role: &StaticRole) -> Result<(), Failed> {
    let Ok(arn) = Arn::parse(&role.arn) else { return Ok(()) };
    let Some(ours) = connection.account().await.filter(|ours| ours.id != arn.account) else { return Ok(()) };
    let error = ApiError::invalid(format!(
        "AccountMismatch: user \"{}\" is in account {}, the credentials of config/root are of account {}",
        role.username, arn.account, ours.id
    ));
    Err(Failed { error, code: "AccountMismatch".to_owned() })
}

/// In the words clients know (§15.4).
fn failed(role: &StaticRole, error: &RotationError) -> Failed {
    let user = &role.username;
    let (code, text) = match error {
        RotationError::User(_) | RotationError::Mismatch(_) => {
            let why = error.aws().map_or_else(|| error.to_string(), ToString::to_string);
            ("Mismatch", format!("iam user didn't exist, or username/userid didn't match: {why}"))
        }
        RotationError::List { error } => ("", format!("unable to list existing access keys for IAM user \"{user}\": {error}")),
        RotationError::InTheWay { error, .. } | RotationError::Old { error, .. } => {
            ("", format!("unable to delete oldest access keys for user \"{user}\": {error}"))
        }
        RotationError::Create(error) => ("", format!("unable to create new access keys for user \"{user}\": {error}")),
        RotationError::Save(error) => ("Storage", format!("failed to save object in storage: {error}")),
        RotationError::TwoKeys(text) => ("TwoAccessKeys", text.clone()),
        RotationError::NotAccepted(_) => ("NotAccepted", error.to_string()),
        RotationError::Search(_) => ("", error.to_string()),
    };
    let code = error.aws().map(AwsError::code).filter(|code| !code.is_empty()).unwrap_or(code);
    let code = if code.is_empty() { "Unavailable" } else { code }.to_owned();
    let error = match error {
        RotationError::TwoKeys(_) | RotationError::Mismatch(_) => ApiError::invalid(text),
        RotationError::User(error) => refused(text, error),
        RotationError::NotAccepted(_) => ApiError::upstream(text),
        error if error.aws().is_some_and(AwsError::is_passing) => ApiError::upstream(text),
        _ => ApiError::fault(text),
    };
    Failed { error, code }
}

/// What the caller asked for is not there, or AWS is not.
fn refused(text: String, error: &AwsError) -> ApiError {
    if error.is_passing() { ApiError::upstream(text) } else { ApiError::invalid(text) }
}

/// The two keys are described as they are; all else is about the role.
fn in_words(role: &StaticRole, failed: Failed) -> ApiError {
    if failed.code == "TwoAccessKeys" {
        return failed.error;
    }
    let text = format!("failed to create new credentials for role \"{}\": {}", role.name, failed.error.text);
    ApiError { text, ..failed.error }
}

/// Read at once.
const PAGE: usize = 256;

/// `status` shows so many.
const SHOWN: usize = 100;
