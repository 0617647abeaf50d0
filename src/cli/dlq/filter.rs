//! Which dead letters a command works on.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::dead_letter::ShownDeadLetter;
use crate::cli::input;

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
    pub(super) fn select<'a>(
        &self,
        dead_letters: &'a [ShownDeadLetter],
        now: DateTime<Utc>,
    ) -> Vec<&'a ShownDeadLetter> {
        dead_letters.iter().filter(|dead_letter| self.matches(dead_letter, now)).collect()
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
