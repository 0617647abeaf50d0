//! What a seed makes of a run. All chance is here, and in the dice that go on from the same seed.

use std::time::Duration;

use fastrand::Rng;

/// A key of the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// The configured one, at first also the alias's.
    Ours,
    /// One that a rule names.
    OfRule,
    /// Somebody else's.
    Other,
    /// One that Kinesis cannot use.
    Unsuitable,
    /// The one that AWS manages.
    Managed,
}

/// How the configured key is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    Arn,
    Id,
    Alias,
    AliasArn,
    Managed,
}

/// What a stream is at the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Active,
    Young,
    Creating,
    Updating,
    /// UPDATING for so many hours.
    Resharding(u64),
    /// UPDATING without an end.
    Stuck,
    Deleting,
}

#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) key: Option<Key>,
    pub(crate) by_alias: bool,
    pub(crate) state: State,
    pub(crate) tags: Vec<(String, String)>,
}

/// Which streams a rule matches.
#[derive(Clone, Debug)]
pub(crate) enum Matches {
    /// Those whose names begin so.
    Prefix(String),
    /// Those with this tag.
    Tag(String, String),
}

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    Exempt,
    ExemptUntilLater,
    ExemptNoLonger,
    Audit,
    OtherKey,
    Accept,
}

#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) matches: Matches,
    pub(crate) says: Says,
}

/// What goes wrong with calls of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wrong {
    Error(&'static str, u16),
    Dropped,
    AnswerLost,
    Html,
    Truncated,
    OfAnotherType,
    OfAnother,
    Empty,
    Proxy,
    ProxyEmpty,
    Slow,
    SlowAnswer,
    Late,
    EntriesRefused,
}

impl Wrong {
    /// What the summary calls it.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Error(..) => "error",
            Self::Dropped => "connection reset before",
            Self::AnswerLost => "connection reset after",
            Self::Html => "HTML answer",
            Self::Truncated => "truncated answer",
            Self::OfAnotherType => "wrong types",
            Self::OfAnother => "another's answer",
            Self::Empty => "empty answer",
            Self::Proxy => "proxy in between",
            Self::ProxyEmpty => "silent proxy",
            Self::Slow => "slow call",
            Self::SlowAnswer => "slow answer",
            Self::Late => "late arrival",
            Self::EntriesRefused => "entries refused",
        }
    }
}

/// Every [`Wrong::kind`].
pub(crate) const KINDS: [&str; 14] = [
    "error",
    "connection reset before",
    "connection reset after",
    "HTML answer",
    "truncated answer",
    "wrong types",
    "another's answer",
    "empty answer",
    "proxy in between",
    "silent proxy",
    "slow call",
    "slow answer",
    "late arrival",
    "entries refused",
];

#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) operation: &'static str,
    pub(crate) wrong: Wrong,
    /// The first call that it meets, from 1, and how many; `None` is a storm until the end.
    pub(crate) first: u64,
    pub(crate) count: Option<u64>,
}

/// What somebody else does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Stop(usize),
    Start(usize, Key),
    StartByAlias(usize),
    Delete(usize),
    DeleteAndCreate(usize),
    Reshard(usize),
    Tag(usize, &'static str),
    Untag(usize),
    DisableKey(Key),
    EnableKey(Key),
    ScheduleDeletion(Key),
    PointAlias(Key),
    DeleteAlias,
    Rotate(Key),
    Terraform {
        name: String,
        encrypts: bool,
    },
    TerraformStop(usize),
    SecondEnforcer,
    CopyMessage,
    /// Stops the stream again and again, and hides it: calls that are denied fill `CloudTrail`'s
    /// history, sometimes from a session with the name of the function's own.
    Flood {
        stream: usize,
        in_our_name: bool,
    },
    /// Reshards the stream again and again.
    KeepResharding(usize),
    /// Stops the encryption of a stream of the member account.
    StopOfMember(usize),
    /// Ends all sessions in the member account; calls are refused with this of [`ENDED`].
    EndSessions(usize),
}

impl Deed {
    /// What the summary calls it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Stop(_) => "console stops",
            Self::Start(..) | Self::StartByAlias(_) => "console starts",
            Self::Delete(_) => "deletion",
            Self::DeleteAndCreate(_) => "deletion and re-creation",
            Self::Reshard(_) => "resharding",
            Self::Tag(..) | Self::Untag(_) => "tagging",
            Self::DisableKey(_) => "key disabled",
            Self::EnableKey(_) => "key enabled",
            Self::ScheduleDeletion(_) => "key deletion scheduled",
            Self::PointAlias(_) => "alias re-pointed",
            Self::DeleteAlias => "alias deleted",
            Self::Rotate(_) => "rotation",
            Self::Terraform { .. } => "Terraform creates",
            Self::TerraformStop(_) => "Terraform stops",
            Self::SecondEnforcer => "second enforcer",
            Self::CopyMessage => "message delivered twice",
            Self::Flood { in_our_name: false, .. } => "flood of denied calls",
            Self::Flood { in_our_name: true, .. } => "flood in our session's name",
            Self::KeepResharding(_) => "resharding without an end",
            Self::StopOfMember(_) => "member's stream stopped",
            Self::EndSessions(_) => "members' sessions ended",
        }
    }
}

/// Every [`Deed::kind`].
pub(crate) const DEEDS: [&str; 21] = [
    "console stops",
    "console starts",
    "deletion",
    "deletion and re-creation",
    "resharding",
    "tagging",
    "key disabled",
    "key enabled",
    "key deletion scheduled",
    "alias re-pointed",
    "alias deleted",
    "rotation",
    "Terraform creates",
    "Terraform stops",
    "second enforcer",
    "message delivered twice",
    "flood of denied calls",
    "flood in our session's name",
    "resharding without an end",
    "member's stream stopped",
    "members' sessions ended",
];

/// A payload, by the name of a file in `events/` or of what is made here.
#[derive(Clone, Debug)]
pub(crate) struct Trigger {
    pub(crate) what: &'static str,
    /// The stream, and a second one.
    pub(crate) streams: [usize; 2],
    pub(crate) by_queue: bool,
    pub(crate) copies: u32,
}

/// Everything about a run.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting that is on or off")]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) key: Given,
    pub(crate) key_unsuitable: bool,
    pub(crate) queue: bool,
    pub(crate) failure_queue: bool,
    pub(crate) audit: bool,
    pub(crate) accept: bool,
    pub(crate) reapply: bool,
    pub(crate) own_role: bool,
    pub(crate) bus: bool,
    pub(crate) exempt_tag: bool,
    pub(crate) grace: u64,
    pub(crate) most_applies: usize,
    pub(crate) timeout: u64,
    pub(crate) batch: usize,
    pub(crate) policy_in_parameter: bool,
    pub(crate) rules: Vec<Rule>,
    pub(crate) streams: Vec<Stream>,
    /// How many streams the member account has; without one there is no member account.
    pub(crate) of_member: usize,
    /// Whether streams that are UPDATING without an end stay so for days.
    pub(crate) stuck_for_days: bool,
    /// How long every call takes; what happens side by side meets only where it is not nothing.
    pub(crate) latency: Duration,
    pub(crate) updating: Duration,
    pub(crate) visibility_lag: Duration,
    pub(crate) kms_lag: Duration,
    pub(crate) history_lag: Duration,
    pub(crate) alias_as_arn: bool,
    pub(crate) per_account: bool,
    pub(crate) rate_limits: bool,
    /// Of a hundred invocations, so many are killed.
    pub(crate) kills: u32,
    pub(crate) faults: Vec<(u64, Fault)>,
    pub(crate) deeds: Vec<(u64, Deed)>,
    pub(crate) triggers: Vec<(u64, Trigger)>,
    /// How long others rest before the account must come right.
    pub(crate) rest: Duration,
}

/// For how many seconds things go wrong.
pub(crate) const CHAOS: u64 = 1_500;

const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";

fn chance(dice: &mut Rng, percent: u32) -> bool {
    dice.u32(0..100) < percent
}

fn pick<T: Clone>(dice: &mut Rng, of: &[T]) -> T {
    of[dice.usize(0..of.len())].clone()
}

impl Plan {
    /// The plan of `seed`.
    pub(crate) fn of(seed: u64) -> (Self, Rng) {
        let mut dice = Rng::with_seed(seed);
        let dice = &mut dice;
        let queue = chance(dice, 65);
        let timeout = pick(dice, &[20, 45, 90, 180, 300]);
        let graces: &[u64] = match (queue, timeout) {
            (true, _) => &[0, 60, 60, 120],
            (false, 20) => &[0, 10],
            (false, 45) => &[0, 20],
            (false, _) => &[0, 40],
        };
        let exempt_tag = chance(dice, 90);
        let streams: Vec<_> = (0..dice.usize(2..=7)).map(|index| stream(dice, index)).collect();
        let count = streams.len();
        let of_member = if chance(dice, 30) { dice.usize(1..=3) } else { 0 };
        let mut plan = Self {
            seed,
            key: pick(
                dice,
                &[Given::Arn, Given::Arn, Given::Id, Given::Alias, Given::Alias, Given::AliasArn, Given::Managed],
            ),
            key_unsuitable: chance(dice, 3),
            queue,
            failure_queue: chance(dice, 90),
            audit: chance(dice, 8),
            accept: chance(dice, 20),
            reapply: chance(dice, 35),
            own_role: chance(dice, 92),
            bus: chance(dice, 25),
            exempt_tag,
            grace: pick(dice, graces),
            most_applies: pick(dice, &[1, 2, 3, 5, 5, 25]),
            timeout,
            batch: dice.usize(1..=10),
            policy_in_parameter: chance(dice, 30),
            rules: Vec::new(),
            streams,
            of_member,
            // Days take their time here, too.
            stuck_for_days: chance(dice, 15),
            latency: Duration::from_millis(pick(dice, &[0, 0, 0, 30, 200])),
            updating: Duration::from_millis(pick(dice, &[0, 300, 800, 2_000, 5_000, 15_000, 40_000])),
            visibility_lag: Duration::from_millis(pick(dice, &[0, 0, 0, 0, 900, 6_000, 40_000])),
            kms_lag: Duration::from_secs(pick(dice, &[0, 0, 0, 5, 60, 200])),
            history_lag: Duration::from_secs(pick(dice, &[0, 300, 900])),
            alias_as_arn: dice.bool(),
            per_account: chance(dice, 15),
            rate_limits: chance(dice, 60),
            kills: pick(dice, &[0, 0, 10, 25, 50]),
            faults: Vec::new(),
            deeds: Vec::new(),
            triggers: Vec::new(),
            rest: if chance(dice, 70) { Duration::from_hours(25) } else { Duration::from_mins(30) },
        };
        if of_member > 0 {
            // A member account is told from the function's own by its role, and keys by ARN are the
            // function's own.
            plan.own_role = true;
            plan.key_unsuitable = false;
            plan.key = pick(dice, &[Given::Alias, Given::Alias, Given::Managed]);
        }
        if chance(dice, 55) {
            plan.rules = (0..dice.usize(1..=3)).map(|_| rule(dice, &plan.streams)).collect();
            if of_member > 0 {
                // A key of the function's own account, which is none of the member's.
                plan.rules.retain(|rule| rule.says != Says::OtherKey);
            }
        }
        for _ in 0..pick(dice, &[0, 2, 4, 8, 12]) {
            plan.faults.push((dice.u64(0..CHAOS), fault(dice, queue)));
        }
        for _ in 0..pick(dice, &[0, 1, 3, 6, 10]) {
            plan.deeds.push((dice.u64(0..CHAOS), deed(dice, count, of_member)));
        }
        if of_member > 0 {
            plan.deeds.push((dice.u64(0..CHAOS / 5), Deed::StopOfMember(0)));
            for _ in 0..dice.usize(1..=3) {
                plan.deeds.push((dice.u64(0..CHAOS), deed_in_member(dice, of_member)));
            }
        }
        for _ in 0..dice.usize(1..=8) {
            plan.triggers.push((dice.u64(0..CHAOS), trigger(dice, count, queue)));
        }
        plan.faults.sort_by_key(|(at, _)| *at);
        plan.deeds.sort_by_key(|(at, _)| *at);
        plan.triggers.sort_by_key(|(at, _)| *at);
        (plan, dice.fork())
    }
}

fn stream(dice: &mut Rng, index: usize) -> Stream {
    let length = pick(dice, &[1, 2, 7, 20, 100]);
    let tail: String = (0..length).map(|_| char::from(pick(dice, ALPHABET))).collect();
    // The first letter groups them for the rules, the second keeps them apart.
    let name = format!("{}{index}{tail}", pick(dice, &["a", "B", "-", "_", "."]));
    let key = pick(
        dice,
        &[None, None, None, Some(Key::Ours), Some(Key::Ours), Some(Key::Other), Some(Key::OfRule), Some(Key::Managed)],
    );
    let mut tags = Vec::new();
    if chance(dice, 22) {
        tags.push((EXEMPT.to_owned(), pick(dice, &TAGS).to_owned()));
    }
    if chance(dice, 30) {
        tags.push(("tier".to_owned(), pick(dice, &["gold", "lead"]).to_owned()));
    }
    if chance(dice, 5) {
        // More than one page of tags.
        tags.extend((0..60).map(|number| (format!("filler-{number:02}"), String::new())));
    }
    let hours = pick(dice, &[1, 1, 1, 3, 3, 9, 60]);
    let state = pick(
        dice,
        &[
            State::Active,
            State::Active,
            State::Active,
            State::Active,
            State::Young,
            State::Creating,
            State::Updating,
            State::Resharding(hours),
            State::Stuck,
            State::Deleting,
        ],
    );
    Stream { name, by_alias: key == Some(Key::Ours) && chance(dice, 25), key, state, tags }
}

/// The exempt tag's key.
pub(crate) const EXEMPT: &str = "kinesis-encryption-enforcer:exempt";
/// Values of the exempt tag, and …
pub(crate) const TAGS: [&str; 5] =
    ["load test", "load test until=2099-01-01", "", "load test until=2020-01-01", "load test until=soon"];

/// … whether they keep a stream from being touched.
pub(crate) fn spares(value: &str) -> bool {
    !value.contains("until=2020")
}

fn rule(dice: &mut Rng, streams: &[Stream]) -> Rule {
    let matches = if chance(dice, 30) {
        Matches::Tag("tier".to_owned(), "gold".to_owned())
    } else {
        let name = &pick(dice, streams).name;
        Matches::Prefix(name.chars().take(pick(dice, &[1, 1, 2])).collect())
    };
    Rule {
        matches,
        says: pick(
            dice,
            &[
                Says::Exempt,
                Says::ExemptUntilLater,
                Says::ExemptNoLonger,
                Says::Audit,
                Says::OtherKey,
                Says::OtherKey,
                Says::Accept,
            ],
        ),
    }
}

pub(crate) const OPERATIONS: [(&str, &[&str]); 12] = [
    (
        "DescribeStreamSummary",
        &["LimitExceededException", "ResourceNotFoundException", "AccessDeniedException", "InvalidArgumentException"],
    ),
    (
        "StartStreamEncryption",
        &[
            "ResourceInUseException",
            "LimitExceededException",
            "KMSThrottlingException",
            "KMSDisabledException",
            "KMSInvalidStateException",
            "KMSAccessDeniedException",
            "KMSNotFoundException",
            "KMSOptInRequired",
            "ResourceNotFoundException",
            "AccessDeniedException",
            "InvalidArgumentException",
        ],
    ),
    (
        "DescribeKey",
        &[
            "NotFoundException",
            "KMSInternalException",
            "DependencyTimeoutException",
            "InvalidArnException",
            "AccessDeniedException",
        ],
    ),
    ("ListTagsForStream", &["LimitExceededException", "ResourceNotFoundException", "AccessDeniedException"]),
    ("ListStreams", &["LimitExceededException", "AccessDeniedException", "ExpiredNextTokenException"]),
    ("GetResources", &["ThrottledException", "InternalServiceException", "PaginationTokenExpiredException"]),
    ("LookupEvents", &["ThrottlingException", "AccessDeniedException", "InvalidNextTokenException"]),
    (
        "SendMessage",
        &[
            "RequestThrottled",
            "QueueDoesNotExist",
            "AccessDeniedException",
            "KmsAccessDenied",
            "InvalidMessageContents",
        ],
    ),
    ("SendMessageBatch", &["RequestThrottled", "AccessDeniedException", "BatchRequestTooLong"]),
    ("ChangeMessageVisibility", &["ReceiptHandleIsInvalid", "MessageNotInflight", "AccessDeniedException"]),
    ("GetParameter", &["ThrottlingException", "ParameterNotFound", "AccessDeniedException", "InternalServerError"]),
    ("PutEvents", &["ThrottlingException", "InternalException", "AccessDeniedException"]),
];

/// What any service may say, and what no version of it has said yet.
const ANYWHERE: [(&str, u16); 10] = [
    ("ServiceUnavailable", 503),
    ("InternalFailure", 500),
    ("InternalServerError", 500),
    ("RequestExpired", 400),
    ("ExpiredTokenException", 400),
    ("UnrecognizedClientException", 403),
    ("ValidationException", 400),
    ("ThrottlingException", 400),
    ("NewlyInventedException", 400),
    ("NewlyInventedFault", 500),
];

fn fault(dice: &mut Rng, queue: bool) -> Fault {
    // The first five matter most.
    let index = if chance(dice, 60) { dice.usize(0..5) } else { dice.usize(0..OPERATIONS.len()) };
    let (operation, codes) = OPERATIONS[index];
    let wrong = match dice.u32(0..20) {
        0 => Wrong::Error(
            if operation == "StartStreamEncryption" { "KMSThrottlingException" } else { "LimitExceededException" },
            400,
        ),
        1..=6 => {
            let (code, status) = if chance(dice, 60) {
                let code = pick(dice, codes);
                (code, if code.contains("Internal") { 500 } else { 400 })
            } else {
                pick(dice, &ANYWHERE)
            };
            Wrong::Error(code, status)
        }
        7 => Wrong::Dropped,
        8 => Wrong::AnswerLost,
        9 => Wrong::Html,
        10 => Wrong::Truncated,
        11 => Wrong::OfAnotherType,
        12 => Wrong::OfAnother,
        13 => Wrong::Empty,
        14 => Wrong::Proxy,
        15 => Wrong::ProxyEmpty,
        16 => Wrong::Slow,
        17 => Wrong::SlowAnswer,
        18 => Wrong::Late,
        _ if queue => Wrong::EntriesRefused,
        _ => Wrong::AnswerLost,
    };
    let operation = match wrong {
        Wrong::EntriesRefused => "SendMessageBatch",
        Wrong::OfAnother if !matches!(operation, "DescribeStreamSummary" | "DescribeKey") => {
            pick(dice, &["DescribeStreamSummary", "DescribeKey"])
        }
        _ => operation,
    };
    let busy = matches!(wrong, Wrong::Error(code, _) if code.contains("Throttl") || code.starts_with("LimitExceeded") || code == "ResourceInUseException");
    // A storm is what an account sees whose other applications are busy, and a stream that somebody
    // keeps changing.
    let count = if chance(dice, if busy { 50 } else { 12 }) { None } else { Some(pick(dice, &[1, 1, 2, 4, 9])) };
    Fault { operation, wrong, first: dice.u64(1..=6), count }
}

/// How AWS refuses the calls of a session that ended early.
pub(crate) const ENDED: [(&str, &str); 4] = [
    ("ExpiredTokenException", "The security token included in the request is expired"),
    ("InvalidClientTokenId", "The security token included in the request is invalid."),
    ("UnrecognizedClientException", "The security token included in the request is invalid."),
    (
        "AccessDeniedException",
        "User: x is not authorized to perform: y with an explicit deny in an identity-based policy",
    ),
];

fn deed_in_member(dice: &mut Rng, streams: usize) -> Deed {
    if chance(dice, 60) {
        Deed::EndSessions(dice.usize(0..ENDED.len()))
    } else {
        Deed::StopOfMember(dice.usize(0..streams))
    }
}

fn deed(dice: &mut Rng, streams: usize, of_member: usize) -> Deed {
    if of_member > 0 && chance(dice, 15) {
        return deed_in_member(dice, of_member);
    }
    let stream = dice.usize(0..streams);
    let key = pick(dice, &[Key::Ours, Key::Ours, Key::Other, Key::OfRule]);
    match dice.u32(0..25) {
        0..=2 => Deed::Stop(stream),
        3 => Deed::Start(stream, pick(dice, &[Key::Other, Key::Ours, Key::Managed])),
        4 => Deed::StartByAlias(stream),
        5 => Deed::Delete(stream),
        6 | 7 => Deed::DeleteAndCreate(stream),
        8 => Deed::Reshard(stream),
        9 => Deed::Tag(stream, pick(dice, &TAGS)),
        10 => Deed::Untag(stream),
        11 => Deed::DisableKey(key),
        12 => Deed::EnableKey(key),
        13 => Deed::ScheduleDeletion(key),
        14 | 15 => Deed::PointAlias(pick(dice, &[Key::Other, Key::Ours])),
        16 => Deed::DeleteAlias,
        17 => Deed::Rotate(Key::Ours),
        18 => Deed::Terraform { name: format!("tf-{}", dice.u32(0..100)), encrypts: dice.bool() },
        19 => Deed::TerraformStop(stream),
        20 => Deed::SecondEnforcer,
        21 | 22 => Deed::Flood { stream, in_our_name: chance(dice, 30) },
        23 => Deed::KeepResharding(stream),
        _ => Deed::CopyMessage,
    }
}

/// What may wake the function besides what others do: files of `events/`, and what
/// [`super::triggers`] makes.
pub(crate) const TRIGGERS: [&str; 36] = [
    "scheduled",
    "scheduled-by-rule",
    "stream-created",
    "stream-created-by-cloudformation",
    "encryption-stopped",
    "encryption-stopped-by-arn",
    "encryption-changed",
    "encryption-changed-by-enforcer",
    "encryption-stop-denied",
    "tags-added",
    "compliance-changed",
    "configuration-item-changed",
    "security-finding",
    "security-finding-v2",
    "key-rotated",
    "key-disabled",
    "key-enabled",
    "alias-repointed",
    "manual",
    "manual by ARN",
    "manual streams",
    "manual sweep",
    "manual dry run",
    "manual reapply",
    "manual without a letter",
    "manual of a member",
    "manual by the hundred",
    "nested requests",
    "forged reapply",
    "foreign stream",
    "strangers in a finding",
    "notification",
    "unknown",
    "no JSON",
    "wrapped batch",
    "letter fed back",
];

fn trigger(dice: &mut Rng, streams: usize, queue: bool) -> Trigger {
    let what = if chance(dice, 15) { "scheduled" } else { pick(dice, &TRIGGERS) };
    let by_person = what.starts_with("manual");
    // What a message asks for by the hundred, or falsely, is what there is a queue in front of.
    let by_message = what == "forged reapply" || what == "manual by the hundred" && dice.bool();
    Trigger {
        what,
        streams: [dice.usize(0..streams), dice.usize(0..streams)],
        by_queue: queue && (by_message || !by_person && chance(dice, 25)),
        copies: if by_person { 1 } else { pick(dice, &[1, 1, 1, 2, 3]) },
    }
}
