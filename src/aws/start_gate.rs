//! What keeps a command from sending a start after a person has interrupted it.

use std::collections::HashSet;

use tokio::sync::watch;

use crate::domain::stream::StreamArn;

/// Lets starts through until it is closed. Then a start that has not been sent waits for ever:
/// whoever closes the gate drops the work on the streams that have not passed it.
#[derive(Clone, Debug)]
pub struct StartGate(watch::Sender<StartsSent>);

#[derive(Debug, Default)]
struct StartsSent {
    closed: bool,
    /// The names of the streams whose start was sent and not refused.
    streams: HashSet<String>,
}

impl Default for StartGate {
    fn default() -> Self {
        Self(watch::Sender::new(StartsSent::default()))
    }
}

impl StartGate {
    /// Lets no further start through.
    pub fn close(&self) {
        self.0.send_modify(|starts| starts.closed = true);
    }

    /// Waits until the gate is closed while no start of the stream `name` has passed, or only one
    /// that AWS refused.
    pub async fn shut_before(&self, name: &str) {
        let mut starts = self.0.subscribe();
        let shut = starts.wait_for(|starts| starts.closed && !starts.streams.contains(name));
        if shut.await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits for ever if the gate is closed; otherwise the start counts as sent.
    pub(super) async fn pass(&self, stream: &StreamArn) {
        let mut passed = false;
        self.0.send_modify(|starts| {
            passed = !starts.closed;
            if passed {
                starts.streams.insert(stream.name().to_owned());
            } else {
                starts.streams.remove(stream.name());
            }
        });
        if !passed {
            std::future::pending::<()>().await;
        }
    }

    /// Takes back a start that AWS refused.
    pub(super) fn withdraw(&self, stream: &StreamArn) {
        self.0.send_modify(|starts| {
            starts.streams.remove(stream.name());
        });
    }
}
