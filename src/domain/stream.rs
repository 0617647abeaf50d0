//! A Kinesis data stream: its name, its status and its encryption, as [DescribeStreamSummary]
//! returns them.
//!
//! [DescribeStreamSummary]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DescribeStreamSummary.html

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};

use crate::domain::arn::{Malformed, resource_arn};

/// A [stream's name][CreateStream]: 1 to 128 characters of `[a-zA-Z0-9_.-]`, unique within an
/// account and Region.
///
/// [CreateStream]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_CreateStream.html
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName(String);

impl StreamName {
    /// What [`FromStr`] accepts, in words.
    pub const EXPECTED: &'static str = "a stream name: 1 to 128 characters of a-z, A-Z, 0-9, '_', '.' and '-'";

    /// The name as a text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StreamName {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        if (1..=128).contains(&text.len()) && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Malformed::new(text, Self::EXPECTED))
        }
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

resource_arn! {
    /// A stream's ARN, `arn:aws:kinesis:us-east-1:111122223333:stream/orders`, checked part by
    /// part.
    ///
    /// It is built from a name where `CloudTrail` records a call by name, which has no ARN.
    pub struct StreamArn {
        service: "kinesis",
        resource: "stream/",
        id: StreamName,
        expected: "a stream ARN: arn:<partition>:kinesis:<region>:<12-digit account>:stream/<name>",
    }
}

impl StreamArn {
    /// The stream's name: the last part of the ARN.
    #[must_use]
    pub fn name(&self) -> &str {
        self.resource_id()
    }
}

/// A stream as an event, a request or a person names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StreamRef {
    /// By ARN.
    Arn(StreamArn),
    /// By name alone, in the function's own account and Region. It is described by name once; from
    /// then on the ARN in that answer is used.
    Name(StreamName),
}

impl StreamRef {
    /// The stream's name, which is unique within an account and Region.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Arn(arn) => arn.name(),
            Self::Name(name) => name.as_str(),
        }
    }
}

impl FromStr for StreamRef {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        if text.starts_with("arn:") {
            text.parse().map(Self::Arn)
        } else {
            text.parse().map(Self::Name).map_err(|_| {
                Malformed::new(
                    text,
                    "a stream name (1 to 128 characters of a-z, A-Z, 0-9, '_', '.' and '-') or a stream ARN",
                )
            })
        }
    }
}

impl fmt::Display for StreamRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arn(arn) => arn.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// `StreamStatus` of [StreamDescriptionSummary].
///
/// [StreamDescriptionSummary]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_StreamDescriptionSummary.html
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamStatus {
    /// Being created: it can only be described.
    Creating,
    /// The only status in which its encryption is assessed and changed.
    Active,
    /// Being changed. Reads and writes go on, and the description still shows the *old* encryption.
    Updating,
    /// Being deleted.
    Deleting,
    /// A status that AWS introduced after this version: the function waits for it to pass, as for
    /// [`StreamStatus::Updating`].
    Other(String),
}

impl fmt::Display for StreamStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Creating => "CREATING",
            Self::Active => "ACTIVE",
            Self::Updating => "UPDATING",
            Self::Deleting => "DELETING",
            Self::Other(other) => other,
        })
    }
}

impl From<&str> for StreamStatus {
    fn from(text: &str) -> Self {
        match text {
            "CREATING" => Self::Creating,
            "ACTIVE" => Self::Active,
            "UPDATING" => Self::Updating,
            "DELETING" => Self::Deleting,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// `StreamMode` of [StreamModeDetails]: how the stream's capacity is set.
///
/// [StreamModeDetails]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_StreamModeDetails.html
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamMode {
    /// By the number of shards, which its owner sets.
    Provisioned,
    /// By AWS, as traffic needs it.
    OnDemand,
    /// A mode that AWS introduced after this version.
    Other(String),
}

impl StreamMode {
    /// The mode's name in the API.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Provisioned => "PROVISIONED",
            Self::OnDemand => "ON_DEMAND",
            Self::Other(other) => other,
        }
    }
}

impl From<&str> for StreamMode {
    fn from(text: &str) -> Self {
        match text {
            "PROVISIONED" => Self::Provisioned,
            "ON_DEMAND" => Self::OnDemand,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// What one `DescribeStreamSummary` returned, as far as it is used here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The stream's ARN, also where it was described by name.
    pub arn: StreamArn,
    /// Its status.
    pub status: StreamStatus,
    /// The `KeyId` as it was given to `StartStreamEncryption`; `None` if the stream is not
    /// encrypted.
    pub key_id: Option<String>,
    /// When it was created. This distinguishes a stream from a later one of the same name.
    pub created: Option<DateTime<Utc>>,
    /// How its capacity is set; `None` if the answer does not say.
    pub mode: Option<StreamMode>,
    /// The retention period of its records, in hours.
    pub retention_hours: Option<u32>,
    /// How many consumers with enhanced fan-out are registered.
    pub consumers: Option<u32>,
    /// How many channels deliver its records to Amazon S3, each with a role of its own.
    pub channels: Option<u32>,
    /// How many queues it has, which are not among its consumers.
    pub queues: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:kinesis:us-east-1:111122223333:stream/orders";

    #[test]
    fn a_stream_is_pointed_at_by_name_or_by_arn_and_by_nothing_else() {
        for (text, name) in [(ARN, "orders"), ("orders", "orders"), ("a.B_c-1", "a.B_c-1")] {
            let stream: StreamRef = text.parse().expect("a stream");
            assert_eq!((stream.name(), stream.to_string().as_str()), (name, text));
        }
        for text in [
            "",
            "a b",
            "ü",
            "arn:aws:kinesis:us-east-1:111122223333:stream/",
            "arn:aws:kinesis:us-east-1:111122223333:orders",
            "arn:aws:kinesis:us-east-1:111122223333:stream/orders/consumer/a:1",
            "arn:aws:firehose:us-east-1:111122223333:stream/orders",
        ] {
            assert_eq!(text.parse::<StreamRef>().expect_err(text).found, text);
        }
        let name = |length: usize| "a".repeat(length).parse::<StreamName>();
        assert!(name(128).is_ok() && name(129).is_err());
    }

    #[test]
    fn an_arn_is_built_of_a_region_and_an_account_that_can_be() {
        let name: StreamName = "orders".parse().expect("a name");
        let arn = StreamArn::build("us-east-1", "111122223333", &name).expect("an ARN");
        assert_eq!(
            (arn.as_str(), arn.region(), arn.account(), arn.name()),
            (ARN, "us-east-1", "111122223333", "orders")
        );
        assert_eq!(serde_json::to_value(&arn).expect("JSON"), ARN);
        for (region, account) in [("europe", "111122223333"), ("us-east-1", "1111")] {
            assert!(StreamArn::build(region, account, &name).is_err(), "{region} {account}");
        }
    }

    #[test]
    fn states_and_modes_are_called_as_aws_calls_them_and_new_ones_are_kept() {
        for (text, status) in [
            ("CREATING", StreamStatus::Creating),
            ("ACTIVE", StreamStatus::Active),
            ("UPDATING", StreamStatus::Updating),
            ("DELETING", StreamStatus::Deleting),
            ("MERGING", StreamStatus::Other("MERGING".to_owned())),
        ] {
            assert_eq!((StreamStatus::from(text), status.to_string().as_str()), (status.clone(), text));
        }
        for (text, mode) in [
            ("PROVISIONED", StreamMode::Provisioned),
            ("ON_DEMAND", StreamMode::OnDemand),
            ("ON_LEASE", StreamMode::Other("ON_LEASE".to_owned())),
        ] {
            assert_eq!((StreamMode::from(text), mode.as_str()), (mode.clone(), text));
        }
    }
}
