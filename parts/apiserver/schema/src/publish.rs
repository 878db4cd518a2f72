//! A [`Schema`] as OpenAPI: what `/openapi/v2` and `/openapi/v3` say of a resource.
//!
//! Nodes with a `reference` are written once, as named definitions, and pointed to elsewhere. Version 2 knows no
//! junctors and no `nullable`: they are left out, as kube-apiserver does, since clients of version 2 only merge and explain.

use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use crate::{Checks, ListType, MapType, PatchStrategy, Rule, RuleReason, Schema, Type};

/// The version of OpenAPI that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenApi {
    /// Swagger 2.0: `#/definitions/NAME`.
    V2,
    /// OpenAPI 3.0: `#/components/schemas/NAME`.
    V3,
}

impl Schema {
    /// The schema itself, written out; what lies below it and has a `reference` is only pointed to.
    pub fn to_openapi(&self, version: OpenApi) -> Value {
        Value::Object(write(self, version))
    }

    /// The schema as another one mentions it: a pointer where it has a `reference`.
    pub fn to_openapi_reference(&self, version: OpenApi) -> Value {
        let Some(name) = &self.reference else { return self.to_openapi(version) };
        let mut out = Map::new();
        match version {
            OpenApi::V2 => {
                out.insert("$ref".into(), json!(format!("#/definitions/{name}")));
                describe(self, &mut out);
            }
            OpenApi::V3 => {
                let pointer = json!({"$ref": format!("#/components/schemas/{name}")});
                describe(self, &mut out);
                if let Some(default) = &self.default {
                    out.insert("default".into(), default.clone());
                }
                if out.is_empty() {
                    return pointer;
                }
                out.insert("allOf".into(), json!([pointer]));
            }
        }
        Value::Object(out)
    }

    /// Gathers the named schemas in this one and below it.
    pub fn definitions(self: &Arc<Self>, out: &mut IndexMap<Arc<str>, Arc<Schema>>) {
        if let Some(name) = &self.reference
            && out.insert(name.clone(), self.clone()).is_some()
        {
            return;
        }
        let below = self.properties.values().chain(&self.additional).chain(&self.items);
        for schema in below {
            schema.definitions(out);
        }
    }
}

fn describe(schema: &Schema, out: &mut Map<String, Value>) {
    if let Some(doc) = &schema.doc {
        out.insert("description".into(), json!(&**doc));
    }
}

fn write(schema: &Schema, version: OpenApi) -> Map<String, Value> {
    let mut out = Map::new();
    describe(schema, &mut out);
    let name = match schema.ty {
        Type::Any | Type::IntOrString => None,
        Type::Object => Some("object"),
        Type::Array => Some("array"),
        Type::String => Some("string"),
        Type::Integer => Some("integer"),
        Type::Number => Some("number"),
        Type::Boolean => Some("boolean"),
    };
    if let Some(name) = name {
        out.insert("type".into(), json!(name));
    }
    if let Some(format) = &schema.format {
        out.insert("format".into(), json!(&**format));
    }
    if let Some(default) = &schema.default {
        out.insert("default".into(), default.clone());
    }
    if schema.nullable && version == OpenApi::V3 {
        out.insert("nullable".into(), json!(true));
    }
    if !schema.required.is_empty() {
        out.insert("required".into(), json!(schema.required));
    }
    if !schema.properties.is_empty() {
        let fields = schema.properties.iter().map(|(name, s)| (name.to_string(), s.to_openapi_reference(version)));
        out.insert("properties".into(), Value::Object(fields.collect()));
    }
    if let Some(additional) = &schema.additional {
        out.insert("additionalProperties".into(), additional.to_openapi_reference(version));
    }
    if let Some(items) = &schema.items {
        out.insert("items".into(), items.to_openapi_reference(version));
    }
    if let Some(checks) = &schema.checks {
        write_checks(checks, version, &mut out);
    }
    write_extensions(schema, version, &mut out);
    out
}

fn write_checks(checks: &Checks, version: OpenApi, out: &mut Map<String, Value>) {
    if !checks.enum_values.is_empty() {
        out.insert("enum".into(), Value::Array(checks.enum_values.clone()));
    }
    for (keyword, bound) in
        [("minimum", checks.minimum), ("maximum", checks.maximum), ("multipleOf", checks.multiple_of)]
    {
        if let Some(bound) = bound {
            out.insert(keyword.into(), number(bound));
        }
    }
    for (keyword, set) in [
        ("exclusiveMinimum", checks.exclusive_minimum),
        ("exclusiveMaximum", checks.exclusive_maximum),
        ("uniqueItems", checks.unique_items),
    ] {
        if set {
            out.insert(keyword.into(), json!(true));
        }
    }
    for (keyword, count) in [
        ("minLength", checks.min_length),
        ("maxLength", checks.max_length),
        ("minItems", checks.min_items),
        ("maxItems", checks.max_items),
        ("minProperties", checks.min_properties),
        ("maxProperties", checks.max_properties),
    ] {
        if let Some(count) = count {
            out.insert(keyword.into(), json!(count));
        }
    }
    if let Some(pattern) = &checks.pattern {
        out.insert("pattern".into(), json!(&**pattern));
    }
    if version == OpenApi::V2 {
        return;
    }
    for (keyword, branches) in [("allOf", &checks.all_of), ("anyOf", &checks.any_of), ("oneOf", &checks.one_of)] {
        if !branches.is_empty() {
            out.insert(keyword.into(), branches.iter().map(|branch| write_branch(branch, version)).collect());
        }
    }
    if let Some(branch) = &checks.not {
        out.insert("not".into(), write_branch(branch, version));
    }
}

/// A branch of a junctor takes `nullable` from the schema around it and does not say it.
fn write_branch(branch: &Schema, version: OpenApi) -> Value {
    let mut out = write(branch, version);
    out.shift_remove("nullable");
    Value::Object(out)
}

/// A bound, without a fraction where it has none.
fn number(bound: f64) -> Value {
    if bound.fract() == 0.0 && bound.abs() < 9e15 { json!(bound as i64) } else { json!(bound) }
}

fn write_extensions(schema: &Schema, version: OpenApi, out: &mut Map<String, Value>) {
    if schema.ty == Type::IntOrString {
        out.insert("x-kubernetes-int-or-string".into(), json!(true));
        if version == OpenApi::V3 && !out.contains_key("anyOf") {
            out.insert("anyOf".into(), json!([{"type": "integer"}, {"type": "string"}]));
        }
    }
    for (keyword, set) in [
        ("x-kubernetes-preserve-unknown-fields", schema.preserve_unknown),
        ("x-kubernetes-embedded-resource", schema.embedded),
    ] {
        if set {
            out.insert(keyword.into(), json!(true));
        }
    }
    match &schema.list {
        ListType::Atomic => {}
        ListType::Set => {
            out.insert("x-kubernetes-list-type".into(), json!("set"));
        }
        ListType::Map(keys) => {
            out.insert("x-kubernetes-list-type".into(), json!("map"));
            out.insert("x-kubernetes-list-map-keys".into(), json!(keys));
        }
    }
    if schema.map == MapType::Atomic {
        out.insert("x-kubernetes-map-type".into(), json!("atomic"));
    }
    if let Some(strategic) = &schema.strategic {
        let strategy = match strategic.strategy {
            PatchStrategy::Merge => "merge",
            PatchStrategy::RetainKeys => "retainKeys",
            PatchStrategy::MergeRetainKeys => "merge,retainKeys",
            PatchStrategy::Replace => "replace",
        };
        out.insert("x-kubernetes-patch-strategy".into(), json!(strategy));
        if let Some(key) = &strategic.merge_key {
            out.insert("x-kubernetes-patch-merge-key".into(), json!(&**key));
        }
    }
    if !schema.rules.is_empty() {
        out.insert("x-kubernetes-validations".into(), schema.rules.iter().map(write_rule).collect());
    }
}

fn write_rule(rule: &Rule) -> Value {
    let mut out = Map::new();
    out.insert("rule".into(), json!(&*rule.rule));
    for (keyword, text) in
        [("message", &rule.message), ("messageExpression", &rule.message_expression), ("fieldPath", &rule.field_path)]
    {
        if let Some(text) = text {
            out.insert(keyword.into(), json!(&**text));
        }
    }
    let reason = match rule.reason {
        RuleReason::FieldValueInvalid => None,
        RuleReason::FieldValueForbidden => Some("FieldValueForbidden"),
        RuleReason::FieldValueRequired => Some("FieldValueRequired"),
        RuleReason::FieldValueDuplicate => Some("FieldValueDuplicate"),
    };
    if let Some(reason) = reason {
        out.insert("reason".into(), json!(reason));
    }
    if rule.optional_old_self {
        out.insert("optionalOldSelf".into(), json!(true));
    }
    Value::Object(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::schema;
    use crate::object_meta_schema;

    #[test]
    fn what_was_read_is_written_again() {
        let openapi = json!({
            "description": "A widget.",
            "type": "object",
            "required": ["size"],
            "properties": {
                "size": {"type": "integer", "format": "int32", "default": 3, "minimum": 1, "maximum": 10},
                "ratio": {"type": "number", "minimum": 0.5, "exclusiveMinimum": true},
                "port": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
                "any": {"nullable": true, "x-kubernetes-preserve-unknown-fields": true},
                "labels": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 3}},
                "list": {"type": "array", "items": {"type": "string", "enum": ["a"], "pattern": "^a"}, "maxItems": 3,
                    "x-kubernetes-list-type": "set"},
                "one": {"type": "object", "properties": {"a": {"type": "string"}}, "oneOf": [{"required": ["a"]}],
                    "x-kubernetes-map-type": "atomic",
                    "x-kubernetes-validations": [{"rule": "true", "message": "m", "reason": "FieldValueForbidden"}]},
            },
        });
        assert_eq!(schema(openapi.clone()).to_openapi(OpenApi::V3), openapi);
        let v2 = schema(openapi).to_openapi(OpenApi::V2);
        assert_eq!(v2["properties"]["any"], json!({"x-kubernetes-preserve-unknown-fields": true}));
        assert_eq!(v2["properties"]["one"].get("oneOf"), None);
    }

    #[test]
    fn named_schemas_are_pointed_to() {
        let meta = object_meta_schema();
        let root = Arc::new(Schema {
            ty: Type::Object,
            properties: IndexMap::from([("metadata".into(), meta.clone())]),
            ..Schema::default()
        });
        assert_eq!(
            root.to_openapi(OpenApi::V3)["properties"]["metadata"],
            json!({"description": "Standard metadata that every object has.",
                "allOf": [{"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}]}),
        );
        assert_eq!(
            root.to_openapi(OpenApi::V2)["properties"]["metadata"]["$ref"],
            "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta",
        );
        let owner = meta.to_openapi(OpenApi::V3)["properties"]["ownerReferences"].clone();
        assert_eq!(
            owner["items"],
            json!({"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.OwnerReference"})
        );
        let mut all = IndexMap::new();
        root.definitions(&mut all);
        let names: Vec<&str> = all.keys().filter_map(|n| n.rsplit('.').next()).collect();
        assert_eq!(names, ["ObjectMeta", "ManagedFieldsEntry", "FieldsV1", "OwnerReference"]);
    }
}
