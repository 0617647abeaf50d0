//! Opens connections while the function starts, before an event needs them.
//!
//! While a function starts, Lambda gives it a whole processor; while it handles an event, it has
//! [the share that goes with its memory][memory]. So the DNS look-up and the TCP and TLS handshakes
//! are done at the start. The request is `GET /ping`, the health check that the endpoints of
//! Kinesis answer for their load balancers: no API is called. Whatever the answer is, the
//! connection is then in the pool.
//!
//! [memory]: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;

use super::Aws;
use crate::domain::arn::partition_of;

impl Aws {
    /// Opens the connections that every event needs: to Kinesis and to KMS.
    ///
    /// Kinesis has an endpoint for each account, so none is opened if the account is not known.
    pub async fn connect(&self, account: Option<&str>) {
        let streams = async {
            if let Some(account) = account {
                let partition = partition_of(&self.region);
                self.streams.connect(&format!("arn:{partition}:kinesis:{}:{account}:stream/ping", self.region)).await;
            }
        };
        tokio::join!(streams, self.keys.connect());
    }
}

/// Turns a call into a health check of the same host.
pub(super) fn into_ping(request: &mut HttpRequest) {
    let uri = request.uri();
    let host_at = uri.find("://").map_or(0, |scheme| scheme + 3);
    let path_at = uri.get(host_at..).and_then(|rest| rest.find('/')).map_or(uri.len(), |path| host_at + path);
    let ping = format!("{}/ping", uri.get(..path_at).unwrap_or_default());
    if request.set_uri(ping).and_then(|()| request.set_method("GET")).is_err() {
        // The call also opens the connection; its stream and its key do not exist.
        return;
    }
    for header in ["content-length", "content-type", "x-amz-target"] {
        request.headers_mut().remove(header);
    }
    *request.body_mut() = SdkBody::empty();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_becomes_a_health_check_of_the_same_host() {
        for (uri, ping) in [
            (
                "https://111122223333.control-kinesis.us-east-1.amazonaws.com/",
                "https://111122223333.control-kinesis.us-east-1.amazonaws.com/ping",
            ),
            ("https://kms.us-east-1.amazonaws.com", "https://kms.us-east-1.amazonaws.com/ping"),
            ("http://127.0.0.1:4566/", "http://127.0.0.1:4566/ping"),
        ] {
            let mut request = HttpRequest::new(SdkBody::from("{}"));
            request.set_uri(uri).expect("a URI");
            request.set_method("POST").expect("a method");
            request.headers_mut().insert("x-amz-target", "Kinesis_20131202.DescribeStreamSummary");
            request.headers_mut().insert("content-length", "2");
            into_ping(&mut request);
            assert_eq!((request.uri(), request.method()), (ping, "GET"));
            assert_eq!((request.headers().iter().count(), request.body().bytes()), (0, Some(&b""[..])));
        }
    }
}
