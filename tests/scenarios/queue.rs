//! The work queue: sweeps fan out to it, workers take from it, and what must wait waits in it.

use std::time::Duration;

use kinesis_encryption_enforcer::sandbox::{Fault, KeyState, NewStream};
use serde_json::{Value, json};

use crate::support::{ALIAS, WORK, World, about, event, manual};

const START: &str = "StartStreamEncryption";
const DESCRIBE: &str = "DescribeStreamSummary";

fn arn(name: &str) -> String {
    format!("arn:aws:kinesis:us-east-1:111122223333:stream/{name}")
}

fn item(name: &str) -> Value {
    json!({"version": 1, "kind": "work-item", "stream": arn(name), "reason": "a test"})
}

fn fleet(world: &World, streams: usize) {
    for index in 0..streams {
        world.stream(NewStream::named(&format!("stream-{index:03}")));
    }
}

/// How many streams are not encrypted with the configured key.
fn wrong(world: &World, streams: usize) -> usize {
    let has_key = |index: &usize| {
        world.account.snapshot(&format!("stream-{index:03}")).and_then(|s| s.key_id) == Some(world.key.clone())
    };
    (0..streams).filter(|index| !has_key(index)).count()
}

#[tokio::test(start_paused = true)]
async fn a_sweep_queues_every_stream_and_workers_bring_them_right() {
    let world = World::new().with_work_queue();
    fleet(&world, 125);
    world.stream(NewStream::named("zz-going").deleting());
    let answer = world.run(&event("scheduled")).await.expect("an answer");
    assert_eq!((&answer["summary"], &answer["continueAfter"]), (&json!({"queued": 125}), &json!(null)));
    assert_eq!((world.starts(), world.account.count("SendMessageBatch")), (0, 13));
    let scheduled = event("scheduled");
    let first = world.work().remove(0).0;
    assert_eq!(
        (&first["stream"], &first["hops"], &first["notBefore"]),
        (&json!(arn("stream-000")), &json!(1), &json!(null))
    );
    assert_eq!(
        first["origin"],
        json!({"eventId": scheduled["id"], "eventTime": scheduled["time"], "kind": "scheduled"})
    );
    world.drain().await;
    assert_eq!((wrong(&world, 125), world.starts(), world.letters().len()), (0, 125, 0));
}

#[tokio::test(start_paused = true)]
async fn what_sqs_refuses_of_a_batch_is_sent_again() {
    let world = World::new().with_work_queue();
    fleet(&world, 23);
    world.account.fault(Fault::on("SendMessageBatch").nth(1..=4).entries_refused("InternalError", "sorry"));
    let answer = world.run(&event("scheduled")).await.expect("an answer");
    assert_eq!(answer["summary"], json!({"queued": 23}));
    let mut streams: Vec<_> = world.work().iter().map(|(item, _)| item["stream"].to_string()).collect();
    streams.sort();
    streams.dedup();
    assert_eq!((streams.len(), world.work().len()), (23, 23));
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_runs_out_of_time_goes_on_through_the_queue_and_loses_no_stream() {
    let world = World::new().with_work_queue().with("IAC_GRACE_SECONDS", "0");
    fleet(&world, 450);
    world.account.fault(Fault::on("ListStreams").delay(Duration::from_secs(3)));
    let answer = world.run_for(&event("scheduled"), 10).await.expect("an answer");
    assert_eq!((&answer["summary"], &answer["continueAfter"]), (&json!({"queued": 200}), &json!("stream-199")));
    let (rest, _) = world.work().pop().expect("the rest");
    assert_eq!((&rest["sweep"], &rest["hops"]), (&json!({"startAfter": "stream-199"}), &json!(1)));
    assert_eq!(world.letters().len(), 0);
    world.drain().await;
    assert_eq!((wrong(&world, 450), world.starts()), (0, 450));
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_the_queue_does_not_take_is_retried_by_lambda() {
    let world = World::new().with_work_queue();
    fleet(&world, 5);
    world.account.fault(Fault::on("SendMessageBatch").error("ServiceUnavailable", "sorry"));
    let error = world.run_for(&event("scheduled"), 30).await.expect_err("retried");
    assert_eq!((error.error_type.as_str(), world.letters().len(), world.work().len()), ("AwsUnavailable", 0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_unusable_key_is_one_letter_before_anything_is_queued() {
    let world = World::new().with_work_queue();
    fleet(&world, 3);
    world.account.set_key_state(&world.key, KeyState::Disabled);
    let answer = world.run(&event("scheduled")).await.expect("an answer");
    assert_eq!((&answer["summary"], world.letters().len(), world.work().len()), (&json!({"failed": 1}), 1, 0));
}

#[tokio::test(start_paused = true)]
async fn audit_and_dry_runs_never_use_the_queue() {
    let world = World::new().with_work_queue().with("ENFORCEMENT_MODE", "audit");
    fleet(&world, 3);
    let answer = world.run(&event("scheduled")).await.expect("an answer");
    assert_eq!((&answer["summary"], world.work().len()), (&json!({"would-encrypt": 3}), 0));

    let world = World::new().with_work_queue();
    fleet(&world, 3);
    let answer = world.run(&json!({"sweep": true, "dryRun": true})).await.expect("an answer");
    assert_eq!((&answer["summary"], world.work().len(), world.starts()), (&json!({"would-encrypt": 3}), 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_ten_waits_once() {
    let world = World::new().with_work_queue();
    world.account.configure(|options| options.updating = Duration::from_secs(20));
    fleet(&world, 10);
    (0..10).for_each(|index| world.enqueue(&item(&format!("stream-{index:03}"))));
    let began = world.clock.instant();
    assert_eq!(world.batch().await, Some(json!({"batchItemFailures": []})));
    let took = world.clock.instant() - began;
    assert!(took < Duration::from_mins(1), "{took:?}");
    assert_eq!((wrong(&world, 10), world.work().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_fails_comes_back_ever_later_and_its_last_receive_is_a_letter_while_others_settle() {
    let world = World::new().with_work_queue();
    fleet(&world, 3);
    world.account.fault(Fault::on(DESCRIBE).stream("stream-001").error("LimitExceededException", "Rate exceeded"));
    (0..3).for_each(|index| world.enqueue(&item(&format!("stream-{index:03}"))));
    let first = world.account.messages(WORK)[1].id.clone();
    assert_eq!(world.batch().await, Some(json!({"batchItemFailures": [{"itemIdentifier": first}]})));
    for hidden in [30, 60, 120, 240] {
        assert_eq!(world.work().len(), 1);
        let (_, delay) = world.work().remove(0);
        assert!((hidden - 1..=hidden).contains(&delay), "{delay} s, not {hidden}");
        assert_eq!(world.letters().len(), 0);
        tokio::time::sleep(Duration::from_secs(hidden.unsigned_abs() + 1)).await;
        world.batch().await.expect("a batch");
    }
    let letters = world.letters();
    assert_eq!((letters.len(), world.work().len(), wrong(&world, 3)), (1, 0, 1));
    assert_eq!(
        (&letters[0]["stream"], &letters[0]["error"]["code"]),
        (&json!(arn("stream-001")), &json!("LimitExceededException"))
    );
    assert_eq!(letters[0]["event"]["kind"], "work-item");
}

#[tokio::test(start_paused = true)]
async fn a_batch_may_hold_anything_that_the_function_understands() {
    let world = World::new().with_work_queue();
    fleet(&world, 4);
    let letter = json!({"version": 1, "kind": "enforcement-failure", "stream": arn("stream-001"), "attempts": 1,
        "error": {"step": "describe-stream", "code": "LimitExceededException", "class": "retryable", "message": "", "remedy": ""}, "event": {}});
    let stopped: Value =
        serde_json::from_str(&event("encryption-stopped").to_string().replace("orders", "stream-002")).expect("JSON");
    for body in [item("stream-000"), letter, stopped, manual("stream-003")] {
        world.enqueue(&body);
    }
    world.account.send(WORK, "not even JSON");
    assert_eq!(world.batch().await, Some(json!({"batchItemFailures": []})));
    assert_eq!((wrong(&world, 4), world.letters().len(), world.work().len()), (0, 1, 0));
    assert_eq!(world.letters()[0]["event"], "not even JSON");
}

#[tokio::test(start_paused = true)]
async fn of_an_event_with_several_streams_each_that_fails_becomes_work_of_its_own() {
    let world = World::new().with_work_queue();
    fleet(&world, 2);
    world.account.fault(Fault::on(DESCRIBE).stream("stream-001").error("ServiceUnavailable", "sorry"));
    let finding = event("security-finding").to_string();
    let mut finding: Value = serde_json::from_str(&finding).expect("JSON");
    let resource = finding["detail"]["findings"][0]["Resources"][0].clone();
    let resources = ["stream-000", "stream-001"].map(|name| {
        let mut resource = resource.clone();
        resource["Id"] = json!(arn(name));
        resource
    });
    finding["detail"]["findings"][0]["Resources"] = json!(resources);
    let answer = world.run(&finding).await.expect("an answer");
    assert_eq!((&answer["summary"], world.letters().len()), (&json!({"deferred": 1, "encrypted": 1}), 0), "{answer:#}");
    assert_eq!(world.work()[0].0["stream"], arn("stream-001"));
    world.account.clear_faults();
    world.drain().await;
    assert_eq!(wrong(&world, 2), 0);
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_cannot_be_written_keeps_the_message_in_the_queue() {
    let world = World::new().with_work_queue();
    world.account.fault(Fault::on(START).error("AccessDeniedException", "no"));
    world.account.fault(Fault::on("SendMessage").error("ServiceUnavailable", "sorry"));
    fleet(&world, 1);
    world.enqueue(&item("stream-000"));
    let id = world.account.messages(WORK)[0].id.clone();
    assert_eq!(world.batch().await, Some(json!({"batchItemFailures": [{"itemIdentifier": id}]})));
    world.account.clear_faults();
    world.drain().await;
    assert_eq!((world.letters().len(), wrong(&world, 1)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_event_about_the_alias_is_looked_at_again_when_kms_must_have_settled() {
    let world = World::new().with_work_queue().with("KMS_KEY_ID", ALIAS);
    world.stream(NewStream::named("stream-000").encrypted_with(&world.key));
    // The event is ten seconds old, and KMS still shows the alias as it was.
    world.account.configure(|options| options.kms_lag = Duration::from_secs(200));
    let new = world.account.create_key();
    tokio::time::sleep(Duration::from_mins(5)).await;
    world.account.alias(ALIAS, &new);
    let mut payload = about("alias-repointed", &new);
    let ten_seconds_ago = chrono::DateTime::<chrono::Utc>::from(world.clock.wall()) - chrono::TimeDelta::seconds(10);
    payload["time"] = json!(ten_seconds_ago);
    let outcome = world.outcome(&payload).await;
    assert_eq!((&outcome["status"], world.letters().len()), (&json!("deferred"), 0), "{outcome:#}");
    let (again, delay) = world.work().remove(0);
    assert_eq!((&again["id"], delay), (&payload["id"], 290));
    world.drain().await;
    assert_eq!(world.account.snapshot("stream-000").and_then(|stream| stream.key_id), Some(new));
    assert_eq!(world.letters().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_event_from_the_future_is_not_looked_at_for_ever() {
    let world = World::new().with_work_queue().with("KMS_KEY_ID", ALIAS);
    let mut payload = event("alias-repointed");
    payload["time"] = json!("2027-01-01T00:00:00Z");
    world.run(&payload).await.expect_err("retried by Lambda, which ends");
    assert!(world.work().iter().all(|(body, _)| body["id"] != payload["id"]), "{:?}", world.work());
}

#[tokio::test(start_paused = true)]
async fn an_item_of_another_version_is_retried_for_the_version_that_knows_it_and_then_lettered() {
    let world = World::new().with_work_queue();
    world.enqueue(&json!({"version": 2, "kind": "work-item", "stream": arn("stream-000")}));
    let id = world.account.messages(WORK)[0].id.clone();
    assert_eq!(world.batch().await, Some(json!({"batchItemFailures": [{"itemIdentifier": id}]})));
    assert_eq!(world.letters().len(), 0);
    world.drain().await;
    let letters = world.letters();
    assert_eq!(
        (letters.len(), &letters[0]["error"]["class"], &letters[0]["event"]["version"]),
        (1, &json!("retryable"), &json!(2))
    );
}

#[tokio::test(start_paused = true)]
async fn an_event_about_the_alias_that_a_person_feeds_back_is_not_looked_at_twice() {
    let world = World::new().with_work_queue().with("KMS_KEY_ID", ALIAS);
    let mut payload = event("alias-repointed");
    payload["time"] = json!("2026-11-24T00:00:00Z");
    let letter = json!({"version": 1, "kind": "enforcement-failure", "stream": null, "attempts": 1, "event": payload});
    world.run(&letter).await.expect_err("retried by Lambda, which ends");
    assert_eq!(world.work(), []);
    assert_eq!(world.outcome(&payload).await["status"], "deferred");
    assert_eq!(world.work().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn work_that_comes_before_its_time_is_sent_on_as_it_was_and_touches_no_stream() {
    let world = World::new().with_work_queue();
    world.stream(NewStream::named("orders"));
    let now = chrono::DateTime::<chrono::Utc>::from(world.clock.wall());
    let mut item = event("work-item");
    let not_before = json!(now + chrono::TimeDelta::seconds(120));
    item["notBefore"] = not_before.clone();
    item["origin"]["eventTime"] = json!(now);
    item["hint"] = json!({"actor": "other"});
    world.enqueue(&item);
    world.batch().await;
    assert_eq!(world.operations(), ["SendMessage"]);
    let (sent, delay) = world.work().remove(0);
    assert_eq!(
        (&sent["notBefore"], &sent["hops"], &sent["hint"]["actor"]),
        (&not_before, &json!(2), &json!("other")),
        "{sent:#}"
    );
    assert!((119..=121).contains(&delay), "{delay}");
    world.drain().await;
    assert_eq!((world.starts(), world.letters().len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn work_that_comes_a_second_early_or_can_no_longer_be_sent_on_is_done() {
    for (name, hops, seconds) in [("a second early", 1, 1), ("sent on too often", 12, 120)] {
        let world = World::new().with_work_queue();
        world.stream(NewStream::named("orders"));
        let now = chrono::DateTime::<chrono::Utc>::from(world.clock.wall());
        let mut item = item("orders");
        item["hops"] = json!(hops);
        item["notBefore"] = json!(now + chrono::TimeDelta::seconds(seconds));
        world.enqueue(&item);
        assert_eq!(world.batch().await, Some(json!({"batchItemFailures": []})), "{name}");
        assert_eq!((world.starts(), world.work().len()), (1, 0), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_fails_of_what_a_person_asks_for_is_answered_and_lettered_and_not_sent_on() {
    for fault in [
        Fault::on(START).error("AccessDeniedException", "no"),
        Fault::on(DESCRIBE).error("LimitExceededException", "Rate exceeded"),
    ] {
        let world = World::new().with_work_queue();
        fleet(&world, 2);
        world.account.fault(fault.stream("stream-001"));
        let answer = world.run(&json!({"streams": ["stream-000", "stream-001"]})).await.expect("an answer");
        assert_eq!(
            (&answer["summary"], world.letters().len()),
            (&json!({"encrypted": 1, "failed": 1}), 1),
            "{answer:#}"
        );
        assert_eq!(world.work(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_on_says_why_and_rests_longer_every_time() {
    // An application that is wanted once goes on as a new item, whatever its receives.
    let world = World::new().with_work_queue();
    fleet(&world, 1);
    world.account.fault(Fault::on(START).error("KMSThrottlingException", "slow down"));
    for (hops, delay) in [(0, 30), (1, 60), (2, 120), (3, 240), (7, 900)] {
        let mut item = item("stream-000");
        item["hops"] = json!(hops);
        item["reapply"] = json!(true);
        item["origin"] = json!({"kind": "manual"});
        world.enqueue(&item);
        assert_eq!(world.batch().await, Some(json!({"batchItemFailures": []})));
        let (sent, hidden) = world.work().remove(0);
        assert_eq!((&sent["hops"], hidden), (&json!(hops + 1), delay), "{sent:#}");
        world.account.purge(WORK);
    }

    let world = World::new().with_work_queue();
    fleet(&world, 2);
    world.account.fault(Fault::on(DESCRIBE).stream("stream-001").error("ServiceUnavailable", "sorry"));
    let mut finding = event("security-finding");
    let mut second = finding["detail"]["findings"][0]["Resources"][0].clone();
    second["Id"] = json!(arn("stream-001"));
    finding["detail"]["findings"][0]["Resources"] =
        json!([second.clone(), {"Id": arn("stream-000"), "Type": second["Type"]}]);
    let answer = world.run(&finding).await.expect("an answer");
    let deferred =
        answer["outcomes"].as_array().expect("outcomes").iter().find(|outcome| outcome["status"] == "deferred");
    let reason = deferred.and_then(|outcome| outcome["reason"].as_str()).expect("a reason");
    assert!(reason.contains("ServiceUnavailable") && reason.ends_with("; retried in 30 s"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_sweep_rests_longer_every_time_that_it_gets_no_further() {
    for (hops, delay) in [(1, 60), (2, 120)] {
        let world = World::new().with_work_queue();
        fleet(&world, 1);
        world.account.fault(Fault::on("ListStreams").nth(2..).error("LimitExceededException", "Rate exceeded"));
        world.account.configure(|options| options.next_token = false);
        (0..150).for_each(|index| drop(world.stream(NewStream::named(&format!("zz-{index:03}")))));
        world.enqueue(&json!({"version": 1, "kind": "work-item", "sweep": {}, "hops": hops, "reason": "a test"}));
        assert_eq!(world.batch().await, Some(json!({"batchItemFailures": []})));
        let (rest, hidden) = world.work().into_iter().find(|(item, _)| item.get("sweep").is_some()).expect("the rest");
        assert_eq!((&rest["hops"], hidden), (&json!(hops + 1), delay), "{rest:#}");
        assert!(rest["sweep"]["startAfter"].is_string(), "{rest:#}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_sweep_that_the_queue_does_not_take_is_a_letter() {
    let world = World::new().with_work_queue();
    fleet(&world, 150);
    world.account.fault(Fault::on("ListStreams").nth(2..).error("LimitExceededException", "Rate exceeded"));
    world.account.fault(Fault::on("SendMessage").nth(1..=8).error("ServiceUnavailable", "sorry"));
    let answer = world.run(&event("scheduled")).await.expect("an answer");
    assert_eq!(
        (&answer["summary"], &answer["continueAfter"]),
        (&json!({"failed": 1, "queued": 100}), &json!("stream-099")),
        "{answer:#}"
    );
    let letters = world.letters();
    assert_eq!((letters.len(), &letters[0]["event"]), (1, &json!({"sweep": true, "startAfter": "stream-099"})));
}

#[tokio::test(start_paused = true)]
async fn a_deferral_that_the_queue_does_not_take_fails_and_says_which_key_it_was_about() {
    let world = World::new().with_work_queue().with("IAC_GRACE_SECONDS", "60");
    let now = chrono::DateTime::<chrono::Utc>::from(world.clock.wall());
    let old = world.account.create_key();
    world.stream(NewStream::named("orders").encrypted_with(&old).created_at(now));
    world.account.fault(Fault::on("SendMessage").nth(1..=8).error("ServiceUnavailable", "sorry"));
    let answer = world.run(&json!({"stream": "orders"})).await.expect("an answer");
    assert_eq!((&answer["summary"], world.letters().len()), (&json!({"failed": 1}), 1), "{answer:#}");
    let failed = &answer["outcomes"][0];
    assert_eq!(
        (&failed["status"], &failed["error"]["step"]),
        (&json!("failed"), &json!("send-work-item")),
        "{failed:#}"
    );
    assert_eq!((&failed["key"], &failed["previousKey"]), (&json!(world.key), &json!(old)), "{failed:#}");
}

#[tokio::test(start_paused = true)]
async fn many_streams_that_are_named_at_once_become_work_of_their_own() {
    for (count, queued) in [(50, false), (51, true), (1_000, true)] {
        let world = World::new().with_work_queue();
        let names: Vec<_> = (0..count).map(|index| format!("stream-{index:03}")).collect();
        for name in &names {
            world.stream(NewStream::named(name).encrypted_with(&world.key));
        }
        let answer = world.run(&json!({"streams": names})).await.expect("an answer");
        let status = if queued { "queued" } else { "compliant" };
        assert_eq!((&answer["summary"], world.work().len()), (&json!({status: count}), if queued { count } else { 0 }));
        world.drain().await;
        assert_eq!((wrong(&world, count), world.letters().len()), (0, 0));
    }

    let world = World::new().with_work_queue();
    let names: Vec<_> = (0..120).map(|index| format!("stream-{index:03}")).collect();
    world.account.fault(Fault::on("SendMessageBatch").nth(11..).error("ServiceUnavailable", "sorry"));
    let answer = world.run(&json!({"streams": names})).await.expect("an answer");
    // What the queue did not take is one dead letter.
    assert_eq!(answer["summary"], json!({"queued": 100, "failed": 1}), "{answer:#}");
    let letters = world.letters();
    assert_eq!((letters.len(), &letters[0]["event"]), (1, &json!({"streams": names[100..]})));
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_sweep_that_becomes_a_letter_still_knows_which_alias_was_re_pointed() {
    let world = World::new().with_work_queue().with("KMS_KEY_ID", ALIAS);
    for index in 0..150 {
        world.stream(NewStream::named(&format!("stream-{index:03}")).encrypted_with(ALIAS));
    }
    let new = world.account.create_key();
    world.account.alias(ALIAS, &new);
    world.account.fault(Fault::on("SendMessageBatch").nth(11..).error("InternalError", "sorry"));
    world.account.fault(Fault::on("SendMessage").nth(1..=8).error("InternalError", "sorry"));
    world.run(&about("alias-repointed", &new)).await.expect("an answer");
    world.account.clear_faults();
    let letters = world.letters();
    assert_eq!((letters.len(), &letters[0]["event"]["alias"]), (1, &json!(ALIAS)));
    world.enqueue(&letters[0]);
    world.drain().await;
    let by_arn = |index: &usize| {
        world.account.snapshot(&format!("stream-{index:03}")).and_then(|stream| stream.key_id) == Some(new.clone())
    };
    assert_eq!((0..150).filter(by_arn).count(), 150);
}

#[tokio::test(start_paused = true)]
async fn beside_workers_an_invocation_takes_a_small_share_of_the_calls_and_without_them_all_of_ours() {
    let took = async |world: World| {
        let names: Vec<_> = (0..40).map(|index| format!("stream-{index:03}")).collect();
        for name in &names {
            world.stream(NewStream::named(name).encrypted_with(&world.key));
        }
        let began = world.clock.instant();
        assert_eq!(
            world.run(&json!({"streams": names})).await.expect("an answer")["summary"],
            json!({"compliant": 40})
        );
        (world.clock.instant() - began).as_secs()
    };
    // Two describes a second of twenty that AWS allows, or ten.
    assert_eq!(took(World::new().with_work_queue()).await, 18);
    assert_eq!(took(World::new()).await, 3);
    assert_eq!(took(World::new().with_work_queue().with("ENFORCEMENT_MODE", "audit")).await, 3);
}
