//! What is asked for each stream: its policies, consumers and queues, its channels, and which
//! functions, pipes and rules name it.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Found, MOST_LIST_PAGES, NotRead, UserSources, escaped};
use crate::access::{Action, Evidence, Principal, allowed_by};
use crate::aws::error::CallError;
use crate::aws::kms::read_document;
use crate::domain::failure::Class;
use crate::domain::stream::StreamArn;

/// A registered consumer of a stream.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase")]
struct Consumer {
    consumer_name: String,
    #[serde(rename = "ConsumerARN")]
    consumer_arn: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Consumers {
    consumers: Vec<Consumer>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ResourcePolicy {
    policy: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Channels {
    channel_summaries: Vec<ChannelSummary>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ChannelSummary {
    channel_name: String,
    #[serde(rename = "ChannelARN")]
    channel_arn: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribedChannel {
    channel_description: ChannelDescription,
}

#[derive(Debug, Deserialize)]
struct ChannelDescription {
    #[serde(rename = "ServiceExecutionRoleARN")]
    role: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Queues {
    queue_summaries: Vec<QueueSummary>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct QueueSummary {
    queue_name: String,
    #[serde(rename = "QueueARN")]
    queue_arn: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Mappings {
    event_source_mappings: Vec<Mapping>,
    next_marker: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Mapping {
    function_arn: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FunctionRole {
    role: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Pipes {
    pipes: Vec<PipeName>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PipeName {
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Pipe {
    source: String,
    target: String,
    role_arn: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RuleNames {
    rule_names: Vec<String>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Targets {
    targets: Vec<Target>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Target {
    arn: String,
    role_arn: Option<String>,
}

impl UserSources {
    /// The users of one stream. `queues` is the number of its queues, and `has_used` says of a
    /// registered consumer's ARN whether a recorded call used it.
    pub async fn of_stream(&self, stream: &StreamArn, queues: u32, has_used: impl Fn(&str) -> bool) -> Found {
        let mut found = Found::default();
        self.add_policy(stream, stream.as_str(), Evidence::StreamPolicy, &mut found).await;
        self.add_mappings(stream, stream.as_str(), &mut found).await;
        self.add_consumers(stream, has_used, &mut found).await;
        self.add_channels(stream, &mut found).await;
        self.add_pipes(stream, &mut found).await;
        if queues > 0 {
            self.add_queues(stream, queues, &mut found).await;
        }
        found
    }

    /// [GetResourcePolicy] of a stream, a consumer or a queue.
    ///
    /// [GetResourcePolicy]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetResourcePolicy.html
    async fn add_policy(&self, stream: &StreamArn, resource: &str, evidence: Evidence, found: &mut Found) {
        let what = format!("the resource policy of {}", name_of(resource));
        let answer: Result<ResourcePolicy, CallError> =
            self.call(&self.kinesis, "GetResourcePolicy", &json!({"ResourceARN": resource})).await;
        let policy = match answer {
            Ok(answer) => read_document(answer.policy.as_deref()),
            Err(error) if error.failure.class == Class::Gone => Ok(None),
            Err(error) => return found.not_read.push(NotRead::failed(what, "kinesis:GetResourcePolicy", &error)),
        };
        match policy {
            Ok(policy) => {
                for (principal, action) in policy.iter().flat_map(allowed_by) {
                    found.add(stream, action, principal, evidence.clone());
                }
            }
            Err(why) => found.not_read.push(NotRead::new(what, format!("it cannot be read: {why}"))),
        }
    }

    /// [ListStreamConsumers], with the policies and the functions of each. A consumer that neither
    /// names a principal is used by somebody who is not known.
    ///
    /// [ListStreamConsumers]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListStreamConsumers.html
    async fn add_consumers(&self, stream: &StreamArn, has_used: impl Fn(&str) -> bool, found: &mut Found) {
        let what = format!("the registered consumers of {}", stream.name());
        let mut token: Option<String> = None;
        for _ in 0..MOST_LIST_PAGES {
            let input = with_token(json!({"StreamARN": stream}), "NextToken", token.as_deref());
            let page: Consumers = match self.call(&self.kinesis, "ListStreamConsumers", &input).await {
                Ok(page) => page,
                Err(error) => return found.not_read.push(NotRead::failed(what, "kinesis:ListStreamConsumers", &error)),
            };
            for Consumer { consumer_name: name, consumer_arn } in page.consumers {
                let before = found.uses.len();
                let evidence = Evidence::ConsumerPolicy { name: name.clone() };
                self.add_policy(stream, &consumer_arn, evidence, found).await;
                self.add_mappings(stream, &consumer_arn, found).await;
                if found.uses.len() == before && !has_used(&consumer_arn) {
                    let reader = Principal::Other(format!("readers as {name}"));
                    found.add(stream, Action::Decrypt, reader, Evidence::Consumer { name });
                }
            }
            token = page.next_token;
            if token.is_none() {
                return;
            }
        }
        found.not_read.push(NotRead::too_many(what, format_args!("the first {MOST_LIST_PAGES} pages")));
    }

    /// `ListQueues`, with the policy of each. Those whose policies name nobody are read by somebody
    /// who is not known. `count` is the number of queues that the stream's description has.
    ///
    /// Source: the operations `ListQueues` and `GetResourcePolicy` of the [service model].
    ///
    /// [service model]: https://github.com/boto/botocore/blob/1.44.8/botocore/data/kinesis/2013-12-02/service-2.json
    async fn add_queues(&self, stream: &StreamArn, count: u32, found: &mut Found) {
        let what = format!("the queues of {}", stream.name());
        let (mut token, mut listed, mut named) = (None::<String>, 0, 0);
        let mut not_read = Some(NotRead::too_many(&what, format_args!("the first {MOST_LIST_PAGES} pages")));
        for _ in 0..MOST_LIST_PAGES {
            let filter = json!({"StreamFilter": [{"StreamARN": stream}]});
            let input = with_token(filter, "NextToken", token.as_deref());
            let page: Queues = match self.call(&self.kinesis, "ListQueues", &input).await {
                Ok(page) => page,
                Err(error) => {
                    not_read = Some(NotRead::failed(&what, "kinesis:ListQueues", &error));
                    break;
                }
            };
            for QueueSummary { queue_name: name, queue_arn } in page.queue_summaries {
                let before = found.uses.len();
                self.add_policy(stream, &queue_arn, Evidence::QueuePolicy { name }, found).await;
                listed += 1;
                named += u32::from(found.uses.len() > before);
            }
            token = page.next_token;
            if token.is_none() {
                not_read = None;
                break;
            }
        }
        found.not_read.extend(not_read);
        let others = count.max(listed).saturating_sub(named);
        if others > 0 {
            let readers = Principal::Other("readers of the queues".to_owned());
            found.add(stream, Action::Decrypt, readers, Evidence::Queues { count: others });
        }
    }

    /// [ListEventSourceMappings] of a stream or a consumer, with the roles of their functions.
    ///
    /// [ListEventSourceMappings]: https://docs.aws.amazon.com/lambda/latest/api/API_ListEventSourceMappings.html
    async fn add_mappings(&self, stream: &StreamArn, source: &str, found: &mut Found) {
        let what = format!("the event source mappings of {}", name_of(source));
        let mut marker: Option<String> = None;
        for _ in 0..MOST_LIST_PAGES {
            let next = marker.map_or_else(String::new, |marker| format!("&Marker={}", escaped(&marker)));
            let path = format!("/2015-03-31/event-source-mappings?EventSourceArn={}{next}", escaped(source));
            let page: Mappings = match self.get(&self.lambda, "ListEventSourceMappings", &path).await {
                Ok(page) => page,
                Err(error) => {
                    return found.not_read.push(NotRead::failed(what, "lambda:ListEventSourceMappings", &error));
                }
            };
            for Mapping { function_arn } in page.event_source_mappings {
                match &*self.role_of_function(&function_arn).await {
                    Ok(role) => {
                        let name = function_name(&function_arn).to_owned();
                        found.add_role(stream, Action::Decrypt, role, Evidence::EventSourceMapping { name });
                    }
                    Err(not_read) => found.not_read.push(not_read.clone()),
                }
            }
            marker = page.next_marker.filter(|marker| !marker.is_empty());
            if marker.is_none() {
                return;
            }
        }
        found.not_read.push(NotRead::too_many(what, format_args!("the first {MOST_LIST_PAGES} pages")));
    }

    /// The role of a function, by [GetFunctionConfiguration], once per function.
    ///
    /// [GetFunctionConfiguration]: https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConfiguration.html
    async fn role_of_function(&self, function: &str) -> Arc<Result<String, NotRead>> {
        // Locked for the time of the call, so that no function is asked about twice.
        let mut roles = self.function_roles.lock().await;
        if let Some(role) = roles.get(function) {
            return Arc::clone(role);
        }
        let path = format!("/2015-03-31/functions/{}/configuration", escaped(function));
        let answer: Result<FunctionRole, CallError> = self.get(&self.lambda, "GetFunctionConfiguration", &path).await;
        let role = answer.map(|answer| answer.role).map_err(|error| {
            let what = format!("the role of function {}", function_name(function));
            NotRead::failed(what, "lambda:GetFunctionConfiguration", &error)
        });
        Arc::clone(roles.entry(function.to_owned()).or_insert_with(|| Arc::new(role)))
    }

    /// [ListChannels] and [DescribeChannel].
    ///
    /// [ListChannels]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListChannels.html
    /// [DescribeChannel]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DescribeChannel.html
    async fn add_channels(&self, stream: &StreamArn, found: &mut Found) {
        let what = format!("the channels of {}", stream.name());
        let mut token: Option<String> = None;
        for _ in 0..MOST_LIST_PAGES {
            let filter = json!({"StreamFilter": [{"StreamARN": stream}]});
            let input = with_token(filter, "NextToken", token.as_deref());
            let page: Channels = match self.call(&self.kinesis, "ListChannels", &input).await {
                Ok(page) => page,
                Err(error) => return found.not_read.push(NotRead::failed(what, "kinesis:ListChannels", &error)),
            };
            for ChannelSummary { channel_name: name, channel_arn } in page.channel_summaries {
                let input = json!({"ChannelARN": channel_arn});
                match self.call::<DescribedChannel>(&self.kinesis, "DescribeChannel", &input).await {
                    Ok(DescribedChannel { channel_description: ChannelDescription { role } }) => {
                        found.add_role(stream, Action::Decrypt, &role, Evidence::Channel { name });
                    }
                    Err(error) => {
                        let what = format!("the channel {name}");
                        found.not_read.push(NotRead::failed(what, "kinesis:DescribeChannel", &error));
                    }
                }
            }
            token = page.next_token;
            if token.is_none() {
                return;
            }
        }
        found.not_read.push(NotRead::too_many(what, format_args!("the first {MOST_LIST_PAGES} pages")));
    }

    /// [ListPipes] by source and by target, and [DescribePipe].
    ///
    /// [ListPipes]: https://docs.aws.amazon.com/eventbridge/latest/pipes-reference/API_ListPipes.html
    /// [DescribePipe]: https://docs.aws.amazon.com/eventbridge/latest/pipes-reference/API_DescribePipe.html
    async fn add_pipes(&self, stream: &StreamArn, found: &mut Found) {
        for (side, action) in [("SourcePrefix", Action::Decrypt), ("TargetPrefix", Action::GenerateDataKey)] {
            let what = format!("the EventBridge pipes of {}", stream.name());
            let mut token: Option<String> = None;
            loop {
                let next = token.map_or_else(String::new, |token| format!("&NextToken={}", escaped(&token)));
                let path = format!("/v1/pipes?{side}={}{next}", escaped(stream.as_str()));
                let page: Pipes = match self.get(&self.pipes, "ListPipes", &path).await {
                    Ok(page) => page,
                    Err(error) => return found.not_read.push(NotRead::failed(what, "pipes:ListPipes", &error)),
                };
                for PipeName { name } in page.pipes {
                    match self.get::<Pipe>(&self.pipes, "DescribePipe", &format!("/v1/pipes/{}", escaped(&name))).await
                    {
                        // A prefix is also that of streams with longer names.
                        Ok(Pipe { source, target, role_arn }) => {
                            let end = if action == Action::Decrypt { source } else { target };
                            if is_of(stream, &end) {
                                found.add_role(stream, action, &role_arn, Evidence::Pipe { name });
                            }
                        }
                        Err(error) => {
                            let what = format!("the EventBridge pipe {name}");
                            found.not_read.push(NotRead::failed(what, "pipes:DescribePipe", &error));
                        }
                    }
                }
                token = page.next_token;
                if token.is_none() {
                    break;
                }
            }
        }
    }

    /// [ListRuleNamesByTarget] and [ListTargetsByRule] on each of `buses`.
    ///
    /// [ListRuleNamesByTarget]: https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_ListRuleNamesByTarget.html
    /// [ListTargetsByRule]: https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_ListTargetsByRule.html
    pub async fn of_rules(&self, stream: &StreamArn, buses: &[String]) -> Found {
        let mut found = Found::default();
        for bus in buses {
            if let Err(not_read) = self.add_rules(stream, bus, &mut found).await {
                found.not_read.push(not_read);
            }
        }
        found
    }

    async fn add_rules(&self, stream: &StreamArn, bus: &str, found: &mut Found) -> Result<(), NotRead> {
        let what = || format!("the EventBridge rules of {}", stream.name());
        let mut token: Option<String> = None;
        loop {
            let input = json!({"TargetArn": stream, "EventBusName": bus});
            let page: RuleNames = self
                .call(&self.events, "ListRuleNamesByTarget", &with_token(input, "NextToken", token.as_deref()))
                .await
                .map_err(|error| NotRead::failed(what(), "events:ListRuleNamesByTarget", &error))?;
            for name in page.rule_names {
                let mut next: Option<String> = None;
                loop {
                    let input = json!({"Rule": name, "EventBusName": bus});
                    let page: Targets = self
                        .call(&self.events, "ListTargetsByRule", &with_token(input, "NextToken", next.as_deref()))
                        .await
                        .map_err(|error| NotRead::failed(what(), "events:ListTargetsByRule", &error))?;
                    for target in page.targets.into_iter().filter(|target| target.arn == stream.as_str()) {
                        let evidence = Evidence::Rule { name: name.clone() };
                        match target.role_arn {
                            Some(role) => found.add_role(stream, Action::GenerateDataKey, &role, evidence),
                            None => found.add(
                                stream,
                                Action::GenerateDataKey,
                                Principal::Service("events.amazonaws.com".to_owned()),
                                evidence,
                            ),
                        }
                    }
                    next = page.next_token;
                    if next.is_none() {
                        break;
                    }
                }
            }
            token = page.next_token;
            if token.is_none() {
                return Ok(());
            }
        }
    }
}

/// Whether an ARN is that of `stream` or of one of its registered consumers.
fn is_of(stream: &StreamArn, arn: &str) -> bool {
    arn.strip_prefix(stream.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with("/consumer/"))
}

/// `input` with the token of the next page.
pub(super) fn with_token(mut input: Value, name: &str, token: Option<&str>) -> Value {
    if let Some(token) = token {
        input[name] = token.into();
    }
    input
}

/// A stream, a consumer of one, or a queue, as a message names it.
fn name_of(resource: &str) -> &str {
    let name = resource.splitn(6, ':').nth(5).unwrap_or(resource);
    name.strip_prefix("stream/").unwrap_or(name)
}

/// The name in a function's ARN, without its version or alias.
fn function_name(arn: &str) -> &str {
    arn.split(':').nth(6).unwrap_or(arn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_may_read_from_a_stream_or_from_a_registered_consumer() {
        let stream: StreamArn = "arn:aws:kinesis:us-east-1:111122223333:stream/orders".parse().expect("an ARN");
        for (rest, expected) in
            [("", true), ("/consumer/app:1761955200", true), ("-eu", false), ("-eu/consumer/app:1", false)]
        {
            assert_eq!(is_of(&stream, &format!("{stream}{rest}")), expected, "{rest}");
        }
    }
}
