//! An account, a paused clock, and SDK clients that reach the account.

use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::error::ProvideErrorMetadata;
use aws_sdk_kinesis::types::{EncryptionType, StreamDescriptionSummary};
use aws_sdk_kms::types::KeyMetadata;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::retry::RetryConfig;
use chrono::DateTime;
use kinesis_encryption_enforcer::clock::Clock;
use kinesis_encryption_enforcer::sandbox::Account;

pub(crate) const ACCOUNT: &str = "111122223333";
pub(crate) const REGION: &str = "us-east-1";

/// The account of a test, and clients that reach it.
pub(crate) struct World {
    pub(crate) account: Account,
    pub(crate) clock: Clock,
    pub(crate) kinesis: aws_sdk_kinesis::Client,
    pub(crate) kms: aws_sdk_kms::Client,
    pub(crate) sqs: aws_sdk_sqs::Client,
}

/// The code and the message of an error.
pub(crate) type Refused = (String, String);

pub(crate) fn refused(err: &impl ProvideErrorMetadata) -> Refused {
    (err.code().unwrap_or("no code").to_owned(), err.message().unwrap_or_default().to_owned())
}

impl World {
    /// An account on 2026-09-19, the day of the recordings.
    pub(crate) fn new() -> Self {
        let clock = Clock::starting_at(SystemTime::from(DateTime::parse_from_rfc3339("2026-09-19T00:00:00Z").unwrap()));
        let account = Account::new(clock.clone(), REGION, ACCOUNT);
        let config = sdk_config(&clock, account.http_client(), REGION, "AKIAIOSFODNN7EXAMPLE");
        Self {
            account,
            clock,
            kinesis: aws_sdk_kinesis::Client::new(&config),
            kms: aws_sdk_kms::Client::new(&config),
            sqs: aws_sdk_sqs::Client::new(&config),
        }
    }

    pub(crate) fn arn(name: &str) -> String {
        format!("arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{name}")
    }

    pub(crate) async fn describe(&self, name: &str) -> Result<StreamDescriptionSummary, Refused> {
        let answer = self.kinesis.describe_stream_summary().stream_name(name).send().await;
        Ok(answer.map_err(|err| refused(&err))?.stream_description_summary.unwrap())
    }

    pub(crate) async fn start(&self, name: &str, key_id: &str) -> Result<(), Refused> {
        let call = self
            .kinesis
            .start_stream_encryption()
            .stream_name(name)
            .encryption_type(EncryptionType::Kms)
            .key_id(key_id);
        call.send().await.map(|_| ()).map_err(|err| refused(&err))
    }

    pub(crate) async fn stop(&self, name: &str) -> Result<(), Refused> {
        let call = self
            .kinesis
            .stop_stream_encryption()
            .stream_name(name)
            .encryption_type(EncryptionType::Kms)
            .key_id("alias/aws/kinesis");
        call.send().await.map(|_| ()).map_err(|err| refused(&err))
    }

    pub(crate) async fn describe_key(&self, key_id: &str) -> Result<KeyMetadata, Refused> {
        let answer = self.kms.describe_key().key_id(key_id).send().await;
        Ok(answer.map_err(|err| refused(&err))?.key_metadata.unwrap())
    }

    /// The status and the key in the description of a stream.
    pub(crate) async fn shows(&self, name: &str) -> (String, Option<String>) {
        let summary = self.describe(name).await.unwrap();
        (summary.stream_status.to_string(), summary.key_id)
    }
}

pub(crate) fn sdk_config(
    clock: &Clock,
    http_client: SharedHttpClient,
    region: &'static str,
    access_key: &str,
) -> aws_types::SdkConfig {
    let credentials = aws_credential_types::Credentials::new(access_key, "secret", None, None, "test");
    aws_types::SdkConfig::builder()
        .behavior_version(aws_sdk_kinesis::config::BehaviorVersion::latest())
        .region(aws_types::region::Region::from_static(region))
        .credentials_provider(aws_credential_types::provider::SharedCredentialsProvider::new(credentials))
        .retry_config(RetryConfig::disabled())
        .time_source(clock.clone())
        .sleep_impl(aws_smithy_async::rt::sleep::SharedAsyncSleep::new(aws_smithy_async::rt::sleep::TokioSleep::new()))
        .http_client(http_client)
        .build()
}

/// Lets virtual time pass.
pub(crate) async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
