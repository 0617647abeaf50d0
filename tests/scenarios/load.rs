//! Payloads that ask for a great deal, by mistake or on purpose: each stream ends in one outcome, and
//! nobody else pays for it.

use std::cell::RefCell;
use std::time::Duration;

use chrono::{DateTime, Utc};
use kinesis_encryption_enforcer::sandbox::{Fault, NewStream};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::{ALIAS, WORK, World, about, event};

const DESCRIBE: &str = "DescribeStreamSummary";
const START: &str = "StartStreamEncryption";

fn arn(name: &str) -> String {
    format!("arn:aws:kinesis:us-east-1:111122223333:stream/{name}")
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("stream-{index:04}")).collect()
}

fn item(name: &str) -> Value {
    json!({"version": 1, "kind": "work-item", "stream": arn(name), "reason": "a test"})
}

fn now(world: &World) -> DateTime<Utc> {
    world.clock.wall().into()
}

/// How many of the streams have the key.
fn encrypted(world: &World, names: &[String]) -> usize {
    let key = |name: &&String| world.account.snapshot(name).and_then(|stream| stream.key_id);
    names.iter().filter(|name| key(name).as_ref() == Some(&world.key)).count()
}

#[tokio::test(start_paused = true)]
async fn a_message_with_many_streams_is_spread_over_the_queue_and_its_neighbours_are_served() {
    for wrapped in [false, true] {
        let world = World::new().with_work_queue();
        let names = names(400);
        for name in names.iter().map(String::as_str).chain(["orders"]) {
            world.stream(NewStream::named(name));
        }
        let request = json!({ "streams": names });
        // As an on-failure record of Lambda, which the runbook tells people to redrive.
        let record =
            json!({"version": "1.0", "requestContext": {"condition": "RetriesExhausted"}, "requestPayload": request});
        world.enqueue(if wrapped { &record } else { &request });
        world.enqueue(&item("orders"));
        let began = world.clock.instant();
        assert_eq!(world.batch().await, Some(json!({"batchItemFailures": []})));
        assert!(world.clock.instant() - began < Duration::from_secs(10));
        assert_eq!((world.work().len(), world.starts()), (400, 1));
        world.drain().await;
        assert_eq!((encrypted(&world, &names), world.letters().len()), (400, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn nested_requests_come_to_an_end_and_each_stream_becomes_work_of_its_own() {
    let world = World::new().with_work_queue();
    let names = names(1_000);
    for name in &names {
        world.stream(NewStream::named(name).encrypted_with(&world.key));
    }
    let record = |name: &String| json!({"messageId": name, "eventSource": "aws:sqs", "body": json!({"stream": name}).to_string()});
    world.enqueue(&json!({"Records": names.iter().map(record).collect::<Vec<_>>()}));
    assert_eq!(world.batch().await, Some(json!({"batchItemFailures": []})));
    assert_eq!((world.work().len(), world.account.count(DESCRIBE)), (1_000, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_reached_of_a_message_is_one_dead_letter_that_can_be_redriven() {
    let world = World::new().with_work_queue();
    let names = names(60);
    for name in &names {
        world.stream(NewStream::named(name));
    }
    // Every message to the queue takes so long that the time is up after some forty.
    world.account.fault(Fault::on("SendMessageBatch").delay(Duration::from_secs(9)));
    let record = |name: &String| json!({"messageId": name, "eventSource": "aws:sqs", "body": json!({"stream": name}).to_string()});
    let payload = json!({"Records": names.iter().map(record).collect::<Vec<_>>()});
    world.enqueue(&payload);
    let batch = world.account.receive_batch(WORK, 10).expect("a batch");
    let began = world.clock.instant();
    let answer = world.run_for(&batch, 20).await.expect("an answer");
    assert!(world.clock.instant() - began < Duration::from_secs(20));
    world.account.settle_batch(WORK, &batch, Some(&answer));
    assert_eq!(answer, json!({"batchItemFailures": []}));
    let letters = world.letters();
    let not_reached: Vec<_> =
        letters.iter().filter(|letter| letter["error"]["code"] == "OutOfTime" && letter["stream"].is_null()).collect();
    assert_eq!(not_reached.len(), 1, "{letters:#?}");
    let count = not_reached[0]["event"]["Records"].as_array().map_or(0, Vec::len);
    assert!((1..60).contains(&count), "{count}");
    let reason = format!("the time was up before {count} requests of the payload were reached");
    assert!(
        not_reached[0]["error"]["message"].as_str().is_some_and(|message| message.contains(&reason)),
        "{letters:#?}"
    );

    world.account.clear_faults();
    for letter in &letters {
        world.enqueue(letter);
    }
    world.account.purge("dead-letters");
    world.drain().await;
    assert_eq!((encrypted(&world, &names), world.letters().len()), (60, 0));
}

#[tokio::test(start_paused = true)]
async fn without_a_work_queue_what_is_not_reached_in_time_is_one_dead_letter_with_exactly_these_streams() {
    let world = World::new();
    let names = names(400);
    for name in &names {
        world.stream(NewStream::named(name).encrypted_with(&world.key));
    }
    let answer = world.run_for(&json!({ "streams": names }), 20).await.expect("an answer");
    let reached = answer["summary"]["compliant"].as_u64().expect("some");
    assert!((100..250).contains(&reached), "{}", answer["summary"]);
    let letters = world.letters();
    let rest: Vec<_> = letters.iter().filter(|letter| letter["stream"].is_null()).collect();
    assert_eq!(rest.len(), 1, "{}", letters.len());
    let count = rest[0]["event"]["streams"].as_array().map_or(0, Vec::len);
    let of_their_own = letters.len() as u64 - 1;
    assert_eq!(reached + of_their_own + count as u64, 400);
    // At most those that were under way when the time was up.
    assert!(of_their_own <= 50, "{of_their_own}");
    let message = rest[0]["error"]["message"].as_str().unwrap_or_default();
    assert!(
        message.contains(&format!(
            "waiting for {count} of 400 streams, from {} on: OutOfTime: the time was up",
            rest[0]["event"]["streams"][0].as_str().unwrap_or_default()
        )),
        "{message}"
    );
}

#[tokio::test(start_paused = true)]
async fn each_stream_is_settled_as_it_ends_although_another_is_waited_for() {
    let world = World::new();
    let names = names(50);
    for (index, name) in names.iter().enumerate() {
        let stream = NewStream::named(name);
        world.stream(if index == 0 { stream.stuck_updating() } else { stream });
    }
    world.account.fault(Fault::on(START).error("AccessDeniedException", "explicit deny"));
    world.account.fault(Fault::on("SendMessage").delay(Duration::from_millis(120)));
    let mut finding = event("security-finding");
    let resource = finding["detail"]["findings"][0]["Resources"][0].clone();
    let resources = names.iter().map(|name| {
        let mut resource = resource.clone();
        resource["Id"] = json!(arn(name));
        resource
    });
    finding["detail"]["findings"][0]["Resources"] = json!(resources.collect::<Vec<_>>());
    let began = now(&world);
    let answer = world.run_for(&finding, 90).await.expect("an answer");
    assert_eq!(answer["summary"], json!({"failed": 50}), "{answer:#}");
    let letters = world.letters();
    assert_eq!(letters.len(), 50);
    let written = |letter: &Value| {
        (letter["occurredAt"].as_str().expect("a time").parse::<DateTime<Utc>>().expect("a time") - began).num_seconds()
    };
    let early = letters.iter().filter(|letter| written(letter) < 30).count();
    assert_eq!(early, 49, "{:?}", letters.iter().map(written).collect::<Vec<_>>());
    // The answer lists them in their order all the same.
    let listed: Vec<_> = answer["outcomes"].as_array().expect("outcomes").iter().map(|it| &it["stream"]).collect();
    assert_eq!(listed, names.iter().map(|name| json!(arn(name))).collect::<Vec<_>>().iter().collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn the_dead_letter_of_one_stream_does_not_repeat_a_large_event() {
    let world = World::new();
    let long = "x".repeat(100);
    let names: Vec<_> = (0..200).map(|index| format!("{long}-{index:03}")).collect();
    for name in &names[..5] {
        world.stream(NewStream::named(name));
    }
    world.account.fault(Fault::on(START).error("AccessDeniedException", "explicit deny"));
    world.run(&json!({"streams": names, "reapply": true})).await.expect("an answer");
    let letters = world.letters();
    assert_eq!(letters.len(), 200);
    let of_first = letters.iter().find(|letter| letter["stream"] == arn(&names[0])).expect("its dead letter");
    assert_eq!(
        (&of_first["event"], &of_first["eventTruncated"]),
        (&json!({"streams": [names[0]], "reapply": true}), &json!(true))
    );
    assert!(letters.iter().all(|letter| letter.to_string().len() < 2_000));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_asks_for_the_key_to_be_re_applied_never_says_what_to_do() {
    for (origin, most) in [(json!({}), 0), (json!({"kind": "scheduled"}), 0), (json!({"kind": "manual"}), 5)] {
        let world = World::new().with_work_queue();
        world.account.configure(|options| options.history_lag = Duration::ZERO);
        world.stream(NewStream::named("orders").encrypted_with(&world.key));
        let mut item = item("orders");
        item["reapply"] = json!(true);
        item["origin"] = origin.clone();
        for _ in 0..8 {
            world.enqueue(&item);
            world.batch().await.expect("a batch");
            sleep(Duration::from_mins(1)).await;
        }
        assert_eq!((world.starts(), world.letters().len()), (most, 0), "{origin}");
    }
    // Nor does a bare request in a message, which anybody may have written.
    let world = World::new().with_work_queue();
    world.stream(NewStream::named("orders").encrypted_with(&world.key));
    world.enqueue(&json!({"stream": "orders", "reapply": true}));
    world.batch().await.expect("a batch");
    assert_eq!(world.starts(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_person_may_re_apply_a_key_more_often_than_the_function_by_itself() {
    let world = World::new().with_work_queue().with("MAX_APPLIES_PER_DAY", "2");
    world.account.configure(|options| options.history_lag = Duration::ZERO);
    world.stream(NewStream::named("orders").encrypted_with(&world.key));
    for _ in 0..4 {
        let outcome = world.outcome(&json!({"stream": "orders", "reapply": true})).await;
        assert_eq!(outcome["status"], "encrypted", "{outcome:#}");
        sleep(Duration::from_mins(1)).await;
    }
    // A work item of a sweep in person obeys the limit, and says so.
    world.run(&json!({"sweep": true, "reapply": true})).await.expect("an answer");
    let (item, _) = world.work().remove(0);
    assert_eq!(item["reapply"], true);
    let outcome = world.outcome(&item).await;
    assert_eq!((&outcome["status"], &outcome["warnings"][0]["code"]), (&json!("compliant"), &json!("not-reapplied")));
    let because = outcome["warnings"][0]["because"].as_str().unwrap_or_default();
    assert!(because.contains("we applied the key 4 times"), "{because}");
}

thread_local! {
    /// The lines of metrics of this test.
    static METRICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// A world whose key is an alias, with so many streams that are compliant.
fn fleet(streams: usize) -> World {
    let world = World::new().with_work_queue().with("KMS_KEY_ID", ALIAS);
    for name in names(streams) {
        world.stream(NewStream::named(&name).encrypted_with(&world.key));
    }
    world
}

/// The event that a key was enabled, a moment ago.
fn enabled(world: &World, id: &str) -> Value {
    let mut payload = about("key-enabled", &world.key);
    payload["id"] = json!(id);
    payload["time"] = json!(now(world));
    payload
}

#[tokio::test(start_paused = true)]
async fn sweeps_of_several_events_coalesce_and_a_second_look_sweeps_only_if_something_changed() {
    let world = fleet(150);
    let world = world.with("KMS_KEY_ID", ALIAS);
    for id in ["1", "2", "3"] {
        let answer = world.run(&enabled(&world, id)).await.expect("an answer");
        if id != "1" {
            let (kind, reason) = (&answer["trigger"]["kind"], answer["trigger"]["reason"].as_str().unwrap_or_default());
            assert_eq!((kind, &answer["outcomes"]), (&json!("ignored"), &json!([])), "{answer:#}");
            assert!(reason.contains("about 150 messages") && reason.contains("left to the next one"), "{reason}");
        }
    }
    // One sweep, and a second look for each event.
    assert_eq!(world.work().len(), 153);
    world.drain().await;
    // The first event has led to a sweep, and its second look to none; the other second looks come
    // when the queue is empty again, and the first of them sweeps for both.
    assert!(world.account.count("SendMessageBatch") <= 45, "{}", world.account.count("SendMessageBatch"));
    assert_eq!(world.letters().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_second_look_sweeps_if_the_alias_points_elsewhere_than_at_the_first() {
    for moved in [false, true] {
        let world = fleet(3);
        let new = world.account.create_key();
        world.account.alias(ALIAS, &new);
        let mut payload = about("alias-repointed", &new);
        payload["time"] = json!(now(&world));
        let answer = world.run(&payload).await.expect("an answer");
        assert_eq!(answer["summary"], json!({"queued": 3}), "{answer:#}");
        let (second_look, _) =
            world.work().into_iter().find(|(body, _)| body["id"] == payload["id"]).expect("a second look");
        assert_eq!(second_look["sweptWith"], json!([new]));
        let newest = if moved {
            let newest = world.account.create_key();
            world.account.alias(ALIAS, &newest);
            newest
        } else {
            new
        };
        world.account.forget_calls();
        world.drain().await;
        let of_sweep = world.account.count("ListStreams");
        assert_eq!(of_sweep, usize::from(moved), "{moved}");
        let key = |name: &String| world.account.snapshot(name).and_then(|stream| stream.key_id);
        assert!(names(3).iter().all(|name| key(name).as_ref() == Some(&newest)), "{moved}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_backlog_of_schedules_sweeps_once_and_a_person_in_any_case() {
    let world = fleet(60);
    let mut queued = Vec::new();
    let mut handler = world.handler();
    handler.emit = |line| METRICS.with_borrow_mut(|lines| lines.push(line.to_owned()));
    for _ in 0..3 {
        let answer = world.run_with(&handler, &event("scheduled"), 300).await.expect("an answer");
        queued.push(answer["summary"]["queued"].as_u64().unwrap_or_default());
    }
    assert_eq!((queued, world.work().len()), (vec![60, 0, 0], 60));
    // A sweep that is not made does not keep the alarm of the schedule silent.
    let made: Vec<_> = METRICS.take().iter().map(|line| line.contains("\"ScheduledSweeps\":1")).collect();
    assert_eq!(made, [true, false, false]);
    let answer = world.run(&json!({"sweep": true})).await.expect("an answer");
    assert_eq!(answer["summary"], json!({"queued": 60}));
    // Where nobody may look at the queue, the sweep is made.
    world.account.fault(Fault::on("GetQueueAttributes").error("AccessDeniedException", "no"));
    let answer = world.run(&event("scheduled")).await.expect("an answer");
    assert_eq!(answer["summary"], json!({"queued": 60}));
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_no_later_one_makes_up_for_is_made_however_many_messages_wait() {
    let backlog = |world: &World| {
        for _ in 0..60 {
            world.enqueue(&item("stream-0000"));
        }
    };
    // The schedule does not apply a rotated key again, and a rotation has no second look.
    for (on_rotation, queued) in [("reapply", 3), ("verify", 0)] {
        let world = fleet(3).with("ON_KEY_ROTATION", on_rotation);
        backlog(&world);
        let mut payload = about("key-rotated", &world.key);
        payload["time"] = json!(now(&world));
        let answer = world.run(&payload).await.expect("an answer");
        assert_eq!(answer["summary"]["queued"].as_u64().unwrap_or_default(), queued, "{answer:#}");
        world.drain().await;
        assert_eq!(world.starts(), usize::try_from(queued).unwrap_or_default(), "{on_rotation}");
    }
    // Nor does the schedule know of streams that store the alias what it pointed to before.
    let world = fleet(3);
    let new = world.account.create_key();
    world.account.alias(ALIAS, &new);
    backlog(&world);
    let mut payload = about("alias-repointed", &new);
    payload["time"] = json!(now(&world));
    let answer = world.run(&payload).await.expect("an answer");
    assert_eq!(answer["summary"], json!({"queued": 3}), "{answer:#}");
}

#[tokio::test(start_paused = true)]
async fn the_next_event_of_a_warm_process_does_not_stand_in_line() {
    for world in [World::new(), World::new().with_work_queue()] {
        let handler = world.handler();
        for name in ["orders", "clicks", "payments"] {
            world.stream(NewStream::named(name).encrypted_with(&world.key));
            let began = world.clock.instant();
            world.outcome_of(&handler, &json!({ "stream": name })).await;
            let took = world.clock.instant() - began;
            assert!(took < Duration::from_millis(50), "{name}: {took:?}");
        }
    }
}
