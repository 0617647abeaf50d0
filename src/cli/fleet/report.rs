//! `enforcer report`: the fleet's posture, for auditors: as a table, JSON, CSV, ASFF findings, or
//! one HTML file.

use std::fs;

use anyhow::{Context, Result};

use super::Selection;
use super::html;
use super::plan::Plan;
use super::posture::{Report, VERSION};
use crate::cli::SETTLED;
use crate::cli::paint::say;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "It only reads. Every stream is one row: what it has, what it is to have, and why it is as it is.\n\n\
Examples:\n  enforcer report --sandbox\n  enforcer report --sandbox --format html --output report.html\n  enforcer report --format csv --profile prod > streams.csv"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// How it is written.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// The file to write it to, in place of standard output.
    #[arg(long)]
    output: Option<String>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    /// For the terminal.
    Table,
    /// Everything.
    Json,
    /// A line per stream, for spreadsheets.
    Csv,
    /// Findings in the AWS Security Finding Format, for Security Hub's `BatchImportFindings`.
    Asff,
    /// One file that needs no network, for people.
    Html,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<u8> {
    let mut rows = Vec::new();
    let mut made_at = None;
    for place in arguments.selection.places(false).await? {
        rows.extend(Box::pin(place.survey(&arguments.selection)).await?);
        made_at = Some(place.clock.utc());
    }
    let report = Report { made_at: made_at.unwrap_or_default(), rows };
    let text = match arguments.format {
        Format::Table => {
            let made_at = report.time();
            format!("{}\nmade at {made_at} by kinesis-encryption-enforcer {VERSION}", Plan(report.rows))
        }
        Format::Json => format!("{:#}", report.json()),
        Format::Csv => report.csv()?,
        Format::Asff => format!("{:#}", report.asff()),
        Format::Html => html::page(&report),
    };
    match &arguments.output {
        Some(file) => fs::write(file, text).with_context(|| format!("{file} cannot be written"))?,
        None => say(text.trim_end()),
    }
    Ok(SETTLED)
}
