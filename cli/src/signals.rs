//! SIGTERM and SIGINT: the first asks to drain, the second to leave at once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that end the process; they do nothing else from [`Signals::listen`] on.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Begins to listen.
    pub(crate) fn listen() -> io::Result<Signals> {
        Ok(Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The next signal's exit code as shells give it: 128 and its number.
    pub(crate) async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.terminate.recv() => 143,
            _ = self.interrupt.recv() => 130,
        }
    }

    /// Waits for `drain`; ends the process at once at the next signal.
    #[expect(clippy::disallowed_methods, reason = "who asks twice does not want the drain")]
    pub(crate) async fn unless_repeated(&mut self, drain: impl Future<Output = ()>) {
        tokio::select! {
            () = drain => {}
            code = self.next() => std::process::exit(code.into()),
        }
    }
}
