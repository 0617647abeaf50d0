//! A client for the services of which this program uses a call or two.
//!
//! It sends what the SDK's generated clients send, with the SDK's own runtime: its signatures,
//! timeouts, connections and kinds of errors. It leaves out the types of some thousand operations
//! that are not called here, and six rule engines that find six endpoints: together they were a
//! third of the function's size. Kinesis and STS are called by their generated clients.
//!
//! Requests follow the [AWS JSON protocols][json], except where only the terminal program makes
//! them; endpoints follow the [AWS General Reference][endpoints]. A test compares the endpoints with
//! those of the generated clients, for every partition.
//!
//! [json]: https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html
//! [endpoints]: https://docs.aws.amazon.com/general/latest/gr/rande.html

use std::fmt::{self, Display};

use aws_runtime::auth::SigV4OperationSigningConfig;
use aws_runtime::auth::sigv4::{SCHEME_ID, SigV4AuthScheme};
use aws_runtime::recursion_detection::RecursionDetectionInterceptor;
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_runtime::client::orchestrator::operation::{Operation, OperationBuilder};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::auth::static_resolver::StaticAuthSchemeOptionResolver;
use aws_smithy_runtime_api::client::auth::{
    AuthSchemeOptionResolverParams, SharedAuthScheme, SharedAuthSchemeOptionResolver,
};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_runtime_api::client::runtime_plugin::StaticRuntimePlugin;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::Layer;
use aws_smithy_types::error::metadata::{ErrorMetadata, ProvideErrorMetadata};
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::region::SigningRegion;
use aws_types::service_config::ServiceConfigKey;
use aws_types::{SdkConfig, SigningName};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::connect::into_ping;
use super::error::{CallError, Fate};
use crate::domain::arn::partition_of;
use crate::domain::failure::{Failure, Step, code};

/// A service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Service {
    /// The service's id, as in `AWS_ENDPOINT_URL_<ID>`.
    id: &'static str,
    /// The name that its endpoints begin with, and that requests are signed for.
    host: &'static str,
    /// The prefix of `X-Amz-Target`; empty if the service speaks no AWS JSON protocol.
    target: &'static str,
    content_type: &'static str,
    govcloud: GovCloud,
}

/// How the [FIPS endpoints][fips] of a service are named in `GovCloud`, where plain endpoints may
/// be FIPS endpoints themselves.
///
/// [fips]: https://docs.aws.amazon.com/sdkref/latest/guide/feature-endpoints.html
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GovCloud {
    /// With `-fips`, as elsewhere.
    Fips,
    /// Without `-fips`, except the dual-stack endpoints.
    Plain,
    /// Without `-fips`.
    AllPlain,
}

const JSON_1_0: &str = "application/x-amz-json-1.0";
const JSON_1_1: &str = "application/x-amz-json-1.1";

/// Key Management Service.
pub(crate) const KMS: Service =
    Service { id: "KMS", host: "kms", target: "TrentService", content_type: JSON_1_1, govcloud: GovCloud::Fips };
/// Simple Queue Service.
pub(crate) const SQS: Service =
    Service { id: "SQS", host: "sqs", target: "AmazonSQS", content_type: JSON_1_0, govcloud: GovCloud::Plain };
/// Systems Manager.
pub(crate) const SSM: Service =
    Service { id: "SSM", host: "ssm", target: "AmazonSSM", content_type: JSON_1_1, govcloud: GovCloud::Plain };
/// `CloudTrail`.
pub(crate) const CLOUDTRAIL: Service = Service {
    id: "CloudTrail",
    host: "cloudtrail",
    target: "CloudTrail_20131101",
    content_type: JSON_1_1,
    govcloud: GovCloud::Plain,
};
/// `EventBridge`.
pub(crate) const EVENTBRIDGE: Service = Service {
    id: "EventBridge",
    host: "events",
    target: "AWSEvents",
    content_type: JSON_1_1,
    govcloud: GovCloud::AllPlain,
};
/// Resource Groups Tagging API.
pub(crate) const TAGGING: Service = Service {
    id: "Resource Groups Tagging API",
    host: "tagging",
    target: "ResourceGroupsTaggingAPI_20170126",
    content_type: JSON_1_1,
    govcloud: GovCloud::Fips,
};
/// Lambda.
#[cfg(feature = "cli")]
pub(super) const LAMBDA: Service =
    Service { id: "Lambda", host: "lambda", target: "", content_type: "", govcloud: GovCloud::Fips };
/// Elastic Compute Cloud.
#[cfg(feature = "cli")]
pub(super) const EC2: Service =
    Service { id: "EC2", host: "ec2", target: "", content_type: "", govcloud: GovCloud::Plain };
/// Security Hub.
#[cfg(feature = "cli")]
pub(super) const SECURITY_HUB: Service =
    Service { id: "SecurityHub", host: "securityhub", target: "", content_type: "", govcloud: GovCloud::Fips };

/// Identity and Access Management, whose endpoint is not Regional.
#[cfg(feature = "cli")]
pub(super) const IAM: Service =
    Service { id: "IAM", host: "iam", target: "", content_type: "", govcloud: GovCloud::Plain };
/// `EventBridge` Pipes.
#[cfg(feature = "cli")]
pub(super) const PIPES: Service =
    Service { id: "Pipes", host: "pipes", target: "", content_type: "", govcloud: GovCloud::Fips };
/// Kinesis Data Streams, for the calls that the generated client is not asked for.
#[cfg(feature = "cli")]
pub(super) const KINESIS: Service = Service {
    id: "Kinesis",
    host: "kinesis",
    target: "Kinesis_20131202",
    content_type: JSON_1_1,
    govcloud: GovCloud::AllPlain,
};
/// Firehose.
#[cfg(feature = "cli")]
pub(super) const FIREHOSE: Service = Service {
    id: "Firehose",
    host: "firehose",
    target: "Firehose_20150804",
    content_type: JSON_1_1,
    govcloud: GovCloud::Fips,
};
/// `CloudWatch` Logs.
#[cfg(feature = "cli")]
pub(super) const LOGS: Service = Service {
    id: "CloudWatch Logs",
    host: "logs",
    target: "Logs_20140328",
    content_type: JSON_1_1,
    govcloud: GovCloud::Plain,
};
/// `DynamoDB`.
#[cfg(feature = "cli")]
pub(super) const DYNAMODB: Service = Service {
    id: "DynamoDB",
    host: "dynamodb",
    target: "DynamoDB_20120810",
    content_type: JSON_1_0,
    govcloud: GovCloud::Plain,
};

impl Service {
    /// The URL of the service.
    fn endpoint(self, config: &SdkConfig) -> String {
        if let Some(url) = self.configured_endpoint(config) {
            return url;
        }
        let region = config.region().map(ToString::to_string).unwrap_or_default();
        let partition = partition_of(&region);
        let (suffix, dual_stack_suffix) = suffixes(partition);
        let dual_stack = config.use_dual_stack() == Some(true);
        let plain = partition == "aws-us-gov"
            && (self.govcloud == GovCloud::AllPlain || self.govcloud == GovCloud::Plain && !dual_stack);
        let fips = if config.use_fips() == Some(true) && !plain { "-fips" } else { "" };
        format!("https://{}{fips}.{region}.{}", self.host, if dual_stack { dual_stack_suffix } else { suffix })
    }

    /// `AWS_ENDPOINT_URL_<ID>` or `AWS_ENDPOINT_URL`, or the same settings of a profile.
    fn configured_endpoint(self, config: &SdkConfig) -> Option<String> {
        let key = ServiceConfigKey::builder()
            .service_id(self.id)
            .env("AWS_ENDPOINT_URL")
            .profile("endpoint_url")
            .build()
            .ok()?;
        let of_service = config.service_config().and_then(|service_config| service_config.load_config(key));
        of_service.or_else(|| config.endpoint_url().map(str::to_owned)).map(|url| url.trim_end_matches('/').to_owned())
    }
}

/// The suffixes of a partition's endpoints: IPv4 and dual-stack.
fn suffixes(partition: &str) -> (&'static str, &'static str) {
    match partition {
        "aws-cn" => ("amazonaws.com.cn", "api.amazonwebservices.com.cn"),
        "aws-iso" => ("c2s.ic.gov", "api.aws.ic.gov"),
        "aws-iso-b" => ("sc2s.sgov.gov", "api.aws.scloud"),
        "aws-iso-e" => ("cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
        "aws-iso-f" => ("csp.hci.ic.gov", "api.aws.hci.ic.gov"),
        "aws-eusc" => ("amazonaws.eu", "api.amazonwebservices.eu"),
        _ => ("amazonaws.com", "api.aws"),
    }
}

/// What every request says of its sender.
pub(super) const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// A client of one service.
#[derive(Clone)]
pub(crate) struct Client {
    service: Service,
    operation: Operation<Call, Answer, ServiceError>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.service.id).finish()
    }
}

/// A request.
#[derive(Debug)]
struct Call {
    operation: &'static str,
    input: Vec<u8>,
    /// Whether a health check is sent in place of the call.
    ping: bool,
}

/// The body of a successful response.
#[derive(Debug)]
pub(crate) struct Answer(Vec<u8>);

impl Answer {
    /// Parses the answer of the call at `step` on `subject`.
    pub(super) fn parsed<T: DeserializeOwned>(self, step: Step, subject: &dyn Display) -> Result<T, CallError> {
        // The body is empty if the operation has no output.
        let body = if self.0.is_empty() { &b"{}"[..] } else { &self.0 };
        serde_json::from_slice(body).map_err(|error| CallError {
            failure: Failure::new(step, code::UNREADABLE_ANSWER, subject, &error.to_string()),
            fate: Fate::Unknown,
        })
    }
}

impl Client {
    /// A client of `service`, with the credentials, the Region, the timeouts and the HTTP client in
    /// `config`.
    pub(crate) fn new(config: &SdkConfig, service: Service) -> Self {
        let builder = operation(config, service);
        let operation = builder.serializer(move |call: Call| service.request(call)).deserializer(answer).build();
        Self { service, operation }
    }

    /// Makes a call.
    pub(crate) async fn send(
        &self,
        operation: &'static str,
        input: &Value,
    ) -> Result<Answer, SdkError<ServiceError, HttpResponse>> {
        self.operation.invoke(Call { operation, input: input.to_string().into_bytes(), ping: false }).await
    }

    /// Makes a call, and parses its answer.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        input: &Value,
        step: Step,
        subject: &(dyn Display + Sync),
    ) -> Result<T, CallError> {
        let answer = self.send(operation, input).await.map_err(|error| CallError::from_sdk(step, subject, &error))?;
        answer.parsed(step, subject)
    }

    /// Opens a connection. An error is left for the first call to find.
    pub(super) async fn connect(&self) {
        drop(self.operation.invoke(Call { operation: "ping", input: Vec::new(), ping: true }).await);
    }
}

/// What all operations of `service` have in common: the endpoint, and what is in `config`.
pub(super) fn operation(config: &SdkConfig, service: Service) -> OperationBuilder {
    let mut signing = Layer::new("signing");
    signing.store_put(AuthSchemeOptionResolverParams::new(()));
    signing.store_put(SigV4OperationSigningConfig::default());
    signing.store_put(SigningName::from_static(service.host));
    if let Some(region) = config.region() {
        signing.store_put(SigningRegion::from(region.clone()));
    }
    let mut components = RuntimeComponentsBuilder::new("service");
    components
        .set_auth_scheme_option_resolver(Some(SharedAuthSchemeOptionResolver::new(
            StaticAuthSchemeOptionResolver::new(vec![SCHEME_ID]),
        )))
        .push_auth_scheme(SharedAuthScheme::new(SigV4AuthScheme::new()))
        .set_identity_cache(Some(config.identity_cache().unwrap_or_else(|| IdentityCache::lazy().build())))
        // Lambda's recursive loop detection needs its header.
        .push_interceptor(RecursionDetectionInterceptor::new());
    if let Some(credentials) = config.credentials_provider() {
        components.set_identity_resolver(SCHEME_ID, credentials);
    }
    components
        .set_http_client(config.http_client())
        .set_sleep_impl(config.sleep_impl())
        .set_time_source(config.time_source());
    Operation::builder()
        .service_name(service.id)
        .operation_name("call")
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(&service.endpoint(config))
        .no_retry()
        .timeout_config(config.timeout_config().cloned().unwrap_or_else(TimeoutConfig::disabled))
        .with_connection_poisoning()
        .runtime_plugin(StaticRuntimePlugin::new().with_config(signing.freeze()).with_runtime_components(components))
}

impl Service {
    fn request(self, call: Call) -> Result<HttpRequest, BoxError> {
        let Call { operation, input, ping } = call;
        let length = input.len().to_string();
        let mut request = HttpRequest::new(SdkBody::from(input));
        request.set_uri("/")?;
        request.set_method("POST")?;
        let headers = request.headers_mut();
        headers.try_insert("content-type", self.content_type)?;
        headers.try_insert("content-length", length)?;
        headers.try_insert("user-agent", USER_AGENT)?;
        headers.try_insert("x-amz-target", format!("{}.{operation}", self.target))?;
        if ping {
            into_ping(&mut request);
        }
        Ok(request)
    }
}

/// An error response of the service.
#[derive(Debug)]
pub(crate) struct ServiceError(ErrorMetadata);

impl ServiceError {
    /// An error with what the response says of it.
    pub(super) fn new(code: Option<&str>, message: Option<&str>) -> Self {
        let mut metadata = ErrorMetadata::builder();
        if let Some(code) = code {
            metadata = metadata.code(code);
        }
        if let Some(message) = message {
            metadata = metadata.message(message);
        }
        Self(metadata.build())
    }
}

impl Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for ServiceError {}

impl ProvideErrorMetadata for ServiceError {
    fn meta(&self) -> &ErrorMetadata {
        &self.0
    }
}

pub(super) fn answer(response: &HttpResponse) -> Result<Answer, OrchestratorError<ServiceError>> {
    let body = response.body().bytes().unwrap_or_default();
    if response.status().is_success() {
        return Ok(Answer(body.to_vec()));
    }
    let header = |name| response.headers().get(name);
    Err(OrchestratorError::operation(error(header("x-amzn-query-error"), header("x-amzn-errortype"), body)))
}

/// The error in a response: its code, without namespace and URL, and its message. SQS returns its
/// older [query error code][query] in a header.
///
/// [query]: https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
fn error(query_error: Option<&str>, error_type: Option<&str>, body: &[u8]) -> ServiceError {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |names: &[&str]| names.iter().find_map(|name| body.get(name)?.as_str());
    let query_error = query_error.and_then(|error| error.split(';').next()).filter(|code| !code.is_empty());
    let code = query_error.or(error_type).or_else(|| text(&["code", "__type"])).map(|code| {
        let code = code.split(':').next().unwrap_or(code);
        code.rsplit('#').next().unwrap_or(code)
    });
    ServiceError::new(code, text(&["message", "Message", "errorMessage"]))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use aws_types::region::Region;

    use super::*;

    #[test]
    fn errors_are_read_wherever_a_service_puts_them() {
        for (query_error, error_type, body, code, message) in [
            (
                None,
                None,
                r#"{"__type": "NotFoundException", "message": "no such key"}"#,
                Some("NotFoundException"),
                Some("no such key"),
            ),
            (
                None,
                None,
                r#"{"__type": "com.amazonaws.sqs#QueueDoesNotExist", "Message": "m"}"#,
                Some("QueueDoesNotExist"),
                Some("m"),
            ),
            (
                Some("AWS.SimpleQueueService.NonExistentQueue;Sender"),
                None,
                r#"{"__type": "com.amazonaws.sqs#QueueDoesNotExist"}"#,
                Some("AWS.SimpleQueueService.NonExistentQueue"),
                None,
            ),
            (None, Some("ThrottlingException:http://internal/coral"), "{}", Some("ThrottlingException"), None),
            (None, None, "<html>", None, None),
            (None, None, "", None, None),
            (Some(";"), None, r#"{"code": "InternalFailure"}"#, Some("InternalFailure"), None),
        ] {
            let ServiceError(found) = error(query_error, error_type, body.as_bytes());
            assert_eq!((found.code(), found.message()), (code, message), "{body}");
        }
    }

    /// Every partition, with a Region that is special in none and the ones that are.
    const REGIONS: [&str; 12] = [
        "us-east-1",
        "us-west-2",
        "eu-central-1",
        "ap-southeast-2",
        "cn-north-1",
        "us-gov-west-1",
        "us-gov-east-1",
        "us-iso-east-1",
        "us-isob-east-1",
        "eu-isoe-west-1",
        "us-isof-south-1",
        "eusc-de-east-1",
    ];

    /// The endpoint that the generated client of `$sdk` finds; none where the partition does not
    /// have such a one.
    macro_rules! generated {
        ($sdk:ident, $region:expr, $fips:expr, $dual_stack:expr) => {{
            use $sdk::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
            let params = Params::builder()
                .region($region)
                .use_fips($fips)
                .use_dual_stack($dual_stack)
                .build()
                .expect("parameters");
            let found = DefaultResolver::new().resolve_endpoint(&params).await;
            found.ok().map(|endpoint| endpoint.url().to_owned())
        }};
    }

    /// Source: <https://docs.aws.amazon.com/general/latest/gr/rande.html>.
    #[cfg(feature = "cli")]
    #[test]
    fn endpoints_of_the_terminal_program_are_those_of_the_general_reference() {
        for (service, region, fips, dual_stack, url) in [
            (LAMBDA, "eu-west-1", false, false, "https://lambda.eu-west-1.amazonaws.com"),
            (LAMBDA, "us-east-1", true, false, "https://lambda-fips.us-east-1.amazonaws.com"),
            (LAMBDA, "us-gov-west-1", true, false, "https://lambda-fips.us-gov-west-1.amazonaws.com"),
            (LAMBDA, "eu-west-1", false, true, "https://lambda.eu-west-1.api.aws"),
            (EC2, "eu-west-1", false, false, "https://ec2.eu-west-1.amazonaws.com"),
            (EC2, "us-east-1", true, false, "https://ec2-fips.us-east-1.amazonaws.com"),
            (EC2, "us-gov-west-1", true, false, "https://ec2.us-gov-west-1.amazonaws.com"),
            (EC2, "eu-west-1", false, true, "https://ec2.eu-west-1.api.aws"),
            (EC2, "cn-north-1", false, false, "https://ec2.cn-north-1.amazonaws.com.cn"),
            (PIPES, "eu-west-1", false, false, "https://pipes.eu-west-1.amazonaws.com"),
            (FIREHOSE, "us-gov-west-1", true, false, "https://firehose-fips.us-gov-west-1.amazonaws.com"),
            (LOGS, "us-gov-west-1", true, false, "https://logs.us-gov-west-1.amazonaws.com"),
            (LOGS, "us-east-1", true, false, "https://logs-fips.us-east-1.amazonaws.com"),
            (DYNAMODB, "us-gov-west-1", true, false, "https://dynamodb.us-gov-west-1.amazonaws.com"),
            (DYNAMODB, "us-east-1", true, false, "https://dynamodb-fips.us-east-1.amazonaws.com"),
            (KINESIS, "eu-west-1", false, false, "https://kinesis.eu-west-1.amazonaws.com"),
            (KINESIS, "us-east-1", true, false, "https://kinesis-fips.us-east-1.amazonaws.com"),
            (KINESIS, "us-gov-west-1", true, false, "https://kinesis.us-gov-west-1.amazonaws.com"),
        ] {
            let config =
                SdkConfig::builder().region(Region::new(region)).use_fips(fips).use_dual_stack(dual_stack).build();
            assert_eq!(service.endpoint(&config), url);
        }
    }

    #[tokio::test]
    async fn endpoints_are_those_that_the_generated_clients_find() {
        let mut compared = 0;
        for region in REGIONS {
            for (fips, dual_stack) in [(false, false), (true, false), (false, true), (true, true)] {
                let config =
                    SdkConfig::builder().region(Region::new(region)).use_fips(fips).use_dual_stack(dual_stack).build();
                for (service, generated) in [
                    (KMS, generated!(aws_sdk_kms, region, fips, dual_stack)),
                    (SQS, generated!(aws_sdk_sqs, region, fips, dual_stack)),
                    (SSM, generated!(aws_sdk_ssm, region, fips, dual_stack)),
                    (CLOUDTRAIL, generated!(aws_sdk_cloudtrail, region, fips, dual_stack)),
                    (EVENTBRIDGE, generated!(aws_sdk_eventbridge, region, fips, dual_stack)),
                    (TAGGING, generated!(aws_sdk_resourcegroupstagging, region, fips, dual_stack)),
                ] {
                    if let Some(url) = generated {
                        assert_eq!(
                            service.endpoint(&config),
                            url,
                            "{} in {region}, FIPS {fips}, dual stack {dual_stack}",
                            service.id
                        );
                        compared += 1;
                    }
                }
            }
        }
        assert!(compared >= 4 * 6 * 6, "{compared}");
    }

    const NETWORK: &str = include_str!("../../docs/NETWORK.md");

    /// The rows of a table in docs/NETWORK.md, by its first column.
    fn rows(header: &str) -> impl Iterator<Item = &'static str> {
        let rows = NETWORK.split_once(header).expect(header).1.lines().skip(2);
        rows.take_while(|row| row.starts_with('|'))
    }

    /// The texts in backticks in the columns of that table.
    fn table(header: &str) -> Vec<Vec<&'static str>> {
        rows(header).map(|row| row.split('`').skip(1).step_by(2).collect()).collect()
    }

    #[tokio::test]
    async fn the_document_lists_the_hosts_of_every_partition() {
        let hosts: Vec<_> = table("| host |").into_iter().map(|row| row[0]).collect();
        let mut listed = BTreeSet::new();
        for region in REGIONS {
            let partition = partition_of(region);
            let suffixes = table("| partition |");
            let suffixes = suffixes.iter().find(|row| row[0] == partition).expect("the partition");
            for dual_stack in [false, true] {
                let config = SdkConfig::builder().region(Region::new(region)).use_dual_stack(dual_stack).build();
                let mut urls: Vec<String> =
                    [KMS, SQS, SSM, CLOUDTRAIL, EVENTBRIDGE, TAGGING].map(|service| service.endpoint(&config)).into();
                urls.extend(generated!(aws_sdk_kinesis, region, false, dual_stack));
                urls.extend(generated!(aws_sdk_sts, region, false, dual_stack));
                #[cfg(feature = "cli")]
                {
                    urls.extend(generated!(aws_sdk_sso, region, false, dual_stack));
                    let of_commands = [SECURITY_HUB, LAMBDA, EC2, PIPES, KINESIS, FIREHOSE, LOGS, DYNAMODB];
                    urls.extend(of_commands.map(|service| service.endpoint(&config)));
                    urls.push(crate::aws::iam::endpoint(region, false).0);
                }
                for operation in ["control", "data"] {
                    use aws_sdk_kinesis::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
                    let params = Params::builder()
                        .region(region)
                        .use_fips(false)
                        .use_dual_stack(dual_stack)
                        .operation_type(operation)
                        .stream_arn(format!("arn:{partition}:kinesis:{region}:111122223333:stream/orders"))
                        .build()
                        .expect("parameters");
                    let found = DefaultResolver::new().resolve_endpoint(&params).await;
                    urls.extend(found.ok().map(|endpoint| endpoint.url().to_owned()));
                }
                for url in urls {
                    let host = hosts.iter().find(|host| {
                        let host = host.replace("<account>", "111122223333").replace("<region>", region);
                        let host = host.replace("<iam>", suffixes[3]);
                        url == format!("https://{}", host.replace("<suffix>", suffixes[1 + usize::from(dual_stack)]))
                    });
                    listed.insert(host.unwrap_or_else(|| unreachable!("{url}, dual stack {dual_stack}")).to_string());
                }
            }
        }
        // The SDK calls it only for a new token.
        listed.insert("oidc.<region>.<suffix>".to_owned());
        assert_eq!(listed, hosts.into_iter().map(str::to_owned).collect());
    }

    #[cfg(feature = "cli")]
    #[test]
    fn the_document_lists_the_hosts_of_the_access_command() {
        let of_users = [CLOUDTRAIL, DYNAMODB, EVENTBRIDGE, FIREHOSE, KINESIS, LAMBDA, LOGS, PIPES];
        let hosts = of_users.map(|service| format!("| `{}.<region>.<suffix>` |", service.host));
        let hosts: BTreeSet<_> = hosts.into_iter().chain(["| `<iam>` |".to_owned()]).collect();
        let listed = rows("| host |").filter(|row| row.contains("`enforcer access`"));
        assert_eq!(
            listed.map(|row| hosts.iter().find(|host| row.starts_with(*host))).collect::<Option<BTreeSet<_>>>(),
            Some(hosts.iter().collect())
        );
    }

    /// Its generated client is too large to build for one endpoint.
    ///
    /// Source: the service's endpoint rule set, as in [botocore 1.44.8][botocore].
    ///
    /// [botocore]: https://github.com/boto/botocore/blob/1.44.8/botocore/data/securityhub/2018-10-26/endpoint-rule-set-1.json.gz
    #[cfg(feature = "cli")]
    #[test]
    fn the_endpoints_of_security_hub_are_those_of_its_rule_set() {
        for (region, fips, dual_stack, url) in [
            ("us-east-1", false, false, "https://securityhub.us-east-1.amazonaws.com"),
            ("us-gov-west-1", true, false, "https://securityhub-fips.us-gov-west-1.amazonaws.com"),
            ("us-gov-west-1", false, true, "https://securityhub.us-gov-west-1.api.aws"),
            ("eu-central-1", true, true, "https://securityhub-fips.eu-central-1.api.aws"),
            ("cn-north-1", false, false, "https://securityhub.cn-north-1.amazonaws.com.cn"),
        ] {
            let config =
                SdkConfig::builder().region(Region::new(region)).use_fips(fips).use_dual_stack(dual_stack).build();
            assert_eq!(SECURITY_HUB.endpoint(&config), url);
        }
    }
}
