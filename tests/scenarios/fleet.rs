//! Every stream of the account.

use std::time::Duration;

use kinesis_encryption_enforcer::sandbox::{Fault, KeyState, NewStream};
use serde_json::json;

use crate::support::{ALIAS, World, about, event};

#[tokio::test(start_paused = true)]
async fn when_the_alias_is_re_pointed_every_stream_follows_by_the_new_arn() {
    let world = World::new().with("KMS_KEY_ID", ALIAS);
    for name in ["a", "b"] {
        world.stream(NewStream::named(name).encrypted_with(&world.key));
    }
    world.stream(NewStream::named("by-alias").encrypted_with(ALIAS));
    let new = world.account.create_key();
    world.account.alias(ALIAS, &new);
    let answer = world.run(&event("alias-repointed")).await.expect("an answer");
    assert_eq!((&answer["trigger"]["kind"], &answer["summary"]), (&json!("alias-repointed"), &json!({"encrypted": 3})));
    for name in ["a", "b", "by-alias"] {
        assert_eq!(world.account.snapshot(name).and_then(|stream| stream.key_id), Some(new.clone()), "{name}");
    }
    let again = world.run(&event("alias-repointed")).await.expect("an answer");
    assert_eq!((&again["summary"], world.starts()), (&json!({"compliant": 3}), 3));
}

#[tokio::test(start_paused = true)]
async fn another_alias_is_ignored_without_a_call() {
    let world = World::new().with("KMS_KEY_ID", ALIAS);
    let answer = world.run(&event("alias-created-elsewhere")).await.expect("an answer");
    assert_eq!((&answer["trigger"]["kind"], &answer["outcomes"]), (&json!("ignored"), &json!([])));
    assert_eq!(world.operations().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_reaches_every_page_and_one_failure_stops_nobody() {
    for next_token in [true, false] {
        let world = World::new();
        world.account.configure(|options| options.next_token = next_token);
        for index in 0..250 {
            world.stream(NewStream::named(&format!("stream-{index:03}")));
        }
        world
            .account
            .fault(Fault::on("StartStreamEncryption").stream("stream-007").error("AccessDeniedException", "no"));
        let answer = world.run(&event("scheduled")).await.expect("an answer");
        assert_eq!(answer["summary"], json!({"encrypted": 249, "failed": 1}));
        assert_eq!(answer["outcomes"][0]["status"], "failed");
        assert_eq!(world.letters().len(), 1);
        let again = world.run(&event("scheduled")).await.expect("an answer");
        assert_eq!(again["summary"], json!({"compliant": 249, "failed": 1}));
    }
}

#[tokio::test(start_paused = true)]
async fn an_unusable_key_is_one_letter_and_no_stream_is_touched() {
    let world = World::new();
    for name in ["a", "b", "c"] {
        world.stream(NewStream::named(name));
    }
    world.account.set_key_state(&world.key, KeyState::PendingDeletion);
    let answer = world.run(&event("scheduled")).await.expect("an answer");
    assert_eq!((&answer["summary"], &answer["outcomes"][0]["stream"]), (&json!({"failed": 1}), &json!(null)));
    assert_eq!(world.operations(), ["DescribeKey", "SendMessage"]);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_runs_out_of_time_goes_on_from_its_letter() {
    let world = World::new();
    world.account.configure(|options| options.updating = Duration::from_secs(8));
    for index in 0..40 {
        world.stream(NewStream::named(&format!("stream-{index:03}")));
    }
    let answer = world.run_for(&event("scheduled"), 30).await.expect("an answer");
    let after = answer["continueAfter"].as_str().expect("not finished").to_owned();
    let rest = world.letters().into_iter().find(|letter| letter["stream"].is_null()).expect("a letter of the rest");
    assert_eq!(
        (&rest["event"], &rest["error"]["class"]),
        (&json!({"sweep": true, "startAfter": after}), &json!("retryable"))
    );
    for letter in world.letters() {
        world.run(&letter).await.expect("an answer");
    }
    let last = world.run(&event("scheduled")).await.expect("an answer");
    assert_eq!(last["summary"], json!({"compliant": 40}));
    assert_eq!(world.starts(), 40);
}

#[tokio::test(start_paused = true)]
async fn trouble_with_the_configured_key_is_reported_and_touches_no_stream() {
    for (name, state) in [
        ("key-disabled", KeyState::Disabled),
        ("key-deletion-scheduled", KeyState::PendingDeletion),
        ("key-deletion-cancelled", KeyState::Disabled),
    ] {
        let world = World::new();
        world.stream(NewStream::named("orders"));
        world.account.set_key_state(&world.key, state);
        let outcome = world.outcome(&about(name, &world.key)).await;
        assert_eq!(outcome["status"], "key-at-risk", "{name}");
        assert_eq!(world.operations(), ["DescribeKey"], "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn events_of_another_key_are_ignored_without_a_call() {
    for name in ["key-disabled", "key-rotated", "key-rotated-old-form", "key-enabled", "key-deleted"] {
        let world = World::new();
        let answer = world.run(&event(name)).await.expect("an answer");
        assert_eq!((&answer["trigger"]["kind"], world.operations().len()), (&json!("ignored"), 0), "{name}");
        assert!(
            answer["trigger"]["reason"].as_str().is_some_and(|reason| reason.contains("key")),
            "{name}: {answer:#}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn rotation_of_the_configured_key_leaves_right_streams_alone() {
    let world = World::new();
    world.stream(NewStream::named("right").encrypted_with(&world.key));
    world.stream(NewStream::named("wrong"));
    let answer = world.run(&about("key-rotated", &world.key)).await.expect("an answer");
    assert_eq!((&answer["summary"], world.starts()), (&json!({"compliant": 1, "encrypted": 1}), 1));
}

#[tokio::test(start_paused = true)]
async fn an_audit_of_several_hundred_streams_fits_one_invocation_with_a_work_queue_too() {
    let world = World::new().with_work_queue().with("ENFORCEMENT_MODE", "audit");
    for index in 0..400 {
        world.stream(NewStream::named(&format!("stream-{index:03}")));
    }
    let answer = world.run(&event("scheduled")).await.expect("an answer");
    assert_eq!((&answer["summary"], world.letters().len()), (&json!({"would-encrypt": 400}), 0));
}
