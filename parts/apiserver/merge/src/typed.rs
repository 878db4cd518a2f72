//! The fields of a value, and a value without some of them.
//!
//! Follows `ToFieldSet`, `RemoveItems`, `EnsureNamedFieldsAreMembers` and `ReconcileFieldSetWithSchema` of
//! structured-merge-diff.

use serde_json::{Map, Value};

use crate::fieldset::FieldSet;
use crate::pathelement::PathElement;
use crate::shape::{Node, Shape, duplicates};

/// Every leaf and item of a value.
pub(crate) fn field_set(node: Node<'_>, value: &Value) -> FieldSet {
    let mut set = FieldSet::new();
    match (value, node.shape(value)) {
        (Value::Object(fields), Some(Shape::Object)) => {
            for (name, value) in fields {
                let (member, below) = of_child(node.field(name), value);
                set.set_child(PathElement::field(name.as_str()), member || !node.names(name), below);
            }
        }
        (Value::Array(list), Some(Shape::List)) => {
            let items = node.items(list).unwrap_or_default();
            let doubled = duplicates(&items);
            for (element, item) in items {
                // Items that cannot be told apart are owned together, without their fields.
                let below = if doubled.contains(&element) { FieldSet::new() } else { of_child(node.item(), item).1 };
                set.set_child(element, true, below);
            }
        }
        _ => {}
    }
    set
}

/// Whether a child is a member by its own value, and what lies below it.
fn of_child(node: Node<'_>, value: &Value) -> (bool, FieldSet) {
    match node.shape(value) {
        None | Some(Shape::Leaf) => (true, FieldSet::new()),
        Some(Shape::Object) => (value.as_object().is_some_and(Map::is_empty), field_set(node, value)),
        Some(Shape::List) => (false, field_set(node, value)),
    }
}

/// The value without the fields and items in the set, and without what became empty by that; none when nothing is
/// left. What lies in an atomic list or object cannot be removed alone: the whole goes.
pub(crate) fn remove(node: Node<'_>, value: &Value, set: &FieldSet) -> Option<Value> {
    if set.is_empty() {
        return Some(value.clone());
    }
    match (value, node.shape(value)) {
        (Value::Object(fields), Some(Shape::Object)) if !fields.is_empty() => {
            let mut out = Map::new();
            for (name, value) in fields {
                let element = PathElement::field(name.as_str());
                if let Some(value) = remove_child(node.field(name), value, set, &element) {
                    out.insert(name.clone(), value);
                }
            }
            (!out.is_empty()).then_some(Value::Object(out))
        }
        (Value::Array(list), Some(Shape::List)) if !list.is_empty() => {
            let items = node.items(list).unwrap_or_default();
            let out: Vec<Value> =
                items.iter().filter_map(|(element, item)| remove_child(node.item(), item, set, element)).collect();
            (!out.is_empty()).then_some(Value::Array(out))
        }
        (Value::Object(_) | Value::Array(_), _) => None,
        _ => Some(value.clone()),
    }
}

fn remove_child(node: Node<'_>, value: &Value, set: &FieldSet, element: &PathElement) -> Option<Value> {
    if set.has_element(element) {
        return None;
    }
    match set.below(element) {
        Some(below) => remove(node, value, below),
        None => Some(value.clone()),
    }
}

/// The set with every named field that has members below: who owns all of an object's fields owns the object too
/// when it comes to removing it.
pub(crate) fn with_named_fields(node: Node<'_>, set: &FieldSet) -> FieldSet {
    let mut out = FieldSet::new();
    for (element, member, below) in set.children() {
        let named = matches!(element, PathElement::Field(name) if node.names(name));
        let below = with_named_fields(node.child(element), below);
        out.set_child(element.clone(), member || named, below);
    }
    out
}

/// The set after lists and objects became atomic in the schema: who owned anything in one owns the whole.
pub(crate) fn reconcile(node: Node<'_>, set: &FieldSet) -> FieldSet {
    let mut out = FieldSet::new();
    for (element, member, below) in set.children() {
        let child = node.child(element);
        if child.is_atomic() && !below.is_empty() {
            out.set_child(element.clone(), true, FieldSet::new());
        } else {
            out.set_child(element.clone(), member, reconcile(child, below));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::{atomic, deduced, list_map, object, set_of_strings, string, widget};

    #[test]
    fn fields_of_a_widget() {
        let schema = widget();
        let check = |value: Value, expected: Value| {
            assert_eq!(field_set(Node::Known(&schema), &value).to_json(), expected, "{value}")
        };
        check(json!({"spec": {"size": 1}}), json!({"f:spec": {"f:size": {}}}));
        check(json!({"spec": {}}), json!({"f:spec": {}}));
        check(json!({"spec": null}), json!({"f:spec": {}}));
        check(json!({"metadata": {"labels": {"a": "b"}}}), json!({"f:metadata": {"f:labels": {"f:a": {}}}}));
        check(json!({"metadata": {"labels": {}}}), json!({"f:metadata": {"f:labels": {}}}));
        check(
            json!({"metadata": {"finalizers": ["b", "a"]}}),
            json!({"f:metadata": {"f:finalizers": {"v:\"a\"": {}, "v:\"b\"": {}}}}),
        );
        check(json!({"spec": {"ports": []}}), json!({}));
        check(json!({"spec": {"args": []}}), json!({"f:spec": {"f:args": {}}}));
        check(
            json!({"spec": {"ports": [{"name": "pa", "port": 1}]}}),
            json!({"f:spec": {"f:ports": {"k:{\"name\":\"pa\"}": {".": {}, "f:name": {}, "f:port": {}}}}}),
        );
        check(
            json!({"spec": {"args": ["a"], "selector": {"x": "y"}}}),
            json!({"f:spec": {"f:args": {}, "f:selector": {}}}),
        );
        // Unknown fields are deduced: each object and scalar on its own, lists as a whole.
        check(json!({"spec": {"raw": {"a": {"b": [1]}}}}), json!({"f:spec": {"f:raw": {"f:a": {".": {}, "f:b": {}}}}}));
        // Two items with one key are owned together.
        check(
            json!({"spec": {"ports": [{"name": "pa", "port": 1}, {"name": "pa", "port": 2}]}}),
            json!({"f:spec": {"f:ports": {"k:{\"name\":\"pa\"}": {}}}}),
        );
        // Items without their key make the list a whole.
        check(json!({"spec": {"ports": [{"port": 1}]}}), json!({"f:spec": {"f:ports": {}}}));
    }

    #[test]
    fn defaulted_keys() {
        let mut item = object([("port", string()), ("protocol", string())]);
        let mut protocol = string();
        protocol.default = Some(json!("TCP"));
        item.properties.insert("protocol".into(), protocol.into());
        let schema = object([("ports", list_map(item, &["port", "protocol"]))]);
        let fields =
            field_set(Node::Known(&schema), &json!({"ports": [{"port": 80}, {"port": 80, "protocol": "UDP"}]}));
        assert_eq!(
            fields.to_json().to_string(),
            r#"{"f:ports":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:port":{}},"k:{\"port\":80,\"protocol\":\"UDP\"}":{".":{},"f:port":{},"f:protocol":{}}}}"#
        );
    }

    #[test]
    fn removed() {
        let schema = widget();
        let check = |value: Value, set: Value, expected: Value| {
            let got = remove(Node::Known(&schema), &value, &FieldSet::from_json(&set).unwrap());
            assert_eq!(got.unwrap_or(Value::Null), expected, "{value} - {set}");
        };
        let value = json!({"spec": {"size": 1, "ports": [{"name": "pa", "port": 1}, {"name": "pb", "port": 2}], "args": ["a"]}});
        check(value.clone(), json!({}), value.clone());
        check(
            value.clone(),
            json!({"f:spec": {"f:size": {}, "f:args": {}}}),
            json!({"spec": {"ports": [{"name": "pa", "port": 1}, {"name": "pb", "port": 2}]}}),
        );
        check(
            value.clone(),
            json!({"f:spec": {"f:ports": {"k:{\"name\":\"pa\"}": {}}, "f:size": {}, "f:args": {}}}),
            json!({"spec": {"ports": [{"name": "pb", "port": 2}]}}),
        );
        check(
            value.clone(),
            json!({"f:spec": {"f:ports": {"k:{\"name\":\"pa\"}": {"f:port": {}}}, "f:size": {}, "f:args": {}}}),
            json!({"spec": {"ports": [{"name": "pa"}, {"name": "pb", "port": 2}]}}),
        );
        check(value.clone(), json!({"f:spec": {"f:args": {"i:0": {}}, "f:ports": {}, "f:size": {}}}), json!(null));
        check(value, json!({"f:spec": {}}), json!(null));
        check(
            json!({"metadata": {"finalizers": ["a", "b"]}}),
            json!({"f:metadata": {"f:finalizers": {"v:\"a\"": {}}}}),
            json!({"metadata": {"finalizers": ["b"]}}),
        );
    }

    #[test]
    fn named_fields() {
        let schema = widget();
        let check = |set: Value, expected: Value| {
            let got = with_named_fields(Node::Known(&schema), &FieldSet::from_json(&set).unwrap());
            assert_eq!(got.to_json(), expected);
        };
        check(json!({"f:spec": {"f:size": {}}}), json!({"f:spec": {".": {}, "f:size": {}}}));
        check(
            json!({"f:metadata": {"f:labels": {"f:a": {}}}, "f:spec": {"f:raw": {"f:a": {"f:b": {}}}}}),
            json!({"f:metadata": {".": {}, "f:labels": {".": {}, "f:a": {}}}, "f:spec": {".": {}, "f:raw": {".": {}, "f:a": {"f:b": {}}}}}),
        );
        check(
            json!({"f:spec": {"f:ports": {"k:{\"name\":\"a\"}": {"f:port": {}}}}}),
            json!({"f:spec": {".": {}, "f:ports": {".": {}, "k:{\"name\":\"a\"}": {"f:port": {}}}}}),
        );
    }

    #[test]
    fn granular_became_atomic() {
        let schema = object([
            ("a", atomic(object([("b", string())]))),
            ("m", object([("l", set_of_strings())])),
            ("d", deduced()),
        ]);
        let set = json!({"f:a": {"f:b": {}}, "f:d": {"f:e": {"f:f": {}}}, "f:m": {"f:l": {"v:\"x\"": {}}}});
        let got = reconcile(Node::Known(&schema), &FieldSet::from_json(&set).unwrap());
        assert_eq!(got.to_json(), json!({"f:a": {}, "f:d": {"f:e": {"f:f": {}}}, "f:m": {"f:l": {"v:\"x\"": {}}}}));
    }
}
