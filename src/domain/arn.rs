//! The parts of an [Amazon Resource Name][arn], `arn:partition:service:region:account-id:resource`,
//! and the partition that a Region belongs to.
//!
//! [arn]: https://docs.aws.amazon.com/general/latest/gr/aws-arns-and-namespaces.html

use thiserror::Error;

/// Why a text is not the ARN, name or key identifier that was expected.
///
/// The message repeats what was found and says what is expected.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{found:?} is not {expected}")]
pub struct Malformed {
    /// The text, at most 256 characters of it.
    pub found: String,
    /// What is expected, in words: `a stream name: …`.
    pub expected: &'static str,
}

impl Malformed {
    /// `found` in place of what is `expected`.
    #[must_use]
    pub fn new(found: &str, expected: &'static str) -> Self {
        // An identifier is short; a longer text would only fill the log.
        let found = found.chars().take(256).collect();
        Self { found, expected }
    }
}

/// The parts of an ARN, borrowed from its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arn<'a> {
    pub(crate) partition: &'a str,
    pub(crate) service: &'a str,
    pub(crate) region: &'a str,
    pub(crate) account: &'a str,
    pub(crate) resource: &'a str,
}

impl<'a> Arn<'a> {
    /// Splits `text` if it is the ARN of a Regional resource.
    pub(crate) fn split(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        if parts.next() != Some("arn") {
            return None;
        }
        let arn = Self {
            partition: parts.next()?,
            service: parts.next()?,
            region: parts.next()?,
            account: parts.next()?,
            resource: parts.next()?,
        };
        let sound = is_partition(arn.partition) && is_region(arn.region) && is_account(arn.account);
        sound.then_some(arn)
    }
}

/// Whether `text` is an account id: twelve decimal digits.
#[must_use]
pub fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether `text` has the form of a Region's code, such as `us-east-1`. Whether that Region exists
/// is not checked: AWS adds Regions.
#[must_use]
pub fn is_region(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.contains('-') && text.len() <= 32 && text.bytes().all(plain)
}

fn is_partition(text: &str) -> bool {
    text.starts_with("aws") && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}

/// The partition that `region` belongs to, by the prefixes in [`partitions.json` of the AWS
/// SDKs][sdk].
///
/// [sdk]: https://github.com/boto/botocore/blob/develop/botocore/data/partitions.json
#[must_use]
pub fn partition_of(region: &str) -> &'static str {
    const PREFIXES: [(&str, &str); 7] = [
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-isob-", "aws-iso-b"),
        ("us-isof-", "aws-iso-f"),
        ("eu-isoe-", "aws-iso-e"),
        ("us-iso-", "aws-iso"),
        ("eusc-", "aws-eusc"),
    ];
    PREFIXES.iter().find(|(prefix, _)| region.starts_with(prefix)).map_or("aws", |(_, partition)| partition)
}

/// Defines the ARN type of one kind of resource: checked part by part when it is parsed, compared,
/// displayed and serialized as its text.
///
/// `resource` is the prefix of the resource part, and `id` the type of what follows it.
macro_rules! resource_arn {
    (
        $(#[$attribute:meta])*
        pub struct $name:ident {
            service: $service:literal,
            resource: $resource:literal,
            id: $id:ty,
            expected: $expected:literal,
        }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// What [`FromStr`](std::str::FromStr) accepts, in words.
            pub const EXPECTED: &'static str = $expected;

            /// The ARN of `id` in `region` of `account`; the partition follows from the Region.
            pub fn build(region: &str, account: &str, id: &$id) -> Result<Self, $crate::domain::arn::Malformed> {
                let prefix = $crate::domain::arn::prefix($service, region, account)?;
                Ok(Self(format!("{prefix}{}{id}", $resource)))
            }

            /// The whole ARN.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The partition, such as `aws` or `aws-cn`.
            #[must_use]
            pub fn partition(&self) -> &str {
                self.part(1)
            }

            /// The Region that the resource is in.
            #[must_use]
            pub fn region(&self) -> &str {
                self.part(3)
            }

            /// The account that owns the resource, 12 digits.
            #[must_use]
            pub fn account(&self) -> &str {
                self.part(4)
            }

            fn resource_id(&self) -> &str {
                self.part(5).strip_prefix($resource).unwrap_or_default()
            }

            fn part(&self, index: usize) -> &str {
                self.0.splitn(6, ':').nth(index).unwrap_or_default()
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::domain::arn::Malformed;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let arn = $crate::domain::arn::Arn::split(text).filter(|arn| arn.service == $service);
                let id = arn.and_then(|arn| arn.resource.strip_prefix($resource));
                match id.map(str::parse::<$id>) {
                    Some(Ok(_)) => Ok(Self(text.to_owned())),
                    Some(Err(_)) | None => Err(Self::Err::new(text, Self::EXPECTED)),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}

pub(crate) use resource_arn;

/// An ARN up to its resource part, `arn:aws:kinesis:us-east-1:111122223333:`.
pub(crate) fn prefix(service: &str, region: &str, account: &str) -> Result<String, Malformed> {
    if !is_region(region) {
        return Err(Malformed::new(region, "a Region, such as us-east-1"));
    }
    if !is_account(account) {
        return Err(Malformed::new(account, "an account of 12 digits"));
    }
    Ok(format!("arn:{}:{service}:{region}:{account}:", partition_of(region)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_is_found_by_its_regions() {
        for (region, partition) in [
            ("us-east-1", "aws"),
            ("eu-central-2", "aws"),
            ("cn-north-1", "aws-cn"),
            ("us-gov-west-1", "aws-us-gov"),
            ("us-iso-east-1", "aws-iso"),
            ("us-isob-east-1", "aws-iso-b"),
            ("eu-isoe-west-1", "aws-iso-e"),
            ("us-isof-south-1", "aws-iso-f"),
            ("eusc-de-east-1", "aws-eusc"),
        ] {
            assert_eq!(partition_of(region), partition, "{region}");
        }
    }

    #[test]
    fn what_is_not_an_arn_is_not_split() {
        for text in [
            "",
            "orders",
            "arn",
            "arn:aws:kinesis",
            "arn:aws:kinesis:us-east-1:orders:stream/null",
            "urn:aws:kinesis:us-east-1:111122223333:stream/orders",
            "arn:azure:kinesis:us-east-1:111122223333:stream/orders",
            "arn:aws-CN:kinesis:cn-north-1:111122223333:stream/orders",
        ] {
            assert_eq!(Arn::split(text), None, "{text}");
        }
    }
}
