//! Leases: a rate limit that several processes share through a store, without asking it for every request.
//!
//! The store has the bucket. A process takes several requests' worth at once, a lease, and spends it by itself; what it is
//! told to wait, it waits by itself too. As the store has counted all of a lease before any of it is spent, processes
//! together admit more than the limit in no span by more than what they hold at its beginning. A lease is therefore at most
//! a four-hundredth of a window's requests: of four processes, one per cent. It begins with one, doubles while leases are
//! spent before they lapse, and begins anew when one lapses unspent; what lapses is lost, never spent late.
//!
//! While one request asks for a lease, others that come ask for themselves only, so that no more is leased than held.
//! A lease is one atomic word: until when (44 bits, of 65.5 us), how much to ask for next (4 bits, a power of two), and
//! what is left (16 bits). Nothing left, and a time to come: denied until then.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::gcra::{Quota, Ticks};

/// Leases of a window's requests.
const LEASES: u32 = 400;
/// Leases of a burst: a process that waits for a whole one must not let the bucket run over.
const LEASES_OF_BURST: u32 = 8;
const MAX_DOUBLINGS: u32 = 15;
/// A lease lapses after 100 ms.
const LIFE: Ticks = 1_600_000_000;
const UNIT: u32 = 20;

/// How a limit is leased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leasing {
    quota: Quota,
    /// Doublings of the largest lease.
    most: u32,
}

/// What becomes of a request, as far as the process knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It may: paid from the lease.
    Admitted,
    /// It may not, as the store has said.
    Denied(Ticks),
    /// The store has to be asked for so many.
    Ask(u32),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Word {
    until: u64,
    doublings: u32,
    left: u32,
}

impl Word {
    fn unpack(word: u64) -> Self {
        let (doublings, left) = ((word >> 16) as u32 & 0xf, word as u32 & 0xffff);
        Self { until: word >> 20, doublings, left }
    }

    fn pack(self) -> u64 {
        (self.until << 20) | u64::from(self.doublings.min(MAX_DOUBLINGS)) << 16 | u64::from(self.left.min(0xffff))
    }
}

impl Leasing {
    /// Of a quota of so many requests a window.
    pub fn new(quota: Quota, requests: u32) -> Self {
        let most = (requests / LEASES).min(quota.burst() / LEASES_OF_BURST).max(1);
        Self { quota, most: most.ilog2().min(MAX_DOUBLINGS) }
    }

    /// The most that a process holds.
    pub fn most(self) -> u32 {
        1 << self.most
    }

    /// Pays for a request, if the lease can.
    pub fn spend(self, lease: &AtomicU64, now: Ticks) -> Known {
        let mut old = lease.load(Ordering::Relaxed);
        loop {
            let word = Word::unpack(old);
            let ahead = (word.until << UNIT).saturating_sub(now);
            let (new, known) = match (word.left, ahead) {
                (0, 1..) => return Known::Denied(ahead),
                (0, 0) => (Word { until: 0, doublings: 0, left: 0 }, Known::Ask(1 << word.doublings.min(self.most))),
                // Lapsed unspent.
                (_, 0) => (Word::default(), Known::Ask(1)),
                (1, _) => (Word { until: 0, doublings: (word.doublings + 1).min(self.most), left: 0 }, Known::Admitted),
                (left, _) => (Word { left: left - 1, ..word }, Known::Admitted),
            };
            match lease.compare_exchange_weak(old, new.pack(), Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return known,
                Err(changed) => old = changed,
            }
        }
    }

    /// Takes what the store has answered to [`Known::Ask`]: how many it gave, and when it has the next one. Whether the
    /// request that asked may go on.
    pub fn settle(self, lease: &AtomicU64, now: Ticks, asked: u32, given: u32, next: Ticks) -> bool {
        let mut old = lease.load(Ordering::Relaxed);
        loop {
            let word = Word::unpack(old);
            let held = if (word.until << UNIT) > now { word.left } else { 0 };
            let doublings = asked.max(1).ilog2().min(self.most).max(word.doublings);
            let new = match given {
                0 if held > 0 => return false,
                // Until there is a whole lease: who is denied does not ask for each request.
                0 => {
                    let wait = next.saturating_add(self.quota.interval().saturating_mul(u64::from(self.most() - 1)));
                    Word { until: now.saturating_add(wait) >> UNIT, doublings: self.most, left: 0 }
                }
                // Nor does one that was just given end what the others have to wait.
                1 if (word.until << UNIT) > now => return true,
                1 => Word { until: 0, doublings: (doublings + 1).min(self.most), left: 0 },
                given => Word { until: (now + LIFE) >> UNIT, doublings, left: (held + given - 1).min(self.most()) },
            };
            match lease.compare_exchange_weak(old, new.pack(), Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return given > 0,
                Err(changed) => old = changed,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;
    use std::time::Duration;

    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;

    const SECOND: Ticks = 16_000_000_000;
    const PROCESSES: usize = 4;

    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    enum Event {
        Request(usize),
        /// At the store: process, how many are asked for.
        Asked(usize, u32),
        Answered(usize, u32, u32, Ticks),
    }

    struct Outcome {
        admitted: Vec<Ticks>,
        asked: usize,
        offered: usize,
    }

    /// Processes that are asked `load` times what the limit allows, a store that takes up to 2 ms.
    fn simulate(requests: u32, burst: u32, load: f64, seconds: u64, seed: u64) -> Outcome {
        let mut random = StdRng::seed_from_u64(seed);
        let quota = Quota::new(requests, Duration::from_secs(1), burst).unwrap();
        let leasing = Leasing::new(quota, requests);
        let leases: Vec<AtomicU64> = (0..PROCESSES).map(|_| AtomicU64::new(0)).collect();
        let (mut store, mut events) = (0, BinaryHeap::new());
        let mut outcome = Outcome { admitted: Vec::new(), asked: 0, offered: 0 };
        let mean = SECOND as f64 * PROCESSES as f64 / (f64::from(requests) * load);
        let start = 100 * SECOND;
        events.extend((0..PROCESSES).map(|process| Reverse((start + process as u64, Event::Request(process)))));
        while let Some(Reverse((now, event))) = events.pop() {
            if now > start + seconds * SECOND {
                break;
            }
            let delay = random.random_range(SECOND / 20_000..SECOND / 1_000);
            match event {
                Event::Request(process) => {
                    outcome.offered += 1;
                    match leasing.spend(&leases[process], now) {
                        Known::Admitted => outcome.admitted.push(now),
                        Known::Denied(_) => {}
                        Known::Ask(want) => events.push(Reverse((now + delay, Event::Asked(process, want)))),
                    }
                    let pause = -mean * (1.0 - random.random::<f64>()).ln();
                    events.push(Reverse((now + pause as u64 + 1, Event::Request(process))));
                }
                Event::Asked(process, want) => {
                    outcome.asked += 1;
                    let (word, given, next) = quota.take(store, now, want);
                    store = word;
                    events.push(Reverse((now + delay, Event::Answered(process, want, given, next))));
                }
                Event::Answered(process, want, given, next) => {
                    if leasing.settle(&leases[process], now, want, given, next) {
                        outcome.admitted.push(now);
                    }
                }
            }
        }
        outcome.admitted.sort_unstable();
        outcome
    }

    #[test]
    fn four_processes_admit_no_more_than_one_per_cent_too_much() {
        for (seed, (requests, burst)) in
            [(100, 10), (1_000, 100), (1_000, 1_000), (20_000, 2_000)].into_iter().enumerate()
        {
            for load in [0.5, 1.0, 2.0, 10.0] {
                let seconds = if requests > 10_000 { 3 } else { 10 };
                let Outcome { admitted, asked, offered } = simulate(requests, burst, load, seconds, seed as u64);
                let name =
                    format!("{requests}/s, burst {burst}, load {load}: {} of {offered}, {asked} asked", admitted.len());
                let allowed = |seconds: u64| f64::from(burst) + f64::from(requests) * seconds as f64;
                assert!(admitted.len() as f64 <= allowed(seconds) * 1.01, "{name}");
                // Nor in any second: what is under way to the store is of up to 2 ms.
                let mut first = 0;
                for (last, at) in admitted.iter().enumerate() {
                    while at - admitted[first] > SECOND {
                        first += 1;
                    }
                    assert!((last - first) as f64 <= allowed(1) * 1.01 + f64::from(requests) * 0.002, "{name}");
                }
                // At a load of one, chance leaves some of the limit unused, as with a single bucket.
                let due = (offered as f64).min(f64::from(requests) * seconds as f64);
                assert!(load == 1.0 || admitted.len() as f64 >= due * 0.97, "{name}");
                if requests >= 20_000 && load > 1.0 {
                    assert!(asked * 2 < offered, "{name}");
                }
            }
        }
    }

    #[test]
    fn a_lease_is_spent_lapses_and_waits() {
        let quota = Quota::new(4_000, Duration::from_secs(1), 4_000).unwrap();
        let (leasing, lease, now) = (Leasing::new(quota, 4_000), AtomicU64::new(0), SECOND);
        assert_eq!(leasing.most(), 8);
        assert_eq!(leasing.spend(&lease, now), Known::Ask(1));
        assert!(leasing.settle(&lease, now, 1, 1, 0));
        assert_eq!(leasing.spend(&lease, now), Known::Ask(2));
        // Another one meanwhile asks for itself.
        assert_eq!(leasing.spend(&lease, now), Known::Ask(1));
        assert!(leasing.settle(&lease, now, 2, 2, 0));
        assert_eq!(leasing.spend(&lease, now), Known::Admitted);
        assert_eq!(leasing.spend(&lease, now), Known::Ask(4));
        assert!(leasing.settle(&lease, now, 4, 4, 0));
        // Not spent in time: it is lost, and the next begins small.
        assert_eq!(leasing.spend(&lease, now + 2 * LIFE), Known::Ask(1));
        assert!(!leasing.settle(&lease, now, 1, 0, SECOND));
        assert!(matches!(leasing.spend(&lease, now + SECOND / 2), Known::Denied(_)));
        assert_eq!(leasing.spend(&lease, now + 2 * SECOND), Known::Ask(8));
    }
}
