//! The report as JSON and CSV, and what all of its formats have in common.

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::Survey;
use super::answer::{Counts, StreamAccess};
use super::row::Row;
use super::scope::Scope;
use super::since::Changes;
use crate::cli::paint::{rfc3339, warning_text};
use crate::cli::visible::cell;
use crate::domain::outcome::Status;

/// The encryption of all selected streams at one time.
pub(super) struct FleetReport {
    pub(super) made_at: DateTime<Utc>,
    pub(super) survey: Survey,
    /// What the survey covers.
    pub(super) scopes: Vec<Scope>,
    /// What changed since an earlier report, if one was given.
    pub(super) changes: Option<Changes>,
    /// Whether the streams' users were asked for.
    pub(super) with_users: bool,
}

pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

impl FleetReport {
    /// When the report was made, as an RFC 3339 text.
    pub(super) fn time(&self) -> String {
        rfc3339(self.made_at)
    }

    /// When the stream of `row` was first in a report, as far as the earlier report knows.
    pub(super) fn first_reported(&self, row: &Row) -> DateTime<Utc> {
        self.changes.as_ref().and_then(|changes| changes.first_reported(row)).unwrap_or(self.made_at)
    }

    pub(super) fn json(&self) -> Value {
        let encrypted = self.survey.rows.iter().filter(|row| row.is_encrypted_as_configured()).count();
        let streams = self.survey.rows.iter().map(|row| {
            let mut stream = serde_json::to_value(row).unwrap_or_default();
            stream["firstReportedAt"] = rfc3339(self.first_reported(row)).into();
            stream
        });
        let mut report = json!({
            "madeAt": self.time(),
            "version": VERSION,
            "total": self.survey.rows.len(),
            "right": encrypted,
            "scope": self.scopes,
            "streams": streams.collect::<Vec<_>>(),
            "keysAtRisk": self.survey.keys_at_risk,
            "failedRegions": self.survey.failed_regions,
        });
        if self.with_users {
            report["notRead"] = json!(self.survey.not_read);
        }
        if let Some(changes) = &self.changes {
            report["since"] = changes.json();
        }
        report
    }

    pub(super) fn csv(&self) -> Result<String> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let has_changes = self.changes.is_some();
        let mut head = vec![
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
        ];
        let of_users: &[&str] = if self.with_users { &OF_USERS } else { &[] };
        head.extend(of_users);
        head.extend(has_changes.then_some("change"));
        writer.write_record(head)?;
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
            let change = self.changes.as_ref().and_then(|changes| changes.of(row));
            let change = has_changes.then(|| change.map(|change| change.kind.text().to_owned()).unwrap_or_default());
            let users = match &row.access {
                _ if !self.with_users => Vec::new(),
                Some(access) => users(access).to_vec(),
                None => vec![String::new(); OF_USERS.len()],
            };
            writer.write_record(cells.into_iter().chain(users).chain(change).map(|text| cell(&text)))?;
        }
        for gone in self.changes.iter().flat_map(|changes| &changes.list).filter(|change| change.after.is_none()) {
            let arn = gone.arn.as_ref().map(ToString::to_string).unwrap_or_default();
            let (account, time) = (gone.account.as_deref().unwrap_or_default(), &self.time());
            let cells = [
                account,
                &gone.region,
                &gone.stream,
                "",
                "",
                "",
                "",
                Status::Gone.as_str(),
                "",
                "",
                "",
                "",
                &arn,
                time,
            ];
            let users = of_users.iter().map(|_| "");
            writer.write_record(cells.into_iter().chain(users).chain([gone.kind.text()]).map(cell))?;
        }
        for failed in &self.survey.failed_regions {
            let account = failed.account.as_deref().unwrap_or_default();
            let (region, error, time) = (failed.region.as_str(), failed.error.as_str(), &self.time());
            let cells = [account, region, "", "", "", "", "", Status::Failed.as_str(), "", error, "", "", "", time];
            let others = of_users.iter().map(|_| "").chain(has_changes.then_some(""));
            writer.write_record(cells.into_iter().chain(others).map(cell))?;
        }
        Ok(String::from_utf8(writer.into_inner()?)?)
    }
}

/// The columns about the users of a stream: who may not use the key, and the number of each answer.
const OF_USERS: [&str; 5] = ["withoutAccess", "usersNo", "usersUnknown", "usersGone", "usersYes"];

fn users(access: &StreamAccess) -> [String; 5] {
    let Counts { no, unknown, gone, yes } = Counts::of(&access.users);
    let [no, unknown, gone, yes] = [no, unknown, gone, yes].map(|count| count.to_string());
    [access.without_access().join(" "), no, unknown, gone, yes]
}

/// The codes of a stream's warnings, separated by spaces.
pub(super) fn warning_codes(row: &Row) -> String {
    let warnings = serde_json::to_value(&row.outcome.warnings).unwrap_or_default();
    let codes = warnings.as_array().into_iter().flatten().filter_map(|warning| warning["code"].as_str());
    codes.collect::<Vec<_>>().join(" ")
}

/// The warnings of a stream, as sentences.
pub(super) fn warning_texts(row: &Row) -> Vec<String> {
    let warnings = row.outcome.warnings.iter();
    warnings.map(|warning| warning_text(&serde_json::to_value(warning).unwrap_or_default())).collect()
}
