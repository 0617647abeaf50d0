use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::domain::stream::{StreamArn, StreamMode};

const DEFAULT_KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const OTHER_KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/ffffffff-12ab-34cd-56ef-1234567890ab";

fn rulebook(rules: &str) -> EffectivePolicy {
    let policy = format!(r#"{{"version": 1, "rules": [{rules}]}}"#).parse::<Policy>().expect("a policy");
    EffectivePolicy {
        policy: Arc::new(policy),
        key: DEFAULT_KEY.parse().expect("a key"),
        mode: Mode::Enforce,
        on_other_key: OnOtherKey::Replace,
    }
}

fn stream(name: &str) -> StreamArn {
    format!("arn:aws:kinesis:us-east-1:111122223333:stream/{name}").parse().expect("an ARN")
}

fn today() -> NaiveDate {
    "2026-11-24".parse().expect("a date")
}

/// What decides about `name`, with this mode and these tags: the rule's name, `default`, `tags`
/// where they are needed, `unknown` where it cannot be said.
fn decides<'a>(
    rules: &'a EffectivePolicy,
    name: &str,
    mode: Option<&StreamMode>,
    tags: Option<&[(String, String)]>,
) -> (&'a str, Vec<&'a str>) {
    let (ruling, expired) = rules.rule_on(&Subject { stream: &stream(name), mode, tags, today: today() });
    let decides = match ruling {
        PolicyDecision::Requirement(terms) => terms.rule.unwrap_or("default"),
        PolicyDecision::NeedsTags { .. } => "tags",
        PolicyDecision::Undecided { .. } => "unknown",
    };
    (decides, expired.into_iter().map(|rule| rule.name.as_str()).collect())
}

fn tags(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn the_first_rule_whose_conditions_all_hold_decides() {
    let rules = rulebook(
        r#"{"name": "payments", "match": {"stream": ["payments-*", "card?"]}, "key": "alias/payments"},
           {"name": "elsewhere", "match": {"account": "999988887777"}},
           {"name": "ireland", "match": {"region": ["eu-west-1", "eu-west-2"]}},
           {"name": "on demand", "match": {"stream": "d-*", "streamMode": "ON_DEMAND"}, "mode": "audit"},
           {"name": "team", "match": {"stream": "t-*", "tags": {"team": ["a*", "b"], "stage": "*"}}, "onOtherKey": "accept"},
           {"name": "the rest of t", "match": {"stream": "t-*"}, "mode": "exempt", "reason": "retired"}"#,
    );
    let (provisioned, on_demand) = (StreamMode::Provisioned, StreamMode::OnDemand);
    let team = tags(&[("team", "alpha"), ("stage", "")]);
    let no_team = tags(&[("team", "gamma"), ("stage", "x")]);
    let no_stage = tags(&[("team", "b")]);
    for (name, mode, tags, expected) in [
        ("payments-eu", None, None, "payments"),
        ("cards", None, None, "payments"),
        ("card", None, None, "default"),
        ("my-payments-eu", None, None, "default"),
        ("d-1", Some(&on_demand), None, "on demand"),
        ("d-1", Some(&provisioned), None, "default"),
        ("d-1", None, None, "unknown"),
        ("t-1", None, None, "tags"),
        ("t-1", None, Some(&team), "team"),
        ("t-1", None, Some(&no_team), "the rest of t"),
        ("t-1", None, Some(&no_stage), "the rest of t"),
        ("orders", None, None, "default"),
    ] {
        assert_eq!(decides(&rules, name, mode, tags.map(Vec::as_slice)).0, expected, "{name} {mode:?} {tags:?}");
    }
}

#[test]
fn a_rule_replaces_key_and_other_key_and_may_only_restrict_the_mode() {
    let mut rules = rulebook(
        r#"{"name": "a", "match": {"stream": "a"}, "key": "alias/a", "onOtherKey": "accept"},
           {"name": "b", "match": {"stream": "b"}, "mode": "audit"},
           {"name": "c", "match": {"stream": "c"}, "mode": "exempt", "reason": "legacy", "owner": "ada", "until": "2026-11-24"}"#,
    );
    let terms = |rules: &EffectivePolicy, name| match rules
        .rule_on(&Subject { stream: &stream(name), mode: None, tags: None, today: today() })
        .0
    {
        PolicyDecision::Requirement(Requirement { rule: _, key, mode, on_other_key, exempt }) => {
            (key.to_string(), mode, on_other_key, exempt.map(|leave| leave.because("c")))
        }
        other => unreachable!("{other:?}"),
    };
    let (key, enforce, replace) = (DEFAULT_KEY.to_owned(), Mode::Enforce, OnOtherKey::Replace);
    assert_eq!(terms(&rules, "a"), ("alias/a".to_owned(), enforce, OnOtherKey::Accept, None));
    assert_eq!(terms(&rules, "b"), (key.clone(), Mode::Audit, replace, None));
    assert_eq!(
        terms(&rules, "c"),
        (key.clone(), enforce, replace, Some("exempt by rule c until 2026-11-24: legacy (owner: ada)".to_owned()))
    );
    assert_eq!(terms(&rules, "d"), (key, enforce, replace, None));
    rules.mode = Mode::Audit;
    assert_eq!(terms(&rules, "a").1, Mode::Audit);
    assert_eq!(
        rules.keys_in(None, "us-east-1").into_iter().map(KeyRef::as_str).collect::<Vec<_>>(),
        [DEFAULT_KEY, "alias/a"]
    );
}

#[test]
fn the_keys_of_an_account_and_region_are_those_of_the_rules_that_may_hold_there() {
    let rules = rulebook(
        r#"{"name": "a", "match": {"account": "444455556666"}, "key": "alias/a"},
           {"name": "b", "match": {"region": "eu-west-1"}, "key": "alias/b"},
           {"name": "c", "match": {"account": ["111122223333", "444455556666"], "region": "us-east-1"}, "key": "alias/c"}"#,
    );
    let check = |account, region, expected: &[&str]| {
        let keys: Vec<_> = rules.keys_in(account, region).into_iter().map(KeyRef::as_str).collect();
        assert_eq!(keys, [&[DEFAULT_KEY], expected].concat(), "{account:?} {region}");
    };
    check(Some("111122223333"), "us-east-1", &["alias/c"]);
    check(Some("444455556666"), "us-east-1", &["alias/a", "alias/c"]);
    check(Some("111122223333"), "eu-west-1", &["alias/b"]);
    check(None, "us-east-1", &["alias/a", "alias/c"]);
}

#[test]
fn why_a_rule_does_not_match_is_said_with_what_was_found_and_what_was_wanted() {
    let rules = rulebook(
        r#"{"name": "a", "match": {"stream": ["a*", "b"]}}, {"name": "b", "match": {"tags": {"stage": "dev"}}}"#,
    );
    let (stream, tags) = (stream("orders"), tags(&[("stage", "prod")]));
    let because = |rule: usize, tags| match rules.policy.rules()[rule].matches.of(&Subject {
        stream: &stream,
        mode: None,
        tags,
        today: today(),
    }) {
        Match::No(mismatch) => mismatch.to_string(),
        other => unreachable!("{other:?}"),
    };
    assert_eq!(because(0, None), "stream is orders, not a* or b");
    assert_eq!(because(1, Some(tags.as_slice())), "tag stage is prod, not dev");
    assert_eq!(because(1, Some(&[])), "tag stage is missing, it must be dev");
}

#[test]
fn why_a_stream_is_left_alone_is_said_with_the_last_day_and_whom_to_ask() {
    assert_eq!(exempt_by_tag("load test", None), "exempt by tag: load test");
    assert_eq!(exempt_by_tag("load test", Some(today())), "exempt by tag until 2026-11-24: load test");
    let leave = RuleExemption { reason: "legacy", owner: None, until: None };
    assert_eq!(leave.because("a"), "exempt by rule a: legacy");
}

#[test]
fn an_expired_exemption_does_not_match_and_is_named() {
    let rules = rulebook(
        r#"{"name": "legacy", "match": {"stream": "a"}, "mode": "exempt", "reason": "migration", "until": "2026-11-23"},
           {"name": "rest", "match": {}, "key": "alias/rest"}"#,
    );
    assert_eq!(decides(&rules, "a", None, None), ("rest", vec!["legacy"]));
    assert_eq!(decides(&rules, "b", None, None), ("rest", vec![]));
}

#[test]
fn what_stands_behind_a_rule_is_never_reached_only_if_that_matches_every_stream_for_ever() {
    for (matches, rest, ends) in [
        ("{}", "", true),
        (r#"{"stream": "*"}"#, "", true),
        (r#"{"stream": ["a", "**"]}"#, "", true),
        (r#"{"stream": "a*"}"#, "", false),
        (r#"{"account": "111122223333"}"#, "", false),
        (r#"{"region": "us-east-1"}"#, "", false),
        (r#"{"streamMode": "ON_DEMAND"}"#, "", false),
        (r#"{"tags": {"stage": "*"}}"#, "", false),
        ("{}", r#", "mode": "audit""#, true),
        ("{}", r#", "mode": "exempt", "reason": "r""#, true),
        ("{}", r#", "mode": "exempt", "reason": "r", "until": "2026-12-31""#, false),
    ] {
        let rules =
            format!(r#"[{{"name": "a", "match": {matches}{rest}}}, {{"name": "b", "match": {{"stream": "b"}}}}]"#);
        let read = format!(r#"{{"version": 1, "rules": {rules}}}"#).parse::<Policy>();
        let refused =
            read.is_err_and(|Invalid(problems)| problems.iter().any(|problem| problem.what.contains("never reached")));
        assert_eq!(refused, ends, "{rules}");
    }
}

#[test]
fn a_name_has_1_to_64_characters_that_can_be_shown() {
    let named = |name: &str| {
        serde_json::json!({"version": 1, "rules": [{"name": name, "match": {}}]}).to_string().parse::<Policy>().is_ok()
    };
    assert!(named("a") && named(&"ü".repeat(64)));
    assert!(!named("") && !named(&"ü".repeat(65)) && !named("a\tb"));
}

/// A rule, as JSON, out of few enough words that they meet often.
fn any_rule() -> impl Strategy<Value = serde_json::Value> {
    let names = prop::option::of(prop::sample::select(vec!["a", "b", "a*", "?", "*b"]));
    let modes = prop::option::of(prop::sample::select(vec!["PROVISIONED", "ON_DEMAND"]));
    let tags = prop::option::of(prop::sample::select(vec!["x", "y", "*"]));
    let actions = prop::sample::select(vec![
        serde_json::json!({"key": OTHER_KEY}),
        serde_json::json!({"mode": "audit", "onOtherKey": "accept"}),
        serde_json::json!({"mode": "exempt", "reason": "r"}),
        serde_json::json!({"mode": "exempt", "reason": "r", "until": "2026-11-23"}),
        serde_json::json!({"mode": "exempt", "reason": "r", "until": "2026-11-24"}),
    ]);
    (names, modes, tags, actions).prop_map(|(name, mode, tag, mut rule)| {
        let mut matches = serde_json::json!({});
        // So that no rule is beyond all reach: a policy with such is refused.
        matches["region"] = "us-east-1".into();
        if let Some(name) = name {
            matches["stream"] = name.into();
        }
        if let Some(mode) = mode {
            matches["streamMode"] = mode.into();
        }
        if let Some(tag) = tag {
            matches["tags"] = serde_json::json!({"t": tag});
        }
        rule["match"] = matches;
        rule
    })
}

fn built(rules: &[serde_json::Value]) -> EffectivePolicy {
    let named = rules.iter().enumerate().map(|(index, rule)| {
        let mut rule = rule.clone();
        rule["name"] = index.to_string().into();
        rule.to_string()
    });
    rulebook(&named.collect::<Vec<_>>().join(","))
}

proptest! {
    #[test]
    fn with_everything_known_exactly_one_thing_decides_and_it_matches(
        rules in prop::collection::vec(any_rule(), 0..6),
        name in prop::sample::select(vec!["a", "b", "ab", "c"]),
        on_demand: bool,
        tag in prop::option::of(prop::sample::select(vec!["x", "y", "z"])),
    ) {
        let rulebook = built(&rules);
        let mode = if on_demand { StreamMode::OnDemand } else { StreamMode::Provisioned };
        let tags = tag.map(|tag| vec![("t".to_owned(), tag.to_owned())]).unwrap_or_default();
        let subject = Subject { stream: &stream(name), mode: Some(&mode), tags: Some(&tags), today: today() };
        let PolicyDecision::Requirement(terms) = rulebook.rule_on(&subject).0 else { return Err(TestCaseError::fail("undecided")) };
        let live = |rule: &&Rule| rule.matches.of(&subject) == Match::Yes && !rule.has_expired(today());
        prop_assert_eq!(terms.rule, rulebook.policy.rules().iter().find(live).map(|rule| rule.name.as_str()));

        // A rule that does not match changes nothing, wherever it stands.
        for at in 0..=rules.len() {
            let mut more = rules.clone();
            more.insert(at, serde_json::json!({"match": {"stream": "none-such"}, "key": OTHER_KEY}));
            let more = built(&more);
            let PolicyDecision::Requirement(again) = more.rule_on(&subject).0 else { return Err(TestCaseError::fail("undecided")) };
            prop_assert_eq!((again.key, again.mode, again.on_other_key, again.exempt), (terms.key, terms.mode, terms.on_other_key, terms.exempt));
        }

        // With the tags unread it is the same, or it is said that they are needed.
        match rulebook.rule_on(&Subject { tags: None, ..subject }).0 {
            PolicyDecision::Requirement(early) => prop_assert_eq!(early, terms),
            PolicyDecision::NeedsTags { .. } => {}
            PolicyDecision::Undecided { rule, missing } => return Err(TestCaseError::fail(format!("{rule}: {missing}"))),
        }
    }
}

/// What is wrong with a policy, as a person reads it.
#[test]
fn a_malformed_policy_is_refused_with_the_place_what_was_found_and_what_is_allowed() {
    for (name, text) in MALFORMED {
        let Err(Invalid(problems)) = text.parse::<Policy>() else { unreachable!("{name} was accepted") };
        let text = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        insta::assert_snapshot!(name.replace(' ', "_"), text);
    }
}

#[test]
fn the_place_of_a_problem_is_counted_from_the_beginning_of_the_policy_wherever_its_rule_begins() {
    for (text, place) in [
        // The rule begins on line 2, and the field on line 3.
        ("{\"version\": 1, \"rules\": [\n  {\"name\": \"a\",\n   \"match\": {\"streams\": \"b\"}}\n]}", (3, 14)),
        // Both are on line 2.
        ("{\"version\": 1, \"rules\": [\n  {\"name\": \"a\", \"match\": {\"streams\": \"b\"}}\n]}", (2, 27)),
        // The name of the field is escaped: its value.
        ("{\"version\": 1, \"rules\": [\n  {\"name\": \"a\", \"match\": {\"\\u0073treams\": \"b\"}}\n]}", (2, 43)),
        (
            "{\"version\": 1, \"rules\": [\n  {\"name\": \"ü\",\n   \"match\": {\"account\": [\"111122223333\", \"1\"]}}\n]}",
            (3, 42),
        ),
    ] {
        let Err(Invalid(problems)) = text.parse::<Policy>() else { unreachable!("{text} was accepted") };
        assert_eq!(
            problems.iter().map(|problem| (problem.line, problem.column)).collect::<Vec<_>>(),
            [place],
            "{text}"
        );
    }
}

const MALFORMED: &[(&str, &str)] = &[
    ("no json", "rules:\n  - name: a\n"),
    ("empty", ""),
    ("cut off", "{\"version\": 1, \"rules\": [{\"name\": \"a\""),
    ("no version", r#"{"rules": []}"#),
    ("another version", "{\n  \"version\": 2,\n  \"rules\": []\n}"),
    ("unknown field", r#"{"version": 1, "rules": [], "default": {}}"#),
    ("rules that are no list", r#"{"version": 1, "rules": {"a": {}}}"#),
    (
        "many at once",
        r#"{
  "version": 1,
  "rules": [
    {"name": "a", "match": {"stream": "a"}, "key": "orders-key"},
    {"name": "b", "match": {"streams": "b"}},
    {"name": "c", "match": {"stream": "c d"}},
    {"name": "d", "match": {"account": "1234"}},
    {"name": "e", "match": {"region": "europe"}},
    {"name": "f", "match": {"streamMode": "on-demand"}},
    {"name": "g", "match": {"tags": {"team": []}}},
    {"name": "h", "match": {}, "mode": "exempt"},
    {"name": "i", "match": {"stream": "i"}, "mode": "exempt", "reason": "r", "until": "tomorrow"},
    {"name": "j", "match": {"stream": "j"}, "mode": "exempt", "reason": "r", "key": "alias/a"},
    {"name": "k", "match": {"stream": "k"}, "reason": "r"},
    {"name": "l", "match": {"stream": "l"}, "mode": "off"},
    {"name": "", "match": {"stream": "m"}},
    {"name": "n"},
    {"name": "o", "match": {"stream": ""}},
    {"name": "p", "match": {"stream": "p"}, "onOtherKey": "keep"},
    {"name": "q", "match": {"stream": "q"}, "key": "alias/aws/s3"},
    "r"
  ]
}"#,
    ),
    (
        "beyond reach and twice",
        r#"{"version": 1, "rules": [
  {"name": "a", "match": {"stream": "*"}},
  {"name": "a", "match": {"stream": "b"}}
]}"#,
    ),
];

#[test]
fn an_empty_condition_and_a_tag_that_is_there_twice_are_refused_with_their_place() {
    for (condition, problem) in [
        (
            r#""tags": {}"#,
            "$.rules[0].match.tags (line 2, column 34): the object is empty: add a tag, or remove the condition to match every stream",
        ),
        (
            r#""tags": {"stage": "dev", "stage": "prod"}"#,
            "$.rules[0].match.tags.stage (line 2, column 51): the tag \"stage\" is there twice: use one list of values",
        ),
        (
            r#""tags": null"#,
            "$.rules[0].match.tags (line 2, column 34): this is null: it must be an object of at least one tag, such as {\"stage\": [\"dev\", \"test\"]}",
        ),
        (
            r#""streamMode": null"#,
            "$.rules[0].match.streamMode (line 2, column 40): this is null: remove the condition to match every stream",
        ),
        (
            r#""stream": "a", "stream": "b""#,
            "$.rules[0].match.stream (line 2, column 41): the field \"stream\" is there twice: remove one of the two",
        ),
        (
            r#""region": "eu-*""#,
            "$.rules[0].match.region (line 2, column 36): \"eu-*\" is not a Region, such as us-east-1; patterns are not allowed here: use a list",
        ),
    ] {
        let text = format!("{{\"version\": 1, \"rules\": [\n {{\"name\": \"p\", \"match\": {{{condition}}}}}]}}");
        assert_eq!(text.parse::<Policy>().expect_err(condition).to_string(), problem);
    }
}

#[test]
fn what_requires_access_is_the_same_to_the_function() {
    let rules =
        |field: &str| rulebook(&format!(r#"{{"name": "a", "match": {{"stream": "a"}}, "key": "alias/a"{field}}}"#));
    let subject = stream("a");
    let subject = Subject { stream: &subject, mode: None, tags: None, today: today() };
    let plain = rules("");
    for (field, requires) in [
        (r#", "requireAccess": true"#, true),
        (r#", "requireAccess": true, "mode": "audit""#, true),
        (r#", "requireAccess": false"#, false),
        (r#", "requireAccess": null"#, false),
        ("", false),
    ] {
        let rules = rules(field);
        assert_eq!(rules.policy.requires_access("a"), requires, "{field}");
        if !field.contains("audit") {
            assert_eq!(rules.rule_on(&subject), plain.rule_on(&subject), "{field}");
        }
    }
    assert!(!plain.policy.requires_access("nosuch"));
    let refused = |rule: &str| {
        let policy = format!(r#"{{"version": 1, "rules": [{{"name": "a", "match": {{}}, {rule}}}]}}"#);
        policy.parse::<Policy>().expect_err(rule).to_string()
    };
    assert_eq!(
        refused(r#""mode": "exempt", "reason": "r", "requireAccess": true"#),
        "$.rules[0].requireAccess (line 1, column 103): requireAccess is allowed only with mode enforce or audit: the \
         mode of this rule is exempt"
    );
    assert_eq!(
        refused(r#""requireAccess": "yes""#),
        "$.rules[0].requireAccess (line 1, column 70): this is the string \"yes\": it must be true or false"
    );
}

#[test]
fn a_word_that_is_nearly_right_is_answered_with_the_one_that_was_meant() {
    for (rule, says) in [
        (r#""match": {"streams": "b"}"#, "there is no field \"streams\": did you mean \"stream\"?"),
        (r#""match": {"tag": {"a": "b"}}"#, "there is no field \"tag\": did you mean \"tags\"?"),
        (r#""match": {"stream_mode": "ON_DEMAND"}"#, "there is no field \"stream_mode\": did you mean \"streamMode\"?"),
        (r#""match": {"streamMode": "on-demand"}"#, "\"on-demand\" is not allowed: did you mean \"ON_DEMAND\"?"),
        (r#""match": {}, "mode": "Exempted""#, "\"Exempted\" is not allowed: did you mean \"exempt\"?"),
        (r#""match": {}, "mode": "off""#, "\"off\" is not allowed: use enforce, audit or exempt"),
        (r#""match": {}, "onOtherkey": "accept""#, "there is no field \"onOtherkey\": did you mean \"onOtherKey\"?"),
        (
            r#""match": {}, "kms": "alias/a""#,
            "there is no field \"kms\": use name, match, mode, key, onOtherKey, requireAccess, reason, owner or until",
        ),
    ] {
        let text = format!(r#"{{"version": 1, "rules": [{{"name": "a", {rule}}}]}}"#);
        let Err(Invalid(problems)) = text.parse::<Policy>() else { unreachable!("{rule} was accepted") };
        assert_eq!(problems.iter().map(|problem| problem.what.as_str()).collect::<Vec<_>>(), [says]);
    }
}

/// Every place of a document, as a JSON pointer.
fn places(value: &serde_json::Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        serde_json::Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| places(value, &format!("{at}/{name}"), found));
        }
        serde_json::Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| places(item, &format!("{at}/{index}"), found));
        }
        _ => {}
    }
}

/// The types that are allowed at a place of the example.
fn allowed(place: &str) -> &'static [&'static str] {
    let steps: Vec<_> = place.split('/').skip(1).collect();
    match steps[..] {
        ["rules"] => &["list"],
        ["version"] => &["number"],
        ["$schema"] | ["rules", _, "key" | "onOtherKey" | "reason" | "owner" | "until"] => &["string", "null"],
        ["rules", _, "match", "stream" | "account" | "region"] | ["rules", _, "match", "tags", _] => {
            &["string", "list"]
        }
        ["rules", _, "name" | "mode"] | ["rules", _, "match", "streamMode" | "stream" | "tags", ..]
            if !matches!(steps[..], [.., "tags"]) =>
        {
            &["string"]
        }
        ["rules", _, "requireAccess"] => &["boolean", "null"],
        _ => &["object"],
    }
}

/// Words of the parser, of Rust and of serde, which say nothing to the author of a policy.
const OF_A_LIBRARY: [&str; 14] = [
    "expected",
    "invalid type",
    "sequence",
    "map",
    "u64",
    "i64",
    "unit",
    "struct",
    "variant",
    "EOF",
    "ident",
    "borrowed",
    "at line",
    "RawValue",
];

#[test]
fn a_value_of_another_type_is_refused_at_its_path_with_what_it_is_and_what_is_allowed() {
    let example: serde_json::Value =
        serde_json::from_str(include_str!("../../docs/policy.example.json")).expect("JSON");
    let schema = jsonschema::validator_for(&schema()).expect("a schema");
    assert!(schema.is_valid(&example));
    let mut found = Vec::new();
    places(&example, "", &mut found);
    assert!(found.len() > 25, "{found:?}");
    for place in found {
        for (kind, shown, value) in [
            ("null", "null", serde_json::json!(null)),
            ("boolean", "true", serde_json::json!(true)),
            ("number", "the number 7", serde_json::json!(7)),
            ("number", "the number -0.5", serde_json::json!(-0.5)),
            ("string", "the string \"x\"", serde_json::json!("x")),
            ("list", "a list", serde_json::json!([])),
            ("list", "a list", serde_json::json!([["x"]])),
            ("object", "an object", serde_json::json!({})),
            ("object", "an object", serde_json::json!({"x": {}})),
        ] {
            let mut policy = example.clone();
            *policy.pointer_mut(&place).expect("the place") = value;
            let read = policy.to_string().parse::<Policy>();
            let problems = read.err().map(|Invalid(problems)| problems).unwrap_or_default();
            for problem in &problems {
                let words: Vec<_> = OF_A_LIBRARY.into_iter().filter(|word| problem.what.contains(word)).collect();
                assert!(words.is_empty(), "{problem}: {words:?}");
            }
            if allowed(&place).contains(&kind) {
                continue;
            }
            let steps = place.split('/').skip(1);
            let path: String = steps
                .map(|step| if step.parse::<u8>().is_ok() { format!("[{step}]") } else { format!(".{step}") })
                .collect();
            let refused = problems.iter().find(|problem| problem.path == format!("${path}"));
            let what = refused.map(|problem| problem.what.as_str()).unwrap_or_default();
            let condition =
                if place.ends_with("streamMode") && kind == "null" { "remove the condition" } else { "it must be " };
            assert!(
                what.starts_with(&format!("this is {shown}: {condition}")) && what.len() > 25,
                "{place} {shown}: {problems:?}"
            );
            assert!(!schema.is_valid(&policy), "the schema accepts {shown} at {place}");
        }
    }
}

#[test]
fn what_is_not_json_is_described_without_the_words_of_the_parser() {
    for (text, says) in [
        (" \n", "the policy is empty"),
        ("[", "the JSON is incomplete"),
        ("version: 1", "this is not JSON"),
        ("{\"version\": 1, \"rules\": [],}", "remove the comma before the closing bracket"),
        ("{\"version\": 1, \"rules\": [{},\n]}", "remove the comma before the closing bracket"),
        ("{// a comment\n\"version\": 1}", "JSON has no comments"),
        ("{'version': 1}", "the name of a field must be in double quotes"),
        ("{\"version\": 1, \"rules\": []} {}", "remove what follows the policy"),
        ("{\"version\" 1}", "a colon is missing"),
        ("{\"version\": 1 \"rules\": []}", "a comma or } is missing"),
        ("{\"version\": 1, \"rules\": [1 2]}", "a comma or ] is missing"),
        ("{version: 1}", "the name of a field must be in double quotes"),
        ("{\"version\": one}", "a value must be a string in double quotes"),
        ("{\"version\": nul}", "a value must be a string in double quotes"),
        ("{\"version\": 01}", "not valid JSON"),
        ("{\"version\": \"\u{1}\"}", "this is not valid JSON"),
        ("{\"version\": 1, \"$schema\": \"\\ud800\", \"rules\": []}", "an escape that is not valid"),
        ("{\"version\": 1, \"\\ud800\": 1, \"rules\": []}", "an escape that is not valid"),
    ] {
        let Err(Invalid(problems)) = text.parse::<Policy>() else { unreachable!("{text} was accepted") };
        let what = &problems[0].what;
        assert!(what.contains(says) && OF_A_LIBRARY.iter().all(|word| !what.contains(word)), "{text}: {problems:?}");
    }
}

#[test]
fn a_byte_order_mark_before_a_policy_is_skipped() {
    let text = "\u{feff}{\"version\": 1, \"rules\": []}";
    assert!(text.parse::<Policy>().is_ok());
    let problem = "\u{feff}{\"version\": 2, \"rules\": []}".parse::<Policy>().expect_err("refused").0.remove(0);
    assert_eq!((problem.line, problem.column), (1, 13));
}

#[test]
fn an_error_displays_the_first_problems_and_how_many_more_there_are() {
    let error = |names: &[String]| {
        let rules: Vec<_> = names.iter().map(|name| serde_json::json!({"name": name, "match": {}, name: 1})).collect();
        serde_json::json!({"version": 1, "rules": rules})
            .to_string()
            .parse::<Policy>()
            .expect_err("refused")
            .to_string()
    };
    let names: Vec<_> = (0..12).map(|index| index.to_string()).collect();
    let (ten, twelve) = (error(&names[..10]), error(&names));
    assert_eq!(ten.matches("there is no field").count(), 10);
    assert!(!ten.contains("more"), "{ten}");
    assert_eq!(twelve, format!("{ten}; and 2 more"));
    // Neither the name of a field nor a value is shown in full.
    assert!(error(&vec!["a".repeat(100_000); 12]).len() < 8_000);
}

#[test]
fn many_problems_are_each_in_their_place() {
    let rules: Vec<_> = (0..50_000).map(|index| format!("{{\"name\": \"é{index}\"}}")).collect();
    for (between, places) in [(",", [(1, 26), (1, 41)]), (",\n", [(1, 26), (2, 1)])] {
        let text = format!("{{\"version\": 1, \"rules\": [{}]}}", rules.join(between));
        let problems = text.parse::<Policy>().expect_err("refused").0;
        assert_eq!(problems.len(), 50_000);
        let found = [&problems[0], &problems[1]].map(|problem| (problem.line, problem.column));
        assert_eq!(found, places);
    }
}
