//! `enforcer policy check`: every problem of a policy, what in it can have no effect, and whether
//! it fits where the function reads it.

use anyhow::Result;
use chrono::NaiveDate;

use super::hint::{another_document, hint};
use super::lint::{Finding, Findings, Level, findings};
use super::{FAILED, SUCCESS, USAGE};
use crate::cli::input::{self, Encoding, name_of};
use crate::cli::paint::{BOLD, DIM, GREEN, RED, YELLOW, counted, print_error, print_text};
use crate::cli::visible::visible;
use crate::clock::Clock;
use crate::policy::{Invalid, Policy, Problem};
use crate::settings::LARGEST_POLICY;

/// The most bytes of the value of an SSM parameter, [by its tier][tiers].
///
/// [tiers]: https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html
const LARGEST_PARAMETER: usize = 4_096;
const LARGEST_ADVANCED_PARAMETER: usize = 8_192;

/// How many problems of one file are printed.
const MOST_PROBLEMS: usize = 100;

/// Printed where the comparisons would take too long.
const NOT_COMPARED: &str = "not all rules were compared with one another, which would take too long: \
                            there may be more rules that are never reached";

#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes:\n  \
0  every policy is valid\n  \
1  with --strict: there are warnings\n  \
2  a policy is not valid, or a file cannot be read\n\n\
Examples:\n  \
enforcer policy check policy.json\n  \
enforcer policy check --strict policies/*.json\n  \
terraform output -raw policy | enforcer policy check -\n  \
aws ssm get-parameter --name /kinesis/policy --query Parameter.Value --output text \\\n    \
| enforcer policy check -")]
pub(in crate::cli) struct Arguments {
    /// The policy files; - reads standard input.
    #[arg(required = true)]
    files: Vec<String>,
    /// Exit with 1 if there are warnings. Notes do not count.
    #[arg(long)]
    strict: bool,
}

pub(super) fn run(arguments: &Arguments) -> u8 {
    let today = Clock::system().utc().date_naive();
    let mut code = SUCCESS;
    for file in &arguments.files {
        code = code.max(match check(file, today) {
            Ok(Checked::Valid { warnings }) if arguments.strict && warnings > 0 => FAILED,
            Ok(Checked::Valid { .. }) => SUCCESS,
            Ok(Checked::Invalid) => USAGE,
            Err(error) => {
                print_error(&visible(&format!("{error:#}")));
                USAGE
            }
        });
    }
    code
}

enum Checked {
    Valid { warnings: usize },
    Invalid,
}

fn check(file: &str, today: NaiveDate) -> Result<Checked> {
    let (text, encoding) = input::read_encoded(file)?;
    let file = visible(name_of(file));
    if let Some(document) = another_document(&text) {
        print_text(&format!("{RED}✘{RED:#} {BOLD}{file}{BOLD:#}: {document}"));
        return Ok(Checked::Invalid);
    }
    let (size, mut of_file) = size(&text, encoding);
    let read = text.parse::<Policy>();
    let found = read.as_ref().map(|policy| findings(policy, today));
    let Findings { of_rules, is_complete } = found.unwrap_or(Findings { of_rules: Vec::new(), is_complete: true });
    if !is_complete {
        of_file.push((Level::Note, NOT_COMPARED.to_owned()));
    }
    let levels = of_file.iter().map(|(level, _)| *level).chain(of_rules.iter().map(|finding| finding.level));
    let warnings = levels.filter(|level| *level == Level::Warning).count();
    let counts = match (&read, warnings) {
        (Err(Invalid(problems)), _) => counted(problems.len(), "problem"),
        (Ok(policy), 0) => counted(policy.rules().len(), "rule"),
        (Ok(policy), _) => format!("{}, {}", counted(policy.rules().len(), "rule"), counted(warnings, "warning")),
    };
    let mark = if read.is_ok() { format!("{GREEN}✔{GREEN:#}") } else { format!("{RED}✘{RED:#}") };
    print_text(&format!("{mark} {BOLD}{file}{BOLD:#}: {counts}"));
    print_text(&format!("  {DIM}size: {size}{DIM:#}"));
    for (level, what) in of_file {
        print_text(&format!("  {} {what}", level.label()));
    }
    let policy = match read {
        Ok(policy) => policy,
        Err(Invalid(problems)) => {
            for line in problem_lines(&file, &text, &problems) {
                print_text(&format!("  {line}"));
            }
            return Ok(Checked::Invalid);
        }
    };
    for finding in &of_rules {
        let rule = visible(&policy.rules()[finding.rule].name);
        for line in finding.lines(&format!("rule {rule}: ")) {
            print_text(&format!("  {line}"));
        }
    }
    Ok(Checked::Valid { warnings })
}

/// The first problems with their places and hints, and how many more there are.
fn problem_lines(file: &str, text: &str, problems: &[Problem]) -> Vec<String> {
    let json = serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap_or_default();
    let mut lines = Vec::new();
    for problem in problems.iter().take(MOST_PROBLEMS) {
        let place = format!("{file}:{}:{}", problem.line, problem.column);
        let (path, what) = (visible(&problem.path), visible(&problem.what));
        lines.push(format!("{DIM}{place}{DIM:#} {BOLD}{path}{BOLD:#}: {what}"));
        lines.extend(hint(&json, problem).map(|hint| format!("  {DIM}hint:{DIM:#} {}", visible(&hint))));
    }
    let more = problems.len().saturating_sub(MOST_PROBLEMS);
    if more > 0 {
        lines.push(format!("and {}", counted(more, "more problem")));
    }
    lines
}

impl Level {
    fn label(self) -> String {
        match self {
            Self::Warning => format!("{YELLOW}warning:{YELLOW:#}"),
            Self::Note => format!("{BOLD}note:{BOLD:#}"),
        }
    }
}

impl Finding {
    /// The finding, and below it the example. `of` says what it is about.
    pub(super) fn lines(&self, of: &str) -> Vec<String> {
        let mut lines = vec![format!("{} {of}{}", self.level.label(), visible(&self.what))];
        lines.extend(self.example.iter().map(|example| format!("  {DIM}example:{DIM:#} {}", visible(example))));
        lines
    }
}

/// The size of the policy next to what fits, and what follows from it and from its encoding.
fn size(text: &str, encoding: Encoding) -> (String, Vec<(Level, String)>) {
    let bytes = text.len();
    let line = if bytes > LARGEST_ADVANCED_PARAMETER {
        let most = grouped(LARGEST_ADVANCED_PARAMETER);
        format!("{} bytes: fits nowhere, an advanced SSM parameter has at most {most}", grouped(bytes))
    } else if bytes > LARGEST_PARAMETER {
        format!("{} bytes: fits only an advanced SSM parameter", grouped(bytes))
    } else if bytes > LARGEST_POLICY {
        format!("{} bytes: fits only an SSM parameter", grouped(bytes))
    } else {
        format!(
            "{} of {} bytes in POLICY, {} in an SSM parameter, {} in an advanced one",
            grouped(bytes),
            grouped(LARGEST_POLICY),
            grouped(LARGEST_PARAMETER),
            grouped(LARGEST_ADVANCED_PARAMETER)
        )
    };
    let mut found = Vec::new();
    let too_large = if bytes > LARGEST_ADVANCED_PARAMETER {
        Some((Level::Warning, "the policy fits nowhere: not even an advanced SSM parameter can store it"))
    } else if bytes > LARGEST_PARAMETER {
        Some((Level::Note, "the policy needs an advanced SSM parameter, which costs extra (POLICY_PARAMETER)"))
    } else if bytes > LARGEST_POLICY {
        Some((Level::Note, "the policy is too large for POLICY: store it in an SSM parameter (POLICY_PARAMETER)"))
    } else {
        None
    };
    if let Some((level, what)) = too_large {
        let compact = serde_json::from_str::<serde_json::Value>(text).map_or(bytes, |value| value.to_string().len());
        let compact = if compact < bytes {
            format!("; without spaces and line breaks (jq -c), it has {} bytes", grouped(compact))
        } else {
            String::new()
        };
        found.push((level, format!("{what}{compact}")));
    }
    if encoding == Encoding::Utf16 {
        found.push((
            Level::Warning,
            "the file is UTF-16, which the function does not read: save it as UTF-8".to_owned(),
        ));
    }
    (line, found)
}

/// A number with its thousands apart: 3,072.
fn grouped(number: usize) -> String {
    match number {
        0..1_000 => number.to_string(),
        _ => format!("{},{:03}", grouped(number / 1_000), number % 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_hundred_problems_are_printed_and_the_others_are_counted() {
        let lines = |rules: usize| {
            let rules: Vec<_> =
                (0..rules).map(|index| format!(r#"{{"name": "{index}", "match": {{"stream": "^a$"}}}}"#)).collect();
            let text = format!(r#"{{"version": 1, "rules": [{}]}}"#, rules.join(",\n"));
            let Err(Invalid(problems)) = text.parse::<Policy>() else { unreachable!("{text} was accepted") };
            problem_lines("policy.json", &text, &problems)
        };
        // Each with its hint.
        assert_eq!(lines(100).len(), 200);
        assert_eq!(lines(101).len(), 201);
        assert_eq!(lines(101).last().map(String::as_str), Some("and 1 more problem"));
        let many = lines(50_000);
        assert_eq!(many.last().map(String::as_str), Some("and 49900 more problems"));
        assert!(
            many[198].contains("policy.json:100:") && many[198].contains("$.rules[99].match.stream"),
            "{}",
            many[198]
        );
        assert!(many[199].contains("hint:"), "{}", many[199]);
    }
}
