//! The member accounts: accounts besides the function's own whose streams it manages too, through a
//! role in each of them.

/// `MEMBER_ROLE_NAME`, `MEMBER_ACCOUNTS` and `MEMBER_EXTERNAL_ID`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberAccounts {
    /// The name of the role in every member account, with its path if it has one.
    pub role_name: String,
    /// The member accounts, 12 digits each: nothing is ever done in an account that is not listed
    /// here.
    pub accounts: Vec<String>,
    /// The [external id][confused deputy] that the role's trust policy requires, so that nobody
    /// else who may use the function's account can make it assume the role.
    ///
    /// [confused deputy]: https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html
    pub external_id: String,
    /// The partition of all these accounts: that of the function's own role.
    pub partition: String,
}

impl MemberAccounts {
    /// The ARN of the role in `account`, which is also how `CloudTrail` names it.
    #[must_use]
    pub fn role_in(&self, account: &str) -> String {
        format!("arn:{}:iam::{account}:role/{}", self.partition, self.role_name)
    }
}
