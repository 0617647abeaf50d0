//! Systems Manager Parameter Store: the operations of its [API] that the program and its tests use.
//!
//! [API]: https://docs.aws.amazon.com/systems-manager/latest/APIReference/Welcome.html

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::arn::arn_of;
use super::input::Input;
use super::model::{Model, Parameter, ParameterVersion};
use super::service_error::ServiceError;

/// The operations that the sandbox supports.
pub(crate) const OPERATIONS: [&str; 3] = ["DeleteParameter", "GetParameter", "PutParameter"];

/// The most characters of a value in the [standard tier].
///
/// [standard tier]: https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html
const LONGEST_VALUE: usize = 4_096;

pub(crate) fn answer(
    model: &mut Model,
    operation: &str,
    input: Input<'_>,
    now: DateTime<Utc>,
) -> Result<Value, ServiceError> {
    match operation {
        "GetParameter" => get(model, input),
        "PutParameter" => put(model, input, now),
        "DeleteParameter" => {
            let name = input.required("Name", 2048)?;
            model.parameters.remove(name).map(|_| json!({})).ok_or_else(|| not_found("ParameterNotFound"))
        }
        _ => Err(ServiceError::new("UnknownOperationException", String::new())),
    }
}

/// The service's message is empty, too.
fn not_found(code: &str) -> ServiceError {
    ServiceError::new(code, String::new())
}

/// [GetParameter], by name or by ARN, of the newest [version] or of the one after a colon. A
/// `SecureString` without `WithDecryption` is not readable.
///
/// [GetParameter]: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html
/// [version]: https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-versions.html
fn get(model: &Model, input: Input<'_>) -> Result<Value, ServiceError> {
    let wanted = input.required("Name", 2048)?;
    let name = wanted.split_once(":parameter").map_or(wanted, |(_, name)| name);
    let (name, version) = match name.split_once(':') {
        Some((name, version)) => (name, version.parse::<usize>().ok()),
        None => (name, None),
    };
    let found = model.parameters.get(name).or_else(|| model.parameters.get(name.trim_start_matches('/')));
    let Parameter { kind, versions } = found.ok_or_else(|| not_found("ParameterNotFound"))?;
    let version = version.unwrap_or(versions.len());
    let found = version.checked_sub(1).and_then(|index| versions.get(index));
    let ParameterVersion { value, modified } = found.ok_or_else(|| not_found("ParameterVersionNotFound"))?;
    let is_hidden = kind == "SecureString" && !input.flag("WithDecryption")?;
    let value = if is_hidden { aws_smithy_types::base64::encode(value) } else { value.clone() };
    let resource = format!("parameter/{}", name.trim_start_matches('/'));
    Ok(json!({ "Parameter": {
        "Name": name,
        "Type": kind,
        "Value": value,
        "Version": version,
        "LastModifiedDate": modified.timestamp(),
        "DataType": "text",
        "ARN": arn_of("ssm", &model.region, &model.account, &resource),
    } }))
}

/// [PutParameter]: a new parameter, or with `Overwrite` a new version of one that exists.
///
/// [PutParameter]: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html
fn put(model: &mut Model, input: Input<'_>, now: DateTime<Utc>) -> Result<Value, ServiceError> {
    let (name, value) = (input.required("Name", 2048)?, input.required("Value", LONGEST_VALUE)?);
    let kind = input.one_of("Type", &["String", "StringList", "SecureString"])?;
    let present = model.parameters.get(name);
    if present.is_some() && !input.flag("Overwrite")? {
        return Err(ServiceError::new(
            "ParameterAlreadyExists",
            "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.",
        ));
    }
    if present.is_none() && kind.is_none() {
        let message = "A parameter type is required when you create a parameter.";
        return Err(ServiceError::new("ValidationException", message));
    }
    let parameter = model.parameters.entry(name.to_owned()).or_default();
    if let Some(kind) = kind {
        kind.clone_into(&mut parameter.kind);
    }
    parameter.versions.push(ParameterVersion { value: value.to_owned(), modified: now });
    Ok(json!({ "Version": parameter.versions.len(), "Tier": "Standard" }))
}
