//! Trace context on a share of the requests, so that the slowest can be found again in the target's traces.

use rand::RngExt as _;

use crate::worker::Worker;

/// The `traceparent` of a request (W3C Trace Context).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trace {
    id: u128,
    span: u64,
}

impl Trace {
    /// One for the share of requests that are to carry a trace.
    pub(crate) fn draw(worker: &Worker) -> Option<Trace> {
        let share = worker.plan.trace_share;
        if share <= 0.0 {
            return None;
        }
        let rng = &mut *worker.rng.borrow_mut();
        // An id of zeros would be invalid.
        rng.random_bool(share.min(1.0)).then(|| Trace { id: rng.random::<u128>() | 1, span: rng.random::<u64>() | 1 })
    }

    /// The trace id: 32 hexadecimal digits.
    pub(crate) fn id(&self) -> String {
        format!("{:032x}", self.id)
    }

    /// The value of the header, with the flag that asks for sampling.
    pub(crate) fn header(&self) -> String {
        format!("00-{:032x}-{:016x}-01", self.id, self.span)
    }
}
