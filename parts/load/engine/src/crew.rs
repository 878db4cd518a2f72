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

impl Part {
    /// Deals `plan` out to `processes`: the part of each, and its connections. Every process and thread has one at
    /// least, since all threads take equal parts of the rate.
    pub(crate) fn deal(plan: &Plan, processes: u32) -> Result<Vec<(Part, u32)>, Error> {
        let connections = plan.connections;
        if processes == 0 || processes > connections {
            return Err(Error::Deal { connections, processes });
        }
        let own: Vec<u32> = (0..processes).map(|index| deal(connections, index, processes)).collect();
        let workers = |connections: u32| plan.workers.clamp(1, connections);
        let of = own.iter().map(|connections| workers(*connections)).sum();
        let mut first = 0;
        let mut parts = Vec::new();
        for connections in own {
            let part = Part { first, workers: workers(connections), of };
            first += part.workers;
            parts.push((part, connections));
        }
        Ok(parts)
    }

    /// Whether it can be a part of a load, of which this process has so many connections.
    pub(crate) fn fits(&self, connections: u32) -> bool {
        let last = self.first.checked_add(self.workers);
        (1..=connections).contains(&self.workers) && last.is_some_and(|last| last <= self.of)
    }
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
fn deal(whole: u32, index: u32, count: u32) -> u32 {
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
    use crate::samples;

    #[test]
    fn the_parts_are_the_whole() {
        for (whole, count) in [(1, 1), (10, 3), (2, 4), (8000, 7)] {
            let parts: Vec<u32> = (0..count).map(|index| deal(whole, index, count)).collect();
            assert_eq!(parts.iter().sum::<u32>(), whole);
            assert!(parts.iter().max().unwrap() - parts.iter().min().unwrap() <= 1, "{parts:?}");
        }
    }

    #[test]
    fn nobody_is_without_a_connection() {
        let check = |connections: u32, workers: u32, processes: u32, expected: &[(u32, u32, u32)]| {
            let plan = Plan { connections, workers, ..samples::plan() };
            let parts = Part::deal(&plan, processes).unwrap();
            let of = parts.iter().map(|(part, _)| part.workers).sum();
            let expected =
                expected.iter().map(|(first, workers, own)| (Part { first: *first, workers: *workers, of }, *own));
            assert_eq!(parts, expected.collect::<Vec<_>>());
            assert_eq!(parts.iter().map(|(_, own)| own).sum::<u32>(), connections);
            assert!(parts.iter().all(|(part, own)| part.fits(*own)));
        };
        check(50, 2, 1, &[(0, 2, 50)]);
        check(1, 2, 1, &[(0, 1, 1)]);
        check(2, 2, 2, &[(0, 1, 1), (1, 1, 1)]);
        check(5, 2, 3, &[(0, 2, 2), (2, 2, 2), (4, 1, 1)]);
        check(100, 0, 2, &[(0, 1, 50), (1, 1, 50)]);
        let few = Part::deal(&Plan { connections: 2, ..samples::plan() }, 3).unwrap_err().to_string();
        assert!(few.starts_with("2 connections cannot be dealt out to 3 processes"), "{few}");
        assert!(Part::deal(&Plan { connections: 0, ..samples::plan() }, 1).is_err());

        let hostile = |first, workers, of| Part { first, workers, of }.fits(4);
        assert!(
            hostile(0, 4, 4) && !hostile(0, 5, 5) && !hostile(0, 0, 1) && !hostile(u32::MAX, 4, 8) && !hostile(2, 4, 5)
        );
    }
}
