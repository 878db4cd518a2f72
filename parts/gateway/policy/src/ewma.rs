//! The peak EWMA of an endpoint's latency: jumps up with a slow answer, and decays to what is usual, or while nothing is
//! heard, with a time constant (after Finagle's `loadBalancer.p2c.ewma`).
//!
//! Cost and stamp share one word, so that workers never see one without the other.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::Micros;

/// The latency of an endpoint, written by all workers.
#[derive(Debug, Default)]
pub struct PeakEwma(AtomicU64);

/// Latency in microseconds, and the millisecond of its last change. The stamp wraps after 49 days, which a decay of
/// seconds does not notice.
#[derive(Clone, Copy)]
struct Packed {
    cost: f32,
    stamp: u32,
}

impl Packed {
    fn of(word: u64) -> Self {
        Self { cost: f32::from_bits((word >> 32) as u32), stamp: word as u32 }
    }

    fn word(self) -> u64 {
        u64::from(self.cost.to_bits()) << 32 | u64::from(self.stamp)
    }

    /// How much of the old cost counts at `stamp`.
    fn left(self, stamp: u32, decay: Duration) -> f32 {
        let passed = stamp.wrapping_sub(self.stamp);
        // A worker whose clock reading is older than the last change.
        let passed = if passed > u32::MAX / 2 { 0 } else { passed };
        let decay = (decay.as_secs_f32() * 1e3).max(1.0);
        (-(passed as f32) / decay).exp()
    }
}

fn stamp(now: Micros) -> u32 {
    (now / 1_000) as u32
}

impl PeakEwma {
    /// An answer took this long.
    pub fn observe(&self, now: Micros, took: Duration, decay: Duration) {
        let (stamp, took) = (stamp(now), took.as_secs_f32() * 1e6);
        let next = |word| {
            let old = Packed::of(word);
            let left = old.left(stamp, decay);
            let cost = if took > old.cost { took } else { old.cost * left + took * (1.0 - left) };
            Some(Packed { cost, stamp }.word())
        };
        // It has no way to fail.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

    /// Microseconds that an answer takes, as far as is known; 0 where nothing is.
    pub fn get(&self, now: Micros, decay: Duration) -> f32 {
        let packed = Packed::of(self.0.load(Ordering::Relaxed));
        packed.cost * packed.left(stamp(now), decay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECAY: Duration = Duration::from_secs(10);
    const SECOND: Micros = 1_000_000;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn rises_at_once_and_falls_slowly() {
        let ewma = PeakEwma::default();
        assert_eq!(ewma.get(5, DECAY), 0.0);
        ewma.observe(SECOND, ms(10), DECAY);
        assert_eq!(ewma.get(SECOND, DECAY), 10_000.0);
        ewma.observe(SECOND, ms(500), DECAY);
        assert_eq!(ewma.get(SECOND, DECAY), 500_000.0);
        ewma.observe(2 * SECOND, ms(10), DECAY);
        let after = ewma.get(2 * SECOND, DECAY);
        assert!((440_000.0..470_000.0).contains(&after), "{after}");
        let idle = ewma.get(12 * SECOND, DECAY);
        assert!((idle / after - (-1.0_f32).exp()).abs() < 0.01, "{idle}");
    }

    #[test]
    fn an_older_clock_reading_decays_nothing() {
        let ewma = PeakEwma::default();
        ewma.observe(10 * SECOND, ms(10), DECAY);
        assert_eq!(ewma.get(9 * SECOND, DECAY), 10_000.0);
    }
}
