//! A sending thread: opens its connections, waits for the start, sends until the end, reports once a second.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::resource::UsageWho;
use purlin_load_model::arrivals::Shard;
use purlin_load_model::plan::Plan;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::client::{self, Client};
use crate::connect::Dialer;
use crate::iteration;
use crate::pacer::{GRACE, Pacer, Source};
use crate::prepare::Prepared;
use crate::report::Report;
use crate::timer::Timer;
use crate::usage;
use crate::worker::Worker;

/// What a sending thread is to do.
pub(crate) struct Job {
    /// The plan of this process.
    pub plan: Arc<Plan>,
    /// Its requests, made ready for the wire.
    pub prepared: Arc<Prepared>,
    /// How to reach the target.
    pub dialer: Arc<Dialer>,
    /// Which part of the load this thread sends.
    pub shard: Shard,
    /// How many connections it opens.
    pub connections: u32,
    /// When the load begins, once that is known.
    pub start: watch::Receiver<Option<Instant>>,
    /// No start is handed out from now on.
    pub stop: CancellationToken,
    /// What is in flight is given up.
    pub abort: CancellationToken,
    /// Where it reports to.
    pub reports: UnboundedSender<Report>,
}

/// Connections that one thread opens at a time: the target's queue of new ones is short.
const OPENING: usize = 64;
/// How long a run waits for its connections before it begins without them; they are opened when they are needed.
const OPENING_TIME: Duration = Duration::from_secs(10);

/// Runs `job` to its end on this thread.
pub(crate) fn run(job: Job) {
    let (reports, worker) = (job.reports.clone(), job.shard.index);
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    let ended = runtime.and_then(|runtime| runtime.block_on(work(job)));
    let report = match ended {
        Ok(cpu) => Report::Ended { worker, cpu },
        Err(error) => Report::Lost { worker, reason: format!("a sending thread failed: {error}") },
    };
    // Nobody listens when the run was given up.
    let _ = reports.send(report);
}

async fn work(mut job: Job) -> io::Result<Duration> {
    let worker = Rc::new(Worker::new(job.plan.clone(), job.prepared.clone(), job.dialer.clone(), job.shard));
    let mut timer = Timer::new()?;
    let clients = open(&worker, job.connections, &job.stop).await;
    let _ = job.reports.send(Report::Ready { worker: job.shard.index });
    let began = tokio::select! {
        // A load that was stopped before it began has none.
        biased;
        () = job.stop.cancelled() => None,
        began = job.start.wait_for(Option::is_some) => match began { Ok(began) => *began, Err(_) => None },
    };
    let Some(began) = began else { return Ok(Duration::ZERO) };
    timer.sleep_until(began).await?;
    worker.began.set(Some(began));
    let pacer = Rc::new(pacer(&job, began, clients.len()));
    let mut senders = JoinSet::new();
    for (slot, client) in clients.into_iter().enumerate() {
        senders.spawn_local(iteration::send(worker.clone(), pacer.clone(), slot, client));
    }
    let ticker = tokio::task::spawn_local(tick(worker.clone(), began, job.reports.clone()));
    let cpu = steer(&worker, &pacer, &mut timer, &job, began, &mut senders).await?;
    ticker.abort();
    worker.close(pacer.leftovers());
    let _ = job.reports.send(worker.last_report());
    Ok(cpu)
}

fn pacer(job: &Job, began: Instant, slots: usize) -> Pacer {
    let source = match job.plan.arrivals(job.shard) {
        Some(arrivals) => Source::Open(Box::new(arrivals)),
        None => Source::Closed,
    };
    Pacer::new(source, began, began + job.plan.pace.duration(), slots)
}

/// Opens the connections, as many as can be had in time.
async fn open(worker: &Rc<Worker>, connections: u32, stop: &CancellationToken) -> Vec<Client> {
    let mut clients = client::make(worker, connections);
    let limit = OPENING_TIME.max(worker.plan.timeout);
    let all = client::open_all(worker, &mut clients, OPENING);
    let _ = stop.run_until_cancelled(timeout(limit, all)).await;
    clients
}

/// Hands out starts until the end, then waits for what is in flight; returns the CPU time of what counts.
async fn steer(
    worker: &Worker,
    pacer: &Pacer,
    timer: &mut Timer,
    job: &Job,
    began: Instant,
    senders: &mut JoinSet<()>,
) -> io::Result<Duration> {
    let (counts, ends) = (began + worker.plan.warm_up, began + worker.plan.pace.duration());
    let before = async {
        sleep_until(counts.into()).await;
        usage::cpu(UsageWho::RUSAGE_THREAD)
    };
    let handing = async {
        tokio::select! {
            handed = pacer.run(timer) => handed?,
            () = sleep_until((ends + GRACE).into()) => {}
            () = job.stop.cancelled() => {}
        }
        // Those of the last instant may all be handed out; the figures still last until the end.
        tokio::select! {
            () = sleep_until(ends.into()) => {}
            () = job.stop.cancelled() => {}
        }
        io::Result::Ok(())
    };
    let mut before = std::pin::pin!(before);
    let mut handing = std::pin::pin!(handing);
    let mut at_counts = Duration::ZERO;
    let mut counting = false;
    loop {
        tokio::select! {
            cpu = &mut before, if !counting => (at_counts, counting) = (cpu, true),
            handed = &mut handing => {
                handed?;
                break;
            }
        }
    }
    pacer.stop();
    // Before what is in flight is waited for: what would be due meanwhile is not.
    worker.ended.set(Some(Instant::now().min(ends).saturating_duration_since(began)));
    let used = if counting { usage::cpu(UsageWho::RUSAGE_THREAD).saturating_sub(at_counts) } else { Duration::ZERO };
    // No request takes longer than this, but a scenario may have more to do.
    let drained = async { while senders.join_next().await.is_some() {} };
    let _ = job.abort.run_until_cancelled(timeout(worker.plan.timeout + GRACE, drained)).await;
    senders.shutdown().await;
    Ok(used)
}

/// Reports once a second.
async fn tick(worker: Rc<Worker>, began: Instant, reports: UnboundedSender<Report>) {
    let counts = began + worker.plan.warm_up;
    loop {
        sleep_until((counts + Duration::from_secs(worker.second.get() + 1)).into()).await;
        let _ = reports.send(worker.report());
    }
}
