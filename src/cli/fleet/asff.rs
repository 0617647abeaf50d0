//! The report as findings for AWS Security Hub, in the [AWS Security Finding Format][asff].
//!
//! The findings follow the [rules of `BatchImportFindings`][rules] for updates of a finding:
//! severity, types and confidence are in `FindingProviderFields`, because the fields of the same
//! names at the top belong to the customer once the finding exists. `Workflow` is left out for the
//! same reason: Security Hub sets it to `NEW` for a new finding, and back to `NEW` if a compliant
//! stream becomes non-compliant.
//!
//! [asff]: https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-findings-format.html
//! [rules]: https://docs.aws.amazon.com/securityhub/latest/userguide/finding-update-batchimportfindings.html

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::finding::{Finding, PRODUCT, Severity, TITLE, Verdict};
use super::posture::{VERSION, warning_codes};
use super::row::Row;
use crate::cli::paint::rfc3339;
use crate::domain::arn::partition_of;

/// How many findings `BatchImportFindings` accepts in one call.
///
/// A call may also have 6 MB, and a finding 240 KB. With the limits below, a finding has less than
/// 30 KB, so 100 of them stay within both.
///
/// Source: <https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_BatchImportFindings.html>.
pub(super) const MOST_FINDINGS: usize = 100;

/// The limits of a finding's texts, in characters.
///
/// Source: <https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_AwsSecurityFinding.html>.
const DESCRIPTION: usize = 1024;
/// Source: <https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_Recommendation.html>.
const RECOMMENDATION: usize = 512;
/// Of a value in `ProductFields`.
const FIELD: usize = 2048;

/// Findings for one call of `BatchImportFindings`: of one account and Region, as the product ARN
/// of a custom integration requires.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) account: String,
    pub(super) region: String,
    pub(super) findings: Vec<Value>,
}

/// The findings in batches; `now` is when the report was made.
pub(super) fn batches(findings: &[Finding], now: DateTime<Utc>) -> Vec<Batch> {
    let mut places: BTreeMap<(&str, &str), Vec<Value>> = BTreeMap::new();
    for finding in findings {
        places.entry((finding.arn.account(), finding.arn.region())).or_default().push(asff(finding, now));
    }
    let batches = places.into_iter().flat_map(|((account, region), findings)| {
        let batch = move |findings: &[Value]| Batch {
            account: account.to_owned(),
            region: region.to_owned(),
            findings: findings.to_vec(),
        };
        findings.chunks(MOST_FINDINGS).map(batch).collect::<Vec<_>>()
    });
    batches.collect()
}

fn asff(finding: &Finding, now: DateTime<Utc>) -> Value {
    let (account, region) = (finding.arn.account(), finding.arn.region());
    let (partition, first) = (partition_of(region), rfc3339(finding.first_reported_at));
    let mut asff = json!({
        "SchemaVersion": "2018-10-08",
        "Id": finding.id(),
        "ProductArn": format!("arn:{partition}:securityhub:{region}:{account}:product/{account}/default"),
        "GeneratorId": PRODUCT,
        "AwsAccountId": account,
        "CreatedAt": first,
        "UpdatedAt": rfc3339(now),
        "FirstObservedAt": first,
        "LastObservedAt": rfc3339(finding.last_reported_at),
        "RecordState": if finding.is_gone() { "ARCHIVED" } else { "ACTIVE" },
        "Title": TITLE,
        "Description": shortened(&finding.texts.join(". "), DESCRIPTION),
        "Compliance": {"Status": status_of(finding.verdict)},
        "FindingProviderFields": {
            "Severity": {"Label": label_of(finding.severity), "Original": finding.status.as_str()},
            "Types": ["Software and Configuration Checks/AWS Security Best Practices"],
            "Confidence": 100,
        },
        "Resources": [{"Type": "AwsKinesisStream", "Id": finding.arn, "Partition": partition, "Region": region}],
        "ProductFields": product_fields(finding),
    });
    if let Some(details) = finding.row.as_ref().and_then(details) {
        asff["Resources"][0]["Details"] = details;
    }
    if let Some(remedy) = &finding.remedy {
        asff["Remediation"] = json!({"Recommendation": {"Text": shortened(remedy, RECOMMENDATION)}});
    }
    asff
}

/// The stream as Security Hub shows a resource; `None` if it could not be described.
fn details(row: &Row) -> Option<Value> {
    row.state.as_ref()?;
    let encryption = match &row.current_key {
        Some(key) => json!({"EncryptionType": "KMS", "KeyId": key}),
        None => json!({"EncryptionType": "NONE"}),
    };
    Some(json!({"AwsKinesisStream": {"Name": row.stream, "Arn": row.arn, "StreamEncryption": encryption}}))
}

fn product_fields(finding: &Finding) -> Value {
    let mut fields = vec![("decision", finding.status.as_str().to_owned()), ("version", VERSION.to_owned())];
    if let Some(row) = &finding.row {
        let error = row.outcome.error.as_ref().map(|failure| failure.code.clone());
        fields.extend([
            ("configured-key", row.configured_key.clone().unwrap_or_default()),
            ("rule", row.outcome.rule.clone().unwrap_or_default()),
            ("warnings", warning_codes(row)),
            ("error", error.unwrap_or_default()),
        ]);
    }
    let given = fields.into_iter().filter(|(_, value)| !value.is_empty());
    given.map(|(name, value)| (format!("{PRODUCT}/{name}"), Value::from(shortened(&value, FIELD)))).collect()
}

fn status_of(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "PASSED",
        Verdict::Warning => "WARNING",
        Verdict::Failed => "FAILED",
        Verdict::NotAvailable => "NOT_AVAILABLE",
    }
}

fn label_of(severity: Severity) -> &'static str {
    match severity {
        Severity::Informational => "INFORMATIONAL",
        Severity::Medium => "MEDIUM",
        Severity::High => "HIGH",
    }
}

/// At most `most` characters of a text, the last of which shows that it was cut.
fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fleet::Survey;
    use crate::cli::fleet::finding::findings;
    use crate::cli::fleet::posture::FleetReport;
    use crate::domain::mode::Mode;
    use crate::domain::outcome::{Outcome, Status};
    use crate::domain::stream::StreamRef;

    /// The batches of streams with these ARNs, all of which failed with `reason`.
    fn batches_of(arns: impl Iterator<Item = String>, reason: &str) -> Vec<Batch> {
        let rows = arns.map(|arn| {
            let stream: StreamRef = arn.parse().expect("a stream");
            let region = arn.split(':').nth(3).expect("a Region").to_owned();
            Row::new(&stream, Outcome::new(Some(arn), Status::Failed, reason.to_owned(), Mode::Enforce), &region)
        });
        let survey = Survey { rows: rows.collect(), ..Survey::default() };
        let report =
            FleetReport { made_at: DateTime::UNIX_EPOCH, survey, scopes: Vec::new(), changes: None, with_users: false };
        batches(&findings(&report), report.made_at)
    }

    #[test]
    fn a_batch_has_at_most_a_hundred_findings_of_one_account_and_region() {
        let places = [("aws", "us-east-1", "111122223333", 201), ("aws", "eu-west-1", "111122223333", 1)];
        let others = [("aws-cn", "cn-north-1", "444455556666", 100)];
        let arns = places.into_iter().chain(others).flat_map(|(partition, region, account, count)| {
            (0..count).map(move |index| format!("arn:{partition}:kinesis:{region}:{account}:stream/s{index}"))
        });
        let batches = batches_of(arns, "no");
        let shapes: Vec<_> =
            batches.iter().map(|batch| (batch.account.as_str(), batch.region.as_str(), batch.findings.len())).collect();
        assert_eq!(
            shapes,
            [
                ("111122223333", "eu-west-1", 1),
                ("111122223333", "us-east-1", 100),
                ("111122223333", "us-east-1", 100),
                ("111122223333", "us-east-1", 1),
                ("444455556666", "cn-north-1", 100),
            ]
        );
        for Batch { account, region, findings } in &batches {
            let partition = partition_of(region);
            for finding in findings {
                let product = format!("arn:{partition}:securityhub:{region}:{account}:product/{account}/default");
                assert_eq!((&finding["ProductArn"], &finding["AwsAccountId"]), (&json!(product), &json!(account)));
            }
        }
    }

    #[test]
    fn a_text_is_cut_at_its_limit_and_shows_it() {
        for (length, cut) in [(1023, false), (1024, false), (1025, true), (9000, true)] {
            let reason = "é".repeat(length);
            let arn = "arn:aws:kinesis:us-east-1:111122223333:stream/orders".to_owned();
            let findings = &batches_of(std::iter::once(arn), &reason)[0].findings;
            let description = findings[0]["Description"].as_str().expect("a text");
            assert_eq!((description.chars().count(), description.ends_with('…')), (length.min(1024), cut));
        }
    }
}
