//! The account served on a socket, in real time.

use kinesis_encryption_enforcer::aws::http::http_client;
use kinesis_encryption_enforcer::clock::Clock;
use kinesis_encryption_enforcer::sandbox::{Account, Fault, Identity, NewStream, serve};
use kinesis_encryption_enforcer::settings::Environment;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::support::{ACCOUNT, REGION, refused, sdk_config};

struct Served {
    account: Account,
    kinesis: aws_sdk_kinesis::Client,
    address: std::net::SocketAddr,
    shutdown: oneshot::Sender<()>,
    server: JoinHandle<std::io::Result<()>>,
}

impl Served {
    async fn start() -> Self {
        let clock = Clock::system();
        let account = Account::new(clock.clone(), REGION, ACCOUNT);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, asked) = oneshot::channel();
        let server = tokio::spawn(serve(account.clone(), listener, async { drop(asked.await) }));
        let client = http_client(&Environment::default(), REGION).unwrap();
        let config = sdk_config(&clock, client, REGION, "AKIAIOSFODNN7EXAMPLE");
        let config = aws_sdk_kinesis::config::Builder::from(&config).endpoint_url(format!("http://{address}")).build();
        Self { account, kinesis: aws_sdk_kinesis::Client::from_conf(config), address, shutdown, server }
    }

    async fn get(&self, path: &str) -> String {
        self.send(&format!("GET {path}"), &[], "").await
    }

    /// The answer to a request in the words of HTTP.
    async fn send(&self, line: &str, headers: &[(&str, &str)], body: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let headers: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let headers = headers.concat();
        let length = body.len();
        let request = format!(
            "{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

/// The header of a request that is signed for this service.
fn signed(service: &str) -> (&'static str, String) {
    let scope = format!("AKIAIOSFODNN7EXAMPLE/20260919/{REGION}/{service}/aws4_request");
    ("authorization", format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"))
}

#[tokio::test]
async fn the_socket_answers_like_the_in_process_client() {
    let served = Served::start().await;
    let key = served.account.create_key();
    served.account.stream(NewStream::named("orders"));
    let start = || {
        served.kinesis.start_stream_encryption().stream_name("orders").encryption_type("KMS".into()).key_id(&key).send()
    };
    start().await.unwrap();
    assert_eq!(served.account.snapshot("orders").unwrap().status, "UPDATING");
    assert_eq!(refused(&start().await.unwrap_err()).0, "ResourceInUseException");
    served.shutdown.send(()).unwrap();
    served.server.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_lost_answer_closes_the_connection_after_the_call_was_applied() {
    let served = Served::start().await;
    let key = served.account.create_key();
    served.account.stream(NewStream::named("orders"));
    served.account.fault(Fault::on("StartStreamEncryption").answer_lost());
    let call =
        served.kinesis.start_stream_encryption().stream_name("orders").encryption_type("KMS".into()).key_id(&key);
    let err = call.send().await.unwrap_err();
    assert!(matches!(err, aws_sdk_kinesis::error::SdkError::DispatchFailure(_)), "{err:?}");
    assert_eq!(served.account.snapshot("orders").unwrap().status, "UPDATING");
    served.kinesis.list_streams().send().await.unwrap();
}

#[tokio::test]
async fn the_health_check_is_answered_and_an_unsigned_request_is_not() {
    let served = Served::start().await;
    let answer = served.get("/ping").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("healthy"), "{answer}");
    let answer = served.send("POST /", &[("x-amz-target", "Kinesis_20131202.ListStreams")], "{}").await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("MissingAuthenticationTokenException"), "{answer}");
}

/// The protocols of the services: <https://smithy.io/2.0/aws/protocols/index.html>.
#[tokio::test]
async fn a_call_that_the_sandbox_does_not_support_is_refused_in_its_own_protocol_with_those_that_it_supports() {
    let served = Served::start().await;
    let json = [("content-type", "application/x-amz-json-1.1")];
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let cbor = [("content-type", "application/x-amz-cbor-1.1"), ("x-amz-target", "Kinesis_20131202.ListStreams")];
    let target = |target| [json[0], ("x-amz-target", target)];
    for (service, line, headers, body, says) in [
        (
            "kms",
            "POST /",
            &target("TrentService.Encrypt")[..],
            "{}",
            "does not support kms:Encrypt; it supports: Cancel",
        ),
        ("dynamodb", "POST /", &target("DynamoDB_20120810.Scan"), "{}", "dynamodb; it supports: cloudtrail, events"),
        ("lambda", "GET /2015-03-31/functions", &json, "", "x-amzn-errortype: UnknownOperationException"),
        ("sts", "POST /", &form, "Action=GetSessionToken", "<Code>UnknownOperationException</Code>"),
        ("iam", "POST /", &form, "Action=ListUsers", "<Message>the sandbox does not support iam; it supports:"),
        ("sqs", "POST /", &form, "Action=ListQueues", "the sandbox answers sqs in JSON only"),
        ("s3", "GET /", &json, "", "<Message>the sandbox does not support s3;"),
        ("kinesis", "POST /", &cbor, "", "set AWS_CBOR_DISABLE=true"),
        ("kinesis", "POST /", &target("Kinesis_20131202.ListStreams"), "[]", "SerializationException"),
    ] {
        let (name, value) = signed(service);
        let headers = [&[(name, value.as_str())], headers].concat();
        let answer = served.send(line, &headers, body).await;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains(says), "{service} {line}: {answer}");
    }
}

/// botocore's name for CloudTrail:
/// <https://github.com/boto/botocore/blob/develop/botocore/data/cloudtrail/2013-11-01/service-2.json>.
#[tokio::test]
async fn callers_are_told_who_they_are_and_cloudtrail_is_known_by_its_long_name() {
    let served = Served::start().await;
    served.account.identity("AKIAIOSFODNN7EXAMPLE", Identity::role("team/deploy", "ci"));
    let (name, value) = signed("sts");
    let answer = served.send("POST /", &[(name, &value)], "Action=GetCallerIdentity&Version=2011-06-15").await;
    for part in [
        "<GetCallerIdentityResult>",
        "<Arn>arn:aws:sts::111122223333:assumed-role/deploy/ci</Arn>",
        "<Account>111122223333</Account>",
        "<UserId>AROAEXAMPLE:ci</UserId>",
    ] {
        assert!(answer.contains(part), "{part}: {answer}");
    }
    let (name, value) = signed("cloudtrail");
    let target = "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents";
    let answer = served.send("POST /", &[(name, &value), ("x-amz-target", target)], "{}").await;
    assert!(answer.ends_with("{\"Events\":[]}"), "{answer}");
}
