//! What happened to a key or an alias. Whether it is a configured one is for the caller to find
//! out.
//!
//! Sources: [Monitoring KMS keys with Amazon EventBridge][events] and [Logging AWS KMS API calls with
//! AWS CloudTrail][trail].
//!
//! [events]: https://docs.aws.amazon.com/kms/latest/developerguide/kms-events.html
//! [trail]: https://docs.aws.amazon.com/kms/latest/developerguide/logging-using-cloudtrail.html

use serde::Deserialize;

use super::cloudtrail::Call;
use super::detail::{Event, detail};
use super::parsed::{Parsed, Rejection};
use super::request::{Scope, TriggerKind};
use crate::domain::key::{AliasName, KeyArn, KeyRef};
use crate::domain::key_event::KeyEvent;

/// The detail of a direct event. Newer ones also tell the kind of rotation and the ids of the key
/// materials.
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
    let signal = KeyEvent::Trouble { key: direct(event)?, what: event.detail_type.clone() };
    Ok((TriggerKind::KeyStateChanged, Scope::Key(signal)))
}

fn direct(event: &Event) -> Result<KeyRef, Rejection> {
    let KeyDetail { key_id } = detail(event)?;
    if let Some(id) = key_id {
        return Ok(canonical(id.parse()?, event.account.as_deref().zip(event.region.as_deref())));
    }
    let mut resources = event.resources.iter().flatten();
    let key = resources.find_map(|resource| resource.parse::<KeyArn>().ok());
    key.map(KeyRef::Arn).ok_or_else(|| Rejection::unknown(format!("{:?} without a key-id", event.detail_type)))
}

/// The parameters of the calls below; each has some of them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    key_id: Option<String>,
    target_key_id: Option<String>,
    alias_name: Option<String>,
}

/// A call of the KMS API that CloudTrail recorded.
pub(super) fn call(event: &Event) -> Parsed {
    let call = Call::succeeded(event)?;
    let place = || call.place(event).ok();
    let missing = |what: &str| Rejection::unknown(format!("{} without {what}", call.name()));
    let what = || call.name().to_owned();
    let key = |text: Option<String>, name: &str| -> Result<KeyRef, Rejection> {
        Ok(canonical(text.ok_or_else(|| missing(name))?.parse()?, place()))
    };
    let alias = |text: Option<String>| -> Result<AliasName, Rejection> {
        Ok(text.ok_or_else(|| missing("aliasName"))?.parse()?)
    };
    let parameters = || call.parameters::<Parameters>();

    let signal = match call.name() {
        "UpdateAlias" | "CreateAlias" => {
            let Parameters { target_key_id, alias_name, .. } = parameters()?;
            let signal =
                KeyEvent::AliasPointed { alias: alias(alias_name)?, target: key(target_key_id, "targetKeyId")? };
            return Ok((TriggerKind::AliasRepointed, Scope::Key(signal)));
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
            return Err(Rejection::ignored("RotateKeyOnDemand: the direct event (KMS CMK Rotation) speaks for both"));
        }
        other => return Err(Rejection::ignored(format!("{other} makes no key usable or unusable"))),
    };
    Ok((TriggerKind::KeyStateChanged, Scope::Key(signal)))
}

/// The key by ARN, where the event says enough: a bare key id belongs to the account and Region of
/// the event.
fn canonical(key: KeyRef, place: Option<(&str, &str)>) -> KeyRef {
    let arn = place.and_then(|(account, region)| key.canonical(region, account));
    arn.map_or(key, KeyRef::Arn)
}
