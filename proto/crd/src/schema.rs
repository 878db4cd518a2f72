//! From a type's JSON Schema to a structural schema, and the transforms that say what schemars has no attribute for.
//!
//! A field names what it needs: `#[schemars(length(max = 16), transform = map_by("name"), transform = rules(RULES))]`.
//! Transforms that belong to one idea are joined by a function of the crate that has the idea.

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde_json::{Value, json};

/// CEL rules, each with the message of its refusal.
pub type Rules = &'static [(&'static str, &'static str)];

/// The list is replaced as a whole.
pub fn atomic(schema: &mut Schema) {
    schema.insert("x-kubernetes-list-type".into(), "atomic".into());
}

/// The list holds each value once.
pub fn set(schema: &mut Schema) {
    schema.insert("x-kubernetes-list-type".into(), "set".into());
}

/// The list's entries are told apart by the field `key`.
pub fn map_by(key: &'static str) -> impl Transform {
    move |schema: &mut Schema| {
        schema.insert("x-kubernetes-list-map-keys".into(), json!([key]));
        schema.insert("x-kubernetes-list-type".into(), "map".into());
    }
}

/// CEL rules, besides those that are there.
pub fn rules(rules: Rules) -> impl Transform {
    move |schema: &mut Schema| rules.iter().for_each(|(text, message)| rule(schema, text, message))
}

/// One more CEL rule.
pub fn rule(schema: &mut Schema, rule: &str, message: &str) {
    let all = schema.ensure_object().entry("x-kubernetes-validations").or_insert_with(|| json!([]));
    if let Value::Array(all) = all {
        all.push(json!({ "message": message, "rule": rule }));
    }
}

/// A type's structural schema, with every type in place.
pub fn of<T: JsonSchema>() -> Value {
    let mut settings = SchemaSettings::openapi3();
    settings.inline_subschemas = true;
    settings.transforms.clear();
    let mut schema = settings.into_generator().subschema_for::<T>();
    structural(&mut schema);
    schema.to_value()
}

/// A type's structural schema, for a field that the API server fills in with the type's `Default` where it is absent.
pub fn with_default<T: JsonSchema + Default + Serialize>() -> Value {
    let mut schema = of::<T>();
    schema["default"] = json!(T::default());
    schema
}

/// JSON Schema says "may be absent" by a second type, `null`; a structural schema only by not requiring the field.
/// Descriptions are one paragraph: the line breaks of a comment are not part of the text.
fn structural(schema: &mut Schema) {
    transform_subschemas(&mut structural, schema);
    let Some(object) = schema.as_object_mut() else { return };
    if let Some(Value::Array(types)) = object.get("type")
        && let Some(one) = types.iter().find(|one| *one != "null").cloned()
    {
        object.insert("type".into(), one);
    }
    if let Some(Value::Array(values)) = object.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(Value::String(text)) = object.get_mut("description") {
        *text = text.replace('\n', " ");
    }
}
