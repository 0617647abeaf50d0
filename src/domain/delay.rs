//! Delays that grow with every failure.

use std::time::Duration;

/// The longest delay of an SQS message: [`SendMessage`, `DelaySeconds`][SendMessage].
///
/// [SendMessage]: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
pub const LONGEST_SQS_DELAY: Duration = Duration::from_mins(15);

/// The `count`-th delay, where `first` is the first and each is twice the one before, up to
/// `longest`.
#[must_use]
pub fn doubled(first: Duration, count: u32, longest: Duration) -> Duration {
    first.saturating_mul(1 << count.saturating_sub(1).min(16)).min(longest)
}
