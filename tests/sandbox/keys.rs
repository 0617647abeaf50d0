//! Keys and aliases.

use std::time::Duration;

use aws_sdk_kms::types::KeyState as Shown;
use kinesis_encryption_enforcer::sandbox::KeyState;

use super::support::{ACCOUNT, REGION, World, pass, refused};

/// KMS developer guide:
/// <https://docs.aws.amazon.com/kms/latest/developerguide/concepts.html#key-id>.
#[tokio::test(start_paused = true)]
async fn a_key_is_found_by_all_four_forms() {
    let world = World::new();
    let key = world.account.create_key();
    world.account.alias("alias/streams", &key);
    let alias_arn = format!("arn:aws:kms:{REGION}:{ACCOUNT}:alias/streams");
    for form in [key.as_str(), key.rsplit('/').next().unwrap(), "alias/streams", &alias_arn] {
        let metadata = world.describe_key(form).await.unwrap();
        assert_eq!(metadata.arn.as_deref(), Some(key.as_str()), "{form}");
        assert_eq!((metadata.enabled, metadata.key_state), (true, Some(Shown::Enabled)));
    }
}

/// <https://docs.aws.amazon.com/kms/latest/APIReference/API_DescribeKey.html>, `NotFoundException`.
#[tokio::test(start_paused = true)]
async fn a_missing_key_or_alias_is_not_found() {
    let world = World::new();
    let id = "11111111-2222-3333-4444-555555555555";
    let missing = format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/{id}");
    for (key_id, message) in [
        (id, format!("Key '{missing}' does not exist")),
        (missing.as_str(), format!("Key '{missing}' does not exist")),
        ("alias/nowhere", format!("Alias arn:aws:kms:{REGION}:{ACCOUNT}:alias/nowhere is not found.")),
        ("nonsense", "Invalid keyId 'nonsense'".to_owned()),
        (
            "arn:aws:kms:eu-west-1:111122223333:key/11111111-2222-3333-4444-555555555555",
            "Invalid arn eu-west-1".to_owned(),
        ),
    ] {
        assert_eq!(world.describe_key(key_id).await.unwrap_err(), ("NotFoundException".to_owned(), message));
    }
}

/// <https://docs.aws.amazon.com/kms/latest/APIReference/API_DescribeKey.html>: describing a
/// predefined AWS alias creates the AWS managed key.
#[tokio::test(start_paused = true)]
async fn describing_the_managed_alias_creates_the_key() {
    let world = World::new();
    assert_eq!(world.account.managed_key(), None);
    world.describe_key("alias/streams").await.unwrap_err();
    assert_eq!(world.account.managed_key(), None);
    let metadata = world.describe_key("alias/aws/kinesis").await.unwrap();
    assert_eq!(metadata.key_manager.unwrap().as_str(), "AWS");
    assert_eq!(world.account.managed_key(), metadata.arn);
}

/// <https://docs.aws.amazon.com/kms/latest/APIReference/API_CancelKeyDeletion.html>
#[tokio::test(start_paused = true)]
async fn a_key_is_disabled_after_its_deletion_was_cancelled() {
    let world = World::new();
    let key = world.account.create_key();
    let state = async || world.describe_key(&key).await.unwrap().key_state.unwrap();
    world.kms.disable_key().key_id(&key).send().await.unwrap();
    assert_eq!(state().await, Shown::Disabled);
    world.kms.enable_key().key_id(&key).send().await.unwrap();
    assert_eq!(state().await, Shown::Enabled);
    world.kms.schedule_key_deletion().key_id(&key).pending_window_in_days(7).send().await.unwrap();
    assert_eq!(state().await, Shown::PendingDeletion);
    let err = world.kms.enable_key().key_id(&key).send().await.unwrap_err();
    assert_eq!(refused(&err).0, "KMSInvalidStateException");
    world.kms.cancel_key_deletion().key_id(&key).send().await.unwrap();
    assert_eq!(state().await, Shown::Disabled);
}

#[tokio::test(start_paused = true)]
async fn aliases_are_created_moved_and_deleted() {
    let world = World::new();
    let [old, new] = [world.account.create_key(), world.account.create_key()];
    let target = async || {
        world.describe_key("alias/streams").await.map(|metadata| metadata.arn.unwrap()).map_err(|(code, _)| code)
    };
    world.kms.create_alias().alias_name("alias/streams").target_key_id(&old).send().await.unwrap();
    assert_eq!(target().await, Ok(old.clone()));
    let err = world.kms.create_alias().alias_name("alias/streams").target_key_id(&new).send().await.unwrap_err();
    assert_eq!(refused(&err).0, "AlreadyExistsException");
    world.kms.update_alias().alias_name("alias/streams").target_key_id(&new).send().await.unwrap();
    assert_eq!(target().await, Ok(new));
    world.kms.delete_alias().alias_name("alias/streams").send().await.unwrap();
    assert_eq!(target().await, Err("NotFoundException".to_owned()));
    let err = world.kms.update_alias().alias_name("alias/streams").target_key_id(&old).send().await.unwrap_err();
    assert_eq!(refused(&err).0, "NotFoundException");
}

/// <https://docs.aws.amazon.com/kms/latest/developerguide/accessing-kms.html#programming-eventual-consistency>
#[tokio::test(start_paused = true)]
async fn a_change_becomes_visible_after_the_lag() {
    let world = World::new();
    world.account.configure(|options| options.kms_lag = Duration::from_mins(1));
    let key = world.account.create_key();
    world.account.set_key_state(&key, KeyState::Disabled);
    pass(59).await;
    assert!(world.describe_key(&key).await.unwrap().enabled);
    pass(1).await;
    assert!(!world.describe_key(&key).await.unwrap().enabled);
}

/// A replica has the key id of its primary key:
/// <https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-overview.html>.
#[tokio::test(start_paused = true)]
async fn a_multi_region_key_names_its_primary() {
    let world = World::new();
    let key = world.account.create_multi_region_key(Some("eu-west-1"));
    let metadata = world.describe_key(&key).await.unwrap();
    assert_eq!(metadata.multi_region, Some(true));
    let configuration = metadata.multi_region_configuration.unwrap();
    assert_eq!(configuration.multi_region_key_type.unwrap().as_str(), "REPLICA");
    assert_eq!(configuration.primary_key.unwrap().arn.unwrap(), key.replace(REGION, "eu-west-1"));
}

/// <https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html>: the keys of a custom key
/// store that is disconnected are Unavailable.
#[tokio::test(start_paused = true)]
async fn the_keys_of_a_disconnected_key_store_are_unavailable() {
    const STORE: &str = "cks-1234567890abcdef0";
    let world = World::new();
    let (key, other) = (world.account.create_key_in_store(STORE), world.account.create_key());
    let state = async |key: &str| world.describe_key(key).await.unwrap().key_state.unwrap();
    assert_eq!(world.describe_key(&key).await.unwrap().custom_key_store_id.as_deref(), Some(STORE));
    world.kms.disconnect_custom_key_store().custom_key_store_id(STORE).send().await.unwrap();
    assert_eq!((state(&key).await, state(&other).await), (Shown::Unavailable, Shown::Enabled));
    let err = world.kms.disconnect_custom_key_store().custom_key_store_id(STORE).send().await.unwrap_err();
    assert_eq!(refused(&err).0, "CustomKeyStoreInvalidStateException");
    world.kms.update_custom_key_store().custom_key_store_id(STORE).send().await.unwrap();
    world.kms.connect_custom_key_store().custom_key_store_id(STORE).send().await.unwrap();
    assert_eq!(state(&key).await, Shown::Enabled);
    let err = world.kms.update_custom_key_store().custom_key_store_id(STORE).send().await.unwrap_err();
    assert_eq!(refused(&err).0, "CustomKeyStoreInvalidStateException");
    let err = world.kms.connect_custom_key_store().custom_key_store_id("cks-0").send().await.unwrap_err();
    assert_eq!(refused(&err).0, "CustomKeyStoreNotFoundException");
    let events = world.account.take_events();
    let names: Vec<_> = events.iter().filter(|event| event["detail"]["errorCode"].is_null()).collect();
    let names: Vec<_> = names.iter().map(|event| event["detail"]["eventName"].as_str().unwrap()).collect();
    assert_eq!(names, ["DisconnectCustomKeyStore", "UpdateCustomKeyStore", "ConnectCustomKeyStore"]);
    assert_eq!(events[0]["detail"]["requestParameters"]["customKeyStoreId"], STORE);
}

/// <https://docs.aws.amazon.com/kms/latest/APIReference/API_KeyMetadata.html>: `ValidTo`.
#[tokio::test(start_paused = true)]
async fn a_key_whose_imported_material_has_expired_is_pending_import() {
    let world = World::new();
    let key = world.account.create_key();
    let valid_to = chrono::DateTime::from_timestamp(1_789_776_060, 0).unwrap();
    world.account.import_material(&key, valid_to);
    let metadata = world.describe_key(&key).await.unwrap();
    assert_eq!(
        (metadata.key_state, metadata.valid_to.map(|at| at.secs()), metadata.expiration_model.unwrap().as_str()),
        (Some(Shown::Enabled), Some(1_789_776_060), "KEY_MATERIAL_EXPIRES")
    );
    pass(60).await;
    assert_eq!(world.describe_key(&key).await.unwrap().key_state, Some(Shown::PendingImport));
}

/// <https://docs.aws.amazon.com/kms/latest/APIReference/API_ListKeys.html> and
/// <https://docs.aws.amazon.com/kms/latest/APIReference/API_ListAliases.html>
#[tokio::test(start_paused = true)]
async fn keys_and_aliases_are_listed_in_pages() {
    let world = World::new();
    let mut keys: Vec<_> = (0..3).map(|_| world.account.create_key()).collect();
    keys.sort();
    let foreign = world.account.create_foreign_key("999999999999");
    for alias in ["alias/a", "alias/b", "alias/c"] {
        world.account.alias(alias, &keys[0]);
    }
    world.account.alias("alias/other", &keys[1]);
    let first = world.kms.list_keys().limit(2).send().await.unwrap();
    let last = world.kms.list_keys().set_marker(first.next_marker.clone()).send().await.unwrap();
    let arns: Vec<_> = [first.keys(), last.keys()].concat().into_iter().filter_map(|key| key.key_arn).collect();
    assert_eq!((first.truncated, last.truncated, &arns), (true, false, &keys));
    assert!(!arns.contains(&foreign));

    let of_key = world.kms.list_aliases().key_id(&keys[0]).limit(2).send().await.unwrap();
    let rest = world.kms.list_aliases().key_id(&keys[0]).set_marker(of_key.next_marker.clone()).send().await.unwrap();
    let names: Vec<_> =
        [of_key.aliases(), rest.aliases()].concat().into_iter().filter_map(|alias| alias.alias_name).collect();
    assert_eq!(names, ["alias/a", "alias/b", "alias/c"]);
    assert_eq!(world.kms.list_aliases().send().await.unwrap().aliases().len(), 4);
    for (refusal, code) in [
        (world.kms.list_aliases().key_id("alias/a").send().await.unwrap_err(), "NotFoundException"),
        (world.kms.list_aliases().marker("?").send().await.unwrap_err(), "InvalidMarkerException"),
        (world.kms.list_aliases().limit(101).send().await.unwrap_err(), "ValidationException"),
    ] {
        assert_eq!(refused(&refusal).0, code);
    }
}
