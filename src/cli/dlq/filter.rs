//! Which dead letters a command works on.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::dead_letter::{ShownDeadLetter, age_text};
use crate::cli::input;
use crate::cli::paint::{counted, print_error};
use crate::cli::visible::visible;
use crate::domain::text::first_of;

/// How many streams or codes an error names.
const MOST_NAMED: usize = 20;

/// Selects the dead letters that meet every given condition.
#[derive(Debug, clap::Args)]
pub(super) struct Filter {
    /// Select the messages whose IDs start with one of these; all messages if none is given.
    ids: Vec<String>,
    /// Select messages about the stream with this name or ARN.
    #[arg(long)]
    stream: Option<String>,
    /// Select messages with this error code, such as `KeyDisabled`.
    #[arg(long)]
    code: Option<String>,
    /// Select messages of this class.
    #[arg(long, value_parser = ["retryable", "terminal", "contested"])]
    class: Option<String>,
    /// Select messages older than this, such as 90s, 30m, 12h or 7d.
    #[arg(long, value_name = "AGE", value_parser = input::age)]
    older_than: Option<Duration>,
}

impl Filter {
    /// Whether no condition is given.
    pub(super) fn is_empty(&self) -> bool {
        let Self { ids, stream, code, class, older_than } = self;
        ids.is_empty() && stream.is_none() && code.is_none() && class.is_none() && older_than.is_none()
    }

    /// The dead letters that meet every condition.
    fn select<'a>(&self, dead_letters: &'a [ShownDeadLetter], now: DateTime<Utc>) -> Vec<&'a ShownDeadLetter> {
        dead_letters.iter().filter(|dead_letter| self.matches(dead_letter, now)).collect()
    }

    /// The dead letters that meet every condition, and whether there are messages but none of them
    /// does, which is then logged.
    pub(super) fn select_some<'a>(
        &self,
        dead_letters: &'a [ShownDeadLetter],
        now: DateTime<Utc>,
    ) -> (Vec<&'a ShownDeadLetter>, bool) {
        let selected = self.select(dead_letters, now);
        let matches_nothing = selected.is_empty() && !dead_letters.is_empty();
        if matches_nothing {
            let received = counted(dead_letters.len(), "message");
            let mismatches = self.mismatches(dead_letters, now).join("; ");
            print_error(&format!("the filter matches none of {received}: {mismatches}"));
        }
        (selected, matches_nothing)
    }

    /// For each condition that no message meets by itself, what there is instead.
    fn mismatches(&self, dead_letters: &[ShownDeadLetter], now: DateTime<Utc>) -> Vec<String> {
        let Self { ids, stream, code, class, older_than } = self;
        let mut lines = Vec::new();
        let has_id = |id: &&String| dead_letters.iter().any(|dead_letter| dead_letter.id.starts_with(id.as_str()));
        if !ids.iter().any(|id| has_id(&id)) {
            lines.extend(ids.iter().map(|id| format!("no message has an ID that starts with {}", visible(id))));
        }
        for (condition, option, what, value) in [
            (stream, "--stream", "stream", ShownDeadLetter::subject as fn(&ShownDeadLetter) -> String),
            (code, "--code", "code", ShownDeadLetter::code_text),
            (class, "--class", "class", |dead_letter| visible(&dead_letter.class)),
        ] {
            let Some(condition) = condition else { continue };
            let there: BTreeSet<_> = dead_letters.iter().map(value).filter(|value| !value.is_empty()).collect();
            let is_arn = || dead_letters.iter().any(|dead_letter| dead_letter.stream.as_ref() == Some(condition));
            if !(there.contains(condition) || option == "--stream" && is_arn()) {
                let there: Vec<_> = there.into_iter().collect();
                lines.push(format!("{option} {}: {}", visible(condition), instead_of(condition, what, &there)));
            }
        }
        let oldest = dead_letters.iter().map(|dead_letter| dead_letter.age(now)).max().unwrap_or_default();
        if older_than.is_some_and(|age| oldest <= age) {
            lines.push(format!("--older-than: the oldest message is {} old", age_text(oldest)));
        }
        if lines.is_empty() {
            lines.push("messages meet each of the conditions, but none matches all of them".to_owned());
        }
        lines
    }

    fn matches(&self, dead_letter: &ShownDeadLetter, now: DateTime<Utc>) -> bool {
        let Self { ids, stream, code, class, older_than } = self;
        let equals =
            |condition: &Option<String>, value: &str| condition.as_deref().is_none_or(|condition| condition == value);
        (ids.is_empty() || ids.iter().any(|id| dead_letter.id.starts_with(id.as_str())))
            && (equals(stream, &dead_letter.subject())
                || equals(stream, dead_letter.stream.as_deref().unwrap_or_default()))
            && equals(code, &dead_letter.code)
            && equals(class, &dead_letter.class)
            && older_than.is_none_or(|age| dead_letter.age(now) > age)
    }
}

/// What to write instead of `condition`, which is none of the values that are there.
fn instead_of(condition: &str, what: &str, there: &[String]) -> String {
    let all = match there {
        [] => format!("no message has a {what}"),
        [only] => format!("the {what} is {only}"),
        several => {
            let ending = if what.ends_with('s') { "es" } else { "s" };
            format!("the {what}{ending} are {}", first_of(several, MOST_NAMED))
        }
    };
    match input::nearest(condition, there.iter().map(String::as_str)) {
        Some(nearest) => format!("{all} (did you mean {nearest}?)"),
        None => all,
    }
}
