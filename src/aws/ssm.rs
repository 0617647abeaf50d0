//! Systems Manager Parameter Store: a policy in a parameter, and what is known of denied calls in
//! another.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_types::SdkConfig;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;

use super::calls::Calls;
use super::error::CallError;
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
    kept: Arc<AsyncMutex<Kept>>,
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

/// The answer of `GetParameter` or `PutParameter`, as far as it is used.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    parameter: Option<Parameter>,
    /// Of `PutParameter`: the number of the new version.
    version: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parameter {
    r#type: Option<String>,
    value: Option<String>,
    version: Option<i64>,
}

/// Makes a call, and retries it until `deadline`: one place for all, which keeps the function small.
async fn call(
    client: &Client,
    calls: &Calls,
    operation: &'static str,
    input: &Value,
    (step, name): (Step, &String),
    deadline: Instant,
) -> Result<Answer, Failure> {
    let call = || client.call(operation, input, step, name);
    Box::pin(calls.read(step, name, deadline, call)).await.map_err(|error| error.failure)
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
        let (client, calls) = (&self.client, &self.calls);
        let answer = call(client, calls, "GetParameter", &input, (step, &self.name), deadline).await?;
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

/// The parameter that holds what is known of denied calls.
///
/// It is written without a lock: Parameter Store has none. Each version is kept for a time, and the
/// answer of a write has the number of the version: whoever overwrote one that it did not read can
/// find out, and read it.
#[derive(Clone, Debug)]
pub struct StateParameter {
    client: Client,
    calls: Arc<Calls>,
    name: String,
    last_known: Arc<Mutex<String>>,
    recent: Arc<AsyncMutex<Option<Recent>>>,
}

/// When the parameter was read, and what that led to.
type Recent = (DateTime<Utc>, Result<String, Failure>);

/// The parameter's value, and which version of it that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The value.
    pub text: String,
    /// The version.
    pub version: i64,
}

impl StateParameter {
    pub(super) fn new(config: &SdkConfig, calls: Arc<Calls>, name: String) -> Self {
        Self {
            client: Client::new(config, SSM),
            calls,
            name,
            last_known: Arc::new(Mutex::new("{}".to_owned())),
            recent: Arc::default(),
        }
    }

    /// What this process last read, or meant to write.
    #[must_use]
    pub fn last_known(&self) -> String {
        self.last_known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, text: &str) {
        text.clone_into(&mut self.last_known.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The parameter as it was within the last minute, a failure to read it included: many streams
    /// ask, and one call a minute is enough.
    pub async fn recent(&self, deadline: Instant) -> Result<String, Failure> {
        let now = self.calls.utc();
        // The lock is held while reading, so that streams at work at once read once.
        let mut recent = self.recent.lock().await;
        if let Some((at, read)) = &*recent
            && (TimeDelta::zero()..GOOD_FOR).contains(&(now - *at))
        {
            return read.clone();
        }
        let read = self.read(None, deadline).await.map(|stored| stored.text);
        recent.insert((now, read)).1.clone()
    }

    /// Reads the parameter, or an earlier `version` of it, by [GetParameter].
    ///
    /// [GetParameter]: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html
    pub async fn read(&self, version: Option<i64>, deadline: Instant) -> Result<Stored, Failure> {
        let step = Step::ReadAccessState;
        let name = version.map_or_else(|| self.name.clone(), |version| format!("{}:{version}", self.name));
        let input = json!({ "Name": name });
        let (client, calls) = (&self.client, &self.calls);
        let deadline = calls.within(PATIENCE, deadline);
        let answer = call(client, calls, "GetParameter", &input, (step, &self.name), deadline).await?;
        match answer.parameter {
            Some(Parameter { value: Some(text), version: Some(version), .. }) => {
                self.remember(&text);
                Ok(Stored { text, version })
            }
            _ => Err(CallError::unreadable(step, &self.name).failure),
        }
    }

    /// Writes the parameter by [PutParameter], and returns the number of the new version. A call
    /// whose answer is lost is repeated, which makes one version more.
    ///
    /// [PutParameter]: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html
    pub async fn write(&self, text: &str, deadline: Instant) -> Result<i64, Failure> {
        let step = Step::WriteAccessState;
        self.remember(text);
        let input = json!({"Name": self.name, "Value": text, "Overwrite": true});
        let (client, calls) = (&self.client, &self.calls);
        let deadline = calls.within(PATIENCE, deadline);
        let answer = call(client, calls, "PutParameter", &input, (step, &self.name), deadline).await?;
        *self.recent.lock().await = Some((self.calls.utc(), Ok(text.to_owned())));
        answer.version.ok_or_else(|| CallError::unreadable(step, &self.name).failure)
    }
}
