//! `enforcer plan`: what would be done to each stream, and why. It has nothing that could write.

use std::fmt;

use anyhow::Result;
use serde_json::json;

use super::row::{Row, short_key};
use super::{Selection, Target};
use crate::cli::paint::{BOLD, DIM, GREEN, RED, YELLOW, say, warning};
use crate::cli::{FAILED, PENDING, SETTLED};
use crate::domain::outcome::Status;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "It only reads, and is built so that it cannot write. Exit codes: 0 nothing to do, 1 something failed, 2 wrong usage, 3 there are changes.\n\n\
Examples:\n  enforcer plan --sandbox\n  enforcer plan --key alias/streams --profile prod --region us-east-1 --region eu-west-1\n  enforcer plan orders clicks --json"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// Print the plan as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<u8> {
    let mut rows = Vec::new();
    for place in arguments.selection.places(false).await? {
        rows.extend(Box::pin(place.survey(&arguments.selection)).await?);
    }
    let plan = Plan(rows);
    if arguments.json {
        say(&format!("{:#}", json!({"streams": plan.0, "changes": plan.changes()})));
    } else {
        say(plan.to_string().trim_end());
    }
    Ok(plan.exit_code())
}

/// What would be done. Its [`Display`](fmt::Display) is what a person reads.
pub(super) struct Plan(pub(super) Vec<Row>);

impl Plan {
    pub(super) async fn of(place: &Target, selection: &Selection) -> Result<Self> {
        Ok(Self(Box::pin(place.survey(selection)).await?))
    }

    fn changes(&self) -> usize {
        count(&self.0, Status::WouldEncrypt)
    }

    fn exit_code(&self) -> u8 {
        let bad =
            |row: &Row| matches!(row.status, Status::Failed | Status::Contested | Status::KeyAtRisk | Status::Deferred);
        match () {
            () if self.0.iter().any(bad) => FAILED,
            () if self.changes() > 0 => PENDING,
            () => SETTLED,
        }
    }
}

/// The mark and the colour of a status.
pub(super) fn marked(status: Status) -> (&'static str, anstyle::Style) {
    match status {
        Status::Encrypted | Status::Compliant => ("✔", GREEN),
        Status::WouldEncrypt => ("~", YELLOW),
        Status::Exempt | Status::Gone | Status::Deferred | Status::Queued => ("•", YELLOW),
        Status::Contested | Status::KeyAtRisk | Status::Failed => ("✘", RED),
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return write!(f, "there are no streams");
        }
        for (index, rows) in self.0.chunk_by(|one, other| one.region == other.region).enumerate() {
            if index > 0 {
                write!(f, "\n\n")?;
            }
            writeln!(f, "{BOLD}account {}, {}{BOLD:#}\n", account(rows).unwrap_or("?"), rows[0].region)?;
            table(rows, f)?;
        }
        Ok(())
    }
}

/// The account that the streams are in, where one of them tells.
pub(super) fn account(rows: &[Row]) -> Option<&str> {
    rows.iter().find_map(|row| row.account.as_deref())
}

fn count(rows: &[Row], status: Status) -> usize {
    rows.iter().filter(|row| row.status == status).count()
}

/// One line a stream, what is to be said of it below, and how many there are of each kind.
fn table(rows: &[Row], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let heads = ["stream", "state", "present key", "wanted key", "decision"];
    let cells: Vec<[String; 5]> = rows
        .iter()
        .map(|row| {
            [
                row.stream.clone(),
                row.state.clone().unwrap_or_else(|| "–".to_owned()),
                short_key(row.present_key.as_deref()),
                short_key(row.wanted_key.as_deref()),
                row.status.as_str().to_owned(),
            ]
        })
        .collect();
    let width = |column: usize| {
        cells.iter().map(|row| row[column].chars().count()).chain([heads[column].len()]).max().unwrap_or_default()
    };
    let widths = [0, 1, 2, 3, 4].map(width);
    write!(f, "  {DIM}")?;
    for (head, width) in heads.iter().zip(widths) {
        write!(f, "{head:<width$}  ")?;
    }
    writeln!(f, "reason{DIM:#}")?;
    for (row, cells) in rows.iter().zip(&cells) {
        let (mark, style) = marked(row.status);
        write!(f, "{style}{mark}{style:#} ")?;
        for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
            match column {
                0 => write!(f, "{BOLD}{cell:<width$}{BOLD:#}  ")?,
                4 => write!(f, "{style}{cell:<width$}{style:#}  ")?,
                _ => write!(f, "{cell:<width$}  ")?,
            }
        }
        let rule = row.outcome.rule.as_ref().map(|rule| format!(" {DIM}[rule {rule}]{DIM:#}")).unwrap_or_default();
        writeln!(f, "{}{rule}", row.outcome.reason)?;
        for line in &row.outcome.warnings {
            writeln!(f, "    {}", warning(&serde_json::to_value(line).unwrap_or_default()))?;
        }
        if let Some(failure) = &row.outcome.error {
            writeln!(f, "    {DIM}remedy:{DIM:#} {}", failure.remedy)?;
        }
    }
    let right = rows.iter().filter(|row| row.is_right()).count();
    let counts = [
        (right, "right"),
        (count(rows, Status::Exempt), "exempt"),
        (count(rows, Status::Contested), "contested"),
        (count(rows, Status::Failed), "failed"),
    ];
    write!(f, "\n{BOLD}{} to change{BOLD:#}", count(rows, Status::WouldEncrypt))?;
    for (count, what) in counts.into_iter().filter(|(count, what)| *count > 0 || *what == "right") {
        write!(f, ", {count} {what}")?;
    }
    write!(f, ", of {}", streams(rows.len()))
}

/// So many streams, in words.
pub(super) fn streams(count: usize) -> String {
    if count == 1 { "1 stream".to_owned() } else { format!("{count} streams") }
}
