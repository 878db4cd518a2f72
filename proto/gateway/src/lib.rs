//! Gateway API v1.6.3, standard channel: GatewayClass, Gateway and ListenerSet; HTTPRoute, GRPCRoute, TLSRoute, TCPRoute
//! and UDPRoute; BackendTLSPolicy and ReferenceGrant.
//!
//! The Rust types are the definition, as [`purlin_crd`] has it: what their attributes and doc comments say is how an
//! object is read, what is accepted, and what `kubectl explain` shows; [`crds`] derives the
//! CustomResourceDefinitions from them.
//!
//! Invariants:
//! - The definitions equal the published ones in every path, type, bound, default, list type and CEL rule. The facts
//!   stand in `facts/`, one a line; a test compares them. The words are ours.
//! - `Default` of a type is what the API server fills in where the object says nothing.
//! - What has a closed list of values in this channel may have a longer one in another, so enumerations keep a value
//!   that they do not know (`Other`), and unknown fields are passed over: a controller never fails on a whole list
//!   because of one object. It has to refuse what it does not know in the object's status.
//! - [`cases`] holds objects that a server has to accept, and objects that it has to refuse with the reason.

mod backend;
mod backend_tls_policy;
mod bounds;
pub mod cases;
mod crd;
mod filter;
mod gateway;
mod gateway_class;
mod gateway_tls;
mod grpc_route;
mod header;
mod http_filter;
mod http_route;
mod l4_route;
mod listener;
mod listener_set;
mod mirror;
mod policy;
mod reference_grant;
mod refs;
mod route;

pub use backend::*;
pub use backend_tls_policy::*;
pub use crd::crds;
pub use gateway::*;
pub use gateway_class::*;
pub use gateway_tls::*;
pub use grpc_route::*;
pub use header::*;
pub use http_filter::*;
pub use http_route::*;
pub use l4_route::*;
pub use listener::*;
pub use listener_set::*;
pub use mirror::*;
pub use policy::*;
pub use reference_grant::*;
pub use refs::*;
pub use route::*;

/// The API group of all kinds.
pub const GROUP: &str = "gateway.networking.k8s.io";
/// The release of Gateway API that the definitions follow.
pub const VERSION: &str = "v1.6.3";
/// The release channel that the definitions follow.
pub const CHANNEL: &str = "standard";
