//! What the gateway decides, without I/O: which endpoint takes a request, what is tried again, who has had enough.
//!
//! Every decision is a function of the model's settings, of state that its caller keeps, of a time and of random numbers
//! that it is given. So each is tested by itself, by law and by simulation; the proxy has the sockets.

mod balance;
mod cidr;
mod compress;
mod cors;
mod endpoint;
mod ewma;
mod fault;
mod forwarded;
mod fraction;
mod gcra;
mod hash;
mod lease;
mod log_format;
mod outlier;
#[cfg(test)]
mod simulation;

pub use balance::{Ask, pick};
pub use cidr::CidrSet;
pub use compress::{Compression, Encoder};
pub use cors::{Cors, Preflight};
pub use endpoint::{Candidate, EndpointState, Out};
pub use ewma::PeakEwma;
pub use fault::{Injected, grpc_to_http, inject};
pub use forwarded::client;
pub use fraction::Fraction;
pub use gcra::{Decision, Quota, Table, Ticks, ticks};
pub use hash::{hash, mix, part};
pub use lease::{Known, Leasing};
pub use log_format::{Field, LogFormat, Value};
pub use outlier::{Outcome, OutlierState, Review, eject, review};

/// A time: microseconds since a beginning that the caller chooses and keeps.
pub type Micros = u64;
