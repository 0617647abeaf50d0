//! Texts: how much of a long one is shown, what an error says, and JSON that every queue takes.

use std::error::Error;
use std::io;

use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter};

/// At most `longest` characters of `text`, and an ellipsis where there were more.
#[must_use]
pub fn shorten(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The messages of an error and its sources, each once. (The SDK's `DisplayErrorContext` would put
/// the whole raw response into a dead letter.)
#[must_use]
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let message = error.to_string();
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        source = error.source();
    }
    text
}

/// The first `shown` of `items`, and how many more there are.
#[must_use]
pub fn first_of(items: &[String], shown: usize) -> String {
    let first = items.iter().take(shown).map(String::as_str).collect::<Vec<_>>().join(", ");
    match items.len().saturating_sub(shown) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// The one of `words` that `text` nearly is.
#[must_use]
pub fn nearly<'a>(text: &str, words: &[&'a str]) -> Option<&'a str> {
    words.iter().copied().find(|word| is_nearly(text, word))
}

/// Whether the two differ only in case, in `-` and `_`, or in up to two characters that follow one
/// another.
fn is_nearly(one: &str, other: &str) -> bool {
    let plain = |text: &str| -> Vec<u8> {
        text.bytes().filter(|byte| !b"-_ ".contains(byte)).map(|byte| byte.to_ascii_lowercase()).collect()
    };
    let (one, other) = (plain(one), plain(other));
    let same = |(one, other): &(&u8, &u8)| one == other;
    let start = one.iter().zip(&other).take_while(same).count();
    let end = one[start..].iter().rev().zip(other[start..].iter().rev()).take_while(same).count();
    one.len().max(other.len()) - start - end <= 2 && start + end > 2
}

/// `value` as JSON in ASCII: everything else is escaped.
#[must_use]
pub fn ascii_json<T: Serialize>(value: &T) -> String {
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, Ascii);
    match value.serialize(&mut serializer) {
        Ok(()) => String::from_utf8_lossy(&bytes).into_owned(),
        // Writing JSON to memory cannot fail.
        Err(_) => serde_json::json!(value).to_string(),
    }
}

struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: io::Write + ?Sized>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        for character in fragment.chars() {
            if character.is_ascii() && character != '\u{7f}' {
                writer.write_all(&[u8::try_from(character).unwrap_or(b'?')])?;
            } else {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }

    fn write_char_escape<W: io::Write + ?Sized>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        serde_json::ser::CompactFormatter.write_char_escape(writer, escape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_in_ascii_means_the_same() {
        let value = serde_json::json!({"früh \u{fffe}": "🦀 \u{1}\u{7f}\n \"quoted\" \\"});
        let text = ascii_json(&value);
        assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("JSON"), value);
    }

    #[test]
    fn of_a_long_list_the_first_are_shown_and_the_others_counted() {
        let items: Vec<_> = (1..=5).map(|number| number.to_string()).collect();
        for (shown, text) in [(2, "1, 2 and 3 more"), (4, "1, 2, 3, 4 and 1 more"), (5, "1, 2, 3, 4, 5")] {
            assert_eq!(first_of(&items, shown), text);
        }
    }

    #[test]
    fn a_text_is_cut_between_characters_and_says_so() {
        for (longest, shortened) in [(0, "…"), (2, "fü…"), (3, "für"), (4, "für")] {
            assert_eq!(shorten("für", longest), shortened);
        }
    }
}
