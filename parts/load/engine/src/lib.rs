//! Sends the load that a plan says, and tells the truth about it: the engine of `purlin load`.
//!
//! ```text
//! run -> Fleet: threads of this process (crew), or other purlins by their standard streams (fleet)
//!          each thread: pacer (when) -> senders (iteration) -> client of a protocol (http1, http2, websocket) -> socket
//!                       recorder, a tally of its own -> once a second -> collector -> Summary
//! ```
//!
//! A thread has a runtime, a timer, a read buffer and a tally of its own; threads share nothing but the plan, so that
//! no lock is on a request's way. Latency counts from the intended start. What a thread reports adds up exactly, in
//! this process or in another.
//!
//! Invariants: every intended start is on time, late or not sent; a request that was sent ends as answered or as one
//! [`ErrorKind`](purlin_load_model::tally::ErrorKind); a run that is interrupted, or loses a process, still has a
//! result that says so.

mod client;
mod collector;
mod connect;
mod crew;
mod deadline;
mod encode;
mod fleet;
mod grpc;
mod guard;
mod http1;
mod http2;
mod iteration;
mod options;
mod pacer;
mod prepare;
mod report;
mod round_trip;
mod run;
#[cfg(test)]
mod samples;
mod self_test;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod testing;
mod thread;
mod timer;
mod trace;
mod trust;
mod usage;
mod vet;
mod websocket;
mod wire;
mod worker;

use std::io;
use std::net::IpAddr;

pub use collector::Progress;
pub use fleet::serve_agent;
pub use grpc::{compile_protos, reflect};
pub use options::Options;
pub use run::run;
pub use self_test::{SelfTest, self_test};

/// Why a load test cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name of the target leads nowhere.
    #[error("cannot resolve {host}")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// The target is not obviously one's own.
    #[error(
        "{host} has the address {address}, which is neither loopback nor private; if it is yours to load, say so with --i-may-load-this-target {host}"
    )]
    Foreign {
        /// The name.
        host: String,
        /// Its address.
        address: IpAddr,
    },
    /// The name that the certificate is to have cannot be one.
    #[error("{0:?} cannot be the name of a server in TLS; name another one with --server-name")]
    ServerName(String),
    /// The trusted authorities cannot be read.
    #[error("cannot use the trusted certificates: {0}")]
    Roots(String),
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// A request of the plan cannot be sent as it is.
    #[error("step {step}: {reason}")]
    Request {
        /// The step.
        step: String,
        /// What is wrong.
        reason: String,
    },
    /// The types of gRPC messages cannot be read.
    #[error("cannot use the types of the gRPC messages: {0}")]
    Descriptors(String),
    /// A server does not tell the types of its gRPC messages.
    #[error("cannot ask {authority} for its gRPC types: {reason}")]
    Reflection {
        /// The server.
        authority: String,
        /// Why not.
        reason: String,
    },
    /// Files of gRPC types cannot be compiled.
    #[error("cannot compile {0}")]
    Protos(String),
    /// An agent cannot be started.
    #[error("cannot start {name}")]
    Agent {
        /// Which one.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// There are more processes than connections.
    #[error(
        "{connections} connections cannot be dealt out to {processes} processes, each of which needs one: ask for more connections, or for fewer processes"
    )]
    Deal {
        /// How many connections.
        connections: u32,
        /// How many processes.
        processes: u32,
    },
    /// Nobody is left to send anything, before the load begins.
    #[error("there is nobody to send the load: {0}")]
    Senders(String),
    /// A thread, a timer or a runtime cannot be had.
    #[error("cannot start a sending thread")]
    Start(#[source] io::Error),
}
