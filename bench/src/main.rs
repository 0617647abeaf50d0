//! The comparison, on one machine and in one run: this function, the same calls by hand, the boto3
//! function that most people would write, and Cloud Custodian, against a fake AWS over HTTPS and a
//! fake Lambda, with as much processor as Lambda gives to 128 MB.
//!
//! `make bench` runs it, and writes docs/contributing/PERFORMANCE.md and docs/contributing/performance.svg.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

mod aws;
mod group;
mod http;
mod lambda;
mod measure;
mod page;
mod picture;
mod sigv4;
mod statistics;
mod subject;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use self::aws::Aws;
use self::group::{Group, Means};
use self::measure::Bench;
use self::statistics::Summary;
use self::subject::{Places, Scenario, Subject};

pub(crate) type Problem = Box<dyn std::error::Error + Send + Sync>;

pub(crate) const REGION: &str = "us-east-1";
pub(crate) const ACCOUNT: &str = "111122223333";
pub(crate) const ACCESS_KEY: &str = "ASIABENCHMARKEXAMPLE";
pub(crate) const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
pub(crate) const KEY_ALIAS: &str = "alias/streams";
pub(crate) const KEY_ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";
pub(crate) const KEY_ARN: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
pub(crate) const EVENT: &str = include_str!("../../events/stream-created.json");

/// Rounds, unless `--rounds` says otherwise.
const ROUNDS: usize = 20;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Problem> {
    let mut rounds = ROUNDS;
    let mut write = true;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--rounds" => {
                rounds = arguments
                    .next()
                    .and_then(|text| text.parse().ok())
                    .filter(|rounds| *rounds > 0)
                    .ok_or("--rounds N")?
            }
            "--no-page" => write = false,
            _ => return Err(format!("{argument:?} is not understood: --rounds N, --no-page").into()),
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    let folder = std::env::temp_dir().join(format!("enforcer-bench-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let result = compare(&root, &folder, rounds, write);
    if result.is_ok() {
        std::fs::remove_dir_all(&folder)?;
    } else {
        eprintln!("the logs are in {}", folder.display());
    }
    result
}

fn compare(root: &Path, folder: &Path, rounds: usize, write: bool) -> Result<(), Problem> {
    let places = Places::prepare(root)?;
    let means = Means::find();
    if let Means::Nothing(why) = &means {
        eprintln!("warning: control groups cannot be written, so the subjects run uncapped: {why}");
    }
    group::go_first();
    // The first cap of a machine makes the kernel rewrite itself, which takes a while: so there is
    // one all the time.
    let capped = Group::new(&means, "capped")?;
    capped.cap()?;
    let aws = Aws::start(folder)?;
    let bench = Bench { aws: &aws, means: &means, places: &places, folder };
    let began = Instant::now();
    let mut runs = Vec::new();
    for round in 0..rounds {
        eprint!("\rround {} of {rounds}, {} s", round + 1, began.elapsed().as_secs());
        for turn in 0..Subject::ALL.len() {
            // Each round begins with another subject, and every other one with the other scenario.
            let subject = Subject::ALL[(round + turn) % Subject::ALL.len()];
            if !subject.runs_in(round) {
                continue;
            }
            for turn in 0..Scenario::ALL.len() {
                let scenario = Scenario::ALL[(round + turn) % Scenario::ALL.len()];
                runs.push(bench.run(subject, scenario, round)?);
            }
        }
    }
    eprintln!("\r{rounds} rounds in {} s", began.elapsed().as_secs());
    let mut summaries = Vec::new();
    for subject in Subject::ALL {
        let size = places.size(subject)?;
        for scenario in Scenario::ALL {
            summaries.push(Summary::of(subject, scenario, size, &runs)?);
        }
    }
    let tables = page::tables(&summaries);
    println!("{tables}");
    if write {
        let docs = root.join("docs/contributing");
        page::write(&docs.join("PERFORMANCE.md"), &format!("{}\n\n{tables}", page::conditions(rounds, &means)))?;
        std::fs::write(docs.join("performance.svg"), picture::draw(&summaries, &means))?;
        println!("written: docs/contributing/PERFORMANCE.md, docs/contributing/performance.svg");
    }
    Ok(())
}
