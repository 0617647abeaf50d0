//! Outcome events: others hear of what matters, once, in the documented form.

use std::time::Duration;

use kinesis_encryption_enforcer::sandbox::{Fault, KeyState, NewStream};
use serde_json::{Value, json};

use crate::support::{World, event, manual};

/// The events as EventBridge would deliver them, each held to the committed schema.
fn told(world: &World) -> Vec<Value> {
    let schema: Value = serde_json::from_str(include_str!("../../docs/outcome-event.schema.json")).expect("the schema");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let delivered = |entry: &Value| {
        let detail: Value = serde_json::from_str(entry["Detail"].as_str().expect("text")).expect("JSON");
        json!({"source": entry["Source"], "detail-type": entry["DetailType"], "resources": entry["Resources"], "detail": detail})
    };
    let events: Vec<_> = world.account.put_events().iter().map(delivered).collect();
    for event in &events {
        let wrong: Vec<_> =
            validator.iter_errors(event).map(|error| format!("{}: {error}", error.instance_path)).collect();
        assert!(wrong.is_empty(), "{wrong:?}: {event:#}");
    }
    events
}

fn types(world: &World) -> Vec<Value> {
    told(world).iter().map(|event| event["detail-type"].clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn what_was_encrypted_what_failed_and_what_expired_is_told_and_what_is_right_is_not() {
    let world = World::new().with("OUTCOME_EVENT_BUS", "security");
    let arn = world
        .stream(NewStream::named("orders").tag("kinesis-encryption-enforcer:exempt", "migration until=2026-01-01"));
    world.run(&manual("orders")).await.expect("an answer");
    assert_eq!(types(&world), ["Stream Encrypted", "Exemption Expired"]);
    let event = &told(&world)[0];
    assert_eq!(
        (&event["resources"], &event["detail"]["outcome"]["status"]),
        (&json!([arn, world.key]), &json!("encrypted"))
    );
    assert_eq!(
        (&event["detail"]["trigger"]["kind"], &event["detail"]["requestId"]),
        (&json!("manual"), &json!("request-1"))
    );
    assert_eq!(world.account.put_events()[0]["EventBusName"], "security");
    world.run(&manual("orders")).await.expect("an answer");
    world.run(&json!({"stream": "nowhere"})).await.expect("an answer");
    assert_eq!(types(&world)[2..], ["Stream Enforcement Failed"]);
}

#[tokio::test(start_paused = true)]
async fn a_key_at_risk_and_a_contested_stream_are_told() {
    let world = World::new().with("OUTCOME_EVENT_BUS", "default");
    world.stream(NewStream::named("orders").encrypted_with(&world.key));
    world.account.set_key_state(&world.key, KeyState::Disabled);
    world.run(&manual("orders")).await.expect("an answer");
    assert_eq!(types(&world), ["Key At Risk"]);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_tells_ten_at_a_time_and_a_dry_run_nothing() {
    let world = World::new().with("OUTCOME_EVENT_BUS", "default");
    for index in 0..23 {
        world.stream(NewStream::named(&format!("s{index:02}")));
    }
    world.run(&json!({"sweep": true, "dryRun": true})).await.expect("an answer");
    world.run(&json!({"stream": "nowhere", "dryRun": true})).await.expect("an answer");
    assert_eq!(world.account.count("PutEvents"), 0);
    world.run(&json!({"sweep": true})).await.expect("an answer");
    assert_eq!((types(&world).len(), world.account.count("PutEvents")), (23, 3));
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_refuses_changes_nothing_about_how_it_ended() {
    let world = World::new().with("OUTCOME_EVENT_BUS", "default");
    world.stream(NewStream::named("orders"));
    world.account.fault(Fault::on("PutEvents").error("AccessDeniedException", "no"));
    assert_eq!(world.outcome(&event("stream-created")).await["status"], "encrypted");
    assert_eq!((told(&world).len(), world.letters().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn without_a_bus_nobody_is_told() {
    let world = World::new();
    world.stream(NewStream::named("orders"));
    assert_eq!(world.outcome(&event("stream-created")).await["status"], "encrypted");
    assert_eq!(world.account.count("PutEvents"), 0);
}

#[tokio::test(start_paused = true)]
async fn of_ten_events_only_the_refused_one_is_sent_again() {
    let world = World::new().with("OUTCOME_EVENT_BUS", "default");
    for index in 0..10 {
        world.stream(NewStream::named(&format!("s{index:02}")));
    }
    for call in 1..=2 {
        let fault = Fault::on("PutEvents").nth(call..=call);
        world.account.fault(fault.entry_refused(if call == 1 { 3 } else { 0 }, "ThrottlingException", "slow down"));
    }
    world.run(&json!({"sweep": true})).await.expect("an answer");
    let sent: Vec<_> = world
        .account
        .calls()
        .iter()
        .filter(|call| call.operation == "PutEvents")
        .map(|call| call.request["Entries"].as_array().map_or(0, Vec::len))
        .collect();
    let streams: std::collections::BTreeSet<_> =
        told(&world).iter().map(|event| event["resources"][0].to_string()).collect();
    assert_eq!((sent, told(&world).len(), streams.len()), (vec![10, 1, 1], 10, 10));
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_does_not_answer_holds_up_no_stream() {
    let world = World::new().with("OUTCOME_EVENT_BUS", "default");
    let names: Vec<_> = (0..20).map(|index| format!("stream-{index:03}")).collect();
    for (index, name) in names.iter().enumerate() {
        let stream = NewStream::named(name);
        world.stream(if index < 10 { stream } else { stream.updating_for(Duration::from_secs(20)) });
    }
    world.account.fault(Fault::on("PutEvents").delay(Duration::from_mins(10)));
    let answer = world.run_for(&json!({"streams": names}), 90).await.expect("an answer");
    assert_eq!(answer["summary"], json!({"encrypted": 20}));
    let waited = answer["outcomes"].as_array().expect("outcomes").iter().map(|outcome| outcome["waitedMs"].as_u64());
    let longest = waited.max().flatten().expect("a number");
    assert!((20_000..30_000).contains(&longest), "{longest}");
}
