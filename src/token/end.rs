//! Ending tokens, with all that hangs on them (architecture §6).
//!
//! A token that has nothing goes in one batch, which expects its version and that it has neither child, lease nor anything
//! in its cubbyhole. Any other becomes `Revoking` first, and from then on it is refused and nothing can be hung on it. Then
//! the tree is walked, leaves first; a token's record goes last of all that is its own. The root of a walk is due until
//! then, so the lane of tokens takes up a walk that was cut, wherever that was.

use std::collections::HashSet;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::barrier::{BarrierError, Txn};
use crate::base::TokenKey;
use crate::lease::RevokeError;
use crate::storage::{Page, StorageError, Version};

use super::accessors::is_of_value;
use super::info::State;
use super::{PAGE, TRIES, TokenError, TokenInfo, TokenStore, accessor, child, children_of, id, parse_child};

/// Why a token ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// Its time has come, or it is being ended already; any other is left alone.
    Due,
    /// Somebody wants it.
    Revoked,
    /// The same; its children live on.
    RevokedAlone,
}

/// What became of a token that was to go in one batch.
enum Bare {
    Gone,
    /// It was not there.
    Absent,
    /// Not due.
    Left,
    /// Something hangs on it.
    Holds,
}

/// A change on the way to the end.
#[derive(Clone, Copy)]
enum Step {
    /// `Revoking` and due now.
    Mark(Why),
    /// `Revoking`; what it is found by is its parent, whose walk is due.
    MarkChild,
    /// An orphan, no child of this one any more.
    LetGo(TokenKey),
}

impl TokenStore {
    /// Ends a token and all below it. When this returns none of them is a token any more, and their leases are due.
    /// One that is not there has ended. An error leaves the rest to the lane of tokens, which goes on.
    pub async fn revoke(&self, key: &TokenKey) -> Result<(), TokenError> {
        self.end_tree(key, Why::Revoked).await.map(drop)
    }

    /// Ends a token and what is leased to it; its children become orphans. Whether it was there.
    pub async fn revoke_orphan(&self, key: &TokenKey) -> Result<bool, TokenError> {
        self.end_tree(key, Why::RevokedAlone).await
    }

    /// Ends those of these tokens whose time has come, with their trees, and leaves the others alone.
    pub async fn end_due(&self, keys: &[TokenKey]) -> Result<(), RevokeError> {
        self.end_all(keys, Why::Due).await.map_err(|error| revoke_error(&error))
    }

    /// Ends all these tokens with their trees; those that are not there have ended.
    pub async fn revoke_all(&self, keys: &[TokenKey]) -> Result<(), RevokeError> {
        self.end_all(keys, Why::Revoked).await.map_err(|error| revoke_error(&error))
    }

    /// Those that have nothing in one batch; if any has, or changes meanwhile, each by itself.
    async fn end_all(&self, keys: &[TokenKey], why: Why) -> Result<(), TokenError> {
        if let [key] = keys {
            return self.end_tree(key, why).await.map(drop);
        }
        for page in keys.chunks(ENDED_PAGE) {
            let now = self.clock.now();
            let mut txn = self.view.txn();
            let mut ending = Vec::new();
            for key in page {
                let Some((info, version)) = self.records.read(key).await? else { continue };
                if why != Why::Due || info.is_due(now) {
                    self.remove(&mut txn, &info, version)?;
                    ending.push(*key);
                }
            }
            match txn.commit().await {
                Err(error) if error.is_conflict() => {}
                result => {
                    result?;
                    continue;
                }
            }
            // All of them, whatever becomes of one.
            let ends = ending.into_iter().map(|key| async move { self.end_tree(&key, why).await });
            let results: Vec<_> = stream::iter(ends).buffer_unordered(AT_ONCE).collect().await;
            results.into_iter().collect::<Result<Vec<bool>, _>>()?;
        }
        Ok(())
    }

    /// Whether it was there.
    async fn end_tree(&self, root: &TokenKey, why: Why) -> Result<bool, TokenError> {
        let _walk = self.walks.take(root.as_str()).await;
        match self.remove_bare(root, why).await? {
            Bare::Gone => return Ok(true),
            Bare::Absent | Bare::Left => return Ok(false),
            Bare::Holds => {}
        }
        if !self.step(root, Step::Mark(why)).await? {
            return Ok(false);
        }
        self.walk(root).await.map(|()| true)
    }

    /// Ends all below a token that is being ended, and at last itself.
    async fn walk(&self, root: &TokenKey) -> Result<(), TokenError> {
        let mut path = vec![*root];
        let mut on_path: HashSet<TokenKey> = path.iter().copied().collect();
        let mut tries = 0;
        while let Some(token) = path.last().copied() {
            let ended = match self.records.read(&token).await? {
                None => true,
                Some((info, _)) => {
                    let children = self.children(&token).await?;
                    if children.is_empty() {
                        self.end_own(&token).await?
                    } else if info.state == State::RevokingAlone {
                        self.let_go(&token, &children).await?;
                        false
                    } else {
                        for child in self.end_children(&token, &children).await? {
                            if on_path.insert(child) {
                                path.push(child);
                            } else {
                                // Nobody makes a ring but who writes storage.
                                tracing::error!(token.key = %token, "a token is a child of itself; the tie is cut");
                                self.view.delete(&super::child(&token, &child)).await?;
                            }
                        }
                        false
                    }
                }
            };
            if ended {
                path.pop();
                on_path.remove(&token);
                tries = 0;
            } else if path.last() == Some(&token) {
                // Each round takes something away, so a storage that forgets nothing ends this; one that lies must not hold us.
                tries += 1;
                if tries > ROUNDS {
                    return Err(TokenError::Contended);
                }
            } else {
                tries = 0;
            }
        }
        Ok(())
    }

    /// Ends what hangs on a token without children, and then the token; false: something was there again.
    async fn end_own(&self, token: &TokenKey) -> Result<bool, TokenError> {
        while self.leases.end_of_token(token).await? > 0 {}
        let cubbyhole = self.cubbyhole(token);
        loop {
            let keys = cubbyhole.scan_keys("", Page::first(PAGE)).await?;
            if keys.is_empty() {
                break;
            }
            let mut txn = cubbyhole.txn();
            for key in &keys {
                txn.delete(&cubbyhole, key);
            }
            txn.commit().await?;
        }
        Ok(!matches!(self.remove_bare(token, Why::Revoked).await?, Bare::Holds))
    }

    /// One page of a token's children is ended: those that have nothing are gone, those that have are `Revoking`, and are
    /// returned.
    async fn end_children(&self, parent: &TokenKey, children: &[TokenKey]) -> Result<Vec<TokenKey>, TokenError> {
        let mut txn = self.view.txn();
        for key in children {
            match self.records.read(key).await? {
                Some((info, version)) if info.parent == Some(*parent) => self.remove(&mut txn, &info, version)?,
                found => self.cut(&mut txn, parent, key, found.map(|(_, version)| version)),
            }
        }
        match txn.commit().await {
            Ok(()) => return Ok(Vec::new()),
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error.into()),
        }
        let ends = children.iter().copied().map(|key| async move { self.end_child(parent, &key).await });
        let left: Vec<Option<TokenKey>> = stream::iter(ends).buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(left.into_iter().flatten().collect())
    }

    /// Returns the child if something hangs on it.
    async fn end_child(&self, parent: &TokenKey, key: &TokenKey) -> Result<Option<TokenKey>, TokenError> {
        for _ in 0..TRIES {
            match self.records.read(key).await? {
                Some((info, _)) if info.parent == Some(*parent) => match self.remove_bare(key, Why::Revoked).await? {
                    Bare::Holds if self.step(key, Step::MarkChild).await? => return Ok(Some(*key)),
                    Bare::Gone => return Ok(None),
                    _ => {}
                },
                found => {
                    let mut txn = self.view.txn();
                    self.cut(&mut txn, parent, key, found.map(|(_, version)| version));
                    match txn.commit().await {
                        Err(error) if error.is_conflict() => {}
                        result => return result.map(|()| None).map_err(Into::into),
                    }
                }
            }
        }
        Err(TokenError::Contended)
    }

    /// One page of a token's children become orphans.
    async fn let_go(&self, parent: &TokenKey, children: &[TokenKey]) -> Result<(), TokenError> {
        let mut txn = self.view.txn();
        for key in children {
            self.build(&mut txn, key, Step::LetGo(*parent)).await?;
        }
        match txn.commit().await {
            Err(error) if error.is_conflict() => {}
            result => return Ok(result?),
        }
        for key in children {
            self.step(key, Step::LetGo(*parent)).await?;
        }
        Ok(())
    }

    /// Removes a token that has nothing, in one batch.
    async fn remove_bare(&self, key: &TokenKey, why: Why) -> Result<Bare, TokenError> {
        let _turn = self.turns.take(key.as_str()).await;
        for _ in 0..TRIES {
            let Some((info, version)) = self.records.read(key).await? else { return Ok(Bare::Absent) };
            if why == Why::Due && !info.is_due(self.clock.now()) {
                return Ok(Bare::Left);
            }
            let mut txn = self.view.txn();
            self.remove(&mut txn, &info, version)?;
            match txn.commit().await {
                Ok(()) => return Ok(Bare::Gone),
                Err(BarrierError::Storage(StorageError::Conflict(at))) if at == self.view.key(&id(key)) => {}
                Err(error) if error.is_conflict() => return Ok(Bare::Holds),
                Err(error) => return Err(error.into()),
            }
        }
        Err(TokenError::Contended)
    }

    /// Changes a token in turn; false: it is not there, or not due.
    async fn step(&self, key: &TokenKey, step: Step) -> Result<bool, TokenError> {
        let _turn = self.turns.take(key.as_str()).await;
        for _ in 0..TRIES {
            let mut txn = self.view.txn();
            if !self.build(&mut txn, key, step).await? {
                return Ok(false);
            }
            match txn.commit().await {
                Ok(()) => return Ok(true),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(TokenError::Contended)
    }

    /// Adds a change of a token to a batch; false: there is nothing to change.
    async fn build(&self, txn: &mut Txn, key: &TokenKey, step: Step) -> Result<bool, TokenError> {
        let found = self.records.read(key).await?;
        let Some((info, version)) = found else {
            if let Step::LetGo(parent) = step {
                self.cut(txn, &parent, key, None);
                return Ok(true);
            }
            return Ok(false);
        };
        let now = self.clock.now();
        match step {
            Step::Mark(Why::Due) if !info.is_due(now) => return Ok(false),
            Step::Mark(_) if info.is_revoking() && info.due.is_some() => {}
            Step::Mark(why) => {
                let state = if why == Why::RevokedAlone { State::RevokingAlone } else { State::Revoking };
                let due = Some(info.due.map_or(now, |due| due.min(now)));
                self.replace(txn, &info, version, &TokenInfo { state, due, ..info.clone() })?;
            }
            Step::MarkChild if info.is_revoking() => {}
            Step::MarkChild => self.replace(txn, &info, version, &TokenInfo { state: State::Revoking, ..info.clone() })?,
            Step::LetGo(parent) if info.parent == Some(parent) => {
                self.replace(txn, &info, version, &TokenInfo { parent: None, ..info.clone() })?;
                txn.delete(&self.view, &child(&parent, key));
            }
            Step::LetGo(parent) => self.cut(txn, &parent, key, Some(version)),
        }
        Ok(true)
    }

    async fn children(&self, parent: &TokenKey) -> Result<Vec<TokenKey>, TokenError> {
        let keys = self.view.scan_keys(&children_of(parent), Page::first(ENDED_PAGE)).await?;
        Ok(keys.iter().filter_map(|key| parse_child(key)).map(|(_, child)| child).collect())
    }

    /// Removes record and keys of a token that is expected at `version` and to have nothing.
    fn remove(&self, txn: &mut Txn, info: &TokenInfo, version: Version) -> Result<(), BarrierError> {
        self.leases.discount(txn, info.quota.as_deref())?;
        let (view, key) = (&self.view, &info.key);
        txn.expect_at(view, &id(key), version);
        txn.expect_empty(view, &children_of(key));
        txn.expect_empty(&self.cubbyholes, &format!("{key}/"));
        self.leases.expect_none_of(txn, key);
        txn.delete(view, &id(key));
        if let Some(text) = &info.accessor {
            txn.delete(view, &accessor(&self.records.accessor_key(text.as_str())));
        }
        if let Some(parent) = &info.parent {
            txn.delete(view, &child(parent, key));
        }
        self.leases.forget_token(txn, &info.path, key, info.due);
        Ok(())
    }

    /// Removes an index key whose child is not there, or is nobody's child or another's.
    pub(super) fn cut(&self, txn: &mut Txn, parent: &TokenKey, key: &TokenKey, found: Option<Version>) {
        match found {
            Some(version) => txn.expect_at(&self.view, &id(key), version),
            None => txn.expect_absent(&self.view, &id(key)),
        };
        txn.delete(&self.view, &child(parent, key));
    }
}

/// As the lane of tokens hears it: a value that cannot be read is that token's trouble alone.
fn revoke_error(error: &TokenError) -> RevokeError {
    match error {
        TokenError::Barrier(value) if is_of_value(value) => RevokeError::Lease(error.to_string()),
        TokenError::Contended => RevokeError::Lease(error.to_string()),
        _ => RevokeError::Upstream(error.to_string()),
    }
}

/// Tokens ended by one batch.
const ENDED_PAGE: usize = 128;

/// Tokens of a page ended at once, when one batch cannot end all of them.
const AT_ONCE: usize = 16;

/// Rounds without a token gone after which a walk is put off: a hundred thousand children and more.
const ROUNDS: u32 = 10_000;
