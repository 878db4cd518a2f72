//! The sending threads of one process.
//!
//! They open their connections, tell that they are ready, and begin at one instant. A crew is part of a whole: its
//! threads are numbered from `first` among those of all processes, and take their part of the arrivals by that number.

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use purlin_load_model::arrivals::Shard;
use purlin_load_model::plan::Plan;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::connect::Dialer;
use crate::guard;
use crate::prepare::Prepared;
use crate::report::Report;
use crate::thread::{self as sender, Job};
use crate::usage::{self, Cost, Reading};

/// Which part of a whole load one process sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Part {
    /// The number of this process's first thread.
    pub first: u32,
    /// The threads of this process.
    pub workers: u32,
    /// The threads of all processes.
    pub of: u32,
}

/// The sending threads of this process.
pub(crate) struct Crew {
    part: Part,
    plan: Arc<Plan>,
    start: watch::Sender<Option<Instant>>,
    stop: CancellationToken,
    abort: CancellationToken,
    threads: Vec<thread::JoinHandle<()>>,
    reports: UnboundedSender<Report>,
    /// What it costs, from its start on.
    cost: Option<JoinHandle<Cost>>,
}

/// The part of `whole` that number `index` of `count` gets: parts differ by one at most.
pub(crate) fn deal(whole: u32, index: u32, count: u32) -> u32 {
    whole / count + u32::from(index < whole % count)
}

impl Crew {
    /// Starts threads that open their connections and then wait. `allowed` are far hosts that may be loaded.
    pub(crate) async fn assemble(
        plan: Plan,
        part: Part,
        allowed: &[String],
        reports: UnboundedSender<Report>,
    ) -> Result<Crew, Error> {
        usage::raise_descriptors();
        let dialer = Dialer::new(&plan.target, plan.protocol, &plan.tls, plan.timeout).await?;
        guard::check(&plan.target.host, dialer.addresses(), allowed)?;
        let (plan, dialer) = (Arc::new(plan), Arc::new(dialer));
        let prepared = Arc::new(Prepared::new(&plan)?);
        let (start, started) = watch::channel(None);
        let mut crew = Crew {
            part,
            plan: plan.clone(),
            start,
            stop: CancellationToken::new(),
            abort: CancellationToken::new(),
            threads: Vec::new(),
            reports,
            cost: None,
        };
        for index in 0..part.workers {
            let job = Job {
                plan: plan.clone(),
                prepared: prepared.clone(),
                dialer: dialer.clone(),
                shard: Shard { index: part.first + index, count: part.of },
                connections: deal(plan.connections, index, part.workers),
                start: started.clone(),
                stop: crew.stop.clone(),
                abort: crew.abort.clone(),
                reports: crew.reports.clone(),
            };
            let thread = thread::Builder::new().name(format!("load-{index}"));
            let worker = part.first + index;
            let reports = crew.reports.clone();
            let running = move || {
                let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| sender::run(job)));
                if ran.is_err() {
                    let _ = reports.send(Report::Lost { worker, reason: "a sending thread panicked".to_owned() });
                }
            };
            crew.threads.push(thread.spawn(running).map_err(Error::Start)?);
        }
        Ok(crew)
    }

    /// Begins the load at `instant`.
    pub(crate) fn start(&mut self, instant: Instant) {
        let (from, until) = (instant + self.plan.warm_up, instant + self.plan.pace.duration());
        self.cost = Some(tokio::spawn(usage::cost(from, until, self.stop.clone(), Reading::now)));
        self.start.send_replace(Some(instant));
    }

    /// Sends nothing new, but waits for what is in flight.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Gives up what is in flight.
    pub(crate) fn abort(&self) {
        self.stop.cancel();
        self.abort.cancel();
    }

    /// Waits for the threads to end, and tells what they have cost.
    pub(crate) async fn end(self) {
        let threads = self.threads;
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join())));
        let _ = joined.await;
        // Where all threads have ended early, nothing more is to be measured.
        self.stop.cancel();
        let cost = match self.cost {
            Some(measuring) => measuring.await.unwrap_or_default(),
            None => Cost::default(),
        };
        let Cost { cpu, others } = cost;
        let _ = self.reports.send(Report::Process { worker: self.part.first, cpu, others, max_rss: usage::max_rss() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_the_whole() {
        for (whole, count) in [(1, 1), (10, 3), (2, 4), (8000, 7)] {
            let parts: Vec<u32> = (0..count).map(|index| deal(whole, index, count)).collect();
            assert_eq!(parts.iter().sum::<u32>(), whole);
            assert!(parts.iter().max().unwrap() - parts.iter().min().unwrap() <= 1, "{parts:?}");
        }
    }
}
