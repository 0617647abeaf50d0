//! `enforcer dlq list`: what failed, and what to do about it, one line per dead letter.

use super::dead_letter::{ShownDeadLetter, age_text};
use super::filter::Filter;
use super::{CommandResult, Session};
use crate::cli::paint::{BOLD, DIM, counted, print_line};
use crate::cli::{FAILED, SUCCESS, visible};
use chrono::{DateTime, Utc};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    filter: Filter,
    /// Print the dead letters as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(session: &Session, arguments: &Arguments, dead_letters: &[ShownDeadLetter]) -> CommandResult {
    let now = session.clock.utc();
    let (selected, matches_nothing) = arguments.filter.select_some(dead_letters, now);
    if arguments.json {
        print_line(&visible::json(&selected));
    } else if !matches_nothing {
        print(&selected, dead_letters.len(), now);
    }
    CommandResult::read_only(if matches_nothing { FAILED } else { SUCCESS })
}

/// Prints the `selected` ones of `received` messages as a table.
pub(super) fn print(selected: &[&ShownDeadLetter], received: usize, now: DateTime<Utc>) {
    let width = |heading: &str, cell: fn(&ShownDeadLetter) -> String| {
        let cells = selected.iter().map(|dead_letter| cell(dead_letter));
        cells.chain([heading.to_owned()]).map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let subject = width("STREAM", ShownDeadLetter::subject);
    let code = width("CODE", ShownDeadLetter::code_text);
    if !selected.is_empty() {
        print_line(&format!("{DIM}{:<8}  {:>4}  {:<subject$}  {:<code$}  CLASS{DIM:#}", "ID", "AGE", "STREAM", "CODE"));
    }
    for dead_letter in selected {
        print_line(&format!(
            "{BOLD}{}{BOLD:#}  {:>4}  {:<subject$}  {:<code$}  {}",
            dead_letter.short_id(),
            age_text(dead_letter.age(now)),
            dead_letter.subject(),
            dead_letter.code_text(),
            visible::visible(&dead_letter.class)
        ));
        print_line(&format!("{:>14}  {DIM}{}{DIM:#}", "", visible::visible(&dead_letter.remedy_text())));
    }
    let matching = if selected.len() == received { String::new() } else { format!(", {} selected", selected.len()) };
    print_line(&format!("{DIM}{} received{matching}{DIM:#}", counted(received, "message")));
}
