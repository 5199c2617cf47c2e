//! From a role to an IAM user with a key: nothing is created that could be forgotten (`aws-secrets-engine.md` §10, §21.3).

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::aws::{Aws, AwsError, Inline, KeyPair, NewUser, Urgency, User};
use crate::lease::{Pending, Terms};
use crate::mount::{ApiError, Ctx, Reply};

use super::AwsSecrets;
use super::connection::{Account, Connection};
use super::names::iam_name;
use super::patience::{Patience, overdue, shown};
use super::role::Role;
use super::user::{IamUser, Marks, Verdict, verdict};

/// What became of `CreateUser`.
enum Made {
    /// The user is there and ours.
    User(Box<User>),
    /// Nothing was created.
    Nothing(ApiError),
    /// It may have been: the intent stays.
    Perhaps(ApiError),
}

impl AwsSecrets {
    /// Makes a user with a key, and leases it.
    pub(super) async fn issue_user(
        &self,
        cx: &Ctx,
        connection: &Connection,
        role: &Role,
        role_name: &str,
    ) -> Result<Reply, ApiError> {
        let name = iam_name(&connection.template, cx.caller.display_name(), role_name, cx.clock.precise())?;
        let what = IamUser {
            username: name.text,
            path: role.path().to_owned(),
            role: role_name.to_owned(),
            user_id: None,
            access_key_id: None,
            account: connection.account().await,
            generation: connection.generation.clone(),
            key: connection.key.clone(),
            acknowledged: false,
            chance: name.chance,
        };
        let patience = Patience::new(&*cx.clock);
        let pending = cx.leases().begin(what).await?;
        let aws = connection.aws.waiting_until(patience.until);
        let issue = Issue { plugin: self, cx, connection, aws, role, patience };
        let made = patience.bound(issue.make(&pending)).await;
        let user = match made.unwrap_or_else(|| Made::Perhaps(overdue(CREATING))) {
            Made::User(user) => user,
            Made::Nothing(error) => {
                pending.abandon().await?;
                return Err(error);
            }
            // Dropped unsettled, it is ended at once.
            Made::Perhaps(error) => return Err(error),
        };
        let mut what = pending.what().clone();
        connection.sees(&user.arn);
        what.account = what.account.or_else(|| Account::of_arn(&user.arn));
        (what.user_id, what.acknowledged) = (Some(user.id), true);
        let terms = self.user_terms().await;
        let furnished = patience.bound(issue.furnish(&what)).await;
        match furnished.unwrap_or_else(|| Err(overdue("Error creating access keys: "))) {
            Ok(key) => {
                what.access_key_id = Some(key.id.clone());
                Ok(Reply::leased(pending.fulfil(what, terms), data_of(&key)))
            }
            Err(error) => {
                // What is known by now makes its end surer; dropped, it is ended at once.
                drop(pending.fulfil(what, terms));
                Err(error)
            }
        }
    }

    /// How long users live, as configured now; the mount's where that cannot be read.
    pub(super) async fn user_terms(&self) -> Terms {
        let config = self.lease_config().await.ok().flatten().unwrap_or_default();
        Terms { ttl: config.lease, max_ttl: config.lease_max, renewable: true }
    }
}

/// One issue of a user.
struct Issue<'a> {
    plugin: &'a AwsSecrets,
    cx: &'a Ctx,
    connection: &'a Connection,
    aws: Aws,
    role: &'a Role,
    patience: Patience<'a>,
}

impl Issue<'_> {
    async fn make(&self, pending: &Pending<IamUser>) -> Made {
        let wants_marks = self.connection.marks();
        let mut is_marked = wants_marks;
        loop {
            let wanted = self.wanted(pending, is_marked);
            let not_after = self.patience.not_after;
            let call = || self.aws.create_user(&wanted, not_after);
            let error = match self.patience.create(&wanted.name, call).await {
                Ok(user) => {
                    if wants_marks && !is_marked {
                        self.connection.gives_up_marks();
                    }
                    return Made::User(Box::new(user));
                }
                Err(error) => error,
            };
            if is_marked && is_of_tags(&error) {
                is_marked = false;
                continue;
            }
            return self.after(pending, &error).await;
        }
    }

    /// What is known after a `CreateUser` that did not succeed.
    async fn after(&self, pending: &Pending<IamUser>, error: &AwsError) -> Made {
        let answer = shown(CREATING, error);
        let is_taken = error.code() == "EntityAlreadyExists";
        if !error.may_have_happened() && !is_taken {
            return Made::Nothing(answer);
        }
        match self.look(pending).await {
            Some(Verdict::Ours(Some(user))) => Made::User(Box::new(user)),
            // Something between us and AWS may have sent it twice: unless the name is seen to be another's, it may be ours.
            Some(Verdict::NotOurs) if is_taken => Made::Nothing(answer),
            _ => Made::Perhaps(answer),
        }
    }

    /// Looks for the user at 0, 1 and 3 seconds.
    async fn look(&self, pending: &Pending<IamUser>) -> Option<Verdict> {
        let what = pending.what();
        let marks = Marks { cluster: self.plugin.cluster(), lease: pending.id() };
        let mut last = None;
        for pause in LOOKS {
            self.cx.clock.sleep(pause).await;
            let aws = self.aws.for_urgency(Urgency::Tidy);
            let shown = aws.get_user(Some(&what.username)).await;
            match verdict(what, marks, pending.issued(), aws.ahead(), shown) {
                found @ (Verdict::Ours(Some(_)) | Verdict::NotOurs) => return Some(found),
                other => last = Some(other),
            }
        }
        last
    }

    fn wanted(&self, pending: &Pending<IamUser>, is_marked: bool) -> NewUser {
        let what = pending.what();
        let of_role = self.role.iam_tags.iter().flatten().map(|(key, value)| (key.clone(), value.clone()));
        let mut tags: Vec<(String, String)> = of_role.collect();
        if is_marked {
            let marks = Marks { cluster: self.plugin.cluster(), lease: pending.id() };
            tags.extend(marks.tags(&self.cx.mount.accessor, &what.role));
        }
        let boundary = Some(&self.role.permissions_boundary_arn).filter(|arn| !arn.is_empty());
        NewUser { name: what.username.clone(), path: what.path.clone(), boundary: boundary.cloned(), tags }
    }

    /// Gives the user what the role says, and a key at last.
    async fn furnish(&self, what: &IamUser) -> Result<KeyPair, ApiError> {
        let (aws, patience, user) = (&self.aws, &self.patience, what.username.as_str());
        for arn in self.role.policy_arns() {
            let attached = patience.ask(user, || aws.attach_user_policy(user, arn)).await;
            attached.map_err(|error| shown("Error attaching user policy: ", &error))?;
        }
        if !self.role.policy_document.is_empty() {
            let policy = Inline { name: what.role.clone(), document: self.role.policy_document.clone() };
            let put = patience.ask(user, || aws.put_user_policy(user, &policy)).await;
            put.map_err(|error| shown("Error putting user policy: ", &error))?;
        }
        for group in self.role.iam_groups() {
            let added = patience.ask(user, || aws.add_user_to_group(user, group)).await;
            added.map_err(|error| shown("Error adding user to group: ", &error))?;
        }
        let made = patience.create(user, || aws.create_access_key(user, patience.not_after)).await;
        made.map_err(|error| shown("Error creating access keys: ", &error))
    }
}

fn data_of(key: &KeyPair) -> Map<String, Value> {
    let data = json!({
        "access_key": key.id,
        "secret_key": key.secret.expose(),
        "security_token": null,
        "session_token": null,
    });
    match data {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// The whole call was refused since it has tags (§21.1).
fn is_of_tags(error: &AwsError) -> bool {
    let message = error.message();
    if error.is_denied() {
        return ["TagUser", "RequestTag", "TagKeys"].iter().any(|word| message.contains(word));
    }
    matches!(error.code(), "ValidationError" | "InvalidInput" | "InvalidParameterValue") && message.to_lowercase().contains("tag")
}

const CREATING: &str = "Error creating IAM user: ";

/// Before each look for a user whose making was not answered.
const LOOKS: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(2)];
