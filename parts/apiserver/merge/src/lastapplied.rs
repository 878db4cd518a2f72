//! The way from `kubectl apply` to `kubectl apply --server-side`.
//!
//! Client-side apply keeps its configuration in an annotation. Where the manager is kubectl's default, conflicts over
//! fields that this configuration set, and that still have its values, are no conflicts: client-side kubectl is the
//! same user. The annotation follows each server-side apply, so that the way back is open too.

use serde_json::{Map, Value};

use crate::check::check;
use crate::compare::compare;
use crate::error::Conflict;
use crate::shape::Node;
use crate::typed::field_set;

/// kubectl's default manager of server-side apply.
pub(crate) const KUBECTL: &str = "kubectl";

const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// How long all annotations of an object may be.
const MAX_ANNOTATIONS: usize = 256 * 1024;

/// The conflicts that client-side apply does not explain.
pub(crate) fn unresolved(node: Node<'_>, live: &Value, api_version: &str, conflicts: Vec<Conflict>) -> Vec<Conflict> {
    let Some(last) = last_applied(live).and_then(|text| serde_json::from_str::<Value>(text).ok()) else {
        return conflicts;
    };
    if last.get("apiVersion").and_then(Value::as_str) != Some(api_version) || !check(node, &last).is_empty() {
        return conflicts;
    }
    let changes = compare(node, &last, live);
    let mine =
        field_set(node, &last).difference(&changes.modified).difference(&changes.added).difference(&changes.removed);
    conflicts.into_iter().filter(|conflict| !mine.has(&conflict.path)).collect()
}

/// Writes the applied configuration into the annotation, where the object has it.
pub(crate) fn refresh(object: &mut Value, applied: &Value) {
    if last_applied(object).is_none() {
        return;
    }
    let mut applied = applied.clone();
    if let Some(annotations) = annotations_mut(&mut applied) {
        annotations.shift_remove(ANNOTATION);
    }
    let text = format!("{}\n", sorted(&applied));
    if let Some(annotations) = annotations_mut(object) {
        annotations.insert(ANNOTATION.to_owned(), text.into());
        let size: usize = annotations.iter().map(|(name, value)| name.len() + value.as_str().map_or(0, str::len)).sum();
        if size > MAX_ANNOTATIONS {
            annotations.shift_remove(ANNOTATION);
        }
    }
}

fn last_applied(object: &Value) -> Option<&str> {
    let text = object.get("metadata")?.get("annotations")?.get(ANNOTATION)?.as_str()?;
    (!text.is_empty()).then_some(text)
}

fn annotations_mut(object: &mut Value) -> Option<&mut Map<String, Value>> {
    object.get_mut("metadata")?.get_mut("annotations")?.as_object_mut()
}

/// The value with its fields in order of their names, as Go's encoder writes maps.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Object(fields) => {
            let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            Value::Object(fields.into_iter().map(|(name, value)| (name.clone(), sorted(value))).collect())
        }
        _ => value.clone(),
    }
}
