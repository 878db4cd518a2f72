//! How a write changes an object: patches, and who owns which field afterwards.
//!
//! Pure functions over [`serde_json::Value`]: no I/O, no clock, no store. A patch request goes through one of
//! [`apply_json_patch`] (RFC 6902), [`apply_merge_patch`] (RFC 7386), [`apply_strategic`] (Kubernetes' strategic
//! merge patch) or [`apply`] (server-side apply). Each create, replace and patch but the last then goes through
//! [`update`], which moves the ownership of what changed to the writer. Both keep `metadata.managedFields`.
//!
//! Data's way: `pathelement` -> `fieldset` (sets of fields, FieldsV1) -> `shape` (what a schema says of a value)
//! -> `typed`, `compare`, `combine`, `check` (a value's fields, two values' differences, their merge, what is wrong)
//! -> `managers` (`metadata.managedFields`) -> `ownership` (apply and update) with `lastapplied` for kubectl's past.
//!
//! Invariant: all functions recurse along their inputs, whose depth the decoder limits (to some 200 levels);
//! nothing here returns an object deeper than [`MAX_DEPTH`] or than its inputs.

mod check;
mod combine;
mod compare;
mod error;
mod fieldset;
mod json_patch;
mod lastapplied;
mod manager_name;
mod managers;
mod merge_patch;
mod ownership;
mod pathelement;
mod shape;
mod strategic;

mod typed;

#[cfg(test)]
mod fixtures;

pub use error::{ApplyError, Conflict, ConflictCause, PatchError, conflict_causes, conflict_message};
pub use fieldset::{FieldSet, FieldSetError};
pub use json_patch::{MAX_OPERATIONS, apply_json_patch};
pub use manager_name::{ManagerNameError, check_manager_name, manager_or_user_agent};
pub use managers::{Entry, ManagedFields, ManagerId, Operation};
pub use merge_patch::apply_merge_patch;
pub use ownership::{ApplyOptions, Tracked, UpdateOptions, apply, update};
pub use pathelement::{Path, PathElement, PathValue};
pub use strategic::apply_strategic;

/// The deepest object that a patch may build.
pub const MAX_DEPTH: usize = 256;
