//! `enforcer access`: who uses the streams, and whether they may use the keys that the streams are
//! to have.
//!
//! The command only reads. For each stream it asks what a plan asks, and besides every source that
//! names users: other services, resource policies, `CloudTrail`. What was not read is named: then
//! users may be missing.

mod assess;
mod fix;
mod page;
mod show;
mod trail;

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Result, anyhow};
use aws_types::SdkConfig;
use clap::{Args as _, FromArgMatches as _};
use serde_json::{Value, json};

use self::assess::Assessment;
pub(super) use self::page::section;
use self::trail::TrailRead;
use super::answer::{Counts, StreamAccess};
use super::places::FailedPlace;
use super::row::Row;
use super::{Selection, Target};
use crate::access::Users;
use crate::cli::input::whole_number;
use crate::cli::paint::{counted, print_line, print_warning, width};
use crate::cli::{FAILED, PENDING, SUCCESS, visible};
use crate::clock::Clock;
use crate::domain::outcome::Status;
use crate::settings::Environment;

#[derive(Debug, clap::Args)]
#[command(after_help = "The command only reads. \
Kinesis calls KMS with its callers' permissions: producers need kms:GenerateDataKey, consumers need kms:Decrypt. \
docs/ACCESS.md lists what the command reads, what it cannot see, and the permissions that it needs.\n\n\
Exit codes:\n  \
0  every known user of the streams may use their keys\n  \
1  a stream, an account or a Region failed\n  \
2  the usage or the settings are wrong, or AWS cannot be reached\n  \
3  a user would lose access, or it is not known: an answer is unknown, or a source was not read\n\n\
Examples:\n  \
enforcer access --sandbox\n  \
enforcer access orders --key alias/streams --profile prod\n  \
enforcer access orders --fix\n  \
enforcer access orders --fix terraform > grant.tf\n  \
enforcer access --trail exported/ --json")]
pub(crate) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// Read exported CloudTrail files, too: .json and .json.gz, or folders of them.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    trail: Vec<PathBuf>,
    /// Read this many days of CloudTrail's event history of the keys in use: 0 to 90.
    #[arg(long, value_name = "DAYS", default_value_t = DAYS, value_parser = whole_number(0..=90_u8))]
    days: u8,
    /// Print the answers as JSON.
    #[arg(long, conflicts_with = "fix")]
    json: bool,
    /// Print the least statements that would allow what is missing, instead of the answers.
    #[arg(long, value_enum, value_name = "FORMAT", num_args = 0..=1, default_missing_value = "json")]
    fix: Option<Format>,
}

/// The format of the statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Policies of IAM, as JSON.
    Json,
    /// Data sources `aws_iam_policy_document`, as Terraform.
    Terraform,
}

/// The answers for all selected streams.
#[derive(Default)]
pub(crate) struct Answers {
    streams: Vec<StreamAccess>,
    /// The sources that were not read.
    not_read: BTreeSet<String>,
    failed_regions: Vec<FailedPlace>,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<u8> {
    let mut answers = Answers::default();
    let mut recorded = Users::default();
    if !arguments.trail.is_empty() {
        let TrailRead { files, records, uses, not_read } = trail::read(&arguments.trail, |used| recorded.record(used));
        answers.not_read.extend(not_read);
        if uses == 0 && records > 0 {
            answers.not_read.insert(format!(
                "--trail: none of the {} in {} uses a stream; a trail records PutRecord and GetRecords only as data \
                 events",
                counted(usize::try_from(records).unwrap_or(usize::MAX), "record"),
                counted(files, "file")
            ));
        }
    }
    let places = arguments.selection.opened(false).await?;
    answers.ask(arguments, &places, &recorded).await?;
    match (arguments.fix, arguments.json) {
        (Some(format), _) => {
            let fixes = answers.fixes();
            for note in &fixes.notes {
                print_warning(&visible::visible(note));
            }
            print_line(&match format {
                Format::Json => visible::json(&fixes.json()),
                Format::Terraform => fixes.terraform(),
            });
        }
        (None, true) => print_line(&visible::json(&answers.json())),
        (None, false) => print_line(&answers.table(width())),
    }
    Ok(answers.exit_code())
}

/// The answers of `enforcer access STREAM` for the account and Region of `config`.
///
/// # Errors
/// The settings are wrong, or the account does not answer.
pub(crate) async fn answers_in(
    stream: &str,
    environment: &Environment,
    config: &SdkConfig,
    clock: &Clock,
) -> Result<Answers> {
    let command = Arguments::augment_args(clap::Command::new("access"));
    let arguments = Arguments::from_arg_matches(&command.try_get_matches_from(["access", stream])?)?;
    let places = [Ok(Target::in_account(environment, config, clock, None, false).await?)];
    let mut answers = Answers::default();
    answers.ask(&arguments, &places, &Users::default()).await?;
    Ok(answers)
}

/// How many days of the event history are read where nobody says how many.
const DAYS: u8 = 7;

/// Adds their users to the rows of one place for which `is_asked` holds. Returns what was not read.
pub(super) async fn add_users(
    target: &Target,
    selection: &Selection,
    rows: &mut [Row],
    several: bool,
    is_asked: impl Fn(&Row) -> bool,
) -> Vec<String> {
    let asked: Vec<Row> = rows.iter().filter(|row| is_asked(row)).cloned().collect();
    if asked.is_empty() {
        return Vec::new();
    }
    if target.member().is_some() {
        return vec![format!("the users of streams in {}: {OF_MEMBERS}", target.failed(&anyhow!(OF_MEMBERS)).place())];
    }
    let assessment = Assessment { target, selection, days: DAYS, several };
    let (streams, not_read) = Box::pin(assessment.run(asked, Users::default())).await;
    for row in rows {
        let is_it = |stream: &&StreamAccess| stream.stream == row.stream && stream.arn == row.arn;
        row.access = streams.iter().find(is_it).cloned();
    }
    not_read
}

/// Why the users of streams in member accounts are not read.
const OF_MEMBERS: &str = "the function's role in a member account may not read who uses its streams: pass \
                          --assume-role ARN with a role of that account, without --accounts";

impl Answers {
    /// Adds what is found in `places`; `recorded` is what exported records show.
    async fn ask(
        &mut self,
        arguments: &Arguments,
        places: &[Result<Target, FailedPlace>],
        recorded: &Users,
    ) -> Result<()> {
        let selection = &arguments.selection;
        let several = places.len() > 1;
        let mut assessed = Vec::new();
        for place in selection.survey_each(places).await? {
            assessed.push(match place {
                Err(failed) => Err(failed),
                Ok((target, _)) if target.member().is_some() => Err(target.failed(&anyhow!(OF_MEMBERS))),
                Ok((target, survey)) => {
                    let assessment = Assessment { target, selection, days: arguments.days, several };
                    Ok(Box::pin(assessment.run(survey.rows, recorded.clone())).await)
                }
            });
        }
        for place in selection.some_answered(assessed)? {
            match place {
                Ok((streams, not_read)) => {
                    self.streams.extend(streams);
                    self.not_read.extend(not_read);
                }
                Err(failed) => self.failed_regions.push(failed),
            }
        }
        Ok(())
    }

    /// The statements that would allow what is missing.
    fn fixes(&self) -> fix::Fixes {
        fix::Fixes::of(&self.streams)
    }

    /// What `--fix` prints.
    pub(crate) fn fix(&self) -> Value {
        self.fixes().json()
    }

    fn counts(&self) -> Counts {
        Counts::of(self.streams.iter().flat_map(|stream| &stream.users))
    }

    pub(crate) fn exit_code(&self) -> u8 {
        let Counts { no, unknown, .. } = self.counts();
        if !self.failed_regions.is_empty() || self.streams.iter().any(|stream| stream.status == Status::Failed) {
            FAILED
        } else if no + unknown + self.not_read.len() > 0 {
            PENDING
        } else {
            SUCCESS
        }
    }

    fn json(&self) -> Value {
        let Counts { no, unknown, gone, yes } = self.counts();
        json!({
            "streams": self.streams,
            "no": no,
            "unknown": unknown,
            "gone": gone,
            "yes": yes,
            "notRead": self.not_read,
            "failedRegions": self.failed_regions,
        })
    }
}
