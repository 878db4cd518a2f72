//! What the gateway decides, without I/O: which endpoint takes a request, what is tried again, who has had enough.
//!
//! Every decision is a function of the model's settings, of state that its caller keeps, of a time and of random numbers
//! that it is given. So each is tested by itself, by law and by simulation; the proxy has the sockets.

mod cidr;
mod compress;
mod cors;
mod fault;
mod forwarded;
mod fraction;
mod gcra;
mod lease;
mod log_format;

pub use cidr::CidrSet;
pub use compress::{Compression, Encoder};
pub use cors::{Cors, Preflight};
pub use fault::{Injected, grpc_to_http, inject};
pub use forwarded::client;
pub use fraction::Fraction;
pub use gcra::{Decision, Quota, Table, Ticks, ticks};
pub use lease::{Known, Leasing};
pub use log_format::{Field, LogFormat, Value};
