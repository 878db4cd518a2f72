//! What the senders of one thread share.
//!
//! All of it lives on one thread, so state is in cells, not behind locks. The thread has one buffer that all its
//! connections read into: a connection that waits costs its socket and a small task.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use purlin_load_model::arrivals::{Arrivals, Shard};
use purlin_load_model::plan::Plan;
use purlin_load_model::tally::{ErrorKind, Outcome, Tally};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use crate::connect::{Dialer, Socket};
use crate::pacer::Leftovers;
use crate::prepare::Prepared;
use crate::report::Report;

/// What the senders of one thread share.
pub(crate) struct Worker {
    /// The plan of this process.
    pub plan: Arc<Plan>,
    /// Its requests, made ready for the wire.
    pub prepared: Arc<Prepared>,
    /// How to reach the target.
    pub dialer: Arc<Dialer>,
    /// Which part of the load this thread sends.
    pub shard: Shard,
    /// What happened since the last report.
    pub tally: RefCell<Tally>,
    /// Where answers are read into.
    pub buffer: RefCell<Box<[u8]>>,
    /// Random numbers of this thread.
    pub rng: RefCell<SmallRng>,
    /// When the load began; before it has, nothing counts.
    pub began: Cell<Option<Instant>>,
    /// How long after that it ended, or was stopped: what was due later was never due.
    pub ended: Cell<Option<Duration>>,
    /// Requests in flight whose figures count, by step.
    pub in_flight: Box<[Cell<u64>]>,
    /// Connections that are open.
    pub open: Cell<u64>,
    /// The second of the figures that the next report is about.
    pub second: Cell<u64>,
    /// The arrivals of this thread that no report has told of yet, with an open pace.
    untold: RefCell<Option<Arrivals>>,
}

/// How much is read at a time. More would not fit the processor's first caches.
const BUFFER: usize = 32 * 1024;

impl Worker {
    /// What the thread that sends `shard` begins with.
    pub(crate) fn new(plan: Arc<Plan>, prepared: Arc<Prepared>, dialer: Arc<Dialer>, shard: Shard) -> Worker {
        let mut untold = plan.arrivals(shard);
        if let Some(arrivals) = &mut untold {
            arrivals.skip_until(plan.warm_up);
        }
        Worker {
            shard,
            untold: RefCell::new(untold),
            tally: RefCell::new(Tally::new(prepared.steps())),
            buffer: RefCell::new(vec![0; BUFFER].into_boxed_slice()),
            rng: RefCell::new(SmallRng::seed_from_u64(plan.seed ^ (u64::from(shard.index) << 32))),
            began: Cell::new(None),
            ended: Cell::new(None),
            in_flight: (0..prepared.steps()).map(|_| Cell::new(0)).collect(),
            open: Cell::new(0),
            second: Cell::new(0),
            plan,
            prepared,
            dialer,
        }
    }

    /// Whether what was meant to begin at `intended` counts: the warm-up is over.
    pub(crate) fn counts(&self, intended: Instant) -> bool {
        self.began.get().is_some_and(|began| intended >= began + self.plan.warm_up)
    }

    /// Opens a connection and counts what it took.
    pub(crate) async fn connect(&self) -> Result<Socket, ErrorKind> {
        let began = Instant::now();
        let opened = self.dialer.connect().await;
        let tally = &mut *self.tally.borrow_mut();
        match &opened {
            Ok(_) => {
                tally.connect.record(began.elapsed());
                self.open.set(self.open.get() + 1);
            }
            Err(error) => {
                *tally.connect_errors.entry(*error).or_default() += 1;
                tally.tls_failure = self.dialer.tls_failure();
            }
        }
        opened
    }

    /// Counts a connection that is closed.
    pub(crate) fn closed(&self) {
        self.open.set(self.open.get().saturating_sub(1));
    }

    /// Counts a request of `step` that could not be made.
    pub(crate) fn refuse(&self, step: usize, error: ErrorKind) {
        if let Some(step) = self.tally.borrow_mut().steps.get_mut(step) {
            step.refuse(error);
        }
    }

    /// What happened since the last report. Seconds are numbered by their reports and not by the clock: a report that
    /// comes late is still about its own.
    pub(crate) fn report(&self) -> Report {
        let end = self.plan.warm_up + Duration::from_secs(self.second.get() + 1);
        self.report_until(self.ended.get().map_or(end, |ended| ended.min(end)))
    }

    /// The last report: what no report has told of yet.
    pub(crate) fn last_report(&self) -> Report {
        self.report_until(self.ended.get().unwrap_or_default())
    }

    fn report_until(&self, end: Duration) -> Report {
        let tally = std::mem::replace(&mut *self.tally.borrow_mut(), Tally::new(self.prepared.steps()));
        let due = match &mut *self.untold.borrow_mut() {
            Some(arrivals) => arrivals.skip_until(end),
            None => tally.offered,
        };
        Report::Interval {
            worker: self.shard.index,
            second: self.second.replace(self.second.get() + 1),
            due,
            tally: Box::new(tally),
            in_flight: self.in_flight.iter().map(Cell::get).sum(),
            open: self.open.get(),
        }
    }

    /// Accounts for what of `left` was due, which never began, and for what did not end.
    pub(crate) fn close(&self, left: Leftovers) {
        let (Some(began), Some(ended)) = (self.began.get(), self.ended.get()) else { return };
        for start in left.given.iter().filter(|start| self.counts(start.intended)) {
            self.skip(start.number..start.number + 1, (began + ended).saturating_duration_since(start.intended));
        }
        if let Some(arrivals) = left.arrivals {
            self.skip_due(*arrivals, left.number, ended);
        }
        let tally = &mut *self.tally.borrow_mut();
        for (step, in_flight) in tally.steps.iter_mut().zip(&self.in_flight) {
            for _ in 0..in_flight.take() {
                step.end(Outcome::Failed(ErrorKind::Unfinished), Duration::ZERO, Duration::ZERO);
            }
        }
    }
    /// Counts the arrivals before `ended`, of which the first has this number. There may be millions: those whose wait
    /// the histogram does not tell apart are counted at once.
    fn skip_due(&self, mut arrivals: Arrivals, mut number: u64, ended: Duration) {
        number += arrivals.skip_until(self.plan.warm_up.min(ended));
        while let Some(at) = arrivals.peek().filter(|at| *at < ended) {
            let waited = ended - at;
            let shortest = self.tally.borrow().delay.shortest_like(waited);
            let alike = arrivals.skip_until(ended.saturating_sub(shortest) + Duration::from_nanos(1));
            self.skip(number..number + alike, waited);
            number += alike;
        }
    }

    /// Counts iterations that never began, each with the scenario that it would have run.
    fn skip(&self, numbers: Range<u64>, waited: Duration) {
        let tally = &mut *self.tally.borrow_mut();
        let mut skip = |scenario: usize, count: u64| {
            let step = self.prepared.scenario(scenario).first().map_or(0, |step| step.index);
            tally.skip_all(step, waited, count);
        };
        if self.plan.scenarios.len() == 1 {
            return skip(0, numbers.end - numbers.start);
        }
        let mut drawn = vec![0; self.plan.scenarios.len()];
        for number in numbers {
            if let Some(count) = drawn.get_mut(self.plan.scenario_of(self.shard.number(number))) {
                *count += 1;
            }
        }
        drawn
            .into_iter()
            .enumerate()
            .filter(|(_, count)| *count > 0)
            .for_each(|(scenario, count)| skip(scenario, count));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use purlin_load_model::plan::{Pace, Spacing, Stage};
    use purlin_load_model::tally::StepTally;

    use super::*;
    use crate::pacer::Start;
    use crate::samples;

    const MS: Duration = Duration::from_millis(1);

    fn tally(report: Report) -> (u64, Tally) {
        match report {
            Report::Interval { due, tally, .. } => (due, *tally),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn seconds_add_up_to_the_whole() {
        let check = async |rate: f64, warm_up: Duration, ended: Duration, expected: &[u64]| {
            let plan = Plan { pace: samples::constant(rate, 6), warm_up, ..samples::plan() };
            let (mut found, mut offered) = (vec![0; expected.len()], 0);
            for index in 0..2 {
                let worker = samples::worker(&plan, index).await;
                worker.began.set(Some(Instant::now()));
                for (second, due) in found.iter_mut().enumerate() {
                    if second + 1 == expected.len() {
                        worker.ended.set(Some(ended));
                    }
                    *due += tally(worker.report()).0;
                }
                let arrivals = plan.arrivals(worker.shard).map(Box::new);
                worker.close(Leftovers { given: Vec::new(), number: 0, arrivals });
                let (due, tally) = tally(worker.last_report());
                assert_eq!(due, 0, "{rate}");
                offered += tally.offered;
            }
            assert_eq!((&found[..], offered), (expected, expected.iter().sum()), "{rate}");
        };
        check(1.5, Duration::ZERO, MS * 6000, &[2, 1, 2, 1, 2, 1]).await;
        check(1.5, MS * 2000, MS * 6000, &[2, 1, 2, 1]).await;
        check(0.4, Duration::ZERO, MS * 6000, &[1, 0, 1, 0, 0, 1]).await;
        // Stopped, though the thread is a second behind with its reports.
        check(10.0, Duration::ZERO, MS * 2450, &[10, 10, 5]).await;
    }

    #[tokio::test]
    async fn what_never_began_is_counted_as_if_one_by_one() {
        let stages = vec![
            Stage { duration: MS * 1000, from: 20_000.0, to: 90_000.0 },
            Stage { duration: MS * 500, from: 0.0, to: 0.0 },
            Stage { duration: MS * 1000, from: 50_000.0, to: 50_000.0 },
        ];
        let scenarios = vec![samples::scenario("a", "/a"), samples::scenario("b", "/b")];
        for (spacing, scenarios) in [
            (Spacing::Constant, scenarios[..1].to_vec()),
            (Spacing::Constant, scenarios.clone()),
            (Spacing::Poisson, scenarios.clone()),
        ] {
            let pace = Pace::Open { stages: stages.clone(), spacing };
            let plan = Plan { pace, warm_up: MS * 100, scenarios, ..samples::plan() };
            let worker = samples::worker(&plan, 1).await;
            let (began, ended) = (Instant::now(), MS * 2300);
            worker.began.set(Some(began));
            worker.ended.set(Some(ended));
            let mut arrivals = plan.arrivals(worker.shard).unwrap();
            assert!(arrivals.by_ref().take(7).count() == 7);
            let given = vec![Start { intended: began + MS * 150, number: 6, busy: false }];

            let mut expected = Tally::new(plan.scenarios.len());
            let numbered = (7..).zip(arrivals.clone()).filter(|(_, at)| *at >= plan.warm_up && *at < ended);
            for (number, at) in numbered.chain([(6, MS * 150)]) {
                expected.skip(plan.scenario_of(worker.shard.number(number)), ended - at);
            }
            worker.close(Leftovers { given, number: 7, arrivals: Some(Box::new(arrivals)) });
            let (_, found) = tally(worker.last_report());
            assert_eq!((found.offered, found.not_sent), (expected.offered, expected.not_sent));
            let buckets = |step: &StepTally| step.latency.buckets().collect::<Vec<_>>();
            for (found, expected) in found.steps.iter().zip(&expected.steps) {
                assert_eq!(buckets(found), buckets(expected));
            }
        }
    }
}
