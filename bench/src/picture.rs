//! docs/contributing/performance.svg: three comparisons as bars, in light and dark, without a script, a font or
//! a link.

use std::fmt::Write;

use crate::group::{MEMORY_MB, Means};
use crate::page::number;
use crate::statistics::Summary;
use crate::subject::{Scenario, Subject};

const WIDTH: f64 = 760.0;
/// Where bars begin, and how long the longest is: behind it is room for its value.
const LEFT: f64 = 210.0;
const LONGEST: f64 = 460.0;
const ROW: f64 = 24.0;
const BAR: f64 = 14.0;
const TITLE: f64 = 34.0;

const STYLE: &str = "text{font:13px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#1f2328}.title{font-weight:600}.value{fill:#59636e}\
.bar{fill:#8c959f}.ours{fill:#0969da}.base{stroke:#d1d9e0}\
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.value{fill:#9198a1}.bar{fill:#6e7681}.ours{fill:#4493f8}.base{stroke:#3d444d}}";

/// What a group of bars shows: its title, the value of a row, its unit.
type Group = (String, fn(&Summary) -> f64, &'static str);

/// The picture of what happens to a new stream.
pub(crate) fn draw(summaries: &[Summary], means: &Means) -> String {
    let rows: Vec<_> = summaries.iter().filter(|summary| summary.scenario == Scenario::Encrypt).collect();
    let cap = match means {
        Means::Nothing(_) => "without a cap".to_owned(),
        Means::V1 { .. } | Means::V2 { .. } => format!("at {MEMORY_MB} MB"),
    };
    let groups: [Group; 3] = [
        (
            format!("Cold start {cap}: from the process's start until the stream's encryption is started"),
            Summary::cold_start,
            "ms",
        ),
        ("Processor time of an event in a warm process".to_owned(), |row| row.warm.processor.median, "ms"),
        ("Peak memory".to_owned(), |row| row.memory.median, "MiB"),
    ];
    let mut body = String::new();
    let mut top = 0.0;
    let mut description = String::new();
    // Writing to a String cannot fail.
    for (title, value, unit) in groups {
        let most = rows.iter().map(|row| value(row)).fold(f64::MIN_POSITIVE, f64::max);
        let _ = writeln!(body, r#"<text class="title" x="0" y="{}">{title}</text>"#, top + 20.0);
        let _ = write!(description, "{title}: ");
        top += TITLE;
        for row in &rows {
            let value = value(row);
            let middle = top + ROW / 2.0;
            let class = if row.subject == Subject::Enforcer { "ours" } else { "bar" };
            let width = (value / most * LONGEST).max(1.0);
            let _ = writeln!(
                body,
                r#"<text x="{}" y="{}" text-anchor="end">{}</text><rect class="{class}" x="{LEFT}" y="{}" width="{width:.1}" height="{BAR}"/><text class="value" x="{:.1}" y="{}">{} {unit}</text>"#,
                LEFT - 8.0,
                middle + 4.5,
                name(row.subject),
                middle - BAR / 2.0,
                LEFT + width + 6.0,
                middle + 4.5,
                number(value),
            );
            let _ = write!(description, "{} {} {unit}; ", name(row.subject), number(value));
            top += ROW;
        }
        let _ = writeln!(
            body,
            r#"<path class="base" d="M{LEFT} {}V{}"/>"#,
            top - ROW * number_of(rows.len()) - 2.0,
            top + 2.0
        );
        top += 12.0;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {top}\" width=\"{WIDTH}\" height=\"{top}\" role=\"img\" aria-labelledby=\"t d\">\n\
         <title id=\"t\">A new stream's event, handled by four programs</title>\n<desc id=\"d\">{}</desc>\n<style>{STYLE}</style>\n{body}</svg>\n",
        description.trim_end_matches("; ")
    )
}

/// Shorter than in tables.
fn name(subject: Subject) -> &'static str {
    match subject {
        Subject::Enforcer => "kinesis-encryption-enforcer",
        Subject::Floor => "the same calls by hand",
        Subject::Boto3 | Subject::Custodian => subject.label(),
    }
}

fn number_of(rows: usize) -> f64 {
    f64::from(u32::try_from(rows).unwrap_or(u32::MAX))
}
