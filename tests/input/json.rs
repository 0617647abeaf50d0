//! Payloads of every shape: odd values, the words of the real events in any order, real events
//! mutated, and envelopes around them.

use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

use crate::support::event;

/// The events of `events/`, with their names.
pub(crate) static EVENTS: LazyLock<Vec<(String, Value)>> = LazyLock::new(|| {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/events")).expect("a folder");
    let mut names: Vec<_> =
        folder.filter_map(|file| Some(file.expect("an entry").path().file_stem()?.to_str()?.to_owned())).collect();
    names.sort_unstable();
    names.into_iter().map(|name| (name.clone(), event(&name))).collect()
});

/// Every member's name and every text in the events: what the readers look for.
static WORDS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut words = Vec::new();
    for (_, event) in EVENTS.iter() {
        let mut waiting = vec![event.clone()];
        while let Some(value) = waiting.pop() {
            match value {
                Value::String(text) => words.push(text),
                Value::Array(items) => waiting.extend(items),
                Value::Object(object) => {
                    for (name, value) in object {
                        words.push(name);
                        waiting.push(value);
                    }
                }
                Value::Null | Value::Bool(_) | Value::Number(_) => {}
            }
        }
    }
    words.sort_unstable();
    words.dedup();
    words
});

/// Texts that are no honest value of anything.
pub(crate) const ODD: [&str; 30] = [
    "",
    " ",
    "\u{0}",
    "\u{1}\u{7f}\u{85}",
    "\u{fffe}",
    "\u{ffff}",
    "\u{feff}orders",
    "\u{301}\u{302}",
    "\u{202e}sredro",
    "سجل",
    "🦀",
    "orders\n",
    "Orders",
    "NaN",
    "1e400",
    "-0",
    "null",
    "{\"stream\": \"bystander\"",
    "[[[[",
    "arn:aws:kinesis:us-east-1:111122223333:stream/",
    "arn:aws:kinesis:us-east-1:111122223333:stream/orders/../bystander",
    "arn:aws:kinesis:us-east-1:444455556666:stream/bystander",
    "arn:aws:kinesis:eu-west-1:111122223333:stream/bystander",
    "arn:aws-cn:kinesis:us-east-1:111122223333:stream/bystander",
    "arn:::::",
    "+262142-12-31T23:59:59Z",
    "-262143-01-01T00:00:00Z",
    "9999-12-31T23:59:60Z",
    "2026-11-24T00:00:00Z",
    "2026-02-30T00:00:00+99:00",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => select(ODD.as_slice()).prop_map(str::to_owned),
        1 => (select(vec!["x", "ü", "\u{7f}", "\u{fffe}", "🦀"]), select(vec![129, 10_000])).prop_map(|(text, times)| text.repeat(times)),
        1 => ".{0,12}",
    ]
}

fn number() -> impl Strategy<Value = Value> {
    select(vec![
        json!(0),
        json!(-0.0),
        json!(1),
        json!(-1),
        json!(u32::MAX),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e308),
        json!(0.5),
    ])
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::Bool),
        2 => number(),
        3 => text().prop_map(Value::String),
        4 => any::<Index>().prop_map(|index| json!(index.get(&WORDS))),
    ]
}

/// JSON of any shape, made of the words that the readers look for as often as of others.
pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(5, 40, 6, |inner| {
        let name = prop_oneof![4 => any::<Index>().prop_map(|index| index.get(&WORDS).clone()), 1 => text()];
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::Array),
            vec((name, inner), 0..7).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// What is done to one member of an event, or to one item of a list in it.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Remove,
    Replace(Value),
    Rename(String),
    Repeat,
}

fn change() -> impl Strategy<Value = (Index, Change)> {
    let change = prop_oneof![
        2 => Just(Change::Remove),
        3 => leaf().prop_map(Change::Replace),
        1 => any_json().prop_map(Change::Replace),
        1 => text().prop_map(Change::Rename),
        1 => Just(Change::Repeat),
    ];
    (any::<Index>(), change)
}

/// The pointers of every member and item of `value`.
fn places(value: &Value, at: &str, found: &mut Vec<(String, String)>) {
    let mut inside = |key: String, value: &Value| {
        found.push((at.to_owned(), key.clone()));
        places(value, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), found);
    };
    match value {
        Value::Object(object) => object.iter().for_each(|(name, value)| inside(name.clone(), value)),
        Value::Array(items) => items.iter().enumerate().for_each(|(index, value)| inside(index.to_string(), value)),
        _ => {}
    }
}

fn changed(mut value: Value, (at, change): (Index, Change)) -> Value {
    let mut found = Vec::new();
    places(&value, "", &mut found);
    if found.is_empty() {
        return value;
    }
    let (parent, key) = at.get(&found);
    match value.pointer_mut(parent) {
        Some(Value::Object(object)) => {
            let old = object.remove(key).unwrap_or_default();
            match change {
                Change::Remove => {}
                Change::Replace(new) => drop(object.insert(key.clone(), new)),
                Change::Rename(name) => drop(object.insert(name, old)),
                Change::Repeat => {
                    object.insert(key.to_uppercase(), old.clone());
                    object.insert(key.clone(), json!([old.clone(), old]));
                }
            }
        }
        Some(Value::Array(items)) => {
            let index: usize = key.parse().expect("an index");
            let old = items.remove(index);
            match change {
                Change::Remove => {}
                Change::Replace(new) => items.insert(index, new),
                Change::Rename(name) => items.insert(index, json!({name: old})),
                Change::Repeat => items.extend([old.clone(), old]),
            }
        }
        _ => unreachable!("{parent} was found"),
    }
    value
}

/// An event of `events/`, changed at a few places.
pub(crate) fn mutated() -> impl Strategy<Value = Value> {
    (any::<Index>(), vec(change(), 0..4))
        .prop_map(|(event, changes)| changes.into_iter().fold(event.get(&EVENTS).1.clone(), changed))
}

/// Something around a payload.
#[derive(Clone, Debug)]
pub(crate) enum Envelope {
    /// An SQS batch, with this many others of the same.
    Batch {
        copies: usize,
        receives: u32,
    },
    /// An SQS batch whose body says something twice: what comes later counts.
    TwiceInBody(String),
    /// An SQS batch whose body is cut off.
    CutOff(Index),
    OnFailure,
    Letter {
        attempts: Value,
        about: Option<String>,
    },
    /// JSON as a text, as somebody makes it who escapes twice.
    Text,
}

fn envelope() -> impl Strategy<Value = Envelope> {
    prop_oneof![
        3 => (0_usize..4, 1_u32..7).prop_map(|(copies, receives)| Envelope::Batch { copies, receives }),
        1 => any::<Index>().prop_map(|index| Envelope::TwiceInBody(index.get(&WORDS).clone())),
        1 => any::<Index>().prop_map(Envelope::CutOff),
        3 => Just(Envelope::OnFailure),
        3 => (prop_oneof![Just(json!(1)), number()], prop::option::of(select(vec!["orders", "", "arn:aws:kinesis:us-east-1:111122223333:stream/orders"])))
            .prop_map(|(attempts, about)| Envelope::Letter { attempts, about: about.map(str::to_owned) }),
        1 => Just(Envelope::Text),
    ]
}

pub(crate) fn message(id: &str, receives: u32, body: &str) -> Value {
    json!({"messageId": id, "eventSource": "aws:sqs", "receiptHandle": id, "body": body, "attributes": {"ApproximateReceiveCount": receives.to_string()}})
}

pub(crate) fn letter(event: &Value, attempts: &Value, about: Option<&str>) -> Value {
    json!({"version": 1, "kind": "enforcement-failure", "stream": about, "attempts": attempts, "event": event})
}

fn wrapped(inner: &Value, envelope: Envelope) -> Value {
    match envelope {
        Envelope::Batch { copies, receives } => {
            let records = (0..=copies).map(|index| message(&format!("message-{index}"), receives, &inner.to_string()));
            json!({"Records": records.collect::<Vec<_>>()})
        }
        Envelope::TwiceInBody(name) => {
            let body = inner.to_string();
            let body = if inner.is_object() { format!("{{{}:7,{}", json!(name), &body[1..]) } else { body };
            json!({"Records": [message("message-0", 1, &body)]})
        }
        Envelope::CutOff(index) => {
            let body = inner.to_string();
            let end = (0..=index.index(body.len())).rev().find(|at| body.is_char_boundary(*at)).unwrap_or(0);
            json!({"Records": [message("message-0", 1, &body[..end])]})
        }
        Envelope::OnFailure => {
            json!({"version": "1.0", "requestContext": {"condition": "RetriesExhausted"}, "requestPayload": inner, "responsePayload": null})
        }
        Envelope::Letter { attempts, about } => letter(inner, &attempts, about.as_deref()),
        Envelope::Text => json!(inner.to_string()),
    }
}

/// A payload in envelopes: mostly few, sometimes more than are opened.
pub(crate) fn in_envelopes(payload: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    let envelopes =
        prop_oneof![2 => Just(Vec::new()), 4 => vec(envelope(), 1..4), 1 => vec(Just(Envelope::OnFailure), 7..11)];
    (payload, envelopes).prop_map(|(payload, envelopes)| {
        envelopes.into_iter().fold(payload, |inner, envelope| wrapped(&inner, envelope))
    })
}
