//! The seconds of a run as the points of a chart: neighbours are merged where there are more than a chart can show.

use std::time::Duration;

use purlin_load_model::series::{self, Second};
use purlin_load_model::summary::Summary;

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

/// How many become one so that there are at most `most`.
pub(super) fn merged(count: usize, most: usize) -> usize {
    count.div_ceil(most.max(1)).max(1)
}

/// At most `most` points.
pub(super) fn points(summary: &Summary, most: usize) -> Vec<Point> {
    let factor = merged(summary.series.len(), most);
    let merged = series::coarser(&summary.series, factor);
    let ends = merged.iter().skip(1).map(|next| next.at.as_secs_f64()).chain([end(summary)]);
    merged.iter().zip(ends).map(|(second, end)| point(second, end)).collect()
}

/// When the last of the series ended, which may have fewer seconds than the others.
fn end(summary: &Summary) -> f64 {
    let whole = Duration::from_secs(summary.step.clamp(1, 1 << 20));
    let last = summary.series.last().map(|second| second.at).unwrap_or_default();
    let lasted = (summary.plan.warm_up + summary.lasted).as_secs_f64().ceil();
    lasted.clamp(last.as_secs_f64() + 1.0, (last + whole).as_secs_f64())
}

fn point(second: &Second, to: f64) -> Point {
    let from = second.at.as_secs_f64();
    let rate = |count: u64| count as f64 / (to - from).max(1.0);
    Point {
        from,
        to,
        offered: rate(second.offered),
        succeeded: rate(second.succeeded),
        failed: rate(second.failed),
        in_flight: second.in_flight,
        latencies: [second.p50, second.p90, second.p99, second.max],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn summary(seconds: u64, step: u64) -> Summary {
        let second = |at| Second { at: Duration::from_secs(at), offered: 10, succeeded: at, ..Second::default() };
        let series: Vec<Second> = (0..seconds).map(second).collect();
        let mut summary = sample::empty(&[]);
        summary.series = series::coarser(&series, step as usize);
        (summary.step, summary.lasted) = (step, Duration::from_secs(seconds));
        summary
    }

    #[test]
    fn points_are_rates() {
        for step in [1, 3] {
            let points = points(&summary(7, step), 3);
            let seen: Vec<_> = points.iter().map(|p| (p.from, p.to, p.offered, p.succeeded)).collect();
            assert_eq!(seen, [(0.0, 3.0, 10.0, 1.0), (3.0, 6.0, 10.0, 4.0), (6.0, 7.0, 10.0, 6.0)], "{step}");
        }
    }

    #[test]
    fn there_are_never_too_many() {
        for count in [0, 1, 599, 600, 601, 3_600, 86_400] {
            let points = points(&summary(count, 1), 600);
            assert!(points.len() <= 600 && points.is_empty() == (count == 0), "{count}");
        }
    }

    #[test]
    fn a_step_that_is_none_is_drawn_all_the_same() {
        for step in [0, u64::MAX] {
            let summary = Summary { step, ..summary(7, 1) };
            assert!(points(&summary, 3).iter().all(|point| point.to > point.from && point.offered.is_finite()));
        }
    }
}
