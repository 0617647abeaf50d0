//! Where results are published: metrics and outcome events.

use super::{Environment, Problem};

/// The `CloudWatch` namespace, unless `METRICS_NAMESPACE` names another.
pub const DEFAULT_METRICS_NAMESPACE: &str = "KinesisEncryptionEnforcer";

/// The variables of this group.
pub(super) struct Reporting {
    pub(super) metrics_namespace: String,
    pub(super) outcome_event_bus: Option<String>,
}

impl Reporting {
    pub(super) fn read(environment: &Environment, problems: &mut Vec<Problem>) -> Self {
        Self {
            metrics_namespace: environment
                .text(
                    "METRICS_NAMESPACE",
                    is_namespace,
                    "1 to 255 characters of a-z, A-Z, 0-9, '.', '-', '_', '/', '#', ':' and ' ', not beginning with ':' or \
                     AWS/, without a space at either end",
                    problems,
                )
                .unwrap_or_else(|| DEFAULT_METRICS_NAMESPACE.to_owned()),
            outcome_event_bus: environment.text(
                "OUTCOME_EVENT_BUS",
                is_bus,
                "the name or the ARN of an EventBridge event bus, such as default",
                problems,
            ),
        }
    }
}

/// [A metric's namespace][PutMetricData].
///
/// [PutMetricData]: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html
fn is_namespace(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_/#: ".contains(&byte);
    let is_reserved = text.starts_with(':') || text.starts_with("AWS/");
    text.len() <= 255 && text.bytes().all(plain) && text.trim() == text && !is_reserved
}

/// [An event bus][PutEvents], by name or ARN.
///
/// [PutEvents]: https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsRequestEntry.html
fn is_bus(text: &str) -> bool {
    let part_of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:".contains(&byte);
    text.len() <= 1600
        && text.bytes().all(part_of_a_name)
        && (!text.contains(':')
            || text.starts_with("arn:")
                && text.contains(":events:")
                && text.split_once(":event-bus/").is_some_and(|(_, name)| !name.is_empty()))
}
