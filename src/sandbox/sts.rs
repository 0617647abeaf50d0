//! The Security Token Service: [AssumeRole], the sessions of assumed roles, and who a caller is.
//!
//! STS speaks AWS's Query protocol: the request is a form, the answer XML.
//!
//! [AssumeRole]: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::arn::arn_of;
use super::identity::Identity;
use super::input::Input;
use super::model::{Model, Session, later};
use super::service_error::ServiceError;

/// The operations that the sandbox supports.
pub(crate) const OPERATIONS: [&str; 2] = ["AssumeRole", "GetCallerIdentity"];

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// The `Action` and the fields of a form; `None` if the body is none.
pub(crate) fn form(body: &[u8]) -> Option<(String, Value)> {
    let form: Map<_, _> = form_urlencoded::parse(body)
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
        .collect();
    Some((form.get("Action")?.as_str()?.to_owned(), Value::Object(form)))
}

pub(crate) fn answer(
    model: &mut Model,
    operation: &str,
    input: Input<'_>,
    caller: &Identity,
    now: DateTime<Utc>,
) -> Result<Value, ServiceError> {
    match operation {
        "AssumeRole" => assume_role(model, input, now),
        "GetCallerIdentity" => Ok(caller_identity(model, caller)),
        _ => Err(ServiceError::new("UnknownOperationException", String::new())),
    }
}

/// [GetCallerIdentity], with the ids that CloudTrail's records show.
///
/// [GetCallerIdentity]: https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
fn caller_identity(model: &Model, caller: &Identity) -> Value {
    json!({
        "Arn": caller.arn(&model.region, &model.account),
        "UserId": caller.principal_id(),
        "Account": model.account,
    })
}

/// `AssumeRole`. A role that does not exist, does not trust the caller or requires another
/// `ExternalId` is refused with the same error.
fn assume_role(model: &mut Model, input: Input<'_>, now: DateTime<Utc>) -> Result<Value, ServiceError> {
    let (arn, session) = (input.required("RoleArn", 2048)?, input.required("RoleSessionName", 64)?);
    let given = input.text("ExternalId")?.unwrap_or_default();
    let role = model.roles.get(arn).filter(|role| given == role.external_id).cloned().ok_or_else(|| {
        let message = format!("the caller is not authorized to perform: sts:AssumeRole on resource: {arn}");
        ServiceError { status: 403, ..ServiceError::new("AccessDenied", message) }
    })?;
    let (access_key, token) = (format!("ASIA{}", model.hex(16).to_ascii_uppercase()), model.hex(64));
    let expires = later(now, model.options.session);
    let identity = Identity::role(&role.name, session);
    let held = Session { account: role.account.clone(), identity, token: token.clone(), expires, refusal: None };
    model.sessions.insert(access_key.clone(), held);
    let plain = role.name.rsplit('/').next().unwrap_or_default();
    Ok(json!({
        "AssumedRoleUser": {
            "AssumedRoleId": format!("AROAEXAMPLE:{session}"),
            "Arn": arn_of("sts", "", &role.account, &format!("assumed-role/{plain}/{session}")),
        },
        "Credentials": {
            "AccessKeyId": access_key,
            "SecretAccessKey": "not-a-secret",
            "SessionToken": token,
            "Expiration": expires.to_rfc3339_opts(SecondsFormat::Secs, true),
        },
    }))
}

/// The session that an access key belongs to; `None` for a key that STS has not issued.
///
/// A call with another session's token, or after the session has expired or has been ended, is
/// refused.
pub(crate) fn session_of(
    model: &Model,
    access_key: &str,
    token: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Option<Session>, ServiceError> {
    match model.sessions.get(access_key) {
        None => Ok(None),
        Some(session) if token != Some(&session.token) => Err(ServiceError::new(
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        )),
        Some(session) if now >= session.expires => {
            Err(ServiceError::new("ExpiredTokenException", "The security token included in the request is expired"))
        }
        Some(session) => session.refusal.clone().map_or_else(|| Ok(Some(session.clone())), Err),
    }
}

/// The HTTP status and the body of an answer.
pub(crate) fn xml(operation: &str, result: Result<Value, ServiceError>) -> (u16, String) {
    let (status, root, content) = match result {
        Ok(answer) => (200, format!("{operation}Response"), json!({ format!("{operation}Result"): answer })),
        Err(ServiceError { code, message, status }) => (
            status,
            "ErrorResponse".to_owned(),
            json!({ "Error": { "Type": "Sender", "Code": code, "Message": message } }),
        ),
    };
    (status, format!("<{root} xmlns=\"{NAMESPACE}\">{}</{root}>", elements(&content)))
}

fn elements(value: &Value) -> String {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| format!("<{name}>{}</{name}>", elements(value)))
            .collect::<Vec<_>>()
            .concat(),
        Value::String(text) => text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"),
        other => other.to_string(),
    }
}
