//! KMS: looking at keys. Nothing here changes one.
//!
//! Source: KMS API Reference, `DescribeKey` and `KeyMetadata`.

use std::sync::Arc;

use aws_sdk_kms::Client;
use aws_sdk_kms::types::{KeyManagerType, KeySpec, KeyState, KeyUsageType};
use tokio::time::Instant;

use super::calls::Calls;
use super::error::{CallError, Fate};
use crate::failure::{Failure, Step, code};
use crate::key::{KeyArn, KeyFacts, KeyRef, Readiness};
use crate::safety::Document;

/// Looks at keys.
#[derive(Clone, Debug)]
pub struct Keys {
    client: Client,
    calls: Arc<Calls>,
}

impl Keys {
    pub(super) fn new(client: Client, calls: Arc<Calls>) -> Self {
        Self { client, calls }
    }

    /// `DescribeKey`. Must not be asked about `alias/aws/…`: describing such an alias creates the key where there is none.
    pub async fn describe(&self, key: &KeyRef, until: Instant) -> Result<KeyFacts, CallError> {
        let step = Step::DescribeKey;
        let unreadable = || CallError {
            failure: Failure::new(step, code::UNREADABLE_ANSWER, key, "the answer is not what the API reference says"),
            fate: Fate::Unknown,
        };
        let call = || async {
            let sent = self.client.describe_key().key_id(key.as_str()).send().await;
            let metadata = sent.map_err(|error| CallError::from_sdk(step, key, &error))?.key_metadata.ok_or_else(unreadable)?;
            let arn: KeyArn = metadata.arn.as_deref().and_then(|arn| arn.parse().ok()).ok_or_else(unreadable)?;
            // Another key's description would be taken for the desired one, and applied. Where an alias points, only KMS knows.
            let is_asked_for = match key {
                KeyRef::Arn(asked) => arn.as_str().eq_ignore_ascii_case(asked.as_str()),
                KeyRef::Id(_) => arn.id().eq_ignore_ascii_case(key.as_str()),
                KeyRef::Alias(_) | KeyRef::AliasArn { .. } => true,
            };
            if is_asked_for { Ok((metadata, arn)) } else { Err(unreadable()) }
        };
        let (metadata, arn) = self.calls.read(step, key, until, call).await?;
        Ok(KeyFacts {
            arn,
            readiness: match metadata.key_state {
                Some(KeyState::Enabled) => Readiness::Enabled,
                Some(KeyState::Disabled) => Readiness::Disabled,
                Some(KeyState::PendingDeletion | KeyState::PendingReplicaDeletion) => Readiness::PendingDeletion,
                Some(KeyState::PendingImport) => Readiness::PendingImport,
                Some(KeyState::Unavailable) => Readiness::Unavailable,
                // Creating, Updating, and what AWS may add.
                state => Readiness::NotReady(state.map_or_else(|| "without a state".to_owned(), |state| state.as_str().to_owned())),
            },
            encrypts: metadata.key_usage == Some(KeyUsageType::EncryptDecrypt),
            symmetric: metadata.key_spec == Some(KeySpec::SymmetricDefault),
            of_customer: metadata.key_manager == Some(KeyManagerType::Customer),
        })
    }

    /// `GetKeyPolicy`, asked once: it only makes a warning better. Keys of other accounts do not answer it.
    pub async fn policy(&self, key: &KeyArn, until: Instant) -> Document {
        let step = Step::GetPolicy;
        let call = async {
            self.client.get_key_policy().key_id(key.as_str()).send().await.map_err(|error| CallError::from_sdk(step, key, &error))
        };
        let answer = self.calls.once(step, key, until, call).await.map_err(|error| error.failure.code)?;
        read_document(answer.policy.as_deref())
    }
}

/// A policy as the services give it; an empty one is none.
pub(super) fn read_document(text: Option<&str>) -> Document {
    match text {
        None | Some("") => Ok(None),
        Some(text) => serde_json::from_str(text).map(Some).map_err(|error| error.to_string()),
    }
}
