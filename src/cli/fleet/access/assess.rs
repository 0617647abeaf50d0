//! Finds the users of the selected streams of one account and Region, and asks for each whether it
//! may use the key that the stream is to have.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::StreamExt;
use futures_util::stream::iter;

use super::super::answer::{StreamAccess, UserAccess};
use super::super::row::Row;
use super::super::{PATIENCE, Selection, Target};
use crate::access::{Action, Identity, KeyAccess, Principal, Question, Simulation, User, Users, verdict};
use crate::aws::caller::caller;
use crate::aws::iam::Iam;
use crate::aws::users::{Found, NotRead, UserSources};
use crate::cli::progress::shown;
use crate::decide::DesiredKey;
use crate::domain::key::{KeyArn, KeyRef};
use crate::domain::outcome::Status;
use crate::domain::stream::{StreamArn, StreamRef};
use crate::reconcile::key_cache::KeyCache;

/// How many principals are simulated at a time: IAM's limits are low, and shared by the account.
const SIMULATIONS: usize = 4;

/// How long the keys of an account and Region may take to be looked up.
const LONG_PATIENCE: Duration = Duration::from_mins(5);

/// The stream of `row`, about which nothing was asked yet.
fn unanswered(row: &Row) -> StreamAccess {
    StreamAccess {
        stream: row.stream.clone(),
        arn: row.arn.clone(),
        account: row.account.clone(),
        region: row.region.clone(),
        status: row.status,
        reason: row.outcome.reason.clone(),
        current_key: row.current_key.clone(),
        key: None,
        users: Vec::new(),
        unread: BTreeSet::new(),
    }
}

/// The sources that were not read, or not to their end.
#[derive(Default)]
struct Unread {
    /// Those that name users of any stream.
    of_all: BTreeSet<NotRead>,
    /// Those that name users of one stream, by its name.
    of_each: BTreeMap<String, BTreeSet<NotRead>>,
}

impl Unread {
    fn of_stream(&mut self, stream: &str, not_read: impl IntoIterator<Item = NotRead>) {
        self.of_each.entry(stream.to_owned()).or_default().extend(not_read);
    }

    /// The sources that might name users of the stream as it is configured.
    fn failed(&self, stream: &str) -> BTreeSet<NotRead> {
        let of_stream = self.of_each.get(stream).into_iter().flatten();
        self.of_all.iter().chain(of_stream).filter(|not_read| !not_read.is_older_history).cloned().collect()
    }

    fn whole(&self) -> BTreeSet<&NotRead> {
        self.of_all.iter().chain(self.of_each.values().flatten()).collect()
    }
}

/// What an assessment is at, for whoever waits.
#[derive(Default)]
struct Phase {
    what: RefCell<String>,
    done: Cell<usize>,
    /// How many steps there are; 0 where that is not known.
    steps: Cell<usize>,
}

impl Phase {
    fn begin(&self, what: &str, steps: usize) {
        what.clone_into(&mut self.what.borrow_mut());
        self.done.set(0);
        self.steps.set(steps);
    }

    fn step(&self) {
        self.done.set(self.done.get() + 1);
    }

    fn in_words(&self, waited: Duration) -> String {
        let (what, seconds) = (self.what.borrow(), waited.as_secs());
        match (self.done.get(), self.steps.get()) {
            (0, 0) => format!("{what} ({seconds} s)"),
            (done, 0) => format!("{what}: {done} so far ({seconds} s)"),
            (done, steps) => format!("{what}: {done} of {steps} ({seconds} s)"),
        }
    }
}

/// What is asked in one account and Region.
pub(super) struct Assessment<'a> {
    pub(super) target: &'a Target,
    pub(super) selection: &'a Selection,
    /// How many days of the event history are read.
    pub(super) days: u8,
    /// Whether several places are selected.
    pub(super) several: bool,
}

/// A stream, and the key that it is to have.
struct Subject {
    row: Row,
    arn: StreamArn,
    key: WantedKey,
}

/// The key that a stream is to have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum WantedKey {
    AwsManaged,
    Key(KeyArn),
}

impl Assessment<'_> {
    /// The streams in `rows` with their users, and what was not read. `recorded` is what exported
    /// records show. While that takes long, a line says how far it is.
    pub(super) async fn run(&self, rows: Vec<Row>, recorded: Users) -> (Vec<StreamAccess>, Vec<String>) {
        let phase = &Phase::default();
        let assessed = Box::pin(self.assessed(rows, recorded, phase));
        shown(self.target.clock.instant(), |waited| phase.in_words(waited), assessed).await
    }

    async fn assessed(&self, rows: Vec<Row>, recorded: Users, phase: &Phase) -> (Vec<StreamAccess>, Vec<String>) {
        let mut unread = Unread::default();
        let mut others = Vec::new();
        let mut subjects = Vec::new();
        let keys = KeyCache::new(&self.target.aws.keys, &self.target.aws.region, self.until(LONG_PATIENCE));
        phase.begin("reading the keys that streams are to have", rows.len());
        for row in rows {
            phase.step();
            match self.key_of(&row, &keys).await {
                Ok(Some((arn, key))) => subjects.push(Subject { row, arn, key }),
                Ok(None) => others.push(unanswered(&row)),
                Err(why) => {
                    unread.of_stream(&row.stream, [NotRead::new(format!("the users of {}", row.stream), why)]);
                    others.push(unanswered(&row));
                }
            }
        }
        let users = Box::pin(self.users(&subjects, recorded, &mut unread, phase)).await;
        let mut streams = self.answered(&subjects, users, phase).await;
        streams.extend(others);
        streams.sort_by(|one, other| one.stream.cmp(&other.stream));
        for stream in &mut streams {
            stream.unread = unread.failed(&stream.stream);
        }
        (streams, unread.whole().into_iter().map(|not_read| self.placed(not_read)).collect())
    }

    /// What was not read, with the Region where several are selected.
    fn placed(&self, not_read: &NotRead) -> String {
        if self.several { format!("{}: {not_read}", self.target.aws.region) } else { not_read.to_string() }
    }

    fn until(&self, patience: Duration) -> tokio::time::Instant {
        self.target.clock.instant() + patience
    }

    /// The stream's ARN and the key that it is to have; `None` where there is no key to ask about.
    async fn key_of(&self, row: &Row, keys: &KeyCache<'_>) -> Result<Option<(StreamArn, WantedKey)>, String> {
        if matches!(row.status, Status::Exempt | Status::Gone) {
            return Ok(None);
        }
        let (Some(arn), Some(key)) = (row.arn.clone(), &row.configured_key) else { return Ok(None) };
        let Ok(key) = key.parse::<KeyRef>() else { return Ok(None) };
        match keys.desired(&key).await {
            Ok(DesiredKey::AwsManaged) => Ok(Some((arn, WantedKey::AwsManaged))),
            Ok(DesiredKey::Key { arn: key, .. }) => Ok(Some((arn, WantedKey::Key(key)))),
            Err(failure) => Err(failure.code),
        }
    }

    /// The known users of the streams.
    async fn users(&self, subjects: &[Subject], mut recorded: Users, unread: &mut Unread, phase: &Phase) -> Users {
        if subjects.is_empty() {
            return recorded;
        }
        let sources = UserSources::new(&self.target.config, &self.target.clock);
        self.read_history(&sources, subjects, &mut recorded, unread, phase).await;
        phase.begin("reading which services use streams", 0);
        let (buses, no_buses) = sources.event_buses().await;
        unread.of_all.extend(no_buses);
        let arns: BTreeSet<StreamArn> = subjects.iter().map(|subject| subject.arn.clone()).collect();
        let Found { mut uses, not_read } = Box::pin(sources.of_services(&arns)).await;
        unread.of_all.extend(not_read);
        let each = subjects.iter().map(|subject| {
            let (sources, buses, users) = (&sources, &buses, &recorded);
            let queues = subject.row.outcome.seen.as_ref().and_then(|description| description.queues).unwrap_or(0);
            async move {
                let mut found = sources.of_stream(&subject.arn, queues, |consumer| users.has_used(consumer)).await;
                found.extend(sources.of_rules(&subject.arn, buses).await);
                (subject, found)
            }
        });
        let mut each = std::pin::pin!(iter(each).buffer_unordered(usize::from(self.selection.concurrency)));
        phase.begin("reading who uses each stream", subjects.len());
        while let Some((subject, Found { uses: of_stream, not_read })) = each.next().await {
            phase.step();
            uses.extend(of_stream);
            unread.of_stream(&subject.row.stream, not_read);
        }
        let mut users = recorded.clone();
        for known in uses {
            users.add(known);
        }
        users
    }

    /// Reads the event history of the keys that the streams use at present.
    async fn read_history(
        &self,
        sources: &UserSources,
        subjects: &[Subject],
        users: &mut Users,
        unread: &mut Unread,
        phase: &Phase,
    ) {
        if self.days == 0 {
            return;
        }
        let mut present = BTreeMap::<KeyArn, Vec<&str>>::new();
        for Subject { row, arn, .. } in subjects {
            let Some(text) = &row.current_key else { continue };
            match self.present_key(text, arn).await {
                Ok(key) => key.into_iter().for_each(|key| present.entry(key).or_default().push(&row.stream)),
                Err(why) => {
                    let what = format!("CloudTrail's event history of the key of {}", row.stream);
                    unread.of_stream(&row.stream, [NotRead::new(what, why)]);
                }
            }
        }
        let since = self.target.clock.utc() - TimeDelta::days(i64::from(self.days));
        let keys = present.len();
        for (index, (key, streams)) in present.into_iter().enumerate() {
            let what = format!("reading CloudTrail's event history of key {} of {keys}", index + 1);
            phase.begin(&what, 0);
            let read = sources.of_key(&key, since, || phase.step()).await;
            for stream in streams {
                unread.of_stream(stream, read.not_read.clone());
            }
            for used in read.uses {
                users.record(used);
            }
        }
    }

    /// The present key of a stream by its ARN; `None` if it does not exist. That of an AWS managed
    /// alias is looked up without a description, which could create it.
    async fn present_key(&self, text: &str, stream: &StreamArn) -> Result<Option<KeyArn>, String> {
        let key: KeyRef = text.parse().map_err(|_| format!("{text:?} is not a key"))?;
        if let Some(arn) = key.canonical(stream.region(), stream.account()) {
            return Ok(Some(arn));
        }
        let (keys, until) = (&self.target.aws.keys, self.until(PATIENCE));
        match key.alias() {
            Some(alias) if alias.is_aws_managed() => {
                let place = (stream.region(), stream.account());
                let managed = keys.managed(alias.as_str(), place, until).await;
                managed.map_err(|error| format!("{} (kms:ListAliases)", error.failure.code))
            }
            _ => {
                let described = keys.describe(&key, until).await;
                described
                    .map(|facts| Some(facts.arn))
                    .map_err(|error| format!("{} (kms:DescribeKey)", error.failure.code))
            }
        }
    }

    /// The account of the credentials, whose principals IAM knows; empty if it is not known. A stream
    /// that is named by its ARN may be another account's. `None` if there is no stream.
    async fn own_account(&self, subjects: &[Subject]) -> Option<String> {
        let account = subjects.first()?.arn.account();
        let is_named_by_arn = self.selection.streams.iter().any(|stream| matches!(stream, StreamRef::Arn(_)));
        if !is_named_by_arn {
            return Some(account.to_owned());
        }
        Some(caller(&self.target.config).await.map(|caller| caller.account).unwrap_or_default())
    }

    /// The streams with their users' answers.
    async fn answered(&self, subjects: &[Subject], users: Users, phase: &Phase) -> Vec<StreamAccess> {
        let Some(account) = self.own_account(subjects).await else { return Vec::new() };
        let iam = Iam::new(&self.target.config, &self.target.clock);
        let paths = self.paths(&iam, &account, &users, phase).await;
        let whole = |principal: &Principal| match paths.get(principal) {
            Some(RolePath::Found(role)) => Some(role.clone()),
            _ => None,
        };
        let of: Vec<(&Subject, Vec<User>)> =
            subjects.iter().map(|subject| (subject, users.of(&subject.arn, whole))).collect();
        phase.begin("reading the policies and grants of keys", 0);
        let keys = self.keys(subjects).await;
        let simulated = Simulated::of(&iam, account, &of, phase).await;
        let mut streams = Vec::new();
        for (subject, users) in of {
            let mut access = unanswered(&subject.row);
            access.key = Some(match &subject.key {
                WantedKey::AwsManaged => crate::domain::key::AWS_MANAGED_ALIAS.to_owned(),
                WantedKey::Key(key) => key.to_string(),
            });
            for User { principal, action, evidence } in users {
                let question = Question { principal: &principal, action, stream: &subject.arn };
                let identity = match paths.get(&principal) {
                    Some(RolePath::Gone) => Identity::Gone,
                    Some(RolePath::Unknown(why)) => Identity::Unknown(why.clone()),
                    _ => simulated.identity(&question, &subject.key),
                };
                let Some(key) = keys.get(&subject.key) else { continue };
                let verdict = verdict(&question, key, &identity);
                access.users.push(UserAccess { principal, action, verdict, known_by: evidence });
            }
            streams.push(access);
        }
        streams
    }

    /// The roles of `account` of which only sessions are known.
    async fn paths(&self, iam: &Iam, account: &str, users: &Users, phase: &Phase) -> BTreeMap<Principal, RolePath> {
        let mut paths = BTreeMap::new();
        phase.begin("reading the roles of sessions", 0);
        for principal in users.roles_without_path() {
            phase.step();
            let Principal::Role { name, .. } = &principal else { continue };
            // IAM knows the roles of its own account only.
            if principal.account() != Some(account) {
                continue;
            }
            let path = match iam.role_arn(name).await {
                Ok(Some(arn)) => Principal::read(&arn)
                    .map_or_else(|| RolePath::Unknown("GetRole: UnreadableAnswer".to_owned()), RolePath::Found),
                Ok(None) => RolePath::Gone,
                Err(error) => {
                    RolePath::Unknown(format!("the role cannot be read: {} (iam:GetRole)", error.failure.code))
                }
            };
            paths.insert(principal, path);
        }
        paths
    }

    /// The policies and grants of the keys that the streams are to have.
    async fn keys(&self, subjects: &[Subject]) -> BTreeMap<WantedKey, KeyAccess> {
        let mut keys = BTreeMap::new();
        for Subject { key, .. } in subjects {
            if keys.contains_key(key) {
                continue;
            }
            let access = match key {
                WantedKey::AwsManaged => KeyAccess::AwsManaged,
                WantedKey::Key(arn) => {
                    let reader = &self.target.aws.keys;
                    let policy = reader.policy(arn, self.until(PATIENCE)).await;
                    let policy = policy.and_then(|policy| policy.ok_or_else(|| "it is empty".to_owned()));
                    let grants = reader.grants(arn, self.until(LONG_PATIENCE)).await;
                    KeyAccess::Customer { key: arn.clone(), policy, grants }
                }
            };
            keys.insert(key.clone(), access);
        }
        keys
    }
}

/// What IAM's simulation answered: by action, `None` for a principal that does not exist, or why
/// there is no answer.
type Answered = Result<Option<BTreeMap<Action, Simulation>>, String>;

/// What IAM's simulation said about principals.
struct Simulated {
    /// The account whose principals IAM knows.
    account: String,
    /// Each principal is asked about once per key.
    shared: BTreeMap<(Principal, WantedKey), Answered>,
    /// Where a policy names streams, the principal is asked about for each.
    of_stream: BTreeMap<(Principal, WantedKey, StreamArn), Answered>,
}

impl Simulated {
    async fn of(iam: &Iam, account: String, of: &[(&Subject, Vec<User>)], phase: &Phase) -> Self {
        let mut asked = BTreeMap::<(Principal, WantedKey), (BTreeSet<Action>, Vec<StreamArn>)>::new();
        for (Subject { arn, key, .. }, users) in of {
            for User { principal, action, .. } in users {
                if principal.account() == Some(account.as_str()) && principal.arn().is_some() {
                    let (actions, streams) = asked.entry((principal.clone(), key.clone())).or_default();
                    actions.insert(*action);
                    if !streams.contains(arn) {
                        streams.push(arn.clone());
                    }
                }
            }
        }
        phase.begin("asking IAM", asked.len());
        let shared = iter(&asked).map(|((principal, key), (actions, streams))| async move {
            let answered = match streams.first() {
                Some(stream) => simulate(iam, principal, key, actions, stream, false).await,
                None => Ok(None),
            };
            phase.step();
            ((principal.clone(), key.clone()), answered)
        });
        let shared: BTreeMap<_, _> = shared.buffer_unordered(SIMULATIONS).collect().await;
        let depends = |answered: &Answered| match answered {
            Ok(Some(simulations)) => simulations.values().any(Simulation::depends_on_stream),
            Ok(None) | Err(_) => false,
        };
        let by_stream = asked.iter().filter(|(asked, _)| shared.get(*asked).is_some_and(depends));
        let by_stream = by_stream.flat_map(|((principal, key), (actions, streams))| {
            streams.iter().map(move |stream| (principal, key, actions, stream))
        });
        let by_stream: Vec<_> = by_stream.collect();
        phase.begin("asking IAM about policies that name streams", by_stream.len());
        let by_stream = iter(by_stream).map(|(principal, key, actions, stream)| async move {
            let answered = simulate(iam, principal, key, actions, stream, true).await;
            phase.step();
            ((principal.clone(), key.clone(), stream.clone()), answered)
        });
        let of_stream = by_stream.buffer_unordered(SIMULATIONS).collect().await;
        Self { account, shared, of_stream }
    }

    /// What the principal's own policies say about the call.
    fn identity(&self, question: &Question<'_>, key: &WantedKey) -> Identity {
        let Question { principal, action, stream } = question;
        if let Some(account) = principal.account().filter(|account| *account != self.account) {
            return Identity::Unknown(format!("the IAM policies of account {account} cannot be read from here"));
        }
        let by_stream = self.of_stream.get(&((*principal).clone(), key.clone(), (*stream).clone()));
        match by_stream.or_else(|| self.shared.get(&((*principal).clone(), key.clone()))) {
            Some(Ok(Some(simulations))) => match simulations.get(action) {
                Some(simulation) => simulation.identity(question),
                None => Identity::Unknown("IAM was not asked".to_owned()),
            },
            Some(Ok(None)) => Identity::Gone,
            Some(Err(why)) => Identity::Unknown(why.clone()),
            None => Identity::Unknown("the principal has no ARN that IAM could be asked about".to_owned()),
        }
    }
}

async fn simulate(
    iam: &Iam,
    principal: &Principal,
    key: &WantedKey,
    actions: &BTreeSet<Action>,
    stream: &StreamArn,
    with_stream: bool,
) -> Answered {
    let Some(arn) = principal.arn() else { return Ok(None) };
    let actions: Vec<_> = actions.iter().copied().collect();
    // The context does not depend on the action.
    let Some(action) = actions.first().copied() else { return Ok(None) };
    let question = Question { principal, action, stream };
    let context = if with_stream { question.full_context() } else { question.shared_context() };
    let resource = match key {
        WantedKey::Key(key) => key.to_string(),
        // The key may not exist yet. Only a policy that denies it by its ID would be missed.
        WantedKey::AwsManaged => format!(
            "arn:{}:kms:{}:{}:key/00000000-0000-0000-0000-000000000000",
            stream.partition(),
            stream.region(),
            stream.account()
        ),
    };
    iam.simulate(&arn, &actions, &resource, &context).await.map_err(|error| {
        format!("its IAM policies cannot be simulated: {} (iam:SimulatePrincipalPolicy)", error.failure.code)
    })
}

/// The role of a session.
enum RolePath {
    Found(Principal),
    Gone,
    /// It is not known. The text says why.
    Unknown(String),
}
