//! The streams of one account and Region, page by page: what sweeping them and queueing them have
//! in common.

use crate::aws::kinesis::Streams;
use crate::clock::Clock;
use crate::deadline::Deadline;
use crate::domain::failure::{Failure, Step, code};
use crate::domain::stream::{StreamRef, StreamStatus};
use crate::sweep::filter::{Prefilter, SweepFilter};

/// The streams of an account, as far as a sweep concerns them.
#[derive(Clone, Copy, Debug)]
pub struct Pages<'a> {
    /// Lists the streams.
    pub streams: &'a Streams,
    /// Decides which of them need no look of their own.
    pub filter: &'a SweepFilter<'a>,
    /// Says when the time is up.
    pub clock: &'a Clock,
    /// Until when to list and to work.
    pub deadline: Deadline,
}

/// Where a sweep stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SweepInterrupted {
    /// The last stream that was reached; `None` where none was.
    pub after: Option<String>,
    /// Why it went no further.
    pub failure: Failure,
}

/// How far the work on a page came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageProgress {
    /// Every stream of the page was reached.
    Complete,
    /// The time was up.
    OutOfTime {
        /// The last stream that was reached; `None` where none of this page was.
        last: Option<String>,
    },
}

impl Pages<'_> {
    /// Hands every page after the stream named `start_after` to `work`: its streams, without those
    /// that are DELETING, each with what to do about it.
    ///
    /// A page is worked on to its end before the next one is listed. Whatever interrupts the sweep,
    /// the streams that are not reached are those after a name, with which it can be resumed.
    pub async fn for_each(
        &self,
        start_after: Option<String>,
        mut work: impl AsyncFnMut(Vec<(StreamRef, Prefilter)>) -> Result<PageProgress, Failure>,
    ) -> Result<(), SweepInterrupted> {
        let mut after = start_after;
        loop {
            let interrupted = |failure| SweepInterrupted { after: after.clone(), failure };
            let page = self.streams.list(after.as_deref(), self.deadline.look_until()).await;
            let page = page.map_err(|error| interrupted(error.failure))?;
            let streams = page
                .streams
                .into_iter()
                .filter(|(_, status)| *status != Some(StreamStatus::Deleting))
                .map(|(stream, _)| {
                    let prefilter = self.filter.of(&stream);
                    (stream, prefilter)
                })
                .collect();
            if let PageProgress::OutOfTime { last } = work(streams).await.map_err(interrupted)? {
                return Err(out_of_time(last.or(after)));
            }
            match page.go_on_after {
                None => return Ok(()),
                last => after = last,
            }
            if !self.has_time() {
                return Err(out_of_time(after));
            }
        }
    }

    /// Whether there is time to work.
    pub(super) fn has_time(&self) -> bool {
        self.clock.instant() < self.deadline.work_until()
    }
}

fn out_of_time(reached: Option<String>) -> SweepInterrupted {
    let after = reached.as_deref().unwrap_or("the beginning");
    let failure = Failure::new(
        Step::ListStreams,
        code::OUT_OF_TIME,
        &"the sweep",
        &format!("the time was up; not reached are the streams after {after}"),
    );
    SweepInterrupted { after: reached, failure }
}
