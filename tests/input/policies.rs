//! Policies and tags of any text: what is not understood is named with its place, and what may be
//! exempt is never touched.

use chrono::NaiveDate;
use kinesis_encryption_enforcer::policy::{Exemption, Policy, exemption};
use kinesis_encryption_enforcer::sandbox::NewStream;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

use crate::cases;
use crate::json::{ODD, any_json};
use crate::support::{World, manual};

const EXAMPLE: &str = include_str!("../../docs/policy.example.json");
const EXEMPT: &str = "kinesis-encryption-enforcer:exempt";

/// `text` is a policy, or every problem with it has a place in it.
fn check_policy(text: &str) {
    let Err(invalid) = text.parse::<Policy>() else { return };
    assert!(!invalid.0.is_empty(), "{text}");
    let lines: Vec<_> = text.split('\n').collect();
    for problem in &invalid.0 {
        assert!(problem.path.starts_with('$') && !problem.what.is_empty(), "{problem}\n{text}");
        assert!((1..=lines.len()).contains(&problem.line), "{problem}\n{text}");
        // In bytes where serde_json counts, one past the end where the text ends too early.
        assert!((1..=lines[problem.line - 1].len() + 1).contains(&problem.column), "{problem}\n{text}");
    }
}

/// The example with some of its characters replaced, removed or doubled.
fn typed_wrongly() -> impl Strategy<Value = String> {
    let typo = (
        any::<Index>(),
        select(vec!["", "\"", "{", "]", ",", "\n", "ü", "0", "\\", "\u{0}", "null", "-9e999"]),
        any::<bool>(),
    );
    vec(typo, 0..4).prop_map(|typos| {
        let mut text: Vec<String> = EXAMPLE.chars().map(String::from).collect();
        for (at, new, replaces) in typos {
            let at = at.index(text.len());
            let old = if replaces { String::new() } else { text[at].clone() };
            text[at] = format!("{old}{new}");
        }
        text.concat()
    })
}

/// A rule, or what is nearly one.
fn rule() -> impl Strategy<Value = Value> {
    let members = [
        "name",
        "match",
        "mode",
        "key",
        "onOtherKey",
        "reason",
        "owner",
        "until",
        "stream",
        "account",
        "region",
        "streamMode",
        "tags",
        "x",
    ];
    let values = prop_oneof![
        4 => select(vec!["a", "*", "exempt", "audit", "replace", "alias/streams", "111122223333", "us-east-1", "ON_DEMAND", "2027-01-01"])
            .prop_map(|text| json!(text)),
        1 => select(ODD.as_slice()).prop_map(|text| json!(text)),
        1 => any_json(),
    ];
    let condition = vec((select(members.to_vec()), values.clone()), 0..3)
        .prop_map(|members| Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()));
    (vec((select(members.to_vec()), values), 0..5), condition, any::<u8>()).prop_map(|(members, condition, number)| {
        let mut rule = json!({"name": format!("rule {number}"), "match": condition});
        rule.as_object_mut()
            .expect("an object")
            .extend(members.into_iter().map(|(name, value)| (name.to_owned(), value)));
        rule
    })
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn any_text_is_a_policy_or_has_problems_with_places(text in any::<String>()) {
        check_policy(&text);
    }

    #[test]
    fn a_policy_with_typing_errors_is_a_policy_or_has_problems_with_places(text in typed_wrongly()) {
        check_policy(&text);
    }

    #[test]
    fn rules_of_any_members_are_a_policy_or_have_problems_with_places(rules in vec(rule(), 0..4), pretty: bool) {
        let policy = json!({"version": 1, "rules": rules});
        check_policy(&if pretty { serde_json::to_string_pretty(&policy).expect("JSON") } else { policy.to_string() });
    }
}

fn today() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 11, 24).expect("a day")
}

/// A tag's value: words, ends that are dates, and ends that are none.
fn value() -> impl Strategy<Value = String> {
    let ends = [
        "until=2026-11-23",
        "until=2026-11-24",
        "Until=2027-01-01",
        "until=26-01-01",
        "until=1-01-01",
        "until=-0001-01-01",
        "until=+262142-12-31",
        "until=+2020-01-01",
        "until=99999-01-01",
        "until=2020-1-1",
        "until=2020-02-30",
        "until=2020-01-01T00:00",
        "until=２０２０-01-01",
        "until=",
        "until",
        "until= 2020-01-01",
        "until=0000-01-01",
    ];
    let word = prop_oneof![3 => select(ends.to_vec()).prop_map(str::to_owned), 1 => select(ODD.as_slice()).prop_map(str::to_owned), 1 => ".{0,8}"];
    vec(word, 0..4).prop_map(|words| words.join(" "))
}

/// What a tag's value means, read in another way: its ends, and which of them are days.
fn ends(value: &str) -> Vec<Option<NaiveDate>> {
    let ends = value.split_whitespace().filter(|word| word.to_lowercase().contains("until"));
    ends.map(|end| {
        if !end.chars().take(6).collect::<String>().eq_ignore_ascii_case("until=") {
            return None;
        }
        let digits: Vec<_> = end[6..]
            .split('-')
            .map(|part| (part.len(), part.parse::<u32>().ok().filter(|_| !part.starts_with('+'))))
            .collect();
        match digits[..] {
            [(4, Some(year)), (2, Some(month)), (2, Some(day))] => {
                NaiveDate::from_ymd_opt(year.cast_signed(), month, day)
            }
            _ => None,
        }
    })
    .collect()
}

/// Whether the reason of a tag may be taken for a date, or for none.
fn is_doubtful(value: &str) -> bool {
    let reason: Vec<_> = value.split_whitespace().filter(|word| !word.to_lowercase().contains("until")).collect();
    let letters = reason.concat().chars().filter(|char| char.is_alphabetic()).count();
    !reason.is_empty() && letters <= 4 || reason.concat().chars().any(char::is_numeric)
}

/// A date in whatever form.
fn dated() -> impl Strategy<Value = String> {
    let day = (2020_i32..2040, 1_u32..=12, 1_u32..=28)
        .prop_filter_map("a day", |(year, month, day)| NaiveDate::from_ymd_opt(year, month, day));
    let formats = [
        "%Y-%m-%d",
        "%Y/%m/%d",
        "%Y.%m.%d",
        "%Y%m%d",
        "%d.%m.%Y",
        "%d-%m-%y",
        "%m/%d/%y",
        "%m/%d/%Y",
        "%-d.%-m.%Y",
        "%d %B %Y",
        "%d %b",
        "%B %-d",
        "%b-%d-%Y",
        "%B %Y",
        "%Y-%m",
        "%Y%m",
        "%Y-W%V",
        "%YQ1",
        "%Y-%m-%dT%H:%M:%SZ",
        "%Y %m %d",
        "%Y年%m月%d日",
    ];
    let before = [
        "",
        "until:",
        "until ",
        "until= ",
        "Until-",
        "till=",
        "expires=",
        "expiry: ",
        "end=",
        "valid-to/",
        "x_",
        "by ",
    ];
    let after = ["", ".", ",", ":", " at the latest"];
    let reasons = ["", "load test ", "no KMS support, OPS-17 "];
    (select(reasons.to_vec()), select(before.to_vec()), day, select(formats.to_vec()), select(after.to_vec())).prop_map(
        |(reason, before, day, format, after)| {
            let day = day.and_hms_opt(23, 59, 59).expect("a time").format(format);
            format!("{reason}{before}{day}{after}")
        },
    )
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn no_tag_that_holds_a_date_is_an_exemption_without_end(value in dated()) {
        let found = exemption(&[(EXEMPT.to_owned(), value.clone())], EXEMPT, today());
        assert!(matches!(found, Exemption::Malformed { .. }), "{value:?}: {found:?}");
    }
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn a_tag_of_any_text_is_an_exemption_with_one_end_or_none_or_malformed(value in value()) {
        let found = exemption(&[(EXEMPT.to_owned(), value.clone())], EXEMPT, today());
        match (&ends(&value)[..], &found) {
            (_, Exemption::Malformed { .. }) if is_doubtful(&value) => {}
            ([], Exemption::Exempt { until: None, .. }) | ([None] | [_, _, ..], Exemption::Malformed { .. }) => {}
            ([Some(end)], Exemption::Exempt { until: Some(until), .. }) => assert!(until == end && *end >= today(), "{value:?}: {found:?}"),
            ([Some(end)], Exemption::Expired { until, .. }) => assert!(until == end && *end < today(), "{value:?}: {found:?}"),
            _ => unreachable!("{value:?}: {found:?}"),
        }
        assert_eq!(exemption(&[(value.clone(), value)], EXEMPT, today()), Exemption::None);
    }
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn a_stream_whose_tag_is_there_is_only_touched_after_the_day_that_the_tag_names(value in value()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let world = World::new();
            world.stream(NewStream::named("orders").tag(EXEMPT, &value));
            let outcome = world.outcome(&manual("orders")).await;
            let read = exemption(&[(EXEMPT.to_owned(), value.clone())], EXEMPT, today());
            let (status, starts) = match ends(&value)[..] {
                _ if matches!(read, Exemption::Malformed { .. }) => ("failed", 0),
                [Some(end)] if end < today() => ("encrypted", 1),
                [] | [Some(_)] => ("exempt", 0),
                _ => ("failed", 0),
            };
            assert_eq!((&outcome["status"], world.starts()), (&json!(status), starts), "{value:?}: {outcome:#}");
            if status == "failed" {
                assert_eq!(outcome["error"]["code"], "ExemptionMalformed");
            }
        });
    }
}
