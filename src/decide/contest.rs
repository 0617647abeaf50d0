//! When to stop fighting: what is known of who changes a stream's encryption, and what follows from
//! it. Pure.
//!
//! Somebody who undoes what we do may do so for ever: Terraform at every apply, a second enforcer
//! within seconds. So what was undone is done again later and later, and at `MAX_APPLIES_PER_DAY`
//! not at all, until a person has settled it.
//!
//! Sources: *AWS `CloudTrail` record contents*; `StartStreamEncryption` (a key can be applied 25
//! times in a rolling 24 hours).

use std::time::Duration;

use crate::domain::encryption_change::{Change, ChangeKind, ForeignChange, QUOTA_WINDOW, START_QUOTA};
use crate::domain::stream::StreamArn;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

/// How many of the allowance are left to people.
const LEFT_TO_PEOPLE: usize = 2;

/// How long what was undone rests before it is done again, by how often we did it before. The last
/// is the longest that SQS delays a message.
const DELAYS: [Duration; 4] = [Duration::ZERO, Duration::from_mins(1), Duration::from_mins(5), LONGEST];
const LONGEST: Duration = Duration::from_mins(15);

/// `CloudTrail` has whole seconds, and its own clock: two records this near to each other are one
/// application.
const SAME: TimeDelta = TimeDelta::milliseconds(1_500);

/// What is known of the past.
#[derive(Clone, Copy, Debug)]
pub struct ChangeEvidence<'a> {
    /// When this process had a start of the stream accepted.
    pub remembered: &'a [DateTime<Utc>],
    /// What `CloudTrail` has of the account's streams, newest first; it lags by up to 15 minutes.
    /// `None` where it cannot be read.
    pub recorded: Option<&'a [Change]>,
    /// The function's role, by which its own changes are told from others'.
    pub own_role: Option<&'a str>,
    /// The `KeyId` that we apply: where the role is not known, whoever applied it counts as us.
    pub key_id: &'a str,
}

/// What to do about a stream that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContestDecision {
    /// Bring it right.
    Apply,
    /// Bring it right after this time. The applications that are known are to be remembered.
    Rest(Duration, Vec<DateTime<Utc>>),
    /// Leave it alone.
    Stop(ContestReport),
}

/// Why a stream is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContestReport {
    /// How often we applied the key in the last 24 hours.
    pub applied: usize,
    /// How often anybody applied a key in that time.
    pub spent: usize,
    /// Who undid it last, where that is known.
    pub last: Option<ForeignChange>,
    /// How often others changed it in the last 24 hours.
    pub undone: usize,
    /// From when on it may be touched again.
    pub until: DateTime<Utc>,
}

/// What to do about `stream`, made at `created`, when somebody else may be undoing what we do.
///
/// `suspicion` is what the event told, or what a sweep found in the history.
#[must_use]
pub fn decide_contest(
    stream: &StreamArn,
    created: Option<DateTime<Utc>>,
    suspicion: Option<&ForeignChange>,
    past: &ChangeEvidence<'_>,
    most: usize,
    now: DateTime<Utc>,
) -> ContestDecision {
    let since = window(created, now);
    let changes: Vec<_> = past
        .recorded
        .unwrap_or_default()
        .iter()
        .filter(|change| change.stream == stream.name() && change.at >= since)
        .collect();
    let is_own = |change: &Change| match (past.own_role, &change.deed) {
        (Some(own), _) => change.role.as_deref() == Some(own),
        (None, ChangeKind::Started { key_id }) => key_id == past.key_id,
        (None, ChangeKind::Stopped) => false,
    };
    let (own, others): (Vec<&Change>, Vec<&Change>) = changes.into_iter().partition(|change| is_own(change));
    let handed_on = suspicion.map(|suspicion| suspicion.applied.as_slice()).unwrap_or_default();
    let applied =
        merged(past.remembered.iter().chain(handed_on).copied().chain(own.iter().map(|change| change.at)), since);
    let others_starts =
        others.iter().filter(|change| matches!(change.deed, ChangeKind::Started { .. })).map(|change| change.at);
    let mut starts: Vec<_> = applied.iter().copied().chain(others_starts).collect();
    starts.sort_unstable();
    let contest = |times: &[DateTime<Utc>], most: usize| {
        // The window opens when so many have left it that one more may be added.
        let opens = times.len().checked_sub(most).and_then(|index| times.get(index)).copied().unwrap_or(now);
        let newest = others.first().map(|change| ForeignChange::from(*change));
        let last = [newest, suspicion.cloned()].into_iter().flatten().max_by_key(|suspicion| suspicion.at);
        let told =
            suspicion.is_some_and(|suspicion| !others.iter().any(|change| (change.at - suspicion.at).abs() <= SAME));
        ContestDecision::Stop(ContestReport {
            applied: applied.len(),
            spent: starts.len(),
            last,
            undone: others.len() + usize::from(told),
            until: opens.checked_add_signed(QUOTA_WINDOW).unwrap_or(DateTime::<Utc>::MAX_UTC),
        })
    };
    if applied.len() >= most {
        return contest(&applied, most);
    }
    if starts.len() >= START_QUOTA - LEFT_TO_PEOPLE {
        return contest(&starts, START_QUOTA - LEFT_TO_PEOPLE);
    }
    match suspicion {
        Some(suspicion) if !suspicion.rested => {
            let by_count = DELAYS.get(applied.len()).copied().unwrap_or(LONGEST);
            let delay = if past.recorded.is_none() { LONGEST } else { by_count };
            if delay.is_zero() { ContestDecision::Apply } else { ContestDecision::Rest(delay, applied) }
        }
        _ => ContestDecision::Apply,
    }
}

/// From when on a key can be applied again, where the allowance is spent; nothing where it is not,
/// as far as is known.
#[must_use]
pub fn quota_available_at(
    stream: &StreamArn,
    created: Option<DateTime<Utc>>,
    past: &ChangeEvidence<'_>,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let recorded = past.recorded.unwrap_or_default().iter();
    let started =
        recorded.filter(|change| change.stream == stream.name() && matches!(change.deed, ChangeKind::Started { .. }));
    let starts = merged(past.remembered.iter().copied().chain(started.map(|change| change.at)), window(created, now));
    let first = starts.len().checked_sub(START_QUOTA)?;
    starts.get(first).map(|first| *first + QUOTA_WINDOW)
}

/// From when on applications count: those of a stream of the same name before are not this one's.
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

impl ContestReport {
    /// What happened, for the outcome and the letter.
    #[must_use]
    pub fn told(&self) -> String {
        let Self { applied, spent, last, undone, until } = self;
        let by = match last {
            None => "somebody undoes it".to_owned(),
            Some(ForeignChange { at, deed, by, .. }) => {
                let what = match deed {
                    ChangeKind::Started { key_id } => format!("applied {key_id}"),
                    ChangeKind::Stopped => "stopped encryption".to_owned(),
                };
                let agent = by.user_agent.as_deref().map(|agent| format!(" with {agent}")).unwrap_or_default();
                let who = by.arn.as_deref().unwrap_or("an unknown principal");
                format!("{who}{agent} {what} last, at {}; others changed it {undone} times", seconds(*at))
            }
        };
        format!(
            "in the last 24 hours we applied the key {applied} times, of {spent} in all, and AWS allows {START_QUOTA}: {by}. It is left alone until {}",
            seconds(*until)
        )
    }

    /// What a person should change, given the key that the stream is to have.
    #[must_use]
    pub fn remedy(&self, key_id: &str) -> String {
        let agent =
            self.last.as_ref().and_then(|last| last.by.user_agent.as_deref()).unwrap_or_default().to_ascii_lowercase();
        let name = self.last.as_ref().and_then(|last| last.by.arn.as_deref()).unwrap_or_default();
        let change = match () {
            () if agent.contains("terraform/") || agent.contains("opentofu/") => {
                format!("in its aws_kinesis_stream resource set encryption_type = \"KMS\" and kms_key_id = \"{key_id}\"")
            }
            () if agent.contains("pulumi") => {
                format!("in its aws.kinesis.Stream set encryptionType to \"KMS\" and kmsKeyId to \"{key_id}\"")
            }
            () if agent.contains("cloudformation") || name.contains("cloudformation") => {
                format!("in its AWS::Kinesis::Stream set StreamEncryption to {{EncryptionType: KMS, KeyId: \"{key_id}\"}}")
            }
            () if matches!(self.last, Some(ForeignChange { deed: ChangeKind::Started { .. }, .. })) => {
                "settle with them which of the two keys the stream is to have; two programs that enforce different keys never agree"
                    .to_owned()
            }
            () => "settle with them that the stream stays encrypted".to_owned(),
        };
        format!(
            "{change}; or exempt the stream (a tag or a rule). Then ask for it by name, {{\"stream\": …}}, which does not wait"
        )
    }
}

fn seconds(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::encryption_change::Principal;

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

    fn change(minutes: i64, deed: ChangeKind, own: bool) -> Change {
        let (arn, role) = if own {
            ("arn:aws:sts::1:assumed-role/enforcer/x", Some(OWN))
        } else {
            ("arn:aws:iam::1:user/terraform", None)
        };
        let by = Principal {
            arn: Some(arn.to_owned()),
            user_agent: Some("APN/1.0 HashiCorp/1.0 Terraform/1.9.8".to_owned()),
        };
        Change { at: minutes_ago(minutes), stream: "orders".to_owned(), deed, by, role: role.map(str::to_owned) }
    }

    fn started(minutes: i64, own: bool) -> Change {
        change(minutes, ChangeKind::Started { key_id: "alias/a".to_owned() }, own)
    }

    fn suspicion() -> ForeignChange {
        ForeignChange::from(&change(0, ChangeKind::Stopped, false))
    }

    fn asked(
        suspicion: Option<&ForeignChange>,
        remembered: &[DateTime<Utc>],
        recorded: Option<&[Change]>,
    ) -> ContestDecision {
        let past = ChangeEvidence { remembered, recorded, own_role: Some(OWN), key_id: "alias/a" };
        decide_contest(&stream(), None, suspicion, &past, 5, now())
    }

    #[test]
    fn what_was_undone_rests_longer_each_time_and_in_the_end_for_good() {
        let mut history = Vec::new();
        for (count, delay) in [(0, 0), (1, 1), (2, 5), (3, 15), (4, 15)] {
            let advice = asked(Some(&suspicion()), &[], Some(&history));
            match advice {
                ContestDecision::Apply => assert_eq!(delay, 0, "{count}"),
                ContestDecision::Rest(rest, applied) => {
                    assert_eq!((rest, applied.len()), (Duration::from_mins(delay), count), "{count}");
                }
                ContestDecision::Stop(contest) => unreachable!("{count}: {contest:?}"),
            }
            // Once it has rested it is applied.
            let rested = ForeignChange { rested: true, ..suspicion() };
            assert_eq!(asked(Some(&rested), &[], Some(&history)), ContestDecision::Apply);
            history.insert(0, started(60 - 10 * i64::try_from(count).expect("few"), true));
        }
        let ContestDecision::Stop(contest) = asked(Some(&suspicion()), &[], Some(&history)) else {
            unreachable!("{history:?}")
        };
        assert_eq!((contest.applied, contest.spent, contest.undone), (5, 5, 1));
        // The first of the five was 60 minutes ago: when it leaves the window there is room for
        // one.
        assert_eq!(contest.until, minutes_ago(60) + QUOTA_WINDOW);
    }

    #[test]
    fn one_application_that_two_know_of_counts_once_and_other_streams_and_days_and_namesakes_do_not() {
        let other = Change { stream: "clicks".to_owned(), ..started(5, true) };
        let recorded = [started(10, true), other, started(24 * 60 + 1, true)];
        let known = ForeignChange { applied: vec![minutes_ago(10), minutes_ago(3)], ..suspicion() };
        let ContestDecision::Rest(_, applied) = asked(Some(&known), &[minutes_ago(3)], Some(&recorded)) else {
            unreachable!()
        };
        assert_eq!(applied, [minutes_ago(10), minutes_ago(3)]);

        let past = ChangeEvidence {
            remembered: &[minutes_ago(3)],
            recorded: Some(&recorded),
            own_role: Some(OWN),
            key_id: "alias/a",
        };
        assert_eq!(
            decide_contest(&stream(), Some(minutes_ago(2)), Some(&suspicion()), &past, 5, now()),
            ContestDecision::Apply
        );
    }

    #[test]
    fn of_a_stream_that_is_older_than_a_day_the_last_day_counts() {
        let recorded = [started(10, true), started(24 * 60 + 1, true)];
        let past =
            ChangeEvidence { remembered: &[], recorded: Some(&recorded), own_role: Some(OWN), key_id: "alias/a" };
        let advice = decide_contest(&stream(), Some(minutes_ago(30 * 24 * 60)), Some(&suspicion()), &past, 5, now());
        assert_eq!(advice, ContestDecision::Rest(Duration::from_mins(1), vec![minutes_ago(10)]));
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
        assert_eq!(asked(Some(&suspicion()), &[], None), ContestDecision::Rest(LONGEST, vec![]));
        let remembered: Vec<_> = (1..=5).map(minutes_ago).collect();
        assert!(matches!(asked(Some(&suspicion()), &remembered, None), ContestDecision::Stop(_)));
        // A schedule comes with no suspicion, and must not go on either.
        assert!(matches!(asked(None, &remembered, None), ContestDecision::Stop(_)));
        assert_eq!(asked(None, &remembered[..4], None), ContestDecision::Apply);
    }

    #[test]
    fn the_last_of_the_allowance_is_left_to_people_whoever_spent_it() {
        let recorded: Vec<_> = (0..23).map(|index| started(10 * (index + 1), index == 0)).collect();
        let ContestDecision::Stop(contest) = asked(Some(&suspicion()), &[], Some(&recorded)) else { unreachable!() };
        assert_eq!((contest.applied, contest.spent, contest.until), (1, 23, minutes_ago(230) + QUOTA_WINDOW));
        assert!(!matches!(asked(Some(&suspicion()), &[], Some(&recorded[..22])), ContestDecision::Stop(_)));
    }

    #[test]
    fn without_a_role_whoever_applied_our_key_counts_as_us() {
        let recorded = [started(1, false), change(2, ChangeKind::Started { key_id: "alias/b".to_owned() }, false)];
        let past = ChangeEvidence { remembered: &[], recorded: Some(&recorded), own_role: None, key_id: "alias/a" };
        let ContestDecision::Rest(_, applied) = decide_contest(&stream(), None, Some(&suspicion()), &past, 5, now())
        else {
            unreachable!()
        };
        assert_eq!(applied, [minutes_ago(1)]);
        let stopped = [change(1, ChangeKind::Stopped, true)];
        let past = ChangeEvidence { recorded: Some(&stopped), ..past };
        assert_eq!(decide_contest(&stream(), None, Some(&suspicion()), &past, 5, now()), ContestDecision::Apply);
    }

    #[test]
    fn a_spent_allowance_tells_when_it_opens() {
        let recorded: Vec<_> = (0..25).map(|index| started(10 * (index + 1), false)).collect();
        let past = |recorded| ChangeEvidence {
            remembered: &[],
            recorded: Some(recorded),
            own_role: Some(OWN),
            key_id: "alias/a",
        };
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
                spent: 5,
                last: Some(ForeignChange { deed, by, ..suspicion() }),
                undone: 5,
                until: now(),
            }
        };
        for (agent, deed, says) in [
            ("APN/1.0 HashiCorp/1.0 Terraform/1.9.8", ChangeKind::Stopped, "encryption_type = \"KMS\""),
            ("cloudformation.amazonaws.com", ChangeKind::Stopped, "StreamEncryption"),
            ("Pulumi/3.0", ChangeKind::Stopped, "encryptionType"),
            ("aws-sdk-rust/1.3", ChangeKind::Started { key_id: "alias/b".to_owned() }, "which of the two keys"),
            ("aws-cli/2.36", ChangeKind::Stopped, "stays encrypted"),
        ] {
            let contest = contest(agent, deed);
            assert!(contest.remedy("alias/a").contains(says), "{agent}: {}", contest.remedy("alias/a"));
            assert!(
                contest.told().contains("arn:aws:iam::1:user/x") && contest.told().contains(agent),
                "{}",
                contest.told()
            );
        }
    }

    #[test]
    fn what_happened_is_told_with_whom_and_when_as_far_as_that_is_known() {
        let contest = |last| ContestReport { applied: 5, spent: 7, last, undone: 4, until: minutes_ago(-60) };
        let (begin, end) = (
            "in the last 24 hours we applied the key 5 times, of 7 in all, and AWS allows 25: ",
            ". It is left alone until 2026-11-24T13:00:00Z",
        );
        for (last, by) in [
            (None, "somebody undoes it"),
            (
                Some(suspicion()),
                "arn:aws:iam::1:user/terraform with APN/1.0 HashiCorp/1.0 Terraform/1.9.8 stopped encryption last, at 2026-11-24T12:00:00Z; others changed it 4 times",
            ),
            (
                Some(ForeignChange {
                    deed: ChangeKind::Started { key_id: "alias/b".to_owned() },
                    by: Principal::default(),
                    ..suspicion()
                }),
                "an unknown principal applied alias/b last, at 2026-11-24T12:00:00Z; others changed it 4 times",
            ),
        ] {
            assert_eq!(contest(last).told(), format!("{begin}{by}{end}"));
        }
    }
}
