//! What others, AWS and the network do while a stream is being worked on.

use std::time::Duration;

use kinesis_encryption_enforcer::handler::InvocationError;
use kinesis_encryption_enforcer::sandbox::{Fault, Identity, NewStream, ScriptedAction};
use serde_json::{Value, json};

use crate::support::{World, event};

const START: &str = "StartStreamEncryption";
const DESCRIBE: &str = "DescribeStreamSummary";

fn unencrypted() -> World {
    let world = World::new();
    world.stream(NewStream::named("orders"));
    world
}

/// The one outcome that the message of a failed invocation carries.
fn told(error: &InvocationError) -> Value {
    serde_json::from_str::<Value>(&error.message).expect("the answer")["outcomes"][0].clone()
}

#[tokio::test(start_paused = true)]
async fn a_start_that_was_applied_is_confirmed_however_its_answer_went_wrong() {
    let faults = [
        ("lost", Fault::on(START).answer_lost()),
        ("garbled", Fault::on(START).answer_garbled()),
        ("slower than any attempt", Fault::on(START).delay_answer(Duration::from_mins(2))),
    ];
    for (name, fault) in faults {
        let world = unencrypted();
        world.account.fault(fault);
        let outcome = world.outcome(&event("encryption-stopped")).await;
        assert_eq!(
            (&outcome["status"], &outcome["applied"]),
            (&json!("encrypted"), &json!(true)),
            "{name}: {outcome:#}"
        );
        assert_eq!(
            (world.starts(), world.account.accepted(START, "orders"), world.letters().len()),
            (1, 1, 0),
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_aws_could_not_serve_is_looked_after_and_retried_by_lambda() {
    for (code, status) in [("ServiceUnavailable", 503), ("InternalFailure", 500)] {
        let world = unencrypted();
        world.account.fault(Fault::on(START).error_with_status(code, "sorry", status));
        let error = world.run(&event("encryption-stopped")).await.expect_err("retried");
        assert_eq!(
            (error.error_type.as_str(), world.starts(), world.letters().len()),
            ("AwsUnavailable", 1, 0),
            "{code}"
        );
        assert_eq!(told(&error)["applied"], false, "{code}");

        world.account.clear_faults();
        assert_eq!(world.outcome(&event("encryption-stopped")).await["status"], "encrypted", "{code}");
        assert_eq!(world.account.accepted(START, "orders"), 1, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_somebody_else_brings_right_first_is_compliant_and_never_started() {
    let world = unencrypted();
    let key = world.key.clone();
    world.account.fault(Fault::on(START).error("ResourceInUseException", "not ACTIVE"));
    world.account.script(ScriptedAction::after(START).start_encryption(&key, Identity::user("alice")));
    let outcome = world.outcome(&event("encryption-stopped")).await;
    assert_eq!((&outcome["status"], &outcome["applied"]), (&json!("compliant"), &json!(false)), "{outcome:#}");
    assert_eq!(world.account.accepted(START, "orders"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_resharded_after_the_start_is_waited_for_and_started_once() {
    let world = unencrypted();
    world.account.script(ScriptedAction::after(START).later(Duration::from_millis(850)).reshard(4));
    let outcome = world.outcome(&event("encryption-stopped")).await;
    assert_eq!((&outcome["status"], world.starts()), (&json!("encrypted"), 1), "{outcome:#}");
    assert_eq!(world.account.snapshot("orders").map(|stream| stream.shards), Some(4));
}

#[tokio::test(start_paused = true)]
async fn a_change_that_aws_takes_back_is_contested() {
    let world = unencrypted();
    world.account.configure(|options| options.updating = Duration::from_secs(4));
    world.account.script(ScriptedAction::after(START).settle_unchanged());
    let outcome = world.outcome(&event("encryption-stopped")).await;
    assert_eq!((&outcome["status"], &outcome["error"]["code"]), (&json!("contested"), &json!("Undone")), "{outcome:#}");
    assert_eq!((world.starts(), world.letters().len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_accepted_start_may_stay_invisible_for_a_while_but_not_for_ever() {
    let world = unencrypted();
    world.account.configure(|options| options.visibility_lag = Duration::from_secs(10));
    let outcome = world.outcome(&event("encryption-stopped")).await;
    assert_eq!((&outcome["status"], world.starts()), (&json!("encrypted"), 1), "{outcome:#}");

    let world = unencrypted();
    world.account.configure(|options| options.visibility_lag = Duration::from_mins(2));
    let error = world.run(&event("encryption-stopped")).await.expect_err("retried");
    let outcome = told(&error);
    assert_eq!((error.error_type.as_str(), &outcome["error"]["code"]), ("StillUpdating", &json!("AcceptedNotVisible")));
    assert_eq!((&outcome["applied"], world.starts(), world.letters().len()), (&json!(true), 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_never_becomes_active_is_never_started() {
    let world = World::new();
    world.stream(NewStream::named("orders").stuck_updating());
    let error = world.run_for(&event("encryption-stopped"), 30).await.expect_err("retried");
    let outcome = told(&error);
    assert_eq!((error.error_type.as_str(), &outcome["applied"], world.starts()), ("StillUpdating", &json!(false), 0));
    assert!(outcome["error"]["message"].as_str().expect("a message").contains("not started"), "{outcome:#}");
}

/// Works on `orders`, which is deleted after its first start and created again as `second` before
/// it is observed again.
async fn recreated_after_the_first_start(world: &World, second: NewStream) -> Result<Value, InvocationError> {
    world.account.configure(|options| options.deleting = Duration::ZERO);
    world.account.script(ScriptedAction::after(START).later(Duration::from_millis(300)).delete_stream());
    let again = async {
        while world.account.snapshot("orders").is_some() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        world.stream(second.created_at(chrono::DateTime::from(world.clock.wall())));
    };
    let payload = event("encryption-stopped");
    let (answer, ()) = tokio::join!(world.run_for(&payload, 30), again);
    answer
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_a_stream_that_was_deleted_is_not_reported_for_the_one_created_after_it() {
    let world = unencrypted();
    world.account.fault(Fault::on(START).error("ResourceInUseException", "not ACTIVE"));
    let error = recreated_after_the_first_start(&world, NewStream::named("orders").stuck_updating()).await;
    let error = error.expect_err("retried");
    assert_eq!(
        (error.error_type.as_str(), told(&error)["error"]["code"].as_str()),
        ("StillUpdating", Some("StillUpdating"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_about_a_stream_that_was_deleted_is_not_reported_for_the_one_created_after_it() {
    let world = unencrypted();
    world.account.fault(Fault::on(START).answer_lost());
    let second = NewStream::named("orders").encrypted_with(&world.key);
    let answer = recreated_after_the_first_start(&world, second).await.expect("an answer");
    let outcome = &answer["outcomes"][0];
    assert_eq!((&outcome["status"], &outcome["warnings"]), (&json!("compliant"), &json!([])), "{outcome:#}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_deleted_and_created_again_in_the_middle_is_started_anew() {
    let world = unencrypted();
    world.account.configure(|options| {
        options.updating = Duration::from_secs(20);
        options.deleting = Duration::ZERO;
    });
    world.account.script(ScriptedAction::after(START).later(Duration::from_secs(3)).delete_stream());
    let payload = event("encryption-stopped");
    let again = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        // Between two looks: the enforcer never sees that the stream was away.
        while world.account.snapshot("orders").is_some() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        world.stream(NewStream::named("orders").created_at(chrono::DateTime::from(world.clock.wall())));
    };
    let (answer, ()) = tokio::join!(world.run(&payload), again);
    let outcome = answer.expect("an answer")["outcomes"][0].clone();
    assert_eq!((&outcome["status"], world.starts()), (&json!("encrypted"), 2), "{outcome:#}");
    assert_eq!(world.account.snapshot("orders").and_then(|stream| stream.key_id), Some(world.key.clone()));
}

#[tokio::test(start_paused = true)]
async fn what_was_applied_is_told_even_if_it_can_no_longer_be_looked_at() {
    let world = unencrypted();
    world.account.fault(Fault::on(DESCRIBE).nth(2..).error("AccessDeniedException", "no longer"));
    let outcome = world.outcome(&event("encryption-stopped")).await;
    assert_eq!((&outcome["status"], &outcome["applied"]), (&json!("failed"), &json!(true)), "{outcome:#}");
    assert_eq!((world.starts(), world.letters().len()), (1, 1));

    let world = unencrypted();
    world.account.fault(Fault::on(DESCRIBE).nth(2..).error("LimitExceededException", "Rate exceeded"));
    let error = world.run_for(&event("encryption-stopped"), 30).await.expect_err("retried");
    assert_eq!((error.error_type.as_str(), &told(&error)["applied"], world.starts()), ("Throttled", &json!(true), 1));
    assert_eq!(world.letters().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_look_that_fails_for_a_moment_is_repeated() {
    for fault in [
        Fault::on(DESCRIBE).nth(1..=2).error("LimitExceededException", "Rate exceeded"),
        Fault::on(DESCRIBE).nth(1..=2).dropped(),
        Fault::on("DescribeKey").nth(1..=2).error("KMSInternalException", "sorry"),
        Fault::on("ListTagsForStream").nth(1..=2).answer_lost(),
    ] {
        let world = unencrypted();
        world.account.fault(fault.clone());
        let outcome = world.outcome(&event("encryption-stopped")).await;
        assert_eq!((&outcome["status"], world.starts()), (&json!("encrypted"), 1), "{fault:?}: {outcome:#}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_description_of_another_stream_or_key_is_taken_for_no_answer() {
    let world = unencrypted();
    let another = world.account.create_key();
    world.stream(NewStream::named("payments").encrypted_with(&world.key));
    let arn = "arn:aws:kinesis:us-east-1:111122223333:stream/payments";
    let stream = json!({"StreamDescriptionSummary": {
        "StreamName": "payments", "StreamARN": arn, "StreamStatus": "ACTIVE", "RetentionPeriodHours": 24, "StreamCreationTimestamp": 1_600_000_000,
        "EnhancedMonitoring": [], "EncryptionType": "NONE", "OpenShardCount": 1,
    }});
    let key = json!({"KeyMetadata": {
        "KeyId": "of another", "Arn": another, "KeyState": "Enabled", "KeySpec": "SYMMETRIC_DEFAULT", "KeyUsage": "ENCRYPT_DECRYPT", "KeyManager": "CUSTOMER",
    }});
    world.account.fault(Fault::on(DESCRIBE).nth(1..=2).answer_replaced(&stream.to_string()));
    world.account.fault(Fault::on("DescribeKey").nth(1..=2).answer_replaced(&key.to_string()));
    let outcome = world.outcome(&event("encryption-stopped")).await;
    assert_eq!((&outcome["status"], &outcome["key"]), (&json!("encrypted"), &json!(world.key)), "{outcome:#}");
    assert_eq!((world.account.accepted(START, "orders"), world.account.accepted(START, "payments")), (1, 0));
    assert_eq!(world.account.snapshot("orders").and_then(|stream| stream.key_id), Some(world.key.clone()));

    let world = unencrypted();
    world.account.fault(Fault::on(DESCRIBE).answer_replaced(&stream.to_string()));
    let error = world.run_for(&event("encryption-stopped"), 30).await.expect_err("retried");
    let outcome = told(&error);
    assert_eq!(
        (error.error_type.as_str(), &outcome["error"]["code"]),
        ("AwsUnavailable", &json!("UnreadableAnswer")),
        "{outcome:#}"
    );
    assert!(outcome["stream"].as_str().expect("a stream").ends_with("/orders"), "{outcome:#}");
}

#[tokio::test(start_paused = true)]
async fn a_look_that_grew_old_while_kms_was_asked_is_repeated_before_the_start() {
    let world = unencrypted();
    world.account.fault(Fault::on("DescribeKey").delay(Duration::from_secs(3)));
    // Somebody brings the stream right while KMS is being asked.
    let key = world.key.clone();
    world.account.script(
        ScriptedAction::after(DESCRIBE).later(Duration::from_secs(1)).start_encryption(&key, Identity::user("alice")),
    );
    let outcome = world.outcome(&event("encryption-stopped")).await;
    assert_eq!((&outcome["status"], world.starts()), (&json!("compliant"), 0), "{outcome:#}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_content_is_no_answer() {
    let answers: [fn(Fault) -> Fault; 2] = [|fault| fault.answer_replaced("{}"), |fault| fault.intercepted("")];
    for empty in answers {
        // Not "no tags": the stream is exempt.
        let world = World::new();
        world.stream(NewStream::named("orders").tag("kinesis-encryption-enforcer:exempt", "load test"));
        world.account.fault(empty(Fault::on("ListTagsForStream").nth(1..=2)));
        assert_eq!(world.outcome(&event("encryption-stopped")).await["status"], "exempt");
        world.account.clear_faults();
        world.account.fault(empty(Fault::on("ListTagsForStream")));
        let outcome = told(&world.run_for(&event("encryption-stopped"), 30).await.expect_err("retried"));
        assert_eq!((&outcome["error"]["code"], world.starts()), (&json!("UnreadableAnswer"), 0), "{outcome:#}");

        for half in [r#"{"Tags": null, "HasMoreTags": false}"#, r#"{"Tags": []}"#, r#"{"HasMoreTags": false}"#] {
            world.account.clear_faults();
            world.account.fault(Fault::on("ListTagsForStream").answer_replaced(half));
            let outcome = told(&world.run_for(&event("encryption-stopped"), 30).await.expect_err("retried"));
            assert_eq!(
                (&outcome["error"]["code"], world.starts()),
                (&json!("UnreadableAnswer"), 0),
                "{half}: {outcome:#}"
            );
        }

        // Not "no streams".
        let world = unencrypted();
        world.account.fault(empty(Fault::on("ListStreams").nth(1..=1)));
        assert_eq!(world.run(&event("scheduled")).await.expect("an answer")["summary"], json!({"encrypted": 1}));

        // Not "stored".
        let world = unencrypted();
        world.account.fault(empty(Fault::on("SendMessage").nth(1..=1)));
        assert_eq!(world.outcome(&json!({"what": "is this"})).await["error"]["code"], "UnknownPayload");
        assert_ne!(world.letters().len(), 0);
        let world = unencrypted().with_work_queue();
        world.account.fault(empty(Fault::on("SendMessageBatch").nth(1..=1)));
        assert_eq!(world.run(&event("scheduled")).await.expect("an answer")["summary"], json!({"queued": 1}));
        assert_ne!(world.work().len(), 0);
    }
}
