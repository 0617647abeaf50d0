//! The real handler over the sandbox, in paused time.

use std::time::{Duration, SystemTime};

use aws_types::SdkConfig;
use aws_types::region::Region;
use chrono::DateTime;
use kinesis_encryption_enforcer::aws::{Aws, config};
use kinesis_encryption_enforcer::clock::Clock;
use kinesis_encryption_enforcer::handler::{Handler, Invocation, InvocationError};
use kinesis_encryption_enforcer::sandbox::{Account, Identity, NewStream, QueuedMessage};
use kinesis_encryption_enforcer::settings::{Environment, Settings};
use serde_json::{Value, json};

pub(crate) const ACCOUNT: &str = "111122223333";
pub(crate) const REGION: &str = "us-east-1";
pub(crate) const ALIAS: &str = "alias/streams";
pub(crate) const QUEUE: &str = "dead-letters";
pub(crate) const WORK: &str = "work";
pub(crate) const DENIALS: &str = "denials";
/// The parameter that holds what is known of denied calls.
pub(crate) const STATE: &str = "access-state";
/// The access key of the function.
pub(crate) const OWN: &str = "ASIAENFORCEREXAMPLE1";
/// The access key and the role of a second one.
pub(crate) const SECOND: &str = "second-enforcer";
/// `maxReceiveCount` of the work queue.
pub(crate) const RECEIVES: u32 = 5;

pub(crate) struct World {
    pub(crate) account: Account,
    pub(crate) clock: Clock,
    pub(crate) key: String,
    queue_url: String,
    environment: Environment,
}

impl World {
    /// An account with a key under [`ALIAS`], a dead-letter queue, and changes of streams that take
    /// `updating`.
    pub(crate) fn new() -> Self {
        let clock =
            Clock::starting_at(SystemTime::from(DateTime::parse_from_rfc3339("2026-11-24T00:00:00Z").expect("a time")));
        let account = Account::new(clock.clone(), REGION, ACCOUNT);
        account.configure(|options| {
            options.updating = Duration::from_millis(800);
            options.rate_limits = false;
        });
        account.identity(OWN, Identity::role("kinesis-encryption-enforcer", "enforcer"));
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

    /// With a work queue beside the dead-letter queue, made as the template makes it, and the grace
    /// that the template gives.
    pub(crate) fn with_work_queue(self) -> Self {
        let url = self.account.queue(WORK);
        let dead_letters = format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{QUEUE}");
        let policy = json!({"deadLetterTargetArn": dead_letters, "maxReceiveCount": RECEIVES}).to_string();
        for (name, value) in [("VisibilityTimeout", "1800"), ("RedrivePolicy", policy.as_str())] {
            self.account.set_queue_attribute(WORK, name, value);
        }
        self.with("WORK_QUEUE_URL", &url).with("WORK_QUEUE_MAX_RECEIVES", &RECEIVES.to_string())
    }

    /// With the queue of denied calls, and the parameter that holds what is known of them.
    pub(crate) fn hearing_denials(self) -> Self {
        let url = self.account.queue(DENIALS);
        self.account.parameter(STATE, "String", "{}");
        self.with("ACCESS_DENIALS_QUEUE_URL", &url).with("ACCESS_STATE_PARAMETER", STATE)
    }

    pub(crate) fn stream(&self, stream: NewStream) -> String {
        self.account.stream(stream)
    }

    /// The configuration of a client with this access key.
    fn config(&self, access_key: &str) -> SdkConfig {
        let credentials = aws_credential_types::Credentials::new(access_key, "secret", None, None, "test");
        let base = SdkConfig::builder()
            .region(Region::new(REGION))
            .credentials_provider(aws_credential_types::provider::SharedCredentialsProvider::new(credentials))
            .http_client(self.account.http_client())
            .build();
        config::with_retries_off(base, &self.clock)
    }

    /// A client of somebody else, with this access key.
    pub(crate) fn kinesis(&self, access_key: &str) -> aws_sdk_kinesis::Client {
        aws_sdk_kinesis::Client::new(&self.config(access_key))
    }

    /// What a sweep, its queue included, leads to for the stream `name`.
    pub(crate) async fn sweep_outcome(&self, name: &str) -> Value {
        let mut outcomes =
            self.run(&event("scheduled")).await.expect("an answer")["outcomes"].as_array().cloned().unwrap_or_default();
        while let Some(batch) = self.account.receive_batch(WORK, 10) {
            for record in batch["Records"].as_array().expect("records") {
                let item: Value = serde_json::from_str(record["body"].as_str().expect("text")).expect("JSON");
                outcomes.extend(
                    self.run(&item).await.expect("an answer")["outcomes"].as_array().cloned().unwrap_or_default(),
                );
            }
            self.account.settle_batch(WORK, &batch, Some(&json!({"batchItemFailures": []})));
        }
        let of = |outcome: &&Value| {
            outcome["status"] != "queued" && outcome["stream"].as_str().is_some_and(|stream| stream.ends_with(name))
        };
        outcomes.iter().find(of).cloned().unwrap_or_else(|| unreachable!("{outcomes:#?}"))
    }

    /// The same, where there is a work queue; otherwise the sweep works on every stream itself.
    pub(crate) async fn sweep_outcome_if(&self, queue: bool, name: &str) -> Value {
        if queue {
            return self.sweep_outcome(name).await;
        }
        let answer = self.run(&event("scheduled")).await.expect("an answer");
        let outcomes = answer["outcomes"].as_array().cloned().unwrap_or_default();
        let of = |outcome: &Value| outcome["stream"].as_str().is_some_and(|stream| stream.ends_with(name));
        outcomes.into_iter().find(of).unwrap_or_else(|| unreachable!("{answer:#}"))
    }

    /// The function, as one process has it.
    pub(crate) fn handler(&self) -> Handler {
        let settings = Settings::from_environment(&self.environment).expect("settings");
        let aws = Aws::new(&self.config(OWN), &settings, &self.clock);
        Handler { settings, aws, clock: self.clock.clone(), function: "enforcer".to_owned(), emit: |_| {} }
    }

    /// The same function deployed a second time, with another key and role, and without a work
    /// queue.
    pub(crate) fn second_handler(&self, key: &str) -> Handler {
        let role = format!("arn:aws:iam::{ACCOUNT}:role/{SECOND}");
        let environment =
            self.environment.clone().with("KMS_KEY_ID", key).with("OWN_ROLE_ARN", &role).with("WORK_QUEUE_URL", "");
        self.account.identity(SECOND, Identity::role(SECOND, SECOND));
        let settings = Settings::from_environment(&environment).expect("settings");
        let aws = Aws::new(&self.config(SECOND), &settings, &self.clock);
        Handler { settings, aws, clock: self.clock.clone(), function: SECOND.to_owned(), emit: |_| {} }
    }

    /// Handles `payload` in a new process, with a timeout of `seconds`.
    pub(crate) async fn run_for(&self, payload: &Value, seconds: u64) -> Result<Value, InvocationError> {
        self.run_with(&self.handler(), payload, seconds).await
    }

    pub(crate) async fn run_with(
        &self,
        handler: &Handler,
        payload: &Value,
        seconds: u64,
    ) -> Result<Value, InvocationError> {
        let invocation = Invocation {
            request_id: "request-1".to_owned(),
            deadline: self.clock.wall() + Duration::from_secs(seconds),
        };
        Box::pin(handler.handle(payload, &invocation)).await
    }

    pub(crate) async fn run(&self, payload: &Value) -> Result<Value, InvocationError> {
        self.run_for(payload, 300).await
    }

    /// The one outcome of an invocation that is answered.
    pub(crate) async fn outcome(&self, payload: &Value) -> Value {
        self.outcome_of(&self.handler(), payload).await
    }

    /// The same, of a process that goes on living.
    pub(crate) async fn outcome_of(&self, handler: &Handler, payload: &Value) -> Value {
        let answer = self.run_with(handler, payload, 300).await.expect("an answer");
        assert_eq!(answer["outcomes"].as_array().map(Vec::len), Some(1), "{answer:#}");
        answer["outcomes"][0].clone()
    }

    /// The bodies of the dead letters.
    pub(crate) fn letters(&self) -> Vec<Value> {
        self.account.messages(QUEUE).iter().map(|message| serde_json::from_str(&message.body).expect("JSON")).collect()
    }

    /// The bodies of the messages on the work queue, and how long each is hidden, in seconds.
    pub(crate) fn work(&self) -> Vec<(Value, i64)> {
        let now = DateTime::<chrono::Utc>::from(self.clock.wall());
        let messages = self.account.messages(WORK);
        let hidden = |message: &QueuedMessage| (message.visible_from - now).num_seconds();
        messages.iter().map(|message| (serde_json::from_str(&message.body).expect("JSON"), hidden(message))).collect()
    }

    /// Puts a message on the work queue.
    pub(crate) fn enqueue(&self, body: &Value) {
        self.account.send(WORK, &body.to_string());
    }

    /// One invocation with a batch of the work queue, as Lambda makes it, if there is one to
    /// receive.
    pub(crate) async fn batch(&self) -> Option<Value> {
        let batch = self.account.receive_batch(WORK, 10)?;
        self.batch_of(&self.handler(), batch).await
    }

    /// The same, in a process that goes on living.
    pub(crate) async fn batch_with(&self, handler: &Handler) -> Option<Value> {
        let batch = self.account.receive_batch(WORK, 10)?;
        self.batch_of(handler, batch).await
    }

    async fn batch_of(&self, handler: &Handler, batch: Value) -> Option<Value> {
        let answer = self.run_with(handler, &batch, 300).await;
        self.account.settle_batch(WORK, &batch, answer.as_ref().ok());
        answer.ok()
    }

    /// Works until the work queue is empty, however long its messages hide.
    pub(crate) async fn drain(&self) {
        while !self.account.messages(WORK).is_empty() {
            if self.batch().await.is_none() {
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
        }
    }

    /// [`World::drain`], where there is a work queue.
    pub(crate) async fn drain_if(&self, queue: bool) {
        if queue {
            self.drain().await;
        }
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

/// The event in `events/NAME.json`, about `key`.
pub(crate) fn about(name: &str, key: &str) -> Value {
    naming(&event(name), key)
}

/// The same event, about `key` in place of the samples' key.
pub(crate) fn naming(event: &Value, key: &str) -> Value {
    let id = key.rsplit('/').next().expect("an id");
    serde_json::from_str(&event.to_string().replace("1234abcd-12ab-34cd-56ef-1234567890ab", id)).expect("JSON")
}
