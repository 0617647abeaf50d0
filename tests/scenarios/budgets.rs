//! What a scenario may cost: calls to AWS, and how late a change is seen. `bench/budgets.json` has
//! the budgets; `make budgets` prints what is spent.
//!
//! All of it is counted in simulated time, so it is the same on every machine.

#![expect(clippy::print_stdout, reason = "`make budgets` shows what was counted")]

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::TimeDelta;
use kinesis_encryption_enforcer::sandbox::NewStream;
use serde_json::{Value, json};

use crate::support::{OTHER_KEY, World, event, manual};

const START: &str = "StartStreamEncryption";
const LOOK: &str = "DescribeStreamSummary";

/// The part of the budgets with this name.
fn budgets(part: &str) -> Value {
    let path = format!("{}/bench/budgets.json", env!("CARGO_MANIFEST_DIR"));
    let budgets: Value = serde_json::from_str(&std::fs::read_to_string(path).expect("budgets")).expect("JSON");
    budgets[part].clone()
}

/// The calls that the function makes of its own accord; what a queue's event source does is
/// Lambda's.
fn calls(world: &World) -> usize {
    world.account.calls().len()
}

async fn spent(world: World, payload: &Value) -> usize {
    world.run(payload).await.expect("an answer");
    calls(&world)
}

fn with(stream: NewStream) -> World {
    let world = World::new();
    world.stream(stream);
    world
}

fn right() -> World {
    let world = World::new();
    world.stream(NewStream::named("orders").encrypted_with(&world.key));
    world
}

#[tokio::test(start_paused = true)]
async fn no_scenario_makes_more_calls_than_its_budget() {
    let unencrypted = || with(NewStream::named("orders"));
    let twenty = World::new();
    let names: Vec<_> = (0..20).map(|index| format!("stream-{index}")).collect();
    for name in &names {
        twenty.stream(NewStream::named(name));
    }
    let fleet = World::new();
    for index in 0..100 {
        fleet.stream(NewStream::named(&format!("stream-{index}")).encrypted_with(&fleet.key));
    }
    let spent = BTreeMap::from([
        ("a stream that is right", spent(right(), &event("encryption-changed")).await),
        ("an unencrypted stream", spent(unencrypted(), &event("stream-created")).await),
        ("an unencrypted stream, exemption by tag switched off", {
            spent(unencrypted().with("EXEMPT_TAG_KEY", ""), &event("stream-created")).await
        }),
        (
            "a stream with another key",
            spent(with(NewStream::named("orders").encrypted_with(OTHER_KEY)), &manual("orders")).await,
        ),
        ("a stream whose encryption somebody stopped", spent(unencrypted(), &event("encryption-stopped")).await),
        ("an exempt stream", {
            spent(
                with(NewStream::named("orders").tag("kinesis-encryption-enforcer:exempt", "vendor")),
                &event("stream-created"),
            )
            .await
        }),
        ("a dry run of an unencrypted stream", spent(unencrypted(), &event("manual-dry-run")).await),
        ("twenty unencrypted streams named in one request", spent(twenty, &json!({"streams": names})).await),
        ("a sweep of a hundred streams that are right", spent(fleet, &event("scheduled")).await),
        ("an event that asks for nothing", spent(right(), &event("stream-deleted")).await),
    ]);
    let budgets = budgets("calls");
    let budgeted = budgets.as_object().expect("calls by scenario");
    println!("{:<60} {:>6} {:>6}", "AWS calls", "made", "budget");
    for (scenario, calls) in &spent {
        println!("{scenario:<60} {calls:>6} {:>6}", budgets[*scenario]);
    }
    assert_eq!(budgeted.keys().map(String::as_str).collect::<Vec<_>>(), spent.keys().copied().collect::<Vec<_>>());
    for (scenario, calls) in spent {
        assert!(calls as u64 <= budgets[scenario].as_u64().expect("a number"), "{scenario}: {calls} calls");
    }
}

/// How late the end of a change was seen, in seconds, and by how many describes.
struct Seen {
    lag: f64,
    describes: f64,
}

async fn see(seed: u64, updating: Duration) -> Seen {
    let world = World::new();
    // The jitter is seeded with the time.
    tokio::time::sleep(Duration::from_millis(seed * 37)).await;
    world.account.configure(|options| options.updating = updating);
    world.stream(NewStream::named("orders"));
    let answer = world.run_for(&manual("orders"), 900).await.expect("an answer");
    assert_eq!(answer["summary"], json!({"encrypted": 1}), "{answer:#}");
    let calls = world.account.calls();
    let started = calls.iter().find(|call| call.operation == START).expect("a start").at;
    let looks: Vec<_> = calls.iter().filter(|call| call.operation == LOOK && call.at > started).collect();
    let active = started + TimeDelta::from_std(updating).expect("a duration");
    let lag = (looks.last().expect("a look").at - active).as_seconds_f64();
    Seen { lag, describes: f64::from(u32::try_from(looks.len()).expect("few")) }
}

/// The value below which `share` of the values are.
fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into a few hundred values"
    )]
    let index = ((values.len() as f64 - 1.0) * share).round() as usize;
    values[index]
}

/// How long a change may take: lognormal, with this median, and a 99th percentile of twelve times
/// as much.
fn transition(random: &mut fastrand::Rng, median: f64) -> Duration {
    const SIGMA: f64 = 1.0683;
    // Box and Muller's.
    let normal = (-2.0 * (1.0 - random.f64()).ln()).sqrt() * (std::f64::consts::TAU * random.f64()).cos();
    Duration::from_secs_f64((median * (SIGMA * normal).exp()).min(800.0))
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_change_is_seen_in_time_and_with_few_looks() {
    let mut random = fastrand::Rng::with_seed(6);
    let budgets = budgets("waiting");
    println!("{:<34} {:>9} {:>9} {:>9} {:>9}", "waiting", "mean lag", "p99 lag", "describes", "p99");
    for (name, duration, runs) in [
        ("0.3 s", Some(0.3), 40),
        ("3 s", Some(3.0), 40),
        ("30 s", Some(30.0), 20),
        ("300 s", Some(300.0), 10),
        ("median 5 s, p99 60 s", None, 200),
    ] {
        let (mut lags, mut describes) = (Vec::new(), Vec::new());
        for seed in 0..runs {
            let updating = duration.map_or_else(|| transition(&mut random, 5.0), Duration::from_secs_f64);
            let seen = see(seed, updating).await;
            lags.push(seen.lag);
            describes.push(seen.describes);
        }
        let mean = |values: &[f64]| values.iter().sum::<f64>() / f64::from(u32::try_from(values.len()).expect("few"));
        let (lag, looks) = (mean(&lags), mean(&describes));
        println!(
            "{name:<34} {lag:>8.2}s {:>8.2}s {looks:>9.1} {:>9.0}",
            quantile(&mut lags, 0.99),
            quantile(&mut describes, 0.99)
        );
        let budget = |what: &str| budgets[name][what].as_f64().expect("a budget");
        assert!(
            lag <= budget("meanLagSeconds") && looks <= budget("meanDescribes"),
            "{name}: {lag} s, {looks} describes"
        );
    }
}
