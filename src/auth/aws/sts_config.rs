//! `config/sts/<account>`: the role by which we act in another account (spec `aws-auth-method.md` §8).

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::mount::field::Text;
use crate::mount::{ApiError, Ctx, Named, Nothing, Reply, Table};

use super::AwsAuth;

/// The record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StsConfig {
    /// ARN of the role.
    pub(super) sts_role: String,
    /// What its trust policy may ask for; empty: is not sent.
    #[serde(default)]
    pub(super) external_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct StsInput {
    /// Number of the account.
    account_id: String,
    /// ARN of the role to assume for calls in that account.
    sts_role: Option<Text>,
    /// External id that the role's trust policy asks for. Default: none.
    external_id: Option<Text>,
}

/// Declares the endpoints.
pub(super) fn endpoints(table: &mut Table<AwsAuth>) {
    table.at("config/sts/", "Accounts that are reached through a role.").list(AwsAuth::list_sts);
    table
        .at("config/sts/{account_id}", "The role that is assumed for calls in an account.")
        .exists(AwsAuth::sts_exists)
        .read(AwsAuth::read_sts)
        .update(AwsAuth::write_sts)
        .delete(AwsAuth::delete_sts);
}

impl AwsAuth {
    async fn list_sts(self: Arc<Self>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
        Ok(Reply::list(self.view.list_all(STS).await?))
    }

    async fn sts_exists(self: Arc<Self>, _: Ctx, named: Named) -> Result<bool, ApiError> {
        Ok(self.view.exists(&key(&named.name)).await?)
    }

    async fn read_sts(self: Arc<Self>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
        self.sts_of(&named.name).await?.map_or_else(|| Ok(Reply::empty()), |config| Reply::object(&config))
    }

    async fn write_sts(self: Arc<Self>, _: Ctx, input: StsInput) -> Result<Reply, ApiError> {
        let key = key(&input.account_id);
        let _turn = self.turn(&key).await;
        let mut config = match (self.view.read::<StsConfig>(&key).await?, &input.sts_role) {
            (None, None) => return Err(ApiError::invalid("missing sts role")),
            (stored, _) => stored.unwrap_or_default(),
        };
        if let Some(role) = input.sts_role {
            config.sts_role = role.0;
        }
        if config.sts_role.is_empty() {
            return Err(ApiError::invalid("sts role cannot be empty"));
        }
        if let Some(id) = input.external_id {
            config.external_id = id.0;
        }
        self.view.put(&key, &config).await?;
        self.clients.forget_account(&input.account_id);
        Ok(Reply::empty())
    }

    async fn delete_sts(self: Arc<Self>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
        let key = key(&named.name);
        let _turn = self.turn(&key).await;
        self.view.delete(&key).await?;
        self.clients.forget_account(&named.name);
        Ok(Reply::empty())
    }

    /// How an account is reached, if that was configured.
    pub(super) async fn sts_of(&self, account: &str) -> Result<Option<StsConfig>, ApiError> {
        Ok(self.view.read(&key(account)).await?)
    }
}

fn key(account: &str) -> String {
    format!("{STS}{account}")
}

/// Where they are.
const STS: &str = "config/sts/";
