//! Profiles of every kind, as a person has them in their config files: the program runs with a home
//! of its own, and the services that hand out credentials are served on loopback.

#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

mod aws;
#[path = "../served/mod.rs"]
mod served;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use kinesis_encryption_enforcer::clock::Clock;
use kinesis_encryption_enforcer::sandbox::{Account, NewStream};
use tempfile::TempDir;

use self::aws::{Asked, Services};
use self::served::{enforcer, served};

const ALIAS: &str = "alias/streams";
const ROLE: &str = "arn:aws:iam::111122223333:role/streams-admin";
const EVENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/events/manual-stream.json");

const CREDENTIALS: &str = "[base]\naws_access_key_id = AKIABASE\naws_secret_access_key = secret\n\n\
    [half]\naws_access_key_id = AKIAHALF\n";

/// A person's home, and the account and the services that they reach.
struct Person {
    account: Account,
    services: Services,
    home: TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Person {
    /// A person with these profiles, besides `base`, which has access keys.
    fn with(config: &str) -> Self {
        let account = Account::new(Clock::system(), "us-east-1", "111122223333");
        account.alias(ALIAS, &account.create_key());
        account.stream(NewStream::named("orders"));
        let services = Services::default();
        let url = services.serve();
        let home = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(home.path().join(".aws/sso/cache")).expect("a folder");
        let mut variables = served(&account);
        variables.retain(|(name, _)| !["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].contains(name));
        let queue = account.queue("dead-letters");
        variables.extend([
            ("HOME", home.path().display().to_string()),
            ("PATH", "/usr/bin:/bin".to_owned()),
            ("KMS_KEY_ID", ALIAS.to_owned()),
            ("FAILURE_QUEUE_URL", queue),
            ("AWS_ENDPOINT_URL_STS", url.clone()),
            ("AWS_ENDPOINT_URL_SSO", url.clone()),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", url.clone()),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{url}/container")),
        ]);
        let person = Self { account, services, home, variables };
        person.write("config", config);
        person.write("credentials", CREDENTIALS);
        person
    }

    fn path(&self, file: &str) -> std::path::PathBuf {
        self.home.path().join(".aws").join(file)
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.path(file), text).expect("written");
    }

    fn set(&mut self, name: &'static str, value: &str) {
        self.unset(name);
        self.variables.push((name, value.to_owned()));
    }

    fn unset(&mut self, name: &str) {
        self.variables.retain(|(other, _)| *other != name);
    }

    /// The output of a plan that fails before any call to the account.
    fn refused(&self, arguments: &[&str]) -> String {
        self.account.forget_calls();
        let (code, told) = enforcer(&[&["plan"], arguments].concat(), &self.variables);
        assert_eq!((code, self.account.calls().len()), (Some(2), 0), "{told}");
        assert!(told.contains("\n  remedy: "), "{told}");
        for word in ["provider", "dispatch", "unhandled", "os error", "SdkError", "credentials were not loaded"] {
            assert!(!told.contains(word), "{word}: {told}");
        }
        told
    }

    /// Plans with the profile, by option and by variable: which access key called the account, and
    /// what the services were asked before.
    fn plans_as(&self, profile: &str) -> (String, Vec<Asked>) {
        let by_variable = [self.variables.as_slice(), &[("AWS_PROFILE", profile.to_owned())]].concat();
        let runs = [(vec!["plan", "--profile", profile], &self.variables), (vec!["plan"], &by_variable)];
        let mut results = runs.map(|(arguments, variables)| {
            self.account.forget_calls();
            self.services.asked();
            let (code, told) = enforcer(&arguments, variables);
            assert_eq!(code, Some(3), "{arguments:?}: {told}");
            let mut keys: Vec<_> = self.account.calls().into_iter().map(|call| call.access_key).collect();
            keys.dedup();
            assert_eq!(keys.len(), 1, "{keys:?}");
            (keys.remove(0), self.services.asked())
        });
        assert_eq!(results[0].0, results[1].0, "by --profile and by AWS_PROFILE");
        std::mem::take(&mut results[0])
    }
}

fn role(name: &str, settings: &str) -> String {
    format!("[profile {name}]\nrole_arn = {ROLE}\nregion = us-east-1\n{settings}\n")
}

/// The names and values of a form, as far as they are given.
fn has(asked: &Asked, fields: &[(&str, &str)]) {
    for (name, value) in fields {
        assert_eq!(asked.fields.get(*name).map(String::as_str), Some(*value), "{name}: {asked:?}");
    }
}

#[test]
fn a_role_is_assumed_with_the_keys_of_its_source_profile_in_every_command() {
    let settings = "source_profile = base\nexternal_id = partner\nduration_seconds = 900\nrole_session_name = jo";
    let mut person = Person::with(&(role("prod", settings) + &role("chained", "source_profile = prod")));
    let (key, asked) = person.plans_as("prod");
    assert_eq!((key.as_str(), asked.len(), asked[0].access_key.as_str()), ("ASIAROLE", 1, "AKIABASE"));
    has(
        &asked[0],
        &[("RoleArn", ROLE), ("ExternalId", "partner"), ("DurationSeconds", "900"), ("RoleSessionName", "jo")],
    );
    let (_, asked) = person.plans_as("chained");
    let keys: Vec<_> = asked.iter().map(|asked| asked.access_key.as_str()).collect();
    assert_eq!(keys, ["AKIABASE", "ASIAROLE"], "each role with the credentials before it");

    // The credentials of the environment are those of someone else.
    person.set("AWS_ACCESS_KEY_ID", "AKIAOTHER");
    person.set("AWS_SECRET_ACCESS_KEY", "secret");
    for arguments in [
        &["plan", "--profile", "prod"][..],
        &["report", "--profile", "prod"],
        &["event", EVENT, "--dry-run", "--profile", "prod"],
        &["dlq", "list", "--profile", "prod"],
        &["apply", "--yes", "--profile", "prod"],
    ] {
        person.account.forget_calls();
        let (code, told) = enforcer(arguments, &person.variables);
        assert!(code != Some(2), "{arguments:?}: {told}");
        let calls = person.account.calls();
        assert!(
            !calls.is_empty() && calls.iter().all(|call| call.access_key == "ASIAROLE"),
            "{arguments:?}: {calls:?}"
        );
    }
}

#[test]
fn a_role_gets_its_first_credentials_from_where_the_profile_says() {
    let config = role("environment", "credential_source = Environment")
        + &role("instance", "credential_source = Ec2InstanceMetadata")
        + &role("container", "credential_source = EcsContainer")
        + &role("self", "source_profile = self\naws_access_key_id = AKIASELF\naws_secret_access_key = secret");
    let mut person = Person::with(&config);
    for (profile, source) in [("instance", "ASIAINSTANCE"), ("container", "ASIACONTAINER"), ("self", "AKIASELF")] {
        let (key, asked) = person.plans_as(profile);
        let role = asked.last().expect("a call");
        assert_eq!((key.as_str(), role.access_key.as_str()), ("ASIAROLE", source), "{profile}");
    }
    let told = person.refused(&["--profile", "environment"]);
    assert!(told.contains("from the environment, which has none"), "{told}");
    // Credentials in the environment go before AWS_PROFILE, but not before --profile.
    person.set("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT");
    person.set("AWS_SECRET_ACCESS_KEY", "secret");
    let (code, told) = enforcer(&["plan", "--profile", "environment"], &person.variables);
    assert_eq!(code, Some(3), "{told}");
    let asked = person.services.asked();
    assert_eq!(asked.last().map(|asked| asked.access_key.as_str()), Some("AKIAENVIRONMENT"), "{asked:?}");
}

#[test]
fn a_machine_without_the_services_of_the_profile_is_told_apart() {
    let config = role("instance", "credential_source = Ec2InstanceMetadata")
        + &role("container", "credential_source = EcsContainer");
    let mut person = Person::with(&config);
    person.unset("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    let told = person.refused(&["--profile", "container"]);
    assert!(told.contains("profile container gets its credentials from the container, which has none"), "{told}");
    person.set("AWS_EC2_METADATA_DISABLED", "true");
    let told = person.refused(&["--profile", "instance"]);
    assert!(told.contains("profile instance gets its credentials from the EC2 instance, which has none"), "{told}");
}

#[test]
fn a_role_is_assumed_with_a_web_identity_token() {
    let person = Person::with("");
    let file = person.path("token");
    person.write("config", &role("irsa", &format!("web_identity_token_file = {}", file.display())));
    let told = person.refused(&["--profile", "irsa"]);
    assert!(told.contains("cannot read its web_identity_token_file") && told.contains("no such file"), "{told}");
    person.write("token", "a-token");
    let (key, asked) = person.plans_as("irsa");
    assert_eq!((key.as_str(), asked[0].what.as_str()), ("ASIAWEB", "AssumeRoleWithWebIdentity"));
    has(&asked[0], &[("RoleArn", ROLE), ("WebIdentityToken", "a-token")]);
    person.services.refuse("ExpiredTokenException", "Token expired");
    let told = person.refused(&["--profile", "irsa"]);
    assert!(told.contains("ExpiredTokenException: Token expired"), "{told}");
}

const SSO: &str = "[profile sso]\nsso_session = corp\nsso_account_id = 111122223333\nsso_role_name = Admin\n\
    region = us-east-1\n[sso-session corp]\nsso_region = eu-west-1\n\
    sso_start_url = https://corp.awsapps.com/start\n";
const LEGACY: &str = "[profile legacy]\nsso_region = eu-west-1\nsso_start_url = https://corp.awsapps.com/start\n\
    sso_account_id = 111122223333\nsso_role_name = Admin\nregion = us-east-1\n";

/// The names of the token files: SHA-1 of the session's name, and of the start URL.
const TOKENS: [&str; 2] = [
    "sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json",
    "sso/cache/a51746d4aa793ae07b25e90c3a5db96fc7832bd7.json",
];

#[test]
fn a_profile_signs_in_with_iam_identity_center_and_so_does_a_source_profile() {
    let person = Person::with(&(SSO.to_owned() + LEGACY + &role("ssorole", "source_profile = sso")));
    for (profile, signs_in) in [("sso", "sso"), ("legacy", "legacy"), ("ssorole", "sso")] {
        let told = person.refused(&["--profile", profile]);
        assert!(told.contains(&format!("`aws sso login --profile {signs_in}`")), "{told}");
    }
    let token = r#"{"accessToken": "token", "expiresAt": "2099-01-01T00:00:00Z", "region": "eu-west-1"}"#;
    for file in TOKENS {
        person.write(file, token);
    }
    for (profile, key, calls) in [("sso", "ASIASSO", 1), ("legacy", "ASIASSO", 1), ("ssorole", "ASIAROLE", 2)] {
        let (used, asked) = person.plans_as(profile);
        assert_eq!((used.as_str(), asked.len()), (key, calls), "{profile}");
        has(&asked[0], &[("account_id", "111122223333"), ("role_name", "Admin")]);
    }
    person.services.refuse("UnauthorizedException", "Session token not found or invalid");
    let told = person.refused(&["--profile", "ssorole"]);
    assert!(told.contains("`aws sso login --profile sso`"), "{told}");
    person.services.refuse("ForbiddenException", "No access");
    let told = person.refused(&["--profile", "sso"]);
    assert!(told.contains("ForbiddenException: No access") && told.contains("permission set Admin"), "{told}");
    person.write(TOKENS[0], &token.replace("2099", "2020"));
    let told = person.refused(&["--profile", "sso"]);
    assert!(told.contains("`aws sso login --profile sso`"), "{told}");
}

#[test]
fn a_process_gives_credentials_once_for_all_regions() {
    let person = Person::with("");
    let log = person.path("log");
    let script = format!(
        "echo run >>{}; echo '{{\"Version\": 1, \"AccessKeyId\": \"AKIAPROCESS\", \"SecretAccessKey\": \"s\"}}'",
        log.display()
    );
    person.write("process.sh", &script);
    let process = |name: &str, command: &str| format!("[profile {name}]\ncredential_process = {command}\n");
    let command = format!("sh {}", person.path("process.sh").display());
    person.write(
        "config",
        &(process("process", &command)
            + "region = us-east-1\n"
            + &process("broken", "sh -c 'echo sign in first >&2; exit 3'")
            + "region = us-east-1\n"
            + &process("chatty", "echo hello")
            + "region = us-east-1\n"
            + &role("procrole", "source_profile = process")),
    );
    assert_eq!(person.plans_as("process").0, "AKIAPROCESS");
    let (key, asked) = person.plans_as("procrole");
    assert_eq!((key.as_str(), asked[0].access_key.as_str()), ("ASIAROLE", "AKIAPROCESS"));
    fs::remove_file(&log).expect("there");
    enforcer(&["plan", "--profile", "process", "--region", "us-east-1,eu-west-1"], &person.variables);
    assert_eq!(fs::read_to_string(&log).expect("a log"), "run\n");
    let told = person.refused(&["--profile", "broken"]);
    assert!(told.contains("credential_process of the profile broken") && told.contains("sign in first"), "{told}");
    let told = person.refused(&["--profile", "chatty"]);
    assert!(told.contains("does not print the JSON"), "{told}");
}

#[test]
fn a_profile_that_does_not_exist_is_told_with_those_that_do() {
    let mut person = Person::with(&role("prod", "source_profile = base"));
    let told = person.refused(&["--profile", "prd"]);
    assert!(told.contains("there is no profile prd\n  remedy: did you mean prod?"), "{told}");
    assert!(told.contains("are base, half, prod"), "{told}");
    person.set("AWS_PROFILE", "elsewhere");
    let told = person.refused(&[]);
    assert!(told.contains("there is no profile elsewhere, which AWS_PROFILE names\n"), "{told}");
    assert!(!told.contains("did you mean"), "{told}");
    person.write("config", "");
    person.write("credentials", "");
    let told = person.refused(&[]);
    assert!(told.contains("`aws configure`"), "{told}");
}

#[test]
fn what_is_wrong_with_a_profile_is_said() {
    let config = role("loop", "source_profile = loop2")
        + &role("loop2", "source_profile = loop")
        + &role("dangling", "source_profile = bse")
        + &role("nowhere", "")
        + &role("both", "source_profile = base\ncredential_source = Environment")
        + &role("moon", "credential_source = Moon")
        + &role("brief", "source_profile = base\nduration_seconds = 1h")
        + "[profile empty]\nregion = us-east-1\n[profile half]\nregion = us-east-1\n\
           [profile login]\nlogin_session = arn:aws:sts::111122223333:assumed-role/Admin/jo\nregion = us-east-1\n\
           [profile sso]\nsso_session = corp\nsso_account_id = 1\nsso_role_name = A\nregion = us-east-1\n";
    let mut person = Person::with(&config);
    person.set("AWS_EC2_METADATA_DISABLED", "true");
    person.unset("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    for (profile, what) in [
        ("loop", "leads back to itself: loop → loop2 → loop"),
        ("dangling", "the source_profile of the profile dangling is bse, which does not exist"),
        ("dangling", "did you mean base?"),
        ("nowhere", "neither source_profile and credential_source"),
        ("both", "both source_profile and credential_source"),
        ("moon", "the credential_source of the profile moon is Moon"),
        ("brief", "the duration_seconds of the profile brief is 1h"),
        ("empty", "the profile empty has no credentials"),
        ("half", "has aws_access_key_id, but no aws_secret_access_key"),
        ("login", "credential_process = aws configure export-credentials --profile login --format process"),
        ("sso", "the sso-session corp, which does not exist"),
        ("base", "no Region: the profile base has none"),
    ] {
        let told = person.refused(&["--profile", profile]);
        assert!(told.contains(what), "{profile}: {told}");
    }
    person.write("config", "[profile a]\nregion = us-east-1\n\nregion us-east-1\n");
    let told = person.refused(&["--profile", "a"]);
    assert!(told.contains(".aws/config is not valid: see line 4"), "{told}");
}

#[test]
fn a_role_that_is_refused_is_told_with_the_reason_of_the_service() {
    let person = Person::with(&role("prod", "source_profile = base"));
    for (code, message, remedy) in [
        ("AccessDenied", "User jo is not authorized", "in the role's trust policy"),
        ("InvalidClientTokenId", "The security token is invalid", "renew the credentials of the profile base"),
    ] {
        person.services.refuse(code, message);
        let told = person.refused(&["--profile", "prod"]);
        let what = format!("the profile prod cannot assume the role {ROLE}: {code}: {message}");
        assert!(told.contains(&what) && told.contains(remedy), "{told}");
    }
}

#[test]
fn the_endpoint_of_a_profile_is_used() {
    let mut person = Person::with("");
    let url = person.variables.iter().find(|(name, _)| *name == "AWS_ENDPOINT_URL").expect("there").1.clone();
    person.unset("AWS_ENDPOINT_URL");
    let keys = "aws_access_key_id = AKIAENDPOINT\naws_secret_access_key = secret";
    person.write("config", &format!("[profile ep]\nregion = us-east-1\nendpoint_url = {url}\n{keys}\n"));
    assert_eq!(person.plans_as("ep").0, "AKIAENDPOINT");
}

#[test]
fn an_mfa_code_cannot_be_asked_for_without_a_terminal() {
    let serial = "arn:aws:iam::111122223333:mfa/jo";
    let person = Person::with(&role("mfa", &format!("source_profile = base\nmfa_serial = {serial}")));
    let told = person.refused(&["--profile", "mfa"]);
    assert!(told.contains(&format!("the profile mfa needs a code of the MFA device {serial}")), "{told}");
    assert!(told.contains("aws configure export-credentials --profile mfa --format env"), "{told}");
    assert_eq!(person.services.asked().len(), 0);
}

#[test]
#[cfg(target_os = "linux")]
fn an_mfa_code_is_asked_for_at_a_terminal_once_for_all_regions() {
    let serial = "arn:aws:iam::111122223333:mfa/jo";
    let settings = format!("source_profile = base\nmfa_serial = {serial}\nduration_seconds = 3600");
    let person = Person::with(&role("mfa", &settings));
    let (code, told) = at_a_terminal(&person, "plan --profile mfa --region us-east-1,eu-west-1", "12345\n654321\n");
    assert!(code != Some(2), "{told}");
    assert!(told.contains(&format!("MFA code of {serial} for the profile mfa:")), "{told}");
    assert!(told.contains("six digits"), "{told}");
    let asked = person.services.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    has(&asked[0], &[("SerialNumber", serial), ("TokenCode", "654321"), ("DurationSeconds", "3600")]);
    assert_eq!(asked[0].access_key, "AKIABASE");

    person.services.refuse("AccessDenied", "MultiFactorAuthentication failed with invalid MFA one time pass code.");
    let (code, told) = at_a_terminal(&person, "plan --profile mfa", "654321\n");
    assert!(code == Some(2) && told.contains("wait for the next code"), "{told}");
}

/// Runs the program at a terminal, on which `typed` is typed.
fn at_a_terminal(person: &Person, arguments: &str, typed: &str) -> (Option<i32>, String) {
    let program = Path::new(env!("CARGO_BIN_EXE_enforcer")).display().to_string();
    let mut script = Command::new("script")
        .args(["-qec", &format!("'{program}' {arguments}"), "/dev/null"])
        .env_clear()
        .envs(person.variables.iter().map(|(name, value)| (*name, value.as_str())))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("script, of util-linux");
    let mut keyboard = script.stdin.take().expect("a pipe");
    keyboard.write_all(typed.as_bytes()).expect("typed");
    let output = script.wait_with_output().expect("an end");
    drop(keyboard);
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn an_endpoint_that_is_no_url_is_refused_by_its_variable() {
    for (name, url, says) in [
        ("AWS_ENDPOINT_URL", "", "AWS_ENDPOINT_URL is empty: unset it"),
        ("AWS_ENDPOINT_URL_KINESIS", "", "AWS_ENDPOINT_URL_KINESIS is empty: unset it"),
        ("AWS_ENDPOINT_URL", "127.0.0.1:4566", "AWS_ENDPOINT_URL is \"127.0.0.1:4566\": set it to a URL"),
        ("AWS_ENDPOINT_URL_KMS", "https:///kms", "AWS_ENDPOINT_URL_KMS is \"https:///kms\": set it to a URL"),
    ] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_enforcer"))
            .args(["plan", "--key", "alias/streams"])
            .env_clear()
            .envs([
                (name, url),
                ("AWS_REGION", "us-east-1"),
                ("AWS_ACCESS_KEY_ID", "AKIA"),
                ("AWS_SECRET_ACCESS_KEY", "x"),
            ])
            .output()
            .expect("the program runs");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && told.contains(says), "{name} {url}: {told}");
    }
}

#[test]
fn aws_default_profile_names_a_profile_too() {
    let mut person = Person::with("[profile base]\nregion = us-east-1\n[default]\nregion = us-east-1\n");
    person.set("AWS_DEFAULT_PROFILE", "base");
    let (code, told) = enforcer(&["plan"], &person.variables);
    assert_eq!(code, Some(3), "{told}");
    assert!(person.account.calls().iter().all(|call| call.access_key == "AKIABASE"), "{:?}", person.account.calls());
    person.set("AWS_DEFAULT_PROFILE", "nobody");
    let told = person.refused(&[]);
    assert!(told.contains("there is no profile nobody, which AWS_DEFAULT_PROFILE names"), "{told}");
}

#[test]
fn what_the_machine_has_is_never_taken_for_the_credentials_of_a_source_profile() {
    let person = Person::with(&format!(
        "[profile empty]\nregion = us-east-1\n{}{}",
        role("prod", "source_profile = empty"),
        role("itself", "source_profile = itself")
    ));
    for (profile, source) in [("prod", "empty"), ("itself", "itself")] {
        let told = person.refused(&["--profile", profile]);
        assert!(told.contains(&format!("the source profile {source} has no credentials")), "{told}");
        assert!(person.services.asked().is_empty(), "{told}");
    }
}
