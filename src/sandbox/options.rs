//! How the embedded AWS behaves where AWS varies, or where nobody knows how AWS behaves.

use std::time::Duration;

/// What the 25 changes of encryption in 24 hours are counted by. The documentation does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Allowance {
    /// By stream, as its sibling, the limit on switching the capacity mode, is (documented, and
    /// recorded on 2026-09-19).
    #[default]
    PerStream,
    /// By account and Region, as the heading of the quota table has it.
    PerAccount,
}

/// What `DescribeStreamSummary` shows after a Start with a customer alias. No recording shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AliasEcho {
    /// The alias as it was given, as AWS does with `alias/aws/kinesis` (recording of 2026-09-19).
    #[default]
    AsGiven,
    /// The ARN of the key that the alias points to.
    KeyArn,
}

/// The switches and delays of an account. They may be changed at any time and count for what
/// happens from then on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long a new stream is CREATING; 2 s. Recorded were 3 to 6 s.
    pub creating: Duration,
    /// How long a changed stream is UPDATING; 2 s. Documented are seconds to minutes
    /// (`StartStreamEncryption` API reference).
    pub updating: Duration,
    /// How long a deleted stream is DELETING; 2 s.
    pub deleting: Duration,
    /// How long after an accepted Start or Stop the stream still shows ACTIVE with its old
    /// encryption; none.
    pub visibility_lag: Duration,
    /// How long after ACTIVE records are still written with the old encryption; 5 s, the documented
    /// longest.
    pub record_lag: Duration,
    /// How long KMS shows a key's state or an alias as it was before a change; none. Documented are
    /// minutes.
    pub kms_lag: Duration,
    /// What the 25 changes in 24 hours are counted by.
    pub allowance: Allowance,
    /// Whether a Start with the key that the stream already has counts too; it does.
    pub same_key_spends_allowance: bool,
    /// What a Start with a customer alias leaves in the description.
    pub alias_echo: AliasEcho,
    /// Whether `ListStreams` gives a `NextToken` with `HasMoreStreams`; it does, as AWS does.
    /// Emulators do not.
    pub next_token: bool,
    /// How long after a call `CloudTrail`'s event history shows it; 15 minutes, the longest that
    /// AWS names. Five are the average.
    pub history_lag: Duration,
    /// How long the credentials of a role that was taken on are good for; an hour, as STS gives
    /// them unless asked otherwise.
    pub session: Duration,
    /// Whether the calls per second that AWS allows are enforced; they are.
    pub rate_limits: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            creating: Duration::from_secs(2),
            updating: Duration::from_secs(2),
            deleting: Duration::from_secs(2),
            visibility_lag: Duration::ZERO,
            record_lag: Duration::from_secs(5),
            kms_lag: Duration::ZERO,
            allowance: Allowance::default(),
            same_key_spends_allowance: true,
            alias_echo: AliasEcho::default(),
            next_token: true,
            history_lag: Duration::from_mins(15),
            session: Duration::from_hours(1),
            rate_limits: true,
        }
    }
}
