//! The events that EventBridge delivers about calls.

use kinesis_encryption_enforcer::sandbox::{Fault, Identity, NewStream};
use serde_json::{Value, json};

use super::support::{ACCOUNT, World, sdk_config};

fn at<'a>(event: &'a Value, pointer: &str) -> &'a Value {
    event.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {event}"))
}

/// Record of 2026-09-19: if a call names a stream by name, the ARN in `resources` is malformed. The
/// request parameters are as sent.
#[tokio::test(start_paused = true)]
async fn a_call_by_name_is_recorded_with_a_malformed_resource() {
    let world = World::new();
    world.kinesis.create_stream().stream_name("orders").shard_count(1).tags("Purpose", "demo").send().await.unwrap();
    let events = world.account.take_events();
    assert_eq!(events.len(), 1);
    assert_eq!(at(&events[0], "/detail-type"), "AWS API Call via CloudTrail");
    assert_eq!(at(&events[0], "/source"), "aws.kinesis");
    assert_eq!(at(&events[0], "/detail/eventName"), "CreateStream");
    assert_eq!(at(&events[0], "/detail/userIdentity/type"), "IAMUser");
    let expected = json!({ "streamName": "orders", "shardCount": 1, "tags": { "Purpose": "demo" } });
    assert_eq!(at(&events[0], "/detail/requestParameters"), &expected);
    let odd = json!([{ "type": "AWS::Kinesis::Stream", "ARN": "arn:aws:kinesis:us-east-1:orders:stream/null" }]);
    assert_eq!(at(&events[0], "/detail/resources"), &odd);
    assert!(world.account.take_events().is_empty());
}

/// Record of 2026-09-19: a call by ARN has a valid resource, and an assumed role has an issuer.
#[tokio::test(start_paused = true)]
async fn a_call_by_arn_of_a_role_names_stream_and_role() {
    let world = World::new();
    world.account.identity("ASIAEXAMPLE", Identity::role("ci/enforcer", "session"));
    let key = world.account.create_key();
    let arn = world.account.stream(NewStream::named("orders"));
    let config = sdk_config(&world.clock, world.account.http_client(), "us-east-1", "ASIAEXAMPLE");
    let call = aws_sdk_kinesis::Client::new(&config)
        .start_stream_encryption()
        .stream_arn(&arn)
        .encryption_type("KMS".into())
        .key_id(&key);
    call.send().await.unwrap();
    let event = world.account.take_events().remove(0);
    assert_eq!(
        at(&event, "/detail/resources/0"),
        &json!({ "accountId": ACCOUNT, "type": "AWS::Kinesis::Stream", "ARN": arn })
    );
    assert_eq!(
        at(&event, "/detail/requestParameters"),
        &json!({ "streamARN": arn, "encryptionType": "KMS", "keyId": key })
    );
    let issuer = at(&event, "/detail/userIdentity/sessionContext/sessionIssuer/arn");
    assert_eq!(issuer, &json!(format!("arn:aws:iam::{ACCOUNT}:role/ci/enforcer")));
    let identity = at(&event, "/detail/userIdentity/arn");
    assert_eq!(identity, &json!(format!("arn:aws:sts::{ACCOUNT}:assumed-role/enforcer/session")));
}

/// Record of 2026-09-19: the record of a denied call has no request parameters, and its error code
/// differs from the caller's.
#[tokio::test(start_paused = true)]
async fn a_denied_call_is_recorded_without_its_parameters() {
    let world = World::new();
    world.account.stream(NewStream::named("orders"));
    world.account.fault(Fault::on("StopStreamEncryption").nth(..=1).error("AccessDeniedException", "not authorized"));
    assert_eq!(world.stop("orders").await.unwrap_err().0, "AccessDeniedException");
    let event = world.account.take_events().remove(0);
    assert_eq!(at(&event, "/detail/errorCode"), "AccessDenied");
    assert_eq!(at(&event, "/detail/requestParameters"), &Value::Null);
    // The record of another failure has the request parameters.
    world.stop("nowhere").await.unwrap_err();
    let event = world.account.take_events().remove(0);
    assert_eq!(at(&event, "/detail/errorCode"), "ResourceNotFoundException");
    assert_eq!(at(&event, "/detail/requestParameters/streamName"), "nowhere");
}

/// KMS's own event in its form since 2025, and log entries with alias and key in either order:
/// <https://docs.aws.amazon.com/kms/latest/developerguide/kms-events.html>,
/// <https://docs.aws.amazon.com/kms/latest/developerguide/understanding-kms-entries.html>.
#[tokio::test(start_paused = true)]
async fn a_rotation_sends_an_event_of_kms() {
    let world = World::new();
    let key = world.account.create_key();
    let alias = format!("arn:aws:kms:us-east-1:{ACCOUNT}:alias/streams");
    world.kms.rotate_key_on_demand().key_id(&key).send().await.unwrap();
    let events = world.account.take_events();
    assert_eq!(at(&events[0], "/detail/eventName"), "RotateKeyOnDemand");
    assert_eq!(at(&events[1], "/detail-type"), "KMS CMK Rotation");
    assert_eq!(at(&events[1], "/resources"), &json!([key]));
    assert_eq!(at(&events[1], "/detail/rotation-type"), "ON_DEMAND");
    assert_ne!(at(&events[1], "/detail/previous-key-material-id"), at(&events[1], "/detail/current-key-material-id"));
    world.kms.create_alias().alias_name("alias/streams").target_key_id(&key).send().await.unwrap();
    world.kms.update_alias().alias_name("alias/streams").target_key_id(&key).send().await.unwrap();
    world.kms.delete_alias().alias_name("alias/streams").send().await.unwrap();
    let arns: Vec<_> = world
        .account
        .take_events()
        .iter()
        .map(|event| {
            [0, 1].map(|index| at(event, &format!("/detail/resources/{index}/ARN")).as_str().unwrap().to_owned())
        })
        .collect();
    assert_eq!(arns, [[key.clone(), alias.clone()], [alias.clone(), key.clone()], [alias, key]]);
}

#[tokio::test(start_paused = true)]
async fn read_operations_are_not_recorded() {
    let world = World::new();
    world.account.stream(NewStream::named("orders"));
    world.describe("orders").await.unwrap();
    world.describe_key("alias/aws/kinesis").await.unwrap();
    assert!(world.account.take_events().is_empty());
}
