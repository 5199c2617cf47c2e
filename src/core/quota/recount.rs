//! When rules on numbers of leases change, what is lent already is counted under the rule it is under now. It works behind the
//! operator, by pages, and goes on after a crash; what is issued meanwhile is counted by the new rules at once.
//!
//! ```text
//! core/quota/recount/<id>   the paths that are still to be counted again
//! ```

use std::sync::Arc;

use crate::barrier::Txn;
use crate::base::random;
use crate::core::Active;
use crate::core::access::of_token;
use crate::lease::Counting;
use crate::mount::ApiError;

use super::Quotas;

/// Paths to count again.
#[derive(Debug)]
pub(in crate::core) struct Recount {
    id: String,
    /// What they begin with.
    prefix: String,
}

impl Quotas {
    /// Notes, in the batch that changes a rule, that leases below its mount are to be counted again.
    pub(super) fn note_recount(&self, txn: &mut Txn, mount: Option<&str>) -> Result<Recount, ApiError> {
        let recount = Recount { id: random::uuid(), prefix: mount.unwrap_or_default().to_owned() };
        txn.put(&self.view, &format!("{FOLDER}{}", recount.id), &recount.prefix)?;
        Ok(recount)
    }
}

impl Active {
    /// Counts again behind the caller.
    pub(in crate::core) fn recount(self: &Arc<Self>, recount: Recount) {
        let active = Arc::clone(self);
        self.tasks.spawn(async move {
            if let Err(error) = active.recount_now(&recount).await {
                tracing::warn!(error = %error, "leases below `{}` are counted again at the next unsealing", recount.prefix);
            }
        });
    }

    /// Goes on with what a seal or a crash has cut.
    pub(in crate::core) async fn resume_recounts(self: &Arc<Self>) -> Result<(), ApiError> {
        let view = &self.quotas.view;
        for key in view.sub(FOLDER).scan_keys_all().await? {
            if let Some(prefix) = view.read::<String>(&format!("{FOLDER}{key}")).await? {
                self.recount(Recount { id: key, prefix });
            }
        }
        Ok(())
    }

    async fn recount_now(&self, recount: &Recount) -> Result<(), ApiError> {
        let mut after = None;
        loop {
            let (page, next) = self.leases.page_of_ids(&recount.prefix, after.as_deref()).await?;
            for id in &page {
                match self.leases.recount(id).await? {
                    Counting::Done => {}
                    Counting::OfToken(token) => self.tokens.recount(&token).await.map_err(of_token)?,
                }
            }
            if self.shutdown.is_cancelled() {
                return Ok(());
            }
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        Ok(self.quotas.view.delete(&format!("{FOLDER}{}", recount.id)).await?)
    }
}

const FOLDER: &str = "recount/";
