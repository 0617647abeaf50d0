//! The dead-letter queue and the work queue.

use super::{Environment, Problem};

/// How often a message of the work queue is received before it counts as failed, unless
/// `WORK_QUEUE_MAX_RECEIVES` says otherwise.
pub const DEFAULT_MAX_RECEIVES: u32 = 5;

/// `WORK_QUEUE_URL` and `WORK_QUEUE_MAX_RECEIVES`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkQueueSettings {
    /// The URL of the queue that sweeps are fanned out to and deferred work waits in.
    pub url: String,
    /// `maxReceiveCount` of [its redrive policy][redrive]: at this receive the function itself
    /// writes the dead letter, with the diagnosis.
    ///
    /// [redrive]: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
    pub max_receives: u32,
}

/// The variables of this group.
pub(super) struct Queues {
    pub(super) failure_queue_url: Option<String>,
    pub(super) work_queue: Option<WorkQueueSettings>,
}

impl Queues {
    pub(super) fn read(environment: &Environment, problems: &mut Vec<Problem>) -> Self {
        const QUEUE_URL: &str = "the URL of an SQS queue: https://sqs.<region>.amazonaws.com/<account>/<name>";
        let failure_queue_url = environment.text("FAILURE_QUEUE_URL", is_queue_url, QUEUE_URL, problems);
        let work_queue_url = environment.text("WORK_QUEUE_URL", is_queue_url, QUEUE_URL, problems);
        let max_receives = environment.number("WORK_QUEUE_MAX_RECEIVES", 1..=1_000, problems);
        let max_receives = max_receives.unwrap_or(DEFAULT_MAX_RECEIVES);
        Self { failure_queue_url, work_queue: work_queue_url.map(|url| WorkQueueSettings { url, max_receives }) }
    }
}

fn is_queue_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.and_then(|rest| rest.split_once('/')).is_some_and(|(host, path)| !host.is_empty() && !path.is_empty())
}
