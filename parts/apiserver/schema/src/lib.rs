//! What a resource is: its schema tree and its definition, and what is done to an object by them.
//!
//! One [`ResourceDef`] serves built-in kinds and custom resources alike; one [`Schema`] tree is shared by
//! defaulting, pruning, validation, strict decoding, server-side apply, OpenAPI and CEL. Everything here is a
//! pure function over [`serde_json::Value`]: no I/O, no clock, no store.
//!
//! The object's way through this crate on a write:
//! `decode` (JSON or YAML, duplicates and depth) -> `prune` (unknown fields, reported) -> `default` -> `validate` -> `cel`.

mod decode;
mod def;
mod error;
mod path;
mod tree;

pub use decode::{DecodeError, Decoded, Limits, decode_json, decode_yaml};
pub use def::{Column, ColumnSource, Names, Origin, ResourceDef, ScaleDef, Scope, Strategy, VersionDef};
pub use error::{Cause, FieldError};
pub use tree::{Checks, Format, ListType, MapType, PatchStrategy, Rule, RuleReason, Schema, Strategic, Type};
