//! Answers HTTP requests: finds the service and the account, applies faults, and calls the service.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::sleep;

use super::call::Call;
use super::cloudtrail::{self, RecordedCall};
use super::endpoint::Endpoint;
use super::fault::{Effect, Entries};
use super::identity::{Caller, Identity};
use super::input::Input;
use super::model::Model;
use super::service_error::ServiceError;
use super::{events, history, kinesis, kms, securityhub, sqs, ssm, sts, tagging, users};

/// The operations that the sandbox supports, by the name of their service.
#[must_use]
pub fn supported() -> Vec<(&'static str, &'static [&'static str])> {
    Service::ALL.map(|service| (service.name(), service.operations())).to_vec()
}

/// The parts of an HTTP request that the services use.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// `X-Amz-Target`.
    pub(crate) target: Option<String>,
    pub(crate) authorization: Option<String>,
    pub(crate) user_agent: Option<String>,
    pub(crate) content_type: Option<String>,
    /// `X-Amz-Security-Token`.
    pub(crate) token: Option<String>,
    pub(crate) body: Vec<u8>,
}

#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

/// The connection breaks without a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionLost;

/// The error code of a call that AWS never received.
const NOT_SEEN: &str = "ConnectionDropped";

/// How often a waiting `ReceiveMessage` looks for messages.
const LONG_POLL_INTERVAL: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    Kinesis,
    Kms,
    Sqs,
    Ssm,
    Tagging,
    CloudTrail,
    EventBridge,
    Sts,
    SecurityHub,
}

impl Service {
    /// Every service, by name.
    const ALL: [Self; 9] = [
        Self::CloudTrail,
        Self::EventBridge,
        Self::Kinesis,
        Self::Kms,
        Self::SecurityHub,
        Self::Sqs,
        Self::Ssm,
        Self::Sts,
        Self::Tagging,
    ];

    /// The service and the operation that `X-Amz-Target` names.
    fn of_target(target: &str) -> Option<(Self, &str)> {
        let (prefix, operation) = target.rsplit_once('.')?;
        // botocore writes CloudTrail's prefix with its package: `com.amazonaws.cloudtrail.v20131101`.
        let service = match prefix.rsplit('.').next().unwrap_or(prefix) {
            "Kinesis_20131202" => Self::Kinesis,
            "TrentService" => Self::Kms,
            "ResourceGroupsTaggingAPI_20170126" => Self::Tagging,
            "AWSEvents" => Self::EventBridge,
            "AmazonSSM" => Self::Ssm,
            "CloudTrail_20131101" => Self::CloudTrail,
            "AmazonSQS" => Self::Sqs,
            _ => return None,
        };
        Some((service, operation))
    }

    /// The operations that the sandbox supports.
    fn operations(self) -> &'static [&'static str] {
        match self {
            Self::Kinesis => &kinesis::OPERATIONS,
            Self::Kms => &kms::OPERATIONS,
            Self::Sqs => &sqs::OPERATIONS,
            Self::Ssm => &ssm::OPERATIONS,
            Self::Tagging => &tagging::OPERATIONS,
            Self::CloudTrail => &history::OPERATIONS,
            Self::EventBridge => &events::OPERATIONS,
            Self::Sts => &sts::OPERATIONS,
            Self::SecurityHub => &securityhub::OPERATIONS,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Kinesis => "kinesis",
            Self::Kms => "kms",
            Self::Sqs => "sqs",
            Self::Ssm => "ssm",
            Self::Tagging => "tagging",
            Self::CloudTrail => "cloudtrail",
            Self::EventBridge => "events",
            Self::Sts => "sts",
            Self::SecurityHub => "securityhub",
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Kinesis | Self::Kms | Self::Ssm | Self::Tagging | Self::CloudTrail | Self::EventBridge => {
                "application/x-amz-json-1.1"
            }
            Self::Sqs => "application/x-amz-json-1.0",
            Self::Sts => "text/xml",
            Self::SecurityHub => "application/json",
        }
    }

    fn answer(
        self,
        model: &mut Model,
        call: &ParsedCall,
        input: Input<'_>,
        now: chrono::DateTime<chrono::Utc>,
    ) -> Result<Value, ServiceError> {
        let operation = call.operation.as_str();
        match self {
            Self::Kinesis => kinesis::answer(model, operation, input, &call.caller, now),
            Self::Kms => kms::answer(model, operation, input, now),
            Self::Sqs => sqs::answer(model, operation, input, now),
            Self::Ssm => ssm::answer(model, operation, input, now),
            Self::Tagging => tagging::answer(model, input),
            Self::CloudTrail => history::answer(model, input, now),
            Self::EventBridge => events::answer(model, input),
            Self::Sts => sts::answer(model, operation, input, &call.caller.identity, now),
            Self::SecurityHub => securityhub::answer(model, input),
        }
    }
}

/// A request whose service, operation and caller are known.
struct ParsedCall {
    service: Service,
    operation: String,
    input: Map<String, Value>,
    stream: Option<String>,
    caller: Caller,
}

/// Answers one request. Faults and delays apply.
pub(crate) async fn answer(endpoint: &Endpoint, request: Request) -> Result<Response, ConnectionLost> {
    if let Some(response) = users::answer(endpoint, &request) {
        return Ok(response);
    }
    if request.method == "GET" && request.authorization.is_none() {
        return Ok(health(&request));
    }
    let (service, operation, input) = match read(&request) {
        Ok(call) => call,
        Err(refusal) => return Ok(refuse(endpoint, &request, refusal)),
    };
    let refused = |refusal| Ok(respond(endpoint, service, &operation, Err(refusal)));
    let access_key = match authenticate(&request, service, &endpoint.region()) {
        Ok(access_key) => access_key,
        Err(refusal) => return refused(refusal),
    };
    let token = request.token.as_deref();
    let session = match endpoint.with(|model, now| sts::session_of(model, &access_key, token, now)) {
        Ok(session) => session,
        Err(refusal) => return refused(refusal),
    };
    let member = session.as_ref().and_then(|session| endpoint.member(&session.account));
    let endpoint = member.as_ref().unwrap_or(endpoint);
    let stream = if service == Service::Kinesis { kinesis::named(Input(&input)) } else { None };
    let known = || endpoint.with(|model, _| model.identities.get(&access_key).cloned());
    let identity = session.map(|session| session.identity).or_else(known);
    let caller = Caller {
        identity: identity.unwrap_or_else(|| Identity::user("developer")),
        access_key,
        user_agent: request.user_agent.clone().unwrap_or_default(),
    };
    carry_out(endpoint, ParsedCall { service, operation, input, stream, caller }).await
}

/// The service, the operation and the fields of a request.
fn read(request: &Request) -> Result<(Service, String, Map<String, Value>), ServiceError> {
    let is_cbor = request.content_type.as_deref().is_some_and(|kind| kind.contains("cbor"));
    if is_cbor {
        let message = "the sandbox answers requests in JSON only, not in CBOR: set AWS_CBOR_DISABLE=true, or for Java \
                       -Daws.cborEnabled=false";
        return Err(ServiceError::new("SerializationException", message));
    }
    let unknown = |message: String| ServiceError::new("UnknownOperationException", message);
    let form = sts::form(&request.body).filter(|_| request.target.is_none());
    let (service, operation, body) = if let Some((action, form)) = form {
        if let Some(other) = signed_for(request).filter(|service| *service != Service::Sts.name()) {
            let supported = is_supported(other);
            return Err(unknown(if supported {
                format!("the sandbox answers {other} in JSON only, and this request is a form")
            } else {
                unsupported_service(other)
            }));
        }
        (Service::Sts, action, form)
    } else {
        let target = request.target.as_deref().unwrap_or_default();
        let of_path = || Some((Service::SecurityHub, securityhub::of_path(&request.method, &request.path)?));
        let Some((service, operation)) = Service::of_target(target).or_else(of_path) else {
            return Err(unknown(match signed_for(request) {
                Some(service) if !is_supported(service) => unsupported_service(service),
                _ => format!("the sandbox does not support X-Amz-Target: {target:?}"),
            }));
        };
        let body =
            if request.body.is_empty() { json!({}) } else { serde_json::from_slice(&request.body).unwrap_or_default() };
        (service, operation.to_owned(), body)
    };
    if !service.operations().contains(&operation.as_str()) {
        let (name, supported) = (service.name(), service.operations().join(", "));
        return Err(unknown(format!("the sandbox does not support {name}:{operation}; it supports: {supported}")));
    }
    match body {
        Value::Object(input) => Ok((service, operation, input)),
        _ => Err(ServiceError::new("SerializationException", "the body is not a JSON object")),
    }
}

fn is_supported(service: &str) -> bool {
    Service::ALL.iter().any(|supported| supported.name() == service)
}

fn unsupported_service(service: &str) -> String {
    let supported = Service::ALL.map(Service::name).join(", ");
    format!("the sandbox does not support {service}; it supports: {supported}")
}

/// Refuses a request that is not a call of a supported operation, in the protocol of the request.
fn refuse(endpoint: &Endpoint, request: &Request, refusal: ServiceError) -> Response {
    let service = request.target.as_deref().and_then(Service::of_target).map(|(service, _)| service);
    let is_form = sts::form(&request.body).is_some();
    // S3 and its like speak XML, too.
    let service = match service {
        Some(service) => service,
        None if is_form || signed_for(request) == Some("s3") => Service::Sts,
        None => Service::Kinesis,
    };
    let ServiceError { code, message, .. } = &refusal;
    // REST and CBOR clients read these headers.
    let headers = [("x-amzn-errortype", code.clone()), ("x-amzn-error-message", message.clone())];
    let mut response = respond(endpoint, service, "", Err(refusal));
    response.headers.extend(headers);
    response
}

/// All faults that apply to one call: the sum of their delays and the first effect.
#[derive(Default)]
struct CallFaults {
    before: Duration,
    after: Duration,
    effect: Effect,
    unstoppable: bool,
}

async fn carry_out(endpoint: &Endpoint, call: ParsedCall) -> Result<Response, ConnectionLost> {
    let mut faults = CallFaults::default();
    endpoint.with(|model, _| {
        for fault in &mut model.faults {
            if fault.calls.counts(&call.operation, call.stream.as_deref()) {
                faults.before = faults.before.saturating_add(fault.before);
                faults.after = faults.after.saturating_add(fault.after);
                faults.unstoppable |= fault.unstoppable;
                if faults.effect == Effect::None {
                    faults.effect = fault.effect.clone();
                }
            }
        }
    });
    if faults.unstoppable {
        let endpoint = endpoint.clone();
        return tokio::spawn(async move { apply(&endpoint, call, faults).await }).await.unwrap_or(Err(ConnectionLost));
    }
    apply(endpoint, call, faults).await
}

async fn apply(endpoint: &Endpoint, call: ParsedCall, faults: CallFaults) -> Result<Response, ConnectionLost> {
    let CallFaults { before, after, effect, unstoppable: _ } = faults;
    if !before.is_zero() {
        sleep(before).await;
    }
    let result = match &effect {
        Effect::Dropped => {
            log_call(endpoint, &call, &Err(ServiceError::new(NOT_SEEN, String::new())), false);
            return Err(ConnectionLost);
        }
        Effect::Intercepted(body) => {
            log_call(endpoint, &call, &Err(ServiceError::new(NOT_SEEN, String::new())), false);
            return Ok(Response {
                body: body.clone(),
                ..respond(endpoint, call.service, &call.operation, Ok(Value::Null))
            });
        }
        Effect::Error(refusal) => Err(refusal.clone()),
        Effect::EntriesRefused(entries, refusal) => refuse_entries(endpoint, &call, *entries, refusal),
        Effect::None
        | Effect::AnswerLost
        | Effect::AnswerGarbled
        | Effect::AnswerTruncated
        | Effect::AnswerReplaced(_) => {
            let deadline = endpoint.with(|model, now| now + sqs::wait(model, &call.operation, Input(&call.input)));
            loop {
                let (result, now) =
                    endpoint.with(|model, now| (call.service.answer(model, &call, Input(&call.input), now), now));
                if now < deadline && result.as_ref().is_ok_and(sqs::is_empty) {
                    sleep(LONG_POLL_INTERVAL).await;
                } else {
                    break result;
                }
            }
        }
    };
    log_call(endpoint, &call, &result, effect != Effect::AnswerLost);
    if !after.is_zero() {
        sleep(after).await;
    }
    let answer = respond(endpoint, call.service, &call.operation, result);
    match effect {
        Effect::AnswerLost | Effect::Dropped => Err(ConnectionLost),
        Effect::AnswerGarbled => Ok(Response { body: "<html>\u{fffd}".to_owned(), ..answer }),
        Effect::AnswerTruncated => {
            Ok(Response { body: answer.body.chars().take(answer.body.len() / 2).collect(), ..answer })
        }
        Effect::AnswerReplaced(body) => Ok(Response { body, ..answer }),
        Effect::None | Effect::Error(_) | Effect::EntriesRefused(..) | Effect::Intercepted(_) => Ok(answer),
    }
}

/// Refuses these entries of a batch, and carries out the rest.
fn refuse_entries(
    endpoint: &Endpoint,
    call: &ParsedCall,
    which: Entries,
    refusal: &ServiceError,
) -> Result<Value, ServiceError> {
    let ServiceError { code, message, status: _ } = refusal;
    let entries = call.input.get("Entries").and_then(Value::as_array).cloned().unwrap_or_default();
    let (refused, done): (Vec<_>, Vec<_>) =
        entries.into_iter().enumerate().partition(|(index, _)| which.contain(*index));
    let mut input = call.input.clone();
    input.insert("Entries".to_owned(), done.iter().map(|(_, entry)| entry.clone()).collect());
    let mut answer = if done.is_empty() {
        json!({ "Successful": [], "Failed": [], "Entries": [] })
    } else {
        endpoint.with(|model, now| call.service.answer(model, call, Input(&input), now))?
    };
    // EventBridge answers in the order of the request, SQS in two lists.
    if let Some(results) = answer.get_mut("Entries").and_then(Value::as_array_mut) {
        for (index, _) in &refused {
            results.insert(*index, json!({ "ErrorCode": code, "ErrorMessage": message }));
        }
        let failed = results.iter().filter(|result| result.get("ErrorCode").is_some()).count();
        answer["FailedEntryCount"] = json!(failed);
    }
    if let Some(failed) = answer.get_mut("Failed").and_then(Value::as_array_mut) {
        failed.extend(
            refused
                .iter()
                .map(|(_, entry)| json!({ "Id": entry["Id"], "SenderFault": false, "Code": code, "Message": message })),
        );
    }
    Ok(answer)
}

/// Stores the call, records it in CloudTrail and runs the actions that are scripted after it.
fn log_call(endpoint: &Endpoint, call: &ParsedCall, result: &Result<Value, ServiceError>, answered: bool) {
    endpoint.with(|model, now| {
        model.calls.push(Call {
            service: call.service.name(),
            operation: call.operation.clone(),
            stream: call.stream.clone(),
            request: Value::Object(call.input.clone()),
            result: result.as_ref().map(|_| ()).map_err(|refusal| refusal.code.clone()),
            answered,
            access_key: call.caller.access_key.clone(),
            at: now,
        });
        if result.as_ref().is_err_and(|refusal| refusal.code == NOT_SEEN) {
            return;
        }
        if matches!(call.service, Service::Kinesis | Service::Kms) {
            let recorded = RecordedCall {
                service: call.service.name(),
                operation: &call.operation,
                input: Input(&call.input),
                result,
                caller: &call.caller,
                at: now,
            };
            cloudtrail::record(model, &recorded);
        }
        model.run_scripts(&call.operation, call.stream.as_deref(), now);
    });
}

/// Checks that the request is [signed] for the service and the Region, and returns the access key.
/// The signature itself is not verified.
///
/// [signed]: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
fn authenticate(request: &Request, service: Service, region: &str) -> Result<String, ServiceError> {
    let missing = || ServiceError::new("MissingAuthenticationTokenException", "Missing Authentication Token");
    let header = request.authorization.as_deref().ok_or_else(missing)?;
    let parameters = header.strip_prefix("AWS4-HMAC-SHA256 ").ok_or_else(missing)?;
    let incomplete =
        || ServiceError::new("IncompleteSignatureException", "Authorization header requires 'Credential' parameter.");
    let [access_key, _date, scope_region, scope_service, "aws4_request"] =
        credential(parameters).ok_or_else(incomplete)?
    else {
        return Err(incomplete());
    };
    if scope_region != region {
        let message = format!("Credential should be scoped to a valid region, not '{scope_region}'. ");
        return Err(ServiceError::new("InvalidSignatureException", message));
    }
    if scope_service != service.name() {
        let message = format!("Credential should be scoped to correct service: '{}'. ", service.name());
        return Err(ServiceError::new("InvalidSignatureException", message));
    }
    Ok(access_key.to_owned())
}

/// The parts of the credential scope: access key, date, Region, service and `aws4_request`.
fn credential(parameters: &str) -> Option<[&str; 5]> {
    let credential = parameters.split([',', ' ']).find_map(|part| part.strip_prefix("Credential="))?;
    credential.split('/').collect::<Vec<_>>().try_into().ok()
}

/// The service that a request is signed for.
fn signed_for(request: &Request) -> Option<&str> {
    credential(request.authorization.as_deref()?).map(|[_, _, _, service, _]| service)
}

/// The health check of Kinesis and SQS endpoints: `GET /ping`.
fn health(request: &Request) -> Response {
    let (status, body) = if request.path == "/ping" { (200, "healthy") } else { (404, "not found") };
    Response { status, headers: vec![("content-type", "text/plain".to_owned())], body: body.to_owned() }
}

fn respond(endpoint: &Endpoint, service: Service, operation: &str, result: Result<Value, ServiceError>) -> Response {
    let request_id = endpoint.with(|model, _| model.guid());
    let mut headers = vec![("content-type", service.content_type().to_owned()), ("x-amzn-requestid", request_id)];
    if service == Service::Sts {
        let (status, body) = sts::xml(operation, result);
        return Response { status, headers, body };
    }
    match result {
        Ok(Value::Null) if service == Service::Sqs => Response { status: 200, headers, body: "{}".to_owned() },
        Ok(Value::Null) => Response { status: 200, headers, body: String::new() },
        Ok(answer) => Response { status: 200, headers, body: answer.to_string() },
        Err(ServiceError { code, message, status }) => {
            if service == Service::Sqs {
                headers.push(("x-amzn-query-error", format!("{};Sender", sqs::query_code(&code))));
            }
            // SQS prefixes the code with its namespace.
            let kind = if service == Service::Sqs { format!("com.amazonaws.sqs#{code}") } else { code };
            Response { status, headers, body: json!({ "__type": kind, "message": message }).to_string() }
        }
    }
}
