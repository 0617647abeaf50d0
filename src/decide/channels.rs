//! Delivery channels, which cannot read a stream that has the AWS managed key.

use super::DesiredKey;
use crate::domain::failure::{Failure, Step, code};
use crate::domain::stream::Description;

/// Why `desired` must not be applied to the stream because of its delivery channels, if so.
///
/// A channel reads with a role of its own, and [does not support][security] a stream that is
/// encrypted with `alias/aws/kinesis`. What becomes of the channel when that key is applied is not
/// documented; a stream that nobody can deliver from is the likely end.
///
/// [security]: https://docs.aws.amazon.com/streams/latest/dev/data-delivery-security.html
pub(super) fn refusal(stream: &Description, desired: &DesiredKey) -> Option<Failure> {
    let count = stream.channels.filter(|count| *count > 0)?;
    let channels = if count == 1 { "a delivery channel".to_owned() } else { format!("{count} delivery channels") };
    let detail = format!("the stream has {channels}, and a channel cannot read a stream with the AWS managed key");
    let refuse = || Failure::new(Step::StartStreamEncryption, code::CHANNEL_NEEDS_CUSTOMER_KEY, &stream.arn, &detail);
    (*desired == DesiredKey::AwsManaged).then(refuse)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::failure::Class;
    use crate::domain::stream::StreamStatus;

    #[test]
    fn only_the_aws_managed_key_is_refused_and_only_to_a_stream_with_a_channel() {
        let key = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
        let customer = DesiredKey::Key { arn: key.parse().expect("an ARN"), trouble: None };
        for (channels, desired, words) in [
            (None, DesiredKey::AwsManaged, None),
            (Some(0), DesiredKey::AwsManaged, None),
            (Some(1), DesiredKey::AwsManaged, Some("has a delivery channel,")),
            (Some(2), DesiredKey::AwsManaged, Some("has 2 delivery channels,")),
            (Some(2), customer, None),
        ] {
            let stream = Description {
                arn: "arn:aws:kinesis:us-east-1:111122223333:stream/orders".parse().expect("an ARN"),
                status: StreamStatus::Active,
                key_id: None,
                created: None,
                mode: None,
                retention_hours: None,
                consumers: None,
                channels,
                queues: Some(2),
            };
            let refused = refusal(&stream, &desired);
            assert_eq!(refused.is_some(), words.is_some(), "{channels:?} {desired:?}");
            if let (Some(failure), Some(words)) = (refused, words) {
                assert_eq!(
                    (failure.code.as_str(), failure.class, failure.message.contains(words)),
                    ("ChannelNeedsCustomerKey", Class::Terminal, true),
                    "{failure}"
                );
            }
        }
    }
}
