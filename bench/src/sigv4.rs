//! AWS Signature Version 4, as far as requests with a body and without a query need it. The floor
//! signs with it, the fake AWS checks everybody's signature with it.

use std::fmt::Write;

use ring::{digest, hmac};

/// What a request is signed for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'a> {
    /// `YYYYMMDD`.
    pub(crate) date: &'a str,
    /// The Region.
    pub(crate) region: &'a str,
    /// The service, as signatures name it.
    pub(crate) service: &'a str,
}

impl Scope<'_> {
    /// The scope as it stands in `Credential`, after the access key's id.
    pub(crate) fn text(&self) -> String {
        format!("{}/{}/{}/aws4_request", self.date, self.region, self.service)
    }
}

/// The key that requests of a day are signed with.
pub(crate) fn signing_key(secret: &str, scope: Scope<'_>) -> hmac::Key {
    let mut key = hmac::Key::new(hmac::HMAC_SHA256, format!("AWS4{secret}").as_bytes());
    for part in [scope.date, scope.region, scope.service, "aws4_request"] {
        key = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref());
    }
    key
}

/// The signature of a request. `headers` are those that are signed, in lower case and in order.
pub(crate) fn signature(
    key: &hmac::Key,
    scope: Scope<'_>,
    time: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> String {
    let mut canonical = format!("{method}\n{path}\n\n");
    for (name, value) in headers {
        // Writing to a String cannot fail.
        let _ = writeln!(canonical, "{name}:{value}");
    }
    let names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
    let _ = write!(canonical, "\n{}\n{}", names.join(";"), sha256(body));
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{}\n{}", scope.text(), sha256(canonical.as_bytes()));
    hex(hmac::sign(key, to_sign.as_bytes()).as_ref())
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
