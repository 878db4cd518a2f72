//! The result of a load test: what is written as JSON, shown, judged and compared.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::figures::Figures;
use crate::plan::Plan;
use crate::tally::{StepTally, Tally};
use crate::threshold::Verdict;

/// The version of the form that [`Summary`] has as JSON. A higher one is refused in words.
pub const FORMAT: u32 = 1;

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
    /// How long the load really lasted, without warm-up and without waiting for the last answers.
    #[serde(with = "crate::seconds")]
    pub lasted: Duration,
    /// What it comes to; computed from the rest.
    #[serde(default)]
    pub figures: Figures,
    /// What happened, without the warm-up.
    pub tally: Tally,
    /// The same by second, in order. The first one begins with the figures that count.
    pub series: Vec<Second>,
    /// What the generator says about itself.
    pub generator: Generator,
    /// What is missing in these figures, in words: a process that was lost, a run that was interrupted.
    pub missing: Vec<String>,
    /// What its thresholds said.
    #[serde(default)]
    pub verdicts: Vec<Verdict>,
}

/// One second of a run.
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
    /// Requests in flight at its end.
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
