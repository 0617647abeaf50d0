//! The member accounts: clients that act in them, with the credentials of a role in each.
//!
//! A session lasts an hour, the maximum for a role that [is assumed by a role][chaining].
//!
//! [chaining]: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html

use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future::ProvideCredentials as Provided;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_sts::Client;
use aws_types::SdkConfig;
use tokio::time::Instant;

use super::Aws;
use super::calls::Calls;
use super::error::{CallError, Diagnosis};
use crate::clock::Clock;
use crate::domain::failure::{Kind, Step, code};
use crate::domain::member_accounts::MemberAccounts;

/// The session's name. The member account's `CloudTrail` shows it:
/// `assumed-role/<role>/kinesis-encryption-enforcer`.
pub const SESSION: &str = "kinesis-encryption-enforcer";

/// How long credentials must outlast the invocation that uses them, so that none expire while it
/// waits for a stream.
const MARGIN: Duration = Duration::from_mins(5);

/// The member accounts. The clients of each are made when it is first used.
#[derive(Debug)]
pub struct MemberClients(Vec<Member>);

/// One member account.
#[derive(Debug)]
pub struct Member {
    account: String,
    role_arn: String,
    session: Session,
    aws: OnceLock<Box<Aws>>,
    common: Arc<Common>,
}

/// What all member accounts share.
#[derive(Debug)]
struct Common {
    sts: Client,
    calls: Arc<Calls>,
    clock: Clock,
    config: SdkConfig,
    /// The function's own clients. Member accounts share their queues, event bus and policy.
    own: Aws,
    external_id: String,
}

/// The credentials of a role, once it is assumed.
#[derive(Clone, Debug, Default)]
struct Session(Arc<RwLock<Option<Credentials>>>);

impl Session {
    fn lasts(&self, until: SystemTime) -> bool {
        let credentials = self.0.read().unwrap_or_else(PoisonError::into_inner);
        credentials.as_ref().and_then(Credentials::expiry).is_some_and(|expiry| expiry >= until)
    }

    fn set(&self, credentials: Credentials) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(credentials);
    }
}

impl ProvideCredentials for Session {
    fn provide_credentials<'a>(&'a self) -> Provided<'a>
    where
        Self: 'a,
    {
        let credentials = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        Provided::ready(
            credentials.ok_or_else(|| CredentialsError::not_loaded("the member account's role has not been assumed")),
        )
    }
}

impl MemberClients {
    pub(super) fn new(
        config: &SdkConfig,
        settings: &MemberAccounts,
        own: Aws,
        calls: Arc<Calls>,
        clock: &Clock,
    ) -> Self {
        let (sts, external_id) = (Client::new(config), settings.external_id.clone());
        let common = Arc::new(Common { sts, calls, clock: clock.clone(), config: config.clone(), own, external_id });
        let member = |account: &String| Member {
            account: account.clone(),
            role_arn: settings.role_in(account),
            session: Session::default(),
            aws: OnceLock::new(),
            common: Arc::clone(&common),
        };
        Self(settings.accounts.iter().map(member).collect())
    }

    /// All member accounts.
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.0.iter()
    }
}

impl Member {
    /// The account id, 12 digits.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The ARN of the role that the function assumes in this account.
    #[must_use]
    pub fn role_arn(&self) -> &str {
        &self.role_arn
    }

    /// Assumes the role, unless the present credentials outlast `until`.
    pub async fn assume_role(&self, until: Instant) -> Result<(), CallError> {
        let Self { account, role_arn, session, common, .. } = self;
        let Common { sts, calls, clock, external_id, .. } = common.as_ref();
        let needed = clock.wall() + until.saturating_duration_since(clock.instant()) + MARGIN;
        if session.lasts(needed) {
            return Ok(());
        }
        let step = Step::AssumeRole;
        let request = sts.assume_role().role_arn(role_arn).role_session_name(SESSION).external_id(external_id);
        let answer = calls.read(step, role_arn, until, || async {
            request.clone().send().await.map_err(|error| refused(Diagnosis::of(&error)).at(step, role_arn))
        });
        let credentials = Box::pin(answer).await?.credentials;
        let read = credentials.and_then(|given| {
            let expires = SystemTime::try_from(given.expiration).ok()?;
            Some(Credentials::new(
                given.access_key_id,
                given.secret_access_key,
                Some(given.session_token),
                Some(expires),
                "AssumeRole",
            ))
        });
        session.set(read.ok_or_else(|| CallError::unreadable(step, role_arn))?);
        tracing::info!(account, role = role_arn, "assumed role in member account");
        Ok(())
    }

    /// The clients that act in this account. Their calls fail until the role is assumed.
    #[must_use]
    pub fn clients(&self) -> &Aws {
        self.aws.get_or_init(|| {
            let Common { config, own, calls, .. } = self.common.as_ref();
            let credentials = SharedCredentialsProvider::new(self.session.clone());
            let config = config.to_builder().credentials_provider(credentials).build();
            Box::new(own.in_account(&self.account, &config, calls))
        })
    }
}

/// STS returns `AccessDenied` if the role does not exist, if its trust policy does not name the
/// function's role, or if the external id differs: one code of ours, with one remedy for all.
fn refused(diagnosis: Diagnosis) -> Diagnosis {
    if Kind::of(&diagnosis.code) != Kind::Denied {
        return diagnosis;
    }
    let detail = format!("{}: {}", diagnosis.code, diagnosis.detail);
    Diagnosis { code: code::MEMBER_ROLE_REFUSED.to_owned(), detail, fate: diagnosis.fate }
}
