//! The sandbox of `demo`, and of `--sandbox` in other commands: an account on a loopback port of
//! this process.

use anyhow::{Context, Result};
use aws_types::SdkConfig;
use tokio::net::TcpListener;

use crate::aws::config;
use crate::clock::Clock;
use crate::sandbox::{Account, Identity, serve};
use crate::settings::Environment;

/// The function's role in the sandbox.
pub(super) const ROLE: &str = "kinesis-encryption-enforcer";
/// The access key of the function.
pub(super) const ENFORCER: &str = "ASIAENFORCEREXAMPLE1";
/// The access key of the user `alice`.
pub(super) const ALICE: &str = "AKIAIOSFODNN7EXAMPLE";
/// The alias of the sandbox's KMS key.
pub(super) const ALIAS: &str = "alias/streams";
/// The Region of a sandbox, unless something else is asked for.
pub(super) const REGION: &str = "us-east-1";
/// The account of a sandbox, unless something else is asked for.
pub(super) const ACCOUNT: &str = "111122223333";
/// The name of the dead-letter queue in the sandbox.
pub(super) const DEAD_LETTER_QUEUE: &str = "enforcer-dead-letters";

/// A sandbox account that this process serves.
pub(super) struct SandboxAccount {
    pub(super) account: Account,
    pub(super) clock: Clock,
    pub(super) url: String,
    region: String,
}

impl SandboxAccount {
    /// Serves a new account on a free port until the process ends.
    pub(super) async fn start(region: &str, account_id: &str) -> Result<Self> {
        let listener =
            TcpListener::bind(("127.0.0.1", 0)).await.context("cannot listen on 127.0.0.1 for the sandbox")?;
        let clock = Clock::system();
        let account = Account::new(clock.clone(), region, account_id);
        account.identity(ENFORCER, Identity::role(ROLE, ROLE));
        account.identity(ALICE, Identity::user("alice"));
        let url = format!("http://{}", listener.local_addr()?);
        tokio::spawn(serve(account.clone(), listener, std::future::pending()));
        Ok(Self { account, clock, url, region: region.to_owned() })
    }

    /// The SDK configuration of the caller with `access_key`.
    pub(super) fn config(&self, access_key: &str) -> Result<SdkConfig> {
        let environment = Environment::default()
            .with("AWS_REGION", &self.region)
            .with("AWS_ACCESS_KEY_ID", access_key)
            .with("AWS_SECRET_ACCESS_KEY", "not-a-secret")
            .with("AWS_ENDPOINT_URL", &self.url);
        Ok(config::from_environment(&environment, &self.clock)?)
    }

    /// `environment` with the function's role and dead-letter queue in the sandbox.
    pub(super) fn environment(&self, environment: Environment, queue_url: &str) -> Environment {
        let role = format!(
            "arn:{}:iam::{}:role/{ROLE}",
            crate::domain::arn::partition_of(&self.region),
            self.account.account_id()
        );
        // A person who tries a command should not wait for a grace period of a minute, unless they
        // set one.
        let grace = environment.get("IAC_GRACE_SECONDS").unwrap_or("0").to_owned();
        environment.with("OWN_ROLE_ARN", &role).with("FAILURE_QUEUE_URL", queue_url).with("IAC_GRACE_SECONDS", &grace)
    }
}
