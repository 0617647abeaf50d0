//! JSON: in which an object has a key twice, and JSON in a text.
//!
//! [RFC 8259] leaves open what such JSON means, and most parsers take the last value. A request for
//! a dry run could thus become a real run, so whatever decides something refuses such JSON.
//!
//! [RFC 8259]: https://www.rfc-editor.org/rfc/rfc8259#section-4

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::text::shorten;

/// How much of a key and of a path is shown, in characters.
const SHOWN: (usize, usize) = (40, 200);

/// The first key that an object of a JSON text has twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DuplicateKey {
    /// The key.
    pub key: String,
    /// Where it is, such as `detail.findings[0].Resources`.
    pub path: String,
    /// The line of its second occurrence, from 1.
    pub line: usize,
    /// The column of that line at which the second occurrence ends, from 1.
    pub column: usize,
}

impl fmt::Display for DuplicateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the key {:?} is there twice (at {})", self.key, self.path)
    }
}

/// The JSON in `text`. A text that is not JSON, or has a key twice, stays a text: what it asks for
/// is not certain, and it is reported like any other unsupported payload.
#[must_use]
pub fn json_or_text(text: &str) -> Value {
    let value = if duplicate_key(text).is_none() { serde_json::from_str(text).ok() } else { None };
    value.unwrap_or_else(|| Value::String(text.to_owned()))
}

/// The first duplicate key in `text`, at any depth. `None` also if `text` is not JSON.
#[must_use]
pub fn duplicate_key(text: &str) -> Option<DuplicateKey> {
    let mut found = None;
    let mut path = String::new();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let walk = Walk { path: &mut path, found: &mut found };
    let error = walk.deserialize(&mut deserializer).err()?;
    let (key, path) = found?;
    Some(DuplicateKey { key, path, line: error.line(), column: error.column() })
}

/// Visits a value and everything in it, and ends with an error at the first duplicate key.
struct Walk<'a> {
    /// Where the value is.
    path: &'a mut String,
    /// The duplicate key, and where it is.
    found: &'a mut Option<(String, String)>,
}

impl Walk<'_> {
    fn within(&mut self) -> Walk<'_> {
        Walk { path: self.path, found: self.found }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        let start = self.path.len();
        while let Some(key) = map.next_key::<String>()? {
            let shown = shorten(&key, SHOWN.0);
            if start > 0 {
                self.path.push('.');
            }
            self.path.push_str(&shown);
            if !seen.insert(key) {
                *self.found = Some((shown, shorten(self.path, SHOWN.1)));
                return Err(A::Error::custom("duplicate key"));
            }
            map.next_value_seed(self.within())?;
            self.path.truncate(start);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        let start = self.path.len();
        let mut index = 0_usize;
        loop {
            self.path.extend(["[", &index.to_string(), "]"]);
            let item = items.next_element_seed(self.within())?;
            self.path.truncate(start);
            if item.is_none() {
                return Ok(());
            }
            index += 1;
        }
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_duplicate_key_is_found_with_its_place() {
        for (text, key, path, place) in [
            (r#"{"dryRun":true,"dryRun":false}"#, "dryRun", "dryRun", (1, 23)),
            ("{\"a\": [1, {\"b\": {\"c\": 1,\n\"c\": 2}}], \"a\": 3}", "c", "a[1].b.c", (2, 3)),
            // An escaped key is the same key.
            (r#"{"stream":1,"str\u0065am":2}"#, "stream", "stream", (1, 25)),
            (r#"[[{"":1,"":2}]]"#, "", "[0][0].", (1, 10)),
        ] {
            let DuplicateKey { key: found, path: at, line, column } = duplicate_key(text).expect(text);
            assert_eq!((found.as_str(), at.as_str(), (line, column)), (key, path, place), "{text}");
        }
    }

    #[test]
    fn the_same_key_in_two_objects_and_what_is_no_json_have_no_duplicate() {
        for text in [
            r#"{"a": {"a": [{"a": null}, {"a": -1}, {"a": 0.5}]}, "b": "a"}"#,
            r#"[{"a": true}, {"a": false}]"#,
            "null",
            "",
            r#"{"a": 1, "b""#,
            r#"{"a": 1e400, "a": 2}"#,
        ] {
            assert_eq!(duplicate_key(text), None, "{text}");
        }
    }

    #[test]
    fn a_path_is_no_longer_than_a_reader_can_take_in() {
        let key = "k".repeat(1_000);
        let mut text = format!("{{{key:?}: 1, {key:?}: 2}}");
        for _ in 0..20 {
            text = format!("{{{key:?}: {text}}}");
        }
        let DuplicateKey { key, path, .. } = duplicate_key(&text).expect("a duplicate");
        assert_eq!((key.chars().count(), path.chars().count()), (41, 201));
    }
}
