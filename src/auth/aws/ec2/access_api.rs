//! Endpoints of the access list, under its name and its old one (spec `aws-auth-method.md` §2, §14.5).

use std::sync::Arc;

use crate::auth::aws::AwsAuth;
use crate::barrier::BarrierError;
use crate::mount::{ApiError, Ctx, Named, Nothing, Reply, Table};
use crate::storage::Version;

use super::access_list::Entry;

/// Declares them.
pub(super) fn endpoints(table: &mut Table<AwsAuth>) {
    for (list, one) in [
        ("identity-accesslist/", "identity-accesslist/{instance_id}"),
        ("identity-whitelist/", "identity-whitelist/{instance_id}"),
    ] {
        table.at(list, "Ids of the instances that have logged in.").list(AwsAuth::list_access);
        table
            .at(one, "What is known of an instance that has logged in. Without it the next login counts as the first.")
            .read(AwsAuth::read_access)
            .delete(AwsAuth::delete_access);
    }
}

impl AwsAuth {
    async fn list_access(self: Arc<Self>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
        Ok(Reply::list(self.view.list_all(ACCESS).await?))
    }

    async fn read_access(self: Arc<Self>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
        let entry = self.view.read::<Entry>(&access_key(&named.name)).await?;
        Ok(entry.map_or_else(Reply::empty, |entry| Reply::data(entry.shown())))
    }

    async fn delete_access(self: Arc<Self>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
        let key = access_key(&named.name);
        let _turn = self.turn(&key).await;
        self.view.delete(&key).await?;
        Ok(Reply::empty())
    }

    /// The entry of an instance, and the version to expect when it is replaced.
    pub(super) async fn access(&self, instance: &str) -> Result<Option<(Entry, Version)>, BarrierError> {
        self.view.read_versioned(&access_key(instance)).await
    }
}

/// Where the entry of an instance lies; also whose turn its changes take.
pub(super) fn access_key(instance: &str) -> String {
    format!("{ACCESS}{instance}")
}

/// Where they are.
pub(super) const ACCESS: &str = "whitelist/identity/";
