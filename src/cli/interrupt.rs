//! Ctrl-C while a command changes streams or moves messages.

use std::io;

use tokio::sync::watch;

use super::paint::print_warning;

/// The exit code of a command that was interrupted, as shells set it for Ctrl-C.
pub(super) const INTERRUPTED: u8 = 130;

/// How often Ctrl-C was pressed.
pub(super) struct Interrupt {
    presses: watch::Sender<u8>,
    is_armed: bool,
    notes: &'static [&'static str],
}

/// What a command that changes streams says at the first and at the second Ctrl-C.
const OF_STREAMS: [&str; 2] = [
    "interrupted: starting no further stream, waiting for those that were started; \
     press Ctrl-C again not to wait",
    "not waiting for the streams that were started",
];

impl Interrupt {
    /// Until it is armed, the system ends the program at Ctrl-C.
    pub(super) fn unarmed() -> Self {
        Self::noting(&OF_STREAMS)
    }

    /// As [`Interrupt::unarmed`], with what each Ctrl-C says. The one after these ends the program.
    pub(super) fn noting(notes: &'static [&'static str]) -> Self {
        Self { presses: watch::Sender::new(0), is_armed: false, notes }
    }

    /// Once this returns, Ctrl-C is counted.
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
            tokio::spawn(watch(self.presses.clone(), self.notes, pressed));
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

async fn watch(
    presses: watch::Sender<u8>,
    notes: &'static [&'static str],
    first: impl Future<Output = io::Result<()>>,
) {
    let mut signal = first.await;
    while signal.is_ok() {
        presses.send_modify(|presses| *presses = presses.saturating_add(1));
        let times = usize::from(*presses.borrow());
        match notes.get(times.saturating_sub(1)) {
            Some(note) => print_warning(note),
            None => std::process::exit(i32::from(INTERRUPTED)),
        }
        signal = tokio::signal::ctrl_c().await;
    }
}
