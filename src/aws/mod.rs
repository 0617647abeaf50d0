//! The only module that uses the AWS SDK. Errors are classified beside the call that returned them.
//!
//! The SDK's own retries are off: its token bucket is process-wide, its jitter cannot be seeded,
//! and it sends `StartStreamEncryption` again when an answer is lost. [`Calls`] retries instead,
//! until the deadline, and logs each retry.

#[cfg(feature = "cli")]
pub mod caller;
mod calls;
pub mod config;
mod connect;
#[cfg(feature = "cli")]
pub mod dead_letters;
pub(crate) mod error;
pub mod events;
#[cfg(feature = "cli")]
pub mod functions;
pub mod history;
pub mod http;
#[cfg(feature = "cli")]
pub mod iam;
pub mod kinesis;
pub mod kms;
pub mod member_accounts;
pub mod policy;
#[cfg(feature = "cli")]
pub mod proxy;
mod queue_count;
pub mod rate_limit;
#[cfg(feature = "cli")]
pub mod regions;
#[cfg(feature = "cli")]
mod rest;
#[cfg(feature = "cli")]
pub mod security_hub;
pub(crate) mod service;
pub mod sqs;
pub mod ssm;
#[cfg(feature = "cli")]
mod start_gate;
pub mod tagging;
#[cfg(feature = "cli")]
pub mod users;

use std::sync::Arc;

use aws_types::SdkConfig;

use self::rate_limit::{RateLimiters, RateShare};
use self::service::{Client, SQS};
use crate::clock::Clock;
use crate::domain::mode::Mode;
use crate::settings::Settings;

pub use calls::Calls;
pub(crate) use calls::millis;
pub use error::{CallError, Fate};

/// The IAM actions that the calls in this module need; the template's role grants exactly these.
pub const ACTIONS: [&str; 16] = [
    "cloudtrail:LookupEvents",
    "events:PutEvents",
    "kinesis:DescribeStreamSummary",
    "kinesis:GetResourcePolicy",
    "kinesis:ListStreams",
    "kinesis:ListTagsForStream",
    "kinesis:StartStreamEncryption",
    "kms:DescribeKey",
    "kms:GetKeyPolicy",
    "sqs:ChangeMessageVisibility",
    "sqs:GetQueueAttributes",
    "sqs:SendMessage",
    "ssm:GetParameter",
    "ssm:PutParameter",
    "sts:AssumeRole",
    "tag:GetResources",
];

/// The clients, made once per process.
#[derive(Clone, Debug)]
pub struct Aws {
    /// Reads streams.
    pub streams: kinesis::Streams,
    /// Changes their encryption; absent in audit mode.
    pub encryption: Option<kinesis::Encryption>,
    /// Reads who changed streams' encryption.
    pub history: history::History,
    /// Reads keys.
    pub keys: kms::Keys,
    /// Publishes outcome events, if an event bus is configured.
    pub events: Option<events::Bus>,
    /// Writes dead letters, if a queue is configured.
    pub dead_letters: Option<sqs::DeadLetterSender>,
    /// The work queue, if one is configured.
    pub work: Option<sqs::WorkQueue>,
    /// The queue that denied calls come by, if one is configured.
    pub denials: Option<sqs::WorkQueue>,
    /// What is known of denied calls, if a parameter is configured.
    pub access_state: Option<ssm::StateParameter>,
    /// Reads the policy.
    pub policy: policy::PolicyReader,
    /// Finds streams by their tags.
    pub tagging: tagging::Tagging,
    /// The member accounts, if any are configured.
    pub members: Option<Arc<member_accounts::MemberClients>>,
    /// The Region of all these clients.
    pub region: String,
}

impl Aws {
    /// Makes the clients that `settings` call for.
    #[must_use]
    pub fn new(config: &SdkConfig, settings: &Settings, clock: &Clock) -> Self {
        let calls = Arc::new(Calls::new(clock.clone()));
        let sqs = Client::new(config, SQS);
        let writes = settings.mode == Mode::Enforce;
        let acting = AccountClients::new(config, writes, &calls);
        let mut aws = Self {
            streams: acting.streams,
            encryption: acting.encryption,
            history: acting.history,
            keys: acting.keys,
            tagging: acting.tagging,
            policy: policy::PolicyReader::new(config, Arc::clone(&calls), &settings.policy),
            events: settings
                .outcome_event_bus
                .as_ref()
                .map(|bus| events::Bus::new(config, Arc::clone(&calls), bus.clone())),
            dead_letters: settings
                .failure_queue_url
                .as_ref()
                .map(|url| sqs::DeadLetterSender::new(sqs.clone(), Arc::clone(&calls), url.clone())),
            work: settings
                .work_queue
                .as_ref()
                .map(|queue| sqs::WorkQueue::new(sqs.clone(), Arc::clone(&calls), queue.url.clone(), writes)),
            denials: settings
                .denials_queue_url
                .as_ref()
                .map(|url| sqs::WorkQueue::new(sqs, Arc::clone(&calls), url.clone(), writes)),
            access_state: settings
                .access_state_parameter
                .as_ref()
                .map(|name| ssm::StateParameter::new(config, Arc::clone(&calls), name.clone())),
            members: None,
            region: config.region().map(ToString::to_string).unwrap_or_default(),
        };
        if let Some(members) = &settings.members {
            aws.members =
                Some(Arc::new(member_accounts::MemberClients::new(config, members, aws.clone(), calls, clock)));
        }
        aws
    }

    /// The same with clients that act in the member account `account`, by the credentials in
    /// `config`. Queues, event bus and policy stay the function's own.
    fn in_account(&self, account: &str, config: &SdkConfig, calls: &Arc<Calls>) -> Self {
        let AccountClients { streams, encryption, history, keys, tagging } =
            AccountClients::new(config, self.encryption.is_some(), calls);
        let streams = streams.of_account(account, &self.region);
        Self { streams, encryption, history, keys, tagging, ..self.clone() }
    }
}

/// The clients that act in one account: on its streams, keys, tags and event history.
struct AccountClients {
    streams: kinesis::Streams,
    encryption: Option<kinesis::Encryption>,
    history: history::History,
    keys: kms::Keys,
    tagging: tagging::Tagging,
}

impl AccountClients {
    fn new(config: &SdkConfig, writes: bool, calls: &Arc<Calls>) -> Self {
        let kinesis = aws_sdk_kinesis::Client::new(config);
        Self {
            streams: kinesis::Streams::new(kinesis.clone(), Arc::clone(calls), RateLimiters::with(RateShare::Whole)),
            encryption: writes.then(|| kinesis::Encryption::new(kinesis, Arc::clone(calls))),
            history: history::History::new(config, Arc::clone(calls)),
            keys: kms::Keys::new(config, Arc::clone(calls)),
            tagging: tagging::Tagging::new(config, Arc::clone(calls)),
        }
    }
}
