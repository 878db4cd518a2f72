//! Delays as exact as the system's clock: tokio's timers have a granularity of a millisecond.
//!
//! A thread keeps the instants in a heap and wakes who is due. The delays are one sequence: the n-th request of a run
//! gets the n-th of it, whoever asks, so that all contestants meet the same.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::oneshot;

/// Who waits, and until when.
type Waiting = (Instant, oneshot::Sender<()>);

/// Delays that are exponentially distributed.
pub(super) struct Delay {
    mean: Duration,
    random: Mutex<StdRng>,
    waiting: Sender<Waiting>,
}

impl Delay {
    /// Starts the thread; it ends with what is returned.
    pub(super) fn start(mean: Duration, seed: u64) -> Delay {
        let (waiting, receiver) = channel();
        std::thread::spawn(move || wake(&receiver));
        Delay { mean, random: Mutex::new(StdRng::seed_from_u64(seed)), waiting }
    }

    /// Waits until the next delay of the sequence, counted from `came`, has passed.
    pub(super) async fn pass(&self, came: Instant) {
        let due = came + exponential(self.mean, self.random.lock().random());
        let (sender, woken) = oneshot::channel();
        if self.waiting.send((due, sender)).is_ok() {
            // It is woken or the thread is gone, and nothing is to wait for.
            let _ = woken.await;
        }
    }
}

/// The delay that belongs to `uniform`, which is at least 0 and below 1.
fn exponential(mean: Duration, uniform: f64) -> Duration {
    mean.mul_f64(-(1.0 - uniform).ln())
}

/// Wakes each when it is due, until nobody is left who could wait.
fn wake(receiver: &Receiver<Waiting>) {
    let mut queue: BTreeMap<(Instant, Reverse<u64>), oneshot::Sender<()>> = BTreeMap::new();
    for number in 0.. {
        let next = queue.first_key_value().map(|((due, _), _)| due.saturating_duration_since(Instant::now()));
        match receiver.recv_timeout(next.unwrap_or(Duration::from_secs(60))) {
            Ok((due, sender)) => {
                queue.insert((due, Reverse(number)), sender);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        while let Some(entry) = queue.first_entry().filter(|entry| entry.key().0 <= Instant::now()) {
            // Its connection may have ended meanwhile.
            let _ = entry.remove().send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_exponential() {
        let mean = Duration::from_millis(2);
        let check = |uniform, expected: f64| {
            let found = exponential(mean, uniform).as_secs_f64() * 1e3;
            assert!((found - expected).abs() < 1e-3, "{uniform}: {found}");
        };
        check(0.0, 0.0);
        check(0.5, 1.386);
        check(0.9, 4.605);
        check(0.99, 9.210);
        assert!(exponential(mean, 1.0 - f64::EPSILON / 2.0) < mean * 40);
    }

    #[tokio::test]
    async fn nobody_is_woken_early_or_forgotten() {
        let delay = Delay::start(Duration::from_micros(300), 7);
        let mut random = StdRng::seed_from_u64(7);
        let waits = (0..50).map(|_| {
            let expected = exponential(delay.mean, random.random());
            let came = Instant::now();
            let passed = delay.pass(came);
            async move {
                passed.await;
                assert!(came.elapsed() >= expected);
            }
        });
        futures::future::join_all(waits).await;
    }
}
