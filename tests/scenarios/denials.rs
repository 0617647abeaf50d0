//! Denied calls of producers and consumers: who is cut off is reported, once an hour, however many
//! calls fail.

use std::time::Duration;

use kinesis_encryption_enforcer::sandbox::{Fault, NewStream};
use serde_json::{Value, json};

use crate::support::{ACCOUNT, DENIALS, QUEUE, STATE, World, event, manual};

/// The role with this name.
fn role(name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/teams/{name}")
}

/// A denied Decrypt of `principal`, for a stream or for none that the record names.
fn denied(world: &World, principal: &str, stream: Option<&str>) -> Value {
    let mut event = event("access-denied");
    let now = chrono::DateTime::<chrono::Utc>::from(world.clock.wall());
    let detail = &mut event["detail"];
    detail["eventTime"] = json!(now.to_rfc3339());
    detail["eventName"] = json!("Decrypt");
    detail["userIdentity"]["sessionContext"]["sessionIssuer"]["arn"] = json!(principal);
    detail["resources"][0]["ARN"] = json!(world.key);
    if let Some(stream) = stream {
        detail["requestParameters"] = json!({"encryptionContext": {"aws:kinesis:arn": stream}});
    }
    event
}

/// The batch that Lambda would make of these messages.
fn batch(bodies: &[Value]) -> Value {
    let record = |(index, body): (usize, &Value)| {
        json!({"messageId": format!("m-{index}"), "receiptHandle": "r", "body": body.to_string(),
            "attributes": {"ApproximateReceiveCount": "1"}, "eventSource": "aws:sqs",
            "eventSourceARN": format!("arn:aws:sqs:us-east-1:{ACCOUNT}:{DENIALS}")})
    };
    json!({"Records": bodies.iter().enumerate().map(record).collect::<Vec<_>>()})
}

/// The outcomes that were published, as the detail type and the outcome.
fn told(world: &World) -> Vec<(String, Value)> {
    let of = |entry: &Value| {
        let detail: Value = serde_json::from_str(entry["Detail"].as_str().expect("text")).expect("JSON");
        (entry["DetailType"].as_str().expect("a type").to_owned(), detail["outcome"].clone())
    };
    world.account.put_events().iter().map(of).collect()
}

fn hearing() -> World {
    World::new().with("OUTCOME_EVENT_BUS", "default").hearing_denials()
}

async fn hear(world: &World, bodies: &[Value]) {
    let answer = world.run(&batch(bodies)).await.expect("an answer");
    assert_eq!(answer, json!({"batchItemFailures": []}));
}

#[tokio::test(start_paused = true)]
async fn who_is_cut_off_is_reported_with_stream_key_action_and_how_often() {
    let world = hearing();
    let orders = world.stream(NewStream::named("orders"));
    let of_billing = || denied(&world, &role("billing"), Some(&orders));
    hear(&world, &[of_billing(), of_billing(), of_billing()]).await;
    let [(kind, outcome)] = &told(&world)[..] else { panic!("{:?}", told(&world)) };
    assert_eq!((kind.as_str(), &outcome["status"]), ("Stream Access Denied", &json!("access-denied")));
    assert_eq!((&outcome["stream"], &outcome["key"]), (&json!(orders), &json!(world.key)));
    let warning = &outcome["warnings"][0];
    assert_eq!((&warning["principal"], &warning["count"]), (&json!(role("billing")), &json!(3)));
    assert_eq!((&warning["actions"], &warning["appliedAt"]), (&json!(["kms:Decrypt"]), &Value::Null));
    let reason = outcome["reason"].as_str().expect("a reason");
    assert!(reason.contains("no identity-based policy allows"), "{reason}");
    assert_eq!((world.letters().len(), world.account.messages(QUEUE).len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_group_is_reported_once_an_hour_by_whichever_process_hears_it() {
    let world = hearing();
    let orders = world.stream(NewStream::named("orders"));
    for _ in 0..5 {
        hear(&world, &[denied(&world, &role("billing"), Some(&orders))]).await;
        tokio::time::sleep(Duration::from_mins(5)).await;
    }
    assert_eq!(told(&world).len(), 1);
    hear(&world, &[denied(&world, &role("reports"), Some(&orders))]).await;
    assert_eq!(told(&world).len(), 2, "another principal");
    tokio::time::sleep(Duration::from_hours(1)).await;
    hear(&world, &[denied(&world, &role("billing"), Some(&orders))]).await;
    assert_eq!(told(&world).len(), 3, "another hour");
}

#[tokio::test(start_paused = true)]
async fn of_two_processes_that_hear_it_at_the_same_time_one_reports() {
    let world = hearing();
    let orders = world.stream(NewStream::named("orders"));
    let heard = batch(&[denied(&world, &role("billing"), Some(&orders))]);
    let (one, other) = (world.handler(), world.handler());
    let both = tokio::join!(world.run_with(&one, &heard, 300), world.run_with(&other, &heard, 300));
    both.0.and(both.1).expect("answers");
    assert_eq!(told(&world).len(), 1, "{:?}", world.account.parameter_value(STATE));
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_a_hundred_thousand_calls_is_one_report_for_each_principal_and_stream() {
    let world = hearing();
    let streams: Vec<_> = ["orders", "clicks"].map(|name| world.stream(NewStream::named(name))).into();
    let mut kinds = Vec::new();
    for principal in ["billing", "reports", "search"] {
        kinds.extend(streams.iter().map(|stream| denied(&world, &role(principal), Some(stream))));
    }
    kinds.push(denied(&world, &role("billing"), None));
    let handler = world.handler();
    // The same batch again and again, so that the test itself stays small.
    let bodies: Vec<_> = kinds.iter().cycle().take(1_000).cloned().collect();
    let storm = batch(&bodies);
    for _ in 0..100 {
        assert_eq!(world.run_with(&handler, &storm, 300).await.expect("an answer"), json!({"batchItemFailures": []}));
    }
    assert_eq!(told(&world).len(), kinds.len());
    let counts: Vec<_> = told(&world).iter().map(|(_, outcome)| outcome["warnings"][0]["count"].clone()).collect();
    assert!(counts.iter().all(|count| count.as_u64().is_some_and(|count| count >= 142)), "{counts:?}");
    assert_eq!(world.account.messages(QUEUE).len(), 0);
    // One read a batch, and one write and one look at the history for the first.
    assert_eq!((world.account.count("GetParameter"), world.account.count("PutParameter")), (100, 1));
    assert_eq!(world.account.count("LookupEvents"), 2);
    assert_eq!(world.account.count("StartStreamEncryption") + world.account.count("DescribeStreamSummary"), 0);
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_drained_and_nothing_of_it_reaches_another() {
    let world = hearing().with_work_queue();
    for _ in 0..300 {
        world.account.send(DENIALS, &denied(&world, &role("billing"), None).to_string());
        world.account.send(DENIALS, "no event");
    }
    let mut batches = 0;
    while let Some(batch) = world.account.receive_batch(DENIALS, 100) {
        let answer = world.run(&batch).await.expect("an answer");
        world.account.settle_batch(DENIALS, &batch, Some(&answer));
        batches += 1;
    }
    assert_eq!((batches, told(&world).len()), (6, 1));
    // What is left is the group that is looked at again.
    let left = world.account.messages(DENIALS);
    assert!(left.len() == 1 && left[0].body.contains("denials-again"), "{left:?}");
    assert_eq!((world.work().len(), world.letters().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn of_endless_principals_two_hundred_are_reported_and_the_state_stays_small() {
    let world = hearing();
    for round in 0..10 {
        let bodies: Vec<_> = (0..150).map(|index| denied(&world, &role(&format!("r{round}-{index}")), None)).collect();
        hear(&world, &bodies).await;
    }
    assert_eq!(told(&world).len(), 200);
    let (state, _) = world.account.parameter_value(STATE).expect("a state");
    assert!(state.len() <= 4096, "{}", state.len());
}

#[tokio::test(start_paused = true)]
async fn a_key_that_the_function_applied_is_named_as_the_cause_at_once_or_when_the_history_shows_it() {
    let world = hearing();
    let orders = world.stream(NewStream::named("orders"));
    let handler = world.handler();
    world.run_with(&handler, &manual("orders"), 300).await.expect("an answer");
    let applied_at = |outcome: &Value| outcome["warnings"][0]["appliedAt"].clone();
    tokio::time::sleep(Duration::from_secs(30)).await;
    // The process that applied the key remembers it.
    world.run_with(&handler, &batch(&[denied(&world, &role("billing"), Some(&orders))]), 300).await.expect("an answer");
    let last = || told(&world).last().expect("an outcome").1.clone();
    assert_ne!(applied_at(&last()), Value::Null);
    assert!(last()["reason"].as_str().expect("a text").contains("since the key was applied to orders at"));
    // Another one learns it from the history, which has it after some minutes.
    world.account.configure(|options| options.history_lag = Duration::from_mins(10));
    hear(&world, &[denied(&world, &role("reports"), Some(&orders))]).await;
    let before = told(&world).len();
    tokio::time::sleep(Duration::from_mins(14)).await;
    assert!(world.account.receive_batch(DENIALS, 10).is_none(), "it waits");
    tokio::time::sleep(Duration::from_mins(2)).await;
    let again = world.account.receive_batch(DENIALS, 10).expect("the groups");
    world.run(&again).await.expect("an answer");
    let new = &told(&world)[before..];
    assert!(new.iter().all(|(_, outcome)| applied_at(outcome) != Value::Null), "{new:?}");
}

#[tokio::test(start_paused = true)]
async fn a_denial_of_a_key_that_others_applied_is_not_ours() {
    let world = hearing();
    let orders = world.stream(NewStream::named("orders"));
    let theirs = world.kinesis("ASIASOMEBODYELSE0000");
    let start = theirs.start_stream_encryption().stream_arn(&orders).key_id(&world.key);
    start.encryption_type("KMS".into()).send().await.expect("accepted");
    tokio::time::sleep(Duration::from_mins(20)).await;
    hear(&world, &[denied(&world, &role("billing"), Some(&orders)), denied(&world, &role("billing"), None)]).await;
    assert_eq!(told(&world).len(), 2);
    assert!(told(&world).iter().all(|(_, outcome)| outcome["warnings"][0]["appliedAt"].is_null()));
    tokio::time::sleep(Duration::from_mins(16)).await;
    let again = world.account.receive_batch(DENIALS, 10).expect("the groups");
    world.run(&again).await.expect("an answer");
    assert_eq!(told(&world).len(), 2, "nothing new is known");
    world.account.settle_batch(DENIALS, &again, Some(&json!({"batchItemFailures": []})));
    assert_eq!(world.account.messages(DENIALS).len(), 0, "it is looked at again once");
}

#[tokio::test(start_paused = true)]
async fn a_disabled_key_is_a_key_at_risk_and_throttling_is_nobodys_denial() {
    let world = hearing();
    let failing = |code: &str| {
        let mut event = denied(&world, &role("billing"), None);
        event["detail"]["errorCode"] = json!(code);
        event
    };
    hear(&world, &[failing("DisabledException"), failing("DisabledException"), failing("ThrottlingException")]).await;
    let [(kind, outcome)] = &told(&world)[..] else { panic!("{:?}", told(&world)) };
    assert_eq!((kind.as_str(), &outcome["status"]), ("Key At Risk", &json!("key-at-risk")));
    assert_eq!((&outcome["key"], &outcome["warnings"][0]["principal"]), (&json!(world.key), &Value::Null));
}

#[tokio::test(start_paused = true)]
async fn messages_that_nobody_can_read_are_dropped_and_no_call_is_made() {
    let world = hearing();
    let created = event("stream-created");
    hear(&world, &[json!("no event"), json!(7), created, json!({"sweep": true}), event("access-denied-elsewhere")])
        .await;
    assert_eq!((told(&world).len(), world.operations()), (0, vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_state_that_cannot_be_read_or_written_loses_no_report_and_a_process_repeats_none() {
    let world = hearing();
    let orders = world.stream(NewStream::named("orders"));
    for operation in ["GetParameter", "PutParameter"] {
        world.account.fault(Fault::on(operation).error("AccessDeniedException", "no"));
    }
    let handler = world.handler();
    for _ in 0..3 {
        let heard = batch(&[denied(&world, &role("billing"), Some(&orders))]);
        world.run_with(&handler, &heard, 300).await.expect("an answer");
    }
    assert_eq!(told(&world).len(), 1);
    world.account.clear_faults();
    world.account.parameter(STATE, "String", "no JSON");
    hear(&world, &[denied(&world, &role("reports"), Some(&orders))]).await;
    assert_eq!(told(&world).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn without_the_queue_and_the_parameter_an_event_alone_is_reported_and_in_audit_mode_too() {
    for mode in ["enforce", "audit"] {
        let world = World::new().with("OUTCOME_EVENT_BUS", "default").with("ENFORCEMENT_MODE", mode);
        let answer = world.run(&denied(&world, &role("billing"), None)).await.expect("an answer");
        assert_eq!(answer["trigger"]["kind"], "access-denied");
        assert_eq!(answer["outcomes"][0]["status"], "access-denied");
        assert_eq!(told(&world).len(), 1);
        assert_eq!(world.account.count("LookupEvents"), if mode == "audit" { 0 } else { 2 });
    }
}

/// A world in which the function has just encrypted `orders`, and `reports` is not encrypted.
async fn one_stream_encrypted(world: &World) -> String {
    let orders = world.stream(NewStream::named("orders"));
    world.run(&manual("orders")).await.expect("an answer");
    world.stream(NewStream::named("reports"));
    world.account.configure(|options| options.history_lag = Duration::from_secs(1));
    tokio::time::sleep(Duration::from_secs(10)).await;
    orders
}

fn is_halted(outcome: &Value) -> bool {
    let reason = outcome["reason"].as_str().expect("a reason");
    outcome["status"] == "deferred" && reason.starts_with("halted: ") && outcome["warnings"][0]["code"] == "halted"
}

#[tokio::test(start_paused = true)]
async fn sweeps_are_halted_while_a_principal_is_cut_off_by_the_function_and_go_on_by_themselves() {
    for with_queue in [false, true] {
        let mut world = hearing();
        if with_queue {
            world = world.with_work_queue();
        }
        let orders = one_stream_encrypted(&world).await;
        hear(&world, &[denied(&world, &role("billing"), Some(&orders))]).await;
        let swept = world.sweep_outcome_if(with_queue, "reports").await;
        assert!(is_halted(&swept), "{swept:#}");
        let reason = swept["reason"].as_str().expect("a reason");
        assert!(reason.contains(&role("billing")) && reason.contains("resume"), "{reason}");
        assert_eq!((world.starts(), world.letters().len()), (1, 0));
        // What happens to a single stream is handled.
        let stopped = world.run(&json!({"stream": "reports", "dryRun": true})).await.expect("an answer");
        assert_eq!(stopped["outcomes"][0]["status"], "would-encrypt");
        world.stream(NewStream::named("payments"));
        let mut created = event("stream-created");
        created["detail"]["requestParameters"]["streamName"] = json!("payments");
        assert_eq!(world.outcome(&created).await["status"], "encrypted");
        // A denied call within the hour prolongs it.
        tokio::time::sleep(Duration::from_mins(40)).await;
        hear(&world, &[denied(&world, &role("billing"), Some(&orders))]).await;
        tokio::time::sleep(Duration::from_mins(50)).await;
        assert!(is_halted(&world.sweep_outcome_if(with_queue, "reports").await));
        tokio::time::sleep(Duration::from_mins(12)).await;
        assert_eq!(world.sweep_outcome_if(with_queue, "reports").await["status"], "encrypted");
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_has_read_the_state_sees_a_halt_within_a_minute_and_so_its_end() {
    let world = hearing();
    let orders = one_stream_encrypted(&world).await;
    let worker = world.handler();
    let sweep = json!({"sweep": true});
    let swept = async |name: &str| {
        let answer = world.run_with(&worker, &sweep, 300).await.expect("an answer");
        let outcomes = answer["outcomes"].as_array().expect("outcomes").clone();
        outcomes.into_iter().find(|outcome| outcome["stream"].as_str().is_some_and(|stream| stream.ends_with(name)))
    };
    assert_eq!(swept("reports").await.expect("an outcome")["status"], "encrypted");
    world.stream(NewStream::named("search"));
    hear(&world, &[denied(&world, &role("billing"), Some(&orders))]).await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(is_halted(&swept("search").await.expect("an outcome")));
    let answer = world.run(&json!({"resume": true})).await.expect("an answer");
    assert!(answer["trigger"]["reason"].as_str().expect("a reason").contains("go on within a minute"), "{answer:#}");
    assert_eq!(answer["outcomes"], json!([]));
    tokio::time::sleep(Duration::from_mins(1)).await;
    hear(&world, &[denied(&world, &role("billing"), Some(&orders))]).await;
    assert_eq!(swept("search").await.expect("an outcome")["status"], "encrypted", "the person knows of it");
    let again = world.run(&json!({"resume": true})).await.expect("an answer");
    assert_eq!(again["trigger"]["reason"], "sweeps are not halted");
}

#[tokio::test(start_paused = true)]
async fn only_a_direct_invocation_ends_a_halt() {
    let world = hearing().with_work_queue();
    let orders = one_stream_encrypted(&world).await;
    hear(&world, &[denied(&world, &role("billing"), Some(&orders))]).await;
    let resume = json!({"resume": true});
    world.enqueue(&resume);
    world.drain().await;
    let notification = json!({"Type": "Notification", "TopicArn": "arn", "Message": resume.to_string()});
    let answer = world.run(&notification).await.expect("an answer");
    assert_eq!(answer["outcomes"][0]["status"], "failed", "{answer:#}");
    world.run(&json!({"resume": true, "dryRun": true})).await.expect("an answer");
    assert!(is_halted(&world.sweep_outcome("reports").await));
}

#[tokio::test(start_paused = true)]
async fn a_halt_whose_state_cannot_be_read_does_not_stop_enforcement_nor_does_one_that_is_switched_off() {
    let unreadable =
        |world: &World| world.account.fault(Fault::on("GetParameter").error("AccessDeniedException", "no"));
    let malformed = |world: &World| world.account.parameter(STATE, "String", "[]");
    let nothing = |_: &World| ();
    for (trouble, setting) in [(&unreadable as &dyn Fn(&World), "true"), (&malformed, "true"), (&nothing, "false")] {
        let world = hearing().with("HALT_ON_ACCESS_DENIED", setting);
        let orders = one_stream_encrypted(&world).await;
        hear(&world, &[denied(&world, &role("billing"), Some(&orders))]).await;
        trouble(&world);
        let outcome = world.run(&event("scheduled")).await.expect("an answer")["outcomes"][0].clone();
        assert_eq!(outcome["status"], "encrypted", "{outcome:#}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_four_hours_sweeps_go_on_and_say_so_whatever_is_denied() {
    let world = hearing();
    let orders = one_stream_encrypted(&world).await;
    let handler = world.handler();
    for _ in 0..25 {
        let heard = batch(&[denied(&world, &role("billing"), Some(&orders))]);
        world.run_with(&handler, &heard, 300).await.expect("an answer");
        tokio::time::sleep(Duration::from_mins(10)).await;
    }
    let outcome = world.run(&event("scheduled")).await.expect("an answer")["outcomes"][0].clone();
    assert_eq!((&outcome["status"], &outcome["warnings"][0]["code"]), (&json!("encrypted"), &json!("halt-used-up")));
}

#[tokio::test(start_paused = true)]
async fn what_concerns_no_denial_makes_not_one_call_more() {
    let calls = async |world: World| {
        world.stream(NewStream::named("orders"));
        world.run(&event("stream-created")).await.expect("an answer");
        world.run(&event("scheduled")).await.expect("an answer");
        world.operations()
    };
    assert_eq!(calls(World::new().hearing_denials()).await, calls(World::new()).await);
    // A sweep that is about to change streams reads the state once, however many they are.
    let world = World::new().hearing_denials();
    for index in 0..30 {
        world.stream(NewStream::named(&format!("s{index}")));
    }
    world.run(&event("scheduled")).await.expect("an answer");
    assert_eq!((world.starts(), world.account.count("GetParameter")), (30, 1));
}
