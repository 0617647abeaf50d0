//! Accounts beside the function's own: which are worked in, by what credentials, and what is
//! refused.

use std::collections::BTreeSet;
use std::time::Duration;

use kinesis_encryption_enforcer::sandbox::{Account, Fault, KeyState, NewStream};
use serde_json::{Value, json};

use crate::support::{ALIAS, REGION, WORK, World, about, event, manual, naming};

const MEMBER: &str = "444455556666";
const SECOND_MEMBER: &str = "777788889999";
/// An account that is no member.
const STRANGER: &str = "123456789012";
const ROLE: &str = "security/enforcer-member";
const EXTERNAL_ID: &str = "orders-7";

/// A hub with the members, each with a key of its own under [`ALIAS`].
struct Organisation {
    hub: World,
    members: Vec<Account>,
}

impl Organisation {
    fn new() -> Self {
        Self::on(World::new())
    }

    fn on(hub: World) -> Self {
        let members = [MEMBER, SECOND_MEMBER].map(|id| {
            let member = Account::new(hub.clock.clone(), REGION, id);
            member.configure(|options| {
                options.updating = Duration::from_millis(800);
                options.rate_limits = false;
            });
            member.alias(ALIAS, &member.create_key());
            hub.account.admit(&member, ROLE, EXTERNAL_ID);
            member
        });
        let hub = hub
            .with("KMS_KEY_ID", ALIAS)
            .with("MEMBER_ROLE_NAME", ROLE)
            .with("MEMBER_ACCOUNTS", &format!("{MEMBER},{SECOND_MEMBER}"))
            .with("MEMBER_EXTERNAL_ID", EXTERNAL_ID);
        Self { hub, members: members.into() }
    }

    fn with(self, name: &str, value: &str) -> Self {
        Self { hub: self.hub.with(name, value), ..self }
    }

    fn member(&self) -> &Account {
        &self.members[0]
    }

    /// How often a role was taken on, whatever became of it.
    fn taken_on(&self) -> usize {
        self.hub.account.count("AssumeRole")
    }

    /// The key that a member's stream has.
    fn key_of(&self, index: usize, stream: &str) -> Option<String> {
        self.members[index].snapshot(stream).and_then(|stream| stream.key_id)
    }
}

fn arn(account: &str, name: &str) -> String {
    format!("arn:aws:kinesis:{REGION}:{account}:stream/{name}")
}

/// The event of a file of `events/`, as it happens in another account and is forwarded.
fn of(account: &str, name: &str) -> Value {
    serde_json::from_str(&event(name).to_string().replace("111122223333", account)).expect("JSON")
}

#[tokio::test(start_paused = true)]
async fn a_members_stream_is_encrypted_with_the_members_key_by_its_role() {
    let organisation = Organisation::new();
    let stream = organisation.member().stream(NewStream::named("orders"));
    let outcome = organisation.hub.outcome(&of(MEMBER, "stream-created")).await;
    assert_eq!((&outcome["status"], &outcome["stream"]), (&json!("encrypted"), &json!(stream)));
    let key = outcome["key"].as_str().expect("a key");
    assert!(key.starts_with(&format!("arn:aws:kms:{REGION}:{MEMBER}:key/")), "{key}");
    assert_eq!(organisation.key_of(0, "orders").as_deref(), Some(key));
    assert_eq!(organisation.hub.operations(), ["AssumeRole"]);
    let recorded = organisation.member().take_events();
    let identity = &recorded.last().expect("a start")["detail"]["userIdentity"];
    assert_eq!(
        identity["arn"],
        format!("arn:aws:sts::{MEMBER}:assumed-role/enforcer-member/kinesis-encryption-enforcer")
    );
    assert_eq!(identity["sessionContext"]["sessionIssuer"]["arn"], format!("arn:aws:iam::{MEMBER}:role/{ROLE}"));
}

#[tokio::test(start_paused = true)]
async fn the_own_account_needs_no_role() {
    let organisation = Organisation::new();
    organisation.hub.stream(NewStream::named("orders"));
    assert_eq!(organisation.hub.outcome(&event("stream-created")).await["status"], "encrypted");
    assert_eq!(organisation.taken_on(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_an_account_that_is_not_listed_is_refused_before_any_call() {
    for payload in [of(STRANGER, "stream-created"), manual(&arn(STRANGER, "orders"))] {
        let organisation = Organisation::new();
        let stranger = Account::new(organisation.hub.clock.clone(), REGION, STRANGER);
        stranger.stream(NewStream::named("orders"));
        // Even where its role would let us in.
        organisation.hub.account.admit(&stranger, ROLE, EXTERNAL_ID);
        let outcome = organisation.hub.outcome(&payload).await;
        assert_eq!(
            (&outcome["error"]["code"], &outcome["error"]["class"]),
            (&json!("ForeignAccount"), &json!("terminal"))
        );
        let message = outcome["error"]["message"].as_str().expect("a message");
        assert!(
            message.ends_with(
                "this function manages the streams of account 111122223333 and of the accounts in MEMBER_ACCOUNTS"
            ),
            "{message}"
        );
        assert_eq!((organisation.hub.operations(), stranger.calls().len()), (vec!["SendMessage".to_owned()], 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_without_members_says_whose_streams_it_keeps() {
    let outcome = World::new().outcome(&manual(&arn(STRANGER, "orders"))).await;
    let message = outcome["error"]["message"].as_str().expect("a message");
    assert!(
        message.ends_with("ForeignAccount: this function manages the streams of account 111122223333"),
        "{message}"
    );
}

/// A custom action of the function's own account on findings about these streams.
fn selected(streams: &[String]) -> Value {
    let mut event = event("security-finding-custom-action");
    let finding = event["detail"]["findings"][0].clone();
    let about = |stream: &String| {
        let mut finding = finding.clone();
        finding["Resources"][0]["Id"] = json!(stream);
        finding
    };
    event["detail"]["findings"] = streams.iter().map(about).collect();
    event
}

#[tokio::test(start_paused = true)]
async fn a_finding_of_a_member_that_a_person_selects_in_the_hub_is_handled() {
    let organisation = Organisation::new();
    organisation.member().stream(NewStream::named("orders"));
    let outcome = organisation.hub.outcome(&selected(&[arn(MEMBER, "orders")])).await;
    assert_eq!((&outcome["status"], &outcome["stream"]), (&json!("encrypted"), &json!(arn(MEMBER, "orders"))));

    // Beside it are a stream of the hub and one of nobody.
    organisation.hub.stream(NewStream::named("orders"));
    let all = [arn(MEMBER, "orders"), arn("111122223333", "orders"), arn(STRANGER, "orders")];
    let answer = organisation.hub.run(&selected(&all)).await.expect("an answer");
    assert_eq!(answer["summary"], json!({"compliant": 1, "encrypted": 1, "failed": 1}));
    assert_eq!(organisation.hub.letters().len(), 1);

    // A dead letter about the member's stream is worked on, too.
    let letter = json!({"version": 1, "kind": "enforcement-failure", "attempts": 1, "stream": arn(MEMBER, "orders"), "event": selected(&all)});
    assert_eq!(organisation.hub.outcome(&letter).await["status"], "compliant");
}

#[tokio::test(start_paused = true)]
async fn many_selected_findings_of_members_become_work_items() {
    let organisation = Organisation::on(World::new().with_work_queue());
    let streams: Vec<_> = (0..60).map(|index| arn(MEMBER, &format!("s{index}"))).collect();
    for index in 0..60 {
        organisation.member().stream(NewStream::named(&format!("s{index}")));
    }
    organisation.hub.run(&selected(&streams)).await.expect("an answer");
    organisation.hub.drain().await;
    assert!((0..60).all(|index| organisation.key_of(0, &format!("s{index}")).is_some()));
    assert_eq!(organisation.hub.letters().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn only_a_persons_selection_in_the_hub_reaches_a_member_from_another_account() {
    let of_a_member = |name: &str| {
        let mut event = event(name);
        event["detail"]["findings"][0]["Resources"][0]["Id"] = json!(arn(MEMBER, "orders"));
        event
    };
    let mut elsewhere = selected(&[arn(MEMBER, "orders")]);
    elsewhere["account"] = json!(SECOND_MEMBER);
    for payload in [of_a_member("security-finding"), elsewhere, selected(&[arn(STRANGER, "orders")])] {
        let organisation = Organisation::new();
        organisation.member().stream(NewStream::named("orders"));
        let outcome = organisation.hub.outcome(&payload).await;
        assert_eq!(outcome["error"]["code"], "ForeignAccount", "{outcome:#}");
        assert_eq!((organisation.taken_on(), organisation.member().calls().len()), (0, 0));
    }
    // An imported finding whose event has the account of the finding is an event of the member.
    let mut forwarded = of_a_member("security-finding");
    forwarded["account"] = json!(MEMBER);
    let organisation = Organisation::new();
    organisation.member().stream(NewStream::named("orders"));
    assert_eq!(organisation.hub.outcome(&forwarded).await["status"], "encrypted");
}

#[tokio::test(start_paused = true)]
async fn another_region_of_a_member_is_refused_before_any_call() {
    let organisation = Organisation::new();
    let outcome = organisation.hub.outcome(&manual(&format!("arn:aws:kinesis:eu-west-1:{MEMBER}:stream/orders"))).await;
    assert_eq!(outcome["error"]["code"], "ForeignRegion");
    assert_eq!((organisation.taken_on(), organisation.member().calls().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_event_whose_envelope_names_a_member_does_not_lead_to_another_account() {
    let by_arn = |name: &str, pointer: &str| {
        [STRANGER, SECOND_MEMBER].map(|other| {
            let mut event = of(MEMBER, name);
            *event.pointer_mut(pointer).expect("there") = json!(arn(other, "orders"));
            event
        })
    };
    for (payloads, code) in [
        (by_arn("encryption-stopped-by-arn", "/detail/requestParameters/streamARN"), "UnknownPayload"),
        (by_arn("configuration-item-changed", "/detail/configurationItem/ARN"), "ForeignAccount"),
        (by_arn("security-finding", "/detail/findings/0/Resources/0/Id"), "ForeignAccount"),
    ] {
        for payload in payloads {
            let organisation = Organisation::new();
            assert_eq!(organisation.hub.outcome(&payload).await["error"]["code"], code);
            assert_eq!(organisation.hub.operations(), ["SendMessage"], "{code}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_about_many_streams_does_not_lead_to_another_account_through_the_work_queue_either() {
    let organisation = Organisation::on(World::new().with_work_queue());
    let mut finding = of(MEMBER, "security-finding");
    let resource = finding["detail"]["findings"][0]["Resources"][0].clone();
    let about = |account: &str, index: usize| {
        let mut resource = resource.clone();
        resource["Id"] = json!(arn(account, &format!("stream-{index}")));
        resource
    };
    let resources: Vec<_> =
        (0..110).map(|index| about(if index < 60 { MEMBER } else { SECOND_MEMBER }, index)).collect();
    finding["detail"]["findings"][0]["Resources"] = json!(resources);
    let answer = organisation.hub.run(&finding).await.expect("an answer");
    assert_eq!(answer["summary"], json!({"queued": 60, "failed": 1}), "{answer:#}");
    assert!(
        organisation
            .hub
            .work()
            .iter()
            .all(|(item, _)| item["stream"].as_str().is_some_and(|stream| stream.contains(MEMBER)))
    );
    let letters = organisation.hub.letters();
    assert_eq!((letters.len(), &letters[0]["error"]["code"]), (1, &json!("ForeignAccount")));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_external_id_is_a_terminal_failure_with_its_remedy() {
    let organisation = Organisation::new().with("MEMBER_EXTERNAL_ID", "another");
    let stream = organisation.member().stream(NewStream::named("orders"));
    let outcome = organisation.hub.outcome(&of(MEMBER, "stream-created")).await;
    let error = &outcome["error"];
    assert_eq!(
        (&error["step"], &error["code"], &error["class"]),
        (&json!("assume-role"), &json!("MemberRoleRefused"), &json!("terminal"))
    );
    assert!(error["remedy"].as_str().is_some_and(|remedy| remedy.contains("deploy/member-role.yaml")), "{error}");
    let message = error["message"].as_str().expect("a message");
    assert!(
        message
            .starts_with(&format!("AssumeRole of arn:aws:iam::{MEMBER}:role/{ROLE}: MemberRoleRefused: AccessDenied")),
        "{message}"
    );
    assert_eq!((&outcome["stream"], organisation.member().calls().len()), (&json!(stream), 0));
    let letters = organisation.hub.letters();
    assert_eq!((letters.len(), &letters[0]["stream"]), (1, &json!(stream)));
}

#[tokio::test(start_paused = true)]
async fn a_throttled_assume_role_is_tried_again_and_then_by_lambda() {
    let organisation = Organisation::new();
    organisation.member().stream(NewStream::named("orders"));
    organisation.hub.account.fault(Fault::on("AssumeRole").nth(1..=2).error("Throttling", "Rate exceeded"));
    assert_eq!(organisation.hub.outcome(&of(MEMBER, "stream-created")).await["status"], "encrypted");
    assert_eq!(organisation.taken_on(), 3);

    let organisation = Organisation::new();
    organisation.hub.account.fault(Fault::on("AssumeRole").error("Throttling", "Rate exceeded"));
    let error = organisation.hub.run_for(&of(MEMBER, "stream-created"), 30).await.expect_err("retried");
    assert_eq!((error.error_type.as_str(), organisation.hub.letters().len()), ("Throttled", 0));
}

#[tokio::test(start_paused = true)]
async fn credentials_are_kept_and_renewed_before_they_could_end_within_an_invocation() {
    let organisation = Organisation::new();
    let handler = organisation.hub.handler();
    organisation.member().stream(NewStream::named("orders"));
    let check = async |minutes: u64, taken_on: usize| {
        tokio::time::sleep(Duration::from_mins(minutes)).await;
        let outcome = organisation.hub.outcome_of(&handler, &manual(&arn(MEMBER, "orders"))).await;
        assert!(["encrypted", "compliant"].contains(&outcome["status"].as_str().expect("text")), "{outcome}");
        assert_eq!(organisation.taken_on(), taken_on, "after another {minutes} minutes");
    };
    check(0, 1).await;
    check(40, 1).await;
    // An hour they are good for; five minutes may the invocation last, and five are the margin.
    check(12, 2).await;
    check(45, 2).await;
    check(120, 3).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_process_remembers_of_its_starts_outlives_the_credentials() {
    let organisation = Organisation::new().with("MAX_APPLIES_PER_DAY", "1");
    organisation.hub.account.configure(|options| options.session = Duration::from_mins(11));
    organisation.member().configure(|options| options.history_lag = Duration::from_hours(24));
    organisation.member().stream(NewStream::named("orders"));
    let handler = organisation.hub.handler();
    assert_eq!(organisation.hub.outcome_of(&handler, &of(MEMBER, "stream-created")).await["status"], "encrypted");
    tokio::time::sleep(Duration::from_mins(20)).await;
    organisation
        .member()
        .stream(NewStream::named("orders").created_at("2026-11-23T00:00:00Z".parse().expect("a time")));
    let outcome = organisation.hub.outcome_of(&handler, &of(MEMBER, "encryption-stopped")).await;
    assert_eq!((&outcome["status"], organisation.taken_on()), (&json!("contested"), 2));
}

#[tokio::test(start_paused = true)]
async fn the_start_by_the_members_role_is_our_own_and_ignored() {
    let organisation = Organisation::new();
    organisation.member().stream(NewStream::named("orders"));
    organisation.hub.outcome(&of(MEMBER, "stream-created")).await;
    let start = organisation.member().take_events().pop().expect("a start");
    assert_eq!(start["detail"]["eventName"], "StartStreamEncryption");
    let before = organisation.hub.account.calls().len();
    let answer = organisation.hub.run(&start).await.expect("an answer");
    assert_eq!((&answer["trigger"]["kind"], &answer["outcomes"]), (&json!("ignored"), &json!([])));
    assert_eq!(organisation.hub.account.calls().len(), before);
    // A role of the same name elsewhere is somebody else.
    let elsewhere = serde_json::from_str(&start.to_string().replace(&format!("iam::{MEMBER}:"), "iam::123456789012:"))
        .expect("JSON");
    let answer = organisation.hub.run(&elsewhere).await.expect("an answer");
    assert_eq!(answer["trigger"]["kind"], "encryption-changed");
}

#[tokio::test(start_paused = true)]
async fn what_others_did_is_looked_up_in_the_members_own_history() {
    let organisation = Organisation::new().with("MAX_APPLIES_PER_DAY", "1");
    organisation.member().configure(|options| options.history_lag = Duration::ZERO);
    organisation
        .member()
        .stream(NewStream::named("orders").created_at("2026-11-23T00:00:00Z".parse().expect("a time")));
    organisation.hub.outcome(&of(MEMBER, "stream-created")).await;
    let key = organisation.key_of(0, "orders").expect("encrypted");
    tokio::time::sleep(Duration::from_mins(1)).await;
    organisation
        .member()
        .stream(NewStream::named("orders").created_at("2026-11-23T00:00:00Z".parse().expect("a time")));
    // A new process remembers nothing: the history says that the member's role applied the key
    // once.
    let outcome = organisation.hub.outcome(&of(MEMBER, "encryption-stopped")).await;
    assert_eq!((&outcome["status"], organisation.hub.account.count("LookupEvents")), (&json!("contested"), 0), "{key}");
    assert!(organisation.member().count("LookupEvents") > 0);
}

#[tokio::test(start_paused = true)]
async fn a_schedule_sweeps_every_account_and_one_that_refuses_hides_no_other() {
    let organisation = Organisation::new();
    organisation.hub.stream(NewStream::named("a"));
    organisation.members[1].stream(NewStream::named("c"));
    let refusing = organisation.member();
    refusing.stream(NewStream::named("b"));
    organisation.hub.account.admit(refusing, ROLE, "changed there");
    let answer = organisation.hub.run(&event("scheduled")).await.expect("an answer");
    assert_eq!(answer["summary"], json!({"encrypted": 2, "failed": 1}));
    assert!(organisation.key_of(1, "c").is_some());
    assert_eq!(organisation.key_of(0, "b"), None);
    let letters = organisation.hub.letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0]["event"], json!({"sweep": true, "account": MEMBER}));
    assert_eq!(organisation.hub.account.messages("dead-letters")[0].attribute("Account"), Some(MEMBER));

    // The letter is fed back when it is put right there.
    organisation.hub.account.admit(refusing, ROLE, EXTERNAL_ID);
    let answer = organisation.hub.run(&letters[0]).await.expect("an answer");
    assert_eq!((&answer["summary"], organisation.key_of(0, "b").is_some()), (&json!({"encrypted": 1}), true));
}

#[tokio::test(start_paused = true)]
async fn of_several_accounts_what_fails_for_the_moment_is_lettered_for_its_account_and_not_swept_again_with_the_others()
{
    let organisation = Organisation::new();
    organisation.hub.account.fault(Fault::on("AssumeRole").error("Throttling", "Rate exceeded"));
    let answer = organisation.hub.run(&event("scheduled")).await.expect("an answer");
    assert_eq!(answer["summary"], json!({"failed": 2}));
    let events: Vec<_> = organisation.hub.letters().into_iter().map(|letter| letter["event"].clone()).collect();
    assert_eq!(events, [MEMBER, SECOND_MEMBER].map(|member| json!({"sweep": true, "account": member})));

    let organisation = Organisation::on(World::new().with_work_queue());
    organisation.hub.account.fault(Fault::on("ListStreams").error("LimitExceededException", "Rate exceeded"));
    let answer = organisation.hub.run(&event("scheduled")).await.expect("an answer");
    assert_eq!(answer["summary"], json!({"queued": 2}));
    let (own, hidden) = organisation.hub.work().pop().expect("the own account's");
    assert_eq!((&own["sweep"], hidden), (&json!({"startAfter": null}), 30), "{own:#}");
}

#[tokio::test(start_paused = true)]
async fn with_a_work_queue_every_members_sweep_is_work_of_its_own() {
    let organisation = Organisation::on(World::new().with_work_queue()).with("IAC_GRACE_SECONDS", "0");
    for (account, count) in
        [(&organisation.hub.account, 3), (&organisation.members[0], 150), (&organisation.members[1], 2)]
    {
        (0..count).for_each(|index| drop(account.stream(NewStream::named(&format!("stream-{index:03}")))));
    }
    let answer = organisation.hub.run(&event("scheduled")).await.expect("an answer");
    assert_eq!((&answer["summary"], organisation.taken_on()), (&json!({"queued": 5}), 0));
    let sweeps: Vec<_> =
        organisation.hub.work().into_iter().map(|(item, _)| item).filter(|item| item.get("sweep").is_some()).collect();
    let expected = [MEMBER, SECOND_MEMBER].map(|member| json!({"startAfter": null, "account": member}));
    assert_eq!(sweeps.iter().map(|item| item["sweep"].clone()).collect::<Vec<_>>(), expected);
    assert_eq!((&sweeps[0]["hops"], &sweeps[0]["origin"]["kind"]), (&json!(1), &json!("scheduled")));
    organisation.hub.drain().await;
    for (account, count) in
        [(&organisation.hub.account, 3), (&organisation.members[0], 150), (&organisation.members[1], 2)]
    {
        let encrypted = |index: &usize| {
            account.snapshot(&format!("stream-{index:03}")).is_some_and(|stream| stream.key_id.is_some())
        };
        assert_eq!((0..count).filter(encrypted).count(), count, "{}", account.account_id());
        assert_eq!(account.count("StartStreamEncryption"), count, "{}", account.account_id());
    }
    assert_eq!(organisation.hub.letters().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_members_sweep_is_queued_whatever_characters_its_event_holds() {
    // SQS refuses a message that holds U+FFFF or a control character.
    let id = "früh \u{ffff}\u{7f}\u{1}";
    let organisation = Organisation::on(World::new().with_work_queue());
    organisation.member().stream(NewStream::named("b"));
    let mut scheduled = event("scheduled");
    scheduled["id"] = json!(id);
    let answer = organisation.hub.run(&scheduled).await.expect("an answer");
    assert_eq!((&answer["summary"], organisation.taken_on()), (&json!({"queued": 2}), 0));
    let bodies: Vec<_> = organisation.hub.account.messages(WORK).into_iter().map(|message| message.body).collect();
    assert!(bodies.len() == 2 && bodies.iter().all(|body| body.is_ascii()), "{bodies:?}");
    assert!(organisation.hub.work().iter().all(|(item, _)| item["origin"]["eventId"] == id), "{bodies:?}");
    organisation.hub.drain().await;
    assert!(organisation.key_of(0, "b").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_members_sweep_that_fails_on_the_queue_is_lettered_for_that_account() {
    let organisation = Organisation::on(World::new().with_work_queue());
    organisation.members[1].stream(NewStream::named("c"));
    organisation.hub.account.admit(organisation.member(), ROLE, "changed there");
    organisation.hub.run(&event("scheduled")).await.expect("an answer");
    organisation.hub.drain().await;
    assert!(organisation.key_of(1, "c").is_some());
    let letters = organisation.hub.letters();
    assert_eq!((letters.len(), &letters[0]["error"]["code"]), (1, &json!("MemberRoleRefused")));
    assert_eq!(letters[0]["event"]["sweep"]["account"], MEMBER);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_a_person_asks_for_is_of_the_own_account_or_of_the_one_they_name() {
    let check = async |payload: Value, swept: &[&str]| {
        let organisation = Organisation::new();
        let accounts = [&organisation.hub.account, &organisation.members[0], &organisation.members[1]];
        for account in accounts {
            account.stream(NewStream::named("orders"));
        }
        organisation.hub.run(&payload).await.expect("an answer");
        let encrypted = |account: &&&Account| account.snapshot("orders").is_some_and(|stream| stream.key_id.is_some());
        let found: BTreeSet<_> = accounts.iter().filter(encrypted).map(|account| account.account_id()).collect();
        assert_eq!(found, swept.iter().map(|account| (*account).to_owned()).collect(), "{payload}");
    };
    check(json!({"sweep": true}), &["111122223333"]).await;
    check(json!({"sweep": true, "account": "111122223333"}), &["111122223333"]).await;
    check(json!({"sweep": true, "account": MEMBER}), &[MEMBER]).await;
    check(json!({"sweep": true, "account": STRANGER}), &[]).await;
    let unknown = World::new().with("OWN_ROLE_ARN", "");
    let answer = unknown.run(&json!({"sweep": true, "account": MEMBER})).await.expect("an answer");
    assert_eq!(
        (&answer["outcomes"][0]["error"]["code"], unknown.account.count("ListStreams")),
        (&json!("ForeignAccount"), 0)
    );
    assert!(
        answer["outcomes"][0]["error"]["message"]
            .as_str()
            .is_some_and(|message| message.contains("OWN_ROLE_ARN is not set"))
    );
    check(event("scheduled"), &["111122223333", MEMBER, SECOND_MEMBER]).await;
}

#[tokio::test(start_paused = true)]
async fn a_sweep_of_a_member_goes_on_in_that_account() {
    let organisation = Organisation::on(World::new().with_work_queue());
    (0..250).for_each(|index| drop(organisation.member().stream(NewStream::named(&format!("stream-{index:03}")))));
    organisation.member().fault(Fault::on("ListStreams").delay(Duration::from_secs(3)));
    let answer = organisation.hub.run_for(&json!({"sweep": true, "account": MEMBER}), 10).await.expect("an answer");
    assert_eq!((&answer["summary"], &answer["continueAfter"]), (&json!({"queued": 200}), &json!("stream-199")));
    let (rest, _) = organisation.hub.work().pop().expect("the rest");
    assert_eq!(rest["sweep"], json!({"startAfter": "stream-199", "account": MEMBER}));
    let (first, _) = organisation.hub.work().remove(0);
    assert_eq!(first["stream"], arn(MEMBER, "stream-000"));
}

#[tokio::test(start_paused = true)]
async fn an_alias_that_a_member_re_points_concerns_that_members_fleet_only() {
    let organisation = Organisation::new();
    for account in [&organisation.hub.account, &organisation.members[0], &organisation.members[1]] {
        account.stream(NewStream::named("orders"));
    }
    let new = organisation.member().create_key();
    organisation.member().alias(ALIAS, &new);
    let repointed = naming(&of(MEMBER, "alias-repointed"), &new);
    let answer = organisation.hub.run(&repointed).await.expect("an answer");
    assert_eq!((&answer["trigger"]["kind"], &answer["summary"]), (&json!("alias-repointed"), &json!({"encrypted": 1})));
    assert_eq!((organisation.key_of(0, "orders"), organisation.key_of(1, "orders")), (Some(new), None));
}

#[tokio::test(start_paused = true)]
async fn trouble_with_a_members_key_is_looked_at_there_and_a_key_that_is_none_of_ours_nowhere() {
    let organisation = Organisation::new();
    let key = organisation.member().create_key();
    organisation.member().alias(ALIAS, &key);
    organisation.member().set_key_state(&key, KeyState::Disabled);
    let outcome = organisation.hub.outcome(&naming(&of(MEMBER, "key-disabled"), &key)).await;
    assert_eq!((&outcome["status"], organisation.hub.account.count("DescribeKey")), (&json!("key-at-risk"), 0));

    let organisation = Organisation::new();
    let answer = organisation.hub.run(&of(MEMBER, "alias-created-elsewhere")).await.expect("an answer");
    assert_eq!((&answer["trigger"]["kind"], organisation.hub.operations().len()), (&json!("ignored"), 0));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_named_by_arn_is_the_same_for_every_account() {
    let organisation = Organisation::new();
    let key = organisation.hub.key.clone();
    let organisation = organisation.with("KMS_KEY_ID", &key);
    organisation.hub.stream(NewStream::named("a"));
    // The key's policy shares it with the members.
    for member in &organisation.members {
        member.stream(NewStream::named("b"));
    }
    let shared = organisation.member().create_foreign_key("111122223333");
    let answer = organisation.hub.run(&about("key-rotated", &key)).await.expect("an answer");
    // The embedded members do not know the hub's key, and say so; the own stream is encrypted.
    assert_eq!(answer["summary"], json!({"encrypted": 1, "failed": 2}));
    assert_eq!(answer["outcomes"][0]["error"]["code"], "NotFoundException");

    let organisation = organisation.with("KMS_KEY_ID", &shared);
    let outcome = organisation.hub.outcome(&manual(&arn(MEMBER, "b"))).await;
    assert_eq!((&outcome["status"], &outcome["key"]), (&json!("encrypted"), &json!(shared)));
}

#[tokio::test(start_paused = true)]
async fn audit_mode_and_dry_runs_have_nothing_that_could_write_in_a_member_either() {
    let check = async |organisation: Organisation, payload: Value| {
        for member in &organisation.members {
            member.stream(NewStream::named("orders"));
        }
        let answer = organisation.hub.run(&payload).await.expect("an answer");
        assert_eq!(answer["summary"]["would-encrypt"], 1, "{answer:#}");
        assert!(organisation.members.iter().all(|member| member.count("StartStreamEncryption") == 0));
        assert_eq!(organisation.key_of(0, "orders"), None);
    };
    check(Organisation::new().with("ENFORCEMENT_MODE", "audit"), of(MEMBER, "stream-created")).await;
    check(Organisation::new().with("ENFORCEMENT_MODE", "audit"), json!({"sweep": true, "account": MEMBER})).await;
    check(Organisation::new(), json!({"stream": arn(MEMBER, "orders"), "dryRun": true})).await;
    let audit = Organisation::new().with("ENFORCEMENT_MODE", "audit").hub.handler();
    assert!(audit.aws.encryption.is_none());
    let members = audit.aws.members.expect("members");
    assert_eq!(members.iter().filter(|member| member.clients().encryption.is_none()).count(), 2);
}

#[tokio::test(start_paused = true)]
async fn streams_of_several_accounts_and_one_name_are_worked_side_by_side() {
    let organisation = Organisation::new();
    let mut streams = vec![organisation.hub.stream(NewStream::named("orders"))];
    streams.extend(organisation.members.iter().map(|member| member.stream(NewStream::named("orders"))));
    streams.push(arn(STRANGER, "orders"));
    let answer = organisation.hub.run(&json!({"streams": streams})).await.expect("an answer");
    assert_eq!(answer["summary"], json!({"encrypted": 3, "failed": 1}));
    let keys: BTreeSet<_> =
        answer["outcomes"].as_array().expect("outcomes").iter().map(|outcome| outcome["key"].to_string()).collect();
    assert_eq!((keys.len(), organisation.taken_on()), (4, 2));
}

#[tokio::test(start_paused = true)]
async fn letters_and_work_items_of_a_members_stream_go_back_to_that_account() {
    let organisation = Organisation::on(World::new().with_work_queue()).with("IAC_GRACE_SECONDS", "60");
    let stream = organisation.member().stream(NewStream::named("orders").creating());
    let outcome = organisation.hub.outcome(&of(MEMBER, "stream-created-by-cloudformation")).await;
    assert_eq!((&outcome["status"], &outcome["stream"]), (&json!("deferred"), &json!(stream)));
    organisation.hub.drain().await;
    assert!(organisation.key_of(0, "orders").is_some());

    let organisation = Organisation::new();
    organisation.member().stream(NewStream::named("orders"));
    organisation.member().fault(Fault::on("StartStreamEncryption").nth(1..=1).error("AccessDeniedException", "no"));
    organisation.hub.outcome(&of(MEMBER, "stream-created")).await;
    let letter = organisation.hub.letters().remove(0);
    assert_eq!(letter["stream"], arn(MEMBER, "orders"));
    assert_eq!(organisation.hub.outcome(&letter).await["status"], "encrypted");
}

#[tokio::test(start_paused = true)]
async fn tags_that_do_not_arrive_do_not_outlast_the_invocation() {
    let organisation = Organisation::new();
    for account in [&organisation.hub.account, &organisation.members[0], &organisation.members[1]] {
        account.fault(Fault::on("GetResources").delay(Duration::from_mins(1)));
    }
    organisation.hub.stream(NewStream::named("stuck").stuck_updating());
    let began = organisation.hub.clock.instant();
    let answer = organisation.hub.run_for(&event("scheduled"), 60).await.expect("an answer");
    let took = organisation.hub.clock.instant() - began;
    assert!(took < Duration::from_mins(1), "{took:?}: {answer:#}");
    assert!(organisation.hub.letters().len() >= 3);
}

const START: &str = "StartStreamEncryption";

/// What AWS says to credentials that are no longer good, and to those of a revoked session.
const DEAD: [(&str, &str); 5] = [
    ("ExpiredTokenException", "The security token included in the request is expired"),
    ("UnrecognizedClientException", "The security token included in the request is invalid."),
    ("InvalidClientTokenId", "The security token included in the request is invalid."),
    ("InvalidSignatureException", "The request signature we calculated does not match the signature you provided."),
    (
        "AccessDeniedException",
        "User: x is not authorized to perform: y with an explicit deny in an identity-based policy",
    ),
];

#[tokio::test(start_paused = true)]
async fn after_the_credentials_died_early_the_role_is_assumed_anew_and_the_call_repeated() {
    for (code, message) in DEAD {
        let organisation = Organisation::new();
        let handler = organisation.hub.handler();
        for name in ["orders", "clicks"] {
            organisation.member().stream(NewStream::named(name));
        }
        organisation.hub.outcome_of(&handler, &manual(&arn(MEMBER, "orders"))).await;
        organisation.hub.account.end_sessions(code, message);
        let outcome = organisation.hub.outcome_of(&handler, &manual(&arn(MEMBER, "clicks"))).await;
        assert_eq!((&outcome["status"], organisation.taken_on()), (&json!("encrypted"), 2), "{code}: {outcome:#}");
        assert_eq!(organisation.member().accepted(START, "clicks"), 1, "{code}");
        assert_eq!(organisation.hub.letters().len(), 0, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_was_refused_for_its_credentials_is_sent_again_and_accepted_once() {
    for (code, message) in &DEAD[..4] {
        let organisation = Organisation::new();
        organisation.member().stream(NewStream::named("orders"));
        organisation.member().fault(Fault::on(START).nth(1..=1).error(code, message));
        let outcome = organisation.hub.outcome(&of(MEMBER, "stream-created")).await;
        assert_eq!((&outcome["status"], organisation.taken_on()), (&json!("encrypted"), 2), "{code}: {outcome:#}");
        let member = organisation.member();
        assert_eq!((member.count(START), member.accepted(START, "orders")), (2, 1), "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn many_streams_whose_credentials_died_share_one_new_session() {
    let organisation = Organisation::new();
    let handler = organisation.hub.handler();
    let streams: Vec<_> =
        (0..30).map(|index| organisation.member().stream(NewStream::named(&format!("stream-{index:02}")))).collect();
    organisation.hub.outcome_of(&handler, &manual(&streams[0])).await;
    let (code, message) = DEAD[0];
    organisation.hub.account.end_sessions(code, message);
    let answer = organisation.hub.run_with(&handler, &json!({"streams": streams}), 300).await.expect("an answer");
    assert_eq!((&answer["summary"], organisation.taken_on()), (&json!({"encrypted": 29, "compliant": 1}), 2));
    assert_eq!(organisation.member().count(START), 30);
}

#[tokio::test(start_paused = true)]
async fn credentials_that_are_refused_again_are_left_to_lambdas_retries() {
    let organisation = Organisation::new();
    organisation.member().stream(NewStream::named("orders"));
    let (code, message) = DEAD[1];
    organisation.member().fault(Fault::on("DescribeStreamSummary").error(code, message));
    let error = organisation.hub.run(&of(MEMBER, "stream-created")).await.expect_err("retried");
    assert_eq!((error.error_type.as_str(), organisation.hub.letters().len()), ("AwsUnavailable", 0));
    assert!(error.message.contains(code), "{}", error.message);
    let member = organisation.member();
    assert_eq!((organisation.taken_on(), member.count("DescribeStreamSummary"), member.count(START)), (2, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_role_that_can_no_longer_be_assumed_is_what_is_reported() {
    let organisation = Organisation::new();
    let handler = organisation.hub.handler();
    for name in ["orders", "clicks"] {
        organisation.member().stream(NewStream::named(name));
    }
    organisation.hub.outcome_of(&handler, &manual(&arn(MEMBER, "orders"))).await;
    let (code, message) = DEAD[1];
    organisation.hub.account.end_sessions(code, message);
    organisation.hub.account.admit(organisation.member(), ROLE, "changed there");
    let outcome = organisation.hub.outcome_of(&handler, &manual(&arn(MEMBER, "clicks"))).await;
    assert_eq!(
        (&outcome["error"]["step"], &outcome["error"]["code"], &outcome["error"]["class"]),
        (&json!("assume-role"), &json!("MemberRoleRefused"), &json!("terminal"))
    );
    assert_eq!(organisation.member().count(START), 1);
}

#[tokio::test(start_paused = true)]
async fn a_denial_by_a_session_of_the_same_invocation_is_a_denial() {
    let organisation = Organisation::new();
    organisation.member().stream(NewStream::named("orders"));
    let (code, message) = DEAD[4];
    organisation.member().fault(Fault::on(START).error(code, message));
    let outcome = organisation.hub.outcome(&of(MEMBER, "stream-created")).await;
    assert_eq!((&outcome["error"]["code"], &outcome["error"]["class"]), (&json!(code), &json!("terminal")));
    assert_eq!((organisation.taken_on(), organisation.member().count(START)), (1, 1));
    assert_eq!(organisation.hub.letters().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_expiring_key_is_reported_by_each_account_that_has_it_and_once_where_it_is_the_same_for_all() {
    let expiry = "2026-12-01T00:00:00Z".parse().expect("a time");
    let at_risk = |answer: &Value| answer["summary"]["key-at-risk"].clone();
    // By alias, the member has a key of its own.
    let organisation = Organisation::new();
    organisation.member().import_material(ALIAS, expiry);
    let answer = organisation.hub.run(&event("scheduled")).await.expect("an answer");
    assert_eq!(at_risk(&answer), 1, "{answer:#}");

    let hub = World::new();
    hub.account.import_material(&hub.key, expiry);
    let key = hub.key.clone();
    let organisation = Organisation::on(hub).with("KMS_KEY_ID", &key);
    // The owner of the key shares it with the members, whose KMS returns it to them.
    let shared = json!({"KeyMetadata": {"Arn": key, "KeyState": "Enabled", "KeyUsage": "ENCRYPT_DECRYPT",
        "KeySpec": "SYMMETRIC_DEFAULT", "KeyManager": "CUSTOMER", "ExpirationModel": "KEY_MATERIAL_EXPIRES",
        "ValidTo": 1_796_083_200.5}});
    for member in &organisation.members {
        member.fault(Fault::on("DescribeKey").intercepted(&shared.to_string()));
    }
    let answer = organisation.hub.run(&event("scheduled")).await.expect("an answer");
    assert_eq!(answer["summary"], json!({"key-at-risk": 1}), "{answer:#}");
}

#[tokio::test(start_paused = true)]
async fn a_second_look_at_a_key_of_all_accounts_sweeps_the_members_only_if_something_changed() {
    let organisation = Organisation::on(World::new().with_work_queue());
    let key = organisation.hub.account.create_key();
    let organisation = organisation.with("KMS_KEY_ID", &key);
    organisation.hub.stream(NewStream::named("a").encrypted_with(&key));
    let mut payload = about("key-enabled", &key);
    payload["time"] = json!(chrono::DateTime::<chrono::Utc>::from(organisation.hub.clock.wall()));
    let answer = organisation.hub.run(&payload).await.expect("an answer");
    assert_eq!(answer["summary"], json!({"queued": 3}), "{answer:#}");
    let sweeps = |organisation: &Organisation| {
        organisation.hub.work().iter().filter(|(item, _)| item["sweep"]["account"].is_string()).count()
    };
    assert_eq!(sweeps(&organisation), 2);
    let second_look =
        organisation.hub.work().into_iter().find(|(body, _)| body["id"] == payload["id"]).expect("a second look");
    assert_eq!(second_look.0["sweptWith"], json!([key]));
    let answer = organisation.hub.run(&second_look.0).await.expect("an answer");
    assert_eq!((&answer["trigger"]["kind"], sweeps(&organisation)), (&json!("ignored"), 2), "{answer:#}");
}
