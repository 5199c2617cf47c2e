//! What is asked of a static role, and the role as stored and shown (`aws-secrets-engine.md` §15.1, §15.2).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::aws::User;
use crate::base::Ttl;
use crate::mount::ApiError;
use crate::mount::field::Text;

/// A role: an IAM user somebody else made, whose access key is rotated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct StaticRole {
    pub(super) name: String,
    /// IAM's own id of the user: the role is tied to it.
    pub(super) id: String,
    pub(super) username: String,
    /// Names the user's account.
    pub(super) arn: String,
    pub(super) rotation_period: Ttl,
}

/// Body of `POST static-roles/{name}`; absent fields keep their value.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct StaticInput {
    /// Name of the role.
    pub(super) name: String,
    /// An IAM user that is there, as IAM spells it.
    username: Option<Text>,
    /// How long an access key is in use, at least a minute.
    rotation_period: Option<Ttl>,
    /// A role to reach users of another account by; not supported.
    assume_role_arn: Option<Text>,
    /// Its session; not supported.
    assume_role_session_name: Option<Text>,
    /// What its trust policy asks for; not supported.
    external_id: Option<Text>,
}

impl StaticRole {
    /// Where it is.
    pub(super) fn key(&self) -> String {
        role_key(&self.name)
    }

    /// As a read or a write shows it.
    pub(super) fn shown(&self) -> Map<String, Value> {
        let shown = json!({
            "name": self.name,
            "id": self.id,
            "username": self.username,
            "rotation_period": self.rotation_period,
            "assume_role_arn": "",
            "assume_role_session_name": "",
            "external_id": "",
        });
        match shown {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }

    /// Ties it to a user, or finds that it is the same.
    ///
    /// # Errors
    /// 400 when another one is shown than was asked for, or than it is tied to.
    pub(super) fn is_of(&mut self, asked: &str, user: User) -> Result<(), ApiError> {
        if user.name != asked {
            return Err(ApiError::invalid(format!(
                "AWS GetUser returned a username, but it didn't match: \"{asked}\" was requested, but \"{}\" was returned",
                user.name
            )));
        }
        if !self.id.is_empty() && self.id != user.id {
            return Err(ApiError::invalid(format!(
                "AWS GetUser returned a user, but the ID did not match: \"{}\" was requested, but \"{}\" was returned",
                self.id, user.id
            )));
        }
        (self.id, self.username, self.arn) = (user.id, user.name, user.arn);
        Ok(())
    }
}

impl StaticInput {
    /// Refuses what this edition does not do.
    ///
    /// # Errors
    /// 400.
    pub(super) fn check_account(&self) -> Result<(), ApiError> {
        let fields = [&self.assume_role_arn, &self.assume_role_session_name, &self.external_id];
        if fields.into_iter().flatten().any(|text| !text.is_empty()) {
            return Err(ApiError::invalid("cross-account static roles are only supported in Vault Enterprise"));
        }
        Ok(())
    }

    /// The user that is named, which a new role must.
    ///
    /// # Errors
    /// 400.
    pub(super) fn username(&self, is_new: bool) -> Result<Option<String>, ApiError> {
        match self.username.as_ref().map(|text| text.0.clone()).filter(|name| !name.is_empty()) {
            None if is_new => Err(ApiError::invalid("missing \"username\" parameter")),
            name => Ok(name),
        }
    }

    /// The period that is named, which a new role must.
    ///
    /// # Errors
    /// 400.
    pub(super) fn period(&self, is_new: bool) -> Result<Option<Ttl>, ApiError> {
        match self.rotation_period {
            None if is_new => Err(ApiError::invalid("missing \"rotation_period\" parameter")),
            Some(period) if period < SHORTEST => {
                Err(ApiError::invalid("role rotation period out of range: must be greater than 60.00 seconds"))
            }
            period => Ok(period),
        }
    }
}

/// Where the role of a name is.
pub(super) fn role_key(name: &str) -> String {
    format!("{ROLES}{name}")
}

/// All roles.
pub(super) const ROLES: &str = "static-roles/";

/// Allowed, whatever the text of the error says.
const SHORTEST: Ttl = Ttl::minutes(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;

    fn input(body: &Value) -> StaticInput {
        serde_json::from_value(body.clone()).unwrap()
    }

    fn user(name: &str, id: &str) -> User {
        let (path, tags) = ("/".to_owned(), vec![]);
        User { name: name.to_owned(), id: id.to_owned(), arn: String::new(), path, created: Timestamp::from_seconds(1), tags }
    }

    #[test]
    fn a_new_role_names_user_and_period_and_an_old_one_need_not() {
        let none = input(&json!({}));
        assert_eq!(none.username(true).unwrap_err().text, "missing \"username\" parameter");
        assert_eq!(none.period(true).unwrap_err().text, "missing \"rotation_period\" parameter");
        assert_eq!((none.username(false).unwrap(), none.period(false).unwrap()), (None, None));
    }

    #[test]
    fn a_minute_is_long_enough_and_less_is_not() {
        assert_eq!(input(&json!({ "rotation_period": 60 })).period(true).unwrap(), Some(Ttl::minutes(1)));
        let error = input(&json!({ "rotation_period": "45s" })).period(true).unwrap_err();
        assert_eq!(error.text, "role rotation period out of range: must be greater than 60.00 seconds");
    }

    #[test]
    fn users_of_other_accounts_are_not_managed() {
        for field in ["assume_role_arn", "assume_role_session_name", "external_id"] {
            let error = input(&json!({ field: "x" })).check_account().unwrap_err();
            assert_eq!(error.text, "cross-account static roles are only supported in Vault Enterprise");
        }
        input(&json!({ "external_id": "" })).check_account().unwrap();
    }

    #[test]
    fn a_role_is_tied_to_one_user() {
        let mut role = StaticRole::default();
        role.is_of("u", user("u", "AIDA1")).unwrap();
        role.is_of("renamed", user("renamed", "AIDA1")).unwrap();
        assert!(role.is_of("u", user("U", "AIDA1")).unwrap_err().text.contains("returned a username"));
        assert!(role.is_of("u", user("u", "AIDA2")).unwrap_err().text.contains("the ID did not match"));
    }
}
