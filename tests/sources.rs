//! Comments that name a source link to it, so that a reader can check the fact.

#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

use std::fs;
use std::path::{Path, PathBuf};

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let is_code = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    files.into_iter().filter(is_code).chain(folders.iter().flat_map(|folder| rust_files(folder))).collect()
}

/// The text of a line that is a comment and nothing else.
fn comment(line: &str) -> Option<&str> {
    let text = line.trim_start().strip_prefix("//")?;
    Some(text.trim_start_matches(['/', '!']).trim())
}

/// The comments of a file: blocks of lines that follow one another, each with the number of its
/// first line.
fn blocks(text: &str) -> Vec<(usize, Vec<&str>)> {
    let mut blocks: Vec<(usize, Vec<&str>)> = Vec::new();
    let mut open = false;
    for (number, line) in text.lines().enumerate() {
        match (comment(line), blocks.last_mut()) {
            (Some(line), Some((_, block))) if open => block.push(line),
            (Some(line), _) => blocks.push((number + 1, vec![line])),
            (None, _) => {}
        }
        open = comment(line).is_some();
    }
    blocks
}

/// Whether the paragraph has a URL, or a label whose URL its block defines.
fn has_link(paragraph: &str, block: &[&str]) -> bool {
    let defined = block.iter().filter_map(|line| line.strip_prefix('[')?.split_once("]: https://"));
    paragraph.contains("https://") || defined.into_iter().any(|(label, _)| paragraph.contains(&format!("[{label}]")))
}

/// Where `text` names a source without a link.
fn unlinked(text: &str) -> Vec<usize> {
    let mut found = Vec::new();
    for (start, block) in blocks(text) {
        let mut line = start;
        for paragraph in block.split(|line| line.is_empty()) {
            let whole = paragraph.join(" ");
            if (whole.contains("Source: ") || whole.contains("Sources: ")) && !has_link(&whole, &block) {
                found.push(line);
            }
            line += paragraph.len() + 1;
        }
    }
    found
}

#[test]
fn whoever_names_a_source_links_to_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = rust_files(&folder);
    assert!(files.len() > 80, "{}", files.len());
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a file");
        found.extend(unlinked(&text).into_iter().map(|line| format!("{}:{line}", file.display())));
    }
    assert!(found.is_empty(), "a source without a link: {found:#?}");
}

#[test]
fn a_link_is_a_url_or_a_label_that_the_same_comment_defines() {
    for (text, lines) in [
        ("//! Source: a guide.", vec![1]),
        ("//! Source: <https://a.example>.", vec![]),
        ("fn a() {}\n\n/// Sources: [one] and\n/// another.\n///\n/// [one]: https://a.example", vec![]),
        ("/// A line.\n///\n/// Source: [one].\n\n/// [one]: https://a.example", vec![3]),
        ("/// Source: a guide.\n///\n/// [one]: https://a.example", vec![1]),
        ("let source = \"Source: a text\";", vec![]),
    ] {
        assert_eq!(unlinked(text), lines, "{text}");
    }
}
