//! Who uses streams, as far as the configuration of other services, resource policies and
//! `CloudTrail`'s event history show it, for the terminal program. Nothing here changes anything.
//!
//! Each source is read by itself: one that cannot be read is named, with the IAM action that it
//! needs, and the others are read all the same.

mod history;
mod services;
mod stream;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_types::SdkConfig;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Mutex;

use super::calls::Calls;
use super::error::CallError;
use super::rest::RestClient;
use super::service::{CLOUDTRAIL, Client, DYNAMODB, EVENTBRIDGE, FIREHOSE, KINESIS, LAMBDA, LOGS, PIPES};
use crate::access::{Action, Evidence, KnownUse, Principal};
use crate::clock::Clock;
use crate::domain::failure::Step;
use crate::domain::stream::StreamArn;

pub use self::history::{HistoryRead, MOST_PAGES};

const STEP: Step = Step::FindUsers;

/// How long one call may take, its retries included.
const PATIENCE: Duration = Duration::from_secs(20);

/// The most pages of any list that are read.
const MOST_LIST_PAGES: usize = 100;

/// The IAM actions of the calls that find users.
pub const ACTIONS: [&str; 20] = [
    "cloudtrail:LookupEvents",
    "dynamodb:DescribeKinesisStreamingDestination",
    "dynamodb:ListTables",
    "events:ListEventBuses",
    "events:ListRuleNamesByTarget",
    "events:ListTargetsByRule",
    "firehose:DescribeDeliveryStream",
    "firehose:ListDeliveryStreams",
    "kinesis:DescribeChannel",
    "kinesis:GetResourcePolicy",
    "kinesis:ListChannels",
    "kinesis:ListQueues",
    "kinesis:ListStreamConsumers",
    "lambda:GetFunctionConfiguration",
    "lambda:ListEventSourceMappings",
    "logs:DescribeDestinations",
    "logs:DescribeLogGroups",
    "logs:DescribeSubscriptionFilters",
    "pipes:DescribePipe",
    "pipes:ListPipes",
];

/// A source of users that was not read, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NotRead {
    /// What was not read, such as `event source mappings of orders`.
    pub what: String,
    /// Why: an error code with the IAM action that the call needs, or a limit.
    pub why: String,
    /// Whether it is an event history of which the newest part was read: that of a busy key is always
    /// longer.
    pub is_older_history: bool,
}

impl NotRead {
    /// A source that could not be read.
    #[must_use]
    pub fn new(what: String, why: String) -> Self {
        Self { what, why, is_older_history: false }
    }

    /// A call that failed; `action` is its IAM action.
    fn failed(what: impl fmt::Display, action: &str, error: &CallError) -> Self {
        Self::new(what.to_string(), format!("{} ({action})", error.failure.code))
    }

    /// More than is read.
    fn too_many(what: impl fmt::Display, read: impl fmt::Display) -> Self {
        Self::new(what.to_string(), format!("only {read} were read"))
    }
}

impl fmt::Display for NotRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

/// What the sources name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The uses of streams.
    pub uses: Vec<KnownUse>,
    /// What was not read.
    pub not_read: Vec<NotRead>,
}

impl Found {
    fn add(&mut self, stream: &StreamArn, action: Action, principal: Principal, evidence: Evidence) {
        self.uses.push(KnownUse { stream: stream.clone(), action, principal, evidence });
    }

    /// Adds a role by its ARN. One that cannot be read is a user that nobody can ask about.
    fn add_role(&mut self, stream: &StreamArn, action: Action, role: &str, evidence: Evidence) {
        let principal = Principal::read(role).unwrap_or_else(|| Principal::Other(role.to_owned()));
        self.add(stream, action, principal, evidence);
    }

    /// Adds what another source names.
    pub fn extend(&mut self, other: Self) {
        self.uses.extend(other.uses);
        self.not_read.extend(other.not_read);
    }
}

/// The clients of the services that know who uses streams, in one account and Region.
#[derive(Debug)]
pub struct UserSources {
    cloudtrail: Client,
    dynamodb: Client,
    events: Client,
    firehose: Client,
    kinesis: Client,
    logs: Client,
    lambda: RestClient,
    pipes: RestClient,
    calls: Calls,
    clock: Clock,
    /// The role of each function that was looked at, by the function's ARN.
    function_roles: Mutex<BTreeMap<String, Arc<Result<String, NotRead>>>>,
}

impl UserSources {
    /// The clients for the account and Region of `config`.
    #[must_use]
    pub fn new(config: &SdkConfig, clock: &Clock) -> Self {
        Self {
            cloudtrail: Client::new(config, CLOUDTRAIL),
            dynamodb: Client::new(config, DYNAMODB),
            events: Client::new(config, EVENTBRIDGE),
            firehose: Client::new(config, FIREHOSE),
            kinesis: Client::new(config, KINESIS),
            logs: Client::new(config, LOGS),
            lambda: RestClient::new(config, LAMBDA),
            pipes: RestClient::new(config, PIPES),
            calls: Calls::new(clock.clone()),
            clock: clock.clone(),
            function_roles: Mutex::default(),
        }
    }

    async fn call<T: DeserializeOwned>(
        &self,
        client: &Client,
        operation: &'static str,
        input: &Value,
    ) -> Result<T, CallError> {
        let until = self.clock.instant() + PATIENCE;
        self.calls.read(STEP, &operation, until, || client.call(operation, input, STEP, &operation)).await
    }

    async fn get<T: DeserializeOwned>(
        &self,
        client: &RestClient,
        operation: &'static str,
        path: &str,
    ) -> Result<T, CallError> {
        let until = self.clock.instant() + PATIENCE;
        self.calls.read(STEP, &operation, until, || client.get(path, STEP, &operation)).await
    }
}

/// A text as part of a path or a query of a URL.
fn escaped(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}
