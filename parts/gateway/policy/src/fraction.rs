//! A share of a sequence of requests, exact at every time: after `n` of them `n * share`, rounded, have fallen to it.
//!
//! Chance would drift: of 500 requests at a tenth, 43 to 57 is common. Where a count begins is left to chance all the
//! same, or a share of a hundredth would never be reached by counts that are begun anew before their hundredth request.

use std::sync::atomic::{AtomicU64, Ordering};

use rand::RngExt;

/// Counts requests, and says which fall to a share.
#[derive(Debug)]
pub struct Fraction {
    part: u64,
    whole: u64,
    count: AtomicU64,
}

impl Fraction {
    /// `part` of `whole`. What is more than all is all; of nothing, nothing.
    pub fn new((part, whole): (u32, u32), random: &mut impl RngExt) -> Self {
        let count = random.random_range(0..whole.max(1));
        Self { part: part.min(whole).into(), whole: whole.max(1).into(), count: AtomicU64::new(count.into()) }
    }

    /// Counts a request; whether it falls to the share.
    pub fn falls(&self) -> bool {
        if self.part == 0 || self.part == self.whole {
            return self.part != 0;
        }
        let at = self.count.fetch_add(1, Ordering::Relaxed) % self.whole;
        (at + 1) * self.part / self.whole > at * self.part / self.whole
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn exact_at_every_time(part in 0u32..1100, whole in 0u32..1000, seed: u64) {
            let fraction = Fraction::new((part, whole), &mut StdRng::seed_from_u64(seed));
            let mut fell = 0_u64;
            for n in 1..=3000_u64 {
                fell += u64::from(fraction.falls());
                let due = n as f64 * f64::from(part.min(whole)) / f64::from(whole.max(1));
                prop_assert!((fell as f64 - due).abs() <= 1.0, "{fell} of {n}");
            }
        }
    }

    #[test]
    fn short_counts_reach_small_shares() {
        let mut random = StdRng::seed_from_u64(5);
        let fell = (0..10_000).filter(|_| Fraction::new((1, 100), &mut random).falls()).count();
        assert!(fell.abs_diff(100) < 40, "{fell}");
    }
}
