//! What sending threads tell: the same words within a process and between processes.

use std::time::Duration;

use purlin_load_model::tally::Tally;
use serde::{Deserialize, Serialize};

/// What a sending thread tells. Threads of all processes are numbered through.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Report {
    /// It has opened its connections, or tried to.
    Ready {
        /// Which thread.
        worker: u32,
    },
    /// What happened since its last such report.
    Interval {
        /// Which thread.
        worker: u32,
        /// The second of the figures that this is about, from 0.
        second: u64,
        /// Iterations that were meant to begin in it, whether or not they have: what a thread that cannot keep up has
        /// not begun, its tally tells at the end only.
        due: u64,
        /// What happened, the warm-up left out.
        tally: Box<Tally>,
        /// Requests in flight now.
        in_flight: u64,
        /// Connections open now.
        open: u64,
    },
    /// It has sent all that it was to send, and all answers have come or been given up.
    Ended {
        /// Which thread.
        worker: u32,
        /// The CPU time that it used while its figures counted.
        #[serde(with = "purlin_load_model::seconds")]
        cpu: Duration,
    },
    /// It failed: nothing more comes of it.
    Lost {
        /// Which thread.
        worker: u32,
        /// Why.
        reason: String,
    },
    /// What the process that sends this costs, at its end.
    Process {
        /// The first of its threads.
        worker: u32,
        /// The CPU time of all its threads while its figures counted.
        #[serde(with = "purlin_load_model::seconds")]
        cpu: Duration,
        /// CPU time that others of its machine took, as a share of all cores.
        others: f64,
        /// Its largest resident memory in bytes.
        max_rss: u64,
    },
}
