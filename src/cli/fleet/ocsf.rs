//! The report as events of the [Open Cybersecurity Schema Framework][ocsf], class Compliance
//! Finding, with the cloud profile.
//!
//! [ocsf]: https://schema.ocsf.io/1.6.0/classes/compliance_finding?profiles=cloud

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::finding::{Finding, PRODUCT, Severity, TITLE, Verdict};
use super::posture::VERSION;
use crate::domain::arn::partition_of;

/// The version of the schema.
const SCHEMA: &str = "1.6.0";
/// The category Findings.
const CATEGORY: u32 = 2;
/// The class Compliance Finding.
const CLASS: u32 = 2003;

/// One event per finding; `now` is when the report was made.
pub(super) fn events(findings: &[Finding], now: DateTime<Utc>) -> Value {
    findings.iter().map(|finding| event(finding, now)).collect()
}

fn event(finding: &Finding, now: DateTime<Utc>) -> Value {
    let (account, region) = (finding.arn.account(), finding.arn.region());
    let partition = partition_of(region);
    let (activity, activity_name) = match (finding.is_gone(), finding.is_new) {
        (true, _) => (3, "Close"),
        (false, true) => (1, "Create"),
        (false, false) => (2, "Update"),
    };
    // Where a person is in their investigation is not known here.
    let (status, status_name) = match finding.verdict {
        _ if finding.is_gone() => (5, "Archived"),
        Verdict::Passed => (4, "Resolved"),
        Verdict::Warning | Verdict::Failed | Verdict::NotAvailable => (1, "New"),
    };
    let (compliance, compliance_name) = match finding.verdict {
        Verdict::Passed => (1, "Pass"),
        Verdict::Warning => (2, "Warning"),
        Verdict::Failed => (3, "Fail"),
        Verdict::NotAvailable => (0, "Unknown"),
    };
    let (severity, severity_name) = match finding.severity {
        Severity::Informational => (1, "Informational"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
    };
    let reason = finding.texts.first().map(String::as_str).unwrap_or_default();
    let mut event = json!({
        "activity_id": activity,
        "activity_name": activity_name,
        "category_uid": CATEGORY,
        "category_name": "Findings",
        "class_uid": CLASS,
        "class_name": "Compliance Finding",
        "type_uid": CLASS * 100 + activity,
        "type_name": format!("Compliance Finding: {activity_name}"),
        "time": now.timestamp_millis(),
        "severity_id": severity,
        "severity": severity_name,
        "status_id": status,
        "status": status_name,
        "message": format!("{}: {reason}", finding.arn.name()),
        "metadata": {
            "version": SCHEMA,
            "profiles": ["cloud"],
            "event_code": finding.status.as_str(),
            "product": {"name": PRODUCT, "vendor_name": PRODUCT, "version": VERSION},
        },
        "cloud": {
            "provider": "AWS",
            "region": region,
            "cloud_partition": partition,
            "account": {"uid": account, "type": "AWS Account", "type_id": 10},
        },
        "finding_info": {
            "uid": finding.id(),
            "title": TITLE,
            "desc": reason,
            "types": ["Software and Configuration Checks/AWS Security Best Practices"],
            "created_time": finding.first_reported_at.timestamp_millis(),
            "first_seen_time": finding.first_reported_at.timestamp_millis(),
            "last_seen_time": finding.last_reported_at.timestamp_millis(),
            "modified_time": now.timestamp_millis(),
        },
        "compliance": {
            "control": TITLE,
            "status_id": compliance,
            "status": compliance_name,
            "status_code": finding.status.as_str(),
            "status_details": finding.texts,
        },
        "resources": [{
            "uid": finding.arn,
            "name": finding.arn.name(),
            "type": "AWS::Kinesis::Stream",
            "region": region,
            "cloud_partition": partition,
        }],
    });
    if let Some(remedy) = &finding.remedy {
        event["remediation"] = json!({"desc": remedy});
    }
    event
}
