//! Runs a load test: assembles who sends, begins at one instant, collects, and ends in good or bad order.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use purlin_load_model::plan::Plan;
use purlin_load_model::summary::Summary;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::Error;
use crate::collector::{Collector, Progress};
use crate::crew::{Crew, Part};
use crate::fleet::Fleet;
use crate::options::Options;
use crate::report::Report;

/// Who sends.
enum Senders {
    Crew(Crew),
    Fleet(Fleet),
}

/// How long other processes have to hear of the start before it comes.
const NOTICE: Duration = Duration::from_millis(250);

/// Runs `plan` to its end; `progress` is told of each second.
pub async fn run(plan: Plan, options: &Options, progress: &mut dyn FnMut(&Progress<'_>)) -> Result<Summary, Error> {
    let (reports, mut incoming) = unbounded_channel();
    let processes = u32::try_from(options.agents.len()).unwrap_or(u32::MAX);
    let parts = Part::deal(&plan, processes.max(1))?;
    let mut collector = Collector::new(plan.clone(), parts.iter().map(|(part, _)| part.workers).sum());
    let mut senders = match parts[..] {
        [(part, _)] if options.agents.is_empty() => {
            Senders::Crew(Crew::assemble(plan.clone(), part, &options.allowed, reports).await?)
        }
        _ => Senders::Fleet(Fleet::assemble(&plan, &parts, options, reports)?),
    };
    while !collector.ready() && !options.stop.is_cancelled() {
        tokio::select! {
            Some(report) = incoming.recv() => collector.take(report, progress),
            () = options.stop.cancelled() => {}
        }
    }
    if collector.ended() && !options.stop.is_cancelled() {
        senders.end().await;
        return Err(Error::Senders(collector.missing().join("; ")));
    }
    if options.stop.is_cancelled() {
        senders.stop();
    }
    let notice = if options.agents.is_empty() { Duration::from_millis(5) } else { NOTICE };
    let began = Instant::now() + notice;
    let started = (Timestamp::now() + notice).to_string();
    senders.start(began, notice);
    let stopped = collect(&senders, &mut collector, &mut incoming, options, progress).await;
    senders.end().await;
    incoming.close();
    while let Some(report) = incoming.recv().await {
        collector.take(report, progress);
    }
    let ended = stopped.map_or(plan.pace.duration(), |at| at.saturating_duration_since(began));
    let lasted = ended.min(plan.pace.duration()).saturating_sub(plan.warm_up);
    if stopped.is_some() {
        let planned = plan.pace.duration().saturating_sub(plan.warm_up);
        collector.miss(format!(
            "the run was interrupted: its figures are of {:.1} s out of {:.1} s",
            lasted.as_secs_f64(),
            planned.as_secs_f64()
        ));
    }
    Ok(collector.finish(started, lasted, stopped.is_some()))
}

/// Takes reports until all senders have ended; returns when the run was stopped, if it was.
async fn collect(
    senders: &Senders,
    collector: &mut Collector,
    incoming: &mut UnboundedReceiver<Report>,
    options: &Options,
    progress: &mut dyn FnMut(&Progress<'_>),
) -> Option<Instant> {
    let mut stopped = None;
    let mut aborted = false;
    while !collector.ended() {
        tokio::select! {
            report = incoming.recv() => match report {
                Some(report) => collector.take(report, progress),
                None => break,
            },
            () = options.stop.cancelled(), if stopped.is_none() => {
                stopped = Some(Instant::now());
                senders.stop();
            }
            () = options.abort.cancelled(), if !aborted => {
                aborted = true;
                stopped.get_or_insert_with(Instant::now);
                senders.abort();
            }
        }
    }
    stopped
}

impl Senders {
    fn start(&mut self, began: Instant, notice: Duration) {
        match self {
            Senders::Crew(crew) => crew.start(began),
            Senders::Fleet(fleet) => fleet.start(began, notice),
        }
    }

    fn stop(&self) {
        match self {
            Senders::Crew(crew) => crew.stop(),
            Senders::Fleet(fleet) => fleet.stop(),
        }
    }

    fn abort(&self) {
        match self {
            Senders::Crew(crew) => crew.abort(),
            Senders::Fleet(fleet) => fleet.abort(),
        }
    }

    async fn end(self) {
        match self {
            Senders::Crew(crew) => crew.end().await,
            Senders::Fleet(fleet) => fleet.end().await,
        }
    }
}
