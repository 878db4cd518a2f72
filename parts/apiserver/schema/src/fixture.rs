//! What the tests of several modules share.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::Schema;

/// The schema of an `openAPIV3Schema`, which has to be a good one.
#[track_caller]
pub(crate) fn schema(openapi: Value) -> Schema {
    Schema::from_openapi(&openapi, "").unwrap_or_else(|errors| panic!("{openapi}: {errors:?}"))
}

/// A schema whose field names are those of [`any_value`].
pub(crate) fn broad() -> Schema {
    schema(json!({"type": "object", "properties": {
        "a": {"type": "string", "default": "x"},
        "b": {"type": "object", "properties": {
            "a": {"type": "integer", "default": 3},
            "c": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string", "default": "y"}}}},
        }},
        "c": {"type": "array", "items": {"type": "object", "additionalProperties": {"type": "string", "nullable": true}}},
        "d": {"type": "object", "default": {"a": 1}, "x-kubernetes-preserve-unknown-fields": true,
              "properties": {"b": {"type": "object"}}},
    }}))
}

/// JSON with few names, so that it often meets the schema.
pub(crate) fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|n| json!(n)),
        "[a-d]{0,2}".prop_map(Value::String),
    ];
    leaf.prop_recursive(5, 60, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            proptest::collection::vec(("[a-e]", inner), 0..5).prop_map(|f| Value::Object(f.into_iter().collect())),
        ]
    })
}

/// The definition that the acceptance tests use.
pub(crate) fn widget() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.bar.example.com", "uid": "u1"},
        "spec": {
            "group": "bar.example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["wd"]},
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "subresources": {
                    "status": {},
                    "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
                },
                "additionalPrinterColumns": [
                    {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                ],
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {
                        "type": "object",
                        "required": ["size"],
                        "properties": {
                            "size": {"type": "integer", "minimum": 1, "maximum": 10},
                            "color": {"type": "string", "default": "red", "enum": ["red", "green"]},
                            "replicas": {"type": "integer", "default": 1},
                            "ports": {
                                "type": "array",
                                "x-kubernetes-list-type": "map",
                                "x-kubernetes-list-map-keys": ["name"],
                                "items": {
                                    "type": "object",
                                    "required": ["name"],
                                    "properties": {"name": {"type": "string"}, "port": {"type": "integer"}},
                                },
                            },
                        },
                        "x-kubernetes-validations": [
                            {"rule": "self.color != 'green' || self.size > 5", "message": "green widgets must be large"},
                            {"rule": "self.size >= oldSelf.size", "message": "size may only grow"},
                        ],
                    },
                    "status": {"type": "object", "properties": {"replicas": {"type": "integer"}}},
                }}},
            }],
        },
    })
}
