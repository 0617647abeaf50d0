//! Key events: looks up the configured keys that an event may concern, in the event's account. What
//! follows is decided in [`decide::key_event`](crate::decide::key_event).

use serde_json::json;

use super::context::RequestContext;
use super::delivery::try_enqueue;
use crate::decide::key_event::{
    KeyEventEffect, KeyEventFacts, assess_key_event, most_severe, second_look_after, unrelated,
};
use crate::domain::key::KeyRef;
use crate::domain::key_event::KeyEvent;
use crate::event::{FIRST_LOOK, Fleets};

/// What follows from the event, and the configured key that it concerns.
pub(super) async fn assess<'a>(ctx: &RequestContext<'a, '_>, event: &KeyEvent) -> (KeyEventEffect, &'a KeyRef) {
    let (trigger, rules) = (&ctx.request.trigger, &ctx.invocation.rules);
    let own_region = &ctx.handler().aws.region;
    if let Some(region) = trigger.region.as_deref()
        && !own_region.is_empty()
        && region != own_region
    {
        let reason = format!("the event is from {region}; this function manages the streams of {own_region}");
        return (KeyEventEffect::Ignored(reason), &rules.key);
    }
    let mut keys = rules.keys_in(None, own_region);
    let member = ctx.member_of_event();
    if let (Some(account), Some(own), None) = (trigger.account.as_deref(), ctx.handler().settings.own_account(), member)
        && account != own
    {
        // A key id or alias without an account belongs to the managed accounts; only a key that is
        // configured by ARN may belong to another one.
        keys.retain(|key| is_named_by_arn(key));
        if keys.is_empty() {
            let reason = format!(
                "the event is from account {account}, which is neither the function's own nor a member account"
            );
            return (KeyEventEffect::Ignored(reason), &rules.key);
        }
    }
    let facts =
        KeyEventFacts { event, account: trigger.account.as_deref(), region: trigger.region.as_deref(), age: ctx.age() };
    // Keys are looked up in the event's account. Its role is not assumed for a key that is not
    // configured.
    let account = match member.filter(|_| keys.iter().any(|key| unrelated(&facts, key).is_none())) {
        None => ctx.invocation.accounts.own(),
        Some(member) => match ctx.invocation.accounts.member(member, &"the key").await {
            Ok(account) => account,
            Err(failure) => return (KeyEventEffect::Failed(failure), &rules.key),
        },
    };
    let mut effects = Vec::new();
    for key in keys {
        let effect = if let Some(reason) = unrelated(&facts, key) {
            KeyEventEffect::Ignored(reason)
        } else {
            let looked_up = account.at_work.keys.desired(key).await;
            let store = account.at_work.keys.facts(key).await.and_then(|facts| facts.store);
            assess_key_event(&facts, key, looked_up, store.as_deref())
        };
        effects.push((effect, key));
    }
    most_severe(effects).unwrap_or((KeyEventEffect::Ignored(String::new()), &rules.key))
}

/// Sends the event to the work queue, to be handled again when KMS shows the change everywhere;
/// returns whether it was sent. `swept_with` are the keys of the sweep that the event has led to.
///
/// The event itself is sent, since its age says when to stop.
pub(super) async fn enqueue_second_look(
    ctx: &RequestContext<'_, '_>,
    event: &KeyEvent,
    swept_with: Option<Vec<String>>,
) -> bool {
    let Some(sender) = ctx.sender().filter(|_| ctx.request.redrives == 0) else { return false };
    let Some(after) = second_look_after(event, ctx.age()) else { return false };
    let mut payload = ctx.request.payload.clone();
    if let Some(object) = payload.as_object_mut() {
        object.remove(FIRST_LOOK);
        object.extend(swept_with.map(|keys| (FIRST_LOOK.to_owned(), json!(keys))));
    }
    try_enqueue(ctx, sender, "second look at the key", &payload, after).await
}

/// The accounts whose streams are to have `key`. A key that is configured by ARN is the same for
/// all accounts; a key id or alias without an account is a different key in each.
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
