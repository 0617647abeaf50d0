//! What names the users of streams: the services that read and write for their owners, registered
//! consumers, channels, grants, and principals with their policies.
//!
//! Of each service it answers the calls that list them, with the fields that the program reads. The
//! calls take no part in CloudTrail, and a [`Fault`](super::Fault) on them can only refuse them.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::arn::arn_of;
use super::call::Call;
use super::endpoint::Endpoint;
use super::fault::Effect;
use super::input::Input;
use super::model::{HistoryRecord, Model, UsedBy, UserModel};
use super::permissions::{OwnPolicies, PolicyCall, Says};
use super::router::{Request, Response};
use super::service_error::ServiceError;

/// Adds CloudTrail's record of a call that Kinesis made to KMS for a caller. Its shape is that of
/// the calls that other services make for callers, such as in the [KMS developer guide]; no such
/// record of Kinesis is documented.
///
/// [KMS developer guide]: https://docs.aws.amazon.com/kms/latest/developerguide/ct-generatedatakey.html
pub(crate) fn record_use(
    model: &mut Model,
    stream: &str,
    key: &str,
    operation: &str,
    identity: &Value,
    now: DateTime<Utc>,
) {
    let detail = json!({
        "eventVersion": "1.11",
        "userIdentity": identity,
        "eventTime": now.to_rfc3339_opts(SecondsFormat::Secs, true),
        "eventSource": "kms.amazonaws.com",
        "eventName": operation,
        "awsRegion": model.region,
        "sourceIPAddress": "kinesis.amazonaws.com",
        "userAgent": "kinesis.amazonaws.com",
        "requestParameters": { "keyId": key, "encryptionContext": { "aws:kinesis:arn": model.stream_arn(stream) } },
        "readOnly": true,
        "resources": [{ "accountId": model.account, "type": "AWS::KMS::Key", "ARN": key }],
        "eventType": "AwsApiCall",
        "managementEvent": true,
        "recipientAccountId": model.account,
        "eventCategory": "Management",
    });
    model.history.push(HistoryRecord { at: now, detail });
}

/// The answer, if the request is one of these calls.
pub(crate) fn answer(endpoint: &Endpoint, request: &Request) -> Option<Response> {
    let credential = request.authorization.as_deref()?.split_once("Credential=")?.1;
    let mut scope = credential.split(',').next()?.split('/');
    let (access_key, service) = (scope.next()?, scope.nth(2)?);
    let (operation, input) = read(service, request)?;
    endpoint.with(|model, now| {
        let refusal = model.faults.iter_mut().find_map(|fault| {
            let is_meant = fault.calls.counts(&operation, None);
            match &fault.effect {
                Effect::Error(refusal) if is_meant => Some(refusal.clone()),
                _ => None,
            }
        });
        let result = match refusal {
            Some(refusal) => Err(refusal),
            None => carry_out(model, &operation, Input(&input)),
        };
        let service = SERVICES.iter().find(|known| **known == service).copied()?;
        model.calls.push(Call {
            service,
            operation: operation.clone(),
            stream: None,
            request: Value::Object(input.clone()),
            result: result.as_ref().map(|_| ()).map_err(|refusal| refusal.code.clone()),
            answered: true,
            access_key: access_key.to_owned(),
            at: now,
        });
        Some(if service == "iam" { xml(&operation, result) } else { as_json(result) })
    })
}

const SERVICES: [&str; 9] = ["dynamodb", "events", "firehose", "iam", "kinesis", "kms", "lambda", "logs", "pipes"];

const OPERATIONS: [(&str, &str); 17] = [
    ("Kinesis_20131202", "ListStreamConsumers"),
    ("Kinesis_20131202", "ListChannels"),
    ("Kinesis_20131202", "DescribeChannel"),
    ("Kinesis_20131202", "ListQueues"),
    ("TrentService", "ListGrants"),
    ("AWSEvents", "ListEventBuses"),
    ("AWSEvents", "ListRuleNamesByTarget"),
    ("AWSEvents", "ListTargetsByRule"),
    ("Firehose_20150804", "ListDeliveryStreams"),
    ("Firehose_20150804", "DescribeDeliveryStream"),
    ("Logs_20140328", "DescribeDestinations"),
    ("Logs_20140328", "DescribeLogGroups"),
    ("Logs_20140328", "DescribeSubscriptionFilters"),
    ("DynamoDB_20120810", "ListTables"),
    ("DynamoDB_20120810", "DescribeKinesisStreamingDestination"),
    ("iam", "GetRole"),
    ("iam", "SimulatePrincipalPolicy"),
];

/// The operation and the fields of a request.
fn read(service: &str, request: &Request) -> Option<(String, Map<String, Value>)> {
    let fields = |text: &[u8]| -> Map<String, Value> {
        let pairs = form_urlencoded::parse(text);
        pairs.map(|(name, value)| (name.into_owned(), Value::String(value.into_owned()))).collect()
    };
    if service == "iam" {
        let input = fields(&request.body);
        let action = input.get("Action")?.as_str()?.to_owned();
        return OPERATIONS.contains(&("iam", action.as_str())).then_some((action, input));
    }
    if let Some(target) = &request.target {
        let (prefix, operation) = target.split_once('.')?;
        let input: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let input = input.as_object().cloned().unwrap_or_default();
        let is_of_reader = |arn: &str| arn.contains("/consumer/") || arn.contains(":queue/");
        let is_of_reader = operation == "GetResourcePolicy"
            && input.get("ResourceARN").and_then(Value::as_str).is_some_and(is_of_reader);
        return (is_of_reader || OPERATIONS.contains(&(prefix, operation))).then(|| (operation.to_owned(), input));
    }
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let mut input = fields(query.as_bytes());
    let operation = match (service, path.split('/').collect::<Vec<_>>().as_slice()) {
        ("lambda", ["", "2015-03-31", "event-source-mappings"]) => "ListEventSourceMappings",
        ("lambda", ["", "2015-03-31", "functions", name, "configuration"]) => {
            input.insert("FunctionName".to_owned(), json!(decoded(name)));
            "GetFunctionConfiguration"
        }
        ("pipes", ["", "v1", "pipes"]) => "ListPipes",
        ("pipes", ["", "v1", "pipes", name]) => {
            input.insert("Name".to_owned(), json!(decoded(name)));
            "DescribePipe"
        }
        _ => return None,
    };
    Some((operation.to_owned(), input))
}

fn decoded(text: &str) -> String {
    form_urlencoded::parse(text.as_bytes()).next().map(|(name, _)| name.into_owned()).unwrap_or_default()
}

fn carry_out(model: &Model, operation: &str, input: Input<'_>) -> Result<Value, ServiceError> {
    let answered = [of_kinesis, of_functions_and_pipes, of_rules, of_deliveries, of_iam]
        .into_iter()
        .find_map(|answer| answer(model, operation, input).transpose());
    answered.unwrap_or_else(|| Err(ServiceError::new("UnknownOperationException", String::new())))
}

fn not_found(what: &str) -> ServiceError {
    ServiceError::new("ResourceNotFoundException", format!("{what} does not exist"))
}

fn consumer_arn(stream: &str, name: &str) -> String {
    format!("{stream}/consumer/{name}:1761955200")
}

fn queue_arn(stream: &str, name: &str) -> String {
    let place = stream.rsplit_once(':').map_or(stream, |(place, _)| place);
    format!("{place}:queue/{name}")
}

/// The calls of Kinesis and KMS. `None` for any other.
fn of_kinesis(model: &Model, operation: &str, input: Input<'_>) -> Result<Option<Value>, ServiceError> {
    let users = &model.users;
    let text = |member| Ok::<_, ServiceError>(input.text(member)?.unwrap_or_default());
    let all = users.used_by.iter();
    let answer = match operation {
        "ListStreamConsumers" => {
            let stream = text("StreamARN")?;
            let consumers = all.filter_map(|(of, used)| match used {
                UsedBy::Consumer { name, .. } if of == stream => Some(
                    json!({ "ConsumerName": name, "ConsumerARN": consumer_arn(of, name), "ConsumerStatus": "ACTIVE" }),
                ),
                _ => None,
            });
            Ok(json!({ "Consumers": consumers.collect::<Vec<_>>() }))
        }
        "GetResourcePolicy" => {
            let arn = text("ResourceARN")?;
            let reader = users.used_by.iter().find_map(|(of, used)| match used {
                UsedBy::Consumer { name, reader: Some(reader) } if consumer_arn(of, name) == arn => {
                    Some((reader, "kinesis:SubscribeToShard"))
                }
                UsedBy::Queue { name, reader: Some(reader) } if queue_arn(of, name) == arn => {
                    Some((reader, "kinesis:ReceiveQueueRecords"))
                }
                _ => None,
            });
            let policy = reader.map(|(reader, action)| {
                let statement = json!({
                    "Effect": "Allow",
                    "Principal": { "AWS": reader },
                    "Action": action,
                    "Resource": arn,
                });
                json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string()
            });
            Ok(json!({ "Policy": policy.unwrap_or_default() }))
        }
        "ListChannels" => {
            let stream =
                input.0.get("StreamFilter").and_then(|filter| filter.pointer("/0/StreamARN")).and_then(Value::as_str);
            let channels = all.filter_map(|(of, used)| match used {
                UsedBy::Channel { name, .. } if Some(of.as_str()) == stream => {
                    Some(json!({ "ChannelName": name, "ChannelARN": format!("{of}/channel/{name}") }))
                }
                _ => None,
            });
            Ok(json!({ "ChannelSummaries": channels.collect::<Vec<_>>() }))
        }
        "ListQueues" => {
            let stream =
                input.0.get("StreamFilter").and_then(|filter| filter.pointer("/0/StreamARN")).and_then(Value::as_str);
            let queues = all.filter_map(|(of, used)| match used {
                UsedBy::Queue { name, .. } if Some(of.as_str()) == stream => {
                    Some(json!({ "QueueName": name, "QueueARN": queue_arn(of, name), "QueueStatus": "ACTIVE" }))
                }
                _ => None,
            });
            Ok(json!({ "QueueSummaries": queues.collect::<Vec<_>>() }))
        }
        "DescribeChannel" => {
            let arn = text("ChannelARN")?;
            let role = users.used_by.iter().find_map(|(of, used)| match used {
                UsedBy::Channel { name, role } if format!("{of}/channel/{name}") == arn => Some(role),
                _ => None,
            });
            let role = role.ok_or_else(|| not_found(arn))?;
            Ok(json!({ "ChannelDescription": { "ChannelARN": arn, "ServiceExecutionRoleARN": role } }))
        }
        "ListGrants" => {
            Ok(json!({ "Grants": users.grants.get(text("KeyId")?).cloned().unwrap_or_default(), "Truncated": false }))
        }
        _ => return Ok(None),
    };
    answer.map(Some)
}

/// The calls of Lambda and `EventBridge` Pipes. `None` for any other.
fn of_functions_and_pipes(model: &Model, operation: &str, input: Input<'_>) -> Result<Option<Value>, ServiceError> {
    let users = &model.users;
    let text = |member| Ok::<_, ServiceError>(input.text(member)?.unwrap_or_default());
    let function_arn = |name: &str| arn_of("lambda", &model.region, &model.account, &format!("function:{name}"));
    let all = users.used_by.iter();
    let answer = match operation {
        "ListEventSourceMappings" => {
            let source = text("EventSourceArn")?;
            let mappings = all.filter_map(|(of, used)| match used {
                UsedBy::Function { name, .. } if of == source => {
                    Some(json!({ "FunctionArn": function_arn(name), "EventSourceArn": of }))
                }
                _ => None,
            });
            Ok(json!({ "EventSourceMappings": mappings.collect::<Vec<_>>() }))
        }
        "GetFunctionConfiguration" => {
            let asked = text("FunctionName")?;
            let role = users.used_by.iter().find_map(|(_, used)| match used {
                UsedBy::Function { name, role } if function_arn(name) == asked || name == asked => Some(role),
                _ => None,
            });
            let role = role.ok_or_else(|| not_found(asked))?;
            Ok(json!({ "FunctionArn": asked, "Role": role }))
        }
        "ListPipes" => {
            let (source, target) = (text("SourcePrefix")?, text("TargetPrefix")?);
            let pipes = all.filter_map(|(of, used)| match used {
                UsedBy::PipeSource { name, .. } if !source.is_empty() && of.starts_with(source) => {
                    Some(json!({ "Name": name }))
                }
                UsedBy::PipeTarget { name, .. } if !target.is_empty() && of.starts_with(target) => {
                    Some(json!({ "Name": name }))
                }
                _ => None,
            });
            Ok(json!({ "Pipes": pipes.collect::<Vec<_>>() }))
        }
        "DescribePipe" => {
            let asked = text("Name")?;
            let elsewhere = arn_of("sqs", &model.region, &model.account, "elsewhere");
            let pipe = users.used_by.iter().find_map(|(of, used)| match used {
                UsedBy::PipeSource { name, role } if name == asked => Some((of, &elsewhere, role)),
                UsedBy::PipeTarget { name, role } if name == asked => Some((&elsewhere, of, role)),
                _ => None,
            });
            let (source, target, role) = pipe.ok_or_else(|| ServiceError::new("NotFoundException", "no such pipe"))?;
            Ok(json!({ "Name": asked, "Source": source, "Target": target, "RoleArn": role }))
        }
        _ => return Ok(None),
    };
    answer.map(Some)
}

/// The calls of `EventBridge`. `None` for any other.
fn of_rules(model: &Model, operation: &str, input: Input<'_>) -> Result<Option<Value>, ServiceError> {
    let users = &model.users;
    let text = |member| Ok::<_, ServiceError>(input.text(member)?.unwrap_or_default());
    let all = users.used_by.iter();
    let answer = match operation {
        "ListEventBuses" => Ok(json!({ "EventBuses": [{ "Name": "default" }] })),
        "ListRuleNamesByTarget" => {
            let target = text("TargetArn")?;
            let names = all.filter_map(|(of, used)| match used {
                UsedBy::Rule { name, .. } if of == target => Some(name),
                _ => None,
            });
            Ok(json!({ "RuleNames": names.collect::<Vec<_>>() }))
        }
        "ListTargetsByRule" => {
            let rule = text("Rule")?;
            let targets = all.filter_map(|(of, used)| match used {
                UsedBy::Rule { name, role } if name == rule => Some(json!({ "Id": "1", "Arn": of, "RoleArn": role })),
                _ => None,
            });
            Ok(json!({ "Targets": targets.collect::<Vec<_>>() }))
        }
        _ => return Ok(None),
    };
    answer.map(Some)
}

/// The calls of Firehose, `CloudWatch` Logs and `DynamoDB`. `None` for any other.
fn of_deliveries(model: &Model, operation: &str, input: Input<'_>) -> Result<Option<Value>, ServiceError> {
    let users = &model.users;
    let text = |member| Ok::<_, ServiceError>(input.text(member)?.unwrap_or_default());
    let all = users.used_by.iter();
    let answer = match operation {
        "ListDeliveryStreams" => {
            let names = all.filter_map(|(_, used)| match used {
                UsedBy::Firehose { name, .. } => Some(name),
                _ => None,
            });
            Ok(json!({ "DeliveryStreamNames": names.collect::<Vec<_>>(), "HasMoreDeliveryStreams": false }))
        }
        "DescribeDeliveryStream" => {
            let asked = text("DeliveryStreamName")?;
            let source = users.used_by.iter().find_map(|(of, used)| match used {
                UsedBy::Firehose { name, role } if name == asked => {
                    Some(json!({ "KinesisStreamARN": of, "RoleARN": role }))
                }
                _ => None,
            });
            Ok(json!({ "DeliveryStreamDescription": {
                "DeliveryStreamName": asked,
                "Source": { "KinesisStreamSourceDescription": source },
            } }))
        }
        "DescribeDestinations" => {
            let destinations = all.filter_map(|(of, used)| match used {
                UsedBy::LogsDestination { name, role } => {
                    Some(json!({ "destinationName": name, "targetArn": of, "roleArn": role }))
                }
                _ => None,
            });
            Ok(json!({ "destinations": destinations.collect::<Vec<_>>() }))
        }
        "DescribeLogGroups" => {
            let groups = all.filter_map(|(_, used)| match used {
                UsedBy::SubscriptionFilter { name, .. } => Some(json!({ "logGroupName": name })),
                _ => None,
            });
            Ok(json!({ "logGroups": groups.collect::<Vec<_>>() }))
        }
        "DescribeSubscriptionFilters" => {
            let group = text("logGroupName")?;
            let filters = all.filter_map(|(of, used)| match used {
                UsedBy::SubscriptionFilter { name, role } if name == group => {
                    Some(json!({ "filterName": "all", "destinationArn": of, "roleArn": role }))
                }
                _ => None,
            });
            Ok(json!({ "subscriptionFilters": filters.collect::<Vec<_>>() }))
        }
        "ListTables" => {
            let names = all.filter_map(|(_, used)| match used {
                UsedBy::Table { name } => Some(name),
                _ => None,
            });
            Ok(json!({ "TableNames": names.collect::<Vec<_>>() }))
        }
        "DescribeKinesisStreamingDestination" => {
            let table = text("TableName")?;
            let destinations = all.filter_map(|(of, used)| match used {
                UsedBy::Table { name } if name == table => {
                    Some(json!({ "StreamArn": of, "DestinationStatus": "ACTIVE" }))
                }
                _ => None,
            });
            Ok(json!({ "TableName": table, "KinesisDataStreamDestinations": destinations.collect::<Vec<_>>() }))
        }
        _ => return Ok(None),
    };
    answer.map(Some)
}

/// The calls of IAM. `None` for any other.
fn of_iam(model: &Model, operation: &str, input: Input<'_>) -> Result<Option<Value>, ServiceError> {
    let users = &model.users;
    let text = |member| Ok::<_, ServiceError>(input.text(member)?.unwrap_or_default());
    let answer = match operation {
        "GetRole" => {
            let name = text("RoleName")?;
            let arn =
                users.principals.keys().find(|arn| arn.contains(":role/") && arn.rsplit('/').next() == Some(name));
            Ok(json!({ "Arn": arn.ok_or_else(|| no_such_entity(name))? }))
        }
        "SimulatePrincipalPolicy" => simulate(users, input),
        _ => return Ok(None),
    };
    answer.map(Some)
}

fn no_such_entity(name: &str) -> ServiceError {
    let message = format!("The principal {name} cannot be found.");
    ServiceError { status: 404, ..ServiceError::new("NoSuchEntity", message) }
}

/// [SimulatePrincipalPolicy]. A condition key that is not sent is reported as missing.
///
/// [SimulatePrincipalPolicy]: https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
fn simulate(users: &UserModel, input: Input<'_>) -> Result<Value, ServiceError> {
    let field = |name: &str| input.0.get(name).and_then(Value::as_str);
    let arn = field("PolicySourceArn").unwrap_or_default();
    let principal = users.principals.get(arn).ok_or_else(|| no_such_entity(arn))?;
    let resource = field("ResourceArns.member.1").unwrap_or("*");
    let mut context = BTreeMap::new();
    for index in 1.. {
        let prefix = format!("ContextEntries.member.{index}");
        let Some(name) = field(&format!("{prefix}.ContextKeyName")) else { break };
        let value = field(&format!("{prefix}.ContextKeyValues.member.1")).unwrap_or_default();
        context.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut results = Vec::new();
    for index in 1.. {
        let Some(action) = field(&format!("ActionNames.member.{index}")) else { break };
        let OwnPolicies { identity, boundary, organization, missing } =
            PolicyCall { action, resource, context: &context }.by_principal(principal);
        let limits = [boundary, organization];
        let decision = if limits.into_iter().flatten().chain([identity]).any(|said| said == Says::Deny) {
            "explicitDeny"
        } else if limits.into_iter().flatten().chain([identity]).any(|said| said != Says::Allow) {
            "implicitDeny"
        } else {
            "allowed"
        };
        results.push(json!({
            "EvalActionName": action,
            "EvalResourceName": resource,
            "EvalDecision": decision,
            "MissingContextValues": missing,
            "boundary": boundary.map(|said| said == Says::Allow),
            "organization": organization.map(|said| said == Says::Allow),
        }));
    }
    Ok(Value::Array(results))
}

fn as_json(result: Result<Value, ServiceError>) -> Response {
    let (status, kind, body) = match result {
        Ok(answer) => (200, None, answer),
        Err(ServiceError { code, message, status }) => {
            (status, Some(code.clone()), json!({ "__type": code, "message": message }))
        }
    };
    let mut headers = vec![("content-type", "application/json".to_owned())];
    headers.extend(kind.map(|kind| ("x-amzn-errortype", kind)));
    Response { status, headers, body: body.to_string() }
}

fn xml(operation: &str, result: Result<Value, ServiceError>) -> Response {
    let escaped = |value: &Value| {
        value.as_str().unwrap_or_default().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
    };
    let (status, body) = match result {
        Err(ServiceError { code, message, status }) => {
            let message = escaped(&json!(message));
            let error = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>");
            (status, format!("<ErrorResponse>{error}</ErrorResponse>"))
        }
        Ok(Value::Array(results)) => {
            let members = results.iter().map(|result| {
                let missing = result["MissingContextValues"].as_array().into_iter().flatten();
                let missing: Vec<_> = missing.map(|key| format!("<member>{}</member>", escaped(key))).collect();
                let missing = missing.concat();
                let detail = |structure: &str, member: &str, value: &Value| match value {
                    Value::Bool(value) => format!("<{structure}><{member}>{value}</{member}></{structure}>"),
                    _ => String::new(),
                };
                format!(
                    "<member><EvalActionName>{}</EvalActionName><EvalResourceName>{}</EvalResourceName>\
                     <EvalDecision>{}</EvalDecision><MissingContextValues>{missing}</MissingContextValues>{}{}</member>",
                    escaped(&result["EvalActionName"]),
                    escaped(&result["EvalResourceName"]),
                    escaped(&result["EvalDecision"]),
                    detail("PermissionsBoundaryDecisionDetail", "AllowedByPermissionsBoundary", &result["boundary"]),
                    detail("OrganizationsDecisionDetail", "AllowedByOrganizations", &result["organization"]),
                )
            });
            let members: String = members.collect();
            let content = format!("<IsTruncated>false</IsTruncated><EvaluationResults>{members}</EvaluationResults>");
            (
                200,
                format!("<{operation}Response><{operation}Result>{content}</{operation}Result></{operation}Response>"),
            )
        }
        Ok(answer) => {
            let content = format!("<Role><Arn>{}</Arn></Role>", escaped(&answer["Arn"]));
            (
                200,
                format!("<{operation}Response><{operation}Result>{content}</{operation}Result></{operation}Response>"),
            )
        }
    };
    Response { status, headers: vec![("content-type", "text/xml".to_owned())], body }
}
