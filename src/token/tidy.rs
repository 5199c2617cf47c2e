//! A look at everything: storage is not trusted, and a token without its keys could escape its end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::base::TokenKey;
use crate::storage::Page;

use super::accessors::{AccessorEntry, is_of_value};
use super::{ACCESSORS, CHILDREN, IDS, PAGE, TokenError, TokenStore, accessor, child, id, parse_child};

impl TokenStore {
    /// Walks all tokens and their keys behind the caller: repairs missing keys, removes keys that lead nowhere and
    /// cubbyholes of nobody, ends tokens whose parent is gone and leases whose token is. False: it is at it already.
    pub fn start_tidy(self: &Arc<Self>) -> bool {
        if self.tidying.swap(true, Ordering::AcqRel) {
            return false;
        }
        let store = Arc::clone(self);
        self.tasks.spawn(async move {
            match store.tidy().await {
                Ok(()) => tracing::info!("all tokens were looked at"),
                Err(error) => tracing::warn!(error = %error, "not all tokens could be looked at"),
            }
            store.tidying.store(false, Ordering::Release);
        });
        true
    }

    /// See [`TokenStore::start_tidy`].
    pub async fn tidy(&self) -> Result<(), TokenError> {
        for folder in [IDS, ACCESSORS, CHILDREN] {
            self.tidy_folder(folder).await?;
        }
        self.tidy_cubbyholes().await?;
        Ok(self.leases.tidy().await?)
    }

    async fn tidy_folder(&self, folder: &str) -> Result<(), TokenError> {
        let mut after: Option<String> = None;
        loop {
            let keys = self.view.scan_keys(folder, Page { after: after.as_deref(), limit: PAGE }).await?;
            for key in &keys {
                let tidied = match folder {
                    IDS => self.tidy_record(key).await,
                    ACCESSORS => self.tidy_accessor(key).await,
                    _ => self.tidy_child(key).await,
                };
                match tidied {
                    Err(TokenError::Barrier(error)) if is_of_value(&error) => {
                        tracing::error!(error = %error, "the key {key} of a token cannot be looked at");
                    }
                    // It lives: whoever changed it wrote what belongs to it.
                    Err(error) if error.is_conflict() => {}
                    result => result?,
                }
            }
            match keys.last() {
                Some(key) if keys.len() == PAGE => after = Some(key.clone()),
                _ => return Ok(()),
            }
            // Reads do not wait: others have their turn between pages.
            tokio::task::yield_now().await;
        }
    }

    async fn tidy_record(&self, key: &str) -> Result<(), TokenError> {
        let Some(token) = key.strip_prefix(IDS).and_then(TokenKey::parse) else { return Ok(()) };
        let Some((info, version)) = self.records.read(&token).await? else { return Ok(()) };
        if let Some(parent) = &info.parent
            && !info.is_revoking()
            && !self.view.exists(&id(parent)).await?
        {
            tracing::error!(token.key = %token, "the parent of a token is gone; it is ended too");
            return self.revoke(&token).await;
        }
        let mut txn = self.view.txn();
        if let Some(text) = &info.accessor {
            let place = accessor(&self.records.accessor_key(text.as_str()));
            if !self.view.exists(&place).await? {
                txn.put(&self.view, &place, &AccessorEntry { token, accessor: text.clone() })?;
            }
        }
        if let Some(parent) = &info.parent
            && !self.view.exists(&child(parent, &token)).await?
        {
            txn.put_bytes(&self.view, &child(parent, &token), b"")?;
        }
        let path = info.has_lease.then_some(info.path.as_str());
        self.leases.mend_token(&mut txn, path, &token, info.due).await?;
        if !txn.is_empty() {
            tracing::error!(token.key = %token, "keys of a token were missing");
            txn.expect_at(&self.view, &id(&token), version);
            txn.commit().await?;
        }
        Ok(())
    }

    async fn tidy_accessor(&self, key: &str) -> Result<(), TokenError> {
        let Some(entry) = self.view.read::<AccessorEntry>(key).await? else { return Ok(()) };
        let mut txn = self.view.txn();
        match self.records.read(&entry.token).await? {
            Some((info, _)) if info.accessor.as_ref() == Some(&entry.accessor) => return Ok(()),
            Some((_, version)) => txn.expect_at(&self.view, &id(&entry.token), version),
            None => txn.expect_absent(&self.view, &id(&entry.token)),
        };
        txn.delete(&self.view, key);
        Ok(txn.commit().await?)
    }

    async fn tidy_child(&self, key: &str) -> Result<(), TokenError> {
        let Some((parent, token)) = parse_child(key) else { return Ok(()) };
        let mut txn = self.view.txn();
        match self.records.read(&token).await? {
            Some((info, _)) if info.parent == Some(parent) => return Ok(()),
            found => self.cut(&mut txn, &parent, &token, found.map(|(_, version)| version)),
        }
        Ok(txn.commit().await?)
    }

    async fn tidy_cubbyholes(&self) -> Result<(), TokenError> {
        let mut after: Option<String> = None;
        loop {
            let folders = self.cubbyholes.list("", Page { after: after.as_deref(), limit: PAGE }).await?;
            for token in folders.iter().filter_map(|folder| TokenKey::parse(folder.trim_end_matches('/'))) {
                if !self.view.exists(&id(&token)).await? {
                    self.wipe_orphaned(&token).await?;
                }
            }
            match folders.last() {
                Some(folder) if folders.len() == PAGE => after = Some(folder.clone()),
                _ => return Ok(()),
            }
            tokio::task::yield_now().await;
        }
    }

    async fn wipe_orphaned(&self, token: &TokenKey) -> Result<(), TokenError> {
        let cubbyhole = self.cubbyhole(token);
        loop {
            let keys = cubbyhole.scan_keys("", Page::first(PAGE)).await?;
            if keys.is_empty() {
                return Ok(());
            }
            let mut txn = cubbyhole.txn();
            txn.expect_absent(&self.view, &id(token));
            for key in &keys {
                txn.delete(&cubbyhole, key);
            }
            match txn.commit().await {
                // It is somebody's after all.
                Err(error) if error.is_conflict() => return Ok(()),
                result => result?,
            }
        }
    }
}
