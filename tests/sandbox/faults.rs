//! Faults and scripted actions.

use std::time::Duration;

use kinesis_encryption_enforcer::sandbox::{Fault, Identity, KeyState, NewStream, ScriptedAction};

use super::support::{World, pass};

#[tokio::test(start_paused = true)]
async fn an_error_applies_only_to_the_selected_calls() {
    let world = World::new();
    let key = world.account.create_key();
    world.account.stream(NewStream::named("orders"));
    world.account.stream(NewStream::named("payments"));
    world.account.fault(
        Fault::on("StartStreamEncryption").stream("orders").nth(1..=2).error("KMSThrottlingException", "slow down"),
    );
    world.account.fault(Fault::on("StartStreamEncryption").nth(9..).dropped());
    world.start("payments", &key).await.unwrap();
    assert_eq!(world.account.faults_met(), [false, false]);
    for _ in 0..2 {
        assert_eq!(
            world.start("orders", &key).await.unwrap_err(),
            ("KMSThrottlingException".into(), "slow down".into())
        );
        assert_eq!(world.shows("orders").await.0, "ACTIVE");
    }
    world.start("orders", &key).await.unwrap();
    assert_eq!(world.account.faults_met(), [true, false]);
    assert_eq!(world.account.count("StartStreamEncryption"), 4);
    assert_eq!(world.account.accepted("StartStreamEncryption", "orders"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_was_applied_and_a_dropped_connection_was_not() {
    let check = async |fault: Fault, status: &str, result: Result<(), String>| {
        let world = World::new();
        let key = world.account.create_key();
        world.account.stream(NewStream::named("orders"));
        world.account.fault(fault);
        let call =
            world.kinesis.start_stream_encryption().stream_name("orders").encryption_type("KMS".into()).key_id(&key);
        let err = call.send().await.unwrap_err();
        assert!(
            matches!(err, aws_sdk_kinesis::error::SdkError::DispatchFailure(ref failure) if failure.is_io()),
            "{err:?}"
        );
        assert_eq!(world.shows("orders").await.0, status);
        let calls = world.account.calls();
        assert_eq!((calls[0].result.clone(), calls[0].answered), (result, false));
    };
    check(Fault::on("StartStreamEncryption").answer_lost(), "UPDATING", Ok(())).await;
    check(Fault::on("StartStreamEncryption").dropped(), "ACTIVE", Err("ConnectionDropped".into())).await;
}

#[tokio::test(start_paused = true)]
async fn a_garbled_answer_cannot_be_read() {
    let world = World::new();
    world.account.stream(NewStream::named("orders"));
    world.account.fault(Fault::on("DescribeStreamSummary").nth(..=1).answer_garbled());
    let err = world.kinesis.describe_stream_summary().stream_name("orders").send().await.unwrap_err();
    assert!(matches!(err, aws_sdk_kinesis::error::SdkError::ResponseError(_)), "{err:?}");
    assert_eq!(world.shows("orders").await.0, "ACTIVE");
}

#[tokio::test(start_paused = true)]
async fn replacing_an_answer_does_not_change_what_aws_did() {
    let check = async |fault: Fault, fails: bool, status: &str| {
        let world = World::new();
        let key = world.account.create_key();
        world.account.stream(NewStream::named("orders"));
        world.account.fault(Fault::on("DescribeStreamSummary").nth(1..=1).answer_truncated());
        let err = world.kinesis.describe_stream_summary().stream_name("orders").send().await.unwrap_err();
        assert!(matches!(err, aws_sdk_kinesis::error::SdkError::ResponseError(_)), "{err:?}");
        world.account.fault(fault);
        assert_eq!(world.start("orders", &key).await.is_err(), fails);
        assert_eq!(world.shows("orders").await.0, status);
        // An answer of a proxy does not count as an answer of AWS.
        let call = world.account.calls().remove(1);
        assert_eq!((call.result.is_ok(), call.answered), (status == "UPDATING", status == "UPDATING"));
    };
    check(Fault::on("StartStreamEncryption").answer_replaced("{}"), false, "UPDATING").await;
    check(Fault::on("StartStreamEncryption").intercepted("{}"), false, "ACTIVE").await;
}

#[tokio::test(start_paused = true)]
async fn the_caller_receives_the_replacement_body() {
    let world = World::new();
    for name in ["orders", "payments"] {
        world.account.stream(NewStream::named(name));
    }
    world.account.fault(
        Fault::on("ListTagsForStream")
            .nth(1..=1)
            .answer_replaced(r#"{"Tags": [{"Key": "a", "Value": "b"}], "HasMoreTags": false}"#),
    );
    let tags = async || world.kinesis.list_tags_for_stream().stream_name("orders").send().await.unwrap().tags.len();
    assert_eq!((tags().await, tags().await), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_unstoppable_call_arrives_after_its_caller_has_given_up() {
    for (unstoppable, status) in [(false, "ACTIVE"), (true, "UPDATING")] {
        let world = World::new();
        let key = world.account.create_key();
        world.account.stream(NewStream::named("orders"));
        let fault = Fault::on("StartStreamEncryption").delay(Duration::from_secs(6));
        world.account.fault(if unstoppable { fault.unstoppable() } else { fault });
        tokio::time::timeout(Duration::from_secs(4), world.start("orders", &key)).await.unwrap_err();
        pass(3).await;
        assert_eq!(world.shows("orders").await.0, status, "unstoppable: {unstoppable}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_and_its_answer_can_be_delayed_separately() {
    let world = World::new();
    let key = world.account.create_key();
    world.account.stream(NewStream::named("orders"));
    world
        .account
        .fault(Fault::on("StartStreamEncryption").delay(Duration::from_secs(3)).delay_answer(Duration::from_secs(7)));
    let begun = world.clock.wall();
    world.start("orders", &key).await.unwrap();
    assert_eq!(world.clock.wall().duration_since(begun).unwrap(), Duration::from_secs(10));
    // The call was applied after 3 s, so the 2 s of UPDATING are over.
    assert_eq!(world.shows("orders").await, ("ACTIVE".into(), Some(key)));
}

#[tokio::test(start_paused = true)]
async fn others_act_between_two_calls() {
    let other = || Identity::role("terraform", "apply");
    let check = async |script: ScriptedAction, wait: u64, expected: Option<(&str, Option<&str>)>| {
        let world = World::new();
        let key = world.account.create_key();
        world.account.stream(NewStream::named("orders"));
        world.account.script(script);
        world.start("orders", &key).await.unwrap();
        pass(wait).await;
        let snapshot = world.account.snapshot("orders");
        let shown = snapshot.map(|snapshot| {
            (snapshot.status, snapshot.key_id.map(|shown| if shown == key { "ours".into() } else { shown }))
        });
        assert_eq!(shown, expected.map(|(status, key)| (status, key.map(str::to_owned))));
    };
    let after_start = || ScriptedAction::after("StartStreamEncryption").stream("orders");
    let second = Duration::from_secs(1);
    check(after_start().delete_stream(), 1, Some(("DELETING", None))).await;
    check(after_start().later(second).delete_stream(), 4, None).await;
    check(after_start().never_settle(), 3600, Some(("UPDATING", None))).await;
    check(after_start().settle_unchanged(), 2, Some(("ACTIVE", None))).await;
    check(
        after_start().start_encryption("alias/aws/kinesis", other()),
        10,
        Some(("ACTIVE", Some("alias/aws/kinesis"))),
    )
    .await;
    check(after_start().stop_encryption(other()), 3, Some(("UPDATING", Some("ours")))).await;
    check(after_start().stop_encryption(other()), 10, Some(("ACTIVE", None))).await;
    check(after_start().reshard(4), 3, Some(("UPDATING", Some("ours")))).await;
    check(ScriptedAction::after("StartStreamEncryption").nth(2).delete_stream(), 3, Some(("ACTIVE", Some("ours"))))
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_key_changes_between_two_calls() {
    let world = World::new();
    let [old, new] = [world.account.create_key(), world.account.create_key()];
    world.account.alias("alias/streams", &old);
    world.account.script(ScriptedAction::after("DescribeKey").point_alias("alias/streams", &new));
    world.account.script(ScriptedAction::after("DescribeKey").nth(2).set_key_state(&new, KeyState::Disabled));
    assert_eq!(world.describe_key("alias/streams").await.unwrap().arn.unwrap(), old);
    assert_eq!(world.describe_key("alias/streams").await.unwrap().arn.unwrap(), new);
    assert!(!world.describe_key("alias/streams").await.unwrap().enabled);
}
