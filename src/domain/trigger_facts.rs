//! What a trigger says beyond where to look. It travels in work items, so that whatever process
//! works on the stream later knows it too. It may delay what happens to a stream, or ask for a
//! fresh look; it never decides.

use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::encryption_change::ForeignChange;
use super::grace::GraceState;
use super::key::{AliasName, KeyArn};
use super::wait::WaitState;

/// The facts that a trigger brings along, as a work item carries them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriggerFacts {
    /// How far the grace period of the stream's creator has come.
    #[serde(rename = "hint", default, deserialize_with = "null_as_default")]
    pub grace: GraceState,
    /// The alias that was re-pointed. What a stream that stores its key by this alias is really
    /// encrypted with is not documented.
    #[serde(rename = "alias", default, skip_serializing_if = "Option::is_none", with = "as_text")]
    pub repointed_alias: Option<AliasName>,
    /// The key that was rotated. Streams that are to have another key are not concerned.
    #[serde(rename = "rotated", default, skip_serializing_if = "Option::is_none", with = "as_text")]
    pub rotated_key: Option<KeyArn>,
    /// The change of the stream's encryption that another principal made.
    #[serde(rename = "suspicion", default, skip_serializing_if = "Option::is_none")]
    pub foreign_change: Option<ForeignChange>,
    /// How long the stream has waited in the work queue.
    #[serde(default, skip_serializing_if = "WaitState::is_none", deserialize_with = "null_as_default")]
    pub wait: WaitState,
}

impl TriggerFacts {
    /// The last change of the stream `name` by another principal: what the trigger says, or else what a sweep found in
    /// the history.
    #[must_use]
    pub fn foreign_change_of<'a>(
        &'a self,
        name: &str,
        from_history: Option<&'a HashMap<String, ForeignChange>>,
    ) -> Option<&'a ForeignChange> {
        self.foreign_change.as_ref().or_else(|| from_history?.get(name))
    }
}

fn null_as_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// An optional value as its text. A text that is no such value counts as absent: the stream is
/// looked at all the same.
mod as_text {
    use super::{Deserialize, Deserializer, Display, FromStr, Serializer};

    #[expect(clippy::ref_option, reason = "serde hands the field over like this")]
    pub(super) fn serialize<T: Display, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        Ok(text.and_then(|text| text.parse().ok()))
    }
}
