//! The figures that people and scripts look for first; a result computes them and is written with them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::histogram::Histogram;

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
