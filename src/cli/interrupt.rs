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
    #[expect(clippy::unused_async, reason = "signals can be taken inside the asynchronous runtime only")]
    pub(super) async fn arm(&mut self) {
        if std::mem::replace(&mut self.is_armed, true) {
            return;
        }
        if let Ok(signals) = signals() {
            tokio::spawn(watch(self.presses.clone(), self.notes, signals, print_warning));
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

#[cfg(unix)]
type Signals = tokio::signal::unix::Signal;
#[cfg(windows)]
type Signals = tokio::signal::windows::CtrlC;

/// Takes Ctrl-C from the system. The stream keeps a press that comes while nobody waits for it.
fn signals() -> io::Result<Signals> {
    #[cfg(unix)]
    return tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt());
    #[cfg(windows)]
    return tokio::signal::windows::ctrl_c();
}

async fn watch(presses: watch::Sender<u8>, notes: &'static [&'static str], mut signals: Signals, say: impl Fn(&str)) {
    while signals.recv().await.is_some() {
        presses.send_modify(|presses| *presses = presses.saturating_add(1));
        let times = usize::from(*presses.borrow());
        match notes.get(times.saturating_sub(1)) {
            Some(note) => say(note),
            None => std::process::exit(i32::from(INTERRUPTED)),
        }
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::sync::mpsc;

    use super::*;

    fn press() {
        let pid = std::process::id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill runs").success());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_press_counts_while_the_note_of_the_one_before_it_is_printed() {
        let presses = watch::Sender::new(0);
        let mut counted = presses.subscribe();
        let mut others = signals().expect("signals");
        let (seen, heard) = mpsc::channel();
        tokio::spawn(async move { while others.recv().await.is_some() && seen.send(()).is_ok() {} });
        let say = move |note: &str| {
            if note == "first" {
                heard.recv().expect("the press of this note");
                press();
                heard.recv().expect("the press while this note is printed");
            }
        };
        tokio::spawn(watch(presses, &["first", "second"], signals().expect("signals"), say));
        press();
        let twice = counted.wait_for(|presses| *presses == 2);
        assert!(tokio::time::timeout(std::time::Duration::from_secs(10), twice).await.is_ok());
    }
}
