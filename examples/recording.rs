//! `make pictures`: records `enforcer demo` as an animated SVG, docs/pictures/demo.svg.
//!
//! Every line is one that the program printed, in its order, with its colours, wrapped at the width
//! of the picture. Only the time between two lines is stretched so that a person can read them, and
//! the port of the sandbox is replaced, so that it does not change with every recording.

#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a recording is made in real time, has failed if it cannot be made, and says where it wrote the picture"
)]

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anstyle_svg::Term;

const COLUMNS: usize = 110;
const ROWS: usize = 26;
/// The height of a line and the margins that `anstyle-svg` draws, in pixels.
const LINE: usize = 18;
const MARGIN: usize = 10;
const WIDTH: usize = 8 * COLUMNS + 60;
/// The bar with the title of the window.
const BAR: usize = 34;
/// How long a line stays the last one, at least, and how long the last one of all does.
const LEAST: Duration = Duration::from_millis(250);
const END: Duration = Duration::from_secs(8);

/// A line of the terminal, and how long after it the next one appears.
struct Line {
    text: String,
    pause: Duration,
}

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = std::env::current_exe().expect("this program").with_file_name("../enforcer");
    let lines = record(&program);
    let path = root.join("docs/pictures/demo.svg");
    std::fs::write(&path, draw(&lines)).expect("the picture is written");
    println!("written: docs/pictures/demo.svg, {} lines", lines.len());
}

/// Runs the demo as in a terminal with colours.
fn record(program: &Path) -> Vec<Line> {
    let mut demo = Command::new(program)
        .arg("demo")
        .env("CLICOLOR_FORCE", "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("`cargo build --bin enforcer` made the program");
    let output = BufReader::new(demo.stdout.take().expect("the output"));
    let mut lines = vec![Line { text: "$ cargo run -- demo".to_owned(), pause: LEAST }];
    let mut last = Instant::now();
    for printed in output.lines() {
        let printed = printed.expect("text");
        lines.last_mut().expect("the first line").pause = last.elapsed().max(LEAST);
        last = Instant::now();
        let wrapped = wrap(&without_port(&printed));
        lines.extend(wrapped.into_iter().map(|text| Line { text, pause: Duration::from_millis(40) }));
    }
    assert!(demo.wait().expect("the end of the demo").success(), "the demo failed");
    lines.last_mut().expect("the first line").pause = END;
    lines
}

fn without_port(line: &str) -> String {
    match line.split_once("http://127.0.0.1:") {
        Some((before, after)) => {
            let after = after.trim_start_matches(|digit: char| digit.is_ascii_digit());
            format!("{before}http://127.0.0.1:4566{after}")
        }
        None => line.to_owned(),
    }
}

/// The rest of a long line stands below its text, which begins after the time and the name.
fn wrap(line: &str) -> Vec<String> {
    let options = textwrap::Options::new(COLUMNS).subsequent_indent("                      ").break_words(true);
    if line.is_empty() {
        return vec![String::new()];
    }
    textwrap::wrap(line, options).into_iter().map(std::borrow::Cow::into_owned).collect()
}

/// The whole output, moved up line by line behind a window of `ROWS` lines.
fn draw(lines: &[Line]) -> String {
    let total: Duration = lines.iter().map(|line| line.pause).sum();
    let offset = |last: usize| format!("{}px", (ROWS * LINE).cast_signed() - ((last + 1) * LINE).cast_signed());
    let mut frames = String::new();
    let mut at = Duration::ZERO;
    for (number, line) in lines.iter().enumerate() {
        let percent = 100.0 * at.as_secs_f64() / total.as_secs_f64();
        writeln!(frames, "    {percent:.2}% {{ transform: translateY({}) }}", offset(number)).expect("a string");
        at += line.pause;
    }
    let text = lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n");
    let terminal = Term::new().background(false).min_width_px(WIDTH).render_svg(&text);
    let (height, window) = (BAR + ROWS * LINE + 2 * MARGIN, ROWS * LINE + MARGIN);
    let (end, seconds) = (offset(lines.len() - 1), total.as_secs_f64());
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="title">
  <title id="title">A recording of `cargo run -- demo` in a terminal</title>
  <style>
    .scroll {{ transform: translateY({end}); animation: scroll {seconds:.1}s step-end infinite }}
    .dimmed {{ opacity: 0.65 !important }}
    @media (prefers-reduced-motion: reduce) {{ .scroll {{ animation: none }} }}
    @keyframes scroll {{
{frames}    }}
  </style>
  <rect width="{WIDTH}" height="{height}" rx="8" fill="#16181d" />
  <circle cx="20" cy="17" r="6" fill="#ff5f57" /><circle cx="40" cy="17" r="6" fill="#febc2e" /><circle cx="60" cy="17" r="6" fill="#28c840" />
  <svg x="{MARGIN}" y="{BAR}" width="{WIDTH}" height="{window}"><g class="scroll">
{terminal}  </g></svg>
</svg>
"##
    )
}
