//! The exemption tag of a stream.

use chrono::NaiveDate;

use super::date_like::looks_like_an_end;

/// What a stream's tags say about exemption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exemption {
    /// The stream does not have the tag.
    None,
    /// The stream is exempt.
    Exempt {
        /// The reason that the tag gives.
        reason: String,
        /// The last day (UTC) of the exemption.
        until: Option<NaiveDate>,
    },
    /// The exemption has expired.
    Expired {
        /// The reason that the tag gives.
        reason: String,
        /// The last day (UTC) of the exemption.
        until: NaiveDate,
    },
    /// The tag's value cannot be parsed: the stream is not changed, and the failure is reported.
    Malformed {
        /// What is wrong, and what is allowed.
        why: String,
    },
}

/// Values that say that the stream is not exempt, or that there is no reason, in lower case and
/// without punctuation.
const SAYS_NO: [&str; 17] = [
    "",
    "0",
    "f",
    "n",
    "no",
    "na",
    "nil",
    "off",
    "null",
    "none",
    "false",
    "never",
    "disabled",
    "inactive",
    "notexempt",
    "noexemption",
    "notapplicable",
];

/// Reads the exemption from a stream's tags.
///
/// The value of the tag `key` is the reason, optionally with `until=YYYY-MM-DD` in it: the last
/// day, in UTC, of the exemption. Spaces separate the words: [a tag's value][Tag] may have letters,
/// digits, spaces and `_ . : / = + - @`. A tag without a value is an exemption, too.
///
/// A value that may mean something else is malformed, so that the stream is left as it is and a
/// person decides. That is a date or an end in any other form, which would be an exemption without
/// end; and a value that says no: `false` may deny the exemption, but `none` or `-` may only mean
/// that no reason was given, and encrypting a stream can stop those who use it.
///
/// [Tag]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_Tag.html
#[must_use]
pub fn exemption(tags: &[(String, String)], key: &str, today: NaiveDate) -> Exemption {
    let Some((_, value)) = tags.iter().find(|(name, _)| name == key) else { return Exemption::None };
    let is_until = |word: &&str| word.get(..6).is_some_and(|head| head.eq_ignore_ascii_case("until="));
    let (dates, words): (Vec<_>, Vec<_>) = value.split_whitespace().partition(is_until);
    let reason = if words.is_empty() { "no reason given".to_owned() } else { words.join(" ") };
    let malformed = |what: String| Exemption::Malformed { why: format!("tag {key} is {value:?}: {what}") };
    if looks_like_an_end(&words.join(" ")) {
        return malformed("it holds a date or an end in a form that does not count: write until=YYYY-MM-DD".to_owned());
    }
    let letters = words.iter().flat_map(|word| word.chars()).filter(|char| char.is_alphanumeric());
    if !words.is_empty() && SAYS_NO.contains(&letters.flat_map(char::to_lowercase).collect::<String>().as_str()) {
        let remedy = "remove the tag to have the stream encrypted, or write a reason and until=YYYY-MM-DD to exempt it";
        return malformed(format!("it does not say whether the stream is exempt: {remedy}"));
    }
    let until = match dates[..] {
        [] => None,
        [word] => match day(&word[6..]) {
            Some(date) => Some(date),
            None => return malformed(format!("{word:?} is not a valid date: write until=YYYY-MM-DD")),
        },
        _ => return malformed("it has more than one date: write until=YYYY-MM-DD once".to_owned()),
    };
    match until {
        Some(until) if until < today => Exemption::Expired { reason, until },
        until => Exemption::Exempt { reason, until },
    }
}

/// Parses a day, exactly `YYYY-MM-DD`: if `26-12-31` were read as a day in the year 26, an
/// exemption would end that was meant to last.
pub(super) fn day(text: &str) -> Option<NaiveDate> {
    let shape = text
        .bytes()
        .enumerate()
        .all(|(at, byte)| if matches!(at, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() });
    if text.len() == 10 && shape { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "kinesis-encryption-enforcer:exempt";

    fn date(text: &str) -> NaiveDate {
        text.parse().expect("a date")
    }

    fn check(value: &str, expected: &Exemption) {
        let tags = [("Team".to_owned(), "orders".to_owned()), (KEY.to_owned(), value.to_owned())];
        assert_eq!(exemption(&tags, KEY, date("2026-11-24")), *expected, "{value:?}");
    }

    #[test]
    fn a_stream_without_the_tag_is_not_exempt() {
        let tags = [("Team".to_owned(), "until=2099-01-01".to_owned())];
        assert_eq!(exemption(&tags, KEY, date("2026-11-24")), Exemption::None);
    }

    #[test]
    fn the_value_is_the_reason_and_may_hold_the_last_day() {
        let exempt =
            |reason: &str, until: Option<&str>| Exemption::Exempt { reason: reason.to_owned(), until: until.map(date) };
        check("third-party producer", &exempt("third-party producer", None));
        check("load test until=2026-12-31", &exempt("load test", Some("2026-12-31")));
        check("UNTIL=2026-12-31 load test", &exempt("load test", Some("2026-12-31")));
        check("until=2026-11-24", &exempt("no reason given", Some("2026-11-24")));
        check("", &exempt("no reason given", None));
    }

    #[test]
    fn the_day_after_the_last_day_it_has_expired() {
        check(
            "load test until=2026-11-23",
            &Exemption::Expired { reason: "load test".to_owned(), until: date("2026-11-23") },
        );
    }

    #[test]
    fn a_date_that_cannot_be_read_is_malformed_and_not_ignored() {
        for value in [
            "until=tomorrow",
            "x until=2026-13-01",
            "until=",
            "until=2026-01-01 until=2027-01-01",
            "until=31.12.2026",
            "until=26-12-31",
            "until=2026-1-1",
            "until=2026-12-3",
        ] {
            let tags = [(KEY.to_owned(), value.to_owned())];
            let found = exemption(&tags, KEY, date("2026-11-24"));
            assert!(
                matches!(&found, Exemption::Malformed { why } if why.contains("until=YYYY-MM-DD")),
                "{value:?}: {found:?}"
            );
        }
    }

    fn malformed(value: &str) -> String {
        let found = exemption(&[(KEY.to_owned(), value.to_owned())], KEY, date("2026-11-24"));
        match found {
            Exemption::Malformed { why } => why,
            found => unreachable!("{value:?}: {found:?}"),
        }
    }

    #[test]
    fn a_value_that_says_no_is_malformed_and_not_an_exemption() {
        for value in [
            "false",
            "False",
            "FALSE",
            "no",
            "No.",
            "n",
            "0",
            "none",
            "disabled",
            "off",
            "null",
            "-",
            "--",
            "_",
            "n/a",
            "not exempt",
            "not-exempt",
            "no until=2026-12-31",
            "false until=2026-01-31",
        ] {
            let why = malformed(value);
            assert!(why.contains("remove the tag") && why.contains("until=YYYY-MM-DD"), "{why}");
        }
        for value in
            ["true", "yes", "1", "no KMS support", "none of the consumers can decrypt", "0-day test", "offline"]
        {
            check(value, &Exemption::Exempt { reason: value.to_owned(), until: None });
        }
    }

    #[test]
    fn a_date_in_any_other_form_is_malformed_and_not_part_of_the_reason() {
        for value in [
            "load test until:2025-12-31",
            "load test until 2025-12-31",
            "load test expires=2025-12-31",
            "load test expires never",
            "loadtest/until=2025-12-31",
            "loadtest_until=2025-12-31",
            "till=2025-12-31",
            "till Friday",
            "2025-12-31",
            "until=2025-12-31.",
            "until=2025-12-31T23:59:59Z",
            "until= 2025-12-31",
            "until =2025-12-31",
            "Until further notice",
            "end=2025/12/31",
            "2025.12.31",
            "31.12.2025",
            "12/31/2025",
            "31-12-25",
            "31.12.26",
            "26-12-31",
            "20251231",
            "31122025",
            "20251231T235959",
            "2025-12",
            "12/2025",
            "202512",
            "2025 12 31",
            "2025-W52",
            "2025Q4",
            "Q4 2025",
            "31 Dec 2025",
            "31st of December",
            "Dec-31",
            "December 2025",
            "end of 2025",
            "by 2026",
            "2026",
            "２０２５-12-31",
            "2025年12月31日",
            "approved 2025-11-01 until=2026-12-31",
        ] {
            let why = malformed(value);
            assert!(why.contains("until=YYYY-MM-DD"), "{why}");
        }
    }

    #[test]
    fn numbers_that_are_no_dates_are_part_of_the_reason() {
        for value in [
            "third-party producer",
            "OPS-2041 vendor cannot use KMS",
            "KCL 1.14.10 cannot decrypt",
            "client v2.3.1",
            "10.0.12.7 has no route to KMS",
            "24/7 producer with 2048 shards",
            "account 111122223333",
            "3-4 consumers",
            "may fail",
            "march of the producers",
            "still in use, distilled",
            "exports only",
        ] {
            check(value, &Exemption::Exempt { reason: value.to_owned(), until: None });
        }
    }

    #[test]
    fn words_of_many_bytes_do_not_disturb_it() {
        check("früher üüüüüü", &Exemption::Exempt { reason: "früher üüüüüü".to_owned(), until: None });
    }
}
