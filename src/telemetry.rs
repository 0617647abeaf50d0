//! Logs: one JSON object a line, with these keys at the top level, where saved queries expect them:
//! `level`, `timestamp`, `message`, `service`, `function_request_id`, `correlation_id`,
//! `cold_start`.
//!
//! `tracing-subscriber`'s own JSON nests the fields of spans, and `lambda_runtime`'s subscriber
//! omits the time, and below `INFO` the request id.

use std::fmt;
use std::io::{self, Write};

use chrono::SecondsFormat;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::clock::Clock;
use crate::settings::Environment;

/// Starts logging to standard output, by Lambda's [logging configuration][logging]:
/// `AWS_LAMBDA_LOG_LEVEL` (`TRACE` … `FATAL`, default `INFO`) and `AWS_LAMBDA_LOG_FORMAT` (`JSON`,
/// the default here, or `Text`). `POWERTOOLS_SERVICE_NAME` is the name of the service.
///
/// [logging]: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-advanced.html
pub fn start(environment: &Environment, clock: &Clock) {
    let filter = filter(environment.get("AWS_LAMBDA_LOG_LEVEL").unwrap_or("INFO"));
    let text = environment.get("AWS_LAMBDA_LOG_FORMAT").is_some_and(|format| format.eq_ignore_ascii_case("text"));
    let registry = tracing_subscriber::registry().with(filter);
    let started = if text {
        registry.with(tracing_subscriber::fmt::layer().with_ansi(false).with_target(false).without_time()).try_init()
    } else {
        let service = environment.get("POWERTOOLS_SERVICE_NAME").unwrap_or("kinesis-encryption-enforcer").to_owned();
        registry.with(JsonLines { clock: clock.clone(), service, write: io::stdout }).try_init()
    };
    // After a second start, the subscriber of the first remains.
    drop(started);
}

/// This program's events and spans from the configured level on; of the SDK and of hyper only
/// warnings and errors.
fn filter(level_name: &str) -> Targets {
    let level = level(level_name);
    let ours = [env!("CARGO_CRATE_NAME"), "bootstrap"].map(|target| (target, level));
    Targets::new().with_default(level.min(LevelFilter::WARN)).with_targets(ours)
}

fn level(name: &str) -> LevelFilter {
    match name.to_ascii_uppercase().as_str() {
        "TRACE" => LevelFilter::TRACE,
        "DEBUG" => LevelFilter::DEBUG,
        "WARN" => LevelFilter::WARN,
        "ERROR" | "FATAL" => LevelFilter::ERROR,
        _ => LevelFilter::INFO,
    }
}

/// A layer that writes every event as one line of JSON.
struct JsonLines<W> {
    clock: Clock,
    service: String,
    write: fn() -> W,
}

/// The fields of a span, stored in its extensions.
struct Fields(Map<String, Value>);

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: Write + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Map::new();
        attributes.record(&mut Into(&mut fields));
        span.extensions_mut().insert(Fields(fields));
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Map::new();
        line.insert("level".to_owned(), level_name(*event.metadata().level()).into());
        line.insert("timestamp".to_owned(), self.clock.utc().to_rfc3339_opts(SecondsFormat::Millis, true).into());
        line.insert("service".to_owned(), self.service.clone().into());
        for span in context.event_scope(event).into_iter().flat_map(tracing_subscriber::registry::Scope::from_root) {
            if let Some(Fields(fields)) = span.extensions().get() {
                line.extend(fields.clone());
            }
        }
        event.record(&mut Into(&mut line));
        let mut text = Value::Object(line).to_string();
        text.push('\n');
        // There is no place to report that the log cannot be written.
        drop((self.write)().write_all(text.as_bytes()));
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::TRACE => "TRACE",
        Level::DEBUG => "DEBUG",
        Level::INFO => "INFO",
        Level::WARN => "WARN",
        Level::ERROR => "ERROR",
    }
}

/// Collects fields as JSON, except empty texts.
struct Into<'a>(&'a mut Map<String, Value>);

impl Visit for Into<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if !value.is_empty() {
            self.0.insert(field.name().to_owned(), value.into());
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};
    use std::time::{Duration, SystemTime};

    use super::*;

    static WRITTEN: Mutex<Vec<u8>> = Mutex::new(Vec::new());

    struct Memory;

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            WRITTEN.lock().unwrap_or_else(PoisonError::into_inner).extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_fields_of_spans_and_events_stand_at_the_top() {
        let clock = Clock::starting_at(SystemTime::UNIX_EPOCH + Duration::from_secs(1));
        let layer = JsonLines { clock, service: "svc".to_owned(), write: || Memory };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let outer = tracing::info_span!("invocation", function_request_id = "request-1", cold_start = true);
            let _outer = outer.enter();
            let inner = tracing::info_span!("request", correlation_id = "event-1");
            let _inner = inner.enter();
            tracing::warn!(waited_ms = 42_u64, key = "", stream = %"orders", "stream settled");
        });
        let written = WRITTEN.lock().expect("unpoisoned");
        let line: Value = serde_json::from_slice(&written).expect("one line of JSON");
        assert_eq!(
            line,
            serde_json::json!({
                "level": "WARN", "timestamp": "1970-01-01T00:00:01.000Z", "service": "svc", "message": "stream settled",
                "function_request_id": "request-1", "cold_start": true, "correlation_id": "event-1", "waited_ms": 42, "stream": "orders",
            })
        );
    }

    #[test]
    fn the_span_that_carries_the_request_id_passes_the_filter() {
        let filter = filter("INFO");
        for (target, level, passes) in [
            ("bootstrap", Level::INFO, true),
            ("kinesis_encryption_enforcer::handler", Level::INFO, true),
            ("kinesis_encryption_enforcer::handler", Level::DEBUG, false),
            ("hyper_util::client", Level::INFO, false),
            ("aws_smithy_runtime", Level::WARN, true),
        ] {
            assert_eq!(filter.would_enable(target, &level), passes, "{target} {level}");
        }
    }

    #[test]
    fn levels_are_lambdas() {
        assert_eq!(level("FATAL"), LevelFilter::ERROR);
        assert_eq!(level("debug"), LevelFilter::DEBUG);
        assert_eq!(level("INFO"), LevelFilter::INFO);
    }
}
