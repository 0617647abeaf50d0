//! `enforcer policy`: checks a policy before it is deployed, and explains what it does with a
//! stream. Works offline.

mod check;
mod explain;
mod glob;
mod hint;
mod lint;
mod reach;
mod regex;
mod regions;

use anyhow::{Result, anyhow};

use super::input::{self, name_of};
use super::paint::print_line;
use super::visible::visible;
use super::{FAILED, PENDING, SUCCESS, USAGE};
use crate::policy::{Policy, schema};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Check policy files: print every problem with its line, column and JSON path, rules that can
    /// have no effect, and the size.
    Check(check::Arguments),
    /// Show which rule applies to a stream, why the rules before it do not match, and what the
    /// enforcer would do now.
    Explain(explain::Arguments),
    /// Print the JSON Schema of a policy, for editors.
    Schema,
}

pub(super) fn run(command: &Command) -> Result<u8> {
    match command {
        Command::Check(arguments) => Ok(check::run(arguments)),
        Command::Explain(arguments) => explain::run(arguments),
        Command::Schema => {
            print_line(&format!("{:#}", schema()));
            Ok(SUCCESS)
        }
    }
}

/// The policy in `file`.
pub(super) fn read(file: &str) -> Result<Policy> {
    let text = input::read(file)?;
    let named = |what: String| anyhow!("{}: {}", name_of(file), visible(&what));
    match hint::another_document(&text) {
        Some(document) => Err(named(document)),
        None => text.parse().map_err(|invalid: crate::policy::Invalid| named(invalid.to_string())),
    }
}
