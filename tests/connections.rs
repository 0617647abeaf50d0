//! Connections are opened before the first event, and used by it: over sockets, counted.

#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kinesis_encryption_enforcer::aws::{Aws, config};
use kinesis_encryption_enforcer::clock::Clock;
use kinesis_encryption_enforcer::sandbox::{Account, NewStream, serve};
use kinesis_encryption_enforcer::settings::{Environment, Settings};
use tokio::net::{TcpListener, TcpStream};

const ACCOUNT: &str = "111122223333";

/// Counts the connections on the way to `to`.
async fn counting(to: SocketAddr) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut on = TcpStream::connect(to).await.expect("a connection");
                // A connection ends as it likes.
                drop(tokio::io::copy_bidirectional(&mut from, &mut on).await);
            });
        }
    });
    (address, count)
}

#[tokio::test]
async fn the_first_calls_find_their_connections_open_and_no_api_was_called_for_it() {
    let clock = Clock::system();
    let account = Account::new(clock.clone(), "us-east-1", ACCOUNT);
    let key = account.create_key();
    let stream = account.stream(NewStream::named("orders"));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let served = listener.local_addr().expect("an address");
    tokio::spawn(serve(account.clone(), listener, std::future::pending()));
    let (kinesis, to_kinesis) = counting(served).await;
    let (kms, to_kms) = counting(served).await;
    let environment = Environment::default()
        .with("AWS_REGION", "us-east-1")
        .with("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
        .with("AWS_SECRET_ACCESS_KEY", "secret")
        .with("AWS_ENDPOINT_URL_KINESIS", &format!("http://{kinesis}"))
        .with("AWS_ENDPOINT_URL_KMS", &format!("http://{kms}"))
        .with("KMS_KEY_ID", &key);
    let settings = Settings::from_environment(&environment).expect("settings");
    let aws = Aws::new(&config::from_environment(&environment, &clock).expect("a configuration"), &settings, &clock);
    let connections = || (to_kinesis.load(Ordering::Relaxed), to_kms.load(Ordering::Relaxed));

    aws.connect(None).await;
    assert_eq!(connections(), (0, 1), "without an account there is no host to connect to");
    aws.connect(Some(ACCOUNT)).await;
    assert_eq!(connections(), (1, 1));
    assert_eq!(account.calls(), []);

    let until = clock.instant() + Duration::from_secs(10);
    let target = stream.parse().expect("an ARN");
    aws.streams.describe(&target, until).await.expect("a description");
    aws.keys.describe(&settings.key, until).await.expect("a key");
    assert_eq!((connections(), account.calls().len()), ((1, 1), 2));
}
