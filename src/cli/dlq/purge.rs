//! `enforcer dlq purge`: deletes dead letters that are not needed any more, after a prompt.

use anyhow::{Result, bail};

use super::dead_letter::ShownDeadLetter;
use super::filter::Filter;
use super::{CommandResult, Session, list};
use crate::cli::paint::{DIM, confirm, counted, print_error, print_line, print_text};
use crate::cli::visible::visible;
use crate::cli::{FAILED, SUCCESS};

#[derive(Debug, clap::Args)]
#[command(after_help = "The command lists the selected messages, prompts, and deletes them. \
They cannot be restored, and what they ask for is not done: \
a stream that failed stays as it is until the next event or sweep.\n\
Several filters select the messages that match all of them. Without a filter, pass --all.\n\n\
Examples:\n  \
enforcer dlq purge 3f1c\n  \
enforcer dlq purge --code UnknownPayload --older-than 7d\n  \
enforcer dlq purge --all --yes")]
pub(super) struct Arguments {
    #[command(flatten)]
    filter: Filter,
    /// Select all messages if no filter is given.
    #[arg(long)]
    all: bool,
    /// Delete without a prompt.
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(
    session: &Session,
    Arguments { filter, all, yes }: &Arguments,
    dead_letters: &[ShownDeadLetter],
) -> Result<CommandResult> {
    if filter.is_empty() && !all {
        bail!("no messages selected: specify an ID, a filter (--stream, --code, --class, --older-than) or --all");
    }
    let now = session.clock.utc();
    let (selected, matches_nothing) = filter.select_some(dead_letters, now);
    if matches_nothing {
        return Ok(CommandResult::read_only(FAILED));
    }
    list::print(&selected, dead_letters.len(), now);
    if selected.is_empty() {
        return Ok(CommandResult::read_only(SUCCESS));
    }
    let action = format!("delete {}", counted(selected.len(), "message"));
    if !yes && !confirm(&action, "This cannot be undone.")? {
        print_line("nothing was deleted");
        return Ok(CommandResult::read_only(FAILED));
    }
    let mut deleted = Vec::new();
    for dead_letter in &selected {
        match session.queue.delete(&dead_letter.received_message).await {
            Ok(()) => deleted.push(dead_letter.id.clone()),
            Err(error) => {
                print_error(&format!("cannot delete message {}: {}", dead_letter.short_id(), visible(&error.failure)));
            }
        }
    }
    print_text(&format!("{DIM}deleted {}{DIM:#}", counted(deleted.len(), "message")));
    Ok(CommandResult { exit_code: if deleted.len() == selected.len() { SUCCESS } else { FAILED }, deleted })
}
