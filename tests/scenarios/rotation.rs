//! `ON_KEY_ROTATION=reapply`: once for every stream and rotation, and never more.

use kinesis_encryption_enforcer::sandbox::{Fault, NewStream};
use serde_json::{Value, json};

use crate::support::{WORK, World, about, event};

const START: &str = "StartStreamEncryption";

/// The configured key was rotated `seconds` ago.
fn rotated(world: &World, seconds: i64) -> Value {
    let mut payload = about("key-rotated", &world.key);
    let then = chrono::DateTime::<chrono::Utc>::from(world.clock.wall()) - chrono::TimeDelta::seconds(seconds);
    payload["time"] = json!(then);
    payload
}

fn reapplying() -> World {
    let world = World::new().with("ON_KEY_ROTATION", "reapply");
    for name in ["a", "b", "c"] {
        world.stream(NewStream::named(name).encrypted_with(&world.key));
    }
    world
}

#[tokio::test(start_paused = true)]
async fn the_key_is_applied_once_to_every_stream_with_and_without_a_queue() {
    let world = reapplying();
    let answer = world.run(&rotated(&world, 10)).await.expect("an answer");
    assert_eq!((&answer["summary"], world.starts()), (&json!({"encrypted": 3}), 3));
    assert!(answer["outcomes"][0]["reason"].as_str().expect("a reason").contains("rotated"), "{answer:#}");

    let world = reapplying().with_work_queue();
    let answer = world.run(&rotated(&world, 10)).await.expect("an answer");
    assert_eq!((&answer["summary"], world.starts()), (&json!({"queued": 3}), 0));
    assert!(
        world.work().iter().all(|(item, _)| item["expiresAt"].is_string() && item["origin"]["kind"] == "key-rotated")
    );
    world.drain().await;
    assert_eq!((world.starts(), world.letters().len()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn it_is_not_applied_a_day_later_nor_from_the_future_nor_from_a_letter_nor_unless_asked_for() {
    const DAY: i64 = 24 * 3600;
    for (name, age) in [("a day later", DAY), ("from the future", -60)] {
        let world = reapplying();
        assert_eq!(
            world.run(&rotated(&world, age)).await.expect("an answer")["summary"],
            json!({"compliant": 3}),
            "{name}"
        );
    }
    let world = reapplying();
    let letter = json!({"version": 1, "kind": "enforcement-failure", "stream": null, "attempts": 1, "event": rotated(&world, 10)});
    assert_eq!(world.run(&letter).await.expect("an answer")["summary"], json!({"compliant": 3}));

    let world = reapplying().with("ON_KEY_ROTATION", "verify");
    assert_eq!(world.run(&rotated(&world, 10)).await.expect("an answer")["summary"], json!({"compliant": 3}));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_updating_already_is_not_started_again() {
    let world = World::new().with("ON_KEY_ROTATION", "reapply");
    world.stream(NewStream::named("a").encrypted_with(&world.key).updating());
    assert_eq!(world.run(&rotated(&world, 10)).await.expect("an answer")["summary"], json!({"compliant": 1}));
    assert_eq!(world.starts(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_died_may_have_applied_it_so_the_next_receive_only_verifies() {
    let world = reapplying().with_work_queue();
    world.run(&rotated(&world, 10)).await.expect("an answer");
    // Received once, by a worker of which nothing was heard again.
    world.account.receive_batch(WORK, 10).expect("a batch");
    world.drain().await;
    assert_eq!((world.starts(), world.letters().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_throttled_application_is_still_made_and_an_unconfirmed_one_is_not_repeated() {
    let world = reapplying().with_work_queue();
    world.account.fault(Fault::on(START).stream("b").nth(1..=4).error("KMSThrottlingException", "slow down"));
    world.account.fault(
        Fault::on("DescribeStreamSummary").stream("c").nth(2..=20).error("LimitExceededException", "Rate exceeded"),
    );
    world.run(&rotated(&world, 10)).await.expect("an answer");
    world.drain().await;
    for name in ["a", "b", "c"] {
        assert_eq!(world.account.accepted(START, name), 1, "{name}");
    }
    assert_eq!(world.letters().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_person_may_ask_for_it_for_every_stream() {
    let world = reapplying().with_work_queue();
    world.run(&json!({"sweep": true, "reapply": true})).await.expect("an answer");
    world.drain().await;
    assert_eq!((world.starts(), world.letters().len()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_fresh_application_is_of_the_key_that_the_stream_has_and_never_replaces_an_accepted_one() {
    for payload in
        [None, Some(json!({"sweep": true, "reapply": true})), Some(json!({"stream": "theirs", "reapply": true}))]
    {
        let world = World::new().with("ON_OTHER_KEY", "accept").with("ON_KEY_ROTATION", "reapply");
        let other = world.account.create_key();
        world.stream(NewStream::named("theirs").encrypted_with(&other));
        let payload = payload.unwrap_or_else(|| rotated(&world, 10));
        assert_eq!(world.run(&payload).await.expect("an answer")["summary"], json!({"compliant": 1}), "{payload}");
        assert_eq!(
            (world.account.snapshot("theirs").and_then(|stream| stream.key_id), world.starts()),
            (Some(other), 0),
            "{payload}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn only_streams_that_are_to_have_the_rotated_key_are_started_again() {
    for queue in [false, true] {
        let mut world = World::new().with("ON_KEY_ROTATION", "reapply");
        let payments = world.account.create_key();
        let rules =
            json!({"version": 1, "rules": [{"name": "payments", "match": {"stream": "payments-*"}, "key": payments}]});
        world = world.with("POLICY", &rules.to_string());
        if queue {
            world = world.with_work_queue();
        }
        world.stream(NewStream::named("orders").encrypted_with(&world.key));
        world.stream(NewStream::named("payments-eu").encrypted_with(&payments));
        world.run(&rotated(&world, 10)).await.expect("an answer");
        world.drain_if(queue).await;
        assert_eq!(
            (world.account.accepted(START, "orders"), world.account.accepted(START, "payments-eu")),
            (1, 0),
            "queue: {queue}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_sweep_that_a_person_asked_for_still_reapplies_and_what_was_applied_is_not_applied_from_its_letter()
 {
    let world = World::new();
    world.account.configure(|options| options.updating = std::time::Duration::from_secs(20));
    for index in 0..60 {
        world.stream(NewStream::named(&format!("s{index:02}")).encrypted_with(&world.key));
    }
    world.run_for(&json!({"sweep": true, "reapply": true}), 60).await.expect("an answer");
    tokio::time::sleep(std::time::Duration::from_mins(1)).await;
    for letter in world.letters() {
        world.run(&letter).await.expect("an answer");
    }
    for index in 0..60 {
        assert_eq!(world.account.accepted(START, &format!("s{index:02}")), 1, "{index}");
    }

    let world = World::new();
    world.account.configure(|options| options.updating = std::time::Duration::from_secs(100));
    world.stream(NewStream::named("orders").encrypted_with(&world.key));
    let outcome =
        &world.run_for(&json!({"stream": "orders", "reapply": true}), 60).await.expect("an answer")["outcomes"][0];
    assert_eq!((&outcome["status"], &outcome["applied"]), (&json!("failed"), &json!(true)));
    tokio::time::sleep(std::time::Duration::from_secs(100)).await;
    assert_eq!(world.letters()[0]["event"], json!({"stream": "orders"}));
    assert_eq!(world.outcome(&world.letters()[0]).await["status"], "compliant");
    assert_eq!(world.starts(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_rotation_is_not_left_to_the_messages_of_others_that_know_nothing_of_it() {
    let world = World::new().with_work_queue().with("ON_KEY_ROTATION", "reapply");
    for index in 0..60 {
        world.stream(NewStream::named(&format!("stream-{index:03}")).encrypted_with(&world.key));
    }
    world.run(&event("scheduled")).await.expect("an answer");
    let answer = world.run(&rotated(&world, 10)).await.expect("an answer");
    assert_eq!(answer["summary"], json!({"queued": 60}));
    world.drain().await;
    assert_eq!((world.starts(), world.letters().len()), (60, 0));
    // Where rotations are only verified, the messages that wait do that as well.
    let world = world.with("ON_KEY_ROTATION", "verify");
    world.run(&event("scheduled")).await.expect("an answer");
    let answer = world.run(&rotated(&world, 10)).await.expect("an answer");
    assert_eq!(answer["trigger"]["kind"], "ignored");
}

#[tokio::test(start_paused = true)]
async fn a_history_that_cannot_be_read_for_the_moment_delays_it_and_one_that_may_not_be_read_is_warned_of() {
    const LOOK_UP: &str = "LookupEvents";
    for (code, calls, starts) in [("ThrottlingException", 1..=8, 1), ("AccessDeniedException", 1..=99, 0)] {
        let world = World::new().with_work_queue().with("ON_KEY_ROTATION", "reapply");
        world.stream(NewStream::named("orders").encrypted_with(&world.key));
        world.run(&rotated(&world, 10)).await.expect("an answer");
        world.account.fault(Fault::on(LOOK_UP).nth(calls).error(code, "no"));
        world.drain().await;
        assert_eq!((world.starts(), world.letters().len()), (starts, 0), "{code}");
    }
    // It ends even if it never can be read.
    let world = World::new().with_work_queue().with("ON_KEY_ROTATION", "reapply");
    world.stream(NewStream::named("orders").encrypted_with(&world.key));
    world.run(&rotated(&world, 10)).await.expect("an answer");
    world.account.fault(Fault::on(LOOK_UP).error("ThrottlingException", "no"));
    world.drain().await;
    assert_eq!((world.starts(), world.letters().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_redriven_dead_letter_does_not_apply_it_after_a_wait_in_the_queue_either() {
    let world = World::new().with_work_queue().with("ON_KEY_ROTATION", "reapply");
    let stream = NewStream::named("orders").encrypted_with(&world.key).updating_for(std::time::Duration::from_mins(2));
    let arn = world.stream(stream);
    let item = json!({
        "version": 1, "kind": "work-item", "stream": arn, "reason": "a test", "rotated": world.key,
        "origin": {"eventId": "1", "eventTime": chrono::DateTime::<chrono::Utc>::from(world.clock.wall()), "kind": "key-rotated"},
    });
    let letter = json!({"version": 1, "kind": "enforcement-failure", "stream": arn, "attempts": 1, "event": item});
    world.enqueue(&letter);
    world.drain().await;
    assert_eq!((world.starts(), world.letters().len()), (0, 0));
}
