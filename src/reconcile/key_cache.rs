//! What KMS says about keys, looked up once per invocation.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::aws::CallError;
use crate::aws::kms::Keys;
use crate::decide::{CurrentKey, DesiredKey, OtherKeyFitness};
use crate::domain::PolicyDocument;
use crate::domain::failure::{Failure, Kind, Step, code};
use crate::domain::key::{KeyArn, KeyFacts, KeyRef, Readiness, in_other_region};
use crate::domain::mode::OnOtherKey;
use crate::domain::stream::StreamArn;

type Looked = Arc<OnceCell<Result<KeyFacts, CallError>>>;

/// The keys of one invocation: those that streams are to have, and those that they have.
#[derive(Debug)]
pub struct KeyCache<'a> {
    keys: &'a Keys,
    region: &'a str,
    deadline: Instant,
    looked: Mutex<HashMap<String, Looked>>,
    policies: Mutex<HashMap<String, Arc<OnceCell<PolicyDocument>>>>,
}

impl<'a> KeyCache<'a> {
    /// An empty cache, for streams in `region`.
    #[must_use]
    pub fn new(keys: &'a Keys, region: &'a str, deadline: Instant) -> Self {
        Self { keys, region, deadline, looked: Mutex::default(), policies: Mutex::default() }
    }

    /// The key `wanted`, in canonical form, with the reason why it must not be applied now, if
    /// there is one.
    pub async fn desired(&self, wanted: &KeyRef) -> Result<DesiredKey, Failure> {
        if wanted.is_aws_managed() {
            return Ok(DesiredKey::AwsManaged);
        }
        match wanted {
            // KMS is Regional: its endpoint here does not know a key there, and "not found" would
            // mislead.
            KeyRef::Arn(arn) if arn.region() != self.region => Ok(DesiredKey::Key {
                arn: arn.clone(),
                trouble: Some(in_other_region(wanted, arn.region(), self.region)),
            }),
            KeyRef::AliasArn { region, .. } if region != self.region => {
                Err(in_other_region(wanted, region, self.region))
            }
            wanted => {
                let facts = self.look(wanted).await.map_err(|error| error.failure)?;
                Ok(DesiredKey::Key { trouble: facts.trouble(self.region), arn: facts.arn })
            }
        }
    }

    /// What KMS says about the key `wanted`; `None` if it is not looked at ([`KeyCache::desired`]), or
    /// cannot be. No call is made if it was looked up before.
    pub async fn facts(&self, wanted: &KeyRef) -> Option<KeyFacts> {
        let elsewhere = match wanted {
            KeyRef::Arn(arn) => arn.region() != self.region,
            KeyRef::AliasArn { region, .. } => region != self.region,
            KeyRef::Id(_) | KeyRef::Alias(_) => false,
        };
        if elsewhere || wanted.is_aws_managed() { None } else { self.look(wanted).await.ok() }
    }

    /// How `stream` is encrypted, given the `KeyId` that it shows.
    ///
    /// No call is made for a key ARN or a key id, unless `ON_OTHER_KEY=accept` makes it matter what
    /// kind of key it is. `is_related` says of an account whether a key of it could be accepted.
    pub async fn current(
        &self,
        stream: &StreamArn,
        key_id: Option<&str>,
        desired: &DesiredKey,
        on_other_key: OnOtherKey,
        is_related: impl Fn(&str) -> bool,
    ) -> CurrentKey {
        let Some(key_id) = key_id else { return CurrentKey::Unencrypted };
        let unresolvable = || CurrentKey::Unresolvable { key_id: key_id.to_owned() };
        let Ok(key) = key_id.parse::<KeyRef>() else { return unresolvable() };
        if key.is_aws_managed() {
            return CurrentKey::AwsManaged;
        }
        let known = key.canonical(stream.region(), stream.account());
        let is_desired = |arn: &KeyArn| matches!(desired, DesiredKey::Key { arn: desired, .. } if desired == arn);
        let found = |arn, fitness| CurrentKey::Key { arn, by_alias: key.alias().cloned(), fitness };
        let judged = on_other_key == OnOtherKey::Accept;
        match known {
            Some(arn) if !judged || is_desired(&arn) => return found(arn, OtherKeyFitness::NotAsked),
            _ => {}
        }
        if judged && key.account().is_some_and(|account| !is_related(account)) {
            return CurrentKey::OfUnrelatedAccount { key_id: key_id.to_owned() };
        }
        match self.look(&key).await {
            Ok(facts) if facts.of_customer && facts.readiness == Readiness::Enabled => {
                found(facts.arn, OtherKeyFitness::Enabled)
            }
            Ok(facts) => found(facts.arn, OtherKeyFitness::Unfit),
            Err(error) => match (error.failure.kind(), known) {
                (Kind::KeyNotFound | Kind::Invalid, Some(arn)) => found(arn, OtherKeyFitness::Unfit),
                (Kind::KeyNotFound | Kind::Invalid, None) => unresolvable(),
                // Under `replace` a key that may not be looked at is certainly not the desired one,
                // which we could look at.
                (Kind::Denied, None) if !judged => unresolvable(),
                (Kind::Denied, _) => CurrentKey::Unreadable(Failure::new(
                    Step::DescribeKey,
                    code::PRESENT_KEY_UNREADABLE,
                    &key,
                    &error.failure.message,
                )),
                _ => CurrentKey::Unreadable(error.failure),
            },
        }
    }

    /// The policy of a key of the customer's.
    pub async fn policy(&self, key: &KeyArn) -> PolicyDocument {
        let entry = {
            let mut policies = self.policies.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(policies.entry(key.as_str().to_owned()).or_default())
        };
        entry.get_or_init(|| Box::pin(self.keys.policy(key, self.deadline))).await.clone()
    }

    async fn look(&self, key: &KeyRef) -> Result<KeyFacts, CallError> {
        let entry = {
            let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(looked.entry(key.as_str().to_owned()).or_default())
        };
        entry.get_or_init(|| self.keys.describe(key, self.deadline)).await.clone()
    }
}
