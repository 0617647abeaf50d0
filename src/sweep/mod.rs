//! Sweeps every stream of an account and Region, page by page, within one invocation.

pub mod fan_out;
pub mod filter;
mod pages;

use futures_util::stream::{self, StreamExt};

use crate::domain::outcome::Outcome;
use crate::domain::stream::StreamRef;
use crate::reconcile::{Context, reconcile};
use crate::sweep::filter::Prefilter;

pub use self::pages::{PageProgress, Pages, SweepInterrupted};

/// How many streams are reconciled at once. Most of that time is waiting for a stream to become
/// ACTIVE; ten waiting streams poll well below half of the account's 20 calls a second of
/// [`DescribeStreamSummary`].
///
/// [`DescribeStreamSummary`]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DescribeStreamSummary.html
const AT_ONCE: usize = 10;

/// Reconciles all streams after the one named `start_after`, and hands each outcome to `each` as
/// soon as it is known, with the stream as it was listed.
///
/// One stream's failure does not stop the others.
pub async fn sweep(
    pages: &Pages<'_>,
    start_after: Option<String>,
    context: &Context<'_>,
    mut each: impl AsyncFnMut(StreamRef, Outcome),
) -> Result<(), SweepInterrupted> {
    let work = async |page: Vec<(StreamRef, Prefilter)>| {
        let (mut in_time, mut last) = (true, None);
        let taken = page.into_iter().map_while(|(stream, prefilter)| {
            in_time = pages.has_time();
            if !in_time {
                return None;
            }
            last = Some(stream.name().to_owned());
            Some(async move {
                let outcome = match prefilter {
                    Prefilter::Reconcile => reconcile(&stream, context).await,
                    Prefilter::Exempt(outcome) => *outcome,
                    Prefilter::LeaveOut => return None,
                };
                Some((stream, outcome))
            })
        });
        let mut running = stream::iter(taken).buffer_unordered(AT_ONCE);
        while let Some(ended) = running.next().await {
            if let Some((stream, outcome)) = ended {
                each(stream, outcome).await;
            }
        }
        drop(running);
        Ok(if in_time { PageProgress::Complete } else { PageProgress::OutOfTime { last } })
    };
    pages.for_each(start_after, work).await
}
