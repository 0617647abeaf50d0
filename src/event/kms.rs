//! Events about keys and aliases. The caller finds out whether a key is a configured one.
//!
//! Sources: KMS Developer Guide, [*Monitoring KMS keys with Amazon EventBridge*][events] and
//! [*Logging AWS KMS API calls with AWS CloudTrail*][cloudtrail].
//!
//! [events]: https://docs.aws.amazon.com/kms/latest/developerguide/kms-events.html
//! [cloudtrail]: https://docs.aws.amazon.com/kms/latest/developerguide/logging-using-cloudtrail.html

use serde::Deserialize;

use super::cloudtrail::Call;
use super::detail::{Event, detail};
use super::parsed::{Parsed, Rejection};
use super::request::{Scope, TriggerKind};
use crate::domain::denial::Denial;
use crate::domain::key::{AliasName, KeyArn, KeyRef};
use crate::domain::key_event::{KeyEvent, StoreChange};

/// The detail of an event that KMS sends itself. Newer ones also have the type of the rotation and
/// the ids of the key material.
#[derive(Deserialize)]
struct KeyDetail {
    #[serde(rename = "key-id")]
    key_id: Option<String>,
}

/// `KMS CMK Rotation`: automatic or on demand.
pub(super) fn rotated(event: &Event) -> Parsed {
    Ok((TriggerKind::KeyRotated, Scope::Key(KeyEvent::Rotated { key: direct(event)? })))
}

/// `KMS CMK Deletion` and `KMS Imported Key Material Expiration`.
pub(super) fn lost(event: &Event) -> Parsed {
    let key_event = KeyEvent::Trouble { key: direct(event)?, what: event.detail_type.clone() };
    Ok((TriggerKind::KeyStateChanged, Scope::Key(key_event)))
}

fn direct(event: &Event) -> Result<KeyRef, Rejection> {
    let KeyDetail { key_id } = detail(event)?;
    if let Some(id) = key_id {
        return Ok(canonical(id.parse()?, event.account.as_deref().zip(event.region.as_deref())));
    }
    let mut resources = event.resources.iter().flatten();
    let key = resources.find_map(|resource| resource.parse::<KeyArn>().ok());
    key.map(KeyRef::Arn).ok_or_else(|| Rejection::unknown(format!("{:?} has no key-id", event.detail_type)))
}

/// The parameters of the calls below, each of which has some of them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    key_id: Option<String>,
    target_key_id: Option<String>,
    alias_name: Option<String>,
    custom_key_store_id: Option<String>,
}

/// A call of the KMS API, as CloudTrail records it.
pub(super) fn call(event: &Event) -> Parsed {
    if let Some(denial) = event.detail.as_ref().and_then(Denial::read) {
        return Ok((TriggerKind::AccessDenied, Scope::Denied(Box::new(denial))));
    }
    let call = Call::succeeded(event)?;
    let place = || call.place(event).ok();
    let missing = |what: &str| Rejection::unknown(format!("{} has no {what}", call.name()));
    let what = || call.name().to_owned();
    let key = |text: Option<String>, name: &str| -> Result<KeyRef, Rejection> {
        Ok(canonical(text.ok_or_else(|| missing(name))?.parse()?, place()))
    };
    let alias = |text: Option<String>| -> Result<AliasName, Rejection> {
        Ok(text.ok_or_else(|| missing("aliasName"))?.parse()?)
    };
    let parameters = || call.parameters::<Parameters>();

    let key_event = match call.name() {
        "UpdateAlias" | "CreateAlias" => {
            let Parameters { target_key_id, alias_name, .. } = parameters()?;
            let (alias, target) = (alias(alias_name)?, key(target_key_id, "targetKeyId")?);
            return Ok((TriggerKind::AliasRepointed, Scope::Key(KeyEvent::AliasPointed { alias, target })));
        }
        "DeleteAlias" => KeyEvent::AliasDeleted { alias: alias(parameters()?.alias_name)? },
        "DisableKey" | "ScheduleKeyDeletion" | "DeleteImportedKeyMaterial" => {
            KeyEvent::Trouble { key: key(parameters()?.key_id, "keyId")?, what: what() }
        }
        "EnableKey" | "ImportKeyMaterial" => {
            KeyEvent::Usable { key: key(parameters()?.key_id, "keyId")?, what: what() }
        }
        "CancelKeyDeletion" => KeyEvent::DeletionCancelled { key: key(parameters()?.key_id, "keyId")? },
        "RotateKeyOnDemand" => {
            return Err(Rejection::ignored(
                "RotateKeyOnDemand is ignored: the event \"KMS CMK Rotation\" reports the same rotation",
            ));
        }
        other => {
            let Some(change) = StoreChange::by(other) else {
                return Err(Rejection::ignored(format!("{other} does not change whether a key is usable")));
            };
            let store = parameters()?.custom_key_store_id.filter(|store| !store.is_empty());
            KeyEvent::StoreChanged { store: store.ok_or_else(|| missing("customKeyStoreId"))?, change }
        }
    };
    Ok((TriggerKind::KeyStateChanged, Scope::Key(key_event)))
}

/// The key by ARN, if the event names account and Region: a bare key id belongs to both.
fn canonical(key: KeyRef, place: Option<(&str, &str)>) -> KeyRef {
    let arn = place.and_then(|(account, region)| key.canonical(region, account));
    arn.map_or(key, KeyRef::Arn)
}
