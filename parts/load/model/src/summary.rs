//! The result of a load test: what is written as JSON, shown, judged and compared.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::figures::{Figures, Quantiles};
use crate::plan::Plan;
use crate::series::{self, Second};
use crate::tally::{StepTally, Tally};

/// The version of the form that [`Summary`] has as JSON. A higher one is refused in words. Version 1 had no `step`,
/// `requests` and `interrupted`.
pub const FORMAT: u32 = 2;

/// The result of a load test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// [`FORMAT`].
    pub format: u32,
    /// The version of purlin that made it.
    pub purlin: String,
    /// When the load began: RFC 3339, UTC.
    pub started: String,
    /// What was asked for.
    pub plan: Plan,
    /// A digest of the plan's scenarios and data as they were before [`Summary::hide_secrets`]; empty until then.
    #[serde(default)]
    pub requests: String,
    /// How long the load really lasted, without warm-up and without waiting for the last answers.
    #[serde(with = "crate::seconds")]
    pub lasted: Duration,
    /// What it comes to; computed from the rest.
    #[serde(default)]
    pub figures: Figures,
    /// What happened, without the warm-up.
    pub tally: Tally,
    /// The same by second, or by [`Summary::step`] of them, in order. The first one begins with the figures that count.
    pub series: Vec<Second>,
    /// How many seconds each of `series` stands for.
    #[serde(default = "one")]
    pub step: u64,
    /// What the generator says about itself.
    pub generator: Generator,
    /// What is missing in these figures, in words: a process that was lost, a run that was interrupted.
    pub missing: Vec<String>,
    /// Whether somebody ended it before its time.
    #[serde(default)]
    pub interrupted: bool,
    /// What its thresholds said.
    #[serde(default)]
    pub verdicts: Vec<Verdict>,
}

fn one() -> u64 {
    1
}

/// What a threshold said about a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The threshold as it was written.
    pub threshold: String,
    /// Whether the result is as it should be.
    pub passed: bool,
    /// What was measured, in words.
    pub measured: String,
}

/// What the generator says about itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Generator {
    /// Processes that sent.
    pub processes: u32,
    /// CPU time of all of them while the load lasted.
    #[serde(with = "crate::seconds")]
    pub cpu: Duration,
    /// The busiest sending thread's CPU time, as a share of the time that the load lasted.
    pub busiest_worker: f64,
    /// CPU time that other processes of the machine took, as a share of all its cores.
    pub others: f64,
    /// The largest resident memory of a process, in bytes.
    pub max_rss: u64,
}

impl Summary {
    /// With what follows from the rest: its figures, and a series that is not longer than [`series::MAX`].
    #[must_use]
    pub fn completed(mut self) -> Summary {
        let total = self.total();
        self.figures = Figures {
            sent: total.sent,
            succeeded: total.succeeded,
            failed: total.failed(),
            throughput: self.throughput(),
            error_share: self.error_share(),
            latency: Quantiles::of(&total.latency),
            service: Quantiles::of(&total.service),
            delay: Quantiles::of(&self.tally.delay),
            confession: self.confession(),
        };
        let factor = series::factor(self.series.len());
        self.series = series::coarser(&self.series, factor);
        self.step = self.step.saturating_mul(factor as u64);
        self
    }

    /// Takes out of the plan what may be secret, and keeps in its place what tells whether two results sent the same.
    /// Does nothing the second time.
    pub fn hide_secrets(&mut self) {
        if self.requests.is_empty() {
            self.requests = self.plan.digest();
            self.plan.hide_secrets();
        }
    }

    /// All steps as one.
    pub fn total(&self) -> StepTally {
        self.tally.total()
    }

    /// Requests a second that succeeded.
    pub fn throughput(&self) -> f64 {
        match self.lasted.as_secs_f64() {
            seconds if seconds > 0.0 => self.total().succeeded as f64 / seconds,
            _ => 0.0,
        }
    }

    /// The share of requests, 0 to 1, that failed; those that were never sent count as failed.
    pub fn error_share(&self) -> f64 {
        let total = self.total();
        let asked = total.asked().saturating_add(self.tally.not_sent);
        if asked == 0 { 0.0 } else { total.failed().saturating_add(self.tally.not_sent) as f64 / asked as f64 }
    }

    /// Where the generator itself limits or blurs the figures: sentences, worst first. Empty when it does not.
    pub fn confession(&self) -> Vec<String> {
        let mut said = Vec::new();
        let share = |count: u64| count as f64 / self.tally.offered.max(1) as f64;
        let own = share(self.tally.late_self);
        if own > 0.001 {
            let p99 = self.tally.delay.quantile(0.99);
            said.push(format!(
                "{:.1} % of the iterations began 1 ms late or more though a connection was free (p99 of all starts: {:.1} ms late): this machine is too slow or too busy for the rate",
                own * 100.0,
                p99.as_secs_f64() * 1e3
            ));
        }
        if self.generator.busiest_worker > 0.9 {
            said.push(format!(
                "a sending thread used {:.0} % of a core: more workers (--workers) or processes (--processes) are needed to see what the target can do",
                self.generator.busiest_worker * 100.0
            ));
        }
        let busy = share(self.tally.late_busy.saturating_add(self.tally.not_sent));
        if busy > 0.001 {
            said.push(format!(
                "{:.1} % of the iterations waited for a free connection: the target is slower than the rate asks, or needs more connections (--connections)",
                busy * 100.0
            ));
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use crate::tally::{ErrorKind, Outcome};

    #[test]
    fn figures_are_of_all_steps() {
        let mut summary = samples::summary(Duration::from_secs(2));
        for ms in 1..=100 {
            summary.tally.begin(Duration::ZERO, false);
            let outcome = if ms == 100 { Outcome::Unexpected(500, ErrorKind::Status) } else { Outcome::Answered(200) };
            summary.tally.steps[0].end(outcome, Duration::from_millis(ms), Duration::from_millis(1));
        }
        let figures = summary.completed().figures;
        assert_eq!((figures.sent, figures.succeeded, figures.failed), (100, 99, 1));
        assert_eq!((figures.throughput, figures.error_share), (49.5, 0.01));
        let p95 = figures.latency.p95.as_secs_f64();
        assert!((p95 / 0.095 - 1.0).abs() < 0.001, "{p95}");
        assert_eq!((figures.latency.count, figures.delay.max), (100, Duration::ZERO));
    }

    #[test]
    fn a_week_stays_small() {
        let mut summary = samples::summary(crate::words::MAX_DURATION);
        let second = |at| Second { at: Duration::from_secs(at), succeeded: 1_000, ..Second::default() };
        summary.series = (0..604_800).map(second).collect();
        let summary = summary.completed();
        let json = serde_json::to_string(&summary).unwrap();
        assert!(json.len() < 2 << 20, "{} bytes", json.len());
        assert_eq!((summary.step, summary.series.len()), (128, 4_725));
        assert_eq!(serde_json::from_str::<Summary>(&json).unwrap(), summary);
        // What is short enough stays as it is.
        assert_eq!(summary.clone().completed(), summary);
    }

    #[test]
    fn a_result_of_the_first_format_is_read() {
        let mut json = serde_json::to_value(samples::summary(Duration::from_secs(1))).unwrap();
        for field in ["step", "requests", "interrupted"] {
            json.as_object_mut().unwrap().shift_remove(field).unwrap();
        }
        let read: Summary = serde_json::from_value(json).unwrap();
        assert_eq!((read.step, read.requests.as_str(), read.interrupted), (1, "", false));
    }
}
