//! Taking what is due: claimed before touched (architecture §5).

use crate::base::{LeaseId, Timestamp};
use crate::storage::Version;

use super::manager::TRIES;
use super::{Lease, LeaseError, LeaseManager, Revoker, State, due};

/// What a due key turned out to be.
#[derive(Debug)]
pub(super) enum Taken {
    /// `Revoking` in storage: nobody renews or activates it any more.
    ToEnd(Box<Lease>),
    /// Nothing is left of it: it took no call, or its key led nowhere.
    Ended,
    /// Its issuer holds it.
    InHand(LeaseId),
    /// It is not due any more.
    Moved,
}

/// Why one is taken, by what is stored.
enum Look {
    Claim(Lease, Version),
    Remove(Lease, Version),
    Stray(LeaseId, Option<Version>),
    Nothing(Taken),
}

impl LeaseManager {
    /// Takes the items of a lane with these due keys: one batch for all; when one changed meanwhile, one by one.
    pub(super) async fn take(
        &self,
        revoker: &dyn Revoker,
        lane: &str,
        items: &[(Timestamp, &str)],
    ) -> Vec<Result<Taken, LeaseError>> {
        let mut txn = self.view.txn();
        let mut looks = Vec::with_capacity(items.len());
        for item in items {
            looks.push(self.look(revoker, lane, *item).await);
        }
        let mut taken = Vec::with_capacity(items.len());
        for (look, item) in looks.into_iter().zip(items) {
            let done = match look {
                Ok(look) => self.add(&mut txn, look, lane, *item),
                Err(error) => Err(error),
            };
            taken.push(done);
        }
        match txn.commit().await {
            Ok(()) => taken,
            Err(error) if error.is_conflict() => {
                let mut taken = Vec::with_capacity(items.len());
                for item in items {
                    taken.push(self.take_one(revoker, lane, *item).await);
                }
                taken
            }
            Err(error) => items.iter().map(|_| Err(error.clone().into())).collect(),
        }
    }

    async fn take_one(&self, revoker: &dyn Revoker, lane: &str, item: (Timestamp, &str)) -> Result<Taken, LeaseError> {
        for _ in 0..TRIES {
            let look = self.look(revoker, lane, item).await?;
            let mut txn = self.view.txn();
            let taken = self.add(&mut txn, look, lane, item)?;
            match txn.commit().await {
                Ok(()) => return Ok(taken),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(LeaseError::Contended)
    }

    async fn look(&self, revoker: &dyn Revoker, lane: &str, (at, suffix): (Timestamp, &str)) -> Result<Look, LeaseError> {
        let key = due::due(lane, at, suffix);
        let Some(id) = self.view.read::<LeaseId>(&key).await? else { return Ok(Look::Nothing(Taken::Moved)) };
        let Some((lease, version)) = self.read(&id).await? else { return Ok(Look::Stray(id, None)) };
        // Once out of hand never in hand again, and what its issuer writes moves the version.
        if self.is_in_hand(&id) {
            return Ok(Look::Nothing(Taken::InHand(id)));
        }
        if due::due(lease.mount.as_str(), lease.due, id.suffix()) != key {
            return Ok(Look::Stray(id, Some(version)));
        }
        Ok(match lease.state {
            _ if !revoker.needs_call(&lease) => Look::Remove(lease, version),
            State::Revoking => Look::Nothing(Taken::ToEnd(Box::new(lease))),
            State::Pending | State::Active => Look::Claim(lease, version),
        })
    }

    fn add(
        &self,
        txn: &mut crate::barrier::Txn,
        look: Look,
        lane: &str,
        (at, suffix): (Timestamp, &str),
    ) -> Result<Taken, LeaseError> {
        Ok(match look {
            Look::Claim(lease, version) => {
                let mut next = lease.clone();
                next.state = State::Revoking;
                if lease.state == State::Pending {
                    next.left = Some(self.left_now());
                }
                self.replace(txn, &lease, version, &next)?;
                Taken::ToEnd(Box::new(next))
            }
            Look::Remove(lease, version) => {
                self.remove(txn, &lease, version)?;
                Taken::Ended
            }
            Look::Stray(id, version) => {
                match version {
                    Some(version) => txn.expect_at(&self.view, &due::id(&id), version),
                    None => txn.expect_absent(&self.view, &due::id(&id)),
                };
                txn.delete(&self.view, &due::due(lane, at, suffix));
                Taken::Ended
            }
            Look::Nothing(taken) => taken,
        })
    }
}
