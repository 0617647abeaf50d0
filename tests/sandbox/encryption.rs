//! Starting and stopping encryption.
//!
//! "API reference" means [StartStreamEncryption] and [StopStreamEncryption].
//!
//! [StartStreamEncryption]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_StartStreamEncryption.html
//! [StopStreamEncryption]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_StopStreamEncryption.html

use std::time::Duration;

use kinesis_encryption_enforcer::sandbox::{AliasEcho, KeyState, NewStream, QuotaScope};

use super::support::{ACCOUNT, World, pass};

/// Recording of 2026-09-19, calls 116 to 118.
#[tokio::test(start_paused = true)]
async fn the_old_encryption_is_shown_until_updating_is_over() {
    let world = World::new();
    let key = world.account.create_key();
    world.account.stream(NewStream::named("orders"));
    assert_eq!(world.shows("orders").await, ("ACTIVE".into(), None));
    world.start("orders", &key).await.unwrap();
    assert_eq!(world.shows("orders").await, ("UPDATING".into(), None));
    pass(2).await;
    assert_eq!(world.shows("orders").await, ("ACTIVE".into(), Some(key.clone())));
    // Recording of 2026-09-19, calls 123 and 124.
    world.stop("orders").await.unwrap();
    assert_eq!(world.shows("orders").await, ("UPDATING".into(), Some(key)));
    pass(2).await;
    assert_eq!(world.shows("orders").await, ("ACTIVE".into(), None));
}

/// Recording of 2026-09-19, calls 119 to 121.
#[tokio::test(start_paused = true)]
async fn a_repeated_start_with_the_same_key_is_accepted_and_updates_again() {
    let world = World::new();
    let key = world.account.create_key();
    world.account.stream(NewStream::named("orders").encrypted_with(&key));
    world.start("orders", &key).await.unwrap();
    assert_eq!(world.shows("orders").await, ("UPDATING".into(), Some(key)));
}

/// API reference, `ResourceInUseException`.
#[tokio::test(start_paused = true)]
async fn encryption_is_changed_only_while_active() {
    let world = World::new();
    let key = world.account.create_key();
    let streams = [
        (NewStream::named("creating").creating(), "CREATING"),
        (NewStream::named("updating").updating(), "UPDATING"),
        (NewStream::named("deleting").deleting(), "DELETING"),
    ];
    for (stream, status) in streams {
        let name = status.to_lowercase();
        world.account.stream(stream);
        let (code, message) = world.start(&name, &key).await.unwrap_err();
        assert_eq!(code, "ResourceInUseException");
        assert_eq!(message, format!("Stream {name} under account {ACCOUNT} not ACTIVE, instead in state {status}"));
        assert_eq!(world.stop(&name).await.unwrap_err().0, "ResourceInUseException");
    }
}

/// Recording of 2026-09-19, call 125.
#[tokio::test(start_paused = true)]
async fn an_unencrypted_stream_cannot_be_stopped() {
    let world = World::new();
    world.account.stream(NewStream::named("orders"));
    let expected = ("InvalidArgumentException".into(), "Cannot stop encrypting an unencrypted stream.".into());
    assert_eq!(world.stop("orders").await.unwrap_err(), expected);
}

/// API reference: 25 starts in a rolling 24 hours. The message is that of the similar quota on
/// switching the capacity mode (recording of 2026-09-19, call 134).
#[tokio::test(start_paused = true)]
async fn the_twenty_sixth_start_in_24_hours_is_refused_like_throttling() {
    for scope in [QuotaScope::PerStream, QuotaScope::PerAccount] {
        let world = World::new();
        world.account.configure(|options| options.quota_scope = scope);
        let keys = [world.account.create_key(), world.account.create_key()];
        world.account.stream(NewStream::named("orders"));
        world.account.stream(NewStream::named("payments"));
        for key in keys.iter().cycle().take(25) {
            world.start("orders", key).await.unwrap();
            pass(60).await;
        }
        let message = format!("Rate exceeded for stream orders under account {ACCOUNT}.");
        assert_eq!(world.start("orders", &keys[0]).await.unwrap_err(), ("LimitExceededException".into(), message));
        assert_eq!(world.start("payments", &keys[0]).await.is_ok(), scope == QuotaScope::PerStream);
        // Stopping encryption has a quota of its own (API reference).
        world.stop("orders").await.unwrap();
        pass(24 * 3600).await;
        world.start("orders", &keys[0]).await.unwrap();
    }
}

/// Not documented, so there is an option.
#[tokio::test(start_paused = true)]
async fn a_start_with_the_same_key_uses_the_quota_or_not() {
    for uses_quota in [true, false] {
        let world = World::new();
        world.account.configure(|options| options.same_key_uses_quota = uses_quota);
        let key = world.account.create_key();
        world.account.stream(NewStream::named("orders").encrypted_with(&key));
        let mut accepted = 0;
        for _ in 0..30 {
            accepted += usize::from(world.start("orders", &key).await.is_ok());
            pass(10).await;
        }
        assert_eq!(accepted, if uses_quota { 25 } else { 30 });
    }
}

/// API reference, KMS errors.
#[tokio::test(start_paused = true)]
async fn a_key_that_kinesis_cannot_use_is_refused_with_the_reason() {
    let check = async |world: &World, key: &str, code: &str| {
        world.account.stream(NewStream::named("orders"));
        assert_eq!(world.start("orders", key).await.unwrap_err().0, code, "{key}");
        assert_eq!(world.shows("orders").await, ("ACTIVE".into(), None));
    };
    let world = World::new();
    let states = [
        (KeyState::Disabled, "KMSDisabledException"),
        (KeyState::PendingDeletion, "KMSInvalidStateException"),
        (KeyState::PendingImport, "KMSInvalidStateException"),
        (KeyState::PendingReplicaDeletion, "KMSInvalidStateException"),
        (KeyState::Unavailable, "KMSInvalidStateException"),
        (KeyState::Creating, "KMSInvalidStateException"),
    ];
    for (state, code) in states {
        let key = world.account.create_key();
        world.account.set_key_state(&key, state);
        check(&world, &key, code).await;
    }
    check(&world, &world.account.create_key_of("RSA_2048", "ENCRYPT_DECRYPT"), "KMSInvalidStateException").await;
    check(&world, &world.account.create_key_of("HMAC_256", "GENERATE_VERIFY_MAC"), "KMSInvalidStateException").await;
    check(&world, "alias/nowhere", "KMSNotFoundException").await;
    check(&world, "11111111-2222-3333-4444-555555555555", "KMSNotFoundException").await;
}

/// Recording of 2026-09-19, calls 116 to 118, for the AWS managed alias. Not documented for a
/// customer's alias, so there is an option.
#[tokio::test(start_paused = true)]
async fn the_description_shows_the_key_as_given() {
    for echo in [AliasEcho::AsGiven, AliasEcho::KeyArn] {
        let world = World::new();
        world.account.configure(|options| options.alias_echo = echo);
        let key = world.account.create_key();
        let id = key.rsplit('/').next().unwrap().to_owned();
        world.account.alias("alias/streams", &key);
        let alias_shown = if echo == AliasEcho::AsGiven { "alias/streams" } else { key.as_str() };
        for (given, shown) in [
            ("alias/aws/kinesis", "alias/aws/kinesis"),
            (id.as_str(), id.as_str()),
            (&key, &key),
            ("alias/streams", alias_shown),
        ] {
            world.account.stream(NewStream::named("orders"));
            world.start("orders", given).await.unwrap();
            pass(2).await;
            assert_eq!(world.shows("orders").await, ("ACTIVE".into(), Some(shown.to_owned())));
        }
    }
}

/// API reference: "up to 5 seconds after the stream is in an ACTIVE status before all records … are
/// encrypted".
#[tokio::test(start_paused = true)]
async fn records_are_encrypted_five_seconds_after_active() {
    let world = World::new();
    let key = world.account.create_key();
    world.account.stream(NewStream::named("orders"));
    let put = async || {
        let record =
            world.kinesis.put_record().stream_name("orders").partition_key("1").data(aws_smithy_types::Blob::new("x"));
        record.send().await.unwrap().encryption_type.unwrap().to_string()
    };
    world.start("orders", &key).await.unwrap();
    assert_eq!(put().await, "NONE");
    pass(2).await;
    assert_eq!(put().await, "NONE");
    pass(5).await;
    assert_eq!(put().await, "KMS");
}

/// API reference: "normally takes a few seconds". It does not say that UPDATING is visible at once.
#[tokio::test(start_paused = true)]
async fn an_accepted_start_may_become_visible_late() {
    let world = World::new();
    world.account.configure(|options| options.visibility_lag = Duration::from_millis(1500));
    let key = world.account.create_key();
    world.account.stream(NewStream::named("orders"));
    world.start("orders", &key).await.unwrap();
    pass(1).await;
    assert_eq!(world.shows("orders").await, ("ACTIVE".into(), None));
    assert_eq!(world.start("orders", &key).await.unwrap_err().0, "ResourceInUseException");
    pass(1).await;
    assert_eq!(world.shows("orders").await, ("UPDATING".into(), None));
    pass(2).await;
    assert_eq!(world.shows("orders").await, ("ACTIVE".into(), Some(key)));
}
