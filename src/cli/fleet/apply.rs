//! `enforcer apply`: does what `enforcer plan` shows.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio::time::sleep;

use super::plan::{Plan, account, streams};
use super::row::Row;
use super::{Selection, Target, Work};
use crate::aws::kinesis::Probe;
use crate::cli::paint::{BOLD, DIM, GREEN, RED, YELLOW, say, warn};
use crate::cli::{FAILED, SETTLED};
use crate::domain::mode::Mode;
use crate::domain::outcome::Status;
use crate::domain::stream::StreamRef;

/// How long after ACTIVE every record is encrypted at the latest (`StartStreamEncryption`).
const RECORDS_LAG: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "It shows the plan, asks, and brings each stream right. Ctrl-C starts nothing more, and ends with what was done; the next apply goes on from there,\n\
since streams that are right are left alone. Exit codes: 0 all right, 1 something failed or was left out, 2 wrong usage.\n\n\
Examples:\n  enforcer apply --sandbox --yes\n  enforcer apply orders --key alias/streams --profile prod\n  enforcer apply --sandbox --yes --probe"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// After a stream is encrypted, write ONE RECORD to it, to prove that AWS says KMS in the
    /// answer.
    #[arg(long)]
    probe: bool,
    /// Print the outcomes as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<u8> {
    let mut code = SETTLED;
    let stopped = Arc::new(AtomicBool::new(false));
    let watcher = tokio::spawn(watch(Arc::clone(&stopped)));
    for place in arguments.selection.places(true).await? {
        if place.settings.mode == Mode::Audit {
            bail!("ENFORCEMENT_MODE is audit: apply changes nothing then; unset it, or use enforcer plan");
        }
        code = code.max(Box::pin(apply(&place, arguments, &stopped)).await?);
    }
    watcher.abort();
    Ok(code)
}

async fn apply(place: &Target, arguments: &Arguments, stopped: &AtomicBool) -> Result<u8> {
    let plan = Plan::of(place, &arguments.selection).await?;
    if !arguments.json {
        say(&plan.to_string());
    }
    let targets: Vec<StreamRef> = plan
        .0
        .iter()
        .filter(|row| row.status == Status::WouldEncrypt && row.outcome.mode == Mode::Enforce)
        .filter_map(|row| row.arn.as_ref()?.parse().ok())
        .collect();
    let failed = plan.0.iter().any(|row| row.outcome.error.is_some());
    if targets.is_empty() {
        if arguments.json {
            say(&format!("{:#}", json!({"streams": [], "notStarted": 0})));
        }
        return Ok(if failed { FAILED } else { SETTLED });
    }
    let of = account(&plan.0).map_or_else(String::new, |account| format!(" of account {account}"));
    if !arguments.yes && !confirmed(&format!("{}{of} in {}", streams(targets.len()), place.aws.region))? {
        say("nothing was changed");
        return Ok(FAILED);
    }
    let Some(encryption) = place.aws.encryption.as_ref() else { bail!("nothing that could encrypt was made") };
    let work = Work {
        encryption: Some(encryption),
        concurrency: usize::from(arguments.selection.concurrency),
        asked_for: true,
    };
    let bar = bar(targets.len(), arguments.json);
    let mut rows: Vec<Row> = Vec::new();
    let each = |outcome| {
        let row = Row::new(outcome, &place.aws.region);
        let count = |status| rows.iter().chain([&row]).filter(|row| row.status == status).count();
        bar.inc(1);
        bar.set_message(format!("{} encrypted, {} failed", count(Status::Encrypted), count(Status::Failed)));
        rows.push(row);
    };
    place.work(&targets, &work, || !stopped.load(Ordering::Relaxed), each).await;
    bar.finish_and_clear();
    rows.sort_by(|one, other| one.stream.cmp(&other.stream));
    let not_started = targets.len() - rows.len();
    let encrypted = rows.iter().filter(|row| row.is_right()).count();
    let proofs = if arguments.probe { probe(place, &rows).await } else { Vec::new() };
    let proved = proofs.iter().all(|(_, proof)| *proof == Ok(true));
    if arguments.json {
        let proofs: Vec<_> = proofs
            .iter()
            .map(|(stream, proof)| json!({"stream": stream, "encrypted": proof.clone().ok(), "error": proof.clone().err()}))
            .collect();
        say(&format!("{:#}", json!({"streams": rows, "notStarted": not_started, "probes": proofs})));
    } else {
        say(&format!("{BOLD}applied{BOLD:#}"));
        for row in &rows {
            for line in crate::cli::paint::outcome(&serde_json::to_value(&row.outcome)?) {
                say(&format!("  {line}"));
            }
        }
        for (stream, proof) in &proofs {
            say(&match proof {
                Ok(true) => format!("  {GREEN}✔ proved{GREEN:#} {stream}: a record was written, and AWS says KMS"),
                Ok(false) => {
                    format!("  {RED}✘ not proved{RED:#} {stream}: a record was written, and AWS does not say KMS")
                }
                Err(error) => format!("  {RED}✘ not proved{RED:#} {stream}: {error}"),
            });
        }
        say(&format!("{BOLD}{encrypted} of {} encrypted{BOLD:#}", targets.len()));
        let before: Vec<_> =
            plan.0.iter().filter(|row| row.outcome.error.is_some()).map(|row| row.stream.as_str()).collect();
        if !before.is_empty() {
            say(&format!("{RED}not touched{RED:#}: {} (the plan says why)", before.join(", ")));
        }
        if not_started > 0 {
            say(&format!("{YELLOW}{not_started} not started{YELLOW:#}: the same command goes on with them"));
        }
    }
    Ok(if encrypted == targets.len() && !failed && proved { SETTLED } else { FAILED })
}

/// Waits for Ctrl-C. The second one ends the program at once.
async fn watch(stopped: Arc<AtomicBool>) {
    while tokio::signal::ctrl_c().await.is_ok() {
        if stopped.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        warn("interrupted: no more streams are started, those that were are waited for; once more to end at once");
    }
}

fn bar(length: usize, quiet: bool) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(u64::try_from(length).unwrap_or(u64::MAX));
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {per_sec} {eta} {msg}");
    if let Ok(style) = style { bar.with_style(style) } else { bar }
}

fn confirmed(what: &str) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!("nobody is there to be asked: give --yes to encrypt {what}");
    }
    let mut out = anstream::stderr();
    write!(out, "Encrypt {what}? Producers and consumers must be allowed to use the keys. {DIM}[y/N]{DIM:#} ")?;
    out.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("no answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Writes a record to each stream that was encrypted, when every record must be by then.
async fn probe(place: &Target, rows: &[Row]) -> Vec<(String, Result<bool, String>)> {
    sleep(RECORDS_LAG).await;
    let probe = Probe::new(&place.config, &place.clock);
    let mut proofs = Vec::new();
    for row in rows.iter().filter(|row| row.status == Status::Encrypted) {
        if let Some(arn) = row.arn.as_ref().and_then(|arn| arn.parse().ok()) {
            let put = probe.put(&arn, place.clock.instant() + super::PATIENCE).await;
            proofs.push((row.stream.clone(), put.map_err(|error| error.failure.to_string())));
        }
    }
    proofs
}
