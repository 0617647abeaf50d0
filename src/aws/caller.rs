//! Who makes the calls, for the terminal program.

use aws_types::SdkConfig;

/// The principal that the credentials belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The account ID, 12 digits.
    pub account: String,
    /// The ARN of the user or the role session.
    pub arn: String,
}

/// The caller, by [GetCallerIdentity], which needs no permission; `None` if STS does not answer.
///
/// [GetCallerIdentity]: https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
pub async fn caller(config: &SdkConfig) -> Option<Caller> {
    let answer = aws_sdk_sts::Client::new(config).get_caller_identity().send().await.ok()?;
    Some(Caller { account: answer.account?, arn: answer.arn? })
}
