//! Adds up what sending threads report, second by second, to the result.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use purlin_load_model::figures::Figures;
use purlin_load_model::plan::Plan;
use purlin_load_model::series::Second;
use purlin_load_model::summary::{FORMAT, Generator, Summary};
use purlin_load_model::tally::Tally;

use crate::report::Report;

/// How far a run is, once a second.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The second that has just ended.
    pub second: &'a Second,
    /// What has happened so far, the warm-up left out.
    pub tally: &'a Tally,
    /// Connections that are open.
    pub open: u64,
}

/// Adds up reports.
pub(crate) struct Collector {
    plan: Plan,
    total: Tally,
    seconds: BTreeMap<u64, Part>,
    series: Vec<Second>,
    /// Threads that still report, with the second of their last report.
    running: BTreeMap<u32, Option<u64>>,
    waiting: BTreeSet<u32>,
    generator: Generator,
    busiest: Duration,
    missing: Vec<String>,
}

/// What was reported about one second so far.
#[derive(Default)]
struct Part {
    due: u64,
    tally: Tally,
    in_flight: u64,
    open: u64,
}

impl Collector {
    /// One for `plan`, which `workers` threads send.
    pub(crate) fn new(plan: Plan, workers: u32) -> Collector {
        Collector {
            plan,
            total: Tally::default(),
            seconds: BTreeMap::new(),
            series: Vec::new(),
            running: (0..workers).map(|worker| (worker, None)).collect(),
            waiting: (0..workers).collect(),
            generator: Generator::default(),
            busiest: Duration::ZERO,
            missing: Vec::new(),
        }
    }

    /// Whether every thread is ready, or gone.
    pub(crate) fn ready(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether no thread will report again.
    pub(crate) fn ended(&self) -> bool {
        self.running.is_empty()
    }

    /// What the figures lack so far.
    pub(crate) fn missing(&self) -> &[String] {
        &self.missing
    }

    /// Notes something that the figures lack.
    pub(crate) fn miss(&mut self, what: String) {
        self.missing.push(what);
    }

    /// Takes a report; `progress` is told of each second that is complete by it.
    pub(crate) fn take(&mut self, report: Report, progress: &mut dyn FnMut(&Progress<'_>)) {
        match report {
            Report::Ready { worker } => drop(self.waiting.remove(&worker)),
            Report::Interval { worker, second, due, tally, in_flight, open } => {
                self.total.merge(&tally);
                let part = self.seconds.entry(second).or_default();
                part.tally.merge(&tally);
                part.due = part.due.saturating_add(due);
                part.in_flight = part.in_flight.saturating_add(in_flight);
                part.open = part.open.saturating_add(open);
                if let Some(last) = self.running.get_mut(&worker) {
                    *last = Some(second);
                }
            }
            Report::Ended { worker, cpu } => {
                self.leave(worker);
                self.busiest = self.busiest.max(cpu);
            }
            Report::Lost { worker, reason } => {
                self.leave(worker);
                if !self.missing.contains(&reason) {
                    self.missing.push(reason);
                }
            }
            Report::Process { cpu, others, max_rss, .. } => {
                self.generator.processes = self.generator.processes.saturating_add(1);
                self.generator.cpu = self.generator.cpu.saturating_add(cpu);
                self.generator.others = self.generator.others.max(others);
                self.generator.max_rss = self.generator.max_rss.max(max_rss);
            }
        }
        self.complete(progress);
    }

    fn leave(&mut self, worker: u32) {
        self.running.remove(&worker);
        self.waiting.remove(&worker);
    }

    /// Closes the seconds that no thread will add to.
    fn complete(&mut self, progress: &mut dyn FnMut(&Progress<'_>)) {
        while let Some(entry) = self.seconds.first_entry() {
            let second = *entry.key();
            if self.running.values().any(|last| last.is_none_or(|last| last < second)) {
                return;
            }
            let part = entry.remove();
            // A report a little late, of a second that is closed already: its counts are in the total.
            if self.series.len() as u64 > second {
                continue;
            }
            while (self.series.len() as u64) < second {
                self.series.push(self.second(self.series.len() as u64, &Part::default()));
            }
            let closed = self.second(second, &part);
            progress(&Progress { second: &closed, tally: &self.total, open: part.open });
            self.series.push(closed);
        }
    }

    fn second(&self, second: u64, part: &Part) -> Second {
        let all = part.tally.total();
        let at = self.plan.warm_up.saturating_add(Duration::from_secs(second));
        Second {
            at,
            offered: part.due,
            succeeded: all.succeeded,
            failed: all.failed(),
            in_flight: part.in_flight,
            p50: all.latency.quantile(0.5),
            p90: all.latency.quantile(0.9),
            p99: all.latency.quantile(0.99),
            max: all.latency.max(),
        }
    }

    /// The result of a run that began at `started` (RFC 3339) and whose figures lasted `lasted`.
    pub(crate) fn finish(mut self, started: String, lasted: Duration, interrupted: bool) -> Summary {
        self.running.clear();
        self.complete(&mut |_| {});
        if lasted > Duration::ZERO {
            self.generator.busiest_worker = self.busiest.as_secs_f64() / lasted.as_secs_f64();
        }
        // Of the answers that came after the end, there is no second. What threads that were told to stop a moment later
        // were still meant to begin belongs to the last one.
        let ends = self.plan.warm_up + lasted;
        let after = self.series.split_off(self.series.partition_point(|second| second.at < ends));
        if let Some(last) = self.series.last_mut() {
            last.offered = after.iter().fold(last.offered, |sum, second| sum.saturating_add(second.offered));
        }
        let summary = Summary {
            format: FORMAT,
            purlin: env!("CARGO_PKG_VERSION").to_owned(),
            started,
            plan: self.plan,
            requests: String::new(),
            lasted,
            figures: Figures::default(),
            tally: self.total,
            series: self.series,
            step: 1,
            generator: self.generator,
            missing: self.missing,
            interrupted,
            verdicts: Vec::new(),
        };
        summary.completed()
    }
}
