//! Asks IAM what a principal may do, without doing it.

use aws_sdk_iam::types::PolicyEvaluationDecisionType;

use super::call::next;
use super::connect::Aws;
use super::error::AwsError;

impl Aws {
    /// Those of `actions` that the policies of `principal`, the ARN of a user, deny on `resource`. Policies of the
    /// organisation and of sessions are not among those asked.
    pub async fn denied_actions(&self, principal: &str, actions: &[&str], resource: &str) -> Result<Vec<String>, AwsError> {
        let names: Vec<String> = actions.iter().map(|action| (*action).to_owned()).collect();
        let page = async |marker: Option<String>| {
            let call = self.iam().simulate_principal_policy().policy_source_arn(principal).resource_arns(resource);
            let page = Box::pin(call.set_action_names(Some(names.clone())).set_marker(marker).send()).await?;
            let next = next(page.is_truncated, page.marker());
            let results = page.evaluation_results.unwrap_or_default().into_iter();
            let denied = results.filter(|result| result.eval_decision != PolicyEvaluationDecisionType::Allowed);
            Ok((denied.map(|result| result.eval_action_name).collect(), next))
        };
        self.pages::<_, aws_sdk_iam::operation::simulate_principal_policy::SimulatePrincipalPolicyError, _, _>(
            "iam:SimulatePrincipalPolicy",
            page,
        )
        .await
    }
}
