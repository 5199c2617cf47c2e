//! Faults as data: which call goes wrong, and how.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::call::Hide;
use super::failure::Failure;

/// One fault: which call it strikes, and what then happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The action it strikes; `None` for every action.
    pub action: Option<String>,
    /// Only calls with this `UserName`; `None` for all.
    pub user: Option<String>,
    /// Which of the calls that fit.
    pub when: When,
    /// What happens.
    pub effect: Effect,
}

/// Which of the calls that fit a rule it strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Only the n-th from now; 1 is the next.
    Nth(u32),
    /// The next n.
    Next(u32),
    /// All, until the rules are cleared.
    Every,
}

/// What happens to a call that a rule strikes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is refused with these words; nothing is done.
    Refuse(Failure),
    /// It is refused as too much: 400 `Throttling`; nothing is done.
    Throttle,
    /// It is done; then the connection is cut instead of an answer.
    ExecuteThenDropReply,
    /// It is done; the answer is a 500.
    ExecuteThen500,
    /// Nothing is done; the answer is a 500.
    Fail500,
    /// Nothing is done, and nothing is answered before [`Faults::release`]; then the answer is a 503.
    Hang,
    /// Nothing is done, and nothing is answered for so long; then the answer is a 503.
    Silence {
        /// How long, on the clock.
        lasting: Duration,
    },
    /// It is done; the answer comes only after [`Faults::release`].
    ExecuteThenHang,
    /// The connection is cut; nothing is done.
    DropBefore,
    /// For `CreateUser`: it is done and answered, but reads and calls naming the user find nobody for so long.
    HideUser {
        /// How long, on the clock.
        lasting: Duration,
    },
    /// For `CreateAccessKey`: it is done and answered, but the key is refused as unknown for so long.
    HideKeys {
        /// How long, on the clock.
        lasting: Duration,
        /// Whether `ListAccessKeys` shows it meanwhile.
        listed: bool,
    },
    /// The connection is cut; the call takes effect later.
    LateEffect {
        /// How much later, on the clock.
        after: Duration,
    },
}

/// What becomes of the tags that a `CreateUser` brings along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tags {
    /// They are the user's, as AWS does it.
    #[default]
    Kept,
    /// They are lost, as some stand-ins do it.
    Dropped,
    /// The call is refused as a whole, as AWS does where `iam:TagUser` is not allowed.
    Refused,
}

/// When an observer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// A call has arrived; nothing is done yet.
    Before,
    /// It was carried out, or refused by the rules of the service; the answer is not sent yet. Not told of calls that a
    /// fault kept from being carried out.
    After,
}

/// Is told of each call: the action, and when.
pub type Observer = Arc<dyn Fn(&str, Phase) + Send + Sync>;

/// The faults of a stand-in. They may be changed at any time; rules are tried in the order of their setting, and each call
/// suffers from one at the most. Only what hides may come on top: a reply is dropped *and* the user hidden.
pub struct Faults {
    /// Guards the rules; calls wait for each other; held for a walk over the rules.
    rules: Mutex<Vec<Rule>>,
    /// Guards a value; held to read or write it.
    tags: Mutex<Tags>,
    /// Guards the observer; held to take a copy.
    observer: Mutex<Option<Observer>>,
    releases: watch::Sender<u64>,
    hanging: watch::Sender<usize>,
    late: watch::Sender<usize>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            rules: Mutex::default(),
            tags: Mutex::default(),
            observer: Mutex::default(),
            releases: watch::Sender::new(0),
            hanging: watch::Sender::new(0),
            late: watch::Sender::new(0),
        }
    }
}

impl Faults {
    /// Adds a rule.
    pub fn add(&self, rule: Rule) {
        self.rules().push(rule);
    }

    /// The n-th call of `action` from now (1 is the next) suffers `effect`.
    pub fn nth(&self, n: u32, action: &str, effect: Effect) {
        self.add(Rule { action: Some(action.to_owned()), user: None, when: When::Nth(n), effect });
    }

    /// The next call of `action` suffers `effect`.
    pub fn next(&self, action: &str, effect: Effect) {
        self.nth(1, action, effect);
    }

    /// Every call of `action` suffers `effect` from now on.
    pub fn every(&self, action: &str, effect: Effect) {
        self.add(Rule { action: Some(action.to_owned()), user: None, when: When::Every, effect });
    }

    /// What becomes of tags from now on; [`Faults::clear`] changes nothing of it.
    pub fn treat_tags(&self, tags: Tags) {
        *self.tags.lock().unwrap_or_else(PoisonError::into_inner) = tags;
    }

    pub(super) fn tags(&self) -> Tags {
        *self.tags.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes all rules. What hangs goes on hanging, what is late still comes.
    pub fn clear(&self) {
        self.rules().clear();
    }

    /// How many rules wait for calls.
    pub fn pending(&self) -> usize {
        self.rules().len()
    }

    /// Lets the calls that hang now be answered.
    pub fn release(&self) {
        self.releases.send_modify(|count| *count += 1);
    }

    /// How many calls hang.
    pub fn hanging(&self) -> usize {
        *self.hanging.borrow()
    }

    /// Returns once at least `count` calls hang.
    pub async fn until_hanging(&self, count: usize) {
        let mut hanging = self.hanging.subscribe();
        // The sender lives as long as `self`.
        let _ = hanging.wait_for(|now| *now >= count).await;
    }

    /// Returns once no call hangs: all were released, or their clients have left.
    pub async fn until_none_hanging(&self) {
        let mut hanging = self.hanging.subscribe();
        let _ = hanging.wait_for(|now| *now == 0).await;
    }

    /// How many calls are still to take effect.
    pub fn late(&self) -> usize {
        *self.late.borrow()
    }

    /// Returns once no call is still to take effect.
    pub async fn until_none_late(&self) {
        let mut late = self.late.subscribe();
        let _ = late.wait_for(|now| *now == 0).await;
    }

    /// Tells `observer` of each call from now on, instead of the one before. It is called on the call's own task and should
    /// not block for long.
    pub fn on_call(&self, observer: Observer) {
        *self.observer.lock().unwrap_or_else(PoisonError::into_inner) = Some(observer);
    }

    pub(super) fn tell(&self, action: &str, phase: Phase) {
        let observer = self.observer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(observer) = observer {
            observer(action, phase);
        }
    }

    /// What happens to this call. The rules that fit count it, and the first one whose turn it is strikes; those that hide
    /// count and strike only where something is done.
    pub(super) fn strike(&self, action: &str, user: Option<&str>) -> Strike {
        let mut rules = self.rules();
        let effect = walk(&mut rules, |rule| !rule.effect.hides() && rule.fits(action, user));
        let mut hide = Hide::default();
        if effect.as_ref().is_none_or(Effect::executes) {
            match walk(&mut rules, |rule| rule.effect.hides() && rule.fits(action, user)) {
                Some(Effect::HideUser { lasting }) => hide.user = Some(lasting),
                Some(Effect::HideKeys { lasting, listed }) => hide.key = Some((lasting, listed)),
                _ => {}
            }
        }
        Strike { effect, hide }
    }

    /// Returns when [`Faults::release`] is called; the call counts as hanging meanwhile, also when it is dropped.
    pub(super) async fn hang(&self) {
        let mut releases = self.releases.subscribe();
        let _counted = Counted::new(&self.hanging);
        let _ = releases.changed().await;
    }

    /// A place among the late ones, if there is one left.
    pub(super) fn be_late(&self) -> Option<Late> {
        (self.late() < LATE).then(|| {
            self.late.send_modify(|count| *count += 1);
            Late(self.late.clone())
        })
    }

    fn rules(&self) -> MutexGuard<'_, Vec<Rule>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rules, hanging, late) = (self.rules(), self.hanging(), self.late());
        f.debug_struct("Faults").field("rules", &*rules).field("hanging", &hanging).field("late", &late).finish_non_exhaustive()
    }
}

impl Effect {
    fn hides(&self) -> bool {
        matches!(self, Self::HideUser { .. } | Self::HideKeys { .. })
    }

    /// Whether the call is carried out, now or later.
    fn executes(&self) -> bool {
        match self {
            Self::Refuse(_) | Self::Throttle | Self::Fail500 | Self::Hang | Self::Silence { .. } | Self::DropBefore => false,
            Self::ExecuteThenDropReply
            | Self::ExecuteThen500
            | Self::ExecuteThenHang
            | Self::LateEffect { .. }
            | Self::HideUser { .. }
            | Self::HideKeys { .. } => true,
        }
    }
}

/// Lets the rules that fit count, and returns the effect of the first one whose turn it is.
fn walk(rules: &mut Vec<Rule>, fits: impl Fn(&Rule) -> bool) -> Option<Effect> {
    let mut struck = None;
    rules.retain_mut(|rule| {
        if !fits(rule) {
            return true;
        }
        let strikes = struck.is_none() && rule.is_its_turn();
        if strikes {
            struck = Some(rule.effect.clone());
        }
        rule.counts(strikes)
    });
    struck
}

impl Rule {
    fn fits(&self, action: &str, user: Option<&str>) -> bool {
        let only = match self.effect {
            Effect::HideUser { .. } => action == "CreateUser",
            Effect::HideKeys { .. } => action == "CreateAccessKey",
            _ => true,
        };
        only && self.action.as_deref().is_none_or(|own| own == action) && (self.user.is_none() || self.user.as_deref() == user)
    }

    fn is_its_turn(&self) -> bool {
        match self.when {
            When::Nth(n) => n <= 1,
            When::Next(n) => n > 0,
            When::Every => true,
        }
    }

    /// Counts a call that fits; whether the rule stays. One whose turn another rule took strikes at the next call.
    fn counts(&mut self, struck: bool) -> bool {
        match &mut self.when {
            When::Nth(n) if *n > 1 => *n -= 1,
            When::Next(n) if struck => *n -= 1,
            When::Nth(_) => return !struck,
            When::Next(_) | When::Every => {}
        }
        self.when != When::Next(0)
    }
}

/// What the rules make of one call.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Strike {
    pub(super) effect: Option<Effect>,
    pub(super) hide: Hide,
}

/// Counts one up while it lives.
struct Counted<'a>(&'a watch::Sender<usize>);

impl<'a> Counted<'a> {
    fn new(counter: &'a watch::Sender<usize>) -> Self {
        counter.send_modify(|count| *count += 1);
        Self(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// A call that is still to take effect.
#[derive(Debug)]
pub(super) struct Late(watch::Sender<usize>);

impl Drop for Late {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// Calls that may be late at the same time; further ones are lost for good.
const LATE: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_strikes_the_call_it_names_and_is_used_up() {
        let faults = Faults::default();
        faults.nth(2, "CreateUser", Effect::Throttle);
        let strikes =
            ["CreateUser", "GetUser", "CreateUser", "CreateUser"].map(|action| faults.strike(action, None).effect.is_some());
        assert_eq!(strikes, [false, false, true, false]);
        assert_eq!(faults.pending(), 0);
    }

    #[test]
    fn the_next_few_calls_are_struck_and_then_no_more() {
        let faults = Faults::default();
        faults.add(Rule { action: None, user: Some("u".to_owned()), when: When::Next(2), effect: Effect::Fail500 });
        assert_eq!(faults.strike("GetUser", Some("other")), Strike::default());
        let strikes = [1, 2, 3].map(|_| faults.strike("GetUser", Some("u")).effect.is_some());
        assert_eq!(strikes, [true, true, false]);
    }

    #[test]
    fn a_call_suffers_from_one_rule_and_the_other_waits() {
        let faults = Faults::default();
        faults.next("GetUser", Effect::Throttle);
        faults.next("GetUser", Effect::Fail500);
        assert_eq!(faults.strike("GetUser", None).effect, Some(Effect::Throttle));
        assert_eq!(faults.strike("GetUser", None).effect, Some(Effect::Fail500));
    }

    #[test]
    fn every_call_is_struck_until_the_rules_are_cleared() {
        let faults = Faults::default();
        faults.every("GetUser", Effect::Throttle);
        assert!((0..5).all(|_| faults.strike("GetUser", None).effect.is_some()));
        faults.clear();
        assert_eq!(faults.strike("GetUser", None), Strike::default());
    }

    #[test]
    fn hiding_waits_for_a_call_that_creates_and_comes_on_top_of_another_effect() {
        let faults = Faults::default();
        let lasting = Duration::from_secs(5);
        faults.next("CreateUser", Effect::Throttle);
        faults.next("CreateUser", Effect::ExecuteThenDropReply);
        faults.add(Rule { action: None, user: None, when: When::Nth(1), effect: Effect::HideUser { lasting } });
        assert_eq!(faults.strike("GetUser", None), Strike::default());
        assert_eq!(faults.strike("CreateUser", None), Strike { effect: Some(Effect::Throttle), hide: Hide::default() });
        let hide = Hide { user: Some(lasting), key: None };
        assert_eq!(faults.strike("CreateUser", None), Strike { effect: Some(Effect::ExecuteThenDropReply), hide });
        assert_eq!(faults.pending(), 0);
    }
}
