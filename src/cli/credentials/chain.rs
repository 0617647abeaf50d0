//! What the [config files][files] say of a profile: where its credentials come from, and which
//! roles are assumed with them. Nothing is called here.
//!
//! [files]: https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html

use std::ops::RangeInclusive;

use aws_config::profile::{Profile, ProfileFileLoadError, ProfileSet};
use aws_credential_types::Credentials;
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_types::os_shim_internal::{Env, Fs};

use super::super::input::nearest;
use super::super::visible::visible;
use super::{Chosen, ChosenBy, Problem};
use crate::domain::text::error_chain;
use crate::settings::Environment;

/// How long the session of a role may last, in seconds.
///
/// Source: <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>.
const SESSION_SECONDS: RangeInclusive<i32> = 900..=43_200;

/// The profiles of the config files.
#[derive(Debug)]
pub(super) struct Profiles {
    set: ProfileSet,
    /// Where they were read from, for messages.
    files: String,
}

/// Where credentials come from: the base, and the roles that are assumed with them, in this order.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Chain {
    pub(super) base: Base,
    pub(super) roles: Vec<Role>,
}

/// Where the first credentials come from.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Base {
    /// The variables `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`.
    Environment(Credentials),
    /// The container that the program runs in.
    Container,
    /// The role of the EC2 instance that the program runs on.
    Instance,
    /// Whatever the machine provides: a web identity token, the container, or the instance.
    Machine,
    /// Access keys of a profile.
    Keys { profile: String, keys: Credentials },
    /// A profile that the SDK signs in with.
    SignIn { profile: String, by: SignIn },
}

/// How the SDK signs in with a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SignIn {
    /// `web_identity_token_file`: the role and the file.
    WebIdentity { role: String, file: String },
    /// IAM Identity Center: `sso_account_id` and `sso_role_name`.
    Sso { account: String, role: String },
    /// `credential_process`.
    Process,
}

/// A role of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Role {
    pub(super) profile: String,
    pub(super) arn: String,
    pub(super) session_name: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) duration_seconds: Option<i32>,
    /// The MFA device whose code the role requires.
    pub(super) mfa_serial: Option<String>,
}

impl Chain {
    /// Credentials without a role.
    pub(super) fn of(base: Base) -> Self {
        Self { base, roles: Vec::new() }
    }

    /// Whether a person has to be asked for a code.
    pub(super) fn needs_code(&self) -> bool {
        self.roles.iter().any(|role| role.mfa_serial.is_some())
    }
}

impl Profiles {
    /// Reads the config files.
    pub(super) async fn load(chosen: &Chosen, environment: &Environment) -> Result<Self, Problem> {
        let name = chosen.name.clone().into();
        let files = EnvConfigFiles::default();
        let set = aws_config::profile::load(&Fs::real(), &Env::real(), &files, Some(name)).await;
        let file = |variable, default: &str| environment.get(variable).unwrap_or(default).to_owned();
        let (config, credentials) =
            (file("AWS_CONFIG_FILE", "~/.aws/config"), file("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"));
        let set = set.map_err(|error| invalid_file(&error))?;
        Ok(Self { set, files: visible(&format!("{config} and {credentials}")) })
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.set.get_profile(name).is_some()
    }

    /// The profile does not exist: which do?
    pub(super) fn missing(&self, chosen: &Chosen) -> Problem {
        let name = visible(&chosen.name);
        let what = match chosen.by {
            ChosenBy::Variable(variable) => format!("there is no profile {name}, which {variable} names"),
            ChosenBy::Option | ChosenBy::Nobody => format!("there is no profile {name}"),
        };
        Problem::new(what, self.others(&chosen.name))
    }

    /// The names of the profiles that exist, and the one that is most like `name`.
    fn others(&self, name: &str) -> String {
        let mut names: Vec<_> = self.set.profiles().collect();
        names.sort_unstable();
        if names.is_empty() {
            return format!("create it with `aws configure`: {} contain no profile", self.files);
        }
        let list = format!("profiles in {} are {}", self.files, visible(&names.join(", ")));
        match nearest(name, names.iter().copied()) {
            Some(nearest) => format!("did you mean {}? The {list}", visible(nearest)),
            None => format!("the {list}"),
        }
    }

    /// Where the credentials of the profile `name`, which exists, come from.
    pub(super) fn chain(&self, name: &str, environment: &Environment) -> Result<Chain, Problem> {
        let mut roles = Vec::new();
        let mut seen: Vec<&str> = Vec::new();
        let mut current = name;
        let base = loop {
            let Some(profile) = self.set.get_profile(current) else {
                let from = visible(seen.last().copied().unwrap_or(name));
                let what =
                    format!("the source_profile of the profile {from} is {}, which does not exist", visible(current));
                return Err(Problem::new(what, self.others(current)));
            };
            if seen.contains(&current) {
                seen.push(current);
                let what =
                    format!("the profile {} leads back to itself: {}", visible(name), visible(&seen.join(" → ")));
                return Err(Problem::new(what, "let one source_profile name a profile with credentials of its own"));
            }
            seen.push(current);
            // Access keys of a source profile go before its role.
            if seen.len() > 1
                && let Some(keys) = keys_of_profile(profile)?
            {
                break keys;
            }
            let Some(role) = Role::of(profile)? else { break self.base(profile)? };
            roles.push(role);
            match (profile.get("source_profile"), profile.get("credential_source")) {
                (Some(source), None) if source == current => break self.base(profile)?,
                (Some(source), None) => current = source,
                (None, Some(source)) => break named(current, source, environment)?,
                (source, _) => {
                    let has = if source.is_some() { "both" } else { "neither" };
                    let what = format!(
                        "the profile {} has role_arn, and {has} source_profile and credential_source",
                        visible(current)
                    );
                    return Err(Problem::new(what, "set one of the two: where to get the credentials for the role"));
                }
            }
        };
        // No AWS tool takes what the machine has for the credentials of a source profile.
        if let (Base::Machine, Some(last)) = (&base, seen.last().filter(|_| !roles.is_empty())) {
            let what = format!("the source profile {} has no credentials", visible(last));
            return Err(Problem::new(
                what,
                "add credentials to it, or set credential_source instead of source_profile",
            ));
        }
        roles.reverse();
        Ok(Chain { base, roles })
    }

    /// Where the credentials of a profile come from that assumes no role.
    fn base(&self, profile: &Profile) -> Result<Base, Problem> {
        let name = profile.name().to_owned();
        let sign_in = |by| Ok(Base::SignIn { profile: name.clone(), by });
        if let Some(file) = profile.get("web_identity_token_file") {
            let Some(role) = profile.get("role_arn") else {
                return Err(lacks(profile, "web_identity_token_file", "role_arn"));
            };
            return sign_in(SignIn::WebIdentity { role: role.to_owned(), file: file.to_owned() });
        }
        if let Some(sso) = self.sso(profile)? {
            return sign_in(sso);
        }
        if profile.get("login_session").is_some() {
            return Err(login_session(&name));
        }
        if profile.get("credential_process").is_some() {
            return sign_in(SignIn::Process);
        }
        Ok(keys_of_profile(profile)?.unwrap_or(Base::Machine))
    }

    /// The settings of IAM Identity Center, checked as the SDK does.
    ///
    /// Source: <https://docs.aws.amazon.com/sdkref/latest/guide/feature-sso-credentials.html>.
    fn sso(&self, profile: &Profile) -> Result<Option<SignIn>, Problem> {
        const OWN: [&str; 5] = ["sso_session", "sso_account_id", "sso_role_name", "sso_region", "sso_start_url"];
        let Some(first) = OWN.into_iter().find(|name| profile.get(name).is_some()) else { return Ok(None) };
        let required = |setting| profile.get(setting).ok_or_else(|| lacks(profile, first, setting));
        let (account, role) = (required("sso_account_id")?, required("sso_role_name")?);
        if let Some(session) = profile.get("sso_session") {
            let shown = visible(session);
            let Some(found) = self.set.sso_session(session) else {
                let what =
                    format!("the profile {} names the sso-session {shown}, which does not exist", shown_name(profile));
                return Err(Problem::new(what, format!("add [sso-session {shown}] with `aws configure sso-session`")));
            };
            for setting in ["sso_region", "sso_start_url"] {
                if found.get(setting).is_none() {
                    let what = format!("the sso-session {shown} has no {setting}");
                    return Err(Problem::new(what, format!("add {setting} to it")));
                }
                if profile.get(setting).is_some() {
                    let what = format!("the profile {} has both sso_session and {setting}", shown_name(profile));
                    return Err(Problem::new(
                        what,
                        format!("remove {setting} from the profile: that of the session counts"),
                    ));
                }
            }
        } else {
            required("sso_region")?;
            required("sso_start_url")?;
        }
        Ok(Some(SignIn::Sso { account: account.to_owned(), role: role.to_owned() }))
    }
}

impl Role {
    /// The role of a profile, unless it is assumed with a web identity token.
    fn of(profile: &Profile) -> Result<Option<Self>, Problem> {
        let text = |setting| profile.get(setting).map(str::to_owned);
        let Some(arn) = text("role_arn").filter(|_| profile.get("web_identity_token_file").is_none()) else {
            return Ok(None);
        };
        let duration_seconds = profile.get("duration_seconds").map(|found| {
            found.parse().ok().filter(|seconds| SESSION_SECONDS.contains(seconds)).ok_or_else(|| {
                let name = shown_name(profile);
                let what = format!("the duration_seconds of the profile {name} is {}", visible(found));
                Problem::new(what, "write a whole number from 900 to 43200")
            })
        });
        let duration_seconds = duration_seconds.transpose()?;
        Ok(Some(Self {
            profile: profile.name().to_owned(),
            arn,
            session_name: text("role_session_name"),
            external_id: text("external_id"),
            duration_seconds,
            mfa_serial: text("mfa_serial"),
        }))
    }
}

fn shown_name(profile: &Profile) -> String {
    visible(profile.name())
}

fn lacks(profile: &Profile, has: &str, lacks: &str) -> Problem {
    let what = format!("the profile {} has {has}, but no {lacks}", shown_name(profile));
    Problem::new(what, format!("add {lacks} to the profile"))
}

/// `aws login` keeps its tokens encrypted with a key of its own: the AWS CLI gives out credentials.
///
/// Source: <https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-sign-in.html>.
fn login_session(name: &str) -> Problem {
    let name = visible(name);
    Problem::new(
        format!("the profile {name} signs in with `aws login`, which only the AWS CLI can use"),
        format!(
            "sign in with `aws login --profile {name}`, and use another profile with \
             credential_process = aws configure export-credentials --profile {name} --format process"
        ),
    )
}

/// The access keys of a profile, if it has any.
fn keys_of_profile(profile: &Profile) -> Result<Option<Base>, Problem> {
    let (id, secret) = ("aws_access_key_id", "aws_secret_access_key");
    let keys = match (profile.get(id), profile.get(secret)) {
        (None, None) => return Ok(None),
        (Some(_), None) => return Err(lacks(profile, id, secret)),
        (None, Some(_)) => return Err(lacks(profile, secret, id)),
        (Some(id), Some(secret)) => {
            Credentials::new(id, secret, profile.get("aws_session_token").map(str::to_owned), None, "ProfileFile")
        }
    };
    Ok(Some(Base::Keys { profile: profile.name().to_owned(), keys }))
}

/// The access keys in the environment, if there are any.
pub(super) fn keys_of(environment: &Environment) -> Result<Option<Credentials>, Problem> {
    let (id, secret) = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY");
    let lacks = |has: &str, lacks: &str| {
        Err(Problem::new(format!("{has} is set, but {lacks} is not"), format!("set {lacks}, or unset {has}")))
    };
    match (environment.get(id), environment.get(secret)) {
        (None, None) => Ok(None),
        (Some(_), None) => lacks(id, secret),
        (None, Some(_)) => lacks(secret, id),
        (Some(id), Some(secret)) => {
            let token = environment.get("AWS_SESSION_TOKEN").map(str::to_owned);
            Ok(Some(Credentials::new(id, secret, token, None, "Environment")))
        }
    }
}

/// The `credential_source` of a profile.
///
/// Source: <https://docs.aws.amazon.com/sdkref/latest/guide/feature-assume-role-credentials.html>.
fn named(profile: &str, source: &str, environment: &Environment) -> Result<Base, Problem> {
    let profile = visible(profile);
    match source.to_ascii_lowercase().as_str() {
        "environment" => keys_of(environment)?.map(Base::Environment).ok_or_else(|| {
            Problem::new(
                format!("the profile {profile} gets its credentials from the environment, which has none"),
                "set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for temporary credentials, AWS_SESSION_TOKEN",
            )
        }),
        "ec2instancemetadata" => Ok(Base::Instance),
        "ecscontainer" => Ok(Base::Container),
        _ => Err(Problem::new(
            format!("the credential_source of the profile {profile} is {}", visible(source)),
            "write Environment, Ec2InstanceMetadata or EcsContainer",
        )),
    }
}

/// A config file that cannot be read, in words of our own.
fn invalid_file(error: &ProfileFileLoadError) -> Problem {
    let text = error_chain(error);
    let parsed = text.split_once("error parsing ").and_then(|(_, rest)| {
        let (place, problem) = rest.split_once(":\n")?;
        let (file, line) = place.rsplit_once(" on line ")?;
        Some((file, line, problem))
    });
    let Some((file, line, problem)) = parsed else {
        return Problem::new("an AWS config file cannot be read", "check its permissions");
    };
    let remedy = if problem.contains("start with") || problem.contains("end with") {
        "begin a profile with [profile NAME]"
    } else if problem.contains("Expected a profile") {
        "write [profile NAME] before the first setting"
    } else if problem.contains("continuation") {
        "remove the spaces at the start of the line"
    } else {
        "write a setting as NAME = VALUE"
    };
    Problem::new(format!("{} is not valid: see line {}", visible(file), visible(line)), remedy)
}
