//! What a person sees while a command waits: a line on the terminal that is cleared afterwards, or,
//! where nothing can be cleared, a line on standard error now and then. Standard output is left alone.

use std::io::IsTerminal;
use std::pin::pin;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, sleep_until};

use super::paint::print_waiting;
use super::visible::visible;

/// A wait that is shorter than this is not worth a word.
const SILENCE: Duration = Duration::from_secs(1);
/// How often a line on a terminal is drawn again.
const REDRAWN: Duration = Duration::from_millis(250);
/// How often a log says that the wait goes on.
const REPEATED: Duration = Duration::from_secs(30);

/// When something is said about a wait.
#[derive(Clone, Copy)]
struct Rhythm {
    first: Duration,
    then: Duration,
}

/// Awaits `work`. Once that takes a second, `text` says what is waited for, given the time so far.
pub(super) async fn shown<T>(since: Instant, text: impl Fn(Duration) -> String, work: impl Future<Output = T>) -> T {
    shown_from(since, SILENCE, text, work).await
}

/// The same for a wait that is expected: on a terminal, it is shown at once.
pub(super) async fn shown_at_once<T>(
    since: Instant,
    text: impl Fn(Duration) -> String,
    work: impl Future<Output = T>,
) -> T {
    shown_from(since, Duration::ZERO, text, work).await
}

async fn shown_from<T>(
    since: Instant,
    first: Duration,
    text: impl Fn(Duration) -> String,
    work: impl Future<Output = T>,
) -> T {
    let spinner = ProgressBar::new_spinner();
    // Without a terminal, and on one that cannot move its cursor (`TERM=dumb`).
    if spinner.is_hidden() {
        return narrated(since, Rhythm { first: SILENCE, then: REPEATED }, text, print_waiting, work).await;
    }
    let style = ProgressStyle::with_template("{spinner} {wide_msg}");
    let spinner = if let Ok(style) = style { spinner.with_style(style) } else { spinner };
    let draw = |text: &str| {
        spinner.set_message(text.to_owned());
        spinner.tick();
    };
    let done = narrated(since, Rhythm { first, then: REDRAWN }, text, draw, work).await;
    spinner.finish_and_clear();
    done
}

/// A bar of `length` on standard error; none where nothing can be cleared.
pub(super) fn bar(length: u64, template: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length);
    // A template that indicatif cannot read leaves its own style.
    let style = ProgressStyle::with_template(template);
    if let Ok(style) = style { bar.with_style(style) } else { bar }
}

/// What a log says now and then about work that does not await anything, so that nothing else could
/// say it.
pub(super) struct Murmur {
    since: Instant,
    next: Instant,
}

impl Murmur {
    pub(super) fn new(since: Instant) -> Self {
        Self { since, next: since + SILENCE }
    }

    /// Says `text`, given the time so far, if it is time for that.
    pub(super) fn say(&mut self, now: Instant, text: impl FnOnce(Duration) -> String) {
        if let Some(waited) = self.due(now) {
            print_waiting(&visible(&text(waited)));
        }
    }

    fn due(&mut self, now: Instant) -> Option<Duration> {
        if now < self.next {
            return None;
        }
        self.next = now + REPEATED;
        Some(now - self.since)
    }
}

/// Awaits `work`, and hands `say` what `text` says in the given rhythm.
async fn narrated<T>(
    since: Instant,
    Rhythm { first, then }: Rhythm,
    text: impl Fn(Duration) -> String,
    say: impl Fn(&str),
    work: impl Future<Output = T>,
) -> T {
    let mut work = pin!(work);
    let mut next = since + first;
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = sleep_until(next) => {
                say(&visible(&text(next - since)));
                next += then;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::time::sleep;

    use super::*;
    use crate::clock::Clock;

    async fn said_during(seconds: f64, rhythm: Rhythm) -> Vec<String> {
        let said = RefCell::new(Vec::new());
        let since = Clock::system().instant();
        let text = |waited: Duration| format!("\u{1b}{} s", waited.as_secs_f64());
        let say = |text: &str| said.borrow_mut().push(text.to_owned());
        let work = async {
            sleep(Duration::from_secs_f64(seconds)).await;
            "done"
        };
        assert_eq!(narrated(since, rhythm, text, say, work).await, "done");
        said.into_inner()
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_has_a_line_after_a_second_and_then_every_half_minute() {
        let log = Rhythm { first: SILENCE, then: REPEATED };
        assert_eq!(said_during(0.9, log).await, [""; 0]);
        assert_eq!(said_during(30.0, log).await, ["<U+001B>1 s"]);
        assert_eq!(said_during(62.0, log).await, ["<U+001B>1 s", "<U+001B>31 s", "<U+001B>61 s"]);
    }

    #[test]
    fn work_that_does_not_await_is_spoken_of_after_a_second_and_then_every_half_minute() {
        let since = Clock::system().instant();
        let mut murmur = Murmur::new(since);
        let said: Vec<_> = [0.9, 1.2, 2.0, 31.1, 31.3, 40.0, 90.0]
            .into_iter()
            .filter(|seconds| murmur.due(since + Duration::from_secs_f64(*seconds)).is_some())
            .collect();
        assert_eq!(said, [1.2, 31.3, 90.0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_terminal_is_drawn_at_once_where_a_wait_is_expected() {
        let terminal = Rhythm { first: Duration::ZERO, then: REDRAWN };
        assert_eq!(said_during(0.6, terminal).await, ["<U+001B>0 s", "<U+001B>0.25 s", "<U+001B>0.5 s"]);
    }
}
