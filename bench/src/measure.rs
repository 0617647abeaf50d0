//! One process of a subject: from its start to its second answer.

use std::fs::File;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::aws::{Aws, Call};
use crate::group::{Group, Means};
use crate::lambda::Runtime;
use crate::subject::{Places, Scenario, Subject};
use crate::{EVENT, Problem};

/// Between two events, so that what was begun beside the first does not disturb the second …
const PAUSE: Duration = Duration::from_millis(600);

/// … and from the function's first that makes it read tags until its second: it paces these calls,
/// two seconds apart, for the sake of AWS's limits. How events that come faster are spaced is not
/// what is measured here.
const PACE: Duration = Duration::from_millis(2200);

/// How one event went, in milliseconds and calls.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Handled {
    /// From the event to the first call that reached AWS.
    pub(crate) first_call: f64,
    /// From the event to the start, where there is one to be sent.
    pub(crate) start: Option<f64>,
    /// From the event to the answer.
    pub(crate) answer: f64,
    /// Calls by their names.
    pub(crate) calls: Vec<String>,
    /// Processor time: of the first event from the process's start on.
    pub(crate) processor: f64,
}

/// How one process went.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Run {
    pub(crate) subject: Subject,
    pub(crate) scenario: Scenario,
    /// From the start of the process to its first request for an event.
    pub(crate) init: f64,
    pub(crate) cold: Handled,
    pub(crate) warm: Handled,
    /// In MiB.
    pub(crate) memory: f64,
}

/// What all processes share.
pub(crate) struct Bench<'a> {
    pub(crate) aws: &'a Aws,
    pub(crate) means: &'a Means,
    pub(crate) places: &'a Places,
    /// Where logs go.
    pub(crate) folder: &'a Path,
}

impl Bench<'_> {
    /// Runs `subject` in a fresh process. `number` makes streams of their own.
    pub(crate) fn run(&self, subject: Subject, scenario: Scenario, number: usize) -> Result<Run, Problem> {
        let log = self.folder.join(format!("{subject:?}.log"));
        self.measured(subject, scenario, number, &log).map_err(|problem| {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let tail: Vec<_> = text.lines().rev().take(20).collect();
            let tail: Vec<_> = tail.into_iter().rev().collect();
            format!("{}, {}: {problem}\n{}", subject.label(), scenario.word(), tail.join("\n")).into()
        })
    }

    fn measured(&self, subject: Subject, scenario: Scenario, number: usize, log: &Path) -> Result<Run, Problem> {
        let runtime = Runtime::start()?;
        let mut variables = self.aws.environment();
        variables.push(("AWS_LAMBDA_RUNTIME_API".to_owned(), runtime.address()));
        let mut command = self.places.command(subject, &variables);
        let log = File::create(log)?;
        command.stdin(std::process::Stdio::null()).stdout(log.try_clone()?).stderr(log);

        // The group is made before the process, so that it is dropped after it.
        let group = Group::new(self.means, "subject")?;
        let process = group.spawn(command)?;
        let init = milliseconds(runtime.polled(1)? - process.at);
        // In Lambda the event that makes it start a process is there already when the process asks
        // for one.
        group.cap()?;
        let mut cold = self.handle(&runtime, subject, scenario, &format!("{}-{number}-cold", scenario.word()))?;
        let polled = runtime.polled(2)?;
        thread::sleep(PAUSE);
        if (subject, scenario) == (Subject::Enforcer, Scenario::Encrypt) {
            thread::sleep(PACE.saturating_sub(polled.elapsed() + Duration::from_secs_f64(cold.answer / 1000.0)));
        }
        let after_cold = group.used(&process)?;
        cold.processor = milliseconds(after_cold.saturating_sub(process.before));
        let mut warm = self.handle(&runtime, subject, scenario, &format!("{}-{number}-warm", scenario.word()))?;
        runtime.polled(3)?;
        thread::sleep(Duration::from_millis(50));
        warm.processor = milliseconds(group.used(&process)?.saturating_sub(after_cold));
        Ok(Run { subject, scenario, init, cold, warm, memory: group.peak_memory(&process)? })
    }

    /// Hands out an event about `stream`, and checks what the subject did and said.
    fn handle(
        &self,
        runtime: &Runtime,
        subject: Subject,
        scenario: Scenario,
        stream: &str,
    ) -> Result<Handled, Problem> {
        self.aws.hold(stream, scenario == Scenario::Compliant);
        let answer = runtime.invoke(&event(stream)?)?;
        let seen = self.aws.seen();
        if let Some(problem) = seen.problems.first() {
            return Err(problem.clone().into());
        }
        let starts = usize::from(scenario == Scenario::Encrypt);
        if seen.starts != starts || !seen.encrypted {
            return Err(format!("{} starts instead of {starts}; encrypted: {}", seen.starts, seen.encrypted).into());
        }
        if !subject.is_right(&answer.body, scenario) {
            return Err(format!("the answer is {}", answer.body).into());
        }
        let since = |at: Instant| milliseconds(at.saturating_duration_since(answer.handed_out));
        let first = seen.calls.first().ok_or("AWS was not called")?;
        let start = seen.calls.iter().find(|call| call.operation == "StartStreamEncryption");
        Ok(Handled {
            first_call: since(first.at),
            start: start.map(|call| since(call.at)),
            answer: since(answer.at),
            calls: seen.calls.into_iter().map(|Call { operation, .. }| operation).collect(),
            processor: 0.0,
        })
    }
}

/// The `CreateStream` event about `stream`. A person made it, by the AWS CLI, so that no grace for
/// Terraform and its like applies.
fn event(stream: &str) -> Result<Value, Problem> {
    let mut event: Value = serde_json::from_str(EVENT)?;
    event["detail"]["requestParameters"]["streamName"] = stream.into();
    Ok(event)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
