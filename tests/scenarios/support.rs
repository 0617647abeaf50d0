//! The real handler over the embedded AWS, in paused time.

use std::time::{Duration, SystemTime};

use aws_types::SdkConfig;
use aws_types::region::Region;
use chrono::DateTime;
use kinesis_encryption_enforcer::aws::{Aws, config};
use kinesis_encryption_enforcer::clock::Clock;
use kinesis_encryption_enforcer::handler::{Handler, Invocation, InvocationError};
use kinesis_encryption_enforcer::sandbox::{Account, NewStream};
use kinesis_encryption_enforcer::settings::{Environment, Settings};
use serde_json::{Value, json};

pub(crate) const ACCOUNT: &str = "111122223333";
pub(crate) const REGION: &str = "us-east-1";
pub(crate) const ALIAS: &str = "alias/streams";
pub(crate) const QUEUE: &str = "dead-letters";

pub(crate) struct World {
    pub(crate) account: Account,
    pub(crate) clock: Clock,
    pub(crate) key: String,
    queue_url: String,
    environment: Environment,
}

impl World {
    /// An account with a key under [`ALIAS`], a dead-letter queue, and changes of streams that take `updating`.
    pub(crate) fn new() -> Self {
        let clock = Clock::starting_at(SystemTime::from(DateTime::parse_from_rfc3339("2026-11-24T00:00:00Z").expect("a time")));
        let account = Account::new(clock.clone(), REGION, ACCOUNT);
        account.configure(|options| {
            options.updating = Duration::from_millis(800);
            options.rate_limits = false;
        });
        let key = account.create_key();
        account.alias(ALIAS, &key);
        let queue_url = account.queue(QUEUE);
        let environment = Environment::default()
            .with("KMS_KEY_ID", &key)
            .with("FAILURE_QUEUE_URL", &queue_url)
            .with("IAC_GRACE_SECONDS", "0")
            .with("OWN_ROLE_ARN", &format!("arn:aws:iam::{ACCOUNT}:role/kinesis-encryption-enforcer"));
        Self { account, clock, key, queue_url, environment }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.environment = self.environment.with(name, value);
        self
    }

    pub(crate) fn stream(&self, stream: NewStream) -> String {
        self.account.stream(stream)
    }

    /// Handles `payload` with a timeout of `seconds`.
    pub(crate) async fn run_for(&self, payload: &Value, seconds: u64) -> Result<Value, InvocationError> {
        let base =
            SdkConfig::builder()
                .region(Region::new(REGION))
                .credentials_provider(aws_credential_types::provider::SharedCredentialsProvider::new(
                    aws_credential_types::Credentials::new("ASIAENFORCEREXAMPLE1", "secret", None, None, "test"),
                ))
                .http_client(self.account.http_client())
                .build();
        let settings = Settings::from_environment(&self.environment).expect("settings");
        let aws = Aws::new(&config::tamed(base, &self.clock), &settings, &self.clock);
        let handler = Handler { settings, aws, clock: self.clock.clone(), function: "enforcer".to_owned(), emit: |_| {} };
        let invocation = Invocation { request_id: "request-1".to_owned(), deadline: self.clock.wall() + Duration::from_secs(seconds) };
        Box::pin(handler.handle(payload, &invocation)).await
    }

    pub(crate) async fn run(&self, payload: &Value) -> Result<Value, InvocationError> {
        self.run_for(payload, 300).await
    }

    /// The one outcome of an invocation that is answered.
    pub(crate) async fn outcome(&self, payload: &Value) -> Value {
        let answer = self.run(payload).await.expect("an answer");
        assert_eq!(answer["outcomes"].as_array().map(Vec::len), Some(1), "{answer:#}");
        answer["outcomes"][0].clone()
    }

    /// The bodies of the dead letters.
    pub(crate) fn letters(&self) -> Vec<Value> {
        self.account.messages(QUEUE).iter().map(|message| serde_json::from_str(&message.body).expect("JSON")).collect()
    }

    pub(crate) fn operations(&self) -> Vec<String> {
        self.account.calls().into_iter().map(|call| call.operation).collect()
    }

    pub(crate) fn starts(&self) -> usize {
        self.account.count("StartStreamEncryption")
    }

    pub(crate) fn queue_url(&self) -> &str {
        &self.queue_url
    }
}

/// The event in `events/NAME.json`.
pub(crate) fn event(name: &str) -> Value {
    let path = format!("{}/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).expect("an event file")).expect("JSON")
}

/// A manual request for a stream.
pub(crate) fn manual(stream: &str) -> Value {
    json!({"stream": stream})
}

pub(crate) const OTHER_KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/ffffffff-12ab-34cd-56ef-1234567890ab";
