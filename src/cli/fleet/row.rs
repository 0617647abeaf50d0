//! One stream, as tables show it.

use serde::Serialize;

use crate::domain::outcome::{Outcome, Status};
use crate::domain::stream::StreamArn;

/// One stream, and what is to be said of it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    /// The stream's name, or what was asked for.
    pub(super) stream: String,
    pub(super) arn: Option<String>,
    pub(super) account: Option<String>,
    pub(super) region: String,
    /// `ACTIVE` and so on; unknown where the stream could not be looked at.
    pub(super) state: Option<String>,
    pub(super) capacity_mode: Option<String>,
    /// The key that it has, as it shows it.
    pub(super) present_key: Option<String>,
    /// The key that it is to have.
    pub(super) wanted_key: Option<String>,
    #[serde(skip)]
    pub(super) status: Status,
    /// The outcome, with everything in it.
    pub(super) outcome: Outcome,
}

impl Row {
    pub(super) fn new(outcome: Outcome, region: &str) -> Self {
        let arn = outcome.stream.as_deref().and_then(|stream| stream.parse::<StreamArn>().ok());
        let seen = outcome.seen.as_ref();
        Self {
            stream: arn
                .as_ref()
                .map_or_else(|| outcome.stream.clone().unwrap_or_default(), |arn| arn.name().to_owned()),
            account: arn.as_ref().map(|arn| arn.account().to_owned()),
            arn: arn.map(|arn| arn.to_string()),
            region: region.to_owned(),
            state: seen.map(|seen| seen.status.to_string()),
            capacity_mode: seen.and_then(|seen| seen.mode.as_ref()).map(|mode| mode.as_str().to_owned()),
            present_key: seen.and_then(|seen| seen.key_id.clone()),
            wanted_key: outcome.key.clone(),
            status: outcome.status,
            outcome,
        }
    }

    /// Whether its records are encrypted with a key that is right.
    pub(super) fn is_right(&self) -> bool {
        matches!(self.status, Status::Compliant | Status::Encrypted | Status::KeyAtRisk)
    }
}

/// A key in so few characters that it fits a table: an alias as it is, otherwise the beginning of
/// the key's id.
pub(super) fn short_key(key: Option<&str>) -> String {
    match key {
        None => "–".to_owned(),
        Some(key) if key.contains("alias/") => key.rsplit_once(':').map_or(key, |(_, alias)| alias).to_owned(),
        Some(key) => {
            let id = key.rsplit('/').next().unwrap_or(key);
            id.get(..8).map_or_else(|| id.to_owned(), |head| format!("{head}…"))
        }
    }
}
