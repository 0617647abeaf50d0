//! What keeps a command from sending a start after a person has interrupted it, or with another key
//! than the one that the person has seen.

use std::collections::{BTreeSet, HashMap, HashSet};

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
    /// By the names of streams: the only key that their starts may have.
    keys: HashMap<String, String>,
    /// The streams whose start was to have another key.
    other_key: BTreeSet<String>,
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

    /// Lets a start of these streams, by name, through with this key only. One with another key
    /// waits for ever, as at a closed gate.
    pub fn restrict(&self, keys: impl IntoIterator<Item = (String, String)>) {
        self.0.send_modify(|starts| starts.keys.extend(keys));
    }

    /// The streams whose start was to have another key than [`StartGate::restrict`] says.
    #[must_use]
    pub fn held_for_key(&self) -> BTreeSet<String> {
        self.0.borrow().other_key.clone()
    }

    /// Waits until the gate is closed to the stream `name` while no start of it has passed, or only
    /// one that AWS refused.
    pub async fn shut_before(&self, name: &str) {
        let mut starts = self.0.subscribe();
        let shut = starts
            .wait_for(|starts| (starts.closed || starts.other_key.contains(name)) && !starts.streams.contains(name));
        if shut.await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits for ever if the gate is closed; otherwise the start counts as sent.
    pub(super) async fn pass(&self, stream: &StreamArn, key_id: &str) {
        let mut passed = false;
        self.0.send_modify(|starts| {
            let is_other_key = starts.keys.get(stream.name()).is_some_and(|key| key != key_id);
            if is_other_key {
                starts.other_key.insert(stream.name().to_owned());
            }
            passed = !starts.closed && !is_other_key;
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
