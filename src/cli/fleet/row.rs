//! One stream, as a row of a plan or a report.

use serde::Serialize;

use super::answer::StreamAccess;
use crate::cli::remedy::for_person;
use crate::cli::visible::visible;
use crate::domain::failure::{Failure, Kind};
use crate::domain::mode::Mode;
use crate::domain::outcome::{Outcome, Status};
use crate::domain::stream::{StreamArn, StreamRef};

/// One stream, with its current and its configured key.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    /// The stream's name.
    pub(super) stream: String,
    /// `None` for a stream that was named and could not be described.
    pub(super) arn: Option<StreamArn>,
    pub(super) account: Option<String>,
    pub(super) region: String,
    /// The stream's status, such as `ACTIVE`; `None` if it could not be described.
    pub(super) state: Option<String>,
    pub(super) capacity_mode: Option<String>,
    /// The key that the stream uses, as `DescribeStreamSummary` shows it; `None` if it is not
    /// encrypted.
    #[serde(rename = "presentKey")]
    pub(super) current_key: Option<String>,
    /// The key that the settings or the policy require.
    #[serde(rename = "wantedKey")]
    pub(super) configured_key: Option<String>,
    #[serde(skip)]
    pub(super) status: Status,
    pub(super) outcome: Outcome,
    /// The stream's users, if they were asked for.
    #[serde(rename = "users", skip_serializing_if = "Option::is_none", serialize_with = "users_only")]
    pub(super) access: Option<StreamAccess>,
    /// Whether the rule that decides has `requireAccess`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) require_access: bool,
}

impl Row {
    /// The row of `stream`, which was reconciled with `outcome`.
    pub(super) fn new(stream: &StreamRef, outcome: Outcome, region: &str) -> Self {
        let description = outcome.seen.as_ref();
        let arn = match (stream, description) {
            (_, Some(description)) => Some(description.arn.clone()),
            (StreamRef::Arn(arn), None) => Some(arn.clone()),
            (StreamRef::Name(_), None) => None,
        };
        Self {
            stream: stream.name().to_owned(),
            account: arn.as_ref().map(|arn| arn.account().to_owned()),
            arn,
            region: region.to_owned(),
            state: description.map(|description| description.status.to_string()),
            capacity_mode: description
                .and_then(|description| description.mode.as_ref())
                .map(|mode| mode.as_str().to_owned()),
            current_key: description.and_then(|description| description.key_id.clone()),
            configured_key: outcome.key.clone(),
            status: outcome.status,
            outcome,
            access: None,
            require_access: false,
        }
    }

    /// The row with every text in it visible.
    pub(super) fn visible(&self) -> Self {
        let shown = |text: &Option<String>| text.as_deref().map(visible);
        Self {
            stream: visible(&self.stream),
            arn: self.arn.clone(),
            account: shown(&self.account),
            region: visible(&self.region),
            state: shown(&self.state),
            capacity_mode: shown(&self.capacity_mode),
            current_key: shown(&self.current_key),
            configured_key: shown(&self.configured_key),
            status: self.status,
            outcome: visible_outcome(&self.outcome),
            // Its texts are made visible where they are put in words.
            access: self.access.clone(),
            require_access: self.require_access,
        }
    }

    /// Whether the stream was named and does not exist.
    pub(super) fn does_not_exist(&self) -> bool {
        let failure = self.outcome.error.as_ref();
        self.state.is_none() && failure.is_some_and(|failure| failure.kind() == Kind::StreamNotFound)
    }

    /// Whether a known user may not use the key that the stream is to have; `false` if nobody asked.
    pub(super) fn has_users_without_access(&self) -> bool {
        self.access.as_ref().is_some_and(StreamAccess::has_users_without_access)
    }

    /// Whether `apply` would change the stream, as far as its settings and its policy go.
    pub(super) fn is_to_change(&self) -> bool {
        self.status == Status::WouldEncrypt && self.outcome.mode == Mode::Enforce
    }

    /// Whether only audit mode keeps `apply` from changing the stream.
    pub(super) fn is_in_audit_mode(&self) -> bool {
        self.status == Status::WouldEncrypt && self.outcome.mode == Mode::Audit
    }

    /// Why `requireAccess` makes `apply` leave the stream alone; `None` if it does not. Before the
    /// users were asked for, nothing is certain.
    pub(super) fn held_back_by_rule(&self) -> Option<String> {
        if !self.require_access {
            return None;
        }
        match &self.access {
            Some(access) => access.uncertainty(),
            None => Some("its users were not read".to_owned()),
        }
    }

    /// Whether the stream is encrypted as the settings and the policy require, even if its key is
    /// at risk.
    pub(super) fn is_encrypted_as_configured(&self) -> bool {
        self.status.is_encrypted_as_configured()
    }
}

#[expect(clippy::ref_option, reason = "the signature is serde's")]
fn users_only<S: serde::Serializer>(access: &Option<StreamAccess>, serializer: S) -> Result<S::Ok, S::Error> {
    access.as_ref().map(|access| &access.users).serialize(serializer)
}

/// The outcome with every text visible. A warning's texts are made visible where it is put in
/// words.
pub(super) fn visible_outcome(outcome: &Outcome) -> Outcome {
    let shown = |text: &Option<String>| text.as_deref().map(visible);
    let error = outcome.error.as_ref().map(|failure| Failure {
        code: visible(&failure.code),
        message: visible(&failure.message),
        remedy: for_person(&visible(&failure.remedy)),
        ..failure.clone()
    });
    Outcome {
        stream: shown(&outcome.stream),
        reason: visible(&outcome.reason),
        rule: shown(&outcome.rule),
        key: shown(&outcome.key),
        error,
        ..outcome.clone()
    }
}

/// A key in few characters: an alias as it is, otherwise the first characters of the key ID.
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
