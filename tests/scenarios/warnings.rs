//! What audit mode and dry runs warn of before a stream gets another key.

use kinesis_encryption_enforcer::sandbox::{Fault, NewStream};
use serde_json::json;

use crate::support::{World, event, manual};

/// A stream that another account reads, with consumers, records of a week and the AWS managed key.
fn used_stream() -> NewStream {
    let reader = json!({"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::999988887777:role/reader"}, "Action": "kinesis:GetRecords"});
    let policy = json!({"Version": "2012-10-17", "Statement": [reader]}).to_string();
    NewStream::named("orders")
        .encrypted_with("alias/aws/kinesis")
        .keeping(168)
        .consumers(2)
        .channels(1)
        .queues(3)
        .policy(&policy)
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_others_use_is_judged_with_what_they_will_need() {
    let world = World::new();
    world.stream(used_stream());
    world.account.key_policy(&world.key, &json!({"Version": "2012-10-17", "Statement": []}).to_string());
    let mut request = manual("orders");
    request["dryRun"] = json!(true);
    let outcome = world.outcome(&request).await;
    assert_eq!(outcome["status"], "would-encrypt");
    assert_eq!(
        outcome["warnings"],
        json!([
            {"code": "previous-key-still-needed", "key": "alias/aws/kinesis", "until": "2026-12-01T00:00:00Z"},
            {"code": "consumers-need-decrypt", "consumers": 2},
            {"code": "channels-need-decrypt", "channels": 1},
            {"code": "queue-readers-need-decrypt", "queues": 3},
            {"code": "key-policy-without-iam", "key": world.key},
            {"code": "cross-account-needs-decrypt", "principals": ["arn:aws:iam::999988887777:role/reader"]},
        ])
    );
}

#[tokio::test(start_paused = true)]
async fn audit_asks_for_the_key_policy_once_and_says_what_it_could_not_read() {
    let world = World::new().with("ENFORCEMENT_MODE", "audit");
    for name in ["a", "b", "c"] {
        world.stream(NewStream::named(name));
    }
    world.account.fault(Fault::on("GetKeyPolicy").error("AccessDeniedException", "no"));
    world.account.fault(Fault::on("GetResourcePolicy").stream("b").error("AccessDeniedException", "no"));
    let answer = world.run(&json!({"streams": ["a", "b", "c"]})).await.expect("an answer");
    let unreadable = json!({"code": "key-policy-unreadable", "key": world.key, "because": "AccessDeniedException"});
    for outcome in answer["outcomes"].as_array().expect("outcomes") {
        let stream = outcome["stream"].as_str().expect("a stream");
        let expected = if stream.ends_with('b') {
            json!([{"code": "stream-policy-unreadable", "because": "AccessDeniedException"}, unreadable])
        } else {
            json!([unreadable])
        };
        assert_eq!(outcome["warnings"], expected, "{stream}");
    }
    assert_eq!(
        (world.account.count("GetKeyPolicy"), world.account.count("GetResourcePolicy"), world.letters().len()),
        (1, 3, 0)
    );

    // A sweep has no time for a call more for every stream.
    let answer = world.run(&json!({"sweep": true})).await.expect("an answer");
    assert_eq!(answer["outcomes"][0]["warnings"], json!([unreadable]));
    assert_eq!((world.account.count("GetKeyPolicy"), world.account.count("GetResourcePolicy")), (2, 3));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_where_the_key_is_applied_or_in_place() {
    let world = World::new();
    world.stream(used_stream());
    assert_eq!(world.outcome(&manual("orders")).await["status"], "encrypted");
    let mut request = manual("orders");
    request["dryRun"] = json!(true);
    assert_eq!(world.outcome(&request).await["status"], "compliant");
    assert_eq!((world.account.count("GetKeyPolicy"), world.account.count("GetResourcePolicy")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_somebody_stopped_is_judged_with_who_did_it_and_the_history_is_not_asked() {
    let world = World::new().with("ENFORCEMENT_MODE", "audit");
    world.stream(NewStream::named("orders"));
    let outcome = world.outcome(&event("encryption-stopped")).await;
    let warning = &outcome["warnings"][0];
    assert_eq!(
        (&outcome["status"], &warning["code"], &warning["times"]),
        (&json!("would-encrypt"), &json!("undone-by"), &json!(1)),
        "{outcome:#}"
    );
    assert_eq!(warning["arn"], event("encryption-stopped")["detail"]["userIdentity"]["arn"]);
    assert_eq!(world.account.count("LookupEvents"), 0);
}

#[tokio::test(start_paused = true)]
async fn the_aws_managed_key_is_never_applied_to_a_stream_with_a_delivery_channel() {
    for mode in ["enforce", "audit"] {
        let world = World::new().with("KMS_KEY_ID", "alias/aws/kinesis").with("ENFORCEMENT_MODE", mode);
        world.stream(NewStream::named("orders").channels(2));
        world.stream(NewStream::named("clicks").queues(2));
        let outcome = world.outcome(&event("encryption-stopped")).await;
        assert_eq!(
            (&outcome["status"], &outcome["error"]["code"], &outcome["error"]["class"]),
            (&json!("failed"), &json!("ChannelNeedsCustomerKey"), &json!("terminal")),
            "{outcome:#}"
        );
        assert!(
            outcome["error"]["remedy"].as_str().is_some_and(|remedy| remedy.contains("customer managed key")),
            "{outcome:#}"
        );
        assert_eq!((world.starts(), world.letters().len()), (0, 1), "{mode}");
        // Queues are read with the caller's permissions, which AWS's own key does not need.
        let status = if mode == "audit" { "would-encrypt" } else { "encrypted" };
        assert_eq!(world.outcome(&manual("clicks")).await["status"], status);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_with_a_delivery_channel_that_has_the_aws_managed_key_is_left_as_it_is() {
    let world = World::new().with("KMS_KEY_ID", "alias/aws/kinesis");
    world.stream(NewStream::named("orders").encrypted_with("alias/aws/kinesis").channels(1));
    assert_eq!(world.outcome(&manual("orders")).await["status"], "compliant");
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_the_counts_of_channels_and_queues_is_one_of_an_older_service() {
    let world = World::new().with("ENFORCEMENT_MODE", "audit");
    let arn = world.stream(NewStream::named("orders"));
    let older = json!({"StreamDescriptionSummary": {"StreamName": "orders", "StreamARN": arn, "StreamStatus": "ACTIVE",
        "RetentionPeriodHours": 24, "StreamCreationTimestamp": 1_700_000_000, "EnhancedMonitoring": [],
        "EncryptionType": "NONE", "OpenShardCount": 1}});
    world.account.fault(Fault::on("DescribeStreamSummary").answer_replaced(&older.to_string()));
    let outcome = world.outcome(&manual("orders")).await;
    assert_eq!((&outcome["status"], &outcome["warnings"]), (&json!("would-encrypt"), &json!([])), "{outcome:#}");
}
