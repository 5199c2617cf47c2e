//! What was asked of the stand-in.

use std::collections::VecDeque;

use crate::base::Timestamp;

/// A call as it arrived, whatever became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRecord {
    /// Such as `CreateUser`.
    pub action: String,
    /// The `UserName` it names.
    pub user: Option<String>,
    /// The access key that it says has signed it.
    pub access_key: Option<String>,
    /// When it arrived.
    pub time: Timestamp,
}

/// The latest calls and the number of all.
#[derive(Debug, Default)]
pub(super) struct Calls {
    latest: VecDeque<CallRecord>,
    count: u64,
}

impl Calls {
    pub(super) fn push(&mut self, call: CallRecord) {
        if self.latest.len() >= KEPT {
            self.latest.pop_front();
        }
        self.latest.push_back(call);
        self.count += 1;
    }

    pub(super) fn latest(&self) -> Vec<CallRecord> {
        self.latest.iter().cloned().collect()
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

/// Calls that are remembered: some 100 bytes each.
const KEPT: usize = 10_000;
