//! What becomes of failed KMS calls that Kinesis made for its callers: who is reported, and whether
//! sweeps are halted. Pure.
//!
//! One broken producer makes thousands of such calls a second, so they are [grouped](Heard) in
//! bounded memory, and each group is reported once an hour. What was reported, and until when sweeps
//! are halted, is one small [state](AccessState), which every execution environment shares.

use std::hash::{DefaultHasher, Hash, Hasher};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::domain::denial::{Denial, Trouble};
use crate::domain::encryption_change::{Author, Change, ChangeKind};
use crate::domain::stream::StreamArn;
use crate::domain::text::{ascii_json, shorten};

/// The most groups of one batch that are kept apart. The calls of others are only counted.
pub const MOST_GROUPS: usize = 200;

/// The most groups that are reported in one hour: as many as the state has room for.
pub const MOST_REPORTED: usize = 200;

/// The most bytes of the state: a [standard parameter][limits] of Parameter Store has at most these.
///
/// [limits]: https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html
pub const LARGEST_STATE: usize = 4096;

/// Whom failed calls are about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The principal that is cut off; `None` where the key is unusable for all.
    pub principal: Option<String>,
    /// The key's ARN, as far as it is known.
    pub key: Option<String>,
    /// The stream's ARN, as far as it is known; `None` where the key is unusable for all.
    pub stream: Option<String>,
    /// Why the calls fail.
    pub trouble: Trouble,
}

/// The failed calls of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calls {
    /// The actions, such as `kms:Decrypt`.
    pub actions: Vec<String>,
    /// The error code of the latest call.
    pub code: String,
    /// What AWS says about it.
    pub message: String,
    /// How many calls.
    pub count: u64,
    /// The first of them.
    pub first: DateTime<Utc>,
    /// The latest.
    pub last: DateTime<Utc>,
}

/// The failed calls of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Groups: at most [`MOST_GROUPS`].
    pub groups: Vec<(Subject, Calls)>,
    /// All failed calls.
    pub calls: u64,
    /// Calls of principals for which there was no group left.
    pub beyond: u64,
    /// Calls that KMS throttled or failed itself: nobody is cut off.
    pub of_service: u64,
}

impl Heard {
    /// Adds a call; `now` stands for a time that the record does not have.
    pub fn add(&mut self, denial: Denial, now: DateTime<Utc>) {
        let Denial { principal, action, key, stream, trouble, code, message, at } = denial;
        self.calls += 1;
        let at = at.unwrap_or(now);
        let subject = match trouble {
            Trouble::Denied => {
                let stream = stream.map(|stream| stream.to_string());
                Subject { principal: Some(principal), key, stream, trouble }
            }
            // It is so for every caller and stream.
            Trouble::KeyUnusable => Subject { principal: None, key, stream: None, trouble },
            Trouble::Service => {
                self.of_service += 1;
                return;
            }
        };
        let has_room = self.groups.len() < MOST_GROUPS;
        match self.groups.iter_mut().find(|(known, _)| *known == subject) {
            Some((_, calls)) => {
                calls.count += 1;
                calls.first = calls.first.min(at);
                // There are two.
                if !calls.actions.contains(&action) {
                    let place = usize::from(calls.actions.first() < Some(&action));
                    calls.actions.insert(place, action);
                }
                if at >= calls.last {
                    (calls.last, calls.code, calls.message) = (at, code, message);
                }
            }
            None if has_room => {
                let calls = Calls { actions: vec![action], code, message, count: 1, first: at, last: at };
                self.groups.push((subject, calls));
            }
            None => self.beyond += 1,
        }
    }
}

/// An application of a key by the function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    /// The stream's name.
    pub stream: String,
    /// When.
    pub at: DateTime<Utc>,
}

impl Subject {
    /// The latest application by the function that may be what cuts the principal off: of that key to
    /// that stream or, where the stream is not known, to any stream.
    #[must_use]
    pub fn applied(&self, calls: &Calls, changes: &[Change], own_role: Option<&str>) -> Option<Application> {
        let key = self.key.as_deref()?;
        let stream = self.stream.as_deref().and_then(|stream| stream.parse::<StreamArn>().ok());
        let ours = changes.iter().filter(|change| {
            matches!(&change.kind, ChangeKind::Started { key_id } if key_id == key)
                && change.at <= calls.last
                && stream.as_ref().is_none_or(|stream| stream.name() == change.stream)
                && change.author(own_role, Some(key)) == Author::Ours
        });
        let latest = ours.max_by_key(|change| change.at)?;
        Some(Application { stream: latest.stream.clone(), at: latest.at })
    }

    /// What stands for the group in the state. It need not be the same in two versions of the
    /// program: then a group is reported twice in that hour.
    fn mark(&self, is_ours: bool) -> String {
        let mut hasher = DefaultHasher::new();
        (self, is_ours).hash(&mut hasher);
        format!("{:0MARK$x}", hasher.finish() >> 16)
    }
}

/// The length of a mark, in hexadecimal digits.
const MARK: usize = 12;

/// For how long sweeps are halted after a denied call. The function changed the stream in the same
/// time before the call that halts them.
pub const HALT: TimeDelta = TimeDelta::hours(1);

/// For how long sweeps are halted at most in [`HALT_WINDOW`]. Anybody can cause denied calls, and
/// must not keep streams unencrypted by that.
pub const LONGEST_HALT: TimeDelta = TimeDelta::hours(4);

/// The rolling window of [`LONGEST_HALT`].
pub const HALT_WINDOW: TimeDelta = TimeDelta::hours(24);

/// By how much a halt is prolonged at least, and how long it is at least: the state is not written
/// for less.
const STEP: TimeDelta = TimeDelta::minutes(1);

/// The most halts that the state has room for. More than these are joined, the oldest first.
const MOST_HALTS: usize = 12;

/// The most groups that prolong a halt.
const MOST_CAUSES: usize = 20;

/// The most characters of a name in the state.
const LONGEST_NAME: usize = 250;

/// Whether sweeps may change streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Halt {
    /// They may.
    None,
    /// They may not.
    On {
        /// Since when.
        since: DateTime<Utc>,
        /// Until when, unless more calls are denied.
        until: DateTime<Utc>,
        /// Who is cut off from what.
        because: String,
    },
    /// They may, although a principal is cut off: they were halted for [`LONGEST_HALT`].
    UsedUp {
        /// Who is cut off from what.
        because: String,
    },
}

/// Why sweeps are halted. Times are in seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Cause {
    principal: String,
    stream: Option<String>,
    /// The latest denied call.
    last: i64,
    /// The marks of the groups that prolong the halt.
    marks: String,
}

/// What every execution environment knows of failed calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessState {
    /// When sweeps are or were halted, in seconds since 1970: from and until, oldest first, none
    /// overlapping.
    halts: Vec<(i64, i64)>,
    /// The cause of the latest halt.
    cause: Option<Cause>,
    /// When a person ended a halt, in seconds since 1970.
    resumed: i64,
    /// The hour of `reported`, counted from 1970.
    hour: i64,
    /// The marks of the groups that were reported in that hour.
    reported: String,
}

fn hour(now: DateTime<Utc>) -> i64 {
    now.timestamp().div_euclid(3600)
}

impl AccessState {
    /// Reads the state as it is stored. What is missing is as at first.
    pub fn parse(text: &str) -> Result<Self, String> {
        let stored: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if !stored.is_object() {
            return Err("it is not an object".to_owned());
        }
        let number = |value: &Value| value.as_i64().unwrap_or_default();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let halts = stored["halts"].as_array().into_iter().flatten();
        let cause = stored.get("cause").map(|cause| Cause {
            principal: text(&cause["principal"]).unwrap_or_default(),
            stream: text(&cause["stream"]),
            last: number(&cause["last"]),
            marks: text(&cause["marks"]).unwrap_or_default(),
        });
        Ok(Self {
            halts: halts.map(|halt| (number(&halt[0]), number(&halt[1]))).collect(),
            cause,
            resumed: number(&stored["resumed"]),
            hour: number(&stored["hour"]),
            reported: text(&stored["reported"]).unwrap_or_default(),
        })
    }

    /// The state as it is stored: ASCII, at most [`LARGEST_STATE`] bytes.
    #[must_use]
    pub fn to_text(&self) -> String {
        let Self { halts, cause, resumed, hour, reported } = self;
        let halts: Vec<Value> = halts.iter().map(|(since, until)| json!([since, until])).collect();
        let mut stored = json!({"halts": halts, "resumed": resumed, "hour": hour, "reported": reported});
        if let Some(Cause { principal, stream, last, marks }) = cause {
            stored["cause"] = json!({"principal": principal, "stream": stream, "last": last, "marks": marks});
        }
        ascii_json(&stored)
    }

    /// Whether the group was reported in this hour; with `is_ours`, whether it was reported as ours.
    #[must_use]
    pub fn is_reported(&self, subject: &Subject, is_ours: bool, now: DateTime<Utc>) -> bool {
        let mark = subject.mark(is_ours);
        self.hour == hour(now) && self.marks().any(|reported| reported == mark)
    }

    /// Notes that the group is reported; `false` if it may not be: it was reported in this hour, or
    /// too many others were.
    pub fn report(&mut self, subject: &Subject, is_ours: bool, now: DateTime<Utc>) -> bool {
        if self.hour != hour(now) {
            (self.hour, self.reported) = (hour(now), String::new());
        }
        if self.is_reported(subject, is_ours, now) || self.marks().count() >= MOST_REPORTED {
            return false;
        }
        self.reported.push_str(&subject.mark(is_ours));
        true
    }

    /// Whether sweeps are halted at `now`.
    #[must_use]
    pub fn halt(&self, now: DateTime<Utc>) -> Halt {
        let seconds = now.timestamp();
        let because = |cause: &Cause| {
            let Cause { principal, stream, last, .. } = cause;
            let stream = stream.as_deref().unwrap_or("a stream that the record does not name");
            let last = DateTime::from_timestamp(*last, 0).unwrap_or(now);
            format!("{principal} cannot use {stream} since the key was applied, and was last denied at {}", time(last))
        };
        let Some(cause) = &self.cause else { return Halt::None };
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap_or(now);
        match self.halts.last() {
            Some((since, until)) if (*since..*until).contains(&seconds) => {
                Halt::On { since: at(*since), until: at(*until), because: because(cause) }
            }
            _ if cause.last + HALT.num_seconds() > seconds && self.budget(seconds) < STEP.num_seconds() => {
                Halt::UsedUp { because: because(cause) }
            }
            _ => Halt::None,
        }
    }

    /// Notes a denied call of a group that the function itself cut off: it halts sweeps, or prolongs
    /// the halt. Returns whether that changed anything worth storing.
    ///
    /// A key that was applied more than [`HALT`] before the call, or before a person ended the halt,
    /// only prolongs it.
    pub fn deny(
        &mut self,
        subject: &Subject,
        last: DateTime<Utc>,
        applied: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> bool {
        let Subject { principal: Some(principal), stream, .. } = subject else { return false };
        // Whatever the record says, nothing was denied in the future.
        let last = last.min(now);
        let (mark, seconds) = (subject.mark(true), now.timestamp());
        let is_known = self.cause.as_ref().is_some_and(|cause| marks(&cause.marks).any(|known| known == mark));
        let begins = applied.is_some_and(|at| at >= last - HALT && at.timestamp() > self.resumed);
        let prolongs = is_known && matches!(self.halt(now), Halt::On { .. });
        if !begins && !prolongs {
            return false;
        }
        let wanted = (last + HALT).timestamp();
        let step = STEP.num_seconds();
        let cause = self.cause.get_or_insert_default();
        let was_last = cause.last;
        if !is_known {
            if marks(&cause.marks).count() >= MOST_CAUSES {
                cause.marks.drain(..MARK);
            }
            cause.marks.push_str(&mark);
        }
        if last.timestamp() >= cause.last {
            cause.principal = stored_name(principal);
            cause.stream = stream.as_deref().map(stored_name);
            cause.last = last.timestamp();
        }
        let is_worth_it = !is_known || last.timestamp() >= was_last + step;
        // What is left of the four hours counts from now on.
        let until = wanted.min(seconds + self.budget(seconds));
        match self.halts.last_mut() {
            Some((_, current)) if *current > seconds => *current = until.max(*current),
            _ if until >= seconds + step => self.halts.push((seconds, until)),
            _ => {}
        }
        self.tidy(seconds);
        is_worth_it
    }

    /// Ends the halt; returns since when sweeps were halted.
    pub fn resume(&mut self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let Halt::On { since, .. } = self.halt(now) else { return None };
        self.resumed = now.timestamp();
        self.tidy(now.timestamp());
        Some(since)
    }

    /// For how many seconds sweeps may be halted from `now` on.
    fn budget(&self, now: i64) -> i64 {
        let start = now - HALT_WINDOW.num_seconds();
        let used: i64 = self.halts.iter().map(|(since, until)| (now.min(*until) - start.max(*since)).max(0)).sum();
        LONGEST_HALT.num_seconds() - used
    }

    /// Brings the halts in order: what a person ended has ended, what overlaps is one, and what is
    /// too old is forgotten.
    fn tidy(&mut self, now: i64) {
        let start = now - HALT_WINDOW.num_seconds();
        for (since, until) in &mut self.halts {
            if *since <= self.resumed {
                *until = self.resumed.min(*until);
            }
        }
        if let Some(cause) = self.cause.as_mut().filter(|cause| cause.last <= self.resumed) {
            cause.marks.clear();
        }
        let mut tidy: Vec<(i64, i64)> = Vec::new();
        for halt in self.halts.drain(..).filter(|(since, until)| until > since && *until > start) {
            tidy.insert(tidy.partition_point(|other| *other < halt), halt);
        }
        let mut next = 1;
        while next < tidy.len() {
            if tidy[next].0 <= tidy[next - 1].1 {
                let (_, until) = tidy.remove(next);
                tidy[next - 1].1 = until.max(tidy[next - 1].1);
            } else {
                next += 1;
            }
        }
        while tidy.len() > MOST_HALTS {
            let (_, until) = tidy.remove(1);
            tidy[0].1 = until;
        }
        self.halts = tidy;
    }

    /// Adds what another environment wrote at the same time.
    pub fn join(&mut self, other: &Self) {
        self.resumed = self.resumed.max(other.resumed);
        self.halts.extend(&other.halts);
        match (&mut self.cause, &other.cause) {
            (Some(own), Some(theirs)) => {
                for mark in marks(&theirs.marks) {
                    if !marks(&own.marks).any(|known| known == mark) && marks(&own.marks).count() < MOST_CAUSES {
                        own.marks.push_str(mark);
                    }
                }
                own.last = own.last.max(theirs.last);
            }
            (own @ None, Some(theirs)) => *own = Some(theirs.clone()),
            (_, None) => {}
        }
        // Nothing that the other kept is too old.
        self.tidy(i64::MIN / 2);
        if other.hour > self.hour {
            (self.hour, self.reported) = (other.hour, String::new());
        }
        if other.hour == self.hour {
            for mark in other.marks() {
                if !self.marks().any(|own| own == mark) && self.marks().count() < MOST_REPORTED {
                    self.reported.push_str(mark);
                }
            }
        }
    }

    fn marks(&self) -> impl Iterator<Item = &str> {
        marks(&self.reported)
    }
}

/// A name as the state has it: what is not ASCII would take six times as much room.
fn stored_name(name: &str) -> String {
    shorten(&name.replace(|char: char| !char.is_ascii_graphic(), "?"), LONGEST_NAME)
}

/// The marks in a text.
fn marks(text: &str) -> impl Iterator<Item = &str> {
    (0..text.len()).step_by(MARK).filter_map(|start| text.get(start..start + MARK))
}

impl Subject {
    /// The group in a message, with its calls.
    #[must_use]
    pub fn to_message(&self, calls: &Calls) -> Value {
        let Self { principal, key, stream, .. } = self;
        let Calls { actions, code, message, count, first, last } = calls;
        json!({
            "principal": principal, "key": key, "stream": stream, "actions": actions, "code": code,
            "message": message, "count": count, "first": first.timestamp(), "last": last.timestamp(),
        })
    }

    /// Reads such a message, which is sent only of calls that were denied.
    #[must_use]
    pub fn from_message(group: &Value) -> Option<(Self, Calls)> {
        let text = |name: &str| group.get(name).and_then(Value::as_str).map(str::to_owned);
        let at = |name: &str| DateTime::from_timestamp(group.get(name)?.as_i64()?, 0);
        let actions = group.get("actions")?.as_array()?.iter().filter_map(Value::as_str);
        let calls = Calls {
            actions: actions.map(str::to_owned).collect(),
            code: text("code")?,
            message: text("message")?,
            count: group.get("count")?.as_u64()?,
            first: at("first")?,
            last: at("last")?,
        };
        let (principal, key, stream) = (text("principal"), text("key"), text("stream"));
        Some((Self { principal, key, stream, trouble: Trouble::Denied }, calls))
    }
}

/// What is reported about a group, in one sentence.
#[must_use]
pub fn sentence(subject: &Subject, calls: &Calls, applied: Option<&Application>) -> String {
    let Subject { principal, key, stream, trouble } = subject;
    let Calls { actions, code, message, count, first, last } = calls;
    let key = key.as_deref().unwrap_or("a key that the record does not name");
    let actions = actions.join(" and ");
    let times = if *count == 1 { "once".to_owned() } else { format!("{count} times") };
    let (first, last) = (time(*first), time(*last));
    let span = if first == last { format!("{times}, at {last}") } else { format!("{times}, from {first} to {last}") };
    let mut unnamed = "";
    let what = match (trouble, principal, stream) {
        (Trouble::KeyUnusable, ..) | (_, None, _) => {
            format!("{key} cannot be used: {actions} fails with {code} for callers of Kinesis, {span}")
        }
        (_, Some(principal), Some(stream)) => {
            format!("{principal} cannot use {stream}: {actions} on {key} was denied {span}")
        }
        (_, Some(principal), None) => {
            unnamed = "; CloudTrail's record does not name the stream";
            format!("{principal} was denied {actions} on {key} {span}")
        }
    };
    let applied = applied.map_or_else(String::new, |Application { stream, at }| {
        format!(", since the key was applied to {stream} at {}", time(*at))
    });
    // The sentence before says the rest of AWS's.
    let because = message.split_once(" because ").map_or("", |(_, because)| because);
    let because = if because.is_empty() { String::new() } else { format!(": {}", shorten(because, 300)) };
    format!("{what}{applied}{because}{unnamed}")
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// How long the event history may lag behind. A group that is not known to be ours is looked at
/// again after this.
pub const HISTORY_LAG: TimeDelta = TimeDelta::minutes(15);

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-11-24T12:00:00Z".parse().expect("a time")
    }

    fn at(minutes: i64) -> DateTime<Utc> {
        now() + TimeDelta::minutes(minutes)
    }

    fn subject(principal: &str) -> Subject {
        let stream = Some("arn:aws:kinesis:us-east-1:111122223333:stream/orders".to_owned());
        let key = Some("arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab".to_owned());
        Subject { principal: Some(principal.to_owned()), key, stream, trouble: Trouble::Denied }
    }

    fn is_on(state: &AccessState, minutes: i64) -> bool {
        matches!(state.halt(at(minutes)), Halt::On { .. })
    }

    /// A denied call at `minutes`, of a key that was applied at `applied`.
    fn deny(state: &mut AccessState, minutes: i64, applied: i64) -> bool {
        state.deny(&subject("billing"), at(minutes), Some(at(applied)), at(minutes))
    }

    #[test]
    fn a_halt_begins_with_a_key_that_was_applied_in_the_last_hour_and_ends_an_hour_after_the_last_call() {
        let mut state = AccessState::default();
        assert_eq!(state.halt(now()), Halt::None);
        assert!(!deny(&mut state, 0, -61) && !is_on(&state, 0), "too old");
        assert!(deny(&mut state, 0, -10));
        assert!(is_on(&state, 0) && is_on(&state, 59) && !is_on(&state, 60));
        assert!(state.deny(&subject("billing"), at(30), None, at(30)), "known");
        assert!(!state.deny(&subject("reports"), at(50), None, at(50)), "not known, and not ours");
        assert!(is_on(&state, 89) && !is_on(&state, 90));
        assert!(!state.deny(&subject("billing"), at(95), None, at(95)), "it has ended");
    }

    #[test]
    fn a_storm_writes_the_state_once_a_minute() {
        let mut stored = AccessState::default();
        let writes = (0..300).filter(|second| {
            let at = now() + TimeDelta::seconds(*second);
            let mut state = stored.clone();
            let is_worth_it = state.deny(&subject("billing"), at, Some(now()), at);
            if is_worth_it {
                stored = state;
            }
            is_worth_it
        });
        assert_eq!(writes.count(), 5);
    }

    #[test]
    fn sweeps_are_halted_for_four_hours_in_any_twenty_four_whatever_is_denied() {
        let mut state = AccessState::default();
        let mut halted = Vec::new();
        for minute in 0..3 * 24 * 60 {
            deny(&mut state, minute, minute - 1);
            halted.push(is_on(&state, minute));
            assert!(state.to_text().len() < LARGEST_STATE);
        }
        for day in halted.windows(24 * 60) {
            let minutes = day.iter().filter(|on| **on).count();
            assert!(minutes <= 4 * 60 + 1, "{minutes}");
        }
        assert!(halted[..240].iter().all(|on| *on) && !halted[241]);
        let mut fresh = AccessState::default();
        (0..=241).for_each(|minute| {
            deny(&mut fresh, minute, minute - 1);
        });
        assert!(matches!(fresh.halt(at(241)), Halt::UsedUp { .. }), "{fresh:?}");
    }

    #[test]
    fn a_person_ends_a_halt_and_what_was_applied_before_begins_no_other() {
        let mut state = AccessState::default();
        assert_eq!(state.resume(now()), None);
        deny(&mut state, 0, -10);
        assert_eq!(state.resume(at(20)), Some(now()));
        assert!(!is_on(&state, 20));
        assert!(!deny(&mut state, 21, -10) && !is_on(&state, 21), "the person knows of it");
        assert!(deny(&mut state, 22, 21) && is_on(&state, 22), "a new change");
    }

    #[test]
    fn two_states_are_joined_and_a_halt_that_was_ended_stays_so() {
        let mut halted = AccessState::default();
        deny(&mut halted, 0, -10);
        let mut resumed = halted.clone();
        resumed.resume(at(10));
        halted.deny(&subject("billing"), at(11), None, at(11));
        halted.join(&resumed);
        assert!(!is_on(&halted, 12), "{halted:?}");
        let (mut one, mut other) = (AccessState::default(), AccessState::default());
        assert!(one.report(&subject("billing"), false, now()) && other.report(&subject("reports"), false, now()));
        deny(&mut other, 0, -10);
        one.join(&other);
        assert!(
            one.is_reported(&subject("billing"), false, now()) && one.is_reported(&subject("reports"), false, now())
        );
        assert!(is_on(&one, 30));
    }

    #[test]
    fn the_fullest_state_fits_into_a_parameter_and_is_read_again() {
        let mut state = AccessState::default();
        let long = |index: usize| subject(&format!("arn:aws:iam::111122223333:role/{}{index}", "ü".repeat(600)));
        for index in 0..MOST_REPORTED + 5 {
            assert_eq!(state.report(&long(index), index % 2 == 0, now()), index < MOST_REPORTED);
        }
        for index in 0..60 {
            let minutes = i64::try_from(index).expect("few") * 20;
            state.deny(&long(index), at(minutes), Some(at(minutes)), at(minutes));
            state.resume(at(minutes + 2));
        }
        state.deny(&long(1), at(1200), Some(at(1200)), at(1200));
        let text = state.to_text();
        assert!((3_000..LARGEST_STATE).contains(&text.len()), "{} {text}", text.len());
        assert_eq!(AccessState::parse(&text), Ok(state));
        assert_eq!(AccessState::parse("{}"), Ok(AccessState::default()));
    }

    #[test]
    fn a_sentence_says_who_was_denied_what_how_often_and_when() {
        let (named, message) = (subject("billing"), "billing is not authorized because nothing allows it".to_owned());
        let once = Calls {
            actions: vec!["kms:Decrypt".to_owned()],
            code: "AccessDenied".to_owned(),
            message,
            count: 1,
            first: at(0),
            last: at(0),
        };
        let often = Calls { count: 12, last: at(5), ..once.clone() };
        let applied = Application { stream: "orders".to_owned(), at: at(-1) };
        let key = named.key.clone().expect("a key");
        assert_eq!(
            sentence(&Subject { stream: None, ..named.clone() }, &once, Some(&applied)),
            format!(
                "billing was denied kms:Decrypt on {key} once, at 2026-11-24T12:00:00Z, since the key was applied to \
                 orders at 2026-11-24T11:59:00Z: nothing allows it; CloudTrail's record does not name the stream"
            )
        );
        let stream = named.stream.clone().expect("a stream");
        assert_eq!(
            sentence(&named, &often, None),
            format!(
                "billing cannot use {stream}: kms:Decrypt on {key} was denied 12 times, from 2026-11-24T12:00:00Z to \
                 2026-11-24T12:05:00Z: nothing allows it"
            )
        );
    }

    #[test]
    fn calls_are_grouped_by_principal_key_stream_and_kind_and_the_groups_are_bounded() {
        let denial = |principal: &str, action: &str, trouble, minutes| Denial {
            principal: principal.to_owned(),
            action: action.to_owned(),
            key: None,
            stream: None,
            trouble,
            code: "AccessDenied".to_owned(),
            message: String::new(),
            at: Some(at(minutes)),
        };
        let mut heard = Heard::default();
        for (action, minutes) in [("kms:Decrypt", 5), ("kms:GenerateDataKey", 3), ("kms:Decrypt", 9)] {
            heard.add(denial("billing", action, Trouble::Denied, minutes), now());
        }
        heard.add(denial("billing", "kms:Decrypt", Trouble::Service, 0), now());
        let [calls] = &heard.groups.iter().map(|(_, calls)| calls).collect::<Vec<_>>()[..] else {
            unreachable!("{heard:?}")
        };
        assert_eq!((calls.count, calls.first, calls.last), (3, at(3), at(9)));
        assert_eq!(calls.actions, ["kms:Decrypt", "kms:GenerateDataKey"]);
        assert_eq!((heard.calls, heard.of_service), (4, 1));
        for index in 0..1_000 {
            heard.add(denial(&index.to_string(), "kms:Decrypt", Trouble::Denied, 0), now());
            heard.add(denial(&index.to_string(), "kms:Decrypt", Trouble::KeyUnusable, 0), now());
        }
        assert_eq!((heard.groups.len(), heard.calls), (MOST_GROUPS, 2_004));
        assert_eq!(heard.groups.iter().filter(|(subject, _)| subject.trouble == Trouble::KeyUnusable).count(), 1);
    }
}
