//! The report as an HTML page for people: a single file that works offline, in light and dark mode
//! and in print.

use std::collections::BTreeMap;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::Survey;
use super::places::FailedPlace;
use super::posture::{FleetReport, VERSION};
use super::row::{Row, short_key};
use crate::cli::paint::warning_text;
use crate::domain::outcome::{Outcome, Status, Warning};

const STYLE: &str = include_str!("report.css");
const SCRIPT: &str = include_str!("report.js");
/// The SHA-256 hash of the script, in Base64: the only script that the page allows.
///
/// Source: <https://www.w3.org/TR/CSP3/>.
const SCRIPT_HASH: &str = "1tQUvAU/8dJn482i1DhZ6RjcPTvhoBi6WmQKanKu/e4=";

/// Labels that have a colour of their own, as every status has: see [`colour`].
const AS_CONFIGURED: &str = "encrypted as configured";
const OTHER: &str = "other";
const NOT_ENCRYPTED: &str = "not encrypted";

/// The whole page.
pub(super) fn page(report: &FleetReport) -> String {
    let Survey { rows, keys_at_risk, failed_regions } = &report.survey.visible();
    let encrypted = rows.iter().filter(|row| row.is_encrypted_as_configured()).count();
    let by_decision = counts(rows, |row| row.status.as_str().to_owned());
    let by_key = counts(rows, |row| {
        if row.current_key.is_none() { NOT_ENCRYPTED.to_owned() } else { short_key(row.current_key.as_deref()) }
    });
    let share = [(AS_CONFIGURED.to_owned(), encrypted), (OTHER.to_owned(), rows.len() - encrypted)];
    let of = |status: Status| rows.iter().filter(move |row| row.status == status).collect::<Vec<_>>();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content={
                    "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-" (SCRIPT_HASH) "'; img-src data:"
                };
                title { "Kinesis encryption: " (encrypted) " of " (rows.len()) " streams are encrypted as configured" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { "Encryption of Kinesis data streams" }
                    p .made {
                        "Generated at " time datetime=(report.time()) { (report.time()) } " by kinesis-encryption-enforcer " (VERSION)
                        @if let Some(first) = rows.first() { " for account " (first.account.as_deref().unwrap_or("unknown")) " in " (regions(rows)) }
                    }
                    section .summary aria-label="Summary" {
                        figure {
                            p .share { strong { (encrypted) } " of " (rows.len()) " streams are encrypted as configured" }
                            (bar(&share, "Share of streams that are encrypted as configured"))
                        }
                        figure { figcaption { "By decision" } (bar(&by_decision, "Streams by decision")) (legend(&by_decision)) }
                        figure { figcaption { "By current key" } (bar(&by_key, "Streams by current key")) (legend(&by_key)) }
                    }
                    (not_covered(failed_regions))
                    (expiring(keys_at_risk))
                    (listed("Keys at risk", &of(Status::KeyAtRisk)))
                    (listed("Contested", &of(Status::Contested)))
                    (listed("Failed", &of(Status::Failed)))
                    (exemptions(&of(Status::Exempt)))
                    h2 { "All streams" }
                    p .controls {
                        label for="filter" { "Filter" }
                        input #filter type="search" placeholder="Stream, key, decision …" autocomplete="off";
                        output #shown for="filter" aria-live="polite" { (rows.len()) " streams" }
                    }
                    div .scroll tabindex="0" role="region" aria-label="All streams" { (table(rows)) }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

fn regions(rows: &[Row]) -> String {
    let mut regions: Vec<_> = rows.iter().map(|row| row.region.as_str()).collect();
    regions.sort_unstable();
    regions.dedup();
    regions.join(", ")
}

/// The number of rows with each label, the most frequent first.
fn counts(rows: &[Row], label: impl Fn(&Row) -> String) -> Vec<(String, usize)> {
    let mut counts = BTreeMap::<String, usize>::new();
    for row in rows {
        *counts.entry(label(row)).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}

/// The CSS class of a label: each status has a colour of its own, keys use six colours in turn.
fn colour(label: &str, index: usize) -> String {
    let has_own_colour = Status::ALL.iter().any(|status| status.as_str() == label)
        || matches!(label, AS_CONFIGURED | OTHER | NOT_ENCRYPTED);
    if has_own_colour { format!("c-{}", label.replace(' ', "-")) } else { format!("k-{}", index % 6) }
}

fn bar(parts: &[(String, usize)], title: &str) -> Markup {
    let total = parts.iter().map(|(_, count)| count).sum::<usize>().max(1);
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

fn legend(parts: &[(String, usize)]) -> Markup {
    html! {
        ul .legend {
            @for (index, (label, count)) in parts.iter().enumerate() {
                li { span .dot .(colour(label, index)) aria-hidden="true" {} (label) " " strong { (count) } }
            }
        }
    }
}

/// A section of streams that need attention, with their remedies; nothing if there are none.
fn listed(title: &str, rows: &[&Row]) -> Markup {
    html! {
        @if !rows.is_empty() {
            h2 { (title) }
            ul .findings {
                @for row in rows {
                    li {
                        strong { (row.stream) } ": " (row.outcome.reason)
                        @if let Some(failure) = &row.outcome.error { br; span .remedy { "Remedy: " (failure.remedy) } }
                    }
                }
            }
        }
    }
}

/// A section of the places that did not answer; nothing if all did.
fn not_covered(failed: &[FailedPlace]) -> Markup {
    html! {
        @if !failed.is_empty() {
            h2 { "Not in this report" }
            ul .findings {
                @for failed in failed { li { strong { (failed.place()) } ": " (failed.error) } }
            }
        }
    }
}

/// A section of keys whose imported material is about to expire; nothing if there are none.
fn expiring(keys: &[Outcome]) -> Markup {
    html! {
        @if !keys.is_empty() {
            h2 { "Expiring keys" }
            ul .findings {
                @for key in keys { li { strong { (key.key.as_deref().unwrap_or_default()) } ": " (key.reason) } }
            }
        }
    }
}

fn exemptions(rows: &[&Row]) -> Markup {
    html! {
        @if !rows.is_empty() {
            h2 { "Exemptions" }
            ul .findings {
                @for row in rows {
                    li {
                        strong { (row.stream) } ": " (row.outcome.reason)
                        @if row.outcome.warnings.contains(&Warning::ExemptionWithoutEnd) { " " span .tag { "no end date" } }
                    }
                }
            }
        }
    }
}

fn table(rows: &[Row]) -> Markup {
    html! {
        table #streams {
            thead {
                tr {
                    @for head in ["Stream", "Region", "State", "Current key", "Configured key", "Decision", "Rule", "Reason"] {
                        th scope="col" aria-sort="none" { button type="button" { (head) } }
                    }
                }
            }
            tbody {
                @for row in rows {
                    tr {
                        th scope="row" title=[row.arn.as_ref()] { (row.stream) }
                        td { (row.region) }
                        td { (row.state.as_deref().unwrap_or("–")) }
                        td .key title=(row.current_key.as_deref().unwrap_or("not encrypted")) { (short_key(row.current_key.as_deref())) }
                        td .key title=(row.configured_key.as_deref().unwrap_or_default()) { (short_key(row.configured_key.as_deref())) }
                        td { span .decision .(colour(row.status.as_str(), 0)) { (row.status.as_str()) } }
                        td { (row.outcome.rule.as_deref().unwrap_or("–")) }
                        td .reason {
                            (row.outcome.reason)
                            @for warning in &row.outcome.warnings { " " (tag(warning)) }
                        }
                    }
                }
            }
        }
    }
}

/// A warning by its code, with its text as the tooltip.
fn tag(warning: &Warning) -> Markup {
    let warning = serde_json::to_value(warning).unwrap_or_default();
    html! { span .tag title=(warning_text(&warning)) { (warning["code"].as_str().unwrap_or_default()) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_that_allows_the_script_is_that_of_the_script() {
        let suite = rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13().expect("a suite of TLS 1.3");
        let hash = suite.common.hash_provider.hash(SCRIPT.as_bytes());
        assert_eq!(aws_smithy_types::base64::encode(hash), SCRIPT_HASH);
    }
}
