//! Traffic: from what describes routes (Gateway API objects, Services, EndpointSlices, Secrets) to one route model.
//!
//! [`translate`] is a pure function of the objects ([`Input`]); its [`Output`] holds the [`model::RouteModel`] that a
//! data plane serves and, for each class, Gateway and route, the report of how it stands; [`status`] merges a report
//! into the status of the object. The gateway compiles the model into its snapshot; a mesh would translate it to xDS.
//! Nothing here opens a socket or knows of a proxy.
//!
//! Follows Gateway API v1.6. Invariants: what is not built is refused in a report, never ignored; the order of the
//! objects never changes the output; no input makes it fail.

mod attach;
mod authorities;
mod backends;
mod certificates;
mod compiled;
mod condition;
mod duration;
mod filters;
mod grants;
mod grpc;
mod hostname;
mod input;
mod listeners;
pub mod model;
mod policies;
mod precedence;
pub mod reasons;
mod report;
mod route;
mod rules;
mod sets;
pub mod status;
mod streams;
#[cfg(test)]
mod tests;
mod translate;

pub use condition::Condition;
pub use input::{AddressProblem, GatewayAddresses, Input, PlaneReport, Unusable};
pub use report::{
    ClassReport, GatewayReport, ListenerReport, ListenerSetReport, ParentReport, PolicyReport, RouteReport,
};
pub use rules::REGEX_SIZE_LIMIT;
pub use translate::{Output, translate};
