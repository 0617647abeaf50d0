//! The fault campaign of `tests/campaign/`, with as many seeds as wanted, or one of them replayed.
//!
//! `make campaign SEEDS=10000`, `make campaign SEED=1234`, or `cargo run --example campaign --
//! --help`.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a campaign that cannot be set up has failed, and prints what it found"
)]

#[path = "../tests/campaign/simulation/mod.rs"]
mod simulation;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::process::ExitCode;

use clap::Parser;

/// So many seeds meet everything.
const ENOUGH: u64 = 1_000;

/// Runs the real handler against the sandbox, with faults, crashes and other actors drawn from
/// each seed.
#[derive(Parser)]
struct Arguments {
    /// How many seeds are run.
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Run this seed only, and tell its story whether or not it breaks anything.
    #[arg(long)]
    seed: Option<u64>,
    /// Go on when a seed is broken, and say in the end which invariant broke how often.
    #[arg(long)]
    keep_going: bool,
    /// Print each seed with a hash of its whole story (every request, answer, log line and message,
    /// with times), instead of what was met. Two builds that print the same behave the same:
    /// compare before and after a refactoring.
    #[arg(long, conflicts_with_all = ["seed", "keep_going"])]
    fingerprints: bool,
}

/// A seed's number and the hash of its story.
fn fingerprint(seed: u64) -> String {
    let story = simulation::run(seed, true).map_or_else(|broken| broken.to_string(), |done| done.story);
    let mut hasher = DefaultHasher::new();
    story.hash(&mut hasher);
    format!("{seed} {:016x}", hasher.finish())
}

fn main() -> ExitCode {
    let Arguments { seeds, first, seed, keep_going, fingerprints } = Arguments::parse();
    if fingerprints {
        (first..first + seeds).for_each(|seed| println!("{}", fingerprint(seed)));
        return ExitCode::SUCCESS;
    }
    if let Some(seed) = seed {
        return match simulation::run(seed, true) {
            Ok(done) => {
                println!("{}\n{}", done.story, done.coverage);
                ExitCode::SUCCESS
            }
            Err(broken) => {
                println!("{broken}");
                ExitCode::FAILURE
            }
        };
    }
    let campaign = simulation::campaign(first..first + seeds, keep_going);
    println!("{}", campaign.coverage);
    let missing = campaign.coverage.missing();
    if !missing.is_empty() {
        println!("no seed met: {}", missing.join(", "));
    }
    let mut counted: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for broken in &campaign.broken {
        counted.entry(&broken.invariant).or_default().push(broken.seed);
    }
    match campaign.broken.first() {
        None if seeds >= ENOUGH && !missing.is_empty() => ExitCode::FAILURE,
        None => ExitCode::SUCCESS,
        Some(broken) => {
            println!("{broken}");
            for (invariant, seeds) in counted {
                println!("{} × {invariant}: {:?}", seeds.len(), &seeds[..seeds.len().min(12)]);
            }
            ExitCode::FAILURE
        }
    }
}
