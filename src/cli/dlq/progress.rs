//! How far a redrive is, on standard error: a bar on a terminal, otherwise a line now and then.

use std::io::Write;

use indicatif::ProgressBar;

use crate::cli::progress::bar;

/// After how many messages there is a line without a terminal.
const LINE_EVERY: usize = 100;

pub(super) struct Progress {
    bar: ProgressBar,
    done: usize,
    total: usize,
}

impl Progress {
    /// Shows that none of `total` messages is done.
    pub(super) fn of(total: usize) -> Self {
        let bar = if total > 1 {
            let bar = bar(u64::try_from(total).unwrap_or(u64::MAX), "redriving {wide_bar} {pos} of {len}");
            bar.tick();
            bar
        } else {
            ProgressBar::hidden()
        };
        Self { bar, done: 0, total }
    }

    /// The same without a bar, for messages of which each shows that it is waited for.
    pub(super) fn in_lines(total: usize) -> Self {
        Self { bar: ProgressBar::hidden(), done: 0, total }
    }

    /// One more message is done.
    pub(super) fn advance(&mut self) {
        self.done += 1;
        self.bar.inc(1);
        if self.bar.is_hidden() && self.done.is_multiple_of(LINE_EVERY) && self.done < self.total {
            drop(writeln!(anstream::stderr(), "redriving: {} of {} messages", self.done, self.total));
        }
    }

    /// Prints something else meanwhile.
    pub(super) fn suspend(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
