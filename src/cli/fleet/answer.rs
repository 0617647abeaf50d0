//! What is known of a stream's users, and whether each may use the key that the stream is to have.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Value, json};

use crate::access::{Action, Evidence, Principal, Verdict};
use crate::aws::users::NotRead;
use crate::cli::paint::{RED, YELLOW, counted};
use crate::cli::visible::visible;
use crate::domain::outcome::Status;
use crate::domain::stream::StreamArn;

/// A principal that is longer than this is shown without its path.
const WIDEST: usize = 44;

/// The answers as summaries word them, which have a colour each on the page. Those who lose access
/// come first.
pub(super) const ANSWERS: [&str; 4] = [NO, UNKNOWN, GONE, YES];
const NO: &str = "without access";
const UNKNOWN: &str = "unknown";
const GONE: &str = "gone";
const YES: &str = "with access";

/// The number of each answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Counts {
    pub(super) no: usize,
    pub(super) unknown: usize,
    pub(super) gone: usize,
    pub(super) yes: usize,
}

impl Counts {
    pub(super) fn of<'a>(users: impl IntoIterator<Item = &'a UserAccess>) -> Self {
        let mut counts = Self::default();
        for user in users {
            *match user.verdict {
                Verdict::No(_) => &mut counts.no,
                Verdict::Unknown(_) => &mut counts.unknown,
                Verdict::Gone => &mut counts.gone,
                Verdict::Yes => &mut counts.yes,
            } += 1;
        }
        counts
    }

    pub(super) fn total(self) -> usize {
        let Self { no, unknown, gone, yes } = self;
        no + unknown + gone + yes
    }

    /// The answers that were given, with their numbers.
    pub(super) fn parts(self) -> Vec<(String, usize)> {
        let Self { no, unknown, gone, yes } = self;
        let parts = ANSWERS.into_iter().zip([no, unknown, gone, yes]).filter(|(_, count)| *count > 0);
        parts.map(|(answer, count)| (answer.to_owned(), count)).collect()
    }

    pub(super) fn in_words(self) -> String {
        let parts = self.parts().into_iter().map(|(answer, count)| format!("{count} {answer}"));
        parts.collect::<Vec<_>>().join(", ")
    }
}

/// The answer as summaries word it.
pub(super) fn label(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::No(_) => NO,
        Verdict::Unknown(_) => UNKNOWN,
        Verdict::Gone => GONE,
        Verdict::Yes => YES,
    }
}

/// One stream, and who uses it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StreamAccess {
    /// The stream's name.
    pub(super) stream: String,
    pub(super) arn: Option<StreamArn>,
    pub(super) account: Option<String>,
    pub(super) region: String,
    /// What a plan decides for the stream.
    #[serde(rename = "decision")]
    pub(super) status: Status,
    /// Why.
    pub(super) reason: String,
    /// The key that the stream uses; `None` if it is not encrypted.
    #[serde(rename = "presentKey")]
    pub(super) current_key: Option<String>,
    /// The key that the stream is to have; `None` if it is exempt, or if that is not known.
    #[serde(rename = "wantedKey")]
    pub(super) key: Option<String>,
    /// Its known users; none where no key is to be asked about.
    pub(super) users: Vec<UserAccess>,
    /// The sources that could not be read, and might name further users.
    #[serde(skip)]
    pub(super) unread: BTreeSet<NotRead>,
}

/// A user of a stream, and whether it may use the key.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UserAccess {
    /// The principal, as an ARN where it has one.
    #[serde(serialize_with = "as_text")]
    pub(super) principal: Principal,
    pub(super) action: Action,
    #[serde(flatten)]
    pub(super) verdict: Verdict,
    /// How it is known that the principal uses the stream.
    pub(super) known_by: Vec<Evidence>,
}

fn as_text<S: serde::Serializer>(principal: &Principal, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(principal)
}

impl StreamAccess {
    /// Why it is not certain that every user may use the key; `None` if a user is known, every one
    /// that still exists may, and every source was read to its end, but for the event history: that
    /// of a busy key is always longer.
    pub(super) fn uncertainty(&self) -> Option<String> {
        let Counts { no, unknown, gone, yes } = Counts::of(&self.users);
        let mut parts = Vec::new();
        if no > 0 {
            parts.push(format!("{} may not use the key", counted(no, "user")));
        }
        if unknown > 0 {
            parts.push(format!("the answer for {} is unknown", counted(unknown, "user")));
        }
        if no + unknown + yes == 0 {
            parts.push(if gone == 0 { "no user is known" } else { "every known user is gone" }.to_owned());
        }
        if let Some(first) = self.unread.first() {
            let more = match self.unread.len() {
                1 => String::new(),
                several => format!(" and {} more", several - 1),
            };
            parts.push(format!("not read: {first}{more}"));
        }
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    /// Whether a known user may not use the key.
    pub(super) fn has_users_without_access(&self) -> bool {
        self.lost().next().is_some()
    }

    /// The principals that may not use the key.
    pub(super) fn without_access(&self) -> Vec<String> {
        self.lost().map(|line| line.user.principal.to_string()).collect()
    }

    /// Whether a key is to be asked about, and nobody is known to use the stream.
    pub(super) fn has_no_known_user(&self) -> bool {
        self.key.is_some() && self.users.is_empty()
    }

    /// Whether the stream is to get another key.
    pub(super) fn is_to_change(&self) -> bool {
        !self.status.is_encrypted_as_configured()
    }

    /// The users who lose access when the stream gets its key, in words.
    pub(super) fn losses(&self) -> impl Iterator<Item = String> {
        let stream = visible(&self.stream);
        self.lost().map(move |line| format!("{} as a {} of {stream}", line.principal(), line.uses()))
    }

    /// The same as JSON.
    pub(super) fn losses_as_json(&self) -> impl Iterator<Item = Value> {
        self.lost().map(|Line { stream, user }| {
            let (principal, action) = (user.principal.to_string(), user.action);
            json!({"stream": stream.stream, "region": stream.region, "principal": principal, "action": action})
        })
    }

    fn lost(&self) -> impl Iterator<Item = Line<'_>> {
        lines_of(self).filter(|line| matches!(line.user.verdict, Verdict::No(_)))
    }

    /// The lines of a plan about the stream's users: those who lose access, and how many answers are
    /// not known.
    pub(super) fn lines(&self) -> Vec<String> {
        let lost = self.lost().map(|line| {
            let (answer, uses) = (line.answer(), line.uses());
            format!("{RED}{answer}:{RED:#} {} as a {uses}: {}", line.principal(), visible(&line.reason()))
        });
        let unknown = Counts::of(&self.users).unknown;
        let unknown = (unknown > 0).then(|| {
            format!(
                "{YELLOW}access unknown:{YELLOW:#} {}, see enforcer access {}",
                counted(unknown, "user"),
                self.stream
            )
        });
        lost.chain(unknown).collect()
    }
}

/// One user of a stream, as a table shows it.
pub(super) struct Line<'a> {
    pub(super) stream: &'a StreamAccess,
    pub(super) user: &'a UserAccess,
}

impl Line<'_> {
    /// Where the line stands: those who would lose access first.
    pub(super) fn rank(&self) -> u8 {
        match self.user.verdict {
            Verdict::No(_) => 0,
            Verdict::Unknown(_) => 1,
            Verdict::Gone => 2,
            Verdict::Yes => 3,
        }
    }

    pub(super) fn answer(&self) -> &'static str {
        match self.user.verdict {
            Verdict::No(_) if self.stream.is_to_change() => "loses access",
            Verdict::No(_) => "has no access",
            Verdict::Unknown(_) => "unknown",
            Verdict::Gone => "gone",
            Verdict::Yes => "yes",
        }
    }

    pub(super) fn reason(&self) -> String {
        match &self.user.verdict {
            Verdict::No(reason) => reason.to_string(),
            Verdict::Unknown(why) => why.clone(),
            Verdict::Gone => "the principal no longer exists".to_owned(),
            Verdict::Yes => String::new(),
        }
    }

    pub(super) fn uses(&self) -> &'static str {
        match self.user.action {
            Action::GenerateDataKey => "producer",
            Action::Decrypt => "consumer",
        }
    }

    pub(super) fn known_by(&self) -> String {
        self.user.known_by.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    /// The principal in few characters: without what it shares with the stream.
    pub(super) fn principal(&self) -> String {
        let text = visible(&self.user.principal);
        let (Principal::Role { account, .. } | Principal::User { account, .. }) = &self.user.principal else {
            return text;
        };
        if Some(account.as_str()) != self.stream.account.as_deref() {
            return text;
        }
        match (text.split_once(&format!("::{account}:")), &self.user.principal) {
            // A service-linked role has a long path.
            (Some((_, shown)), Principal::Role { name, .. }) if shown.chars().count() > WIDEST => {
                format!("role/…/{name}")
            }
            (Some((_, shown)), _) => shown.to_owned(),
            (None, _) => text,
        }
    }
}

/// The lines about one stream.
pub(super) fn lines_of(stream: &StreamAccess) -> impl Iterator<Item = Line<'_>> {
    stream.users.iter().map(move |user| Line { stream, user })
}
