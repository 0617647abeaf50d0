//! `--function`: the settings of a deployed function in place of those of the terminal.
//!
//! Of the function's environment, only the variables that are settings of the program are taken:
//! `PATH`, credentials or endpoints of the function never reach this process. The settings that the
//! terminal has are left out altogether, so that the command does what the function does.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, anyhow};
use aws_types::SdkConfig;

use super::paint::print_note;
use super::visible::visible;
use crate::aws::functions::{EnvironmentError, FunctionConfiguration, FunctionEnvironment, configuration};
use crate::clock::Clock;
use crate::domain::arn::{Arn, is_account};
use crate::domain::failure::Kind;
use crate::settings::{Environment, SUPPORTED, Settings};

/// How a person names a function: by its name or its ARN, perhaps with a version or an alias.
///
/// Source: `FunctionName` of [GetFunctionConfiguration].
///
/// [GetFunctionConfiguration]: https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConfiguration.html
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FunctionName {
    /// The Region in its ARN.
    region: Option<String>,
    /// The account in its ARN.
    account: Option<String>,
    name: String,
    qualifier: Option<String>,
}

impl FunctionName {
    /// The Region in the function's ARN; `None` if the function is given by its name.
    pub(super) fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// The Region to read the settings in, where `selected` was passed as `--region`.
    ///
    /// # Errors
    /// The function is in another Region than the selected one.
    pub(super) fn region_or<'a>(&'a self, selected: Option<&'a str>) -> Result<Option<&'a str>> {
        match (self.region(), selected) {
            (Some(own), Some(selected)) if own != selected => Err(anyhow!(
                "the function {} is in {own} and manages the streams there: omit --region {selected}, or pass the \
                 function of {selected}",
                self.name
            )),
            (own, selected) => Ok(own.or(selected)),
        }
    }
}

impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.qualifier.iter().try_for_each(|qualifier| write!(f, ":{qualifier}"))
    }
}

impl FromStr for FunctionName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let malformed = || "specify the name or the ARN of a Lambda function, such as kinesis-enforcer".to_owned();
        let arn = Arn::split(text);
        let rest = match arn {
            Some(arn) if arn.service == "lambda" => arn.resource.strip_prefix("function:").ok_or_else(malformed)?,
            Some(_) => return Err(malformed()),
            None => text,
        };
        let (name, qualifier) = rest.split_once(':').map_or((rest, None), |(name, rest)| (name, Some(rest)));
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let is_name = |text: &str| (1..=128).contains(&text.len()) && text.bytes().all(plain);
        if !is_name(name) || !qualifier.is_none_or(|qualifier| qualifier == "$LATEST" || is_name(qualifier)) {
            return Err(malformed());
        }
        Ok(Self {
            region: arn.map(|arn| arn.region.to_owned()),
            account: arn.map(|arn| arn.account.to_owned()),
            name: name.to_owned(),
            qualifier: qualifier.map(str::to_owned),
        })
    }
}

/// The settings of a function, in an environment.
pub(super) struct FunctionSettings {
    /// The environment of the terminal, with the settings of the function in place of its own.
    pub(super) environment: Environment,
    /// The function's account, if its ARN shows it.
    pub(super) account: Option<String>,
}

/// Reads the settings of `function` in the account and the Region of `config`, and says on standard
/// error whose they are.
///
/// # Errors
/// There is no such function, it is another program's, or it may not be read.
pub(super) async fn settings_of(
    function: &FunctionName,
    config: &SdkConfig,
    clock: &Clock,
    environment: &Environment,
) -> Result<FunctionSettings> {
    let region = config.region().map(ToString::to_string).unwrap_or_default();
    let answer = configuration(config, clock, &function.name, function.qualifier.as_deref()).await;
    let FunctionConfiguration { function_arn, role, key, environment: found } =
        answer.map_err(|error| match error.failure.kind() {
            Kind::StreamNotFound => anyhow!(
                "there is no function {function} in {region}\n  remedy: check its name, the account and the Region"
            ),
            Kind::Denied => anyhow!(
                "cannot read the settings of the function {function}: {}\n  remedy: allow your user or role \
                 lambda:GetFunctionConfiguration on the function",
                visible(&error.failure.message)
            ),
            _ => anyhow!(
                "cannot read the settings of the function {function}: {}\n  remedy: {}",
                visible(&error.failure.message),
                error.failure.remedy
            ),
        })?;
    let account = function_arn.as_deref().and_then(|arn| arn.split(':').nth(4)).filter(|account| is_account(account));
    if let (Some(named), Some(account)) = (function.account.as_deref(), account)
        && named != account
    {
        return Err(anyhow!(
            "the function {function} is in the account {named}, and your credentials are of the account {account}: \
             pass --profile NAME with a profile of {named}"
        ));
    }
    let FunctionEnvironment { variables, error } = found.unwrap_or_default();
    if let Some(error) = error {
        return Err(encrypted(function, &error, key.as_deref()));
    }
    let known = variables.iter().filter(|(name, _)| SUPPORTED.contains(&name.as_str()));
    let mut settings = SUPPORTED.iter().fold(environment.clone(), |settings, name| settings.without(name));
    let mut count = 0;
    for (name, value) in known {
        settings = settings.with(name, value);
        count += 1;
    }
    if count == 0 {
        return Err(anyhow!(
            "the function {function} in {region} is not an enforcer: it has none of its variables, such as KMS_KEY_ID"
        ));
    }
    if let (None, Some(role)) = (settings.get("OWN_ROLE_ARN"), role) {
        settings = settings.with("OWN_ROLE_ARN", &role);
    }
    let of_account = account.map_or_else(String::new, |account| format!(" of account {account}"));
    print_note(&format!("using the settings of the function {function}{of_account} in {region}"));
    Ok(FunctionSettings { environment: settings, account: account.map(str::to_owned) })
}

/// Why the variables cannot be read: they are encrypted with a key that the person may not use.
fn encrypted(function: &FunctionName, error: &EnvironmentError, key: Option<&str>) -> anyhow::Error {
    let EnvironmentError { error_code, message } = error;
    let key = key.map_or_else(|| "the key of the function".to_owned(), |key| format!("the key {}", visible(key)));
    anyhow!(
        "the variables of the function {function} are encrypted, and Lambda cannot decrypt them for you: {}: {}\n  \
         remedy: allow your user or role kms:Decrypt on {key}",
        visible(error_code),
        visible(message)
    )
}

/// The settings in `environment`; a mistake in them is one of `function`, if they are its.
pub(super) fn settings_in(environment: &Environment, function: Option<&FunctionName>) -> Result<Settings> {
    Settings::from_environment(environment).map_err(|error| match function {
        Some(function) => anyhow!("the settings of the function {function} are wrong: {}", visible(&error)),
        None => error.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_named_as_lambda_names_it() {
        let name = |region: Option<&str>, qualifier: Option<&str>| FunctionName {
            region: region.map(str::to_owned),
            account: region.map(|_| "111122223333".to_owned()),
            name: "kinesis_enforcer-1".to_owned(),
            qualifier: qualifier.map(str::to_owned),
        };
        for (text, expected) in [
            ("kinesis_enforcer-1", name(None, None)),
            ("kinesis_enforcer-1:live", name(None, Some("live"))),
            ("kinesis_enforcer-1:$LATEST", name(None, Some("$LATEST"))),
            ("arn:aws:lambda:eu-west-1:111122223333:function:kinesis_enforcer-1", name(Some("eu-west-1"), None)),
            (
                "arn:aws-cn:lambda:cn-north-1:111122223333:function:kinesis_enforcer-1:7",
                name(Some("cn-north-1"), Some("7")),
            ),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in [
            "",
            "a b",
            "a/../b",
            "a:b:c",
            "a:",
            ":live",
            "a:$OLDEST",
            "arn:aws:lambda:eu-west-1:1:function:a",
            "arn:aws:lambda:eu-west-1:111122223333:layer:a",
            "arn:aws:sqs:eu-west-1:111122223333:function:a",
            "a?Qualifier=b",
        ] {
            let parsed = text.parse::<FunctionName>();
            assert!(parsed.as_ref().is_err_and(|error| error.starts_with("specify")), "{text}: {parsed:?}");
        }
    }
}
