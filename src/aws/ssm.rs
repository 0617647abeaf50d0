//! Systems Manager Parameter Store: the policy, where it is kept in a parameter.
//!
//! Source: Systems Manager API Reference, `GetParameter`.

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

/// How long what was read is good. A policy that was changed holds everywhere after at most this.
const GOOD_FOR: TimeDelta = TimeDelta::minutes(1);

/// How long a new version is waited for where there is an older one.
const PATIENCE: Duration = Duration::from_secs(5);

/// The parameter that holds the policy. The last good version is kept for as long as the process
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
    /// The last version that could be read and understood.
    pub policy: Arc<Policy>,
    /// Why that is not the present one, if it may not be.
    pub trouble: Option<Failure>,
}

/// The answer of `GetParameter`, as far as it matters.
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

    /// The policy, read anew where what is kept is older than a minute. It fails only where no good
    /// version was ever read.
    ///
    /// Its age is told by the time of day: the monotonic clock may stand still while Lambda has
    /// frozen the process.
    pub async fn current(&self, deadline: Instant) -> Result<Current, Failure> {
        let now = self.calls.utc();
        // Held while reading: of the invocations of one process there is only one at a time.
        let mut kept = self.kept.lock().await;
        if let (Some(good), Some(read_at)) = (&kept.good, kept.read_at)
            && (TimeDelta::zero()..GOOD_FOR).contains(&(now - read_at))
        {
            return Ok(good.clone());
        }
        // With a good version at hand nobody waits for long: the event comes first.
        let deadline = if kept.good.is_some() { self.calls.within(PATIENCE, deadline) } else { deadline };
        let read = self.read(deadline).await;
        kept.read_at = Some(now);
        match (read, &mut kept.good) {
            (Ok(policy), _) => kept.good = Some(Current { policy: Arc::new(policy), trouble: None }),
            (Err(failure), Some(good)) => {
                tracing::error!(code = failure.code, error = %failure, "policy could not be read, the last good version goes on");
                good.trouble = Some(failure);
            }
            (Err(failure), None) => return Err(failure),
        }
        kept.good.clone().ok_or_else(|| self.unreadable("there is no version of it"))
    }

    async fn read(&self, deadline: Instant) -> Result<Policy, Failure> {
        let step = Step::ReadPolicy;
        let input = json!({"Name": self.name});
        let call = || self.client.call("GetParameter", &input, step, &self.name);
        let answer: Got = self.calls.read(step, &self.name, deadline, call).await.map_err(|error| error.failure)?;
        let parameter = answer.parameter.ok_or_else(|| self.unreadable("the answer holds no parameter"))?;
        if parameter.r#type.as_deref() == Some("SecureString") {
            return Err(self.unreadable("it is a SecureString: a policy is no secret, store it as a String"));
        }
        parameter
            .value
            .unwrap_or_default()
            .parse()
            .map_err(|invalid: crate::policy::Invalid| self.unreadable(&invalid.to_string()))
    }

    fn unreadable(&self, detail: &str) -> Failure {
        Failure::new(Step::ReadPolicy, code::POLICY_INVALID, &self.name, detail)
    }
}
