//! KMS keys: the forms in which they are named, and the one form in which they are compared.
//!
//! Kinesis returns the `KeyId` as it was given to [StartStreamEncryption]: a key ARN, a key ID, an
//! alias name or an alias ARN. If these texts were compared, a stream that has the desired key
//! would be encrypted again and again. So both sides are resolved to a key ARN first.
//!
//! [StartStreamEncryption]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_StartStreamEncryption.html

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};

use crate::domain::arn::{Arn, Malformed, partition_of, resource_arn};
use crate::domain::failure::{Failure, Step, code};

/// The alias of the key that AWS manages for Kinesis.
pub const AWS_MANAGED_ALIAS: &str = "alias/aws/kinesis";

resource_arn! {
    /// A key ARN, `arn:aws:kms:us-east-1:111122223333:key/1234abcd-…`: the canonical form of a key.
    pub struct KeyArn {
        service: "kms",
        resource: "key/",
        id: KeyId,
        expected: "a key ARN: arn:<partition>:kms:<region>:<12-digit account>:key/<key id>",
    }
}

impl KeyArn {
    /// The key id: the last part of the ARN.
    #[must_use]
    pub fn id(&self) -> &str {
        self.resource_id()
    }
}

/// A [key ID][KeyMetadata]: a GUID, or `mrk-` and 32 hexadecimal digits for a multi-Region key.
///
/// [KeyMetadata]: https://docs.aws.amazon.com/kms/latest/APIReference/API_KeyMetadata.html
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

impl FromStr for KeyId {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let hex = |part: &str, length: usize| part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        let guid = || {
            let parts: Vec<_> = text.split('-').collect();
            parts.len() == 5 && parts.iter().zip([8, 4, 4, 4, 12]).all(|(part, length)| hex(part, length))
        };
        if text.strip_prefix("mrk-").map_or_else(guid, |rest| hex(rest, 32)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Malformed::new(text, "a key id: a GUID, or mrk- and 32 hexadecimal digits"))
        }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An [alias name][CreateAlias] with its prefix, `alias/orders`.
///
/// [CreateAlias]: https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateAlias.html
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AliasName(String);

impl AliasName {
    /// The whole name, `alias/…`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `alias/aws/…` is reserved for keys that AWS manages.
    #[must_use]
    pub fn is_aws_managed(&self) -> bool {
        self.0.starts_with("alias/aws/")
    }
}

impl FromStr for AliasName {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'/' | b'-');
        match text.strip_prefix("alias/") {
            Some(rest) if !rest.is_empty() && text.len() <= 256 && rest.bytes().all(plain) => Ok(Self(text.to_owned())),
            _ => Err(Malformed::new(text, "an alias name: alias/ and then a-z, A-Z, 0-9, '_', '/' and '-'")),
        }
    }
}

impl fmt::Display for AliasName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key in any form that AWS accepts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeyRef {
    /// By key ARN.
    Arn(KeyArn),
    /// By key ID, in the account and Region of the caller.
    Id(KeyId),
    /// By alias name, in the account and Region of the caller.
    Alias(AliasName),
    /// By alias ARN.
    AliasArn {
        /// The Region of the alias.
        region: String,
        /// The account of the alias.
        account: String,
        /// The alias name, the last part of the ARN.
        alias: AliasName,
        /// The whole ARN.
        arn: String,
    },
}

impl KeyRef {
    /// A key as a person configures it. Of the AWS managed keys, Kinesis accepts only its own.
    pub fn configured(text: &str) -> Result<Self, String> {
        let key: Self = text.parse().map_err(|malformed: Malformed| malformed.to_string())?;
        match key.alias() {
            Some(alias) if alias.is_aws_managed() && alias.as_str() != AWS_MANAGED_ALIAS => Err(format!(
                "{text:?} is the AWS managed key of another service: of the AWS managed keys, Kinesis accepts only {AWS_MANAGED_ALIAS}"
            )),
            _ => Ok(key),
        }
    }

    /// What [`FromStr`] accepts, in words.
    pub const EXPECTED: &'static str = "a KMS key ARN, key ID, alias name (alias/…) or alias ARN";

    /// The text that is sent to AWS.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Arn(arn) => arn.as_str(),
            Self::Id(id) => &id.0,
            Self::Alias(alias) => alias.as_str(),
            Self::AliasArn { arn, .. } => arn,
        }
    }

    /// The alias name, if the key is named by an alias.
    #[must_use]
    pub fn alias(&self) -> Option<&AliasName> {
        match self {
            Self::Alias(alias) | Self::AliasArn { alias, .. } => Some(alias),
            Self::Arn(_) | Self::Id(_) => None,
        }
    }

    /// The account that an ARN names; `None` for a key ID or an alias name, which belong to the
    /// account of the caller.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        match self {
            Self::Arn(arn) => Some(arn.account()),
            Self::AliasArn { account, .. } => Some(account),
            Self::Id(_) | Self::Alias(_) => None,
        }
    }

    /// Whether this names an AWS managed key, `alias/aws/…`. Such an alias is never described: if
    /// the key does not exist, [DescribeKey] *creates* it.
    ///
    /// [DescribeKey]: https://docs.aws.amazon.com/kms/latest/APIReference/API_DescribeKey.html
    #[must_use]
    pub fn is_aws_managed(&self) -> bool {
        self.alias().is_some_and(AliasName::is_aws_managed)
    }

    /// The key ARN, if no call is needed to find it: of a key ARN, or of a key ID in `region` and
    /// `account`.
    #[must_use]
    pub fn canonical(&self, region: &str, account: &str) -> Option<KeyArn> {
        match self {
            Self::Arn(arn) => Some(arn.clone()),
            Self::Id(id) => KeyArn::build(region, account, id).ok(),
            Self::Alias(_) | Self::AliasArn { .. } => None,
        }
    }
}

impl FromStr for KeyRef {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = || Malformed::new(text, Self::EXPECTED);
        if text.starts_with("alias/") {
            return text.parse().map(Self::Alias).map_err(|_| malformed());
        }
        if !text.starts_with("arn:") {
            return text.parse().map(Self::Id).map_err(|_| malformed());
        }
        if let Ok(arn) = text.parse() {
            return Ok(Self::Arn(arn));
        }
        let arn = Arn::split(text).filter(|arn| arn.service == "kms").ok_or_else(malformed)?;
        let alias = arn.resource.parse().map_err(|_| malformed())?;
        Ok(Self::AliasArn {
            region: arn.region.to_owned(),
            account: arn.account.to_owned(),
            alias,
            arn: text.to_owned(),
        })
    }
}

impl fmt::Display for KeyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a key can be used, by its [key state][states].
///
/// [states]: https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It can be used.
    Enabled,
    /// Disabled. `EnableKey` makes it usable.
    Disabled,
    /// Scheduled for deletion. `CancelKeyDeletion` and then `EnableKey` make it usable.
    PendingDeletion,
    /// Its imported key material was deleted or has expired.
    PendingImport,
    /// Its custom key store is disconnected.
    Unavailable,
    /// Creating, Updating, or a state that this version does not know: it may pass.
    NotReady(String),
}

/// What [DescribeKey] returns about a key, as far as it is used here.
///
/// [DescribeKey]: https://docs.aws.amazon.com/kms/latest/APIReference/API_DescribeKey.html
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFacts {
    /// The key's ARN, its canonical form.
    pub arn: KeyArn,
    /// Whether its state lets it be used.
    pub readiness: Readiness,
    /// `KeyUsage` is `ENCRYPT_DECRYPT`.
    pub encrypts: bool,
    /// `KeySpec` is `SYMMETRIC_DEFAULT`. An RSA key can be `ENCRYPT_DECRYPT` too, but Kinesis
    /// cannot use it.
    pub symmetric: bool,
    /// `KeyManager` is `CUSTOMER`.
    pub of_customer: bool,
    /// The id of the custom key store that holds the key, if one does.
    pub store: Option<String>,
    /// When imported key material of the key expires, if it does (`ValidTo`). KMS deletes the
    /// material then, and the key is unusable until it is imported again.
    pub expires: Option<DateTime<Utc>>,
}

impl KeyFacts {
    /// Why this key must not be applied to a stream in `region`; `None` if it may be.
    #[must_use]
    pub fn trouble(&self, region: &str) -> Option<Failure> {
        let refuse = |code, detail: &str| Some(Failure::new(Step::DescribeKey, code, &self.arn, detail));
        if self.arn.region() != region {
            return Some(in_other_region(&KeyRef::Arn(self.arn.clone()), self.arn.region(), region));
        }
        if !self.encrypts || !self.symmetric {
            let found = match (self.symmetric, self.encrypts) {
                (false, true) => "its KeySpec is another",
                (true, _) => "its KeyUsage is another",
                (false, false) => "its KeySpec and KeyUsage are others",
            };
            let detail =
                format!("Kinesis accepts only symmetric keys (SYMMETRIC_DEFAULT) for ENCRYPT_DECRYPT, and {found}");
            return refuse(code::KEY_UNSUITABLE, &detail);
        }
        if !self.of_customer {
            return refuse(
                code::KEY_UNSUITABLE,
                "it is an AWS managed key; of these, Kinesis accepts only its own, by the name alias/aws/kinesis",
            );
        }
        match &self.readiness {
            Readiness::Enabled => None,
            Readiness::Disabled => refuse(code::KEY_DISABLED, "the key is disabled"),
            Readiness::PendingDeletion => refuse(code::KEY_PENDING_DELETION, "the key is scheduled for deletion"),
            Readiness::PendingImport => refuse(code::KEY_PENDING_IMPORT, "the key material was deleted or has expired"),
            Readiness::Unavailable => refuse(code::KEY_UNAVAILABLE, "the key's custom key store is disconnected"),
            Readiness::NotReady(state) => refuse(code::KEY_NOT_READY, &format!("the key is {state}")),
        }
    }
}

/// The refusal of a key in the Region `found` for streams in `wanted`. It needs no call: the
/// endpoints of KMS are Regional.
#[must_use]
pub fn in_other_region(key: &KeyRef, found: &str, wanted: &str) -> Failure {
    let detail = match key {
        KeyRef::Arn(arn) if arn.id().starts_with("mrk-") => format!(
            "the key is in {found}, but streams in {wanted} need a key in {wanted}; a replica of this multi-Region key there would be arn:{}:kms:{wanted}:{}:key/{}",
            partition_of(wanted),
            arn.account(),
            arn.id()
        ),
        _ => format!("the key is in {found}, but streams in {wanted} need a key in {wanted}"),
    };
    Failure::new(Step::DescribeKey, code::KEY_IN_OTHER_REGION, key, &detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";
    const MULTI: &str = "mrk-1234abcd12ab34cd56ef1234567890ab";

    fn arn_of(id: &str) -> String {
        format!("arn:aws:kms:us-east-1:111122223333:key/{id}")
    }

    fn key(text: &str) -> KeyRef {
        text.parse().expect("a key")
    }

    #[test]
    fn every_form_in_which_a_key_is_named_is_told_from_the_others_and_given_back_as_it_was() {
        let alias_arn = "arn:aws:kms:us-east-1:111122223333:alias/streams";
        for (text, alias) in [
            (arn_of(GUID).as_str(), None),
            (arn_of(MULTI).as_str(), None),
            ("arn:aws-cn:kms:cn-north-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab", None),
            (GUID, None),
            (MULTI, None),
            ("alias/streams", Some("alias/streams")),
            ("alias/a-Z_0/9", Some("alias/a-Z_0/9")),
            (alias_arn, Some("alias/streams")),
        ] {
            let key = key(text);
            assert_eq!(
                (key.as_str(), key.to_string().as_str(), key.alias().map(AliasName::as_str)),
                (text, text, alias)
            );
            assert_eq!(key.alias().map(ToString::to_string).as_deref(), alias);
            assert_eq!(key.account(), text.starts_with("arn:").then_some("111122223333"));
        }
        assert!(
            matches!(key(alias_arn), KeyRef::AliasArn { region, account, .. } if region == "us-east-1" && account == "111122223333")
        );
    }

    #[test]
    fn what_names_no_key_is_refused_with_what_would() {
        for text in [
            "",
            "streams",
            "alias/",
            "alias/a b",
            "alias/ü",
            "1234abcd-12ab-34cd-56ef",
            "1234abcd-12ab-34cd-56ef-1234567890ab-1234",
            "1234abcd-12ab-34cd-56ef-1234567890ag",
            "1234abcd12-ab-34cd-56ef-1234567890ab",
            "mrk-1234",
            "mrk-1234abcd12ab34cd56ef1234567890ag",
            "arn:aws:kinesis:us-east-1:111122223333:stream/orders",
            "arn:aws:s3:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            "arn:aws:s3:us-east-1:111122223333:alias/streams",
            "arn:aws:kms:us-east-1:111122223333:key/streams",
            "arn:aws:kms:us-east-1:111122223333:1234abcd-12ab-34cd-56ef-1234567890ab",
        ] {
            let malformed = text.parse::<KeyRef>().expect_err(text);
            assert_eq!((malformed.found.as_str(), malformed.expected), (text, KeyRef::EXPECTED));
            assert!(text.parse::<KeyArn>().is_err(), "{text}");
        }
        // The longest alias name has 256 characters.
        let alias = |length: usize| format!("alias/{}", "a".repeat(length - 6)).parse::<AliasName>();
        assert!(alias(256).is_ok() && alias(257).is_err());
    }

    #[test]
    fn an_arn_is_had_without_a_call_from_an_arn_and_from_an_id_of_this_account_and_region() {
        let canonical = |text: &str| key(text).canonical("us-east-1", "111122223333").map(|arn| arn.to_string());
        assert_eq!(canonical(&arn_of(GUID)), Some(arn_of(GUID)));
        assert_eq!(canonical(GUID), Some(arn_of(GUID)));
        assert_eq!(canonical(MULTI), Some(arn_of(MULTI)));
        assert_eq!(canonical("alias/streams"), None);
        assert_eq!(canonical("arn:aws:kms:us-east-1:111122223333:alias/streams"), None);

        let elsewhere = |region: &str, account: &str| key(GUID).canonical(region, account).map(|arn| arn.to_string());
        assert_eq!(
            elsewhere("cn-north-1", "111122223333").expect("an ARN"),
            format!("arn:aws-cn:kms:cn-north-1:111122223333:key/{GUID}")
        );
        assert_eq!((elsewhere("europe", "111122223333"), elsewhere("us-east-1", "1")), (None, None));
    }

    #[test]
    fn an_arn_tells_its_region_account_and_id() {
        let arn: KeyArn = arn_of(MULTI).parse().expect("an ARN");
        assert_eq!(
            (arn.region(), arn.account(), arn.id(), arn.as_str()),
            ("us-east-1", "111122223333", MULTI, arn_of(MULTI).as_str())
        );
        assert_eq!(serde_json::to_value(&arn).expect("JSON"), arn_of(MULTI));
    }

    #[test]
    fn of_the_keys_that_aws_manages_only_that_of_kinesis_can_be_configured() {
        for (text, managed) in [("alias/aws/kinesis", true), ("alias/awsome", false), (GUID, false)] {
            let key = KeyRef::configured(text).expect("a key");
            assert_eq!(key.is_aws_managed(), managed, "{text}");
        }
        for text in ["alias/aws/s3", "arn:aws:kms:us-east-1:111122223333:alias/aws/s3"] {
            assert!(
                KeyRef::configured(text).is_err_and(|why| why.contains(text) && why.contains(AWS_MANAGED_ALIAS)),
                "{text}"
            );
        }
        assert!(KeyRef::configured("streams").is_err_and(|why| why.contains("\"streams\"")));
    }

    #[test]
    fn a_key_that_kinesis_cannot_use_is_refused_with_the_reason() {
        let facts = |readiness| KeyFacts {
            arn: arn_of(GUID).parse().expect("an ARN"),
            readiness,
            encrypts: true,
            symmetric: true,
            of_customer: true,
            store: None,
            expires: None,
        };
        let trouble = |facts: KeyFacts| facts.trouble("us-east-1").map(|failure| failure.code);
        for (readiness, code) in [
            (Readiness::Enabled, None),
            (Readiness::Disabled, Some(code::KEY_DISABLED)),
            (Readiness::PendingDeletion, Some(code::KEY_PENDING_DELETION)),
            (Readiness::PendingImport, Some(code::KEY_PENDING_IMPORT)),
            (Readiness::Unavailable, Some(code::KEY_UNAVAILABLE)),
            (Readiness::NotReady("Updating".to_owned()), Some(code::KEY_NOT_READY)),
        ] {
            assert_eq!(trouble(facts(readiness)).as_deref(), code);
        }
        let unsuitable = Some(code::KEY_UNSUITABLE);
        assert_eq!(trouble(KeyFacts { encrypts: false, ..facts(Readiness::Enabled) }).as_deref(), unsuitable);
        assert_eq!(trouble(KeyFacts { symmetric: false, ..facts(Readiness::Enabled) }).as_deref(), unsuitable);
        let elsewhere = facts(Readiness::Enabled).trouble("eu-west-1").expect("trouble");
        assert_eq!(elsewhere.code, code::KEY_IN_OTHER_REGION);
        assert!(!elsewhere.message.contains("replica"), "{elsewhere}");
    }

    #[test]
    fn of_a_multi_region_key_the_replica_is_named() {
        let failure = in_other_region(&key(&arn_of(MULTI)), "us-east-1", "cn-north-1");
        assert!(failure.message.contains(&format!("arn:aws-cn:kms:cn-north-1:111122223333:key/{MULTI}")), "{failure}");
    }
}
