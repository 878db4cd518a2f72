//! Trace context on a share of the requests, so that the slowest can be found again in the target's traces.

use rand::RngExt as _;
use rand::rngs::SmallRng;

/// The `traceparent` of a request (W3C Trace Context).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trace {
    id: u128,
    span: u64,
}

impl Trace {
    /// One for this share of requests, 0 to 1.
    pub(crate) fn draw(share: f64, rng: &mut SmallRng) -> Option<Trace> {
        if share <= 0.0 {
            return None;
        }
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
