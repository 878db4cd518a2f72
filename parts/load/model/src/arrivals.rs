//! The instants at which iterations are meant to begin.
//!
//! The stages of a pace are a rate over time; its integral is how many iterations should have begun. The i-th iteration
//! begins where that integral reaches i (constant spacing), or where it reaches the i-th point of a Poisson process of
//! rate 1. Of `shards` senders, shard s takes the points s, s + shards, s + 2 shards, ... or, since a Poisson process
//! splits into independent ones, a process of its own at the rate 1 / shards. So all shards together make the intended
//! load, without a word between them.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::plan::{Pace, Plan, Spacing, Stage};

/// One of several senders that share a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which one, from 0.
    pub index: u32,
    /// Of how many; at least 1.
    pub count: u32,
}

/// The intended instants of one shard, from the start of the load, ascending.
#[derive(Clone, Debug)]
pub struct Arrivals {
    stages: Vec<Stage>,
    points: Points,
    /// The instant of the point, while the stages reach it.
    next: Option<Duration>,
    /// The stage of that instant, when it began, and how many iterations should have begun by then.
    stage: usize,
    began: Duration,
    before: f64,
}

/// Where on the integral the next iteration begins: how many iterations of all shards should have begun by then.
#[derive(Clone, Debug)]
enum Points {
    Constant { index: u64, first: f64, step: f64 },
    Poisson { point: f64, rng: SmallRng, mean: f64 },
}

impl Plan {
    /// The intended instants of `shard`; there are none with a closed pace.
    pub fn arrivals(&self, shard: Shard) -> Option<Arrivals> {
        match &self.pace {
            Pace::Open { stages, spacing } => Some(Arrivals::new(stages, *spacing, shard, self.seed)),
            Pace::Closed { .. } => None,
        }
    }
}

impl Arrivals {
    /// The instants of `shard`. The same seed gives the same instants.
    pub fn new(stages: &[Stage], spacing: Spacing, shard: Shard, seed: u64) -> Arrivals {
        let (index, count) = (f64::from(shard.index), f64::from(shard.count.max(1)));
        let points = match spacing {
            Spacing::Constant => Points::Constant { index: 0, first: index, step: count },
            Spacing::Poisson => {
                let seed = seed ^ u64::from(shard.index).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                let mut points = Points::Poisson { point: 0.0, rng: SmallRng::seed_from_u64(seed), mean: count };
                points.advance();
                points
            }
        };
        let (began, before) = (Duration::ZERO, 0.0);
        let mut arrivals = Arrivals { stages: stages.to_vec(), points, next: None, stage: 0, began, before };
        arrivals.locate();
        arrivals
    }

    /// The next instant.
    pub fn peek(&self) -> Option<Duration> {
        self.next
    }

    /// Passes over all instants before `until` and returns how many there were. With constant spacing that costs the
    /// same for any number of them; a Poisson process has to draw each, but not to find its instant.
    pub fn skip_until(&mut self, until: Duration) -> u64 {
        if self.next.is_none_or(|at| at >= until) {
            return 0;
        }
        // Short of the last one: near the limit, it is the instants that decide.
        let mut passed = self.points.pass(begun_by(&self.stages, until) - 1.0);
        if passed > 0 {
            self.locate();
        }
        while self.next.is_some_and(|at| at < until) {
            self.next();
            passed += 1;
        }
        passed
    }

    /// Finds the instant of the current point.
    fn locate(&mut self) {
        let point = self.points.current();
        self.next = loop {
            let Some(stage) = self.stages.get(self.stage) else { break None };
            let seconds = stage.duration.as_secs_f64();
            let of_stage = (stage.from + stage.to) / 2.0 * seconds;
            // A constant rate of n a second has exactly n points in a second, whatever the rounding.
            let within = point - self.before;
            if within < of_stage - 1e-6 {
                let at = Duration::from_secs_f64(instant(stage, seconds, within).clamp(0.0, seconds));
                // Within the stage: its end is the beginning of the next one.
                break Some(self.began + at.min(stage.duration.saturating_sub(Duration::from_nanos(1))));
            }
            self.stage += 1;
            self.began += stage.duration;
            self.before += of_stage;
        };
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let at = self.next?;
        self.points.advance();
        self.locate();
        Some(at)
    }
}

impl Points {
    fn current(&self) -> f64 {
        match self {
            // Multiplied, not added up: no error grows over hours.
            Points::Constant { index, first, step } => *first + *index as f64 * *step,
            Points::Poisson { point, .. } => *point,
        }
    }

    fn advance(&mut self) {
        match self {
            Points::Constant { index, .. } => *index += 1,
            // The open interval (0, 1], so that the logarithm is finite.
            Points::Poisson { point, rng, mean } => *point -= (1.0 - rng.random::<f64>()).ln() * *mean,
        }
    }

    /// Passes over the points below `limit`; returns how many there were.
    fn pass(&mut self, limit: f64) -> u64 {
        if let Points::Constant { index, first, step } = self {
            let passed = (((limit - *first) / *step).ceil() as u64).saturating_sub(*index);
            *index += passed;
            return passed;
        }
        let mut passed = 0;
        while self.current() < limit {
            self.advance();
            passed += 1;
        }
        passed
    }
}

/// How many iterations of all shards should have begun by `at`, counted from the start: the integral of the rate.
pub(crate) fn begun_by(stages: &[Stage], at: Duration) -> f64 {
    let mut left = at;
    let mut begun = 0.0;
    for stage in stages {
        let (seconds, whole) = (left.min(stage.duration).as_secs_f64(), stage.duration.as_secs_f64());
        if seconds > 0.0 {
            let reached = stage.from + (stage.to - stage.from) * seconds / whole;
            begun += (stage.from + reached) / 2.0 * seconds;
        }
        left = left.saturating_sub(stage.duration);
    }
    begun
}

/// When, in seconds from the beginning of `stage`, `count` iterations of it should have begun: the root t of
/// from t + (to - from) t^2 / (2 seconds) = count.
fn instant(stage: &Stage, seconds: f64, count: f64) -> f64 {
    let slope = (stage.to - stage.from) / seconds;
    let root = (stage.from * stage.from + 2.0 * slope * count).max(0.0).sqrt();
    // This form of the solution loses no digits where the slope is small, and holds where it is none.
    match stage.from + root {
        sum if sum > 0.0 => 2.0 * count / sum,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stage(seconds: f64, from: f64, to: f64) -> Stage {
        Stage { duration: Duration::from_secs_f64(seconds), from, to }
    }

    fn all(stages: &[Stage], spacing: Spacing, shards: u32) -> Vec<Duration> {
        let shard = |index| Arrivals::new(stages, spacing, Shard { index, count: shards }, 7);
        let mut all: Vec<Duration> = (0..shards).flat_map(shard).collect();
        all.sort();
        all
    }

    fn milliseconds(instants: &[Duration]) -> Vec<u128> {
        instants.iter().map(|at| (at.as_secs_f64() * 1e3).round() as u128).collect()
    }

    #[test]
    fn a_constant_rate_is_even() {
        let found = all(&[stage(1.0, 10.0, 10.0)], Spacing::Constant, 1);
        assert_eq!(milliseconds(&found), [0, 100, 200, 300, 400, 500, 600, 700, 800, 900]);
    }

    #[test]
    fn steps_and_pauses_follow_each_other() {
        let stages = [stage(1.0, 2.0, 2.0), stage(1.0, 0.0, 0.0), stage(0.5, 4.0, 4.0)];
        assert_eq!(milliseconds(&all(&stages, Spacing::Constant, 3)), [0, 500, 2000, 2250]);
    }

    #[test]
    fn a_ramp_has_its_area() {
        // 1/2 slope t^2 = i, with a slope of 10 a second each second.
        let up = all(&[stage(2.0, 0.0, 20.0)], Spacing::Constant, 1);
        assert_eq!(up.len(), 20);
        for (i, at) in up.iter().enumerate() {
            assert!((at.as_secs_f64() - (i as f64 / 5.0).sqrt()).abs() < 1e-6, "{i}");
        }
        assert_eq!(all(&[stage(2.0, 20.0, 0.0)], Spacing::Constant, 1).len(), 20);
    }

    #[test]
    fn shards_make_the_whole() {
        let stages = [stage(1.3, 100.0, 700.0), stage(0.7, 700.0, 30.0)];
        assert_eq!(all(&stages, Spacing::Constant, 1), all(&stages, Spacing::Constant, 7));
    }

    #[test]
    fn poisson_arrivals_have_the_rate_and_are_uneven() {
        for shards in [1, 8] {
            let found = all(&[stage(20.0, 1000.0, 1000.0)], Spacing::Poisson, shards);
            // Within five standard deviations of the mean.
            assert!((found.len() as f64 - 20_000.0).abs() < 5.0 * 20_000_f64.sqrt(), "{}", found.len());
            // Gaps are exponential: their standard deviation is their mean.
            let gaps: Vec<f64> = found.windows(2).map(|two| (two[1] - two[0]).as_secs_f64() * 1e3).collect();
            let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
            let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
            assert!((variance.sqrt() / mean - 1.0).abs() < 0.05, "{} {mean}", variance.sqrt());
        }
        let again = all(&[stage(1.0, 50.0, 50.0)], Spacing::Poisson, 2);
        assert_eq!(again, all(&[stage(1.0, 50.0, 50.0)], Spacing::Poisson, 2));
    }

    #[test]
    fn passing_over_many_costs_as_much_as_over_few() {
        // 36 billion: were they counted one by one, nobody would wait for the end of this test.
        let mut arrivals =
            Arrivals::new(&[stage(3600.0, 1e7, 1e7)], Spacing::Constant, Shard { index: 0, count: 1 }, 7);
        assert_eq!(arrivals.skip_until(Duration::from_secs(3600)), 36_000_000_000);
        assert_eq!(arrivals.next(), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn instants_ascend_within_the_stages(
            parts in prop::collection::vec((1..2000_u64, 0.0..500.0_f64, 0.0..500.0_f64), 1..5),
            poisson: bool,
            index in 0..3_u32,
        ) {
            let stages: Vec<Stage> =
                parts.iter().map(|(ms, from, to)| stage(*ms as f64 / 1e3, *from, *to)).collect();
            let spacing = if poisson { Spacing::Poisson } else { Spacing::Constant };
            let found: Vec<Duration> = Arrivals::new(&stages, spacing, Shard { index, count: 3 }, 1).collect();
            let total: Duration = stages.iter().map(|stage| stage.duration).sum();
            prop_assert!(found.windows(2).all(|two| two[0] <= two[1]));
            prop_assert!(found.iter().all(|at| *at < total));
        }

        #[test]
        fn what_is_passed_over_is_what_would_have_come(
            parts in prop::collection::vec((1..2000_u64, 0.0..500.0_f64, 0.0..500.0_f64), 1..5),
            flat: bool,
            poisson: bool,
            index in 0..3_u32,
            taken in 0..50_usize,
            shares in prop::collection::vec(0.0..1.2_f64, 1..4),
        ) {
            let stages: Vec<Stage> = parts
                .iter()
                .map(|(ms, from, to)| stage(*ms as f64 / 1e3, *from, if flat { *from } else { *to }))
                .collect();
            let spacing = if poisson { Spacing::Poisson } else { Spacing::Constant };
            let mut arrivals = Arrivals::new(&stages, spacing, Shard { index, count: 3 }, 1);
            let mut all: Vec<Duration> = arrivals.clone().collect();
            all.drain(..arrivals.by_ref().take(taken).count());
            let total: Duration = stages.iter().map(|stage| stage.duration).sum();
            // An instant itself is a limit, too: it stays.
            let limits = shares.iter().map(|share| total.mul_f64(*share)).chain(all.get(3).copied());
            for until in limits.collect::<Vec<_>>() {
                let before = all.partition_point(|at| *at < until);
                all.drain(..before);
                prop_assert_eq!(arrivals.skip_until(until), before as u64);
                prop_assert_eq!(arrivals.peek(), all.first().copied());
            }
            prop_assert_eq!(arrivals.collect::<Vec<_>>(), all);
        }
    }
}
