//! How requests of Kinesis name a stream, and the tokens in which its answers say where a list goes
//! on.

use chrono::{DateTime, Utc};

use super::input::Input;
use super::model::Model;
use super::service_error::ServiceError;
use crate::domain::stream::{StreamArn, StreamName};

pub(crate) const NAME_PATTERN: &str = "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+";
pub(crate) const ARN_PATTERN: &str =
    r"Member must satisfy regular expression pattern: arn:aws.*:kinesis:.*:\d{12}:stream/\S+";
/// How long a `NextToken` is valid: documented for [ListShards], assumed for `ListStreams`.
///
/// [ListShards]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListShards.html
const TOKEN_LIFETIME_MS: i64 = 300_000;

/// The name of the stream that a request names by name, by ARN, or by both if they agree. The
/// messages were recorded on 2026-09-19.
pub(crate) fn selected(model: &Model, input: Input<'_>) -> Result<String, ServiceError> {
    let name = input.text("StreamName")?;
    let arn = input.text("StreamARN")?;
    if let Some(name) = name {
        name.parse::<StreamName>().map_err(|_| ServiceError::validation(name, "streamName", NAME_PATTERN))?;
    }
    let Some(arn) = arn else {
        return name.map(str::to_owned).ok_or_else(|| {
            ServiceError::invalid_argument("Stream arn and stream name can't be empty at the same time")
        });
    };
    let arn: StreamArn = arn.parse().map_err(|_| ServiceError::validation(arn, "streamARN", ARN_PATTERN))?;
    if let Some(name) = name.filter(|name| *name != arn.name()) {
        let message = format!("Input stream name {name} doesn't match the inferred name in stream arn {arn}");
        return Err(ServiceError::invalid_argument(message));
    }
    if arn.account() != model.account {
        return Err(ServiceError::new("UnrecognizedClientException", "No account found for the given parameters"));
    }
    if arn.region() != model.region {
        return Err(model.not_found(arn.name()));
    }
    Ok(arn.name().to_owned())
}

pub(crate) fn write_token(last: &str, now: DateTime<Utc>) -> String {
    aws_smithy_types::base64::encode(format!("{}/{last}", now.timestamp_millis()))
}

pub(crate) fn read_token(token: &str, now: DateTime<Utc>) -> Result<String, ServiceError> {
    let invalid = || ServiceError::invalid_argument("NextToken is invalid");
    let text = aws_smithy_types::base64::decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(invalid)?;
    let (issued, last) = text.split_once('/').ok_or_else(invalid)?;
    let issued: i64 = issued.parse().map_err(|_| invalid())?;
    if now.timestamp_millis() - issued >= TOKEN_LIFETIME_MS {
        return Err(ServiceError::new("ExpiredNextTokenException", "NextToken has expired"));
    }
    Ok(last.to_owned())
}
