//! Infrastructure as code: a young stream is left alone until its creator is done with it.

use std::time::Duration;

use aws_sdk_kinesis::types::EncryptionType;
use kinesis_encryption_enforcer::sandbox::{Identity, NewStream, ScriptedAction};
use serde_json::{Value, json};

use crate::support::{OTHER_KEY, World, event, manual};

const DESCRIBE: &str = "DescribeStreamSummary";

fn graceful() -> World {
    World::new().with("IAC_GRACE_SECONDS", "60")
}

fn now(world: &World) -> chrono::DateTime<chrono::Utc> {
    world.clock.wall().into()
}

fn young(world: &World, minutes: i64) -> NewStream {
    NewStream::named("orders").created_at(now(world) - chrono::TimeDelta::minutes(minutes))
}

/// The `CreateStream` event of `orders`, made by somebody with this user agent.
fn created_by(user_agent: &str) -> Value {
    let mut payload = event("stream-created");
    payload["detail"]["userAgent"] = json!(user_agent);
    payload
}

/// Who makes a call: the type, the ARN, and whether it comes from a session of the console.
#[derive(Clone, Copy)]
struct Maker(&'static str, &'static str, bool);

const USER: Maker = Maker("IAMUser", "arn:aws:iam::111122223333:user/alice", false);
const ROOT: Maker = Maker("Root", "arn:aws:iam::111122223333:root", false);
const SSO: Maker =
    Maker("AssumedRole", "arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Admin_0123456789abcdef/alice", false);
const ROLE: Maker = Maker("AssumedRole", "arn:aws:sts::111122223333:assumed-role/deployer/ci", false);
const CONSOLE: Maker = Maker("AssumedRole", "arn:aws:sts::111122223333:assumed-role/admin/alice", true);

#[tokio::test(start_paused = true)]
async fn who_made_a_stream_decides_whether_it_is_waited_for() {
    const CLI: &str = "aws-cli/2.36.28 md/awscrt#0.36.2 ua/2.1 os/linux md/command#kinesis.create-stream";
    const BOTO: &str = "Boto3/1.44.8 md/Botocore#1.44.8 ua/2.1 os/linux lang/python#3.13.1";
    for (agent, maker, waits) in [
        // Tools, whoever runs them.
        ("APN/1.0 HashiCorp/1.0 Terraform/1.14.0 (+https://www.terraform.io) terraform-provider-aws/6.2.0", USER, true),
        ("OpenTofu/1.11.0", USER, true),
        ("APN/1.0 Pulumi/1.0 (+https://www.pulumi.com) PulumiAws/7.1.0", ROLE, true),
        ("cloudformation.amazonaws.com", CONSOLE, true),
        ("cloudcontrolapi.amazonaws.com", CONSOLE, true),
        ("APN/1.0 Ansible/2.17.0 Boto3/1.34.0 md/Botocore#1.34.0 ua/2.0 os/linux", USER, true),
        ("crossplane-provider-aws/v0.53.0 aws-sdk-go-v2/1.30", ROLE, true),
        ("aws-controllers-k8s/kinesis.services.k8s.aws-v1.0.0 aws-sdk-go-v2/1.30", ROLE, true),
        ("APN/1.0 HashiCorp/1.0 Terraform/1.14.0 exec-env/CloudShell", CONSOLE, true),
        // Programs, and what may be one.
        (BOTO, USER, true),
        (BOTO, SSO, true),
        (BOTO, CONSOLE, true),
        ("aws-sdk-rust/1.3.10 os/linux", USER, true),
        ("AWS Internal", ROLE, true),
        (CLI, ROLE, true),
        ("aws-cli/2.36.28 exec-env/AWS_ECS_FARGATE", USER, true),
        ("kinesis.example.com", ROLE, true),
        ("", USER, true),
        // People.
        (CLI, USER, false),
        (CLI, ROOT, false),
        (CLI, SSO, false),
        ("aws-cli/2.36.28 exec-env/CloudShell", CONSOLE, false),
        ("Mozilla/5.0 (X11; Linux x86_64)", ROLE, false),
        ("AWS Internal", CONSOLE, false),
        ("console.amazonaws.com", ROLE, false),
        ("aws-internal/3 aws-sdk-java/1.12.750 Linux/5.10", CONSOLE, false),
    ] {
        let world = graceful().with_work_queue();
        world.stream(young(&world, 0));
        let mut payload = created_by(agent);
        let Maker(kind, arn, from_console) = maker;
        payload["detail"]["userIdentity"] = json!({"type": kind, "arn": arn});
        if from_console {
            payload["detail"]["sessionCredentialFromConsole"] = json!("true");
        }
        let outcome = world.outcome(&payload).await;
        let expected = if waits { "deferred" } else { "encrypted" };
        assert_eq!(
            (&outcome["status"], world.work().len()),
            (&json!(expected), usize::from(waits)),
            "{agent} by {arn}: {outcome:#}"
        );
        world.drain().await;
        assert_eq!(
            world.account.snapshot("orders").and_then(|stream| stream.key_id),
            Some(world.key.clone()),
            "{agent} by {arn}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_service_does_for_a_person_is_waited_for() {
    let world = graceful().with_work_queue();
    world.stream(young(&world, 0));
    let mut payload = created_by("Mozilla/5.0");
    payload["detail"]["userIdentity"]["invokedBy"] = json!("servicecatalog.amazonaws.com");
    assert_eq!(world.outcome(&payload).await["status"], "deferred");
}

#[tokio::test(start_paused = true)]
async fn a_young_stream_of_an_unknown_creator_is_waited_for_whatever_the_trigger() {
    for trigger in [event("encryption-stopped"), event("tags-added"), event("compliance-changed"), manual("orders")] {
        let world = graceful().with_work_queue();
        world.stream(young(&world, 14));
        assert_eq!(world.outcome(&trigger).await["status"], "deferred", "{trigger:#}");
        let (item, delay) = world.work().remove(0);
        assert_eq!((delay, &item["hint"]["deferrals"], &item["hops"]), (60, &json!(1), &json!(1)), "{item:#}");
        assert_eq!(item["notBefore"], json!(now(&world) + chrono::TimeDelta::seconds(60)));
    }
    let world = graceful().with_work_queue();
    world.stream(young(&world, 15));
    assert_eq!(world.outcome(&event("encryption-stopped")).await["status"], "encrypted");
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_stops_or_changes_the_encryption_is_waited_for_however_old_the_stream() {
    for name in ["encryption-stopped", "encryption-changed"] {
        let world = graceful().with_work_queue();
        world.stream(NewStream::named("orders").encrypted_with(OTHER_KEY));
        let mut payload = event(name);
        payload["detail"]["userAgent"] = json!("Terraform/1.14.0");
        assert_eq!(world.outcome(&payload).await["status"], "deferred", "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_creator_that_encrypts_it_rightly_meanwhile_is_left_alone() {
    let world = graceful().with_work_queue();
    world.stream(young(&world, 0));
    let key = world.key.clone();
    world.account.script(
        ScriptedAction::after(DESCRIBE)
            .later(Duration::from_secs(30))
            .start_encryption(&key, Identity::user("terraform")),
    );
    assert_eq!(world.outcome(&event("tags-added")).await["status"], "deferred");
    world.drain().await;
    assert_eq!((world.starts(), world.letters().len()), (0, 0));
}

/// The work item of a stream that was deferred `deferrals` times, and seen ACTIVE two minutes ago.
fn deferred(world: &World, deferrals: u32) -> Value {
    let quiet_since = now(world) - chrono::TimeDelta::minutes(2);
    json!({"version": 1, "kind": "work-item", "stream": "arn:aws:kinesis:us-east-1:111122223333:stream/orders", "hops": deferrals,
        "hint": {"actor": "infrastructure-as-code", "quietSince": quiet_since, "deferrals": deferrals}})
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_found_busy_starts_its_grace_anew_but_only_so_often() {
    let quiet = |world: &World| world.stream(young(world, 3));
    let busy = |world: &World| world.stream(young(world, 3).updating());
    // Quiet: started. Busy: not yet, four times; the fifth deferral was the last.
    for (name, prepare, deferrals, started) in [
        ("quiet", &quiet as &dyn Fn(&World) -> String, 1, true),
        ("busy", &busy, 1, false),
        ("busy", &busy, 4, false),
        ("busy for the last time", &busy, 5, true),
    ] {
        let world = graceful().with_work_queue();
        prepare(&world);
        world.enqueue(&deferred(&world, deferrals));
        assert_eq!(world.batch().await, Some(json!({"batchItemFailures": []})));
        assert_eq!(world.starts(), usize::from(started), "{name}, deferred {deferrals} times");
        if !started {
            let (item, delay) = world.work().remove(0);
            assert_eq!((&item["hint"]["deferrals"], delay), (&json!(deferrals + 1), 60), "{name}: {item:#}");
            assert_ne!(item["hint"]["quietSince"], deferred(&world, deferrals)["hint"]["quietSince"], "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_was_made_anew_has_no_quiet_from_before() {
    let world = graceful().with_work_queue();
    world.stream(young(&world, 0));
    // What the item knows of is a namesake that is gone.
    world.enqueue(&deferred(&world, 1));
    assert_eq!(world.batch().await, Some(json!({"batchItemFailures": []})));
    assert_eq!((world.starts(), &world.work()[0].0["hint"]["deferrals"]), (0, &json!(2)));
}

#[tokio::test(start_paused = true)]
async fn without_a_queue_the_grace_is_waited_for_inside_the_invocation() {
    let world = graceful();
    world.stream(young(&world, 0));
    let began = world.clock.instant();
    let outcome = world.outcome(&event("tags-added")).await;
    let took = (world.clock.instant() - began).as_secs();
    assert_eq!(outcome["status"], "encrypted");
    assert!((60..70).contains(&took), "{took} s");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_never_quiet_is_started_all_the_same_after_five_graces() {
    let world = World::new().with("IAC_GRACE_SECONDS", "10");
    world.stream(young(&world, 0));
    // Whenever it has been looked at, somebody changes it just before the grace is over.
    for look in 1..=100 {
        world.account.script(ScriptedAction::after(DESCRIBE).nth(look).later(Duration::from_millis(9_900)).reshard(2));
    }
    let began = world.clock.instant();
    assert_eq!(world.outcome(&event("tags-added")).await["status"], "encrypted");
    let took = (world.clock.instant() - began).as_secs();
    assert!((50..90).contains(&took), "{took} s");
}

#[tokio::test(start_paused = true)]
async fn a_grace_that_leaves_no_time_for_the_work_is_refused_without_a_queue_only() {
    let world = graceful();
    let error = world.run_for(&event("tags-added"), 100).await.expect_err("refused");
    assert_eq!(error.error_type.as_str(), "Settings");
    assert!(error.message.contains("IAC_GRACE_SECONDS is 60"), "{}", error.message);
    assert_eq!(world.operations().len(), 0);

    let world = graceful().with_work_queue();
    world.stream(young(&world, 0));
    let answer = world.run_for(&event("tags-added"), 100).await.expect("an answer");
    assert_eq!(answer["summary"], json!({"deferred": 1}));
}

#[tokio::test(start_paused = true)]
async fn a_grace_of_zero_waits_for_nobody_and_audit_tells_at_once() {
    let world = World::new().with_work_queue();
    world.stream(young(&world, 0));
    assert_eq!(world.outcome(&event("tags-added")).await["status"], "encrypted");

    let world = graceful().with_work_queue().with("ENFORCEMENT_MODE", "audit");
    world.stream(young(&world, 0));
    assert_eq!(world.outcome(&event("tags-added")).await["status"], "would-encrypt");
}

/// What `terraform apply` does with a new `aws_kinesis_stream`, in its order, and what it cannot
/// bear: any other state than the one it waits through, and `ResourceInUseException`.
/// (hashicorp/terraform-provider-aws, `internal/service/kinesis/stream.go`.)
async fn terraform_apply(kinesis: &aws_sdk_kinesis::Client, name: &str, key: Option<&str>) -> Result<(), String> {
    let said = |step: &str, error: &dyn std::fmt::Debug| format!("{step}: {error:?}");
    kinesis.create_stream().stream_name(name).shard_count(1).send().await.map_err(|error| said("create", &error))?;
    wait_through(kinesis, name, "CREATING").await?;
    let retention = kinesis.increase_stream_retention_period().stream_name(name).retention_period_hours(48);
    retention.send().await.map_err(|error| said("retention", &error))?;
    wait_through(kinesis, name, "UPDATING").await?;
    if let Some(key) = key {
        let start =
            kinesis.start_stream_encryption().stream_name(name).encryption_type(EncryptionType::Kms).key_id(key);
        start.send().await.map_err(|error| said("encryption", &error))?;
        wait_through(kinesis, name, "UPDATING").await?;
    }
    Ok(())
}

/// Terraform's waiter: ten seconds before the first look, then every three.
async fn wait_through(kinesis: &aws_sdk_kinesis::Client, name: &str, pending: &str) -> Result<(), String> {
    tokio::time::sleep(Duration::from_secs(10)).await;
    for _ in 0..100 {
        let answer =
            kinesis.describe_stream_summary().stream_name(name).send().await.map_err(|error| format!("{error:?}"))?;
        let status = answer.stream_description_summary.expect("a summary").stream_status;
        match status.as_str() {
            "ACTIVE" => return Ok(()),
            status if status == pending => tokio::time::sleep(Duration::from_secs(3)).await,
            other => return Err(format!("unexpected state '{other}', wanted target 'ACTIVE'")),
        }
    }
    Err("timeout".to_owned())
}

#[tokio::test(start_paused = true)]
async fn whoever_creates_waits_and_changes_a_stream_is_undisturbed_by_the_enforcer_beside_it() {
    const AGENTS: [&str; 3] =
        ["Terraform/1.14.0", "APN/1.0 Ansible/2.17.0 Boto3/1.34.0", "Boto3/1.44.8 md/Botocore#1.44.8"];
    for queue in [true, false] {
        for (encrypts, agent) in [true, false].into_iter().flat_map(|encrypts| AGENTS.map(|agent| (encrypts, agent))) {
            let world = if queue { graceful().with_work_queue() } else { graceful() };
            world.account.configure(|options| options.updating = Duration::from_secs(7));
            let kinesis = world.kinesis("AKIATERRAFORMEXAMPLE");
            let key = world.key.clone();
            let enforcer = async {
                // EventBridge hands over what CloudTrail records, a second later.
                let mut seen = Vec::new();
                for _ in 0..240 {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    for mut payload in world.account.take_events() {
                        payload["detail"]["userAgent"] = json!(agent);
                        let own = payload["detail"]["userIdentity"].to_string().contains("kinesis-encryption-enforcer");
                        if payload["detail"]["eventName"] == "CreateStream" && !own {
                            seen.push(world.run(&payload).await.expect("an answer")["summary"].clone());
                        }
                    }
                    if queue {
                        world.batch().await;
                    }
                }
                seen
            };
            let (applied, seen) = tokio::join!(terraform_apply(&kinesis, "orders", encrypts.then_some(&key)), enforcer);
            assert_eq!(applied, Ok(()), "queue {queue}, Terraform encrypts {encrypts}");
            assert_eq!(seen.len(), 1);
            let stream = world.account.snapshot("orders").expect("a stream");
            assert_eq!(
                (stream.status, stream.key_id),
                ("ACTIVE", Some(key)),
                "queue {queue}, Terraform encrypts {encrypts}"
            );
            let starts = world.account.calls().iter().filter(|call| call.operation == "StartStreamEncryption").count();
            assert_eq!((starts, world.letters().len()), (1, 0), "queue {queue}, Terraform encrypts {encrypts}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_grace_terraform_would_have_failed() {
    let world = World::new();
    world.account.configure(|options| options.updating = Duration::from_secs(20));
    let kinesis = world.kinesis("AKIATERRAFORMEXAMPLE");
    let enforcer = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.outcome(&event("stream-created")).await
    };
    let (applied, outcome) = tokio::join!(terraform_apply(&kinesis, "orders", None), enforcer);
    assert_eq!(outcome["status"], "encrypted");
    assert!(applied.expect_err("disturbed").contains("unexpected state 'UPDATING'"));
}

#[tokio::test(start_paused = true)]
async fn a_grace_that_outlasts_the_time_without_a_work_queue_is_tried_again_by_lambda() {
    let world = graceful();
    // It is CREATING for longer than the grace leaves time for.
    world.account.configure(|options| options.creating = Duration::from_secs(70));
    world.stream(young(&world, 0).creating());
    let error = world.run_for(&created_by("OpenTofu/1.11.0"), 121).await.expect_err("retried");
    assert_eq!((error.error_type.as_str(), world.starts(), world.letters().len()), ("StillUpdating", 0, 0));
    assert!(error.message.contains("OutOfTime"), "{}", error.message);
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(world.outcome(&created_by("OpenTofu/1.11.0")).await["status"], "encrypted");
}
