//! `enforcer dlq show`: one dead letter in full, with the event in its body.

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use textwrap::{Options, WordSplitter, wrap};

use super::dead_letter::{ShownDeadLetter, age_text};
use super::{CommandResult, Session};
use crate::cli::SUCCESS;
use crate::cli::paint::{BOLD, DIM, counted, print_line, print_text, width};
use crate::cli::visible::{json as visible_json, visible};

/// The columns of the names before the values.
const NAMES: usize = 12;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The message ID, or its first characters.
    id: String,
    /// Print the dead letter as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(
    session: &Session,
    Arguments { id, json }: &Arguments,
    dead_letters: &[ShownDeadLetter],
    connection: &str,
) -> Result<CommandResult> {
    let matches = |dead_letter: &&ShownDeadLetter| dead_letter.id.starts_with(id.as_str());
    match dead_letters.iter().filter(matches).collect::<Vec<_>>()[..] {
        [dead_letter] if *json => print_line(&visible_json(dead_letter)),
        [dead_letter] => print(dead_letter, session.clock.utc(), connection),
        [] => bail!("no message has an ID that starts with {id:?}: list the messages with enforcer dlq list"),
        ref several => bail!("{} messages have IDs that start with {id:?}: pass more of the ID", several.len()),
    }
    Ok(CommandResult::read_only(SUCCESS))
}

/// `connection` is the options for a command about the same queue.
fn print(dead_letter: &ShownDeadLetter, now: DateTime<Utc>, connection: &str) {
    let sent = dead_letter.sent.map_or_else(
        || "unknown".to_owned(),
        |sent| format!("{}, {} ago", sent.to_rfc3339(), age_text(dead_letter.age(now))),
    );
    let request = dead_letter.request_id.as_deref().map(|id| ("request", id));
    for (name, value) in [("id", dead_letter.id.as_str()), ("sent", &sent), ("written by", dead_letter.sender_text())]
        .into_iter()
        .chain(request)
        .chain([
            ("stream", dead_letter.stream.as_deref().unwrap_or("none: the dead letter concerns the whole event")),
            ("code", &dead_letter.code),
            ("class", &dead_letter.class),
            ("message", &dead_letter.message),
            ("remedy", &dead_letter.remedy_text()),
            ("received", &counted(usize::try_from(dead_letter.receives).unwrap_or(usize::MAX), "time")),
        ])
    {
        // An ARN or an ID stays whole, so that it can be copied.
        let options = Options::new(width() - NAMES).break_words(false).word_splitter(WordSplitter::NoHyphenation);
        let value = wrap(&visible(value), options).join(&format!("\n{:NAMES$}", ""));
        print_line(&format!("{BOLD}{name:<11}{BOLD:#} {value}"));
    }
    for (name, value) in &dead_letter.received_message.attributes {
        print_text(&format!("{DIM}attribute  {DIM:#} {} = {}", visible(name), visible(value)));
    }
    print_line(&format!("{BOLD}body{BOLD:#}"));
    print_line(&visible_json(&dead_letter.body));
    print_text(&format!("{DIM}To redrive it, or with --here to process it in this terminal:{DIM:#}"));
    // In one line, so that it can be copied.
    print_line(&format!("  enforcer dlq redrive {}{connection}", visible(dead_letter.short_id())));
}
