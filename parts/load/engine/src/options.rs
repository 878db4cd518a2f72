//! How a run is carried out, beside what its plan says.

use tokio_util::sync::CancellationToken;

/// How a run is carried out, beside what its plan says.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Commands that start an agent each, which speaks over its standard streams; none: this process sends.
    pub agents: Vec<Vec<String>>,
    /// Hosts that may be loaded though their addresses are neither loopback nor private.
    pub allowed: Vec<String>,
    /// No new requests from then on; the result is of what was sent.
    pub stop: CancellationToken,
    /// What is in flight is given up.
    pub abort: CancellationToken,
}
