//! The first login of an instance decides who may log in for it later: who knows the nonce it came with
//! (spec `aws-auth-method.md` §14.5).
//!
//! The identity document of an instance is no secret within it. So whoever shows it first is believed, and from then on it is
//! the nonce that counts. The entry is written in the batch that makes the token: neither is there without the other.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::auth::aws::failure::{Code, Failure};
use crate::base::secret::stored_secret;
use crate::base::time::rfc3339_nano;
use crate::base::{Secret, Ttl, random};

/// What is kept of an instance that has logged in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Of its first login.
    pub(super) role: String,
    /// Empty where no further login is allowed.
    #[serde(with = "stored_secret")]
    pub(super) client_nonce: Secret<String>,
    pub(super) creation_time: DateTime<Utc>,
    pub(super) disallow_reauthentication: bool,
    /// When the instance was started, as the last document said.
    pub(super) pending_time: String,
    pub(super) expiration_time: DateTime<Utc>,
    pub(super) last_updated_time: DateTime<Utc>,
}

/// What a login shows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown<'a> {
    /// `None`: the field was not there.
    pub(super) nonce: Option<&'a str>,
    /// When the instance was started, as the document says.
    pub(super) pending: &'a str,
}

/// What a login may do with the entry.
#[derive(Clone, Debug)]
pub(super) struct Admitted {
    /// To be kept.
    pub(super) nonce: Secret<String>,
    /// The server made it: the client does not know it yet.
    pub(super) is_made: bool,
    /// No further login is allowed.
    pub(super) disallow: bool,
}

impl Entry {
    /// As a read shows it.
    pub(super) fn shown(&self) -> Map<String, Value> {
        let shown = json!({
            "role": self.role,
            "client_nonce": self.client_nonce.expose(),
            "creation_time": rfc3339_nano(self.creation_time),
            "disallow_reauthentication": self.disallow_reauthentication,
            "pending_time": self.pending_time,
            "expiration_time": rfc3339_nano(self.expiration_time),
            "last_updated_time": rfc3339_nano(self.last_updated_time),
        });
        match shown {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }
}

/// Whether a time is past by more than `buffer`.
pub(super) fn is_over(end: DateTime<Utc>, buffer: Ttl, now: DateTime<Utc>) -> bool {
    let seconds = i64::try_from(buffer.as_seconds()).unwrap_or(i64::MAX);
    let buffer = chrono::TimeDelta::try_seconds(seconds).unwrap_or(chrono::TimeDelta::MAX);
    end.checked_add_signed(buffer).is_some_and(|end| now > end)
}

/// Whether an instance may log in, by what is known of it. `disallow` and `migrate` are the role's.
pub(super) fn admit(entry: Option<&Entry>, shown: Shown<'_>, disallow: bool, migrate: bool) -> Result<Admitted, Failure> {
    let supplied = match shown.nonce {
        Some("") => Some(NO_MORE),
        other => other,
    };
    let disallow = disallow || supplied == Some(NO_MORE);
    let Some(entry) = entry else {
        let nonce = supplied.map_or_else(|| Secret::new(random::uuid()), |nonce| Secret::new(nonce.to_owned()));
        return Ok(Admitted { nonce, is_made: supplied.is_none(), disallow });
    };
    let own = &entry.client_nonce;
    if !entry.disallow_reauthentication && own.expose().is_empty() {
        return Err(Failure::named(Code::NonceMissing, "client nonce missing in stored identity", RESET));
    }
    if entry.disallow_reauthentication || supplied == Some(NO_MORE) {
        let sentence = format!("this instance has logged in once, and no further login was to be allowed; {RESET}");
        return Err(Failure::named(Code::ReauthenticationDisabled, "reauthentication is disabled", sentence));
    }
    let (then, now) = (time(&entry.pending_time)?, time(shown.pending)?);
    let matches = own.matches(supplied.unwrap_or_default());
    if !matches && !migrate {
        return Err(Failure::named(Code::NonceMismatch, "client nonce mismatch", mismatch()));
    }
    if !matches && now <= then {
        let text = "client nonce mismatch and instance meta-data incorrect";
        return Err(Failure::named(Code::NonceMismatch, text, mismatch()));
    }
    if now < then {
        let sentence = "this document is older than that of the login before: fetch it anew from the instance's metadata";
        let text = "instance meta-data is older than the one used for previous login";
        return Err(Failure::named(Code::DocumentOlder, text, sentence));
    }
    let (nonce, is_made) = match (matches, supplied) {
        (true, _) => (own.clone(), false),
        // Started anew, it begins with another nonce.
        (false, Some(nonce)) => (Secret::new(nonce.to_owned()), false),
        (false, None) => (Secret::new(random::uuid()), true),
    };
    Ok(Admitted { nonce, is_made, disallow: disallow || entry.disallow_reauthentication })
}

impl Admitted {
    /// The entry to be written. `end` is when it may be tidied at the earliest.
    pub(super) fn entry(
        &self,
        before: Option<&Entry>,
        role: &str,
        pending: &str,
        now: DateTime<Utc>,
        end: DateTime<Utc>,
    ) -> Result<Entry, Failure> {
        if !self.disallow && self.nonce.expose().chars().count() > LONGEST {
            return Err(Failure::plain(format!("client nonce exceeding the limit of {LONGEST} characters")));
        }
        Ok(Entry {
            role: before.map_or_else(|| role.to_owned(), |before| before.role.clone()),
            client_nonce: if self.disallow { Secret::default() } else { self.nonce.clone() },
            creation_time: before.map_or(now, |before| before.creation_time),
            disallow_reauthentication: self.disallow,
            pending_time: pending.to_owned(),
            expiration_time: end,
            last_updated_time: now,
        })
    }
}

fn time(text: &str) -> Result<DateTime<Utc>, Failure> {
    let time = DateTime::parse_from_rfc3339(text).map_err(|error| Failure::plain(format!("pendingTime {text:?}: {error}")))?;
    Ok(time.to_utc())
}

fn mismatch() -> String {
    format!(
        "the nonce is what the first login of this instance came with: it proves that the same client comes again, and this one \
         differs; {RESET}"
    )
}

/// What an operator can do.
const RESET: &str = "if this client is the right one, an operator can delete identity-accesslist/<instance id>, and the next \
    login counts as the first";

/// What an empty nonce stands for.
const NO_MORE: &str = "reauthentication-disabled-nonce";

/// Characters of a nonce.
const LONGEST: usize = 128;

#[cfg(test)]
#[path = "access_list_tests.rs"]
mod tests;
