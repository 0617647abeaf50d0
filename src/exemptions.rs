//! Which streams of a fleet a tag exempts, read all at once. It may only spare work: what is not found here is looked at like any other stream.

use std::collections::HashMap;

use chrono::NaiveDate;
use tokio::time::Instant;

use crate::aws::tagging::Tagging;
use crate::outcome::{Outcome, Status, Warning};
use crate::policy::{Exemption, exemption};
use crate::settings::Mode;
use crate::stream::StreamRef;

/// The exempt streams of an account and Region, by name.
#[derive(Debug, Default)]
pub struct Exemptions(HashMap<String, (String, Option<NaiveDate>)>);

impl Exemptions {
    /// Reads them. Where they cannot be read there are none, and every stream's own tags decide.
    pub async fn read(tagging: &Tagging, tag_key: Option<&str>, today: NaiveDate, now: Instant) -> Self {
        let Some(tag_key) = tag_key else { return Self::default() };
        match tagging.streams_with(tag_key, now).await {
            Ok(streams) => Self(
                streams
                    .into_iter()
                    .filter_map(|(arn, tags)| match exemption(&tags, tag_key, today) {
                        Exemption::Exempt { reason, until } => Some((arn.name().to_owned(), (reason, until))),
                        // Expired, malformed or not there: that is found out, and told, where the stream is looked at.
                        _ => None,
                    })
                    .collect(),
            ),
            Err(error) => {
                tracing::warn!(code = error.failure.code, error = %error.failure, "exempt streams could not be listed, each is looked at");
                Self::default()
            }
        }
    }

    /// The outcome of a stream that is exempt.
    #[must_use]
    pub fn outcome(&self, stream: &StreamRef, mode: Mode) -> Option<Outcome> {
        let (reason, until) = self.0.get(stream.name())?;
        let outcome = Outcome::new(Some(stream.to_string()), Status::Exempt, format!("exempt by tag: {reason}"), mode);
        Some(Outcome { warnings: until.is_none().then_some(Warning::ExemptionWithoutEnd).into_iter().collect(), ..outcome })
    }
}
