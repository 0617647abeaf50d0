//! The member accounts: accounts beside the function's own whose streams it keeps too, through a
//! role in each of them.
//!
//! Sources: IAM API Reference, `Role` (`RoleName` of 1 to 64 characters, a `Path` before it); STS
//! API Reference, `AssumeRole` (`ExternalId` of 2 to 1,224 characters).

use crate::domain::arn::is_account;

/// `MEMBER_ROLE_NAME`, `MEMBER_ACCOUNTS` and `MEMBER_EXTERNAL_ID`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberAccounts {
    /// The role's name in every member account, with its path if it has one.
    pub role_name: String,
    /// The members, 12 digits each: nothing is ever done in an account that is not listed here.
    pub accounts: Vec<String>,
    /// What the role's trust policy asks for, so that nobody else who may use the function's
    /// account can make it take the role on.
    pub external_id: String,
    /// The partition that all accounts are in: the own role's.
    pub partition: String,
}

/// The variables, as they are; and the function's own role, whose account and partition count.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemberVariables<'a> {
    /// `MEMBER_ROLE_NAME`.
    pub role_name: Option<&'a str>,
    /// `MEMBER_ACCOUNTS`.
    pub accounts: Option<&'a str>,
    /// `MEMBER_EXTERNAL_ID`.
    pub external_id: Option<&'a str>,
    /// `OWN_ROLE_ARN`.
    pub own_role_arn: Option<&'a str>,
}

impl MemberAccounts {
    /// Reads the variables: all three or none. Every problem is reported, not only the first.
    pub fn read(given: MemberVariables<'_>) -> Result<Option<Self>, Vec<String>> {
        let named = [
            ("MEMBER_ROLE_NAME", given.role_name),
            ("MEMBER_ACCOUNTS", given.accounts),
            ("MEMBER_EXTERNAL_ID", given.external_id),
        ];
        if named.iter().all(|(_, value)| value.is_none()) {
            return Ok(None);
        }
        let mut problems: Vec<_> = named
            .iter()
            .filter(|(_, value)| value.is_none())
            .map(|(name, _)| {
                format!("{name} is not set: MEMBER_ROLE_NAME, MEMBER_ACCOUNTS and MEMBER_EXTERNAL_ID are set together or not at all")
            })
            .collect();
        let own: Vec<_> = given.own_role_arn.unwrap_or_default().split(':').collect();
        if given.own_role_arn.is_none() {
            problems.push(
                "OWN_ROLE_ARN is not set: with MEMBER_ACCOUNTS it must be, to tell the own account from the members"
                    .to_owned(),
            );
        }
        let (role_name, external_id) = (given.role_name.unwrap_or_default(), given.external_id.unwrap_or_default());
        if given.role_name.is_some() && !is_role_name(role_name) {
            let expected =
                "a role's name, with its path if it has one: enforcer or security/enforcer, without a slash before it";
            problems.push(format!("MEMBER_ROLE_NAME is {role_name:?}: it takes {expected}"));
        }
        if given.external_id.is_some() && !is_external_id(external_id) {
            let expected = "2 to 1224 characters of a-z, A-Z, 0-9 and + = , . @ : / - _";
            problems.push(format!("MEMBER_EXTERNAL_ID is {external_id:?}: it takes {expected}"));
        }
        let mut accounts: Vec<String> = Vec::new();
        for account in given.accounts.into_iter().flat_map(|accounts| accounts.split(',')) {
            match account {
                _ if !is_account(account) => {
                    problems.push(format!(
                        "MEMBER_ACCOUNTS has {account:?}: it takes accounts of 12 digits, separated by commas without spaces"
                    ));
                }
                _ if own.get(4) == Some(&account) => {
                    problems.push(format!(
                        "MEMBER_ACCOUNTS has {account}, the function's own account, which needs no role"
                    ));
                }
                _ if accounts.iter().any(|known| known == account) => {
                    problems.push(format!("MEMBER_ACCOUNTS has {account} twice"));
                }
                _ => accounts.push(account.to_owned()),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let partition = own.get(1).copied().unwrap_or_default().to_owned();
        Ok(Some(Self { role_name: role_name.to_owned(), accounts, external_id: external_id.to_owned(), partition }))
    }

    /// The ARN of the role in `account`, as CloudTrail names it too.
    #[must_use]
    pub fn role_in(&self, account: &str) -> String {
        format!("arn:{}:iam::{account}:role/{}", self.partition, self.role_name)
    }
}

fn plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte)
}

fn is_role_name(text: &str) -> bool {
    let name = text.rsplit('/').next().unwrap_or_default();
    text.len() <= 512 && name.len() <= 64 && text.split('/').all(|part| !part.is_empty() && part.bytes().all(plain))
}

fn is_external_id(text: &str) -> bool {
    (2..=1224).contains(&text.len()) && text.bytes().all(|byte| plain(byte) || b":/".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given() -> MemberVariables<'static> {
        MemberVariables {
            role_name: Some("security/enforcer-member"),
            accounts: Some("444455556666,777788889999"),
            external_id: Some("orders:7/a"),
            own_role_arn: Some("arn:aws-cn:iam::111122223333:role/enforcer"),
        }
    }

    #[test]
    fn members_are_their_role_their_accounts_and_the_external_id() {
        let members = MemberAccounts::read(given()).expect("accepted").expect("members");
        assert_eq!((members.accounts.len(), members.external_id.as_str()), (2, "orders:7/a"));
        assert_eq!(members.role_in("444455556666"), "arn:aws-cn:iam::444455556666:role/security/enforcer-member");
    }

    #[test]
    fn without_any_of_the_three_there_are_none() {
        assert_eq!(
            MemberAccounts::read(MemberVariables { own_role_arn: given().own_role_arn, ..MemberVariables::default() }),
            Ok(None)
        );
        assert_eq!(MemberAccounts::read(MemberVariables::default()), Ok(None));
    }

    #[test]
    fn all_three_are_needed_and_the_own_role_too() {
        for (missing, given) in [
            ("MEMBER_ROLE_NAME", MemberVariables { role_name: None, ..given() }),
            ("MEMBER_ACCOUNTS", MemberVariables { accounts: None, ..given() }),
            ("MEMBER_EXTERNAL_ID", MemberVariables { external_id: None, ..given() }),
            ("OWN_ROLE_ARN", MemberVariables { own_role_arn: None, ..given() }),
        ] {
            let problems = MemberAccounts::read(given).expect_err("refused");
            assert!(problems.len() == 1 && problems[0].starts_with(&format!("{missing} is not set")), "{problems:?}");
        }
    }

    #[test]
    fn what_is_malformed_is_refused_by_name() {
        let check = |given: MemberVariables<'_>, part: &str| {
            let problems = MemberAccounts::read(given).expect_err(part);
            assert!(problems.len() == 1 && problems[0].contains(part), "{problems:?} does not say {part}");
        };
        for role_name in
            ["/enforcer", "enforcer/", "a//b", "a b", "arn:aws:iam::444455556666:role/enforcer", &"x".repeat(65)]
        {
            check(MemberVariables { role_name: Some(role_name), ..given() }, "MEMBER_ROLE_NAME is");
        }
        for external_id in ["x", "a b", "a*", &"x".repeat(1225)] {
            check(MemberVariables { external_id: Some(external_id), ..given() }, "MEMBER_EXTERNAL_ID is");
        }
        for accounts in ["44445555666", "444455556666, 777788889999", "444455556666,", "*"] {
            check(MemberVariables { accounts: Some(accounts), ..given() }, "MEMBER_ACCOUNTS has");
        }
        check(MemberVariables { accounts: Some("444455556666,111122223333"), ..given() }, "own account");
        check(MemberVariables { accounts: Some("444455556666,444455556666"), ..given() }, "444455556666 twice");
    }
}
