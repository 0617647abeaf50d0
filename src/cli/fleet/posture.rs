//! The report in the formats that other programs read: JSON, CSV and ASFF.

use anyhow::Result;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::Survey;
use super::row::Row;
use crate::cli::visible::cell;
use crate::domain::outcome::Status;

/// The encryption of all selected streams at one time.
pub(super) struct FleetReport {
    pub(super) made_at: DateTime<Utc>,
    pub(super) survey: Survey,
}

pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

impl FleetReport {
    /// When the report was made, as an RFC 3339 text.
    pub(super) fn time(&self) -> String {
        self.made_at.to_rfc3339_opts(SecondsFormat::Secs, true)
    }

    pub(super) fn json(&self) -> Value {
        let encrypted = self.survey.rows.iter().filter(|row| row.is_encrypted_as_configured()).count();
        json!({
            "madeAt": self.time(),
            "version": VERSION,
            "total": self.survey.rows.len(),
            "right": encrypted,
            "streams": self.survey.rows,
            "keysAtRisk": self.survey.keys_at_risk,
            "failedRegions": self.survey.failed_regions,
        })
    }

    pub(super) fn csv(&self) -> Result<String> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record([
            "account",
            "region",
            "stream",
            "state",
            "capacityMode",
            "presentKey",
            "wantedKey",
            "decision",
            "rule",
            "reason",
            "warnings",
            "error",
            "arn",
            "madeAt",
        ])?;
        for row in &self.survey.rows {
            let text = |value: &Option<String>| value.clone().unwrap_or_default();
            let cells = [
                text(&row.account),
                row.region.clone(),
                row.stream.clone(),
                text(&row.state),
                text(&row.capacity_mode),
                text(&row.current_key),
                text(&row.configured_key),
                row.status.as_str().to_owned(),
                text(&row.outcome.rule),
                row.outcome.reason.clone(),
                warning_codes(row),
                row.outcome.error.as_ref().map(|failure| failure.code.clone()).unwrap_or_default(),
                row.arn.as_ref().map(ToString::to_string).unwrap_or_default(),
                self.time(),
            ];
            writer.write_record(cells.map(|text| cell(&text)))?;
        }
        for failed in &self.survey.failed_regions {
            let account = failed.account.as_deref().unwrap_or_default();
            let (region, error, time) = (failed.region.as_str(), failed.error.as_str(), &self.time());
            let cells = [account, region, "", "", "", "", "", Status::Failed.as_str(), "", error, "", "", "", time];
            writer.write_record(cells.map(cell))?;
        }
        Ok(String::from_utf8(writer.into_inner()?)?)
    }

    /// One finding per stream whose ARN is known, for `BatchImportFindings`.
    ///
    /// Source: [required top-level ASFF attributes][asff].
    ///
    /// [asff]: https://docs.aws.amazon.com/securityhub/latest/userguide/asff-required-attributes.html
    pub(super) fn asff(&self) -> Value {
        let described = self.survey.rows.iter().filter_map(|row| Some((row, row.arn.as_ref()?, row.account.as_ref()?)));
        let findings = described.map(|(row, arn, account)| {
            let (compliance, severity) = match row.status {
                Status::Compliant | Status::Encrypted => ("PASSED", "INFORMATIONAL"),
                Status::Exempt | Status::Gone | Status::Queued => ("NOT_AVAILABLE", "INFORMATIONAL"),
                Status::KeyAtRisk => ("WARNING", "HIGH"),
                Status::WouldEncrypt => ("FAILED", "MEDIUM"),
                Status::Deferred | Status::Contested | Status::Failed => ("FAILED", "HIGH"),
            };
            let partition = crate::domain::arn::partition_of(&row.region);
            let mut finding = json!({
                "SchemaVersion": "2018-10-08",
                "Id": format!("kinesis-encryption-enforcer/{arn}"),
                "ProductArn": format!("arn:{partition}:securityhub:{}:{account}:product/{account}/default", row.region),
                "GeneratorId": "kinesis-encryption-enforcer",
                "AwsAccountId": account,
                "Types": ["Software and Configuration Checks/AWS Security Best Practices"],
                "CreatedAt": self.time(),
                "UpdatedAt": self.time(),
                "Severity": {"Label": severity},
                "Title": "Kinesis data streams should be encrypted with the configured KMS key",
                "Description": shortened(&row.outcome.reason),
                "Resources": [{"Type": "AwsKinesisStream", "Id": arn, "Partition": partition, "Region": row.region}],
                "Compliance": {"Status": compliance},
                "ProductFields": {
                    "kinesis-encryption-enforcer/decision": row.status.as_str(),
                    "kinesis-encryption-enforcer/version": VERSION,
                },
            });
            if !row.outcome.warnings.is_empty() {
                finding["ProductFields"]["kinesis-encryption-enforcer/warnings"] = warning_codes(row).into();
            }
            if let Some(failure) = &row.outcome.error {
                finding["Remediation"] = json!({"Recommendation": {"Text": shortened(&failure.remedy)}});
            }
            finding
        });
        Value::Array(findings.collect())
    }
}

/// The codes of a stream's warnings, separated by spaces.
fn warning_codes(row: &Row) -> String {
    let warnings = serde_json::to_value(&row.outcome.warnings).unwrap_or_default();
    let codes = warnings.as_array().into_iter().flatten().filter_map(|warning| warning["code"].as_str());
    codes.collect::<Vec<_>>().join(" ")
}

/// At most 512 characters of a text: the limit of `Recommendation.Text`, below that of
/// `Description`.
///
/// Source: <https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_Recommendation.html>.
fn shortened(text: &str) -> String {
    text.chars().take(512).collect()
}
