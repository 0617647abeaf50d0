//! Reports configured keys whose imported material is about to expire, once for a whole sweep.

use super::accounts::Account;
use super::context::RequestContext;
use super::delivery::{RequestProgress, finish};
use crate::decide::expiry::about_to_expire;
use crate::domain::key::KeyRef;
use crate::domain::outcome::{Outcome, Status};

/// Reports each of `keys` that is about to expire as at risk. The keys were looked up before, so
/// this makes no call; the streams are worked on, because the keys can still be used.
///
/// The rest of an interrupted sweep reports nothing again, and neither does the sweep of a member
/// account for a key that is configured by ARN: that is the same key in every account.
pub(super) async fn report_expiring(
    ctx: &RequestContext<'_, '_>,
    progress: &mut RequestProgress,
    account: &Account<'_>,
    keys: &[&KeyRef],
    is_whole: bool,
) {
    let is_reported_here = |key: &&&KeyRef| is_whole && (ctx.member.is_none() || key.account().is_none());
    for key in keys.iter().filter(is_reported_here) {
        let facts = account.at_work.keys.facts(key).await;
        if let Some(reason) = facts.and_then(|facts| about_to_expire(&facts, ctx.now())) {
            let outcome = Outcome::new(None, Status::KeyAtRisk, reason, ctx.mode());
            finish(ctx, progress, Outcome { key: Some(key.to_string()), ..outcome }).await;
        }
    }
}
