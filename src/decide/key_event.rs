//! Whether an event about a KMS key or an alias concerns a configured key, and what follows. Pure.
//!
//! The caller looks the configured key up and passes the result. KMS is eventually consistent, so
//! for some minutes an event and the look-up may disagree.

use std::time::Duration;

use chrono::TimeDelta;

use super::DesiredKey;
use crate::domain::failure::{Failure, Kind, Step, code};
use crate::domain::key::{AliasName, KeyArn, KeyRef};
use crate::domain::key_event::{KeyEvent, StoreChange};

/// How long KMS may take to show a change everywhere: typically seconds, sometimes minutes
/// ([eventual consistency]).
///
/// [eventual consistency]: https://docs.aws.amazon.com/kms/latest/developerguide/accessing-kms.html#programming-eventual-consistency
pub const SETTLING: TimeDelta = TimeDelta::minutes(5);

/// A key event, with where and when it happened.
#[derive(Clone, Copy, Debug)]
pub struct KeyEventFacts<'a> {
    /// The event.
    pub event: &'a KeyEvent,
    /// The account that it happened in, if the event names it.
    pub account: Option<&'a str>,
    /// The Region that it happened in, if the event names it.
    pub region: Option<&'a str>,
    /// The age of the event: unknown if it has no time, negative if its time lies in the future.
    pub age: Option<TimeDelta>,
}

/// What follows from a key event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyEventEffect {
    /// Nothing, for this reason.
    Ignored(String),
    /// The configured key is, or is about to become, unusable: no stream is touched.
    KeyAtRisk(String),
    /// Every stream is reconciled.
    Sweep {
        /// The alias that was re-pointed, by which a stream may name its key.
        repointed_alias: Option<AliasName>,
        /// The key that was rotated.
        rotated_key: Option<KeyArn>,
    },
    /// Nothing can be decided.
    Failed(Failure),
}

impl KeyEventEffect {
    /// Of the effects on several keys, the most severe one holds.
    #[must_use]
    pub fn severity(&self) -> u8 {
        match self {
            Self::Ignored(_) => 0,
            Self::Failed(_) => 1,
            Self::KeyAtRisk(_) => 2,
            Self::Sweep { .. } => 3,
        }
    }
}

/// The most severe of `effects`, each with its key; the first of equals.
pub fn most_severe<K>(effects: impl IntoIterator<Item = (KeyEventEffect, K)>) -> Option<(KeyEventEffect, K)> {
    effects.into_iter().reduce(|most, next| if next.0.severity() > most.0.severity() { next } else { most })
}

/// After how long to handle the event once more, when KMS must show the change; `None` if the event
/// does not depend on that, or if that time is over.
///
/// An event far in the future, which must be forged, is not handled again: that would never end.
#[must_use]
pub fn second_look_after(event: &KeyEvent, age: Option<TimeDelta>) -> Option<Duration> {
    let age = age.filter(|age| (-SETTLING..SETTLING).contains(age))?;
    match event {
        KeyEvent::Rotated { .. } => None,
        _ => Some((SETTLING - age).to_std().unwrap_or_default()),
    }
}

/// Why the event concerns another key or alias than `configured`, if that is known without a
/// look-up.
#[must_use]
pub fn unrelated(facts: &KeyEventFacts<'_>, configured: &KeyRef) -> Option<String> {
    let KeyEventFacts { event, account, region, age: _ } = *facts;
    match event {
        KeyEvent::AliasPointed { alias, .. } | KeyEvent::AliasDeleted { alias } => {
            let same_place = match configured {
                KeyRef::AliasArn { region: r, account: a, .. } => {
                    region.is_none_or(|region| region == r) && account.is_none_or(|account| account == a)
                }
                _ => true,
            };
            (configured.alias() != Some(alias) || !same_place)
                .then(|| format!("{alias} is not the configured key's alias"))
        }
        KeyEvent::StoreChanged { store, .. } => {
            let elsewhere = account.is_some_and(|here| configured.account().is_some_and(|account| account != here));
            elsewhere.then(|| not_in_store(store))
        }
        _ => {
            let configured = configured.canonical(region?, account?)?;
            match key_of(event) {
                Some(KeyRef::Arn(key)) if *key != configured => Some(format!("{key} is not the configured key")),
                _ => None,
            }
        }
    }
}

fn not_in_store(store: &str) -> String {
    format!("the configured key is not in the custom key store {store}")
}

/// What follows from the event for the key `configured`, given what KMS returned for it: the key,
/// and the custom key store that holds it, if one does. The event must not be [`unrelated`] to that
/// key.
#[must_use]
pub fn assess_key_event(
    facts: &KeyEventFacts<'_>,
    configured: &KeyRef,
    looked_up: Result<DesiredKey, Failure>,
    in_store: Option<&str>,
) -> KeyEventEffect {
    let event = facts.event;
    let (arn, trouble) = match looked_up {
        Ok(DesiredKey::AwsManaged) => {
            return KeyEventEffect::Ignored("the configured key is the AWS managed key".to_owned());
        }
        Ok(DesiredKey::Key { arn, trouble }) => (Some(arn), trouble),
        Err(failure) if failure.kind() == Kind::KeyNotFound => (None, Some(failure)),
        Err(failure) => return KeyEventEffect::Failed(failure),
    };
    if let (Some(arn), Some(KeyRef::Arn(key))) = (&arn, key_of(event))
        && arn != key
    {
        return KeyEventEffect::Ignored(format!("{key} is not the configured key"));
    }
    if let KeyEvent::StoreChanged { store, .. } = event
        && in_store != Some(store)
    {
        return KeyEventEffect::Ignored(not_in_store(store));
    }
    // KMS may not show yet what a young event reports. For an older event, KMS is right.
    let is_young = facts.age.is_some_and(|age| age < SETTLING);
    let unsettled = |says: &str| {
        let failure = || Failure::new(Step::DescribeKey, code::KEY_STATE_SETTLING, configured, says);
        is_young.then(|| KeyEventEffect::Failed(failure()))
    };
    let sweep = |repointed_alias| KeyEventEffect::Sweep { repointed_alias, rotated_key: None };
    match (event, trouble) {
        (KeyEvent::AliasPointed { target, alias }, None) => match (&arn, target) {
            (Some(arn), KeyRef::Arn(target)) if arn != target => {
                let says = format!("the event says that {alias} points to {target}, but KMS still returns {arn}");
                // The alias was re-pointed since, which has an event of its own.
                unsettled(&says).unwrap_or_else(|| sweep(Some(alias.clone())))
            }
            _ => sweep(Some(alias.clone())),
        },
        (KeyEvent::AliasPointed { alias, .. }, Some(trouble)) if trouble.kind() == Kind::KeyNotFound => {
            unsettled(&format!("the event says that {alias} exists, but KMS does not find it"))
                .unwrap_or_else(|| KeyEventEffect::KeyAtRisk(trouble.to_string()))
        }
        // The sweep reports an unusable key once, before any stream.
        (KeyEvent::AliasPointed { alias, .. }, Some(_)) => sweep(Some(alias.clone())),
        (KeyEvent::Rotated { .. }, _) => KeyEventEffect::Sweep { repointed_alias: None, rotated_key: arn },
        (
            KeyEvent::AliasDeleted { .. }
            | KeyEvent::Trouble { .. }
            | KeyEvent::StoreChanged { change: StoreChange::Disconnected | StoreChange::Updated, .. },
            Some(trouble),
        ) => KeyEventEffect::KeyAtRisk(format!("{}: {trouble}", name_of(event))),
        (
            KeyEvent::AliasDeleted { .. }
            | KeyEvent::Trouble { .. }
            | KeyEvent::StoreChanged { change: StoreChange::Disconnected, .. },
            None,
        ) => {
            let name = name_of(event);
            unsettled(&format!("the event reports {name}, but according to KMS the key is usable"))
                .unwrap_or_else(|| KeyEventEffect::Ignored(format!("{name} was undone: the key is usable")))
        }
        (KeyEvent::Usable { .. } | KeyEvent::StoreChanged { change: StoreChange::Connected, .. }, Some(trouble)) => {
            unsettled(&format!("the event reports {}, but KMS reports: {}", name_of(event), trouble.message))
                .unwrap_or_else(|| KeyEventEffect::KeyAtRisk(trouble.to_string()))
        }
        (KeyEvent::DeletionCancelled { .. }, Some(trouble)) => KeyEventEffect::KeyAtRisk(format!(
            "the deletion was cancelled, which leaves the key disabled until it is enabled: {trouble}"
        )),
        (KeyEvent::Usable { .. } | KeyEvent::DeletionCancelled { .. } | KeyEvent::StoreChanged { .. }, None) => {
            sweep(None)
        }
    }
}

fn key_of(event: &KeyEvent) -> Option<&KeyRef> {
    match event {
        KeyEvent::Rotated { key }
        | KeyEvent::Trouble { key, .. }
        | KeyEvent::Usable { key, .. }
        | KeyEvent::DeletionCancelled { key } => Some(key),
        KeyEvent::AliasPointed { .. } | KeyEvent::AliasDeleted { .. } | KeyEvent::StoreChanged { .. } => None,
    }
}

fn name_of(event: &KeyEvent) -> String {
    match event {
        KeyEvent::Rotated { .. } => "the rotation".to_owned(),
        KeyEvent::Trouble { what, .. } | KeyEvent::Usable { what, .. } => what.clone(),
        KeyEvent::DeletionCancelled { .. } => "CancelKeyDeletion".to_owned(),
        KeyEvent::StoreChanged { change, .. } => change.operation().to_owned(),
        KeyEvent::AliasPointed { alias, .. } => format!("the update of {alias}"),
        KeyEvent::AliasDeleted { alias } => format!("the deletion of {alias}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "111122223333";
    const REGION: &str = "us-east-1";
    const ALIAS: &str = "alias/streams";

    fn arn(id: u8) -> KeyArn {
        format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/00000000-0000-0000-0000-00000000000{id}").parse().expect("an ARN")
    }

    fn alias() -> KeyRef {
        ALIAS.parse().expect("an alias")
    }

    fn alias_name() -> AliasName {
        ALIAS.parse().expect("an alias")
    }

    fn rotated() -> KeyEvent {
        KeyEvent::Rotated { key: KeyRef::Arn(arn(1)) }
    }

    fn trouble(what: &str) -> KeyEvent {
        KeyEvent::Trouble { key: KeyRef::Arn(arn(1)), what: what.to_owned() }
    }

    fn enabled() -> KeyEvent {
        KeyEvent::Usable { key: KeyRef::Arn(arn(1)), what: "EnableKey".to_owned() }
    }

    fn cancelled() -> KeyEvent {
        KeyEvent::DeletionCancelled { key: KeyRef::Arn(arn(1)) }
    }

    fn pointed(id: u8) -> KeyEvent {
        KeyEvent::AliasPointed { alias: alias_name(), target: KeyRef::Arn(arn(id)) }
    }

    const STORE: &str = "cks-1234567890abcdef0";

    fn store(change: StoreChange) -> KeyEvent {
        KeyEvent::StoreChanged { store: STORE.to_owned(), change }
    }

    fn deleted() -> KeyEvent {
        KeyEvent::AliasDeleted { alias: alias_name() }
    }

    /// What KMS says of the configured key.
    #[derive(Clone, Copy, Debug)]
    enum Kms {
        Usable,
        Disabled,
        Missing,
    }

    fn looked_up(kms: Kms) -> Result<DesiredKey, Failure> {
        match kms {
            Kms::Usable => Ok(DesiredKey::Key { arn: arn(1), trouble: None }),
            Kms::Disabled => Ok(DesiredKey::Key { arn: arn(1), trouble: Some(failure(code::KEY_DISABLED)) }),
            Kms::Missing => Err(failure("NotFoundException")),
        }
    }

    fn failure(code: &str) -> Failure {
        Failure::new(Step::DescribeKey, code, &ALIAS, "")
    }

    fn facts(event: &KeyEvent, age_seconds: i64) -> KeyEventFacts<'_> {
        let age = Some(TimeDelta::seconds(age_seconds));
        KeyEventFacts { event, account: Some(ACCOUNT), region: Some(REGION), age }
    }

    /// An effect, as the table has it: what kind, and words of its text.
    #[derive(Clone, Copy)]
    enum Expected {
        Ignored(&'static str),
        AtRisk(&'static str),
        /// Whether an alias was re-pointed, and whether a key was rotated.
        Sweep(bool, bool),
        Unsettled(&'static str),
    }

    #[track_caller]
    fn check(event: &KeyEvent, age: i64, kms: Kms, expected: Expected) {
        let effect = assess_key_event(&facts(event, age), &alias(), looked_up(kms), Some(STORE));
        let fits = match (expected, &effect) {
            (Expected::Ignored(part), KeyEventEffect::Ignored(text))
            | (Expected::AtRisk(part), KeyEventEffect::KeyAtRisk(text)) => text.contains(part),
            (Expected::Sweep(alias, key), KeyEventEffect::Sweep { repointed_alias, rotated_key }) => {
                *repointed_alias == alias.then(alias_name) && *rotated_key == key.then(|| arn(1))
            }
            (Expected::Unsettled(part), KeyEventEffect::Failed(failure)) => {
                failure.kind() == Kind::KeyUnsettled && failure.message.contains(part)
            }
            _ => false,
        };
        assert!(fits, "{event:?}, {age} s old, {kms:?}: {effect:?}");
    }

    const YOUNG: i64 = 299;
    const OLD: i64 = 300;

    #[test]
    fn every_event_has_its_effect_for_a_usable_an_unusable_and_a_missing_key() {
        use Expected::{AtRisk, Ignored, Sweep, Unsettled};
        let disconnected = || store(StoreChange::Disconnected);
        let connected = || store(StoreChange::Connected);
        let updated = || store(StoreChange::Updated);
        for (event, kms, young, old) in [
            (rotated(), Kms::Usable, Sweep(false, true), Sweep(false, true)),
            (rotated(), Kms::Disabled, Sweep(false, true), Sweep(false, true)),
            (rotated(), Kms::Missing, Sweep(false, false), Sweep(false, false)),
            (trouble("DisableKey"), Kms::Usable, Unsettled("DisableKey"), Ignored("DisableKey")),
            (trouble("DisableKey"), Kms::Disabled, AtRisk("DisableKey"), AtRisk("KeyDisabled")),
            (trouble("ScheduleKeyDeletion"), Kms::Missing, AtRisk("NotFound"), AtRisk("ScheduleKeyDeletion")),
            (enabled(), Kms::Usable, Sweep(false, false), Sweep(false, false)),
            (enabled(), Kms::Disabled, Unsettled("EnableKey"), AtRisk("KeyDisabled")),
            (enabled(), Kms::Missing, Unsettled("EnableKey"), AtRisk("NotFound")),
            (cancelled(), Kms::Usable, Sweep(false, false), Sweep(false, false)),
            (cancelled(), Kms::Disabled, AtRisk("disabled until"), AtRisk("disabled until")),
            (cancelled(), Kms::Missing, AtRisk("NotFound"), AtRisk("NotFound")),
            (pointed(1), Kms::Usable, Sweep(true, false), Sweep(true, false)),
            (pointed(1), Kms::Disabled, Sweep(true, false), Sweep(true, false)),
            (pointed(1), Kms::Missing, Unsettled(ALIAS), AtRisk("NotFound")),
            (pointed(2), Kms::Usable, Unsettled("00000000-0000-0000-0000-000000000002"), Sweep(true, false)),
            (pointed(2), Kms::Disabled, Sweep(true, false), Sweep(true, false)),
            (deleted(), Kms::Usable, Unsettled("the deletion of"), Ignored("the deletion of")),
            (deleted(), Kms::Disabled, AtRisk("the deletion of"), AtRisk("the deletion of")),
            (deleted(), Kms::Missing, AtRisk("the deletion of"), AtRisk("NotFound")),
            (disconnected(), Kms::Usable, Unsettled("DisconnectCustomKeyStore"), Ignored("DisconnectCustomKeyStore")),
            (disconnected(), Kms::Disabled, AtRisk("DisconnectCustomKeyStore: "), AtRisk("KeyDisabled")),
            (connected(), Kms::Usable, Sweep(false, false), Sweep(false, false)),
            (connected(), Kms::Disabled, Unsettled("ConnectCustomKeyStore"), AtRisk("KeyDisabled")),
            (updated(), Kms::Usable, Sweep(false, false), Sweep(false, false)),
            (updated(), Kms::Disabled, AtRisk("UpdateCustomKeyStore: "), AtRisk("KeyDisabled")),
        ] {
            check(&event, YOUNG, kms, young);
            check(&event, OLD, kms, old);
        }
    }

    #[test]
    fn an_event_without_a_time_is_taken_for_an_old_one() {
        let event = enabled();
        let facts = KeyEventFacts { age: None, ..facts(&event, 0) };
        let effect = assess_key_event(&facts, &alias(), looked_up(Kms::Disabled), None);
        assert!(matches!(effect, KeyEventEffect::KeyAtRisk(_)), "{effect:?}");
    }

    #[test]
    fn an_event_about_another_key_than_the_configured_alias_points_to_is_ignored() {
        let event = rotated();
        let assess = |key| assess_key_event(&facts(&event, 0), &alias(), Ok(key), None);
        let other = assess(DesiredKey::Key { arn: arn(2), trouble: None });
        assert_eq!(other, KeyEventEffect::Ignored(format!("{} is not the configured key", arn(1))));
        assert!(matches!(assess(DesiredKey::AwsManaged), KeyEventEffect::Ignored(_)));
    }

    #[test]
    fn a_key_store_concerns_only_the_keys_in_it() {
        let ignored = KeyEventEffect::Ignored(format!("the configured key is not in the custom key store {STORE}"));
        for change in [StoreChange::Disconnected, StoreChange::Connected, StoreChange::Updated] {
            let event = store(change);
            for in_store in [None, Some("cks-0"), Some("")] {
                for kms in [Kms::Usable, Kms::Disabled, Kms::Missing] {
                    let effect = assess_key_event(&facts(&event, YOUNG), &alias(), looked_up(kms), in_store);
                    assert_eq!(effect, ignored, "{change:?} {in_store:?} {kms:?}");
                }
            }
            // A store holds only keys of its own account.
            let here = facts(&event, 0);
            let there = KeyEventFacts { account: Some("999988887777"), ..here };
            let by_arn = KeyRef::Arn(arn(1));
            assert_eq!((unrelated(&here, &by_arn), unrelated(&there, &alias())), (None, None));
            assert_eq!(unrelated(&there, &by_arn).map(KeyEventEffect::Ignored), Some(ignored.clone()));
        }
    }

    #[test]
    fn a_key_that_cannot_be_looked_up_is_a_failure() {
        let denied = failure("AccessDeniedException");
        let event = rotated();
        let effect = assess_key_event(&facts(&event, 0), &alias(), Err(denied.clone()), None);
        assert_eq!(effect, KeyEventEffect::Failed(denied));
    }

    #[test]
    fn an_event_about_another_key_or_alias_needs_no_look_up() {
        let other: KeyRef = "alias/other".parse().expect("an alias");
        for (event, configured, is_unrelated) in [
            (pointed(1), alias(), false),
            (pointed(1), other, true),
            (deleted(), KeyRef::Arn(arn(1)), true),
            (rotated(), KeyRef::Arn(arn(1)), false),
            (rotated(), KeyRef::Arn(arn(2)), true),
            // Where the alias points to is not known.
            (rotated(), alias(), false),
        ] {
            assert_eq!(unrelated(&facts(&event, 0), &configured).is_some(), is_unrelated, "{event:?} {configured}");
        }
    }

    #[test]
    fn an_alias_that_is_configured_by_arn_is_that_of_its_account_and_region() {
        let configured: KeyRef = format!("arn:aws:kms:{REGION}:{ACCOUNT}:{ALIAS}").parse().expect("an ARN");
        let event = deleted();
        let here = facts(&event, 0);
        assert_eq!(unrelated(&here, &configured), None);
        assert_eq!(unrelated(&KeyEventFacts { account: None, region: None, ..here }, &configured), None);
        assert!(unrelated(&KeyEventFacts { account: Some("444455556666"), ..here }, &configured).is_some());
        assert!(unrelated(&KeyEventFacts { region: Some("eu-west-1"), ..here }, &configured).is_some());
    }

    #[test]
    fn of_several_effects_the_most_severe_holds_and_of_equals_the_first() {
        let ignored = || KeyEventEffect::Ignored(String::new());
        let failed = || KeyEventEffect::Failed(failure("AccessDeniedException"));
        let at_risk = || KeyEventEffect::KeyAtRisk(String::new());
        let sweep = || KeyEventEffect::Sweep { repointed_alias: None, rotated_key: None };
        for (effects, most) in [
            (vec![ignored(), ignored()], 0),
            (vec![ignored(), failed(), ignored()], 1),
            (vec![failed(), at_risk(), at_risk()], 1),
            (vec![sweep(), at_risk(), sweep()], 0),
        ] {
            let numbered = effects.iter().cloned().zip(0..);
            assert_eq!(most_severe(numbered), Some((effects[most].clone(), most)));
        }
        assert_eq!(most_severe::<()>([]), None);
    }

    #[test]
    fn a_young_event_is_looked_at_again_when_kms_has_settled() {
        let seconds = |event: &KeyEvent, age: i64| second_look_after(event, Some(TimeDelta::seconds(age)));
        assert_eq!(seconds(&enabled(), 0), Some(Duration::from_mins(5)));
        assert_eq!(seconds(&deleted(), 299), Some(Duration::from_secs(1)));
        assert_eq!(seconds(&pointed(1), 300), None);
        assert_eq!(seconds(&pointed(1), -300), Some(Duration::from_mins(10)));
        assert_eq!(seconds(&pointed(1), -301), None);
        assert_eq!(seconds(&rotated(), 0), None);
        assert_eq!(second_look_after(&enabled(), None), None);
    }
}
