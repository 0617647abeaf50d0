//! The accounts of one invocation: the function's own and the member accounts, each with its
//! clients and caches.
//!
//! A target's account is read from its ARN. A target in any other account is rejected before any
//! call, [`AssumeRole`] included.
//!
//! [`AssumeRole`]: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::OnceLock;

use tokio::sync::OnceCell;

use crate::aws::Aws;
use crate::aws::member_accounts::{Member, SESSION};
use crate::aws::rate_limit::RateShare;
use crate::clock::Clock;
use crate::deadline::Deadline;
use crate::domain::failure::{Failure, Step, code};
use crate::reconcile::change_history::{ChangeHistory, OwnIdentity};
use crate::reconcile::key_cache::KeyCache;
use crate::reconcile::{self, StreamLocks};
use crate::settings::Settings;

/// One account. Aliases and key ids without an account belong to it.
pub(super) struct Account<'a> {
    /// Its 12 digits, if known.
    pub(super) id: Option<&'a str>,
    pub(super) aws: &'a Aws,
    /// What streams are reconciled with; it can only read.
    pub(super) at_work: reconcile::Account<'a>,
}

/// A member account. Its role is assumed at most once per invocation.
struct MemberEntry<'a> {
    member: &'a Member,
    assumed: OnceCell<Result<(), Failure>>,
    account: OnceLock<Account<'a>>,
}

pub(super) struct Accounts<'a> {
    own_account: Option<&'a str>,
    clock: &'a Clock,
    deadline: Deadline,
    share: RateShare,
    own: Account<'a>,
    members: BTreeMap<&'a str, MemberEntry<'a>>,
}

impl<'a> Accounts<'a> {
    /// The accounts of an invocation of the function named `function`, whose calls in each are
    /// limited to `share`.
    pub(super) fn new(
        settings: &'a Settings,
        aws: &'a Aws,
        clock: &'a Clock,
        deadline: Deadline,
        (share, function): (RateShare, &'a str),
    ) -> Self {
        let own_account = settings.own_account();
        // Lambda names the session of the function's role after the function.
        let own_identity = OwnIdentity { role: settings.own_role_arn.as_deref(), session: Some(function) };
        let own = open(clock, deadline, share, aws, (own_account, own_identity));
        let entry = |member: &'a Member| MemberEntry { member, assumed: OnceCell::new(), account: OnceLock::new() };
        let members = aws.members.iter().flat_map(|members| members.iter());
        let members = members.map(|member| (member.account(), entry(member))).collect();
        Self { own_account, clock, deadline, share, own, members }
    }

    pub(super) fn own(&self) -> &Account<'a> {
        &self.own
    }

    /// The member accounts.
    pub(super) fn members(&self) -> impl Iterator<Item = &'a str> {
        self.members.keys().copied()
    }

    /// The account `id`, which `subject` belongs to, ready for calls. If the function's own account
    /// is not known, every account counts as it.
    pub(super) async fn get(&self, id: &str, subject: &(dyn Display + Sync)) -> Result<&Account<'a>, Failure> {
        if self.own_account.is_none_or(|own| own == id) { Ok(&self.own) } else { self.member(id, subject).await }
    }

    /// The account `id`, if it is a member account.
    pub(super) async fn member(&self, id: &str, subject: &(dyn Display + Sync)) -> Result<&Account<'a>, Failure> {
        let Some(MemberEntry { member, assumed, account }) = self.members.get(id) else {
            return Err(Failure::new(Step::CheckTarget, code::FOREIGN_ACCOUNT, subject, &self.managed()));
        };
        let assume_role =
            || async { member.assume_role(self.deadline.look_until()).await.map_err(|error| error.failure) };
        assumed.get_or_init(assume_role).await.clone()?;
        let identity = OwnIdentity { role: Some(member.role_arn()), session: Some(SESSION) };
        let names = (Some(member.account()), identity);
        Ok(account.get_or_init(|| open(self.clock, self.deadline, self.share, member.clients(), names)))
    }

    /// The managed accounts, for an error message.
    fn managed(&self) -> String {
        match self.own_account {
            None => "the function does not know its own account: OWN_ROLE_ARN is not set".to_owned(),
            Some(own) if self.members.is_empty() => format!("this function manages the streams of account {own}"),
            Some(own) => {
                format!("this function manages the streams of account {own} and of the accounts in MEMBER_ACCOUNTS")
            }
        }
    }
}

/// The account with this id, in which the function has this identity.
fn open<'a>(
    clock: &'a Clock,
    deadline: Deadline,
    share: RateShare,
    aws: &'a Aws,
    (id, identity): (Option<&'a str>, OwnIdentity<'a>),
) -> Account<'a> {
    aws.streams.limit_by(share);
    Account {
        id,
        aws,
        at_work: reconcile::Account {
            streams: &aws.streams,
            keys: KeyCache::new(&aws.keys, &aws.region, deadline.look_until()),
            history: ChangeHistory::new(&aws.history, identity, clock, deadline.look_until()),
            locks: StreamLocks::default(),
            clock,
        },
    }
}
