//! `enforcer man`: the help texts as man pages, one for each command.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use clap::CommandFactory;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::input::reason;
use super::paint::print_line;

/// What `man` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Write a page for each command into this folder, instead of printing that of `enforcer`.
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

/// Prints the page of `enforcer`, or writes all pages.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let mut program = super::Arguments::command().disable_help_subcommand(true);
    program.build();
    let Some(folder) = &arguments.output else {
        let (_, text) = page(&program)?;
        print_line(text.trim_end());
        return Ok(());
    };
    write(&program, folder)
        .map_err(|error| anyhow!("cannot write the man pages to {}: {}", folder.display(), reason(&error)))
}

/// Writes the pages of a command and of its subcommands.
fn write(command: &clap::Command, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let (name, text) = page(command)?;
    fs::write(folder.join(name), text)?;
    command.get_subcommands().filter(|command| !command.is_hide_set()).try_for_each(|command| write(command, folder))
}

/// The name of a command's page, and its text.
fn page(command: &clap::Command) -> io::Result<(String, String)> {
    // The version without the commit: the line has the name of the page, too.
    let version = concat!("enforcer ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).source(version).manual("Commands of enforcer");
    let help = command.get_after_long_help().or_else(|| command.get_after_help()).map(ToString::to_string);
    let help = help.unwrap_or_default();
    // Paragraphs without a heading continue the description.
    let headed = help.split_inclusive('\n').take_while(|line| heading(line.trim_end()).is_none()).map(str::len).sum();
    let (description, sections) = help.split_at(headed);

    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    after_help(description).to_writer(&mut text)?;
    if command.get_arguments().any(|argument| !argument.is_hide_set()) {
        man.render_options_section(&mut text)?;
    }
    if command.get_subcommands().any(|command| !command.is_hide_set()) {
        man.render_subcommands_section(&mut text)?;
    }
    after_help(sections).to_writer(&mut text)?;
    Ok((man.get_filename(), String::from_utf8_lossy(&text).into_owned()))
}

/// The heading of a section, if the line begins one.
fn heading(line: &str) -> Option<&'static str> {
    match line {
        "Exit codes:" => Some("EXIT STATUS"),
        "Examples:" => Some("EXAMPLES"),
        _ => None,
    }
}

/// An exit code and its meaning, as `  3  changes are pending`.
fn exit_code(line: &str) -> Option<(&str, &str)> {
    let (code, meaning) = line.trim_start().split_once("  ")?;
    code.chars().all(|digit| digit.is_ascii_digit()).then_some((code, meaning))
}

/// The text below the options of a help text: headings, lists of exit codes, examples line by line,
/// and paragraphs.
fn after_help(help: &str) -> Roff {
    let mut roff = Roff::default();
    let mut are_examples = false;
    for line in help.lines() {
        if let Some(heading) = heading(line) {
            are_examples = heading == "EXAMPLES";
            roff.control("SH", [heading]);
            if are_examples {
                roff.control("nf", []);
            }
        } else if are_examples {
            roff.text([roman(line)]);
        } else if let Some((code, meaning)) = exit_code(line) {
            roff.control("TP", []).text([roman(code)]).text([roman(meaning)]);
        } else if line.is_empty() {
            roff.control("PP", []);
        } else {
            roff.text([roman(line.trim_start())]);
        }
    }
    if are_examples {
        roff.control("fi", []);
    }
    roff
}
