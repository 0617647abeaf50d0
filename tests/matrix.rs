//! Every command in the surroundings in which people run it: kinds of profiles, behind a proxy, in
//! two Regions of which one refuses, without a terminal, without colours, in 60 columns, and with
//! texts that others wrote. Each combination ends as expected, and prints nothing that harms or
//! does not fit.

#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

#[path = "served/colours.rs"]
mod colours;
#[path = "served/proxy.rs"]
mod proxy;
mod served;

use std::fmt::Write as _;

use kinesis_encryption_enforcer::clock::Clock;
use kinesis_encryption_enforcer::sandbox::{Account, Fault, NewStream};
use serde_json::json;
use tempfile::TempDir;

use self::colours::without_colours;
use self::proxy::{Answer, Proxy};
use self::served::{enforcer, served};

const OWN: &str = "111122223333";
const ALIAS: &str = "alias/streams";

/// A text that clears the screen, sets the title, turns the direction and forges a line.
const HOSTILE: &str = "team \u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}txt\u{2066}\n✔ forged\r\u{200b}";

/// Words of libraries, which no person should read.
const FOREIGN: [&str; 10] = [
    "invalid type",
    "expected u",
    "invalid digit",
    "os error",
    "Some(",
    "None)",
    "panicked",
    "dispatch failure",
    "Error {",
    "missing signing region",
];

/// An account in which every command has something to show.
struct Setting {
    account: Account,
    variables: Vec<(&'static str, String)>,
    home: TempDir,
}

impl Setting {
    fn new() -> Self {
        let account = Account::new(Clock::system(), "us-east-1", OWN);
        account.configure(|options| options.updating = std::time::Duration::from_millis(50));
        let key = account.create_key();
        account.alias(ALIAS, &key);
        account.stream(NewStream::named("clicks").encrypted_with(&key));
        account.stream(NewStream::named("orders"));
        account.stream(NewStream::named("feed").tag("kinesis-encryption-enforcer:exempt", HOSTILE));
        account.stream(NewStream::named("denied"));
        account.fault(Fault::on("ListTagsForStream").stream("denied").error("AccessDeniedException", HOSTILE));
        let dead = account.queue("dead");
        let letter = json!({
            "version": 1, "kind": "enforcement-failure", "stream": format!("arn:aws:kinesis:us-east-1:{OWN}:stream/orders"),
            "function": "enforcer", "attempts": 1, "event": {"stream": "orders"},
            "error": {"step": "describe-key", "code": "KeyDisabled", "class": "terminal", "message": HOSTILE, "remedy": HOSTILE},
        });
        account.send("dead", &letter.to_string());
        account.send("dead", HOSTILE);
        let home = tempfile::tempdir().expect("a folder");
        let mut variables = served(&account);
        variables.retain(|(name, _)| *name != "NO_COLOR");
        variables.extend([
            ("KMS_KEY_ID", ALIAS.to_owned()),
            ("FAILURE_QUEUE_URL", dead),
            ("IAC_GRACE_SECONDS", "0".to_owned()),
            ("HOME", home.path().display().to_string()),
        ]);
        let rule = json!({"name": "feeds", "match": {"stream": "feed-.*"}, "mode": "exempt", "reason": "vendor"});
        let policy = json!({"version": 1, "rules": [rule]});
        std::fs::write(home.path().join("policy.json"), policy.to_string()).expect("written");
        std::fs::write(home.path().join("event.json"), json!({"streams": ["orders", "denied"]}).to_string())
            .expect("written");
        Self { account, variables, home }
    }

    fn path(&self, file: &str) -> String {
        self.home.path().join(file).display().to_string()
    }

    /// The variables without these.
    fn without(&self, names: &[&str]) -> Vec<(&'static str, String)> {
        self.variables.iter().filter(|(name, _)| !names.contains(name)).cloned().collect()
    }

    /// Whether somebody has changed a stream.
    fn is_changed(&self) -> bool {
        self.account.count("StartStreamEncryption") > 0
    }
}

/// A command that changes nothing, with its exit code.
fn commands(setting: &Setting) -> Vec<(Vec<String>, i32)> {
    let (policy, event) = (setting.path("policy.json"), setting.path("event.json"));
    let command = |arguments: &str, files: &[&str], code| {
        let words = arguments.split(' ').map(str::to_owned);
        (words.chain(files.iter().map(|file| (*file).to_owned())).collect(), code)
    };
    vec![
        command("plan", &[], 1),
        command("plan --all", &[], 1),
        command("plan --json", &[], 1),
        command("plan --detailed-exitcode", &[], 4),
        command("plan orders", &[], 3),
        command("apply", &[], 2),
        command("report", &[], 0),
        command("report --fail-on non-compliant", &[], 1),
        command("report --format json", &[], 0),
        command("report --format csv", &[], 0),
        command("report --format html", &[], 0),
        command("report --format asff", &[], 0),
        command("event --dry-run", &[&event], 1),
        command("event --dry-run --json", &[&event], 1),
        command("dlq list", &[], 0),
        command("dlq list --json", &[], 0),
        command("dlq redrive --dry-run --code KeyDisabled --here", &[], 0),
        command("policy check", &[&policy], 0),
        command("policy check --strict", &[&policy], 1),
    ]
}

/// Whether a command's output is a table or lines for people: those fit the terminal.
fn is_for_people(arguments: &[String]) -> bool {
    let is = |word: &str| arguments.iter().any(|argument| argument == word);
    !is("--json") && !is("--format")
}

/// Runs every command, and checks what holds for every one.
fn run_all(
    name: &str,
    setting: &Setting,
    variables: &[(&'static str, String)],
    more: &[&str],
    code: impl Fn(&[String], i32) -> i32,
) -> Vec<(Vec<String>, String)> {
    let mut printed = Vec::new();
    let mut seen = String::new();
    for (mut arguments, ends) in commands(setting) {
        let ends = code(&arguments, ends);
        if arguments[0] != "policy" {
            arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        }
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (found, output) = enforcer(&words, variables);
        writeln!(seen, "$ enforcer {}  # {found:?}\n{output}", words.join(" ")).expect("a text");
        assert_eq!(found, Some(ends), "{name}: {arguments:?}: {output}");
        let plain = without_colours(&output);
        for character in plain.chars().filter(|character| *character != '\n') {
            let is_harmless = !character.is_control() && !"\u{202e}\u{2066}\u{200b}".contains(character);
            assert!(is_harmless, "{name}: {arguments:?}: {character:?} in {plain}");
        }
        assert!(!plain.lines().any(|line| line.trim_start().starts_with("✔ forged")), "{name}: {arguments:?}: {plain}");
        for word in FOREIGN {
            assert!(!plain.contains(word), "{name}: {arguments:?}: {word} in {plain}");
        }
        printed.push((arguments, output));
    }
    assert!(!setting.is_changed(), "{name}");
    // For whoever wants to look at it.
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("matrix");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join(format!("{name}.txt")), seen).expect("written");
    printed
}

fn as_usual(_: &[String], code: i32) -> i32 {
    code
}

#[test]
fn every_command_works_without_a_terminal_and_has_colours_only_where_they_are_asked_for() {
    let setting = Setting::new();
    for (arguments, output) in run_all("pipe", &setting, &setting.variables, &[], as_usual) {
        assert!(!output.contains('\u{1b}'), "{arguments:?}: {output}");
    }
    let forced = [&setting.variables[..], &[("CLICOLOR_FORCE", "1".to_owned())]].concat();
    let coloured = run_all("colours", &setting, &forced, &[], as_usual);
    assert!(coloured.iter().any(|(_, output)| output.contains('\u{1b}')));
    let refused = [&forced[..], &[("NO_COLOR", "1".to_owned())]].concat();
    for (arguments, output) in run_all("no-colour", &setting, &refused, &[], as_usual) {
        assert!(!output.contains('\u{1b}'), "{arguments:?}: {output}");
    }
}

#[test]
fn every_table_fits_sixty_columns() {
    let setting = Setting::new();
    let narrow = [&setting.variables[..], &[("COLUMNS", "60".to_owned())]].concat();
    for (arguments, output) in run_all("narrow", &setting, &narrow, &[], as_usual) {
        // An ARN, an ID or a path alone stays whole, so that it can be copied.
        let is_whole = |line: &str| line.trim().contains("arn:aws:kms") && !line.trim().contains(' ');
        let too_long = output.lines().find(|line| line.chars().count() > 60 && !is_whole(line));
        assert!(!is_for_people(&arguments) || too_long.is_none(), "{arguments:?}: {too_long:?} in {output}");
    }
}

#[test]
fn every_command_takes_every_kind_of_profile() {
    let setting = Setting::new();
    let other = Account::new(Clock::system(), "us-east-1", "444455556666");
    other.alias(ALIAS, &other.create_key());
    setting.account.admit(&other, "streams-admin", "");
    let script = setting.path("credentials.sh");
    let answer = r#"{"Version": 1, "AccessKeyId": "AKIAPROCESS", "SecretAccessKey": "secret"}"#;
    std::fs::write(&script, format!("echo '{answer}'\n")).expect("written");
    let config = format!(
        "[profile keys]\naws_access_key_id = AKIAKEYS\naws_secret_access_key = secret\nregion = us-east-1\n\
         [profile process]\ncredential_process = sh {script}\nregion = us-east-1\n\
         [profile prod]\nrole_arn = arn:aws:iam::444455556666:role/streams-admin\nsource_profile = keys\nregion = us-east-1\n\
         [profile far]\nrole_arn = arn:aws:iam::444455556666:role/streams-admin\nsource_profile = process\nregion = us-east-1\n"
    );
    std::fs::write(setting.path("config"), config).expect("written");
    let variables = [
        setting.without(&["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]),
        vec![("AWS_CONFIG_FILE", setting.path("config")), ("PATH", "/usr/bin:/bin".to_owned())],
    ]
    .concat();
    for (profile, access_key) in [("keys", "AKIAKEYS"), ("process", "AKIAPROCESS")] {
        setting.account.forget_calls();
        run_all(&format!("profile-{profile}"), &setting, &variables, &["--profile", profile], as_usual);
        let calls = setting.account.calls();
        assert!(!calls.is_empty() && calls.iter().all(|call| call.access_key == access_key), "{profile}: {calls:?}");
    }
    // The other account has no streams, and no queue of that URL.
    let elsewhere = |arguments: &[String], code: i32| match arguments[0].as_str() {
        "plan" if arguments.iter().any(|argument| argument == "orders") => 1,
        "plan" | "apply" | "report" => 0,
        "dlq" => 2,
        _ => code,
    };
    for profile in ["prod", "far"] {
        let printed = run_all(&format!("profile-{profile}"), &setting, &variables, &["--profile", profile], elsewhere);
        assert!(!printed.is_empty());
    }
    assert!(other.calls().iter().any(|call| call.operation == "ListStreams"));
}

#[test]
fn every_command_works_behind_a_proxy() {
    let setting = Setting::new();
    let (_, url) = setting.variables.iter().find(|(name, _)| *name == "AWS_ENDPOINT_URL").expect("there").clone();
    let proxy = Proxy::start(Answer::Relay(url.trim_start_matches("http://").to_owned()));
    let variables = [
        setting.without(&["AWS_ENDPOINT_URL"]),
        vec![
            ("AWS_ENDPOINT_URL", "http://aws.example".to_owned()),
            ("http_proxy", format!("http://jo:secret@{}", proxy.address)),
        ],
    ]
    .concat();
    for (arguments, output) in run_all("proxy", &setting, &variables, &[], as_usual) {
        assert!(!output.contains("secret@"), "{arguments:?}: {output}");
    }
    assert!(!proxy.asked().is_empty());
    // A proxy that refuses is named, without its password.
    let refusing = Proxy::start(Answer::Status("403 Forbidden"));
    let variables = [
        setting.without(&["AWS_ENDPOINT_URL"]),
        vec![
            ("AWS_ENDPOINT_URL", "https://aws.example".to_owned()),
            ("https_proxy", format!("http://jo:secret@{}", refusing.address)),
        ],
    ]
    .concat();
    for arguments in [&["plan", "orders"][..], &["report", "orders"]] {
        let (_, told) = enforcer(arguments, &variables);
        assert!(told.contains(&refusing.address) && !told.contains("secret@"), "{arguments:?}: {told}");
    }
}

#[test]
fn of_two_regions_one_may_refuse() {
    let setting = Setting::new();
    let event = setting.path("event.json");
    for (arguments, code) in [
        (&["plan"][..], 1),
        (&["plan", "--json"], 1),
        (&["report"], 1),
        (&["report", "--format", "json"], 1),
        (&["report", "--format", "csv"], 1),
        (&["report", "--format", "html"], 1),
        (&["report", "--format", "asff"], 1),
        (&["apply"], 2),
    ] {
        let regions = ["--region", "eu-west-1,us-east-1"];
        let (found, output) = enforcer(&[arguments, &regions].concat(), &setting.variables);
        let plain = without_colours(&output);
        assert!(found == Some(code) && plain.contains("eu-west-1"), "{arguments:?}: {found:?} {plain}");
        let shows_the_rest = arguments[0] == "apply" || plain.contains("orders");
        assert!(shows_the_rest, "{arguments:?}: {plain}");
    }
    // One place at a time: an event and a queue are of one Region.
    for arguments in
        [&["event", &event, "--dry-run", "--region", "eu-west-1"][..], &["dlq", "list", "--region", "eu-west-1"]]
    {
        let (found, output) = enforcer(arguments, &setting.variables);
        assert!(found != Some(0), "{arguments:?}: {found:?} {output}");
    }
    assert!(!setting.is_changed());
}
