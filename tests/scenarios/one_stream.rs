//! One stream.

use std::time::Duration;

use kinesis_encryption_enforcer::sandbox::{Fault, Identity, KeyState, NewStream, ScriptedAction};
use serde_json::json;

use crate::support::{ALIAS, OTHER_KEY, World, event, manual};

const START: &str = "StartStreamEncryption";

#[tokio::test(start_paused = true)]
async fn a_compliant_stream_costs_two_calls_and_is_not_touched() {
    let world = World::new();
    world.stream(NewStream::named("orders").encrypted_with(&world.key));
    let outcome = world.outcome(&event("encryption-changed")).await;
    assert_eq!((&outcome["status"], &outcome["applied"]), (&json!("compliant"), &json!(false)));
    assert_eq!(world.operations(), ["DescribeStreamSummary", "DescribeKey"]);
}

#[tokio::test(start_paused = true)]
async fn an_unencrypted_stream_costs_five_calls_and_one_start_and_the_second_run_does_nothing() {
    let world = World::new();
    world.stream(NewStream::named("orders"));
    let outcome = world.outcome(&event("stream-created")).await;
    assert_eq!(
        (&outcome["status"], &outcome["applied"], &outcome["key"]),
        (&json!("encrypted"), &json!(true), &json!(world.key))
    );
    assert_eq!(
        world.operations(),
        ["DescribeStreamSummary", "DescribeKey", "ListTagsForStream", START, "DescribeStreamSummary"]
    );
    assert_eq!(world.outcome(&event("stream-created")).await["status"], "compliant");
    assert_eq!(world.starts(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_stopped_costs_two_looks_into_the_history_besides() {
    let world = World::new();
    world.stream(NewStream::named("orders"));
    assert_eq!(world.outcome(&event("encryption-stopped")).await["status"], "encrypted");
    let operations = [
        "DescribeStreamSummary",
        "DescribeKey",
        "ListTagsForStream",
        "LookupEvents",
        "LookupEvents",
        START,
        "DescribeStreamSummary",
    ];
    assert_eq!(world.operations(), operations);
}

#[tokio::test(start_paused = true)]
async fn without_an_exemption_tag_key_it_costs_four() {
    let world = World::new().with("EXEMPT_TAG_KEY", "");
    world.stream(NewStream::named("orders"));
    assert_eq!(world.outcome(&event("stream-created")).await["status"], "encrypted");
    assert_eq!(world.operations(), ["DescribeStreamSummary", "DescribeKey", START, "DescribeStreamSummary"]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_active_is_waited_for_before_it_is_judged() {
    for stream in [NewStream::named("orders").creating(), NewStream::named("orders").updating()] {
        let world = World::new();
        world.stream(stream);
        assert_eq!(world.outcome(&event("stream-created")).await["status"], "encrypted");
        assert_eq!(world.starts(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn every_other_key_is_replaced_and_no_aws_alias_is_described() {
    for present in [OTHER_KEY, "alias/aws/kinesis"] {
        let world = World::new();
        world.stream(NewStream::named("orders").encrypted_with(present));
        let outcome = world.outcome(&event("encryption-changed")).await;
        assert_eq!((&outcome["status"], &outcome["previousKey"]), (&json!("encrypted"), &json!(present)));
        assert_eq!(world.account.managed_key(), None);
        assert_eq!(world.account.count("DescribeKey"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_names_the_key_by_its_id_or_alias_is_compliant() {
    let world = World::new();
    let id = world.key.rsplit('/').next().expect("an id").to_owned();
    for named in [id.as_str(), ALIAS] {
        world.stream(NewStream::named(&named.replace('/', "-")).encrypted_with(named));
        let outcome = world.outcome(&manual(&named.replace('/', "-"))).await;
        assert_eq!(outcome["status"], "compliant", "{named}");
    }
    assert_eq!(world.starts(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_start_whose_answer_is_lost_ends_as_encrypted_with_one_application() {
    for updating in [0, 1, 800, 20_000] {
        let world = World::new();
        world.account.configure(|options| options.updating = Duration::from_millis(updating));
        world.stream(NewStream::named("orders"));
        world.account.fault(Fault::on(START).answer_lost());
        let outcome = world.outcome(&event("encryption-stopped")).await;
        assert_eq!((&outcome["status"], &outcome["applied"]), (&json!("encrypted"), &json!(true)), "{updating} ms");
        assert_eq!(world.starts(), 1, "{updating} ms");
        assert_eq!(outcome["warnings"], json!([{"code": "start-answer-lost"}]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_whose_fate_is_unknown_is_never_sent_again() {
    for fault in [Fault::on(START).dropped(), Fault::on(START).error_with_status("InternalFailure", "sorry", 500)] {
        let world = World::new();
        world.stream(NewStream::named("orders"));
        world.account.fault(fault);
        let error = world.run(&event("encryption-stopped")).await.expect_err("retried");
        assert_eq!(error.error_type.as_str(), "AwsUnavailable");
        assert_eq!(world.starts(), 1);
        assert_eq!(world.letters(), [json!(null); 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_start_is_sent_again_but_not_hammered() {
    let world = World::new();
    world.stream(NewStream::named("orders"));
    world.account.fault(Fault::on(START).nth(1..=2).error("LimitExceededException", "Rate exceeded"));
    assert_eq!(world.outcome(&event("encryption-stopped")).await["status"], "encrypted");
    assert_eq!(world.starts(), 3);

    // Tags have a pace of their own, which would hide the wait.
    let world = World::new().with("EXEMPT_TAG_KEY", "");
    world.stream(NewStream::named("orders"));
    world.account.fault(Fault::on(START).error("LimitExceededException", "Rate exceeded"));
    let began = world.clock.instant();
    let error = world.run(&event("encryption-stopped")).await.expect_err("retried");
    assert_eq!((error.error_type.as_str(), world.starts()), ("Throttled", 4));
    let took = world.clock.instant() - began;
    assert!(took >= Duration::from_millis(800), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_in_use_is_waited_for_until_the_time_is_up() {
    let in_use = || Fault::on(START).error("ResourceInUseException", "not ACTIVE");
    let world = World::new();
    world.stream(NewStream::named("orders"));
    world.account.fault(in_use().nth(1..=3));
    assert_eq!(world.outcome(&event("encryption-stopped")).await["status"], "encrypted");

    let world = World::new();
    world.stream(NewStream::named("orders"));
    world.account.fault(in_use());
    let error = world.run(&event("encryption-stopped")).await.expect_err("retried");
    assert_eq!(error.error_type.as_str(), "ResourceInUse");
    // Each start that is sent in vain is recorded.
    assert!((8..=16).contains(&world.starts()), "{}", world.starts());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_does_not_settle_in_time_is_started_not_yet_confirmed() {
    let world = World::new();
    world.account.configure(|options| options.updating = Duration::MAX);
    world.stream(NewStream::named("orders"));
    let before = world.clock.wall();
    let error = world.run_for(&event("encryption-stopped"), 30).await.expect_err("retried");
    let answer: serde_json::Value = serde_json::from_str(&error.message).expect("the answer");
    assert_eq!(error.error_type.as_str(), "StillUpdating");
    assert_eq!(
        (&answer["outcomes"][0]["applied"], &answer["outcomes"][0]["error"]["code"]),
        (&json!(true), &json!("StillUpdating"))
    );
    assert!(error.message.contains("started, not yet confirmed"), "{}", error.message);
    let took = world.clock.wall().duration_since(before).expect("later");
    assert!(
        (Duration::from_secs(25)..Duration::from_secs(30)).contains(&took),
        "one last look, then the answer: {took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_deleted_in_the_middle_is_gone_for_an_event_and_missing_for_a_person() {
    for (payload, status, letters) in [(event("encryption-stopped"), "gone", 0), (manual("orders"), "failed", 1)] {
        let world = World::new();
        world.stream(NewStream::named("orders"));
        world.account.script(ScriptedAction::after(START).delete_stream());
        let outcome = world.outcome(&payload).await;
        assert_eq!(outcome["status"], status, "{outcome:#}");
        assert_eq!(world.letters().len(), letters);
    }
    let outcome = World::new().outcome(&manual("nowhere")).await;
    assert_eq!(outcome["error"]["code"], "StreamNotFound");
    let message = outcome["error"]["message"].as_str().expect("a message");
    assert_eq!(message.matches("DescribeStreamSummary").count(), 1, "{message}");
    assert!(
        outcome["error"]["message"].as_str().expect("a message").contains("under account 111122223333"),
        "{outcome:#}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_re_keyed_or_stopped_by_somebody_else_in_the_middle_is_contested() {
    type Undo = fn(ScriptedAction, &str) -> ScriptedAction;
    let undo: [(&str, Undo); 2] = [
        ("stopped", |script, _| script.stop_encryption(Identity::user("alice"))),
        ("re-keyed", |script, other| script.start_encryption(other, Identity::user("alice"))),
    ];
    for (name, undo) in undo {
        let world = World::new();
        world.stream(NewStream::named("orders"));
        world.account.configure(|options| options.updating = Duration::from_millis(1_200));
        let other = world.account.create_key();
        // As soon as our change is done, and after a look has shown UPDATING.
        world.account.script(undo(ScriptedAction::after(START).later(Duration::from_millis(1_250)), &other));
        let outcome = world.outcome(&event("encryption-stopped")).await;
        assert_eq!(
            (&outcome["status"], &outcome["error"]["code"]),
            (&json!("contested"), &json!("Undone")),
            "{name}: {outcome:#}"
        );
        assert_eq!(
            (world.letters().len(), world.letters()[0]["error"]["class"].as_str()),
            (1, Some("contested")),
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_resharded_in_the_middle_is_waited_for() {
    let world = World::new();
    world.stream(NewStream::named("orders"));
    world.account.script(ScriptedAction::after("ListTagsForStream").reshard(4));
    assert_eq!(world.outcome(&event("encryption-stopped")).await["status"], "encrypted");
}

#[tokio::test(start_paused = true)]
async fn audit_mode_and_dry_runs_start_nothing() {
    let audit = World::new().with("ENFORCEMENT_MODE", "audit");
    let enforce = World::new();
    for (world, payload) in [(audit, event("encryption-stopped")), (enforce, event("manual-dry-run"))] {
        world.stream(NewStream::named("orders"));
        assert_eq!(world.outcome(&payload).await["status"], "would-encrypt");
        assert_eq!((world.starts(), world.letters().len()), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn exemptions_are_honoured_and_fail_closed() {
    const TAG: &str = "kinesis-encryption-enforcer:exempt";
    let run = async |value: &str| {
        let world = World::new();
        world.stream(NewStream::named("orders").tag(TAG, value));
        (world.outcome(&event("encryption-stopped")).await, world.starts())
    };
    let (outcome, starts) = run("load test until=2099-01-01").await;
    assert_eq!((&outcome["status"], starts), (&json!("exempt"), 0));
    let (outcome, starts) = run("load test until=soon").await;
    assert_eq!((&outcome["error"]["code"], starts), (&json!("ExemptionMalformed"), 0));
    let (outcome, starts) = run("load test until=2020-01-01").await;
    assert_eq!(
        (&outcome["status"], &outcome["warnings"][0]["code"], starts),
        (&json!("encrypted"), &json!("exemption-expired"), 1)
    );

    let world = World::new();
    world.stream(NewStream::named("orders"));
    world.account.fault(Fault::on("ListTagsForStream").error("AccessDeniedException", "no"));
    let outcome = world.outcome(&event("encryption-stopped")).await;
    assert_eq!((&outcome["error"]["step"], world.starts(), world.letters().len()), (&json!("list-tags"), 0, 1));
}

#[tokio::test(start_paused = true)]
async fn under_accept_another_enabled_customer_key_stays_and_a_disabled_one_does_not() {
    let world = World::new().with("ON_OTHER_KEY", "accept");
    let other = world.account.create_key();
    world.stream(NewStream::named("orders").encrypted_with(&other));
    assert_eq!(world.outcome(&manual("orders")).await["status"], "compliant");
    world.account.set_key_state(&other, KeyState::Disabled);
    assert_eq!(world.outcome(&manual("orders")).await["status"], "encrypted");
}

#[tokio::test(start_paused = true)]
async fn a_person_may_ask_for_a_fresh_application() {
    let world = World::new();
    world.stream(NewStream::named("orders").encrypted_with(&world.key));
    let outcome = world.outcome(&json!({"stream": "orders", "reapply": true})).await;
    assert_eq!((&outcome["status"], world.starts()), (&json!("encrypted"), 1));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_being_deleted_is_gone() {
    let world = World::new();
    world.stream(NewStream::named("orders").deleting());
    let outcome = world.outcome(&event("encryption-stopped")).await;
    assert_eq!((&outcome["status"], world.starts(), world.letters().len()), (&json!("gone"), 0, 0));
    assert!(outcome["reason"].as_str().is_some_and(|reason| reason.contains("is being deleted")), "{outcome:#}");
}
