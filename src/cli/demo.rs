//! `enforcer demo`: shows a newcomer what the enforcer does about a new stream, a stopped
//! encryption, a new key and a disabled key, and about producers that may not use the key.
//!
//! The real handler works on a sandbox account through the real SDK, over HTTP. Each step states
//! the outcome that it expects, and the demo fails if the outcome is another.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use aws_sdk_kinesis::error::ProvideErrorMetadata as _;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::EncryptionType;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::fleet::access;
use super::paint::{self, BOLD, DIM, print_line};
use super::sandbox_account::{ACCOUNT, ALIAS, ALICE, DEAD_LETTER_QUEUE, ENFORCER, REGION, SandboxAccount};
use super::{PENDING, SUCCESS};
use crate::aws::Aws;
use crate::aws::dead_letters::{DeadLetterQueue, ReceivedMessage};
use crate::aws::service::{Client, KMS};
use crate::handler::{Handler, Invocation};
use crate::sandbox::{Identity, NewStream, Policies, UsedBy};
use crate::settings::{Environment, Settings};

/// How long streams stay CREATING and UPDATING: shorter than in AWS, where it takes seconds to
/// minutes, but long enough that the handler has to poll.
const CREATING: Duration = Duration::from_millis(600);
const UPDATING: Duration = Duration::from_millis(700);

/// The width of the output of a command, which stands beside the time and the name.
const COLUMNS: usize = 88;

/// A stream that is not encrypted yet.
const SHIPMENTS: &str = "shipments";
/// A producer of it, of which `access` learns from EventBridge Pipes.
const WAREHOUSE: Producer = Producer { name: "warehouse", access_key: "ASIAWAREHOUSEEXAMPLE" };
/// A producer of it that no source names.
const PRINTER: Producer = Producer { name: "printer", access_key: "ASIAPRINTEREXAMPLE00" };

/// An application that writes with a role.
struct Producer {
    /// The name of the application and of its role.
    name: &'static str,
    access_key: &'static str,
}

impl Producer {
    /// The role's name, with its path.
    fn role(&self) -> String {
        format!("app/{}", self.name)
    }

    fn arn(&self) -> String {
        format!("arn:aws:iam::{ACCOUNT}:role/{}", self.role())
    }
}

pub(super) async fn run() -> Result<()> {
    let mut demo = Demo::start().await?;
    title("1. Alice creates a stream. CreateStream cannot encrypt it; the enforcer does, once the stream is ACTIVE.");
    demo.create("orders").await?;
    let created = demo.event("CreateStream")?;
    demo.enforce(&created, "encrypted", 1).await?;
    demo.ignore_own_event().await?;

    title("2. EventBridge delivers the same event again. The stream is compliant, so nothing changes.");
    demo.enforce(&created, "compliant", 0).await?;

    title("3. Alice stops the encryption of the stream. The enforcer encrypts the stream again.");
    demo.stop("orders").await?;
    let stopped = demo.event("StopStreamEncryption")?;
    demo.enforce(&stopped, "encrypted", 1).await?;

    title("4. Alice points the alias to a new key. The enforcer applies the new key to every stream.");
    demo.add_streams();
    let key = demo.repoint().await?;
    let repointed = demo.event("UpdateAlias")?;
    demo.enforce(&repointed, "encrypted", 3).await?;
    demo.check_key_of_all_streams(&key)?;

    title(
        "5. Alice disables the key and creates a stream. \
         The enforcer does not apply a disabled key: it sends a dead letter.",
    );
    demo.disable(&key).await?;
    let disabled = demo.event("DisableKey")?;
    demo.enforce(&disabled, "key-at-risk", 1).await?;
    demo.create("payments").await?;
    let created = demo.event("CreateStream")?;
    demo.enforce(&created, "failed", 1).await?;
    let (dead_letter, message) = demo.receive_dead_letter().await?;

    title("6. Alice enables the key again and redrives the dead letter. The enforcer encrypts the stream.");
    demo.enable(&key).await?;
    demo.enforce(&dead_letter, "encrypted", 1).await?;
    demo.delete(&message).await?;
    demo.check_key_of_all_streams(&key)?;

    title(
        "7. An older stream is not encrypted yet. Before that changes, Alice asks who would lose access, \
         and allows what is missing.",
    );
    demo.add_shipments().await?;
    demo.ask_who_loses_access().await?;
    let request = json!({"stream": SHIPMENTS});
    demo.log("alice", &format!("Invoke enforcer {request}"));
    demo.enforce(&request, "encrypted", 1).await?;
    demo.write(&WAREHOUSE, EncryptionType::Kms).await?;

    title("8. Nobody knew of another producer. It is cut off, and the enforcer reports which one, and since when.");
    demo.fail_to_write(&PRINTER).await?;
    let denied = demo.event("GenerateDataKey")?;
    demo.report_denial(&denied, &PRINTER).await?;
    title("All steps completed as expected.");
    Ok(())
}

fn title(title: &str) {
    print_line("");
    print_line(&format!("{BOLD}{title}{BOLD:#}"));
}

struct Demo {
    sandbox: SandboxAccount,
    /// Alice's clients.
    kinesis: aws_sdk_kinesis::Client,
    kms: Client,
    dead_letters: DeadLetterQueue,
    handler: Handler,
    /// The settings of `handler`.
    environment: Environment,
    /// Events on the event bus that no step has taken yet.
    events: Vec<Value>,
    /// How many of the sandbox's calls were printed.
    printed_calls: usize,
    invocations: u32,
    started: Instant,
}

impl Demo {
    async fn start() -> Result<Self> {
        let sandbox = SandboxAccount::start(REGION, ACCOUNT).await?;
        sandbox.account.configure(|options| {
            options.creating = CREATING;
            options.updating = UPDATING;
        });
        let key = sandbox.account.create_key();
        sandbox.account.alias(ALIAS, &key);
        let queue_url = sandbox.account.queue(DEAD_LETTER_QUEUE);
        let environment = sandbox.environment(Environment::default().with("KMS_KEY_ID", ALIAS), &queue_url);
        let settings = Settings::from_environment(&environment)?;
        let aws = Aws::new(&sandbox.config(ENFORCER)?, &settings, &sandbox.clock);
        let handler =
            Handler { settings, aws, clock: sandbox.clock.clone(), function: "enforcer".to_owned(), emit: |_| {} };
        let alice = sandbox.config(ALICE)?;
        let started = sandbox.clock.instant();
        print_line(&format!("{BOLD}Sandbox account{BOLD:#} {ACCOUNT} in {REGION} at {}", sandbox.url));
        print_line(&format!("{DIM}KMS_KEY_ID={ALIAS}, which points to {key}{DIM:#}"));
        Ok(Self {
            kinesis: aws_sdk_kinesis::Client::new(&alice),
            kms: Client::new(&alice, KMS),
            dead_letters: DeadLetterQueue::new(&alice, &sandbox.clock, &queue_url),
            sandbox,
            handler,
            environment,
            events: Vec::new(),
            printed_calls: 0,
            invocations: 0,
            started,
        })
    }

    fn log(&self, actor: &str, action: &str) {
        let seconds = (self.sandbox.clock.instant() - self.started).as_secs_f64();
        print_line(&format!("{DIM}{seconds:6.2} s{DIM:#}  {actor:<9} {action}"));
    }

    async fn invoke(&mut self, payload: &Value) -> Result<Value> {
        self.invocations += 1;
        let deadline = self.sandbox.clock.wall() + Duration::from_mins(1);
        let invocation = Invocation { request_id: format!("demo-{}", self.invocations), deadline };
        Ok(Box::pin(self.handler.handle(payload, &invocation)).await?)
    }

    /// Invokes the handler and expects `count` outcomes of `status`, each with one
    /// `StartStreamEncryption` if the status is `encrypted`. A `count` of 0 expects one outcome.
    async fn enforce(&mut self, payload: &Value, status: &str, count: u64) -> Result<()> {
        let answer = self.invoke(payload).await?;
        let calls = self.new_calls();
        self.log("enforcer", &format!("{DIM}{}{DIM:#}", sequence(&calls)));
        for line in paint::answer(&answer) {
            self.log("", &line);
        }
        let expected = count.max(1);
        if answer["summary"][status].as_u64() != Some(expected) {
            bail!("this step expects {expected} {status}, but the summary is {}", answer["summary"]);
        }
        let starts = calls.iter().filter(|call| *call == "StartStreamEncryption").count() as u64;
        let expected = if status == "encrypted" { count } else { 0 };
        if starts != expected {
            bail!("this step expects {expected} calls of StartStreamEncryption, but the enforcer sent {starts}");
        }
        Ok(())
    }

    /// The enforcer's own `StartStreamEncryption` arrives as an event, as it does in AWS. The
    /// handler ignores it even if the rule on the event bus lets it through.
    async fn ignore_own_event(&mut self) -> Result<()> {
        let own = self.event("StartStreamEncryption")?;
        let answer = self.invoke(&own).await?;
        for line in paint::answer(&answer) {
            self.log("enforcer", &line);
        }
        if answer["trigger"]["kind"] != "ignored" {
            bail!("this step expects the enforcer to ignore its own call, but the answer is {answer}");
        }
        Ok(())
    }

    /// The operations that the enforcer called since the previous time.
    fn new_calls(&mut self) -> Vec<String> {
        let calls = self.sandbox.account.calls();
        let new = calls
            .iter()
            .skip(self.printed_calls)
            .filter(|call| call.access_key == ENFORCER)
            .map(|call| call.operation.clone())
            .collect();
        self.printed_calls = calls.len();
        new
    }

    /// Takes the newest event about `call` from the sandbox's event bus.
    fn event(&mut self, call: &str) -> Result<Value> {
        self.events.extend(self.sandbox.account.take_events());
        let found = self.events.iter().rposition(|event| event["detail"]["eventName"] == call);
        let event = found
            .map(|index| self.events.remove(index))
            .with_context(|| format!("the event bus has no event about {call}"))?;
        self.log(
            "eventbus",
            &format!(
                "{} {}: {call}{}",
                event["source"].as_str().unwrap_or_default(),
                event["detail-type"].as_str().unwrap_or_default(),
                event["detail"]["errorCode"].as_str().map(|error| format!(", {error}")).unwrap_or_default()
            ),
        );
        Ok(event)
    }

    async fn create(&self, name: &str) -> Result<()> {
        self.log("alice", &format!("CreateStream {name}"));
        self.kinesis.create_stream().stream_name(name).shard_count(1).send().await?;
        Ok(())
    }

    async fn stop(&self, name: &str) -> Result<()> {
        self.log("alice", &format!("StopStreamEncryption {name}"));
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

    fn add_streams(&self) {
        let account = &self.sandbox.account;
        account.stream(NewStream::named("clickstream").encrypted_with(ALIAS));
        account.stream(NewStream::named("audit-log").encrypted_with("alias/aws/kinesis"));
        self.log(
            "",
            "two more streams exist: clickstream, encrypted with the alias, and audit-log, with the AWS managed key",
        );
    }

    async fn repoint(&self) -> Result<String> {
        let key = self.sandbox.account.create_key();
        self.log("alice", &format!("UpdateAlias {ALIAS} to {key}"));
        self.kms.send("UpdateAlias", &json!({"AliasName": ALIAS, "TargetKeyId": key})).await?;
        Ok(key)
    }

    async fn disable(&self, key: &str) -> Result<()> {
        self.log("alice", &format!("DisableKey {key}"));
        self.kms.send("DisableKey", &json!({"KeyId": key})).await?;
        Ok(())
    }

    async fn enable(&self, key: &str) -> Result<()> {
        self.log("alice", &format!("EnableKey {key}"));
        self.kms.send("EnableKey", &json!({"KeyId": key})).await?;
        Ok(())
    }

    /// The client of a producer.
    fn kinesis_of(&self, producer: &Producer) -> Result<aws_sdk_kinesis::Client> {
        Ok(aws_sdk_kinesis::Client::new(&self.sandbox.config(producer.access_key)?))
    }

    /// A stream from before, to which two applications write whose roles have no policy about KMS.
    async fn add_shipments(&self) -> Result<()> {
        let account = &self.sandbox.account;
        account.configure(|options| {
            // Nobody should have to wait for 15 minutes until the event history has a call, nor because
            // it can be read twice a second.
            (options.history_lag, options.record_lag) = (Duration::ZERO, Duration::ZERO);
            options.rate_limits = false;
        });
        account.stream(NewStream::named(SHIPMENTS));
        let (name, role) = (WAREHOUSE.name.to_owned(), WAREHOUSE.arn());
        account.used_by(SHIPMENTS, UsedBy::PipeTarget { name, role });
        for producer in [WAREHOUSE, PRINTER] {
            account.identity(producer.access_key, Identity::role(&producer.role(), producer.name));
            account.principal(&producer.arn(), Policies::default());
            self.write(&producer, EncryptionType::None).await?;
        }
        Ok(())
    }

    /// Runs `access` as Alice, and gives the role that it names what `--fix` prints.
    async fn ask_who_loses_access(&self) -> Result<()> {
        let alice = self.sandbox.config(ALICE)?;
        let ask = || access::answers_in(SHIPMENTS, &self.environment, &alice, &self.sandbox.clock);
        self.log("alice", &format!("{BOLD}enforcer access {SHIPMENTS}{BOLD:#}"));
        let answers = ask().await?;
        self.print(&answers.table(COLUMNS));
        if answers.exit_code() != PENDING {
            bail!("this step expects that a principal loses access, but it is not so");
        }
        self.log("alice", &format!("{BOLD}enforcer access {SHIPMENTS} --fix{BOLD:#}"));
        let fix = &answers.fix()["identityPolicies"];
        let (Some([fix]), arn) = (fix.as_array().map(Vec::as_slice), WAREHOUSE.arn()) else {
            bail!("this step expects one policy to attach, but the fix is {fix}");
        };
        if fix["principal"] != arn {
            bail!("this step expects a policy for {arn}, but the fix is {fix}");
        }
        self.print(&format!("{DIM}{fix:#}{DIM:#}"));
        self.log("alice", &format!("PutRolePolicy {}: the policy above", WAREHOUSE.role()));
        let identity = vec![fix["policy"].clone()];
        self.sandbox.account.principal(&arn, Policies { identity, ..Policies::default() });
        self.log("alice", &format!("{BOLD}enforcer access {SHIPMENTS}{BOLD:#}"));
        let answers = ask().await?;
        self.print(&answers.table(COLUMNS));
        if answers.exit_code() != SUCCESS {
            bail!("this step expects that every known user may use the key, but it is not so");
        }
        Ok(())
    }

    /// Prints what a command prints, below the line of the command.
    fn print(&self, text: &str) {
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            self.log("", line);
        }
    }

    async fn put_record(&self, producer: &Producer) -> Result<Result<Option<EncryptionType>, (String, String)>> {
        let call = self.kinesis_of(producer)?.put_record().stream_name(SHIPMENTS).partition_key("1");
        let answer = call.data(Blob::new("a shipment")).send().await;
        Ok(answer.map(|answer| answer.encryption_type).map_err(|error| {
            let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
            (text(error.code()), text(error.message()))
        }))
    }

    /// Writes a record, which is stored with this encryption.
    async fn write(&self, producer: &Producer, expected: EncryptionType) -> Result<()> {
        match self.put_record(producer).await? {
            Ok(Some(actual)) if actual == expected => {
                let how = if actual == EncryptionType::Kms { "encrypted" } else { "not encrypted" };
                self.log(producer.name, &format!("PutRecord {SHIPMENTS}: stored, {how}"));
                Ok(())
            }
            other => {
                bail!("this step expects that {} writes with {expected}, but the answer is {other:?}", producer.name)
            }
        }
    }

    async fn fail_to_write(&self, producer: &Producer) -> Result<()> {
        match self.put_record(producer).await? {
            Err((code, message)) if code == "KMSAccessDeniedException" => {
                self.log(producer.name, &format!("PutRecord {SHIPMENTS}: {code}: {message}"));
                Ok(())
            }
            other => bail!("this step expects that {} is cut off, but the answer is {other:?}", producer.name),
        }
    }

    /// Handles the event as a batch of the queue of denied calls, in another process of the function,
    /// and expects it to report the producer.
    async fn report_denial(&mut self, event: &Value, producer: &Producer) -> Result<()> {
        const QUEUE: &str = "enforcer-denied-calls";
        const STATE: &str = "/enforcer/access-state";
        let account = &self.sandbox.account;
        account.parameter(STATE, "String", "{}");
        let environment = self
            .environment
            .clone()
            .with("ACCESS_DENIALS_QUEUE_URL", &account.queue(QUEUE))
            .with("ACCESS_STATE_PARAMETER", STATE)
            .with("OUTCOME_EVENT_BUS", "default");
        let settings = Settings::from_environment(&environment)?;
        let aws = Aws::new(&self.sandbox.config(ENFORCER)?, &settings, &self.sandbox.clock);
        self.handler = Handler { settings, aws, ..self.handler.clone() };
        let record = json!({
            "messageId": "1",
            "receiptHandle": "1",
            "body": event.to_string(),
            "attributes": {"ApproximateReceiveCount": "1"},
            "eventSource": "aws:sqs",
            "eventSourceARN": format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{QUEUE}"),
        });
        self.new_calls();
        self.invoke(&json!({"Records": [record]})).await?;
        let calls = self.new_calls();
        self.log("enforcer", &format!("{DIM}{}{DIM:#}", sequence(&calls)));
        let published = self.sandbox.account.put_events();
        let published = published.last().context("this step expects a result event, but there is none")?;
        let detail: Value = serde_json::from_str(published["Detail"].as_str().unwrap_or_default())?;
        let outcome = &detail["outcome"];
        for line in paint::answer(&json!({"outcomes": [outcome], "summary": {"access-denied": 1}})) {
            self.log("", &line);
        }
        let warning = &outcome["warnings"][0];
        let reason = outcome["reason"].as_str().unwrap_or_default();
        let is_ours = reason.contains(&format!("since the key was applied to {SHIPMENTS} at "));
        if outcome["status"] != "access-denied" || warning["principal"] != producer.arn() || !is_ours {
            bail!("this step expects that {} is reported, but the outcome is {outcome}", producer.arn());
        }
        Ok(())
    }

    async fn receive_dead_letter(&self) -> Result<(Value, ReceivedMessage)> {
        let message = self
            .dead_letters
            .receive()
            .await
            .map_err(|error| anyhow!("{}", error.failure))?
            .pop()
            .context("the dead-letter queue has no message")?;
        let dead_letter: Value = serde_json::from_str(&message.body)?;
        self.log("queue", "the dead letter, without its copy of the event:");
        let mut shown = dead_letter.clone();
        if let Some(fields) = shown.as_object_mut() {
            fields.remove("event");
        }
        for line in format!("{shown:#}").lines() {
            self.log("", &format!("{DIM}{line}{DIM:#}"));
        }
        Ok((dead_letter, message))
    }

    async fn delete(&self, message: &ReceivedMessage) -> Result<()> {
        self.dead_letters.delete(message).await.map_err(|error| anyhow!("{}", error.failure))?;
        match self.sandbox.account.messages(DEAD_LETTER_QUEUE).len() {
            0 => {
                self.log("queue", "the dead-letter queue is empty");
                Ok(())
            }
            left => bail!("this step expects an empty dead-letter queue, but it has {left} messages"),
        }
    }

    /// Fails unless every stream of the account is ACTIVE with `key`.
    fn check_key_of_all_streams(&self, key: &str) -> Result<()> {
        for name in ["orders", "clickstream", "audit-log", "payments"] {
            let Some(stream) = self.sandbox.account.snapshot(name) else { continue };
            if stream.status != "ACTIVE" || stream.key_id.as_deref() != Some(key) {
                let actual = stream.key_id.as_deref().unwrap_or("no key");
                bail!("this step expects {name} to be ACTIVE with {key}, but it is {} with {actual}", stream.status);
            }
        }
        Ok(())
    }
}

/// The calls in order, with consecutive repetitions counted.
fn sequence(calls: &[String]) -> String {
    if calls.is_empty() {
        return "no AWS API calls".to_owned();
    }
    let runs = calls.chunk_by(|one, next| one == next).map(|run| match run {
        [call] => call.clone(),
        _ => format!("{} ×{}", run[0], run.len()),
    });
    runs.collect::<Vec<_>>().join(" → ")
}
