//! Reads the function's log: there every outcome is told, also those of an SQS batch, which has no
//! answer that could.

use std::collections::BTreeMap;
use std::fmt::Debug;

use kinesis_encryption_enforcer::clock::Clock;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::story::{Line, Told};

/// The span of an invocation.
pub(crate) const SPAN: &str = "simulated invocation";

pub(crate) struct Watch {
    pub(crate) clock: Clock,
    pub(crate) told: Told,
}

struct Number(usize);

#[derive(Default)]
struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Watch {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if attributes.metadata().name() != SPAN {
            return;
        }
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let (Some(span), Some(Ok(number))) = (context.span(id), fields.0.get("number").map(|text| text.parse())) {
            span.extensions_mut().insert(Number(number));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if !event.metadata().target().starts_with("kinesis_encryption_enforcer") {
            return;
        }
        let number = context
            .event_scope(event)
            .and_then(|mut spans| spans.find_map(|span| span.extensions().get::<Number>().map(|number| number.0)));
        let Some(invocation) = number else { return };
        let mut fields = Fields::default();
        event.record(&mut fields);
        let message = fields.0.remove("message").unwrap_or_default();
        self.told.lock().log.push(Line { invocation, at: self.clock.utc(), message, fields: fields.0 });
    }
}
