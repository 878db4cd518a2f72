//! What the senders of one thread share.
//!
//! All of it lives on one thread, so state is in cells, not behind locks. The thread has one buffer that all its
//! connections read into: a connection that waits costs its socket and a small task.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use purlin_load_model::arrivals::Shard;
use purlin_load_model::plan::Plan;
use purlin_load_model::tally::{ErrorKind, Outcome, Tally};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use crate::connect::{Dialer, Socket};
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
    /// Requests in flight whose figures count, by step.
    pub in_flight: Box<[Cell<u64>]>,
    /// Connections that are open.
    pub open: Cell<u64>,
    /// The second of the figures that the next report is about.
    pub second: Cell<u64>,
}

/// How much is read at a time. More would not fit the processor's first caches.
const BUFFER: usize = 32 * 1024;
impl Worker {
    /// What the thread that sends `shard` begins with.
    pub(crate) fn new(plan: Arc<Plan>, prepared: Arc<Prepared>, dialer: Arc<Dialer>, shard: Shard) -> Worker {
        Worker {
            shard,
            tally: RefCell::new(Tally::new(prepared.steps())),
            buffer: RefCell::new(vec![0; BUFFER].into_boxed_slice()),
            rng: RefCell::new(SmallRng::seed_from_u64(plan.seed ^ (u64::from(shard.index) << 32))),
            began: Cell::new(None),
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
            Err(error) => *tally.connect_errors.entry(*error).or_default() += 1,
        }
        opened
    }

    /// Counts a connection that is closed.
    pub(crate) fn closed(&self) {
        self.open.set(self.open.get().saturating_sub(1));
    }

    /// What happened since the last report. Seconds are numbered by their reports and not by the clock: a report that
    /// comes late is still about its own.
    pub(crate) fn report(&self) -> Report {
        let tally = std::mem::replace(&mut *self.tally.borrow_mut(), Tally::new(self.prepared.steps()));
        Report::Interval {
            worker: self.shard.index,
            second: self.second.replace(self.second.get() + 1),
            tally: Box::new(tally),
            in_flight: self.in_flight.iter().map(Cell::get).sum(),
            open: self.open.get(),
        }
    }

    /// Accounts for `leftovers`, which never began, and for what did not end.
    pub(crate) fn close(&self, leftovers: impl Iterator<Item = (u64, Instant)>, ended: Instant) {
        let tally = &mut *self.tally.borrow_mut();
        for (number, intended) in leftovers.filter(|(_, intended)| self.counts(*intended)) {
            let scenario = self.prepared.scenario(self.plan.scenario_of(self.shard.number(number)));
            let step = scenario.first().map_or(0, |step| step.index);
            tally.skip(step, ended.saturating_duration_since(intended));
        }
        for (step, in_flight) in tally.steps.iter_mut().zip(&self.in_flight) {
            for _ in 0..in_flight.take() {
                step.end(Outcome::Failed(ErrorKind::Unfinished), Duration::ZERO, Duration::ZERO);
            }
        }
    }
}
