//! CustomResourceDefinition: names that follow from others, and the versions in which objects may be stored.
//!
//! What a definition's schema must look like is checked where the schema is built (purlin-apiserver-schema).

use purlin_apiserver_schema::Strategy;
use serde_json::{Value, json};

use crate::value::{carry, default_text, drop_nulls, list, object, text, texts};

pub(crate) fn strategy() -> Strategy {
    Strategy { default, prepare_create, prepare_update, generation: true, ..Strategy::default() }
}

fn default(crd: &mut Value) {
    drop_nulls(crd);
    let kind = text(crd, "spec.names.kind").to_owned();
    let Some(spec) = crd.get_mut("spec") else { return };
    if let Some(names) = spec.get_mut("names").and_then(Value::as_object_mut)
        && !kind.is_empty()
    {
        default_text(names, "singular", &kind.to_lowercase());
        default_text(names, "listKind", &format!("{kind}List"));
    }
    if let Some(spec) = spec.as_object_mut() {
        spec.entry("conversion").or_insert_with(|| json!({"strategy": "None"}));
    }
    if let Some(service) = crd.pointer_mut("/spec/conversion/webhook/clientConfig/service")
        && let Some(service) = service.as_object_mut()
    {
        service.entry("port").or_insert_with(|| 443.into());
    }
}

fn prepare_create(crd: &mut Value) {
    if let Some(map) = crd.as_object_mut() {
        map.shift_remove("status");
    }
    remember_storage(crd);
}

fn prepare_update(crd: &mut Value, old: &Value) {
    carry(crd, old, "status");
    remember_storage(crd);
}

/// Adds the storage version to `status.storedVersions`, from which only a migration removes it.
fn remember_storage(crd: &mut Value) {
    let storage = list(crd, "spec.versions").iter().find(|v| v.get("storage") == Some(&Value::Bool(true)));
    let Some(name) = storage.map(|v| text(v, "name").to_owned()) else { return };
    let mut stored: Vec<Value> = texts(crd, "status.storedVersions").map(Value::from).collect();
    if !stored.iter().any(|v| *v == name) {
        stored.push(name.into());
    }
    if let Some(status) = object(crd, "status") {
        status.insert("storedVersions".to_owned(), stored.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_conversion_and_stored_versions() {
        let mut crd = json!({
            "spec": {"names": {"kind": "Box", "plural": "boxes"}, "versions": [{"name": "v1", "storage": true}]},
            "status": {"conditions": [{"type": "Made up"}]}
        });
        default(&mut crd);
        prepare_create(&mut crd);
        let expected = json!({
            "spec": {
                "names": {"kind": "Box", "plural": "boxes", "singular": "box", "listKind": "BoxList"},
                "versions": [{"name": "v1", "storage": true}],
                "conversion": {"strategy": "None"}
            },
            "status": {"storedVersions": ["v1"]}
        });
        assert_eq!(crd, expected);
        let mut new = json!({"spec": {"versions": [{"name": "v1"}, {"name": "v2", "storage": true}]}});
        prepare_update(&mut new, &crd);
        assert_eq!(new["status"], json!({"storedVersions": ["v1", "v2"]}));
    }
}
