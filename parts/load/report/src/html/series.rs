//! The seconds of a run as the points of a chart: neighbours are merged where there are more than a chart can show.

use std::time::Duration;

use purlin_load_model::summary::Second;

/// One or several seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Point {
    /// When it began, in seconds from the start of the load.
    pub(super) from: f64,
    /// When it ended.
    pub(super) to: f64,
    /// Iterations offered a second.
    pub(super) offered: f64,
    /// Requests a second that succeeded.
    pub(super) succeeded: f64,
    /// Requests a second that failed.
    pub(super) failed: f64,
    /// The most requests in flight.
    pub(super) in_flight: u64,
    /// 50 %: the median of the seconds in which something ended. 90 %, 99 % and the longest: each of the second in which
    /// it was worst. Zero where nothing ended.
    pub(super) latencies: [Duration; 4],
}

impl Point {
    /// The middle of its time.
    pub(super) fn middle(&self) -> f64 {
        f64::midpoint(self.from, self.to)
    }
}

/// How many seconds become one so that there are at most `most`.
pub(super) fn merged(seconds: usize, most: usize) -> usize {
    seconds.div_ceil(most.max(1)).max(1)
}

/// At most `most` points.
pub(super) fn points(series: &[Second], most: usize) -> Vec<Point> {
    series.chunks(merged(series.len(), most)).map(merge).collect()
}

fn merge(seconds: &[Second]) -> Point {
    let count = seconds.len().max(1) as f64;
    let mean = |figure: fn(&Second) -> u64| seconds.iter().map(|second| figure(second) as f64).sum::<f64>() / count;
    let worst = |figure: fn(&Second) -> Duration| seconds.iter().map(figure).max().unwrap_or_default();
    let from = seconds.first().map_or(0.0, |second| second.at.as_secs_f64());
    Point {
        from,
        to: seconds.last().map_or(from, |second| second.at.as_secs_f64()) + 1.0,
        offered: mean(|second| second.offered),
        succeeded: mean(|second| second.succeeded),
        failed: mean(|second| second.failed),
        in_flight: seconds.iter().map(|second| second.in_flight).max().unwrap_or_default(),
        latencies: [
            median(seconds),
            worst(|second| second.p90),
            worst(|second| second.p99),
            worst(|second| second.max),
        ],
    }
}

/// The median of what was in the middle of each second: the worst would tell of none of them what was usual.
fn median(seconds: &[Second]) -> Duration {
    let mut middles: Vec<Duration> = seconds.iter().map(|second| second.p50).filter(|p50| !p50.is_zero()).collect();
    middles.sort_unstable();
    middles.get(middles.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_merged_and_the_worst_is_kept() {
        let second = |at| Second {
            at: Duration::from_secs(at),
            offered: 10,
            succeeded: at,
            p50: Duration::from_millis(if at == 5 { 0 } else { 7 - at }),
            max: Duration::from_millis(if at == 4 { 900 } else { 1 }),
            ..Second::default()
        };
        let series: Vec<Second> = (0..7).map(second).collect();
        let points = points(&series, 3);
        let seen: Vec<_> = points.iter().map(|p| (p.from, p.to, p.succeeded, p.latencies[3].as_millis())).collect();
        assert_eq!(seen, [(0.0, 3.0, 1.0, 1), (3.0, 6.0, 4.0, 900), (6.0, 7.0, 6.0, 1)]);
        assert!(points.iter().all(|point| point.offered == 10.0));
        let medians: Vec<_> = points.iter().map(|point| point.latencies[0].as_millis()).collect();
        assert_eq!(medians, [6, 4, 1]);
    }

    #[test]
    fn there_are_never_too_many() {
        for count in [0, 1, 599, 600, 601, 3_600, 86_400] {
            let points = points(&vec![Second::default(); count], 600);
            assert!(points.len() <= 600 && points.is_empty() == (count == 0), "{count}");
        }
    }
}
