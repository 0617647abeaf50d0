//! Keys and aliases, and whether Kinesis can use a key.

use chrono::{DateTime, Utc};

use super::{EventuallyConsistent, Model};
use crate::domain::key::{AWS_MANAGED_ALIAS, KeyRef};
use crate::sandbox::arn::arn_of;
use crate::sandbox::key_state::KeyState;
use crate::sandbox::service_error::ServiceError;

/// How a key is created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewKey {
    pub(crate) spec: String,
    pub(crate) usage: String,
    pub(crate) origin: String,
    pub(crate) description: String,
    pub(crate) multi_region: bool,
    /// The Region of the primary key, if this is a replica.
    pub(crate) replica_of: Option<String>,
    /// The account that owns the key, if it is another one.
    pub(crate) account: Option<String>,
    pub(crate) aws_managed: bool,
    /// The custom key store that holds the key, if one does.
    pub(crate) store: Option<String>,
}

impl Default for NewKey {
    fn default() -> Self {
        Self {
            spec: "SYMMETRIC_DEFAULT".to_owned(),
            usage: "ENCRYPT_DECRYPT".to_owned(),
            origin: "AWS_KMS".to_owned(),
            description: String::new(),
            multi_region: false,
            replica_of: None,
            account: None,
            aws_managed: false,
            store: None,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) arn: String,
    pub(crate) id: String,
    pub(crate) account: String,
    pub(crate) created_as: NewKey,
    pub(crate) state: EventuallyConsistent<KeyState>,
    pub(crate) created: DateTime<Utc>,
    pub(crate) deletion: Option<DateTime<Utc>>,
    /// When the imported key material expires, if it does.
    pub(crate) valid_to: Option<DateTime<Utc>>,
    pub(crate) material: String,
    pub(crate) previous_material: Option<String>,
    /// The key policy, as JSON.
    pub(crate) policy: String,
}

/// For whom Kinesis calls KMS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum KeyUse {
    /// A producer: `GenerateDataKey`.
    Write,
    /// A consumer: `Decrypt`.
    Read,
}

impl KeyUse {
    pub(crate) fn operation(self) -> &'static str {
        match self {
            Self::Write => "GenerateDataKey",
            Self::Read => "Decrypt",
        }
    }
}

/// What Kinesis has a data key for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DataKey {
    pub(crate) access_key: String,
    pub(crate) stream: String,
    /// The ARN of the KMS key.
    pub(crate) key: String,
    pub(crate) key_use: KeyUse,
}

impl Key {
    /// The state that KMS shows at `now`. When imported material expires, KMS deletes it.
    ///
    /// <https://docs.aws.amazon.com/kms/latest/developerguide/importing-keys-conceptual.html>
    pub(crate) fn state_at(&self, now: DateTime<Utc>) -> KeyState {
        let has_expired = self.valid_to.is_some_and(|valid_to| valid_to <= now);
        match self.state.seen(now) {
            KeyState::Enabled | KeyState::Disabled if has_expired => KeyState::PendingImport,
            state => *state,
        }
    }
}

impl Model {
    pub(crate) fn create_key(&mut self, created_as: NewKey, now: DateTime<Utc>) -> String {
        let id = if created_as.multi_region { format!("mrk-{}", self.hex(32)) } else { self.guid() };
        let account = created_as.account.clone().unwrap_or_else(|| self.account.clone());
        let arn = arn_of("kms", &self.region, &account, &format!("key/{id}"));
        let state = if created_as.origin == "EXTERNAL" { KeyState::PendingImport } else { KeyState::Enabled };
        let material = self.hex(64);
        // The default policy of a key that is created through the API. It leaves access to IAM.
        // https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html
        let root = format!("arn:{}:iam::{account}:root", crate::domain::arn::partition_of(&self.region));
        let statement =
            serde_json::json!({ "Effect": "Allow", "Principal": { "AWS": root }, "Action": "kms:*", "Resource": "*" });
        let key = Key {
            policy: serde_json::json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string(),
            arn: arn.clone(),
            id,
            account,
            created_as,
            state: EventuallyConsistent::new(state, now),
            created: now,
            deletion: None,
            valid_to: None,
            material,
            previous_material: None,
        };
        self.keys.insert(arn.clone(), key);
        arn
    }

    pub(crate) fn alias_arn(&self, alias: &str) -> String {
        arn_of("kms", &self.region, &self.account, alias)
    }

    /// The key that `key_id` names in any of the [forms that KMS accepts], as KMS returns it at
    /// `now`.
    ///
    /// [forms that KMS accepts]: https://docs.aws.amazon.com/kms/latest/developerguide/concepts.html#key-id
    pub(crate) fn find_key(&self, key_id: &str, now: DateTime<Utc>) -> Result<&Key, ServiceError> {
        let arn = self.key_arn(key_id, now)?;
        self.keys.get(&arn).ok_or_else(|| ServiceError::new("NotFoundException", format!("Key '{arn}' does not exist")))
    }

    fn key_arn(&self, key_id: &str, now: DateTime<Utc>) -> Result<String, ServiceError> {
        let not_found = |message: String| ServiceError::new("NotFoundException", message);
        let parsed: KeyRef = key_id.parse().map_err(|_| not_found(format!("Invalid keyId '{key_id}'")))?;
        let alias_region = match &parsed {
            KeyRef::AliasArn { region, account, .. } => Some((region, account)),
            _ => None,
        };
        match (&parsed, parsed.alias()) {
            (KeyRef::Arn(arn), _) if arn.region() != self.region => {
                Err(not_found(format!("Invalid arn {}", arn.region())))
            }
            (KeyRef::Arn(arn), _) => Ok(arn.to_string()),
            (KeyRef::Id(id), _) => Ok(arn_of("kms", &self.region, &self.account, &format!("key/{id}"))),
            (_, Some(alias)) => {
                if let Some((region, _)) = alias_region.filter(|(region, _)| **region != self.region) {
                    return Err(not_found(format!("Invalid arn {region}")));
                }
                let ours = alias_region.is_none_or(|(_, account)| *account == self.account);
                let target =
                    self.aliases.get(alias.as_str()).filter(|_| ours).and_then(|target| target.seen(now).clone());
                let arn =
                    || if parsed.as_str().starts_with("arn:") { key_id.to_owned() } else { self.alias_arn(key_id) };
                target.ok_or_else(|| not_found(format!("Alias {} is not found.", arn())))
            }
            (_, None) => Err(not_found(format!("Invalid keyId '{key_id}'"))),
        }
    }

    /// Creates the AWS managed key for Kinesis if `key_id` is its alias and it does not exist yet,
    /// as [DescribeKey] and a use of the key do.
    ///
    /// [DescribeKey]: https://docs.aws.amazon.com/kms/latest/APIReference/API_DescribeKey.html
    pub(crate) fn ensure_managed_key(&mut self, key_id: &str, now: DateTime<Utc>) {
        let named = key_id == AWS_MANAGED_ALIAS || key_id == self.alias_arn(AWS_MANAGED_ALIAS);
        if named && !self.aliases.contains_key(AWS_MANAGED_ALIAS) {
            let description = "Default key that protects my Kinesis data when no other key is defined".to_owned();
            let arn = self.create_key(NewKey { aws_managed: true, description, ..NewKey::default() }, now);
            self.aliases.insert(AWS_MANAGED_ALIAS.to_owned(), EventuallyConsistent::new(Some(arn), now));
        }
    }

    /// The ARN of the key, if Kinesis can use it. Otherwise the KMS error that Kinesis passes on,
    /// one of those that [StartStreamEncryption] lists.
    ///
    /// [StartStreamEncryption]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_StartStreamEncryption.html
    pub(crate) fn usable_key(&mut self, key_id: &str, now: DateTime<Utc>) -> Result<String, ServiceError> {
        self.ensure_managed_key(key_id, now);
        let key =
            self.find_key(key_id, now).map_err(|refusal| ServiceError::new("KMSNotFoundException", refusal.message))?;
        let invalid = |why: String| Err(ServiceError::new("KMSInvalidStateException", format!("{} {why}", key.arn)));
        match key.state_at(now) {
            KeyState::Disabled => {
                return Err(ServiceError::new("KMSDisabledException", format!("{} is disabled.", key.arn)));
            }
            KeyState::PendingDeletion | KeyState::PendingReplicaDeletion => {
                return invalid("is pending deletion.".to_owned());
            }
            KeyState::PendingImport => return invalid("is pending import.".to_owned()),
            KeyState::Unavailable => return invalid("is unavailable.".to_owned()),
            KeyState::Creating => return invalid("is creating.".to_owned()),
            // A primary key is Updating while its Region changes. It can be used meanwhile.
            KeyState::Enabled | KeyState::Updating => {}
        }
        if key.created_as.usage != "ENCRYPT_DECRYPT" {
            return invalid(format!("key usage is {} which is not valid for GenerateDataKey.", key.created_as.usage));
        }
        if key.created_as.spec != "SYMMETRIC_DEFAULT" {
            return invalid(format!("key spec is {} which is not valid for GenerateDataKey.", key.created_as.spec));
        }
        Ok(key.arn.clone())
    }

    pub(crate) fn set_key_state(&mut self, key: &str, state: KeyState, now: DateTime<Utc>) {
        let lag = self.options.kms_lag;
        let arn = self.find_key(key, now).map(|key| key.arn.clone()).unwrap_or_default();
        if let Some(key) = self.keys.get_mut(&arn) {
            key.state.set(state, now, lag);
        }
    }

    /// Connects or disconnects a custom key store. Its enabled keys are Unavailable while it is
    /// disconnected.
    ///
    /// <https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html>
    pub(crate) fn set_store_connected(&mut self, store: &str, connected: bool, now: DateTime<Utc>) {
        let lag = self.options.kms_lag;
        let (from, to) = if connected {
            (KeyState::Unavailable, KeyState::Enabled)
        } else {
            (KeyState::Enabled, KeyState::Unavailable)
        };
        self.stores.insert(store.to_owned(), connected);
        let held = self.keys.values_mut().filter(|key| key.created_as.store.as_deref() == Some(store));
        for key in held.filter(|key| *key.state.actual() == from) {
            key.state.set(to, now, lag);
        }
    }

    /// Creates the alias or points it to another key.
    pub(crate) fn point_alias(&mut self, alias: &str, key: &str, now: DateTime<Utc>) {
        let arn = self.find_key(key, now).map_or_else(|_| key.to_owned(), |key| key.arn.clone());
        self.set_alias(alias, Some(arn), now);
    }

    /// The key that the alias pointed to before its last change.
    pub(crate) fn alias_before(&self, alias: &str) -> Option<String> {
        self.aliases.get(alias)?.before.clone()
    }

    pub(crate) fn set_alias(&mut self, alias: &str, target: Option<String>, now: DateTime<Utc>) {
        let lag = self.options.kms_lag;
        self.aliases
            .entry(alias.to_owned())
            .or_insert_with(|| EventuallyConsistent::new(None, now))
            .set(target, now, lag);
    }
}
