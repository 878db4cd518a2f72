//! Kubernetes resources as all parts see them: the names we use, the way to the API, and shared watches.
//!
//! A part reaches the API through a [`kube::Client`], whether the API server runs in this process ([`ApiHandle`])
//! or elsewhere. What it needs to know of many objects it reads from [`Watches`]: one reflector a kind and process.

mod api;
pub mod election;
pub mod names;
mod watches;

pub use api::{ApiBody, ApiHandle, BodyError, InProcessApi, boxed};
pub use watches::{Watched, Watches};
