//! Carries a chain out: gets the first credentials, and assumes the roles with them.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_config::ecs::EcsCredentialsProvider;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future::ProvideCredentials as Provided;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_types::SdkConfig;
use tokio::time::timeout;

use super::super::paint::{print_warning, prompt};
use super::super::visible::visible;
use super::chain::{Base, Chain, Role, SignIn};
use super::{Chosen, ChosenBy, Problem, reason};
use crate::aws::error::Diagnosis;
use crate::clock::Clock;
use crate::domain::failure::code;
use crate::domain::text::error_chain;

/// The session's name of a profile without `role_session_name`, as `CloudTrail` shows it.
const SESSION: &str = "kinesis-encryption-enforcer";

/// How long the machine, the container or IAM Identity Center may take to provide credentials.
const PATIENCE: Duration = Duration::from_secs(30);

/// Credentials that end sooner than this are loaded again. The SDK asks for new ones ten seconds
/// before they end.
const MARGIN: Duration = Duration::from_mins(1);

/// How often a person may mistype a code.
const ATTEMPTS: u32 = 3;

/// The credentials of each profile that this process has loaded. A command opens a profile for
/// every Region, and an MFA code is valid only once.
static LOADED: Mutex<BTreeMap<String, Credentials>> = Mutex::new(BTreeMap::new());

/// The credentials of a profile.
#[derive(Debug)]
pub(super) struct ProfileCredentials {
    chosen: Chosen,
    chain: Chain,
    config: SdkConfig,
    /// The SDK's provider of the first credentials; none if they are known.
    base: Option<SharedCredentialsProvider>,
    clock: Clock,
}

impl ProfileCredentials {
    /// The credentials of `chain`; calls are made with `config`.
    pub(super) fn new(chosen: &Chosen, chain: Chain, config: &SdkConfig, clock: &Clock) -> Self {
        let base = provider_of(&chain.base, chosen, config);
        Self { chosen: chosen.clone(), chain, config: config.clone(), base, clock: clock.clone() }
    }

    /// Loads the credentials, unless this process has loaded them before.
    pub(super) async fn load(&self) -> Result<Credentials, Problem> {
        let now = self.clock.wall();
        let key = format!("{:?} {}", self.chosen.by, self.chosen.name);
        let earlier = LOADED.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        match earlier {
            Some(credentials) if credentials.expiry().is_none_or(|expiry| expiry > now + MARGIN) => {
                return Ok(credentials);
            }
            // In the middle of a command nobody is asked.
            Some(_) if self.chain.needs_code() => {
                return Err(Problem::new(
                    format!("the session of the {} has ended, and a new one needs an MFA code", self.shown()),
                    "run the command again; duration_seconds in the profile makes the session longer",
                ));
            }
            _ => {}
        }
        let mut credentials = self.first().await?;
        let mut source = self.source();
        for role in &self.chain.roles {
            credentials = self.assume(role, credentials, &source).await?;
            source = format!("the profile {}", visible(&role.profile));
        }
        LOADED.lock().unwrap_or_else(PoisonError::into_inner).insert(key, credentials.clone());
        Ok(credentials)
    }

    async fn first(&self) -> Result<Credentials, Problem> {
        match (&self.chain.base, &self.base) {
            (Base::Environment(keys) | Base::Keys { keys, .. }, _) => Ok(keys.clone()),
            // A person may have to answer the program that the profile names.
            (Base::SignIn { by: SignIn::Process, .. }, Some(provider)) => {
                provider.provide_credentials().await.map_err(|error| self.none(&error))
            }
            (_, Some(provider)) => match timeout(PATIENCE, provider.provide_credentials()).await {
                Ok(credentials) => credentials.map_err(|error| self.none(&error)),
                Err(_) => Err(Problem::new(
                    format!("{} did not provide credentials within {} s", self.source(), PATIENCE.as_secs()),
                    "check the network, and the proxy in HTTPS_PROXY if there is one",
                )),
            },
            (_, None) => Err(Problem::new("there are no credentials", "use a profile that has credentials")),
        }
    }

    fn shown(&self) -> String {
        visible(&self.chosen)
    }

    /// What the first credentials are called in messages.
    fn source(&self) -> String {
        match &self.chain.base {
            Base::Environment(_) => "the environment".to_owned(),
            Base::Container => "the container".to_owned(),
            Base::Instance => "the EC2 instance".to_owned(),
            Base::Machine => "this machine".to_owned(),
            Base::Keys { profile, .. } | Base::SignIn { profile, .. } => format!("the profile {}", visible(profile)),
        }
    }

    /// Assumes `role` with the credentials of `source`.
    async fn assume(&self, role: &Role, credentials: Credentials, source: &str) -> Result<Credentials, Problem> {
        let Role { profile, arn, session_name, external_id, duration_seconds, mfa_serial } = role;
        let code = mfa_serial.as_deref().map(|serial| code_of(serial, role)).transpose()?;
        let provider = SharedCredentialsProvider::new(credentials);
        let config = self.config.clone().into_builder().credentials_provider(provider).build();
        let answer = aws_sdk_sts::Client::new(&config)
            .assume_role()
            .role_arn(arn)
            .role_session_name(session_name.as_deref().unwrap_or(SESSION))
            .set_external_id(external_id.clone())
            .set_duration_seconds(*duration_seconds)
            .set_serial_number(mfa_serial.clone())
            .set_token_code(code)
            .send()
            .await;
        let refused = |what: String, remedy: String| {
            let (profile, arn) = (visible(profile), visible(arn));
            Problem::new(format!("the profile {profile} cannot assume the role {arn}: {what}"), remedy)
        };
        let given = answer.map_err(|error| {
            let diagnosis = Diagnosis::of(&error);
            refused(visible(&reason::in_words(&diagnosis)), remedy_of(&diagnosis, role, source))
        })?;
        let read = given.credentials.and_then(|given| {
            let expires = SystemTime::try_from(given.expiration).ok()?;
            let token = Some(given.session_token);
            Some(Credentials::new(given.access_key_id, given.secret_access_key, token, Some(expires), "AssumeRole"))
        });
        read.ok_or_else(|| refused("the answer has no credentials".to_owned(), "check the endpoint of STS".to_owned()))
    }

    /// Why the SDK's provider has no credentials.
    fn none(&self, error: &CredentialsError) -> Problem {
        let machine = |of: String, remedy: &str| {
            let because = reason::not_reached(error).map(|because| format!(": {because}")).unwrap_or_default();
            Problem::new(format!("{of}{}", visible(&because)), remedy)
        };
        match &self.chain.base {
            Base::Container => machine(
                format!("the {} gets its credentials from the container, which has none", self.shown()),
                "run this in an ECS task or an EKS pod with a role, or use another credential_source",
            ),
            Base::Instance => machine(
                format!("the {} gets its credentials from the EC2 instance, which has none", self.shown()),
                "run this on an EC2 instance with a role, or use another credential_source",
            ),
            Base::SignIn { profile, by } => sign_in_failed(profile, by, error),
            _ if self.chosen.by == ChosenBy::Nobody => Problem::new(
                "cannot load AWS credentials: there are none in the environment, in a profile default, and on this \
                 machine",
                "pass --profile, set AWS_PROFILE, or sign in with `aws configure` or `aws configure sso`",
            ),
            _ => {
                let (shown, name) = (self.shown(), visible(&self.chosen.name));
                Problem::new(
                    format!("the {shown} has no credentials"),
                    format!(
                        "add access keys with `aws configure --profile {name}`, sign-in with `aws configure sso \
                         --profile {name}`, or role_arn and source_profile"
                    ),
                )
            }
        }
    }
}

impl ProvideCredentials for ProfileCredentials {
    fn provide_credentials<'a>(&'a self) -> Provided<'a>
    where
        Self: 'a,
    {
        Provided::new(async { self.load().await.map_err(|problem| CredentialsError::provider_error(problem.what)) })
    }
}

fn provider_of(base: &Base, chosen: &Chosen, config: &SdkConfig) -> Option<SharedCredentialsProvider> {
    let mut provider = ProviderConfig::without_region()
        .with_region(config.region().cloned())
        .with_use_fips(config.use_fips())
        .with_use_dual_stack(config.use_dual_stack());
    if let Some(http) = config.http_client() {
        provider = provider.with_http_client(http);
    }
    let container = || EcsCredentialsProvider::builder().configure(&provider).build();
    let instance = || ImdsCredentialsProvider::builder().configure(&provider).build();
    Some(match base {
        Base::Environment(_) | Base::Keys { .. } => return None,
        Base::Container => SharedCredentialsProvider::new(container()),
        Base::Instance => SharedCredentialsProvider::new(instance()),
        Base::Machine => {
            let machine = match chosen.by {
                // A profile on the command line goes before what the environment has.
                ChosenBy::Option => CredentialsProviderChain::first_try("EcsContainer", container()),
                ChosenBy::Variable(_) | ChosenBy::Nobody => {
                    let token = WebIdentityTokenCredentialsProvider::builder().configure(&provider).build();
                    CredentialsProviderChain::first_try("WebIdentityToken", token).or_else("EcsContainer", container())
                }
            };
            SharedCredentialsProvider::new(machine.or_else("Ec2InstanceMetadata", instance()))
        }
        Base::SignIn { profile, .. } => SharedCredentialsProvider::new(
            ProfileFileCredentialsProvider::builder().configure(&provider).profile_name(profile).build(),
        ),
    })
}

/// Why a sign-in failed.
fn sign_in_failed(profile: &str, by: &SignIn, error: &CredentialsError) -> Problem {
    let name = visible(profile);
    let said = reason::diagnosis(error);
    let words = said.as_ref().map(|said| visible(&reason::in_words(said)));
    let network = said.as_ref().is_some_and(Diagnosis::is_network);
    match (by, words) {
        (_, Some(words)) if network => {
            Problem::new(format!("the profile {name} cannot sign in: {words}"), CHECK_NETWORK)
        }
        (SignIn::Sso { account, role }, Some(words))
            if said.is_some_and(|said| said.code != "UnauthorizedException") =>
        {
            Problem::new(
                format!("the profile {name} gets no credentials from IAM Identity Center: {words}"),
                format!(
                    "check that you are assigned to the account {} with the permission set {}",
                    visible(account),
                    visible(role)
                ),
            )
        }
        (SignIn::Sso { .. }, _) => Problem::new(
            format!("the session of the profile {name} with IAM Identity Center has ended, or there is none"),
            format!("sign in with `aws sso login --profile {name}`"),
        ),
        (SignIn::WebIdentity { role, .. }, Some(words)) => Problem::new(
            format!("the profile {name} cannot assume the role {}: {words}", visible(role)),
            "allow sts:AssumeRoleWithWebIdentity in the role's trust policy, and check that the token is current",
        ),
        (SignIn::WebIdentity { file, .. }, None) => {
            let because = reason::unread(error).unwrap_or_else(|| "it is not a token".to_owned());
            Problem::new(
                format!("the profile {name} cannot read its web_identity_token_file {}: {because}", visible(file)),
                "let it name a file with a current token",
            )
        }
        (SignIn::Process, _) => {
            let text = error_chain(error);
            let because = match text.split_once("Stderr: ") {
                Some((_, "")) => "it failed without a message".to_owned(),
                Some((_, stderr)) => format!("it failed: {}", visible(stderr.trim())),
                None => "it does not print the JSON of a credential process".to_owned(),
            };
            Problem::new(
                format!("the credential_process of the profile {name} has no credentials: {because}"),
                "run its command in a shell, and see what it prints",
            )
        }
    }
}

const CHECK_NETWORK: &str = "check the network, the endpoint and the proxy (HTTPS_PROXY, NO_PROXY)";

/// What a person can do if STS refuses a role.
fn remedy_of(diagnosis: &Diagnosis, role: &Role, source: &str) -> String {
    let profile = visible(&role.profile);
    match diagnosis.code.as_str() {
        _ if diagnosis.is_network() => CHECK_NETWORK.to_owned(),
        "AccessDenied" if role.mfa_serial.is_some() && diagnosis.detail.contains("MultiFactorAuthentication") => {
            "wait for the next code of the device, because each is valid once; check mfa_serial".to_owned()
        }
        "AccessDenied" => format!(
            "allow sts:AssumeRole to the principal of {source} in the role's trust policy and in its own permissions; \
             check role_arn, external_id and mfa_serial of the profile {profile}"
        ),
        "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidClientTokenId"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException"
        | "AuthFailure" => format!("renew the credentials of {source}"),
        code::TIMEOUT => CHECK_NETWORK.to_owned(),
        "RegionDisabledException" => "use a Region that is enabled in the account".to_owned(),
        _ => format!("check role_arn, role_session_name, external_id and duration_seconds of the profile {profile}"),
    }
}

/// Asks for the code that the MFA device shows now.
fn code_of(serial: &str, role: &Role) -> Result<String, Problem> {
    let (profile, serial) = (visible(&role.profile), visible(serial));
    let needed = |instead: &str| {
        Problem::new(
            format!("the profile {profile} needs a code of the MFA device {serial}: {instead}"),
            format!(
                "run this in a terminal, or, without --profile, with the variables that \
                 `aws configure export-credentials --profile {profile} --format env` prints"
            ),
        )
    };
    if !std::io::stdin().is_terminal() {
        return Err(needed("not a terminal, cannot prompt"));
    }
    for _ in 0..ATTEMPTS {
        let question = format!("MFA code of {serial} for the profile {profile}:");
        let answer = prompt(&question).map_err(|error| needed(&visible(&error)))?;
        let code = answer.ok_or_else(|| needed("none was given"))?;
        if code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(code);
        }
        print_warning("an MFA code consists of six digits");
    }
    Err(needed("none was given"))
}
