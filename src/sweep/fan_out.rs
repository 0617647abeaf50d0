//! Spreads a sweep over the work queue: one item for every stream of the account and Region.

use crate::aws::kinesis::Streams;
use crate::aws::sqs::WorkQueueSender;
use crate::clock::Clock;
use crate::deadline::Deadline;
use crate::domain::mode::Mode;
use crate::domain::outcome::{Outcome, Status};
use crate::domain::stream::{StreamRef, StreamStatus};
use crate::sweep::filter::{Prefilter, SweepFilter};
use crate::sweep::{SweepInterrupted, out_of_time};

/// What a fan-out works with.
#[derive(Clone, Copy, Debug)]
pub struct FanOut<'a> {
    /// Looks at streams.
    pub streams: &'a Streams,
    /// Sends the items.
    pub sender: WorkQueueSender<'a>,
    /// The streams that need not be looked at.
    pub exemptions: &'a SweepFilter<'a>,
    /// The mode that outcomes are reported in.
    pub mode: Mode,
    /// Tells the time.
    pub clock: &'a Clock,
    /// When to stop.
    pub deadline: Deadline,
}

impl FanOut<'_> {
    /// Sends an item, made by `item`, for every stream after the one named `start_after` that is to
    /// be looked at, and hands the outcome of each, `queued` or `exempt`, to `each`. Streams that
    /// are DELETING are left out.
    ///
    /// A page's items are all sent before the next page is asked for: whatever breaks, what is not
    /// reached are the streams after a name. Some of the last page may then be sent twice, which is
    /// harmless, and none is missing.
    pub async fn run(
        &self,
        start_after: Option<String>,
        item: impl Fn(&StreamRef) -> String,
        mut each: impl FnMut(Outcome),
    ) -> Result<(), SweepInterrupted> {
        let mut reached = start_after;
        loop {
            let not_reached = |failure| SweepInterrupted { after: reached.clone(), failure };
            let page = self.streams.list(reached.as_deref(), self.deadline.look_until()).await;
            let page = page.map_err(|error| not_reached(error.failure))?;
            let present = page
                .streams
                .into_iter()
                .filter(|(_, status)| *status != Some(StreamStatus::Deleting))
                .map(|(stream, _)| stream);
            let (mut items, mut outcomes) = (Vec::new(), Vec::new());
            for stream in present {
                match self.exemptions.of(&stream) {
                    Prefilter::Reconcile => {
                        items.push(item(&stream));
                        outcomes.push(Outcome::new(
                            Some(stream.to_string()),
                            Status::Queued,
                            "part of a sweep",
                            self.mode,
                        ));
                    }
                    Prefilter::Exempt(outcome) => outcomes.push(*outcome),
                    Prefilter::LeaveOut => {}
                }
            }
            self.sender
                .send_all(&items, self.deadline.look_until())
                .await
                .map_err(|error| not_reached(error.failure))?;
            outcomes.into_iter().for_each(&mut each);
            match page.go_on_after {
                None => return Ok(()),
                after => reached = after,
            }
            if self.clock.instant() >= self.deadline.work_until() {
                return Err(out_of_time(reached));
            }
        }
    }
}
