//! Security Hub for the terminal program: findings are imported.

use std::time::Duration;

use aws_types::SdkConfig;
use serde::Deserialize;
use serde_json::{Value, json};

use super::calls::Calls;
use super::error::CallError;
use super::rest::post;
use super::service::{SECURITY_HUB, answer, operation};
use crate::clock::Clock;
use crate::domain::failure::Step;

const STEP: Step = Step::ImportFindings;

/// How long one call may take, its retries included.
const PATIENCE: Duration = Duration::from_secs(30);

/// The answer of `BatchImportFindings`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Imported {
    /// How many findings were created or updated.
    pub success_count: usize,
    /// Those that were not.
    #[serde(default)]
    pub failed_findings: Vec<FailedFinding>,
}

/// A finding that Security Hub refused.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct FailedFinding {
    /// Its id.
    pub id: String,
    /// The code of the error.
    pub error_code: String,
    /// The error in words.
    pub error_message: String,
}

/// Creates or updates at most 100 findings in the account and Region of `config`, by
/// [BatchImportFindings]. It is retried for half a minute: importing a finding twice does no harm.
///
/// [BatchImportFindings]: https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_BatchImportFindings.html
pub async fn import(config: &SdkConfig, clock: &Clock, findings: &[Value]) -> Result<Imported, CallError> {
    let region = config.region().map(ToString::to_string).unwrap_or_default();
    let body = json!({"Findings": findings}).to_string();
    let request = |body| post("/findings/import", "application/json", body);
    let operation = operation(config, SECURITY_HUB).serializer(request).deserializer(answer).build();
    let calls = Calls::new(clock.clone());
    let call = || async {
        let answer =
            operation.invoke(body.clone()).await.map_err(|error| CallError::from_sdk(STEP, &region, &error))?;
        answer.parsed(STEP, &region)
    };
    let imported = calls.read(STEP, &region, clock.instant() + PATIENCE, call).await;
    imported.map_err(|error| {
        let remedy = match error.failure.code.as_str() {
            "InvalidAccessException" => "Enable Security Hub in this account and Region.",
            "InvalidInputException" => "Report this with the message: it is a bug, or the API has changed.",
            _ => return error,
        };
        CallError { failure: error.failure.remedied(remedy.to_owned()), ..error }
    })
}
