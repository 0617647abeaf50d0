//! Fleets of streams, half of them wrong, brought right through the work queue, under the rate
//! limits that AWS has: how long it takes, how many calls, how many of them throttled, how much
//! memory, and how that compares with the least that those limits allow. And fleets of which every
//! twentieth stream is being resharded for hours: the sweep of the others takes no longer.
//!
//! `make fleet`, or `cargo run --example fleet -- 1000 10000`; with `--page` the table goes into
//! docs/contributing/PERFORMANCE.md, too. The time is virtual: the account, its limits and all waiting are
//! simulated, the handler, the SDK and every request and answer are real. Each fleet has a process
//! of its own, so that its memory is its own.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement that cannot be set up has failed, and prints what it measured"
)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_types::SdkConfig;
use aws_types::region::Region;
use chrono::DateTime;
use kinesis_encryption_enforcer::aws::rate_limit::{Api, WORKERS};
use kinesis_encryption_enforcer::aws::{Aws, config};
use kinesis_encryption_enforcer::clock::Clock;
use kinesis_encryption_enforcer::handler::{Handler, Invocation};
use kinesis_encryption_enforcer::sandbox::{Account, NewStream, QueuedMessage};
use kinesis_encryption_enforcer::settings::{Environment, Settings};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const REGION: &str = "us-east-1";
const ACCOUNT: &str = "111122223333";
const WORK: &str = "work";
/// The template's default.
const TIMEOUT: Duration = Duration::from_mins(5);
/// `BatchSize` of the event source mapping.
const BATCH: usize = 10;

/// Calls by operation: how many were made, and how many of them AWS throttled.
type Calls = BTreeMap<String, (u64, u64)>;

struct Fleet {
    account: Account,
    clock: Clock,
    environment: Environment,
    calls: RefCell<Calls>,
}

/// Every second stream has the key.
fn is_compliant(index: usize) -> bool {
    index.is_multiple_of(2)
}

/// One of twenty is UPDATING for hours; half of these have the key.
fn is_resharded(index: usize) -> bool {
    index % 20 == index / 20 % 2
}

impl Fleet {
    /// A fleet of so many streams. `resharding`: every twentieth is being resharded.
    fn new(streams: usize, resharding: bool) -> Self {
        let clock =
            Clock::starting_at(SystemTime::from(DateTime::parse_from_rfc3339("2026-11-24T00:00:00Z").expect("a time")));
        let account = Account::new(clock.clone(), REGION, ACCOUNT);
        let key = account.create_key();
        let dead_letters = account.queue("dead-letters");
        let work = account.queue(WORK);
        account.set_queue_attribute(WORK, "VisibilityTimeout", "1800");
        for index in 0..streams {
            let stream = NewStream::named(&format!("stream-{index:05}"));
            let stream = if is_compliant(index) { stream.encrypted_with(&key) } else { stream };
            account.stream(if resharding && is_resharded(index) {
                stream.updating_for(Duration::from_hours(6))
            } else {
                stream
            });
        }
        let environment = Environment::default()
            .with("KMS_KEY_ID", &key)
            .with("FAILURE_QUEUE_URL", &dead_letters)
            .with("WORK_QUEUE_URL", &work);
        Self { account, clock, environment, calls: RefCell::default() }
    }

    /// A process of the function: its clients, and its pace, are its own.
    fn process(&self) -> Handler {
        let base = SdkConfig::builder()
            .region(Region::new(REGION))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
                "ASIAENFORCEREXAMPLE1",
                "secret",
                None,
                None,
                "fleet",
            )))
            .http_client(self.account.http_client())
            .build();
        let settings = Settings::from_environment(&self.environment).expect("settings");
        let aws = Aws::new(&config::with_retries_off(base, &self.clock), &settings, &self.clock);
        Handler { settings, aws, clock: self.clock.clone(), function: "enforcer".to_owned(), emit: |_| {} }
    }

    async fn invoke(&self, handler: &Handler, payload: &Value) -> Option<Value> {
        let invocation = Invocation { request_id: "fleet".to_owned(), deadline: self.clock.wall() + TIMEOUT };
        let answer = Box::pin(handler.handle(payload, &invocation)).await;
        self.count();
        answer.ok()
    }

    /// Counts the calls since the last time, and forgets them.
    fn count(&self) {
        let mut calls = self.calls.borrow_mut();
        for call in self.account.calls() {
            let (made, throttled) = calls.entry(call.operation).or_default();
            *made += 1;
            *throttled += u64::from(call.result.is_err_and(|code| code == "LimitExceededException"));
        }
        self.account.forget_calls();
        drop(self.account.take_events());
    }

    async fn sweep(&self) {
        let schedule = json!({"source": "aws.scheduler", "detail-type": "Scheduled Event", "detail": {}});
        let mut payload = Some(schedule);
        let handler = self.process();
        while let Some(event) = payload.take() {
            if self.invoke(&handler, &event).await.is_none() {
                payload = Some(event);
            }
        }
    }

    /// One of the event source mapping's invocations after the other, until the queue holds nothing
    /// but streams that wait for AWS.
    async fn work(&self) {
        let handler = self.process();
        let is_wait = |message: &QueuedMessage| message.body.contains(r#""wait":{"#);
        while !self.account.messages(WORK).iter().all(is_wait) {
            match self.account.receive_batch(WORK, BATCH) {
                None => tokio::time::sleep(Duration::from_secs(1)).await,
                Some(batch) => {
                    let answer = self.invoke(&handler, &batch).await;
                    self.account.settle_batch(WORK, &batch, answer.as_ref());
                }
            }
        }
    }

    async fn run(&self) -> Duration {
        let began = self.clock.instant();
        let workers = async {
            // Lambda's pollers find the first items a moment after they were sent.
            while self.account.messages(WORK).is_empty() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            futures_util::future::join_all((0..WORKERS).map(|_| self.work())).await;
        };
        tokio::join!(self.sweep(), workers);
        // What was queued after the workers had found the queue empty.
        self.work().await;
        self.clock.instant() - began
    }
}

/// The least time for which half of the account's limits allow this fleet: a look at every stream,
/// and for every wrong one its tags and a look that verifies.
fn floor(streams: usize, wrong: usize) -> Duration {
    let number = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    let calls = |api| match api {
        Api::DescribeStreamSummary => number(streams + wrong),
        // Asked in audit mode only.
        Api::GetResourcePolicy => 0.0,
        Api::ListTagsForStream => number(wrong),
        Api::ListStreams => number(streams.div_ceil(100)),
    };
    let seconds = Api::ALL.map(|api| calls(api) / (f64::from(api.limit()) * 0.5));
    Duration::from_secs_f64(seconds.into_iter().fold(0.0, f64::max))
}

/// A field of the process's status, in MiB; Linux tells.
fn memory(field: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(field))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}

/// How one fleet went.
#[derive(Debug, Serialize, Deserialize)]
struct Row {
    streams: usize,
    resharded: usize,
    wrong: usize,
    seconds: f64,
    calls: Calls,
    dead_letters: usize,
    /// MiB before anything was done, with the account in it, and at most.
    memory: Option<(f64, f64)>,
}

/// Brings a fleet right, in this process.
fn measure(streams: usize, resharding: bool) -> Row {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let fleet = Fleet::new(streams, resharding);
        let before = memory("VmRSS");
        let took = fleet.run().await;
        let settled = || (0..streams).filter(|index| !(resharding && is_resharded(*index)));
        let right = settled().filter(|index| {
            let snapshot = fleet.account.snapshot(&format!("stream-{index:05}"));
            snapshot.is_some_and(|stream| stream.key_id.is_some() && stream.status == "ACTIVE")
        });
        let resharded = streams - settled().count();
        assert_eq!(right.count(), streams - resharded, "every stream is right that AWS is not changing");
        Row {
            streams,
            resharded,
            wrong: settled().filter(|index| !is_compliant(*index)).count(),
            seconds: took.as_secs_f64(),
            calls: fleet.calls.take(),
            dead_letters: fleet.account.messages("dead-letters").len(),
            memory: before.zip(memory("VmHWM")),
        }
    })
}

/// Brings a fleet right, in a process of its own.
fn measure_apart((streams, resharding): (usize, bool)) -> Row {
    let program = std::env::current_exe().expect("this program");
    let mut program = Command::new(program);
    program.arg(ALONE).arg(streams.to_string());
    if resharding {
        program.arg(RESHARDING);
    }
    let output = program.stderr(Stdio::inherit()).output().expect("it runs");
    assert!(output.status.success(), "{streams} streams were not brought right");
    serde_json::from_slice(&output.stdout).expect("a row")
}

impl Row {
    fn count(&self, operation: Option<&str>) -> (u64, u64) {
        let counted = self.calls.iter().filter(|(name, _)| operation.is_none_or(|operation| operation == *name));
        counted.fold((0, 0), |(made, throttled), (_, (more, more_throttled))| (made + more, throttled + more_throttled))
    }

    fn cells(&self) -> [String; 10] {
        let Self { streams, resharded, wrong, seconds, calls: _, dead_letters, memory } = self;
        let each = |count: u64| format!("{:.2}", float(count) / float(*streams as u64));
        let (made, throttled) = self.count(None);
        let least = floor(*streams, *wrong);
        let (before, most) = memory.unzip();
        let mib = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.0}"));
        [
            streams.to_string(),
            resharded.to_string(),
            minutes(Duration::from_secs_f64(*seconds)),
            minutes(least),
            format!("{:.2}", seconds / least.as_secs_f64()),
            each(made),
            each(self.count(Some("DescribeStreamSummary")).0),
            format!("{throttled}, {dead_letters}"),
            mib(before),
            mib(most),
        ]
    }
}

const HEAD: [&str; 10] = [
    "streams",
    "of them UPDATING for hours",
    "time",
    "least",
    "× the least",
    "calls a stream",
    "describes a stream",
    "throttled, dead letters",
    "MiB before",
    "MiB at most",
];

fn table(rows: &[Row]) -> String {
    let lines = rows.iter().map(|row| format!("| {} |\n", row.cells().join(" | ")));
    format!("| {} |\n|{}\n{}", HEAD.join(" | "), " --: |".repeat(HEAD.len()), lines.collect::<String>())
}

fn float(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

fn minutes(time: Duration) -> String {
    match (time.as_secs() / 60, time.as_secs() % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, seconds) => format!("{minutes} min {seconds:02} s"),
    }
}

const BEGIN: &str = "<!-- fleet: written by `make fleet` -->\n";
const END: &str = "<!-- fleet: end -->";

/// Puts the table into the page, between the markers.
fn write(table: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/contributing/PERFORMANCE.md");
    let page = std::fs::read_to_string(path).expect("the page");
    let (before, rest) = page.split_once(BEGIN).expect("a marker of the beginning");
    let (_, after) = rest.split_once(END).expect("a marker of the end");
    std::fs::write(path, format!("{before}{BEGIN}\n{table}\n{END}{after}")).expect("the page is written");
}

/// What tells a process to measure one fleet, and to print it for the process that started it.
const ALONE: &str = "--alone";

/// Of the fleet, every twentieth stream is being resharded.
const RESHARDING: &str = "--resharding";

fn main() {
    let (options, sizes): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let sizes: Vec<usize> = sizes.iter().map(|text| text.parse().expect("a number of streams")).collect();
    let is_on = |option: &str| options.iter().any(|given| given == option);
    if is_on(ALONE) {
        let row = measure(*sizes.first().expect("a number of streams"), is_on(RESHARDING));
        println!("{}", serde_json::to_string(&row).expect("JSON"));
        return;
    }
    let fleets = if sizes.is_empty() {
        vec![(10, false), (100, false), (1_000, false), (1_000, true), (10_000, false)]
    } else {
        sizes.into_iter().map(|streams| (streams, is_on(RESHARDING))).collect()
    };
    let rows: Vec<_> = fleets.into_iter().map(measure_apart).collect();
    let table = table(&rows);
    println!("{table}");
    for Row { streams, calls, .. } in &rows {
        println!("{streams} streams:");
        for (operation, (made, throttled)) in calls {
            println!(
                "  {operation:<24} {made:>7} calls, {:>6.3} a stream, {throttled} throttled",
                float(*made) / float(*streams as u64)
            );
        }
    }
    if is_on("--page") {
        write(&table);
    }
}
