//! Defaulting: values that a schema gives where none is given.
//!
//! Follows the defaulting of structural schemas: a `null` where null is no value counts as absent (it is dropped, or
//! replaced by the default), then defaults are set from the top down, so that a default object is filled further.

use serde_json::Value;

use crate::Schema;

/// Sets the defaults below a value, and drops nulls where the schema does not allow null.
pub fn default(value: &mut Value, schema: &Schema) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, value| {
                let below = schema.properties.get(name.as_str()).or(schema.additional.as_ref());
                match below {
                    Some(below) if value.is_null() && !below.nullable => match &below.default {
                        Some(default) => {
                            *value = default.clone();
                            true
                        }
                        None => false,
                    },
                    _ => true,
                }
            });
            for (name, below) in &schema.properties {
                if let Some(default) = &below.default
                    && !fields.contains_key(&**name)
                {
                    fields.insert(name.to_string(), default.clone());
                }
            }
            for (name, value) in fields.iter_mut() {
                if let Some(below) = schema.properties.get(name.as_str()).or(schema.additional.as_ref()) {
                    self::default(value, below);
                }
            }
        }
        Value::Array(items) => {
            let Some(below) = &schema.items else { return };
            for item in items {
                if item.is_null()
                    && !below.nullable
                    && let Some(default) = &below.default
                {
                    *item = default.clone();
                }
                default(item, below);
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
    fn check(properties: Value, mut value: Value, expected: Value) {
        default(&mut value, &schema(json!({"type": "object", "properties": properties})));
        assert_eq!(value, expected);
    }

    #[test]
    fn absent_values_are_set_also_inside_a_default() {
        check(json!({"color": {"type": "string", "default": "red"}}), json!({}), json!({"color": "red"}));
        check(json!({"color": {"type": "string", "default": "red"}}), json!({"color": "x"}), json!({"color": "x"}));
        let spec =
            json!({"spec": {"type": "object", "default": {}, "properties": {"n": {"type": "integer", "default": 1}}}});
        check(spec.clone(), json!({}), json!({"spec": {"n": 1}}));
        check(spec, json!({"spec": {"n": 2}}), json!({"spec": {"n": 2}}));
        let inner = json!({"spec": {"type": "object", "properties": {"n": {"type": "integer", "default": 1}}}});
        check(inner, json!({}), json!({}));
    }

    #[test]
    fn lists_and_maps_default_each_member() {
        let member = json!({"type": "object", "properties": {"p": {"type": "string", "default": "TCP"}}});
        check(
            json!({"l": {"type": "array", "items": member}, "m": {"type": "object", "additionalProperties": member}}),
            json!({"l": [{}, {"p": "UDP"}], "m": {"k": {}}}),
            json!({"l": [{"p": "TCP"}, {"p": "UDP"}], "m": {"k": {"p": "TCP"}}}),
        );
    }

    #[test]
    fn null_is_absent_unless_it_is_a_value() {
        check(json!({"a": {"type": "string"}}), json!({"a": null}), json!({}));
        check(json!({"a": {"type": "string", "nullable": true}}), json!({"a": null}), json!({"a": null}));
        check(json!({"a": {"type": "string", "default": "x"}}), json!({"a": null}), json!({"a": "x"}));
        check(
            json!({"a": {"type": "string", "default": "x", "nullable": true}}),
            json!({"a": null}),
            json!({"a": null}),
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn defaulting_twice_changes_nothing(mut value in any_value()) {
            let schema = crate::fixture::broad();
            default(&mut value, &schema);
            let once = value.clone();
            default(&mut value, &schema);
            prop_assert_eq!(value, once);
        }
    }
}
