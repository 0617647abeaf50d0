//! Brings every stream of the account and Region right, page by page, within one invocation.

pub mod fan_out;
pub mod filter;

use futures_util::stream::{self, StreamExt};

use crate::domain::outcome::Outcome;
use crate::domain::stream::StreamStatus;
use crate::reconcile::{Context, reconcile};
use crate::sweep::filter::{Prefilter, SweepFilter};

use crate::domain::failure::{Failure, Step, code};

/// How many streams are worked on at once. Most of a stream's time is waiting for it to become
/// ACTIVE; ten waiting streams poll well below half of the account's 20 describes a second.
const AT_ONCE: usize = 10;

/// What a sweep did not reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SweepInterrupted {
    /// The last stream that was reached; `None` where none was.
    pub after: Option<String>,
    /// Why it went no further.
    pub failure: Failure,
}

/// Works through all streams after the one named `start_after`; hands each outcome to `each` as
/// soon as it is known.
///
/// Streams that are DELETING are left out. One stream's failure does not stop the others.
pub async fn sweep(
    start_after: Option<String>,
    exemptions: &SweepFilter<'_>,
    context: &Context<'_>,
    mut each: impl AsyncFnMut(Outcome),
) -> Result<(), SweepInterrupted> {
    let mut reached = start_after;
    let has_time = || context.account.clock.instant() < context.deadline.work_until();
    loop {
        let page = match context.account.streams.list(reached.as_deref(), context.deadline.look_until()).await {
            Ok(page) => page,
            Err(error) => return Err(SweepInterrupted { after: reached, failure: error.failure }),
        };
        let mut left = false;
        let taken = page.streams.into_iter().filter(|(_, status)| *status != Some(StreamStatus::Deleting)).map_while(
            |(stream, _)| {
                if !has_time() {
                    left = true;
                    return None;
                }
                reached = Some(stream.name().to_owned());
                Some(async move {
                    match exemptions.of(&stream) {
                        Prefilter::Reconcile => Some(reconcile(&stream, context).await),
                        Prefilter::Exempt(outcome) => Some(*outcome),
                        Prefilter::LeaveOut => None,
                    }
                })
            },
        );
        let mut running = stream::iter(taken).buffer_unordered(AT_ONCE);
        while let Some(outcome) = running.next().await {
            if let Some(outcome) = outcome {
                each(outcome).await;
            }
        }
        drop(running);
        if left {
            return Err(out_of_time(reached));
        }
        match page.go_on_after {
            None => return Ok(()),
            Some(_) if !has_time() => return Err(out_of_time(reached)),
            after => reached = after,
        }
    }
}

pub(crate) fn out_of_time(reached: Option<String>) -> SweepInterrupted {
    let after = reached.as_deref().unwrap_or("the beginning");
    let failure = Failure::new(
        Step::ListStreams,
        code::OUT_OF_TIME,
        &"the sweep",
        &format!("the time was up; not reached are the streams after {after}"),
    );
    SweepInterrupted { after: reached, failure }
}
