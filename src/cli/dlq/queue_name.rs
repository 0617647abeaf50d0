//! How a person names a queue: by its name, its URL or its ARN.

use anyhow::{Result, anyhow};
use aws_types::SdkConfig;

use crate::aws::dead_letters::DeadLetterQueue;
use crate::cli::visible::visible;
use crate::clock::Clock;
use crate::domain::arn::Arn;

/// The most characters of a queue's name.
///
/// Source: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html>.
const LONGEST_NAME: usize = 80;

/// The Region in the ARN of a queue; `None` for a name or a URL.
pub(super) fn region_of(queue: &str) -> Option<&str> {
    arn_of(queue).map(|arn| arn.region)
}

/// The URL of the queue that `queue` names; AWS is asked for it unless it is a URL.
pub(super) async fn url_of(queue: &str, config: &SdkConfig, clock: &Clock) -> Result<String> {
    if queue.starts_with("https://") || queue.starts_with("http://") {
        return Ok(queue.to_owned());
    }
    let region = config.region().map(ToString::to_string).unwrap_or_default();
    let (name, account) = match arn_of(queue) {
        Some(arn) if arn.region != region => {
            return Err(anyhow!("the queue {queue} is in {}: pass --region {}", arn.region, arn.region));
        }
        Some(arn) => (arn.resource, Some(arn.account)),
        None => (queue, None),
    };
    let stem = name.strip_suffix(".fifo").unwrap_or(name);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if stem.is_empty() || name.len() > LONGEST_NAME || !stem.bytes().all(is_plain) {
        return Err(anyhow!("{queue:?} is not the name, the URL or the ARN of an SQS queue"));
    }
    let url = DeadLetterQueue::url_of(config, clock, name, account).await;
    url.map_err(|error| anyhow!("cannot find the queue {name} in {region}: {}", visible(&error.failure)))
}

/// Whether two URLs are those of the same queue of a Region: its account and its name end each of
/// them, whatever the endpoint is.
///
/// Source: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-queue-message-identifiers.html>.
pub(super) fn is_same(queue_url: &str, other_url: &str) -> bool {
    let account_and_name = |url| str::rsplit(url, '/').take(2);
    account_and_name(queue_url.trim_end_matches('/')).eq(account_and_name(other_url.trim_end_matches('/')))
}

fn arn_of(queue: &str) -> Option<Arn<'_>> {
    Arn::split(queue).filter(|arn| arn.service == "sqs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_the_same_behind_every_endpoint() {
        let queue_url = "https://sqs.us-east-1.amazonaws.com/111122223333/dead";
        for (other_url, expected) in [
            (queue_url, true),
            ("https://sqs.us-east-1.amazonaws.com/111122223333/dead/", true),
            ("https://us-east-1.queue.amazonaws.com/111122223333/dead", true),
            ("https://sqs.us-east-1.amazonaws.com/111122223333/work", false),
            ("https://sqs.us-east-1.amazonaws.com/999988887777/dead", false),
        ] {
            assert_eq!(is_same(queue_url, other_url), expected, "{other_url}");
        }
    }
}
