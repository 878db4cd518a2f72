//! The gateway's data plane: serves HTTP by a route model, at the edge of a cluster.
//!
//! ```text
//! RouteModel -- compile --> Snapshot (ArcSwap) <-- read once a request
//! socket -> worker thread -> connection (TLS, HTTP/1.1, HTTP/2) -> exchange
//!             exchange: head judged -> listener -> host -> rule -> filters -> pool -> endpoint
//!             response: judged -> filters -> client; access log and metrics when its body ends
//! ```
//!
//! Specifications: RFC 9110, 9112, 9113; Gateway API v1.6 (HTTPRoute); Trace Context.
//!
//! Invariants:
//! - A model that is applied never costs a connection: sockets are kept over snapshots, connections outlive them.
//! - A request sees one snapshot from its head to its end.
//! - Workers share no lock on a request's way.
//! - What cannot be framed without doubt is refused, from clients and from backends.
//! - What does not compile fails closed, alone, and is reported.

mod access_log;
mod answer;
mod body;
mod client;
mod coded;
mod config;
mod connection;
mod exchange;
mod filters;
mod forward;
mod head;
mod headers;
mod io;
mod listen;
mod metrics;
mod mirror;
mod path;
mod policy;
mod pool;
mod proxy;
mod rates;
mod record;
mod snapshot;
mod stall;
mod tls;
mod trace;
mod tunnel;
mod websocket;
mod worker;

pub use config::{AccessLog, Limits, Options};
pub use proxy::{ApplyReport, BindError, CompileError, Place, Proxy, StartError};
