//! The accounts: the function's own, which its role names, and the member accounts.

use super::{Environment, Problem};
use crate::domain::arn::is_account;
use crate::domain::member_accounts::MemberAccounts;

const OWN_ROLE_ARN: &str = "OWN_ROLE_ARN";
const ROLE_NAME: &str = "MEMBER_ROLE_NAME";
const ACCOUNTS: &str = "MEMBER_ACCOUNTS";
const EXTERNAL_ID: &str = "MEMBER_EXTERNAL_ID";

/// The variables of this group.
pub(super) struct Accounts {
    pub(super) own_role_arn: Option<String>,
    pub(super) members: Option<MemberAccounts>,
}

impl Accounts {
    pub(super) fn read(environment: &Environment, problems: &mut Vec<Problem>) -> Self {
        Self {
            own_role_arn: environment.text(
                OWN_ROLE_ARN,
                |arn| role_account(arn).is_some(),
                "a role ARN: arn:aws:iam::<account>:role/<name>",
                problems,
            ),
            members: members(environment, problems),
        }
    }
}

/// All three variables are set, or none.
fn members(environment: &Environment, problems: &mut Vec<Problem>) -> Option<MemberAccounts> {
    let variables = [ROLE_NAME, ACCOUNTS, EXTERNAL_ID];
    if variables.iter().all(|name| environment.get(name).is_none()) {
        return None;
    }
    for name in variables.into_iter().filter(|name| environment.get(name).is_none()) {
        problems.push(Problem::missing(
            name,
            "set MEMBER_ROLE_NAME, MEMBER_ACCOUNTS and MEMBER_EXTERNAL_ID, or none of them",
        ));
    }
    let own_role = environment.get(OWN_ROLE_ARN);
    if own_role.is_none() {
        problems.push(Problem::missing(
            OWN_ROLE_ARN,
            "set it where MEMBER_ACCOUNTS is set: it distinguishes the function's own account from the member accounts",
        ));
    }
    let own: Vec<_> = own_role.unwrap_or_default().split(':').collect();
    let (partition, own_account) = (own.get(1).copied().unwrap_or_default(), own.get(4).copied());
    let role_name = environment.text(
        ROLE_NAME,
        is_role_name,
        "the name of a role, with its path if it has one and without a leading slash: enforcer or security/enforcer",
        problems,
    );
    let external_id = environment.text(
        EXTERNAL_ID,
        is_external_id,
        "2 to 1224 characters of a-z, A-Z, 0-9 and + = , . @ : / - _",
        problems,
    );
    let mut accounts: Vec<String> = Vec::new();
    for account in environment.get(ACCOUNTS).into_iter().flat_map(|accounts| accounts.split(',')) {
        let problem = if !is_account(account) {
            format!("contains {account:?}: it must be accounts of 12 digits, separated by commas without spaces")
        } else if own_account == Some(account) {
            format!("contains {account}, the function's own account: remove it, no role is needed there")
        } else if accounts.iter().any(|known| known == account) {
            format!("contains {account} twice")
        } else {
            accounts.push(account.to_owned());
            continue;
        };
        problems.push(Problem::variable(ACCOUNTS, problem));
    }
    Some(MemberAccounts { role_name: role_name?, accounts, external_id: external_id?, partition: partition.to_owned() })
}

/// The account in a role's ARN, `arn:aws:iam::111122223333:role/…`: IAM's ARNs have no Region.
pub(super) fn role_account(arn: &str) -> Option<&str> {
    let mut parts = arn.splitn(6, ':');
    let head = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let (account, resource) = (parts.next()?, parts.next()?);
    let is_partition = |partition: &str| partition == "aws" || partition.starts_with("aws-");
    let is_role = matches!(head, ("arn", partition, "iam", "") if is_partition(partition));
    let is_named = resource.strip_prefix("role/").is_some_and(is_role_name);
    (is_role && is_account(account) && is_named).then_some(account)
}

/// A [role's name][Role] of 1 to 64 characters after its path, of at most 512 together.
///
/// [Role]: https://docs.aws.amazon.com/IAM/latest/APIReference/API_Role.html
fn is_role_name(text: &str) -> bool {
    let name = text.rsplit('/').next().unwrap_or_default();
    text.len() <= 512 && name.len() <= 64 && text.split('/').all(|part| !part.is_empty() && part.bytes().all(plain))
}

/// `ExternalId` of [AssumeRole]: 2 to 1,224 characters.
///
/// [AssumeRole]: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
fn is_external_id(text: &str) -> bool {
    (2..=1224).contains(&text.len()) && text.bytes().all(|byte| plain(byte) || b":/".contains(&byte))
}

fn plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The variables of two members, with `name` set to `value`.
    fn given(name: &str, value: &str) -> Environment {
        Environment::default()
            .with(ROLE_NAME, "security/enforcer-member")
            .with(ACCOUNTS, "444455556666,777788889999")
            .with(EXTERNAL_ID, "orders:7/a")
            .with(OWN_ROLE_ARN, "arn:aws-cn:iam::111122223333:role/enforcer")
            .with(name, value)
    }

    fn read(environment: &Environment) -> Result<Option<MemberAccounts>, Vec<String>> {
        let mut problems = Vec::new();
        let members = members(environment, &mut problems);
        if problems.is_empty() { Ok(members) } else { Err(problems.iter().map(ToString::to_string).collect()) }
    }

    #[test]
    fn members_are_their_role_their_accounts_and_the_external_id() {
        let members = read(&given("", "")).expect("accepted").expect("members");
        assert_eq!((members.accounts.len(), members.external_id.as_str()), (2, "orders:7/a"));
        assert_eq!(members.role_in("444455556666"), "arn:aws-cn:iam::444455556666:role/security/enforcer-member");
    }

    #[test]
    fn without_any_of_the_three_there_are_none() {
        let own_role = Environment::default().with(OWN_ROLE_ARN, "arn:aws-cn:iam::111122223333:role/enforcer");
        assert_eq!(read(&own_role), Ok(None));
        assert_eq!(read(&Environment::default()), Ok(None));
    }

    #[test]
    fn all_three_are_needed_and_the_own_role_too() {
        for missing in [ROLE_NAME, ACCOUNTS, EXTERNAL_ID, OWN_ROLE_ARN] {
            let problems = read(&given(missing, "")).expect_err("refused");
            assert!(problems.len() == 1 && problems[0].starts_with(&format!("{missing} is not set")), "{problems:?}");
        }
    }

    #[test]
    fn what_is_malformed_is_refused_by_name() {
        let check = |name: &str, value: &str, part: &str| {
            let problems = read(&given(name, value)).expect_err(part);
            assert!(problems.len() == 1 && problems[0].contains(part), "{problems:?} does not say {part}");
        };
        for role_name in
            ["/enforcer", "enforcer/", "a//b", "a b", "arn:aws:iam::444455556666:role/enforcer", &"x".repeat(65)]
        {
            check(ROLE_NAME, role_name, "MEMBER_ROLE_NAME is");
        }
        for external_id in ["x", "a b", "a*", &"x".repeat(1225)] {
            check(EXTERNAL_ID, external_id, "MEMBER_EXTERNAL_ID is");
        }
        for accounts in ["44445555666", "444455556666, 777788889999", "444455556666,", "*"] {
            check(ACCOUNTS, accounts, "MEMBER_ACCOUNTS contains");
        }
        check(ACCOUNTS, "444455556666,111122223333", "own account");
        check(ACCOUNTS, "444455556666,444455556666", "444455556666 twice");
    }
}
