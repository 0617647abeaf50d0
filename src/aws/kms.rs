//! KMS: reads keys. Nothing here changes a key.

#[cfg(feature = "cli")]
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_types::SdkConfig;
use chrono::{DateTime, Utc};
use serde::Deserialize;
#[cfg(feature = "cli")]
use serde_json::Value;
use serde_json::json;
use tokio::time::Instant;

use super::calls::Calls;
use super::error::CallError;
use super::service::{Client, KMS};
#[cfg(feature = "cli")]
use crate::access::Grant;
use crate::domain::PolicyDocument;
use crate::domain::failure::Step;
use crate::domain::json::duplicate_key;
use crate::domain::key::{KeyArn, KeyFacts, KeyRef, Readiness};

/// Reads keys.
#[derive(Clone, Debug)]
pub struct Keys {
    client: Client,
    calls: Arc<Calls>,
}

impl Keys {
    pub(super) fn new(config: &SdkConfig, calls: Arc<Calls>) -> Self {
        Self { client: Client::new(config, KMS), calls }
    }

    /// Opens a connection. An error is left for the first call to find.
    pub(super) async fn connect(&self) {
        Box::pin(self.client.connect()).await;
    }

    /// [DescribeKey]. It must not be called for `alias/aws/…`: if the key of such an alias does not
    /// exist, the call creates it.
    ///
    /// [DescribeKey]: https://docs.aws.amazon.com/kms/latest/APIReference/API_DescribeKey.html
    pub async fn describe(&self, key: &KeyRef, deadline: Instant) -> Result<KeyFacts, CallError> {
        let step = Step::DescribeKey;
        let unreadable = || CallError::unreadable(step, key);
        let input = json!({"KeyId": key.as_str()});
        let call = || async {
            let answer: Described = self.client.call("DescribeKey", &input, step, key).await?;
            let metadata = answer.key_metadata.ok_or_else(unreadable)?;
            let arn: KeyArn = metadata.arn.as_deref().and_then(|arn| arn.parse().ok()).ok_or_else(unreadable)?;
            // Otherwise another key would be taken for the desired one, and applied. Only KMS knows
            // the key of an alias.
            let is_asked_for = match key {
                KeyRef::Arn(asked) => arn.as_str().eq_ignore_ascii_case(asked.as_str()),
                KeyRef::Id(_) => arn.id().eq_ignore_ascii_case(key.as_str()),
                KeyRef::Alias(_) | KeyRef::AliasArn { .. } => true,
            };
            if is_asked_for { Ok((metadata, arn)) } else { Err(unreadable()) }
        };
        let (metadata, arn) = self.calls.read(step, key, deadline, call).await?;
        Ok(KeyFacts {
            arn,
            expires: metadata.expires(),
            readiness: match metadata.key_state.as_deref() {
                Some("Enabled") => Readiness::Enabled,
                Some("Disabled") => Readiness::Disabled,
                Some("PendingDeletion" | "PendingReplicaDeletion") => Readiness::PendingDeletion,
                Some("PendingImport") => Readiness::PendingImport,
                Some("Unavailable") => Readiness::Unavailable,
                // Creating, Updating, or a state that AWS has added since.
                state => Readiness::NotReady(state.unwrap_or("without a state").to_owned()),
            },
            encrypts: metadata.key_usage.as_deref() == Some("ENCRYPT_DECRYPT"),
            symmetric: metadata.key_spec.as_deref() == Some("SYMMETRIC_DEFAULT"),
            of_customer: metadata.key_manager.as_deref() == Some("CUSTOMER"),
            store: metadata.custom_key_store_id,
        })
    }

    /// [GetKeyPolicy], without retries: it only makes a warning more precise. It fails for a key of
    /// another account.
    ///
    /// [GetKeyPolicy]: https://docs.aws.amazon.com/kms/latest/APIReference/API_GetKeyPolicy.html
    pub async fn policy(&self, key: &KeyArn, deadline: Instant) -> PolicyDocument {
        let step = Step::GetPolicy;
        let input = json!({"KeyId": key.as_str()});
        let call = self.client.call("GetKeyPolicy", &input, step, key);
        let answer: PolicyOfKey =
            self.calls.once(step, key, deadline, call).await.map_err(|error| error.failure.code)?;
        read_document(answer.policy.as_deref())
    }
}

#[cfg(feature = "cli")]
impl Keys {
    /// The key of the AWS managed alias `alias` in `region` of `account`, by [ListAliases], which does
    /// not create the key as `DescribeKey` does; `None` if there is no such key.
    ///
    /// [ListAliases]: https://docs.aws.amazon.com/kms/latest/APIReference/API_ListAliases.html
    pub async fn managed(
        &self,
        alias: &str,
        (region, account): (&str, &str),
        deadline: Instant,
    ) -> Result<Option<KeyArn>, CallError> {
        let step = Step::DescribeKey;
        let mut marker: Option<String> = None;
        loop {
            let mut input = json!({"Limit": 100});
            if let Some(marker) = &marker {
                input["Marker"] = json!(marker);
            }
            let call = || self.client.call("ListAliases", &input, step, &alias);
            let page: Aliases = self.calls.read(step, &alias, deadline, call).await?;
            let found = page.aliases.into_iter().find(|entry| entry.alias_name == alias);
            if let Some(id) = found.and_then(|entry| entry.target_key_id?.parse().ok()) {
                return Ok(KeyArn::build(region, account, &id).ok());
            }
            marker = page.next_marker.filter(|_| page.truncated);
            if marker.is_none() {
                return Ok(None);
            }
        }
    }

    /// The grants of a key, by [ListGrants]; why they cannot be read otherwise.
    ///
    /// [ListGrants]: https://docs.aws.amazon.com/kms/latest/APIReference/API_ListGrants.html
    pub async fn grants(&self, key: &KeyArn, deadline: Instant) -> Result<Vec<Grant>, String> {
        let step = Step::GetPolicy;
        let mut grants = Vec::new();
        let mut marker: Option<String> = None;
        // A key has at most 50,000 grants, and a page 100: https://docs.aws.amazon.com/kms/latest/developerguide/resource-limits.html
        for _ in 0..500 {
            let mut input = json!({"KeyId": key.as_str(), "Limit": 100});
            if let Some(marker) = &marker {
                input["Marker"] = json!(marker);
            }
            let call = || self.client.call("ListGrants", &input, step, key);
            let page: Grants = self.calls.read(step, key, deadline, call).await.map_err(|error| error.failure.code)?;
            grants.extend(page.grants.into_iter().map(GrantEntry::grant));
            marker = page.next_marker.filter(|_| page.truncated);
            if marker.is_none() {
                return Ok(grants);
            }
        }
        Err("there are too many".to_owned())
    }
}

/// The answer of `ListAliases`.
#[cfg(feature = "cli")]
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(clippy::struct_field_names, reason = "the field names are the service's")]
struct Aliases {
    aliases: Vec<AliasEntry>,
    next_marker: Option<String>,
    #[serde(default)]
    truncated: bool,
}

#[cfg(feature = "cli")]
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AliasEntry {
    alias_name: String,
    target_key_id: Option<String>,
}

/// The answer of `ListGrants`.
#[cfg(feature = "cli")]
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(clippy::struct_field_names, reason = "the field names are the service's")]
struct Grants {
    grants: Vec<GrantEntry>,
    next_marker: Option<String>,
    #[serde(default)]
    truncated: bool,
}

#[cfg(feature = "cli")]
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GrantEntry {
    grantee_principal: Option<String>,
    grantee_service_principal: Option<String>,
    #[serde(default)]
    operations: Vec<String>,
    #[serde(default)]
    constraints: GrantConstraints,
}

#[cfg(feature = "cli")]
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct GrantConstraints {
    encryption_context_equals: BTreeMap<String, String>,
    encryption_context_subset: BTreeMap<String, String>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

#[cfg(feature = "cli")]
impl GrantEntry {
    fn grant(self) -> Grant {
        let GrantConstraints { encryption_context_equals, encryption_context_subset, others } = self.constraints;
        Grant {
            grantee: self.grantee_principal.or(self.grantee_service_principal).unwrap_or_default(),
            operations: self.operations,
            context: encryption_context_equals.into_iter().chain(encryption_context_subset).collect(),
            other_constraints: others.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| name).collect(),
        }
    }
}

/// The answer of `DescribeKey`, as far as it is used.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Described {
    key_metadata: Option<KeyMetadata>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct KeyMetadata {
    arn: Option<String>,
    key_state: Option<String>,
    key_usage: Option<String>,
    key_spec: Option<String>,
    key_manager: Option<String>,
    custom_key_store_id: Option<String>,
    expiration_model: Option<String>,
    /// Seconds since the epoch.
    valid_to: Option<serde_json::Number>,
}

impl KeyMetadata {
    /// When imported key material expires, if it does.
    fn expires(&self) -> Option<DateTime<Utc>> {
        let valid_to = self.valid_to.as_ref().filter(|_| self.expiration_model.as_deref() == Some(EXPIRES))?;
        let seconds = Duration::try_from_secs_f64(valid_to.as_f64()?).ok()?.as_secs();
        DateTime::from_timestamp(i64::try_from(seconds).ok()?, 0)
    }
}

/// The [`ExpirationModel`] of imported key material that expires.
///
/// [`ExpirationModel`]: https://docs.aws.amazon.com/kms/latest/APIReference/API_KeyMetadata.html
const EXPIRES: &str = "KEY_MATERIAL_EXPIRES";

/// The answer of `GetKeyPolicy`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PolicyOfKey {
    policy: Option<String>,
}

/// A policy as the services return it; an empty text means none. What one with a key twice means
/// is not known.
pub(super) fn read_document(text: Option<&str>) -> PolicyDocument {
    match text {
        None | Some("") => Ok(None),
        Some(text) => match duplicate_key(text) {
            Some(duplicate) => Err(duplicate.to_string()),
            None => serde_json::from_str(text).map(Some).map_err(|error| error.to_string()),
        },
    }
}

#[cfg(all(test, feature = "cli"))]
mod tests {
    use super::*;

    #[test]
    fn every_constraint_and_every_grantee_of_a_grant_is_read() {
        let read = |entry: Value| serde_json::from_value::<GrantEntry>(entry).expect("a grant").grant();
        let grant = read(json!({
            "GranteePrincipal": "arn:aws:iam::111122223333:role/reader",
            "Operations": ["Decrypt"],
            "Constraints": {
                "EncryptionContextSubset": {"aws:kinesis:arn": "orders"},
                "SourceArn": "arn:aws:kinesis:us-east-1:111122223333:stream/orders",
                "Later": null,
            },
        }));
        assert_eq!(grant.grantee, "arn:aws:iam::111122223333:role/reader");
        assert_eq!(grant.context, [("aws:kinesis:arn".to_owned(), "orders".to_owned())]);
        assert_eq!(grant.other_constraints, ["SourceArn"]);
        let grant = read(json!({"GranteeServicePrincipal": "logs.amazonaws.com", "Operations": ["Decrypt"]}));
        assert_eq!((grant.grantee.as_str(), grant.other_constraints.len()), ("logs.amazonaws.com", 0));
    }
}
