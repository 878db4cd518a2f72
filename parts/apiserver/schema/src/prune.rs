//! Pruning: fields that a schema does not know are dropped, and named for strict field validation.
//!
//! Follows the pruning of structural schemas: what lies below `x-kubernetes-preserve-unknown-fields` is kept unless
//! it is described again further down; embedded resources keep `apiVersion` and `kind`, and their `metadata` is
//! pruned as that of any object.

use serde_json::Value;

use crate::meta_schema::object_meta;
use crate::path::Path;
use crate::{Schema, Type};

/// How many unknown fields are named at most; all of them are dropped.
const MAX_PATHS: usize = 100;

/// Drops the fields that the schema does not know; returns the paths of the first hundred: `spec.ports[0].x`.
pub fn prune(value: &mut Value, schema: &Schema) -> Vec<String> {
    let mut unknown = Vec::new();
    walk(value, schema, &Path::ROOT, &mut unknown);
    unknown.sort();
    unknown
}

fn walk(value: &mut Value, schema: &Schema, at: &Path<'_>, unknown: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            let keep = schema.preserve_unknown || schema.ty == Type::Any;
            fields.retain(|name, value| {
                let at = at.field(name);
                if let Some(below) = schema.properties.get(name.as_str()) {
                    walk(value, below, &at, unknown);
                } else if schema.embedded && name == "metadata" {
                    walk(value, object_meta(), &at, unknown);
                } else if schema.embedded && (name == "apiVersion" || name == "kind") {
                    // Implied by the embedded resource.
                } else if let Some(below) = &schema.additional {
                    walk(value, below, &at, unknown);
                } else if !keep {
                    if unknown.len() < MAX_PATHS {
                        unknown.push(at.to_string());
                    }
                    return false;
                }
                true
            });
        }
        Value::Array(items) => {
            let Some(below) = &schema.items else { return };
            for (i, item) in items.iter_mut().enumerate() {
                walk(item, below, &at.index(i), unknown);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::fixture::{any_value, schema};

    #[track_caller]
    fn check(schema_json: Value, mut value: Value, kept: Value, unknown: &[&str]) {
        let schema = schema(schema_json);
        assert_eq!(prune(&mut value, &schema), unknown);
        assert_eq!(value, kept);
    }

    #[test]
    fn unknown_fields_are_dropped_and_named() {
        check(
            json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
                "size": {"type": "integer"},
                "ports": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
                "labels": {"type": "object", "additionalProperties": {"type": "object", "properties": {
                    "a": {"type": "string"}}}},
            }}}}),
            json!({"spec": {"size": 1, "colour": "x", "ports": [{"name": "a", "x": 1}], "labels": {"l": {"a": "b", "c": 1}}}}),
            json!({"spec": {"size": 1, "ports": [{"name": "a"}], "labels": {"l": {"a": "b"}}}}),
            &["spec.colour", "spec.labels.l.c", "spec.ports[0].x"],
        );
    }

    #[test]
    fn preserved_parts_are_kept_but_for_what_is_described_again() {
        check(
            json!({"type": "object", "properties": {"spec": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                "properties": {"known": {"type": "object", "properties": {"a": {"type": "string"}}}},
            }}}),
            json!({"spec": {"any": {"thing": 1}, "known": {"a": "x", "b": 1}}}),
            json!({"spec": {"any": {"thing": 1}, "known": {"a": "x"}}}),
            &["spec.known.b"],
        );
    }

    #[test]
    fn embedded_resources_keep_their_identity() {
        check(
            json!({"type": "object", "properties": {"template": {
                "type": "object", "x-kubernetes-embedded-resource": true,
                "properties": {"spec": {"type": "object", "properties": {"a": {"type": "string"}}}},
            }}}),
            json!({"template": {"apiVersion": "v1", "kind": "X", "metadata": {"name": "n", "no": 1}, "spec": {"a": "b"}, "z": 1}}),
            json!({"template": {"apiVersion": "v1", "kind": "X", "metadata": {"name": "n"}, "spec": {"a": "b"}}}),
            &["template.metadata.no", "template.z"],
        );
    }

    #[test]
    fn so_many_unknown_fields_are_not_all_named() {
        let mut value = Value::Object((0..500).map(|i| (format!("f{i}"), json!(1))).collect());
        let unknown = prune(&mut value, &schema(json!({"type": "object"})));
        assert_eq!((unknown.len(), value), (MAX_PATHS, json!({})));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn pruning_twice_changes_nothing(mut value in any_value()) {
            let schema = crate::fixture::broad();
            prune(&mut value, &schema);
            let once = value.clone();
            prop_assert_eq!(prune(&mut value, &schema), Vec::<String>::new());
            prop_assert_eq!(value, once);
        }
    }
}
