//! Who is measured: what it is, how it is started, and what it must answer.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::{ACCESS_KEY, ACCOUNT, KEY_ALIAS, Problem, REGION, SECRET_KEY};

/// What a stream is like when its `CreateStream` event arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// ACTIVE and not encrypted: it is to be encrypted, and seen to be.
    Encrypt,
    /// Encrypted with the key: it is to be left alone.
    Compliant,
}

impl Scenario {
    pub(crate) const ALL: [Self; 2] = [Self::Encrypt, Self::Compliant];

    /// The name that streams have in it, and the status that answers give it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Encrypt => "encrypted",
            Self::Compliant => "compliant",
        }
    }
}

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// This project's function.
    Enforcer,
    /// The same calls by hand.
    Floor,
    /// The function most people would write.
    Boto3,
    /// Cloud Custodian.
    Custodian,
}

impl Subject {
    pub(crate) const ALL: [Self; 4] = [Self::Enforcer, Self::Floor, Self::Boto3, Self::Custodian];

    /// How tables and pictures name it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Enforcer => "kinesis-encryption-enforcer",
            Self::Floor => "floor: the same calls by hand",
            Self::Boto3 => "Python, boto3",
            Self::Custodian => "Cloud Custodian",
        }
    }

    /// In which rounds it runs. The slowest runs in every fourth: it is farther from the others
    /// than its medians can be off.
    pub(crate) fn runs_in(self, round: usize) -> bool {
        self != Self::Custodian || round.is_multiple_of(4)
    }

    /// Whether `answer` says what is right in `scenario`.
    pub(crate) fn is_right(self, answer: &Value, scenario: Scenario) -> bool {
        match self {
            Self::Enforcer => answer["outcomes"][0]["status"] == scenario.word(),
            Self::Floor | Self::Boto3 => answer["status"] == scenario.word(),
            // It says that it has run. Whether the stream is encrypted is looked up in the fake
            // AWS, for everybody.
            Self::Custodian => *answer == Value::Bool(true),
        }
    }
}

/// Where the subjects are.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    bootstrap: PathBuf,
    floor: PathBuf,
    tools: PathBuf,
    peers: PathBuf,
}

impl Places {
    /// Builds the function with its release profile, and finds the others.
    pub(crate) fn prepare(root: &Path) -> Result<Self, Problem> {
        let tools = root.join(".tools/bench");
        if !tools.join("installed").exists() {
            return Err("the Python peers are not installed: run `make bench`, or bench/peers/install before".into());
        }
        let floor = std::env::current_exe()?.with_file_name("floor");
        if !floor.exists() {
            return Err(
                "the floor is not built: run `make bench`, or cargo build --release --bins in bench/ before".into()
            );
        }
        Ok(Self { bootstrap: build(root)?, floor, tools, peers: root.join("bench/peers") })
    }

    /// The command that runs `subject` as Lambda would. `variables` lead to the fake AWS and the
    /// fake Runtime API.
    pub(crate) fn command(&self, subject: Subject, variables: &[(String, String)]) -> Command {
        let mut command = match subject {
            Subject::Enforcer => Command::new(&self.bootstrap),
            Subject::Floor => Command::new(&self.floor),
            Subject::Boto3 => self.python(&self.peers.join("boto3_function"), "function.handler"),
            Subject::Custodian => self.python(&self.custodian(), "custodian_policy.run"),
        };
        let common = [
            ("AWS_REGION", REGION),
            ("AWS_DEFAULT_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("AWS_SESSION_TOKEN", "a-session-token"),
            ("AWS_EXECUTION_ENV", "AWS_Lambda_benchmark"),
            ("AWS_LAMBDA_FUNCTION_NAME", "benchmark"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/benchmark"),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "benchmark"),
            ("LANG", "en_US.UTF-8"),
            ("TZ", ":UTC"),
            ("PATH", "/usr/local/bin:/usr/bin:/bin"),
            ("KMS_KEY_ID", KEY_ALIAS),
        ];
        command.env_clear().envs(common).envs(variables.iter().map(|(name, value)| (name, value)));
        if let Some(folder) = command.get_current_dir().map(Path::to_path_buf) {
            command.env("LAMBDA_TASK_ROOT", folder);
        }
        if subject == Subject::Enforcer {
            // As the template sets them. The queues are never called: nothing fails, and nothing
            // has to wait.
            let queue = |name: &str| format!("https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}");
            command
                .env("ENFORCEMENT_MODE", "enforce")
                .env("FAILURE_QUEUE_URL", queue("dead-letters"))
                .env("WORK_QUEUE_URL", queue("work"))
                .env("OWN_ROLE_ARN", format!("arn:aws:iam::{ACCOUNT}:role/enforcer"))
                .env("AWS_LAMBDA_LOG_LEVEL", "INFO")
                .env("AWS_LAMBDA_LOG_FORMAT", "JSON");
        }
        command
    }

    /// What Cloud Custodian would upload, unpacked.
    fn custodian(&self) -> PathBuf {
        self.tools.join("custodian")
    }

    fn interpreter(&self) -> Command {
        let mut command = Command::new(self.tools.join("python/bin/python"));
        // Nothing is compiled by running it: Lambda's folder of a function cannot be written
        // either.
        command.arg("-B");
        command
    }

    fn python(&self, folder: &Path, handler: &str) -> Command {
        let mut command = self.interpreter();
        command.args(["-m", "awslambdaric", handler]).current_dir(folder);
        command
    }

    /// The size of what is uploaded, in bytes.
    pub(crate) fn size(&self, subject: Subject) -> Result<u64, Problem> {
        let mut command = self.interpreter();
        command.arg(self.peers.join("zipped.py"));
        match subject {
            Subject::Enforcer => command.arg("file").arg(&self.bootstrap).arg("bootstrap"),
            Subject::Floor => command.arg("file").arg(&self.floor).arg("bootstrap"),
            Subject::Boto3 => command.arg("boto3").arg(self.peers.join("boto3_function/function.py")),
            Subject::Custodian => command.arg("custodian").arg(self.peers.join("custodian")).arg(self.custodian()),
        };
        let output = command.output()?;
        if !output.status.success() {
            return Err(format!("zipped.py: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().parse()?)
    }
}

/// Builds the function, and says where it is.
fn build(root: &Path) -> Result<PathBuf, Problem> {
    let mut command = Command::new("cargo");
    command
        .args(["build", "--release", "--locked", "--bin", "bootstrap", "--message-format", "json-render-diagnostics"])
        .current_dir(root)
        .stderr(std::process::Stdio::inherit());
    let output = command.output()?;
    if !output.status.success() {
        return Err("the function does not build".into());
    }
    let messages = String::from_utf8(output.stdout)?;
    let built = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find_map(|message| {
        (message["target"]["name"] == "bootstrap").then(|| message["executable"].as_str().map(PathBuf::from)).flatten()
    });
    built.ok_or_else(|| "cargo does not say where the function is".into())
}
