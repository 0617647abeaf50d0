//! As much of Lambda as it takes to run the real `bootstrap`: its Runtime API, one process at a
//! time, and SIGKILL.
//!
//! Source: *AWS Lambda Developer Guide, Using the Lambda runtime API for custom runtimes*.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode};
use axum::routing::{get, post};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};

/// How long an invocation may take.
const TIMEOUT: Duration = Duration::from_mins(1);

/// One execution environment: a process of the function, and the API that feeds it. Dropping it
/// kills the process.
pub(crate) struct Lambda {
    process: Child,
    events: mpsc::UnboundedSender<String>,
    answers: mpsc::UnboundedReceiver<Result<Value, Value>>,
}

struct Api {
    events: Mutex<mpsc::UnboundedReceiver<String>>,
    answers: mpsc::UnboundedSender<Result<Value, Value>>,
}

impl Lambda {
    /// Starts the function with this environment.
    pub(crate) async fn start(environment: &[(&str, String)]) -> Self {
        Self::start_writing(environment, Stdio::null()).await
    }

    /// Starts the function with this environment; its log and its metrics go to `output`.
    pub(crate) async fn start_writing(environment: &[(&str, String)], output: Stdio) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let (events, receiver) = mpsc::unbounded_channel();
        let (sender, answers) = mpsc::unbounded_channel();
        let api = Arc::new(Api { events: Mutex::new(receiver), answers: sender });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .with_state(api);
        tokio::spawn(async { axum::serve(listener, router).await });
        let process = Command::new(env!("CARGO_BIN_EXE_bootstrap"))
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", address)
            .env("AWS_LAMBDA_FUNCTION_NAME", "enforcer")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/enforcer")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "1")
            .envs(environment.iter().map(|(name, value)| (*name, value)))
            .stdout(output)
            .spawn()
            .expect("the function starts");
        Self { process, events, answers }
    }

    /// Invokes the function: its answer, or `None` where the invocation failed.
    pub(crate) async fn invoke(&mut self, payload: &Value) -> Option<Value> {
        self.invoke_text(payload.to_string()).await.ok()
    }

    /// Invokes the function with any text: its answer, or what it says of a failed invocation.
    pub(crate) async fn invoke_text(&mut self, payload: String) -> Result<Value, Value> {
        self.events.send(payload).expect("the API listens");
        self.answers.recv().await.expect("the API listens")
    }
}

impl Drop for Lambda {
    fn drop(&mut self) {
        // SIGKILL: the process is told nothing.
        self.process.kill().expect("it can be killed");
        self.process.wait().expect("it ends");
    }
}

async fn next(State(api): State<Arc<Api>>) -> Result<([(HeaderName, String); 4], String), StatusCode> {
    let payload = api.events.lock().await.recv().await.ok_or(StatusCode::GONE)?;
    let deadline = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time") + TIMEOUT;
    let headers = [
        (HeaderName::from_static("lambda-runtime-aws-request-id"), "8476a536-e9f4-11e8-9739-2dfe598c3fcd".to_owned()),
        (HeaderName::from_static("lambda-runtime-deadline-ms"), deadline.as_millis().to_string()),
        (
            HeaderName::from_static("lambda-runtime-invoked-function-arn"),
            "arn:aws:lambda:us-east-1:111122223333:function:enforcer".to_owned(),
        ),
        (HeaderName::from_static("lambda-runtime-trace-id"), "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700".to_owned()),
    ];
    Ok((headers, payload))
}

async fn response(State(api): State<Arc<Api>>, Path(_): Path<String>, body: String) -> StatusCode {
    drop(api.answers.send(serde_json::from_str(&body).map_err(|error| error.to_string().into())));
    StatusCode::ACCEPTED
}

async fn error(State(api): State<Arc<Api>>, Path(_): Path<String>, body: String) -> StatusCode {
    drop(api.answers.send(Err(serde_json::from_str(&body).unwrap_or(Value::String(body)))));
    StatusCode::ACCEPTED
}
