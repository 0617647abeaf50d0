//! The settings of a deployed function, for the terminal program.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_types::SdkConfig;
use serde::Deserialize;

use super::calls::Calls;
use super::error::CallError;
use super::rest::RestClient;
use super::service::LAMBDA;
use crate::clock::Clock;
use crate::domain::failure::Step;

const STEP: Step = Step::ReadFunction;

/// How long the call may take, its retries included.
const PATIENCE: Duration = Duration::from_secs(20);

/// The answer of [GetFunctionConfiguration], as far as it is used.
///
/// [GetFunctionConfiguration]: https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConfiguration.html
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct FunctionConfiguration {
    /// The function's ARN, which ends with the version or the alias if the call named one.
    pub function_arn: Option<String>,
    /// The ARN of the function's role.
    pub role: Option<String>,
    /// The ARN of the customer managed key that encrypts the variables.
    #[serde(rename = "KMSKeyArn")]
    pub key: Option<String>,
    /// Its environment; absent if it has none.
    pub environment: Option<FunctionEnvironment>,
}

/// The environment of a function: its variables, or why they cannot be read.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct FunctionEnvironment {
    /// The variables by name.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// Why Lambda could not decrypt them for the caller.
    pub error: Option<EnvironmentError>,
}

/// Why Lambda could not [return the variables][EnvironmentError].
///
/// [EnvironmentError]: https://docs.aws.amazon.com/lambda/latest/api/API_EnvironmentError.html
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EnvironmentError {
    /// The code, such as `AccessDeniedException`.
    #[serde(default)]
    pub error_code: String,
    /// What AWS said.
    #[serde(default)]
    pub message: String,
}

/// The configuration of the function `name` in the account and Region of `config`; `qualifier` is a
/// version or an alias.
///
/// Both consist of letters, digits, hyphens and underscores, and `qualifier` may be `$LATEST`.
pub async fn configuration(
    config: &SdkConfig,
    clock: &Clock,
    name: &str,
    qualifier: Option<&str>,
) -> Result<FunctionConfiguration, CallError> {
    let query = qualifier.map_or_else(String::new, |qualifier| format!("?Qualifier={}", qualifier.replace('$', "%24")));
    let path = format!("/2015-03-31/functions/{name}/configuration{query}");
    let (client, calls) = (RestClient::new(config, LAMBDA), Calls::new(clock.clone()));
    calls.read(STEP, &name, clock.instant() + PATIENCE, || client.get(&path, STEP, &name)).await
}
