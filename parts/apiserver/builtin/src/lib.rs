//! The kinds that the API server is born with: their schemas, rules and columns, and the roles of RBAC.
//!
//! Everything here is data and pure functions over [`serde_json::Value`]; the API server does the I/O.
//!
//! - [`resources`] and [`reviews`]: one `ResourceDef` a kind, from the table in `defs.rs`.
//! - `schema.rs` with `facts.txt`: the trees, from k8s-openapi's schemas and a table of list types and defaults.
//! - `kinds/`: defaults and validation, one file a family. `Strategy::default` runs before the schema validates:
//!   it also drops nulls, which Go reads as absent.
//! - `columns.rs`: what `kubectl get` shows.
//! - `bootstrap.rs`: the default roles, and how roles aggregate.

mod bootstrap;
mod columns;
mod defs;
mod kinds;
mod schema;
mod value;

#[cfg(test)]
mod laws;

pub use bootstrap::{aggregate, bootstrap_roles};
pub use defs::{resources, reviews};
pub use kinds::service::{cluster_ip, needs_cluster_ip, set_cluster_ip};
