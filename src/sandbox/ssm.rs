//! Systems Manager Parameter Store: [GetParameter].
//!
//! [GetParameter]: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html

use serde_json::{Value, json};

use super::arn::arn_of;
use super::input::Input;
use super::model::Model;
use super::service_error::ServiceError;

/// The operations that the sandbox supports.
pub(crate) const OPERATIONS: [&str; 1] = ["GetParameter"];

/// `GetParameter`, by name or by ARN.
pub(crate) fn answer(model: &Model, input: Input<'_>) -> Result<Value, ServiceError> {
    let wanted = input.required("Name", 2048)?;
    let name = wanted.split_once(":parameter").map_or(wanted, |(_, name)| name);
    let found = model.parameters.get(name).or_else(|| model.parameters.get(name.trim_start_matches('/')));
    let (kind, value) = found.ok_or_else(|| ServiceError::new("ParameterNotFound", String::new()))?;
    let resource = format!("parameter/{}", name.trim_start_matches('/'));
    Ok(json!({ "Parameter": {
        "Name": name,
        "Type": kind,
        "Value": value,
        "Version": 1,
        "DataType": "text",
        "ARN": arn_of("ssm", &model.region, &model.account, &resource),
    } }))
}
