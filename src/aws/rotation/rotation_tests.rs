use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::super::connect::AwsEnvironment;
use super::super::sandbox::{Effect, Failure, Sandbox};
use super::*;
use crate::base::time::{ManualClock, SystemClock};
use crate::base::{Secret, Shutdown, Tasks, Timestamp};

const ADMIN: &str = "leasehold-admin";

/// A configuration that is rotated, and the stand-in for AWS.
struct World {
    sandbox: Sandbox,
    clock: Arc<ManualClock>,
    outside: Outside,
    watch: Watch,
    pair: Option<KeyPair>,
    record: Record,
    previous: Option<String>,
    /// The save after so many fails so.
    fails: Option<(u32, Unsaved)>,
    /// Who is rotated with the administrator's credentials; none: he himself.
    named: Option<&'static str>,
    sts: Option<String>,
}

struct Place<'w> {
    pair: &'w mut Option<KeyPair>,
    record: &'w mut Record,
    previous: &'w mut Option<String>,
    fails: &'w mut Option<(u32, Unsaved)>,
}

impl Place<'_> {
    fn fails(&mut self) -> Result<(), Unsaved> {
        match self.fails {
            Some((0, unsaved)) => {
                let unsaved = unsaved.clone();
                *self.fails = None;
                Err(unsaved)
            }
            Some((left, _)) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Ledger for Place<'_> {
    async fn save(&mut self, record: &Record) -> Result<(), Unsaved> {
        self.fails()?;
        *self.record = record.clone();
        Ok(())
    }

    async fn switch(&mut self, pair: &KeyPair, record: &Record) -> Result<(), Unsaved> {
        self.fails()?;
        *self.previous = self.pair.replace(pair.clone()).map(|pair| pair.id);
        *self.record = record.clone();
        Ok(())
    }
}

impl World {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1_800_000_000)));
        let sandbox = Sandbox::start(clock.clone(), &Tasks::default(), &Shutdown::new()).await.unwrap();
        let outside = Outside::new(clock.clone(), AwsEnvironment::default()).unwrap();
        let (id, secret) = sandbox.root_keys();
        let (watch, pair) = (Watch::new(&*clock), Some(KeyPair { id, secret }));
        Self {
            sandbox,
            clock,
            outside,
            watch,
            pair,
            record: Record::default(),
            previous: None,
            fails: None,
            named: None,
            sts: None,
        }
    }

    /// Rotates this user instead of the administrator.
    async fn of(user: &'static str) -> Self {
        let mut world = Self::new().await;
        world.sandbox.prepare("CreateUser", &[("UserName", user)]).unwrap();
        (world.named, world.pair) = (Some(user), None);
        world
    }

    fn settings(&self, pair: &KeyPair) -> Settings {
        Settings {
            access_key: pair.id.clone(),
            secret_key: pair.secret.clone(),
            iam_endpoint: self.sandbox.url(),
            sts_endpoint: self.sts.clone().unwrap_or_else(|| self.sandbox.url()),
            max_retries: 0,
            ..Settings::default()
        }
    }

    async fn run(&mut self, tends: bool) -> Result<String, RotationError> {
        let (id, secret) = self.sandbox.root_keys();
        let signing = self.pair.clone().filter(|_| self.named.is_none()).unwrap_or(KeyPair { id, secret });
        let settings = self.settings(&signing);
        let aws = self.outside.connect(&settings).await.unwrap();
        let (in_use, previous, record) = (self.pair.clone().map(|pair| pair.id), self.previous.clone(), self.record.clone());
        let whose = match self.named {
            Some(name) => Whose::Named { name, id: None, previous: previous.as_deref() },
            None => Whose::Own,
        };
        let rotation = Rotation {
            clock: &*self.clock,
            outside: &self.outside,
            settings: &settings,
            aws: &aws,
            watch: &self.watch,
            whose,
            in_use: in_use.as_deref(),
        };
        let mut place =
            Place { pair: &mut self.pair, record: &mut self.record, previous: &mut self.previous, fails: &mut self.fails };
        let work = async {
            if tends {
                rotation.tend(&mut place, record).await.map(|()| String::new())
            } else {
                rotation.rotate(&mut place, record).await
            }
        };
        drive(&self.clock, work).await
    }

    async fn rotate(&mut self) -> Result<String, RotationError> {
        self.run(false).await
    }

    async fn fails_to_rotate(&mut self) -> String {
        let error = self.rotate().await.unwrap_err().to_string();
        self.is_safe();
        error
    }

    /// Another process.
    fn restart(&mut self) {
        self.watch = Watch::new(&*self.clock);
    }

    fn user(&self) -> &'static str {
        self.named.unwrap_or(ADMIN)
    }

    fn keys(&self) -> Vec<String> {
        self.sandbox.user(self.user()).unwrap().keys.into_keys().collect()
    }

    fn in_use(&self) -> String {
        self.pair.as_ref().unwrap().id.clone()
    }

    /// The pair in use works.
    fn is_safe(&self) {
        if let Some(pair) = &self.pair {
            assert!(self.keys().contains(&pair.id), "{:?} does not have {}", self.keys(), pair.id);
        }
    }

    /// Nothing is open, and there is the one key.
    fn is_clean(&self) {
        assert!(self.record.is_empty(), "{:?}", self.record);
        assert_eq!(self.keys(), [self.in_use()]);
    }

    fn strangers_key(&self) -> String {
        let before = self.keys();
        self.sandbox.prepare("CreateAccessKey", &[("UserName", self.user())]).unwrap();
        self.keys().into_iter().find(|key| !before.contains(key)).unwrap()
    }

    fn actions(&self) -> Vec<String> {
        self.sandbox.calls().into_iter().map(|call| call.action).collect()
    }
}

/// Time passes at ten times its speed until `work` is done.
async fn drive<T>(clock: &ManualClock, work: impl Future<Output = T>) -> T {
    let real = SystemClock::new();
    let mut work = pin!(work);
    loop {
        tokio::select! {
            biased;
            out = &mut work => return out,
            () = real.sleep(Duration::from_millis(2)) => clock.advance(Duration::from_millis(50)),
        }
    }
}

fn refusal(code: &str) -> Effect {
    Effect::Refuse(Failure::new(409, code, "no"))
}

#[tokio::test]
async fn a_new_key_is_proven_before_the_old_one_goes() {
    let mut world = World::new().await;
    let old = world.in_use();
    let id = world.rotate().await.unwrap();
    assert_eq!(id, world.in_use());
    assert_ne!(id, old);
    world.is_clean();
    let identity = "GetCallerIdentity";
    let order =
        ["GetUser", "ListAccessKeys", "CreateAccessKey", identity, identity, identity, "ListAccessKeys", "DeleteAccessKey"];
    assert_eq!(world.actions(), order);
    assert_eq!(world.sandbox.calls().last().unwrap().access_key, Some(id), "the old key is deleted with the new one");
}

#[tokio::test]
async fn a_key_whose_creation_was_not_answered_goes_and_the_next_rotation_works_at_once() {
    for effect in [Effect::ExecuteThenDropReply, Effect::ExecuteThen500, Effect::Fail500, Effect::DropBefore] {
        let mut world = World::new().await;
        let old = world.in_use();
        world.sandbox.faults().next("CreateAccessKey", effect);
        let error = world.fails_to_rotate().await;
        assert!(error.starts_with("error calling CreateAccessKey: "), "{error}");
        world.restart();
        world.rotate().await.unwrap();
        assert_eq!(world.keys(), [world.in_use()]);
        assert_ne!(world.in_use(), old);
        world.clock.advance(Duration::from_mins(19));
        world.run(true).await.unwrap();
        world.is_clean();
    }
}

#[tokio::test]
async fn a_key_that_appears_later_is_deleted_as_soon_as_it_is_seen() {
    let mut world = World::new().await;
    world.sandbox.faults().next("CreateAccessKey", Effect::LateEffect { after: Duration::from_mins(10) });
    world.fails_to_rotate().await;
    world.rotate().await.unwrap();
    world.clock.advance(Duration::from_mins(9));
    world.run(true).await.unwrap();
    assert!(!world.record.is_empty());
    world.clock.advance(Duration::from_mins(1));
    drive(&world.clock, world.sandbox.faults().until_none_late()).await;
    // Its signature was that of the old key, which is gone: what is late was accepted before.
    assert_eq!(world.keys().len(), 2);
    world.run(true).await.unwrap();
    assert_eq!(world.keys(), [world.in_use()]);
    world.clock.advance(Duration::from_mins(9));
    world.run(true).await.unwrap();
    world.is_clean();
}

#[tokio::test]
async fn a_strangers_second_key_is_named_and_survives() {
    let mut world = World::new().await;
    let (own, theirs) = (world.in_use(), world.strangers_key());
    let before = world.keys();
    let error = world.fails_to_rotate().await;
    assert_eq!(
        error,
        format!(
            "user \"leasehold-admin\" already has two access keys: {}which this mount did not make; delete one first",
            before
                .iter()
                .map(|key| if *key == own {
                    format!("{own} (in use here) ")
                } else {
                    format!("{theirs} (created 2027-01-15T08:00:00Z, last used never) ")
                })
                .collect::<Vec<_>>()
                .join("and ")
        )
    );
    assert_eq!(world.keys(), before);
    assert!(world.record.is_empty());
    world.sandbox.prepare("DeleteAccessKey", &[("UserName", ADMIN), ("AccessKeyId", &theirs)]).unwrap();
    world.rotate().await.unwrap();
    world.is_clean();
}

#[tokio::test]
async fn a_strangers_key_that_was_there_before_survives_a_search() {
    let mut world = World::of("app").await;
    let theirs = world.strangers_key();
    world.clock.advance(Duration::from_mins(1));
    world.sandbox.faults().next("CreateAccessKey", Effect::ExecuteThenDropReply);
    world.fails_to_rotate().await;
    assert_eq!(world.keys().len(), 2);
    world.run(true).await.unwrap();
    assert_eq!(world.keys(), std::slice::from_ref(&theirs));
    world.rotate().await.unwrap();
    assert_eq!(world.keys().len(), 2);
    assert!(world.keys().contains(&theirs));
}

#[tokio::test]
async fn a_refused_creation_leaves_nothing_open() {
    let mut world = World::new().await;
    world.sandbox.faults().next("CreateAccessKey", refusal("AccessDenied"));
    let error = world.fails_to_rotate().await;
    assert_eq!(error, "error calling CreateAccessKey: AccessDenied: no");
    world.is_clean();
}

#[tokio::test]
async fn a_key_that_is_not_visible_yet_is_waited_for() {
    let mut world = World::new().await;
    world.sandbox.faults().next("CreateAccessKey", Effect::ExecuteThenDropReply);
    let hidden = Effect::HideKeys { lasting: Duration::from_secs(8), listed: false };
    world.sandbox.faults().next("CreateAccessKey", hidden);
    world.fails_to_rotate().await;
    world.rotate().await.unwrap();
    assert_eq!(world.keys(), [world.in_use()]);
    assert!(world.actions().iter().filter(|action| *action == "CreateAccessKey").count() > 2);
}

#[tokio::test]
async fn a_key_that_is_accepted_late_is_used_once_it_is() {
    let mut world = World::new().await;
    let old = world.in_use();
    world.sandbox.faults().next("CreateAccessKey", Effect::HideKeys { lasting: Duration::from_secs(90), listed: true });
    let error = world.fails_to_rotate().await;
    assert!(error.starts_with("new access key not accepted yet: InvalidClientTokenId"), "{error}");
    assert_eq!((world.in_use(), world.record.phase().unwrap().0), (old.clone(), Phase::Verifying));
    world.clock.advance(Duration::from_secs(40));
    world.restart();
    world.run(true).await.unwrap();
    assert_ne!(world.in_use(), old);
    world.is_clean();
}

#[tokio::test]
async fn a_key_that_is_never_accepted_goes_and_the_old_one_stays() {
    let mut world = World::new().await;
    let old = world.in_use();
    world.sandbox.faults().next("CreateAccessKey", Effect::HideKeys { lasting: Duration::from_hours(9), listed: true });
    world.fails_to_rotate().await;
    world.clock.advance(Duration::from_mins(13));
    world.run(true).await.unwrap_err();
    assert_eq!(world.keys().len(), 2);
    world.clock.advance(Duration::from_mins(2));
    world.run(true).await.unwrap_err();
    assert_eq!(world.in_use(), old);
    world.is_clean();
    world.rotate().await.unwrap();
    world.is_clean();
}

#[tokio::test]
async fn a_key_that_cannot_be_noted_is_deleted_at_once() {
    for (save, unsaved) in [(1, Unsaved::Failed("disk full".to_owned())), (1, Unsaved::Closed)] {
        let mut world = World::new().await;
        let old = world.in_use();
        world.fails = Some((save, unsaved));
        world.fails_to_rotate().await;
        assert_eq!(world.keys(), [old]);
        world.rotate().await.unwrap();
        assert_eq!(world.keys(), [world.in_use()]);
    }
}

#[tokio::test]
async fn where_nobody_knows_what_was_noted_the_key_is_found_later() {
    for save in 0..4 {
        let mut world = World::new().await;
        world.fails = Some((save, Unsaved::Unknown("the power is gone".to_owned())));
        world.fails_to_rotate().await;
        world.restart();
        world.rotate().await.unwrap();
        assert_eq!(world.keys(), [world.in_use()], "save {save}");
    }
}

#[tokio::test]
async fn an_old_key_that_cannot_be_deleted_goes_later_and_the_next_rotation_finishes_that() {
    let mut world = World::new().await;
    let old = world.in_use();
    world.sandbox.faults().next("DeleteAccessKey", refusal("AccessDenied"));
    assert_eq!(world.fails_to_rotate().await, "error deleting old access key: AccessDenied: no");
    let new = world.in_use();
    assert_ne!(new, old);
    let made = world.actions().iter().filter(|action| *action == "CreateAccessKey").count();
    assert_eq!(world.rotate().await.unwrap(), new);
    assert_eq!(world.actions().iter().filter(|action| *action == "CreateAccessKey").count(), made);
    world.is_clean();
    assert_ne!(world.rotate().await.unwrap(), new);
}

#[tokio::test]
async fn the_key_of_another_user_stays_for_one_more_period() {
    let mut world = World::of("app").await;
    let first = world.rotate().await.unwrap();
    let second = world.rotate().await.unwrap();
    assert_eq!(world.keys().len(), 2);
    assert_eq!(world.previous, Some(first.clone()));
    let third = world.rotate().await.unwrap();
    assert!(world.keys().len() == 2 && world.keys().contains(&second) && world.keys().contains(&third));
    assert!(!world.keys().contains(&first) && world.record.is_empty());
}

#[tokio::test]
async fn the_first_key_of_another_user_is_used_although_it_is_not_accepted_yet_and_later_ones_are_not() {
    let mut world = World::of("app").await;
    let hidden = || Effect::HideKeys { lasting: Duration::from_mins(2), listed: true };
    world.sandbox.faults().next("CreateAccessKey", hidden());
    let first = world.rotate().await.unwrap();
    world.sandbox.faults().next("CreateAccessKey", hidden());
    let error = world.fails_to_rotate().await;
    assert!(error.starts_with("new access key not accepted yet: "), "{error}");
    assert_eq!(world.in_use(), first);
}

#[tokio::test]
async fn an_sts_that_cannot_be_reached_is_passed_over_and_iam_is_asked() {
    for named in [None, Some("app")] {
        let mut world = World::of("app").await;
        if named.is_none() {
            world = World::new().await;
        }
        let rotated = world.rotate().await.unwrap();
        world.sts = Some("http://127.0.0.1:1".to_owned());
        assert_ne!(world.rotate().await.unwrap(), rotated);
    }
}

#[tokio::test]
async fn a_user_of_another_name_or_id_is_refused() {
    let mut world = World::of("app").await;
    world.named = Some("App");
    let error = world.rotate().await.unwrap_err().to_string();
    assert!(error.starts_with("error calling GetUser: NoSuchEntity"), "{error}");
}

#[tokio::test]
async fn who_may_not_list_keys_is_told_which_permission_is_missing() {
    let mut world = World::new().await;
    world.sandbox.faults().next("ListAccessKeys", Effect::Refuse(Failure::new(403, "AccessDenied", "no")));
    assert!(world.fails_to_rotate().await.contains("iam:ListAccessKeys"));
    world.is_clean();
}

#[tokio::test]
async fn everything_that_was_made_here_is_erased_and_nothing_else() {
    let mut world = World::of("app").await;
    let first = world.rotate().await.unwrap();
    world.clock.advance(Duration::from_mins(5));
    world.rotate().await.unwrap();
    world.sandbox.prepare("DeleteAccessKey", &[("UserName", "app"), ("AccessKeyId", &first)]).unwrap();
    let theirs = world.strangers_key();
    let (id, secret) = world.sandbox.root_keys();
    let settings = world.settings(&KeyPair { id, secret: Secret::new(secret.expose().clone()) });
    let aws = world.outside.connect(&settings).await.unwrap();
    let whose = Whose::Named { name: "app", id: None, previous: None };
    let rotation = Rotation {
        clock: &*world.clock,
        outside: &world.outside,
        settings: &settings,
        aws: &aws,
        watch: &world.watch,
        whose,
        in_use: None,
    };
    let in_use = world.in_use();
    let record = world.record.clone();
    let mut place =
        Place { pair: &mut world.pair, record: &mut world.record, previous: &mut world.previous, fails: &mut world.fails };
    let left = drive(&world.clock, rotation.erase(&mut place, record, "app", &[&in_use, &first])).await.unwrap();
    assert!(left.is_empty());
    assert_eq!(world.keys(), [theirs]);
}
