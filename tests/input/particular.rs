//! Named cases: what is large, deep, foreign, forged or empty, and what generated payloads found.

use kinesis_encryption_enforcer::sandbox::{KeyState, NewStream};
use serde_json::{Value, json};

use crate::json::{letter, message};
use crate::support::{ALIAS, QUEUE, World, event, manual};

const SENT: &str = "SendMessage";

fn with(mut event: Value, pointer: &str, value: Value) -> Value {
    *event.pointer_mut(pointer).expect("a member") = value;
    event
}

fn with_a_stream() -> World {
    let world = World::new();
    world.stream(NewStream::named("orders"));
    world
}

/// `payload` ends as a letter with this code, and AWS is asked for nothing else.
async fn check_refused(world: &World, payload: &Value, code: &str) {
    world.account.forget_calls();
    let answer = world.run(payload).await.expect("an answer");
    assert_eq!(answer["outcomes"][0]["error"]["code"], code, "{answer:#}");
    assert_eq!(world.operations(), [SENT], "{payload:#}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_another_account_region_or_partition_is_refused_before_any_call() {
    let world = with_a_stream();
    for (arn, code) in [
        ("arn:aws:kinesis:us-east-1:444455556666:stream/orders", "ForeignAccount"),
        ("arn:aws:kinesis:eu-west-1:111122223333:stream/orders", "ForeignRegion"),
        ("arn:aws-cn:kinesis:us-east-1:111122223333:stream/orders", "ForeignRegion"),
        ("arn:aws-us-gov:kinesis:us-east-1:111122223333:stream/orders", "ForeignRegion"),
        ("arn:awsx:kinesis:us-east-1:111122223333:stream/orders", "ForeignRegion"),
    ] {
        check_refused(&world, &manual(arn), code).await;
        check_refused(&world, &with(event("work-item"), "/stream", json!(arn)), code).await;
        check_refused(&world, &letter(&json!({}), &json!(1), Some(arn)), code).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_of_one_account_says_nothing_of_anothers_streams() {
    let world = with_a_stream();
    // A bare name is a stream of the function's own account.
    for account in ["444455556666", ""] {
        let inner = with(event("stream-created"), "/account", json!(account));
        check_refused(&world, &letter(&inner, &json!(1), Some("orders")), "ForeignAccount").await;
    }
    for name in ["stream-created", "encryption-stopped-by-arn"] {
        // The envelope is another account's, or the record inside it.
        check_refused(&world, &with(event(name), "/account", json!("444455556666")), "UnknownPayload").await;
    }
    let foreign = json!("arn:aws:kinesis:us-east-1:444455556666:stream/orders");
    check_refused(
        &world,
        &with(event("encryption-stopped-by-arn"), "/detail/requestParameters/streamARN", foreign),
        "UnknownPayload",
    )
    .await;
    for name in
        ["compliance-changed", "configuration-item-changed", "security-finding", "security-finding-custom-action"]
    {
        check_refused(&world, &with(event(name), "/account", json!("444455556666")), "ForeignAccount").await;
    }
    assert_eq!(world.starts(), 0);
}

#[tokio::test(start_paused = true)]
async fn events_that_do_not_come_from_aws_are_refused_before_any_call() {
    let world = with_a_stream();
    for source in ["custom.kinesis", "AWS.kinesis", "aws-kinesis", "aws.", "aws.kinesis ", "", "\u{fffe}"] {
        check_refused(&world, &with(event("stream-created"), "/source", json!(source)), "UnknownPayload").await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_whose_account_and_region_are_any_text_is_lettered_without_them() {
    for (pointer, text) in
        [("/account", "\u{fffe}"), ("/account", ""), ("/region", "\u{0}"), ("/region", &"x".repeat(300_000))]
    {
        let world = World::new();
        let payload = with(with(event("stream-created"), "/source", json!("custom")), pointer, json!(text));
        check_refused(&world, &payload, "UnknownPayload").await;
        let sent = world.account.messages(QUEUE).remove(0);
        assert_eq!((sent.attribute("Account"), sent.attribute("Region")), (Some("111122223333"), Some("us-east-1")));
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_of_a_megabyte_is_worked_and_its_letter_is_reduced() {
    let padded = with(event("encryption-stopped"), "/detail/userAgent", json!("ü".repeat(500_000)));
    let world = with_a_stream();
    assert_eq!(world.outcome(&padded).await["status"], "encrypted");

    let world = with_a_stream();
    world.account.set_key_state(&world.key, KeyState::Disabled);
    for (payload, truncated) in [
        (padded, true),
        (json!({"stream": "orders", "dryRun": "x".repeat(1_000_000)}), true),
        (event("encryption-stopped"), false),
    ] {
        world.account.purge(QUEUE);
        world.outcome(&payload).await;
        let letter = world.letters().remove(0);
        assert_eq!(letter.get("eventTruncated"), truncated.then_some(&json!(true)), "{}", letter["error"]);
        // Fed back it ends the same way.
        let code = letter["error"]["code"].clone();
        world.account.purge(QUEUE);
        world.outcome(&letter).await;
        assert_eq!((&world.letters()[0]["error"]["code"], &world.letters()[0]["attempts"]), (&code, &json!(2)));
    }
}

#[tokio::test(start_paused = true)]
async fn letters_of_any_count_are_fed_back_and_the_count_does_not_start_anew() {
    for (attempts, then) in
        [(json!(u64::MAX), u32::MAX), (json!(u32::MAX), u32::MAX), (json!(-1), 1), (json!("7"), 1), (json!(7), 8)]
    {
        let world = World::new();
        world.outcome(&letter(&json!({"kind": "?"}), &attempts, None)).await;
        assert_eq!(world.letters()[0]["attempts"], json!(then), "{attempts}");
    }
}

#[tokio::test(start_paused = true)]
async fn letters_with_empty_fields_are_lettered_anew() {
    for broken in [
        json!({"kind": "enforcement-failure"}),
        json!({"kind": "enforcement-failure", "version": 1, "stream": "", "event": ""}),
        json!({"kind": "enforcement-failure", "version": 1, "stream": null, "event": null}),
        json!({"kind": "enforcement-failure", "version": "", "stream": {}, "event": {}, "attempts": ""}),
        json!({"kind": "enforcement-failure", "version": 1, "stream": "\u{fffe}", "event": {"\u{fffe}": "\u{0}"}}),
        json!({"kind": "enforcement-failure", "version": 1, "event": "x".repeat(1_200_000)}),
    ] {
        let world = World::new();
        check_refused(&world, &broken, "UnknownPayload").await;
        assert_ne!(world.letters()[0]["event"]["kind"], "enforcement-failure");
    }
}

#[tokio::test(start_paused = true)]
async fn messages_without_a_body_and_with_the_same_id_are_each_answered_for() {
    let world = with_a_stream();
    let bodiless = json!({"messageId": "same", "eventSource": "aws:sqs"});
    let batch = json!({"Records": [bodiless, message("same", 1, &event("stream-created").to_string()), message("same", 1, "\u{fffe}")]});
    assert_eq!(world.run(&batch).await.expect("an answer"), json!({"batchItemFailures": []}));
    assert_eq!((world.letters().len(), world.starts()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_batch_in_a_letter_is_read_up_to_a_thousand_wide_and_the_rest_is_one_letter() {
    let world = World::new();
    let records: Vec<_> =
        (0..1_003).map(|index| message(&index.to_string(), 1, &event("encryption-stop-denied").to_string())).collect();
    let answer = world.run(&letter(&json!({"Records": records}), &json!(1), None)).await.expect("an answer");
    assert_eq!(answer["summary"], json!({"failed": 1}));
    let rest = world.letters().remove(0);
    assert_eq!(rest["event"]["Records"].as_array().map(Vec::len), Some(3));
    assert_eq!(world.run(&rest).await.expect("an answer")["trigger"]["kind"], "ignored");
}

#[tokio::test(start_paused = true)]
async fn work_of_an_event_at_the_end_of_time_is_sent_on_once_and_ends() {
    for last in ["+262142-12-31T23:59:59Z", "-262143-01-01T00:00:00Z"] {
        let world = with_a_stream().with_work_queue().with("ON_KEY_ROTATION", "reapply");
        let rotated = with(with(event("key-rotated"), "/time", json!(last)), "/detail/key-id", json!(world.key));
        world.run(&rotated).await.expect("an answer");
        world.drain().await;
        assert_eq!((world.starts(), world.letters().len()), (1, 0), "{last}");

        let item = json!({"version": 1, "kind": "work-item", "sweep": {"startAfter": null}, "origin": {"eventTime": last}, "hops": u32::MAX, "reapply": true});
        world.run(&item).await.expect("an answer");
        let sent = world.work();
        assert_eq!((sent.len(), &sent[0].0["hops"]), (1, &json!(u32::MAX)), "a chain does not start anew");
        world.drain().await;
        assert_eq!(world.letters().len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn applications_that_are_yet_to_come_are_no_end_of_the_world() {
    let world = with_a_stream().with_work_queue();
    let at = "+262142-12-31T23:59:59Z";
    // Further apart than two records of one application.
    let applied: Vec<_> = (0..6).map(|index| format!("+262142-12-31T23:5{index}:00Z")).collect();
    let suspicion = json!({"at": at, "deed": "stopped", "by": {}, "applied": applied, "rested": true});
    let mut item = event("work-item");
    item["suspicion"] = suspicion;
    assert_eq!(world.outcome(&item).await["status"], "contested");
    assert_eq!(world.starts(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_event_with_an_odd_id_is_fanned_out_like_any_other() {
    for id in ["\u{fffe}".to_owned(), "\u{0}".to_owned(), "🦀".repeat(100_000)] {
        let world = with_a_stream().with_work_queue();
        let answer = world.run(&with(event("scheduled"), "/id", json!(id))).await.expect("an answer");
        assert_eq!(answer["summary"], json!({"queued": 1}));
        world.drain().await;
        assert_eq!((world.starts(), world.letters().len()), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_event_with_an_odd_character_is_looked_at_again_like_any_other() {
    let world = with_a_stream().with_work_queue().with("KMS_KEY_ID", ALIAS);
    let mut repointed = with(event("alias-repointed"), "/time", json!("2026-11-24T00:00:00Z"));
    repointed["detail"]["userAgent"] = json!("\u{fffe}");
    world.run(&repointed).await.expect("an answer");
    assert!(world.work().iter().any(|(body, _)| *body == repointed), "{:#?}", world.work());
}
