//! `enforcer report`: gives an auditor, or a system of theirs, the encryption of every stream: as a
//! table, JSON, CSV, findings in ASFF or OCSF, or an HTML page.

use std::fs;
use std::path::Path;

use anyhow::{Result, anyhow, bail};

use super::Selection;
use super::asff::{self, Batch};
use super::finding::{Finding, findings};
use super::html;
use super::import::import;
use super::ocsf;
use super::plan::Plan;
use super::posture::{FleetReport, VERSION};
use super::row::Row;
use super::scope::{Scope, Surveyed};
use super::since::{Changes, EarlierReport};
use super::table::View;
use crate::cli::input;
use crate::cli::paint::{
    WIDTH_OF_FILE, counted, print_error, print_line, print_warning, width, without_colours, wrapped,
};
use crate::cli::{FAILED, SUCCESS, visible};
use crate::domain::outcome::Status;

#[derive(Debug, clap::Args)]
#[command(after_help = "The command only reads, unless --import is passed. \
The report has one row per stream: its current key, its configured key, the decision and the reason.\n\
\nExit codes:\n  \
0  the report is complete\n  \
1  an account or a Region is not in the report, the report cannot be written,\n     \
or a finding was not imported;\n     \
with --fail-on non-compliant, also if a stream is neither encrypted as configured nor exempt\n  \
2  the usage or the settings are wrong, or AWS cannot be reached\n\n\
Examples:\n  \
enforcer report --sandbox\n  \
enforcer report --sandbox --access --format html --output report.html\n  \
enforcer report --format csv --function kinesis-enforcer --accounts all > streams.csv\n  \
enforcer report --key alias/streams --region all --format html --output report.html\n  \
enforcer report --format json --profile prod --output today.json --since yesterday.json\n  \
enforcer report --import --function kinesis-enforcer --accounts all --since yesterday.json")]
pub(crate) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// The format of the report.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Exit with 1 if a stream is not as configured.
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = FailOn::Never)]
    fail_on: FailOn,
    /// Write the report to this file instead of standard output. ASFF findings are written to
    /// several files like it, such as findings-us-east-1-001.json, if they do not fit into one call
    /// of `BatchImportFindings`.
    #[arg(long, value_name = "FILE")]
    output: Option<String>,
    /// Show what changed since the report in this file, which was written with --format json.
    #[arg(long, value_name = "FILE")]
    since: Option<String>,
    /// Show who uses each stream, and who may use the key that it is to have, as `access` does: in
    /// the formats table, json, csv and html.
    #[arg(long, conflicts_with = "import")]
    access: bool,
    /// Import the findings into Security Hub (securityhub:BatchImportFindings), instead of writing
    /// a report.
    #[arg(long, conflicts_with_all = ["format", "output"])]
    import: bool,
    /// Import without a prompt.
    #[arg(long, requires = "import")]
    yes: bool,
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
    /// Events of the Open Cybersecurity Schema Framework 1.6.0, class Compliance Finding.
    Ocsf,
    /// A single HTML page that works offline.
    Html,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<u8> {
    if arguments.access && matches!(arguments.format, Format::Asff | Format::Ocsf) {
        bail!("--access has no place in findings: use --format table, json, csv or html");
    }
    // A file that is not a report is refused before AWS is asked.
    let earlier = arguments.since.as_deref().map(EarlierReport::read).transpose()?;
    let opened = arguments.selection.opened(false).await?;
    let (survey, made_at, targets) = Box::pin(arguments.selection.survey(&opened, arguments.access)).await?;
    let is_fine = |row: &Row| row.is_encrypted_as_configured() || matches!(row.status, Status::Exempt | Status::Gone);
    let has_failed = arguments.fail_on == FailOn::NonCompliant && !survey.rows.iter().all(is_fine);
    let code = if survey.failed_regions.is_empty() && !has_failed { SUCCESS } else { FAILED };
    // Not every format has a place for them.
    if arguments.import || !matches!(arguments.format, Format::Table) {
        for failed in &survey.failed_regions {
            print_error(&visible::visible(failed));
        }
    }
    let surveyed = Surveyed::all(targets, &arguments.selection, &survey).await;
    let scopes: Vec<Scope> = surveyed.iter().map(|place| place.scope.clone()).collect();
    let changes = earlier.map(|earlier| Changes::between(&earlier, &survey, &scopes, made_at)).transpose()?;
    if let Some(note) = changes.as_ref().and_then(Changes::note)
        && !matches!(arguments.format, Format::Table | Format::Html)
    {
        print_warning(&note);
    }
    let report = FleetReport { made_at, survey, scopes, changes, with_users: arguments.access };
    if arguments.import {
        let batches = asff::batches(&findings_of(&report), report.made_at);
        let imported = Box::pin(import(&batches, &surveyed, arguments.yes)).await?;
        return Ok(code.max(imported));
    }
    let text = match arguments.format {
        Format::Table => {
            let made_at = report.time();
            let width = if arguments.output.is_some() { WIDTH_OF_FILE } else { width() };
            let changes = report.changes.map(|changes| format!("\n{}", changes.table(width))).unwrap_or_default();
            // An auditor wants to see every stream.
            let table = Plan(report.survey).table(View { width, all: true });
            let generated = format!("generated at {made_at} by kinesis-encryption-enforcer {VERSION}");
            format!("{table}{changes}\n{}\n", wrapped(&generated, width, "  ").join("\n"))
        }
        Format::Json => visible::json(&report.json()),
        Format::Csv => report.csv()?,
        Format::Asff => {
            let batches = asff::batches(&findings_of(&report), report.made_at);
            return write_findings(&batches, arguments.output.as_deref()).map(|()| code);
        }
        Format::Ocsf => visible::json(&ocsf::events(&findings_of(&report), report.made_at)),
        Format::Html => html::page(&report),
    };
    match &arguments.output {
        Some(file) => write(file, &text)?,
        None => print_line(text.trim_end()),
    }
    Ok(code)
}

/// The findings of the report, and a warning if there is a stream without one.
fn findings_of(report: &FleetReport) -> Vec<Finding> {
    let without = report.survey.rows.iter().filter(|row| row.arn.is_none()).count();
    if without > 0 {
        print_warning(&format!("no finding for {}: the ARN is not known", counted(without, "stream")));
    }
    findings(report)
}

fn write(file: &str, text: &str) -> Result<()> {
    fs::write(file, without_colours(text))
        .map_err(|error| anyhow!("cannot write the report to {file}: {}", input::reason(&error)))
}

/// Writes the findings to `output`, or to a file like it for each batch if there are several.
fn write_findings(batches: &[Batch], output: Option<&str>) -> Result<()> {
    let Some(output) = output else {
        let findings: Vec<_> = batches.iter().flat_map(|batch| &batch.findings).collect();
        if batches.len() > 1 {
            print_warning(&format!(
                "BatchImportFindings accepts at most {} findings, of one account and Region: \
                 pass --output FILE to write {}",
                asff::MOST_FINDINGS,
                counted(batches.len(), "file")
            ));
        }
        print_line(&visible::json(&findings));
        return Ok(());
    };
    if let [] | [_] = batches {
        let findings = batches.first().map(|batch| batch.findings.as_slice()).unwrap_or_default();
        return write(output, &visible::json(&findings));
    }
    for (file, batch) in file_names(output, batches).iter().zip(batches) {
        write(file, &visible::json(&batch.findings))?;
        let Batch { account, region, findings } = batch;
        print_line(&format!("{file}: {} of account {account} in {region}", counted(findings.len(), "finding")));
    }
    Ok(())
}

/// The name of the file of each batch: `findings.json` becomes `findings-us-east-1-001.json`, with
/// the account before the Region if there are several accounts.
fn file_names(output: &str, batches: &[Batch]) -> Vec<String> {
    let has_accounts = batches.iter().any(|batch| batch.account != batches[0].account);
    let path = Path::new(output);
    let extension = path.extension().and_then(|extension| extension.to_str());
    let stem = extension.map_or(output, |extension| &output[..output.len() - extension.len() - 1]);
    let extension = extension.map(|extension| format!(".{extension}")).unwrap_or_default();
    let mut names = Vec::new();
    for of_place in batches.chunk_by(|one, other| (&one.account, &one.region) == (&other.account, &other.region)) {
        for (index, Batch { account, region, .. }) in of_place.iter().enumerate() {
            let account = if has_accounts { format!("-{account}") } else { String::new() };
            names.push(format!("{stem}{account}-{region}-{:03}{extension}", index + 1));
        }
    }
    names
}
