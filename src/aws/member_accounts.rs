//! The member accounts: clients that act in them, with the credentials of a role in each.
//!
//! A session lasts an hour, the maximum for a role that [is assumed by a role][chaining].
//!
//! [chaining]: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html

use std::pin::Pin;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future::ProvideCredentials as Provided;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_sts::Client;
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_types::SdkConfig;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Aws;
use super::calls::Calls;
use super::error::{CallError, Diagnosis, Fate};
use crate::clock::Clock;
use crate::domain::failure::{Failure, Kind, Step, code};
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
    session: RoleSession,
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

/// The session of a member account's role: it is begun when it is first needed, renewed before it
/// expires, and renewed once in an invocation if AWS refuses its credentials. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct RoleSession(Arc<Role>);

#[derive(Debug)]
struct Role {
    account: String,
    arn: String,
    common: Arc<Common>,
    state: RwLock<State>,
    /// Held while the role is assumed, so that calls that were refused together share a session.
    assuming: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    credentials: Option<Credentials>,
    /// How often the role has been assumed.
    generation: u64,
    /// Whether that was in the present invocation.
    is_new: bool,
    /// What became of renewing the session in the present invocation, after AWS refused it.
    renewal: Option<Result<(), CallError>>,
}

/// What AWS says of a denial by a policy of the role itself, such as that of [revoked sessions]. A
/// session that began later is not denied by that one.
///
/// [revoked sessions]: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_revoke-sessions.html
const DENIED_BY_OWN_POLICY: &str = "explicit deny in an identity-based policy";

impl RoleSession {
    fn new(account: &str, arn: String, common: Arc<Common>) -> Self {
        let (state, assuming) = (RwLock::default(), Mutex::default());
        Self(Arc::new(Role { account: account.to_owned(), arn, common, state, assuming }))
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.0.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, State> {
        self.0.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often the role has been assumed: each time means other credentials.
    pub(super) fn generation(&self) -> u64 {
        self.state().generation
    }

    /// Begins an invocation that lasts until `until`: assumes the role, unless the present
    /// credentials outlast it.
    async fn begin(&self, until: Instant) -> Result<(), CallError> {
        let clock = &self.0.common.clock;
        let needed = clock.wall() + until.saturating_duration_since(clock.instant()) + MARGIN;
        let lasts = {
            let mut state = self.change();
            (state.is_new, state.renewal) = (false, None);
            state.credentials.as_ref().and_then(Credentials::expiry).is_some_and(|expiry| expiry >= needed)
        };
        if lasts { Ok(()) } else { self.assume(until).await }
    }

    /// Whether another attempt may succeed where a call failed with `failure`, which was signed
    /// with the credentials of generation `used`: because they are no longer the present ones, or
    /// because the role has now been assumed again. The error is why it could not be assumed.
    ///
    /// Boxed, because assuming the role is a call, too.
    pub(super) fn renew_after<'a>(
        &'a self,
        failure: &'a Failure,
        used: u64,
        until: Instant,
    ) -> Pin<Box<dyn Future<Output = Result<bool, CallError>> + Send + 'a>> {
        Box::pin(async move {
            let kind = failure.kind();
            let by_own_policy = kind == Kind::Denied && failure.message.contains(DENIED_BY_OWN_POLICY);
            if kind != Kind::Credentials && !by_own_policy {
                return Ok(false);
            }
            let _assuming = self.0.assuming.lock().await;
            let earlier = {
                let State { generation, is_new, renewal, .. } = &*self.state();
                if *generation != used {
                    return Ok(true);
                }
                if by_own_policy && *is_new {
                    return Ok(false);
                }
                renewal.clone()
            };
            match earlier {
                // The renewed session is refused as well.
                Some(Ok(())) => Ok(false),
                Some(Err(error)) => Err(error),
                None => {
                    // Whatever became of AssumeRole, the call itself was refused.
                    let renewal = self.assume(until).await.map_err(|error| CallError { fate: Fate::Refused, ..error });
                    self.change().renewal = Some(renewal.clone());
                    renewal.map(|()| true)
                }
            }
        })
    }

    async fn assume(&self, until: Instant) -> Result<(), CallError> {
        let Role { account, arn, common, .. } = self.0.as_ref();
        let Common { sts, calls, external_id, .. } = common.as_ref();
        let step = Step::AssumeRole;
        let request = sts.assume_role().role_arn(arn).role_session_name(SESSION).external_id(external_id);
        let answer = calls.read(step, arn, until, || async {
            request.clone().send().await.map_err(|error| refused(Diagnosis::of(&error)).at(step, arn))
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
        let credentials = read.ok_or_else(|| CallError::unreadable(step, arn))?;
        let mut state = self.change();
        state.credentials = Some(credentials);
        state.generation += 1;
        state.is_new = true;
        drop(state);
        tracing::info!(account, role = arn, "assumed role in member account");
        Ok(())
    }
}

impl ProvideCredentials for RoleSession {
    fn provide_credentials<'a>(&'a self) -> Provided<'a>
    where
        Self: 'a,
    {
        let credentials = self.state().credentials.clone();
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
            session: RoleSession::new(account, settings.role_in(account), Arc::clone(&common)),
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
        &self.session.0.arn
    }

    /// Begins an invocation that lasts until `until`: assumes the role, unless the present
    /// credentials outlast it. Within the invocation the role is assumed once more if AWS refuses
    /// the credentials.
    pub async fn assume_role(&self, until: Instant) -> Result<(), CallError> {
        self.session.begin(until).await
    }

    /// The clients that act in this account. Their calls fail until the role is assumed.
    #[must_use]
    pub fn clients(&self) -> &Aws {
        self.aws.get_or_init(|| {
            let Common { own, calls, .. } = self.common.as_ref();
            let calls = Arc::new(calls.signed_by(self.session.clone()));
            Box::new(own.in_account(&self.account, &self.config(), &calls))
        })
    }

    /// The configuration of clients that act in this account. Their calls fail until the role is
    /// assumed.
    #[must_use]
    pub fn config(&self) -> SdkConfig {
        let credentials = SharedCredentialsProvider::new(self.session.clone());
        // Without the SDK's cache, which would go on with credentials that were replaced.
        let builder = self.common.config.to_builder().identity_cache(IdentityCache::no_cache());
        builder.credentials_provider(credentials).build()
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
