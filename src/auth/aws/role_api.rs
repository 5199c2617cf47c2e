//! Endpoints of roles (spec `aws-auth-method.md` §10).

use std::sync::Arc;

use crate::auth::token_fields::TokenInput;
use crate::mount::{ApiError, Both, Ctx, Named, Nothing, Reply, Table};

use super::AwsAuth;
use super::role::{LONGEST_NAME, ROLES, Role, role_key};
use super::role_input::RoleInput;

/// Declares them.
pub(super) fn endpoints(table: &mut Table<AwsAuth>) {
    table.at("role/", "Names of the roles.").list(AwsAuth::list_roles);
    table.at("roles/", "Names of the roles.").list(AwsAuth::list_roles);
    table
        .at("role/{role}", "A role: who may log in with it, and what tokens it gives.")
        .exists(AwsAuth::has_role)
        .read(AwsAuth::read_role)
        .update(AwsAuth::write_role)
        .delete(AwsAuth::delete_role);
}

impl AwsAuth {
    async fn list_roles(self: Arc<Self>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
        Ok(Reply::list(self.view.list_all(ROLES).await?))
    }

    async fn has_role(self: Arc<Self>, _: Ctx, named: Named) -> Result<bool, ApiError> {
        Ok(self.role(&lower(&named)?).await?.is_some())
    }

    async fn read_role(self: Arc<Self>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
        let role = self.role(&lower(&named)?).await?;
        Ok(role.map_or_else(Reply::empty, |role| Reply::data(role.shown())))
    }

    async fn write_role(
        self: Arc<Self>,
        cx: Ctx,
        Both(named, Both(input, token)): Both<Named, Both<RoleInput, TokenInput>>,
    ) -> Result<Reply, ApiError> {
        let name = lower(&named)?;
        let key = role_key(&name);
        let _turn = self.turn(&key).await;
        let stored = self.role(&name).await?;
        let is_new = stored.is_none();
        let mut role = stored.unwrap_or_else(|| Role::fresh(&name));
        input.bind(&mut role, is_new)?;
        if role.resolve_aws_unique_ids && role.resolved.is_empty() {
            role.resolved = self.resolve(&role.bound_iam_principal_arn).await?;
        }
        let warnings = input.finish(&mut role, &token, is_new, cx.limits)?;
        self.view.put(&key, &role).await?;
        Ok(Reply::empty().warn_all(warnings))
    }

    async fn delete_role(self: Arc<Self>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
        let key = role_key(&lower(&named)?);
        let _turn = self.turn(&key).await;
        self.view.delete(&key).await?;
        Ok(Reply::empty())
    }
}

/// The name of the role in a path; names differ in more than case.
pub(super) fn lower(named: &Named) -> Result<String, ApiError> {
    if named.name.len() > LONGEST_NAME {
        return Err(ApiError::invalid(format!("role is longer than maximum of {LONGEST_NAME} bytes")));
    }
    Ok(named.name.to_lowercase())
}
