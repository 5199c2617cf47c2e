//! Automated rotation, as configurations with an access key can ask for it. There is no rotation manager: what is asked of one
//! is refused, mistakes first (spec `aws-secrets-engine.md` §4.2, `aws-auth-method.md` §4).

use crate::base::Ttl;

use super::ApiError;
use super::field::Text;

/// What was asked of a rotation manager.
#[derive(Debug)]
pub struct AutomatedRotation {
    period: Ttl,
    schedule: String,
    window: Ttl,
    policy: String,
}

impl AutomatedRotation {
    /// From the fields `rotation_period`, `rotation_schedule`, `rotation_window` and `rotation_policy`.
    pub fn of(period: Option<Ttl>, schedule: Option<&Text>, window: Option<Ttl>, policy: Option<&Text>) -> Self {
        let text = |field: Option<&Text>| field.map(|text| text.0.clone()).unwrap_or_default();
        let (period, window) = (period.unwrap_or_default(), window.unwrap_or_default());
        Self { period, schedule: text(schedule), window, policy: text(policy) }
    }

    /// Whether the fields make sense beside each other.
    ///
    /// # Errors
    /// 400 with the first mistake.
    pub fn check(&self) -> Result<(), ApiError> {
        let mistake = match (!self.schedule.is_empty(), !self.period.is_zero(), !self.window.is_zero()) {
            (true, true, _) => {
                "mutually exclusive fields rotation_schedule and rotation_period were both specified; only one of them can be \
                 provided"
            }
            (_, true, true) => "rotation_window does not apply to period",
            (false, false, true) => "cannot use rotation_window without rotation_schedule",
            _ => return Ok(()),
        };
        Err(ApiError::invalid(mistake))
    }

    /// Whether the schedule is one.
    ///
    /// # Errors
    /// 400: it has not five fields.
    pub fn check_schedule(&self) -> Result<(), ApiError> {
        let fields = self.schedule.split_whitespace().count();
        if self.schedule.is_empty() || fields == 5 || self.schedule.starts_with('@') {
            return Ok(());
        }
        let why = format!("expected exactly 5 fields, found {fields}: [{}]", self.schedule);
        Err(ApiError::invalid(format!("failed to parse provided rotation_schedule: {why}")))
    }

    /// Whether nothing is asked for.
    ///
    /// # Errors
    /// 400: something is.
    pub fn refuse(&self) -> Result<(), ApiError> {
        if self.schedule.is_empty() && self.period.is_zero() && self.policy.is_empty() {
            return Ok(());
        }
        Err(ApiError::invalid(
            "error registering rotation job: rotation manager capabilities not supported in Vault community edition",
        ))
    }
}
