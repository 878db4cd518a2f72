//! What happened second by second, kept short: of a long run, neighbouring seconds become one.
//!
//! Counts are added up exactly. Quantiles cannot be: of several seconds, the median of their medians stays, and otherwise
//! what the worst of them had, since a stall is what a series is looked at for. The whole run has its histogram.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The most seconds, or merged ones, that a result has: two hours before any are merged.
pub const MAX: usize = 7_200;

/// One second of a run, or several that were merged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// When it began, from the start of the load.
    #[serde(with = "crate::seconds")]
    pub at: Duration,
    /// Iterations that were meant to begin in it.
    pub offered: u64,
    /// Answers that came in it and were as expected.
    pub succeeded: u64,
    /// Requests that failed in it.
    pub failed: u64,
    /// Requests in flight at its end; of merged ones, the most.
    pub in_flight: u64,
    /// Latencies of what ended in it: 50 %.
    #[serde(with = "crate::seconds")]
    pub p50: Duration,
    /// 90 %.
    #[serde(with = "crate::seconds")]
    pub p90: Duration,
    /// 99 %.
    #[serde(with = "crate::seconds")]
    pub p99: Duration,
    /// The longest.
    #[serde(with = "crate::seconds")]
    pub max: Duration,
}

/// How many become one so that there are at most [`MAX`]: a power of two.
pub(crate) fn factor(seconds: usize) -> usize {
    seconds.div_ceil(MAX).max(1).next_power_of_two()
}

/// The same with `factor` neighbours as one.
pub fn coarser(series: &[Second], factor: usize) -> Vec<Second> {
    if factor <= 1 { series.to_vec() } else { series.chunks(factor).map(merged).collect() }
}

/// `seconds` as one; nothing has happened where there are none.
pub fn merged(seconds: &[Second]) -> Second {
    let sum = |figure: fn(&Second) -> u64| seconds.iter().map(figure).fold(0, u64::saturating_add);
    let worst = |figure: fn(&Second) -> Duration| seconds.iter().map(figure).max().unwrap_or_default();
    Second {
        at: seconds.first().map(|second| second.at).unwrap_or_default(),
        offered: sum(|second| second.offered),
        succeeded: sum(|second| second.succeeded),
        failed: sum(|second| second.failed),
        in_flight: seconds.iter().map(|second| second.in_flight).max().unwrap_or_default(),
        p50: median(seconds),
        p90: worst(|second| second.p90),
        p99: worst(|second| second.p99),
        max: worst(|second| second.max),
    }
}

/// The median of what was in the middle of each second: the worst would tell of none of them what was usual. Seconds in
/// which nothing ended say nothing.
fn median(seconds: &[Second]) -> Duration {
    let mut middles: Vec<Duration> = seconds.iter().map(|second| second.p50).filter(|p50| !p50.is_zero()).collect();
    middles.sort_unstable();
    middles.get(middles.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_added_up_and_the_worst_is_kept() {
        let second = |at| Second {
            at: Duration::from_secs(at),
            offered: 10,
            succeeded: at,
            in_flight: at % 3,
            p50: Duration::from_millis(if at == 5 { 0 } else { 7 - at }),
            max: Duration::from_millis(if at == 4 { 900 } else { 1 }),
            ..Second::default()
        };
        let series: Vec<Second> = (0..7).map(second).collect();
        let merged = coarser(&series, 3);
        let seen: Vec<_> = merged
            .iter()
            .map(|s| (s.at.as_secs(), s.offered, s.succeeded, s.in_flight, s.p50.as_millis(), s.max.as_millis()))
            .collect();
        assert_eq!(seen, [(0, 30, 3, 2, 6, 1), (3, 30, 12, 2, 4, 900), (6, 10, 6, 0, 1, 1)]);
        assert_eq!(coarser(&series, 1), series);
    }

    #[test]
    fn there_are_never_too_many() {
        let check = |seconds: usize, expected: usize| {
            assert_eq!(factor(seconds), expected, "{seconds}");
            assert!(seconds.div_ceil(factor(seconds)) <= MAX);
        };
        check(0, 1);
        check(MAX, 1);
        check(MAX + 1, 2);
        check(86_400, 16);
        check(604_800, 128);
    }
}
