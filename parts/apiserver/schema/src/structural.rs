//! Rules of structural schemas that look at more than one level: list keys, completeness of junctors, defaults.
//!
//! Runs over a parsed [`Schema`] whose nodes are good by themselves. Follows apiextensions: every field that a
//! junctor restricts is described outside of it, keys of map lists are required or have a default, and defaults are
//! themselves valid and hold no unknown field.

use serde_json::{Value, json};

use crate::path::Path;
use crate::{Cause, Checks, FieldError, ListType, MapType, Schema, Type, prune, validate};

/// Checks a whole tree.
pub(crate) fn check(schema: &Schema, at: &Path<'_>, errors: &mut Vec<FieldError>) {
    if let Some(checks) = &schema.checks {
        complete_junctors(checks, schema, at, at, errors);
    }
    check_list(schema, at, errors);
    check_default(schema, at, errors);
    let properties = at.field("properties");
    for (name, below) in &schema.properties {
        check(below, &properties.key(name), errors);
    }
    if let Some(below) = &schema.additional {
        check(below, &at.field("additionalProperties"), errors);
    }
    if let Some(below) = &schema.items {
        check(below, &at.field("items"), errors);
    }
}

fn complete_junctors(
    checks: &Checks,
    schema: &Schema,
    at: &Path<'_>,
    branch_at: &Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    for (keyword, branches) in [("allOf", &checks.all_of), ("anyOf", &checks.any_of), ("oneOf", &checks.one_of)] {
        let branches_at = branch_at.field(keyword);
        for (i, branch) in branches.iter().enumerate() {
            complete(branch, schema, at, &branches_at.index(i), errors);
        }
    }
    if let Some(branch) = &checks.not {
        complete(branch, schema, at, &branch_at.field("not"), errors);
    }
}

/// Every field of a branch is described by the schema around the junctor.
fn complete(branch: &Schema, schema: &Schema, at: &Path<'_>, branch_at: &Path<'_>, errors: &mut Vec<FieldError>) {
    if let Some(checks) = &branch.checks {
        complete_junctors(checks, schema, at, branch_at, errors);
    }
    let missing = |at: &Path<'_>, branch_at: &Path<'_>| {
        FieldError::required(at.to_string(), format!("because it is defined in {branch_at}"))
    };
    let (properties, branch_properties) = (at.field("properties"), branch_at.field("properties"));
    for (name, below) in &branch.properties {
        let (at, branch_at) = (properties.key(name), branch_properties.key(name));
        match schema.properties.get(name) {
            Some(described) => complete(below, described, &at, &branch_at, errors),
            None => errors.push(missing(&at, &branch_at)),
        }
    }
    if let Some(below) = &branch.items {
        let (at, branch_at) = (at.field("items"), branch_at.field("items"));
        match &schema.items {
            Some(described) => complete(below, described, &at, &branch_at, errors),
            None => errors.push(missing(&at, &branch_at)),
        }
    }
}

fn check_list(schema: &Schema, at: &Path<'_>, errors: &mut Vec<FieldError>) {
    let Some(items) = &schema.items else { return };
    let items_at = at.field("items");
    let word = match &schema.list {
        ListType::Atomic => return,
        ListType::Set => "set",
        ListType::Map(_) => "map",
    };
    if items.nullable {
        let why = format!("cannot be nullable when x-kubernetes-list-type is {word}");
        errors.push(FieldError::new(items_at.field("nullable").to_string(), Cause::Forbidden, why));
    }
    match &schema.list {
        ListType::Map(keys) => check_keys(keys, items, at, errors),
        _ => {
            let why = "must be atomic as item of a list with x-kubernetes-list-type=set";
            if items.ty == Type::Array && items.list != ListType::Atomic {
                errors.push(FieldError::invalid(
                    items_at.field("x-kubernetes-list-type").to_string(),
                    json!(word),
                    why,
                ));
            }
            if items.ty == Type::Object && items.map != MapType::Atomic {
                errors.push(FieldError::invalid(items_at.field("x-kubernetes-map-type").to_string(), Value::Null, why));
            }
        }
    }
}

fn check_keys(keys: &[Box<str>], items: &Schema, at: &Path<'_>, errors: &mut Vec<FieldError>) {
    let items_at = at.field("items");
    if items.ty != Type::Object {
        let why = "must be object if parent array's x-kubernetes-list-type is map";
        errors.push(FieldError::invalid(items_at.field("type").to_string(), json!(""), why));
        return;
    }
    let keys_at = at.field("x-kubernetes-list-map-keys");
    let properties_at = items_at.field("properties");
    for (i, key) in keys.iter().enumerate() {
        if keys[..i].contains(key) {
            errors.push(FieldError::invalid(keys_at.to_string(), json!(keys), "must not contain duplicate entries"));
        }
        let Some(property) = items.properties.get(key) else {
            let why = "entries must all be names of item properties";
            errors.push(FieldError::invalid(keys_at.to_string(), json!(keys), why));
            continue;
        };
        let at = properties_at.key(key);
        if matches!(property.ty, Type::Array | Type::Object) {
            let why = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            errors.push(FieldError::invalid(at.field("type").to_string(), json!("object"), why));
        }
        if !items.required.contains(key) && property.default.is_none() {
            let why =
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(FieldError::required(at.field("default").to_string(), why));
        }
        if property.nullable {
            let why = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(FieldError::new(at.field("nullable").to_string(), Cause::Forbidden, why));
        }
    }
}

fn check_default(schema: &Schema, at: &Path<'_>, errors: &mut Vec<FieldError>) {
    let Some(default) = &schema.default else { return };
    let at = at.field("default");
    let mut pruned = default.clone();
    if !prune(&mut pruned, schema).is_empty() {
        errors.push(FieldError::invalid(at.to_string(), validate::shown(default), "must not have unknown fields"));
        return;
    }
    errors.extend(validate::validate_at(default, schema, &at));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(node: Value, expected: &[&str]) {
        let openapi = json!({"type": "object", "properties": {"f": node}});
        let errors = Schema::from_openapi(&openapi, "").unwrap_err();
        let errors: Vec<String> =
            errors.iter().map(|e| e.to_string().trim_start_matches("properties[f].").to_owned()).collect();
        assert_eq!(errors, expected, "{openapi}");
    }

    #[test]
    fn keys_of_map_lists_are_there() {
        let list = |items: Value| json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": items});
        refused(
            list(json!({"type": "object", "properties": {"k": {"type": "string"}}})),
            &[
                "items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
            ],
        );
        refused(
            list(json!({"type": "object", "properties": {"x": {"type": "string"}}})),
            &["x-kubernetes-list-map-keys: Invalid value: [\"k\"]: entries must all be names of item properties"],
        );
        refused(
            json!({"type": "array", "x-kubernetes-list-type": "map", "items": {"type": "object"}}),
            &["x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map"],
        );
        refused(
            json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "object", "properties": {"a": {"type": "string"}}}}),
            &[
                "items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a list with x-kubernetes-list-type=set",
            ],
        );
    }

    #[test]
    fn defaults_are_valid_and_pruned() {
        refused(
            json!({"type": "integer", "default": "x"}),
            &["default: Invalid value: \"string\": properties[f].default in body must be of type integer: \"string\""],
        );
        refused(
            json!({"type": "object", "default": {"a": 1}}),
            &["default: Invalid value: {\"a\":1}: must not have unknown fields"],
        );
    }
}
