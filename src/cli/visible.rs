//! Text that others wrote, such as tags, principals and dead letters, made harmless for a terminal:
//! control characters could forge lines and marks or reprogram the terminal, and bidirectional and
//! invisible characters could make a text look like another.
//!
//! Sources:
//! * [Unicode Technical Standard 55: source code handling][uts55]
//! * [OWASP: CSV injection][csv]
//!
//! [uts55]: https://www.unicode.org/reports/tr55/
//! [csv]: https://owasp.org/www-community/attacks/CSV_Injection

use std::fmt::{Display, Write};

use serde::Serialize;
use serde_json::Value;

/// Whether a terminal or a browser does something else with the character than show it.
fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// `text` on one line, with every deceptive character as its code point, such as `<U+202E>`.
pub(super) fn visible(text: &(impl Display + ?Sized)) -> String {
    shown_except(&text.to_string(), |_| false)
}

/// What a person sees of a whole output, which has lines and colours of our own: the last resort
/// for a text that was not made [`visible`] before.
pub(super) fn harmless(output: &str) -> String {
    let mut shown = String::with_capacity(output.len());
    let mut rest = output;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        shown.push_str(&shown_except(before, |character| character == '\n'));
        rest = after;
        match after.split_once('m') {
            Some((colour, after)) if colour.bytes().all(|byte| byte.is_ascii_digit() || byte == b';') => {
                let _ = write!(shown, "\u{1b}[{colour}m");
                rest = after;
            }
            _ => shown.push_str("<U+001B>["),
        }
    }
    shown.push_str(&shown_except(rest, |character| character == '\n'));
    shown
}

fn shown_except(text: &str, is_ours: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_deceptive(character) && !is_ours(character) {
            // Writing to a string cannot fail.
            let _ = write!(shown, "<U+{:04X}>", u32::from(character));
        } else {
            shown.push(character);
        }
    }
    shown
}

/// `value` with every text in it [`visible`].
pub(super) fn visible_texts(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(visible(text)),
        Value::Array(values) => values.iter().map(visible_texts).collect(),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (visible(name), visible_texts(value))).collect())
        }
        other => other.clone(),
    }
}

/// `value` as indented JSON, with deceptive characters escaped: it means the same.
pub(super) fn json(value: &impl Serialize) -> String {
    let text = serde_json::to_value(value).map(|value| format!("{value:#}")).unwrap_or_default();
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        // A line break in a text is already escaped; the others are between the fields.
        if is_deceptive(character) && character != '\n' {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(character);
        }
    }
    shown
}

/// A cell of a CSV file that no spreadsheet takes for a formula.
pub(super) fn cell(text: &str) -> String {
    let shown = visible(text);
    if shown.starts_with(['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}']) {
        format!("'{shown}")
    } else {
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_character_that_deceives_is_shown_by_its_code_point() {
        for (text, shown) in [
            ("früh 早 – ok", "früh 早 – ok"),
            ("a\u{1b}[2Jb", "a<U+001B>[2Jb"),
            ("a\nb\r\tc\u{7f}", "a<U+000A>b<U+000D><U+0009>c<U+007F>"),
            ("\u{9b}31m", "<U+009B>31m"),
            ("\u{202e}txt\u{2069}\u{2028}", "<U+202E>txt<U+2069><U+2028>"),
            ("in\u{200b}visi\u{e0041}ble\u{feff}", "in<U+200B>visi<U+E0041>ble<U+FEFF>"),
        ] {
            assert_eq!(visible(text), shown);
        }
    }

    #[test]
    fn an_output_keeps_its_lines_and_colours_only() {
        for (output, shown) in [
            ("\u{1b}[1mbold\u{1b}[0m\n\u{1b}[38;5;1mred", "\u{1b}[1mbold\u{1b}[0m\n\u{1b}[38;5;1mred"),
            ("\u{1b}[2J\u{1b}]0;title\u{7}", "<U+001B>[2J<U+001B>]0;title<U+0007>"),
            ("\u{1b}[\u{1b}[1m\u{1b}[", "<U+001B>[\u{1b}[1m<U+001B>["),
            ("\u{1b}[1é\u{1b}", "<U+001B>[1é<U+001B>"),
        ] {
            assert_eq!(harmless(output), shown);
        }
    }

    #[test]
    fn json_is_escaped_and_means_the_same() {
        let value = json!({"a\u{202e}": ["\u{9b}2J\u{7f}\n", "früh", "\u{e0041}"]});
        let text = json(&value);
        assert!(text.chars().all(|character| character == '\n' || !is_deceptive(character)), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).ok(), Some(value.clone()));
        assert_eq!(visible_texts(&value), json!({"a<U+202E>": ["<U+009B>2J<U+007F><U+000A>", "früh", "<U+E0041>"]}));
    }

    #[test]
    fn a_cell_that_a_spreadsheet_would_calculate_is_a_text() {
        for (text, shown) in [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "<U+0009>=1"),
            ("\r=1", "<U+000D>=1"),
            ("–", "–"),
            ("orders", "orders"),
        ] {
            assert_eq!(cell(text), shown);
        }
    }
}
