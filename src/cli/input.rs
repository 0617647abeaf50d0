//! What people pass to the program: files, standard input and option values; and how the program
//! names a mistake in them.

use std::fmt::Display;
use std::fs;
use std::io::{self, Read};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Result, anyhow};
use chrono::NaiveDate;
use serde_json::Value;

use crate::domain::json::duplicate_key;

/// How messages name `file`, where `-` is standard input.
pub(super) fn name_of(file: &str) -> &str {
    if file == "-" { "standard input" } else { file }
}

/// How a file stores its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// UTF-8, which everything reads.
    Utf8,
    /// UTF-16 with a byte order mark, as Windows `PowerShell` redirects output.
    Utf16,
}

/// Reads the text of `file`; `-` is standard input. A byte order mark is skipped.
pub(super) fn read(file: &str) -> Result<String> {
    read_encoded(file).map(|(text, _)| text)
}

/// Reads the text of `file`, and how it is stored.
pub(super) fn read_encoded(file: &str) -> Result<(String, Encoding)> {
    let bytes = if file == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        fs::read(file)
    };
    let bytes = bytes.map_err(|error| anyhow!("cannot read {}: {}", name_of(file), reason(&error)))?;
    decode(bytes).map_err(|encoding| anyhow!("{} is {encoding}: save it as UTF-8", name_of(file)))
}

/// The text in `bytes`, or what they are instead of a text.
fn decode(bytes: Vec<u8>) -> Result<(String, Encoding), &'static str> {
    let utf16 = match bytes[..] {
        [0xff, 0xfe, ref rest @ ..] => Some((rest, u16::from_le_bytes as fn([u8; 2]) -> u16)),
        [0xfe, 0xff, ref rest @ ..] => Some((rest, u16::from_be_bytes as fn([u8; 2]) -> u16)),
        _ => None,
    };
    if let Some((rest, unit)) = utf16 {
        let (pairs, odd) = rest.as_chunks::<2>();
        let text = String::from_utf16(&pairs.iter().map(|pair| unit(*pair)).collect::<Vec<_>>());
        return match text {
            Ok(text) if odd.is_empty() => Ok((text, Encoding::Utf16)),
            _ => Err("damaged UTF-16"),
        };
    }
    let text = String::from_utf8(bytes).map_err(|_| "not UTF-8")?;
    match text.strip_prefix('\u{feff}') {
        Some(marked) => Ok((marked.to_owned(), Encoding::Utf8)),
        // Without a mark, every other byte of UTF-16 is zero in most texts.
        None if text.contains('\0') => Err("not UTF-8, or not a text"),
        None => Ok((text, Encoding::Utf8)),
    }
}

/// The reason of the operating system, without its error number.
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error ").next().unwrap_or(&text).to_lowercase()
}

/// Parses the `text` of `file` as JSON. A key that an object has twice is refused.
pub(super) fn parse_json(file: &str, text: &str) -> Result<Value> {
    let file = name_of(file);
    if text.trim().is_empty() {
        return Err(anyhow!("{file} is empty: it must contain JSON"));
    }
    if let Some(duplicate) = duplicate_key(text) {
        let (line, column) = (duplicate.line, duplicate.column);
        return Err(anyhow!(
            "{file} is ambiguous JSON: {duplicate}; remove one of the two: line {line}, column {column}"
        ));
    }
    serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        if error.is_eof() {
            anyhow!("{file} is not valid JSON: it ends too early, at line {line}, column {column}")
        } else {
            anyhow!("{file} is not valid JSON: check line {line}, column {column}")
        }
    })
}

/// The parser of an option whose value is a whole number in `range`.
pub(super) fn whole_number<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync
where
    T: FromStr + PartialOrd + Display + Clone + Send + Sync,
{
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| format!("specify a whole number from {} to {}", range.start(), range.end()))
    }
}

/// The one of `names` that is most like `name`: at most a third of its characters differ.
pub(super) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let rated = names.map(|other| (strsim::damerau_levenshtein(name, other), other));
    let (distance, nearest) = rated.min_by_key(|(distance, _)| *distance)?;
    (distance * 3 <= name.chars().count().max(3)).then_some(nearest)
}

/// Parses an age, such as `90s`, `30m`, `12h` or `7d`.
pub(super) fn age(text: &str) -> Result<Duration, String> {
    let malformed = || "specify a number with s, m, h or d, such as 12h".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(malformed)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(malformed()),
    };
    let number: u64 = number.parse().map_err(|_| malformed())?;
    Ok(Duration::from_secs(number.saturating_mul(seconds)))
}

/// Parses a number of seconds, such as `2` or `0.5`.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let duration = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.ok_or_else(|| "specify a number of seconds, such as 2 or 0.5".to_owned())
}

/// Parses a day, such as `2027-03-31`.
pub(super) fn date(text: &str) -> Result<NaiveDate, String> {
    text.parse().map_err(|_| "specify a valid date as YYYY-MM-DD, such as 2027-03-31".to_owned())
}

/// Parses the name of a Region, such as `us-east-1`.
///
/// Source: <https://docs.aws.amazon.com/global-infrastructure/latest/regions/aws-regions.html>.
pub(super) fn region(text: &str) -> Result<String, String> {
    if is_region_name(text) {
        return Ok(text.to_owned());
    }
    let lower = text.trim().to_ascii_lowercase();
    // The name of an availability zone ends in a-f, and people forget the last hyphen.
    let without_zone = lower.trim_end_matches(|character: char| character.is_ascii_lowercase());
    let stem = lower.trim_end_matches(|character: char| character.is_ascii_digit());
    let with_hyphen = format!("{stem}-{}", lower.strip_prefix(stem).unwrap_or_default());
    let meant = [lower.as_str(), without_zone, with_hyphen.as_str()].into_iter().find(|name| is_region_name(name));
    Err(meant.map_or_else(
        || "specify the name of a Region, such as us-east-1".to_owned(),
        |meant| format!("that is not the name of a Region: did you mean {meant}?"),
    ))
}

/// Whether `text` has the form of every Region's name: words, and a number.
fn is_region_name(text: &str) -> bool {
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_number = |word: &str| matches!(word.len(), 1 | 2) && word.bytes().all(|byte| byte.is_ascii_digit());
    let mut words = text.split('-').rev();
    words.next().is_some_and(is_number) && matches!(words.clone().count(), 2..=3) && words.all(is_word)
}

/// Parses an account ID.
pub(super) fn account_id(text: &str) -> Result<String, String> {
    if crate::domain::arn::is_account(text) {
        Ok(text.to_owned())
    } else {
        Err("specify an account ID of 12 digits".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_in_an_option_is_named_without_the_words_of_a_library() {
        assert_eq!(whole_number(1..=50_u8)("50"), Ok(50));
        for text in ["0", "51", "999", "-1", "ten", ""] {
            assert_eq!(whole_number(1..=50_u8)(text), Err("specify a whole number from 1 to 50".to_owned()), "{text}");
        }
        assert_eq!(age("12h"), Ok(Duration::from_hours(12)));
        for text in ["", "h", "12", "12x", "-1h", "é"] {
            assert!(age(text).is_err_and(|error| error.starts_with("specify")), "{text}");
        }
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["", "soon", "-1", "1e99", "NaN"] {
            assert!(seconds(text).is_err_and(|error| error.starts_with("specify")), "{text}");
        }
        assert!(date("2026-13-01").is_err_and(|error| error.starts_with("specify")));
    }

    #[test]
    fn a_region_is_known_by_its_form_in_every_partition() {
        for name in ["us-east-1", "ap-southeast-7", "us-gov-west-1", "us-isob-east-1", "eusc-de-east-1", "cn-north-1"] {
            assert_eq!(region(name), Ok(name.to_owned()));
        }
        for text in ["EU-WEST-1 ", "eu-west1", "eu-west-1b"] {
            assert!(region(text).is_err_and(|error| error.ends_with("did you mean eu-west-1?")), "{text}");
        }
        for text in ["", "-", "1", "us-1", "us--1", "us-east-123", "us-east-1-bos-1", "früh-1", "us-east-1;eu-west-1"]
        {
            assert!(region(text).is_err_and(|error| error.starts_with("specify")), "{text}");
        }
    }

    #[test]
    fn a_mistake_in_json_is_named_by_its_place() {
        let error = |text: &str| parse_json("-", text).map_err(|error| error.to_string());
        for (text, message) in [
            ("  \n", "standard input is empty: it must contain JSON"),
            ("{\n", "standard input is not valid JSON: it ends too early, at line 2, column 0"),
            ("no JSON", "standard input is not valid JSON: check line 1, column 2"),
            (
                "{\"stream\": \"orders\",\n \"dryRun\": true, \"dryRun\": false}",
                "standard input is ambiguous JSON: the key \"dryRun\" is there twice (at dryRun); remove one of the \
                 two: line 2, column 25",
            ),
        ] {
            assert_eq!(error(text), Err(message.to_owned()));
        }
    }

    #[test]
    fn utf_8_and_utf_16_with_a_mark_are_read_and_another_encoding_is_named() {
        let utf16 = |big: bool| {
            let units = "\u{feff}{\"stream\":\"früh 🦀\"}".encode_utf16();
            units.flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect::<Vec<u8>>()
        };
        for (bytes, expected) in [
            ("{\"stream\": \"früh\"}".as_bytes().to_vec(), Ok(("{\"stream\": \"früh\"}", Encoding::Utf8))),
            ("\u{feff}{}".as_bytes().to_vec(), Ok(("{}", Encoding::Utf8))),
            (Vec::new(), Ok(("", Encoding::Utf8))),
            (utf16(true), Ok(("{\"stream\":\"früh 🦀\"}", Encoding::Utf16))),
            (utf16(false), Ok(("{\"stream\":\"früh 🦀\"}", Encoding::Utf16))),
            ([utf16(true), vec![0]].concat(), Err("damaged UTF-16")),
            (vec![0xff, 0xfe, 0x3d, 0xd8], Err("damaged UTF-16")),
            ("{\"stream\":1}".encode_utf16().flat_map(u16::to_le_bytes).collect(), Err("not UTF-8, or not a text")),
            (vec![b'{', 0xfc, b'}'], Err("not UTF-8")),
        ] {
            let decoded = decode(bytes);
            assert_eq!(
                decoded.as_ref().map(|(text, encoding)| (text.as_str(), *encoding)).map_err(|error| *error),
                expected
            );
        }
    }
}
