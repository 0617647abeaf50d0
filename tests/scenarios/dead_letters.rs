//! Dead letters: when there is one, what it says, and what happens if it cannot be stored.

use kinesis_encryption_enforcer::sandbox::{Fault, KeyState, NewStream};
use serde_json::{Value, json};

use crate::support::{QUEUE, World, event, manual};

const START: &str = "StartStreamEncryption";

/// An account with an unencrypted stream and a key that is disabled.
fn with_a_disabled_key() -> World {
    let world = World::new();
    world.stream(NewStream::named("orders"));
    world.account.set_key_state(&world.key, KeyState::Disabled);
    world
}

fn message(id: &str, body: &Value) -> Value {
    json!({"messageId": id, "eventSource": "aws:sqs", "receiptHandle": id, "body": body.to_string(), "attributes": {"ApproximateReceiveCount": "1"}})
}

#[tokio::test(start_paused = true)]
async fn a_letter_has_every_field_of_the_contract() {
    let world = with_a_disabled_key();
    world.outcome(&event("encryption-stopped")).await;
    let letter = world.letters().remove(0);
    let mut fields: Vec<_> = letter.as_object().expect("an object").keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        ["attempts", "error", "event", "function", "kind", "occurredAt", "requestId", "stream", "version"]
    );
    let mut fields: Vec<_> = letter["error"].as_object().expect("an object").keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["class", "code", "message", "remedy", "step"]);
    for (field, value) in [
        ("version", json!(1)),
        ("requestId", json!("request-1")),
        ("function", json!("enforcer")),
        ("event", event("encryption-stopped")),
    ] {
        assert_eq!(letter[field], value, "{field}");
    }
    assert!(letter["occurredAt"].as_str().is_some_and(|at| at.starts_with("2026-11-24T00:00:0")), "{letter:#}");
    assert!(letter["error"]["remedy"].as_str().is_some_and(|remedy| remedy.contains("kms:EnableKey")), "{letter:#}");
}

#[tokio::test(start_paused = true)]
async fn a_letter_about_no_stream_has_no_stream_attribute() {
    let world = World::new();
    world.outcome(&event("unknown")).await;
    let message = world.account.messages(QUEUE).remove(0);
    assert_eq!((message.attribute("Stream"), message.attribute("ErrorCode")), (None, Some("UnknownPayload")));
    assert_eq!(world.letters()[0]["stream"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn every_feeding_back_counts_and_never_nests_letters() {
    let world = with_a_disabled_key();
    world.outcome(&event("encryption-stopped")).await;
    for attempts in 1..4 {
        let letter = world.letters().pop().expect("a letter");
        assert_eq!((&letter["attempts"], &letter["event"]), (&json!(attempts), &event("encryption-stopped")));
        world.outcome(&letter).await;
    }
    // The same, wrapped as SQS delivers a letter that was moved back.
    let letter = world.letters().pop().expect("a letter");
    let answer = world.run(&json!({"Records": [message("1", &letter)]})).await.expect("an answer");
    assert_eq!(answer, json!({"batchItemFailures": []}));
    let last = world.letters().pop().expect("a letter");
    assert_eq!((&last["attempts"], &last["event"]), (&json!(5), &event("encryption-stopped")));
}

#[tokio::test(start_paused = true)]
async fn a_terminal_failure_without_a_queue_fails_the_invocation() {
    let world = with_a_disabled_key().with("FAILURE_QUEUE_URL", "");
    let error = world.run(&event("encryption-stopped")).await.expect_err("retried");
    assert_eq!(error.error_type.as_str(), "DeadLetterNotStored");
    assert!(error.message.contains("KeyDisabled"), "the diagnosis is not lost: {}", error.message);
    // A person reads the answer.
    assert_eq!(world.outcome(&manual("orders")).await["error"]["code"], "KeyDisabled");
}

#[tokio::test(start_paused = true)]
async fn whatever_the_queue_answers_a_letter_that_is_not_stored_fails_the_invocation() {
    for code in [
        "AccessDenied",
        "KmsAccessDenied",
        "KmsDisabled",
        "QueueDoesNotExist",
        "InvalidMessageContents",
        "ThrottlingException",
        "InternalFailure",
    ] {
        let world = with_a_disabled_key();
        world.account.fault(Fault::on("SendMessage").error(code, "as AWS words it"));
        let error = world.run(&event("encryption-stopped")).await.expect_err("retried");
        assert_eq!((error.error_type.as_str(), world.letters().len()), ("DeadLetterNotStored", 0), "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_fails_for_a_moment_is_asked_again() {
    for fault in [
        Fault::on("SendMessage").nth(1..=2).error("ThrottlingException", "Rate exceeded"),
        Fault::on("SendMessage").nth(1..=1).dropped(),
    ] {
        let world = with_a_disabled_key();
        world.account.fault(fault);
        assert_eq!(world.outcome(&event("encryption-stopped")).await["status"], "failed");
        assert_eq!(world.letters().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_letter_cannot_be_stored_comes_back() {
    let world = World::new();
    world.stream(NewStream::named("orders"));
    world.account.fault(Fault::on("SendMessage").error("AccessDenied", "no"));
    let batch = json!({"Records": [message("good", &event("encryption-stopped")), message("bad", &json!("junk"))]});
    let answer = world.run(&batch).await.expect("an answer");
    assert_eq!(answer, json!({"batchItemFailures": [{"itemIdentifier": "bad"}]}));
    assert_eq!(world.account.snapshot("orders").and_then(|stream| stream.key_id), Some(world.key.clone()));
}

#[tokio::test(start_paused = true)]
async fn of_several_streams_the_one_that_may_pass_is_lettered_and_the_others_are_not_repeated() {
    let world = World::new();
    for name in ["orders", "slow"] {
        world.stream(NewStream::named(name));
    }
    world.account.fault(Fault::on(START).stream("slow").error("LimitExceededException", "Rate exceeded"));
    let answer = world.run(&json!({"streams": ["orders", "slow"]})).await.expect("an answer");
    assert_eq!(answer["summary"], json!({"encrypted": 1, "failed": 1}));
    let letter = world.letters().remove(0);
    assert_eq!((world.letters().len(), &letter["error"]["class"]), (1, &json!("retryable")));
    assert!(letter["stream"].as_str().is_some_and(|stream| stream.ends_with(":stream/slow")), "{letter:#}");

    world.account.clear_faults();
    world.account.forget_calls();
    assert_eq!(world.outcome(&letter).await["status"], "encrypted");
    assert!(
        world.account.calls().iter().all(|call| call.stream.as_deref() != Some("orders")),
        "only its stream is worked again"
    );
}

#[tokio::test(start_paused = true)]
async fn audit_mode_still_writes_letters_and_a_dry_run_none() {
    for (world, payload, letters) in [
        (with_a_disabled_key().with("ENFORCEMENT_MODE", "audit"), event("encryption-stopped"), 1),
        (with_a_disabled_key(), json!({"stream": "orders", "dryRun": true}), 0),
    ] {
        assert_eq!(world.outcome(&payload).await["error"]["code"], "KeyDisabled");
        assert_eq!((world.letters().len(), world.starts()), (letters, 0), "{payload:#}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_may_pass_is_retried_by_lambda_also_without_a_queue() {
    let world = World::new().with("FAILURE_QUEUE_URL", "");
    world.stream(NewStream::named("orders"));
    world.account.fault(Fault::on(START).error("KMSThrottlingException", "slow down"));
    let error = world.run(&event("encryption-stopped")).await.expect_err("retried");
    assert_eq!(error.error_type.as_str(), "Throttled");
}
