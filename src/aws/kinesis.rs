//! Kinesis Data Streams: [`Streams`] reads, and [`Encryption`], a type of its own, changes
//! encryption.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::{EncryptionType, StreamDescriptionSummary};
use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::calls::Calls;
use super::connect::into_ping;
use super::error::{CallError, Fate, MustHold};
use super::kms::read_document;
use super::queue_count::QueueCount;
use super::rate_limit::{Api, RateLimiters, RateShare};
#[cfg(feature = "cli")]
use super::start_gate::StartGate;
use crate::domain::PolicyDocument;
use crate::domain::arn::Malformed;
use crate::domain::encryption_change::QUOTA_WINDOW;
use crate::domain::failure::{Class, Step};
use crate::domain::stream::{Description, StreamArn, StreamMode, StreamName, StreamRef, StreamStatus};

/// Reads streams. It has no method that changes one.
#[derive(Clone, Debug)]
pub struct Streams {
    client: Client,
    calls: Arc<Calls>,
    limiters: Arc<RateLimiters>,
    /// The account and the Region, if streams that are listed by name alone need an ARN.
    place: Option<Arc<(String, String)>>,
}

/// One page of `ListStreams`, in the order of the streams' names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The streams, each with its status if the answer has it.
    pub streams: Vec<(StreamRef, Option<StreamStatus>)>,
    /// The last name on the page, after which the next page begins; `None` on the last page.
    pub go_on_after: Option<String>,
}

impl Streams {
    pub(super) fn new(client: Client, calls: Arc<Calls>, limiters: RateLimiters) -> Self {
        Self { client, calls, limiters: Arc::new(limiters), place: None }
    }

    /// The same, for a member account. There, streams need an ARN: a bare name means a stream in
    /// the function's own account.
    #[must_use]
    pub(super) fn of_account(self, account: &str, region: &str) -> Self {
        Self { place: Some(Arc::new((account.to_owned(), region.to_owned()))), ..self }
    }

    /// From now on, calls are limited to this share of the rates.
    pub fn limit_by(&self, share: RateShare) {
        self.limiters.set(share);
    }

    /// The retries and the jitter of these calls.
    #[must_use]
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Opens a connection to the endpoint of `stream`. An error is left for the first call to find.
    pub(super) async fn connect(&self, stream: &str) {
        let call = self.client.describe_stream_summary().stream_arn(stream).customize().mutate_request(into_ping);
        drop(Box::pin(call.send()).await);
    }

    /// [DescribeStreamSummary]: 20 calls a second are allowed per account and Region.
    ///
    /// [DescribeStreamSummary]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DescribeStreamSummary.html
    pub async fn describe(&self, stream: &StreamRef, deadline: Instant) -> Result<Description, CallError> {
        let step = Step::DescribeStream;
        self.calls
            .read(step, stream, deadline, || {
                let request = match stream {
                    StreamRef::Arn(arn) => self.client.describe_stream_summary().stream_arn(arn.as_str()),
                    StreamRef::Name(name) => self.client.describe_stream_summary().stream_name(name.as_str()),
                };
                let queues = QueueCount::default();
                let request = request.customize().interceptor(queues.clone());
                let call = Box::pin(async move {
                    let answer = request.send().await.map_err(|error| CallError::from_sdk(step, stream, &error))?;
                    let summary = answer.stream_description_summary.as_ref();
                    let description = summary.and_then(|summary| description(summary, queues.get()));
                    description
                        .filter(|description| is_of(description, stream))
                        .ok_or_else(|| CallError::unreadable(step, stream))
                });
                self.calls.paced(self.limiters.of(Api::DescribeStreamSummary), step, stream, deadline, call)
            })
            .await
    }

    /// All tags of a stream, by [ListTagsForStream]: 5 calls a second are allowed per account and
    /// Region.
    ///
    /// [ListTagsForStream]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListTagsForStream.html
    pub async fn tags(&self, stream: &StreamArn, deadline: Instant) -> Result<Vec<(String, String)>, CallError> {
        let step = Step::ListTags;
        let mut tags: Vec<(String, String)> = Vec::new();
        loop {
            let after = tags.last().map(|(key, _)| key.clone());
            let answer = self
                .calls
                .read(step, stream, deadline, || {
                    let request = self
                        .client
                        .list_tags_for_stream()
                        .stream_arn(stream.as_str())
                        .set_exclusive_start_tag_key(after.clone());
                    let request = request.customize().interceptor(MustHold { list: "Tags", more: "HasMoreTags" });
                    let call = Box::pin(async {
                        request.send().await.map_err(|error| CallError::from_sdk(step, stream, &error))
                    });
                    self.calls.paced(self.limiters.of(Api::ListTagsForStream), step, stream, deadline, call)
                })
                .await?;
            let (more, page) = (answer.has_more_tags, answer.tags);
            // After an empty page with more to come, the same page would be read for ever.
            if more && page.is_empty() {
                return Err(CallError::unreadable(step, stream));
            }
            tags.extend(page.into_iter().map(|tag| (tag.key, tag.value.unwrap_or_default())));
            if !more {
                return Ok(tags);
            }
        }
    }

    /// [GetResourcePolicy], without retries: it only makes a warning more precise.
    ///
    /// [GetResourcePolicy]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetResourcePolicy.html
    pub async fn policy(&self, stream: &StreamArn, deadline: Instant) -> PolicyDocument {
        let step = Step::GetPolicy;
        let request = self.client.get_resource_policy().resource_arn(stream.as_str());
        let call = Box::pin(async { request.send().await.map_err(|error| CallError::from_sdk(step, stream, &error)) });
        match self
            .calls
            .paced(
                self.limiters.of(Api::GetResourcePolicy),
                step,
                stream,
                deadline,
                self.calls.once(step, stream, deadline, call),
            )
            .await
        {
            Ok(answer) => read_document(Some(&answer.policy)),
            Err(error) if error.failure.class == Class::Gone => Ok(None),
            Err(error) => Err(error.failure.code),
        }
    }

    /// One page of [ListStreams]: the streams after the one named `after`. 5 calls a second are
    /// allowed per account and Region.
    ///
    /// The next page is read by name, not by `NextToken`: a token expires after 300 seconds, and a
    /// name can be part of a dead letter.
    ///
    /// [ListStreams]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListStreams.html
    pub async fn list(&self, after: Option<&str>, deadline: Instant) -> Result<Page, CallError> {
        let step = Step::ListStreams;
        let subject = "the account and Region";
        let answer = self
            .calls
            .read(step, &subject, deadline, || {
                let request = self.client.list_streams().set_exclusive_start_stream_name(after.map(str::to_owned));
                let request = request.customize().interceptor(MustHold { list: "StreamNames", more: "HasMoreStreams" });
                let call = Box::pin(async {
                    request.send().await.map_err(|error| CallError::from_sdk(step, &subject, &error))
                });
                self.calls.paced(self.limiters.of(Api::ListStreams), step, &subject, deadline, call)
            })
            .await?;
        let go_on_after = if answer.has_more_streams { answer.stream_names.last().cloned() } else { None };
        if answer.has_more_streams && (go_on_after.is_none() || go_on_after.as_deref() == after) {
            return Err(CallError::unreadable(step, &subject));
        }
        let summaries = answer.stream_summaries.unwrap_or_default();
        let streams = if summaries.is_empty() {
            answer.stream_names.iter().map(|name| Ok((self.reference(name.parse()?)?, None))).collect()
        } else {
            summaries
                .iter()
                .map(|summary| {
                    summary
                        .stream_arn
                        .parse()
                        .map(|arn| (StreamRef::Arn(arn), Some(StreamStatus::from(summary.stream_status.as_str()))))
                })
                .collect::<Result<Vec<_>, _>>()
        };
        let streams = streams.map_err(|_| CallError::unreadable(step, &subject))?;
        Ok(Page { streams, go_on_after })
    }

    /// A stream that is listed by name alone, as older emulators do.
    fn reference(&self, name: StreamName) -> Result<StreamRef, Malformed> {
        match self.place.as_deref() {
            Some((account, region)) => StreamArn::build(region, account, &name).map(StreamRef::Arn),
            None => Ok(StreamRef::Name(name)),
        }
    }
}

/// Changes streams' encryption. Audit mode and dry runs are never given one.
#[derive(Clone, Debug)]
pub struct Encryption {
    client: Client,
    calls: Arc<Calls>,
    accepted: Accepted,
    /// Closes when a person interrupts a command.
    #[cfg(feature = "cli")]
    gate: StartGate,
}

/// The times at which AWS accepted `StartStreamEncryption`, by the stream's name: those of this
/// process, and of the last 24 hours.
type Accepted = Arc<Mutex<HashMap<String, Vec<DateTime<Utc>>>>>;

impl Encryption {
    pub(super) fn new(client: Client, calls: Arc<Calls>) -> Self {
        Self {
            client,
            calls,
            accepted: Accepted::default(),
            #[cfg(feature = "cli")]
            gate: StartGate::default(),
        }
    }

    /// The gate that every start passes.
    #[cfg(feature = "cli")]
    #[must_use]
    pub fn gate(&self) -> &StartGate {
        &self.gate
    }

    /// When AWS accepted `StartStreamEncryption` for `stream` from this process, in the last 24
    /// hours.
    #[must_use]
    pub fn accepted(&self, stream: &StreamArn) -> Vec<DateTime<Utc>> {
        let since = self.calls.utc() - QUOTA_WINDOW;
        let accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        accepted.get(stream.name()).into_iter().flatten().copied().filter(|at| *at >= since).collect()
    }

    fn remember(&self, stream: &StreamArn) {
        let now = self.calls.utc();
        let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        accepted.retain(|_, times| times.last().is_some_and(|last| *last >= now - QUOTA_WINDOW));
        accepted.entry(stream.name().to_owned()).or_default().push(now);
    }

    /// [StartStreamEncryption], sent once, and once more only if AWS refused its signature. `Ok`
    /// means that the change has begun; describe the stream to see its end.
    ///
    /// [StartStreamEncryption]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_StartStreamEncryption.html
    pub async fn start(&self, stream: &StreamArn, key_id: &str, deadline: Instant) -> Result<(), CallError> {
        let step = Step::StartStreamEncryption;
        let request = self
            .client
            .start_stream_encryption()
            .stream_arn(stream.as_str())
            .encryption_type(EncryptionType::Kms)
            .key_id(key_id);
        let call = || async {
            #[cfg(feature = "cli")]
            self.gate.pass(stream, key_id).await;
            request.clone().send().await.map_err(|error| CallError::from_sdk(step, stream, &error))
        };
        let sent = self.calls.sign_again(step, stream, deadline, call).await.map(|_| ());
        // A call whose answer was lost may have been accepted, so it counts.
        if !matches!(&sent, Err(CallError { fate: Fate::Refused, .. })) {
            self.remember(stream);
            return sent;
        }
        #[cfg(feature = "cli")]
        self.gate.withdraw(stream);
        sent
    }
}

/// Writes a record to see whether AWS encrypts it. It is made only for `enforcer apply --probe`.
#[cfg(feature = "cli")]
#[derive(Clone, Debug)]
pub struct Probe {
    client: Client,
    calls: Arc<Calls>,
}

#[cfg(feature = "cli")]
impl Probe {
    /// A probe, with its own client.
    #[must_use]
    pub fn new(config: &aws_types::SdkConfig, clock: &crate::clock::Clock) -> Self {
        Self { client: Client::new(config), calls: Arc::new(Calls::new(clock.clone())) }
    }

    /// Writes one record by [PutRecord], and returns whether AWS encrypted it.
    ///
    /// [PutRecord]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecord.html
    pub async fn put(&self, stream: &StreamArn, deadline: Instant) -> Result<bool, CallError> {
        let step = Step::Probe;
        let data = aws_smithy_types::Blob::new("kinesis-encryption-enforcer probe");
        let request = self.client.put_record().stream_arn(stream.as_str()).partition_key("probe").data(data);
        let call = Box::pin(async { request.send().await.map_err(|error| CallError::from_sdk(step, stream, &error)) });
        let answer = self.calls.once(step, stream, deadline, call).await?;
        Ok(answer.encryption_type == Some(EncryptionType::Kms))
    }
}

fn description(summary: &StreamDescriptionSummary, queues: Option<u32>) -> Option<Description> {
    let count = |count: Option<i32>| count.and_then(|count| u32::try_from(count).ok());
    let encrypted = matches!(summary.encryption_type, Some(EncryptionType::Kms));
    let created = &summary.stream_creation_timestamp;
    Some(Description {
        arn: summary.stream_arn.parse().ok()?,
        status: StreamStatus::from(summary.stream_status.as_str()),
        key_id: summary.key_id.clone().filter(|_| encrypted),
        created: DateTime::from_timestamp(created.secs(), created.subsec_nanos()),
        mode: summary.stream_mode_details.as_ref().map(|details| StreamMode::from(details.stream_mode.as_str())),
        retention_hours: u32::try_from(summary.retention_period_hours).ok().filter(|hours| *hours > 0),
        consumers: count(summary.consumer_count),
        channels: count(summary.channel_count),
        queues,
    })
}

/// Whether `description` is that of the stream `asked` for. Otherwise another stream would be
/// assessed and changed in its place.
fn is_of(description: &Description, asked: &StreamRef) -> bool {
    match asked {
        StreamRef::Arn(arn) => description.arn == *arn,
        StreamRef::Name(name) => description.arn.name() == name.as_str(),
    }
}
