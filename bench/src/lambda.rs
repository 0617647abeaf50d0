//! A fake Lambda Runtime API: it hands out one event after the other, and takes the answers.

use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::Problem;
use crate::http::{self, Request, Response};

/// The function's timeout, from which the deadline is told.
const TIMEOUT: Duration = Duration::from_mins(5);

/// How long a subject may take for anything. The slowest needs some seconds.
const PATIENCE: Duration = Duration::from_mins(1);

/// How an invocation ended.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) handed_out: Instant,
    pub(crate) at: Instant,
    pub(crate) body: Value,
}

#[derive(Debug, Default)]
struct State {
    polls: usize,
    polled: Option<Instant>,
    event: Option<String>,
    handed_out: Option<Instant>,
    answer: Option<Answer>,
    /// What the subject reported as an error.
    error: Option<String>,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and wakes who waits for that.
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }
}

/// The fake, for one process.
pub(crate) struct Runtime {
    shared: Arc<Shared>,
    port: u16,
}

impl Runtime {
    pub(crate) fn start() -> Result<Self, Problem> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared::default());
        let threads = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &threads));
        Ok(Self { shared, port })
    }

    /// Where it is, as `AWS_LAMBDA_RUNTIME_API` says it.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// When the subject asked for its `number`-th event.
    pub(crate) fn polled(&self, number: usize) -> Result<Instant, Problem> {
        self.wait(&format!("poll {number}"), |state| state.polled.filter(|_| state.polls >= number))
    }

    /// Hands `event` out, and waits for the answer.
    pub(crate) fn invoke(&self, event: &Value) -> Result<Answer, Problem> {
        self.shared.change(|state| {
            state.answer = None;
            state.event = Some(event.to_string());
        });
        self.wait("answer", |state| state.answer.clone())
    }

    fn wait<T>(&self, what: &str, ready: impl Fn(&State) -> Option<T>) -> Result<T, Problem> {
        let until = Instant::now() + PATIENCE;
        let mut state = self.shared.state();
        loop {
            if let Some(error) = &state.error {
                return Err(format!("the subject reported an error: {error}").into());
            }
            if let Some(value) = ready(&state) {
                return Ok(value);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("no {what} within {} s", PATIENCE.as_secs()).into());
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Runtime {
    /// Ends the threads: those that wait for an event, and, by a last connection, the one that
    /// accepts.
    fn drop(&mut self) {
        self.shared.change(|state| state.closed = true);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for connection in listener.incoming().flatten() {
        if shared.state().closed {
            return;
        }
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            let _ = connection.set_nodelay(true);
            // A subject that is killed leaves its connection broken: nothing to tell.
            let _ = http::serve(connection, |request| shared.answer(request));
        });
    }
}

impl Shared {
    fn answer(&self, request: &Request) -> Response {
        let path = request.path.strip_prefix("/2018-06-01/runtime/").unwrap_or_default();
        match path {
            "invocation/next" => self.next(),
            _ if path.starts_with("invocation/") && path.ends_with("/response") => {
                let at = Instant::now();
                self.change(|state| match (serde_json::from_slice(&request.body), state.handed_out) {
                    (Ok(body), Some(handed_out)) => state.answer = Some(Answer { handed_out, at, body }),
                    _ => {
                        state.error =
                            Some(format!("an answer out of place: {}", String::from_utf8_lossy(&request.body)))
                    }
                });
                accepted()
            }
            _ => {
                self.change(|state| state.error = Some(format!("{path}: {}", String::from_utf8_lossy(&request.body))));
                accepted()
            }
        }
    }

    /// Waits until there is an event.
    fn next(&self) -> Response {
        self.change(|state| {
            state.polls += 1;
            state.polled = Some(Instant::now());
        });
        let mut state = self.state();
        loop {
            if state.closed {
                return Response::new(410, "text/plain", "");
            }
            if let Some(event) = state.event.take() {
                let mut response = Response::new(200, "application/json", event);
                let deadline = (SystemTime::now() + TIMEOUT).duration_since(UNIX_EPOCH).unwrap_or_default();
                let request_id = format!("8476a536-e9f4-11e8-9739-{:012}", state.polls);
                response.headers.extend([
                    ("lambda-runtime-aws-request-id", request_id),
                    ("lambda-runtime-deadline-ms", deadline.as_millis().to_string()),
                    (
                        "lambda-runtime-invoked-function-arn",
                        "arn:aws:lambda:us-east-1:111122223333:function:benchmark".to_owned(),
                    ),
                    (
                        "lambda-runtime-trace-id",
                        "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0".to_owned(),
                    ),
                ]);
                state.handed_out = Some(Instant::now());
                return response;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn accepted() -> Response {
    Response::new(202, "application/json", "{\"status\":\"OK\"}")
}
