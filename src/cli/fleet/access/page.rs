//! The answers as a section of the HTML report, with a picture of every stream's users.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use maud::{Markup, html};

use super::super::answer::{Counts, Line, StreamAccess, label};
use super::super::chart::{bar, colour, legend, subject};
use super::super::row::Row;
use crate::cli::paint::counted;
use crate::cli::visible::visible;

/// The section: the shares of the answers, those of each stream, each answer with its reason, and
/// what was not read.
pub(in crate::cli::fleet) fn section(rows: &[Row], not_read: &BTreeSet<String>, has_places: bool) -> Markup {
    let mut streams: Vec<(&Row, &StreamAccess, Counts)> = Vec::new();
    for row in rows {
        if let Some(access) = &row.access {
            streams.push((row, access, Counts::of(&access.users)));
        }
    }
    // Streams with the most users who would lose access come first, then as in the rest of the page.
    streams.sort_by_key(|(_, _, counts)| Reverse(*counts));
    let whole = Counts::of(streams.iter().flat_map(|(_, access, _)| &access.users));
    let most = streams.iter().map(|(.., counts)| counts.total()).max().unwrap_or_default();
    let mut lines: Vec<_> = streams
        .iter()
        .flat_map(|(row, stream, _)| stream.users.iter().map(move |user| (*row, Line { stream, user })))
        .collect();
    lines.sort_by_key(|(_, line)| line.rank());
    let unused: Vec<_> = streams.iter().filter(|(_, access, _)| access.has_no_known_user()).collect();
    let unasked: Vec<_> = rows.iter().filter(|row| row.access.is_none()).collect();
    html! {
        section #access aria-labelledby="access-title" {
            h2 #access-title { "Who may use the keys" }
            p .made {
                "Kinesis calls KMS with the permissions of a stream's producers and consumers. "
                "These are the known users of the streams, and whether each may use the key that its stream is to have."
            }
            @if whole.total() > 0 {
                figure {
                    figcaption { (counted(whole.total(), "use")) " of " (counted(streams.len(), "stream")) }
                    (bar(&whole.parts(), whole.total(), &format!("Answers: {}", whole.in_words())))
                    (legend(&whole.parts()))
                }
                figure {
                    figcaption { "Users of each stream" }
                    ul .shares {
                        @for (row, _, counts) in streams.iter().filter(|(.., counts)| counts.total() > 0) {
                            li {
                                span { (subject(row, has_places)) }
                                (bar(&counts.parts(), most, &format!("{}: {}", row.stream, counts.in_words())))
                                span .made { (counts.in_words()) }
                            }
                        }
                    }
                }
                div .scroll tabindex="0" role="region" aria-label="Users of the streams" { (table(&lines, has_places)) }
            } @else {
                p { "No user of a stream is known." }
            }
            @if !(unused.is_empty() && unasked.is_empty() && not_read.is_empty()) {
                h3 { "Not known" }
                ul .findings {
                    @if !unused.is_empty() {
                        li {
                            "No user is known of " (counted(unused.len(), "stream")) ", which may have users all the same: "
                            (names(unused.iter().map(|(row, ..)| *row), has_places))
                        }
                    }
                    @if !unasked.is_empty() {
                        li {
                            "The users of " (counted(unasked.len(), "stream")) " were not read: "
                            (names(unasked.iter().copied(), has_places))
                        }
                    }
                    @for not_read in not_read { li { "Not read: " (not_read) } }
                }
            }
        }
    }
}

fn names<'a>(rows: impl Iterator<Item = &'a Row>, has_places: bool) -> Markup {
    html! {
        @for (index, row) in rows.enumerate() { @if index > 0 { ", " } (subject(row, has_places)) }
    }
}

const HEADINGS: [&str; 6] = ["Principal", "Stream", "As", "Answer", "Reason", "Known by"];

/// Every answer, those who lose access first.
fn table(lines: &[(&Row, Line<'_>)], has_places: bool) -> Markup {
    let [_, stream, uses, answer, reason, known_by] = HEADINGS;
    html! {
        table .cards {
            thead { tr { @for head in HEADINGS { th scope="col" { (head) } } } }
            tbody {
                @for (row, line) in lines {
                    tr {
                        th .principal scope="row" { (visible(&line.user.principal)) }
                        td data-head=(stream) { (subject(row, has_places)) }
                        td data-head=(uses) { (line.uses()) }
                        td data-head=(answer) {
                            span .decision .(colour(label(&line.user.verdict), 0)) { (line.answer()) }
                        }
                        td .why data-head=(reason) { (visible(&line.reason())) }
                        td .why data-head=(known_by) { (visible(&line.known_by())) }
                    }
                }
            }
        }
    }
}
