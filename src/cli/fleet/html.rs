//! The report as an HTML page for people: a single file that works offline, in light and dark mode
//! and in print.

use std::collections::{BTreeMap, BTreeSet};

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::Survey;
use super::access::section;
use super::chart::{AS_CONFIGURED, NOT_ENCRYPTED, OTHER, bar, colour, legend, subject};
use super::places::FailedPlace;
use super::posture::{FleetReport, VERSION, warning_texts};
use super::row::{Row, short_key};
use super::scope::Scope;
use super::since::Changes;
use crate::cli::paint::{counted, rfc3339};
use crate::domain::mode::Mode;
use crate::domain::outcome::{Outcome, Status, Warning};

const STYLE: &str = include_str!("report.css");
const SCRIPT: &str = include_str!("report.js");
/// The SHA-256 hash of the script, in Base64: the only script that the page allows.
///
/// Source: <https://www.w3.org/TR/CSP3/>.
const SCRIPT_HASH: &str = "1/G0yykwRYceDZb4X0NtgHUynh+rdlsWw+Lk5HYX90w=";

/// The whole page.
pub(super) fn page(report: &FleetReport) -> String {
    let Survey { rows, keys_at_risk, failed_regions, not_read, .. } = &report.survey.visible();
    let encrypted = rows.iter().filter(|row| row.is_encrypted_as_configured()).count();
    let described = rows.iter().filter(|row| row.state.is_some()).count();
    let unencrypted = rows.iter().filter(|row| row.state.is_some() && row.current_key.is_none()).count();
    let scopes: Vec<Scope> = report.scopes.iter().map(Scope::visible).collect();
    let by_decision = counts(rows, |row| row.status.as_str().to_owned());
    let by_key = counts(rows, |row| {
        if row.state.is_none() {
            "unknown".to_owned()
        } else if row.current_key.is_none() {
            NOT_ENCRYPTED.to_owned()
        } else {
            short_key(row.current_key.as_deref())
        }
    });
    let share = [(AS_CONFIGURED.to_owned(), encrypted), (OTHER.to_owned(), rows.len() - encrypted)];
    let has_places = rows.iter().any(|row| (&row.account, &row.region) != (&rows[0].account, &rows[0].region));
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
                    }
                    section .headlines aria-label="Headlines" {
                        p { strong { (percent(encrypted, rows.len())) } " encrypted as configured" br; (encrypted) " of " (counted(rows.len(), "stream")) }
                        p { strong { (unencrypted) } " not encrypted" br; "of " (counted(described, "stream")) " that could be described" }
                    }
                    section .summary aria-label="Summary" {
                        figure { figcaption { "Encrypted as configured" } (bar(&share, rows.len(), "Share of streams that are encrypted as configured")) (legend(&share)) }
                        figure { figcaption { "By decision" } (bar(&by_decision, rows.len(), "Streams by decision")) (legend(&by_decision)) }
                        figure { figcaption { "By current key" } (bar(&by_key, rows.len(), "Streams by current key")) (legend(&by_key)) }
                    }
                    (scope(&scopes))
                    (changes(report.changes.as_ref()))
                    (not_covered(failed_regions))
                    @if report.with_users { (section(rows, not_read, has_places)) }
                    (expiring(keys_at_risk))
                    (listed("Keys at risk", &of(Status::KeyAtRisk), has_places))
                    (listed("Contested", &of(Status::Contested), has_places))
                    (listed("Failed", &of(Status::Failed), has_places))
                    (exemptions(&of(Status::Exempt), has_places))
                    h2 { "All streams" }
                    p .controls {
                        label for="filter" { "Filter" }
                        input #filter type="search" placeholder="Stream, key, decision …" autocomplete="off";
                        output #shown for="filter" aria-live="polite" { (rows.len()) " streams" }
                    }
                    div .scroll tabindex="0" role="region" aria-label="All streams" { (table(rows)) }
                    (keys(rows))
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

/// A share in per cent, rounded: what is not complete is not 100%, and what is not nothing not 0%.
fn percent(part: usize, whole: usize) -> String {
    match (part * 200 + whole).checked_div(whole * 2) {
        None => "–".to_owned(),
        Some(rounded) if 0 < part && part < whole => format!("{}%", rounded.clamp(1, 99)),
        Some(rounded) => format!("{rounded}%"),
    }
}

/// What the report covers, and by which settings.
fn scope(scopes: &[Scope]) -> Markup {
    html! {
        @if !scopes.is_empty() { h2 { "Scope and settings" } }
        @for scope in scopes {
            dl .scope {
                (fact("Account", scope.account.as_deref().unwrap_or("unknown")))
                (fact("Region", &scope.region))
                (fact("Streams", &scope.streams.as_ref().map_or_else(|| "all".to_owned(), |streams| streams.join(", "))))
                (fact("Caller", scope.caller.as_deref().unwrap_or("unknown: STS did not answer")))
                (fact("Mode (ENFORCEMENT_MODE)", if scope.mode == Mode::Audit { "audit" } else { "enforce" }))
                (fact("Configured key (KMS_KEY_ID)", &scope.configured_key))
                (fact("Other keys (ON_OTHER_KEY)", scope.on_other_key))
                (fact("Exemption tag (EXEMPT_TAG_KEY)", scope.exempt_tag_key.as_deref().unwrap_or("off")))
                @match &scope.policy {
                    None => (fact("Policy", "none")),
                    Some(policy) => {
                        (fact("Policy", &format!("{}, {}", policy.source, counted(policy.rules, "rule"))))
                        (fact("SHA-256 of the policy", policy.sha256.as_deref().unwrap_or("unknown: the policy cannot be read again")))
                    }
                }
            }
        }
    }
}

fn fact(name: &str, value: &str) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

/// What changed since an earlier report; nothing if none was given.
fn changes(changes: Option<&Changes>) -> Markup {
    html! {
        @if let Some(changes) = changes {
            h2 { "Changes since " (rfc3339(changes.since)) }
            p { (changes.summary()) @if let Some(note) = changes.note() { ". " (note) } }
            ul .findings {
                @for change in changes.visible() {
                    li { strong { (change.stream) } " (" (change.account.as_deref().unwrap_or("unknown")) ", " (change.region) "): " (change.kind.text()) ": " (change.text()) }
                }
            }
        }
    }
}

/// The full ARNs of the keys that the table shows in short.
fn keys(rows: &[Row]) -> Markup {
    let keys: BTreeSet<&str> =
        rows.iter().flat_map(|row| [&row.current_key, &row.configured_key]).filter_map(|key| key.as_deref()).collect();
    html! {
        @if !keys.is_empty() {
            h2 { "Keys" }
            dl .keys { @for key in keys { div { dt { (short_key(Some(key))) } dd { (key) } } } }
        }
    }
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

/// A section of streams that need attention, with their remedies; nothing if there are none.
fn listed(title: &str, rows: &[&Row], has_places: bool) -> Markup {
    html! {
        @if !rows.is_empty() {
            h2 { (title) }
            ul .findings {
                @for row in rows {
                    li {
                        (subject(row, has_places)) ": " (row.outcome.reason)
                        @if let Some(failure) = &row.outcome.error { span .remedy { "Remedy: " (failure.remedy) } }
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

fn exemptions(rows: &[&Row], has_places: bool) -> Markup {
    html! {
        @if !rows.is_empty() {
            h2 { "Exemptions" }
            ul .findings {
                @for row in rows {
                    li {
                        (subject(row, has_places)) ": " (row.outcome.reason)
                        @if row.outcome.warnings.contains(&Warning::ExemptionWithoutEnd) { " " span .tag { "no end date" } }
                    }
                }
            }
        }
    }
}

const HEADINGS: [&str; 9] =
    ["Stream", "Account", "Region", "State", "Current key", "Configured key", "Decision", "Rule", "Reason"];

fn table(rows: &[Row]) -> Markup {
    let [_, account, region, state, current_key, configured_key, decision, rule, reason] = HEADINGS;
    html! {
        table #streams .cards {
            thead {
                tr { @for head in HEADINGS { th scope="col" aria-sort="none" { button type="button" { (head) } } } }
            }
            tbody {
                @for row in rows {
                    tr data-keys={ (row.current_key.as_deref().unwrap_or("not encrypted")) " " (row.configured_key.as_deref().unwrap_or_default()) } {
                        th scope="row" { (row.stream) }
                        td data-head=(account) { (row.account.as_deref().unwrap_or("–")) }
                        td data-head=(region) { (row.region) }
                        td data-head=(state) { (row.state.as_deref().unwrap_or("–")) }
                        td .key data-head=(current_key) { (short_key(row.current_key.as_deref())) }
                        td .key data-head=(configured_key) { (short_key(row.configured_key.as_deref())) }
                        td data-head=(decision) { span .decision .(colour(row.status.as_str(), 0)) { (row.status.as_str()) } }
                        td data-head=(rule) { (row.outcome.rule.as_deref().unwrap_or("–")) }
                        td .reason data-head=(reason) {
                            (row.outcome.reason)
                            @for warning in warning_texts(row) { span .warning { "Warning: " (warning) } }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_and_neither_nothing_nor_all_unless_it_is() {
        for (part, whole, expected) in [
            (0, 0, "–"),
            (0, 15, "0%"),
            (4, 15, "27%"),
            (1, 3, "33%"),
            (1, 8, "13%"),
            (1, 1_000, "1%"),
            (999, 1_000, "99%"),
            (15, 15, "100%"),
        ] {
            assert_eq!(percent(part, whole), expected, "{part} of {whole}");
        }
    }

    #[test]
    fn the_hash_that_allows_the_script_is_that_of_the_script() {
        let suite = rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13().expect("a suite of TLS 1.3");
        let hash = suite.common.hash_provider.hash(SCRIPT.as_bytes());
        assert_eq!(aws_smithy_types::base64::encode(hash), SCRIPT_HASH);
    }
}
