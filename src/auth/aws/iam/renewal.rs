//! What renewing the token of an iam login gives: the role is asked again, STS is not (spec `aws-auth-method.md` §13).

use crate::mount::{ApiError, Ctx, TokenRenewal};
use crate::token::TokenInfo;

use super::super::AwsAuth;
use super::super::clients::{OWN_CALLS, Place};
use super::super::principal::Principal;
use super::Caller;

impl AwsAuth {
    /// By the role as it is now.
    pub(in crate::auth::aws) async fn renew_iam(&self, cx: &Ctx, token: &TokenInfo) -> Result<TokenRenewal, ApiError> {
        let name =
            known(token, "role_name").map_err(|_| ApiError::invalid_listed("error retrieving role_name during renewal"))?;
        let canonical = known(token, "canonical_arn")?;
        let role = self.role(name).await?.ok_or_else(|| ApiError::invalid_listed("role entry not found"))?;
        if role.infers_instance() {
            let (id, region) = (known(token, "inferred_entity_id")?, known(token, "inferred_aws_region")?);
            let principal = Principal::parse(canonical).map_err(ApiError::invalid_listed)?;
            let place = Place { partition: &principal.partition, account: &principal.account, region };
            let until = cx.clock.elapsed().saturating_add(OWN_CALLS);
            let running = self.running(place, id, until).await;
            running.map_err(|failure| failure.within(&format!("failed to verify instance ID \"{id}\": ")).told(&cx.asked.id))?;
        }
        if !role.bound_iam_principal_arn.is_empty() {
            let unique_id = known(token, "client_user_id")?.to_owned();
            let arn = known(token, "client_arn").unwrap_or(canonical);
            let no_longer = || ApiError::invalid_listed(format!("role \"{name}\" no longer bound to ARN \"{canonical}\""));
            let principal = Principal::parse(arn).map_err(|_| no_longer())?;
            let caller = Caller { principal, unique_id };
            if let Err(failure) = self.check_principal(&role, &caller).await {
                return Err(match failure.named {
                    Some((code, sentence)) => no_longer().with_advice(format!("[{}] {sentence}", code.as_str())),
                    None => no_longer(),
                });
            }
        }
        Ok(role.token.renewal())
    }
}

/// What the login noted, for itself or for all to see.
fn known<'t>(token: &'t TokenInfo, name: &str) -> Result<&'t str, ApiError> {
    let shown = || token.meta.as_ref().and_then(|meta| meta.get(name));
    let found = token.internal_meta.get(name).filter(|text| !text.is_empty()).or_else(shown).filter(|text| !text.is_empty());
    found.map(String::as_str).ok_or_else(|| ApiError::invalid_listed(format!("\"{name}\" not found in auth metadata")))
}
