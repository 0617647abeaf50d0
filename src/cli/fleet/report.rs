//! `enforcer report`: gives an auditor the encryption of every stream, as a table, JSON, CSV, ASFF
//! findings or an HTML page.

use std::fs;

use anyhow::{Result, anyhow};

use super::Selection;
use super::html;
use super::plan::Plan;
use super::posture::{FleetReport, VERSION};
use super::row::Row;
use super::table::View;
use crate::cli::input;
use crate::cli::paint::{WIDTH_OF_FILE, print_error, print_line, width, without_colours};
use crate::cli::{FAILED, SUCCESS, visible};
use crate::domain::outcome::Status;

#[derive(Debug, clap::Args)]
#[command(after_help = "The command only reads. \
The report has one row per stream: its current key, its configured key, the decision and the reason.\n\
\nExit codes:\n  \
0  the report is complete\n  \
1  an account or a Region is not in the report, or the report cannot be written;\n     \
with --fail-on non-compliant, also if a stream is neither encrypted as configured nor exempt\n  \
2  the usage or the settings are wrong, or AWS cannot be reached\n\n\
Examples:\n  \
enforcer report --sandbox\n  \
enforcer report --sandbox --format html --output report.html\n  \
enforcer report --format csv --function kinesis-enforcer --accounts all > streams.csv\n  \
enforcer report --key alias/streams --region all --format html --output report.html")]
pub(crate) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// The format of the report.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Exit with 1 if a stream is not as configured.
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = FailOn::Never)]
    fail_on: FailOn,
    /// Write the report to this file instead of standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
enum FailOn {
    /// The content of the report does not change the exit code.
    Never,
    /// A stream that is neither encrypted as configured nor exempt.
    NonCompliant,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    /// A table for the terminal.
    Table,
    /// JSON with all details.
    Json,
    /// CSV for spreadsheets, one line per stream.
    Csv,
    /// Findings in the AWS Security Finding Format, for `BatchImportFindings` of Security Hub.
    Asff,
    /// A single HTML page that works offline.
    Html,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<u8> {
    let (survey, made_at) = arguments.selection.survey().await?;
    let is_fine = |row: &Row| row.is_encrypted_as_configured() || matches!(row.status, Status::Exempt | Status::Gone);
    let has_failed = arguments.fail_on == FailOn::NonCompliant && !survey.rows.iter().all(is_fine);
    let code = if survey.failed_regions.is_empty() && !has_failed { SUCCESS } else { FAILED };
    // Not every format has a place for them.
    if !matches!(arguments.format, Format::Table) {
        for failed in &survey.failed_regions {
            print_error(&visible::visible(failed));
        }
    }
    let report = FleetReport { made_at, survey };
    let text = match arguments.format {
        Format::Table => {
            let made_at = report.time();
            let width = if arguments.output.is_some() { WIDTH_OF_FILE } else { width() };
            // An auditor wants to see every stream.
            let table = Plan(report.survey).table(View { width, all: true });
            format!("{table}\ngenerated at {made_at} by kinesis-encryption-enforcer {VERSION}\n")
        }
        Format::Json => visible::json(&report.json()),
        Format::Csv => report.csv()?,
        Format::Asff => visible::json(&report.asff()),
        Format::Html => html::page(&report),
    };
    match &arguments.output {
        Some(file) => fs::write(file, without_colours(&text))
            .map_err(|error| anyhow!("cannot write the report to {file}: {}", input::reason(&error)))?,
        None => print_line(text.trim_end()),
    }
    Ok(code)
}
