//! `enforcer report`: gives an auditor the encryption of every stream, as a table, JSON, CSV, ASFF
//! findings or an HTML page.

use std::fs;

use anyhow::{Result, anyhow};

use super::html;
use super::plan::Plan;
use super::posture::{FleetReport, VERSION};
use super::{Selection, Survey};
use crate::cli::SUCCESS;
use crate::cli::input;
use crate::cli::paint::print_line;
use crate::cli::visible;

#[derive(Debug, clap::Args)]
#[command(after_help = "The command only reads. \
The report has one row per stream: its current key, its configured key, the decision and the reason.\n\
\nExit codes:\n  \
0  the report is complete\n  \
2  the usage or the settings are wrong, or AWS cannot be reached\n\n\
Examples:\n  \
enforcer report --sandbox\n  \
enforcer report --sandbox --format html --output report.html\n  \
enforcer report --format csv --profile prod > streams.csv")]
pub(crate) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// The format of the report.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Write the report to this file instead of standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<String>,
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
    let mut survey = Survey::default();
    let mut made_at = None;
    for target in arguments.selection.targets(false).await? {
        survey.extend(Box::pin(target.survey(&arguments.selection)).await?);
        made_at = Some(target.clock.utc());
    }
    let report = FleetReport { made_at: made_at.unwrap_or_default(), survey };
    let text = match arguments.format {
        Format::Table => {
            let made_at = report.time();
            format!("{}\ngenerated at {made_at} by kinesis-encryption-enforcer {VERSION}", Plan(report.survey))
        }
        Format::Json => visible::json(&report.json()),
        Format::Csv => report.csv()?,
        Format::Asff => visible::json(&report.asff()),
        Format::Html => html::page(&report),
    };
    match &arguments.output {
        Some(file) => fs::write(file, text)
            .map_err(|error| anyhow!("cannot write the report to {file}: {}", input::reason(&error)))?,
        None => print_line(text.trim_end()),
    }
    Ok(SUCCESS)
}
