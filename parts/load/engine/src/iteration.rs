//! A sender: takes its next start, sends the requests of a scenario one after the other, and notes what came of them.

use std::rc::Rc;
use std::time::{Duration, Instant};

use purlin_load_model::iteration::Variables;
use purlin_load_model::plan::Pace;
use purlin_load_model::tally::{ErrorKind, Exemplar, Outcome};
use tokio::task::yield_now;
use tokio::time::sleep;

use crate::client::Client;
use crate::pacer::{Pacer, Start};
use crate::prepare::Step;
use crate::trace::Trace;
use crate::wire::Wire;
use crate::worker::Worker;

/// How long a sender of a closed pace waits after a connection that failed; doubles up to [`LONGEST_PAUSE`].
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How an iteration ended, as far as its sender has to know.
enum Ended {
    /// Its requests were sent, up to one that failed at the most.
    Sent,
    /// There was no connection for a request.
    Unconnected,
    /// A request could not be made.
    Unmade,
}

/// Sends until the load has ended.
pub(crate) async fn send(worker: Rc<Worker>, pacer: Rc<Pacer>, slot: usize, mut client: Client) {
    let mut pause = SHORTEST_PAUSE;
    while let Some(start) = pacer.next(slot).await {
        match iterate(&worker, &mut client, start).await {
            // An open pace asks again when it asks; a closed one would turn into a storm of connections.
            Ended::Unconnected if matches!(worker.plan.pace, Pace::Closed { .. }) => {
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                continue;
            }
            // Nothing was waited for: the others of this thread must get their turn, the end among them.
            Ended::Unmade => yield_now().await,
            Ended::Unconnected | Ended::Sent => {}
        }
        pause = SHORTEST_PAUSE;
    }
    client.finish(&worker).await;
}

/// Sends the requests of one iteration.
async fn iterate(worker: &Rc<Worker>, client: &mut Client, start: Start) -> Ended {
    let mut sent = Instant::now();
    let mut intended = start.intended;
    let counts = worker.counts(intended);
    if counts {
        worker.tally.borrow_mut().begin(sent.saturating_duration_since(intended), start.busy);
    }
    let number = worker.shard.number(start.number);
    let scenario = worker.prepared.scenario(worker.plan.scenario_of(number));
    let mut variables = worker.plan.variables(number);
    for (at, step) in scenario.iter().enumerate() {
        if at > 0 {
            sent = Instant::now();
            // Later requests are meant to follow the answer before them, not an instant that was known before.
            intended = sent;
        }
        let trace = Trace::draw(worker.plan.trace_share, &mut worker.rng.borrow_mut());
        let wire = match step.wire(&variables, trace.as_ref()) {
            Ok(wire) => wire,
            Err(error) => {
                if counts {
                    worker.refuse(step.index, error);
                }
                return Ended::Unmade;
            }
        };
        let request = Request { worker, step, wire, counts, intended, sent, trace };
        match request.exchange(client, &mut variables).await {
            Outcome::Answered(_) => {}
            Outcome::Failed(ErrorKind::Connect | ErrorKind::Descriptors | ErrorKind::Tls) => return Ended::Unconnected,
            _ => return Ended::Sent,
        }
        if !step.think.is_zero() {
            sleep(step.think).await;
        }
    }
    Ended::Sent
}

/// One request of an iteration.
struct Request<'a> {
    worker: &'a Rc<Worker>,
    step: &'a Step,
    wire: Wire,
    counts: bool,
    intended: Instant,
    sent: Instant,
    trace: Option<Trace>,
}

impl<'a> Request<'a> {
    async fn exchange(self, client: &mut Client, variables: &mut Variables<'a>) -> Outcome {
        let in_flight = self.worker.in_flight.get(self.step.index).filter(|_| self.counts);
        if let Some(in_flight) = in_flight {
            in_flight.set(in_flight.get() + 1);
        }
        let deadline = self.sent + self.worker.plan.timeout;
        let answered = client.exchange(self.worker, self.step, &self.wire, deadline).await;
        let ended = Instant::now();
        let outcome = match answered {
            Ok(status) => self.step.judge(status, |name| client.header(name), client.body(), variables),
            Err(error) => Outcome::Failed(error),
        };
        if let Some(in_flight) = in_flight {
            in_flight.set(in_flight.get() - 1);
            self.note(outcome, ended);
        }
        outcome
    }

    fn note(&self, outcome: Outcome, ended: Instant) {
        let latency = ended.saturating_duration_since(self.intended);
        let tally = &mut *self.worker.tally.borrow_mut();
        if let Some(step) = tally.steps.get_mut(self.step.index) {
            step.end(outcome, latency, ended.saturating_duration_since(self.sent));
        }
        if let (Some(trace), Some(began)) = (&self.trace, self.worker.began.get()) {
            tally.offer(Exemplar {
                trace_id: trace.id(),
                step: self.step.index,
                at: self.intended.saturating_duration_since(began),
                latency,
            });
        }
    }
}
