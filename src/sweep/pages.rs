//! Lists the streams of one account and Region, page by page, whether they are then reconciled or
//! queued.

use crate::aws::kinesis::Streams;
use crate::clock::Clock;
use crate::deadline::Deadline;
use crate::domain::failure::{Failure, Step, code};
use crate::domain::stream::{StreamRef, StreamStatus};
use crate::sweep::filter::{Prefilter, SweepFilter};

/// The streams that a sweep covers.
#[derive(Clone, Copy, Debug)]
pub struct Pages<'a> {
    /// Lists the streams.
    pub streams: &'a Streams,
    /// Finds the streams that need not be reconciled one by one.
    pub filter: &'a SweepFilter<'a>,
    /// Compared with the deadline.
    pub clock: &'a Clock,
    /// When to stop.
    pub deadline: Deadline,
}

/// An interrupted sweep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SweepInterrupted {
    /// The last stream that was reached; `None` if none was.
    pub after: Option<String>,
    /// Why it was interrupted.
    pub failure: Failure,
}

/// How much of a page was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageProgress {
    /// Every stream was reached.
    Complete,
    /// The time ran out.
    OutOfTime {
        /// The last stream that was reached; `None` if none of this page was.
        last: Option<String>,
    },
}

impl Pages<'_> {
    /// Hands the pages after the stream named `start_after` to `work`, without streams that are
    /// DELETING.
    ///
    /// The next page is listed only when the work on a page is complete. An interrupted sweep has
    /// therefore reached all streams up to a name, and can be resumed after it.
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
    let detail = match &reached {
        Some(name) => format!("the time ran out before the streams after {name} were reached"),
        None => "the time ran out before any stream was reached".to_owned(),
    };
    let failure = Failure::new(Step::ListStreams, code::OUT_OF_TIME, &"the sweep", &detail);
    SweepInterrupted { after: reached, failure }
}
