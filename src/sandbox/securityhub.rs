//! Security Hub: [BatchImportFindings].
//!
//! [BatchImportFindings]: https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_BatchImportFindings.html

use serde_json::{Value, json};

use super::arn::arn_of;
use super::input::{Input, each_object};
use super::model::Model;
use super::service_error::ServiceError;

/// The operations that the sandbox supports.
pub(crate) const OPERATIONS: [&str; 1] = ["BatchImportFindings"];

/// The operation that a request asks for by its method and path, as in the [REST JSON protocol][rest].
///
/// [rest]: https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html
pub(crate) fn of_path(method: &str, path: &str) -> Option<&'static str> {
    (method == "POST" && path == "/findings/import").then_some(OPERATIONS[0])
}

/// The texts that a finding must have, and the most characters of each.
///
/// Source: <https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_AwsSecurityFinding.html>.
const REQUIRED: [(&str, usize); 9] = [
    ("SchemaVersion", 64),
    ("Id", 512),
    ("ProductArn", 2048),
    ("GeneratorId", 512),
    ("AwsAccountId", 12),
    ("CreatedAt", 64),
    ("UpdatedAt", 64),
    ("Title", 256),
    ("Description", 1024),
];

/// What belongs to the customer once a finding exists.
///
/// Source: <https://docs.aws.amazon.com/securityhub/latest/userguide/finding-update-batchimportfindings.html>.
const CUSTOMER_FIELDS: [&str; 4] = ["Note", "UserDefinedFields", "VerificationState", "Workflow"];

/// `BatchImportFindings`. A finding that is refused does not keep the others from being stored.
pub(crate) fn answer(model: &mut Model, input: Input<'_>) -> Result<Value, ServiceError> {
    let findings = input.list("Findings")?;
    if !(1..=100).contains(&findings.len()) {
        let message = "Invalid parameter 'Findings'. The number of findings must be between 1 and 100.";
        return Err(ServiceError::new("InvalidInputException", message));
    }
    let mut failed = Vec::new();
    for (finding, value) in each_object("Findings", findings)?.into_iter().zip(findings) {
        let id = finding.text("Id")?.unwrap_or_default().to_owned();
        if let Some(message) = refusal(model, finding) {
            failed.push(json!({ "Id": id, "ErrorCode": "InvalidInput", "ErrorMessage": message }));
            continue;
        }
        let mut stored = value.clone();
        if let Some(earlier) = model.findings.get(&id) {
            for field in CUSTOMER_FIELDS {
                stored[field] = earlier[field].clone();
            }
        } else if stored["Workflow"].is_null() {
            stored["Workflow"] = json!({ "Status": "NEW" });
        }
        model.findings.insert(id, stored);
    }
    let accepted = findings.len() - failed.len();
    Ok(json!({ "FailedCount": failed.len(), "SuccessCount": accepted, "FailedFindings": failed }))
}

/// Why a finding is refused; `None` if it is not.
fn refusal(model: &Model, finding: Input<'_>) -> Option<String> {
    for (field, most) in REQUIRED {
        let length = finding.text(field).ok().flatten().map(|text| text.chars().count());
        if length.is_none_or(|length| length == 0 || length > most) {
            return Some(format!(
                "Finding does not adhere to Amazon Finding Format. data.{field} is missing or invalid"
            ));
        }
    }
    let text = |field| finding.text(field).ok().flatten().unwrap_or_default();
    let account = &model.account;
    let product = arn_of("securityhub", &model.region, account, &format!("product/{account}/default"));
    if text("AwsAccountId") != account || text("ProductArn") != product {
        return Some(format!("Finding is not of account {account} in {}", model.region));
    }
    None
}
