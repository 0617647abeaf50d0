//! Contested streams: another principal keeps changing the encryption of a stream.
//!
//! Terraform may do so at every apply, a second enforcer within seconds. So the key is re-applied
//! after a delay that grows with every application, and at `MAX_APPLIES_PER_DAY` not at all, until
//! a person has resolved the conflict.
//!
//! Sources: [StartStreamEncryption] (a key can be applied 25 times in a rolling 24 hours) and
//! [CloudTrail records].
//!
//! [StartStreamEncryption]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_StartStreamEncryption.html
//! [CloudTrail records]: https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::domain::cloudtrail::Principal;
use crate::domain::delay::LONGEST_SQS_DELAY;
use crate::domain::encryption_change::{Author, Change, ChangeKind, ForeignChange, QUOTA_WINDOW, START_QUOTA};
use crate::domain::failure::Failure;
use crate::domain::iac::IacTool;
use crate::domain::stream::StreamArn;

/// How much of the quota is left to people.
const LEFT_TO_PEOPLE: usize = 2;

/// The delay before the key is applied again, by how often we applied it in the last 24 hours. The
/// last is the longest delay of an SQS message.
const DELAYS: [Duration; 4] = [Duration::ZERO, Duration::from_mins(1), Duration::from_mins(5), LONGEST_SQS_DELAY];

/// CloudTrail has whole seconds, and its own clock: two records this close to each other are one
/// application.
const SAME: TimeDelta = TimeDelta::milliseconds(1_500);

/// What is known of the last 24 hours.
#[derive(Clone, Copy, Debug)]
pub struct ChangeEvidence<'a> {
    /// When this process had starts of the stream accepted.
    pub accepted: &'a [DateTime<Utc>],
    /// What `CloudTrail` has of the account's streams.
    pub recorded: Recorded<'a>,
    /// The function's role, which distinguishes its own changes from others'.
    pub own_role: Option<&'a str>,
}

/// What [LookupEvents] returned; it lags by up to 15 minutes.
///
/// [LookupEvents]: https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded<'a> {
    /// Nobody looked.
    NotRead,
    /// It cannot be read.
    Unreadable,
    /// It cannot be read at the moment.
    UnreadableNow(&'a Failure),
    /// Some of the changes, newest first: the history is too long to be read as a whole. Others can
    /// make it so with calls that AWS denies, so what is missing is not known not to have happened.
    Partial(&'a [Change]),
    /// All changes by the function, newest first, and by others as far as they could be read.
    Read(&'a [Change]),
}

impl<'a> Recorded<'a> {
    fn changes(self) -> &'a [Change] {
        match self {
            Self::Partial(changes) | Self::Read(changes) => changes,
            Self::NotRead | Self::Unreadable | Self::UnreadableNow(_) => &[],
        }
    }
}

/// What follows for a stream that is not compliant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ContestDecision {
    /// Apply the key.
    Apply,
    /// Apply the key after this time. The applications that are known are to be remembered.
    Defer(Duration, Vec<DateTime<Utc>>),
    /// Leave the stream alone.
    Stop(ContestReport),
}

/// Why a stream is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ContestReport {
    /// How often we applied the key in the last 24 hours.
    pub(super) applied: usize,
    /// How often anybody applied a key in that time.
    pub(super) used: usize,
    /// The last change by another principal, where that is known.
    pub(super) last: Option<ForeignChange>,
    /// How often others changed it in the last 24 hours.
    pub(super) undone: usize,
    /// From when on it may be touched again.
    pub(super) until: DateTime<Utc>,
}

/// What follows for `stream`, created at `created`, to which `key_id` is to be applied, when
/// another principal may keep changing its encryption. `foreign_change` is the change that the
/// event reports, or that a sweep found in the history.
pub(super) fn decide_contest(
    stream: &StreamArn,
    created: Option<DateTime<Utc>>,
    foreign_change: Option<&ForeignChange>,
    evidence: &ChangeEvidence<'_>,
    key_id: &str,
    max_applies: usize,
    now: DateTime<Utc>,
) -> ContestDecision {
    let since = window(created, now);
    let recorded = evidence.recorded.changes().iter();
    let changes = recorded.filter(|change| change.stream == stream.name() && change.at >= since);
    // A start by an unknown author is not evidence of a contest; once there is one, it is part of
    // the report.
    let (ours, others): (Vec<_>, Vec<_>) =
        changes.partition(|change| change.author(evidence.own_role, Some(key_id)) == Author::Ours);
    let handed_on = foreign_change.map(|change| change.applied.as_slice()).unwrap_or_default();
    let applied =
        merged(evidence.accepted.iter().chain(handed_on).copied().chain(ours.iter().map(|change| change.at)), since);
    let starts_of_others = others.iter().filter(|change| change.is_start());
    let mut starts: Vec<_> = applied.iter().copied().chain(starts_of_others.map(|change| change.at)).collect();
    starts.sort_unstable();
    let stop = |times: &[DateTime<Utc>], most: usize| {
        // The window opens when so many have left it that one more may be added.
        let opens = times.len().checked_sub(most).and_then(|index| times.get(index)).copied().unwrap_or(now);
        let newest = others.first().map(|change| ForeignChange::from(*change));
        let last = [newest, foreign_change.cloned()].into_iter().flatten().max_by_key(|change| change.at);
        let is_new = |change: &ForeignChange| !others.iter().any(|known| (known.at - change.at).abs() <= SAME);
        ContestDecision::Stop(ContestReport {
            applied: applied.len(),
            used: starts.len(),
            last,
            undone: others.len() + usize::from(foreign_change.is_some_and(is_new)),
            until: opens.checked_add_signed(QUOTA_WINDOW).unwrap_or(DateTime::<Utc>::MAX_UTC),
        })
    };
    if applied.len() >= max_applies {
        return stop(&applied, max_applies);
    }
    if starts.len() >= START_QUOTA - LEFT_TO_PEOPLE {
        return stop(&starts, START_QUOTA - LEFT_TO_PEOPLE);
    }
    match foreign_change {
        Some(change) if !change.delay_served => {
            let by_count = DELAYS.get(applied.len()).copied().unwrap_or(LONGEST_SQS_DELAY);
            let is_known = matches!(evidence.recorded, Recorded::Read(_));
            let delay = if is_known { by_count } else { LONGEST_SQS_DELAY };
            if delay.is_zero() { ContestDecision::Apply } else { ContestDecision::Defer(delay, applied) }
        }
        _ => ContestDecision::Apply,
    }
}

/// By stream name, the newest change that another principal made.
///
/// Of a history that was read in part, one of the `desired` keys that the function applied is
/// evidence as well: if the stream does not have it, somebody changed the stream later, by a call
/// that was not read. That a stream has another key that the function applied earlier proves nothing.
#[must_use]
pub fn foreign_changes(
    recorded: Recorded<'_>,
    own_role: Option<&str>,
    desired: &[String],
) -> HashMap<String, ForeignChange> {
    let mut newest = HashMap::new();
    for change in recorded.changes().iter().filter(|change| change.author(own_role, None) == Author::Theirs) {
        newest.entry(change.stream.clone()).or_insert_with(|| ForeignChange::from(change));
    }
    if let Recorded::Partial(changes) = recorded {
        let is_desired = |change: &&Change| match &change.kind {
            ChangeKind::Started { key_id } => desired.contains(key_id),
            ChangeKind::Stopped => false,
        };
        let ours = changes.iter().filter(|change| change.author(own_role, None) == Author::Ours);
        for change in ours.filter(is_desired) {
            let unread = Change { kind: ChangeKind::Stopped, by: Principal::default(), role: None, ..change.clone() };
            newest.entry(change.stream.clone()).or_insert_with(|| ForeignChange::from(&unread));
        }
    }
    newest
}

/// How often other principals changed the encryption of the stream `name`, as far as that was
/// looked up.
pub(super) fn count_of_foreign_changes(name: &str, evidence: &ChangeEvidence<'_>) -> usize {
    let changes = evidence.recorded.changes().iter().filter(|change| change.stream == name);
    changes.filter(|change| change.author(evidence.own_role, None) == Author::Theirs).count()
}

/// When a key can be applied again, if the quota is used up as far as is known.
pub(super) fn quota_available_at(
    stream: &StreamArn,
    created: Option<DateTime<Utc>>,
    evidence: &ChangeEvidence<'_>,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let recorded = evidence.recorded.changes().iter();
    let started = recorded.filter(|change| change.stream == stream.name() && change.is_start());
    let starts = merged(evidence.accepted.iter().copied().chain(started.map(|change| change.at)), window(created, now));
    let first = starts.len().checked_sub(START_QUOTA)?;
    starts.get(first).map(|first| *first + QUOTA_WINDOW)
}

/// The time from which applications count: those to an earlier stream of the same name do not.
fn window(created: Option<DateTime<Utc>>, now: DateTime<Utc>) -> DateTime<Utc> {
    created.map_or(now - QUOTA_WINDOW, |created| created.max(now - QUOTA_WINDOW))
}

/// The times after `since`, in their order, each once.
fn merged(times: impl Iterator<Item = DateTime<Utc>>, since: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let mut times: Vec<_> = times.filter(|at| *at >= since).collect();
    times.sort_unstable();
    times.dedup_by(|later, earlier| *later - *earlier <= SAME);
    times
}

impl fmt::Display for ContestReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { applied, used, last, undone, until } = self;
        let by = match last {
            None => "another principal keeps changing it".to_owned(),
            Some(ForeignChange { at, kind, by, .. }) => {
                let what = match kind {
                    ChangeKind::Started { key_id } => format!("applied {key_id}"),
                    ChangeKind::Stopped => "stopped encryption".to_owned(),
                };
                let agent = by.user_agent.as_deref().map(|agent| format!(" with {agent}")).unwrap_or_default();
                let who = by.arn.as_deref().unwrap_or("an unknown principal");
                format!("{who}{agent} {what} last, at {}; others changed it {undone} times", seconds(*at))
            }
        };
        write!(
            f,
            "in the last 24 hours we applied the key {applied} times, of {used} in all, and AWS allows {START_QUOTA}: \
             {by}. It is left alone until {}",
            seconds(*until)
        )
    }
}

impl ContestReport {
    /// What a person should change, given the key that the stream is to have.
    pub(super) fn remedy(&self, key_id: &str) -> String {
        let by = self.last.as_ref().map(|last| &last.by);
        let mut names = by.into_iter().flat_map(|by| [by.user_agent.as_deref(), by.arn.as_deref()]).flatten();
        let tool = |text: &str| {
            // A role of CloudFormation's has its name, not the service's host name.
            let of_cloudformation = || text.to_ascii_lowercase().contains("cloudformation");
            IacTool::named_in(text).or_else(|| of_cloudformation().then_some(IacTool::CloudFormation))
        };
        let change = match names.find_map(tool) {
            Some(IacTool::Terraform) => {
                format!(
                    "in its aws_kinesis_stream resource set encryption_type = \"KMS\" and kms_key_id = \"{key_id}\""
                )
            }
            Some(IacTool::Pulumi) => {
                format!("in its aws.kinesis.Stream set encryptionType to \"KMS\" and kmsKeyId to \"{key_id}\"")
            }
            Some(IacTool::Ansible) => {
                format!(
                    "in its community.aws.kinesis_stream task set encryption_state: enabled, encryption_type: KMS and \
                     key_id: \"{key_id}\""
                )
            }
            Some(IacTool::Crossplane) => {
                format!(
                    "in its Stream resource set spec.forProvider.encryptionType to KMS and \
                     spec.forProvider.kmsKeyId to \"{key_id}\""
                )
            }
            Some(IacTool::CloudFormation | IacTool::CloudControl) => {
                format!(
                    "in its AWS::Kinesis::Stream set StreamEncryption to {{EncryptionType: KMS, KeyId: \"{key_id}\"}}"
                )
            }
            Some(IacTool::Ack) | None
                if matches!(self.last, Some(ForeignChange { kind: ChangeKind::Started { .. }, .. })) =>
            {
                "agree with them on one key for the stream; two programs that enforce different keys never stop"
                    .to_owned()
            }
            Some(IacTool::Ack) | None => "agree with them that the stream stays encrypted".to_owned(),
        };
        format!(
            "{change}; or exempt the stream with a tag or a policy rule. Then request it by name, {{\"stream\": …}}, \
             which is not delayed"
        )
    }
}

fn seconds(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "arn:aws:iam::111122223333:role/enforcer";

    fn now() -> DateTime<Utc> {
        "2026-11-24T12:00:00Z".parse().expect("a time")
    }

    fn stream() -> StreamArn {
        "arn:aws:kinesis:us-east-1:111122223333:stream/orders".parse().expect("an ARN")
    }

    fn minutes_ago(minutes: i64) -> DateTime<Utc> {
        now() - TimeDelta::minutes(minutes)
    }

    fn change(minutes: i64, kind: ChangeKind, own: bool) -> Change {
        let (arn, role) = if own {
            ("arn:aws:sts::1:assumed-role/enforcer/x", Some(OWN))
        } else {
            ("arn:aws:iam::1:user/terraform", None)
        };
        let by = Principal {
            arn: Some(arn.to_owned()),
            user_agent: Some("APN/1.0 HashiCorp/1.0 Terraform/1.9.8".to_owned()),
        };
        Change { at: minutes_ago(minutes), stream: "orders".to_owned(), kind, by, role: role.map(str::to_owned) }
    }

    fn started(minutes: i64, own: bool) -> Change {
        change(minutes, ChangeKind::Started { key_id: "alias/a".to_owned() }, own)
    }

    fn suspicion() -> ForeignChange {
        ForeignChange::from(&change(0, ChangeKind::Stopped, false))
    }

    fn evidence<'a>(
        accepted: &'a [DateTime<Utc>],
        recorded: Option<&'a [Change]>,
        own_role: Option<&'a str>,
    ) -> ChangeEvidence<'a> {
        ChangeEvidence { accepted, recorded: recorded.map_or(Recorded::Unreadable, Recorded::Read), own_role }
    }

    fn asked(
        suspicion: Option<&ForeignChange>,
        remembered: &[DateTime<Utc>],
        recorded: Option<&[Change]>,
    ) -> ContestDecision {
        let past = evidence(remembered, recorded, Some(OWN));
        decide_contest(&stream(), None, suspicion, &past, "alias/a", 5, now())
    }

    #[test]
    fn what_was_undone_rests_longer_each_time_and_in_the_end_for_good() {
        let mut history = Vec::new();
        for (count, delay) in [(0, 0), (1, 1), (2, 5), (3, 15), (4, 15)] {
            let advice = asked(Some(&suspicion()), &[], Some(&history));
            match advice {
                ContestDecision::Apply => assert_eq!(delay, 0, "{count}"),
                ContestDecision::Defer(rest, applied) => {
                    assert_eq!((rest, applied.len()), (Duration::from_mins(delay), count), "{count}");
                }
                ContestDecision::Stop(contest) => unreachable!("{count}: {contest:?}"),
            }
            // Once it has rested it is applied.
            let rested = ForeignChange { delay_served: true, ..suspicion() };
            assert_eq!(asked(Some(&rested), &[], Some(&history)), ContestDecision::Apply);
            history.insert(0, started(60 - 10 * i64::try_from(count).expect("few"), true));
        }
        let ContestDecision::Stop(contest) = asked(Some(&suspicion()), &[], Some(&history)) else {
            unreachable!("{history:?}")
        };
        assert_eq!((contest.applied, contest.used, contest.undone), (5, 5, 1));
        // The first of the five was 60 minutes ago: when it leaves the window there is room for
        // one.
        assert_eq!(contest.until, minutes_ago(60) + QUOTA_WINDOW);
    }

    #[test]
    fn one_application_that_two_know_of_counts_once_and_other_streams_and_days_and_namesakes_do_not() {
        let other = Change { stream: "clicks".to_owned(), ..started(5, true) };
        let recorded = [started(10, true), other, started(24 * 60 + 1, true)];
        let known = ForeignChange { applied: vec![minutes_ago(10), minutes_ago(3)], ..suspicion() };
        let ContestDecision::Defer(_, applied) = asked(Some(&known), &[minutes_ago(3)], Some(&recorded)) else {
            unreachable!()
        };
        assert_eq!(applied, [minutes_ago(10), minutes_ago(3)]);

        let accepted = [minutes_ago(3)];
        let past = evidence(&accepted, Some(&recorded), Some(OWN));
        assert_eq!(
            decide_contest(&stream(), Some(minutes_ago(2)), Some(&suspicion()), &past, "alias/a", 5, now()),
            ContestDecision::Apply
        );
    }

    #[test]
    fn of_a_stream_that_is_older_than_a_day_the_last_day_counts() {
        let recorded = [started(10, true), started(24 * 60 + 1, true)];
        let past = evidence(&[], Some(&recorded), Some(OWN));
        let advice =
            decide_contest(&stream(), Some(minutes_ago(30 * 24 * 60)), Some(&suspicion()), &past, "alias/a", 5, now());
        assert_eq!(advice, ContestDecision::Defer(Duration::from_mins(1), vec![minutes_ago(10)]));
    }

    #[test]
    fn a_change_that_was_told_and_recorded_counts_once() {
        let own = (1..=5).map(|count| started(10 * count, true));
        let undone = |recorded: Vec<Change>| match asked(Some(&suspicion()), &[], Some(&recorded)) {
            ContestDecision::Stop(contest) => contest.undone,
            other => unreachable!("{other:?}"),
        };
        let told = change(0, ChangeKind::Stopped, false);
        assert_eq!(undone(own.clone().collect()), 1);
        assert_eq!(undone([told.clone()].into_iter().chain(own.clone()).collect()), 1);
        // Another change of theirs is one more, whether or not the history has the told one yet.
        assert_eq!(undone([told, change(5, ChangeKind::Stopped, false)].into_iter().chain(own.clone()).collect()), 2);
        assert_eq!(undone([change(5, ChangeKind::Stopped, false)].into_iter().chain(own).collect()), 2);
    }

    #[test]
    fn a_history_that_cannot_be_read_means_the_longest_rest_and_what_is_remembered_still_stops_it() {
        assert_eq!(asked(Some(&suspicion()), &[], None), ContestDecision::Defer(LONGEST_SQS_DELAY, vec![]));
        let remembered: Vec<_> = (1..=5).map(minutes_ago).collect();
        assert!(matches!(asked(Some(&suspicion()), &remembered, None), ContestDecision::Stop(_)));
        // A schedule comes with no suspicion, and must not go on either.
        assert!(matches!(asked(None, &remembered, None), ContestDecision::Stop(_)));
        assert_eq!(asked(None, &remembered[..4], None), ContestDecision::Apply);
    }

    #[test]
    fn a_history_that_was_read_in_part_means_the_longest_delay_and_what_was_read_still_stops_it() {
        let decided = |recorded: &[Change]| {
            let past = ChangeEvidence { accepted: &[], recorded: Recorded::Partial(recorded), own_role: Some(OWN) };
            decide_contest(&stream(), None, Some(&suspicion()), &past, "alias/a", 5, now())
        };
        assert_eq!(decided(&[]), ContestDecision::Defer(LONGEST_SQS_DELAY, vec![]));
        let own: Vec<_> = (1..=5).map(|count| started(10 * count, true)).collect();
        assert_eq!(decided(&own[..1]), ContestDecision::Defer(LONGEST_SQS_DELAY, vec![minutes_ago(10)]));
        assert!(matches!(decided(&own), ContestDecision::Stop(_)));
    }

    #[test]
    fn of_a_history_that_was_read_in_part_a_stream_that_we_started_is_suspect_and_no_other() {
        let clicks = Change { stream: "clicks".to_owned(), ..change(3, ChangeKind::Stopped, false) };
        let changes = [started(1, true), clicks.clone(), Change { stream: "clicks".to_owned(), ..started(9, true) }];
        let unread = ForeignChange { at: minutes_ago(1), by: Principal::default(), ..suspicion() };
        let expected = [("orders", unread), ("clicks", ForeignChange::from(&clicks))];
        let expected: HashMap<_, _> = expected.map(|(name, change)| (name.to_owned(), change)).into();
        let desired = ["alias/a".to_owned()];
        assert_eq!(foreign_changes(Recorded::Partial(&changes), Some(OWN), &desired), expected);
        assert_eq!(foreign_changes(Recorded::Read(&changes), Some(OWN), &desired).len(), 1);
        // Since the alias points elsewhere, the key that we applied before accuses nobody.
        let found = foreign_changes(Recorded::Partial(&changes), Some(OWN), &["alias/b".to_owned()]);
        assert_eq!(found.into_keys().collect::<Vec<_>>(), ["clicks"]);
    }

    #[test]
    fn the_last_of_the_allowance_is_left_to_people_whoever_spent_it() {
        let recorded: Vec<_> = (0..23).map(|index| started(10 * (index + 1), index == 0)).collect();
        let ContestDecision::Stop(contest) = asked(Some(&suspicion()), &[], Some(&recorded)) else { unreachable!() };
        assert_eq!((contest.applied, contest.used, contest.until), (1, 23, minutes_ago(230) + QUOTA_WINDOW));
        assert!(!matches!(asked(Some(&suspicion()), &[], Some(&recorded[..22])), ContestDecision::Stop(_)));
    }

    #[test]
    fn without_a_role_whoever_applied_our_key_counts_as_us() {
        let recorded = [started(1, false), change(2, ChangeKind::Started { key_id: "alias/b".to_owned() }, false)];
        let past = evidence(&[], Some(&recorded), None);
        let ContestDecision::Defer(_, applied) =
            decide_contest(&stream(), None, Some(&suspicion()), &past, "alias/a", 5, now())
        else {
            unreachable!()
        };
        assert_eq!(applied, [minutes_ago(1)]);
        let stopped = [change(1, ChangeKind::Stopped, true)];
        let past = evidence(&[], Some(&stopped), None);
        assert_eq!(
            decide_contest(&stream(), None, Some(&suspicion()), &past, "alias/a", 5, now()),
            ContestDecision::Apply
        );
    }

    #[test]
    fn a_role_of_cloudformation_gets_its_remedy_whatever_the_user_agent() {
        let by =
            Principal { arn: Some("arn:aws:sts::1:assumed-role/CloudFormation-exec/x".to_owned()), user_agent: None };
        let last = Some(ForeignChange { by, ..suspicion() });
        let report = ContestReport { applied: 5, used: 5, last, undone: 5, until: now() };
        assert!(report.remedy("alias/a").contains("AWS::Kinesis::Stream"), "{}", report.remedy("alias/a"));
    }

    #[test]
    fn two_records_a_second_and_a_half_apart_are_one_and_further_apart_are_two() {
        for (milliseconds, count) in [(1_500, 1), (1_501, 2)] {
            let later = minutes_ago(1) + TimeDelta::milliseconds(milliseconds);
            assert_eq!(merged([minutes_ago(1), later].into_iter(), minutes_ago(9)).len(), count);
            // The change that the event reports, beside the one that the history has.
            let accepted: Vec<_> = (2..=6).map(minutes_ago).collect();
            let recorded = [change(1, ChangeKind::Stopped, false)];
            let reported = ForeignChange { at: later, ..suspicion() };
            let ContestDecision::Stop(report) = asked(Some(&reported), &accepted, Some(&recorded)) else {
                unreachable!("{milliseconds}")
            };
            assert_eq!(report.undone, count);
        }
    }

    #[test]
    fn without_a_role_a_start_with_another_key_is_no_evidence_but_is_named_once_there_is_a_contest() {
        let other = Change { kind: ChangeKind::Started { key_id: "alias/b".to_owned() }, ..started(2, false) };
        assert_eq!(foreign_changes(Recorded::Read(std::slice::from_ref(&other)), None, &[]), HashMap::new());
        let accepted: Vec<_> = (1..=5).map(minutes_ago).collect();
        let recorded = [other.clone()];
        let evidence = evidence(&accepted, Some(&recorded), None);
        let decision = decide_contest(&stream(), None, None, &evidence, "alias/a", 5, now());
        let ContestDecision::Stop(report) = decision else { unreachable!("{decision:?}") };
        assert_eq!((report.last, report.undone, report.used), (Some(ForeignChange::from(&other)), 1, 6));
    }

    #[test]
    fn of_each_stream_the_newest_change_by_another_principal_is_found() {
        let clicks = Change { stream: "clicks".to_owned(), ..started(3, false) };
        let changes = [started(1, true), change(2, ChangeKind::Stopped, false), clicks.clone(), started(4, false)];
        let found = foreign_changes(Recorded::Read(&changes), Some(OWN), &[]);
        let expected = [("orders", &changes[1]), ("clicks", &clicks)];
        let expected = expected.map(|(name, change)| (name.to_owned(), ForeignChange::from(change)));
        assert_eq!(found, HashMap::from(expected));
        let evidence = evidence(&[], Some(&changes), Some(OWN));
        assert_eq!(count_of_foreign_changes("orders", &evidence), 2);
    }

    #[test]
    fn a_spent_allowance_tells_when_it_opens() {
        let recorded: Vec<_> = (0..25).map(|index| started(10 * (index + 1), false)).collect();
        let past = |recorded| evidence(&[], Some(recorded), Some(OWN));
        assert_eq!(quota_available_at(&stream(), None, &past(&recorded), now()), Some(minutes_ago(250) + QUOTA_WINDOW));
        assert_eq!(quota_available_at(&stream(), None, &past(&recorded[..24]), now()), None);
        // Another stream's, and a stop, spend none of it.
        let other = Change { stream: "clicks".to_owned(), ..started(1, false) };
        let more: Vec<_> =
            [other, change(2, ChangeKind::Stopped, false)].into_iter().chain(recorded[..24].iter().cloned()).collect();
        assert_eq!(quota_available_at(&stream(), None, &past(&more), now()), None);
    }

    #[test]
    fn the_remedy_speaks_the_other_sides_language() {
        let contest = |agent: &str, deed: ChangeKind| {
            let by = Principal { arn: Some("arn:aws:iam::1:user/x".to_owned()), user_agent: Some(agent.to_owned()) };
            ContestReport {
                applied: 5,
                used: 5,
                last: Some(ForeignChange { kind: deed, by, ..suspicion() }),
                undone: 5,
                until: now(),
            }
        };
        for (agent, deed, says) in [
            ("APN/1.0 HashiCorp/1.0 Terraform/1.9.8", ChangeKind::Stopped, "encryption_type = \"KMS\""),
            ("cloudformation.amazonaws.com", ChangeKind::Stopped, "StreamEncryption"),
            ("Pulumi/3.0", ChangeKind::Stopped, "encryptionType"),
            ("cloudcontrolapi.amazonaws.com", ChangeKind::Stopped, "StreamEncryption"),
            ("APN/1.0 Ansible/2.17.0 Boto3/1.34.0", ChangeKind::Stopped, "encryption_state: enabled"),
            ("crossplane-provider-aws/v0.53.0", ChangeKind::Stopped, "spec.forProvider.encryptionType"),
            ("aws-controllers-k8s/kinesis.services.k8s.aws-v1.0.0", ChangeKind::Stopped, "stays encrypted"),
            ("aws-sdk-rust/1.3", ChangeKind::Started { key_id: "alias/b".to_owned() }, "one key for the stream"),
            ("aws-cli/2.36", ChangeKind::Stopped, "stays encrypted"),
        ] {
            let contest = contest(agent, deed);
            assert!(contest.remedy("alias/a").contains(says), "{agent}: {}", contest.remedy("alias/a"));
            assert!(
                contest.to_string().contains("arn:aws:iam::1:user/x") && contest.to_string().contains(agent),
                "{}",
                contest.to_string()
            );
        }
    }

    #[test]
    fn what_happened_is_told_with_whom_and_when_as_far_as_that_is_known() {
        let contest = |last| ContestReport { applied: 5, used: 7, last, undone: 4, until: minutes_ago(-60) };
        let (begin, end) = (
            "in the last 24 hours we applied the key 5 times, of 7 in all, and AWS allows 25: ",
            ". It is left alone until 2026-11-24T13:00:00Z",
        );
        for (last, by) in [
            (None, "another principal keeps changing it"),
            (
                Some(suspicion()),
                "arn:aws:iam::1:user/terraform with APN/1.0 HashiCorp/1.0 Terraform/1.9.8 stopped encryption last, at 2026-11-24T12:00:00Z; others changed it 4 times",
            ),
            (
                Some(ForeignChange {
                    kind: ChangeKind::Started { key_id: "alias/b".to_owned() },
                    by: Principal::default(),
                    ..suspicion()
                }),
                "an unknown principal applied alias/b last, at 2026-11-24T12:00:00Z; others changed it 4 times",
            ),
        ] {
            assert_eq!(contest(last).to_string(), format!("{begin}{by}{end}"));
        }
    }
}
