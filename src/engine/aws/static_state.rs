//! What a static role holds and has open, and its place in the schedule (`aws-secrets-engine.md` §15, §21.7).
//!
//! ```text
//! static-roles/<name>                    the role
//! static-creds/<name>                    its state: the pair, the key before it, what is open
//! static-users/<user id>                 → name: a user is of one role
//! static-gone/<user id>                  what is open of a role that was deleted
//! static-due/<unix time, 10 hex>/<item>  one for each state: when there is something to do
//! ```

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::aws::KeyPair;
use crate::aws::rotation::{Ledger, Record, Unsaved};
use crate::barrier::{BarrierError, Kept, NotKept, Txn, View};
use crate::base::secret::stored_secret;
use crate::base::{Clock, Secret, Timestamp, Ttl};

use super::static_input::StaticRole;

/// The state of a role.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct StaticState {
    /// None before the first rotation.
    pub(super) pair: Option<Pair>,
    /// The key before it, valid until the next rotation.
    pub(super) previous: Option<String>,
    /// When it is to be rotated.
    pub(super) due: Timestamp,
    pub(super) trouble: Option<Trouble>,
    pub(super) record: Record,
    /// The time of its place in the schedule.
    pub(super) at: Timestamp,
}

/// A pair in use.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Pair {
    pub(super) access_key: String,
    #[serde(with = "stored_secret")]
    pub(super) secret_key: Secret<String>,
}

/// A rotation that does not succeed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Trouble {
    attempts: u32,
    code: String,
    message: String,
    pub(super) next: Timestamp,
}

/// What is in the schedule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Item {
    /// The record of `config/root`.
    Root,
    /// A static role by its name.
    Role(String),
    /// A deleted one by its user's id.
    Gone(String),
}

impl StaticState {
    /// When its next rotation is tried.
    pub(super) fn rotates(&self) -> Timestamp {
        self.trouble.as_ref().map_or(self.due, |trouble| trouble.next)
    }

    /// It failed: again in 10 s, then in twice as long each time, up to 10 min.
    pub(super) fn fails(&mut self, now: Timestamp, code: &str, message: &str) {
        let attempts = self.trouble.as_ref().map_or(0, |trouble| trouble.attempts).saturating_add(1);
        let pause = FIRST.saturating_mul(1_u64.checked_shl(attempts - 1).unwrap_or(u64::MAX)).min(LONGEST);
        let (code, message) = (code.to_owned(), message.to_owned());
        self.trouble = Some(Trouble { attempts, code, message, next: now.plus(Ttl::seconds(pause)) });
    }

    /// As `status` shows it.
    pub(super) fn failing(&self, name: &str) -> Option<Value> {
        let trouble = self.trouble.as_ref()?;
        let next = trouble.next.rfc3339();
        Some(json!({ "name": name, "code": trouble.code, "message": trouble.message, "next_attempt": next }))
    }

    /// When there is something to do.
    fn next(&self, now: Timestamp) -> Timestamp {
        self.record.next(now).map_or(self.rotates(), |next| next.min(self.rotates()))
    }
}

/// Writes down what becomes of a static role.
pub(super) struct StaticLedger<'a> {
    view: &'a View,
    clock: &'a dyn Clock,
    kept: Kept,
    item: Item,
    /// As last stored.
    pub(super) state: StaticState,
    /// From one rotation to the next.
    period: Ttl,
    /// Stored along with the first state.
    first: Option<First>,
}

/// What comes with the first state of a role.
struct First {
    role: StaticRole,
    /// What an earlier role on the same user left.
    gone: Option<(Kept, StaticState)>,
}

impl<'a> StaticLedger<'a> {
    /// That of a role.
    pub(super) async fn open(
        view: &'a View,
        clock: &'a dyn Clock,
        item: Item,
        period: Ttl,
    ) -> Result<Option<Self>, BarrierError> {
        let (kept, state) = Kept::open::<StaticState>(view, &key(&item)).await?;
        Ok(state.map(|state| Self { view, clock, kept, item, state, period, first: None }))
    }

    /// That of a new role: nothing of it is stored before the first save.
    pub(super) async fn begin(view: &'a View, clock: &'a dyn Clock, role: StaticRole) -> Result<Self, BarrierError> {
        let (item, period) = (Item::Role(role.name.clone()), role.rotation_period);
        let (kept, stored) = Kept::open::<StaticState>(view, &key(&item)).await?;
        let (gone, left) = Kept::open::<StaticState>(view, &key(&Item::Gone(role.id.clone()))).await?;
        let mut state = stored.unwrap_or_default();
        let gone = left.map(|left| {
            state.record = left.record.clone();
            (gone, left)
        });
        Ok(Self { view, clock, kept, item, state, period, first: Some(First { role, gone }) })
    }

    /// Stores a state and its place in the schedule.
    pub(super) async fn store(&mut self, mut state: StaticState, mut txn: Txn) -> Result<(), NotKept> {
        state.at = state.next(self.clock.now());
        let view = self.view;
        if self.state.at != Timestamp::default() {
            txn.delete(view, &due_key(self.state.at, &self.item));
        }
        txn.put_bytes(view, &due_key(state.at, &self.item), &[]).map_err(NotKept::Failed)?;
        if let Some(first) = &self.first {
            let role = &first.role;
            txn.put(view, &role.key(), role).map_err(NotKept::Failed)?;
            txn.expect_absent(view, &user_key(&role.id));
            txn.put(view, &user_key(&role.id), &role.name).map_err(NotKept::Failed)?;
            if let Some((_, left)) = &first.gone {
                let item = Item::Gone(role.id.clone());
                txn.delete(view, &key(&item)).delete(view, &due_key(left.at, &item));
            }
        }
        self.kept.commit(txn, Some(&state)).await?;
        (self.first, self.state) = (None, state);
        Ok(())
    }

    /// The same, and only if its place in the schedule is another one.
    pub(super) async fn reschedule(&mut self) -> Result<(), NotKept> {
        if self.state.next(self.clock.now()) == self.state.at {
            return Ok(());
        }
        let (state, txn) = (self.state.clone(), self.view.txn());
        self.store(state, txn).await
    }

    /// Whether nothing is stored yet.
    pub(super) fn is_unborn(&self) -> bool {
        self.first.is_some()
    }

    /// Removes a role. What is `left` open is looked after.
    pub(super) async fn remove(mut self, role: &StaticRole, left: Record) -> Result<(), NotKept> {
        let mut txn = self.view.txn();
        txn.delete(self.view, &role.key()).delete(self.view, &user_key(&role.id));
        txn.delete(self.view, &due_key(self.state.at, &self.item));
        if !left.is_empty() {
            let item = Item::Gone(role.id.clone());
            let mut state = StaticState { record: left, due: FAR, ..StaticState::default() };
            state.at = state.next(self.clock.now());
            txn.put(self.view, &key(&item), &state).map_err(NotKept::Failed)?;
            txn.put_bytes(self.view, &due_key(state.at, &item), &[]).map_err(NotKept::Failed)?;
        }
        self.kept.commit::<StaticState>(txn, None).await
    }

    /// Removes what was looked after of a role that is gone.
    pub(super) async fn forget(mut self) -> Result<(), NotKept> {
        let mut txn = self.view.txn();
        txn.delete(self.view, &due_key(self.state.at, &self.item));
        self.kept.commit::<StaticState>(txn, None).await
    }
}

impl Ledger for StaticLedger<'_> {
    async fn save(&mut self, record: &Record) -> Result<(), Unsaved> {
        let state = StaticState { record: record.clone(), ..self.state.clone() };
        Ok(self.store(state, self.view.txn()).await?)
    }

    async fn switch(&mut self, pair: &KeyPair, record: &Record) -> Result<(), Unsaved> {
        let state = StaticState {
            previous: self.state.pair.as_ref().map(|pair| pair.access_key.clone()),
            pair: Some(Pair { access_key: pair.id.clone(), secret_key: pair.secret.clone() }),
            due: self.clock.now().plus(self.period),
            trouble: None,
            record: record.clone(),
            at: self.state.at,
        };
        Ok(self.store(state, self.view.txn()).await?)
    }
}

/// Where a state is.
pub(super) fn key(item: &Item) -> String {
    match item {
        Item::Root => "rotation/root".to_owned(),
        Item::Role(name) => format!("{CREDS}{name}"),
        Item::Gone(user) => format!("static-gone/{user}"),
    }
}

/// Which role a user is of.
pub(super) fn user_key(id: &str) -> String {
    format!("static-users/{id}")
}

/// A place in the schedule.
pub(super) fn due_key(at: Timestamp, item: &Item) -> String {
    match item {
        Item::Root => format!("{DUE}{:010x}/", at.seconds()),
        Item::Role(name) => format!("{DUE}{:010x}/role/{name}", at.seconds()),
        Item::Gone(user) => format!("{DUE}{:010x}/gone/{user}", at.seconds()),
    }
}

/// What a place in the schedule says.
pub(super) fn read_due(key: &str) -> Option<(Timestamp, Item)> {
    let (at, item) = key.strip_prefix(DUE)?.split_once('/')?;
    let at = Timestamp::from_seconds(u64::from_str_radix(at, 16).ok()?);
    let (kind, name) = item.split_once('/')?;
    match kind {
        "role" => Some((at, Item::Role(name.to_owned()))),
        "gone" => Some((at, Item::Gone(name.to_owned()))),
        _ => None,
    }
}

/// All places in the schedule, in order of time.
pub(super) const DUE: &str = "static-due/";

/// All states.
pub(super) const CREDS: &str = "static-creds/";

/// Of what has no rotation any more.
const FAR: Timestamp = Timestamp::from_seconds(0xff_ffff_ffff);

/// Seconds (§21.7).
const FIRST: u64 = 10;
const LONGEST: u64 = 600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_rotation_is_tried_again_after_twice_as_long_up_to_ten_minutes() {
        let (mut state, now) = (StaticState::default(), Timestamp::from_seconds(1000));
        let pauses = [0; 9].map(|_| {
            state.fails(now, "AccessDenied", "no");
            state.rotates().since(now).as_seconds()
        });
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 600, 600, 600]);
        assert_eq!(state.failing("r").unwrap()["next_attempt"], "1970-01-01T00:26:40Z");
    }

    #[test]
    fn places_in_the_schedule_are_in_order_of_time_and_can_be_read() {
        let items = [Item::Role("a.b@c".to_owned()), Item::Gone("AIDA".to_owned())];
        for item in items {
            let (early, late) = (due_key(Timestamp::from_seconds(255), &item), due_key(Timestamp::from_seconds(256), &item));
            assert!(early < late);
            assert_eq!(read_due(&late), Some((Timestamp::from_seconds(256), item)));
        }
        assert_eq!(read_due("static-due/zz/role/x"), None);
    }
}
