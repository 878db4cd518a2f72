//! Empty maps are absent: Go leaves them out (`omitempty`), so an object never comes back with one.
//!
//! It holds for the maps of built-in kinds (labels, annotations, data, selectors) and for the metadata of all objects.
//! Objects with named fields are no maps: `emptyDir: {}` says something.

use serde_json::Value;

use crate::{Schema, Type};

/// Drops the empty maps below a value, and the empty lists of its metadata.
pub fn drop_empty(value: &mut Value, schema: &Schema) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                if let Some(below) = schema.properties.get(name.as_str()).or(schema.additional.as_ref()) {
                    drop_empty(value, below);
                }
            }
            fields.retain(|name, value| {
                !schema.properties.get(name.as_str()).is_some_and(|below| is_empty(value, below))
            });
        }
        Value::Array(items) => {
            if let Some(below) = &schema.items {
                items.iter_mut().for_each(|item| drop_empty(item, below));
            }
        }
        _ => {}
    }
}

/// As [`drop_empty`], for the metadata of an object, whose lists (finalizers, owners) are left out as well.
pub fn drop_empty_metadata(metadata: &mut Value, schema: &Schema) {
    drop_empty(metadata, schema);
    if let Some(fields) = metadata.as_object_mut() {
        fields.retain(|name, value| name == "managedFields" || !value.as_array().is_some_and(Vec::is_empty));
    }
}

fn is_empty(value: &Value, schema: &Schema) -> bool {
    let map = schema.ty == Type::Object && schema.properties.is_empty() && schema.additional.is_some();
    map && value.as_object().is_some_and(|fields| fields.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn maps_go_and_objects_stay() {
        let schema = json!({"type": "object", "properties": {
            "data": {"type": "object", "additionalProperties": {"type": "string"}},
            "emptyDir": {"type": "object", "properties": {"medium": {"type": "string"}}},
            "items": {"type": "array", "items": {"type": "object", "properties": {
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            }}},
        }});
        let schema = Schema::from_openapi(&schema, "at").unwrap();
        let mut value = json!({"data": {}, "emptyDir": {}, "items": [{"labels": {}}, {"labels": {"a": ""}}]});
        drop_empty(&mut value, &schema);
        assert_eq!(value, json!({"emptyDir": {}, "items": [{}, {"labels": {"a": ""}}]}));
    }

    #[test]
    fn metadata_has_no_empty_lists() {
        let mut metadata = json!({"name": "a", "labels": {}, "finalizers": [], "managedFields": []});
        drop_empty_metadata(&mut metadata, &crate::object_meta_schema());
        assert_eq!(metadata, json!({"name": "a", "managedFields": []}));
    }
}
