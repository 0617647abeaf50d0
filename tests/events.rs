//! Every file of `events/` against what it means, and mutilated events against the promise that
//! reading never fails.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use kinesis_encryption_enforcer::domain::denial::Denial;
use kinesis_encryption_enforcer::domain::key::KeyRef;
use kinesis_encryption_enforcer::domain::key_event::StoreChange;
use kinesis_encryption_enforcer::domain::stream::StreamArn;
use kinesis_encryption_enforcer::event::{
    Delivery, Fleets, KeyEvent, Request, RequestOptions, Scope, TriggerKind, read,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const OWN_ROLE: &str = "arn:aws:iam::111122223333:role/kinesis-encryption-enforcer";
const ORDERS: &str = "arn:aws:kinesis:us-east-1:111122223333:stream/orders";
const ELSEWHERE: &str = "arn:aws:kinesis:eu-west-1:111122223333:stream/orders";
const OF_ANOTHER: &str = "arn:aws:kinesis:us-east-1:444455556666:stream/orders";
const PAYMENTS: &str = "arn:aws:kinesis:us-east-1:111122223333:stream/payments";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("events")
}

fn file(name: &str) -> Value {
    let path = folder().join(format!("{name}.json"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn streams(texts: &[&str]) -> Scope {
    Scope::Streams(texts.iter().map(|text| text.parse().unwrap()).collect())
}

fn fleet(of: Fleets, start_after: Option<&str>) -> Scope {
    Scope::Fleet { of, start_after: start_after.map(str::to_owned) }
}

fn key() -> KeyRef {
    "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab".parse().unwrap()
}

fn trouble(what: &str) -> Scope {
    Scope::Key(KeyEvent::Trouble { key: key(), what: what.to_owned() })
}

fn store(change: StoreChange) -> Scope {
    Scope::Key(KeyEvent::StoreChanged { store: "cks-1234567890abcdef0".to_owned(), change })
}

fn usable(what: &str) -> Scope {
    Scope::Key(KeyEvent::Usable { key: key(), what: what.to_owned() })
}

fn pointed(alias: &str, target: KeyRef) -> Scope {
    Scope::Key(KeyEvent::AliasPointed { alias: alias.parse().unwrap(), target })
}

/// The failed call of a file, by what differs between them.
fn denied(principal: &str, stream: Option<&str>, code: &str) -> Scope {
    let named = if stream.is_some() { "access-denied-of-stream" } else { "access-denied" };
    let named = if code == "DisabledException" { "access-key-disabled" } else { named };
    let denial = Denial::read(&file(named)["detail"]).unwrap();
    assert_eq!(
        (denial.principal.as_str(), denial.stream.as_ref().map(StreamArn::as_str), denial.code.as_str()),
        (principal, stream, code)
    );
    Scope::Denied(Box::new(denial))
}

/// A file of `events/` and what it means. Files that hold several requests are in a test of their
/// own.
struct Row {
    file: &'static str,
    kind: TriggerKind,
    scope: Scope,
    reason: Option<&'static str>,
}

fn row(file: &'static str, kind: TriggerKind, scope: Scope) -> Row {
    Row { file, kind, scope, reason: None }
}

fn ignored(file: &'static str, reason: &'static str) -> Row {
    Row { file, kind: TriggerKind::Ignored, scope: Scope::Nothing, reason: Some(reason) }
}

fn rows() -> Vec<Row> {
    use TriggerKind::*;
    let elsewhere: KeyRef =
        "arn:aws:kms:us-east-1:111122223333:key/0987dcba-09fe-87dc-65ba-ab0987654321".parse().unwrap();
    let rotated = || Scope::Key(KeyEvent::Rotated { key: key() });
    vec![
        row("stream-created", StreamCreated, streams(&[ORDERS])),
        row("stream-created-by-cloudformation", StreamCreated, streams(&[ORDERS])),
        ignored("stream-creation-failed", "CreateStream failed with ResourceInUseException"),
        ignored("stream-deleted", "DeleteStream does not affect the encryption of a stream"),
        row("encryption-stopped", EncryptionStopped, streams(&[ORDERS])),
        row("encryption-stopped-by-arn", EncryptionStopped, streams(&[ORDERS])),
        ignored("encryption-stop-denied", "StopStreamEncryption failed with AccessDenied"),
        row("encryption-changed", EncryptionChanged, streams(&[ORDERS])),
        row("encryption-changed-by-role", EncryptionChanged, streams(&[ORDERS])),
        ignored("encryption-changed-by-enforcer", "StartStreamEncryption was called by this function itself"),
        row("tags-added", TagsChanged, streams(&[ORDERS])),
        row("tags-changed", TagsChanged, streams(&[ORDERS])),
        row("key-rotated", KeyRotated, rotated()),
        row("key-rotated-old-form", KeyRotated, rotated()),
        ignored(
            "key-rotated-service-event",
            "RotateKey is ignored: the event \"KMS CMK Rotation\" reports the same rotation",
        ),
        ignored(
            "key-rotated-on-demand",
            "RotateKeyOnDemand is ignored: the event \"KMS CMK Rotation\" reports the same rotation",
        ),
        row("alias-repointed", AliasRepointed, pointed("alias/streams", key())),
        row("alias-created", AliasRepointed, pointed("alias/streams", key())),
        row("alias-created-elsewhere", AliasRepointed, pointed("alias/backups", elsewhere)),
        row(
            "alias-deleted",
            KeyStateChanged,
            Scope::Key(KeyEvent::AliasDeleted { alias: "alias/streams".parse().unwrap() }),
        ),
        row("key-disabled", KeyStateChanged, trouble("DisableKey")),
        row("key-enabled", KeyStateChanged, usable("EnableKey")),
        row("key-deletion-scheduled", KeyStateChanged, trouble("ScheduleKeyDeletion")),
        row("key-deletion-cancelled", KeyStateChanged, Scope::Key(KeyEvent::DeletionCancelled { key: key() })),
        row("key-deleted", KeyStateChanged, trouble("KMS CMK Deletion")),
        row("key-material-deleted", KeyStateChanged, trouble("DeleteImportedKeyMaterial")),
        row("key-material-imported", KeyStateChanged, usable("ImportKeyMaterial")),
        row("key-material-expiring", KeyStateChanged, trouble("KMS Imported Key Material Expiration")),
        row("key-store-disconnected", KeyStateChanged, store(StoreChange::Disconnected)),
        row("key-store-connected", KeyStateChanged, store(StoreChange::Connected)),
        row("key-store-updated", KeyStateChanged, store(StoreChange::Updated)),
        row(
            "access-denied",
            AccessDenied,
            denied("arn:aws:iam::111122223333:role/teams/billing", None, "AccessDenied"),
        ),
        row(
            "access-denied-of-stream",
            AccessDenied,
            denied("arn:aws:iam::111122223333:user/reports/nightly", Some(ORDERS), "AccessDeniedException"),
        ),
        row(
            "access-key-disabled",
            AccessDenied,
            denied("arn:aws:iam::111122223333:role/teams/billing", Some(ORDERS), "DisabledException"),
        ),
        ignored("access-denied-elsewhere", "Decrypt failed with AccessDenied"),
        row("compliance-changed", ComplianceChanged, streams(&[ORDERS])),
        ignored("compliance-restored", "the stream is now COMPLIANT"),
        row("configuration-item-changed", ComplianceChanged, streams(&[ORDERS])),
        row("configuration-item-oversized", ComplianceChanged, streams(&[ORDERS])),
        row("config-rule-invocation", ComplianceChanged, streams(&[ORDERS])),
        row("security-finding", SecurityFinding, streams(&[ORDERS])),
        ignored("security-finding-suppressed", "Workflow.Status is SUPPRESSED, not NEW or NOTIFIED"),
        row("security-finding-custom-action", SecurityFinding, streams(&[ORDERS])),
        row("security-finding-v2", SecurityFinding, streams(&[ORDERS])),
        ignored("security-finding-v2-consumer", "no resource of the findings is a Kinesis data stream"),
        row("security-finding-several", SecurityFinding, streams(&[ORDERS, ELSEWHERE, OF_ANOTHER])),
        row("scheduled", Scheduled, fleet(Fleets::All, None)),
        row("scheduled-by-rule", Scheduled, fleet(Fleets::All, None)),
        row("manual-stream", Manual, streams(&["orders"])),
        row("manual-streams", Manual, streams(&["orders", PAYMENTS])),
        row("manual-sweep", Manual, fleet(Fleets::Own, Some("orders"))),
        row("manual-resume", Manual, Scope::Resume),
        row("manual-dry-run", Manual, streams(&[ORDERS])),
        row("on-failure-record", StreamCreated, streams(&[ORDERS])),
        row("sns-notification", StreamCreated, streams(&[ORDERS])),
        row("pipe-batch", StreamCreated, streams(&[ORDERS])),
        row("cloudtrail-record", StreamCreated, streams(&[ORDERS])),
        row("cloudtrail-log", StreamCreated, streams(&[ORDERS])),
        ignored("outcome-event", "\"Stream Encrypted\" is an outcome event of this function"),
        row("dead-letter", EncryptionStopped, streams(&[ORDERS])),
        row("work-item", WorkItem, streams(&[ORDERS])),
        Row {
            file: "unknown",
            kind: Unknown,
            scope: Scope::Unknown { retryable: false },
            reason: Some(
                r#"unsupported payload: an object with "Bucket", "Event", "HostId", "RequestId", "Service", "Time""#,
            ),
        },
    ]
}

/// The files that are batches of a queue.
const BATCHES: [&str; 2] = ["queue-batch", "queue-batch-of-sns"];

fn only(payload: &Value) -> Request {
    match read(payload, &[OWN_ROLE.to_owned()]) {
        Delivery::Direct(mut requests) if requests.len() == 1 => requests.remove(0),
        other => panic!("not one request: {other:?}"),
    }
}

/// What lies inside the envelopes of `events/`.
fn innermost(payload: &Value) -> Value {
    let texts = ["/Records/0/Sns/Message", "/invokingEvent"];
    if let Some(text) = texts.iter().find_map(|text| payload.pointer(text)?.as_str()) {
        return serde_json::from_str(text).unwrap();
    }
    let places = ["/requestPayload", "/event", "/0", "/Records/0"];
    places.iter().find_map(|place| payload.pointer(place)).unwrap_or(payload).clone()
}

#[test]
fn every_event_points_where_it_should() {
    for Row { file: name, kind, scope, reason } in rows() {
        let payload = file(name);
        let inner = innermost(&payload);
        let request = only(&payload);
        assert_eq!(
            (request.trigger.kind, &request.scope, request.trigger.reason.as_deref()),
            (kind, &scope, reason),
            "{name}"
        );
        assert_eq!(request.payload, inner, "{name}");
        assert_eq!(request.manual, kind == TriggerKind::Manual, "{name}");
        assert_eq!(request.redrives, u32::from(name == "dead-letter"), "{name}");
        let wishes = RequestOptions { dry_run: true, reapply: true, no_dead_letter: true };
        assert_eq!(
            request.options,
            if name == "manual-dry-run" { wishes } else { RequestOptions::default() },
            "{name}"
        );
        if inner.get("detail-type").is_some() {
            assert_eq!(request.trigger.event_id.as_deref(), inner["id"].as_str(), "{name}");
            assert_eq!(request.trigger.account.as_deref(), Some("111122223333"), "{name}");
            assert_eq!(request.trigger.region.as_deref(), Some("us-east-1"), "{name}");
            assert_eq!(request.trigger.event_time, inner["time"].as_str().map(|time| time.parse().unwrap()), "{name}");
        }
    }
}

#[test]
fn a_batch_is_read_message_by_message() {
    let batch = file("queue-batch");
    let Delivery::Batch(messages) = read(&batch, &[OWN_ROLE.to_owned()]) else { panic!("not a batch") };
    let expected = [
        ("stream-created", 1, TriggerKind::StreamCreated),
        ("dead-letter", 2, TriggerKind::EncryptionStopped),
        ("work-item", 1, TriggerKind::WorkItem),
    ];
    assert_eq!(messages.len(), expected.len());
    for ((message, record), (name, receives, kind)) in
        messages.iter().zip(batch["Records"].as_array().unwrap()).zip(expected)
    {
        assert_eq!(message.id, record["messageId"], "{name}");
        assert_eq!(message.receipt_handle.as_deref(), record["receiptHandle"].as_str(), "{name}");
        assert_eq!(message.receive_count, receives, "{name}");
        assert_eq!(message.requests, [only(&file(name))], "{name}");
        assert_eq!(message.requests[0].trigger.kind, kind, "{name}");
    }
}

#[test]
fn a_notification_in_a_queue_is_read_like_one_to_the_function() {
    let Delivery::Batch(messages) = read(&file("queue-batch-of-sns"), &[]) else { panic!("not a batch") };
    let [message] = &messages[..] else { panic!("{messages:?}") };
    assert_eq!(message.requests, [only(&file("sns-notification"))]);
    assert_eq!(message.requests[0].payload, file("stream-created"));
}

#[test]
fn an_event_without_its_envelope_is_the_same_event() {
    let whole = only(&file("stream-created"));
    for name in ["cloudtrail-record", "cloudtrail-log"] {
        let Request { trigger, scope, facts, .. } = only(&file(name));
        assert_eq!((&scope, &facts), (&whole.scope, &whole.facts), "{name}");
        assert_eq!((trigger.account, trigger.region), (whole.trigger.account.clone(), whole.trigger.region.clone()));
        assert!(trigger.event_time.is_some() && trigger.event_id.is_some(), "{name}");
    }
}

#[test]
fn every_file_has_a_row_and_every_row_a_file() {
    let files: BTreeSet<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .map(|name| name.strip_suffix(".json").unwrap_or_else(|| panic!("{name} is no event")).to_owned())
        .collect();
    let mut named: BTreeSet<String> = rows().iter().map(|row| row.file.to_owned()).collect();
    assert_eq!(named.len(), rows().len(), "a file has two rows");
    named.extend(BATCHES.map(str::to_owned));
    assert_eq!(files, named);
}

#[test]
fn every_kind_of_trigger_has_a_file() {
    let found: BTreeSet<TriggerKind> = rows().iter().map(|row| row.kind).collect();
    // A match, so that a new kind does not build until it is listed here.
    let next = |kind: TriggerKind| {
        use TriggerKind::*;
        match kind {
            StreamCreated => Some(EncryptionStopped),
            EncryptionStopped => Some(EncryptionChanged),
            EncryptionChanged => Some(KeyRotated),
            KeyRotated => Some(AliasRepointed),
            AliasRepointed => Some(KeyStateChanged),
            KeyStateChanged => Some(TagsChanged),
            TagsChanged => Some(ComplianceChanged),
            ComplianceChanged => Some(SecurityFinding),
            SecurityFinding => Some(AccessDenied),
            AccessDenied => Some(Scheduled),
            Scheduled => Some(Manual),
            Manual => Some(WorkItem),
            WorkItem => Some(Unknown),
            Unknown => Some(Ignored),
            Ignored => None,
        }
    };
    let all: BTreeSet<TriggerKind> =
        std::iter::successors(Some(TriggerKind::StreamCreated), |kind| next(*kind)).collect();
    assert_eq!(found, all);
}

#[test]
fn every_file_is_printed_with_two_spaces() {
    // The order of keys is the sender's, so that lines are compared as a set.
    let lines = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(|line| line.trim_end_matches(',').to_owned()).collect();
        lines.sort();
        lines
    };
    for name in names() {
        let text = fs::read_to_string(folder().join(format!("{name}.json"))).unwrap();
        assert_eq!(lines(&text), lines(&serde_json::to_string_pretty(&file(&name)).unwrap()), "{name}");
    }
}

/// Any JSON, up to four levels deep, with keys that mean something among the others.
fn any_json() -> impl Strategy<Value = Value> {
    let known = prop::sample::select(vec![
        "Records",
        "eventSource",
        "body",
        "kind",
        "version",
        "event",
        "stream",
        "streams",
        "sweep",
        "requestContext",
        "requestPayload",
        "detail-type",
        "source",
        "detail",
        "findings",
        "eventName",
    ]);
    let key = prop_oneof![known.prop_map(str::to_owned), ".{0,6}"];
    let words = prop::sample::select(vec![
        "aws:sqs",
        "enforcement-failure",
        "work-item",
        "aws.kms",
        "{\"stream\":\"a\"}",
        ORDERS,
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(json!(1)),
        words.prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

fn names() -> Vec<String> {
    rows().iter().map(|row| row.file.to_owned()).chain(BATCHES.map(str::to_owned)).collect()
}

/// The JSON pointers of every place in `value`, in the order of a walk; the value itself first.
fn places(value: &Value, at: &str, into: &mut Vec<String>) {
    into.push(at.to_owned());
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| places(item, &format!("{at}/{index}"), into));
        }
        Value::Object(object) => object.iter().for_each(|(key, item)| {
            let key = key.replace('~', "~0").replace('/', "~1");
            places(item, &format!("{at}/{key}"), into);
        }),
        _ => {}
    }
}

/// `value` with one place replaced, or taken away.
fn mutated(mut value: Value, place: prop::sample::Index, with: Option<Value>) -> Value {
    let mut all = Vec::new();
    places(&value, "", &mut all);
    let place = place.get(&all).clone();
    if let Some(with) = with {
        *value.pointer_mut(&place).unwrap() = with;
        return value;
    }
    let Some((parent, key)) = place.rsplit_once('/') else { return Value::Null };
    match value.pointer_mut(parent).unwrap() {
        Value::Array(items) => drop(items.remove(key.parse().unwrap())),
        Value::Object(object) => drop(object.remove(&key.replace("~1", "/").replace("~0", "~"))),
        _ => unreachable!("only arrays and objects hold places"),
    }
    value
}

/// Holds for whatever is delivered.
fn keeps_its_promises(payload: &Value) {
    let check = |requests: &[Request]| {
        assert!(!requests.is_empty(), "no request");
        for request in requests {
            let Request { trigger, scope, payload, .. } = request;
            assert_ne!(payload.get("kind"), Some(&json!("enforcement-failure")), "a letter would carry a letter");
            match scope {
                Scope::Nothing => assert_eq!(trigger.kind, TriggerKind::Ignored),
                Scope::Unknown { .. } => assert_eq!(trigger.kind, TriggerKind::Unknown),
                Scope::NotReached => unreachable!("no reader makes it"),
                Scope::Streams(streams) => assert!(!streams.is_empty()),
                Scope::Denied(_) => assert_eq!(trigger.kind, TriggerKind::AccessDenied),
                Scope::Fleet { .. } | Scope::Key(_) | Scope::Resume => {}
            }
            let declined = matches!(trigger.kind, TriggerKind::Ignored | TriggerKind::Unknown);
            assert_eq!(trigger.reason.is_some(), declined, "{trigger:?}");
        }
    };
    match read(payload, &[OWN_ROLE.to_owned()]) {
        Delivery::Direct(requests) => check(&requests),
        Delivery::Batch(messages) => {
            assert_eq!(messages.len(), payload["Records"].as_array().unwrap().len());
            for message in &messages {
                check(&message.requests);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

    #[test]
    fn any_json_is_read(payload in any_json()) {
        keeps_its_promises(&payload);
    }

    #[test]
    fn a_mutilated_event_is_read(name in prop::sample::select(names()), place: prop::sample::Index, with in prop::option::of(any_json())) {
        keeps_its_promises(&mutated(file(&name), place, with));
    }

    #[test]
    fn a_mutilated_event_in_a_batch_is_read(name in prop::sample::select(names()), place: prop::sample::Index, with in prop::option::of(any_json())) {
        let body = mutated(file(&name), place, with).to_string();
        keeps_its_promises(&json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "m", "body": body }] }));
    }
}
