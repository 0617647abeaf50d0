//! Samples in documents: a command, and the lines that it prints.

/// A command of a document, and what it prints. A line `…` stands for any lines.
pub(crate) struct Sample<'a> {
    pub(crate) command: &'a str,
    pub(crate) lines: Vec<&'a str>,
}

/// The samples of a document: blocks of text that begin with a prompt.
pub(crate) fn samples(document: &str) -> Vec<Sample<'_>> {
    let blocks = document.split("```text\n$ ").skip(1).filter_map(|rest| rest.split("\n```").next());
    let samples = blocks.filter_map(|block| block.split_once('\n'));
    samples.map(|(command, lines)| Sample { command, lines: lines.lines().collect() }).collect()
}

/// A line without what differs between two runs: times, ages, and the width of a column of ages.
fn lasting(line: &str) -> String {
    let indentation = line.len() - line.trim_start().len();
    let is_time = |word: &str| word.get(10..11) == Some("T") && word.starts_with("20");
    let is_age = |word: &str| word.strip_suffix(['s', 'm']).is_some_and(|number| number.parse::<u16>().is_ok());
    let words = line.split_whitespace().map(|word| match word {
        word if is_time(word) => "TIME",
        word if is_age(word) => "AGE",
        word => word,
    });
    format!("{}{}", &line[..indentation], words.collect::<Vec<_>>().join(" "))
}

/// Whether these lines are what a program printed.
pub(crate) fn is_printed(lines: &[&str], printed: &[&str]) -> bool {
    match lines.split_first() {
        None => printed.is_empty(),
        Some((&"…", rest)) => (0..=printed.len()).any(|skipped| is_printed(rest, &printed[skipped..])),
        Some((line, rest)) => printed
            .split_first()
            .is_some_and(|(first, others)| lasting(line) == lasting(first) && is_printed(rest, others)),
    }
}
