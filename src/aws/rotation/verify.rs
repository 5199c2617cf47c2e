//! Whether a new key works: it is not used before AWS has said so three times in a row (§21.7, step 6).

use std::time::Duration;

use crate::base::time::timeout;

use super::super::arn::Arn;
use super::super::connect::Aws;
use super::super::error::{AwsError, Unsent};
use super::super::sts::Identity;
use super::record::Subject;
use super::{Rotation, Whose};

impl Rotation<'_> {
    /// Asks with the new pair until it is believed, at most `limit`.
    ///
    /// # Errors
    /// What was wrong with it last.
    pub(super) async fn accepted(&self, client: &Aws, user: &Subject, limit: Duration) -> Result<(), String> {
        let end = self.clock.elapsed() + limit;
        let (mut in_a_row, mut last) = (0, None);
        loop {
            let left = end.saturating_sub(self.clock.elapsed());
            let pause = match timeout(self.clock, left, Box::pin(self.is_shown(client, user, in_a_row + 1 == ENOUGH))).await {
                Some(Ok(())) => {
                    in_a_row += 1;
                    if in_a_row == ENOUGH {
                        return Ok(());
                    }
                    BETWEEN
                }
                Some(Err(text)) => {
                    (in_a_row, last) = (0, Some(text));
                    AGAIN
                }
                None => end,
            };
            if self.clock.elapsed() + pause >= end {
                return Err(last.unwrap_or_else(|| format!("no answer within {} s", limit.as_secs())));
            }
            self.clock.sleep(pause).await;
        }
    }

    /// Asks once. The last question of a row includes what the key is for.
    async fn is_shown(&self, client: &Aws, user: &Subject, is_last: bool) -> Result<(), String> {
        match client.ask_identity().await {
            Ok(identity) => is_of(&identity, user)?,
            Err(AwsError::Unsent { why: Unsent::Connection, text }) => {
                tracing::debug!("STS cannot be reached, IAM is asked about the new key: {text}");
                self.is_known_to_iam(client, user).await?;
            }
            Err(error) => return Err(error.to_string()),
        }
        if is_last && matches!(self.whose, Whose::Own) {
            client.access_keys(&user.name).await.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Whoever IAM knows may ask for himself; being refused that is being known.
    async fn is_known_to_iam(&self, client: &Aws, user: &Subject) -> Result<(), String> {
        match client.get_user(None).await {
            Ok(shown) if shown.id == user.id => Ok(()),
            Ok(shown) => Err(format!("it is of user \"{}\"", shown.name)),
            Err(error) if error.is_denied() => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Stand-ins may show something else for the unique id of a user, which begins with `AIDA`.
fn is_of(identity: &Identity, user: &Subject) -> Result<(), String> {
    let is_same = if identity.user_id.starts_with("AIDA") { identity.user_id == user.id } else { identity.arn == user.arn };
    let account = Arn::parse(&user.arn).map_or(identity.account.as_str(), |arn| arn.account).to_owned();
    if is_same && identity.account == account {
        return Ok(());
    }
    Err(format!("AWS says that it is of {} ({}), not of {} ({})", identity.arn, identity.user_id, user.arn, user.id))
}

/// Right answers in a row: AWS's servers do not all learn of a key at the same time.
const ENOUGH: u32 = 3;
const BETWEEN: Duration = Duration::from_millis(300);

/// After a wrong one.
const AGAIN: Duration = Duration::from_secs(1);
