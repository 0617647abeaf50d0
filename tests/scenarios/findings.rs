//! Findings of Security Hub that name what the function does not manage.

use kinesis_encryption_enforcer::sandbox::{Fault, NewStream};
use serde_json::{Value, json};

use crate::support::{World, event};

const ORDERS: &str = "arn:aws:kinesis:us-east-1:111122223333:stream/orders";

fn foreign(index: usize) -> String {
    format!("arn:aws:kinesis:us-east-1:999988887777:stream/s{index}")
}

/// The finding of a sample about these resources, each a stream by its type.
fn about(sample: &str, ids: impl IntoIterator<Item = String>) -> Value {
    let mut event = event(sample);
    let resources: Vec<_> = ids.into_iter().map(|id| json!({"Type": "AwsKinesisStream", "Id": id})).collect();
    event["detail"]["findings"][0]["Resources"] = resources.into();
    event
}

fn with_orders() -> World {
    let world = World::new();
    world.stream(NewStream::named("orders"));
    world
}

#[tokio::test(start_paused = true)]
async fn one_finding_with_31_foreign_streams_is_one_reason_and_one_dead_letter() {
    for sample in ["security-finding", "security-finding-custom-action"] {
        let world = with_orders();
        let answer =
            world.run(&about(sample, (0..31).map(foreign).chain([ORDERS.to_owned()]))).await.expect("an answer");
        assert_eq!(answer["summary"], json!({"encrypted": 1, "failed": 1}));
        let failed = &answer["outcomes"][0];
        assert_eq!((&failed["stream"], &failed["error"]["code"]), (&Value::Null, &json!("ForeignAccount")));
        assert_eq!(
            failed["error"]["message"],
            format!(
                "checking 31 of 32 resources in the findings: ForeignAccount: not streams that this function manages: \
                 {}, {}, {} and 28 more",
                foreign(0),
                foreign(1),
                foreign(2)
            )
        );
        let letters = world.letters();
        assert_eq!((letters.len(), &letters[0]["stream"]), (1, &Value::Null));

        // Redriven, it ends the same way: one dead letter, and the stream is left alone.
        world.account.purge(crate::support::QUEUE);
        let answer = world.run(&letters[0]).await.expect("an answer");
        assert_eq!(answer["summary"], json!({"compliant": 1, "failed": 1}));
        assert_eq!((world.letters().len(), &world.letters()[0]["attempts"], world.starts()), (1, &json!(2), 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_foreign_streams_are_not_queued_one_by_one() {
    let world = with_orders().with_work_queue();
    let answer = world
        .run(&about("security-finding", (0..100).map(foreign).chain([ORDERS.to_owned()])))
        .await
        .expect("an answer");
    assert_eq!(answer["summary"], json!({"encrypted": 1, "failed": 1}));
    assert_eq!((world.work().len(), world.letters().len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn of_a_mixed_selection_what_is_ours_is_encrypted_and_the_rest_is_one_reason() {
    let world = with_orders();
    let answer = world.run(&event("security-finding-several")).await.expect("an answer");
    assert_eq!(answer["summary"], json!({"encrypted": 1, "failed": 1}));
    assert_eq!(
        answer["outcomes"][0]["error"]["message"],
        "checking 3 of 4 resources in the findings: ForeignRegion: not streams that this function manages: \
         arn:aws:kinesis:eu-west-1:111122223333:stream/orders, arn:aws:kinesis:us-east-1:444455556666:stream/orders, \
         \"AWS::::Account:111122223333\""
    );
    assert_eq!(world.letters().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_identifier_that_is_no_arn_does_not_hide_the_stream_beside_it() {
    let world = with_orders();
    let ids = ["AWS::::Account:111122223333".to_owned(), ORDERS.to_owned()];
    let answer = world.run(&about("security-finding", ids)).await.expect("an answer");
    assert_eq!(answer["summary"], json!({"encrypted": 1, "failed": 1}));
    let error = &answer["outcomes"][0]["error"];
    assert_eq!(error["code"], "UnknownPayload");
    // The event itself was understood.
    let remedy = error["remedy"].as_str().unwrap_or_default();
    assert!(remedy.starts_with("Correct the identifiers in what imports the findings"), "{remedy}");
    assert_eq!(world.letters().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_beside_strangers_is_not_retried_with_them() {
    let world = with_orders();
    world.account.fault(Fault::on("StartStreamEncryption").error("LimitExceededException", "Rate exceeded"));
    let ids = ["AWS::::Account:111122223333".to_owned(), ORDERS.to_owned()];
    let answer = world.run(&about("security-finding", ids)).await.expect("answered, not retried");
    assert_eq!(answer["summary"], json!({"failed": 2}));
    let mut streams: Vec<_> = world.letters().iter().map(|letter| letter["stream"].clone()).collect();
    streams.sort_by_key(Value::to_string);
    assert_eq!(streams, [json!(ORDERS), Value::Null]);
}

#[tokio::test(start_paused = true)]
async fn a_single_foreign_stream_keeps_its_own_failure() {
    let world = with_orders();
    let outcome = world.outcome(&about("security-finding", [foreign(7)])).await;
    assert_eq!((&outcome["stream"], &outcome["error"]["code"]), (&json!(foreign(7)), &json!("ForeignAccount")));
    // Where every one of several is foreign, there is one reason and no stream.
    let outcome = world.outcome(&about("security-finding", (0..2).map(foreign))).await;
    assert_eq!((&outcome["stream"], &outcome["error"]["code"]), (&Value::Null, &json!("ForeignAccount")));
    assert_eq!(world.letters().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn streams_that_a_person_names_keep_their_own_failures() {
    let world = with_orders();
    let answer = world.run(&json!({"streams": [foreign(1), foreign(2), "orders"]})).await.expect("an answer");
    assert_eq!(answer["summary"], json!({"encrypted": 1, "failed": 2}));
}

#[tokio::test(start_paused = true)]
async fn an_ocsf_finding_encrypts_its_stream_by_arn_or_by_name() {
    for (field, value) in [("uid_alt", json!(ORDERS)), ("uid", json!(ORDERS)), ("uid", json!("orders"))] {
        let world = with_orders();
        let mut finding = event("security-finding-v2");
        let resource = &mut finding["detail"]["findings"][0]["resources"][0];
        resource
            .as_object_mut()
            .expect("an object")
            .retain(|name, _| !["uid", "uid_alt", "name"].contains(&name.as_str()));
        resource[field] = value;
        let outcome = world.outcome(&finding).await;
        assert_eq!((&outcome["status"], &outcome["stream"]), (&json!("encrypted"), &json!(ORDERS)), "{field}");
    }
}
