//! The dead-letter queue and the work queue.

use super::{Environment, Problem};

/// How often a message of the work queue is received before it counts as failed, unless
/// `WORK_QUEUE_MAX_RECEIVES` says otherwise.
pub const DEFAULT_MAX_RECEIVES: u32 = 5;

const FAILURE_QUEUE_URL: &str = "FAILURE_QUEUE_URL";
const WORK_QUEUE_URL: &str = "WORK_QUEUE_URL";

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
        let failure_queue_url = queue(environment, FAILURE_QUEUE_URL, problems);
        let work_queue_url = queue(environment, WORK_QUEUE_URL, problems);
        if work_queue_url.is_some() && work_queue_url == failure_queue_url {
            let what = "is the queue in FAILURE_QUEUE_URL: set them to two queues, or the function would work on its \
                        own dead letters";
            problems.push(Problem::variable(WORK_QUEUE_URL, what.to_owned()));
        }
        let max_receives = environment.number("WORK_QUEUE_MAX_RECEIVES", 1..=1_000, problems);
        let max_receives = max_receives.unwrap_or(DEFAULT_MAX_RECEIVES);
        Self { failure_queue_url, work_queue: work_queue_url.map(|url| WorkQueueSettings { url, max_receives }) }
    }
}

/// The URL of a queue. It is not a FIFO queue, whose messages [need a group][SendMessage] that the
/// function does not send.
///
/// [SendMessage]: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
pub(super) fn queue(environment: &Environment, name: &'static str, problems: &mut Vec<Problem>) -> Option<String> {
    let is_fifo = environment.get(name).is_some_and(|url| url.trim_end().strip_suffix(".fifo").is_some());
    let expected = if is_fifo {
        "the URL of a standard queue, not of a FIFO queue: the function sends no message group"
    } else {
        "the URL of an SQS queue: https://sqs.<region>.amazonaws.com/<account>/<name>"
    };
    environment.text(name, is_queue_url, expected, problems)
}

/// A URL that ends with the [name of a queue][CreateQueue], of 1 to 80 characters.
///
/// [CreateQueue]: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html
fn is_queue_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let parts = rest.and_then(|rest| Some((rest.split_once('/')?.0, rest.rsplit_once('/')?.1)));
    parts.is_some_and(|(host, name)| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        !host.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_graphic())
            && (1..=80).contains(&name.len())
            && name.bytes().all(plain)
    })
}
