//! What the findings of an event name besides streams that the function manages.
//!
//! Whoever may import findings decides what they name, up to hundreds of streams in an event. The
//! managed streams are worked on. Everything else is one outcome, and so at most one dead letter.
//!
//! A Security Hub administrator account gets the findings of its member accounts. AWS does not
//! document whether the `account` of such an event is the administrator's or the finding's. If it
//! is the finding's, the event is like any other event of a member account. If it is the
//! administrator's, an imported finding says nothing about another account's streams, as everywhere
//! else. A custom action does: a person with access to the administrator account selected the
//! finding.
//!
//! Source: Security Hub User Guide, [*Event types in EventBridge*][types].
//!
//! [types]: https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-cwe-integration-types.html

use super::context::RequestContext;
use crate::domain::failure::{Failure, Step, code};
use crate::domain::outcome::Outcome;
use crate::domain::stream::StreamRef;
use crate::domain::text::first_of;
use crate::event::TriggerKind;

/// How many of them the reason names.
const NAMED: usize = 3;

/// What a person can do about identifiers that cannot be read.
const UNREADABLE: &str = "Correct the identifiers in what imports the findings: Security Hub presents these resources \
                          as streams. The streams of the other resources were processed.";

/// The managed ones among the `streams` of the request, and one outcome for the others and for
/// what could not be read, if there are any.
///
/// Only what several findings or resources say is split: where an event names a single stream, the
/// stream keeps its own outcome, as the streams of any other request do.
pub(super) fn split(ctx: &RequestContext<'_, '_>, streams: &[StreamRef]) -> (Vec<StreamRef>, Option<Outcome>) {
    let unreadable = &ctx.request.finding.unreadable;
    let named = streams.len() + unreadable.len();
    if ctx.request.trigger.kind != TriggerKind::SecurityFinding || named < 2 {
        return (streams.to_vec(), None);
    }
    let (mut managed, mut strangers, mut first_code) = (Vec::new(), Vec::new(), None);
    for stream in streams {
        match ctx.check(stream).map_err(|failure| failure.code).and_then(|()| known_account(ctx, stream)) {
            Ok(()) => managed.push(stream.clone()),
            Err(code) => {
                first_code.get_or_insert(code);
                strangers.push(stream.to_string());
            }
        }
    }
    strangers.extend(unreadable.iter().cloned());
    if strangers.is_empty() {
        return (managed, None);
    }
    let subject = format!("{} of {named} resources in the findings", strangers.len());
    let detail = format!("not streams that this function manages: {}", first_of(&strangers, NAMED));
    let failure = match first_code {
        Some(code) => Failure::new(Step::CheckTarget, &code, &subject, &detail),
        None => {
            Failure::new(Step::CheckTarget, code::UNKNOWN_PAYLOAD, &subject, &detail).remedied(UNREADABLE.to_owned())
        }
    };
    (managed, Some(Outcome::failed(None, failure, ctx.mode())))
}

/// Whether the stream is in the function's own account or in a member account; else the error code.
fn known_account(ctx: &RequestContext<'_, '_>, stream: &StreamRef) -> Result<(), String> {
    let StreamRef::Arn(arn) = stream else { return Ok(()) };
    let is_own = ctx.handler().settings.own_account().is_none_or(|own| own == arn.account());
    let is_managed = is_own || ctx.invocation.accounts.members().any(|member| member == arn.account());
    if is_managed { Ok(()) } else { Err(code::FOREIGN_ACCOUNT.to_owned()) }
}
