//! The calls that Kinesis makes to KMS for whoever writes to or reads from an encrypted stream.
//!
//! They are made with the [caller's permissions][permissions], and appear in CloudTrail under the
//! caller's identity. Whether a principal may make them is decided for the principals that
//! [`Account::principal`](super::Account::principal) has created. Any other may do everything, and
//! nothing is recorded for it.
//!
//! [permissions]: https://docs.aws.amazon.com/streams/latest/dev/permissions-user-key-KMS.html

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::cloudtrail::{self, RecordedCall};
use super::identity::{Caller, Identity};
use super::input::Input;
use super::model::{DataKey, Key, KeyUse, Model, later};
use super::permissions::{Named, Policies, PolicyCall, Says};
use super::service_error::ServiceError;

/// How long Kinesis uses a data key before it calls KMS again, for [each user credential][costs].
/// What a producer or a consumer loses within that time, it notices afterwards.
///
/// [costs]: https://docs.aws.amazon.com/streams/latest/dev/costs-performance.html
const DATA_KEY_LIFETIME: Duration = Duration::from_mins(5);

/// Calls KMS for `caller`, who uses `stream`, unless Kinesis still has the data key. The error is
/// that of Kinesis.
pub(crate) fn use_key(
    model: &mut Model,
    caller: &Caller,
    stream: &str,
    key_id: &str,
    key_use: KeyUse,
    now: DateTime<Utc>,
) -> Result<(), ServiceError> {
    let arn = caller.identity.principal_arn(&model.region, &model.account);
    let Some(policies) = model.users.principal(&arn).cloned() else { return Ok(()) };
    model.ensure_managed_key(key_id, now);
    let Ok(key) = model.find_key(key_id, now).cloned() else { return Ok(()) };
    let data_key =
        DataKey { access_key: caller.access_key.clone(), stream: stream.to_owned(), key: key.arn.clone(), key_use };
    if model.data_keys.get(&data_key).is_some_and(|fetched| later(*fetched, DATA_KEY_LIFETIME) > now) {
        return Ok(());
    }
    let operation = key_use.operation();
    let asked = Asked { caller, arn: &arn, policies: &policies, key: &key, stream, operation };
    if let Some(why) = asked.why_denied(model) {
        let caller_arn = caller.identity.arn(&model.region, &model.account);
        let message =
            format!("User: {caller_arn} is not authorized to perform: kms:{operation} on resource: {} {why}", key.arn);
        // A producer is shown the message of KMS, a consumer one of Kinesis:
        // https://github.com/serverless-operations/serverless-apigateway-service-proxy/issues/101,
        // https://github.com/spring-attic/spring-cloud-stream-binder-aws-kinesis/pull/188
        let shown = match key_use {
            KeyUse::Write => message.clone(),
            KeyUse::Read => {
                let (account, id) = (&model.account, caller.identity.principal_id());
                format!("User {account}:{id} is not authorized to decrypt records in stream {account}:{stream}")
            }
        };
        asked.record(model, &Err(ServiceError::new("AccessDeniedException", message)), now);
        return Err(ServiceError::new("KMSAccessDeniedException", shown));
    }
    let usable = model.usable_key(key_id, now);
    let result = usable.as_ref().map(|_| Value::Null).map_err(|refusal| {
        // Kinesis passes the codes of KMS on under names of its own.
        let code = if refusal.code == "KMSDisabledException" { "DisabledException" } else { &refusal.code };
        ServiceError::new(code, refusal.message.clone())
    });
    asked.record(model, &result, now);
    usable?;
    model.data_keys.insert(data_key, now);
    Ok(())
}

/// A call of KMS, of which it is asked whether it is allowed.
struct Asked<'a> {
    caller: &'a Caller,
    /// The ARN of the caller's role or user.
    arn: &'a str,
    policies: &'a Policies,
    key: &'a Key,
    stream: &'a str,
    operation: &'static str,
}

impl Asked<'_> {
    /// Why the call is denied, in the words of [access denied errors]; `None` if it is allowed.
    ///
    /// [access denied errors]: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
    fn why_denied(&self, model: &Model) -> Option<String> {
        let Self { caller, arn, policies, key, stream, operation } = self;
        let action = format!("kms:{operation}");
        let suffix = if model.region.starts_with("cn-") { ".cn" } else { "" };
        let context = BTreeMap::from([
            ("kms:viaservice".to_owned(), format!("kinesis.{}.amazonaws.com{suffix}", model.region)),
            ("kms:encryptioncontext:aws:kinesis:arn".to_owned(), model.stream_arn(stream)),
            ("kms:calleraccount".to_owned(), model.account.clone()),
            ("aws:principalarn".to_owned(), (*arn).to_owned()),
            ("aws:principalaccount".to_owned(), model.account.clone()),
        ]);
        let call = PolicyCall { action: &action, resource: &key.arn, context: &context };
        let own = call.by_principal(policies);
        let policy: Value = serde_json::from_str(&key.policy).unwrap_or_default();
        let by_key = call.by_key(&policy, Named { arn, account: &model.account });
        // The policy of an AWS managed key allows everybody in the account.
        let direct = by_key.direct || key.created_as.aws_managed || model.users.is_granted(&key.arn, arn, operation);
        let is_own = key.account == model.account;
        // A boundary does not limit what a key policy allows to a user.
        let is_limited = !(direct && is_own && matches!(caller.identity, Identity::User { .. }));
        let denies = |kind: &str| Some(format!("with an explicit deny in {kind}"));
        let lacks = |kind: &str| Some(format!("because no {kind} allows the {action} action"));
        let by_iam = own.identity == Says::Allow;
        if by_key.denied {
            denies("a resource-based policy")
        } else if own.identity == Says::Deny {
            denies("an identity-based policy")
        } else if own.boundary == Some(Says::Deny) {
            denies("a permissions boundary")
        } else if own.organization == Some(Says::Deny) {
            denies("a service control policy")
        } else if own.organization == Some(Says::Nothing) {
            lacks("service control policy")
        } else if own.boundary == Some(Says::Nothing) && is_limited {
            lacks("permissions boundary")
        } else if is_own && (direct || by_key.delegated && by_iam) {
            None
        } else if by_key.delegated || direct {
            // Of a key of another account, both sides have to allow it.
            if by_iam { None } else { lacks("identity-based policy") }
        } else {
            lacks("resource-based policy")
        }
    }

    /// Adds the call to the event history and to the event bus.
    fn record(&self, model: &mut Model, result: &Result<Value, ServiceError>, at: DateTime<Utc>) {
        let Self { caller, key, stream, operation, .. } = self;
        let mut input = Map::new();
        input.insert("KeyId".to_owned(), json!(key.arn));
        input.insert("EncryptionContext".to_owned(), json!({ "aws:kinesis:arn": model.stream_arn(stream) }));
        let call = RecordedCall { service: "kms", operation, input: Input(&input), result, caller, at };
        cloudtrail::record_by_kinesis(model, &call);
    }
}
