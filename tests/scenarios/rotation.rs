//! `ON_KEY_ROTATION=reapply`: once for every stream and rotation, and never more.

use kinesis_encryption_enforcer::sandbox::{Fault, NewStream};
use serde_json::{Value, json};

use crate::support::{WORK, World, event};

const START: &str = "StartStreamEncryption";

/// The configured key was rotated `seconds` ago.
fn rotated(world: &World, seconds: i64) -> Value {
    let id = world.key.rsplit('/').next().expect("an id");
    let mut payload: Value =
        serde_json::from_str(&event("key-rotated").to_string().replace("1234abcd-12ab-34cd-56ef-1234567890ab", id)).expect("JSON");
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
    assert!(world.work().iter().all(|(item, _)| item["expiresAt"].is_string() && item["origin"]["kind"] == "key-rotated"));
    world.drain().await;
    assert_eq!((world.starts(), world.letters().len()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn it_is_not_applied_a_day_later_nor_from_the_future_nor_from_a_letter_nor_unless_asked_for() {
    const DAY: i64 = 24 * 3600;
    for (name, age) in [("a day later", DAY), ("from the future", -60)] {
        let world = reapplying();
        assert_eq!(world.run(&rotated(&world, age)).await.expect("an answer")["summary"], json!({"compliant": 3}), "{name}");
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
    world.account.fault(Fault::on("DescribeStreamSummary").stream("c").nth(2..=20).error("LimitExceededException", "Rate exceeded"));
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
