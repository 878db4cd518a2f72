//! Validation of `metadata`: what holds for every object, whatever its kind.
//!
//! Paths and words are those of apimachinery's ValidateObjectMeta and ValidateObjectMetaUpdate. The types of the
//! fields were checked before, by the schema of `metadata`; a field of another type counts as absent here.

use serde_json::{Map, Value, json};

use crate::names::{self, NameForm};
use crate::validate::shown;
use crate::{Cause, FieldError};

/// Bytes of all annotations of an object, keys and values.
const MAX_ANNOTATIONS: usize = 256 * 1024;

/// How many errors one field of metadata adds at most.
const MAX_ERRORS: usize = 20;

/// What is wrong with the metadata of an object that is written; the name is already generated.
pub fn validate_metadata(metadata: &Value, namespaced: bool, form: NameForm) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let generate = text(metadata, "generateName");
    if !generate.is_empty() {
        invalid(&mut errors, "metadata.generateName", generate, form.check(generate, true));
    }
    let name = text(metadata, "name");
    if name.is_empty() {
        errors.push(FieldError::required("metadata.name", "name or generateName is required"));
    } else {
        invalid(&mut errors, "metadata.name", name, form.check(name, false));
    }
    let namespace = text(metadata, "namespace");
    match (namespaced, namespace) {
        (true, "") => errors.push(FieldError::required("metadata.namespace", "")),
        (true, namespace) => {
            invalid(&mut errors, "metadata.namespace", namespace, names::dns1123_label(namespace));
        }
        (false, "") => {}
        (false, _) => {
            errors.push(FieldError::new("metadata.namespace", Cause::Forbidden, "not allowed on this type"));
        }
    }
    if metadata.get("generation").and_then(Value::as_i64).is_some_and(|n| n < 0) {
        let why = "must be greater than or equal to 0";
        errors.push(FieldError::invalid("metadata.generation", metadata["generation"].clone(), why));
    }
    validate_labels(metadata.get("labels"), "metadata.labels", &mut errors);
    validate_annotations(metadata.get("annotations"), &mut errors);
    validate_owners(metadata.get("ownerReferences"), &mut errors);
    validate_finalizers(metadata.get("finalizers"), &mut errors);
    errors
}

/// What an update may not change in metadata.
pub fn validate_metadata_update(metadata: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for field in ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        let (new, stored) = (metadata.get(field), old.get(field));
        if new.is_some_and(|v| !v.is_null()) && new != stored {
            let value = new.map(shown).unwrap_or_default();
            errors.push(FieldError::invalid(format!("metadata.{field}"), value, "field is immutable"));
        }
    }
    if old.get("deletionTimestamp").is_some_and(|v| !v.is_null()) {
        let names = |of: &Value| -> Vec<String> {
            let list = of.get("finalizers").and_then(Value::as_array);
            list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let stored = names(old);
        let mut added: Vec<String> = names(metadata).into_iter().filter(|name| !stored.contains(name)).collect();
        added.sort();
        if !added.is_empty() {
            let why = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                added.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
            );
            errors.push(FieldError::new("metadata.finalizers", Cause::Forbidden, why));
        }
    }
    errors
}

/// What is wrong with a map of labels.
pub fn validate_labels(labels: Option<&Value>, at: &str, errors: &mut Vec<FieldError>) {
    for (key, value) in object(labels).into_iter().flatten().take(10_000) {
        if errors.len() >= MAX_ERRORS {
            return;
        }
        invalid(errors, at, key, names::qualified_name(key));
        let value = value.as_str().unwrap_or_default();
        invalid(errors, at, value, names::label_value(value));
    }
}

fn validate_annotations(annotations: Option<&Value>, errors: &mut Vec<FieldError>) {
    let mut size = 0;
    for (key, value) in object(annotations).into_iter().flatten() {
        size += key.len() + value.as_str().map_or(0, str::len);
        if errors.len() < MAX_ERRORS {
            invalid(errors, "metadata.annotations", key, names::qualified_name(&key.to_ascii_lowercase()));
        }
    }
    if size > MAX_ANNOTATIONS {
        let why = format!("may not be more than {MAX_ANNOTATIONS} bytes");
        errors.push(FieldError::new("metadata.annotations", Cause::TooLong, why));
    }
}

fn validate_owners(owners: Option<&Value>, errors: &mut Vec<FieldError>) {
    let at = "metadata.ownerReferences";
    let mut controller: Option<String> = None;
    for owner in owners.and_then(Value::as_array).into_iter().flatten() {
        if errors.len() >= MAX_ERRORS {
            return;
        }
        let api_version = text(owner, "apiVersion");
        let (kind, name) = (text(owner, "kind"), text(owner, "name"));
        let version = api_version.rsplit_once('/').map_or(api_version, |(_, version)| version);
        if version.is_empty() {
            let why = "version must not be empty";
            errors.push(FieldError::invalid(format!("{at}.apiVersion"), json!(api_version), why));
        }
        for (field, value) in [("kind", kind), ("name", name), ("uid", text(owner, "uid"))] {
            if value.is_empty() {
                errors.push(FieldError::invalid(format!("{at}.{field}"), json!(""), "must not be empty"));
            }
        }
        if api_version == "v1" && kind == "Event" {
            let why = "/v1, Kind=Event is disallowed from being an owner";
            errors.push(FieldError::invalid(at, shown(owner), why));
        }
        if owner.get("controller") == Some(&json!(true)) {
            let this = format!("{kind}/{name}");
            if let Some(first) = &controller {
                let why = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}"
                );
                errors.push(FieldError::invalid(at, owners.map(shown).unwrap_or_default(), why));
            } else {
                controller = Some(this);
            }
        }
    }
}

fn validate_finalizers(finalizers: Option<&Value>, errors: &mut Vec<FieldError>) {
    let at = "metadata.finalizers";
    let names: Vec<&str> =
        finalizers.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    for name in &names {
        if errors.len() >= MAX_ERRORS {
            return;
        }
        invalid(errors, at, name, names::qualified_name(name));
    }
    if names.contains(&"orphan") && names.contains(&"foregroundDeletion") {
        let why = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.push(FieldError::invalid(at, json!(names), why));
    }
}

fn invalid(errors: &mut Vec<FieldError>, at: &str, value: &str, wrong: Vec<String>) {
    errors.extend(wrong.into_iter().map(|why| FieldError::invalid(at, shown(&json!(value)), why)));
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn object(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value.and_then(Value::as_object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(metadata: Value, expected: &[&str]) {
        let errors: Vec<String> =
            validate_metadata(&metadata, true, NameForm::Subdomain).iter().map(ToString::to_string).collect();
        assert_eq!(errors.len(), expected.len(), "{errors:?}");
        for (error, expected) in errors.iter().zip(expected) {
            assert!(error.starts_with(expected), "{error}\n{expected}");
        }
    }

    fn with(field: &str, value: Value) -> Value {
        json!({"name": "a", "namespace": "t", field: value})
    }

    #[test]
    fn names_are_required_and_have_their_form() {
        check(json!({"name": "a", "namespace": "t"}), &[]);
        check(json!({"namespace": "t"}), &["metadata.name: Required value: name or generateName is required"]);
        check(
            json!({"name": "A", "namespace": "t"}),
            &["metadata.name: Invalid value: \"A\": a lowercase RFC 1123 subdomain"],
        );
        check(json!({"name": "a"}), &["metadata.namespace: Required value"]);
        let errors = validate_metadata(&json!({"name": "a", "namespace": "t"}), false, NameForm::Subdomain);
        assert_eq!(errors[0].to_string(), "metadata.namespace: Forbidden: not allowed on this type");
        let errors = validate_metadata(&json!({"name": "a.b"}), false, NameForm::Label);
        assert_eq!(errors[0].to_string(), "metadata.name: Invalid value: \"a.b\": must not contain dots");
    }

    #[test]
    fn labels_and_annotations_are_bounded() {
        check(with("labels", json!({"app.kubernetes.io/name": "x", "a": ""})), &[]);
        check(with("labels", json!({"-": "x"})), &["metadata.labels: Invalid value: \"-\": name part must consist"]);
        check(with("labels", json!({"a": "/"})), &["metadata.labels: Invalid value: \"/\": a valid label must be"]);
        check(with("annotations", json!({"X.io/Y": "anything / at all"})), &[]);
        check(
            with("annotations", json!({"a": "x".repeat(300_000)})),
            &["metadata.annotations: Too long: may not be more than 262144 bytes"],
        );
    }

    #[test]
    fn owners_and_finalizers_are_complete() {
        let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": true});
        check(with("ownerReferences", json!([owner])), &[]);
        check(with("ownerReferences", json!([owner, owner])), &["metadata.ownerReferences: Invalid value: [{"]);
        check(
            with("ownerReferences", json!([{"apiVersion": "v1", "kind": "Pod", "name": "p"}])),
            &["metadata.ownerReferences.uid: Invalid value: \"\": must not be empty"],
        );
        check(with("finalizers", json!(["x.io/f", "kubernetes"])), &[]);
        check(
            with("finalizers", json!(["orphan", "foregroundDeletion"])),
            &["metadata.finalizers: Invalid value: [\"orphan\",\"foregroundDeletion\"]: finalizer orphan and"],
        );
    }

    #[test]
    fn identity_is_immutable_and_deletion_takes_no_finalizers() {
        let old = json!({"name": "a", "uid": "1", "deletionTimestamp": "x", "finalizers": ["a.b/c"]});
        assert_eq!(validate_metadata_update(&old, &old), []);
        let new = json!({"name": "a", "uid": "2", "finalizers": ["a.b/c", "d.e/f"]});
        let errors: Vec<String> = validate_metadata_update(&new, &old).iter().map(ToString::to_string).collect();
        assert_eq!(
            errors,
            [
                "metadata.uid: Invalid value: \"2\": field is immutable",
                "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"d.e/f\"}",
            ]
        );
    }
}
