//! Streams that AWS is still changing: they are waited for in place only as long as that pays, and
//! then in the work queue.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use kinesis_encryption_enforcer::sandbox::{Fault, Identity, NewStream};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::{WORK, World, event, manual};

const DESCRIBE: &str = "DescribeStreamSummary";
const A_DAY: Duration = Duration::from_hours(24);

fn arn(name: &str) -> String {
    format!("arn:aws:kinesis:us-east-1:111122223333:stream/{name}")
}

fn item(name: &str) -> Value {
    json!({"version": 1, "kind": "work-item", "stream": arn(name), "reason": "a test"})
}

/// The event about a stream whose tags changed.
fn tagged(name: &str) -> Value {
    serde_json::from_str(&event("tags-added").to_string().replace("orders", name)).expect("JSON")
}

fn now(world: &World) -> DateTime<Utc> {
    world.clock.wall().into()
}

/// Works off the queue for `time`: how many batches there were, and how long they took together.
async fn work_for(world: &World, time: Duration) -> (usize, Duration) {
    let (end, mut batches, mut busy) = (world.clock.instant() + time, 0, Duration::ZERO);
    while world.clock.instant() < end {
        let began = world.clock.instant();
        if world.batch().await.is_some() {
            batches += 1;
            busy += world.clock.instant() - began;
        } else {
            sleep(Duration::from_secs(5)).await;
        }
    }
    (batches, busy)
}

#[tokio::test(start_paused = true)]
async fn a_day_of_resharding_ends_without_a_dead_letter_and_holds_nobody() {
    let world = World::new().with_work_queue();
    world.stream(NewStream::named("orders").updating_for(A_DAY));
    let began = world.clock.instant();
    let outcome = world.outcome(&tagged("orders")).await;
    assert_eq!((&outcome["status"], &outcome["applied"]), (&json!("deferred"), &json!(false)), "{outcome:#}");
    assert_eq!(outcome["reason"], "not started: the stream is UPDATING: it is looked at again in 30 s");
    let took = world.clock.instant() - began;
    assert!((Duration::from_secs(30)..Duration::from_secs(35)).contains(&took), "{took:?}");

    let since = now(&world);
    let (batches, busy) = work_for(&world, A_DAY + Duration::from_mins(20)).await;
    // Four an hour, of some seconds each.
    assert!((90..110).contains(&batches) && busy < Duration::from_mins(8), "{batches} batches, {busy:?}");
    let stream = world.account.snapshot("orders").expect("the stream");
    assert_eq!((stream.key_id.as_ref(), stream.status), (Some(&world.key), "ACTIVE"));
    assert_eq!((world.starts(), world.letters().len(), world.work().len()), (1, 0, 0));
    assert!(now(&world) - since >= TimeDelta::hours(24));
}

#[tokio::test(start_paused = true)]
async fn messages_of_a_batch_about_one_changing_stream_wait_for_it_once() {
    let world = World::new().with_work_queue();
    world.stream(NewStream::named("orders").updating_for(A_DAY));
    for _ in 0..10 {
        world.enqueue(&item("orders"));
    }
    let began = world.clock.instant();
    world.batch().await.expect("a batch");
    let took = world.clock.instant() - began;
    assert!(took < Duration::from_secs(6), "{took:?}");
    assert_eq!((world.work().len(), world.letters().len()), (10, 0));
}

#[tokio::test(start_paused = true)]
async fn a_wait_uses_up_no_receives_and_no_hops_and_says_since_when_it_lasts() {
    let world = World::new().with_work_queue();
    world.stream(NewStream::named("orders").stuck_updating());
    let mut first = item("orders");
    first["hops"] = json!(12);
    world.enqueue(&first);
    let mut since = Value::Null;
    for (times, delay) in [(1, 30), (2, 60), (3, 120), (4, 240), (5, 480), (6, 900), (7, 900)] {
        let received = world.account.messages(WORK)[0].receives;
        assert_eq!((received, world.batch().await), (0, Some(json!({"batchItemFailures": []}))), "{times}");
        let (item, hidden) = world.work().pop().expect("the item");
        assert_eq!((&item["hops"], &item["wait"]["times"], hidden), (&json!(12), &json!(times), delay), "{item}");
        since = if times == 1 { item["wait"]["since"].clone() } else { since };
        assert_eq!(item["wait"]["since"], since);
        sleep(Duration::from_secs(delay.unsigned_abs() + 1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_never_settles_is_dead_lettered_after_two_days_with_what_to_do() {
    let world = World::new().with_work_queue();
    world.stream(NewStream::named("orders").stuck_updating());
    world.enqueue(&item("orders"));
    work_for(&world, Duration::from_hours(47)).await;
    assert_eq!((world.letters().len(), world.work().len()), (0, 1));
    work_for(&world, Duration::from_hours(2)).await;
    let letters = world.letters();
    assert_eq!((letters.len(), world.work().len(), &letters[0]["stream"]), (1, 0, &json!(arn("orders"))));
    let error = &letters[0]["error"];
    assert_eq!((&error["code"], &error["class"]), (&json!("StillUpdating"), &json!("terminal")), "{error}");
    assert!(error["message"].as_str().is_some_and(|message| message.contains("after 48 hours")), "{error}");
    assert!(error["remedy"].as_str().is_some_and(|remedy| remedy.contains("keeps the stream")), "{error}");
}

#[tokio::test(start_paused = true)]
async fn whoever_redrives_the_dead_letter_of_a_stream_that_still_changes_begins_another_wait() {
    let world = World::new().with_work_queue();
    world.stream(NewStream::named("orders").updating_for(Duration::from_hours(50)));
    world.enqueue(&item("orders"));
    work_for(&world, Duration::from_hours(49)).await;
    let letter = world.letters().pop().expect("a dead letter");
    assert_eq!(letter["error"]["code"], "StillUpdating");
    world.account.purge(crate::support::QUEUE);
    world.enqueue(&letter);
    let redriven = now(&world);
    assert_eq!(world.batch().await, Some(json!({"batchItemFailures": []})));
    assert_eq!((world.letters().len(), world.work().len()), (0, 1));
    let wait = world.work()[0].0["wait"].clone();
    let since: DateTime<Utc> = serde_json::from_value(wait["since"].clone()).expect("a time");
    assert!((since >= redriven) && wait["times"] == 1, "{wait}");
    work_for(&world, Duration::from_hours(2)).await;
    let stream = world.account.snapshot("orders").expect("the stream");
    assert_eq!((stream.key_id.as_ref(), world.letters().len(), world.work().len()), (Some(&world.key), 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_stuck_stream_costs_a_sweep_neither_time_nor_dead_letters_and_is_left_to_the_next() {
    let mut busy = Vec::new();
    for stuck in [0, 2] {
        let world = World::new().with_work_queue();
        for index in 0..20 {
            let stream = NewStream::named(&format!("stream-{index:03}")).encrypted_with(&world.key);
            world.stream(if index < stuck { stream.stuck_updating() } else { stream });
        }
        let mut took = Duration::ZERO;
        for _ in 0..6 {
            world.run(&event("scheduled")).await.expect("an answer");
            let (batches, busy) = work_for(&world, Duration::from_hours(1)).await;
            assert!(batches < 30, "{batches}");
            took += busy;
        }
        // Two hours without a sweep: the last hour's wait is over.
        work_for(&world, Duration::from_hours(2)).await;
        assert_eq!((world.letters().len(), world.work().len()), (0, 0), "{stuck} stuck streams");
        busy.push(took);
    }
    assert!(busy[1] < busy[0] + Duration::from_mins(1), "{busy:?}");
}

#[tokio::test(start_paused = true)]
async fn a_scheduled_sweep_says_that_the_next_one_looks_at_a_stuck_stream() {
    let world = World::new().with_work_queue();
    world.stream(NewStream::named("orders").stuck_updating());
    let mut item = item("orders");
    item["origin"] = json!({"eventId": "1", "eventTime": now(&world), "kind": "scheduled"});
    item["wait"] = json!({"since": now(&world) - TimeDelta::hours(1), "times": 4});
    world.enqueue(&item);
    let batch = world.account.receive_batch(WORK, 10).expect("a batch");
    let record = &batch["Records"][0];
    assert_eq!(record["body"].as_str().map(|body| body.contains("scheduled")), Some(true));
    let answer = world.run(&batch).await.expect("an answer");
    world.account.settle_batch(WORK, &batch, Some(&answer));
    assert_eq!((world.work().len(), world.letters().len(), world.account.count(DESCRIBE)), (0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_sweeps_message_that_comes_again_is_waited_for_since_a_killed_worker_may_have_started_the_stream() {
    for (receives, waits) in [(1, false), (2, true)] {
        let world = World::new().with_work_queue();
        world.stream(NewStream::named("orders").encrypted_with(&world.key).updating_for(Duration::from_secs(2)));
        let mut item = item("orders");
        item["origin"] = json!({"eventId": "1", "eventTime": now(&world), "kind": "scheduled"});
        world.enqueue(&item);
        let mut batch = world.account.receive_batch(WORK, 10).expect("a batch");
        batch["Records"][0]["attributes"]["ApproximateReceiveCount"] = json!(receives.to_string());
        let began = world.clock.instant();
        let answer = world.run(&batch).await.expect("an answer");
        let took = world.clock.instant() - began;
        world.account.settle_batch(WORK, &batch, Some(&answer));
        assert_eq!((took > Duration::from_secs(1), world.work().len()), (waits, usize::from(!waits)), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_takes_long_is_confirmed_later_and_not_sent_again() {
    let world = World::new().with_work_queue();
    world.account.configure(|options| options.updating = Duration::from_mins(3));
    world.stream(NewStream::named("orders"));
    let outcome = world.outcome(&tagged("orders")).await;
    assert_eq!((&outcome["status"], &outcome["applied"]), (&json!("deferred"), &json!(true)), "{outcome:#}");
    let reason = outcome["reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with("started, not yet confirmed: the stream is UPDATING"), "{reason}");
    let (item, _) = world.work().remove(0);
    // Whoever works on it next only verifies it.
    assert!(item["expiresAt"].is_string() && item["wait"]["times"] == 1, "{item}");
    world.drain().await;
    let stream = world.account.snapshot("orders").expect("the stream");
    assert_eq!((stream.key_id.as_ref(), world.starts(), world.letters().len()), (Some(&world.key), 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_refuses_a_started_stream_does_not_hide_that_it_was_started() {
    let world = World::new().with_work_queue();
    world.account.configure(|options| options.updating = Duration::from_mins(3));
    world.stream(NewStream::named("orders"));
    world.account.fault(Fault::on("SendMessage").nth(1..=8).error("ServiceUnavailable", "sorry"));
    let outcome = world.outcome(&manual("orders")).await;
    assert_eq!(
        (&outcome["status"], &outcome["applied"], &outcome["error"]["step"]),
        (&json!("failed"), &json!(true), &json!("send-work-item")),
        "{outcome:#}"
    );
    assert_eq!(world.letters().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_work_queue_the_timeout_is_the_limit() {
    let world = World::new();
    world.stream(NewStream::named("orders").updating_for(Duration::from_mins(4)));
    assert_eq!(world.outcome(&tagged("orders")).await["status"], "encrypted");
    let world = World::new();
    world.stream(NewStream::named("orders").stuck_updating());
    let error = world.run(&tagged("orders")).await.expect_err("retried");
    assert_eq!(error.error_type.as_str(), "StillUpdating");
}

/// An answer that shows the stream ACTIVE and not encrypted.
fn stale(name: &str) -> String {
    json!({"StreamDescriptionSummary": {
        "StreamName": name, "StreamARN": arn(name), "StreamStatus": "ACTIVE", "RetentionPeriodHours": 24,
        "StreamModeDetails": {"StreamMode": "PROVISIONED"}, "StreamCreationTimestamp": 1_795_475_000,
        "EnhancedMonitoring": [], "EncryptionType": "NONE", "OpenShardCount": 1,
    }})
    .to_string()
}

#[tokio::test(start_paused = true)]
async fn one_stale_description_accuses_nobody() {
    let world = World::new();
    world.account.configure(|options| options.updating = Duration::from_secs(4));
    let created = DateTime::from_timestamp(1_795_475_000, 0).expect("a time");
    world.stream(NewStream::named("orders").created_at(created));
    // The first look, one that shows UPDATING, and then one from an older replica.
    world.account.fault(Fault::on(DESCRIBE).nth(3..=3).answer_replaced(&stale("orders")));
    let outcome = world.outcome(&manual("orders")).await;
    assert_eq!((&outcome["status"], world.letters().len()), (&json!("encrypted"), 0), "{outcome:#}");
}

#[tokio::test(start_paused = true)]
async fn what_descriptions_go_on_showing_was_undone() {
    let world = World::new();
    world.account.configure(|options| options.updating = Duration::from_secs(4));
    let created = DateTime::from_timestamp(1_795_475_000, 0).expect("a time");
    world.stream(NewStream::named("orders").created_at(created));
    world.account.fault(Fault::on(DESCRIBE).nth(3..).answer_replaced(&stale("orders")));
    let outcome = world.outcome(&manual("orders")).await;
    assert_eq!((&outcome["status"], &outcome["error"]["code"]), (&json!("contested"), &json!("Undone")), "{outcome:#}");
    assert!((4_000..12_000).contains(&outcome["waitedMs"].as_u64().unwrap_or_default()), "{outcome:#}");
    assert_eq!(world.starts(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_undone_while_a_stream_waits_in_the_queue_is_contested_like_anything_else() {
    let world = World::new().with_work_queue();
    world.account.configure(|options| options.updating = Duration::from_mins(2));
    world.account.identity("other", Identity::role("other", "x"));
    let other = world.kinesis("other");
    world.stream(NewStream::named("orders"));
    world.enqueue(&item("orders"));
    let end = world.clock.instant() + Duration::from_hours(23);
    // Each batch in a new process; no event reports what the other does.
    while world.clock.instant() < end {
        if world.batch().await.is_none() {
            sleep(Duration::from_secs(5)).await;
        }
        let stream = world.account.snapshot("orders").expect("the stream");
        if stream.status == "ACTIVE" && stream.key_id.is_some() {
            let stop = other.stop_stream_encryption().stream_name("orders").encryption_type("KMS".into());
            stop.key_id(&world.key).send().await.expect("stopped");
        }
    }
    let letters = world.letters();
    assert_eq!((world.starts(), letters.len(), &letters[0]["error"]["code"]), (5, 1, &json!("Contested")));
}

#[tokio::test(start_paused = true)]
async fn a_stale_description_after_a_wait_in_the_queue_leads_to_no_second_start() {
    let world = World::new().with_work_queue();
    world.account.configure(|options| options.updating = Duration::from_secs(75));
    let created = DateTime::from_timestamp(1_795_475_000, 0).expect("a time");
    world.stream(NewStream::named("orders").created_at(created));
    world.run(&manual("orders")).await.expect("an answer");
    sleep(Duration::from_secs(31)).await;
    world.account.fault(Fault::on(DESCRIBE).nth(1..=1).answer_replaced(&stale("orders")));
    world.drain().await;
    assert_eq!((world.starts(), world.letters().len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn several_messages_about_one_stream_do_not_wait_for_it_one_after_the_other() {
    let world = World::new().with_work_queue();
    world.stream(NewStream::named("orders").stuck_updating());
    (0..10).for_each(|_| world.enqueue(&item("orders")));
    let began = world.clock.instant();
    assert_eq!(world.batch().await, Some(json!({"batchItemFailures": []})));
    let took = world.clock.instant() - began;
    assert!(took < Duration::from_secs(6), "{took:?}");
    assert_eq!((world.work().len(), world.letters().len()), (10, 0));
}
