//! The settings of a deployed function, for the terminal program.
//!
//! Lambda speaks the [REST JSON protocol][rest].
//!
//! [rest]: https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html

use std::collections::BTreeMap;
use std::time::Duration;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_types::SdkConfig;
use serde::Deserialize;

use super::calls::Calls;
use super::error::CallError;
use super::service::{LAMBDA, answer, operation};
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
    let operation = operation(config, LAMBDA).serializer(request).deserializer(answer).build();
    let calls = Calls::new(clock.clone());
    let call = || async {
        let answer = operation.invoke(path.clone()).await.map_err(|error| CallError::from_sdk(STEP, &name, &error))?;
        answer.parsed(STEP, &name)
    };
    calls.read(STEP, &name, clock.instant() + PATIENCE, call).await
}

fn request(path: String) -> Result<HttpRequest, BoxError> {
    let mut request = HttpRequest::new(SdkBody::empty());
    request.set_uri(path)?;
    request.set_method("GET")?;
    let agent = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
    request.headers_mut().try_insert("user-agent", agent)?;
    Ok(request)
}
