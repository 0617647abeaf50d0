//! Imported key material that is about to expire. Pure.
//!
//! KMS sends an event only when the material *has* expired and was deleted. `DescribeKey` shows the
//! time before: `ValidTo` of [KeyMetadata].
//!
//! [KeyMetadata]: https://docs.aws.amazon.com/kms/latest/APIReference/API_KeyMetadata.html

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::domain::key::KeyFacts;

/// How long before imported key material expires the key is reported as at risk.
///
/// Whoever imports material gets it from an HSM or a vault, often with two people and an approved
/// change. Two weeks are enough for that, and for somebody's holidays.
pub const NOTICE: TimeDelta = TimeDelta::days(14);

/// Why the key is at risk, if imported material of it expires within [`NOTICE`]. It can still be
/// used.
#[must_use]
pub fn about_to_expire(key: &KeyFacts, now: DateTime<Utc>) -> Option<String> {
    let expires = key.expires.filter(|expires| *expires - now <= NOTICE)?;
    Some(format!(
        "the imported key material of {} expires at {}; KMS then deletes it, and the streams that have the key can be \
         neither written nor read: import the material again with a later expiration date, or with none",
        key.arn,
        expires.to_rfc3339_opts(SecondsFormat::Secs, true)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::key::Readiness;

    #[test]
    fn a_key_is_at_risk_from_two_weeks_before_its_material_expires() {
        let now: DateTime<Utc> = "2026-11-24T12:00:00Z".parse().expect("a time");
        let key = |expires| KeyFacts {
            arn: "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab".parse().expect("an ARN"),
            readiness: Readiness::Enabled,
            encrypts: true,
            symmetric: true,
            of_customer: true,
            store: None,
            expires,
        };
        for (expires, at_risk) in [
            (None, false),
            (Some(now + NOTICE + TimeDelta::seconds(1)), false),
            (Some(now + NOTICE), true),
            (Some(now + TimeDelta::hours(1)), true),
            // KMS may show for a while that a key is Enabled whose material has expired.
            (Some(now - TimeDelta::hours(1)), true),
        ] {
            let reason = about_to_expire(&key(expires), now);
            assert_eq!(reason.is_some(), at_risk, "{expires:?}");
        }
        let reason = about_to_expire(&key(Some(now)), now).expect("a reason");
        assert!(reason.contains("12ab-34cd-56ef-1234567890ab expires at 2026-11-24T12:00:00Z"), "{reason}");
    }
}
