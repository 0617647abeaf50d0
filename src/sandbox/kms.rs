//! AWS Key Management Service: the operations of its [API] that the program and its tests use.
//!
//! [API]: https://docs.aws.amazon.com/kms/latest/APIReference/Welcome.html

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::arn::arn_of;
use super::input::Input;
use super::key_state::KeyState;
use super::model::{EventuallyConsistent, Key, Model, NewKey};
use super::service_error::ServiceError;
use crate::domain::key::AliasName;

/// The operations that the sandbox supports.
pub(crate) const OPERATIONS: [&str; 16] = [
    "CancelKeyDeletion",
    "ConnectCustomKeyStore",
    "CreateAlias",
    "CreateKey",
    "DeleteAlias",
    "DescribeKey",
    "DisableKey",
    "DisconnectCustomKeyStore",
    "EnableKey",
    "GetKeyPolicy",
    "ListAliases",
    "ListKeys",
    "RotateKeyOnDemand",
    "ScheduleKeyDeletion",
    "UpdateAlias",
    "UpdateCustomKeyStore",
];

pub(crate) fn answer(
    model: &mut Model,
    operation: &str,
    input: Input<'_>,
    now: DateTime<Utc>,
) -> Result<Value, ServiceError> {
    match operation {
        "CreateKey" => create_key(model, input, now),
        "DescribeKey" => {
            let key_id = input.required("KeyId", 2048)?;
            model.ensure_managed_key(key_id, now);
            let key = model.find_key(key_id, now)?;
            Ok(json!({ "KeyMetadata": metadata(model, key, now) }))
        }
        "GetKeyPolicy" => {
            let key = model.find_key(input.required("KeyId", 2048)?, now)?;
            if key.account != model.account {
                return Err(ServiceError::new("AccessDeniedException", "The key is another account's.".to_owned()));
            }
            Ok(json!({ "PolicyName": "default", "Policy": key.policy }))
        }
        "ListKeys" => list_keys(model, input),
        "ListAliases" => list_aliases(model, input, now),
        "CreateAlias" => {
            let alias = alias_of(input)?;
            if model.aliases.get(alias).is_some_and(|target| target.actual().is_some()) {
                let message = format!("An alias with the name {} already exists", model.alias_arn(alias));
                return Err(ServiceError::new("AlreadyExistsException", message));
            }
            let target = target_of(model, input, now)?;
            model.set_alias(alias, Some(target), now);
            Ok(Value::Null)
        }
        "UpdateAlias" => {
            let alias = existing_alias(model, input)?;
            let target = target_of(model, input, now)?;
            model.set_alias(&alias, Some(target), now);
            Ok(Value::Null)
        }
        "DeleteAlias" => {
            let alias = existing_alias(model, input)?;
            model.set_alias(&alias, None, now);
            Ok(Value::Null)
        }
        "EnableKey" => change_state(model, input, KeyState::Enabled, now),
        "DisableKey" => change_state(model, input, KeyState::Disabled, now),
        "ScheduleKeyDeletion" => schedule_deletion(model, input, now),
        "CancelKeyDeletion" => cancel_deletion(model, input, now),
        "RotateKeyOnDemand" => rotate(model, input, now),
        "ConnectCustomKeyStore" | "DisconnectCustomKeyStore" | "UpdateCustomKeyStore" => {
            change_store(model, operation, input, now)
        }
        _ => Err(ServiceError::new("UnknownOperationException", String::new())),
    }
}

fn create_key(model: &mut Model, input: Input<'_>, now: DateTime<Utc>) -> Result<Value, ServiceError> {
    let text = |member, default: &str| Ok::<_, ServiceError>(input.text(member)?.unwrap_or(default).to_owned());
    let spec = text("KeySpec", "SYMMETRIC_DEFAULT")?;
    let usage = text("KeyUsage", "ENCRYPT_DECRYPT")?;
    if spec != "SYMMETRIC_DEFAULT" && input.text("KeyUsage")?.is_none() {
        return Err(ServiceError::new(
            "ValidationException",
            "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.",
        ));
    }
    if spec == "SYMMETRIC_DEFAULT" && usage != "ENCRYPT_DECRYPT" {
        return Err(ServiceError::new(
            "ValidationException",
            format!("KeyUsage {usage} is not compatible with KeySpec {spec}"),
        ));
    }
    let created_as = NewKey {
        spec,
        usage,
        origin: text("Origin", "AWS_KMS")?,
        description: text("Description", "")?,
        multi_region: input.flag("MultiRegion")?,
        ..NewKey::default()
    };
    let arn = model.create_key(created_as, now);
    let key = model.find_key(&arn, now)?;
    Ok(json!({ "KeyMetadata": metadata(model, key, now) }))
}

/// [ListKeys]: the keys that the account owns, those of AWS included.
///
/// [ListKeys]: https://docs.aws.amazon.com/kms/latest/APIReference/API_ListKeys.html
fn list_keys(model: &Model, input: Input<'_>) -> Result<Value, ServiceError> {
    let owned = model.keys.values().filter(|key| key.account == model.account);
    let keys = owned.map(|key| (key.arn.clone(), json!({ "KeyId": key.id, "KeyArn": key.arn }))).collect();
    page("Keys", keys, input, 100, 1_000)
}

/// [ListAliases] of the account, or of one key. An AWS managed alias is listed once its key exists.
///
/// [ListAliases]: https://docs.aws.amazon.com/kms/latest/APIReference/API_ListAliases.html
fn list_aliases(model: &Model, input: Input<'_>, now: DateTime<Utc>) -> Result<Value, ServiceError> {
    let of_key = match input.text("KeyId")? {
        Some(key_id) if key_id.contains("alias/") => {
            return Err(ServiceError::new("NotFoundException", format!("Invalid keyId '{key_id}'")));
        }
        Some(key_id) => Some(model.find_key(key_id, now)?.arn.clone()),
        None => None,
    };
    let mut aliases = Vec::new();
    for (alias, target) in &model.aliases {
        let Some(arn) = target.seen(now) else { continue };
        if of_key.as_ref().is_none_or(|of_key| of_key == arn) {
            let shown = json!({
                "AliasName": alias,
                "AliasArn": model.alias_arn(alias),
                "TargetKeyId": arn.rsplit('/').next(),
                "LastUpdatedDate": target.changed().timestamp(),
            });
            aliases.push((alias.clone(), shown));
        }
    }
    page("Aliases", aliases, input, 50, 100)
}

/// A page of a list of names and entries in the order of the names. The marker is the last name of
/// the page before, encoded.
fn page(
    member: &str,
    entries: Vec<(String, Value)>,
    input: Input<'_>,
    default: usize,
    most: u32,
) -> Result<Value, ServiceError> {
    let limit = input.number("Limit", 1, most)?.map_or(default, |limit| limit as usize);
    let invalid = || ServiceError::new("InvalidMarkerException", "Could not deserialize NextToken");
    let after = input.text("Marker")?.map(|marker| {
        let bytes = aws_smithy_types::base64::decode(marker).ok();
        bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(invalid)
    });
    let after = after.transpose()?;
    let mut rest = entries.into_iter().filter(|(name, _)| after.as_ref().is_none_or(|after| name > after)).peekable();
    let page: Vec<_> = rest.by_ref().take(limit).collect();
    let is_truncated = rest.peek().is_some();
    let last = page.last().map(|(name, _)| aws_smithy_types::base64::encode(name)).filter(|_| is_truncated);
    let entries: Vec<_> = page.into_iter().map(|(_, entry)| entry).collect();
    let mut answer = json!({ member: entries, "Truncated": is_truncated });
    if let Some(last) = last {
        answer["NextMarker"] = json!(last);
    }
    Ok(answer)
}

fn metadata(model: &Model, key: &Key, now: DateTime<Utc>) -> Value {
    let state = key.state_at(now);
    let mut metadata = json!({
        "AWSAccountId": key.account,
        "KeyId": key.id,
        "Arn": key.arn,
        "CreationDate": key.created.timestamp(),
        "Enabled": state == KeyState::Enabled,
        "Description": key.created_as.description,
        "KeyUsage": key.created_as.usage,
        "KeyState": state.to_string(),
        "Origin": key.created_as.origin,
        "KeyManager": if key.created_as.aws_managed { "AWS" } else { "CUSTOMER" },
        "CustomerMasterKeySpec": key.created_as.spec,
        "KeySpec": key.created_as.spec,
        "MultiRegion": key.created_as.multi_region,
        "CurrentKeyMaterialId": key.material,
    });
    let Some(members) = metadata.as_object_mut() else { return metadata };
    if key.created_as.spec == "SYMMETRIC_DEFAULT" {
        members.insert("EncryptionAlgorithms".to_owned(), json!(["SYMMETRIC_DEFAULT"]));
    }
    if let Some(store) = &key.created_as.store {
        members.insert("CustomKeyStoreId".to_owned(), json!(store));
    }
    if let Some(valid_to) = key.valid_to {
        members.insert("ValidTo".to_owned(), json!(valid_to.timestamp()));
        members.insert("ExpirationModel".to_owned(), json!("KEY_MATERIAL_EXPIRES"));
    }
    if let Some(deletion) = key.deletion.filter(|_| state == KeyState::PendingDeletion) {
        members.insert("DeletionDate".to_owned(), json!(deletion.timestamp()));
    }
    if key.created_as.multi_region {
        let resource = format!("key/{}", key.id);
        let in_region =
            |region: &str| json!({ "Arn": arn_of("kms", region, &key.account, &resource), "Region": region });
        let primary = key.created_as.replica_of.as_deref();
        let configuration = json!({
            "MultiRegionKeyType": if primary.is_some() { "REPLICA" } else { "PRIMARY" },
            "PrimaryKey": in_region(primary.unwrap_or(&model.region)),
            "ReplicaKeys": primary.map(|_| in_region(&model.region)).into_iter().collect::<Vec<_>>(),
        });
        members.insert("MultiRegionConfiguration".to_owned(), configuration);
    }
    metadata
}

/// [ConnectCustomKeyStore], [DisconnectCustomKeyStore] and [UpdateCustomKeyStore]. Connecting is
/// done at once; a store is updated while it is disconnected, as those of `CloudHSM` have to be.
///
/// [ConnectCustomKeyStore]: https://docs.aws.amazon.com/kms/latest/APIReference/API_ConnectCustomKeyStore.html
/// [DisconnectCustomKeyStore]: https://docs.aws.amazon.com/kms/latest/APIReference/API_DisconnectCustomKeyStore.html
/// [UpdateCustomKeyStore]: https://docs.aws.amazon.com/kms/latest/APIReference/API_UpdateCustomKeyStore.html
fn change_store(
    model: &mut Model,
    operation: &str,
    input: Input<'_>,
    now: DateTime<Utc>,
) -> Result<Value, ServiceError> {
    let store = input.required("CustomKeyStoreId", 64)?;
    let Some(&connected) = model.stores.get(store) else {
        return Err(ServiceError::new("CustomKeyStoreNotFoundException", format!("{store} is not found.")));
    };
    if connected != (operation == "DisconnectCustomKeyStore") {
        let state = if connected { "CONNECTED" } else { "DISCONNECTED" };
        return Err(ServiceError::new("CustomKeyStoreInvalidStateException", format!("{store} is {state}.")));
    }
    if operation != "UpdateCustomKeyStore" {
        model.set_store_connected(store, !connected, now);
    }
    Ok(json!({}))
}

fn alias_of(input: Input<'_>) -> Result<&str, ServiceError> {
    let alias = input.required("AliasName", 256)?;
    let parsed: AliasName =
        alias.parse().map_err(|_| ServiceError::new("InvalidAliasNameException", format!("Invalid alias: {alias}")))?;
    if parsed.is_aws_managed() {
        return Err(ServiceError::new(
            "NotAuthorizedException",
            "Aliases beginning with alias/aws/ are reserved for AWS managed keys",
        ));
    }
    Ok(alias)
}

fn existing_alias(model: &Model, input: Input<'_>) -> Result<String, ServiceError> {
    let alias = alias_of(input)?;
    match model.aliases.get(alias).map(EventuallyConsistent::actual) {
        Some(Some(_)) => Ok(alias.to_owned()),
        _ => Err(ServiceError::new("NotFoundException", format!("Alias {} is not found.", model.alias_arn(alias)))),
    }
}

/// The ARN of the key that an alias will point to. `TargetKeyId` is a key id or a key ARN.
fn target_of(model: &Model, input: Input<'_>, now: DateTime<Utc>) -> Result<String, ServiceError> {
    let target = input.required("TargetKeyId", 2048)?;
    if target.contains("alias/") {
        return Err(ServiceError::new("ValidationException", "Aliases must refer to keys. Not aliases"));
    }
    model.find_key(target, now).map(|key| key.arn.clone())
}

/// The key that a request names by key id or key ARN. Operations that manage a key do not accept
/// aliases.
fn managed(model: &Model, input: Input<'_>, now: DateTime<Utc>) -> Result<Key, ServiceError> {
    let key_id = input.required("KeyId", 2048)?;
    if key_id.contains("alias/") {
        return Err(ServiceError::new("NotFoundException", format!("Invalid keyId '{key_id}'")));
    }
    let key = model.find_key(key_id, now)?;
    if key.created_as.aws_managed {
        return Err(ServiceError::new("AccessDeniedException", format!("{} is managed by AWS", key.arn)));
    }
    Ok(key.clone())
}

fn pending_deletion(key: &Key) -> ServiceError {
    ServiceError::new("KMSInvalidStateException", format!("{} is pending deletion.", key.arn))
}

fn change_state(
    model: &mut Model,
    input: Input<'_>,
    state: KeyState,
    now: DateTime<Utc>,
) -> Result<Value, ServiceError> {
    let key = managed(model, input, now)?;
    match key.state.actual() {
        KeyState::Enabled | KeyState::Disabled => {
            model.set_key_state(&key.arn, state, now);
            Ok(Value::Null)
        }
        KeyState::PendingDeletion => Err(pending_deletion(&key)),
        other => Err(ServiceError::new("KMSInvalidStateException", format!("{} is {other}.", key.arn))),
    }
}

/// [ScheduleKeyDeletion]: a waiting period of 7 to 30 days.
///
/// [ScheduleKeyDeletion]: https://docs.aws.amazon.com/kms/latest/APIReference/API_ScheduleKeyDeletion.html
fn schedule_deletion(model: &mut Model, input: Input<'_>, now: DateTime<Utc>) -> Result<Value, ServiceError> {
    let days = input.number("PendingWindowInDays", 7, 30)?.unwrap_or(30);
    let key = managed(model, input, now)?;
    if *key.state.actual() == KeyState::PendingDeletion {
        return Err(pending_deletion(&key));
    }
    let deletion = now + Duration::from_hours(24) * days;
    model.set_key_state(&key.arn, KeyState::PendingDeletion, now);
    if let Some(key) = model.keys.get_mut(&key.arn) {
        key.deletion = Some(deletion);
    }
    Ok(json!({
        "KeyId": key.arn,
        "DeletionDate": deletion.timestamp(),
        "KeyState": KeyState::PendingDeletion.to_string(),
        "PendingWindowInDays": days,
    }))
}

/// [CancelKeyDeletion], which leaves the key Disabled.
///
/// [CancelKeyDeletion]: https://docs.aws.amazon.com/kms/latest/APIReference/API_CancelKeyDeletion.html
fn cancel_deletion(model: &mut Model, input: Input<'_>, now: DateTime<Utc>) -> Result<Value, ServiceError> {
    let key = managed(model, input, now)?;
    if *key.state.actual() != KeyState::PendingDeletion {
        return Err(ServiceError::new("KMSInvalidStateException", format!("{} is not pending deletion.", key.arn)));
    }
    model.set_key_state(&key.arn, KeyState::Disabled, now);
    if let Some(key) = model.keys.get_mut(&key.arn) {
        key.deletion = None;
    }
    Ok(json!({ "KeyId": key.arn }))
}

/// [RotateKeyOnDemand], which replaces the key material and nothing else.
///
/// [RotateKeyOnDemand]: https://docs.aws.amazon.com/kms/latest/APIReference/API_RotateKeyOnDemand.html
fn rotate(model: &mut Model, input: Input<'_>, now: DateTime<Utc>) -> Result<Value, ServiceError> {
    let key = managed(model, input, now)?;
    match key.state.actual() {
        KeyState::Enabled => {}
        KeyState::Disabled => return Err(ServiceError::new("DisabledException", format!("{} is disabled.", key.arn))),
        other => return Err(ServiceError::new("KMSInvalidStateException", format!("{} is {other}.", key.arn))),
    }
    if key.created_as.spec != "SYMMETRIC_DEFAULT" || key.created_as.origin == "AWS_CLOUDHSM" {
        return Err(ServiceError::new(
            "UnsupportedOperationException",
            format!("{} does not support rotation.", key.arn),
        ));
    }
    let material = model.hex(64);
    if let Some(key) = model.keys.get_mut(&key.arn) {
        key.previous_material = Some(std::mem::replace(&mut key.material, material));
    }
    Ok(json!({ "KeyId": key.id }))
}
