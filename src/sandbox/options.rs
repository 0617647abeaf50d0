//! Switches and delays, where AWS varies or its behaviour is not documented.

use std::time::Duration;

/// What the quota of [25 changes of encryption in 24 hours][StartStreamEncryption] is counted by.
/// The API reference does not say.
///
/// [StartStreamEncryption]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_StartStreamEncryption.html
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QuotaScope {
    /// By stream, like the similar quota on [switching the capacity mode] (recorded on 2026-09-19).
    ///
    /// [switching the capacity mode]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateStreamMode.html
    #[default]
    PerStream,
    /// By account and Region, as the heading of the [quota table] says.
    ///
    /// [quota table]: https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html
    PerAccount,
}

/// The key id that `DescribeStreamSummary` returns after encryption was started with a customer's
/// alias. It is neither documented nor recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AliasEcho {
    /// The alias as given, like `alias/aws/kinesis` (recorded on 2026-09-19).
    #[default]
    AsGiven,
    /// The ARN of the key that the alias pointed to.
    KeyArn,
}

/// The switches and delays of an account. A change applies to what happens afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long a new stream is CREATING. Default: 2 s; recordings show 3 to 6 s.
    pub creating: Duration,
    /// How long a changed stream is UPDATING. Default: 2 s; the API reference of
    /// [StartStreamEncryption] says seconds, at worst minutes.
    ///
    /// [StartStreamEncryption]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_StartStreamEncryption.html
    pub updating: Duration,
    /// How long a deleted stream is DELETING. Default: 2 s.
    pub deleting: Duration,
    /// How long after an accepted change of encryption the stream still shows ACTIVE and its old
    /// encryption. Default: none.
    pub visibility_lag: Duration,
    /// How long records are written with the old encryption after the stream is ACTIVE again.
    /// Default: 5 s, the longest that [StartStreamEncryption] documents.
    ///
    /// [StartStreamEncryption]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_StartStreamEncryption.html
    pub record_lag: Duration,
    /// How long KMS returns a key's state or an alias's target as it was before a change. Default:
    /// none. KMS is [eventually consistent]: seconds, at worst minutes.
    ///
    /// [eventually consistent]: https://docs.aws.amazon.com/kms/latest/developerguide/accessing-kms.html#programming-eventual-consistency
    pub kms_lag: Duration,
    /// What the quota on changes of encryption is counted by. Default: the stream.
    pub quota_scope: QuotaScope,
    /// Whether starting encryption with the stream's present key uses the quota. Default: yes.
    pub same_key_uses_quota: bool,
    /// What a stream's description shows after a start with a customer's alias. Default: the alias.
    pub alias_echo: AliasEcho,
    /// Whether `ListStreams` returns a `NextToken` when there are more streams. Default: yes, like
    /// AWS; some emulators do not.
    pub next_token: bool,
    /// How long after a call CloudTrail's event history shows it. Default: 15 minutes, the longest
    /// that AWS documents; the average is 5 minutes.
    pub history_lag: Duration,
    /// How long the credentials of an assumed role are valid. Default: an hour, the default of
    /// [AssumeRole].
    ///
    /// [AssumeRole]: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
    pub session: Duration,
    /// Whether the account's limits on calls per second are enforced. Default: yes.
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
            quota_scope: QuotaScope::default(),
            same_key_uses_quota: true,
            alias_echo: AliasEcho::default(),
            next_token: true,
            history_lag: Duration::from_mins(15),
            session: Duration::from_hours(1),
            rate_limits: true,
        }
    }
}
