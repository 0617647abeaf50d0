//! A report as findings: what ASFF and OCSF say in different words.

use chrono::{DateTime, Utc};

use super::posture::{FleetReport, warning_texts};
use super::row::Row;
use crate::domain::outcome::Status;
use crate::domain::stream::StreamArn;

/// What every finding is about.
pub(super) const TITLE: &str = "Kinesis data streams should be encrypted with the configured KMS key";
/// The program, as the producer of findings.
pub(super) const PRODUCT: &str = "kinesis-encryption-enforcer";

/// A finding about one stream, with every text visible.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) arn: StreamArn,
    pub(super) status: Status,
    pub(super) verdict: Verdict,
    pub(super) severity: Severity,
    /// The reason, then the warnings.
    pub(super) texts: Vec<String>,
    pub(super) remedy: Option<String>,
    pub(super) first_reported_at: DateTime<Utc>,
    pub(super) last_reported_at: DateTime<Utc>,
    /// Whether the finding was in no earlier report.
    pub(super) is_new: bool,
    /// The stream's row; `None` for a stream of an earlier report that no longer exists.
    pub(super) row: Option<Row>,
}

/// Whether the stream is compliant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Passed,
    Warning,
    Failed,
    /// It is exempt, or it is not known.
    NotAvailable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    Informational,
    Medium,
    High,
}

impl Finding {
    /// The same in every report about the stream.
    pub(super) fn id(&self) -> String {
        format!("{PRODUCT}/{}", self.arn)
    }

    /// Whether the stream no longer exists.
    pub(super) fn is_gone(&self) -> bool {
        self.status == Status::Gone
    }
}

/// One finding per stream whose ARN is known, and one per stream of the earlier report that is
/// gone.
pub(super) fn findings(report: &FleetReport) -> Vec<Finding> {
    let rows = report.survey.visible().rows;
    let present = rows.into_iter().filter_map(|row| {
        let (verdict, severity) = judged(&row);
        let arn = row.arn.clone()?;
        let remedy = match &row.outcome.error {
            Some(failure) => Some(failure.remedy.clone()),
            None if verdict == Verdict::Failed => {
                Some(format!("Encrypt the stream with the configured key, for example with: enforcer apply {arn}"))
            }
            None => None,
        };
        Some(Finding {
            status: row.status,
            verdict,
            severity,
            texts: [vec![row.outcome.reason.clone()], warning_texts(&row)].concat(),
            remedy,
            first_reported_at: report.first_reported(&row),
            last_reported_at: report.made_at,
            is_new: report.changes.as_ref().is_none_or(|changes| changes.first_reported(&row).is_none()),
            arn,
            row: Some(row),
        })
    });
    let gone = report.changes.iter().flat_map(|changes| {
        changes.gone().map(|gone| Finding {
            arn: gone.arn.clone(),
            status: Status::Gone,
            verdict: Verdict::NotAvailable,
            severity: Severity::Informational,
            texts: vec!["the stream no longer exists".to_owned()],
            remedy: None,
            first_reported_at: gone.first_reported_at,
            last_reported_at: changes.since,
            is_new: false,
            row: None,
        })
    });
    present.chain(gone).collect()
}

/// The verdict about a stream, and its severity. What is not known is not available, rather than
/// failed: a stream that could not be described, or that AWS is still changing.
fn judged(row: &Row) -> (Verdict, Severity) {
    match row.status {
        Status::Compliant | Status::Encrypted => (Verdict::Passed, Severity::Informational),
        Status::Exempt | Status::Gone | Status::Queued => (Verdict::NotAvailable, Severity::Informational),
        Status::Failed if row.state.is_none() => (Verdict::NotAvailable, Severity::Medium),
        Status::Deferred if row.state.as_deref() != Some("ACTIVE") => (Verdict::NotAvailable, Severity::Informational),
        Status::AccessDenied | Status::KeyAtRisk => (Verdict::Warning, Severity::High),
        Status::WouldEncrypt | Status::Deferred => (Verdict::Failed, Severity::Medium),
        Status::Contested | Status::Failed => (Verdict::Failed, Severity::High),
    }
}
