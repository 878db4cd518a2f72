//! What the API server says of itself, and how it shows objects: pure functions over [`ResourceDef`]s and JSON.
//!
//! Discovery (`/api`, `/apis`, aggregated), OpenAPI v3 and v2, and the views `Table` and `PartialObjectMetadata`.
//! Nothing is kept here: documents are built on request, and their hashes are cheap, so that a caller can cache by
//! hash. Only served versions are shown.
//!
//! [`ResourceDef`]: purlin_apiserver_schema::ResourceDef

mod definitions;
mod discovery;
mod downgrade;
mod fingerprint;
mod gnostic;
mod groups;
pub mod jsonpath;
mod openapi;
mod operations;
mod table;
#[cfg(test)]
mod testing;

pub use discovery::{DiscoveryVersion, Root, aggregated, api_group, api_groups, api_resources, api_versions, etag};
pub use gnostic::encode as openapi_v2_protobuf;
pub use openapi::{openapi_v2, openapi_v2_hash, openapi_v3, openapi_v3_hash, openapi_v3_index};
pub use table::{IncludeObject, MetaVersion, TableOptions, partial_list, partial_object, table};
