//! `enforcer plan`: shows a person what the enforcer would change on each stream, and why.
//!
//! The command has no client that could write, so a plan is safe with any credentials.

use std::fmt;

use anyhow::Result;
use serde_json::json;

use super::row::{Row, short_key};
use super::{Selection, Survey};
use crate::cli::paint::{BOLD, DIM, GREEN, RED, YELLOW, counted, outcome as outcome_lines, print_line, warning};
use crate::cli::{FAILED, PENDING, SUCCESS, visible};
use crate::domain::outcome::Status;

#[derive(Debug, clap::Args)]
#[command(after_help = "The command only reads: it has no client that could write.\n\n\
Exit codes:\n  \
0  nothing to change\n  \
1  a stream, an account or a Region failed, a stream is deferred or contested, or its key is at risk\n  \
2  the usage or the settings are wrong, or AWS cannot be reached\n  \
3  there are streams to change\n\n\
Examples:\n  \
enforcer plan --sandbox\n  \
enforcer plan --function kinesis-enforcer --profile prod\n  \
enforcer plan --function kinesis-enforcer --accounts all\n  \
enforcer plan --key alias/streams --region us-east-1,eu-west-1\n  \
enforcer plan --key alias/streams --region all\n  \
enforcer plan orders clicks --json")]
pub(crate) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// Print the plan as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<u8> {
    let (survey, _) = arguments.selection.survey().await?;
    let plan = Plan(survey);
    if arguments.json {
        let Survey { rows, keys_at_risk, failed_regions } = &plan.0;
        let plan = json!({
            "streams": rows,
            "keysAtRisk": keys_at_risk,
            "changes": plan.changes(),
            "failedRegions": failed_regions,
        });
        print_line(&visible::json(&plan));
    } else {
        print_line(plan.to_string().trim_end());
    }
    Ok(plan.exit_code())
}

/// What would change on each stream. A person reads its [`Display`](fmt::Display).
pub(super) struct Plan(pub(super) Survey);

impl Plan {
    fn changes(&self) -> usize {
        count(&self.0.rows, Status::WouldEncrypt)
    }

    fn exit_code(&self) -> u8 {
        let needs_attention =
            |row: &Row| matches!(row.status, Status::Failed | Status::Contested | Status::KeyAtRisk | Status::Deferred);
        if !self.0.keys_at_risk.is_empty()
            || !self.0.failed_regions.is_empty()
            || self.0.rows.iter().any(needs_attention)
        {
            FAILED
        } else if self.changes() > 0 {
            PENDING
        } else {
            SUCCESS
        }
    }
}

/// The mark and the colour of a status in a table.
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
        let Survey { rows, keys_at_risk, failed_regions } = &self.0.visible();
        for failed in failed_regions {
            writeln!(f, "{RED}✘{RED:#} {failed}")?;
        }
        for line in keys_at_risk.iter().flat_map(|key| outcome_lines(&serde_json::to_value(key).unwrap_or_default())) {
            writeln!(f, "{line}")?;
        }
        if rows.is_empty() {
            return write!(f, "no streams found");
        }
        for (index, rows) in rows.chunk_by(are_of_one_place).enumerate() {
            if index > 0 {
                write!(f, "\n\n")?;
            }
            let account = account(rows).unwrap_or("unknown");
            writeln!(f, "{BOLD}account {account}, {}{BOLD:#}\n", rows[0].region)?;
            table(rows, f)?;
        }
        Ok(())
    }
}

/// Whether two rows that follow one another are of one account and Region. The account of a stream
/// that could not be described may be unknown; then there is only one account.
fn are_of_one_place(one: &Row, other: &Row) -> bool {
    let accounts = one.account.as_ref().zip(other.account.as_ref());
    one.region == other.region && accounts.is_none_or(|(one, other)| one == other)
}

/// The account of the streams; `None` if no stream could be described.
pub(super) fn account(rows: &[Row]) -> Option<&str> {
    rows.iter().find_map(|row| row.account.as_deref())
}

fn count(rows: &[Row], status: Status) -> usize {
    rows.iter().filter(|row| row.status == status).count()
}

/// One line per stream, with its warnings and its remedy below, and the number of streams by
/// status.
fn table(rows: &[Row], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let headings = ["stream", "state", "current key", "configured key", "decision"];
    let cells: Vec<[String; 5]> = rows
        .iter()
        .map(|row| {
            [
                row.stream.clone(),
                row.state.clone().unwrap_or_else(|| "–".to_owned()),
                short_key(row.current_key.as_deref()),
                short_key(row.configured_key.as_deref()),
                row.status.as_str().to_owned(),
            ]
        })
        .collect();
    let width = |column: usize| {
        cells.iter().map(|row| row[column].chars().count()).chain([headings[column].len()]).max().unwrap_or_default()
    };
    let widths = [0, 1, 2, 3, 4].map(width);
    write!(f, "  {DIM}")?;
    for (heading, width) in headings.iter().zip(widths) {
        write!(f, "{heading:<width$}  ")?;
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
    let counts = Status::ALL.map(|status| (count(rows, status), status));
    let total = counted(rows.len(), "stream");
    write!(f, "\n{BOLD}{total}: {} to change{BOLD:#}", count(rows, Status::WouldEncrypt))?;
    for (count, status) in counts {
        if count > 0 && status != Status::WouldEncrypt {
            write!(f, ", {count} {}", status.as_str())?;
        }
    }
    Ok(())
}
