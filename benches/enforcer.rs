//! What the function's own parts cost: reading events, ruling, deciding, and a whole invocation.
//! `cargo bench`, or `cargo bench -- rule_on`.
//!
//! How the function as a whole compares with others is measured by `make bench`.

#![expect(clippy::expect_used, reason = "a measurement that cannot be set up has failed")]

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_types::SdkConfig;
use aws_types::region::Region;
use chrono::{DateTime, NaiveDate};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use kinesis_encryption_enforcer::aws::{Aws, config};
use kinesis_encryption_enforcer::clock::Clock;
use kinesis_encryption_enforcer::decide::{
    CurrentKey, Decision, DesiredKey, Enforcement, Facts, Keys, ManagedAccounts, OtherKeyFitness, Settled, decide,
};
use kinesis_encryption_enforcer::domain::mode::{Mode, OnOtherKey};
use kinesis_encryption_enforcer::domain::stream::{Description, StreamArn, StreamMode, StreamStatus};
use kinesis_encryption_enforcer::domain::trigger_facts::TriggerFacts;
use kinesis_encryption_enforcer::event::read;
use kinesis_encryption_enforcer::handler::{Handler, Invocation};
use kinesis_encryption_enforcer::policy::{EffectivePolicy, Policy, Subject};
use kinesis_encryption_enforcer::sandbox::{Account, NewStream};
use kinesis_encryption_enforcer::settings::{Environment, Settings};
use serde_json::{Value, json};

const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const OTHER_KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/0987dcba-09fe-87dc-65ba-ab0987654321";
const STREAM: &str = "arn:aws:kinesis:us-east-1:111122223333:stream/orders";

fn main() {
    divan::main();
}

/// From an event's bytes to where it points.
#[divan::bench(args = ["stream-created", "encryption-stopped-by-arn", "security-finding", "configuration-item-changed", "queue-batch", "dead-letter"])]
fn event(bencher: Bencher, name: &str) {
    let path = format!("{}/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(path).expect("an event");
    bencher.bench(|| {
        let payload: Value = serde_json::from_slice(black_box(&bytes)).expect("JSON");
        read(&payload, &[])
    });
}

/// Rules of which only the last matches the stream.
fn rulebook(rules: usize) -> EffectivePolicy {
    let mut text = r#"{"version": 1, "rules": ["#.to_owned();
    for index in 1..rules {
        write!(text, r#"{{"name": "rule {index}", "match": {{"stream": ["team-{index}-*", "*-of-{index}"]}}, "key": "{OTHER_KEY}"}},"#)
            .expect("text");
    }
    write!(text, r#"{{"name": "the last", "match": {{"stream": "ord*"}}, "mode": "audit"}}]}}"#).expect("text");
    let policy = text.parse::<Policy>().expect("a policy");
    EffectivePolicy {
        policy: Arc::new(policy),
        key: KEY.parse().expect("a key"),
        mode: Mode::Enforce,
        on_other_key: OnOtherKey::Replace,
    }
}

#[divan::bench(args = [1, 10, 100])]
fn rule_on(bencher: Bencher, rules: usize) {
    let rulebook = rulebook(rules);
    let stream: StreamArn = STREAM.parse().expect("an ARN");
    let today: NaiveDate = "2026-11-24".parse().expect("a date");
    let subject = Subject { stream: &stream, mode: Some(&StreamMode::Provisioned), tags: None, today };
    bencher.bench(|| drop(black_box(rulebook.rule_on(black_box(&subject)))));
}

#[divan::bench(args = ["right", "unencrypted", "other-key"])]
fn deciding(bencher: Bencher, present: &str) {
    let stream: StreamArn = STREAM.parse().expect("an ARN");
    let key = |arn: &str| CurrentKey::Key {
        arn: arn.parse().expect("a key"),
        by_alias: None,
        fitness: OtherKeyFitness::NotAsked,
    };
    let present = match present {
        "right" => key(KEY),
        "other-key" => key(OTHER_KEY),
        _ => CurrentKey::Unencrypted,
    };
    let description = Description {
        arn: stream,
        status: StreamStatus::Active,
        key_id: None,
        created: None,
        mode: None,
        retention_hours: None,
        consumers: None,
        channels: None,
        queues: None,
    };
    let desired = DesiredKey::Key { arn: KEY.parse().expect("a key"), trouble: None };
    let (keys, trigger, policy) = (Ok(Keys { desired, current: present }), TriggerFacts::default(), rulebook(0));
    let enforcement = Enforcement {
        policy: &policy,
        exempt_tag_key: None,
        iac_grace: Duration::ZERO,
        max_applies: usize::MAX,
        accounts: ManagedAccounts::default(),
    };
    let facts = Facts::at_rest(&description, &keys, enforcement, &trigger, DateTime::UNIX_EPOCH);
    let decision = decide(&facts).decision;
    assert!(matches!(decision, Decision::Done(Settled::InSync(_)) | Decision::Apply(_)), "it is decided");
    bencher.bench(|| decide(black_box(&facts)));
}

/// The handler over the sandbox, whose own work is in the figures too. Time is simulated, so
/// that waiting costs nothing.
struct World {
    runtime: tokio::runtime::Runtime,
    account: Account,
    handler: Handler,
    payload: Value,
}

impl World {
    fn new(streams: usize, encrypted: bool) -> Self {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
        let guard = runtime.enter();
        let clock =
            Clock::starting_at(SystemTime::from(DateTime::parse_from_rfc3339("2026-11-24T00:00:00Z").expect("a time")));
        let account = Account::new(clock.clone(), "us-east-1", "111122223333");
        let key = account.create_key();
        let names: Vec<_> = (0..streams).map(|index| format!("stream-{index:03}")).collect();
        for name in &names {
            let stream = NewStream::named(name);
            account.stream(if encrypted { stream.encrypted_with(&key) } else { stream });
        }
        let environment = Environment::default().with("KMS_KEY_ID", &key);
        let base = SdkConfig::builder()
            .region(Region::new("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
                "ASIAENFORCEREXAMPLE1",
                "secret",
                None,
                None,
                "benchmark",
            )))
            .http_client(account.http_client())
            .build();
        let settings = Settings::from_environment(&environment).expect("settings");
        let aws = Aws::new(&config::with_retries_off(base, &clock), &settings, &clock);
        let handler = Handler { settings, aws, clock, function: "enforcer".to_owned(), emit: |_| {} };
        drop(guard);
        Self { runtime, account, handler, payload: json!({ "streams": names }) }
    }

    /// One invocation, and how often its answer says `status`.
    fn invoke(&self, status: &str) -> Option<u64> {
        self.runtime.block_on(async {
            let invocation = Invocation {
                request_id: "benchmark".to_owned(),
                deadline: self.handler.clock.wall() + Duration::from_mins(5),
            };
            let answer = Box::pin(self.handler.handle(&self.payload, &invocation)).await.ok()?;
            self.account.forget_calls();
            drop(self.account.take_events());
            answer["summary"][status].as_u64()
        })
    }
}

/// An invocation about streams that are right.
#[divan::bench(args = [1, 10, 100])]
fn compliant(bencher: Bencher, streams: usize) {
    let world = World::new(streams, true);
    assert_eq!(world.invoke("compliant"), u64::try_from(streams).ok());
    bencher.counter(ItemsCount::new(streams)).bench_local(|| world.invoke("compliant"));
}

/// An invocation about streams that are encrypted by it, waiting and verifying included.
#[divan::bench(args = [1, 10, 100])]
fn encrypted(bencher: Bencher, streams: usize) {
    assert_eq!(World::new(streams, false).invoke("encrypted"), u64::try_from(streams).ok());
    bencher
        .counter(ItemsCount::new(streams))
        .with_inputs(|| World::new(streams, false))
        .bench_local_refs(|world| world.invoke("encrypted"));
}
