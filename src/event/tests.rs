//! What the files of `events/` do not show: one thing changed in a real event, and envelopes in
//! envelopes.

use serde_json::{Value, json};

use super::*;

const OWN_ROLE: &str = "arn:aws:iam::111122223333:role/kinesis-encryption-enforcer";
const ORDERS: &str = "arn:aws:kinesis:us-east-1:111122223333:stream/orders";

macro_rules! event {
    ($name:literal) => {
        serde_json::from_str::<Value>(include_str!(concat!("../../events/", $name, ".json"))).unwrap()
    };
}

/// `event` with the value at `pointer` replaced; a new key is added.
fn with(mut event: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    event.pointer_mut(parent).unwrap()[key] = value;
    event
}

fn without(mut event: Value, pointer: &str) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    event.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key).unwrap();
    event
}

fn direct(payload: &Value) -> Vec<Request> {
    match read(payload, &[OWN_ROLE.to_owned()]) {
        Delivery::Direct(requests) => requests,
        Delivery::Batch(messages) => panic!("a batch: {messages:?}"),
    }
}

fn only(payload: &Value) -> Request {
    let mut requests = direct(payload);
    assert_eq!(requests.len(), 1, "{requests:?}");
    requests.remove(0)
}

fn streams(texts: &[&str]) -> Scope {
    Scope::Streams(texts.iter().map(|text| text.parse().unwrap()).collect())
}

#[track_caller]
fn check_streams(payload: &Value, kind: TriggerKind, expected: &[&str]) {
    let request = only(payload);
    assert_eq!((request.trigger.kind, request.trigger.reason, request.scope), (kind, None, streams(expected)));
}

/// The event is declined, and the reason names `part`.
#[track_caller]
fn check_declined(payload: &Value, kind: TriggerKind, part: &str) {
    let request = only(payload);
    let reason = request.trigger.reason.unwrap();
    assert_eq!(request.trigger.kind, kind, "{reason}");
    assert!(reason.contains(part), "{reason:?} does not say {part:?}");
    assert_eq!(request.payload, *payload, "the payload is kept");
}

#[track_caller]
fn check_ignored(payload: &Value, part: &str) {
    check_declined(payload, TriggerKind::Ignored, part);
}

#[track_caller]
fn check_unknown(payload: &Value, part: &str) {
    check_declined(payload, TriggerKind::Unknown, part);
}

fn sqs(bodies: impl IntoIterator<Item = String>) -> Value {
    let record = |body| json!({ "eventSource": "aws:sqs", "messageId": "m", "body": body });
    json!({ "Records": bodies.into_iter().map(record).collect::<Vec<_>>() })
}

fn dead_letter(event: &Value, attempts: u32) -> Value {
    json!({ "version": 1, "kind": "enforcement-failure", "attempts": attempts, "event": event })
}

fn on_failure(payload: &Value) -> Value {
    json!({ "requestContext": { "condition": "RetriesExhausted" }, "requestPayload": payload })
}

#[test]
fn a_stream_is_identified_by_the_parameters_and_the_recipient() {
    let created = event!("stream-created");
    let elsewhere = with(
        with(created.clone(), "/detail/recipientAccountId", json!("444455556666")),
        "/account",
        json!("444455556666"),
    );
    check_streams(&elsewhere, TriggerKind::StreamCreated, &["arn:aws:kinesis:us-east-1:444455556666:stream/orders"]);
    let by_envelope = without(without(created.clone(), "/detail/recipientAccountId"), "/detail/awsRegion");
    check_streams(&by_envelope, TriggerKind::StreamCreated, &[ORDERS]);
    let nowhere = without(by_envelope, "/account");
    check_unknown(&nowhere, "has no account or no Region");

    let stopped = event!("encryption-stopped-by-arn");
    check_streams(
        &with(stopped.clone(), "/detail/requestParameters/streamName", json!("orders")),
        TriggerKind::EncryptionStopped,
        &[ORDERS],
    );
    check_unknown(&with(stopped.clone(), "/detail/requestParameters/streamName", json!("payments")), "payments");
    check_unknown(&with(stopped.clone(), "/account", json!("444455556666")), "the event is from account 444455556666");
    check_unknown(
        &with(stopped.clone(), "/detail/requestParameters", json!({})),
        "neither a streamName nor a streamARN",
    );
    check_unknown(&with(stopped.clone(), "/detail/requestParameters/streamARN", json!(7)), "streamARN");
    check_ignored(&with(stopped, "/detail/requestParameters", json!(null)), "has no request parameters");
}

#[test]
fn every_partition_is_read() {
    for (region, arn) in [
        ("cn-north-1", "arn:aws-cn:kinesis:cn-north-1:111122223333:stream/orders"),
        ("us-gov-west-1", "arn:aws-us-gov:kinesis:us-gov-west-1:111122223333:stream/orders"),
    ] {
        let by_name =
            with(with(event!("stream-created"), "/detail/awsRegion", json!(region)), "/region", json!(region));
        check_streams(&by_name, TriggerKind::StreamCreated, &[arn]);
        let by_arn = with(event!("encryption-stopped-by-arn"), "/detail/requestParameters/streamARN", json!(arn));
        check_streams(&by_arn, TriggerKind::EncryptionStopped, &[arn]);
        let rotated = only(&with(event!("key-rotated"), "/region", json!(region))).scope;
        let partition = arn.split(':').nth(1).unwrap();
        let key = format!("arn:{partition}:kms:{region}:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab")
            .parse()
            .unwrap();
        assert_eq!(rotated, Scope::Key(KeyEvent::Rotated { key }));
    }
}

#[test]
fn only_the_functions_own_start_is_ignored() {
    let own = event!("encryption-changed-by-enforcer");
    let kind = |payload: &Value, role: Option<&str>| match read(
        payload,
        &role.map(str::to_owned).into_iter().collect::<Vec<_>>(),
    ) {
        Delivery::Direct(requests) => requests[0].trigger.kind,
        Delivery::Batch(_) => unreachable!(),
    };
    assert_eq!(kind(&own, Some(OWN_ROLE)), TriggerKind::Ignored);
    assert_eq!(kind(&own, Some("arn:aws:iam::111122223333:role/another")), TriggerKind::EncryptionChanged);
    assert_eq!(kind(&own, None), TriggerKind::EncryptionChanged);
    let stopped = with(own, "/detail/eventName", json!("StopStreamEncryption"));
    assert_eq!(kind(&stopped, Some(OWN_ROLE)), TriggerKind::EncryptionStopped);
    for identity in [
        json!({ "type": "Root", "arn": "arn:aws:iam::111122223333:root" }),
        json!({ "type": "AWSService", "invokedBy": "cloudformation.amazonaws.com" }),
        json!({ "accountId": "111122223333" }),
        json!({ "type": "AssumedRole", "sessionContext": { "webIdFederationData": { "attributes": {} } } }),
        Value::Null,
    ] {
        let changed = with(event!("encryption-changed"), "/detail/userIdentity", identity.clone());
        assert_eq!(kind(&changed, Some(OWN_ROLE)), TriggerKind::EncryptionChanged, "{identity}");
        assert_eq!(kind(&changed, None), TriggerKind::EncryptionChanged, "{identity}");
    }
}

#[test]
fn tags_of_what_is_no_stream_are_ignored() {
    let consumer = format!("{ORDERS}/consumer/reader:1700000000");
    check_ignored(
        &with(event!("tags-changed"), "/detail/requestParameters/resourceARN", json!(consumer)),
        "not a stream",
    );
    for (event, call) in [(event!("tags-added"), "RemoveTagsFromStream"), (event!("tags-changed"), "UntagResource")] {
        check_streams(&with(event, "/detail/eventName", json!(call)), TriggerKind::TagsChanged, &[ORDERS]);
    }
}

#[test]
fn keys_are_canonical_however_they_were_given() {
    let arn = "arn:aws:kms:eu-west-1:444455556666:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    let expected =
        |key: &str| Scope::Key(KeyEvent::Trouble { key: key.parse().unwrap(), what: "DisableKey".to_owned() });
    let disabled = event!("key-disabled");
    let by_arn = with(disabled.clone(), "/detail/requestParameters/keyId", json!(arn));
    assert_eq!(only(&by_arn).scope, expected(arn));
    let by_id = with(
        with(disabled.clone(), "/detail/awsRegion", json!("eu-west-1")),
        "/detail/recipientAccountId",
        json!("444455556666"),
    );
    assert_eq!(only(&by_id).scope, expected(arn));
    check_unknown(&with(disabled.clone(), "/detail/requestParameters/keyId", json!("orders")), "orders");
    check_unknown(&with(disabled.clone(), "/detail/requestParameters", json!({})), "has no keyId");
    check_ignored(
        &with(disabled.clone(), "/detail/errorCode", json!("KMSInvalidStateException")),
        "DisableKey failed with KMSInvalidStateException",
    );
    check_ignored(&with(disabled, "/detail/eventName", json!("PutKeyPolicy")), "PutKeyPolicy");
    let deleted = with(event!("key-rotated-service-event"), "/detail/eventName", json!("DeleteKey"));
    check_ignored(&deleted, "KMS CMK Deletion");
    // A direct event without a key-id still names the key among its resources.
    let bare = with(event!("key-rotated"), "/detail", json!({}));
    assert_eq!(only(&bare).scope, only(&event!("key-rotated")).scope);
    check_unknown(&with(bare, "/resources", json!([])), "has no key-id");
}

#[test]
fn config_concerns_only_streams_that_exist() {
    let item = event!("configuration-item-changed");
    for status in ["ResourceDeleted", "ResourceDeletedNotRecorded", "ResourceNotRecorded"] {
        check_ignored(&with(item.clone(), "/detail/configurationItem/configurationItemStatus", json!(status)), status);
    }
    check_streams(&without(item.clone(), "/detail/configurationItem/ARN"), TriggerKind::ComplianceChanged, &[ORDERS]);
    check_ignored(&with(item, "/detail/configurationItem/resourceType", json!("AWS::S3::Bucket")), "AWS::S3::Bucket");
    let rule = event!("compliance-changed");
    check_ignored(&with(rule.clone(), "/detail/resourceType", json!("AWS::S3::Bucket")), "AWS::S3::Bucket");
    check_ignored(&without(rule.clone(), "/detail/newEvaluationResult"), "no longer has a result");
    check_unknown(&without(rule, "/detail/resourceId"), "names no stream");
}

#[test]
fn a_finding_says_which_condition_it_fails() {
    let finding = event!("security-finding");
    let at = |field: &str| format!("/detail/findings/0/{field}");
    check_ignored(&with(finding.clone(), &at("Compliance/Status"), json!("PASSED")), "Compliance.Status is PASSED");
    check_ignored(&with(finding.clone(), &at("RecordState"), json!("ARCHIVED")), "RecordState is ARCHIVED");
    check_ignored(&with(finding.clone(), &at("Workflow/Status"), json!("RESOLVED")), "Workflow.Status is RESOLVED");
    check_ignored(&without(finding.clone(), &at("Workflow")), "Workflow.Status is absent");
    let other = with(finding.clone(), &at("GeneratorId"), json!("security-control/EC2.18"));
    check_ignored(&with(other.clone(), &at("Compliance/SecurityControlId"), json!("EC2.18")), "EC2.18");
    check_ignored(&with(other, &at("Compliance/SecurityControlId"), json!("Kinesis.10")), "Kinesis.10");
    check_unknown(&with(finding.clone(), "/detail/findings", json!([])), "no stream");
    check_unknown(&with(finding.clone(), &at("Resources"), json!([])), "no stream");

    // Control findings that are not consolidated name the control in the generator only.
    let by_standard =
        with(finding.clone(), &at("GeneratorId"), json!("aws-foundational-security-best-practices/v/1.0.0/Kinesis.1"));
    check_streams(&without(by_standard, &at("Compliance/SecurityControlId")), TriggerKind::SecurityFinding, &[ORDERS]);
    check_streams(
        &with(finding.clone(), &at("Workflow/Status"), json!("NOTIFIED")),
        TriggerKind::SecurityFinding,
        &[ORDERS],
    );

    // One finding's objection does not hide another finding; a foreign ARN is kept for the caller
    // to refuse.
    let foreign = "arn:aws:kinesis:eu-west-1:444455556666:stream/orders";
    let mut both = event!("security-finding-suppressed");
    let second =
        with(finding.clone(), &at("Resources"), json!([{ "Type": "AwsKinesisStream", "Id": foreign }]))["detail"]["findings"][0].clone();
    both["detail"]["findings"].as_array_mut().unwrap().push(second);
    check_streams(&both, TriggerKind::SecurityFinding, &[foreign]);

    // A person's choice counts whatever the state of the finding.
    let chosen = with(event!("security-finding-custom-action"), &at("Workflow/Status"), json!("SUPPRESSED"));
    check_streams(&chosen, TriggerKind::SecurityFinding, &[ORDERS]);
    check_ignored(&with(chosen, &at("Resources"), json!([])), "is about a Kinesis data stream");
}

/// The event with these resources in place of those of its first finding.
fn with_resources(event: Value, field: &str, resources: &Value) -> Value {
    with(event, &format!("/detail/findings/0/{field}"), resources.clone())
}

#[test]
fn what_cannot_be_read_in_a_finding_does_not_hide_its_streams() {
    let streams_and_more = json!([
        { "Type": "AwsKinesisStream", "Id": "AWS::::Account:111122223333" },
        { "Type": "AwsKinesisStream", "Id": ORDERS },
        { "Type": "AwsKinesisStream" },
        { "Type": "AwsKinesisStream", "Id": format!("{ORDERS}/consumer/billing:1") },
        { "Type": "AwsKinesisStreamConsumer", "Id": format!("{ORDERS}/consumer/billing:1") },
        { "Type": "AwsS3Bucket", "Id": "arn:aws:s3:::orders" },
        7,
        { "Type": "AwsKinesisStream", "Id": ORDERS },
    ]);
    let unreadable =
        ["\"AWS::::Account:111122223333\"".to_owned(), "\"\"".to_owned(), format!("\"{ORDERS}/consumer/billing:1\"")];
    for name in [event!("security-finding"), event!("security-finding-custom-action")] {
        let event = with_resources(name, "Resources", &streams_and_more);
        let request = only(&event);
        assert_eq!((&request.scope, &request.finding.unreadable[..]), (&streams(&[ORDERS]), &unreadable[..]));

        // A finding that cannot be read hides no other finding, either.
        let mut several = event;
        several["detail"]["findings"].as_array_mut().unwrap().insert(0, json!({ "Resources": 7 }));
        let request = only(&several);
        assert_eq!((request.scope, request.finding.unreadable.len()), (streams(&[ORDERS]), 4));
        assert_eq!(request.finding.unreadable[0], "findings[0] (found integer `7`, expected an array (at Resources))");

        // A dead letter about the one stream says nothing about the others.
        let redriven = only(&with(dead_letter(&several, 1), "/stream", json!(ORDERS)));
        assert_eq!((redriven.scope, redriven.finding.unreadable.len()), (streams(&[ORDERS]), 0));
    }
    // A consumer's finding is not about its stream, which has findings of its own.
    let consumer = json!([{ "Type": "AwsKinesisStreamConsumer", "Id": format!("{ORDERS}/consumer/billing:1") }]);
    check_ignored(
        &with_resources(event!("security-finding"), "Resources", &consumer),
        "no resource of the findings is a Kinesis data stream",
    );
    let none = json!([{ "Type": "AwsKinesisStream", "Id": "orders" }, { "Type": "AwsKinesisStream", "Id": "arn" }]);
    check_unknown(
        &with_resources(event!("security-finding"), "Resources", &none),
        "the findings name no stream ARN, but \"orders\", \"arn\"",
    );
}

#[test]
fn an_ocsf_finding_is_about_its_resources_and_not_about_its_texts() {
    let finding = event!("security-finding-v2");
    let resources = |resources: Value| with_resources(finding.clone(), "resources", &resources);
    let typed = "AWS::Kinesis::Stream";
    let payments = "arn:aws:kinesis:us-east-1:111122223333:stream/payments";
    let owner = json!({ "account": { "uid": "444455556666" } });
    for (resource, stream) in [
        (json!({ "uid_alt": ORDERS, "uid": payments }), ORDERS),
        (json!({ "type": typed, "uid_alt": "x", "uid": payments }), payments),
        (json!({ "type": "AwsKinesisStream", "uid": ORDERS }), ORDERS),
        (json!({ "type": typed, "uid": "orders" }), ORDERS),
        (json!({ "type": typed, "uid": "x", "name": "orders", "region": "us-east-1" }), ORDERS),
        (
            json!({ "type": typed, "name": "orders", "region": "eu-west-1", "owner": owner }),
            "arn:aws:kinesis:eu-west-1:444455556666:stream/orders",
        ),
    ] {
        check_streams(&resources(json!([resource])), TriggerKind::SecurityFinding, &[stream]);
    }
    // Without the fields of the cloud, the finding is where its event is.
    let nowhere = without(resources(json!([{ "type": typed, "uid": "orders" }])), "/detail/findings/0/cloud");
    check_streams(&nowhere, TriggerKind::SecurityFinding, &[ORDERS]);

    for other in [
        json!({ "type": "AWS::Kinesis::StreamConsumer", "uid_alt": ORDERS }),
        json!({ "uid": format!("{ORDERS}/consumer/billing:1") }),
        json!({ "name": "orders" }),
        json!({ "type": "AWS::S3::Bucket", "tags": [{ "name": "a", "value": ORDERS }], "data": { "arn": ORDERS } }),
    ] {
        check_ignored(&resources(json!([other])), "no resource of the findings is a Kinesis data stream");
    }
    let request = only(&resources(json!([
        { "type": typed, "uid_alt": ORDERS },
        { "type": typed, "uid_alt": format!("{ORDERS}/consumer/billing:1"), "name": "orders" },
        { "type": typed, "name": "a b" },
        { "type": typed, "uid": 7 },
    ])));
    assert_eq!((request.scope, request.finding.unreadable.len()), (streams(&[ORDERS]), 3));

    let at = |field: &str, value: Value| with(finding.clone(), &format!("/detail/findings/0/{field}"), value);
    check_ignored(&at("compliance/control", json!("Kinesis.3")), "the finding is about Kinesis.3");
    check_ignored(&at("compliance", json!(null)), "the finding names no control");
    check_ignored(&at("compliance/status", json!("Pass")), "compliance.status is Pass, not Fail");
    check_streams(&at("compliance/status", json!("FAILED")), TriggerKind::SecurityFinding, &[ORDERS]);
    check_streams(&at("status_id", json!(2)), TriggerKind::SecurityFinding, &[ORDERS]);
    for closed in [json!(3), json!(4), json!(5), json!(null)] {
        check_ignored(&at("status_id", closed), "not New or In Progress");
    }
}

#[test]
fn a_schedule_may_have_any_detail() {
    for detail in [json!("{}"), json!({}), json!(null), json!({ "a": 1 })] {
        let request = only(&with(event!("scheduled"), "/detail", detail));
        assert_eq!(
            (request.trigger.kind, request.scope),
            (TriggerKind::Scheduled, Scope::Fleet { of: Fleets::All, start_after: None })
        );
    }
    let request = only(&without(event!("scheduled"), "/detail"));
    assert_eq!(
        (request.trigger.kind, request.scope),
        (TriggerKind::Scheduled, Scope::Fleet { of: Fleets::All, start_after: None })
    );
}

#[test]
fn events_of_others_are_not_understood() {
    check_unknown(&with(event!("stream-created"), "/source", json!("custom.kinesis")), "not an event from AWS");
    check_unknown(&with(event!("stream-created"), "/source", json!("aws.s3")), "aws.s3");
    check_unknown(&with(event!("scheduled"), "/source", json!("aws.kinesis")), "Scheduled Event");
    check_unknown(&with(event!("scheduled"), "/time", json!("noon")), "time");
    check_unknown(&with(event!("stream-created"), "/detail", json!(null)), "has no detail");
    for (payload, part) in [
        (json!(null), "null"),
        (json!(7), "a number"),
        (json!(true), "a boolean"),
        (json!("hello"), "the string \"hello\""),
        (json!([1, 2]), "an array of 2 items"),
        (json!({}), "an empty object"),
        (
            json!({ "Records": [{ "eventSource": "aws:s3" }] }),
            "records of the service s3; deliver events of EventBridge",
        ),
        (json!({ "Records": [{ "eventSource": "AWS:S3" }] }), "\"Records\""),
        (json!({ "requestContext": {}, "rawPath": "/" }), "\"rawPath\""),
        (json!({ "requestContext": { "http": { "method": "GET" } }, "rawPath": "/" }), "an HTTP request; invoke"),
        (json!({ "httpMethod": "GET" }), "an HTTP request; invoke"),
        (json!({ "Type": "SubscriptionConfirmation", "SubscribeURL": "https://" }), "confirm it with the SubscribeURL"),
        (json!({ "findings": [] }), "findings of Security Hub without their event; deliver the whole event"),
        (json!({ "key-id": "1234abcd" }), "the detail of an event of KMS; deliver the whole event"),
        (json!({ "eventSource": "s3.amazonaws.com", "eventName": "CreateBucket" }), "from \"aws.s3\""),
        (json!({ "messageType": "News" }), "\"messageType\""),
    ] {
        check_unknown(&payload, part);
    }
}

#[test]
fn an_event_without_an_id_is_known_by_cloudtrails() {
    let request = only(&without(event!("stream-created"), "/id"));
    assert_eq!(request.trigger.event_id.as_deref(), event!("stream-created")["detail"]["eventID"].as_str());
}

#[test]
fn the_functions_own_outcome_events_are_ignored() {
    let event = event!("outcome-event");
    for detail_type in ["Stream Encrypted", "Key At Risk", "anything"] {
        check_ignored(&with(event.clone(), "/detail-type", json!(detail_type)), "is an outcome event of this function");
    }
}

#[test]
fn a_key_that_is_there_twice_is_refused_wherever_json_is_read() {
    let twice = r#"{"stream":"orders","dryRun":true,"dryRun":false}"#;
    let reason = "ambiguous JSON: the key \"dryRun\" is there twice (at dryRun); remove one of the two";
    let check = |request: &Request, manual: bool| {
        let found = (request.trigger.kind, request.trigger.reason.as_deref(), &request.payload, request.manual);
        assert_eq!(found, (TriggerKind::Unknown, Some(reason), &json!(twice), manual));
    };
    let Payload(payload) = serde_json::from_str(twice).unwrap();
    check(&only(&payload), true);
    let Delivery::Batch(messages) = read(&sqs([twice.to_owned()]), &[]) else { panic!("not a batch") };
    check(&messages[0].requests[0], true);
    check(&only(&dead_letter(&json!(twice), 1)), true);
    check(&only(&with(event!("sns-notification"), "/Records/0/Sns/Message", json!(twice))), true);
    check(&only(&with(event!("config-rule-invocation"), "/invokingEvent", json!(twice))), true);
    check(&only(&json!([{ "eventSource": "aws:sqs", "messageId": "m", "body": twice }])), true);

    for (text, place) in [
        (r#"{"version":1,"kind":"work-item","stream":"a","stream":"b"}"#, "(at stream)"),
        (r#"{"kind":"enforcement-failure","version":1,"event":{"sweep":true,"sweep":true}}"#, "(at event.sweep)"),
        (r#"{"detail-type":"x","source":"y","detail":{"a":[{"b":1,"b":2}]}}"#, "(at detail.a[0].b)"),
    ] {
        let Payload(payload) = serde_json::from_str(text).unwrap();
        let request = only(&payload);
        assert!(request.trigger.reason.unwrap().contains(place), "{text}");
        assert_eq!(
            (request.scope, request.payload, request.manual),
            (Scope::Unknown { retryable: false }, json!(text), false)
        );
    }
}

#[test]
fn what_comes_through_a_topic_or_a_pipe_says_where_to_look_and_not_to_reapply() {
    let item = with(event!("work-item"), "/reapply", json!(true));
    let request = json!({ "stream": "orders", "reapply": true, "dryRun": true });
    let about_one = with(dead_letter(&request, 1), "/stream", json!(ORDERS));
    for payload in [&item, &request, &about_one, &on_failure(&request)] {
        let text = payload.to_string();
        let by_topic = with(event!("sns-notification"), "/Records/0/Sns/Message", json!(text));
        let record = by_topic["Records"][0]["Sns"].clone();
        let by_pipe = json!([payload]);
        let by_text = json!([text]);
        let by_queue = json!([{ "eventSource": "aws:sqs", "messageId": "m", "body": text }]);
        for envelope in [by_topic, record, by_pipe, by_text, by_queue] {
            check_unknown(&envelope, "reapply is not accepted through a topic or a pipe");
            // Neither is it after a redrive.
            let redriven = only(&dead_letter(&envelope, 1));
            assert_eq!((redriven.scope, &redriven.payload), (Scope::Unknown { retryable: false }, &envelope));
        }
    }
    let harmless = json!([{ "stream": "orders", "dryRun": true }, { "sweep": true }]);
    let requests = direct(&harmless);
    assert_eq!((&requests[0].scope, requests[0].options.dry_run), (&streams(&["orders"]), true));
    assert_eq!(requests[1].scope, Scope::Fleet { of: Fleets::Own, start_after: None });
}

#[test]
fn envelopes_with_nothing_for_the_function_are_ignored() {
    let elsewhere = json!({ "eventSource": "s3.amazonaws.com", "eventName": "CreateBucket" });
    check_ignored(&json!({ "Records": [elsewhere] }), "no record of the CloudTrail log file is about Kinesis or KMS");
    check_ignored(&json!([]), "the array is empty");
    let scheduled =
        json!({ "invokingEvent": json!({ "messageType": "ScheduledNotification" }).to_string(), "resultToken": "t" });
    let request = only(&scheduled);
    let reason = "the notification ScheduledNotification of AWS Config is about no single resource";
    assert_eq!((request.trigger.kind, request.trigger.reason.as_deref()), (TriggerKind::Ignored, Some(reason)));
    let history = json!({ "messageType": "ConfigurationHistoryDeliveryCompleted" });
    check_ignored(&history, "ConfigurationHistoryDeliveryCompleted");
    check_unknown(
        &json!({ "Records": [{ "EventSource": "aws:sns", "Sns": {} }] }),
        "the SNS notification has no Message",
    );
    let text = only(&with(event!("sns-notification"), "/Records/0/Sns/Message", json!("ALARM: too hot")));
    assert_eq!((text.trigger.kind, text.payload), (TriggerKind::Unknown, json!("ALARM: too hot")));
}

#[test]
fn a_long_array_or_log_contributes_a_thousand_requests_and_keeps_the_rest() {
    let record = event!("cloudtrail-record");
    let other = json!({ "eventSource": "s3.amazonaws.com", "eventName": "CreateBucket" });
    let log: Vec<_> = (0..2_020).map(|n| if n % 2 == 0 { record.clone() } else { other.clone() }).collect();
    for (payload, left) in [(json!({ "Records": log }), 10), (json!(vec![record.clone(); 1_010]), 10)] {
        let requests = direct(&payload);
        assert_eq!(requests.len(), 1_001);
        let last = &requests[1_000];
        assert!(last.trigger.reason.as_deref().unwrap().contains(&format!("{left} messages were not read")));
        assert!(direct(&last.payload).iter().all(|request| request.scope == streams(&[ORDERS])));
    }
}

#[test]
fn a_bare_notification_of_config_is_read_like_its_event() {
    for event in
        [event!("compliance-changed"), event!("configuration-item-changed"), event!("configuration-item-oversized")]
    {
        let (whole, bare) = (only(&event), only(&event["detail"]));
        assert_eq!((bare.trigger.kind, &bare.scope), (whole.trigger.kind, &whole.scope));
    }
    // By name, the stream is in the account and Region of the notification.
    let by_name = json!({
        "messageType": "ComplianceChangeNotification",
        "resourceType": "AWS::Kinesis::Stream",
        "resourceId": "orders",
        "awsAccountId": "111122223333",
        "awsRegion": "us-east-1",
        "newEvaluationResult": { "complianceType": "NON_COMPLIANT" },
    });
    check_streams(&by_name, TriggerKind::ComplianceChanged, &[ORDERS]);
    assert_eq!(only(&by_name).trigger.account.as_deref(), Some("111122223333"));
}

#[test]
fn an_empty_error_code_is_no_failure() {
    let created = with(event!("stream-created"), "/detail/errorCode", json!(""));
    check_streams(&created, TriggerKind::StreamCreated, &[ORDERS]);
    let stopped = only(&with(event!("encryption-stopped"), "/detail/errorCode", json!("")));
    assert!(stopped.facts.foreign_change.is_some(), "the change by another principal is known");
}

#[test]
fn a_manual_request_is_exact_or_refused() {
    let many = |count: usize| json!({ "streams": (0..count).map(|n| format!("s{n}")).collect::<Vec<_>>() });
    for (payload, part) in [
        (json!({ "stream": 7 }), "at stream"),
        (json!({ "stream": null }), "at stream"),
        (json!({ "stream": "a b" }), "at stream"),
        (json!({ "stream": "orders", "dryrun": true }), "there is no field \"dryrun\" (did you mean \"dryRun\"?)"),
        (
            json!({ "sweep": true, "start_after": "a" }),
            "there is no field \"start_after\" (did you mean \"startAfter\"?)",
        ),
        (json!({ "stream": "orders", "mode": "audit" }), "there is no field \"mode\"; accepted requests: "),
        (json!({ "resume": true, "key": "x".repeat(100) }), "{\"resume\": true}"),
        (json!({ "stream": "orders", "dryRun": "yes" }), "at dryRun"),
        (json!({ "stream": "orders", "streams": ["a"] }), "only one of stream, streams and sweep"),
        (json!({ "stream": "orders", "sweep": true }), "only one of stream, streams and sweep"),
        (json!({ "stream": "orders", "startAfter": "a" }), "startAfter is only allowed with sweep"),
        (json!({ "streams": [] }), "streams is empty"),
        (json!({ "streams": ["a", 7] }), "streams[1]"),
        (json!({ "streams": ["a", "b c"] }), "streams[1]"),
        (many(1_001), "1001 entries"),
        (json!({ "sweep": false }), "sweep must be true"),
        (json!({ "sweep": true, "startAfter": "a b" }), "at startAfter"),
        (json!({ "sweep": true, "account": "4444" }), "at account"),
        (json!({ "stream": "orders", "account": "444455556666" }), "name a stream of another account by its ARN"),
        (json!({ "dryRun": true }), "one of stream, streams and sweep is required"),
    ] {
        check_unknown(&payload, part);
        check_unknown(&payload, "accepted requests: {\"stream\"");
        assert!(only(&payload).manual, "{payload}");
    }
    check_streams(&json!({ "streams": ["a", "b", "a"] }), TriggerKind::Manual, &["a", "b"]);
    assert!(matches!(only(&many(1_000)).scope, Scope::Streams(streams) if streams.len() == 1_000));
    let of_a_member = only(&json!({ "sweep": true, "account": "444455556666" })).scope;
    assert_eq!(of_a_member, Scope::Fleet { of: Fleets::Account("444455556666".to_owned()), start_after: None });
    assert!(only(&json!({ "stream": "a b", "deadLetter": false })).options.no_dead_letter);
    assert!(!only(&json!({ "stream": "a", "deadLetter": true })).options.no_dead_letter);
}

#[test]
fn a_work_item_is_one_stream_or_a_sweep_of_version_1() {
    let item = event!("work-item");
    let request = only(&item);
    let Trigger { event_id, event_time, account, region, .. } = request.trigger;
    assert_eq!(event_id.as_deref(), item["origin"]["eventId"].as_str());
    assert_eq!(event_time, Some("2026-09-19T11:25:27Z".parse().unwrap()));
    assert_eq!((account.as_deref(), region.as_deref()), (Some("111122223333"), Some("us-east-1")));

    let sweep = with(without(item.clone(), "/stream"), "/sweep", json!({ "startAfter": "orders" }));
    let request = only(&sweep);
    assert_eq!(
        (request.trigger.kind, request.scope),
        (TriggerKind::WorkItem, Scope::Fleet { of: Fleets::Own, start_after: Some("orders".to_owned()) })
    );

    let of_a_member = only(&with(sweep.clone(), "/sweep/account", json!("444455556666")));
    let expected =
        Scope::Fleet { of: Fleets::Account("444455556666".to_owned()), start_after: Some("orders".to_owned()) };
    assert_eq!((of_a_member.scope, of_a_member.trigger.account.as_deref()), (expected, Some("444455556666")));
    check_unknown(&with(sweep, "/sweep/account", json!("4444")), "12 digits");

    check_unknown(
        &with(item.clone(), "/version", json!(2)),
        "the work item has version 2, this function reads version 1",
    );
    check_unknown(&without(item.clone(), "/version"), "the work item has no version");
    check_unknown(&without(item.clone(), "/stream"), "neither a stream nor a sweep");
    check_unknown(&with(item.clone(), "/sweep", json!({})), "both a stream and a sweep");
    check_unknown(&with(item, "/stream", json!("a b")), "a b");
}

#[test]
fn a_dead_letter_is_about_its_stream_or_else_about_its_event() {
    let event = event!("manual-streams");
    let fleet_letter = only(&dead_letter(&event, 3));
    assert_eq!(fleet_letter.scope, only(&event).scope);
    assert_eq!((fleet_letter.redrives, &fleet_letter.payload), (3, &event));

    let about_one = only(&with(dead_letter(&event, 3), "/stream", json!(ORDERS)));
    assert_eq!((about_one.trigger.kind, about_one.scope), (TriggerKind::Manual, streams(&[ORDERS])));
    assert_eq!((about_one.redrives, &about_one.payload), (3, &event));

    // A payload that was no JSON stays unknown, unless the dead letter knows the stream.
    let text = only(&dead_letter(&json!("{oops"), 1));
    assert_eq!(
        (text.trigger.kind, text.scope, &text.payload),
        (TriggerKind::Unknown, Scope::Unknown { retryable: false }, &json!("{oops"))
    );
    let text_about_one = only(&with(dead_letter(&json!("{oops"), 1), "/stream", json!(ORDERS)));
    assert_eq!((text_about_one.scope, &text_about_one.payload), (streams(&[ORDERS]), &json!("{oops")));

    let several = sqs([event.to_string(), event!("stream-created").to_string()]);
    let about_one = only(&with(dead_letter(&several, 0), "/stream", json!(ORDERS)));
    assert_eq!((about_one.scope, &about_one.payload), (streams(&[ORDERS]), &several));
}

#[test]
fn a_dead_letter_that_cannot_be_read_keeps_its_event() {
    let event = event!("stream-created");
    for (broken, part) in [
        (with(dead_letter(&event, 2), "/version", json!(2)), "the dead letter has version 2"),
        (with(dead_letter(&event, 2), "/stream", json!(7)), "is not a string"),
        (with(dead_letter(&event, 2), "/stream", json!("a b")), "a b"),
    ] {
        let request = only(&broken);
        assert!(request.trigger.reason.unwrap().contains(part), "{part}");
        assert_eq!(
            (request.scope, request.payload, request.redrives),
            (Scope::Unknown { retryable: false }, event.clone(), 2),
            "{part}"
        );
    }
    let empty = without(dead_letter(&event, 2), "/event");
    let request = only(&empty);
    assert!(request.trigger.reason.unwrap().contains("neither a stream nor an event"));
    assert_eq!(request.payload, Value::String(empty.to_string()), "as text it is not a dead letter any more");
}

#[test]
fn dead_letters_in_letters_are_taken_off_and_the_largest_count_stays() {
    let event = event!("stream-created");
    for (outer, inner) in [(1, 4), (4, 1)] {
        let request = only(&dead_letter(&on_failure(&dead_letter(&event, inner)), outer));
        assert_eq!((request.trigger.kind, request.redrives, &request.payload), (TriggerKind::StreamCreated, 4, &event));
    }
    assert_eq!(only(&with(dead_letter(&event, 0), "/attempts", json!(u64::MAX))).redrives, u32::MAX);
    assert_eq!(only(&with(dead_letter(&event, 0), "/attempts", json!(-1))).redrives, 0);
}

#[test]
fn eight_envelopes_are_opened_and_a_ninth_is_not() {
    let event = event!("stream-created");
    let wrapped = |depth| (0..depth).fold(event.clone(), |inner, _| on_failure(&inner));
    assert_eq!(only(&wrapped(8)).payload, event);
    let request = only(&wrapped(9));
    assert!(request.trigger.reason.unwrap().contains("more than 8 envelopes"));
    assert_eq!((request.scope, request.payload), (Scope::Unknown { retryable: false }, wrapped(1)));
    // Letters are taken off the payload however many there are.
    let letters = (0..20).fold(event.clone(), |inner, _| dead_letter(&inner, 1));
    let request = only(&letters);
    assert_eq!((request.scope, request.payload), (Scope::Unknown { retryable: false }, event));
}

#[test]
fn a_wrapped_batch_contributes_a_thousand_requests_and_keeps_the_rest() {
    let batch = sqs((0..1_005).map(|n| json!({ "stream": format!("s{n}") }).to_string()));
    let requests = direct(&on_failure(&batch));
    assert_eq!(requests.len(), 1_001);
    assert!(requests[..1_000].iter().all(|request| request.trigger.kind == TriggerKind::Manual));
    let last = &requests[1_000];
    assert!(last.trigger.reason.as_deref().unwrap().contains("5 messages were not read"));
    let again = direct(&dead_letter(&last.payload, 1));
    assert_eq!(
        again.iter().map(|request| request.scope.clone()).collect::<Vec<_>>(),
        (1_000..1_005).map(|n| streams(&[&format!("s{n}")])).collect::<Vec<_>>()
    );

    let Delivery::Batch(messages) = read(&batch, &[]) else { panic!("not a batch") };
    assert_eq!(messages.len(), 1_005);
    assert_eq!(messages[1_004].requests[0].scope, Scope::Unknown { retryable: false });
    assert_eq!(messages[1_004].requests[0].payload, json!({ "stream": "s1004" }));
}

#[test]
fn a_work_item_that_is_refused_may_be_retried_and_keeps_its_origin() {
    let item = json!({"version": 1, "kind": "work-item", "stream": "orders", "origin": {"eventId": "e1"}});
    let others = (0..1_000).map(|n| json!({ "stream": format!("s{n}") }).to_string());
    let full = sqs(others.chain([item.to_string()]));
    let Delivery::Batch(messages) = read(&full, &[]) else { panic!("not a batch") };
    let [refused] = &messages[1_000].requests[..] else { panic!("{:?}", messages[1_000].requests) };
    assert_eq!((&refused.scope, &refused.payload), (&Scope::Unknown { retryable: true }, &item));

    let mut both = item;
    both["sweep"] = json!({ "startAfter": null });
    let [refused] = &direct(&both)[..] else { panic!("one request") };
    assert_eq!(
        (&refused.scope, refused.trigger.event_id.as_deref()),
        (&Scope::Unknown { retryable: true }, Some("e1"))
    );
}

#[test]
fn every_request_of_a_delivery_is_reached() {
    let batch = sqs(["orders", "payments"].map(|name| json!({ "stream": name }).to_string()));
    for (payload, expected) in [(batch, 2), (json!({ "stream": "orders" }), 1)] {
        let mut delivery = read(&payload, &[]);
        delivery.requests_mut().for_each(|request| request.options.dry_run = true);
        assert_eq!(delivery.requests().filter(|request| request.options.dry_run).count(), expected, "{payload}");
    }
}

#[test]
fn whatever_a_message_holds_takes_one_of_the_thousand_places() {
    let event = event!("stream-created");
    let too_deep = (0..9).fold(event.clone(), |inner, _| on_failure(&inner));
    let about_a_stream = with(dead_letter(&event, 1), "/stream", json!("orders"));
    for (name, body) in [
        ("an event", event),
        ("too many envelopes", too_deep),
        ("an empty batch", json!({ "Records": [] })),
        ("a dead letter about a stream", about_a_stream),
        ("a dead letter about nothing", dead_letter(&Value::Null, 1)),
        (
            "a dead letter about a stream that is none",
            with(dead_letter(&Value::Null, 1), "/stream", json!("no stream!")),
        ),
    ] {
        let requests = direct(&on_failure(&sqs((0..1_002).map(|_| body.to_string()))));
        assert_eq!(requests.len(), 1_001, "{name}");
        assert!(requests[1_000].trigger.reason.as_deref().unwrap().contains("2 messages were not read"), "{name}");
    }
}

#[test]
fn a_payload_names_at_most_a_thousand_streams_and_no_message_uses_up_the_room_of_another() {
    let names = |count: usize| json!({"streams": (0..count).map(|index| format!("s{index}")).collect::<Vec<_>>()});
    let records = |counts: &[usize]| sqs(counts.iter().map(|count| names(*count).to_string()));
    let requests = direct(&on_failure(&records(&[600, 400, 1])));
    let counts: Vec<_> = requests.iter().map(|request| request.streams().len()).collect();
    assert_eq!(counts, [600, 400, 0]);
    let reason = requests[2].trigger.reason.as_deref().unwrap();
    assert!(requests[2].manual && reason.contains("more than 1000 streams"), "{reason}");
    assert_eq!(requests[2].payload, names(1));
    // In a batch each message is counted by itself.
    let Delivery::Batch(messages) = read(&records(&[1_000, 1_000]), &[]) else { unreachable!() };
    assert!(messages.iter().all(|message| message.requests[0].streams().len() == 1_000));
    let many = sqs((0..1_002).map(|_| names(1).to_string())).to_string();
    let Delivery::Batch(messages) = read(&sqs([many, names(1).to_string()]), &[]) else { unreachable!() };
    assert_eq!((messages[0].requests.len(), messages[1].requests[0].streams().len()), (1_001, 1));
}

#[test]
fn batches_in_batches_are_opened_no_deeper_than_other_envelopes() {
    let wrapped = |depth| (0..depth).fold(event!("stream-created"), |inner, _| sqs([inner.to_string()]));
    assert_eq!(only(&on_failure(&wrapped(7))).trigger.kind, TriggerKind::StreamCreated);
    assert!(only(&on_failure(&wrapped(8))).trigger.reason.unwrap().contains("more than 8 envelopes"));
}

#[test]
fn a_dead_letter_about_a_stream_needs_no_event_and_carries_what_was_in_its_envelopes() {
    let without_event = with(dead_letter(&Value::Null, 1), "/stream", json!("orders"));
    assert_eq!(only(&without_event).scope, streams(&["orders"]));
    assert_eq!(only(&without(without_event, "/event")).scope, streams(&["orders"]));
    let body = json!({ "stream": "payments" });
    let of_a_message = with(dead_letter(&sqs([body.to_string()]), 1), "/stream", json!("orders"));
    let request = only(&of_a_message);
    assert_eq!((request.scope, request.payload), (streams(&["orders"]), body));
    // Where neither can be read, the dead letter itself is kept, as text.
    let about_nothing = with(dead_letter(&Value::Null, 1), "/stream", json!("no stream!"));
    assert_eq!(only(&about_nothing).payload, Value::String(about_nothing.to_string()));
}

#[test]
fn an_event_that_cannot_be_read_keeps_its_id_and_one_of_aws_is_told_from_a_forged_one() {
    let event = event!("stream-created");
    let request = only(&with(event.clone(), "/time", json!("yesterday")));
    assert_eq!(
        (request.trigger.kind, request.trigger.event_id.as_deref()),
        (TriggerKind::Unknown, event["id"].as_str())
    );
    check_unknown(&with(event.clone(), "/source", json!("aws.s3")), "unsupported event");
    check_unknown(&with(event, "/source", json!("com.example")), "not an event from AWS");
}

#[test]
fn a_wrong_manual_request_may_still_say_that_it_wants_no_dead_letter() {
    for (wish, no_dead_letter) in [(json!(false), true), (json!(true), false), (json!("no"), false)] {
        let request = only(&json!({ "stream": 7, "deadLetter": wish }));
        assert_eq!(
            (request.trigger.kind, request.options.no_dead_letter),
            (TriggerKind::Unknown, no_dead_letter),
            "{wish}"
        );
    }
}

#[test]
fn every_message_of_a_batch_is_answered_for() {
    let batch = json!({ "Records": [
        { "eventSource": "aws:sqs", "messageId": "text", "receiptHandle": "r", "body": "no JSON" },
        { "eventSource": "aws:sqs", "messageId": "bodiless", "attributes": { "ApproximateReceiveCount": "3" } },
        { "eventSource": "aws:sqs", "messageId": "misshapen", "attributes": 7, "body": "{}" },
        { "eventSource": "aws:s3", "messageId": "foreign", "body": "{}" },
        42,
    ] });
    let Delivery::Batch(messages) = read(&batch, &[]) else { panic!("not a batch") };
    let ids: Vec<_> = messages.iter().map(|message| message.id.as_str()).collect();
    assert_eq!(ids, ["text", "bodiless", "misshapen", "foreign", ""]);
    assert!(
        messages
            .iter()
            .all(|message| message.requests.len() == 1
                && message.requests[0].scope == Scope::Unknown { retryable: false })
    );
    assert_eq!(messages[0].requests[0].payload, json!("no JSON"));
    assert_eq!((messages[0].receive_count, messages[1].receive_count), (1, 3));
    assert_eq!(messages[3].requests[0].payload, batch["Records"][3]);

    assert_eq!(read(&json!({ "Records": [] }), &[]), Delivery::Batch(vec![]));
    assert_eq!(only(&on_failure(&json!({ "Records": [] }))).scope, Scope::Nothing);
    check_unknown(&json!({ "Records": [], "stream": "orders" }), "there is no field \"Records\"");
}

#[test]
fn starts_by_the_role_in_a_member_account_are_our_own() {
    let member = "arn:aws:iam::444455556666:role/enforcer-member";
    let event = with(
        event!("encryption-changed-by-enforcer"),
        "/detail/userIdentity/sessionContext/sessionIssuer/arn",
        json!(member),
    );
    check_streams(&event, TriggerKind::EncryptionChanged, &[ORDERS]);
    let Delivery::Direct(requests) = read(&event, &[OWN_ROLE.to_owned(), member.to_owned()]) else { panic!("a batch") };
    assert_eq!(
        (requests.len(), requests[0].trigger.kind, &requests[0].scope),
        (1, TriggerKind::Ignored, &Scope::Nothing)
    );
}

#[test]
fn a_stream_by_name_is_of_the_account_that_the_call_was_recorded_in() {
    let event = with(event!("stream-created"), "/account", json!("444455556666"));
    let event = with(event, "/detail/recipientAccountId", json!("444455556666"));
    check_streams(&event, TriggerKind::StreamCreated, &["arn:aws:kinesis:us-east-1:444455556666:stream/orders"]);
    check_unknown(&with(event, "/account", json!("777788889999")), "the event is from account 777788889999");
}
