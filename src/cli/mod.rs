//! The terminal program `enforcer`.

mod demo;
mod dlq;
mod event;
mod fleet;
mod local;
mod paint;
mod policy;
mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde_json::Value;

use self::paint::warn;

/// Everything settled, was skipped, or there was nothing to do.
const SETTLED: u8 = 0;
/// Something failed, was deferred, or is contested.
const FAILED: u8 = 1;
/// The arguments, the settings or the input are wrong.
const USAGE: u8 = 2;
/// Changes are pending: a dry run or audit found something to do.
const PENDING: u8 = 3;

/// Keeps every Kinesis data stream encrypted with the configured KMS key.
///
/// The same code as the Lambda function, run from a terminal. Settings are the function's
/// environment variables.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 settled or nothing to do, 1 something failed, 2 wrong usage or settings, 3 changes are pending.\n\n\
Examples:\n  enforcer demo\n  enforcer plan --sandbox\n  enforcer report --sandbox --format html --output report.html\n  enforcer event events/stream-created.json --sandbox\n  echo '{\"stream\": \"orders\"}' | enforcer event - --key alias/streams --dry-run\n  enforcer dlq list --sandbox\n  enforcer policy check policy.json\n  enforcer sandbox --port 4566"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tell the whole story on the embedded AWS, in seconds and without an account.
    Demo,
    /// Show what would be done to each stream, and why. It cannot write.
    Plan(fleet::plan::Arguments),
    /// Bring the streams right that the plan shows.
    Apply(fleet::apply::Arguments),
    /// Write down the fleet's posture: a table, JSON, CSV, ASFF findings, or one HTML file.
    Report(fleet::report::Arguments),
    /// Run the handler on an event, as Lambda would.
    Event(event::Arguments),
    /// List, show, redrive or purge dead letters.
    Dlq(dlq::Arguments),
    /// Check a policy, or explain what it says about a stream; offline.
    #[command(subcommand)]
    Policy(policy::Command),
    /// Print the completions of a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Serve an embedded AWS account (Kinesis, KMS, SQS, SSM) on 127.0.0.1 until Ctrl-C.
    Sandbox(serve::Arguments),
}

/// Runs the terminal program, and says how it ended.
pub async fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        // Help and version are no errors; clap says which is which.
        Err(error) => {
            let wrong = error.use_stderr();
            return if error.print().is_ok() && !wrong { ExitCode::from(SETTLED) } else { ExitCode::from(USAGE) };
        }
    };
    let ended = match arguments.command {
        Command::Demo => Box::pin(demo::run()).await.map(|()| SETTLED).map_err(|error| (FAILED, error)),
        Command::Plan(arguments) => Box::pin(fleet::plan::run(&arguments)).await.map_err(|error| (USAGE, error)),
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
            paint::say(String::from_utf8_lossy(&script).trim_end());
            Ok(SETTLED)
        }
        Command::Sandbox(arguments) => serve::run(&arguments).await.map(|()| SETTLED).map_err(|error| (USAGE, error)),
    };
    match ended {
        Ok(code) => ExitCode::from(code),
        Err((code, error)) => {
            warn(&format!("{error:#}"));
            ExitCode::from(code)
        }
    }
}

/// The exit code that an answer's summary deserves.
fn exit_code(answer: &Value) -> u8 {
    let count = |status: &str| answer["summary"][status].as_u64().unwrap_or_default();
    if count("failed") + count("deferred") + count("contested") + count("key-at-risk") > 0 {
        FAILED
    } else if count("would-encrypt") > 0 {
        PENDING
    } else {
        SETTLED
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_worst_outcome_decides_the_exit_code() {
        for (summary, code) in [
            (json!({}), SETTLED),
            (json!({"encrypted": 2, "exempt": 1, "gone": 1}), SETTLED),
            (json!({"compliant": 9, "would-encrypt": 1}), PENDING),
            (json!({"would-encrypt": 1, "failed": 1}), FAILED),
            (json!({"contested": 1}), FAILED),
        ] {
            assert_eq!(exit_code(&json!({"summary": summary})), code);
        }
    }

    #[test]
    fn the_arguments_are_sound() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }
}
