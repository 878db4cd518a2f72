//! What can be wrong with a patch or an apply, in the words of kube-apiserver.

use std::fmt::Write as _;

use crate::managers::{ManagerId, Operation};
use crate::pathelement::Path;

/// Why a patch was not applied. Each kind is one HTTP status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The patch is not a patch: 400 BadRequest.
    #[error("{0}")]
    Malformed(String),
    /// The patch does not fit the object (a failed `test`, a missing path or merge key): 422 Invalid.
    #[error("{0}")]
    Unprocessable(String),
    /// The patch is or makes something too large: 413 RequestEntityTooLarge.
    #[error("{0}")]
    TooLarge(String),
}

/// Why an applied configuration was not merged. Each kind is one HTTP status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The request itself is wrong (another version, managedFields set): 400 BadRequest.
    #[error("{0}")]
    BadRequest(String),
    /// The configuration does not fit the schema. kube-apiserver answers 500 with these words; 400 is more honest.
    #[error("{0}")]
    NotTyped(String),
    /// `metadata.managedFields` of the live object cannot be read: 500 InternalError.
    #[error("failed to decode managed fields: {0}")]
    Live(String),
    /// Other managers own what the configuration changes: 409 Conflict, with [`conflict_causes`] as its details.
    #[error("{}", conflict_message(.0))]
    Conflicts(Vec<Conflict>),
}

/// A field that another manager owns and the applied configuration would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Who owns the field.
    pub owner: ManagerId,
    /// The field.
    pub path: Path,
}

/// One entry of `Status.details.causes`, with the reason `FieldManagerConflict`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConflictCause {
    /// `conflict with "kubectl-client-side-apply" using bar.example.com/v1`.
    pub message: String,
    /// `.spec.size`.
    pub field: String,
}

/// The causes of a conflict Status, in the order of the conflicts.
pub fn conflict_causes(conflicts: &[Conflict]) -> Vec<ConflictCause> {
    conflicts
        .iter()
        .map(|c| ConflictCause { message: format!("conflict with {}", describe(&c.owner)), field: c.path.to_string() })
        .collect()
}

/// The message of a conflict Status: one line for one conflict, else a list by manager.
pub fn conflict_message(conflicts: &[Conflict]) -> String {
    if let [only] = conflicts {
        return format!("Apply failed with 1 conflict: conflict with {}: {}", describe(&only.owner), only.path);
    }
    let mut out = format!("Apply failed with {} conflicts: ", conflicts.len());
    let mut last = None;
    // Conflicts come ordered by manager.
    for conflict in conflicts {
        if last != Some(&conflict.owner) {
            let separator = if last.is_some() { "\n" } else { "" };
            let _ = write!(out, "{separator}conflicts with {}:", describe(&conflict.owner));
            last = Some(&conflict.owner);
        }
        let _ = write!(out, "\n- {}", conflict.path);
    }
    out
}

/// `"name"`, and what else tells an owner from others of that name. Times are left out, as upstream's identifiers
/// of managers have none.
fn describe(owner: &ManagerId) -> String {
    let mut out = format!("{:?}", owner.manager);
    if !owner.subresource.is_empty() {
        let _ = write!(out, " with subresource {:?}", owner.subresource);
    }
    if owner.operation == Operation::Update {
        let _ = write!(out, " using {}", owner.api_version);
    }
    out
}
