//! `enforcer apply`: encrypts the streams that `enforcer plan` lists, after a prompt.
//!
//! Compliant streams stay unchanged, so an interrupted run continues when a person runs it again.

use std::cell::RefCell;
use std::time::Duration;

use anyhow::{Result, bail};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::access;
use super::answer::StreamAccess;
use super::places::{FailedPlace, failures};
use super::plan::Plan;
use super::row::{Row, visible_outcome};
use super::table::View;
use super::{Selection, Survey, Target, Work};
use crate::aws::kinesis::Probe;
use crate::cli::interrupt::{INTERRUPTED, Interrupt};
use crate::cli::paint::{
    BOLD, DIM, GREEN, RED, YELLOW, confirm, counted, outcome as outcome_lines, print_line, print_note, print_text,
    print_warning, width,
};
use crate::cli::progress::shown_at_once;
use crate::cli::{FAILED, SUCCESS, visible};
use crate::decide::is_young;
use crate::domain::mode::Mode;
use crate::domain::outcome::Status;
use crate::domain::stream::{StreamArn, StreamRef};

/// How long after ACTIVE a stream may still store records that are not encrypted.
///
/// Source:
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_StartStreamEncryption.html>.
const UNENCRYPTED_RECORDS: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The command shows the plan of all accounts and Regions, prompts once, and encrypts each stream. \
After Ctrl-C it starts no further stream, waits for those that it has started, and prints what it did; \
Ctrl-C again ends that wait.\n\
To continue, run it again: compliant streams stay unchanged.\n\
A stream is held back if a known user may not use its new key, as `enforcer access` shows.\n\
A rule with requireAccess also holds back streams of which that is not certain.\n\n\
Exit codes:\n  \
0  all streams are encrypted as configured, or exempt\n  \
1  a stream, an account or a Region failed, or a stream was held back or not started\n  \
2  the usage or the settings are wrong, or AWS cannot be reached\n\
130  Ctrl-C was pressed\n\n\
Examples:\n  \
enforcer apply --sandbox --yes\n  \
enforcer apply orders --function kinesis-enforcer --profile prod\n  \
enforcer apply --key alias/streams --region us-east-1,eu-west-1\n  \
enforcer apply --sandbox --yes --probe"
)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub(crate) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// List the compliant streams in the plan, too.
    #[arg(long)]
    all: bool,
    /// Do not wait for the grace period of young streams. A tool that is still working on one then
    /// fails with `ResourceInUseException`.
    #[arg(long)]
    no_grace: bool,
    /// Encrypt without a prompt.
    #[arg(long)]
    yes: bool,
    /// Encrypt also streams of which a known user may not use the key, except where the rule has
    /// `requireAccess`.
    #[arg(long)]
    accept_access_loss: bool,
    /// Write ONE RECORD to each stream after it is encrypted, to verify that the response of AWS
    /// shows KMS.
    #[arg(long, conflicts_with = "accounts")]
    probe: bool,
    /// Print the outcomes as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<u8> {
    let selection = &arguments.selection;
    let mut places = selection.opened(true).await?;
    if arguments.no_grace {
        places.iter_mut().flatten().for_each(|target| target.settings.iac_grace = Duration::ZERO);
    }
    if let Some(target) = places.iter().flatten().find(|target| target.settings.mode == Mode::Audit) {
        match &selection.function {
            Some(function) => bail!(
                "ENFORCEMENT_MODE of the function {function} in {} is audit, so apply would change nothing: run \
                 enforcer plan, or deploy the function with enforce",
                target.aws.region
            ),
            None => bail!("ENFORCEMENT_MODE is audit, so apply would change nothing: unset it, or run enforcer plan"),
        }
    }
    let several = places.len() > 1;
    let (mut work, mut plan) = (Vec::new(), Survey::default());
    for place in selection.survey_each(&places).await? {
        match place {
            Ok((target, mut survey)) => {
                let accepts_loss = arguments.accept_access_loss;
                // The plan names who loses access also to those who accept it.
                let not_read = access::add_users(target, selection, &mut survey.rows, several, Row::is_to_change).await;
                survey.not_read.extend(not_read);
                work.push((target, to_encrypt(&survey.rows, accepts_loss)));
                plan.extend(survey);
            }
            Err(failed) => plan.failed_regions.push(failed),
        }
    }
    work.retain(|(_, streams)| !streams.is_empty());
    // The table shows them, too.
    for not_read in plan.not_read.iter().filter(|_| arguments.json) {
        print_warning(&format!("users may be missing, not read: {}", visible::visible(not_read)));
    }
    Box::pin(apply(&work, &Plan(plan), arguments)).await
}

/// The streams that the plan would change, without those that are held back.
fn to_encrypt(rows: &[Row], accepts_loss: bool) -> Vec<StreamRef> {
    rows.iter()
        .filter(|row| row.is_to_change() && !is_held_back(row, accepts_loss))
        .filter_map(|row| row.arn.clone().map(StreamRef::Arn))
        .collect()
}

/// Whether a stream that would be changed is left alone.
fn is_held_back(row: &Row, accepts_loss: bool) -> bool {
    (!accepts_loss && row.has_users_without_access()) || row.held_back_by_rule().is_some()
}

/// Shows the plan, prompts once, and encrypts the streams of one place after the other.
async fn apply(work: &[(&Target, Vec<StreamRef>)], plan: &Plan, arguments: &Arguments) -> Result<u8> {
    let mut interrupt = Interrupt::unarmed();
    // Only now: before, and at the prompt, Ctrl-C may end the program.
    if arguments.yes {
        interrupt.arm().await;
    }
    let Survey { rows: planned, failed_regions, .. } = &plan.0;
    if !arguments.json {
        let all = arguments.all || arguments.selection.names_streams();
        print_line(&plan.table(View { width: width(), all }));
    }
    let failed_in_plan: Vec<_> =
        planned.iter().filter(|row| row.outcome.error.is_some()).map(|row| row.stream.as_str()).collect();
    let held_back: Vec<_> =
        planned.iter().filter(|row| row.is_to_change() && is_held_back(row, arguments.accept_access_loss)).collect();
    if !arguments.json {
        for line in held_back_lines(&held_back) {
            print_text(&line);
        }
    }
    let held_back_by_rule: Vec<_> = held_back.iter().filter_map(|row| held_back_by_rule(row)).collect();
    let held_back: Vec<_> = held_back.iter().map(|row| row.stream.as_str()).collect();
    let failed_of_plan = of_plan(&failed_in_plan, failed_regions, &held_back);
    let is_planned_whole = failed_in_plan.is_empty() && failed_regions.is_empty() && held_back.is_empty();
    let total = work.iter().map(|(_, streams)| streams.len()).sum();
    if total == 0 {
        if arguments.json {
            print_line(&visible::json(&json!({
                "streams": [],
                "notStarted": 0,
                "lostAccess": [],
                "heldBack": held_back,
                "heldBackByRule": held_back_by_rule,
                "failedRegions": failed_regions,
            })));
        } else if !is_planned_whole {
            print_text(&failed_line(&failed_of_plan));
        }
        return Ok(if is_planned_whole { SUCCESS } else { FAILED });
    }
    for (target, streams) in work {
        let young = young_streams(planned, streams, target);
        if let Some(note) = grace_note(&young, target.settings.iac_grace) {
            print_note(&note);
        }
    }
    if !arguments.yes && !confirmed(action(work, planned), note(losing(work, planned)), &interrupt).await? {
        print_line("no stream was changed");
        return Ok(FAILED);
    }
    interrupt.arm().await;
    let mut done = Done { total, ..Done::default() };
    for (target, streams) in work {
        if !interrupt.is_pressed() {
            Box::pin(encrypt(target, streams, planned, arguments, &interrupt, &mut done)).await?;
        }
    }
    let Done { rows, probes, failed, .. } = done;
    let not_started = total - rows.len();
    let changed = rows.iter().filter(|row| row.is_encrypted_as_configured());
    let changed: Vec<_> = changed.filter_map(|row| row.arn.as_ref()).collect();
    let encrypted = changed.len();
    let all_verified = probes.iter().all(|(_, result)| *result == Ok(true));
    if arguments.json {
        let failed_regions: Vec<_> = failed_regions.iter().chain(&failed).collect();
        print_line(&visible::json(&json!({
            "streams": rows,
            "notStarted": not_started,
            "lostAccess": with_users(planned, &changed).flat_map(StreamAccess::losses_as_json).collect::<Vec<_>>(),
            "heldBack": held_back,
            "heldBackByRule": held_back_by_rule,
            "probes": probes.iter().map(probe_as_json).collect::<Vec<_>>(),
            "failedRegions": failed_regions,
        })));
    } else {
        print_results(&rows, &probes)?;
        for failed in &failed {
            print_text(&format!("  {RED}✘{RED:#} {}", visible::visible(failed)));
        }
        let lost: Vec<_> = with_users(planned, &changed).flat_map(StreamAccess::losses).collect();
        print_text(&encrypted_line(encrypted, total, &lost));
        if not_started > 0 {
            print_text(&format!("{YELLOW}{not_started} not started{YELLOW:#}: run the same command again to continue"));
        }
    }
    if interrupt.is_pressed() {
        return Ok(INTERRUPTED);
    }
    let complete = encrypted == total && is_planned_whole && all_verified;
    // The results above show every other failure.
    if !arguments.json && !is_planned_whole {
        print_text(&failed_line(&failed_of_plan));
    }
    Ok(if complete { SUCCESS } else { FAILED })
}

/// These streams with their users, as the plan found them.
fn with_users<'a>(planned: &'a [Row], streams: &'a [&StreamArn]) -> impl Iterator<Item = &'a StreamAccess> {
    let is_one = |row: &&Row| row.arn.as_ref().is_some_and(|arn| streams.contains(&arn));
    planned.iter().filter(is_one).filter_map(|row| row.access.as_ref())
}

/// How many users lose access to the streams that are to be encrypted.
fn losing(work: &[(&Target, Vec<StreamRef>)], planned: &[Row]) -> usize {
    let chosen = work.iter().flat_map(|(_, streams)| streams).filter_map(|stream| match stream {
        StreamRef::Arn(arn) => Some(arn),
        StreamRef::Name(_) => None,
    });
    with_users(planned, &chosen.collect::<Vec<_>>()).flat_map(StreamAccess::losses).count()
}

/// How many streams are encrypted, and who lost access by that.
fn encrypted_line(encrypted: usize, total: usize, lost: &[String]) -> String {
    let lost = match lost.len() {
        0 => String::new(),
        number => format!(", and {RED}{} lost access{RED:#}: {}", counted(number, "user"), lost.join(", ")),
    };
    format!("{BOLD}encrypted {encrypted} of {}{BOLD:#}{lost}", counted(total, "stream"))
}

fn probe_as_json((stream, result): &(String, Result<bool, String>)) -> serde_json::Value {
    json!({"stream": stream, "encrypted": result.clone().ok(), "error": result.clone().err()})
}

/// What the plan has left out, one part for each reason.
fn of_plan(failed: &[&str], failed_places: &[FailedPlace], held_back: &[&str]) -> Vec<String> {
    let mut parts = Vec::new();
    if !failed.is_empty() {
        parts.push(format!("{} failed in the plan ({})", counted(failed.len(), "stream"), failed.join(", ")));
    }
    parts.extend(failures(failed_places).map(|failures| format!("{failures} in the plan")));
    match held_back.len() {
        0 => {}
        1 => parts.push(format!("1 stream was held back ({})", held_back[0])),
        several => parts.push(format!("{several} streams were held back ({})", held_back.join(", "))),
    }
    parts
}

/// Why the exit code is not 0, although all that the plan would change may be encrypted.
fn failed_line(parts: &[String]) -> String {
    format!("{RED}exit code {FAILED}{RED:#}: {} {DIM}(the plan has the reasons){DIM:#}", parts.join(", "))
}

/// Which streams are not encrypted: since a known user would lose access, or since a rule requires
/// that nobody might.
fn held_back_lines(held_back: &[&Row]) -> Vec<String> {
    let (by_rule, others): (Vec<&Row>, Vec<&Row>) = held_back.iter().partition(|row| row.require_access);
    let mut lines = Vec::new();
    if !others.is_empty() {
        let names: Vec<_> = others.iter().map(|row| visible::visible(&row.stream)).collect();
        lines.push(format!(
            "{RED}held back{RED:#}: {} {DIM}(users would lose access: allow what enforcer access --fix prints, or \
             pass --accept-access-loss){DIM:#}",
            names.join(", ")
        ));
    }
    if !by_rule.is_empty() {
        lines.push(format!(
            "{RED}held back by requireAccess{RED:#} {DIM}(--accept-access-loss does not override a rule: see enforcer \
             access, or change the rule){DIM:#}"
        ));
    }
    for row in by_rule {
        let rule = row.outcome.rule.as_deref().unwrap_or_default();
        let because = row.held_back_by_rule().unwrap_or_default();
        let (stream, rule, because) =
            (visible::visible(&row.stream), visible::visible(rule), visible::visible(&because));
        lines.push(format!("  {BOLD}{stream}{BOLD:#} {DIM}[rule {rule}]{DIM:#}: {because}"));
    }
    lines
}

/// A stream that its rule holds back, as JSON.
fn held_back_by_rule(row: &Row) -> Option<serde_json::Value> {
    let because = row.held_back_by_rule()?;
    Some(json!({"stream": row.stream, "region": row.region, "rule": row.outcome.rule, "because": because}))
}

/// What an apply has done.
#[derive(Default)]
struct Done {
    /// How many streams there are to encrypt.
    total: usize,
    rows: Vec<Row>,
    probes: Vec<(String, Result<bool, String>)>,
    /// The places whose role could not be assumed again after the plan.
    failed: Vec<FailedPlace>,
}

/// Encrypts the streams of one place, and adds what was done to `done`.
async fn encrypt(
    target: &Target,
    streams: &[StreamRef],
    planned: &[Row],
    arguments: &Arguments,
    interrupt: &Interrupt,
    done: &mut Done,
) -> Result<()> {
    let Some(encryption) = target.aws.encryption.as_ref() else { bail!("there is no client to start encryption with") };
    if let Err(error) = target.begin().await {
        done.failed.push(target.failed(&error));
        return Ok(());
    }
    let work = Work {
        start: Some((encryption, interrupt)),
        concurrency: usize::from(arguments.selection.concurrency),
        asked_for: true,
    };
    let Done { rows: before, probes, total, .. } = done;
    let rows: RefCell<Vec<Row>> = RefCell::default();
    // When the work on each stream began: a stream that is done makes room for the next.
    let began = RefCell::new(vec![target.clock.utc(); work.concurrency]);
    let on_outcome = |stream: &StreamRef, outcome| {
        rows.borrow_mut().push(target.row(stream, outcome));
        began.borrow_mut().push(target.clock.utc());
    };
    // Whoever was asked about was asked about this key. An alias may name another one since.
    let keys = planned.iter().filter(|row| is_one_of(streams, row));
    encryption.gate().restrict(keys.filter_map(|row| Some((row.stream.clone(), row.access.as_ref()?.key.clone()?))));
    let young = young_streams(planned, streams, target);
    let encrypting = |_| {
        let now = target.clock.utc();
        let began = began.borrow();
        let left = |name: &str| {
            let is_it = |stream: &StreamRef| stream.name() == name;
            let began = streams.iter().position(is_it).and_then(|index| began.get(index).copied());
            grace_left(target.settings.iac_grace, began?, now)
        };
        let is_young = |name: &str| young.iter().any(|(young, _)| *young == name);
        let pending = |name: &str, arn: &StreamArn| match encryption.accepted(arn).last() {
            Some(at) => Some(format!("{name}: UPDATING for {} s", (now - at).num_seconds())),
            None if is_young(name) => left(name).map(|left| format!("{name}: in its grace period, {left} s left")),
            None => None,
        };
        progress(*total, before, streams, &rows.borrow(), pending)
    };
    let close_gate = async {
        interrupt.pressed(1).await;
        encryption.gate().close();
        std::future::pending::<()>().await;
    };
    let reconciled = async {
        tokio::select! {
            biased;
            () = close_gate => {}
            () = target.reconcile_all(streams, &work, on_outcome) => {}
        }
    };
    shown_at_once(target.clock.instant(), encrypting, reconciled).await;
    for stream in encryption.gate().held_for_key() {
        print_warning(&format!(
            "{} was not started: another key than the one that its users were asked about would have been applied",
            visible::visible(&stream)
        ));
    }
    let mut rows = rows.into_inner();
    rows.sort_by(|one, other| one.stream.cmp(&other.stream));
    if arguments.probe && !interrupt.is_pressed() {
        probes.extend(probe(target, &rows, interrupt).await);
    }
    before.extend(rows);
    Ok(())
}

/// The outcome of each stream, and what its probe showed.
fn print_results(rows: &[Row], probes: &[(String, Result<bool, String>)]) -> Result<()> {
    print_line(&format!("{BOLD}result{BOLD:#}"));
    for row in rows {
        for line in outcome_lines(&serde_json::to_value(visible_outcome(&row.outcome))?) {
            print_text(&format!("  {line}"));
        }
    }
    for (stream, result) in probes {
        print_text(&match result {
            Ok(true) => format!("  {GREEN}✔ verified{GREEN:#} {stream}: the response to PutRecord shows KMS"),
            Ok(false) => {
                format!("  {RED}✘ not verified{RED:#} {stream}: the response to PutRecord does not show KMS")
            }
            Err(error) => format!("  {RED}✘ not verified{RED:#} {stream}: {}", visible::visible(error)),
        });
    }
    Ok(())
}

/// What an apply would do, for the prompt.
fn action(work: &[(&Target, Vec<StreamRef>)], planned: &[Row]) -> String {
    let place = |target: &Target| {
        let is_here = |row: &&Row| row.region == target.aws.region;
        let account =
            target.account.as_deref().or_else(|| planned.iter().filter(is_here).find_map(|row| row.account.as_deref()));
        let of_account = account.map_or_else(String::new, |account| format!(" of account {account}"));
        format!("{of_account} in {}", target.aws.region)
    };
    let parts: Vec<_> =
        work.iter().map(|(target, streams)| format!("{}{}", counted(streams.len(), "stream"), place(target))).collect();
    format!("encrypt {}", parts.join(", "))
}

/// What a person should know before they answer the prompt.
fn note(losing: usize) -> String {
    match losing {
        0 => "Producers and consumers must be allowed to use the keys.".to_owned(),
        1 => "1 user loses access, as the plan shows.".to_owned(),
        several => format!("{several} users lose access, as the plan shows."),
    }
}

/// Asks whether to encrypt. Ctrl-C, once it is counted, ends the program here.
async fn confirmed(action: String, note: String, interrupt: &Interrupt) -> Result<bool> {
    let answer = spawn_blocking(move || confirm(&action, &note));
    tokio::select! {
        answer = answer => answer?,
        () = interrupt.pressed(1) => std::process::exit(i32::from(INTERRUPTED)),
    }
}

/// The streams to encrypt that `apply` leaves alone for their grace period, with their age.
fn young_streams<'a>(planned: &'a [Row], streams: &[StreamRef], target: &Target) -> Vec<(&'a str, TimeDelta)> {
    if target.settings.iac_grace.is_zero() {
        return Vec::new();
    }
    let now: DateTime<Utc> = target.clock.utc();
    let young = planned.iter().filter(|row| is_one_of(streams, row)).filter_map(|row| {
        let created = row.outcome.seen.as_ref()?.created?;
        is_young(created, now).then(|| (row.stream.as_str(), now - created))
    });
    young.collect()
}

/// Whether `row` is that of one of `streams`.
fn is_one_of(streams: &[StreamRef], row: &Row) -> bool {
    row.arn.as_ref().is_some_and(|arn| streams.contains(&StreamRef::Arn(arn.clone())))
}

/// How many seconds of the grace period are left at `now`, for a stream that is waited for since
/// `began`; `None` if it is over.
fn grace_left(grace: Duration, began: DateTime<Utc>, now: DateTime<Utc>) -> Option<u64> {
    let left = grace.saturating_sub((now - began).to_std().unwrap_or_default());
    // The last second counts, too.
    (!left.is_zero()).then(|| left.as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX))
}

/// What a person should know before they wait for grace periods.
fn grace_note(young: &[(&str, TimeDelta)], grace: Duration) -> Option<String> {
    let (whose, them) = match young {
        [] => return None,
        [(name, age)] => (format!("{name} was created {} s ago", age.num_seconds()), "it"),
        several => (format!("{} streams were created in the last 15 minutes", several.len()), "them"),
    };
    Some(format!(
        "{whose}: apply waits {} s before it encrypts {them}, because the tool that created {them} may still be at \
         work; --no-grace skips the wait",
        grace.as_secs()
    ))
}

/// How far an apply of `total` streams has come: what was done `before`, the `rows` of these
/// `streams`, and what is waited for, as far as `pending` knows.
fn progress(
    total: usize,
    before: &[Row],
    streams: &[StreamRef],
    rows: &[Row],
    pending: impl Fn(&str, &StreamArn) -> Option<String>,
) -> String {
    let count = |status| before.iter().chain(rows).filter(|row| row.status == status).count();
    let is_done = |name: &str| rows.iter().any(|row| row.stream == name);
    let waiting: Vec<String> = streams
        .iter()
        .filter_map(|stream| match stream {
            StreamRef::Arn(arn) if !is_done(arn.name()) => pending(arn.name(), arn),
            _ => None,
        })
        .collect();
    let waiting = if waiting.is_empty() { String::new() } else { format!("; {}", waiting.join(", ")) };
    let (encrypted, failed) = (count(Status::Encrypted), count(Status::Failed));
    format!("{} of {total} done, {encrypted} encrypted, {failed} failed{waiting}", before.len() + rows.len())
}

/// Writes one record to each stream that was encrypted, once AWS stores no unencrypted records any
/// more; none after an interrupt. Returns for each stream whether the response shows KMS.
async fn probe(target: &Target, rows: &[Row], interrupt: &Interrupt) -> Vec<(String, Result<bool, String>)> {
    if !rows.iter().any(|row| row.status == Status::Encrypted) {
        return Vec::new();
    }
    let waiting = |waited: Duration| {
        format!(
            "{} of {} s before the probe: AWS may still store unencrypted records",
            waited.as_secs(),
            UNENCRYPTED_RECORDS.as_secs()
        )
    };
    let lag = async {
        tokio::select! {
            biased;
            () = interrupt.pressed(1) => {}
            () = sleep(UNENCRYPTED_RECORDS) => {}
        }
    };
    shown_at_once(target.clock.instant(), waiting, lag).await;
    let probe = Probe::new(&target.config, &target.clock);
    let mut results = Vec::new();
    for row in rows.iter().filter(|row| row.status == Status::Encrypted) {
        if let Some(arn) = row.arn.as_ref().filter(|_| !interrupt.is_pressed()) {
            let put = probe.put(arn, target.clock.instant() + super::PATIENCE).await;
            results.push((row.stream.clone(), put.map_err(|error| error.failure.to_string())));
        }
    }
    results
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::outcome::Outcome;

    #[test]
    fn a_person_is_told_of_the_grace_period_before_it_is_waited_for() {
        let grace = Duration::from_mins(1);
        assert_eq!(grace_note(&[], grace), None);
        assert_eq!(
            grace_note(&[("orders", TimeDelta::seconds(20))], grace).as_deref(),
            Some(
                "orders was created 20 s ago: apply waits 60 s before it encrypts it, because the tool that created \
                 it may still be at work; --no-grace skips the wait"
            )
        );
        let several = [("orders", TimeDelta::seconds(20)), ("clicks", TimeDelta::seconds(30))];
        assert!(grace_note(&several, grace).is_some_and(|note| note.starts_with("2 streams were created")));
    }

    #[test]
    fn the_prompt_says_how_many_users_lose_access() {
        let notes = [0, 1, 2].map(note);
        assert!(notes[0].starts_with("Producers and consumers must be allowed"), "{notes:?}");
        assert!(
            notes[1].starts_with("1 user loses access") && notes[2].starts_with("2 users lose access"),
            "{notes:?}"
        );
    }

    #[test]
    fn the_grace_period_is_counted_down_to_its_last_second() {
        let began = DateTime::UNIX_EPOCH;
        let left =
            |milliseconds| grace_left(Duration::from_mins(1), began, began + TimeDelta::milliseconds(milliseconds));
        assert_eq!([0, 2_500, 59_999, 60_000].map(left), [Some(60), Some(58), Some(1), None]);
        assert_eq!(left(-5_000), Some(60), "a clock that was set back");
    }

    #[test]
    fn the_last_line_says_why_the_exit_code_is_1() {
        let failed = FailedPlace { account: None, region: "eu-west-1".to_owned(), error: "denied".to_owned() };
        let line = failed_line(&of_plan(&["locked", "typo"], &[failed], &["orders"]));
        assert_eq!(
            crate::cli::paint::without_colours(&line),
            "exit code 1: 2 streams failed in the plan (locked, typo), 1 Region failed in the plan, 1 stream was held \
             back (orders) (the plan has the reasons)"
        );
    }

    #[test]
    fn the_progress_says_what_is_waited_for() {
        let arn = |name: &str| -> StreamArn {
            format!("arn:aws:kinesis:us-east-1:111122223333:stream/{name}").parse().expect("an ARN")
        };
        let streams = ["clicks", "orders", "users"].map(|name| StreamRef::Arn(arn(name)));
        let outcome = Outcome::new(None, Status::Encrypted, "", Mode::Enforce);
        let rows = [Row::new(&streams[0], outcome, "us-east-1")];
        let pending = |name: &str, _: &StreamArn| (name != "users").then(|| format!("{name}: UPDATING for 12 s"));
        assert_eq!(progress(3, &[], &streams, &[], |_, _| None), "0 of 3 done, 0 encrypted, 0 failed");
        assert_eq!(
            progress(3, &[], &streams, &rows, pending),
            "1 of 3 done, 1 encrypted, 0 failed; orders: UPDATING for 12 s"
        );
    }
}
