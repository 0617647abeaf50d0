//! A key event: which keys it may concern, in which account, and when it is looked at again. What
//! follows from it is for [`decide::key_event`](crate::decide::key_event) to say.

use super::context::RequestContext;
use super::delivery::try_enqueue;
use crate::decide::key_event::{
    KeyEventEffect, KeyEventFacts, assess_key_event, most_severe, second_look_after, unrelated,
};
use crate::domain::key::KeyRef;
use crate::domain::key_event::KeyEvent;
use crate::event::Fleets;

/// The effect of the event on the configured keys, and the key that it concerns.
pub(super) async fn assess<'a>(ctx: &RequestContext<'a, '_>, event: &KeyEvent) -> (KeyEventEffect, &'a KeyRef) {
    let (trigger, rules) = (&ctx.request.trigger, &ctx.invocation.rules);
    let own_region = &ctx.handler().aws.region;
    if let Some(region) = trigger.region.as_deref()
        && !own_region.is_empty()
        && region != own_region
    {
        let reason = format!("it happened in {region}, streams of {own_region} are kept here");
        return (KeyEventEffect::Ignored(reason), &rules.key);
    }
    let mut keys = rules.keys_in(None, own_region);
    let member = ctx.member_of_event();
    if let (Some(account), Some(own), None) = (trigger.account.as_deref(), ctx.handler().settings.own_account(), member)
        && account != own
    {
        // A bare id or name is a key of the managed accounts; only one that is named by ARN may be
        // another account's.
        keys.retain(|key| is_named_by_arn(key));
        if keys.is_empty() {
            let reason = format!("it happened in account {account}, which is neither the function's own nor a member");
            return (KeyEventEffect::Ignored(reason), &rules.key);
        }
    }
    let facts =
        KeyEventFacts { event, account: trigger.account.as_deref(), region: trigger.region.as_deref(), age: ctx.age() };
    // Keys are looked up in the account of the event. No role is assumed for a key that is none of
    // the configured ones.
    let account = match member.filter(|_| keys.iter().any(|key| unrelated(&facts, key).is_none())) {
        None => ctx.invocation.accounts.own(),
        Some(member) => match ctx.invocation.accounts.member(member, &"the key").await {
            Ok(account) => account,
            Err(failure) => return (KeyEventEffect::Failed(failure), &rules.key),
        },
    };
    let mut effects = Vec::new();
    for key in keys {
        let effect = match unrelated(&facts, key) {
            Some(reason) => KeyEventEffect::Ignored(reason),
            None => assess_key_event(&facts, key, account.at_work.keys.desired(key).await),
        };
        effects.push((effect, key));
    }
    most_severe(effects).unwrap_or((KeyEventEffect::Ignored(String::new()), &rules.key))
}

/// Sends the event to the work queue, to be looked at again when KMS shows the change everywhere;
/// says whether it was sent.
///
/// The event itself is sent, so that its age says when to stop.
pub(super) async fn enqueue_second_look(ctx: &RequestContext<'_, '_>, event: &KeyEvent) -> bool {
    let Some(sender) = ctx.sender().filter(|_| ctx.request.redrives == 0) else { return false };
    let Some(after) = second_look_after(event, ctx.age()) else { return false };
    try_enqueue(ctx, sender, "second look at the key", &ctx.request.payload, after).await
}

/// The accounts whose streams are to have `key`. A key or an alias that is named by ARN is the same
/// for all; a bare id or name is another key in every account.
pub(super) fn fleets_with(ctx: &RequestContext<'_, '_>, key: &KeyRef) -> Fleets {
    match ctx.member_of_event() {
        _ if is_named_by_arn(key) => Fleets::All,
        Some(member) => Fleets::Account(member.to_owned()),
        None => Fleets::Own,
    }
}

fn is_named_by_arn(key: &KeyRef) -> bool {
    matches!(key, KeyRef::Arn(_) | KeyRef::AliasArn { .. })
}
