//! How the leases of a mount fare: what an operator asks when something does not end. Nothing here calls the outside.

use std::collections::BTreeMap;

use crate::base::{LeaseId, MountId, Timestamp, Ttl};
use crate::storage::Page;

use super::manager::PAGE;
use super::{Lease, LeaseError, LeaseManager, due};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneReport {
    /// When the outside is asked again; none: it is not known to be unwell.
    pub resting_until: Option<Timestamp>,
    /// When a lease was ended last, in this run of the server.
    pub last_success: Option<Timestamp>,
    /// Intents that are not settled.
    pub open: u64,
    /// Leases past their end, or revoked, to be ended now. At most 20,000 are counted.
    pub due: u64,
    /// Those whose end was refused, and which are tried again later. At most 20,000 are looked at, here and below.
    pub waiting: u64,
    /// Those of them that need an operator.
    pub irrevocable: u64,
    /// How many were refused with which code; those without one are under the empty one.
    pub codes: BTreeMap<String, u64>,
    /// The one that is refused for the longest time.
    pub oldest_failure: Option<Failure>,
}

/// A lease whose end is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its id.
    pub lease: LeaseId,
    /// Since when.
    pub since: Timestamp,
    /// How often by now.
    pub attempts: u32,
    /// The outside's code; empty where there is none.
    pub code: String,
    /// What the outside said last.
    pub message: String,
    /// When it is tried again.
    pub next_attempt: Timestamp,
}

impl LeaseManager {
    /// How the leases of a mount fare.
    ///
    /// # Errors
    /// Storage.
    pub async fn report(&self, mount: &MountId) -> Result<LaneReport, LeaseError> {
        let (resting, last_success) = {
            let lane = self.lanes.lane(mount.as_str());
            let mail = lane.mail();
            (mail.resting, mail.last_success)
        };
        let now = self.clock.now();
        let left = |until: std::time::Duration| until.saturating_sub(self.clock.elapsed()).as_secs();
        let mut report = LaneReport {
            resting_until: resting.map(|until| now.plus(Ttl::seconds(left(until)))),
            last_success,
            open: self.count(&format!("{}{mount}/", due::OPEN), None).await?,
            due: self.count(&due::lane(mount.as_str()), Some(now)).await?,
            ..LaneReport::default()
        };
        self.add_failing(mount, now, &mut report).await?;
        Ok(report)
    }

    /// The leases of a mount that end first, intents too, at most `limit`.
    pub(super) async fn first(&self, mount: &MountId, limit: usize) -> Result<Vec<Lease>, LeaseError> {
        let page: Vec<(String, LeaseId)> = self.view.scan(&due::lane(mount.as_str()), Page { after: None, limit }).await?;
        let mut leases = Vec::with_capacity(page.len());
        for (_, id) in &page {
            leases.extend(self.read(id).await?.map(|(lease, _)| lease));
        }
        Ok(leases)
    }

    /// Keys of a folder; of a lane those that are due.
    async fn count(&self, folder: &str, until: Option<Timestamp>) -> Result<u64, LeaseError> {
        let mut count = 0;
        let mut after: Option<String> = None;
        loop {
            let keys = self.view.scan_keys(folder, Page { after: after.as_deref(), limit: PAGE }).await?;
            let is_due = |key: &&String| until.is_none_or(|until| due::parse(key).is_some_and(|(_, at, _)| at <= until));
            let fitting = keys.iter().take_while(is_due).count();
            count += fitting as u64;
            match keys.last() {
                Some(last) if keys.len() == PAGE && fitting == PAGE && count < MOST => after = Some(last.clone()),
                _ => return Ok(count),
            }
        }
    }

    async fn add_failing(&self, mount: &MountId, now: Timestamp, report: &mut LaneReport) -> Result<(), LeaseError> {
        let folder = format!("{}{mount}/", due::FAILING);
        let mut after: Option<String> = None;
        let mut seen = 0;
        loop {
            let page: Vec<(String, LeaseId)> = self.view.scan(&folder, Page { after: after.as_deref(), limit: PAGE }).await?;
            for (_, id) in &page {
                if let Some((lease, _)) = self.read(id).await? {
                    report.add(&lease, now);
                }
            }
            seen += page.len() as u64;
            match page.last() {
                Some((key, _)) if page.len() == PAGE && seen < MOST => after = Some(key.clone()),
                _ => return Ok(()),
            }
        }
    }
}

impl LaneReport {
    fn add(&mut self, lease: &Lease, now: Timestamp) {
        let Some(failing) = &lease.failing else { return };
        if lease.due > now {
            self.waiting += 1;
        }
        if lease.irrevocable.is_some() {
            self.irrevocable += 1;
        }
        let code = code_of(&failing.text);
        *self.codes.entry(code.to_owned()).or_default() += 1;
        if self.oldest_failure.as_ref().is_none_or(|oldest| failing.since < oldest.since) {
            self.oldest_failure = Some(Failure {
                lease: lease.id.clone(),
                since: failing.since,
                attempts: lease.failures,
                code: code.to_owned(),
                message: failing.text.clone(),
                next_attempt: lease.due,
            });
        }
    }
}

/// What is before the colon, if that is one word.
fn code_of(text: &str) -> &str {
    let code = text.split_once(':').map_or("", |(code, _)| code);
    if code.chars().all(|c| c.is_ascii_alphanumeric()) { code } else { "" }
}

/// Records that are looked at for one report: a tenth of a second of work.
const MOST: u64 = 20_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_one_word_before_a_colon() {
        assert_eq!(code_of("AccessDenied: not authorized to perform: iam:DeleteUser"), "AccessDenied");
        assert_eq!(code_of("no such thing: x"), "");
        assert_eq!(code_of("nothing"), "");
    }
}
