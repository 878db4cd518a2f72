//! SIGTERM, SIGINT and SIGHUP: the first asks to drain, the second to leave at once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that end the process; they do nothing else from [`Signals::listen`] on.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// None where whoever started this process has it ignored, as nohup does.
    hangup: Option<Signal>,
}

impl Signals {
    /// Begins to listen.
    pub(crate) fn listen() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) },
        })
    }

    /// The next signal's exit code as shells give it: 128 and its number.
    pub(crate) async fn next(&mut self) -> u8 {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => drop(hangup.recv().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => 143,
            _ = self.interrupt.recv() => 130,
            () = hangup => 129,
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

/// Whether SIGHUP is ignored, as Linux tells it; elsewhere it is taken for what it is by default.
fn ignores_hangup() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores(&status, SignalKind::hangup()))
}

fn ignores(status: &str, signal: SignalKind) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask >> (signal.as_raw_value() - 1) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_stays_ignored() {
        let check = |mask: &str, expected: bool| {
            let status = format!("Name:\tpurlin\nSigBlk:\t0000000000000001\nSigIgn:\t{mask}\nSigCgt:\t0\n");
            assert_eq!(ignores(&status, SignalKind::hangup()), expected, "{mask}");
        };
        check("0000000000000001", true);
        check("0000000000001001", true);
        check("0000000000001000", false);
        check("nonsense", false);
        assert!(!ignores("", SignalKind::hangup()));
    }
}
