//! What to do about one stream, from what was seen of it. Pure: no clock, no I/O, no log, and it cannot fail.
//!
//! [`decide`] is asked after every look, before *and* after the key was applied. Being in sync after we acted is the verification; that a call
//! was accepted never is.

use std::fmt;
use std::time::Duration;

use chrono::NaiveDate;

use crate::failure::{Failure, Step, code};
use crate::key::{AWS_MANAGED_ALIAS, AliasName, KeyArn};
use crate::policy::Exemption;
use crate::settings::OnOtherKey;
use crate::stream::{StreamArn, StreamStatus};

/// How long an accepted start may stay invisible (ACTIVE, with the old key) before it counts as lost.
///
/// AWS gives no number. Recordings show UPDATING at the first describe after the call; thirty seconds are generous and still let Lambda's own
/// retries work the stream again soon.
pub const VISIBILITY_LIMIT: Duration = Duration::from_secs(30);

/// The key that streams are to have, after KMS was asked about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Desired {
    /// `alias/aws/kinesis`: applied and compared as that alias, never described (describing it can create the key).
    AwsManaged,
    /// A key of the customer's.
    Key {
        /// Its canonical form, which is also what is applied.
        arn: KeyArn,
        /// Why it must not be applied now, if so.
        trouble: Option<Failure>,
    },
}

impl Desired {
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
pub enum Present {
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
        standing: Standing,
    },
    /// With an alias or key that does not exist, or that we may not look at: certainly not the desired key.
    Unresolvable {
        /// The `KeyId` as the stream shows it.
        key_id: String,
    },
    /// Unknown, and that matters: under `ON_OTHER_KEY=accept` it might be fine.
    Unreadable(Failure),
}

/// Whether a key other than the desired one would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
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
    /// They could not be read: the stream must not be touched.
    Unreadable(Failure),
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

/// Everything that the decision rests on.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The stream.
    pub stream: &'a StreamArn,
    /// Its state.
    pub status: &'a StreamStatus,
    /// Its encryption, as of this look.
    pub present: &'a Present,
    /// The key it is to have.
    pub desired: &'a Desired,
    /// What to make of another customer managed key.
    pub on_other_key: OnOtherKey,
    /// Its exemption.
    pub tags: &'a Tags,
    /// Our own change.
    pub progress: Progress,
    /// Whether a fresh application was asked for even if the key is in place.
    pub reapply: bool,
    /// An alias that was re-pointed: what a stream that names its key by it is really encrypted with is not documented.
    pub doubted_alias: Option<&'a AliasName>,
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
pub enum Why {
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
    Apply(Why),
    /// Look again later.
    Wait(Pending),
    /// Nothing can be done.
    Refuse(Failure),
}

/// What to do about the stream, given what was seen of it.
#[must_use]
pub fn decide(situation: &Situation<'_>) -> Decision {
    match situation.status {
        StreamStatus::Deleting => Decision::Gone,
        // While a stream is UPDATING its description shows the old encryption: judging it would be judging the past.
        StreamStatus::Creating | StreamStatus::Updating | StreamStatus::Other(_) => {
            Decision::Wait(Pending::Status(situation.status.clone()))
        }
        StreamStatus::Active => decide_active(situation),
    }
}

fn decide_active(situation: &Situation<'_>) -> Decision {
    let why = match judge(situation) {
        Verdict::Right(in_sync) => match (situation.progress, situation.reapply) {
            (Progress::NotStarted, true) => Why::Asked,
            _ => {
                return match (in_sync, situation.desired) {
                    (InSync::DesiredKey, Desired::Key { trouble: Some(trouble), .. }) => Decision::KeyAtRisk(trouble.clone()),
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
    Wrong(Why),
    Unknown(&'a Failure),
}

fn judge<'a>(situation: &Situation<'a>) -> Verdict<'a> {
    match (situation.present, situation.desired) {
        (Present::AwsManaged, Desired::AwsManaged) => Verdict::Right(InSync::DesiredKey),
        (Present::Key { by_alias: Some(alias), .. }, _) if situation.doubted_alias == Some(alias) => {
            Verdict::Wrong(Why::RepointedAlias(alias.clone()))
        }
        (Present::Key { arn, .. }, Desired::Key { arn: desired, .. }) if arn == desired => Verdict::Right(InSync::DesiredKey),
        (Present::Key { standing: Standing::Enabled, .. }, _) if situation.on_other_key == OnOtherKey::Accept => {
            Verdict::Right(InSync::AcceptedKey)
        }
        (Present::Unreadable(failure), _) => Verdict::Unknown(failure),
        (Present::Unencrypted, _) => Verdict::Wrong(Why::Unencrypted),
        (Present::AwsManaged, Desired::Key { .. }) => Verdict::Wrong(Why::AwsManagedKey),
        (Present::Key { arn, .. }, _) => Verdict::Wrong(Why::OtherKey(arn.to_string())),
        (Present::Unresolvable { key_id }, _) => Verdict::Wrong(Why::OtherKey(key_id.clone())),
    }
}

fn may_apply(situation: &Situation<'_>, why: Why) -> Decision {
    match situation.tags {
        Tags::Unread => Decision::ReadTags,
        Tags::Unreadable(failure) => Decision::Refuse(failure.clone()),
        Tags::Read(Exemption::Exempt { reason, until }) => Decision::Exempt { reason: reason.clone(), until: *until },
        Tags::Read(Exemption::Malformed { why }) => {
            Decision::Refuse(Failure::new(Step::ListTags, code::EXEMPTION_MALFORMED, situation.stream, why))
        }
        Tags::Read(Exemption::None | Exemption::Expired { .. }) => match situation.desired {
            Desired::Key { trouble: Some(trouble), .. } => Decision::Refuse(trouble.clone()),
            Desired::Key { trouble: None, .. } | Desired::AwsManaged => Decision::Apply(why),
        },
    }
}

/// The stream is ACTIVE and wrong although a start was sent.
fn after_start(situation: &Situation<'_>, accepted: bool, seen_updating: bool, ago: Duration) -> Decision {
    let refuse = |code, detail: &str| Decision::Refuse(Failure::new(Step::Wait, code, situation.stream, detail));
    let seconds = VISIBILITY_LIMIT.as_secs();
    match (accepted, seen_updating) {
        (true, true) => {
            refuse(code::UNDONE, "after the key was applied the stream became ACTIVE without it: somebody changed it in between")
        }
        _ if ago < VISIBILITY_LIMIT => Decision::Wait(if accepted { Pending::NotVisible } else { Pending::Unconfirmed }),
        (true, false) => refuse(
            code::ACCEPTED_NOT_VISIBLE,
            &format!("StartStreamEncryption was accepted, but the stream has not shown it for {seconds} s"),
        ),
        // An UPDATING that was seen may have been somebody's resharding; the start may never have arrived.
        (false, _) => refuse(
            code::START_UNCONFIRMED,
            &format!("the answer to StartStreamEncryption was lost, and the stream does not have the key after {seconds} s"),
        ),
    }
}

impl fmt::Display for InSync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DesiredKey => "the stream is encrypted with the configured key",
            Self::AcceptedKey => "the stream is encrypted with another enabled customer managed key, which ON_OTHER_KEY=accept allows",
        })
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unencrypted => f.write_str("the stream was not encrypted"),
            Self::AwsManagedKey => f.write_str("the stream was encrypted with the AWS managed key"),
            Self::OtherKey(key) => write!(f, "the stream was encrypted with another key, {key}"),
            Self::RepointedAlias(alias) => write!(f, "the stream named its key by {alias}, which was re-pointed"),
            Self::Asked => f.write_str("a fresh application of the key was asked for"),
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
