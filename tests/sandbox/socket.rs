//! The account served on a socket, in real time.

use kinesis_encryption_enforcer::aws::http::http_client;
use kinesis_encryption_enforcer::clock::Clock;
use kinesis_encryption_enforcer::sandbox::{Account, Fault, NewStream, serve};
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
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream
            .write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
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
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let request = "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-amz-target: Kinesis_20131202.ListStreams\r\ncontent-length: 2\r\n\r\n{}";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("MissingAuthenticationTokenException"), "{answer}");
}
