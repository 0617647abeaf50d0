//! `enforcer dlq list`: what failed, and what to do about it, one line per dead letter.

use chrono::{DateTime, Utc};
use textwrap::core::display_width;
use textwrap::wrap;

use super::dead_letter::{ShownDeadLetter, age_text};
use super::filter::Filter;
use super::{CommandResult, Session};
use crate::cli::paint::{BOLD, DIM, counted, print_line, width};
use crate::cli::{FAILED, SUCCESS, visible};

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

/// The columns of the ID and the age, with their gaps.
const BEFORE_STREAM: usize = 16;
/// The columns of the longest class, with the gap before it.
const CLASS: usize = 11;
const GAP: usize = 2;

/// Prints the `selected` ones of `received` messages as a table that fits the width.
pub(super) fn print(selected: &[&ShownDeadLetter], received: usize, now: DateTime<Utc>) {
    let width = width();
    let widest = |heading: &str, cell: fn(&ShownDeadLetter) -> String| {
        let cells = selected.iter().map(|dead_letter| display_width(&cell(dead_letter)));
        cells.chain([heading.len()]).max().unwrap_or_default()
    };
    let room = width.saturating_sub(BEFORE_STREAM + GAP + CLASS);
    let (subject, code) =
        share(room, widest("STREAM", ShownDeadLetter::subject), widest("CODE", ShownDeadLetter::code_text));
    if !selected.is_empty() {
        print_line(&format!("{DIM}{:<8}  {:>4}  {:<subject$}  {:<code$}  CLASS{DIM:#}", "ID", "AGE", "STREAM", "CODE"));
    }
    for dead_letter in selected {
        let row = format!(
            "{BOLD}{}{BOLD:#}  {:>4}  {}  {}  {}",
            dead_letter.short_id(),
            age_text(dead_letter.age(now)),
            fitted(&dead_letter.subject(), subject),
            fitted(&dead_letter.code_text(), code),
            fitted(&visible::visible(&dead_letter.class), CLASS - GAP).trim_end()
        );
        print_line(row.trim_end());
        let remedy = visible::visible(&dead_letter.remedy_text());
        for line in wrap(&remedy, width - BEFORE_STREAM) {
            print_line(&format!("{:BEFORE_STREAM$}{DIM}{line}{DIM:#}", ""));
        }
    }
    let matching = if selected.len() == received { String::new() } else { format!(", {} selected", selected.len()) };
    print_line(&format!("{DIM}{} received{matching}{DIM:#}", counted(received, "message")));
}

/// The columns of the streams and of the codes: as many as they need, or their share of `room`.
fn share(room: usize, subject: usize, code: usize) -> (usize, usize) {
    if subject + code <= room {
        return (subject, code);
    }
    let subject = subject.min(room.saturating_sub(code).max(room / 2));
    (subject, room.saturating_sub(subject).min(code))
}

/// `text` in exactly `width` columns, with an ellipsis if it is longer.
fn fitted(text: &str, width: usize) -> String {
    let mut cell = text.to_owned();
    if display_width(&cell) > width {
        while display_width(&cell) >= width.max(1) {
            cell.pop();
        }
        cell.push('…');
    }
    let padding = width.saturating_sub(display_width(&cell));
    cell.extend(std::iter::repeat_n(' ', padding));
    cell
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_share_the_room() {
        for (room, subject, code, expected) in [
            (51, 6, 20, (6, 20)),
            (31, 6, 20, (6, 20)),
            (31, 6, 48, (6, 25)),
            (31, 128, 20, (15, 16)),
            (51, 128, 20, (31, 20)),
        ] {
            assert_eq!(share(room, subject, code), expected, "{room} {subject} {code}");
        }
    }

    #[test]
    fn a_cell_has_exactly_its_width() {
        for (text, shown) in
            [("orders", "orders  "), ("clickstream", "clickst…"), ("早早早早早", "早早早… "), ("", "        ")]
        {
            assert_eq!(fitted(text, 8), shown);
        }
    }
}
