//! The requests of a payload that were not reached before the time was up.

use serde_json::{Value, json};

use crate::domain::text::ascii_json;
use crate::domain::trigger_facts::TriggerFacts;
use crate::event::{FindingFacts, Request, RequestOptions, Scope, Trigger, TriggerKind, WorkItemContext};
use crate::report::dead_letter::LARGEST;

/// The most bytes of a dead letter besides its event.
const OTHER_FIELDS: usize = 16 * 1024;

/// One request for all of `not_reached`, whose dead letter holds them as a batch that can be
/// redriven; several where one would be too large.
pub(super) fn in_letters(not_reached: &[&Request]) -> Vec<Request> {
    let mut rests: Vec<Request> = Vec::new();
    let mut size = usize::MAX;
    for request in not_reached {
        let body = body(request);
        let record = json!({"messageId": "not-reached", "eventSource": "aws:sqs", "body": body});
        let length = ascii_json(&record).len();
        if size.saturating_add(length) > LARGEST - OTHER_FIELDS {
            rests.push(empty(request));
            size = 0;
        }
        size += length;
        if let Some(rest) = rests.last_mut()
            && let Some(records) = rest.payload.get_mut("Records").and_then(Value::as_array_mut)
        {
            rest.redrives = rest.redrives.max(request.redrives);
            // Only where all of them ask for it: otherwise some would be lost.
            rest.options.dry_run &= request.options.dry_run;
            rest.options.no_dead_letter &= request.options.no_dead_letter;
            records.push(record);
        }
    }
    for rest in &mut rests {
        let count = rest.payload["Records"].as_array().map_or(0, Vec::len);
        rest.trigger.reason = Some(format!("the time was up before {count} requests of the payload were reached"));
    }
    rests
}

/// The body of a message that leads to this request again.
fn body(request: &Request) -> String {
    let Request { redrives, payload, .. } = request;
    match request.streams() {
        // A dead letter about one stream, whose event says nothing of it, or of others, too.
        [stream] if *redrives > 0 => {
            let attempts = redrives;
            json!({"version": 1, "kind": "enforcement-failure", "stream": stream.to_string(), "attempts": attempts, "event": payload})
                .to_string()
        }
        // A payload that was not JSON is a string, and is sent unchanged.
        _ => payload.as_str().map_or_else(|| payload.to_string(), str::to_owned),
    }
}

/// A request without its payloads, in the name of the first of them.
fn empty(first: &Request) -> Request {
    let Trigger { event_id, account, region, .. } = first.trigger.clone();
    let trigger = Trigger { kind: TriggerKind::Unknown, reason: None, event_id, event_time: None, account, region };
    Request {
        trigger,
        scope: Scope::NotReached,
        options: RequestOptions { reapply: false, ..first.options },
        facts: TriggerFacts::default(),
        work: WorkItemContext::default(),
        finding: FindingFacts::default(),
        manual: false,
        relayed: first.relayed,
        redrives: first.redrives,
        payload: json!({"Records": []}),
    }
}
