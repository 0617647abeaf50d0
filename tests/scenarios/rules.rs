//! The policy: which key, which mode, which streams; and what happens when it cannot be had.

use std::time::Duration;

use aws_sdk_kinesis::types::StreamMode;
use kinesis_encryption_enforcer::handler::ErrorType;
use kinesis_encryption_enforcer::sandbox::{Fault, KeyState, NewStream};
use serde_json::{Value, json};

use crate::support::{ALIAS, World, event, manual};

const START: &str = "StartStreamEncryption";

fn policy(rules: &Value) -> String {
    json!({"version": 1, "rules": rules}).to_string()
}

/// A world in which streams `payments-*` are to have a key of their own, and `vendor-*` are exempt.
fn world() -> (World, String) {
    let world = World::new();
    let payments = world.account.create_key();
    let rules = policy(&json!([
        {"name": "vendors", "match": {"stream": "vendor-*"}, "mode": "exempt", "reason": "no KMS", "owner": "ada"},
        {"name": "payments", "match": {"stream": "payments-*"}, "key": payments},
        {"name": "watched", "match": {"tags": {"stage": "dev"}}, "mode": "audit"},
    ]));
    (world.with("POLICY", &rules), payments)
}

#[tokio::test(start_paused = true)]
async fn each_stream_gets_what_its_rule_says() {
    let (world, payments) = world();
    for stream in [
        NewStream::named("payments-eu"),
        NewStream::named("vendor-a"),
        NewStream::named("clicks").tag("stage", "dev"),
        NewStream::named("orders").tag("stage", "live"),
    ] {
        world.stream(stream);
    }
    let mut found = Vec::new();
    for name in ["payments-eu", "vendor-a", "clicks", "orders"] {
        let outcome = world.outcome(&manual(name)).await;
        found.push((
            outcome["status"].clone(),
            outcome["rule"].clone(),
            outcome["mode"].clone(),
            outcome["key"].clone(),
        ));
    }
    assert_eq!(
        found,
        [
            (json!("encrypted"), json!("payments"), json!("enforce"), json!(payments)),
            (json!("exempt"), json!("vendors"), json!("enforce"), json!(null)),
            (json!("would-encrypt"), json!("watched"), json!("audit"), json!(world.key)),
            (json!("encrypted"), json!(null), json!("enforce"), json!(world.key)),
        ]
    );
    assert_eq!(world.account.snapshot("payments-eu").expect("a stream").key_id, Some(payments));
    assert_eq!(world.starts(), 2);
    assert_eq!(world.outcome(&manual("vendor-a")).await["reason"], "exempt by rule vendors: no KMS (owner: ada)");
}

#[tokio::test(start_paused = true)]
async fn a_sweep_knows_the_rules_with_and_without_a_queue() {
    for queue in [false, true] {
        let (mut world, _) = world();
        if queue {
            world = world.with_work_queue();
        }
        for name in ["orders", "payments-eu", "vendor-a"] {
            world.stream(NewStream::named(name));
        }
        let answer = world.run(&json!({"sweep": true})).await.expect("an answer");
        assert_eq!(answer["summary"]["exempt"], 1, "{answer:#}");
        let exempt = answer["outcomes"]
            .as_array()
            .expect("outcomes")
            .iter()
            .find(|outcome| outcome["status"] == "exempt")
            .expect("exempt");
        assert_eq!(
            (&exempt["rule"], &exempt["reason"]),
            (&json!("vendors"), &json!("exempt by rule vendors: no KMS (owner: ada)"))
        );
        assert_eq!(exempt["warnings"], json!([{"code": "exemption-without-end"}]));
        world.drain_if(queue).await;
        assert_eq!((world.starts(), world.letters().len()), (2, 0), "queue: {queue}");
        assert_eq!(world.account.count("DescribeStreamSummary") % 2, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn one_unusable_key_is_one_letter_and_the_other_keys_streams_go_on() {
    let (world, payments) = world();
    for name in ["orders", "payments-eu", "payments-us"] {
        world.stream(NewStream::named(name));
    }
    world.account.set_key_state(&payments, KeyState::Disabled);
    let answer = world.run(&json!({"sweep": true})).await.expect("an answer");
    assert_eq!(answer["summary"], json!({"encrypted": 1, "failed": 1}), "{answer:#}");
    let letters = world.letters();
    assert_eq!(letters.len(), 1);
    assert_eq!((&letters[0]["stream"], &letters[0]["error"]["code"]), (&json!(null), &json!("KeyDisabled")));
    assert_eq!((world.account.accepted(START, "orders"), world.starts()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn one_of_several_keys_that_cannot_be_looked_at_for_the_moment_is_a_letter_and_an_only_one_is_retried() {
    let unseen = || Fault::on("DescribeKey").error("KMSInternalException", "try again");
    let (world, payments) = world();
    world.stream(NewStream::named("orders"));
    world.account.fault(unseen().nth(2..));
    let answer = world.run(&event("scheduled")).await.expect("an answer");
    assert_eq!(answer["summary"], json!({"encrypted": 1, "failed": 1}), "{answer:#}");
    assert_eq!((&answer["outcomes"][0]["key"], world.letters().len()), (&json!(payments), 1));

    let world = World::new();
    world.stream(NewStream::named("orders"));
    world.account.fault(unseen());
    let error = world.run(&event("scheduled")).await.expect_err("retried");
    assert_eq!((error.error_type, world.letters().len()), (ErrorType::AwsUnavailable, 0));

    // Several keys that can be had keep nothing from being retried.
    let (world, _) = self::world();
    world.account.fault(Fault::on("ListStreams").error("LimitExceededException", "Rate exceeded"));
    let error = world.run(&event("scheduled")).await.expect_err("retried");
    assert_eq!((error.error_type, world.letters().len()), (ErrorType::Throttled, 0));
}

#[tokio::test(start_paused = true)]
async fn the_exempt_tag_goes_before_rules_and_audit_and_dry_runs_are_ceilings() {
    let (world, _) = world();
    world.stream(
        NewStream::named("payments-eu").tag("kinesis-encryption-enforcer:exempt", "load test until=2027-01-01"),
    );
    let outcome = world.outcome(&manual("payments-eu")).await;
    assert_eq!(
        (&outcome["status"], &outcome["reason"]),
        (&json!("exempt"), &json!("exempt by tag until 2027-01-01: load test"))
    );

    let world = World::new()
        .with("ENFORCEMENT_MODE", "audit")
        .with("POLICY", &policy(&json!([{"name": "all", "match": {}, "mode": "enforce"}])));
    world.stream(NewStream::named("orders"));
    let outcome = world.outcome(&manual("orders")).await;
    assert_eq!(
        (&outcome["status"], &outcome["mode"], &outcome["rule"]),
        (&json!("would-encrypt"), &json!("audit"), &json!("all"))
    );
    assert_eq!(world.starts(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_rule_on_tags_is_judged_when_the_stream_is_active_and_not_before() {
    let rules = policy(&json!([{"name": "dev", "match": {"tags": {"stage": "dev"}}, "mode": "audit"}]));
    let world = World::new().with("POLICY", &rules);
    world.stream(NewStream::named("orders").updating());
    assert_eq!(world.outcome(&manual("orders")).await["status"], "encrypted");
    let before_active: Vec<_> =
        world.operations().into_iter().take_while(|operation| operation != "ListTagsForStream").collect();
    assert!(
        before_active.iter().filter(|operation| *operation == "DescribeStreamSummary").count() > 1,
        "{before_active:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_goes_while_its_tags_are_asked_for_is_gone_and_no_failure() {
    let rules = policy(&json!([{"name": "dev", "match": {"tags": {"stage": "dev"}}, "mode": "audit"}]));
    for world in [World::new(), World::new().with("POLICY", &rules)] {
        world.stream(NewStream::named("orders"));
        world.account.fault(Fault::on("ListTagsForStream").error("ResourceNotFoundException", "gone"));
        let outcome = world.outcome(&event("encryption-stopped")).await;
        assert_eq!((&outcome["status"], world.letters().len()), (&json!("gone"), 0), "{outcome:#}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rule_on_tags_fails_closed_and_is_judged_anew_when_tags_change() {
    let rules =
        policy(&json!([{"name": "dev", "match": {"tags": {"stage": "dev"}}, "mode": "exempt", "reason": "dev"}]));
    let world = World::new().with("POLICY", &rules);
    let arn = world.stream(NewStream::named("Music").tag("stage", "dev"));
    world.account.fault(Fault::on("ListTagsForStream").error("AccessDeniedException", "no"));
    let outcome = world.outcome(&manual("Music")).await;
    assert_eq!((&outcome["status"], &outcome["error"]["step"]), (&json!("failed"), &json!("list-tags")));
    assert_eq!(world.starts(), 0);

    world.account.clear_faults();
    assert_eq!(world.outcome(&manual("Music")).await["status"], "exempt");
    let untag = world.kinesis("AKIASOMEBODY").remove_tags_from_stream().stream_arn(&arn).tag_keys("stage").send().await;
    untag.expect("untagged");
    let told = world.account.take_events().pop().expect("an event");
    assert_eq!((&world.outcome(&told).await["status"], world.starts()), (&json!("encrypted"), 1));
}

#[tokio::test(start_paused = true)]
async fn a_rule_on_the_capacity_mode_reads_it_from_the_stream() {
    let rules = policy(
        &json!([{"name": "on demand", "match": {"streamMode": "ON_DEMAND"}, "mode": "exempt", "reason": "later"}]),
    );
    let world = World::new().with("POLICY", &rules);
    let made = world.kinesis("AKIASOMEBODY").create_stream().stream_name("elastic");
    let details = aws_sdk_kinesis::types::StreamModeDetails::builder()
        .stream_mode(StreamMode::OnDemand)
        .build()
        .expect("complete");
    made.stream_mode_details(details).send().await.expect("made");
    world.stream(NewStream::named("orders"));
    assert_eq!(world.outcome(&manual("elastic")).await["status"], "exempt");
    assert_eq!(world.outcome(&manual("orders")).await["status"], "encrypted");
}

#[tokio::test(start_paused = true)]
async fn an_expired_rule_is_enforced_and_said_so() {
    let rules =
        policy(&json!([{"name": "old", "match": {}, "mode": "exempt", "reason": "migration", "until": "2026-11-23"}]));
    let world = World::new().with("POLICY", &rules);
    world.stream(NewStream::named("orders"));
    let outcome = world.outcome(&manual("orders")).await;
    assert_eq!((&outcome["status"], &outcome["rule"]), (&json!("encrypted"), &json!(null)));
    assert_eq!(
        outcome["warnings"],
        json!([{"code": "exemption-expired", "reason": "migration", "until": "2026-11-23"}])
    );
}

#[tokio::test(start_paused = true)]
async fn an_alias_of_a_rule_that_is_re_pointed_moves_the_streams_of_that_rule_only() {
    for queue in [false, true] {
        let mut world = World::new();
        let (old, new) = (world.account.create_key(), world.account.create_key());
        world.account.alias("alias/payments", &new);
        let rules = policy(&json!([{"name": "payments", "match": {"stream": "payments-*"}, "key": "alias/payments"}]));
        world = world.with("POLICY", &rules).with("KMS_KEY_ID", ALIAS);
        if queue {
            world = world.with_work_queue();
        }
        world.stream(NewStream::named("payments-eu").encrypted_with(&old));
        // It names its key by the alias: what it is really encrypted with is not known.
        world.stream(NewStream::named("payments-us").encrypted_with("alias/payments"));
        world.stream(NewStream::named("orders").encrypted_with(ALIAS));
        let id = new.rsplit('/').next().expect("an id");
        let mut told = event("alias-repointed");
        told["detail"]["requestParameters"] = json!({"aliasName": "alias/payments", "targetKeyId": id});
        world.run(&told).await.expect("an answer");
        world.drain_if(queue).await;
        assert_eq!((world.starts(), world.account.accepted(START, "orders")), (2, 0), "queue: {queue}");
        assert_eq!(world.letters().len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn trouble_with_a_rules_key_is_key_at_risk_and_names_it() {
    let (world, payments) = world();
    world.account.set_key_state(&payments, KeyState::Disabled);
    let id = payments.rsplit('/').next().expect("an id");
    let mut told = event("key-disabled");
    told["detail"]["requestParameters"] = json!({"keyId": id});
    let outcome = world.outcome(&told).await;
    assert_eq!((&outcome["status"], &outcome["key"]), (&json!("key-at-risk"), &json!(payments)));
}

#[tokio::test(start_paused = true)]
async fn a_policy_in_a_parameter_is_read_once_a_minute_and_the_last_good_one_is_kept() {
    let world = World::new().with("POLICY_PARAMETER", "/kinesis/policy");
    world.stream(NewStream::named("orders"));
    let exempt = policy(&json!([{"name": "all", "match": {}, "mode": "exempt", "reason": "freeze"}]));
    world.account.parameter("/kinesis/policy", "String", &exempt);
    let handler = world.handler();
    let status = async || world.outcome_of(&handler, &manual("orders")).await["status"].clone();
    assert_eq!(status().await, "exempt");
    assert_eq!(status().await, "exempt");
    assert_eq!(world.account.count("GetParameter"), 1);

    // A version that is not understood, and one that cannot be read, change nothing.
    world.account.parameter("/kinesis/policy", "String", "{\"version\": 1, \"rules\": [{}]}");
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(status().await, "exempt");
    world.account.fault(Fault::on("GetParameter").error("AccessDeniedException", "no"));
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(status().await, "exempt");
    assert_eq!(world.account.count("GetParameter"), 3);

    world.account.clear_faults();
    world.account.parameter("/kinesis/policy", "String", &policy(&json!([])));
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(status().await, "encrypted");
}

#[tokio::test(start_paused = true)]
async fn without_a_policy_that_was_ever_good_nothing_is_touched() {
    let world = World::new().with("POLICY_PARAMETER", "/kinesis/policy");
    world.stream(NewStream::named("orders"));
    for (kind, value, says) in [
        ("", "", "ParameterNotFound"),
        (
            "String",
            "{\"version\": 1, \"rules\": [{}]}",
            r#"$.rules[0] (line 1, column 26): the field \"name\" is missing"#,
        ),
        ("SecureString", "AQICAHh", "SecureString"),
    ] {
        if !kind.is_empty() {
            world.account.parameter("/kinesis/policy", kind, value);
        }
        let error = world.run(&manual("orders")).await.expect_err("refused");
        assert_eq!(error.error_type, ErrorType::Policy);
        assert!(error.message.contains(says), "{}", error.message);
    }
    assert_eq!(world.operations().iter().filter(|operation| *operation != "GetParameter").count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_does_not_ask_for_the_key_of_a_rule_for_another_account_or_region() {
    let foreign = "arn:aws:kms:us-east-1:444455556666:key/0987dcba-09fe-87dc-65ba-ab0987654321";
    let elsewhere = "arn:aws:kms:eu-west-1:111122223333:key/0987dcba-09fe-87dc-65ba-ab0987654321";
    let rules = policy(&json!([
        {"name": "theirs", "match": {"account": "444455556666"}, "key": foreign},
        {"name": "elsewhere", "match": {"region": "eu-west-1"}, "key": elsewhere},
    ]));
    let world = World::new().with("POLICY", &rules);
    world.stream(NewStream::named("orders"));
    let answer = world.run(&event("scheduled")).await.expect("an answer");
    assert_eq!((&answer["summary"], world.account.count("DescribeKey")), (&json!({"encrypted": 1}), 1));
    assert_eq!(world.letters().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_was_read_before_the_process_was_frozen_is_read_again() {
    let world = World::new().with("POLICY_PARAMETER", "/policy");
    world.account.parameter("/policy", "String", &policy(&json!([])));
    world.stream(NewStream::named("vendor-a"));
    let handler = world.handler();
    world.run_with(&handler, &json!({"sweep": true, "dryRun": true}), 300).await.expect("an answer");
    let exempt =
        policy(&json!([{"name": "vendors", "match": {"stream": "vendor-*"}, "mode": "exempt", "reason": "no KMS"}]));
    world.account.parameter("/policy", "String", &exempt);
    // Thawed: the time of day is another, the monotonic clock stood still.
    world.clock.resync();
    assert_eq!(world.outcome_of(&handler, &manual("vendor-a")).await["status"], "exempt");
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_does_not_arrive_is_waited_for_briefly_where_there_is_an_older_one() {
    let world = World::new().with("POLICY_PARAMETER", "/policy");
    world.account.parameter("/policy", "String", &policy(&json!([])));
    world.stream(NewStream::named("orders").encrypted_with(&world.key));
    world.stream(NewStream::named("clicks"));
    let handler = world.handler();
    world.run_with(&handler, &manual("orders"), 30).await.expect("an answer");
    world.account.fault(Fault::on("GetParameter").delay(Duration::from_hours(1)));
    tokio::time::sleep(Duration::from_hours(1)).await;
    let answer = world.run_with(&handler, &manual("clicks"), 30).await.expect("an answer");
    assert_eq!(answer["summary"], json!({"encrypted": 1}), "{answer:#}");
}

#[tokio::test(start_paused = true)]
async fn an_unusable_key_is_one_letter_also_where_a_rule_on_tags_could_give_streams_another() {
    for queue in [false, true] {
        let mut world = World::new();
        let good = world.account.create_key();
        world = world
            .with("POLICY", &policy(&json!([{"name": "prod", "match": {"tags": {"stage": "prod"}}, "key": good}])));
        if queue {
            world = world.with_work_queue();
        }
        for index in 0..20 {
            world.stream(NewStream::named(&format!("s{index:02}")));
        }
        world.stream(NewStream::named("tagged").tag("stage", "prod"));
        world.account.set_key_state(&world.key, KeyState::Disabled);
        world.run(&event("scheduled")).await.expect("an answer");
        world.drain_if(queue).await;
        assert_eq!((world.letters().len(), world.account.accepted(START, "tagged")), (1, 1), "queue: {queue}");
        assert_eq!(world.letters()[0]["stream"], Value::Null);
    }
}

#[tokio::test(start_paused = true)]
async fn the_default_key_says_nothing_of_a_stream_that_a_rule_on_tags_may_give_another() {
    for (rule, status) in [
        (json!({"name": "prod", "match": {"tags": {"stage": "prod"}}}), "encrypted"),
        (json!({"name": "prod", "match": {"tags": {"stage": "prod"}}, "mode": "exempt", "reason": "a test"}), "exempt"),
    ] {
        let world = World::new().with("KMS_KEY_ID", "alias/nowhere");
        let mut rule = rule;
        if status == "encrypted" {
            rule["key"] = json!(world.key);
        }
        let world = world.with("POLICY", &policy(&json!([rule])));
        world.stream(NewStream::named("orders").tag("stage", "prod").creating());
        let outcome = world.outcome(&event("stream-created")).await;
        assert_eq!((&outcome["status"], world.letters().len()), (&json!(status), 0), "{outcome:#}");
    }
}
