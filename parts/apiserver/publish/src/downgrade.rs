//! From OpenAPI v3 to v2 (Swagger): the same documents in the older form.
//!
//! v2 has neither `oneOf`, `anyOf`, `not` nor `nullable`. kubectl takes a v2 schema with properties for the whole
//! truth, so what may hold more than is said (`x-kubernetes-preserve-unknown-fields`, `nullable`) loses its
//! properties, as kube-apiserver does it.

use serde_json::{Map, Value, json};

use crate::definitions::PREFIX;

/// A schema in the form of v2.
pub(crate) fn schema(value: Value) -> Value {
    let Value::Object(mut schema) = value else { return value };
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str).map(renamed) {
        return json!({"$ref": reference});
    }
    // A reference with a description around it.
    let all_of = schema.shift_remove("allOf");
    let target = all_of.as_ref().and_then(|all| all.pointer("/0/$ref")).and_then(Value::as_str).map(renamed);
    if let Some(target) = target {
        schema.shift_remove("default");
        schema.insert("$ref".to_owned(), Value::from(target));
        return Value::Object(schema);
    }
    // The built-in types that are a string or a number (IntOrString, Quantity) are strings in v2.
    if schema.get("oneOf").and_then(Value::as_array).is_some_and(|types| types.contains(&json!({"type": "string"}))) {
        schema.insert("type".to_owned(), Value::from("string"));
    }
    for name in ["anyOf", "oneOf", "not"] {
        schema.shift_remove(name);
    }
    let nullable = schema.shift_remove("nullable").is_some();
    if nullable {
        schema.shift_remove("type");
    }
    if nullable || schema.contains_key("x-kubernetes-preserve-unknown-fields") {
        for name in ["properties", "required", "additionalProperties", "items"] {
            schema.shift_remove(name);
        }
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.values_mut().for_each(|field| *field = self::schema(field.take()));
    }
    for name in ["additionalProperties", "items"] {
        if let Some(below) = schema.get_mut(name) {
            *below = self::schema(below.take());
        }
    }
    Value::Object(schema)
}

/// A path item in the form of v2.
pub(crate) fn path_item(mut item: Value) -> Value {
    if let Value::Object(operations) = &mut item {
        for (name, part) in operations.iter_mut() {
            match (name.as_str(), part) {
                ("parameters", Value::Array(parameters)) => parameters.iter_mut().for_each(parameter),
                (_, Value::Object(operation)) => self::operation(operation),
                _ => {}
            }
        }
    }
    item
}

/// The parameter's schema becomes part of itself.
fn parameter(parameter: &mut Value) {
    if let Value::Object(parameter) = parameter
        && let Some(Value::Object(schema)) = parameter.shift_remove("schema")
    {
        parameter.extend(schema);
    }
}

fn operation(operation: &mut Map<String, Value>) {
    let mut parameters = Vec::new();
    if let Some(mut body) = operation.shift_remove("requestBody") {
        let required = body.get("required").is_some();
        let (types, content) = contents(body.get_mut("content"));
        let mut body = json!({"in": "body", "name": "body", "schema": content});
        if required {
            body["required"] = Value::Bool(true);
        }
        parameters.push(body);
        operation.insert("consumes".to_owned(), types);
    }
    if let Some(Value::Array(query)) = operation.shift_remove("parameters") {
        parameters.extend(query);
        let after_body = parameters.iter_mut().filter(|parameter| parameter.get("in").is_some_and(|at| at != "body"));
        after_body.for_each(parameter);
    }
    if !parameters.is_empty() {
        operation.insert("parameters".to_owned(), Value::Array(parameters));
    }
    let mut produces = json!([]);
    if let Some(Value::Object(responses)) = operation.get_mut("responses") {
        for response in responses.values_mut().filter_map(Value::as_object_mut) {
            if let Some(mut content) = response.shift_remove("content") {
                let (types, schema) = contents(Some(&mut content));
                produces = types;
                response.insert("schema".to_owned(), schema);
            }
        }
    }
    operation.insert("produces".to_owned(), produces);
    operation.insert("schemes".to_owned(), json!(["https"]));
}

/// The media types of a v3 `content`, and the schema that they share.
fn contents(content: Option<&mut Value>) -> (Value, Value) {
    let Some(Value::Object(content)) = content else { return (json!([]), json!({})) };
    let types = content.keys().map(|ty| Value::from(ty.as_str())).collect();
    let first = content.values_mut().next().and_then(|media| media.get_mut("schema"));
    (types, schema(first.map(Value::take).unwrap_or_else(|| json!({}))))
}

fn renamed(reference: &str) -> String {
    format!("#/definitions/{}", reference.strip_prefix(PREFIX).unwrap_or(reference))
}
