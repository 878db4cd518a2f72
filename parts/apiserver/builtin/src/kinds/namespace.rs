//! Namespace: born `Active`, held by the finalizer `kubernetes` until it is empty.

use purlin_apiserver_schema::{FieldError, NameForm, Strategy, qualified_name};
use serde_json::{Value, json};

use crate::value::{carry, drop_nulls, list, object, text, texts};

/// The label that carries the name, so that selectors can name a namespace.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

pub(crate) fn strategy() -> Strategy {
    Strategy { default, prepare_create, prepare_update, validate, name: NameForm::Label, ..Strategy::default() }
}

fn default(namespace: &mut Value) {
    drop_nulls(namespace);
    let name = text(namespace, "metadata.name").to_owned();
    if !name.is_empty()
        && let Some(metadata) = namespace.get_mut("metadata")
        && let Some(labels) = object(metadata, "labels")
    {
        labels.insert(NAME_LABEL.to_owned(), name.into());
    }
    if let Some(status) = object(namespace, "status") {
        crate::value::default_text(status, "phase", "Active");
    }
}

fn prepare_create(namespace: &mut Value) {
    let mut finalizers = list(namespace, "spec.finalizers").to_vec();
    if !finalizers.iter().any(|f| f == "kubernetes") {
        finalizers.push("kubernetes".into());
    }
    if let Some(spec) = object(namespace, "spec") {
        spec.insert("finalizers".to_owned(), finalizers.into());
    }
    if let Some(map) = namespace.as_object_mut() {
        map.insert("status".to_owned(), json!({"phase": "Active"}));
    }
}

/// Finalizers are changed by `/finalize` only.
fn prepare_update(namespace: &mut Value, old: &Value) {
    carry(namespace, old, "spec");
    carry(namespace, old, "status");
}

fn validate(namespace: &Value, _: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for finalizer in texts(namespace, "spec.finalizers") {
        crate::value::invalid_if(&mut errors, "spec.finalizers", finalizer, qualified_name(finalizer));
        if !finalizer.contains('/') && !["kubernetes", "orphan", "foregroundDeletion"].contains(&finalizer) {
            let what = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid("spec.finalizers", finalizer.into(), what));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::create;

    #[test]
    fn born_active() {
        let mut namespace = json!({
            "metadata": {"name": "a", "creationTimestamp": null}, "status": {"phase": "Terminating"}
        });
        (strategy().default)(&mut namespace);
        (strategy().prepare_create)(&mut namespace);
        let expected = json!({
            "metadata": {"name": "a", "labels": {"kubernetes.io/metadata.name": "a"}},
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}
        });
        assert_eq!(namespace, expected);
        let mut update = json!({"metadata": {"name": "a"}, "spec": {}});
        (strategy().default)(&mut update);
        (strategy().prepare_update)(&mut update, &namespace);
        assert_eq!(update, expected);
    }

    #[test]
    fn finalizers() {
        let with = |f: &str| create(&strategy(), json!({"metadata": {"name": "a"}, "spec": {"finalizers": [f]}}));
        assert_eq!(with("example.com/x"), "");
        assert_eq!(
            with("x"),
            "spec.finalizers: Invalid value: \"x\": name is neither a standard finalizer name nor is it fully qualified"
        );
    }
}
