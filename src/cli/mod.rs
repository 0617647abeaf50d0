//! The terminal program `enforcer`, for people who run the enforcer or want to try it.
//!
//! | to | run |
//! | --- | --- |
//! | see the enforcer at work, without an AWS account | `demo` |
//! | see what would change in an account, and change it | `plan`, `apply` |
//! | see who would lose access to a stream | `access` |
//! | give an auditor the encryption of all streams | `report` |
//! | reproduce what the function does with an event | `event` |
//! | find out what failed, and retry it | `dlq` |
//! | check a policy before it is deployed | `policy` |
//! | point another program at a sandbox account | `sandbox` |
//!
//! The commands call the code of the Lambda function and read the same environment variables.
//! Credentials and Region come from where the AWS CLI finds them
//! (<https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html>).

mod credentials;
mod demo;
mod dlq;
mod event;
mod fleet;
mod function_settings;
mod input;
mod interrupt;
mod man;
mod paint;
mod policy;
mod progress;
mod remedy;
mod sandbox;
mod sandbox_account;
mod visible;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde_json::Value;

use self::paint::{note, print_error, print_line, unwritten};

/// Every stream is encrypted as configured, exempt or gone, or there is nothing to do.
const SUCCESS: u8 = 0;
/// Something failed, is deferred or contested, a key was denied to a principal, or is at risk.
const FAILED: u8 = 1;
/// The arguments, the settings or the input are wrong.
const USAGE: u8 = 2;
/// Changes are pending: there is something to do, and it was not done.
const PENDING: u8 = 3;
/// Both [`FAILED`] and [`PENDING`], for a caller that asked for the difference.
const FAILED_AND_PENDING: u8 = 4;

/// The version; in a release build also the commit and its date. `build.rs` provides it.
const VERSION: &str = env!("ENFORCER_VERSION");

/// Keep every Kinesis data stream encrypted with the configured KMS key.
///
/// Run the code of the Lambda function from a terminal. Settings come from the same environment
/// variables as for the function, such as `KMS_KEY_ID`.
#[derive(Debug, Parser)]
#[command(
    name = "enforcer",
    version = VERSION,
    after_help = "Exit codes:\n  \
0  success, or nothing to do\n  \
1  something failed, is deferred or contested, a key is at risk or was denied, or the output cannot be written\n  \
2  the usage, the settings or the input are wrong, or AWS cannot be reached\n  \
3  changes are pending\n  \
4  plan --detailed-exitcode: both 1 and 3\n\
130  apply or dlq redrive was interrupted\n\n\
Examples:\n  \
enforcer demo\n  \
enforcer plan --sandbox\n  \
enforcer report --sandbox --format html --output report.html\n  \
enforcer event events/stream-created.json --sandbox\n  \
echo '{\"stream\": \"orders\"}' | enforcer event - --key alias/streams --dry-run\n  \
enforcer dlq list --sandbox\n  \
enforcer policy check policy.json\n  \
enforcer sandbox --port 4566"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the enforcer at work in a sandbox, in ten seconds and without an AWS account.
    Demo,
    /// Show what `apply` would change on each stream, and why; never write.
    Plan(fleet::plan::Arguments),
    /// Show who uses the streams, and whether they may use the keys; never write.
    Access(fleet::access::Arguments),
    /// Encrypt the streams listed by `plan`.
    Apply(fleet::apply::Arguments),
    /// Report the encryption of every stream as a table, JSON, CSV, ASFF findings or an HTML page.
    Report(fleet::report::Arguments),
    /// Run the handler on an event, as Lambda would.
    Event(event::Arguments),
    /// List, show, redrive or purge dead letters.
    Dlq(dlq::Arguments),
    /// Check a policy, or explain what it does with a stream; works offline.
    #[command(subcommand)]
    Policy(policy::Command),
    /// Print shell completions.
    Completions {
        /// The shell to print completions for.
        shell: clap_complete::Shell,
    },
    /// Print the man page, or write the man pages of all commands into a folder.
    Man(man::Arguments),
    /// Serve a sandbox AWS account on 127.0.0.1 until Ctrl-C.
    Sandbox(sandbox::Arguments),
}

/// Runs the terminal program and returns its exit code.
pub async fn main() -> ExitCode {
    let code = match Arguments::try_parse() {
        Ok(arguments) => run(arguments.command).await,
        Err(error) if error.use_stderr() => {
            drop(error.print());
            USAGE
        }
        // clap reports help and version as errors, but prints them to standard output.
        Err(help) => {
            note(help.print());
            SUCCESS
        }
    };
    let Some(unwritten) = unwritten() else { return ExitCode::from(code) };
    print_error(&unwritten);
    ExitCode::from(if matches!(code, SUCCESS | PENDING) { FAILED } else { code })
}

async fn run(command: Command) -> u8 {
    let result = match command {
        Command::Demo => Box::pin(demo::run()).await.map(|()| SUCCESS).map_err(|error| (FAILED, error)),
        Command::Plan(arguments) => Box::pin(fleet::plan::run(&arguments)).await.map_err(|error| (USAGE, error)),
        Command::Access(arguments) => Box::pin(fleet::access::run(&arguments)).await.map_err(|error| (USAGE, error)),
        Command::Apply(arguments) => Box::pin(fleet::apply::run(&arguments)).await.map_err(|error| (USAGE, error)),
        Command::Report(arguments) => Box::pin(fleet::report::run(&arguments)).await.map_err(|error| (USAGE, error)),
        Command::Event(arguments) => Box::pin(event::run(&arguments)).await.map_err(|error| (USAGE, error)),
        Command::Dlq(arguments) => Box::pin(dlq::run(&arguments)).await.map_err(|error| (USAGE, error)),
        Command::Policy(command) => policy::run(&command).map_err(|error| (USAGE, error)),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(
                shell,
                &mut <Arguments as clap::CommandFactory>::command(),
                "enforcer",
                &mut script,
            );
            print_line(String::from_utf8_lossy(&script).trim_end());
            Ok(SUCCESS)
        }
        Command::Man(arguments) => man::run(&arguments).map(|()| SUCCESS).map_err(|error| (FAILED, error)),
        Command::Sandbox(arguments) => sandbox::run(&arguments).await.map(|()| SUCCESS).map_err(|error| (USAGE, error)),
    };
    result.unwrap_or_else(|(code, error)| {
        print_error(&format!("{error:#}"));
        code
    })
}

/// The exit code for an answer, by the worst status in its summary.
fn exit_code(answer: &Value) -> u8 {
    let count = |status: &str| answer["summary"][status].as_u64().unwrap_or_default();
    if ["failed", "deferred", "contested", "access-denied", "key-at-risk"].map(count).iter().sum::<u64>() > 0 {
        FAILED
    } else if count("would-encrypt") > 0 {
        PENDING
    } else {
        SUCCESS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_worst_outcome_decides_the_exit_code() {
        for (summary, code) in [
            (json!({}), SUCCESS),
            (json!({"encrypted": 2, "exempt": 1, "gone": 1}), SUCCESS),
            (json!({"compliant": 9, "would-encrypt": 1}), PENDING),
            (json!({"would-encrypt": 1, "failed": 1}), FAILED),
            (json!({"contested": 1}), FAILED),
            (json!({"access-denied": 1}), FAILED),
        ] {
            assert_eq!(exit_code(&json!({"summary": summary})), code);
        }
    }

    #[test]
    fn the_definition_of_the_arguments_is_valid() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }

    /// The words of a command in a document or in a help text, up to a pipe, a redirection or a
    /// comment.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut quoted) = (vec![String::new()], false);
        for character in line.chars() {
            match character {
                '\'' => quoted = !quoted,
                '|' | '>' | '#' if !quoted => break,
                ' ' if !quoted => words.push(String::new()),
                other => words.iter_mut().last().into_iter().for_each(|word| word.push(other)),
            }
        }
        words.retain(|word| !word.is_empty());
        words
    }

    /// Every example in the help of `command` and its subcommands.
    fn examples(command: &clap::Command) -> Vec<String> {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let of_help = help.split_once("Examples:").map(|(_, examples)| examples.to_owned()).unwrap_or_default();
        let own = of_help.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty());
        own.chain(command.get_subcommands().flat_map(examples)).collect()
    }

    #[test]
    fn every_example_in_a_help_text_and_every_command_in_a_document_is_one_that_the_program_takes() {
        let of_help = examples(&<Arguments as clap::CommandFactory>::command());
        assert!(of_help.len() > 30, "{of_help:?}");
        let documents = [
            include_str!("../../README.md"),
            include_str!("../../docs/ACCESS.md"),
            include_str!("../../docs/ACCOUNTS.md"),
            include_str!("../../docs/contributing/EMULATORS.md"),
            include_str!("../../docs/REFERENCE.md"),
            include_str!("../../docs/POLICY.md"),
            include_str!("../../docs/REPORTS.md"),
            include_str!("../../docs/ROLLOUT.md"),
            include_str!("../../docs/RUNBOOK.md"),
        ];
        let lines = documents.iter().flat_map(|document| document.lines()).map(|line| {
            let line = line.trim();
            line.strip_prefix("cargo run -- ").map_or_else(|| line.to_owned(), |rest| format!("enforcer {rest}"))
        });
        let in_documents: Vec<_> = lines.filter(|line| line.starts_with("enforcer ")).collect();
        assert!(in_documents.len() > 20, "{in_documents:?}");
        for line in of_help.into_iter().chain(in_documents) {
            // What stands before the pipe provides the input, or is another program's part.
            let Some(at) = line.find("enforcer ") else { continue };
            let parsed = Arguments::try_parse_from(words(&line[at..]));
            assert!(parsed.is_ok(), "{line}: {}", parsed.err().map(|error| error.to_string()).unwrap_or_default());
        }
    }
}
