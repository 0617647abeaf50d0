//! Spreads a sweep over the work queue: one work item for every stream of the account and Region.

use crate::aws::sqs::WorkQueueSender;
use crate::domain::mode::Mode;
use crate::domain::outcome::{Outcome, Status};
use crate::domain::stream::StreamRef;
use crate::event::WorkItem;
use crate::sweep::filter::Prefilter;
use crate::sweep::pages::{PageProgress, Pages, SweepInterrupted};

/// Sends a work item, created by `item`, for every stream after the one named `start_after` that
/// has to be reconciled, and hands each outcome, `queued` or `exempt`, to `each`.
///
/// All work items of a page are sent before the next page is listed. When an interrupted fan-out is
/// resumed, some of a page may be sent twice, which is harmless.
pub async fn fan_out(
    pages: &Pages<'_>,
    start_after: Option<String>,
    sender: WorkQueueSender<'_>,
    mode: Mode,
    item: impl Fn(&StreamRef) -> WorkItem,
    mut each: impl FnMut(Outcome),
) -> Result<(), SweepInterrupted> {
    let work = async |page: Vec<(StreamRef, Prefilter)>| {
        let (mut items, mut outcomes) = (Vec::new(), Vec::new());
        for (stream, prefilter) in page {
            match prefilter {
                Prefilter::Reconcile => {
                    items.push(item(&stream));
                    outcomes.push(Outcome::new(Some(stream.to_string()), Status::Queued, "part of a sweep", mode));
                }
                Prefilter::Exempt(outcome) => outcomes.push(*outcome),
                Prefilter::LeaveOut => {}
            }
        }
        sender.send_all(&items, pages.deadline.look_until()).await.map_err(|error| error.failure)?;
        outcomes.into_iter().for_each(&mut each);
        Ok(PageProgress::Complete)
    };
    pages.for_each(start_after, work).await
}
