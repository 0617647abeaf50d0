//! Failed invocations, with an `errorType` that alarms and on-failure records rely on.

use lambda_runtime::Diagnostic;
use serde_json::json;

use super::context::Invocation;
use crate::domain::failure::{Class, Failure, Kind, Step, code};
use crate::settings::SettingsError;

/// A failed invocation, which Lambda retries.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", error_type.as_str())]
pub struct InvocationError {
    /// Stable: alarms and on-failure records distinguish failures by it.
    pub error_type: ErrorType,
    /// The answer as JSON, shortened to 4 KB, so that a started but unconfirmed change is not lost.
    pub message: String,
}

/// Why an invocation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    /// A stream or a key had not settled when the time ran out.
    StillUpdating,
    /// AWS throttled the calls.
    Throttled,
    /// The stream did not become ACTIVE before the time ran out.
    ResourceInUse,
    /// AWS or the network failed.
    AwsUnavailable,
    /// A dead letter could not be written.
    DeadLetterNotStored,
    /// The settings are invalid.
    Settings,
    /// The policy is invalid or cannot be read.
    Policy,
}

impl From<Kind> for ErrorType {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Throttled => Self::Throttled,
            Kind::InUse => Self::ResourceInUse,
            Kind::Unsettled | Kind::KeyUnsettled => Self::StillUpdating,
            _ => Self::AwsUnavailable,
        }
    }
}

impl ErrorType {
    /// The name in Lambda's response.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StillUpdating => "StillUpdating",
            Self::Throttled => "Throttled",
            Self::ResourceInUse => "ResourceInUse",
            Self::AwsUnavailable => "AwsUnavailable",
            Self::DeadLetterNotStored => "DeadLetterNotStored",
            Self::Settings => "Settings",
            Self::Policy => "Policy",
        }
    }
}

impl InvocationError {
    /// The failure because of invalid settings or an invalid policy.
    #[must_use]
    pub fn of_settings(invocation: &Invocation, error: &SettingsError) -> Self {
        if error.is_policy() {
            let failure = Failure::new(Step::ReadPolicy, code::POLICY_INVALID, &"the environment", &error.to_string());
            Self::policy(invocation, &failure)
        } else {
            Self::settings(invocation, &error.to_string())
        }
    }

    /// The failure of an invocation without a policy, which must not touch any stream.
    pub(super) fn policy(invocation: &Invocation, failure: &Failure) -> Self {
        let message = json!({"requestId": invocation.request_id, "error": failure});
        Self { error_type: ErrorType::Policy, message: message.to_string() }
    }

    /// The failure because of a `problem` with the function's settings.
    #[must_use]
    pub fn settings(invocation: &Invocation, problem: &str) -> Self {
        let message = json!({
            "requestId": invocation.request_id,
            "error": {
                "step": "read-settings",
                "code": ErrorType::Settings.as_str(),
                "class": Class::Terminal,
                "message": problem,
                "remedy": "correct the function's environment (the template's parameters), deploy, \
                           and redrive the event",
            },
        });
        Self { error_type: ErrorType::Settings, message: message.to_string() }
    }
}

impl From<InvocationError> for Diagnostic {
    fn from(error: InvocationError) -> Self {
        Self { error_type: error.error_type.as_str().to_owned(), error_message: error.message }
    }
}
