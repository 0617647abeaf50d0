//! `enforcer apply`: encrypts the streams that `enforcer plan` lists, after a prompt.
//!
//! Compliant streams stay unchanged, so an interrupted run continues when a person runs it again.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::plan::{Plan, account};
use super::row::Row;
use super::{FailedRegion, Selection, Target, Targets, Work};
use crate::aws::kinesis::Probe;
use crate::cli::interrupt::{INTERRUPTED, Interrupt};
use crate::cli::paint::{
    BOLD, DIM, GREEN, RED, YELLOW, confirm, counted, outcome as outcome_lines, print_error, print_line,
};
use crate::cli::{FAILED, SUCCESS, visible};
use crate::domain::mode::Mode;
use crate::domain::outcome::Status;
use crate::domain::stream::StreamRef;

/// How long after ACTIVE a stream may still store records that are not encrypted.
///
/// Source:
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_StartStreamEncryption.html>.
const UNENCRYPTED_RECORDS: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
#[command(after_help = "The command shows the plan, prompts, and encrypts each stream. \
After Ctrl-C it starts no further stream, waits for those that it has started, and prints what it did; \
Ctrl-C again ends that wait.\n\
To continue, run it again: compliant streams stay unchanged.\n\n\
Exit codes:\n  \
0  all streams are encrypted as configured, or exempt\n  \
1  a stream failed or was not started\n  \
2  the usage or the settings are wrong, or AWS cannot be reached\n\
130  Ctrl-C was pressed\n\n\
Examples:\n  \
enforcer apply --sandbox --yes\n  \
enforcer apply orders --key alias/streams --profile prod\n  \
enforcer apply --sandbox --yes --probe")]
pub(crate) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// Encrypt without a prompt.
    #[arg(long)]
    yes: bool,
    /// Write ONE RECORD to each stream after it is encrypted, to verify that the response of AWS
    /// shows KMS.
    #[arg(long)]
    probe: bool,
    /// Print the outcomes as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<u8> {
    let mut code = SUCCESS;
    let mut interrupt = Interrupt::unarmed();
    let Targets { reached, failed } = arguments.selection.targets(true).await?;
    let is_only = reached.len() + failed.len() == 1;
    for failed in &failed {
        code = FAILED;
        print_error(&visible::visible(failed));
    }
    for target in reached {
        if target.settings.mode == Mode::Audit {
            bail!("ENFORCEMENT_MODE is audit, so apply would change nothing: unset it, or run enforcer plan");
        }
        let plan = match Plan::of(&target, &arguments.selection).await {
            Err(error) if !is_only => {
                code = FAILED;
                print_error(&visible::visible(&FailedRegion::new(&target.aws.region, &error)));
                continue;
            }
            plan => plan?,
        };
        code = code.max(Box::pin(apply(&target, &plan, arguments, &mut interrupt)).await?);
        if interrupt.is_pressed() {
            return Ok(INTERRUPTED);
        }
    }
    Ok(code)
}

async fn apply(target: &Target, plan: &Plan, arguments: &Arguments, interrupt: &mut Interrupt) -> Result<u8> {
    // Only now: before, and at the first prompt, Ctrl-C may end the program.
    if arguments.yes {
        interrupt.arm().await;
    }
    if !arguments.json {
        print_line(&plan.to_string());
    }
    let streams: Vec<StreamRef> = plan
        .0
        .rows
        .iter()
        .filter(|row| row.status == Status::WouldEncrypt && row.outcome.mode == Mode::Enforce)
        .filter_map(|row| row.arn.clone().map(StreamRef::Arn))
        .collect();
    let failed_in_plan: Vec<_> =
        plan.0.rows.iter().filter(|row| row.outcome.error.is_some()).map(|row| row.stream.as_str()).collect();
    if streams.is_empty() {
        if arguments.json {
            print_line(&visible::json(&json!({"streams": [], "notStarted": 0})));
        }
        return Ok(if failed_in_plan.is_empty() { SUCCESS } else { FAILED });
    }
    let of_account = account(&plan.0.rows).map_or_else(String::new, |account| format!(" of account {account}"));
    let action = format!("encrypt {}{of_account} in {}", counted(streams.len(), "stream"), target.aws.region);
    if !arguments.yes && !confirmed(action, interrupt).await? {
        print_line("no stream was changed");
        return Ok(FAILED);
    }
    let Some(encryption) = target.aws.encryption.as_ref() else { bail!("there is no client to start encryption with") };
    interrupt.arm().await;
    let interrupt = &*interrupt;
    let work = Work {
        start: Some((encryption, interrupt)),
        concurrency: usize::from(arguments.selection.concurrency),
        asked_for: true,
    };
    let bar = progress_bar(streams.len(), arguments.json);
    let mut rows: Vec<Row> = Vec::new();
    let on_outcome = |stream: &StreamRef, outcome| {
        let row = Row::new(stream, outcome, &target.aws.region);
        let count = |status| rows.iter().chain([&row]).filter(|row| row.status == status).count();
        bar.inc(1);
        bar.set_message(format!("{} encrypted, {} failed", count(Status::Encrypted), count(Status::Failed)));
        rows.push(row);
    };
    let close_gate = async {
        interrupt.pressed(1).await;
        encryption.gate().close();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        () = close_gate => {}
        () = target.reconcile_all(&streams, &work, on_outcome) => {}
    }
    bar.finish_and_clear();
    rows.sort_by(|one, other| one.stream.cmp(&other.stream));
    let not_started = streams.len() - rows.len();
    let encrypted = rows.iter().filter(|row| row.is_encrypted_as_configured()).count();
    let probes = if arguments.probe && !interrupt.is_pressed() { probe(target, &rows).await } else { Vec::new() };
    let all_verified = probes.iter().all(|(_, result)| *result == Ok(true));
    if arguments.json {
        let probes: Vec<_> = probes
            .iter()
            .map(|(stream, result)| {
                json!({"stream": stream, "encrypted": result.clone().ok(), "error": result.clone().err()})
            })
            .collect();
        print_line(&visible::json(&json!({"streams": rows, "notStarted": not_started, "probes": probes})));
    } else {
        print_line(&format!("{BOLD}result{BOLD:#}"));
        for row in &rows {
            for line in outcome_lines(&serde_json::to_value(&row.outcome)?) {
                print_line(&format!("  {line}"));
            }
        }
        for (stream, result) in &probes {
            print_line(&match result {
                Ok(true) => format!("  {GREEN}✔ verified{GREEN:#} {stream}: the response to PutRecord shows KMS"),
                Ok(false) => {
                    format!("  {RED}✘ not verified{RED:#} {stream}: the response to PutRecord does not show KMS")
                }
                Err(error) => format!("  {RED}✘ not verified{RED:#} {stream}: {}", visible::visible(error)),
            });
        }
        print_line(&format!("{BOLD}encrypted {encrypted} of {}{BOLD:#}", counted(streams.len(), "stream")));
        if !failed_in_plan.is_empty() {
            print_line(&format!(
                "{RED}not changed{RED:#}: {} {DIM}(the plan has the reasons){DIM:#}",
                failed_in_plan.join(", ")
            ));
        }
        if not_started > 0 {
            print_line(&format!("{YELLOW}{not_started} not started{YELLOW:#}: run the same command again to continue"));
        }
    }
    let complete = encrypted == streams.len() && failed_in_plan.is_empty() && all_verified;
    Ok(if complete { SUCCESS } else { FAILED })
}

/// Asks whether to encrypt. Ctrl-C, once it is counted, ends the program here.
async fn confirmed(action: String, interrupt: &Interrupt) -> Result<bool> {
    let answer = spawn_blocking(move || confirm(&action, "Producers and consumers must be allowed to use the keys."));
    tokio::select! {
        answer = answer => answer?,
        () = interrupt.pressed(1) => std::process::exit(i32::from(INTERRUPTED)),
    }
}

fn progress_bar(length: usize, quiet: bool) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(u64::try_from(length).unwrap_or(u64::MAX));
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {per_sec} {eta} {msg}");
    if let Ok(style) = style { bar.with_style(style) } else { bar }
}

/// Writes one record to each stream that was encrypted, once AWS stores no unencrypted records any
/// more. Returns for each stream whether the response shows KMS.
async fn probe(target: &Target, rows: &[Row]) -> Vec<(String, Result<bool, String>)> {
    sleep(UNENCRYPTED_RECORDS).await;
    let probe = Probe::new(&target.config, &target.clock);
    let mut results = Vec::new();
    for row in rows.iter().filter(|row| row.status == Status::Encrypted) {
        if let Some(arn) = &row.arn {
            let put = probe.put(arn, target.clock.instant() + super::PATIENCE).await;
            results.push((row.stream.clone(), put.map_err(|error| error.failure.to_string())));
        }
    }
    results
}
