//! What a report covers, and by which settings: both are needed to use it as evidence.

use std::fmt::Write;
use std::fs;

use futures_util::StreamExt;
use futures_util::stream::iter;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::places::PLACES_AT_A_TIME;
use super::row::Row;
use super::{Selection, Survey, Target};
use crate::aws::caller::caller;
use crate::cli::progress::shown;
use crate::cli::visible::visible;
use crate::clock::Clock;
use crate::domain::mode::{Mode, OnOtherKey};
use crate::domain::stream::StreamRef;
use crate::policy::Policy;
use crate::settings::PolicySource;

/// One account and Region of a report.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Scope {
    /// `None` if STS did not answer and no stream could be described.
    pub(super) account: Option<String>,
    pub(super) region: String,
    /// The ARN of the principal that looked; `None` if STS did not answer.
    pub(super) caller: Option<String>,
    /// The streams that were named; `None` if all streams are covered.
    pub(super) streams: Option<Vec<String>>,
    /// `KMS_KEY_ID`.
    pub(super) configured_key: String,
    /// `ENFORCEMENT_MODE`.
    pub(super) mode: Mode,
    /// `ON_OTHER_KEY`.
    pub(super) on_other_key: &'static str,
    /// `EXEMPT_TAG_KEY`; `None` if exemption by tag is off.
    pub(super) exempt_tag_key: Option<String>,
    /// `None` if there is no policy.
    pub(super) policy: Option<PolicyInUse>,
}

/// The policy that a report was made with.
#[derive(Clone, Debug, Serialize)]
pub(super) struct PolicyInUse {
    /// The file, the variable or the SSM parameter.
    pub(super) source: String,
    /// How many rules it has.
    pub(super) rules: usize,
    /// The SHA-256 hash of its text, in hexadecimal digits, as `sha256sum` prints it; `None` if the
    /// text cannot be read again, or is not the same any more.
    pub(super) sha256: Option<String>,
}

/// An account and Region that was surveyed, and what the report says of it.
pub(super) struct Surveyed<'a> {
    pub(super) target: &'a Target,
    pub(super) scope: Scope,
}

impl<'a> Surveyed<'a> {
    /// Each of `targets`, in their order, with its scope.
    pub(super) async fn all(targets: Vec<&'a Target>, selection: &Selection, survey: &Survey) -> Vec<Self> {
        let surveyed = |target: &'a Target| async move {
            Self { target, scope: Box::pin(Scope::of(target, selection, &survey.rows)).await }
        };
        let surveyed = iter(targets.into_iter().map(surveyed)).buffered(PLACES_AT_A_TIME).collect::<Vec<_>>();
        let asking = |_| "looking up the caller and the policy".to_owned();
        shown(Clock::system().instant(), asking, surveyed).await
    }
}

impl Scope {
    /// The scope of `target`, of which `rows` are known. Asks STS and, for a policy in an SSM
    /// parameter, SSM.
    pub(super) async fn of(target: &Target, selection: &Selection, rows: &[Row]) -> Self {
        let Target { aws, rules, settings, config, .. } = target;
        let caller = match target.begin().await {
            Ok(()) => caller(config).await,
            Err(_) => None,
        };
        let (of_caller, caller) = caller.map(|caller| (caller.account, caller.arn)).unzip();
        // If the account of the place is not known, the place is the only one in its Region.
        let of_rows = || rows.iter().filter(|row| row.region == aws.region).find_map(|row| row.account.clone());
        let named = selection.streams.iter().filter(|stream| target.may_have(stream)).map(ToString::to_string);
        Self {
            account: target.account.clone().or(of_caller).or_else(of_rows),
            region: aws.region.clone(),
            caller,
            streams: selection.names_streams().then(|| named.collect()),
            configured_key: rules.key.to_string(),
            mode: rules.mode,
            on_other_key: match rules.on_other_key {
                OnOtherKey::Replace => "replace",
                OnOtherKey::Accept => "accept",
            },
            exempt_tag_key: settings.exempt_tag_key.clone(),
            policy: PolicyInUse::of(target, selection).await,
        }
    }

    /// Whether the report knows of the stream if it exists.
    pub(super) fn covers(&self, account: Option<&str>, region: &str, name: &str) -> bool {
        let is_same_account = match (&self.account, account) {
            (Some(own), Some(account)) => own == account,
            _ => true,
        };
        let is_named = |named: &String| named.parse().is_ok_and(|stream: StreamRef| stream.name() == name);
        self.region == region && is_same_account && self.streams.as_ref().is_none_or(|all| all.iter().any(is_named))
    }

    /// The scope with every text visible.
    pub(super) fn visible(&self) -> Self {
        let policy = self.policy.as_ref();
        Self {
            configured_key: visible(&self.configured_key),
            caller: self.caller.as_deref().map(visible),
            exempt_tag_key: self.exempt_tag_key.as_deref().map(visible),
            policy: policy.map(|policy| PolicyInUse { source: visible(&policy.source), ..policy.clone() }),
            ..self.clone()
        }
    }
}

impl PolicyInUse {
    async fn of(target: &Target, selection: &Selection) -> Option<Self> {
        let policy = &*target.rules.policy;
        let (source, text) = match (&selection.policy, &target.settings.policy) {
            // Standard input can be read once only.
            (Some(file), _) if file == "-" => ("standard input".to_owned(), None),
            (Some(file), _) => (file.clone(), fs::read(file).ok()),
            (None, PolicySource::Parameter(name)) => {
                let text = target.aws.policy.text(target.clock.instant() + super::PATIENCE).await;
                (format!("SSM parameter {name}"), text.map(String::into_bytes))
            }
            (None, PolicySource::Inline(_)) => {
                ("POLICY".to_owned(), Some(target.environment.get("POLICY")?.as_bytes().to_vec()))
            }
        };
        let is_the_same = |text: &Vec<u8>| {
            let text = str::from_utf8(text).ok().and_then(|text| text.parse::<Policy>().ok());
            text.as_ref() == Some(policy)
        };
        let sha256 = text.filter(is_the_same).map(|text| hexadecimal(&Sha256::digest(text)));
        Some(Self { source, rules: policy.rules().len(), sha256 })
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
