//! What the API server says of itself, and how it shows objects: pure functions over [`ResourceDef`]s and JSON.
//!
//! The views `Table` and `PartialObjectMetadata`.
//!
//! [`ResourceDef`]: purlin_apiserver_schema::ResourceDef

mod age;
pub mod jsonpath;
mod table;

pub use table::{IncludeObject, MetaVersion, TableOptions, partial_list, partial_object, table};
