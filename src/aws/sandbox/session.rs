//! Who calls: long-term keys of users, and temporary ones.

use super::failure::Failure;
use super::iam::managed::ADMINISTRATOR_ACCESS;
use super::sigv4::Signed;
use super::state::{KeyUse, Moment, Role, State, User, fold};
use crate::base::{Secret, Timestamp};

/// Temporary keys.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) secret: Secret<String>,
    pub(super) token: Secret<String>,
    pub(super) expires: Timestamp,
    pub(super) holder: Holder,
}

/// Whose temporary keys they are.
#[derive(Clone, Debug)]
pub(super) enum Holder {
    /// `GetSessionToken`.
    User {
        /// Of the user: another one of the same name is not meant.
        id: String,
        name: String,
    },
    /// `AssumeRole`.
    Role { id: String, role: String, session: String, is_narrowed: bool },
    /// `GetFederationToken`.
    Federated { user_id: String, user: String, name: String },
}

/// Who calls.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) arn: String,
    /// As `GetCallerIdentity` tells it.
    pub(super) id: String,
    pub(super) kind: Kind,
    pub(super) is_admin: bool,
}

impl Caller {
    /// The account he is in.
    pub(super) fn account(&self) -> &str {
        self.arn.split(':').nth(4).unwrap_or_default()
    }
}

/// The kind of keys that a caller has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A user's long-term key.
    User { name: String },
    /// A user's session without MFA: nothing in IAM is open to it.
    UserSession,
    /// A role's session.
    Role,
    /// A federated session: nothing in IAM is open to it.
    Federated,
}

/// What a key id stands for.
#[derive(Debug)]
pub(super) struct Credential {
    pub(super) secret: Secret<String>,
    pub(super) caller: Caller,
    token: Option<Secret<String>>,
    expires: Option<Timestamp>,
}

impl Credential {
    /// Whether the session token is the key's own, and not past its end. To be asked once the signature is known to be true.
    pub(super) fn check(&self, signed: &Signed, now: Moment) -> Result<(), Failure> {
        let is_own = match (&self.token, &signed.token) {
            (None, None) => true,
            (Some(own), Some(sent)) => own.matches(sent.expose()),
            _ => false,
        };
        if !is_own {
            return Err(Failure::unknown_key());
        }
        if self.expires.is_some_and(|expires| now.time >= expires) {
            return Err(Failure::new(403, "ExpiredToken", "The security token included in the request is expired"));
        }
        Ok(())
    }
}

impl State {
    /// What `key_id` stands for; nothing where it is unknown, inactive, hidden, or whose it was is gone.
    pub(super) fn credential(&self, key_id: &str, now: Moment) -> Option<Credential> {
        if let Some(session) = self.sessions.get(key_id) {
            let caller = self.session_caller(&session.holder)?;
            let token = Some(session.token.clone());
            return Some(Credential { secret: session.secret.clone(), caller, token, expires: Some(session.expires) });
        }
        let user = self.users.get(self.keys.get(key_id)?)?;
        let key = user.keys.get(key_id).filter(|key| key.is_usable(now))?;
        Some(Credential { secret: key.secret.clone(), caller: self.user_caller(user), token: None, expires: None })
    }

    /// The user as caller.
    fn user_caller(&self, user: &User) -> Caller {
        let in_group =
            |group: &String| self.groups.get(group).is_some_and(|group| group.policies.attached.contains(ADMINISTRATOR_ACCESS));
        let granted = user.policies.attached.contains(ADMINISTRATOR_ACCESS) || user.groups.iter().any(in_group);
        Caller {
            arn: user.arn(),
            id: user.id.clone(),
            kind: Kind::User { name: user.name.clone() },
            is_admin: granted && user.boundary.is_none(),
        }
    }

    /// Remembers that a key was used.
    pub(super) fn key_used(&mut self, key_id: &str, service: &'static str, region: &str, now: Moment) {
        let user = self.keys.get(key_id).and_then(|user| self.users.get_mut(user));
        if let Some(key) = user.and_then(|user| user.keys.get_mut(key_id)) {
            key.used = Some(KeyUse { time: now.time, service, region: region.to_owned() });
        }
    }

    /// Keeps new temporary keys; those past their end make room.
    pub(super) fn keep_session(&mut self, key_id: String, session: Session, now: Moment) -> Result<(), Failure> {
        if self.sessions.len() >= SESSIONS {
            // Until room is needed they stay, so that a refusal can say that they are expired.
            self.sessions.retain(|_, session| now.time < session.expires);
        }
        if self.sessions.len() >= SESSIONS {
            return Err(Failure::new(400, "Throttling", "Rate exceeded"));
        }
        self.sessions.insert(key_id, session);
        Ok(())
    }

    fn session_caller(&self, holder: &Holder) -> Option<Caller> {
        let user_of = |name: &str, id: &str| self.users.get(&fold(name)).filter(|user| user.id == id);
        let (arn, id, kind, is_admin) = match holder {
            Holder::User { id, name } => {
                let user = user_of(name, id)?;
                (user.arn(), user.id.clone(), Kind::UserSession, false)
            }
            Holder::Federated { user_id, user, name } => {
                user_of(user, user_id)?;
                let account = self.account;
                let arn = format!("arn:aws:sts::{account}:federated-user/{name}");
                (arn, format!("{account}:{name}"), Kind::Federated, false)
            }
            Holder::Role { id, role, session, is_narrowed } => {
                let role = self.roles.get(&fold(role)).filter(|role| role.id == *id)?;
                let is_admin = role.policies.attached.contains(ADMINISTRATOR_ACCESS) && !is_narrowed;
                (role.session_arn(session), format!("{id}:{session}"), Kind::Role, is_admin)
            }
        };
        Some(Caller { arn, id, kind, is_admin })
    }
}

impl Role {
    /// The ARN of who has assumed the role; it has no path.
    pub(super) fn session_arn(&self, session: &str) -> String {
        format!("arn:aws:sts::{}:assumed-role/{}/{session}", self.account, self.name)
    }
}

/// Temporary keys that are kept: about half a kilobyte each.
const SESSIONS: usize = 100_000;
