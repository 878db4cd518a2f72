//! The gateway: serves what the Gateways and routes of the API say.
//!
//! ```text
//! API -- shared watches --> Input -- translate --> RouteModel -- apply --> data plane (purlin-gateway-proxy)
//!                            ^                        |                        |
//!                            '--- address pool        '--> reports <-- what could not be bound or compiled
//!                                                             '--> statuses, written after the data plane has it
//! ```
//!
//! Resources: all kinds of Gateway API v1.6 (GatewayClass `purlin` is made at the start), Service, EndpointSlice, Secret of
//! type `kubernetes.io/tls`, ConfigMap, Namespace. Ports: those that Gateways declare, each on an
//! address of the pool.
//!
//! Invariants: nothing is applied before every kind was listed, so a restart never serves half of the routes; a
//! status never claims what the data plane does not have yet; a status that is unchanged is not written.

mod address;
mod config;
mod control;
mod objects;
mod run;
mod write;

pub use address::{AddressPool, Claim, ParseError};
pub use config::Config;
pub use control::control;
pub use run::run;
