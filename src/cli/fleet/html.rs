//! The report as one HTML file: no network, no script from elsewhere, light and dark, printable.

use std::collections::BTreeMap;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::posture::{Report, VERSION};
use super::row::{Row, short_key};
use crate::domain::outcome::{Status, Warning};

const STYLE: &str = include_str!("report.css");
const SCRIPT: &str = include_str!("report.js");

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let rows = &report.rows;
    let right = rows.iter().filter(|row| row.is_right()).count();
    let by_decision = counted(rows, |row| row.status.as_str().to_owned());
    let by_key = counted(rows, |row| {
        if row.present_key.is_none() { "not encrypted".to_owned() } else { short_key(row.present_key.as_deref()) }
    });
    let of = |status: Status| rows.iter().filter(move |row| row.status == status).collect::<Vec<_>>();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";
                title { "Kinesis encryption: " (right) " of " (rows.len()) " streams are right" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { "Encryption of Kinesis data streams" }
                    p .made {
                        "Made at " time datetime=(report.time()) { (report.time()) } " by kinesis-encryption-enforcer " (VERSION)
                        @if let Some(first) = rows.first() { ", account " (first.account.as_deref().unwrap_or("unknown")) ", " (regions(rows)) }
                    }
                    section .summary aria-label="Summary" {
                        figure {
                            p .share { strong { (right) } " of " (rows.len()) " streams are encrypted with the right key" }
                            (bar(&[("right".to_owned(), right), ("other".to_owned(), rows.len() - right)], "Share of streams that are right"))
                        }
                        figure { figcaption { "By decision" } (bar(&by_decision, "Streams by decision")) (legend(&by_decision)) }
                        figure { figcaption { "By present key" } (bar(&by_key, "Streams by present key")) (legend(&by_key)) }
                    }
                    (listed("Keys at risk", &of(Status::KeyAtRisk)))
                    (listed("Contested", &of(Status::Contested)))
                    (listed("Failed", &of(Status::Failed)))
                    (exemptions(&of(Status::Exempt)))
                    h2 { "All streams" }
                    p .controls {
                        label for="filter" { "Filter" }
                        input #filter type="search" placeholder="a name, a key, a decision …" autocomplete="off";
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

/// How many rows there are of each kind, the most frequent first.
fn counted(rows: &[Row], kind: impl Fn(&Row) -> String) -> Vec<(String, usize)> {
    let mut counts = BTreeMap::<String, usize>::new();
    for row in rows {
        *counts.entry(kind(row)).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}

/// A name for CSS: decisions have their own colours, keys take turns.
fn colour(kind: &str, index: usize) -> String {
    let is_own =
        Status::ALL.iter().any(|status| status.as_str() == kind) || matches!(kind, "right" | "other" | "not encrypted");
    if is_own { format!("c-{}", kind.replace(' ', "-")) } else { format!("k-{}", index % 6) }
}

fn bar(parts: &[(String, usize)], title: &str) -> Markup {
    let total = parts.iter().map(|(_, count)| count).sum::<usize>().max(1);
    let mut before = 0;
    let spans: Vec<_> = parts
        .iter()
        .enumerate()
        .map(|(index, (kind, count))| {
            let x = before;
            before += count;
            (colour(kind, index), kind, *count, x * 1000 / total, before * 1000 / total - x * 1000 / total)
        })
        .collect();
    html! {
        svg viewBox="0 0 1000 40" preserveAspectRatio="none" role="img" aria-label=(title) {
            title { (title) }
            @for (class, kind, count, x, width) in spans {
                rect class=(class) x=(x) y="0" width=(width) height="40" { title { (kind) ": " (count) } }
            }
        }
    }
}

fn legend(parts: &[(String, usize)]) -> Markup {
    html! {
        ul .legend {
            @for (index, (kind, count)) in parts.iter().enumerate() {
                li { span .dot .(colour(kind, index)) aria-hidden="true" {} (kind) " " strong { (count) } }
            }
        }
    }
}

/// A section of streams that ask for a person; nothing where there are none.
fn listed(title: &str, rows: &[&Row]) -> Markup {
    html! {
        @if !rows.is_empty() {
            h2 { (title) }
            ul .findings {
                @for row in rows {
                    li {
                        strong { (row.stream) } ": " (row.outcome.reason)
                        @if let Some(failure) = &row.outcome.error { br; span .remedy { (failure.remedy) } }
                    }
                }
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
                        @if row.outcome.warnings.contains(&Warning::ExemptionWithoutEnd) { " " span .tag { "no end" } }
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
                    @for head in ["Stream", "Region", "State", "Present key", "Wanted key", "Decision", "Rule", "Reason"] {
                        th scope="col" aria-sort="none" { button type="button" { (head) } }
                    }
                }
            }
            tbody {
                @for row in rows {
                    tr {
                        th scope="row" title=(row.arn.as_deref().unwrap_or_default()) { (row.stream) }
                        td { (row.region) }
                        td { (row.state.as_deref().unwrap_or("–")) }
                        td .key title=(row.present_key.as_deref().unwrap_or("not encrypted")) { (short_key(row.present_key.as_deref())) }
                        td .key title=(row.wanted_key.as_deref().unwrap_or_default()) { (short_key(row.wanted_key.as_deref())) }
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

fn tag(warning: &Warning) -> Markup {
    let value = serde_json::to_value(warning).unwrap_or_default();
    let code = value["code"].as_str().unwrap_or_default().to_owned();
    let fields = value.as_object().into_iter().flatten().filter(|(name, _)| *name != "code");
    let fields: Vec<_> = fields.map(|(name, value)| format!("{name}: {value}")).collect();
    html! { span .tag title=(fields.join(", ")) { (code) } }
}
