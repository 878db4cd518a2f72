//! What a resource is: its schema tree and its definition, and what is done to an object by them.
//!
//! One [`ResourceDef`] serves built-in kinds and custom resources alike; one [`Schema`] tree is shared by
//! defaulting, pruning, validation, strict decoding, server-side apply, OpenAPI and CEL. Everything here is a
//! pure function over [`serde_json::Value`]: no I/O, no clock, no store.
//!
//! The object's way through this crate on a write:
//! [`decode_json`] or [`decode_yaml`] (duplicates and depth) -> [`prune`] (unknown fields, reported) -> [`default`] ->
//! [`validate_metadata`] -> [`validate_with_rules`] (schema, then CEL).
//!
//! A CustomResourceDefinition's: [`default_definition`] -> [`definition`] or [`definition_update`], which give the
//! [`ResourceDef`] -> [`compile_rules`] once a version, kept by the caller.

mod cel;
mod crd;
mod decode;
mod def;
mod default;
mod duration;
mod empty;
mod error;
#[cfg(test)]
mod fixture;
mod format;
mod meta;
mod meta_schema;
mod names;
mod openapi;
mod path;
mod pattern;
mod prune;
mod selector;
mod structural;
mod tree;
mod validate;
mod version;

pub use cel::{CelProgram, compile as compile_rules, evaluate as evaluate_rules, validate_with_rules};
pub use crd::{default_definition, definition, definition_update, stored_definition};
pub use decode::{DecodeError, Decoded, Limits, decode_json, decode_yaml};
pub use def::{
    Alias, Column, ColumnSource, Names, Origin, ResourceDef, ScaleDef, Scope, Strategy, Subresource, VersionDef,
};
pub use default::default;
pub use duration::{age, human_duration};
pub use empty::{drop_empty, drop_empty_metadata};
pub use error::{Cause, FieldError};
pub use meta::{validate_labels, validate_metadata, validate_metadata_update};
pub use meta_schema::object_meta_schema;
pub use names::{NameForm, dns1035_label, dns1123_label, dns1123_subdomain, label_value, path_segment, qualified_name};
pub use prune::prune;
pub use selector::{FieldSelector, LabelSelector, SelectorError};
pub use tree::{Checks, Format, ListType, MapType, PatchStrategy, Rule, RuleReason, Schema, Strategic, Type};
pub use validate::validate;
pub use version::compare_versions;
