//! The account that a plan asks for, the function in it, and, told apart from the product's own
//! reading, what each stream is to have.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_types::SdkConfig;
use aws_types::region::Region;
use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use kinesis_encryption_enforcer::aws::{Aws, config};
use kinesis_encryption_enforcer::clock::Clock;
use kinesis_encryption_enforcer::handler::Handler;
use kinesis_encryption_enforcer::sandbox::{Account, AliasEcho, Identity, NewStream, QuotaScope, Snapshot};
use kinesis_encryption_enforcer::settings::{Environment, Settings};
use serde_json::{Value, json};

use super::plan::{EXEMPT, Given, Key, Matches, Plan, Says, State, spares};
use super::story::Told;
use super::wire::Line;

pub(crate) const ACCOUNT: &str = "111122223333";
pub(crate) const REGION: &str = "us-east-1";
pub(crate) const ALIAS: &str = "alias/streams";
pub(crate) const LETTERS: &str = "dead-letters";
pub(crate) const WORK: &str = "work";
pub(crate) const PARAMETER: &str = "/kinesis/policy";
pub(crate) const MANAGED: &str = "alias/aws/kinesis";
pub(crate) const OWN_ROLE: &str = "arn:aws:iam::111122223333:role/kinesis-encryption-enforcer";
/// The function's name, and that of its role's session.
pub(crate) const FUNCTION: &str = "enforcer";
pub(crate) const MEMBER: &str = "444455556666";
const MEMBER_ROLE: &str = "enforcer-member";
/// What the names of the member's streams begin with, and no other's.
pub(crate) const OF_MEMBER: &str = "member-";
/// `maxReceiveCount` of the work queue.
pub(crate) const RECEIVES: u32 = 5;
/// The access keys of others.
pub(crate) const CONSOLE: &str = "console";
pub(crate) const TERRAFORM: &str = "terraform";
pub(crate) const SECOND: &str = "second-enforcer";

/// A process of the function: one invocation at a time.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) number: usize,
    pub(crate) handler: Handler,
    pub(crate) signs: Arc<AtomicUsize>,
}

/// A run.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) dice: RefCell<Rng>,
    pub(crate) account: Account,
    /// The member account, if there is one, and its key.
    pub(crate) member: Option<(Account, String)>,
    pub(crate) clock: Clock,
    pub(crate) told: Told,
    pub(crate) keys: BTreeMap<Key, String>,
    /// Every key that the alias has pointed at.
    pub(crate) aliased: RefCell<Vec<String>>,
    /// Whether faults have stopped and others rest.
    pub(crate) calm: Cell<bool>,
    /// Whether the run is over.
    pub(crate) over: Cell<bool>,
    /// Deliveries that are not settled, and deeds that are not done.
    pub(crate) under_way: Cell<usize>,
    pub(crate) second_enforcer: Cell<bool>,
    pub(crate) idle: RefCell<Vec<Process>>,
    processes: Cell<usize>,
    environment: Environment,
}

/// The credentials of an invocation: its number is in the access key, so that each call tells which
/// invocation made it.
#[derive(Debug)]
struct Numbered(Arc<AtomicUsize>);

impl ProvideCredentials for Numbered {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let access_key = super::story::access_key(self.0.load(Ordering::Relaxed));
        future::ProvideCredentials::ready(Ok::<_, CredentialsError>(Credentials::new(
            access_key, "secret", None, None, "campaign",
        )))
    }
}

/// What the policy and the settings ask for, for one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing of the stream")]
pub(crate) struct Terms {
    /// It is to be left alone.
    pub(crate) spared: bool,
    /// It is only to be judged.
    pub(crate) audit: bool,
    /// The key of a rule; else the configured one.
    pub(crate) of_rule: bool,
    /// Whether another customer key will do.
    pub(crate) accept: bool,
}

impl World {
    pub(crate) fn new(plan: Plan, dice: Rng) -> Rc<Self> {
        let start = DateTime::parse_from_rfc3339("2026-11-24T00:00:00Z").expect("a time");
        let clock = Clock::starting_at(SystemTime::from(start) + Duration::from_millis(plan.seed % 1_000_000));
        let account = Account::new(clock.clone(), REGION, ACCOUNT);
        let told = Told::default();
        let mut keys: BTreeMap<_, _> =
            [Key::Ours, Key::OfRule, Key::Other].map(|key| (key, account.create_key())).into();
        keys.insert(Key::Unsuitable, account.create_key_of("RSA_2048", "ENCRYPT_DECRYPT"));
        keys.insert(Key::Managed, MANAGED.to_owned());
        let ours = if plan.key_unsuitable { keys[&Key::Unsuitable].clone() } else { keys[&Key::Ours].clone() };
        account.alias(ALIAS, &ours);
        prepare(&plan, &account, &clock, &keys);
        let environment = environment(&plan, &account, &keys, &ours);
        let member = (plan.of_member > 0).then(|| member(&plan, &account, &clock));
        Rc::new(Self {
            plan,
            dice: RefCell::new(dice),
            account,
            member,
            clock,
            told,
            keys,
            aliased: RefCell::new(vec![ours]),
            calm: Cell::new(false),
            over: Cell::new(false),
            under_way: Cell::new(0),
            second_enforcer: Cell::new(false),
            idle: RefCell::default(),
            processes: Cell::new(0),
            environment,
        })
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.utc()
    }

    pub(crate) fn note(&self, what: impl Into<String>) {
        self.told.lock().notes.push((self.now(), what.into()));
    }

    /// Whether something happens that happens so many times of a hundred; never once others rest.
    pub(crate) fn happens(&self, percent: u32) -> bool {
        !self.calm.get() && self.dice.borrow_mut().u32(0..100) < percent
    }

    /// A number of the dice; the least of them once others rest.
    pub(crate) fn roll(&self, of: std::ops::RangeInclusive<u64>) -> u64 {
        if self.calm.get() { *of.start() } else { self.dice.borrow_mut().u64(of) }
    }

    /// A new process of the function.
    pub(crate) fn start_process(&self) -> Process {
        let number = self.processes.replace(self.processes.get() + 1);
        let signs = Arc::new(AtomicUsize::new(0));
        let line = Line {
            account: self.account.clone(),
            member: self.member.as_ref().map(|(member, _)| member.clone()),
            clock: self.clock.clone(),
            told: self.told.clone(),
            invocation: Arc::clone(&signs),
        };
        let base = SdkConfig::builder()
            .region(Region::new(REGION))
            .credentials_provider(SharedCredentialsProvider::new(Numbered(Arc::clone(&signs))))
            .identity_cache(aws_sdk_kinesis::config::IdentityCache::no_cache())
            .http_client(SharedHttpClient::new(line))
            .build();
        Process {
            number,
            signs,
            handler: self.handler(&self.environment, &config::with_retries_off(base, &self.clock), FUNCTION),
        }
    }

    /// A second enforcer, with another key and no queue of work.
    pub(crate) fn second_handler(&self) -> Handler {
        let role = format!("arn:aws:iam::{ACCOUNT}:role/{SECOND}");
        let environment = Environment::default()
            .with("KMS_KEY_ID", &self.keys[&Key::Other])
            .with("IAC_GRACE_SECONDS", "0")
            .with("OWN_ROLE_ARN", &role)
            .with("FAILURE_QUEUE_URL", &self.account.queue("letters-of-the-second"));
        self.handler(&environment, &self.config(SECOND), SECOND)
    }

    fn handler(&self, environment: &Environment, sdk: &SdkConfig, name: &str) -> Handler {
        let settings = Settings::from_environment(environment).expect("settings");
        let aws = Aws::new(sdk, &settings, &self.clock);
        Handler { settings, aws, clock: self.clock.clone(), function: name.to_owned(), emit: |_| {} }
    }

    /// The configuration of somebody else, with this access key, on a line of his own.
    pub(crate) fn config(&self, access_key: &str) -> SdkConfig {
        self.config_in(&self.account, access_key)
    }

    /// The same in one of the accounts.
    pub(crate) fn config_in(&self, account: &Account, access_key: &str) -> SdkConfig {
        let credentials = Credentials::new(access_key, "secret", None, None, "campaign");
        let base = SdkConfig::builder()
            .region(Region::new(REGION))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(account.http_client())
            .build();
        config::with_retries_off(base, &self.clock)
    }

    /// The key of the member account, if the stream `name` is there.
    fn key_of_member(&self, name: &str) -> Option<&String> {
        self.member.as_ref().map(|(_, key)| key).filter(|_| name.starts_with(OF_MEMBER))
    }

    /// The state of a stream, in whichever account it is.
    pub(crate) fn snapshot(&self, name: &str) -> Option<Snapshot> {
        self.account.snapshot(name).or_else(|| self.member.as_ref()?.0.snapshot(name))
    }

    /// The names of the member's streams.
    pub(crate) fn names_in_member(&self) -> impl Iterator<Item = String> {
        (0..self.plan.of_member).map(|index| format!("{OF_MEMBER}{index}"))
    }

    /// The function's role where the stream `name` is.
    pub(crate) fn role_for(&self, name: &str) -> String {
        match self.key_of_member(name) {
            Some(_) => format!("arn:aws:iam::{MEMBER}:role/{MEMBER_ROLE}"),
            None => OWN_ROLE.to_owned(),
        }
    }

    /// What is to become of the stream `name` with these tags.
    pub(crate) fn terms(&self, name: &str, tags: &BTreeMap<String, String>) -> Terms {
        let plan = &self.plan;
        let by_tag = plan.exempt_tag && tags.get(EXEMPT).is_some_and(|value| spares(value));
        let matching = plan.rules.iter().find(|rule| {
            let matches = match &rule.matches {
                Matches::Prefix(prefix) => name.starts_with(prefix),
                Matches::Tag(key, value) => tags.get(key) == Some(value),
            };
            matches && rule.says != Says::ExemptNoLonger
        });
        let says = matching.map(|rule| rule.says);
        Terms {
            spared: by_tag || matches!(says, Some(Says::Exempt | Says::ExemptUntilLater)),
            audit: plan.audit || says == Some(Says::Audit),
            of_rule: says == Some(Says::OtherKey),
            accept: plan.accept || says == Some(Says::Accept),
        }
    }

    /// The keys that may be applied to the stream `name` under `terms`: more than one where an alias
    /// was re-pointed in the run.
    pub(crate) fn desired(&self, name: &str, terms: Terms) -> Vec<String> {
        if let Some(key) = self.key_of_member(name).filter(|_| self.plan.key != Given::Managed) {
            return vec![key.clone()];
        }
        match self.plan.key {
            _ if terms.of_rule => vec![self.keys[&Key::OfRule].clone()],
            Given::Managed => vec![MANAGED.to_owned()],
            Given::Arn | Given::Id => self.aliased.borrow()[..1].to_vec(),
            Given::Alias | Given::AliasArn => self.aliased.borrow().clone(),
        }
    }

    /// Whether the stream `name` has what it is to have, or something that will do, now that everybody
    /// rests.
    pub(crate) fn is_right(&self, name: &str, stream: &Snapshot, terms: Terms) -> bool {
        let Some(shown) = stream.key_id.as_deref() else { return false };
        let aliased = || self.key_of_member(name).or(self.aliased.borrow().last()).cloned().unwrap_or_default();
        let now = |key: String| if key == ALIAS { aliased() } else { key };
        let shown = now(shown.rsplit_once(":alias/").map_or(shown.to_owned(), |(_, alias)| format!("alias/{alias}")));
        let is_customers = shown.contains(":key/") && shown != self.keys[&Key::Unsuitable];
        self.desired(name, terms).last() == Some(&shown) || terms.accept && is_customers
    }
}

fn configure(plan: &Plan, account: &Account) {
    account.configure(|options| {
        options.updating = plan.updating;
        options.visibility_lag = plan.visibility_lag;
        options.kms_lag = plan.kms_lag;
        options.history_lag = plan.history_lag;
        options.rate_limits = plan.rate_limits;
        options.alias_echo = if plan.alias_as_arn { AliasEcho::KeyArn } else { AliasEcho::AsGiven };
        options.quota_scope = if plan.per_account { QuotaScope::PerAccount } else { QuotaScope::PerStream };
    });
}

/// The member account, whose role the function may assume, and its key: the alias is there, too.
fn member(plan: &Plan, account: &Account, clock: &Clock) -> (Account, String) {
    let member = Account::new(clock.clone(), REGION, MEMBER);
    configure(plan, &member);
    let key = member.create_key();
    member.alias(ALIAS, &key);
    member.identity(CONSOLE, Identity::user("bob"));
    for index in 0..plan.of_member {
        let new = NewStream::named(&format!("{OF_MEMBER}{index}"));
        member.stream(if index == 1 { new.encrypted_with(&key) } else { new });
    }
    account.admit(&member, MEMBER_ROLE, "orders-7");
    (member, key)
}

fn prepare(plan: &Plan, account: &Account, clock: &Clock, keys: &BTreeMap<Key, String>) {
    configure(plan, account);
    account.identity(CONSOLE, Identity::user("alice"));
    account.identity(TERRAFORM, Identity::role("deployer", "ci"));
    account.identity(SECOND, Identity::role(SECOND, SECOND));
    for stream in &plan.streams {
        let mut new = NewStream::named(&stream.name);
        if let Some(key) = stream.key {
            let key = keys[&key].clone();
            new = new.encrypted_with(if stream.by_alias { ALIAS } else { &key });
        }
        for (key, value) in &stream.tags {
            new = new.tag(key, value);
        }
        account.stream(match stream.state {
            State::Active => new,
            State::Young => new.created_at(clock.utc() - TimeDelta::minutes(3)),
            State::Creating => new.creating(),
            State::Updating => new.updating(),
            State::Resharding(hours) => new.updating_for(Duration::from_hours(hours)),
            State::Stuck => new.stuck_updating(),
            State::Deleting => new.deleting(),
        });
    }
}

fn environment(plan: &Plan, account: &Account, keys: &BTreeMap<Key, String>, ours: &str) -> Environment {
    let key = match plan.key {
        Given::Arn => ours.to_owned(),
        Given::Id => ours.rsplit('/').next().unwrap_or_default().to_owned(),
        Given::Alias => ALIAS.to_owned(),
        Given::AliasArn => format!("arn:aws:kms:{REGION}:{ACCOUNT}:{ALIAS}"),
        Given::Managed => MANAGED.to_owned(),
    };
    let letters = account.queue(LETTERS);
    let mut set = vec![
        ("KMS_KEY_ID", key),
        ("ENFORCEMENT_MODE", if plan.audit { "audit" } else { "enforce" }.to_owned()),
        ("ON_OTHER_KEY", if plan.accept { "accept" } else { "replace" }.to_owned()),
        ("ON_KEY_ROTATION", if plan.reapply { "reapply" } else { "verify" }.to_owned()),
        ("IAC_GRACE_SECONDS", plan.grace.to_string()),
        ("MAX_APPLIES_PER_DAY", plan.most_applies.to_string()),
    ];
    if plan.failure_queue {
        set.push(("FAILURE_QUEUE_URL", letters));
    }
    if plan.own_role {
        set.push(("OWN_ROLE_ARN", OWN_ROLE.to_owned()));
    }
    if plan.of_member > 0 {
        set.push(("MEMBER_ROLE_NAME", MEMBER_ROLE.to_owned()));
        set.push(("MEMBER_ACCOUNTS", MEMBER.to_owned()));
        set.push(("MEMBER_EXTERNAL_ID", "orders-7".to_owned()));
    }
    if plan.bus {
        set.push(("OUTCOME_EVENT_BUS", "outcomes".to_owned()));
    }
    if !plan.exempt_tag {
        set.push(("EXEMPT_TAG_KEY", String::new()));
    }
    if plan.queue {
        set.push(("WORK_QUEUE_URL", account.queue(WORK)));
        set.push(("WORK_QUEUE_MAX_RECEIVES", RECEIVES.to_string()));
        let target = format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{LETTERS}");
        let redrive = json!({"deadLetterTargetArn": target, "maxReceiveCount": RECEIVES}).to_string();
        account.set_queue_attribute(WORK, "VisibilityTimeout", &(6 * plan.timeout).to_string());
        account.set_queue_attribute(WORK, "RedrivePolicy", &redrive);
    }
    if !plan.rules.is_empty() {
        let rules: Vec<_> = plan.rules.iter().enumerate().map(|(index, rule)| rule_text(index, rule, keys)).collect();
        let policy = json!({"version": 1, "rules": rules}).to_string();
        if plan.policy_in_parameter {
            account.parameter(PARAMETER, "String", &policy);
            set.push(("POLICY_PARAMETER", PARAMETER.to_owned()));
        } else {
            set.push(("POLICY", policy));
        }
    }
    set.iter().fold(Environment::default(), |environment, (name, value)| environment.with(name, value))
}

fn rule_text(index: usize, rule: &super::plan::Rule, keys: &BTreeMap<Key, String>) -> Value {
    let matches = match &rule.matches {
        Matches::Prefix(prefix) => json!({"stream": format!("{prefix}*")}),
        Matches::Tag(key, value) => json!({"tags": {key: value}}),
    };
    let mut text = json!({"name": format!("rule-{index}"), "match": matches});
    let more = match rule.says {
        Says::Exempt => json!({"mode": "exempt", "reason": "a load test"}),
        Says::ExemptUntilLater => json!({"mode": "exempt", "reason": "a load test", "until": "2099-01-01"}),
        Says::ExemptNoLonger => json!({"mode": "exempt", "reason": "a load test", "until": "2020-01-01"}),
        Says::Audit => json!({"mode": "audit"}),
        Says::OtherKey => json!({"key": keys[&Key::OfRule]}),
        Says::Accept => json!({"onOtherKey": "accept"}),
    };
    for (name, value) in more.as_object().into_iter().flatten() {
        text[name] = value.clone();
    }
    text
}
