//! Traffic: from what describes routes (Gateway API objects, Services, EndpointSlices, Secrets) to one route model.
//!
//! `translate` is a pure function of the objects; its result holds the [`model::RouteModel`] that a data plane
//! serves and, for each Gateway and route, the status that is to be written. The gateway compiles the model into
//! its snapshot; a mesh would translate it to xDS. Nothing here opens a socket or knows of a proxy.

pub mod model;
