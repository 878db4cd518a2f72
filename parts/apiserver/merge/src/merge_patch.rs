//! JSON merge patch (RFC 7386).

use serde_json::{Map, Value};

/// Applies a merge patch: objects merge, `null` deletes, everything else replaces.
pub fn apply_merge_patch(obj: &Value, patch: &Value) -> Value {
    let Value::Object(fields) = patch else { return patch.clone() };
    let mut merged = obj.as_object().cloned().unwrap_or_default();
    merge_fields(&mut merged, fields);
    Value::Object(merged)
}

/// Merges in place, so that what the patch does not name is neither visited nor cloned again.
fn merge_fields(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (name, value) in patch {
        match (value, target.get_mut(name)) {
            (Value::Null, _) => {
                target.shift_remove(name);
            }
            (Value::Object(fields), Some(Value::Object(below))) => merge_fields(below, fields),
            // Nothing to merge with, but the nulls within must go all the same.
            (Value::Object(fields), _) => {
                let mut below = Map::new();
                merge_fields(&mut below, fields);
                target.insert(name.clone(), Value::Object(below));
            }
            _ => {
                target.insert(name.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::fixtures::any_json;

    #[test]
    fn the_examples_of_the_rfc() {
        let check = |obj: Value, patch: Value, expected: Value| {
            assert_eq!(apply_merge_patch(&obj, &patch), expected, "{obj} {patch}")
        };
        check(json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"}));
        check(json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"}));
        check(json!({"a": "b"}), json!({"a": null}), json!({}));
        check(json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"}));
        check(json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"}));
        check(json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]}));
        check(json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}}));
        check(json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]}));
        check(json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"]));
        check(json!({"a": "b"}), json!(["c"]), json!(["c"]));
        check(json!({"a": "foo"}), json!(null), json!(null));
        check(json!({"a": "foo"}), json!("bar"), json!("bar"));
        check(json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1}));
        check(json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"}));
        check(json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}}));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn applying_twice_changes_nothing(obj in any_json(), patch in any_json()) {
            let once = apply_merge_patch(&obj, &patch);
            prop_assert_eq!(apply_merge_patch(&once, &patch), once);
        }
    }
}
