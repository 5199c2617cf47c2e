//! Names of tokens that give no powers.

use serde::{Deserialize, Serialize};

use crate::barrier::BarrierError;
use crate::base::{Accessor, TokenKey};
use crate::storage::Page;

use super::{ACCESSORS, PAGE, TokenError, TokenStore};

/// What an accessor leads to.
#[derive(Serialize, Deserialize)]
pub(super) struct AccessorEntry {
    pub(super) token: TokenKey,
    pub(super) accessor: Accessor,
}

/// All accessors there are.
#[derive(Clone, Debug, Default)]
pub struct Accessors {
    /// Oldest first.
    pub accessors: Vec<Accessor>,
    /// Storage keys of entries that cannot be read.
    pub unreadable: Vec<String>,
}

impl TokenStore {
    /// The token of an accessor, whatever has become of it.
    pub async fn by_accessor(&self, accessor: &str) -> Result<Option<TokenKey>, TokenError> {
        self.records.by_accessor(accessor).await
    }

    /// All accessors. The API does not bound their list.
    pub async fn accessors(&self) -> Result<Accessors, TokenError> {
        let mut all = Accessors::default();
        let mut after: Option<String> = None;
        loop {
            let page = Page { after: after.as_deref(), limit: PAGE };
            let (last, count) = match self.view.scan::<AccessorEntry>(ACCESSORS, page).await {
                Ok(entries) => {
                    let (last, count) = (entries.last().map(|(key, _)| key.clone()), entries.len());
                    all.accessors.extend(entries.into_iter().map(|(_, entry)| entry.accessor));
                    (last, count)
                }
                // One of them cannot be read: the others can.
                Err(error) if is_of_value(&error) => {
                    let keys = self.view.scan_keys(ACCESSORS, page).await?;
                    for key in &keys {
                        match self.view.read::<AccessorEntry>(key).await {
                            Ok(entry) => all.accessors.extend(entry.map(|entry| entry.accessor)),
                            Err(error) if is_of_value(&error) => all.unreadable.push(key.clone()),
                            Err(error) => return Err(error.into()),
                        }
                    }
                    (keys.last().cloned(), keys.len())
                }
                Err(error) => return Err(error.into()),
            };
            if count < PAGE {
                return Ok(all);
            }
            after = last;
        }
    }
}

/// Whether it is the stored value that is bad: trying again changes nothing.
pub(super) fn is_of_value(error: &BarrierError) -> bool {
    matches!(error, BarrierError::Decode(..) | BarrierError::Forged(_) | BarrierError::UnknownTerm(_))
}
