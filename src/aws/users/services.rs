//! What is asked once for all streams of an account and Region: Firehose, `CloudWatch` Logs and
//! `DynamoDB`.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::json;

use super::stream::with_token;
use super::{Found, MOST_LIST_PAGES, NotRead, UserSources};
use crate::access::{Action, Evidence};
use crate::domain::stream::StreamArn;

/// The most log groups whose subscription filters are read: each takes a call, and 10 a second are
/// allowed.
const MOST_LOG_GROUPS: usize = 500;
/// The most tables whose streaming destinations are read: each takes a call.
const MOST_TABLES: usize = 500;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FirehoseNames {
    delivery_stream_names: Vec<String>,
    has_more_delivery_streams: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FirehoseStream {
    delivery_stream_description: FirehoseDescription,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FirehoseDescription {
    source: Option<FirehoseSource>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FirehoseSource {
    kinesis_stream_source_description: Option<KinesisSource>,
}

#[derive(Debug, Deserialize)]
struct KinesisSource {
    #[serde(rename = "KinesisStreamARN")]
    stream: String,
    #[serde(rename = "RoleARN")]
    role: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Destinations {
    destinations: Vec<Destination>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the field names are the service's")]
struct Destination {
    destination_name: String,
    target_arn: String,
    role_arn: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogGroups {
    log_groups: Vec<LogGroup>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogGroup {
    log_group_name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filters {
    subscription_filters: Vec<Filter>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    destination_arn: String,
    role_arn: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tables {
    table_names: Vec<String>,
    last_evaluated_table_name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TableDestinations {
    kinesis_data_stream_destinations: Vec<TableDestination>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TableDestination {
    stream_arn: String,
    destination_status: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EventBuses {
    event_buses: Vec<EventBus>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EventBus {
    name: String,
}

impl UserSources {
    /// The users of `streams` that the services of the account and Region name.
    pub async fn of_services(&self, streams: &BTreeSet<StreamArn>) -> Found {
        let (mut firehose, mut destinations, mut filters, mut tables) = Default::default();
        tokio::join!(
            self.add_firehose(streams, &mut firehose),
            self.add_destinations(streams, &mut destinations),
            self.add_filters(streams, &mut filters),
            self.add_tables(streams, &mut tables),
        );
        let mut found = Found::default();
        for part in [firehose, destinations, filters, tables] {
            found.extend(part);
        }
        found
    }

    /// The names of the event buses, by [ListEventBuses]; at least the default one, which every
    /// account has.
    ///
    /// [ListEventBuses]: https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_ListEventBuses.html
    pub async fn event_buses(&self) -> (Vec<String>, Option<NotRead>) {
        let mut names = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let input = with_token(json!({}), "NextToken", token.as_deref());
            match self.call::<EventBuses>(&self.events, "ListEventBuses", &input).await {
                Ok(page) => {
                    names.extend(page.event_buses.into_iter().map(|bus| bus.name));
                    token = page.next_token;
                    if token.is_none() {
                        return (names, None);
                    }
                }
                Err(error) => {
                    let what = "the EventBridge buses other than default";
                    let not_read = NotRead::failed(what, "events:ListEventBuses", &error);
                    return (vec!["default".to_owned()], Some(not_read));
                }
            }
        }
    }

    /// [ListDeliveryStreams] and [DescribeDeliveryStream].
    ///
    /// [ListDeliveryStreams]: https://docs.aws.amazon.com/firehose/latest/APIReference/API_ListDeliveryStreams.html
    /// [DescribeDeliveryStream]: https://docs.aws.amazon.com/firehose/latest/APIReference/API_DescribeDeliveryStream.html
    async fn add_firehose(&self, streams: &BTreeSet<StreamArn>, found: &mut Found) {
        let what = "Firehose streams";
        let mut last: Option<String> = None;
        for _ in 0..MOST_LIST_PAGES {
            let input = json!({"DeliveryStreamType": "KinesisStreamAsSource", "Limit": 50});
            let input = with_token(input, "ExclusiveStartDeliveryStreamName", last.as_deref());
            let page: FirehoseNames = match self.call(&self.firehose, "ListDeliveryStreams", &input).await {
                Ok(page) => page,
                Err(error) => {
                    return found.not_read.push(NotRead::failed(what, "firehose:ListDeliveryStreams", &error));
                }
            };
            for name in &page.delivery_stream_names {
                let input = json!({"DeliveryStreamName": name});
                let described = self.call::<FirehoseStream>(&self.firehose, "DescribeDeliveryStream", &input).await;
                match described {
                    Ok(described) => {
                        let source = described.delivery_stream_description.source;
                        let source = source.and_then(|source| source.kinesis_stream_source_description);
                        if let Some(KinesisSource { stream, role }) = source
                            && let Some(stream) = known(streams, &stream)
                        {
                            let evidence = Evidence::Firehose { name: name.clone() };
                            found.add_role(stream, Action::Decrypt, &role, evidence);
                        }
                    }
                    Err(error) => {
                        let what = format!("the Firehose stream {name}");
                        found.not_read.push(NotRead::failed(what, "firehose:DescribeDeliveryStream", &error));
                    }
                }
            }
            last = page.delivery_stream_names.last().cloned();
            if !page.has_more_delivery_streams || last.is_none() {
                return;
            }
        }
        found.not_read.push(NotRead::too_many(what, format_args!("the first {MOST_LIST_PAGES} pages")));
    }

    /// [DescribeDestinations].
    ///
    /// [DescribeDestinations]: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_DescribeDestinations.html
    async fn add_destinations(&self, streams: &BTreeSet<StreamArn>, found: &mut Found) {
        let what = "CloudWatch Logs destinations";
        let mut token: Option<String> = None;
        for _ in 0..MOST_LIST_PAGES {
            let input = with_token(json!({}), "nextToken", token.as_deref());
            let page: Destinations = match self.call(&self.logs, "DescribeDestinations", &input).await {
                Ok(page) => page,
                Err(error) => return found.not_read.push(NotRead::failed(what, "logs:DescribeDestinations", &error)),
            };
            for Destination { destination_name: name, target_arn, role_arn } in page.destinations {
                if let Some(stream) = known(streams, &target_arn) {
                    let evidence = Evidence::LogsDestination { name };
                    found.add_role(stream, Action::GenerateDataKey, &role_arn, evidence);
                }
            }
            token = page.next_token;
            if token.is_none() {
                return;
            }
        }
        found.not_read.push(NotRead::too_many(what, format_args!("the first {MOST_LIST_PAGES} pages")));
    }

    /// [DescribeLogGroups] and [DescribeSubscriptionFilters], which takes one log group a call.
    ///
    /// [DescribeLogGroups]: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_DescribeLogGroups.html
    /// [DescribeSubscriptionFilters]: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_DescribeSubscriptionFilters.html
    async fn add_filters(&self, streams: &BTreeSet<StreamArn>, found: &mut Found) {
        let what = "the subscription filters of CloudWatch Logs";
        let mut token: Option<String> = None;
        let mut groups = 0;
        loop {
            let input = with_token(json!({"limit": 50}), "nextToken", token.as_deref());
            let page: LogGroups = match self.call(&self.logs, "DescribeLogGroups", &input).await {
                Ok(page) => page,
                Err(error) => return found.not_read.push(NotRead::failed(what, "logs:DescribeLogGroups", &error)),
            };
            for LogGroup { log_group_name: name } in page.log_groups {
                if groups == MOST_LOG_GROUPS {
                    let read = format!("those of {MOST_LOG_GROUPS} log groups");
                    return found.not_read.push(NotRead::too_many(what, read));
                }
                groups += 1;
                let input = json!({"logGroupName": name});
                match self.call::<Filters>(&self.logs, "DescribeSubscriptionFilters", &input).await {
                    Ok(filters) => {
                        for Filter { destination_arn, role_arn } in filters.subscription_filters {
                            if let Some((stream, role)) = known(streams, &destination_arn).zip(role_arn) {
                                let evidence = Evidence::SubscriptionFilter { name: name.clone() };
                                found.add_role(stream, Action::GenerateDataKey, &role, evidence);
                            }
                        }
                    }
                    // Who may not read one may read none.
                    Err(error) => {
                        let action = "logs:DescribeSubscriptionFilters";
                        return found.not_read.push(NotRead::failed(what, action, &error));
                    }
                }
            }
            token = page.next_token;
            if token.is_none() {
                return;
            }
        }
    }

    /// [ListTables] and [DescribeKinesisStreamingDestination]. `DynamoDB` writes with its
    /// [service-linked role].
    ///
    /// [ListTables]: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_ListTables.html
    /// [DescribeKinesisStreamingDestination]: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeKinesisStreamingDestination.html
    /// [service-linked role]: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/kds_iam.html
    async fn add_tables(&self, streams: &BTreeSet<StreamArn>, found: &mut Found) {
        let what = "the streaming destinations of DynamoDB tables";
        let mut last: Option<String> = None;
        let mut tables = 0;
        loop {
            let input = with_token(json!({}), "ExclusiveStartTableName", last.as_deref());
            let page: Tables = match self.call(&self.dynamodb, "ListTables", &input).await {
                Ok(page) => page,
                Err(error) => return found.not_read.push(NotRead::failed(what, "dynamodb:ListTables", &error)),
            };
            for name in page.table_names {
                if tables == MOST_TABLES {
                    return found.not_read.push(NotRead::too_many(what, format_args!("those of {MOST_TABLES} tables")));
                }
                tables += 1;
                let input = json!({"TableName": name});
                let operation = "DescribeKinesisStreamingDestination";
                match self.call::<TableDestinations>(&self.dynamodb, operation, &input).await {
                    Ok(destinations) => {
                        for TableDestination { stream_arn, destination_status } in
                            destinations.kinesis_data_stream_destinations
                        {
                            let is_off = matches!(destination_status.as_str(), "DISABLED" | "ENABLE_FAILED");
                            if let Some(stream) = known(streams, &stream_arn).filter(|_| !is_off) {
                                let role = format!(
                                    "arn:{}:iam::{}:role/aws-service-role/kinesisreplication.dynamodb.amazonaws.com/\
                                     AWSServiceRoleForDynamoDBKinesisDataStreamsReplication",
                                    stream.partition(),
                                    stream.account()
                                );
                                let evidence = Evidence::DynamoDb { name: name.clone() };
                                found.add_role(stream, Action::GenerateDataKey, &role, evidence);
                            }
                        }
                    }
                    Err(error) => {
                        let action = "dynamodb:DescribeKinesisStreamingDestination";
                        return found.not_read.push(NotRead::failed(what, action, &error));
                    }
                }
            }
            last = page.last_evaluated_table_name;
            if last.is_none() {
                return;
            }
        }
    }
}

/// The stream with this ARN, if it is one of `streams`.
fn known<'a>(streams: &'a BTreeSet<StreamArn>, arn: &str) -> Option<&'a StreamArn> {
    streams.get(&arn.parse().ok()?)
}
