//! What an event about a key or an alias means for the configured key. Whatever the event says, KMS
//! is asked how things are now.

use chrono::TimeDelta;

use crate::decide::DesiredKey;
use crate::domain::failure::{Failure, Kind, Step, code};
use crate::domain::key::{AliasName, KeyArn, KeyRef};
use crate::event::{KeyEvent, Trigger};
use crate::reconcile::key_cache::KeyCache;

/// How long KMS may take to show a change everywhere ("typically within seconds, sometimes
/// minutes": KMS Developer Guide, *Eventual consistency*).
pub(super) const SETTLING: TimeDelta = TimeDelta::minutes(5);

/// What is to be done about a [`KeyEvent`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeyEventEffect {
    /// It concerns us in no way, for this reason.
    Nothing(String),
    /// The configured key is, or is about to become, unusable: no stream is touched.
    KeyAtRisk(String),
    /// Every stream is to be looked at.
    Fleet {
        /// The alias that was re-pointed, by which a stream may name its key.
        doubted_alias: Option<AliasName>,
        /// The key that was rotated.
        rotated: Option<KeyArn>,
    },
    /// It cannot be said.
    Failed(Failure),
}

impl KeyEventEffect {
    /// How much it matters: of what an event means for several keys, the weightiest holds.
    #[must_use]
    pub(super) fn severity(&self) -> u8 {
        match self {
            Self::Nothing(_) => 0,
            Self::Failed(_) => 1,
            Self::KeyAtRisk(_) => 2,
            Self::Fleet { .. } => 3,
        }
    }
}

/// Finds out what `signal` means, given the configured key `wanted` and how old the event is.
pub(super) async fn assess_key_event(
    signal: &KeyEvent,
    trigger: &Trigger,
    age: Option<TimeDelta>,
    wanted: &KeyRef,
    keys: &KeyCache<'_>,
) -> KeyEventEffect {
    if let Some(reason) = is_foreign(signal, trigger, wanted) {
        return KeyEventEffect::Nothing(reason);
    }
    let (desired, missing) = match keys.desired(wanted).await {
        Ok(DesiredKey::AwsManaged) => {
            return KeyEventEffect::Nothing("the configured key is the AWS managed one".to_owned());
        }
        Ok(desired @ DesiredKey::Key { .. }) => (Some(desired), None),
        Err(failure) if failure.kind() == Kind::KeyNotFound => (None, Some(failure)),
        Err(failure) => return KeyEventEffect::Failed(failure),
    };
    let (arn, trouble) = match &desired {
        Some(DesiredKey::Key { arn, trouble }) => (Some(arn), trouble.as_ref()),
        _ => (None, missing.as_ref()),
    };
    if let (Some(arn), Some(KeyRef::Arn(key))) = (arn, key_of(signal))
        && arn != key
    {
        return KeyEventEffect::Nothing(format!("{key} is not the configured key"));
    }
    let settling = |says: &str| {
        let young = age.is_some_and(|age| age < SETTLING);
        young.then(|| KeyEventEffect::Failed(Failure::new(Step::DescribeKey, code::KEY_STATE_SETTLING, wanted, says)))
    };
    let fleet = |doubted_alias| KeyEventEffect::Fleet { doubted_alias, rotated: None };
    match (signal, trouble) {
        (KeyEvent::AliasPointed { target, alias }, None) => match (arn, target) {
            (Some(arn), KeyRef::Arn(target)) if arn != target => {
                let says = format!("the event says that {alias} points at {target}, KMS still says {arn}");
                // Later on KMS is right: the alias has been pointed elsewhere since, which has an
                // event of its own.
                settling(&says).unwrap_or_else(|| fleet(Some(alias.clone())))
            }
            _ => fleet(Some(alias.clone())),
        },
        (KeyEvent::AliasPointed { alias, .. }, Some(trouble)) if trouble.kind() == Kind::KeyNotFound => {
            settling(&format!("the event says that {alias} exists, KMS does not find it"))
                .unwrap_or_else(|| KeyEventEffect::KeyAtRisk(trouble.to_string()))
        }
        // Re-pointed at an unusable key, or rotated while unusable: the sweep reports it once,
        // before any stream.
        (KeyEvent::AliasPointed { alias, .. }, Some(_)) => fleet(Some(alias.clone())),
        (KeyEvent::AliasDeleted { .. } | KeyEvent::Trouble { .. }, Some(trouble)) => {
            KeyEventEffect::KeyAtRisk(format!("{}: {trouble}", what(signal)))
        }
        (KeyEvent::AliasDeleted { .. } | KeyEvent::Trouble { .. }, None) => {
            let says = format!("the event says {}, KMS says that the key is usable", what(signal));
            settling(&says).unwrap_or_else(|| {
                KeyEventEffect::Nothing(format!("{} is over: KMS says that the key is usable again", what(signal)))
            })
        }
        (KeyEvent::Usable { .. }, Some(trouble)) => {
            let says = format!("the event says {}, KMS says: {}", what(signal), trouble.message);
            settling(&says).unwrap_or_else(|| KeyEventEffect::KeyAtRisk(trouble.to_string()))
        }
        (KeyEvent::DeletionCancelled { .. }, Some(trouble)) => KeyEventEffect::KeyAtRisk(format!(
            "the deletion was cancelled, which leaves a key disabled until somebody enables it: {trouble}"
        )),
        (KeyEvent::Rotated { .. }, _) => KeyEventEffect::Fleet { doubted_alias: None, rotated: arn.cloned() },
        (KeyEvent::Usable { .. } | KeyEvent::DeletionCancelled { .. }, None) => fleet(None),
    }
}

/// Why the signal concerns another key or alias, where that can be told without a call.
#[must_use]
pub(super) fn is_foreign(signal: &KeyEvent, trigger: &Trigger, wanted: &KeyRef) -> Option<String> {
    let (account, region) = (trigger.account.as_deref(), trigger.region.as_deref());
    match signal {
        KeyEvent::AliasPointed { alias, .. } | KeyEvent::AliasDeleted { alias } => {
            let same_place = match wanted {
                KeyRef::AliasArn { region: r, account: a, .. } => {
                    region.is_none_or(|region| region == r) && account.is_none_or(|account| account == a)
                }
                _ => true,
            };
            (wanted.alias() != Some(alias) || !same_place).then(|| format!("{alias} is not the configured key's alias"))
        }
        _ => {
            let wanted = wanted.canonical(region?, account?)?;
            match key_of(signal) {
                Some(KeyRef::Arn(key)) if *key != wanted => Some(format!("{key} is not the configured key")),
                _ => None,
            }
        }
    }
}

fn key_of(signal: &KeyEvent) -> Option<&KeyRef> {
    match signal {
        KeyEvent::Rotated { key }
        | KeyEvent::Trouble { key, .. }
        | KeyEvent::Usable { key, .. }
        | KeyEvent::DeletionCancelled { key } => Some(key),
        KeyEvent::AliasPointed { .. } | KeyEvent::AliasDeleted { .. } => None,
    }
}

fn what(signal: &KeyEvent) -> String {
    match signal {
        KeyEvent::Rotated { .. } => "rotation".to_owned(),
        KeyEvent::Trouble { what, .. } | KeyEvent::Usable { what, .. } => what.clone(),
        KeyEvent::DeletionCancelled { .. } => "CancelKeyDeletion".to_owned(),
        KeyEvent::AliasPointed { alias, .. } => format!("{alias} was re-pointed"),
        KeyEvent::AliasDeleted { alias } => format!("{alias} was deleted"),
    }
}
