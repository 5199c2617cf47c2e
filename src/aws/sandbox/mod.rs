//! A stand-in for AWS IAM, STS and EC2 on a loopback port, for `server -dev -dev-aws` and for tests.
//!
//! It speaks the Query protocol as AWS does: signatures are verified, names, limits and conflicts are those of IAM, temporary
//! keys end. Everything is in memory and gone at the end of the process. What goes wrong is data: see [`Faults`].
//!
//! Not as AWS: of policies only `AdministratorAccess` is evaluated, calls may be signed for any region, changes are visible
//! at once unless a fault hides them.

mod access;
mod call;
mod calls;
mod ec2;
mod failure;
mod faults;
mod form;
mod iam;
mod limits;
mod server;
mod session;
mod sigv4;
mod state;
mod sts;
mod trust;
mod view;
mod xml;

#[cfg(test)]
mod credentials_tests;
#[cfg(test)]
mod ec2_tests;
#[cfg(test)]
mod faults_tests;
#[cfg(test)]
mod iam_tests;
#[cfg(test)]
mod sts_tests;
#[cfg(test)]
mod wire_tests;
#[cfg(test)]
mod world_tests;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpListener;

use self::call::{Call, Hide};
use self::calls::Calls;
use self::form::Form;
use self::iam::managed::ADMINISTRATOR_ACCESS;
use self::limits::Limits;
use self::session::{Caller, Kind};
use self::state::{Moment, State, arn, fold};
use crate::base::{Clock, Secret, Shutdown, Tasks};

pub use self::calls::CallRecord;
pub use self::ec2::Machine;
pub use self::failure::Failure;
pub use self::faults::{Effect, Faults, Observer, Phase, RawReply, Rule, Tags, When};
pub use self::limits::Throttling;
pub use self::view::UserView;

/// A stand-in for AWS that runs. Clones are the same one.
#[derive(Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
    /// The account that its functions are about.
    account: &'static str,
}

/// What the requests of a stand-in share.
struct Inner {
    address: SocketAddr,
    limits: Limits,
    root: (String, Secret<String>),
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    shutdown: Shutdown,
    faults: Faults,
    /// Items of a page at the most.
    page_limit: AtomicUsize,
    /// Each guards an account; all calls wait for it; held for one action, without waiting.
    states: [Mutex<State>; 2],
    /// Guards the record of calls; held to add one.
    calls: Mutex<Calls>,
}

impl Sandbox {
    /// Starts on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When the system gives no port.
    pub async fn start(clock: Arc<dyn Clock>, tasks: &Tasks, shutdown: &Shutdown) -> io::Result<Self> {
        Self::start_on(SocketAddr::from(([127, 0, 0, 1], 0)), clock, tasks, shutdown).await
    }

    /// Starts on `address`. Signatures and the ends of temporary keys are held against `clock`. At `shutdown` all connections
    /// are cut, without waiting for calls that run.
    ///
    /// # Errors
    /// When the address is not a loopback one, or cannot be had.
    pub async fn start_on(address: SocketAddr, clock: Arc<dyn Clock>, tasks: &Tasks, shutdown: &Shutdown) -> io::Result<Self> {
        if !address.ip().to_canonical().is_loopback() {
            let text = format!("the stand-in for AWS listens on loopback addresses only, not on {address}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let listener = TcpListener::bind(address).await?;
        let mut inner = Inner {
            address: listener.local_addr()?,
            limits: Limits::default(),
            root: Default::default(),
            clock,
            tasks: tasks.clone(),
            shutdown: shutdown.clone(),
            faults: Faults::default(),
            page_limit: AtomicUsize::new(usize::MAX),
            states: [ACCOUNT, SECOND_ACCOUNT].map(|account| Mutex::new(State::of(account))),
            calls: Mutex::default(),
        };
        inner.root = inner.new_user(ACCOUNT, ADMINISTRATOR).map_err(io::Error::other)?;
        let attach = [("UserName", ADMINISTRATOR), ("PolicyArn", ADMINISTRATOR_ACCESS)];
        inner.run(ACCOUNT, "AttachUserPolicy", &attach).map_err(io::Error::other)?;
        let inner = Arc::new(inner);
        tasks.spawn(server::accept(listener, Arc::clone(&inner)));
        Ok(Self { inner, account: ACCOUNT })
    }

    /// Where it listens, such as `http://127.0.0.1:4566`; for `iam_endpoint`, `sts_endpoint` and `endpoint`.
    pub fn url(&self) -> String {
        format!("http://{}", self.inner.address)
    }

    /// The number of its account.
    pub fn account(&self) -> &str {
        self.account
    }

    /// So many calls of each action are taken in a second, with as many at once after a pause, and further ones are refused
    /// as too many; none: as many as anybody likes.
    pub fn limit_calls(&self, per_second: Option<f64>) {
        self.inner.limits.set(per_second);
    }

    /// What became of the calls since that was said.
    pub fn throttling(&self) -> Throttling {
        self.inner.limits.counts()
    }

    /// How many access keys there are, without the administrator's.
    pub fn key_count(&self) -> usize {
        let state = self.inner.state(self.account);
        state.users.values().filter(|user| user.name != ADMINISTRATOR).map(|user| user.keys.len()).sum()
    }

    /// The same stand-in, its functions being about another account, which is empty at first.
    #[must_use]
    pub fn second_account(&self) -> Self {
        Self { account: SECOND_ACCOUNT, ..self.clone() }
    }

    /// The first access key, id and secret, of the user `leasehold-admin`, who may do everything.
    pub fn root_keys(&self) -> (String, Secret<String>) {
        self.inner.root.clone()
    }

    /// Makes the administrator another access key, id and secret.
    ///
    /// # Errors
    /// What AWS would answer: there are two at the most.
    pub fn another_root_key(&self) -> Result<(String, Secret<String>), Failure> {
        self.inner.new_key(self.account, ADMINISTRATOR)
    }

    /// The administrator has these access keys, id and secret, and no others.
    pub fn set_root_keys(&self, keys: &[(&str, &str)]) {
        let now = self.inner.moment().time;
        self.inner.state(self.account).set_keys(ADMINISTRATOR, keys, now);
    }

    /// What goes wrong.
    pub fn faults(&self) -> &Faults {
        &self.inner.faults
    }

    /// The names of all users but the administrator, hidden ones too.
    pub fn users(&self) -> Vec<String> {
        let state = self.inner.state(self.account);
        state.users.values().map(|user| &user.name).filter(|name| *name != ADMINISTRATOR).cloned().collect()
    }

    /// A user, hidden or not.
    pub fn user(&self, name: &str) -> Option<UserView> {
        let state = self.inner.state(self.account);
        state.users.get(&fold(name)).filter(|user| user.name == name).map(|user| UserView::of(&state, user))
    }

    /// The latest calls, 10,000 at the most, in the order of their arrival.
    pub fn calls(&self) -> Vec<CallRecord> {
        self.inner.calls().latest()
    }

    /// How many calls have arrived.
    pub fn count(&self) -> u64 {
        self.inner.calls().count()
    }

    /// Lists give `items` on a page at the most, whatever is asked for; so tests see several pages.
    pub fn limit_pages(&self, items: usize) {
        self.inner.page_limit.store(items.max(1), Ordering::Relaxed);
    }

    /// Carries out an action of IAM as the account's root would, without the wire, faults or record: to prepare what a test or
    /// a newcomer needs.
    ///
    /// # Errors
    /// What AWS would answer.
    pub fn prepare(&self, action: &str, fields: &[(&str, &str)]) -> Result<(), Failure> {
        self.inner.run(self.account, action, fields)
    }

    /// Creates a group with policies: ARNs of managed ones, and names and documents of inline ones.
    ///
    /// # Errors
    /// What AWS would answer.
    pub fn create_group(&self, name: &str, attached: &[&str], inline: &[(&str, &str)]) -> Result<(), Failure> {
        self.prepare("CreateGroup", &[("GroupName", name)])?;
        for arn in attached {
            self.prepare("AttachGroupPolicy", &[("GroupName", name), ("PolicyArn", arn)])?;
        }
        for (policy, document) in inline {
            let fields = [("GroupName", name), ("PolicyName", *policy), ("PolicyDocument", *document)];
            self.prepare("PutGroupPolicy", &fields)?;
        }
        Ok(())
    }

    /// Creates a managed policy and returns its ARN.
    ///
    /// # Errors
    /// What AWS would answer.
    pub fn create_policy(&self, name: &str, document: &str) -> Result<String, Failure> {
        self.prepare("CreatePolicy", &[("PolicyName", name), ("PolicyDocument", document)])?;
        Ok(arn(self.account, "policy", "/", name))
    }

    /// Creates a role with managed policies and returns its ARN. Without a `trust` document it trusts the account.
    ///
    /// # Errors
    /// What AWS would answer.
    pub fn create_role(&self, name: &str, trust: Option<&str>, attached: &[&str]) -> Result<String, Failure> {
        let trust = trust.map_or_else(|| trust_of(self.account), str::to_owned);
        let fields = [("RoleName", name), ("AssumeRolePolicyDocument", &trust), ("MaxSessionDuration", "43200")];
        self.prepare("CreateRole", &fields)?;
        for arn in attached {
            self.prepare("AttachRolePolicy", &[("RoleName", name), ("PolicyArn", arn)])?;
        }
        Ok(arn(self.account, "role", "/", name))
    }

    /// Creates a user and an access key for it, id and secret.
    ///
    /// # Errors
    /// What AWS would answer.
    pub fn create_user(&self, name: &str) -> Result<(String, Secret<String>), Failure> {
        self.inner.new_user(self.account, name)
    }

    /// Gives a user an enabled MFA device and returns its serial number.
    ///
    /// # Errors
    /// What AWS would answer.
    pub fn give_mfa_device(&self, user: &str, device: &str) -> Result<String, Failure> {
        self.prepare("CreateVirtualMFADevice", &[("VirtualMFADeviceName", device)])?;
        let serial = format!("arn:aws:iam::{}:mfa/{device}", self.account);
        self.inner.with_call(self.account, &Form::default(), |state, call| iam::mfa::hand_over(state, call, user, &serial))?;
        Ok(serial)
    }

    /// Sets an instance, in whatever state; one of the same id before is gone.
    pub fn put_instance(&self, machine: Machine) {
        self.inner.state(self.account).instances.insert(machine.id.clone(), machine);
    }

    /// Takes an instance away; whether there was one.
    pub fn remove_instance(&self, id: &str) -> bool {
        self.inner.state(self.account).instances.remove(id).is_some()
    }

    /// Takes a user away with all that hangs on it, as if an operator had done so; whether there was one.
    pub fn remove_user(&self, name: &str) -> bool {
        self.inner.state(self.account).wipe_user(name)
    }
}

impl Inner {
    fn moment(&self) -> Moment {
        let clock = &self.clock;
        Moment { time: clock.now(), precise: clock.precise(), elapsed: clock.elapsed() }
    }

    /// An account by its number; whatever is none of them is the first.
    fn state(&self, account: &str) -> MutexGuard<'_, State> {
        let [first, second] = &self.states;
        let state = if account == SECOND_ACCOUNT { second } else { first };
        state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, call: CallRecord) {
        self.calls().push(call);
    }

    fn page_limit(&self) -> usize {
        self.page_limit.load(Ordering::Relaxed)
    }

    fn run(&self, account: &str, action: &str, fields: &[(&str, &str)]) -> Result<(), Failure> {
        let unknown = || Failure::new(400, "InvalidAction", format!("Could not find operation {action}"));
        let outcome = self.with_call(account, &Form::of(fields), |state, call| iam::run(state, call, action));
        outcome.ok_or_else(unknown)?.map(drop)
    }

    /// `work` as the account's root.
    fn with_call<T>(&self, account: &str, form: &Form, work: impl FnOnce(&mut State, &Call<'_>) -> T) -> T {
        let root =
            Caller { arn: format!("arn:aws:iam::{account}:root"), id: account.to_owned(), kind: Kind::Role, is_admin: true };
        let call =
            Call { form, caller: &root, now: self.moment(), hide: Hide::default(), tags: Tags::Kept, page_limit: usize::MAX };
        work(&mut self.state(account), &call)
    }

    fn new_user(&self, account: &str, name: &str) -> Result<(String, Secret<String>), Failure> {
        self.run(account, "CreateUser", &[("UserName", name)])?;
        self.new_key(account, name)
    }

    fn new_key(&self, account: &str, name: &str) -> Result<(String, Secret<String>), Failure> {
        let keys = |state: &State| -> BTreeMap<String, Secret<String>> {
            let user = state.users.get(&fold(name));
            user.map(|user| user.keys.iter().map(|(id, key)| (id.clone(), key.secret.clone())).collect()).unwrap_or_default()
        };
        let before = keys(&self.state(account));
        self.run(account, "CreateAccessKey", &[("UserName", name)])?;
        let mut new = keys(&self.state(account)).into_iter().filter(|(id, _)| !before.contains_key(id));
        new.next().ok_or_else(|| Failure::missing_user(name))
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("address", &self.inner.address).finish_non_exhaustive()
    }
}

fn trust_of(account: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::{account}:root"}},"Action":"sts:AssumeRole"}}]}}"#
    )
}

/// The account: the number that AWS uses in its own examples.
const ACCOUNT: &str = "123456789012";

/// Another one, in which others are.
const SECOND_ACCOUNT: &str = "210987654321";

/// The user whose keys are for `config/root`.
const ADMINISTRATOR: &str = "leasehold-admin";
