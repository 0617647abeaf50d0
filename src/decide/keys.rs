//! Keys compared: the one that a stream is to have, the one that it has, and whether that is the
//! same. Keys are never compared as texts; both sides are brought to a key ARN first.

use std::fmt;

use super::Enforcement;
use crate::domain::failure::Failure;
use crate::domain::key::{AWS_MANAGED_ALIAS, AliasName, KeyArn, KeyRef};
use crate::domain::mode::OnOtherKey;
use crate::domain::outcome::Warning;
use crate::domain::stream::StreamArn;
use crate::policy::EffectivePolicy;

/// The key that a stream is to have, after KMS was asked about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DesiredKey {
    /// `alias/aws/kinesis`: applied and compared as that alias, never described. [DescribeKey] of a
    /// predefined alias creates the key where there is none.
    ///
    /// [DescribeKey]: https://docs.aws.amazon.com/kms/latest/APIReference/API_DescribeKey.html
    AwsManaged,
    /// A customer managed key.
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

    /// The ARN of a customer managed key.
    #[must_use]
    pub fn arn(&self) -> Option<&KeyArn> {
        match self {
            Self::AwsManaged => None,
            Self::Key { arn, .. } => Some(arn),
        }
    }

    /// Why the key must not be applied now, if so.
    #[must_use]
    pub fn trouble(&self) -> Option<&Failure> {
        match self {
            Self::AwsManaged => None,
            Self::Key { trouble, .. } => trouble.as_ref(),
        }
    }
}

/// How a stream is encrypted, its `KeyId` brought to canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CurrentKey {
    /// Not at all.
    Unencrypted,
    /// With the key that AWS manages, `alias/aws/kinesis`.
    AwsManaged,
    /// With this key.
    Key {
        /// Its canonical form.
        arn: KeyArn,
        /// The customer alias that the stream stores in place of the key, if so.
        by_alias: Option<AliasName>,
        /// Whether it is acceptable in place of the desired key.
        fitness: OtherKeyFitness,
    },
    /// With an alias or key that does not exist, or that may not be described: certainly not the
    /// desired key.
    Unresolvable {
        /// The `KeyId` as the stream shows it.
        key_id: String,
    },
    /// With a key or an alias of an account that has nothing to do with the function, which matters
    /// only under `ON_OTHER_KEY=accept`. It is not looked at.
    OfUnrelatedAccount {
        /// The `KeyId` as the stream shows it.
        key_id: String,
    },
    /// Unknown, and that matters: under `ON_OTHER_KEY=accept` it might be acceptable.
    Unreadable(Failure),
}

/// Whether a key other than the desired one is acceptable; looked up only under
/// `ON_OTHER_KEY=accept`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherKeyFitness {
    /// Nobody asked.
    NotAsked,
    /// An enabled customer managed key.
    Enabled,
    /// Not enabled, managed by AWS, or missing.
    Unfit,
}

/// Both keys of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// The one that it is to have.
    pub desired: DesiredKey,
    /// The one that it has.
    pub current: CurrentKey,
}

/// Why a stream is compliant.
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
    /// The stream has a key of an account that has nothing to do with the function.
    KeyOfUnrelatedAccount(String),
    /// The stream stores its key by an alias that was re-pointed.
    RepointedAlias(AliasName),
    /// Somebody asked for the key to be re-applied.
    Asked,
    /// The key was rotated, and `ON_KEY_ROTATION=reapply`.
    Rotated,
}

/// The accounts whose streams the function manages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ManagedAccounts<'a> {
    /// The function's own account, if it is known.
    pub own: Option<&'a str>,
    /// `MEMBER_ACCOUNTS`.
    pub members: &'a [String],
}

impl Enforcement<'_> {
    /// Whether `account` has anything to do with `stream`, so that `ON_OTHER_KEY=accept` may accept
    /// a key of it: it is the stream's account, the function's own, a member account, or it holds a
    /// key that is configured.
    ///
    /// Whoever may start encryption could give a stream a key of an account of their own, and then
    /// withdraw it: nobody can read the records any more. Such a key must not count as compliant.
    #[must_use]
    pub fn is_related(&self, account: &str, stream: &StreamArn) -> bool {
        let ManagedAccounts { own, members } = self.accounts;
        let configured = || self.policy.keys_in(None, stream.region());
        account == stream.account()
            || own == Some(account)
            || members.iter().any(|member| member == account)
            || configured().iter().any(|key| key.account() == Some(account))
    }
}

/// The warning that `stream` has the desired key by an alias that nobody configured, if so.
///
/// Whoever may re-point that alias might change what encrypts the stream: what a stream that stores
/// an alias is really encrypted with is not documented. The key is not applied by its ARN at once,
/// because the stream has it, and because a tool that names the alias would put it back each time.
/// When the alias points elsewhere, the next sweep finds another key and replaces it.
pub(super) fn foreign_alias(keys: &Keys, stream: &StreamArn, policy: &EffectivePolicy) -> Option<Warning> {
    let CurrentKey::Key { arn, by_alias: Some(alias), .. } = &keys.current else { return None };
    // An alias is in the account of its key.
    let is_it = |key: &&KeyRef| {
        key.alias() == Some(alias) && key.account().unwrap_or_else(|| stream.account()) == arn.account()
    };
    let is_configured = policy.keys_in(Some(stream.account()), stream.region()).iter().any(is_it);
    (!is_configured).then(|| Warning::KeyByForeignAlias { alias: alias.to_string(), key: arn.to_string() })
}

/// What comparing a stream's keys says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Comparison<'a> {
    InSync(InSync),
    Differs(ApplyReason),
    Unknown(&'a Failure),
}

/// Compares `keys`. `repointed_alias` is an alias that was re-pointed: what a stream that stores
/// its key by that alias is really encrypted with is not documented.
pub(super) fn compare<'a>(
    keys: &'a Keys,
    on_other_key: OnOtherKey,
    repointed_alias: Option<&AliasName>,
) -> Comparison<'a> {
    use Comparison::{Differs, Unknown};
    match (&keys.current, &keys.desired) {
        (CurrentKey::AwsManaged, DesiredKey::AwsManaged) => Comparison::InSync(InSync::DesiredKey),
        (CurrentKey::Key { by_alias: Some(alias), .. }, _) if repointed_alias == Some(alias) => {
            Differs(ApplyReason::RepointedAlias(alias.clone()))
        }
        (CurrentKey::Key { arn, .. }, DesiredKey::Key { arn: desired, .. }) if arn == desired => {
            Comparison::InSync(InSync::DesiredKey)
        }
        (CurrentKey::Key { fitness: OtherKeyFitness::Enabled, .. }, _) if on_other_key == OnOtherKey::Accept => {
            Comparison::InSync(InSync::AcceptedKey)
        }
        (CurrentKey::Unreadable(failure), _) => Unknown(failure),
        (CurrentKey::Unencrypted, _) => Differs(ApplyReason::Unencrypted),
        (CurrentKey::AwsManaged, DesiredKey::Key { .. }) => Differs(ApplyReason::AwsManagedKey),
        (CurrentKey::Key { arn, .. }, _) => Differs(ApplyReason::OtherKey(arn.to_string())),
        (CurrentKey::Unresolvable { key_id }, _) => Differs(ApplyReason::OtherKey(key_id.clone())),
        (CurrentKey::OfUnrelatedAccount { key_id }, _) => Differs(ApplyReason::KeyOfUnrelatedAccount(key_id.clone())),
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

impl ApplyReason {
    /// The reason of an application that was made: how the stream was before.
    #[must_use]
    pub fn in_the_past(&self) -> String {
        self.words("was", "stored")
    }

    fn words(&self, is: &str, stores: &str) -> String {
        match self {
            Self::Unencrypted => format!("the stream {is} not encrypted"),
            Self::AwsManagedKey => format!("the stream {is} encrypted with the AWS managed key"),
            Self::OtherKey(key) => format!("the stream {is} encrypted with another key, {key}"),
            Self::KeyOfUnrelatedAccount(key) => {
                format!("the stream {is} encrypted with a key of an unrelated account, {key}")
            }
            Self::RepointedAlias(alias) => format!("the stream {stores} its key by {alias}, which was re-pointed"),
            Self::Asked => "the request asks for the key to be re-applied".to_owned(),
            Self::Rotated => "the key was rotated, and ON_KEY_ROTATION=reapply".to_owned(),
        }
    }
}

/// How the stream is, as a plan says it.
impl fmt::Display for ApplyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words("is", "stores"))
    }
}
