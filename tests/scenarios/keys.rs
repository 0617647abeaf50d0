//! Keys: what makes one unusable, and what events about them lead to.

use std::time::Duration;

use kinesis_encryption_enforcer::sandbox::{Fault, KeyState, NewStream};
use serde_json::{Value, json};

use crate::support::{ALIAS, World, about, event};

const SAMPLE_TIME: &str = "2026-09-19T11:25:27Z";

/// The same event, as if it had happened when the world of a test begins.
fn just_now(event: &Value) -> Value {
    serde_json::from_str(&event.to_string().replace(SAMPLE_TIME, "2026-11-24T00:00:00Z")).expect("JSON")
}

#[tokio::test(start_paused = true)]
async fn no_unusable_key_is_ever_applied_and_each_has_its_name() {
    type Prepare = fn(&World) -> String;
    let keys: [(&str, Prepare); 8] = [
        ("KeyDisabled", |world| state(world, KeyState::Disabled)),
        ("KeyPendingDeletion", |world| state(world, KeyState::PendingDeletion)),
        ("KeyPendingImport", |world| state(world, KeyState::PendingImport)),
        ("KeyUnavailable", |world| state(world, KeyState::Unavailable)),
        ("KeyUnsuitable", |world| world.account.create_key_of("RSA_2048", "ENCRYPT_DECRYPT")),
        ("KeyUnsuitable", |world| world.account.create_key_of("HMAC_256", "GENERATE_VERIFY_MAC")),
        ("KeyInOtherRegion", |world| world.key.replace("us-east-1", "eu-west-1")),
        ("NotFoundException", |_| "alias/nowhere".to_owned()),
    ];
    for (code, prepare) in keys {
        let world = World::new();
        let key = prepare(&world);
        let world = world.with("KMS_KEY_ID", &key);
        world.stream(NewStream::named("orders"));
        let outcome = world.outcome(&event("encryption-stopped")).await;
        assert_eq!((&outcome["status"], &outcome["error"]["code"]), (&json!("failed"), &json!(code)), "{outcome:#}");
        assert_eq!(outcome["error"]["class"], "terminal", "{code}");
        assert_eq!((world.starts(), world.letters().len()), (0, 1), "{code}");
    }
}

fn state(world: &World, state: KeyState) -> String {
    world.account.set_key_state(&world.key, state);
    world.key.clone()
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_has_the_configured_key_is_at_risk_when_that_key_is_disabled() {
    let world = World::new();
    world.stream(NewStream::named("orders").encrypted_with(&world.key));
    world.account.set_key_state(&world.key, KeyState::Disabled);
    let outcome = world.outcome(&event("encryption-changed")).await;
    assert_eq!((&outcome["status"], &outcome["applied"]), (&json!("key-at-risk"), &json!(false)));
    assert_eq!((world.starts(), world.letters().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_aws_managed_key_may_be_the_configured_one_and_is_never_described() {
    let world = World::new().with("KMS_KEY_ID", "alias/aws/kinesis");
    world.stream(NewStream::named("orders"));
    assert_eq!(world.outcome(&event("encryption-stopped")).await["status"], "encrypted");
    assert_eq!(world.outcome(&event("encryption-stopped")).await["status"], "compliant");
    assert_eq!((world.starts(), world.account.count("DescribeKey")), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_enabled_again_starts_a_reconciliation_of_the_fleet() {
    let world = World::new();
    world.stream(NewStream::named("right").encrypted_with(&world.key));
    world.stream(NewStream::named("wrong"));
    let answer = world.run(&about("key-enabled", &world.key)).await.expect("an answer");
    assert_eq!((&answer["summary"], world.starts()), (&json!({"compliant": 1, "encrypted": 1}), 1));
}

#[tokio::test(start_paused = true)]
async fn cancelling_the_deletion_leaves_the_key_disabled_and_the_answer_says_so() {
    let world = World::new();
    world.account.set_key_state(&world.key, KeyState::Disabled);
    let outcome = world.outcome(&about("key-deletion-cancelled", &world.key)).await;
    assert_eq!(outcome["status"], "key-at-risk");
    assert!(
        outcome["reason"].as_str().is_some_and(|reason| reason.contains("disabled until it is enabled")),
        "{outcome:#}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_configured_alias_deleted_is_a_key_at_risk_and_touches_no_stream() {
    let world = World::new().with("KMS_KEY_ID", "alias/gone");
    world.stream(NewStream::named("orders"));
    let payload = serde_json::from_str(&event("alias-deleted").to_string().replace(ALIAS, "alias/gone")).expect("JSON");
    assert_eq!(world.outcome(&payload).await["status"], "key-at-risk");
    assert_eq!((world.operations(), world.starts()), (vec!["DescribeKey".to_owned()], 0));
}

#[tokio::test(start_paused = true)]
async fn rotation_of_a_key_that_is_disabled_is_one_letter_and_touches_no_stream() {
    let world = World::new();
    for name in ["a", "b"] {
        world.stream(NewStream::named(name));
    }
    world.account.set_key_state(&world.key, KeyState::Disabled);
    let outcome = world.outcome(&about("key-rotated", &world.key)).await;
    assert_eq!((&outcome["status"], &outcome["error"]["code"]), (&json!("failed"), &json!("KeyDisabled")));
    assert_eq!(outcome["key"], world.key);
    assert_eq!(
        (world.letters().len(), world.operations()),
        (1, vec!["DescribeKey".to_owned(), "SendMessage".to_owned()])
    );
}

#[tokio::test(start_paused = true)]
async fn where_the_key_is_configured_by_alias_an_event_of_another_key_costs_one_look_at_the_key() {
    let world = World::new().with("KMS_KEY_ID", ALIAS);
    let other = world.account.create_key();
    world.stream(NewStream::named("orders"));
    let answer = world.run(&about("key-disabled", &other)).await.expect("an answer");
    assert_eq!((&answer["trigger"]["kind"], &answer["outcomes"]), (&json!("ignored"), &json!([])));
    assert_eq!(world.operations(), ["DescribeKey"]);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_kms_does_not_show_yet_is_retried_at_first_and_settled_by_kms_later() {
    // DisableKey, while KMS says that the key is enabled.
    let world = World::new();
    let disabled = about("key-disabled", &world.key);
    let error = world.run(&just_now(&disabled)).await.expect_err("retried");
    assert_eq!(error.error_type.as_str(), "StillUpdating");
    assert!(error.message.contains("KeyStateSettling"), "{}", error.message);
    let answer = world.run(&disabled).await.expect("an answer");
    assert_eq!(answer["trigger"]["kind"], "ignored", "{answer:#}");

    // EnableKey, while KMS says that the key is disabled.
    world.account.set_key_state(&world.key, KeyState::Disabled);
    let enabled = about("key-enabled", &world.key);
    let error = world.run(&just_now(&enabled)).await.expect_err("retried");
    assert_eq!(error.error_type.as_str(), "StillUpdating");
    assert_eq!(world.outcome(&enabled).await["status"], "key-at-risk");
    assert_eq!((world.starts(), world.letters().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_key_whose_change_kms_shows_late_is_followed_when_lambda_retries() {
    let world = World::new();
    world.stream(NewStream::named("orders"));
    world.account.set_key_state(&world.key, KeyState::Disabled);
    world.account.configure(|options| options.kms_lag = Duration::from_secs(45));
    world.account.set_key_state(&world.key, KeyState::Enabled);
    let payload = just_now(&about("key-enabled", &world.key));
    world.run(&payload).await.expect_err("retried");
    tokio::time::sleep(Duration::from_mins(1)).await;
    let answer = world.run(&payload).await.expect("an answer");
    assert_eq!((&answer["summary"], world.starts()), (&json!({"encrypted": 1}), 1));
}

#[tokio::test(start_paused = true)]
async fn the_same_happens_whichever_way_the_stream_shows_an_alias() {
    use kinesis_encryption_enforcer::sandbox::AliasEcho;
    for echo in [AliasEcho::AsGiven, AliasEcho::KeyArn] {
        let world = World::new().with("KMS_KEY_ID", ALIAS);
        world.account.configure(|options| options.alias_echo = echo);
        world.stream(NewStream::named("orders"));
        assert_eq!(world.outcome(&event("encryption-stopped")).await["status"], "encrypted", "{echo:?}");
        assert_eq!(world.outcome(&event("encryption-stopped")).await["status"], "compliant", "{echo:?}");
        assert_eq!(
            world.account.snapshot("orders").and_then(|stream| stream.key_id),
            Some(world.key.clone()),
            "applied by ARN, {echo:?}"
        );
    }
}

/// A key of the account that KMS does not know.
const UNKNOWN: &str = "arn:aws:kms:us-east-1:111122223333:key/ffffffff-12ab-34cd-56ef-1234567890ab";

#[tokio::test(start_paused = true)]
async fn a_present_key_that_kms_does_not_know_or_show_is_replaced_unless_it_could_be_one_to_accept() {
    let denied = Some("AccessDeniedException");
    for (on_other_key, present, error, code) in [
        ("replace", "alias/lost", None, None),
        ("replace", "alias/lost", denied, None),
        ("replace", "no key at all", None, None),
        ("accept", "alias/lost", None, None),
        ("accept", UNKNOWN, None, None),
        ("accept", UNKNOWN, Some("InvalidArnException"), None),
        ("accept", "alias/lost", denied, Some("PresentKeyUnreadable")),
        ("accept", UNKNOWN, denied, Some("PresentKeyUnreadable")),
    ] {
        let world = World::new().with("ON_OTHER_KEY", on_other_key);
        world.stream(NewStream::named("orders").encrypted_with(present));
        if let Some(error) = error {
            // The first look is at the configured key.
            world.account.fault(Fault::on("DescribeKey").nth(2..).error(error, "explicit deny"));
        }
        let outcome = world.outcome(&event("encryption-changed")).await;
        let (status, starts) = if code.is_some() { ("failed", 0) } else { ("encrypted", 1) };
        assert_eq!(
            (&outcome["status"], world.starts()),
            (&json!(status), starts),
            "{on_other_key} {present}: {outcome:#}"
        );
        assert_eq!(outcome["error"]["code"].as_str(), code, "{on_other_key} {present}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_present_key_that_kms_fails_to_tell_of_is_looked_at_again_and_never_replaced() {
    let world = World::new();
    world.stream(NewStream::named("orders").encrypted_with(ALIAS));
    world.account.fault(Fault::on("DescribeKey").nth(2..).error("KMSInternalException", "try again"));
    let error = world.run(&event("encryption-changed")).await.expect_err("retried");
    assert_eq!((error.error_type.as_str(), world.starts()), ("AwsUnavailable", 0));
}

#[tokio::test(start_paused = true)]
async fn an_event_about_a_key_means_nothing_where_the_key_is_that_of_aws() {
    let world = World::new().with("KMS_KEY_ID", "alias/aws/kinesis");
    world.stream(NewStream::named("orders"));
    let answer = world.run(&event("key-disabled")).await.expect("an answer");
    assert_eq!((&answer["trigger"]["kind"], &answer["outcomes"]), (&json!("ignored"), &json!([])));
    assert!(world.operations().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_event_about_a_key_that_cannot_be_looked_at_is_a_failure() {
    let world = World::new();
    world.stream(NewStream::named("orders"));
    world.account.fault(Fault::on("DescribeKey").error("AccessDeniedException", "explicit deny"));
    let outcome = world.outcome(&about("key-rotated", &world.key)).await;
    assert_eq!((&outcome["status"], &outcome["error"]["step"]), (&json!("failed"), &json!("describe-key")));
    assert_eq!(outcome["key"], world.key);
    assert_eq!((world.starts(), world.letters().len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn an_alias_that_kms_does_not_find_yet_is_looked_for_again_and_at_risk_later() {
    let world = World::new().with("KMS_KEY_ID", "alias/gone");
    world.stream(NewStream::named("orders"));
    let created: Value =
        serde_json::from_str(&event("alias-repointed").to_string().replace(ALIAS, "alias/gone")).expect("JSON");
    let error = world.run(&just_now(&created)).await.expect_err("retried");
    assert!(error.message.contains("KeyStateSettling"), "{}", error.message);
    assert_eq!(world.outcome(&created).await["status"], "key-at-risk");
    assert_eq!(world.starts(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_alias_re_pointed_at_a_disabled_key_is_one_letter_and_touches_no_stream() {
    let world = World::new().with("KMS_KEY_ID", ALIAS);
    for name in ["a", "b"] {
        world.stream(NewStream::named(name));
    }
    world.account.set_key_state(&world.key, KeyState::Disabled);
    let outcome = world.outcome(&about("alias-repointed", &world.key)).await;
    assert_eq!((&outcome["status"], &outcome["error"]["code"]), (&json!("failed"), &json!("KeyDisabled")));
    assert_eq!((world.starts(), world.letters().len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn an_alias_of_another_account_or_region_is_not_the_configured_one_though_it_is_called_the_same() {
    for (account, region, ours) in [
        ("111122223333", "us-east-1", true),
        ("999988887777", "us-east-1", false),
        ("111122223333", "eu-west-1", false),
    ] {
        let world = World::new().with("KMS_KEY_ID", &format!("arn:aws:kms:us-east-1:111122223333:{ALIAS}"));
        world.stream(NewStream::named("orders"));
        let mut payload = about("alias-repointed", &world.key);
        payload["account"] = account.into();
        payload["detail"]["recipientAccountId"] = account.into();
        payload["region"] = region.into();
        payload["detail"]["awsRegion"] = region.into();
        let answer = world.run(&payload).await.expect("an answer");
        let (kind, starts) = if ours { ("alias-repointed", 1) } else { ("ignored", 0) };
        assert_eq!((&answer["trigger"]["kind"], world.starts()), (&json!(kind), starts), "{answer:#}");
        if region == "eu-west-1" {
            assert_eq!(
                answer["trigger"]["reason"],
                "the event is from eu-west-1; this function manages the streams of us-east-1"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_alias_arn_of_another_region_is_refused_before_kms_is_asked() {
    let world = World::new().with("KMS_KEY_ID", &format!("arn:aws:kms:eu-west-1:111122223333:{ALIAS}"));
    world.stream(NewStream::named("orders"));
    let outcome = world.outcome(&event("encryption-stopped")).await;
    assert_eq!((&outcome["status"], &outcome["error"]["code"]), (&json!("failed"), &json!("KeyInOtherRegion")));
    assert_eq!((world.starts(), world.account.count("DescribeKey")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_aws_manages_for_another_service_is_never_applied() {
    let world = World::new();
    world.stream(NewStream::named("orders"));
    let managed = json!({"KeyMetadata": {"Arn": world.key, "KeyId": world.key.rsplit('/').next(), "KeyState": "Enabled", "Enabled": true,
        "KeyUsage": "ENCRYPT_DECRYPT", "KeySpec": "SYMMETRIC_DEFAULT", "KeyManager": "AWS"}});
    world.account.fault(Fault::on("DescribeKey").answer_replaced(&managed.to_string()));
    let outcome = world.outcome(&event("encryption-stopped")).await;
    assert_eq!((&outcome["error"]["code"], world.starts()), (&json!("KeyUnsuitable"), 0), "{outcome:#}");
}

#[tokio::test(start_paused = true)]
async fn an_alias_of_the_same_name_in_a_strangers_account_is_ignored() {
    let world = World::new().with("KMS_KEY_ID", ALIAS);
    world.stream(NewStream::named("orders").encrypted_with(ALIAS));
    let strangers = serde_json::from_str(&event("alias-repointed").to_string().replace("111122223333", "999988887777"))
        .expect("JSON");
    let answer = world.run(&strangers).await.expect("an answer");
    assert_eq!((&answer["trigger"]["kind"], world.operations().len()), (&json!("ignored"), 0), "{answer:#}");
    assert!(
        answer["trigger"]["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("neither the function's own nor a member"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_letter_of_an_alias_that_was_re_pointed_still_replaces_the_alias() {
    let world = World::new().with("KMS_KEY_ID", ALIAS);
    for name in ["a", "b"] {
        world.stream(NewStream::named(name).encrypted_with(ALIAS));
    }
    let new = world.account.create_key();
    world.account.alias(ALIAS, &new);
    world
        .account
        .fault(Fault::on("StartStreamEncryption").stream("b").nth(1..=4).error("KMSThrottlingException", "slow down"));
    assert_eq!(
        world.run(&about("alias-repointed", &new)).await.expect("an answer")["summary"],
        json!({"encrypted": 1, "failed": 1})
    );
    assert_eq!(world.outcome(&world.letters()[0]).await["status"], "encrypted");
    assert_eq!(world.account.snapshot("b").and_then(|stream| stream.key_id), Some(new));
}

const STORE: &str = "cks-1234567890abcdef0";

/// A world whose configured key is in the custom key store of the samples.
fn world_with_a_key_store() -> World {
    let mut world = World::new();
    world.key = world.account.create_key_in_store(STORE);
    let key = world.key.clone();
    world.with("KMS_KEY_ID", &key)
}

#[tokio::test(start_paused = true)]
async fn a_disconnected_key_store_is_a_key_at_risk_where_it_holds_the_configured_key() {
    let world = world_with_a_key_store();
    world.stream(NewStream::named("orders").encrypted_with(&world.key));
    world.account.set_store_connected(STORE, false);
    let outcome = world.outcome(&event("key-store-disconnected")).await;
    assert_eq!(
        (&outcome["status"], &outcome["stream"], &outcome["key"]),
        (&json!("key-at-risk"), &Value::Null, &json!(world.key)),
        "{outcome:#}"
    );
    assert!(
        outcome["reason"]
            .as_str()
            .is_some_and(|reason| reason.starts_with("DisconnectCustomKeyStore: ") && reason.contains("KeyUnavailable")),
        "{outcome:#}"
    );
    assert_eq!((world.operations(), world.letters().len()), (vec!["DescribeKey".to_owned()], 0));

    // It is connected again since.
    world.account.set_store_connected(STORE, true);
    let answer = world.run(&event("key-store-disconnected")).await.expect("an answer");
    assert_eq!(answer["trigger"]["kind"], "ignored", "{answer:#}");
}

#[tokio::test(start_paused = true)]
async fn a_connected_or_updated_key_store_starts_a_reconciliation_of_the_fleet() {
    for name in ["key-store-connected", "key-store-updated"] {
        let world = world_with_a_key_store();
        world.stream(NewStream::named("right").encrypted_with(&world.key));
        world.stream(NewStream::named("wrong"));
        let answer = world.run(&event(name)).await.expect("an answer");
        assert_eq!((&answer["summary"], world.starts()), (&json!({"compliant": 1, "encrypted": 1}), 1), "{name}");

        // Where it is not connected, the key is at risk.
        world.account.set_store_connected(STORE, false);
        assert_eq!(world.outcome(&event(name)).await["status"], "key-at-risk", "{name}");
    }
    // A store that is being connected is looked at again.
    let world = world_with_a_key_store();
    world.account.set_store_connected(STORE, false);
    let error = world.run(&just_now(&event("key-store-connected"))).await.expect_err("retried");
    assert!(error.message.contains("KeyStateSettling"), "{}", error.message);
}

#[tokio::test(start_paused = true)]
async fn a_key_store_that_does_not_hold_the_configured_key_is_ignored_with_the_reason() {
    for name in ["key-store-disconnected", "key-store-connected", "key-store-updated"] {
        let world = World::new();
        let held = world.account.create_key_in_store(STORE);
        world.account.set_store_connected(STORE, false);
        world.stream(NewStream::named("orders").encrypted_with(&held));
        let answer = world.run(&event(name)).await.expect("an answer");
        assert_eq!(
            (&answer["trigger"]["kind"], &answer["trigger"]["reason"], world.operations()),
            (
                &json!("ignored"),
                &json!(format!("the configured key is not in the custom key store {STORE}")),
                vec!["DescribeKey".to_owned()]
            ),
            "{answer:#}"
        );
    }
}

/// The outcomes without a stream.
fn about_keys(answer: &Value) -> Vec<&Value> {
    answer["outcomes"].as_array().expect("outcomes").iter().filter(|outcome| outcome["stream"].is_null()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_sweep_reports_a_key_whose_material_expires_soon_once_and_works_on_its_streams() {
    for queue in [false, true] {
        let world = World::new();
        let world = if queue { world.with_work_queue() } else { world };
        for name in ["a", "b", "c"] {
            world.stream(NewStream::named(name));
        }
        world.account.import_material(&world.key, "2026-12-07T00:00:00Z".parse().expect("a time"));
        let answer = world.run(&event("scheduled")).await.expect("an answer");
        let outcomes = about_keys(&answer);
        assert_eq!(outcomes.len(), 1, "{answer:#}");
        let outcome = outcomes[0];
        assert_eq!(
            (&outcome["status"], &outcome["key"], &outcome["applied"]),
            (&json!("key-at-risk"), &json!(world.key), &json!(false))
        );
        let reason = outcome["reason"].as_str().expect("a reason");
        assert!(
            reason.contains("expires at 2026-12-07T00:00:00Z") && reason.contains("import the material again"),
            "{reason}"
        );
        assert_eq!(world.account.count("DescribeKey"), 1, "the key is looked up once");
        world.drain_if(queue).await;
        assert_eq!((world.starts(), world.letters().len()), (3, 0));

        // Not each of the streams is at risk.
        assert_eq!(world.outcome(&crate::support::manual("a")).await["status"], "compliant");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_is_not_reported_early_nor_by_what_is_no_whole_sweep() {
    let world = World::new();
    world.stream(NewStream::named("orders"));
    // More than two weeks away.
    world.account.import_material(&world.key, "2026-12-09T00:00:00Z".parse().expect("a time"));
    let answer = world.run(&event("scheduled")).await.expect("an answer");
    assert_eq!(answer["summary"], json!({"encrypted": 1}));
    world.account.import_material(&world.key, "2026-12-01T00:00:00Z".parse().expect("a time"));
    assert_eq!(world.outcome(&crate::support::manual("orders")).await["status"], "compliant");
    let rest = json!({"sweep": true, "startAfter": "a"});
    assert_eq!(world.run(&rest).await.expect("an answer")["summary"], json!({"compliant": 1}));
    let whole = json!({"sweep": true});
    assert_eq!(world.run(&whole).await.expect("an answer")["summary"], json!({"compliant": 1, "key-at-risk": 1}));

    // When it has expired, the key is unusable, and that is a failure of its own.
    world.account.import_material(&world.key, "2026-11-24T00:00:00Z".parse().expect("a time"));
    let outcome = world.outcome(&whole).await;
    assert_eq!((&outcome["status"], &outcome["error"]["code"]), (&json!("failed"), &json!("KeyPendingImport")));
}

#[tokio::test(start_paused = true)]
async fn a_stream_with_the_configured_key_by_an_alias_that_is_not_configured_is_compliant_and_warned_of() {
    let warning =
        |world: &World, alias: &str| json!([{"code": "key-by-foreign-alias", "alias": alias, "key": world.key}]);
    let alias_arn = format!("arn:aws:kms:us-east-1:111122223333:{ALIAS}");
    // Whether KMS_KEY_ID is the alias, and what the stream stores.
    for (by_alias, stored, foreign) in [
        (true, ALIAS, false),
        (true, &alias_arn, false),
        (true, "alias/teams-own", true),
        (false, ALIAS, true),
        (false, "arn:aws:kms:us-east-1:111122223333:alias/teams-own", true),
    ] {
        let mut world = World::new();
        if by_alias {
            world = world.with("KMS_KEY_ID", ALIAS);
        }
        world.account.alias("alias/teams-own", &world.key);
        world.stream(NewStream::named("orders").encrypted_with(stored));
        let outcome = world.outcome(&event("encryption-changed")).await;
        let alias = if stored.ends_with(ALIAS) { ALIAS } else { "alias/teams-own" };
        let warnings = if foreign { warning(&world, alias) } else { json!([]) };
        assert_eq!((&outcome["status"], &outcome["warnings"]), (&json!("compliant"), &warnings), "{by_alias} {stored}");
        assert_eq!(world.starts(), 0);
    }

    // The alias of a rule is configured, too; and a re-pointed alias is replaced by the key's ARN.
    let policy =
        json!({"version": 1, "rules": [{"name": "a", "match": {"stream": "clicks"}, "key": "alias/teams-own"}]});
    let world = World::new().with("POLICY", &policy.to_string());
    world.account.alias("alias/teams-own", &world.key);
    world.stream(NewStream::named("orders").encrypted_with("alias/teams-own"));
    assert_eq!(world.outcome(&event("encryption-changed")).await["warnings"], json!([]));
    let other = world.account.create_key();
    world.account.alias("alias/teams-own", &other);
    assert_eq!(world.outcome(&event("encryption-changed")).await["status"], "encrypted");
    assert_eq!(world.account.snapshot("orders").and_then(|stream| stream.key_id), Some(world.key.clone()));
}

#[tokio::test(start_paused = true)]
async fn accept_does_not_accept_a_key_of_an_account_that_has_nothing_to_do_with_the_function() {
    const UNRELATED: &str = "999988887777";
    const CENTRAL: &str = "444455556666";
    for (account, central, denied, stays) in [
        ("111122223333", false, false, true),
        (UNRELATED, false, false, false),
        // Whoever keeps the stream's key from the function does not keep it from being replaced.
        (UNRELATED, false, true, false),
        (UNRELATED, true, false, false),
        // An account that holds a configured key is trusted with the others that it has.
        (CENTRAL, true, false, true),
    ] {
        let world = World::new().with("ON_OTHER_KEY", "accept");
        let present = world.account.create_foreign_key(account);
        let configured = world.account.create_foreign_key(CENTRAL);
        let world = if central { world.with("KMS_KEY_ID", &configured) } else { world };
        world.stream(NewStream::named("orders").encrypted_with(&present));
        if denied {
            // The first look is at the configured key.
            world.account.fault(Fault::on("DescribeKey").nth(2..).error("AccessDeniedException", "explicit deny"));
        }
        let outcome = world.outcome(&event("encryption-changed")).await;
        let status = if stays { "compliant" } else { "encrypted" };
        assert_eq!((&outcome["status"], world.starts()), (&json!(status), usize::from(!stays)), "{outcome:#}");
        let is_named = outcome["reason"].as_str().is_some_and(|reason| reason.contains("unrelated account"));
        assert_eq!(is_named, !stays, "{outcome:#}");
    }
    // An alias of such an account is not looked at, either.
    let world = World::new().with("ON_OTHER_KEY", "accept");
    let alias = "arn:aws:kms:us-east-1:999988887777:alias/theirs";
    world.stream(NewStream::named("orders").encrypted_with(alias));
    let outcome = world.outcome(&event("encryption-changed")).await;
    assert_eq!((&outcome["status"], world.account.count("DescribeKey")), (&json!("encrypted"), 1), "{outcome:#}");
}
