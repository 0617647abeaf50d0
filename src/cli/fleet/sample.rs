//! The sample fleet of `--sandbox`: a stream for every decision that a plan can show.

use std::time::Duration;

use anyhow::Result;
use aws_sdk_kinesis::types::EncryptionType;
use aws_types::SdkConfig;
use chrono::TimeDelta;
use serde_json::json;

use super::sample_users;
use crate::cli::sandbox_account::{ACCOUNT, ALIAS, DEAD_LETTER_QUEUE, ENFORCER, REGION, SandboxAccount};
use crate::clock::Clock;
use crate::sandbox::{Fault, Identity, KeyState, NewStream};
use crate::settings::Environment;

/// The access key of a pipeline that applies infrastructure as code.
const TERRAFORM: &str = "ASIATERRAFORMEXAMPLE";

/// Starts a sandbox account with the sample fleet, and returns the settings and clients for it.
pub(super) async fn fleet(environment: Environment) -> Result<(Environment, SdkConfig, Clock)> {
    const EXEMPT: &str = "kinesis-encryption-enforcer:exempt";
    let sandbox = SandboxAccount::start(REGION, ACCOUNT).await?;
    let account = &sandbox.account;
    account.configure(|options| options.updating = Duration::from_millis(700));
    let (key, old, payments, retired) =
        (account.create_key(), account.create_key(), account.create_key(), account.create_key());
    account.alias(ALIAS, &key);
    account.alias("alias/payments", &payments);
    account.set_key_state(&retired, KeyState::PendingDeletion);
    account.import_material(&payments, sandbox.clock.utc() + TimeDelta::days(10));
    let reader = json!({"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::999988887777:role/reader"}, "Action": "kinesis:GetRecords"});
    let shared = json!({"Version": "2012-10-17", "Statement": [reader]}).to_string();
    let last_day = (sandbox.clock.utc() + TimeDelta::days(120)).date_naive();
    for stream in [
        NewStream::named("audit-log").encrypted_with(&key).keeping(8760),
        NewStream::named("billing").encrypted_with(&key),
        NewStream::named("clickstream").consumers(2).channels(1).queues(1),
        NewStream::named("devices").encrypted_with("alias/aws/kinesis").keeping(168),
        NewStream::named("feed-vendor").tag(EXEMPT, &format!("vendor cannot use KMS until={last_day}")),
        NewStream::named("feed-legacy").tag(EXEMPT, "legacy producer"),
        NewStream::named("feed-migrated").tag(EXEMPT, "migration until=2026-06-30"),
        NewStream::named("inventory").encrypted_with(&old).policy(&shared),
        NewStream::named("locked"),
        NewStream::named("orders").encrypted_with(ALIAS),
        NewStream::named("payments-eu").encrypted_with(&payments),
        NewStream::named("payments-us").encrypted_with(&key),
        NewStream::named("retired-app"),
        NewStream::named("sessions").encrypted_with(&key),
        NewStream::named("typo").tag(EXEMPT, "until=soon"),
    ] {
        account.stream(stream);
    }
    sample_users::add(account, &sample_users::Keys { streams: &key, old: &old, payments: &payments });
    // A Terraform configuration without encryption has removed it.
    account.configure(|options| options.history_lag = Duration::ZERO);
    account.identity(TERRAFORM, Identity::role("deployer", "ci"));
    let deployer = aws_sdk_kinesis::Client::new(&sandbox.config(TERRAFORM)?);
    let stop = deployer
        .stop_stream_encryption()
        .stream_name("sessions")
        .encryption_type(EncryptionType::Kms)
        .key_id(&key)
        .customize();
    let stop_by_terraform = stop.mutate_request(|request| {
        request.headers_mut().insert("user-agent", "APN/1.0 HashiCorp/1.0 Terraform/1.14.0");
    });
    stop_by_terraform.send().await?;
    account.fault(
        Fault::on("ListTagsForStream")
            .stream("locked")
            .error("AccessDeniedException", "explicit deny in a service control policy"),
    );
    let policy = json!({"version": 1, "rules": [
        {"name": "payments", "match": {"stream": "payments-*"}, "key": "alias/payments"},
        {"name": "retired", "match": {"stream": "retired-*"}, "key": retired},
    ]});
    let queue = account.queue(DEAD_LETTER_QUEUE);
    let environment =
        sandbox.environment(environment.with("KMS_KEY_ID", ALIAS).with("POLICY", &policy.to_string()), &queue);
    let (config, clock) = (sandbox.config(ENFORCER)?, sandbox.clock.clone());
    Ok((environment, config, clock))
}
