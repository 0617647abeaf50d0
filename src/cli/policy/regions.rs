//! The Regions of AWS that this version knows, and how their names are misspelled.

use wildmatch::WildMatch;

use crate::cli::input;

/// The Regions of all partitions. AWS adds some each year, so one that is not here may be new.
///
/// Source: [`partitions.json` of the AWS SDKs][sdk], August 2026.
///
/// [sdk]: https://github.com/boto/botocore/blob/develop/botocore/data/partitions.json
const KNOWN: [&str; 46] = [
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-isoe-west-1",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "eusc-de-east-1",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-iso-east-1",
    "us-iso-west-1",
    "us-isob-east-1",
    "us-isob-west-1",
    "us-isof-east-1",
    "us-isof-south-1",
    "us-west-1",
    "us-west-2",
];

/// What a text is that stands where a Region is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// A Region.
    Known,
    /// It has the form of a Region's name. It may be new, or misspelled.
    Unknown,
    /// An availability zone of this Region.
    Zone(String),
    /// It does not have the form of a Region's name; the Region that was probably meant.
    Malformed(Option<String>),
}

/// What `text` is, where a Region is meant.
pub(super) fn named(text: &str) -> Named {
    if KNOWN.contains(&text) {
        return Named::Known;
    }
    let region = input::region(text);
    if region.is_ok() {
        return Named::Unknown;
    }
    // A zone is named after its Region: `us-east-1a`, or `us-east-1-bos-1a` for a local zone.
    let zone = KNOWN.iter().find(|region| {
        text.strip_prefix(**region)
            .is_some_and(|rest| rest.starts_with(|next: char| next == '-' || next.is_alphabetic()))
    });
    if let Some(region) = zone {
        return Named::Zone((*region).to_owned());
    }
    let without_hyphens = text.replace('-', "");
    Named::Malformed(KNOWN.iter().find(|region| region.replace('-', "") == without_hyphens).map(ToString::to_string))
}

/// The known Regions that the pattern `text` would match.
pub(super) fn matched(text: &str) -> Vec<&'static str> {
    let pattern = WildMatch::new(text);
    KNOWN.into_iter().filter(|region| pattern.matches(region)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_every_name_has_the_form_of_a_region() {
        assert!(KNOWN.is_sorted());
        assert!(KNOWN.iter().all(|name| input::region(name).is_ok()));
    }

    #[test]
    fn what_is_not_a_region_is_named() {
        let zone = |region: &str| Named::Zone(region.to_owned());
        for (text, expected) in [
            ("us-east-1", Named::Known),
            ("us-east-9", Named::Unknown),
            ("us-esat-1", Named::Unknown),
            ("us-east-1a", zone("us-east-1")),
            ("us-gov-west-1b", zone("us-gov-west-1")),
            ("us-east-1-bos-1a", zone("us-east-1")),
            ("eu-west1", Named::Malformed(Some("eu-west-1".to_owned()))),
            ("eu-1", Named::Malformed(None)),
            ("use1-az1", Named::Malformed(None)),
        ] {
            assert_eq!(named(text), expected, "{text}");
        }
    }
}
