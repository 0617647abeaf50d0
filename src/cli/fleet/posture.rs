//! The fleet's posture, in the forms that other programs read.

use anyhow::Result;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::row::Row;
use crate::domain::outcome::Status;

/// What a report is made of.
pub(super) struct Report {
    pub(super) made_at: DateTime<Utc>,
    pub(super) rows: Vec<Row>,
}

pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

impl Report {
    pub(super) fn time(&self) -> String {
        self.made_at.to_rfc3339_opts(SecondsFormat::Secs, true)
    }

    pub(super) fn json(&self) -> Value {
        let right = self.rows.iter().filter(|row| row.is_right()).count();
        json!({"madeAt": self.time(), "version": VERSION, "total": self.rows.len(), "right": right, "streams": self.rows})
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
        for row in &self.rows {
            let text = |value: &Option<String>| value.clone().unwrap_or_default();
            let warnings = serde_json::to_value(&row.outcome.warnings)?;
            let codes: Vec<_> =
                warnings.as_array().into_iter().flatten().filter_map(|warning| warning["code"].as_str()).collect();
            writer.write_record([
                text(&row.account),
                row.region.clone(),
                row.stream.clone(),
                text(&row.state),
                text(&row.capacity_mode),
                text(&row.present_key),
                text(&row.wanted_key),
                row.status.as_str().to_owned(),
                text(&row.outcome.rule),
                row.outcome.reason.clone(),
                codes.join(" "),
                row.outcome.error.as_ref().map(|failure| failure.code.clone()).unwrap_or_default(),
                text(&row.arn),
                self.time(),
            ])?;
        }
        Ok(String::from_utf8(writer.into_inner()?)?)
    }

    /// Source: [required top-level ASFF attributes][asff].
    ///
    /// [asff]: https://docs.aws.amazon.com/securityhub/latest/userguide/asff-required-attributes.html
    pub(super) fn asff(&self) -> Value {
        let known = self.rows.iter().filter_map(|row| Some((row, row.arn.as_ref()?, row.account.as_ref()?)));
        let findings = known.map(|(row, arn, account)| {
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
                "Title": "Kinesis data streams are to be encrypted with the configured KMS key",
                "Description": shortened(&row.outcome.reason),
                "Resources": [{"Type": "AwsKinesisStream", "Id": arn, "Partition": partition, "Region": row.region}],
                "Compliance": {"Status": compliance},
                "ProductFields": {
                    "kinesis-encryption-enforcer/decision": row.status.as_str(),
                    "kinesis-encryption-enforcer/version": VERSION,
                },
            });
            if let Some(failure) = &row.outcome.error {
                finding["Remediation"] = json!({"Recommendation": {"Text": shortened(&failure.remedy)}});
            }
            finding
        });
        Value::Array(findings.collect())
    }
}

/// Texts of the format have at most 512 characters.
fn shortened(text: &str) -> String {
    text.chars().take(512).collect()
}
