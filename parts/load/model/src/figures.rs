//! The figures that people and scripts look for first, computed from a result and written beside it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::histogram::Histogram;
use crate::summary::Summary;

/// What a result comes to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Requests that were sent.
    pub sent: u64,
    /// Requests with an answer as expected.
    pub succeeded: u64,
    /// Requests without one.
    pub failed: u64,
    /// Requests a second that succeeded.
    pub throughput: f64,
    /// The share, 0 to 1, of what failed or was never sent.
    pub error_share: f64,
    /// From the intended start to the end of the answer.
    pub latency: Quantiles,
    /// From the sending to the end of the answer.
    pub service: Quantiles,
    /// From the intended start to the sending.
    pub delay: Quantiles,
    /// Where the generator itself limits or blurs the figures.
    pub confession: Vec<String>,
}

/// A distribution of durations, in seconds where it is JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// How many there are.
    pub count: u64,
    /// The mean.
    #[serde(with = "crate::seconds")]
    pub mean: Duration,
    /// The shortest.
    #[serde(with = "crate::seconds")]
    pub min: Duration,
    /// 50 %.
    #[serde(with = "crate::seconds")]
    pub p50: Duration,
    /// 90 %.
    #[serde(with = "crate::seconds")]
    pub p90: Duration,
    /// 95 %.
    #[serde(with = "crate::seconds")]
    pub p95: Duration,
    /// 99 %.
    #[serde(with = "crate::seconds")]
    pub p99: Duration,
    /// 99.9 %.
    #[serde(with = "crate::seconds")]
    pub p999: Duration,
    /// The longest.
    #[serde(with = "crate::seconds")]
    pub max: Duration,
}

impl Figures {
    /// Those of `summary`.
    pub fn of(summary: &Summary) -> Figures {
        let total = summary.total();
        Figures {
            sent: total.sent,
            succeeded: total.succeeded,
            failed: total.failed(),
            throughput: summary.throughput(),
            error_share: summary.error_share(),
            latency: Quantiles::of(&total.latency),
            service: Quantiles::of(&total.service),
            delay: Quantiles::of(&summary.tally.delay),
            confession: summary.confession(),
        }
    }
}

impl Quantiles {
    /// Those of `histogram`.
    pub fn of(histogram: &Histogram) -> Quantiles {
        Quantiles {
            count: histogram.count(),
            mean: histogram.mean(),
            min: histogram.min(),
            p50: histogram.quantile(0.5),
            p90: histogram.quantile(0.9),
            p95: histogram.quantile(0.95),
            p99: histogram.quantile(0.99),
            p999: histogram.quantile(0.999),
            max: histogram.max(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use crate::tally::{ErrorKind, Outcome};

    #[test]
    fn they_are_of_all_steps() {
        let mut summary = samples::summary(Duration::from_secs(2));
        for ms in 1..=100 {
            summary.tally.begin(Duration::ZERO, false);
            let outcome = if ms == 100 { Outcome::Unexpected(500, ErrorKind::Status) } else { Outcome::Answered(200) };
            summary.tally.steps[0].end(outcome, Duration::from_millis(ms), Duration::from_millis(1));
        }
        let figures = Figures::of(&summary);
        assert_eq!((figures.sent, figures.succeeded, figures.failed), (100, 99, 1));
        assert_eq!((figures.throughput, figures.error_share), (49.5, 0.01));
        let p95 = figures.latency.p95.as_secs_f64();
        assert!((p95 / 0.095 - 1.0).abs() < 0.001, "{p95}");
        assert_eq!((figures.latency.count, figures.delay.max), (100, Duration::ZERO));
    }
}
