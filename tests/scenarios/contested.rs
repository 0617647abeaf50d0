//! Somebody undoes what we do, again and again: the fight comes to rest, and the letter names the
//! other side.

use std::time::Duration;

use kinesis_encryption_enforcer::sandbox::{Fault, Identity, NewStream};
use serde_json::{Value, json};

use crate::support::{OWN, SECOND, WORK, World, event, manual};

const START: &str = "StartStreamEncryption";
const MOST: usize = 5;

/// How many starts with this access key AWS accepted.
fn starts_of(world: &World, access_key: &str) -> usize {
    let starts = world.account.calls().into_iter();
    starts.filter(|call| call.operation == START && call.access_key == access_key && call.result.is_ok()).count()
}

/// A world in which somebody applies infrastructure as code with the access key `terraform`.
fn world() -> (World, aws_sdk_kinesis::Client) {
    let world = World::new();
    world.account.identity("terraform", Identity::role("deployer", "ci"));
    let client = world.kinesis("terraform");
    (world, client)
}

/// Every ten minutes somebody stops encryption; our events arrive within seconds, each in a new
/// process. Ends when nobody changed anything for two hours.
async fn fight(world: &World, terraform: &aws_sdk_kinesis::Client, rounds: u32) {
    for _ in 0..rounds {
        // Its next apply finds nothing to do where encryption is stopped already.
        if world.account.snapshot("orders").is_some_and(|stream| stream.key_id.is_some()) {
            stop(terraform, "orders", &world.key).await;
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        for event in world.account.take_events() {
            world.run(&event).await.expect("an answer");
        }
        for _ in 0..60 {
            tokio::time::sleep(Duration::from_secs(10)).await;
            world.batch().await;
        }
        drop(world.account.take_events());
    }
}

/// Stops encryption as Terraform does.
async fn stop(terraform: &aws_sdk_kinesis::Client, stream: &str, key_id: &str) {
    let call =
        terraform.stop_stream_encryption().stream_name(stream).encryption_type("KMS".into()).key_id(key_id).customize();
    let named = call.mutate_request(|request| {
        request.headers_mut().insert("user-agent", "APN/1.0 HashiCorp/1.0 Terraform/1.9.8");
    });
    named.send().await.expect("stopped");
}

fn contested(letters: &[Value]) -> &Value {
    let letter = letters.iter().find(|letter| letter["error"]["code"] == "Contested");
    letter.unwrap_or_else(|| unreachable!("no letter: {letters:#?}"))
}

#[tokio::test(start_paused = true)]
async fn a_terraform_that_stops_encryption_at_every_apply_is_brought_to_rest_although_the_history_lags() {
    let (world, terraform) = world();
    let world = world.with_work_queue();
    world.stream(NewStream::named("orders").encrypted_with(&world.key));
    fight(&world, &terraform, 15).await;
    let starts = starts_of(&world, OWN);
    assert!((3..=MOST).contains(&starts), "{starts}");
    let letters = world.letters();
    let letter = contested(&letters);
    let (message, remedy) =
        (letter["error"]["message"].as_str().expect("text"), letter["error"]["remedy"].as_str().expect("text"));
    assert!(
        message.contains("arn:aws:sts::111122223333:assumed-role/deployer/ci") && message.contains("Terraform/1.9.8"),
        "{message}"
    );
    assert!(
        message.contains("we applied the key 5 times") && message.contains("It is left alone until 2026-11-25T"),
        "{message}"
    );
    assert!(remedy.contains("encryption_type = \"KMS\""), "{remedy}");
    assert_eq!(
        (&letter["error"]["class"], &letter["stream"]),
        (&json!("contested"), &json!("arn:aws:kinesis:us-east-1:111122223333:stream/orders"))
    );
    assert_eq!(world.account.messages(WORK).len(), 0);

    // A schedule that meets it reports it, without another letter; a person who asks for it does
    // not wait.
    let count = letters.len();
    let outcome = world.sweep_outcome("orders").await;
    assert_eq!(
        (&outcome["status"], &outcome["error"]["code"]),
        (&json!("contested"), &json!("Contested")),
        "{outcome:#}"
    );
    assert_eq!(outcome["warnings"][0]["code"], "undone-by");
    assert_eq!(outcome["warnings"][0]["arn"], "arn:aws:sts::111122223333:assumed-role/deployer/ci");
    assert_eq!(world.letters().len(), count);
    assert_eq!(world.outcome(&manual("orders")).await["status"], "encrypted");
}

#[tokio::test(start_paused = true)]
async fn what_was_undone_once_is_done_again_at_once() {
    let (world, terraform) = world();
    let world = world.with_work_queue();
    world.stream(NewStream::named("orders").encrypted_with(&world.key));
    fight(&world, &terraform, 1).await;
    assert_eq!((starts_of(&world, OWN), world.letters().len()), (1, 0));
    // Once for the event; the queue was not needed.
    assert_eq!(world.account.snapshot("orders").expect("a stream").key_id.as_deref(), Some(world.key.as_str()));
}

/// Two enforcers with different keys; ours keeps living. Delivers every event to both until nothing
/// happens any more.
async fn two_enforcers(world: &World, other_key: &str) {
    let (ours, theirs) = (world.handler(), world.second_handler(other_key));
    world.run_with(&theirs, &manual("orders"), 300).await.expect("an answer");
    let mut still = 0;
    while still < 600 {
        tokio::time::sleep(Duration::from_secs(5)).await;
        still += 1;
        for event in world.account.take_events() {
            still = 0;
            for handler in [&ours, &theirs] {
                world.run_with(handler, &event, 300).await.expect("an answer");
            }
        }
        if world.batch_with(&ours).await.is_some() {
            still = 0;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_enforcers_with_different_keys_come_to_rest_with_a_history_that_lags_and_with_none() {
    for blind in [false, true] {
        let world = World::new().with_work_queue();
        let other_key = world.account.create_key();
        world.stream(NewStream::named("orders").encrypted_with(&world.key));
        if blind {
            world.account.fault(Fault::on("LookupEvents").error("AccessDeniedException", "no"));
        }
        two_enforcers(&world, &other_key).await;
        let starts = (starts_of(&world, OWN), starts_of(&world, SECOND));
        // Theirs has one more: the one that a person asked for.
        assert!((1..=MOST).contains(&starts.0) && starts.1 <= MOST + 1, "{starts:?}, blind: {blind}");
        let letters = world.letters();
        let letter = contested(&letters);
        let message = letter["error"]["message"].as_str().expect("text");
        assert!(
            message.contains("assumed-role/kinesis-encryption-enforcer")
                || message.contains("assumed-role/second-enforcer"),
            "{message}"
        );
        assert!(letter["error"]["remedy"].as_str().expect("text").contains("one key for the stream"), "{letter:#}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_history_that_cannot_be_read_defers_what_was_undone_for_the_longest_time() {
    let lookup = || Fault::on("LookupEvents");
    for fault in [lookup().error("AccessDeniedException", "no"), lookup().answer_replaced("{}")] {
        let (world, terraform) = world();
        let world = world.with_work_queue();
        world.account.fault(fault);
        world.stream(NewStream::named("orders").encrypted_with(&world.key));
        stop(&terraform, "orders", &world.key).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        let told = world.account.take_events().pop().expect("an event");
        let outcome = world.outcome(&told).await;
        assert_eq!(outcome["status"], "deferred", "{outcome:#}");
        let [(item, hidden)] = &world.work()[..] else { unreachable!("{:?}", world.work()) };
        assert_eq!((&item["suspicion"]["rested"], *hidden), (&json!(true), 900));
        world.drain().await;
        assert_eq!((world.starts(), world.letters().len()), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_sweep_finds_the_streams_that_others_changed_in_the_history_and_asks_it_once() {
    for queue in [false, true] {
        let (mut world, terraform) = world();
        if queue {
            world = world.with_work_queue();
        }
        world.account.configure(|options| options.history_lag = Duration::ZERO);
        for name in ["clicks", "orders"] {
            world.stream(NewStream::named(name).encrypted_with(&world.key));
        }
        for _ in 0..MOST {
            stop(&terraform, "orders", &world.key).await;
            tokio::time::sleep(Duration::from_mins(1)).await;
            let ours = world.kinesis(OWN).start_stream_encryption().stream_name("orders").encryption_type("KMS".into());
            ours.key_id(&world.key).send().await.expect("started");
            tokio::time::sleep(Duration::from_mins(1)).await;
        }
        for name in ["clicks", "orders"] {
            stop(&terraform, name, &world.key).await;
        }
        tokio::time::sleep(Duration::from_mins(1)).await;
        world.account.forget_calls();
        let outcome = world.sweep_outcome("orders").await;
        assert_eq!(outcome["status"], "contested", "queue: {queue}: {outcome:#}");
        assert_eq!(world.account.count("LookupEvents"), if queue { 6 } else { 2 });
        assert_eq!(
            (world.account.accepted(START, "clicks"), world.account.accepted(START, "orders"), world.letters().len()),
            (1, 0, 0)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_spent_allowance_is_told_from_throttling_by_the_history() {
    for (readable, code, class) in
        [(true, "AllowanceSpent", "contested"), (false, "LimitExceededException", "retryable")]
    {
        let (world, terraform) = world();
        world.account.configure(|options| options.history_lag = Duration::ZERO);
        world.stream(NewStream::named("orders"));
        let other = world.account.create_key();
        for _ in 0..25 {
            let started = terraform
                .start_stream_encryption()
                .stream_name("orders")
                .encryption_type("KMS".into())
                .key_id(&other)
                .send()
                .await;
            started.expect("started");
            tokio::time::sleep(Duration::from_mins(1)).await;
        }
        // What AWS refused is recorded too, and comes first.
        for _ in 0..200 {
            let again =
                terraform.start_stream_encryption().stream_name("orders").encryption_type("KMS".into()).key_id(&other);
            again.send().await.expect_err("refused");
        }
        if !readable {
            world.account.fault(Fault::on("LookupEvents").error("AccessDeniedException", "no"));
        }
        world.account.forget_calls();
        let outcome = world.outcome(&manual("orders")).await;
        assert_eq!(
            (&outcome["error"]["code"], &outcome["error"]["class"]),
            (&json!(code), &json!(class)),
            "{outcome:#}"
        );
        // Each that is sent in vain is recorded as well.
        assert_eq!(world.starts(), if readable { 1 } else { 4 });
        if readable {
            let message = outcome["error"]["message"].as_str().expect("text");
            assert!(message.contains("the next time is 2026-11-25T00:00:00Z"), "{message}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_person_who_names_the_stream_is_not_held_up_by_the_limit_of_applications() {
    let world = World::new().with("MAX_APPLIES_PER_DAY", "1");
    world.stream(NewStream::named("orders"));
    let handler = world.handler();
    for (payload, status) in [
        (event("encryption-stopped"), "encrypted"),
        (event("encryption-stopped"), "contested"),
        (manual("orders"), "encrypted"),
    ] {
        world.stream(NewStream::named("orders").created_at("2026-11-23T00:00:00Z".parse().expect("a time")));
        assert_eq!(world.outcome_of(&handler, &payload).await["status"], status, "{payload}");
        tokio::time::sleep(Duration::from_mins(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_rests_carries_when_the_key_was_applied_to_whatever_process_takes_it() {
    let (world, terraform) = world();
    let world = world.with_work_queue().with("MAX_APPLIES_PER_DAY", "2");
    world.stream(NewStream::named("orders"));
    // CloudTrail shows nothing yet.
    world.account.configure(|options| options.history_lag = Duration::from_mins(15));
    let ours = world.handler();
    assert_eq!(world.outcome_of(&ours, &event("encryption-stopped")).await["status"], "encrypted");
    drop(world.account.take_events());
    stop(&terraform, "orders", &world.key).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let told = world.account.take_events().pop().expect("an event");
    assert_eq!(world.outcome_of(&ours, &told).await["status"], "deferred");
    let (item, hidden) = world.work().remove(0);
    assert_eq!(
        (&item["suspicion"]["rested"], item["suspicion"]["applied"].as_array().map(Vec::len), hidden),
        (&json!(true), Some(1), 60)
    );

    // Another process, which remembers nothing, knows by the item that the limit is near.
    let mut again = item.clone();
    again["suspicion"]["applied"] = json!([item["suspicion"]["applied"][0], "2026-11-23T23:00:00Z"]);
    world.account.purge(WORK);
    tokio::time::sleep(Duration::from_secs(61)).await;
    world.enqueue(&again);
    world.account.forget_calls();
    assert_eq!(world.batch().await, Some(json!({"batchItemFailures": []})));
    assert_eq!((world.starts(), contested(&world.letters())["stream"].as_str()), (0, item["stream"].as_str()));
}

#[tokio::test(start_paused = true)]
async fn what_the_history_says_when_a_start_was_refused_is_heeded_whatever_the_event_told() {
    let (world, terraform) = world();
    let world = world.with("MAX_APPLIES_PER_DAY", "1");
    world.account.configure(|options| options.history_lag = Duration::ZERO);
    world.stream(NewStream::named("orders"));
    for refused in [false, true] {
        if refused {
            world.account.fault(Fault::on(START).nth(1..=1).error("LimitExceededException", "Rate exceeded"));
        }
        world.account.forget_calls();
        let mut tagged = event("tags-added");
        tagged["detail"]["requestParameters"]["streamName"] = json!("orders");
        let outcome = world.outcome(&tagged).await;
        let (status, starts) = if refused { ("contested", 1) } else { ("encrypted", 1) };
        assert_eq!((&outcome["status"], world.starts()), (&json!(status), starts), "{outcome:#}");
        tokio::time::sleep(Duration::from_mins(1)).await;
        if !refused {
            stop(&terraform, "orders", &world.key).await;
            tokio::time::sleep(Duration::from_mins(1)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn where_the_functions_role_is_not_known_whoever_stopped_encryption_is_another() {
    let (world, terraform) = world();
    let world = world.with("OWN_ROLE_ARN", "").with("MAX_APPLIES_PER_DAY", "1");
    world.account.configure(|options| options.history_lag = Duration::ZERO);
    world.stream(NewStream::named("orders"));
    assert_eq!(world.sweep_outcome("orders").await["status"], "encrypted");
    stop(&terraform, "orders", &world.key).await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    let outcome = world.sweep_outcome("orders").await;
    assert_eq!((&outcome["status"], world.starts()), (&json!("contested"), 1), "{outcome:#}");
}

/// Somebody's refused calls, so many of each kind.
async fn flood(world: &World, records: usize) -> aws_sdk_kinesis::Client {
    world.account.identity("ci", Identity::role("deployer", "ci"));
    let client = world.kinesis("ci");
    for index in 0..records {
        let name = format!("gone-{index}");
        client
            .start_stream_encryption()
            .stream_name(&name)
            .encryption_type("KMS".into())
            .key_id(&world.key)
            .send()
            .await
            .expect_err("gone");
        client
            .stop_stream_encryption()
            .stream_name(&name)
            .encryption_type("KMS".into())
            .key_id(&world.key)
            .send()
            .await
            .expect_err("gone");
    }
    drop(world.account.take_events());
    client
}

#[tokio::test(start_paused = true)]
async fn a_long_history_is_read_as_far_as_time_allows_and_leaves_others_room() {
    let world = World::new().with_work_queue();
    let client = flood(&world, 475).await;
    let other = world.account.create_key();
    let names = ["orders", "clicks", "payments"];
    for name in names {
        world.stream(NewStream::named(name));
        for _ in 0..25 {
            let start = client.start_stream_encryption().stream_name(name).encryption_type("KMS".into()).key_id(&other);
            start.send().await.expect("started");
            tokio::time::sleep(Duration::from_secs(4)).await;
        }
    }
    tokio::time::sleep(Duration::from_mins(20)).await;
    world.account.configure(|options| options.rate_limits = true);
    world.account.forget_calls();
    let item = |name: &str| json!({"version": 1, "kind": "work-item", "stream": format!("arn:aws:kinesis:us-east-1:111122223333:stream/{name}")});
    // No two processes begin in the same nanosecond, by which their jitter is seeded.
    let mut workers = Vec::new();
    for _ in names {
        tokio::time::sleep(Duration::from_millis(1)).await;
        workers.push(world.handler());
    }
    let items = names.map(item);
    let (first, second, third) = tokio::join!(
        world.outcome_of(&workers[0], &items[0]),
        world.outcome_of(&workers[1], &items[1]),
        world.outcome_of(&workers[2], &items[2]),
    );
    for outcome in [first, second, third] {
        assert_eq!(outcome["error"]["code"], "AllowanceSpent", "{outcome:#}");
    }
    assert_eq!(world.starts(), 3);
}

/// Somebody stops encryption seven times, each time behind a flood of refused calls, and each time a
/// new process meets it. After how many seconds the stream was encrypted again, each time that it
/// was.
async fn undone_behind_a_flood(world: &World, flood: impl AsyncFn()) -> Vec<i64> {
    world.account.configure(|options| options.history_lag = Duration::ZERO);
    world.account.identity("terraform", Identity::role("deployer", "ci"));
    let terraform = world.kinesis("terraform");
    world.stream(NewStream::named("orders").encrypted_with(&world.key));
    let mut lasted = Vec::new();
    for _ in 0..7 {
        stop(&terraform, "orders", &world.key).await;
        let stopped = world.clock.instant();
        let stops = world.account.take_events();
        flood().await;
        drop(world.account.take_events());
        for event in stops {
            world.run(&event).await.expect("an answer");
        }
        world.drain().await;
        if world.account.snapshot("orders").is_some_and(|stream| stream.key_id.is_none()) {
            break;
        }
        lasted.push(i64::try_from((world.clock.instant() - stopped).as_secs()).expect("few"));
        drop(world.account.take_events());
        tokio::time::sleep(Duration::from_mins(1)).await;
    }
    lasted
}

#[tokio::test(start_paused = true)]
async fn whoever_floods_the_history_with_refused_calls_does_not_hide_our_own() {
    let world = World::new().with_work_queue();
    let lasted = undone_behind_a_flood(&world, async || drop(flood(&world, 350).await)).await;
    assert_eq!((lasted.len(), starts_of(&world, OWN)), (MOST, MOST), "{lasted:?}");
    assert_eq!(contested(&world.letters())["error"]["class"], "contested");
}

#[tokio::test(start_paused = true)]
async fn a_history_that_is_flooded_in_our_own_name_is_unknown_and_means_the_longest_delay() {
    let world = World::new().with_work_queue();
    // A role of somebody else, whose session has the name of the function's.
    world.account.identity("mimic", Identity::role("mimic", "enforcer"));
    let mimic = world.kinesis("mimic");
    let flood = async || {
        for index in 0..1_100 {
            let start = mimic.start_stream_encryption().stream_name(format!("gone-{index}"));
            start.encryption_type("KMS".into()).key_id(&world.key).send().await.expect_err("gone");
        }
    };
    let lasted = undone_behind_a_flood(&world, flood).await;
    assert!(lasted.len() >= MOST && lasted.iter().all(|seconds| *seconds >= 900), "{lasted:?}");
}

#[tokio::test(start_paused = true)]
async fn a_flooded_history_does_not_keep_a_short_invocation_from_sweeping() {
    let world = World::new();
    world.account.configure(|options| options.history_lag = Duration::ZERO);
    world.stream(NewStream::named("orders"));
    world.account.flood(&Identity::role("mimic", "enforcer"), 1_100);
    let answer = world.run_for(&event("scheduled"), 20).await.expect("an answer");
    assert_eq!((&answer["summary"], world.letters().len()), (&json!({"encrypted": 1}), 0), "{answer:#}");
}

#[tokio::test(start_paused = true)]
async fn the_applications_to_a_namesake_that_is_gone_do_not_count() {
    let (world, terraform) = world();
    world.account.configure(|options| options.history_lag = Duration::ZERO);
    let other = world.account.create_key();
    world.stream(NewStream::named("orders"));
    for _ in 0..25 {
        let start =
            terraform.start_stream_encryption().stream_name("orders").encryption_type("KMS".into()).key_id(&other);
        start.send().await.expect("started");
        tokio::time::sleep(Duration::from_secs(4)).await;
    }
    terraform.delete_stream().stream_name("orders").send().await.expect("deleted");
    tokio::time::sleep(Duration::from_mins(20)).await;
    world.stream(NewStream::named("orders").created_at(world.clock.wall().into()));
    world.account.fault(Fault::on(START).nth(1..=1).error("LimitExceededException", "Rate exceeded"));
    assert_eq!(world.outcome(&manual("orders")).await["status"], "encrypted");
}

#[tokio::test(start_paused = true)]
async fn throttling_by_kms_is_no_reason_to_ask_the_history() {
    let world = World::new();
    world.stream(NewStream::named("orders"));
    world.account.fault(Fault::on(START).nth(1..=1).error("KMSThrottlingException", "slow down"));
    assert_eq!(world.outcome(&manual("orders")).await["status"], "encrypted");
    assert_eq!(world.account.count("LookupEvents"), 0);
}

#[tokio::test(start_paused = true)]
async fn whoever_may_publish_to_a_topic_is_not_the_person_who_is_never_limited() {
    let (world, terraform) = world();
    world.stream(NewStream::named("orders").encrypted_with(&world.key));
    let handler = world.handler();
    let mut envelope = event("sns-notification");
    envelope["Records"][0]["Sns"]["Message"] = json!(manual("orders").to_string());
    for round in 0..12 {
        if round <= MOST {
            stop(&terraform, "orders", &world.key).await;
        }
        tokio::time::sleep(Duration::from_mins(10)).await;
        world.run_with(&handler, &envelope, 300).await.expect("an answer");
    }
    assert_eq!(starts_of(&world, OWN), MOST);
}
