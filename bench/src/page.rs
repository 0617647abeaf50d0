//! The generated part of docs/contributing/PERFORMANCE.md.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::Problem;
use crate::group::{MEMORY_MB, Means};
use crate::statistics::{Event, Spread, Summary};
use crate::subject::{Scenario, Subject};

const BEGIN: &str = "<!-- bench: written by `make bench` -->\n";
const END: &str = "<!-- bench: end -->";

/// Where and how it was measured.
pub(crate) fn conditions(rounds: usize, means: &Means) -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let model = field(&read("/proc/cpuinfo"), "model name");
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let memory = memory.trim_end_matches(" kB").parse::<f64>().unwrap_or_default() / 1024.0 / 1024.0;
    // Of the last five minutes, and of whatever the machine did: the higher it is, the longer all
    // waits.
    let load = read("/proc/loadavg");
    let load = load.split(' ').nth(1).unwrap_or("unknown");
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let cap = match means {
        Means::Nothing(_) => "**uncapped**, because this machine's control groups cannot be written".to_owned(),
        Means::V1 { .. } => {
            format!("capped at {MEMORY_MB}/1769 of a processor from the first event on, by control groups (version 1)")
        }
        Means::V2 { .. } => {
            format!("capped at {MEMORY_MB}/1769 of a processor from the first event on, by control groups (version 2)")
        }
    };
    format!(
        "{rounds} rounds on {processors} processors ({model}), {memory:.0} GiB, Linux {} on {}, load {load}; the subjects {cap}.",
        read("/proc/sys/kernel/osrelease").trim(),
        std::env::consts::ARCH
    )
}

/// A table for each scenario.
pub(crate) fn tables(summaries: &[Summary]) -> String {
    let mut text = String::new();
    for scenario in Scenario::ALL {
        let rows: Vec<_> = summaries.iter().filter(|summary| summary.scenario == scenario).collect();
        let title = match scenario {
            Scenario::Encrypt => "A new stream that is not encrypted",
            Scenario::Compliant => "A stream that is already compliant",
        };
        // Writing to a String cannot fail.
        let _ = write!(text, "### {title}\n\n{}\n{}\n", times(&rows), costs(&rows));
    }
    text.truncate(text.trim_end().len());
    text
}

fn times(rows: &[&Summary]) -> String {
    let ours = rows.iter().find(|row| row.subject == Subject::Enforcer);
    let starts = rows.iter().any(|row| row.cold.start.is_some());
    let mut head = vec!["milliseconds", "n", "process → ready"];
    head.extend(["cold: event → first call"]);
    head.extend(starts.then_some("→ start"));
    head.extend(["→ answer", "warm: event → first call"]);
    head.extend(starts.then_some("→ start"));
    head.extend(["→ answer", if starts { "**process → start**" } else { "**process → answer**" }]);
    let rows = rows.iter().map(|row| {
        let mut cells = vec![row.subject.label().to_owned(), row.runs.to_string(), number(row.init.median)];
        for Event { first_call, start, answer, .. } in [&row.cold, &row.warm] {
            cells.push(number(first_call.median));
            cells.extend(starts.then(|| start.map_or_else(|| "–".to_owned(), with_quarters)));
            cells.push(if starts { number(answer.median) } else { with_quarters(*answer) });
        }
        cells.push(compared(row.cold_start(), ours.map(|ours| ours.cold_start())));
        cells
    });
    table(&head, rows)
}

fn costs(rows: &[&Summary]) -> String {
    let ours = rows.iter().find(|row| row.subject == Subject::Enforcer);
    table(
        &[
            "",
            "processor ms, start and first event",
            "processor ms, later event",
            "peak memory MiB",
            "zip MB",
            "calls, first event",
            "calls, later event",
        ],
        rows.iter().map(|row| {
            vec![
                row.subject.label().to_owned(),
                compared(row.cold.processor.median, ours.map(|ours| ours.cold.processor.median)),
                compared(row.warm.processor.median, ours.map(|ours| ours.warm.processor.median)),
                compared(row.memory.median, ours.map(|ours| ours.memory.median)),
                number(row.size),
                row.cold.calls.len().to_string(),
                row.warm.calls.len().to_string(),
            ]
        }),
    )
}

fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut text = format!("| {} |\n| --- |{}\n", head.join(" | "), " --: |".repeat(head.len() - 1));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text
}

/// Three digits that count.
pub(crate) fn number(value: f64) -> String {
    if value >= 1000.0 {
        let whole = format!("{value:.0}");
        format!("{},{}", &whole[..whole.len() - 3], &whole[whole.len() - 3..])
    } else if value >= 99.95 {
        format!("{value:.0}")
    } else if value >= 9.995 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

fn with_quarters(spread: Spread) -> String {
    format!("{} ({}…{})", number(spread.median), number(spread.lower), number(spread.upper))
}

/// A value, and how many times ours it is.
fn compared(value: f64, ours: Option<f64>) -> String {
    match ours {
        Some(ours) if (value - ours).abs() > f64::EPSILON => format!("{} ({}×)", number(value), number(value / ours)),
        _ => number(value),
    }
}

/// Writes `text` between the markers of the page.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Problem> {
    let page = fs::read_to_string(path)?;
    let page = between_markers(&page, text)
        .ok_or_else(|| format!("{} has no place for it between {BEGIN:?} and {END:?}", path.display()))?;
    Ok(fs::write(path, page)?)
}

fn between_markers(page: &str, text: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{text}\n\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_count() {
        let shown = [0.0, 0.304, 5.678, 9.999, 42.42, 99.99, 463.4, 999.4, 6290.2].map(number);
        assert_eq!(shown, ["0.00", "0.30", "5.68", "10.0", "42.4", "100", "463", "999", "6,290"]);
    }

    #[test]
    fn what_stands_between_the_markers_is_replaced_and_nothing_else() {
        let page = format!("above\n{BEGIN}old{END}\nbelow\n");
        let written = between_markers(&page, "new").expect("there are markers");
        assert_eq!(written, format!("above\n{BEGIN}\nnew\n\n{END}\nbelow\n"));
        assert_eq!(between_markers(&written, "new"), Some(written.clone()));
        assert_eq!(between_markers("no markers", "new"), None);
    }

    #[test]
    fn a_value_is_compared_with_ours() {
        assert_eq!(compared(4.0, Some(2.0)), "4.00 (2.00×)");
        assert_eq!(compared(2.0, Some(2.0)), "2.00");
        assert_eq!(compared(2.0, None), "2.00");
    }
}
