//! Decisions as values: a compliant stream is the starting point, and each test changes one thing
//! of it.

use std::sync::Arc;

use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;
use crate::domain::cloudtrail::Principal;
use crate::domain::encryption_change::{Change, ChangeKind};
use crate::domain::grace::Actor;
use crate::domain::key::{AliasName, KeyArn};
use crate::domain::mode::OnOtherKey;
use crate::domain::stream::StreamMode;

const DESIRED: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const OTHER: &str = "arn:aws:kms:us-east-1:111122223333:key/ffffffff-12ab-34cd-56ef-1234567890ab";
const OWN_ROLE: &str = "arn:aws:iam::111122223333:role/enforcer";
const TAG: &str = "exempt";
const LONG_AGO: Duration = Duration::from_mins(1);
const JUST_NOW: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

/// The facts about a stream, owned. [`World::compliant`] is in sync, and old enough for nobody to
/// be waited for.
#[derive(Clone, Debug)]
struct World {
    stream: Description,
    observed_ago: Duration,
    in_hand: Duration,
    tags: Option<Vec<(String, String)>>,
    keys: Option<Result<Keys, Failure>>,
    impact: Option<ImpactFacts>,
    start: Option<StartFacts>,
    refusal: Option<(Failure, u32, Option<Duration>)>,
    last_refusal: Option<Failure>,
    seen_changing: bool,
    trigger: TriggerFacts,
    accepted: Vec<DateTime<Utc>>,
    history: History,
    halt: Option<Halt>,
    policy: EffectivePolicy,
    iac_grace: Duration,
    max_applies: usize,
    members: Vec<String>,
    request: RequestFacts,
    may_write: bool,
    time_left: Duration,
}

/// [`Recorded`], owned.
#[derive(Clone, Debug, PartialEq)]
enum History {
    NotRead,
    Unreadable,
    Partial(Vec<Change>),
    Read(Vec<Change>),
}

use History::{NotRead, Partial, Read, Unreadable};

fn now() -> DateTime<Utc> {
    "2026-11-24T12:00:00Z".parse().expect("a time")
}

fn minutes_ago(minutes: i64) -> DateTime<Utc> {
    now() - TimeDelta::minutes(minutes)
}

impl World {
    fn compliant() -> Self {
        Self {
            stream: Description {
                arn: "arn:aws:kinesis:us-east-1:111122223333:stream/orders".parse().expect("an ARN"),
                status: StreamStatus::Active,
                key_id: None,
                created: Some(minutes_ago(60)),
                mode: Some(StreamMode::Provisioned),
                retention_hours: Some(24),
                consumers: Some(0),
                channels: Some(0),
                queues: Some(0),
            },
            observed_ago: JUST_NOW,
            in_hand: Duration::ZERO,
            tags: None,
            keys: Some(Ok(Keys { desired: desired(None), current: key(DESIRED) })),
            impact: None,
            start: None,
            refusal: None,
            last_refusal: None,
            seen_changing: false,
            trigger: TriggerFacts::default(),
            accepted: Vec::new(),
            history: NotRead,
            halt: None,
            policy: EffectivePolicy {
                policy: Arc::default(),
                key: DESIRED.parse().expect("a key"),
                mode: Mode::Enforce,
                on_other_key: OnOtherKey::Replace,
            },
            iac_grace: MINUTE,
            max_applies: 5,
            members: vec!["777788889999".to_owned()],
            request: RequestFacts { can_requeue: true, ..RequestFacts::default() },
            may_write: true,
            time_left: 5 * MINUTE,
        }
    }

    fn unencrypted() -> Self {
        Self { tags: Some(Vec::new()), ..Self::compliant() }.with_current(CurrentKey::Unencrypted)
    }

    fn with_current(self, current: CurrentKey) -> Self {
        let desired = self.keys_known().desired.clone();
        Self { keys: Some(Ok(Keys { desired, current })), ..self }
    }

    fn with_desired(self, desired: DesiredKey) -> Self {
        let current = self.keys_known().current.clone();
        Self { keys: Some(Ok(Keys { desired, current })), ..self }
    }

    fn keys_known(&self) -> &Keys {
        self.keys.as_ref().expect("keys were looked up").as_ref().expect("and found")
    }

    fn with_status(mut self, status: StreamStatus) -> Self {
        self.stream.status = status;
        self
    }

    fn with_tag(self, value: &str) -> Self {
        Self { tags: Some(vec![(TAG.to_owned(), value.to_owned())]), ..self }
    }

    fn with_policy(mut self, rules: &str) -> Self {
        self.policy.policy = Arc::new(format!(r#"{{"version": 1, "rules": [{rules}]}}"#).parse().expect("a policy"));
        self
    }

    /// Another principal stopped encryption a moment ago.
    fn contested(mut self, delay_served: bool) -> Self {
        let change = ForeignChange {
            at: minutes_ago(0),
            kind: ChangeKind::Stopped,
            by: Principal { arn: Some("arn:aws:iam::111122223333:user/x".to_owned()), user_agent: None },
            applied: Vec::new(),
            delay_served,
        };
        self.trigger.foreign_change = Some(change);
        self
    }

    fn verdict(&self) -> Verdict<'_> {
        decide(&Facts {
            stream: &self.stream,
            observed_ago: self.observed_ago,
            in_hand: self.in_hand,
            waits_in_queue: false,
            tags: self.tags.as_deref(),
            keys: self.keys.as_ref(),
            impact: self.impact.as_ref(),
            start: self.start,
            refusal: self.refusal.as_ref().map(|(failure, count, retry_after)| RefusedStart {
                failure,
                count: *count,
                retry_after: *retry_after,
            }),
            last_refusal: self.last_refusal.as_ref(),
            seen_changing: self.seen_changing,
            grace: self.trigger.grace,
            trigger: &self.trigger,
            foreign_change: self.trigger.foreign_change.as_ref(),
            evidence: ChangeEvidence {
                accepted: &self.accepted,
                recorded: match &self.history {
                    NotRead => Recorded::NotRead,
                    Unreadable => Recorded::Unreadable,
                    Partial(changes) => Recorded::Partial(changes),
                    Read(changes) => Recorded::Read(changes),
                },
                own_role: Some(OWN_ROLE),
            },
            halt: self.halt.as_ref(),
            enforcement: Enforcement {
                policy: &self.policy,
                exempt_tag_key: Some(TAG),
                iac_grace: self.iac_grace,
                max_applies: self.max_applies,
                accounts: ManagedAccounts { own: Some("444455556666"), members: &self.members },
            },
            request: self.request,
            may_write: self.may_write,
            now: now(),
            time_left: self.time_left,
        })
    }

    fn decide(&self) -> Decision {
        self.verdict().decision
    }

    fn refused_with(&self) -> String {
        match self.decide() {
            Decision::Fail(failure) => failure.code,
            other => panic!("not refused: {other:?}"),
        }
    }
}

fn desired(trouble: Option<Failure>) -> DesiredKey {
    DesiredKey::Key { arn: arn(DESIRED), trouble }
}

fn arn(text: &str) -> KeyArn {
    text.parse().expect("a key ARN")
}

fn key(text: &str) -> CurrentKey {
    CurrentKey::Key { arn: arn(text), by_alias: None, fitness: OtherKeyFitness::NotAsked }
}

fn by_alias(text: &str, alias: &str) -> CurrentKey {
    let by_alias = Some(alias.parse().expect("an alias"));
    CurrentKey::Key { arn: arn(text), by_alias, fitness: OtherKeyFitness::Enabled }
}

fn trouble() -> Failure {
    Failure::new(Step::DescribeKey, code::KEY_DISABLED, &DESIRED, "the key is disabled")
}

fn started(accepted: bool, seen_updating: bool, ago: Duration) -> StartFacts {
    StartFacts { accepted, seen_updating, undone_for: None, ago }
}

fn refused_start(code: &str, count: u32, retry_after: Option<Duration>) -> (Failure, u32, Option<Duration>) {
    (Failure::new(Step::StartStreamEncryption, code, &"orders", ""), count, retry_after)
}

fn start_of(minutes: i64, role: Option<&str>) -> Change {
    Change {
        at: minutes_ago(minutes),
        stream: "orders".to_owned(),
        kind: ChangeKind::Started { key_id: DESIRED.to_owned() },
        by: Principal::default(),
        role: role.map(str::to_owned),
    }
}

const IN_SYNC: Decision = Decision::Done(Settled::InSync(InSync::DesiredKey));
const APPLY: Decision = Decision::Apply(ApplyReason::Unencrypted);

#[test]
fn a_compliant_stream_is_left_alone() {
    let world = World::compliant();
    assert_eq!(world.decide(), IN_SYNC);
    assert_eq!((world.verdict().warnings, world.verdict().requirement.map(|it| it.rule)), (vec![], Some(None)));
}

#[test]
fn a_stream_that_is_not_active_is_never_judged() {
    for status in [StreamStatus::Creating, StreamStatus::Updating, StreamStatus::Other("MERGING".to_owned())] {
        for world in [World::compliant(), World::unencrypted()] {
            let world = world.with_status(status.clone());
            assert_eq!(world.decide(), Decision::Poll(Pending::Status(status.clone())));
        }
    }
    let gone = World::unencrypted().with_status(StreamStatus::Deleting).decide();
    assert!(matches!(gone, Decision::Done(Settled::Gone(_))), "{gone:?}");
}

#[test]
fn the_keys_are_looked_up_when_the_policy_has_said_which_and_what_cannot_be_looked_up_is_refused() {
    assert_eq!(World { keys: None, ..World::compliant() }.decide(), Decision::Need(Fact::Keys));
    let world = World { keys: Some(Err(trouble())), ..World::compliant() };
    for status in [StreamStatus::Active, StreamStatus::Updating] {
        assert_eq!(world.clone().with_status(status).decide(), Decision::Fail(trouble()));
    }
}

#[test]
fn whatever_other_key_a_stream_has_is_replaced_with_the_reason() {
    for (current, reason) in [
        (CurrentKey::Unencrypted, ApplyReason::Unencrypted),
        (CurrentKey::AwsManaged, ApplyReason::AwsManagedKey),
        (key(OTHER), ApplyReason::OtherKey(OTHER.to_owned())),
        (CurrentKey::Unresolvable { key_id: "alias/lost".to_owned() }, ApplyReason::OtherKey("alias/lost".to_owned())),
    ] {
        assert_eq!(World::unencrypted().with_current(current).decide(), Decision::Apply(reason));
    }
}

#[test]
fn a_stream_that_stores_the_key_by_an_alias_is_compliant_unless_that_alias_was_re_pointed() {
    let mut world = World::unencrypted().with_current(by_alias(DESIRED, "alias/streams"));
    assert_eq!(world.decide(), IN_SYNC);
    let alias: AliasName = "alias/streams".parse().expect("an alias");
    world.trigger.repointed_alias = Some(alias.clone());
    assert_eq!(world.decide(), Decision::Apply(ApplyReason::RepointedAlias(alias)));
    assert_eq!(world.with_current(by_alias(DESIRED, "alias/other")).decide(), IN_SYNC);
}

#[test]
fn the_aws_managed_key_is_compliant_where_it_is_the_configured_one() {
    let world = World::unencrypted().with_desired(DesiredKey::AwsManaged);
    assert_eq!(world.clone().with_current(CurrentKey::AwsManaged).decide(), IN_SYNC);
    let other = Decision::Apply(ApplyReason::OtherKey(OTHER.to_owned()));
    assert_eq!(world.with_current(key(OTHER)).decide(), other);
}

#[test]
fn another_enabled_customer_key_is_accepted_only_where_the_setting_says_so() {
    let with = |fitness| CurrentKey::Key { arn: arn(OTHER), by_alias: None, fitness };
    let mut world = World::unencrypted().with_current(with(OtherKeyFitness::Enabled));
    let other = Decision::Apply(ApplyReason::OtherKey(OTHER.to_owned()));
    assert_eq!(world.decide(), other);
    world.policy.on_other_key = OnOtherKey::Accept;
    let accepted = Decision::Done(Settled::InSync(InSync::AcceptedKey));
    assert_eq!(world.decide(), accepted);
    // Only the key that is in place is re-applied: an accepted one stays.
    world.request.reapply = Some(Reapply::Asked);
    assert_eq!(world.decide(), accepted);
    assert_eq!(world.clone().with_current(with(OtherKeyFitness::Unfit)).decide(), other);
    let aws = Decision::Apply(ApplyReason::AwsManagedKey);
    assert_eq!(world.with_current(CurrentKey::AwsManaged).decide(), aws);
}

#[test]
fn a_current_key_that_cannot_be_judged_is_not_replaced() {
    let failure = Failure::new(Step::DescribeKey, code::PRESENT_KEY_UNREADABLE, &OTHER, "");
    let world = World::unencrypted().with_current(CurrentKey::Unreadable(failure.clone()));
    assert_eq!(world.decide(), Decision::Fail(failure));
}

#[test]
fn tags_are_read_only_for_a_stream_that_would_get_the_key_or_where_a_rule_depends_on_them() {
    assert_eq!(World::compliant().decide(), IN_SYNC);
    assert_eq!(World { tags: None, ..World::unencrypted() }.decide(), Decision::Need(Fact::Tags));
    let rule = r#"{"name": "legacy", "match": {"tags": {"team": "*"}}, "mode": "exempt", "reason": "legacy"}"#;
    let by_rule = World::compliant().with_policy(rule);
    assert_eq!(by_rule.decide(), Decision::Need(Fact::Tags));
    // Before the stream is ACTIVE nothing depends on them yet.
    let updating = by_rule.with_status(StreamStatus::Updating);
    assert_eq!(updating.decide(), Decision::Poll(Pending::Status(StreamStatus::Updating)));
}

#[test]
fn exemptions_fail_closed() {
    let world = World::unencrypted();
    let exempt = world.clone().with_tag("load test");
    assert_eq!(exempt.decide(), Decision::Done(Settled::Exempt(exempt_by_tag("load test", None))));
    assert_eq!(exempt.verdict().warnings, [Warning::ExemptionWithoutEnd]);
    assert_eq!(world.clone().with_tag("until=soon").refused_with(), code::EXEMPTION_MALFORMED);
    let expired = world.with_tag("load test until=2026-11-23");
    assert_eq!(expired.decide(), APPLY);
    let (reason, until) = ("load test".to_owned(), "2026-11-23".to_owned());
    assert_eq!(expired.verdict().warnings, [Warning::ExemptionExpired { reason, until }]);
}

#[test]
fn a_rule_that_cannot_be_decided_leaves_the_stream_alone() {
    let rule = r#"{"name": "on-demand", "match": {"streamMode": "ON_DEMAND"}, "mode": "exempt", "reason": "x"}"#;
    let mut world = World::unencrypted().with_policy(rule);
    world.stream.mode = None;
    assert_eq!(world.refused_with(), code::POLICY_UNDECIDED);
}

#[test]
fn an_unusable_key_is_never_applied_and_is_at_risk_where_it_is_in_place() {
    let world = World::unencrypted().with_desired(desired(Some(trouble())));
    assert_eq!(world.decide(), Decision::Fail(trouble()));
    let mut in_place = world.clone().with_current(key(DESIRED));
    assert_eq!(in_place.decide(), Decision::Done(Settled::KeyAtRisk(trouble())));
    in_place.request = RequestFacts { reapply: Some(Reapply::Asked), by_person: true, ..in_place.request };
    assert_eq!(in_place.decide(), Decision::Fail(trouble()));
    // An exempt stream is no failure even then.
    assert!(matches!(world.with_tag("load test").decide(), Decision::Done(Settled::Exempt(_))));
}

#[test]
fn a_key_that_is_in_place_is_re_applied_once_where_somebody_asked() {
    let mut world = World { tags: Some(Vec::new()), ..World::compliant() };
    world.request = RequestFacts { reapply: Some(Reapply::Asked), by_person: true, ..world.request };
    assert_eq!(world.decide(), Decision::Apply(ApplyReason::Asked));
    assert_eq!(World { start: Some(started(true, true, JUST_NOW)), ..world }.decide(), IN_SYNC);
}

#[test]
fn a_rotation_re_applies_the_rotated_key_to_streams_that_have_it_unless_they_were_seen_changing() {
    let mut world = World { tags: Some(Vec::new()), history: Read(vec![]), ..World::compliant() };
    world.request.reapply = Some(Reapply::Rotated);
    for (rotated, seen_changing, decision) in [
        (Some(DESIRED), false, Decision::Apply(ApplyReason::Rotated)),
        (Some(DESIRED), true, IN_SYNC),
        (Some(OTHER), false, IN_SYNC),
        (None, false, IN_SYNC),
    ] {
        world.trigger.rotated_key = rotated.map(arn);
        world.seen_changing = seen_changing;
        assert_eq!(world.decide(), decision, "{rotated:?}, {seen_changing}");
    }
}

#[test]
fn being_in_sync_after_a_start_is_the_verification_whatever_became_of_its_answer() {
    for start in [started(true, false, JUST_NOW), started(true, true, JUST_NOW), started(false, false, LONG_AGO)] {
        assert_eq!(World { start: Some(start), ..World::compliant() }.decide(), IN_SYNC);
    }
}

#[test]
fn after_a_start_a_stream_is_never_started_again() {
    let after = |start| World { start: Some(start), ..World::unencrypted() };
    assert_eq!(after(started(true, false, JUST_NOW)).decide(), Decision::Poll(Pending::NotVisible));
    assert_eq!(after(started(false, false, JUST_NOW)).decide(), Decision::Poll(Pending::Unconfirmed));
    assert_eq!(after(started(false, true, JUST_NOW)).decide(), Decision::Poll(Pending::Unconfirmed));
    assert_eq!(after(started(true, true, JUST_NOW)).decide(), Decision::Poll(Pending::Undone));
    assert_eq!(after(started(true, false, VISIBILITY_LIMIT)).refused_with(), code::ACCEPTED_NOT_VISIBLE);
    assert_eq!(after(started(false, false, VISIBILITY_LIMIT)).refused_with(), code::START_UNCONFIRMED);
    assert_eq!(after(started(false, true, VISIBILITY_LIMIT)).refused_with(), code::START_UNCONFIRMED);
}

#[test]
fn nobody_is_accused_of_undoing_a_start_by_one_description() {
    let shown_for = |undone_for| {
        let start = StartFacts { undone_for, ..started(true, true, LONG_AGO) };
        let mut world = World { start: Some(start), ..World::unencrypted() };
        world.request.queue = Some(QueueUse::Message);
        world
    };
    for undone_for in [None, Some(Duration::ZERO), Some(Duration::from_millis(4_999))] {
        assert_eq!(shown_for(undone_for).decide(), Decision::Poll(Pending::Undone), "{undone_for:?}");
    }
    assert_eq!(shown_for(Some(SECOND_LOOK)).refused_with(), code::UNDONE);
    let late = World { time_left: Duration::ZERO, ..shown_for(None) };
    let Decision::Defer(Deferral { until: DeferReason::Unsettled { what, .. }, .. }) = late.decide() else {
        panic!("{:?}", late.decide())
    };
    assert!(what.starts_with("started, not yet confirmed: the stream became ACTIVE without the key"), "{what}");
}

/// By what led to the request, and by whether the stream was started: how many seconds it is waited
/// for in place, and after how many seconds it is looked at again.
#[test]
fn a_stream_that_aws_is_changing_is_waited_for_in_place_only_as_long_as_that_pays() {
    let updating = World::unencrypted().with_status(StreamStatus::Updating);
    for (queue, start, in_place, afterwards) in [
        (QueueUse::Direct, false, 30, 30),
        (QueueUse::Message, false, 3, 30),
        (QueueUse::ScheduledSweep, false, 0, 300),
        (QueueUse::Direct, true, 60, 30),
        (QueueUse::Message, true, 60, 30),
        (QueueUse::ScheduledSweep, true, 60, 30),
    ] {
        let after = |milliseconds: u64| {
            let ago = Duration::from_millis(milliseconds);
            let start = start.then(|| started(true, true, ago));
            // The stream has been in hand for longer than since its start.
            let in_hand = if start.is_some() { ago + MINUTE } else { ago };
            let mut world = World { in_hand, start, ..updating.clone() };
            world.request.queue = Some(queue);
            world.decide()
        };
        let waits = Decision::Poll(Pending::Status(StreamStatus::Updating));
        if in_place > 0 {
            assert_eq!(after(in_place * 1_000 - 1), waits, "{queue:?} {start}");
        }
        let what = if start { "started, not yet confirmed" } else { "not started" };
        let until = DeferReason::Unsettled { what: format!("{what}: the stream is UPDATING"), applied: vec![] };
        let deferred = Decision::Defer(Deferral { after: Duration::from_secs(afterwards), until });
        assert_eq!(after(in_place * 1_000), deferred, "{queue:?} {start}");
    }
    // Without a work queue the time of the invocation is the limit.
    let without = World { in_hand: 4 * MINUTE, ..updating };
    assert_eq!(without.decide(), Decision::Poll(Pending::Status(StreamStatus::Updating)));
}

#[test]
fn a_wait_in_the_queue_ends_by_its_age_in_a_dead_letter_or_with_the_next_sweep() {
    let waited = |queue, hours| {
        let mut world = World { in_hand: MINUTE, ..World::unencrypted().with_status(StreamStatus::Updating) };
        world.request = RequestFacts { queue: Some(queue), ..RequestFacts::default() };
        world.trigger.wait.since = Some(now() - TimeDelta::hours(hours));
        world.decide()
    };
    assert!(matches!(waited(QueueUse::Message, 47), Decision::Defer(_)));
    let Decision::Fail(failure) = waited(QueueUse::Message, 48) else { panic!("{:?}", waited(QueueUse::Message, 48)) };
    assert_eq!((failure.code.as_str(), failure.class), (code::STILL_UPDATING, Class::Terminal));
    assert!(failure.message.contains("not started: the stream is UPDATING, after 48 hours"), "{}", failure.message);
    assert!(failure.remedy.contains("what keeps the stream"), "{}", failure.remedy);
    let left = Decision::Done(Settled::LeftToSweep("not started: the stream is UPDATING".to_owned()));
    assert_eq!(waited(QueueUse::ScheduledSweep, 1), left);
}

#[test]
fn a_stream_that_aws_calls_in_use_is_waited_for_as_one_that_is_updating() {
    let refused = |queue, in_hand| {
        let refusal = Some(refused_start("ResourceInUseException", 1, Some(Duration::from_secs(2))));
        let mut world = World { refusal, in_hand: Duration::from_secs(in_hand), ..World::unencrypted() };
        world.request.queue = Some(queue);
        world.decide()
    };
    let pause = Decision::Pause(Duration::from_secs(2), PauseReason::InUse);
    assert_eq!(refused(QueueUse::Direct, 27), pause);
    assert_eq!(refused(QueueUse::Message, 0), pause);
    for decision in [refused(QueueUse::Direct, 28), refused(QueueUse::Message, 1), refused(QueueUse::ScheduledSweep, 0)]
    {
        let Decision::Defer(Deferral { until: DeferReason::Unsettled { what, .. }, .. }) = decision else {
            panic!("{decision:?}")
        };
        assert!(what.starts_with("not started: ") && what.contains("ResourceInUseException"), "{what}");
    }
}

#[test]
fn a_message_that_asks_for_the_key_to_be_re_applied_obeys_the_limit_and_a_person_does_not() {
    let mut world = World { tags: Some(Vec::new()), ..World::compliant() };
    for reapply in [Reapply::Asked, Reapply::Rotated] {
        world.trigger.rotated_key = Some(arn(DESIRED));
        world.request.reapply = Some(reapply);
        let own = |count: i64| (1..=count).map(|minutes| start_of(10 * minutes, Some(OWN_ROLE))).collect::<Vec<_>>();
        assert_eq!(world.decide(), Decision::Need(Fact::ChangeHistory), "{reapply:?}");
        for history in [Read(own(4)), Partial(own(4))] {
            let world = World { history, ..world.clone() };
            assert!(matches!(world.decide(), Decision::Apply(_)), "{reapply:?}: {:?}", world.decide());
        }
        for (history, says) in
            [(Read(own(5)), "we applied the key 5 times"), (Partial(own(5)), "5 times"), (Unreadable, "cannot be read")]
        {
            let Verdict { decision, warnings, .. } = World { history, ..world.clone() }.verdict();
            assert_eq!(decision, IN_SYNC, "{reapply:?}");
            let [Warning::NotReapplied { because }] = &warnings[..] else { panic!("{warnings:?}") };
            assert!(because.contains(says), "{because}");
        }
        let mut by_person = World { history: Read(own(24)), ..world.clone() };
        by_person.request.by_person = true;
        if reapply == Reapply::Asked {
            assert_eq!(by_person.decide(), Decision::Apply(ApplyReason::Asked));
        }
    }
    world.request = RequestFacts { reapply: None, reapply_refused: true, ..world.request };
    let Verdict { decision, warnings, .. } = world.verdict();
    assert_eq!(decision, IN_SYNC);
    assert!(
        matches!(&warnings[..], [Warning::NotReapplied { because }] if because.contains("work queue")),
        "{warnings:?}"
    );
}

#[test]
fn at_the_deadline_the_last_observation_says_how_far_it_came() {
    let end = |world: World| World { time_left: Duration::ZERO, ..world };
    for (start, says) in [
        (None, "not started: the stream is UPDATING"),
        (Some(started(true, true, JUST_NOW)), "started, not yet confirmed: the stream is UPDATING"),
        (Some(started(false, true, JUST_NOW)), "perhaps started, not yet confirmed"),
    ] {
        let world = end(World { start, ..World::unencrypted() }).with_status(StreamStatus::Updating);
        let Decision::Fail(failure) = world.decide() else { panic!("{world:?}") };
        assert_eq!(failure.code, code::STILL_UPDATING);
        assert!(failure.message.contains(says), "{}", failure.message);
    }
    assert_eq!(end(World::unencrypted()).refused_with(), code::OUT_OF_TIME);
    // What AWS refused before says more; a start that was sent since says more still.
    let refused = Some(Failure::new(Step::StartStreamEncryption, "ResourceInUseException", &"orders", ""));
    let world = end(World { last_refusal: refused, ..World::unencrypted() });
    assert_eq!(world.refused_with(), "ResourceInUseException");
    let updating = world.with_status(StreamStatus::Updating);
    assert_eq!(updating.refused_with(), "ResourceInUseException");
    assert_eq!(World { start: Some(started(true, true, JUST_NOW)), ..updating }.refused_with(), code::STILL_UPDATING);
}

#[test]
fn an_old_observation_is_repeated_before_a_start() {
    let world = World { observed_ago: FRESH + Duration::from_millis(1), ..World::unencrypted() };
    assert_eq!(world.decide(), Decision::Need(Fact::FreshObservation));
    assert_eq!(World { observed_ago: FRESH, ..world }.decide(), APPLY);
}

/// By who changed the stream, its age and how long it has been ACTIVE: how much of a minute's grace
/// is left.
#[test]
fn whoever_may_still_be_working_on_a_stream_is_waited_for() {
    use Actor::{InfrastructureAsCode as Tool, Other};
    for (actor, age, active, deferrals, left) in [
        (None, 60, None, 0, 0),
        (None, 14, None, 0, 60),
        (None, 15, None, 0, 0),
        (Some(Other), 1, None, 0, 0),
        (Some(Tool), 60, None, 0, 60),
        (Some(Tool), 60, Some(20), 0, 40),
        (Some(Tool), 60, Some(60), 0, 0),
        (Some(Tool), 60, Some(7_200), 0, 0),
        // The stream was created again since: it has been ACTIVE for a minute at most.
        (Some(Tool), 0, Some(7_200), 0, 60),
        (Some(Tool), 60, None, 4, 60),
        (Some(Tool), 60, None, 5, 0),
    ] {
        let mut world = World { tags: None, ..World::unencrypted() };
        world.stream.created = Some(minutes_ago(age));
        let active_since = active.map(|seconds| now() - TimeDelta::seconds(seconds));
        world.trigger.grace = GraceState { actor, active_since, deferrals };
        let deferred = Decision::Defer(Deferral {
            after: Duration::from_secs(left),
            until: DeferReason::Grace { since: active_since },
        });
        let expected = if left == 0 { Decision::Need(Fact::Tags) } else { deferred };
        assert_eq!(world.decide(), expected, "{actor:?}, {age}, {active:?}, {deferrals}");
    }
}

#[test]
fn the_grace_period_is_waited_for_here_where_nothing_can_be_requeued_and_only_if_the_stream_is_to_be_touched() {
    let mut world = World { tags: None, ..World::unencrypted() };
    world.trigger.grace.actor = Some(Actor::InfrastructureAsCode);
    world.request.can_requeue = false;
    assert_eq!(world.decide(), Decision::Pause(MINUTE, PauseReason::Grace));
    assert_eq!(World { time_left: MINUTE, ..world.clone() }.refused_with(), code::OUT_OF_TIME);
    assert_eq!(world.clone().with_current(key(DESIRED)).decide(), IN_SYNC);
    // Nobody has to wait for a stream that is only judged.
    assert_eq!(World { may_write: false, ..world.clone() }.decide(), Decision::Need(Fact::Tags));
    let start = Some(started(true, false, JUST_NOW));
    assert_eq!(World { start, ..world }.decide(), Decision::Poll(Pending::NotVisible));
}

#[test]
fn without_the_means_to_write_the_impact_is_looked_up_and_reported() {
    let mut audit_by_rule =
        World::unencrypted().with_policy(r#"{"name": "watch", "match": {"stream": "*"}, "mode": "audit"}"#);
    audit_by_rule.request.by_name = true;
    for world in [World { may_write: false, ..World::unencrypted() }, audit_by_rule] {
        assert_eq!(world.decide(), Decision::Need(Fact::Impact));
        let mut world = World { impact: Some(ImpactFacts::default()), ..world }.contested(false);
        world.stream.consumers = Some(2);
        assert_eq!(world.decide(), Decision::Done(Settled::WouldApply(ApplyReason::Unencrypted)));
        let [Warning::ConsumersNeedDecrypt { consumers: 2 }, Warning::UndoneBy { times: 1, .. }] =
            &world.verdict().warnings[..]
        else {
            panic!("{:?}", world.verdict().warnings)
        };
    }
}

#[test]
fn a_key_is_related_to_a_stream_by_its_account() {
    let rule = r#"{"name": "a", "match": {"stream": "x"}, "key": "arn:aws:kms:us-east-1:123412341234:alias/central"}"#;
    let world = World::compliant().with_policy(rule);
    let facts = |own| Enforcement {
        policy: &world.policy,
        exempt_tag_key: None,
        iac_grace: MINUTE,
        max_applies: 5,
        accounts: ManagedAccounts { own, members: &world.members },
    };
    let arn = &world.stream.arn;
    for (account, related) in [
        (arn.account(), true),
        ("444455556666", true),
        ("777788889999", true),
        ("123412341234", true),
        ("999988887777", false),
        ("", false),
    ] {
        assert_eq!(facts(Some("444455556666")).is_related(account, arn), related, "{account}");
    }
    assert!(!facts(None).is_related("444455556666", arn));
    let unrelated = CurrentKey::OfUnrelatedAccount { key_id: OTHER.to_owned() };
    let reason = ApplyReason::KeyOfUnrelatedAccount(OTHER.to_owned());
    assert_eq!(World::unencrypted().with_current(unrelated).decide(), Decision::Apply(reason));
}

#[test]
fn what_another_principal_changed_is_re_encrypted_later_and_later_and_in_the_end_not_at_all() {
    let world = World::unencrypted().contested(false);
    assert_eq!(world.decide(), Decision::Need(Fact::ChangeHistory));
    let mut history = Vec::new();
    for (count, minutes) in [(0, 0), (1, 1), (2, 5), (3, 15), (4, 15)] {
        let world = World { history: Read(history.clone()), ..world.clone() };
        match world.decide() {
            Decision::Apply(_) => assert_eq!(minutes, 0, "{count}"),
            Decision::Defer(Deferral { after, until: DeferReason::Contest { applied } }) => {
                assert_eq!((after, applied.len()), (Duration::from_mins(minutes), count));
            }
            other => panic!("{count}: {other:?}"),
        }
        // Where the delay was served, and where nothing can be requeued, it is applied.
        let served = World { history: Read(history.clone()), ..world.clone().contested(true) };
        assert_eq!(served.decide(), APPLY);
        let mut here = world.clone();
        here.request.can_requeue = false;
        assert_eq!(here.decide(), APPLY);
        history.insert(0, start_of(60 - 10 * i64::try_from(count).expect("few"), Some(OWN_ROLE)));
    }
    let world = World { history: Read(history), ..world };
    assert_eq!(world.refused_with(), code::CONTESTED);
    assert!(matches!(world.verdict().warnings[..], [Warning::UndoneBy { times: 1, .. }]));
    // A person who names the stream, or asks for the key to be re-applied, does not wait.
    let mut by_name = world.clone();
    by_name.request.by_name = true;
    assert_eq!(by_name.refused_with(), code::CONTESTED, "anybody may have written the message");
    by_name.request.by_person = true;
    assert_eq!(by_name.decide(), APPLY);
    let mut asked = world.with_current(key(DESIRED));
    asked.request = RequestFacts { reapply: Some(Reapply::Asked), by_person: true, ..asked.request };
    assert_eq!(asked.decide(), Decision::Apply(ApplyReason::Asked));
}

#[test]
fn a_history_that_cannot_be_read_means_the_longest_delay() {
    let world = World { history: Unreadable, ..World::unencrypted().contested(false) };
    let longest = Deferral { after: Duration::from_mins(15), until: DeferReason::Contest { applied: vec![] } };
    assert_eq!(world.decide(), Decision::Defer(longest));
}

#[test]
fn without_a_foreign_change_the_history_is_not_read_but_what_the_process_remembers_counts() {
    let accepted: Vec<_> = (1..=5).map(minutes_ago).collect();
    let world = World { accepted, ..World::unencrypted() };
    assert_eq!(world.refused_with(), code::CONTESTED);
    assert_eq!(World { max_applies: 6, ..world }.decide(), APPLY);
}

#[test]
fn a_refused_start_is_backed_off_from_as_long_as_that_may_help() {
    let refused =
        |code: &str, count, delay| World { refusal: Some(refused_start(code, count, delay)), ..World::unencrypted() };
    let short = Some(Duration::from_secs(1));
    for (code, reason) in
        [("ResourceInUseException", PauseReason::InUse), ("KMSThrottlingException", PauseReason::Throttled)]
    {
        assert_eq!(refused(code, 1, None).decide(), Decision::Need(Fact::RetryDelay), "{code}");
        assert_eq!(refused(code, 1, short).decide(), Decision::Pause(JUST_NOW, reason), "{code}");
    }
    assert_eq!(refused("KMSThrottlingException", MOST_STARTS, short).refused_with(), "KMSThrottlingException");
    let late = World { time_left: JUST_NOW, ..refused("KMSThrottlingException", 1, short) };
    assert_eq!(late.refused_with(), "KMSThrottlingException");
    // A stream in use is waited for to the end: the last observation says what it was.
    let in_use = World { time_left: JUST_NOW, ..refused("ResourceInUseException", 9, short) };
    assert_eq!(in_use.decide(), Decision::Pause(JUST_NOW, PauseReason::InUse));
    for code in ["AccessDeniedException", "KMSDisabledException", "ValidationException"] {
        assert_eq!(refused(code, 1, None).refused_with(), code);
    }
    let gone = refused("ResourceNotFoundException", 1, None).decide();
    assert!(matches!(gone, Decision::Done(Settled::Gone(_))), "{gone:?}");
}

#[test]
fn a_used_up_quota_is_told_from_throttling_by_the_history() {
    let world = World { refusal: Some(refused_start("LimitExceededException", 1, None)), ..World::unencrypted() };
    assert_eq!(world.decide(), Decision::Need(Fact::ChangeHistory));
    let starts: Vec<_> = (1..=25).map(|minutes| start_of(minutes, None)).collect();
    let used_up = World { history: Read(starts.clone()), ..world.clone() };
    assert_eq!(used_up.refused_with(), code::ALLOWANCE_SPENT);
    for history in [Read(starts[..24].to_vec()), Unreadable] {
        assert_eq!(World { history, ..world.clone() }.decide(), Decision::Need(Fact::RetryDelay));
    }
    // Where others fill the history, a start is not repeated in place, and a scheduled sweep leaves
    // the stream to the next one.
    let mut flooded = World { history: Partial(starts[..24].to_vec()), ..world };
    assert_eq!(flooded.refused_with(), "LimitExceededException");
    flooded.request.queue = Some(QueueUse::ScheduledSweep);
    let Decision::Done(Settled::LeftToSweep(what)) = flooded.decide() else { panic!("{:?}", flooded.decide()) };
    assert!(what.contains("too long to tell whether the quota is used up"), "{what}");
}

#[test]
fn a_rule_that_exempts_goes_before_everything_but_the_end_of_the_stream() {
    let rule = r#"{"name": "old", "match": {"stream": "orders"}, "mode": "exempt", "reason": "legacy", "until": "2027-01-01"}"#;
    for status in [StreamStatus::Active, StreamStatus::Creating, StreamStatus::Updating] {
        let world = World { tags: None, keys: None, ..World::unencrypted() }.with_policy(rule).with_status(status);
        let Decision::Done(Settled::Exempt(because)) = world.decide() else { panic!("{:?}", world.decide()) };
        assert!(because.contains("old") && because.contains("legacy"), "{because}");
    }
    let deleting = World::unencrypted().with_policy(rule).with_status(StreamStatus::Deleting).decide();
    assert!(matches!(deleting, Decision::Done(Settled::Gone(_))), "{deleting:?}");
}

#[test]
fn the_key_is_applied_by_its_arn_and_that_of_aws_by_its_alias() {
    assert_eq!(desired(None).key_id(), DESIRED);
    assert_eq!(DesiredKey::AwsManaged.key_id(), "alias/aws/kinesis");
}

#[test]
fn every_decision_has_its_words() {
    let alias: AliasName = "alias/streams".parse().expect("an alias");
    for (words, says) in [
        (InSync::DesiredKey.to_string(), "the configured key"),
        (InSync::AcceptedKey.to_string(), "ON_OTHER_KEY=accept"),
        (ApplyReason::Unencrypted.to_string(), "is not encrypted"),
        (ApplyReason::Unencrypted.in_the_past(), "was not encrypted"),
        (ApplyReason::AwsManagedKey.to_string(), "AWS managed key"),
        (ApplyReason::OtherKey("alias/lost".to_owned()).to_string(), "another key, alias/lost"),
        (ApplyReason::KeyOfUnrelatedAccount(OTHER.to_owned()).to_string(), "a key of an unrelated account, arn:"),
        (ApplyReason::RepointedAlias(alias).to_string(), "alias/streams, which was re-pointed"),
        (ApplyReason::Asked.to_string(), "asks for the key to be re-applied"),
        (ApplyReason::Rotated.to_string(), "ON_KEY_ROTATION=reapply"),
        (Pending::Status(StreamStatus::Updating).to_string(), "the stream is UPDATING"),
        (Pending::NotVisible.to_string(), "does not show yet"),
        (Pending::Unconfirmed.to_string(), "answer was lost"),
    ] {
        assert!(words.contains(says), "{words}");
    }
}

fn any_world() -> impl Strategy<Value = World> {
    let current = prop_oneof![
        Just(CurrentKey::Unencrypted),
        Just(CurrentKey::AwsManaged),
        Just(key(DESIRED)),
        Just(key(OTHER)),
        Just(by_alias(DESIRED, "alias/streams")),
        Just(CurrentKey::Unreadable(trouble())),
    ];
    let status = prop_oneof![
        4 => Just(StreamStatus::Active),
        1 => Just(StreamStatus::Updating),
        1 => Just(StreamStatus::Creating),
        1 => Just(StreamStatus::Deleting),
    ];
    let tags = prop::option::of(prop_oneof![
        Just(vec![]),
        Just(vec![(TAG.to_owned(), "load test".to_owned())]),
        Just(vec![(TAG.to_owned(), "until=soon".to_owned())]),
    ]);
    let refusal = prop::option::weighted(
        0.2,
        (
            prop::sample::select(vec!["LimitExceededException", "ResourceInUseException", "AccessDeniedException"]),
            1..5_u32,
        )
            .prop_map(|(code, count)| (Failure::new(Step::StartStreamEncryption, code, &"orders", ""), count, None)),
    );
    let start = prop::option::weighted(
        0.3,
        (any::<bool>(), any::<bool>(), 0..90_u64).prop_map(|(accepted, seen_updating, ago)| StartFacts {
            accepted,
            seen_updating,
            undone_for: (ago > 30).then_some(Duration::from_secs(ago / 5)),
            ago: Duration::from_secs(ago),
        }),
    );
    let history = prop_oneof![
        Just(NotRead),
        Just(Unreadable),
        Just(Partial(vec![])),
        (0..26_i64).prop_map(|count| Read((0..count).map(|minutes| start_of(minutes + 1, Some(OWN_ROLE))).collect())),
    ];
    let reapply = prop::option::of(prop_oneof![Just(Reapply::Asked), Just(Reapply::Rotated)]);
    let queue =
        prop::option::of(prop_oneof![Just(QueueUse::Direct), Just(QueueUse::Message), Just(QueueUse::ScheduledSweep)]);
    let halts = prop::option::of(prop_oneof![Just(Halt::None), Just(halted()), Just(used_up())]);
    let request = (reapply, queue, any::<bool>(), any::<bool>(), halts);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let times = (0..5_u64, 0..300_u64, 0..90_i64);
    (current, status, tags, refusal, start, history, request, flags, times).prop_map(
        |(current, status, tags, refusal, start, history, request, flags, (observed, left, age))| {
            let (reapply, queue, by_person, sweeps, halt) = request;
            let (may_write, can_requeue, by_name, foreign, iac, unusable) = flags;
            let mut world = World {
                tags,
                refusal,
                start,
                history,
                may_write,
                observed_ago: Duration::from_secs(observed),
                time_left: Duration::from_secs(left),
                request: RequestFacts {
                    reapply,
                    reapply_refused: false,
                    by_name,
                    by_person,
                    can_requeue,
                    queue,
                    in_depth: false,
                    sweeps,
                },
                halt,
                ..World::compliant()
            }
            .with_current(current)
            .with_status(status)
            .with_desired(desired(unusable.then(trouble)));
            world.stream.created = Some(minutes_ago(age));
            world.trigger.rotated_key = Some(arn(DESIRED));
            world.trigger.grace.actor = iac.then_some(Actor::InfrastructureAsCode);
            if foreign { world.contested(false) } else { world }
        },
    )
}

fn halted() -> Halt {
    Halt::On { since: minutes_ago(10), until: minutes_ago(-50), because: "billing cannot use orders".to_owned() }
}

fn used_up() -> Halt {
    Halt::UsedUp { because: "billing cannot use orders".to_owned() }
}

#[test]
fn a_stream_of_a_sweep_is_left_alone_while_sweeps_are_halted_and_any_other_is_not() {
    let world = World::unencrypted();
    assert!(matches!(world.decide(), Decision::Apply(_)), "an event asks for nothing");
    let event = World { halt: Some(halted()), ..world.clone() };
    assert!(matches!(event.decide(), Decision::Apply(_)));
    let sweep = World { request: RequestFacts { sweeps: true, ..world.request }, ..world };
    assert_eq!(sweep.decide(), Decision::Need(Fact::Halt));
    assert_eq!(
        World { may_write: false, impact: Some(ImpactFacts::default()), ..sweep.clone() }.verdict().warnings,
        []
    );
    let left = World { halt: Some(halted()), ..sweep.clone() };
    let Verdict { decision: Decision::Done(Settled::LeftToSweep(what)), warnings, .. } = left.verdict() else {
        panic!("{:?}", left.decide())
    };
    assert!(what.starts_with("halted: billing cannot use orders. ") && what.contains("2026-11-24T12:50:00Z"), "{what}");
    assert!(matches!(warnings[..], [Warning::Halted { .. }]));
    let goes_on = World { halt: Some(used_up()), ..sweep.clone() }.verdict().warnings.clone();
    assert!(matches!(goes_on[..], [Warning::HaltUsedUp { .. }]), "{goes_on:?}");
    assert!(matches!(World { halt: Some(Halt::None), ..sweep }.decide(), Decision::Apply(_)));
}

proptest! {
    /// The invariants of a start, whatever else is the case.
    #[test]
    fn a_key_is_applied_only_where_everything_allows_it(world in any_world()) {
        if let Decision::Apply(_) = world.decide() {
            prop_assert_eq!(&world.stream.status, &StreamStatus::Active);
            prop_assert!(world.may_write && world.start.is_none() && world.refusal.is_none());
            prop_assert!(world.observed_ago <= FRESH && !world.time_left.is_zero());
            prop_assert_eq!(world.tags.as_deref(), Some(&[][..]), "tags were read, and exempt nothing");
            prop_assert!(world.keys_known().desired.trouble().is_none());
            let grace = grace::remaining(world.iac_grace, &world.trigger.grace, world.stream.created, now());
            prop_assert_eq!(grace, Duration::ZERO);
            let may_sweep = matches!(world.halt, Some(Halt::None | Halt::UsedUp { .. }));
            prop_assert!(may_sweep || !world.request.sweeps, "{:?}", world.halt);
        }
    }

    /// Facts are asked for until there is an answer: each at most once, so that the loop ends.
    #[test]
    fn asking_for_facts_comes_to_an_end(world in any_world()) {
        let mut world = World { keys: None, ..world.clone() };
        let keys = Ok(Keys { desired: desired(None), current: CurrentKey::Unencrypted });
        for _ in 0..8 {
            match world.decide() {
                Decision::Need(fact) => match fact {
                    Fact::Tags => { prop_assert!(world.tags.is_none()); world.tags = Some(vec![]); }
                    Fact::Keys => { prop_assert!(world.keys.is_none()); world.keys = Some(keys.clone()); }
                    Fact::Impact => { prop_assert!(world.impact.is_none()); world.impact = Some(ImpactFacts::default()); }
                    Fact::Halt => { prop_assert!(world.halt.is_none()); world.halt = Some(Halt::None); }
                    Fact::ChangeHistory => { prop_assert_eq!(&world.history, &NotRead); world.history = Unreadable; }
                    Fact::RetryDelay => {
                        let refusal = world.refusal.as_mut().expect("a refusal");
                        prop_assert!(refusal.2.is_none());
                        refusal.2 = Some(JUST_NOW);
                    }
                    Fact::FreshObservation => { prop_assert!(world.observed_ago > FRESH); world.observed_ago = Duration::ZERO; }
                },
                _ => return Ok(()),
            }
        }
        prop_assert!(false, "it never decides: {world:?}");
    }

    /// Without the means to write, nothing is applied, waited for out of courtesy, or put off.
    #[test]
    fn what_is_only_judged_is_never_put_off(world in any_world()) {
        let world = World { may_write: false, refusal: None, ..world };
        let decision = world.decide();
        let put_off = matches!(decision, Decision::Apply(_) | Decision::Defer(_) | Decision::Pause(..));
        prop_assert!(!put_off, "{decision:?}");
    }
}
