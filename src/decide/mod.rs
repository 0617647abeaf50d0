//! What to do about one stream, from what was seen of it. Pure: no clock, no I/O, no log, and it
//! cannot fail.
//!
//! [`decide`] is asked after every look, before *and* after the key was applied. Being in sync
//! after we acted is the verification; that a call was accepted never is.

pub mod contest;
pub mod impact;

use std::fmt;
use std::time::Duration;

use chrono::NaiveDate;

use crate::domain::failure::{Failure, Step, code};
use crate::domain::key::{AWS_MANAGED_ALIAS, AliasName, KeyArn};
use crate::domain::mode::OnOtherKey;
use crate::domain::stream::{StreamArn, StreamStatus};
use crate::policy::{Exemption, RuleExemption};

/// How long an accepted start may stay invisible (ACTIVE, with the old key) before it counts as
/// lost.
///
/// AWS gives no number. Recordings show UPDATING at the first describe after the call; thirty
/// seconds are generous and still let Lambda's own retries work the stream again soon.
pub const VISIBILITY_LIMIT: Duration = Duration::from_secs(30);

/// The key that streams are to have, after KMS was asked about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DesiredKey {
    /// `alias/aws/kinesis`: applied and compared as that alias, never described (describing it can
    /// create the key).
    AwsManaged,
    /// A key of the customer's.
    Key {
        /// Its canonical form, which is also what is applied.
        arn: KeyArn,
        /// Why it must not be applied now, if so.
        trouble: Option<Failure>,
    },
}

impl DesiredKey {
    /// The `KeyId` to apply.
    #[must_use]
    pub fn key_id(&self) -> &str {
        match self {
            Self::AwsManaged => AWS_MANAGED_ALIAS,
            Self::Key { arn, .. } => arn.as_str(),
        }
    }
}

/// How a stream is encrypted at present, its `KeyId` brought to canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CurrentKey {
    /// Not at all.
    Unencrypted,
    /// With the key that AWS manages.
    AwsManaged,
    /// With this key.
    Key {
        /// Its canonical form.
        arn: KeyArn,
        /// The customer alias that the stream names it by, if so.
        by_alias: Option<AliasName>,
        /// Whether it would do in place of the desired key; asked only under `ON_OTHER_KEY=accept`.
        standing: OtherKeyFitness,
    },
    /// With an alias or key that does not exist, or that we may not look at: certainly not the
    /// desired key.
    Unresolvable {
        /// The `KeyId` as the stream shows it.
        key_id: String,
    },
    /// Unknown, and that matters: under `ON_OTHER_KEY=accept` it might be fine.
    Unreadable(Failure),
}

/// Whether a key other than the desired one would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherKeyFitness {
    /// Nobody asked.
    NotAsked,
    /// An enabled customer managed key.
    Enabled,
    /// Not enabled, not the customer's, or not there.
    Unfit,
}

/// What is known of the stream's exemption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tags {
    /// The tags have not been read: they are read only for a stream that is about to be touched.
    Unread,
    /// They were read, and say this.
    Read(Exemption),
}

/// How far our own change of the stream has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing was started.
    NotStarted,
    /// A start was sent.
    Started {
        /// Whether AWS accepted it; otherwise its answer was lost, and nobody knows.
        accepted: bool,
        /// Whether the stream has been seen UPDATING since.
        seen_updating: bool,
        /// How long ago it was sent.
        ago: Duration,
    },
}

/// Why the key is to be applied although it is in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reapply {
    /// Somebody asked for it.
    Asked,
    /// The key was rotated, and `ON_KEY_ROTATION=reapply`.
    Rotated,
}

/// Everything that the decision rests on.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The stream.
    pub stream: &'a StreamArn,
    /// Its state.
    pub status: &'a StreamStatus,
    /// Its encryption, as of this look.
    pub present: &'a CurrentKey,
    /// The key it is to have.
    pub desired: &'a DesiredKey,
    /// What to make of another customer managed key.
    pub on_other_key: OnOtherKey,
    /// Why a rule leaves it alone, if one does.
    pub exempt_by_rule: Option<RuleExemption<'a>>,
    /// What its tags say of an exemption.
    pub tags: &'a Tags,
    /// Our own change.
    pub progress: Progress,
    /// Why a fresh application is wanted even if the key is in place, if it is.
    pub reapply: Option<Reapply>,
    /// An alias that was re-pointed: what a stream that names its key by it is really encrypted
    /// with is not documented.
    pub doubted_alias: Option<&'a AliasName>,
    /// How long the stream must still be left alone, because whoever made it may not be done with
    /// it.
    pub quiet_for: Duration,
}

/// Why a stream is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InSync {
    /// It is encrypted with the desired key.
    DesiredKey,
    /// It is encrypted with another key, which is accepted.
    AcceptedKey,
}

/// Why the key is to be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApplyReason {
    /// The stream is not encrypted.
    Unencrypted,
    /// The stream has the AWS managed key.
    AwsManagedKey,
    /// The stream has another key.
    OtherKey(String),
    /// The stream names its key by an alias that was re-pointed.
    RepointedAlias(AliasName),
    /// A fresh application was asked for.
    Asked,
    /// The key was rotated, and a fresh application is wanted after that.
    Rotated,
}

/// What is being waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pending {
    /// The stream is in this state.
    Status(StreamStatus),
    /// The start was accepted, but the stream does not show it yet.
    NotVisible,
    /// The start's answer was lost, and the stream does not show it, or not yet.
    Unconfirmed,
}

/// What to do now, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing: the stream is right.
    InSync(InSync),
    /// Nothing: the stream has the desired key, but that key is unusable.
    KeyAtRisk(Failure),
    /// Nothing: the stream is exempt.
    Exempt {
        /// The reason it gives.
        reason: String,
        /// The last day it holds.
        until: Option<NaiveDate>,
    },
    /// Nothing: the stream is going away.
    Gone,
    /// Read the tags, then ask again.
    ReadTags,
    /// Apply the key.
    Apply(ApplyReason),
    /// Look again later.
    Wait(Pending),
    /// Leave the stream alone for so long, then look again: its creator may bring it right, and
    /// must not find it UPDATING.
    AwaitGrace(Duration),
    /// Nothing can be done.
    Refuse(Failure),
}

/// What to do about the stream, given what was seen of it.
#[must_use]
pub fn decide(situation: &Situation<'_>) -> Decision {
    if let (Some(RuleExemption { reason, until, .. }), true) =
        (situation.exempt_by_rule, *situation.status != StreamStatus::Deleting)
    {
        return Decision::Exempt { reason: reason.to_owned(), until };
    }
    match situation.status {
        StreamStatus::Deleting => Decision::Gone,
        // While a stream is UPDATING its description shows the old encryption: judging it would be
        // judging the past.
        StreamStatus::Creating | StreamStatus::Updating | StreamStatus::Other(_) => {
            Decision::Wait(Pending::Status(situation.status.clone()))
        }
        StreamStatus::Active => decide_active(situation),
    }
}

fn decide_active(situation: &Situation<'_>) -> Decision {
    let why = match judge(situation) {
        // A fresh application is one of the key that the stream has: another, which is accepted,
        // stays.
        Verdict::Right(in_sync) => match (situation.progress, situation.reapply, &in_sync) {
            (Progress::NotStarted, Some(Reapply::Asked), InSync::DesiredKey) => ApplyReason::Asked,
            (Progress::NotStarted, Some(Reapply::Rotated), InSync::DesiredKey) => ApplyReason::Rotated,
            _ => {
                return match (in_sync, situation.desired) {
                    (InSync::DesiredKey, DesiredKey::Key { trouble: Some(trouble), .. }) => {
                        Decision::KeyAtRisk(trouble.clone())
                    }
                    _ => Decision::InSync(in_sync),
                };
            }
        },
        Verdict::Wrong(why) => why,
        Verdict::Unknown(failure) => return Decision::Refuse(failure.clone()),
    };
    match situation.progress {
        Progress::NotStarted => may_apply(situation, why),
        Progress::Started { accepted, seen_updating, ago } => after_start(situation, accepted, seen_updating, ago),
    }
}

enum Verdict<'a> {
    Right(InSync),
    Wrong(ApplyReason),
    Unknown(&'a Failure),
}

fn judge<'a>(situation: &Situation<'a>) -> Verdict<'a> {
    match (situation.present, situation.desired) {
        (CurrentKey::AwsManaged, DesiredKey::AwsManaged) => Verdict::Right(InSync::DesiredKey),
        (CurrentKey::Key { by_alias: Some(alias), .. }, _) if situation.doubted_alias == Some(alias) => {
            Verdict::Wrong(ApplyReason::RepointedAlias(alias.clone()))
        }
        (CurrentKey::Key { arn, .. }, DesiredKey::Key { arn: desired, .. }) if arn == desired => {
            Verdict::Right(InSync::DesiredKey)
        }
        (CurrentKey::Key { standing: OtherKeyFitness::Enabled, .. }, _)
            if situation.on_other_key == OnOtherKey::Accept =>
        {
            Verdict::Right(InSync::AcceptedKey)
        }
        (CurrentKey::Unreadable(failure), _) => Verdict::Unknown(failure),
        (CurrentKey::Unencrypted, _) => Verdict::Wrong(ApplyReason::Unencrypted),
        (CurrentKey::AwsManaged, DesiredKey::Key { .. }) => Verdict::Wrong(ApplyReason::AwsManagedKey),
        (CurrentKey::Key { arn, .. }, _) => Verdict::Wrong(ApplyReason::OtherKey(arn.to_string())),
        (CurrentKey::Unresolvable { key_id }, _) => Verdict::Wrong(ApplyReason::OtherKey(key_id.clone())),
    }
}

fn may_apply(situation: &Situation<'_>, why: ApplyReason) -> Decision {
    if !situation.quiet_for.is_zero() {
        return Decision::AwaitGrace(situation.quiet_for);
    }
    match situation.tags {
        Tags::Unread => Decision::ReadTags,
        Tags::Read(Exemption::Exempt { reason, until }) => Decision::Exempt { reason: reason.clone(), until: *until },
        Tags::Read(Exemption::Malformed { why }) => {
            Decision::Refuse(Failure::new(Step::ListTags, code::EXEMPTION_MALFORMED, situation.stream, why))
        }
        Tags::Read(Exemption::None | Exemption::Expired { .. }) => match situation.desired {
            DesiredKey::Key { trouble: Some(trouble), .. } => Decision::Refuse(trouble.clone()),
            DesiredKey::Key { trouble: None, .. } | DesiredKey::AwsManaged => Decision::Apply(why),
        },
    }
}

/// The stream is ACTIVE and wrong although a start was sent.
fn after_start(situation: &Situation<'_>, accepted: bool, seen_updating: bool, ago: Duration) -> Decision {
    let refuse = |code, detail: &str| Decision::Refuse(Failure::new(Step::Wait, code, situation.stream, detail));
    let seconds = VISIBILITY_LIMIT.as_secs();
    match (accepted, seen_updating) {
        (true, true) => refuse(
            code::UNDONE,
            "after the key was applied the stream became ACTIVE without it: somebody changed it in between",
        ),
        _ if ago < VISIBILITY_LIMIT => {
            Decision::Wait(if accepted { Pending::NotVisible } else { Pending::Unconfirmed })
        }
        (true, false) => refuse(
            code::ACCEPTED_NOT_VISIBLE,
            &format!("StartStreamEncryption was accepted, but the stream has not shown it for {seconds} s"),
        ),
        // An UPDATING that was seen may have been somebody's resharding; the start may never have
        // arrived.
        (false, _) => refuse(
            code::START_UNCONFIRMED,
            &format!(
                "the answer to StartStreamEncryption was lost, and the stream does not have the key after {seconds} s"
            ),
        ),
    }
}

impl fmt::Display for InSync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DesiredKey => "the stream is encrypted with the configured key",
            Self::AcceptedKey => {
                "the stream is encrypted with another enabled customer managed key, which ON_OTHER_KEY=accept allows"
            }
        })
    }
}

impl fmt::Display for ApplyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unencrypted => f.write_str("the stream was not encrypted"),
            Self::AwsManagedKey => f.write_str("the stream was encrypted with the AWS managed key"),
            Self::OtherKey(key) => write!(f, "the stream was encrypted with another key, {key}"),
            Self::RepointedAlias(alias) => write!(f, "the stream named its key by {alias}, which was re-pointed"),
            Self::Asked => f.write_str("a fresh application of the key was asked for"),
            Self::Rotated => f.write_str("the key was rotated, and ON_KEY_ROTATION=reapply"),
        }
    }
}

impl fmt::Display for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "the stream is {status}"),
            Self::NotVisible => f.write_str("the start was accepted and does not show yet"),
            Self::Unconfirmed => f.write_str("the start's answer was lost and nothing shows yet"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESIRED: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    const OTHER: &str = "arn:aws:kms:us-east-1:111122223333:key/ffffffff-12ab-34cd-56ef-1234567890ab";
    const LONG_AGO: Duration = Duration::from_mins(1);
    const JUST_NOW: Duration = Duration::from_secs(1);

    /// A stream that is right: tests change one thing of it.
    struct World {
        status: StreamStatus,
        present: CurrentKey,
        desired: DesiredKey,
        on_other_key: OnOtherKey,
        tags: Tags,
        exempt_by_rule: Option<RuleExemption<'static>>,
        progress: Progress,
        reapply: Option<Reapply>,
        doubted_alias: Option<AliasName>,
        quiet_for: Duration,
    }

    impl World {
        fn right() -> Self {
            Self {
                status: StreamStatus::Active,
                present: key(DESIRED),
                desired: DesiredKey::Key { arn: arn(DESIRED), trouble: None },
                on_other_key: OnOtherKey::Replace,
                tags: Tags::Unread,
                exempt_by_rule: None,
                progress: Progress::NotStarted,
                reapply: None,
                doubted_alias: None,
                quiet_for: Duration::ZERO,
            }
        }

        fn unencrypted() -> Self {
            Self { present: CurrentKey::Unencrypted, tags: Tags::Read(Exemption::None), ..Self::right() }
        }

        fn decide(&self) -> Decision {
            decide(&Situation {
                stream: &stream(),
                status: &self.status,
                present: &self.present,
                desired: &self.desired,
                on_other_key: self.on_other_key,
                exempt_by_rule: self.exempt_by_rule,
                tags: &self.tags,
                progress: self.progress,
                reapply: self.reapply,
                doubted_alias: self.doubted_alias.as_ref(),
                quiet_for: self.quiet_for,
            })
        }
    }

    fn stream() -> StreamArn {
        "arn:aws:kinesis:us-east-1:111122223333:stream/orders".parse().expect("an ARN")
    }

    fn arn(text: &str) -> KeyArn {
        text.parse().expect("a key ARN")
    }

    fn key(text: &str) -> CurrentKey {
        CurrentKey::Key { arn: arn(text), by_alias: None, standing: OtherKeyFitness::NotAsked }
    }

    fn by_alias(text: &str, alias: &str) -> CurrentKey {
        CurrentKey::Key {
            arn: arn(text),
            by_alias: Some(alias.parse().expect("an alias")),
            standing: OtherKeyFitness::Enabled,
        }
    }

    fn trouble() -> Failure {
        Failure::new(Step::DescribeKey, code::KEY_DISABLED, &DESIRED, "the key is disabled")
    }

    fn started(accepted: bool, seen_updating: bool, ago: Duration) -> Progress {
        Progress::Started { accepted, seen_updating, ago }
    }

    fn refused_with(decision: &Decision) -> &str {
        match decision {
            Decision::Refuse(failure) => &failure.code,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn a_stream_that_is_right_is_left_alone() {
        assert_eq!(World::right().decide(), Decision::InSync(InSync::DesiredKey));
    }

    #[test]
    fn a_stream_that_is_not_active_is_never_judged() {
        for status in [StreamStatus::Creating, StreamStatus::Updating, StreamStatus::Other("MERGING".to_owned())] {
            for world in [World::right(), World::unencrypted()] {
                let world = World { status: status.clone(), ..world };
                assert_eq!(world.decide(), Decision::Wait(Pending::Status(status.clone())));
            }
        }
        let world = World { status: StreamStatus::Deleting, ..World::unencrypted() };
        assert_eq!(world.decide(), Decision::Gone);
    }

    #[test]
    fn whatever_else_a_stream_has_is_replaced_with_the_reason() {
        for (present, why) in [
            (CurrentKey::Unencrypted, ApplyReason::Unencrypted),
            (CurrentKey::AwsManaged, ApplyReason::AwsManagedKey),
            (key(OTHER), ApplyReason::OtherKey(OTHER.to_owned())),
            (
                CurrentKey::Unresolvable { key_id: "alias/lost".to_owned() },
                ApplyReason::OtherKey("alias/lost".to_owned()),
            ),
        ] {
            let world = World { present, ..World::unencrypted() };
            assert_eq!(world.decide(), Decision::Apply(why));
        }
    }

    #[test]
    fn a_stream_that_names_the_key_by_an_alias_is_right_unless_that_alias_was_re_pointed() {
        let present = by_alias(DESIRED, "alias/streams");
        assert_eq!(World { present: present.clone(), ..World::right() }.decide(), Decision::InSync(InSync::DesiredKey));
        let doubted_alias: Option<AliasName> = Some("alias/streams".parse().expect("an alias"));
        let world = World { present, doubted_alias: doubted_alias.clone(), ..World::unencrypted() };
        assert_eq!(
            world.decide(),
            Decision::Apply(ApplyReason::RepointedAlias("alias/streams".parse().expect("an alias")))
        );
        let elsewhere = World { present: by_alias(DESIRED, "alias/other"), doubted_alias, ..World::right() };
        assert_eq!(elsewhere.decide(), Decision::InSync(InSync::DesiredKey));
    }

    #[test]
    fn the_aws_managed_key_is_right_where_it_is_the_configured_one() {
        let world = World { desired: DesiredKey::AwsManaged, ..World::unencrypted() };
        assert_eq!(World { present: CurrentKey::AwsManaged, ..world }.decide(), Decision::InSync(InSync::DesiredKey));
        let world = World { desired: DesiredKey::AwsManaged, present: key(OTHER), ..World::unencrypted() };
        assert_eq!(world.decide(), Decision::Apply(ApplyReason::OtherKey(OTHER.to_owned())));
    }

    #[test]
    fn another_enabled_customer_key_is_accepted_only_where_the_setting_says_so() {
        let present = CurrentKey::Key { arn: arn(OTHER), by_alias: None, standing: OtherKeyFitness::Enabled };
        let world = World { present, on_other_key: OnOtherKey::Accept, ..World::unencrypted() };
        assert_eq!(world.decide(), Decision::InSync(InSync::AcceptedKey));
        assert!(matches!(World { on_other_key: OnOtherKey::Replace, ..world }.decide(), Decision::Apply(_)));
        for (present, why) in [
            (
                CurrentKey::Key { arn: arn(OTHER), by_alias: None, standing: OtherKeyFitness::Unfit },
                ApplyReason::OtherKey(OTHER.to_owned()),
            ),
            (CurrentKey::AwsManaged, ApplyReason::AwsManagedKey),
        ] {
            let world = World { present, on_other_key: OnOtherKey::Accept, ..World::unencrypted() };
            assert_eq!(world.decide(), Decision::Apply(why));
        }
    }

    #[test]
    fn a_present_key_that_cannot_be_judged_is_not_replaced() {
        let failure = Failure::new(Step::DescribeKey, code::PRESENT_KEY_UNREADABLE, &OTHER, "");
        let world = World { present: CurrentKey::Unreadable(failure.clone()), ..World::unencrypted() };
        assert_eq!(world.decide(), Decision::Refuse(failure));
    }

    #[test]
    fn tags_are_read_only_for_a_stream_that_is_about_to_be_touched() {
        assert_eq!(World::right().decide(), Decision::InSync(InSync::DesiredKey));
        assert_eq!(World { tags: Tags::Unread, ..World::unencrypted() }.decide(), Decision::ReadTags);
    }

    #[test]
    fn exemptions_fail_closed() {
        let exempt = Exemption::Exempt { reason: "load test".to_owned(), until: None };
        let world = World { tags: Tags::Read(exempt), ..World::unencrypted() };
        assert_eq!(world.decide(), Decision::Exempt { reason: "load test".to_owned(), until: None });
        let world =
            World { tags: Tags::Read(Exemption::Malformed { why: "no date".to_owned() }), ..World::unencrypted() };
        assert_eq!(refused_with(&world.decide()), code::EXEMPTION_MALFORMED);
        let expired = Exemption::Expired { reason: "load test".to_owned(), until: NaiveDate::MIN };
        let world = World { tags: Tags::Read(expired), ..World::unencrypted() };
        assert_eq!(world.decide(), Decision::Apply(ApplyReason::Unencrypted));
    }

    #[test]
    fn an_unusable_key_is_never_applied() {
        let desired = DesiredKey::Key { arn: arn(DESIRED), trouble: Some(trouble()) };
        let world = World { desired: desired.clone(), ..World::unencrypted() };
        assert_eq!(world.decide(), Decision::Refuse(trouble()));
        assert_eq!(
            World { reapply: Some(Reapply::Asked), present: key(DESIRED), ..world }.decide(),
            Decision::Refuse(trouble())
        );
        assert_eq!(World { desired, ..World::right() }.decide(), Decision::KeyAtRisk(trouble()));
    }

    #[test]
    fn an_exempt_stream_is_no_failure_even_where_the_key_is_unusable() {
        let desired = DesiredKey::Key { arn: arn(DESIRED), trouble: Some(trouble()) };
        let exempt = Exemption::Exempt { reason: "load test".to_owned(), until: None };
        let world = World { desired, tags: Tags::Read(exempt), ..World::unencrypted() };
        assert!(matches!(world.decide(), Decision::Exempt { .. }));
    }

    #[test]
    fn a_fresh_application_is_made_once_where_it_is_asked_for() {
        let world = World { reapply: Some(Reapply::Asked), tags: Tags::Read(Exemption::None), ..World::right() };
        assert_eq!(world.decide(), Decision::Apply(ApplyReason::Asked));
        let world = World { progress: started(true, true, JUST_NOW), ..world };
        assert_eq!(world.decide(), Decision::InSync(InSync::DesiredKey));
    }

    #[test]
    fn being_in_sync_after_a_start_is_the_verification_whatever_became_of_its_answer() {
        for progress in [started(true, false, JUST_NOW), started(true, true, JUST_NOW), started(false, false, LONG_AGO)]
        {
            assert_eq!(World { progress, ..World::right() }.decide(), Decision::InSync(InSync::DesiredKey));
        }
    }

    #[test]
    fn after_a_start_a_stream_that_is_wrong_is_never_started_again() {
        let after = |progress| World { progress, ..World::unencrypted() }.decide();
        assert_eq!(after(started(true, false, JUST_NOW)), Decision::Wait(Pending::NotVisible));
        assert_eq!(after(started(false, false, JUST_NOW)), Decision::Wait(Pending::Unconfirmed));
        assert_eq!(after(started(false, true, JUST_NOW)), Decision::Wait(Pending::Unconfirmed));
        assert_eq!(refused_with(&after(started(true, true, JUST_NOW))), code::UNDONE);
        assert_eq!(refused_with(&after(started(true, false, VISIBILITY_LIMIT))), code::ACCEPTED_NOT_VISIBLE);
        assert_eq!(refused_with(&after(started(false, false, VISIBILITY_LIMIT))), code::START_UNCONFIRMED);
        assert_eq!(refused_with(&after(started(false, true, VISIBILITY_LIMIT))), code::START_UNCONFIRMED);
    }

    #[test]
    fn a_stream_that_must_be_left_quiet_is_held_before_anything_is_read_and_only_if_it_is_wrong() {
        let grace = Duration::from_mins(1);
        let world = World { quiet_for: grace, tags: Tags::Unread, ..World::unencrypted() };
        assert_eq!(world.decide(), Decision::AwaitGrace(grace));
        assert_eq!(World { quiet_for: grace, ..World::right() }.decide(), Decision::InSync(InSync::DesiredKey));
        let started = World { quiet_for: grace, progress: started(true, false, JUST_NOW), ..World::unencrypted() };
        assert_eq!(started.decide(), Decision::Wait(Pending::NotVisible));
    }

    #[test]
    fn a_rotation_asks_for_a_fresh_application_in_its_own_words() {
        let world = World { reapply: Some(Reapply::Rotated), tags: Tags::Read(Exemption::None), ..World::right() };
        assert_eq!(world.decide(), Decision::Apply(ApplyReason::Rotated));
    }

    #[test]
    fn a_rule_that_exempts_goes_before_everything_but_the_end_of_the_stream() {
        let until = Some(NaiveDate::MIN);
        let exempt_by_rule = Some(RuleExemption { reason: "legacy", owner: None, until });
        for status in [StreamStatus::Active, StreamStatus::Creating, StreamStatus::Updating] {
            let world = World { status, exempt_by_rule, tags: Tags::Unread, ..World::unencrypted() };
            assert_eq!(world.decide(), Decision::Exempt { reason: "legacy".to_owned(), until });
        }
        let world = World { status: StreamStatus::Deleting, exempt_by_rule, ..World::unencrypted() };
        assert_eq!(world.decide(), Decision::Gone);
    }

    #[test]
    fn the_key_is_applied_by_its_arn_and_that_of_aws_by_its_alias() {
        assert_eq!(DesiredKey::Key { arn: arn(DESIRED), trouble: None }.key_id(), DESIRED);
        assert_eq!(DesiredKey::AwsManaged.key_id(), "alias/aws/kinesis");
    }

    #[test]
    fn every_decision_has_its_words() {
        let alias: AliasName = "alias/streams".parse().expect("an alias");
        for (words, says) in [
            (InSync::DesiredKey.to_string(), "the configured key"),
            (InSync::AcceptedKey.to_string(), "ON_OTHER_KEY=accept"),
            (ApplyReason::Unencrypted.to_string(), "not encrypted"),
            (ApplyReason::AwsManagedKey.to_string(), "AWS managed key"),
            (ApplyReason::OtherKey("alias/lost".to_owned()).to_string(), "another key, alias/lost"),
            (ApplyReason::RepointedAlias(alias).to_string(), "alias/streams, which was re-pointed"),
            (ApplyReason::Asked.to_string(), "asked for"),
            (ApplyReason::Rotated.to_string(), "ON_KEY_ROTATION=reapply"),
            (Pending::Status(StreamStatus::Updating).to_string(), "the stream is UPDATING"),
            (Pending::NotVisible.to_string(), "does not show yet"),
            (Pending::Unconfirmed.to_string(), "answer was lost"),
        ] {
            assert!(words.contains(says), "{words}");
        }
    }
}
