//! The Lambda bootstrap: telemetry, settings, clients, run.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kinesis_encryption_enforcer::aws::Aws;
use kinesis_encryption_enforcer::aws::config::{self, ConfigError};
use kinesis_encryption_enforcer::clock::Clock;
use kinesis_encryption_enforcer::event::Payload;
use kinesis_encryption_enforcer::handler::{Handler, Invocation, InvocationError};
use kinesis_encryption_enforcer::settings::{Environment, Settings, SettingsError};
use kinesis_encryption_enforcer::telemetry;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use tokio::time::timeout;
use tracing::Instrument;

/// How long the start waits for connections. If one is not open by then, the first call opens it or
/// fails with the reason.
const CONNECTING: Duration = Duration::from_millis(500);

// One thread is enough: all waiting is asynchronous, and at 128 MB the function has a fourteenth of
// a core.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let environment = Environment::of_process();
    let clock = Clock::system();
    telemetry::start(&environment, &clock);
    // Invalid settings do not end the process: every invocation then fails with the problems, which
    // so reach the on-failure destination.
    let handler = handler(&environment, &clock);
    match &handler {
        // Before the first poll: from then on the function has a fourteenth of the processor, and
        // handshakes are slow.
        Ok(Handler { aws, settings, .. }) => drop(timeout(CONNECTING, aws.connect(settings.own_account())).await),
        Err(problem) => tracing::error!(error = %problem, "function cannot start"),
    }
    let cold = AtomicBool::new(true);
    run(service_fn(async |event: LambdaEvent<Payload>| {
        clock.resync();
        let (Payload(payload), context) = event.into_parts();
        let invocation = Invocation { deadline: context.deadline(), request_id: context.request_id };
        let cold_start = cold.swap(false, Ordering::Relaxed);
        let span = tracing::info_span!("invocation", function_request_id = invocation.request_id, cold_start);
        match &handler {
            Ok(handler) => handler.handle(&payload, &invocation).instrument(span).await,
            Err(StartError::Settings(error)) => Err(InvocationError::of_settings(&invocation, error)),
            Err(StartError::Configuration(error)) => Err(InvocationError::settings(&invocation, &error.to_string())),
        }
    }))
    .await
}

/// Why the function cannot start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Configuration(#[from] ConfigError),
}

fn handler(environment: &Environment, clock: &Clock) -> Result<Handler, StartError> {
    let settings = Settings::from_environment(environment)?;
    let config = config::from_environment(environment, clock)?;
    let aws = Aws::new(&config, &settings, clock);
    let function = environment.get("AWS_LAMBDA_FUNCTION_NAME").unwrap_or("kinesis-encryption-enforcer").to_owned();
    Ok(Handler { settings, aws, clock: clock.clone(), function, emit })
}

/// Writes a line of metrics to standard output, from where `CloudWatch` reads it.
fn emit(line: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{line}") {
        tracing::warn!(%error, "metrics could not be written");
    }
}
