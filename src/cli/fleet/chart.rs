//! What the HTML page draws more than once: bars, their legends, and the name of a stream.

use maud::{Markup, html};

use super::answer::ANSWERS;
use super::row::Row;
use crate::domain::outcome::Status;

/// Labels that have a colour of their own, as every status has: see [`colour`].
pub(super) const AS_CONFIGURED: &str = "encrypted as configured";
pub(super) const OTHER: &str = "other";
pub(super) const NOT_ENCRYPTED: &str = "not encrypted";

/// The CSS class of a label: each status has a colour of its own, keys use six colours in turn.
pub(super) fn colour(label: &str, index: usize) -> String {
    let has_own_colour = Status::ALL.iter().any(|status| status.as_str() == label)
        || matches!(label, AS_CONFIGURED | OTHER | NOT_ENCRYPTED)
        || ANSWERS.contains(&label);
    if has_own_colour { format!("c-{}", label.replace(' ', "-")) } else { format!("k-{}", index % 6) }
}

/// The parts, one beside the other; `total` is as wide as the page.
pub(super) fn bar(parts: &[(String, usize)], total: usize, title: &str) -> Markup {
    let total = total.max(1);
    let mut before = 0;
    let spans: Vec<_> = parts
        .iter()
        .enumerate()
        .map(|(index, (label, count))| {
            let x = before;
            before += count;
            (colour(label, index), label, *count, x * 1000 / total, before * 1000 / total - x * 1000 / total)
        })
        .collect();
    html! {
        svg viewBox="0 0 1000 40" preserveAspectRatio="none" role="img" aria-label=(title) {
            title { (title) }
            @for (class, label, count, x, width) in spans {
                rect class=(class) x=(x) y="0" width=(width) height="40" { title { (label) ": " (count) } }
            }
        }
    }
}

pub(super) fn legend(parts: &[(String, usize)]) -> Markup {
    html! {
        ul .legend {
            @for (index, (label, count)) in parts.iter().enumerate() {
                li { span .dot .(colour(label, index)) aria-hidden="true" {} (label) " " strong { (count) } }
            }
        }
    }
}

/// The stream, and where it is if the report covers several accounts or Regions.
pub(super) fn subject(row: &Row, has_places: bool) -> Markup {
    html! {
        strong { (row.stream) }
        @if has_places { " (" (row.account.as_deref().unwrap_or("unknown")) ", " (row.region) ")" }
    }
}
