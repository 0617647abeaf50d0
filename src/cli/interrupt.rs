//! Ctrl-C while a command changes streams.

use std::io;

use tokio::sync::watch;

use super::paint::print_warning;

/// The exit code of a command that was interrupted, as shells set it for Ctrl-C.
pub(super) const INTERRUPTED: u8 = 130;

/// How often Ctrl-C was pressed.
pub(super) struct Interrupt {
    presses: watch::Sender<u8>,
    is_armed: bool,
}

impl Interrupt {
    /// Until it is armed, the system ends the program at Ctrl-C.
    pub(super) fn unarmed() -> Self {
        Self { presses: watch::Sender::new(0), is_armed: false }
    }

    /// Once this returns, Ctrl-C is counted. The third ends the program at once.
    pub(super) async fn arm(&mut self) {
        if std::mem::replace(&mut self.is_armed, true) {
            return;
        }
        // The first poll takes Ctrl-C from the system, so that none is missed.
        let mut pressed = Box::pin(tokio::signal::ctrl_c());
        let is_waiting = tokio::select! {
            biased;
            _ = &mut pressed => false,
            () = std::future::ready(()) => true,
        };
        if is_waiting {
            tokio::spawn(watch(self.presses.clone(), pressed));
        }
    }

    /// Whether Ctrl-C was pressed.
    pub(super) fn is_pressed(&self) -> bool {
        *self.presses.borrow() > 0
    }

    /// Waits until Ctrl-C has been pressed `times` times.
    pub(super) async fn pressed(&self, times: u8) {
        let mut presses = self.presses.subscribe();
        let waited = presses.wait_for(|presses| *presses >= times);
        if waited.await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn watch(presses: watch::Sender<u8>, first: impl Future<Output = io::Result<()>>) {
    let mut signal = first.await;
    while signal.is_ok() {
        presses.send_modify(|presses| *presses = presses.saturating_add(1));
        let times = *presses.borrow();
        match times {
            1 => print_warning(
                "interrupted: starting no further stream, waiting for those that were started; \
                 press Ctrl-C again not to wait",
            ),
            2 => print_warning("not waiting for the streams that were started"),
            _ => std::process::exit(i32::from(INTERRUPTED)),
        }
        signal = tokio::signal::ctrl_c().await;
    }
}
