//! Systems Manager Parameter Store: a policy in a parameter.

use std::sync::Arc;
use std::time::Duration;

use aws_types::SdkConfig;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::calls::Calls;
use super::service::{Client, SSM};
use crate::domain::failure::{Failure, Step, code};
use crate::policy::Policy;

/// How long a policy is used before it is read again, so after how long a change takes effect.
const GOOD_FOR: TimeDelta = TimeDelta::minutes(1);

/// How long reading a new version may take if there is an older one to go on with.
const PATIENCE: Duration = Duration::from_secs(5);

/// The parameter that holds the policy. The last valid version is kept for as long as the process
/// lives.
#[derive(Clone, Debug)]
pub struct PolicyParameter {
    client: Client,
    calls: Arc<Calls>,
    name: String,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    good: Option<Current>,
    read_at: Option<DateTime<Utc>>,
}

/// The policy as of now.
#[derive(Clone, Debug)]
pub struct Current {
    /// The last valid version.
    pub policy: Arc<Policy>,
    /// Why a newer version could not be read, if that failed.
    pub trouble: Option<Failure>,
}

/// The answer of `GetParameter`, as far as it is used.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Got {
    parameter: Option<Parameter>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parameter {
    r#type: Option<String>,
    value: Option<String>,
}

impl PolicyParameter {
    pub(super) fn new(config: &SdkConfig, calls: Arc<Calls>, name: String) -> Self {
        Self { client: Client::new(config, SSM), calls, name, kept: Arc::default() }
    }

    /// The policy, read again by [GetParameter] if it was read more than a minute ago. This fails
    /// only if no valid version was ever read.
    ///
    /// The age is measured in wall time: the monotonic clock may stand still while Lambda freezes
    /// the process.
    ///
    /// [GetParameter]: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html
    pub async fn current(&self, deadline: Instant) -> Result<Current, Failure> {
        let now = self.calls.utc();
        // The lock is held while reading: a process handles one invocation at a time.
        let mut kept = self.kept.lock().await;
        if let (Some(good), Some(read_at)) = (&kept.good, kept.read_at)
            && (TimeDelta::zero()..GOOD_FOR).contains(&(now - read_at))
        {
            return Ok(good.clone());
        }
        // With a valid version at hand, the event should not wait for long.
        let deadline = if kept.good.is_some() { self.calls.within(PATIENCE, deadline) } else { deadline };
        let read = self.read(deadline).await;
        kept.read_at = Some(now);
        match (read, &mut kept.good) {
            (Ok(policy), _) => kept.good = Some(Current { policy: Arc::new(policy), trouble: None }),
            (Err(failure), Some(good)) => {
                tracing::error!(code = failure.code, error = %failure, "policy could not be read, using the last valid version");
                good.trouble = Some(failure);
            }
            (Err(failure), None) => return Err(failure),
        }
        kept.good.clone().ok_or_else(|| self.unreadable("it was never read"))
    }

    async fn read(&self, deadline: Instant) -> Result<Policy, Failure> {
        let text = self.text(deadline).await?;
        text.parse().map_err(|invalid: crate::policy::Invalid| self.unreadable(&invalid.to_string()))
    }

    pub(super) async fn text(&self, deadline: Instant) -> Result<String, Failure> {
        let step = Step::ReadPolicy;
        let input = json!({"Name": self.name});
        let call = || self.client.call("GetParameter", &input, step, &self.name);
        let answer: Got = self.calls.read(step, &self.name, deadline, call).await.map_err(|error| error.failure)?;
        let parameter = answer.parameter.ok_or_else(|| self.unreadable("the answer contains no parameter"))?;
        if parameter.r#type.as_deref() == Some("SecureString") {
            return Err(self.unreadable("the parameter is a SecureString: store the policy as a String"));
        }
        Ok(parameter.value.unwrap_or_default())
    }

    fn unreadable(&self, detail: &str) -> Failure {
        Failure::new(Step::ReadPolicy, code::POLICY_INVALID, &self.name, detail)
    }
}
