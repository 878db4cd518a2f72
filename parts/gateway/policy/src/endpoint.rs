//! What is known of an endpoint while it serves: its load, its latency, whether it is left out.
//!
//! One for all workers and all snapshots, so everything is an atomic. Orderings are relaxed: each value stands for
//! itself, and nobody needs the newest one.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::{Micros, OutlierState, PeakEwma};

/// The state of one endpoint.
#[derive(Debug)]
pub struct EndpointState {
    /// Of its identity, for rendezvous.
    hash: u64,
    active: AtomicU32,
    out: AtomicU8,
    /// When its share began to grow.
    since: AtomicU64,
    /// Of answers; kept where balancing asks for it.
    pub latency: PeakEwma,
    /// Failures and ejections.
    pub outlier: OutlierState,
}

/// Why an endpoint is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Out {
    /// It fails requests.
    Ejected = 1,
    /// It fails health checks.
    Unhealthy = 2,
}

/// What balances over endpoints takes: something that has their state.
pub trait Candidate {
    /// The state of the endpoint.
    fn state(&self) -> &EndpointState;
}

impl Candidate for EndpointState {
    fn state(&self) -> &EndpointState {
        self
    }
}

impl<T: Candidate + ?Sized> Candidate for std::sync::Arc<T> {
    fn state(&self) -> &EndpointState {
        (**self).state()
    }
}

/// The share of an endpoint that begins, at least.
const FIRST_SHARE: f64 = 0.1;

impl EndpointState {
    /// A new one. `identity` is hashed for [`Balancing::ConsistentHash`](purlin_traffic::model::Balancing).
    pub fn new(identity: &str, now: Micros) -> Self {
        Self {
            hash: crate::hash(identity.as_bytes()),
            active: AtomicU32::new(0),
            out: AtomicU8::new(0),
            since: AtomicU64::new(now),
            latency: PeakEwma::default(),
            outlier: OutlierState::default(),
        }
    }

    /// Requests under way.
    pub fn active(&self) -> u32 {
        self.active.load(Ordering::Relaxed)
    }

    /// A request begins.
    pub fn began(&self) {
        self.active.fetch_add(1, Ordering::Relaxed);
    }

    /// A request that began has ended.
    pub fn ended(&self) {
        self.active.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether it takes requests.
    pub fn is_in(&self) -> bool {
        self.out.load(Ordering::Relaxed) == 0
    }

    /// Whether it is left out for this reason.
    pub fn is(&self, why: Out) -> bool {
        self.out.load(Ordering::Relaxed) & why as u8 != 0
    }

    /// Leaves it out; false where it is already, for this reason.
    pub fn leave_out(&self, why: Out) -> bool {
        self.out.fetch_or(why as u8, Ordering::Relaxed) & why as u8 == 0
    }

    /// The reason has gone; false where it was not there. Without another one the endpoint begins again, slowly.
    pub fn take_back(&self, why: Out, now: Micros) -> bool {
        let before = self.out.fetch_and(!(why as u8), Ordering::Relaxed);
        if before == why as u8 {
            self.since.store(now, Ordering::Relaxed);
        }
        before & why as u8 != 0
    }

    /// Its share of what it would take otherwise, while it begins: grows from a tenth to one.
    pub fn share(&self, now: Micros, slow_start: Duration) -> f64 {
        let age = Duration::from_micros(now.saturating_sub(self.since.load(Ordering::Relaxed)));
        if age >= slow_start {
            return 1.0;
        }
        (age.as_secs_f64() / slow_start.as_secs_f64()).max(FIRST_SHARE)
    }

    /// How much it is the one for a hash: the highest of all endpoints wins.
    pub(crate) fn score(&self, hash: u64) -> u64 {
        crate::mix(self.hash ^ hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_reasons() {
        let state = EndpointState::new("a", 0);
        assert!(state.is_in());
        assert!(state.leave_out(Out::Ejected));
        assert!(!state.leave_out(Out::Ejected));
        assert!(state.leave_out(Out::Unhealthy));
        assert!(state.take_back(Out::Ejected, 5));
        assert!(!state.is_in() && !state.is(Out::Ejected));
        assert!(!state.take_back(Out::Ejected, 6));
        assert!(state.take_back(Out::Unhealthy, 7_000_000));
        assert!(state.is_in());
        // It begins again.
        assert_eq!(state.share(7_000_000, Duration::from_secs(10)), FIRST_SHARE);
        assert_eq!(state.share(12_000_000, Duration::from_secs(10)), 0.5);
        assert_eq!(state.share(17_000_000, Duration::from_secs(10)), 1.0);
    }
}
