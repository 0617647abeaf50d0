//! What an event about a key or an alias means for the configured key. Whatever the event says, KMS is asked how things are now.

use chrono::TimeDelta;

use crate::decide::Desired;
use crate::event::{KeySignal, Trigger};
use crate::failure::{Failure, Kind, Step, code};
use crate::key::{AliasName, KeyArn, KeyRef};
use crate::key_book::KeyBook;

/// How long KMS may take to show a change everywhere ("typically within seconds, sometimes minutes": KMS Developer Guide, *Eventual consistency*).
pub const SETTLING: TimeDelta = TimeDelta::minutes(5);

/// What is to be done about a [`KeySignal`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
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

impl Meaning {
    /// How much it matters: of what an event means for several keys, the weightiest holds.
    #[must_use]
    pub fn weight(&self) -> u8 {
        match self {
            Self::Nothing(_) => 0,
            Self::Failed(_) => 1,
            Self::KeyAtRisk(_) => 2,
            Self::Fleet { .. } => 3,
        }
    }
}

/// Finds out what `signal` means, given the configured key `wanted` and how old the event is.
pub async fn weigh(signal: &KeySignal, trigger: &Trigger, age: Option<TimeDelta>, wanted: &KeyRef, keys: &KeyBook<'_>) -> Meaning {
    if let Some(reason) = is_foreign(signal, trigger, wanted) {
        return Meaning::Nothing(reason);
    }
    let (desired, missing) = match keys.desired(wanted).await {
        Ok(Desired::AwsManaged) => return Meaning::Nothing("the configured key is the AWS managed one".to_owned()),
        Ok(desired @ Desired::Key { .. }) => (Some(desired), None),
        Err(failure) if failure.kind() == Kind::KeyNotFound => (None, Some(failure)),
        Err(failure) => return Meaning::Failed(failure),
    };
    let (arn, trouble) = match &desired {
        Some(Desired::Key { arn, trouble }) => (Some(arn), trouble.as_ref()),
        _ => (None, missing.as_ref()),
    };
    if let (Some(arn), Some(KeyRef::Arn(key))) = (arn, key_of(signal))
        && arn != key
    {
        return Meaning::Nothing(format!("{key} is not the configured key"));
    }
    let settling = |says: &str| {
        let young = age.is_some_and(|age| age < SETTLING);
        young.then(|| Meaning::Failed(Failure::new(Step::DescribeKey, code::KEY_STATE_SETTLING, wanted, says)))
    };
    let fleet = |doubted_alias| Meaning::Fleet { doubted_alias, rotated: None };
    match (signal, trouble) {
        (KeySignal::AliasPointed { target, alias }, None) => match (arn, target) {
            (Some(arn), KeyRef::Arn(target)) if arn != target => {
                let says = format!("the event says that {alias} points at {target}, KMS still says {arn}");
                // Later on KMS is right: the alias has been pointed elsewhere since, which has an event of its own.
                settling(&says).unwrap_or_else(|| fleet(Some(alias.clone())))
            }
            _ => fleet(Some(alias.clone())),
        },
        (KeySignal::AliasPointed { alias, .. }, Some(trouble)) if trouble.kind() == Kind::KeyNotFound => {
            settling(&format!("the event says that {alias} exists, KMS does not find it"))
                .unwrap_or_else(|| Meaning::KeyAtRisk(trouble.to_string()))
        }
        // Re-pointed at an unusable key, or rotated while unusable: the sweep reports it once, before any stream.
        (KeySignal::AliasPointed { alias, .. }, Some(_)) => fleet(Some(alias.clone())),
        (KeySignal::AliasDeleted { .. } | KeySignal::Trouble { .. }, Some(trouble)) => {
            Meaning::KeyAtRisk(format!("{}: {trouble}", what(signal)))
        }
        (KeySignal::AliasDeleted { .. } | KeySignal::Trouble { .. }, None) => {
            let says = format!("the event says {}, KMS says that the key is usable", what(signal));
            settling(&says).unwrap_or_else(|| Meaning::Nothing(format!("{} is over: KMS says that the key is usable again", what(signal))))
        }
        (KeySignal::Usable { .. }, Some(trouble)) => {
            let says = format!("the event says {}, KMS says: {}", what(signal), trouble.message);
            settling(&says).unwrap_or_else(|| Meaning::KeyAtRisk(trouble.to_string()))
        }
        (KeySignal::DeletionCancelled { .. }, Some(trouble)) => {
            Meaning::KeyAtRisk(format!("the deletion was cancelled, which leaves a key disabled until somebody enables it: {trouble}"))
        }
        (KeySignal::Rotated { .. }, _) => Meaning::Fleet { doubted_alias: None, rotated: arn.cloned() },
        (KeySignal::Usable { .. } | KeySignal::DeletionCancelled { .. }, None) => fleet(None),
    }
}

/// Why the signal concerns another key or alias, where that can be told without a call.
#[must_use]
pub fn is_foreign(signal: &KeySignal, trigger: &Trigger, wanted: &KeyRef) -> Option<String> {
    let (account, region) = (trigger.account.as_deref(), trigger.region.as_deref());
    match signal {
        KeySignal::AliasPointed { alias, .. } | KeySignal::AliasDeleted { alias } => {
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

fn key_of(signal: &KeySignal) -> Option<&KeyRef> {
    match signal {
        KeySignal::Rotated { key }
        | KeySignal::Trouble { key, .. }
        | KeySignal::Usable { key, .. }
        | KeySignal::DeletionCancelled { key } => Some(key),
        KeySignal::AliasPointed { .. } | KeySignal::AliasDeleted { .. } => None,
    }
}

fn what(signal: &KeySignal) -> String {
    match signal {
        KeySignal::Rotated { .. } => "rotation".to_owned(),
        KeySignal::Trouble { what, .. } | KeySignal::Usable { what, .. } => what.clone(),
        KeySignal::DeletionCancelled { .. } => "CancelKeyDeletion".to_owned(),
        KeySignal::AliasPointed { alias, .. } => format!("{alias} was re-pointed"),
        KeySignal::AliasDeleted { alias } => format!("{alias} was deleted"),
    }
}
