//! What hands out credentials, on a loopback port: STS, IAM Identity Center, and the metadata
//! services of EC2 and of containers. Every request is recorded.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};

/// A request, as far as tests look at it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// `AssumeRole`, or the path.
    pub(crate) what: String,
    /// The fields of the form, or of the query.
    pub(crate) fields: BTreeMap<String, String>,
    /// The access key that signed the request.
    pub(crate) access_key: String,
}

/// The services.
#[derive(Clone, Default)]
pub(crate) struct Services {
    asked: Arc<Mutex<Vec<Asked>>>,
    /// The code and the message of the error that STS or IAM Identity Center answers with.
    refusal: Arc<Mutex<Option<(&'static str, &'static str)>>>,
}

impl Services {
    /// Serves them for as long as the test runs; the address.
    pub(crate) fn serve(&self) -> String {
        let (sender, receiver) = std::sync::mpsc::channel();
        let router = Router::new().fallback(answer).with_state(self.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
                sender.send(listener.local_addr().expect("an address")).expect("the test waits");
                drop(axum::serve(listener, router).await);
            });
        });
        format!("http://{}", receiver.recv().expect("the server starts"))
    }

    /// What was asked since the last call.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().expect("no panic"))
    }

    /// Every further request is refused.
    pub(crate) fn refuse(&self, code: &'static str, message: &'static str) {
        *self.refusal.lock().expect("no panic") = Some((code, message));
    }
}

fn pairs(text: &[u8]) -> BTreeMap<String, String> {
    form_urlencoded::parse(text).map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

async fn answer(
    State(services): State<Services>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, [(&'static str, String); 1], String) {
    let fields = if body.is_empty() { pairs(uri.query().unwrap_or_default().as_bytes()) } else { pairs(&body) };
    let what = fields.get("Action").cloned().unwrap_or_else(|| uri.path().to_owned());
    let signature = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let access_key = signature.split("Credential=").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let asked = Asked { what: what.clone(), fields, access_key: access_key.to_owned() };
    services.asked.lock().expect("no panic").push(asked);
    let keys = |id: &str| {
        format!(
            r#"{{"Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2026-01-01T00:00:00Z", "AccessKeyId": "{id}",
            "SecretAccessKey": "secret", "Token": "token", "Expiration": "2099-01-01T00:00:00Z"}}"#
        )
    };
    let refusal = *services.refusal.lock().expect("no panic");
    let (status, error, text) = match (what.as_str(), refusal) {
        (action, Some((code, message))) if action.starts_with("Assume") => {
            let error = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
            (403, "", format!("<ErrorResponse>{error}</ErrorResponse>"))
        }
        (_, Some((code, message))) => (401, code, format!(r#"{{"message": "{message}"}}"#)),
        (action, None) if action.starts_with("Assume") => (
            200,
            "",
            format!(
                "<{action}Response><{action}Result><Credentials><AccessKeyId>ASIA{}</AccessKeyId>\
                 <SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>\
                 <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials><AssumedRoleUser>\
                 <AssumedRoleId>AROAEXAMPLE:x</AssumedRoleId>\
                 <Arn>arn:aws:sts::111122223333:assumed-role/a/x</Arn></AssumedRoleUser>\
                 </{action}Result></{action}Response>",
                if action == "AssumeRole" { "ROLE" } else { "WEB" }
            ),
        ),
        ("/federation/credentials", None) => (
            200,
            "",
            r#"{"roleCredentials": {"accessKeyId": "ASIASSO", "secretAccessKey": "secret", "sessionToken": "token", "expiration": 4070908800000}}"#
                .to_owned(),
        ),
        ("/latest/api/token", None) => (200, "", "token".to_owned()),
        ("/container", None) => (200, "", keys("ASIACONTAINER")),
        (path, None) if path.ends_with("/security-credentials/") => (200, "", "instance".to_owned()),
        (path, None) if path.ends_with("/instance") => (200, "", keys("ASIAINSTANCE")),
        _ => (404, "", format!("{method} {uri}")),
    };
    let header = if what == "/latest/api/token" {
        ("x-aws-ec2-metadata-token-ttl-seconds", "21600".to_owned())
    } else {
        ("x-amzn-errortype", error.to_owned())
    };
    (StatusCode::from_u16(status).expect("a status"), [header], text)
}
