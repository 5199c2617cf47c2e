//! The instance behind a login: whether it runs, and whether the role is for it (spec `aws-auth-method.md` §14.3, §14.4).

use std::sync::Arc;
use std::time::Duration;

use crate::auth::aws::AwsAuth;
use crate::auth::aws::clients::{Client, Place};
use crate::auth::aws::failure::{Code, Failure};
use crate::auth::aws::role::Role;
use crate::aws::{Arn, AwsError, Instance};
use crate::base::time::timeout;

/// An instance that runs, and who was asked about it.
#[derive(Clone, Debug)]
pub(in crate::auth::aws) struct Running {
    pub(in crate::auth::aws) instance: Arc<Instance>,
    pub(in crate::auth::aws) client: Client,
}

impl AwsAuth {
    /// What EC2 knows of an instance, which must run. Given up at `until`, on `Clock::elapsed`.
    pub(in crate::auth::aws) async fn running(&self, place: Place<'_>, id: &str, until: Duration) -> Result<Running, Failure> {
        let client = self.client_for(place).await?;
        let asking = client.aws.waiting_until(until);
        // Of many who wait for one silent EC2 each ends by its own time, whoever calls for the others.
        let left = until.saturating_sub(self.deps.clock.elapsed()).min(ASKING);
        let described = timeout(&*self.deps.clock, left, Box::pin(asking.describe_instance(id))).await;
        let described = described.unwrap_or_else(|| {
            Err(AwsError::Unknown { text: format!("ec2:DescribeInstances: no answer from {} in time", asking.ec2_host()) })
        });
        let prefix = format!("error fetching description for instance ID {id:?}: ");
        let instance = described.map_err(|error| {
            let failure = Failure::of_aws(&prefix, &error, &client.ec2);
            if error.code().starts_with("InvalidInstanceID.") { unknown(failure, id, place) } else { failure }
        })?;
        if instance.id != id {
            let text = "expected instance ID not matching the instance ID in the instance description";
            return Err(Failure::named(Code::InstanceUnknown, text, format!("EC2 does not describe instance {id}")));
        }
        match instance.state.as_str() {
            "running" => Ok(Running { instance, client }),
            "" => Err(Failure::plain("instance state in instance description is nil")),
            state => {
                let sentence = format!("instance {id} is {state:?}, and only a running one may log in");
                Err(Failure::named(Code::InstanceNotRunning, "instance is not in 'running' state", sentence))
            }
        }
    }

    /// Whether the role is for this instance. `account` is who logs in's.
    pub(in crate::auth::aws) async fn check_bounds(
        &self,
        role: &Role,
        account: &str,
        running: &Running,
        until: Duration,
    ) -> Result<(), Failure> {
        let (name, instance) = (&role.name, &*running.instance);
        if !holds(&role.bound_ec2_instance_id, &instance.id) {
            let text = format!("instance ID {:?} does not belong to the role {name:?}", instance.id);
            return Err(unbound(text, "bound_ec2_instance_id", &instance.id));
        }
        if !holds(&role.bound_account_id, account) {
            let text = format!("account ID {account:?} does not belong to role {name:?}");
            let sentence = format!("the role is not for account {account} (bound_account_id)");
            return Err(Failure::named(Code::AccountNotBound, text, sentence));
        }
        for (bound, field, what, value, text) in [
            (&role.bound_ami_id, "bound_ami_id", "AMI ID", &instance.image, "does not belong to role"),
            (&role.bound_subnet_id, "bound_subnet_id", "subnet ID", &instance.subnet, "does not satisfy the constraint on role"),
            (&role.bound_vpc_id, "bound_vpc_id", "VPC ID", &instance.vpc, "does not satisfy the constraint on role"),
        ] {
            if bound.is_empty() {
                continue;
            }
            if value.is_empty() {
                let text = format!("{what} in the instance description is nil");
                return Err(unbound(text, field, "none"));
            }
            if !holds(bound, value) {
                return Err(unbound(format!("{what} {value:?} {text} {name:?}"), field, value));
            }
        }
        self.check_profile(role, running, until).await
    }

    async fn check_profile(&self, role: &Role, running: &Running, until: Duration) -> Result<(), Failure> {
        let (profiles, roles) = (&role.bound_iam_instance_profile_arn, &role.bound_iam_role_arn);
        if profiles.is_empty() && roles.is_empty() {
            return Ok(());
        }
        let (name, profile) = (&role.name, &running.instance.profile_arn);
        if profile.is_empty() {
            let text = "IAM instance profile in the instance description is nil";
            return Err(unbound(text.to_owned(), "bound_iam_instance_profile_arn", "none"));
        }
        if !profiles.is_empty() && !matches(profiles, profile) {
            let text = format!("IAM instance profile ARN {profile:?} does not satisfy the constraint role {name:?}");
            return Err(unbound(text, "bound_iam_instance_profile_arn", profile));
        }
        if roles.is_empty() {
            return Ok(());
        }
        let arn = self.role_of_profile(running, until).await?;
        if matches(roles, &arn) {
            return Ok(());
        }
        let text = format!("IAM role ARN {arn:?} does not satisfy the constraint role {name:?}");
        Err(unbound(text, "bound_iam_role_arn", &arn))
    }

    /// The ARN of the one role in the instance's profile.
    async fn role_of_profile(&self, running: &Running, until: Duration) -> Result<String, Failure> {
        let profile = &running.instance.profile_arn;
        let none = || unbound("IAM role ARN could not be fetched".to_owned(), "bound_iam_role_arn", "none");
        let parts = Arn::parse(profile).map_err(|_| none())?;
        let profile_name = parts.resource.rsplit('/').next().filter(|name| !name.is_empty()).ok_or_else(none)?;
        let left = until.saturating_sub(self.deps.clock.elapsed()).min(ASKING);
        let asking = Box::pin(running.client.aws.get_instance_profile(profile_name));
        let asked = timeout(&*self.deps.clock, left, asking).await;
        let silent = || AwsError::Unknown { text: "iam:GetInstanceProfile: no answer in time".to_owned() };
        let prefix = format!("IAM role ARN could not be fetched for instance profile {profile:?}: ");
        let found = asked.unwrap_or_else(|| Err(silent()));
        let found = found.map_err(|error| Failure::of_aws(&prefix, &error, &running.client.iam))?;
        // Never believed of another account's profile of the same name (§9).
        if found.profile.arn != *profile {
            return Err(none());
        }
        match <[String; 1]>::try_from(found.roles) {
            Ok([arn]) => Ok(arn),
            Err(_) => Err(none()),
        }
    }
}

fn unknown(failure: Failure, id: &str, place: Place<'_>) -> Failure {
    let sentence =
        format!("EC2 of {} in account {} knows no instance {id}: a fresh one may take some seconds", place.region, place.account);
    Failure { named: Some((Code::InstanceUnknown, sentence)), ..failure }
}

fn unbound(text: String, bound: &str, value: &str) -> Failure {
    Failure::named(Code::BoundMismatch, text, format!("the role's {bound} does not hold what the instance has: {value}"))
}

/// Whether a list is empty or has the value.
pub(super) fn holds(list: &[String], value: &str) -> bool {
    list.is_empty() || list.iter().any(|item| item == value)
}

/// Whether one of the patterns fits: with a `*` at the end all that begins so, else the same text alone.
fn matches(patterns: &[String], value: &str) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(prefix) => value.starts_with(prefix),
        None => value == pattern,
    })
}

/// For one question to EC2, waiting in line included.
const ASKING: Duration = Duration::from_secs(9);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_star_at_the_end_stands_for_anything() {
        let fits = |pattern: &str, value: &str| matches(&[pattern.to_owned()], value);
        assert!(fits("arn:role/web", "arn:role/web") && fits("arn:role/*", "arn:role/web"));
        assert!(!fits("arn:role/we", "arn:role/web") && !fits("arn:*/web", "arn:role/web"));
        assert!(fits("arn:role/a**", "arn:role/a*b") && !fits("arn:role/a**", "arn:role/ab"));
    }
}
