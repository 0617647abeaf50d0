//! `enforcer demo`: the whole story on an embedded AWS, told by the real handler through the real
//! SDK over HTTP.
//!
//! Each step says beforehand how it must end; the demo fails if one does not.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use aws_sdk_kinesis::types::EncryptionType;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::local::{ALIAS, ENFORCER, Local, PERSON};
use super::paint::{self, BOLD, DIM, say};
use crate::aws::Aws;
use crate::aws::dead_letters::{DeadLetterQueue, ReceivedMessage};
use crate::aws::service::{Client, KMS};
use crate::handler::{Handler, Invocation};
use crate::settings::{Environment, Settings};

const REGION: &str = "us-east-1";
const ACCOUNT: &str = "111122223333";
const QUEUE: &str = "enforcer-dead-letters";

/// Shorter than in AWS, where it is seconds to minutes, and longer than one look.
const CREATING: Duration = Duration::from_millis(600);
const UPDATING: Duration = Duration::from_millis(700);

pub(super) async fn run() -> Result<()> {
    let mut demo = Demo::start().await?;
    title("1. A stream is created. CreateStream cannot encrypt: the enforcer does, as soon as the stream is ACTIVE.");
    demo.create("orders").await?;
    let created = demo.event("CreateStream")?;
    demo.enforce(&created, "encrypted", 1).await?;
    demo.own_event_is_ignored().await?;

    title("2. EventBridge delivers the same event again. Nothing happens: an event only says where to look.");
    demo.enforce(&created, "compliant", 0).await?;

    title("3. Somebody stops the encryption.");
    demo.stop("orders").await?;
    let stopped = demo.event("StopStreamEncryption")?;
    demo.enforce(&stopped, "encrypted", 1).await?;

    title("4. The alias is re-pointed to a new key. The whole fleet follows.");
    demo.more_streams();
    let key = demo.repoint().await?;
    let repointed = demo.event("UpdateAlias")?;
    demo.enforce(&repointed, "encrypted", 3).await?;
    demo.all_have(&key)?;

    title(
        "5. The key is disabled, and a stream is created. The enforcer refuses to apply a dead key, and says so on the dead-letter queue.",
    );
    demo.disable(&key).await?;
    let disabled = demo.event("DisableKey")?;
    demo.enforce(&disabled, "key-at-risk", 1).await?;
    demo.create("payments").await?;
    let created = demo.event("CreateStream")?;
    demo.enforce(&created, "failed", 1).await?;
    let (letter, held) = demo.letter().await?;

    title("6. The key is enabled again, and the letter is fed back as it is.");
    demo.enable(&key).await?;
    demo.enforce(&letter, "encrypted", 1).await?;
    demo.delete(&held).await?;
    demo.all_have(&key)?;
    title("Every step ended as told.");
    Ok(())
}

fn title(title: &str) {
    say("");
    say(&format!("{BOLD}{title}{BOLD:#}"));
}

struct Demo {
    local: Local,
    kinesis: aws_sdk_kinesis::Client,
    kms: Client,
    letters: DeadLetterQueue,
    handler: Handler,
    events: Vec<Value>,
    seen_calls: usize,
    invocations: u32,
    began: Instant,
}

impl Demo {
    async fn start() -> Result<Self> {
        let local = Local::start(REGION, ACCOUNT).await?;
        local.account.configure(|options| {
            options.creating = CREATING;
            options.updating = UPDATING;
        });
        let key = local.account.create_key();
        local.account.alias(ALIAS, &key);
        let queue_url = local.account.queue(QUEUE);
        let environment = local.environment(Environment::default().with("KMS_KEY_ID", ALIAS), &queue_url);
        let settings = Settings::from_environment(&environment)?;
        let aws = Aws::new(&local.config(ENFORCER)?, &settings, &local.clock);
        let handler =
            Handler { settings, aws, clock: local.clock.clone(), function: "enforcer".to_owned(), emit: |_| {} };
        let person = local.config(PERSON)?;
        let began = local.clock.instant();
        say(&format!("{BOLD}An embedded AWS account{BOLD:#} {ACCOUNT} in {REGION} at {}", local.url));
        say(&format!("{DIM}KMS_KEY_ID={ALIAS}, which is {key}{DIM:#}"));
        Ok(Self {
            kinesis: aws_sdk_kinesis::Client::new(&person),
            kms: Client::new(&person, KMS),
            letters: DeadLetterQueue::new(&person, &local.clock, &queue_url),
            local,
            handler,
            events: Vec::new(),
            seen_calls: 0,
            invocations: 0,
            began,
        })
    }

    fn tell(&self, who: &str, what: &str) {
        let seconds = (self.local.clock.instant() - self.began).as_secs_f64();
        say(&format!("{DIM}{seconds:6.2} s{DIM:#}  {who:<9} {what}"));
    }

    /// Runs the handler on an event, and holds the outcomes to `count` of `status`; 0 stands for
    /// one that needed no start.
    async fn enforce(&mut self, payload: &Value, status: &str, starts_or_outcomes: u64) -> Result<()> {
        self.invocations += 1;
        let deadline = self.local.clock.wall() + Duration::from_mins(1);
        let invocation = Invocation { request_id: format!("demo-{}", self.invocations), deadline };
        let answer = Box::pin(self.handler.handle(payload, &invocation)).await?;
        let calls = self.calls_since();
        self.tell("enforcer", &format!("{DIM}{}{DIM:#}", told(&calls)));
        for line in paint::answer(&answer) {
            self.tell("", &line);
        }
        let found = answer["summary"][status].as_u64().unwrap_or_default();
        if found != starts_or_outcomes.max(1) {
            bail!(
                "this step was to end with {} {status}, and ended with {}",
                starts_or_outcomes.max(1),
                answer["summary"]
            );
        }
        let starts = calls.iter().filter(|call| *call == "StartStreamEncryption").count() as u64;
        let expected = if status == "encrypted" { starts_or_outcomes } else { 0 };
        if starts != expected {
            bail!("this step was to send StartStreamEncryption {expected} times, and sent it {starts} times");
        }
        Ok(())
    }

    /// The enforcer's own `StartStreamEncryption` comes back as an event, as it does in AWS: the
    /// loop is cut in code too, not only in the rule.
    async fn own_event_is_ignored(&mut self) -> Result<()> {
        let own = self.event("StartStreamEncryption")?;
        self.invocations += 1;
        let deadline = self.local.clock.wall() + Duration::from_mins(1);
        let invocation = Invocation { request_id: format!("demo-{}", self.invocations), deadline };
        let answer = Box::pin(self.handler.handle(&own, &invocation)).await?;
        for line in paint::answer(&answer) {
            self.tell("enforcer", &line);
        }
        if answer["trigger"]["kind"] != "ignored" {
            bail!("the enforcer's own call was to be ignored, and was answered with {answer}");
        }
        Ok(())
    }

    /// The calls that the enforcer made since the last time this was asked.
    fn calls_since(&mut self) -> Vec<String> {
        let calls = self.local.account.calls();
        let fresh = calls
            .iter()
            .skip(self.seen_calls)
            .filter(|call| call.access_key == ENFORCER)
            .map(|call| call.operation.clone())
            .collect();
        self.seen_calls = calls.len();
        fresh
    }

    /// The newest event about `call` that the embedded AWS has put on its bus.
    fn event(&mut self, call: &str) -> Result<Value> {
        self.events.extend(self.local.account.take_events());
        let found = self.events.iter().rposition(|event| event["detail"]["eventName"] == call);
        let event =
            found.map(|index| self.events.remove(index)).with_context(|| format!("no {call} event on the bus"))?;
        self.tell(
            "eventbus",
            &format!(
                "{} {}: {call}",
                event["source"].as_str().unwrap_or_default(),
                event["detail-type"].as_str().unwrap_or_default()
            ),
        );
        Ok(event)
    }

    async fn create(&self, name: &str) -> Result<()> {
        self.tell("alice", &format!("CreateStream {name}"));
        self.kinesis.create_stream().stream_name(name).shard_count(1).send().await?;
        Ok(())
    }

    async fn stop(&self, name: &str) -> Result<()> {
        self.tell("alice", &format!("StopStreamEncryption {name}"));
        self.kinesis
            .stop_stream_encryption()
            .stream_name(name)
            .encryption_type(EncryptionType::Kms)
            .key_id(ALIAS)
            .send()
            .await?;
        // CloudTrail's events arrive later than the change.
        sleep(UPDATING).await;
        Ok(())
    }

    fn more_streams(&self) {
        use crate::sandbox::NewStream;
        let account = &self.local.account;
        account.stream(NewStream::named("clickstream").encrypted_with(ALIAS));
        account.stream(NewStream::named("audit-log").encrypted_with("alias/aws/kinesis"));
        self.tell("", "two more streams are there: clickstream, encrypted by naming the alias, and audit-log, with the AWS managed key");
    }

    async fn repoint(&self) -> Result<String> {
        let key = self.local.account.create_key();
        self.tell("alice", &format!("UpdateAlias {ALIAS} to {key}"));
        self.kms.send("UpdateAlias", &json!({"AliasName": ALIAS, "TargetKeyId": key})).await?;
        Ok(key)
    }

    async fn disable(&self, key: &str) -> Result<()> {
        self.tell("alice", &format!("DisableKey {key}"));
        self.kms.send("DisableKey", &json!({"KeyId": key})).await?;
        Ok(())
    }

    async fn enable(&self, key: &str) -> Result<()> {
        self.tell("alice", &format!("EnableKey {key}"));
        self.kms.send("EnableKey", &json!({"KeyId": key})).await?;
        Ok(())
    }

    async fn letter(&self) -> Result<(Value, ReceivedMessage)> {
        let held = self
            .letters
            .receive()
            .await
            .map_err(|error| anyhow!("{}", error.failure))?
            .pop()
            .context("no dead letter on the queue")?;
        let letter: Value = serde_json::from_str(&held.body)?;
        self.tell("queue", "the dead letter, without the event that it carries:");
        let mut shown = letter.clone();
        if let Some(fields) = shown.as_object_mut() {
            fields.remove("event");
        }
        for line in format!("{shown:#}").lines() {
            self.tell("", &format!("{DIM}{line}{DIM:#}"));
        }
        Ok((letter, held))
    }

    async fn delete(&self, letter: &ReceivedMessage) -> Result<()> {
        self.letters.delete(letter).await.map_err(|error| anyhow!("{}", error.failure))?;
        match self.local.account.messages(QUEUE).len() {
            0 => {
                self.tell("queue", "the dead-letter queue is empty");
                Ok(())
            }
            left => bail!("the dead-letter queue was to be empty, and holds {left}"),
        }
    }

    /// Every stream of the account is ACTIVE with `key`.
    fn all_have(&self, key: &str) -> Result<()> {
        for name in ["orders", "clickstream", "audit-log", "payments"] {
            let Some(stream) = self.local.account.snapshot(name) else { continue };
            if stream.status != "ACTIVE" || stream.key_id.as_deref() != Some(key) {
                bail!("{name} was to be ACTIVE with {key}, and is {} with {:?}", stream.status, stream.key_id);
            }
        }
        Ok(())
    }
}

/// Calls in their order, repetitions counted.
fn told(calls: &[String]) -> String {
    let mut told: Vec<(&str, u32)> = Vec::new();
    for call in calls {
        match told.last_mut() {
            Some((last, count)) if *last == call => *count += 1,
            _ => told.push((call, 1)),
        }
    }
    let names: Vec<_> = told
        .iter()
        .map(|(call, count)| if *count > 1 { format!("{call} ×{count}") } else { (*call).to_owned() })
        .collect();
    if names.is_empty() { "no call to AWS".to_owned() } else { names.join(" → ") }
}
