//! The fields of a value, and a value without some of them.
//!
//! Follows `ToFieldSet`, `RemoveItems`, `EnsureNamedFieldsAreMembers` and `ReconcileFieldSetWithSchema` of
//! structured-merge-diff.

use serde_json::{Map, Value};

use crate::fieldset::FieldSet;
use crate::pathelement::PathElement;
use crate::shape::{Node, Shape, duplicates};

/// Every leaf and item of a value: what an applier of it owns. An empty list of items is nobody's.
pub(crate) fn field_set(node: Node<'_>, value: &Value) -> FieldSet {
    Walk { empty_lists: false }.children(node, value)
}

/// Every field that is there: all of [`field_set`], empty lists, and the named fields that contain any.
pub(crate) fn present(node: Node<'_>, value: &Value) -> FieldSet {
    with_named_fields(node, &Walk { empty_lists: true }.children(node, value))
}

#[derive(Clone, Copy)]
struct Walk {
    /// Whether an empty list of items is a member.
    empty_lists: bool,
}

impl Walk {
    fn children(self, node: Node<'_>, value: &Value) -> FieldSet {
        let mut set = FieldSet::new();
        match (value, node.shape(value)) {
            (Value::Object(fields), Some(Shape::Object)) => {
                for (name, value) in fields {
                    let (member, below) = self.child(node.field(name), value);
                    set.set_child(PathElement::field(name.as_str()), member || !node.names(name), below);
                }
            }
            (Value::Array(list), Some(Shape::List)) => {
                let items = node.items(list).unwrap_or_default();
                let doubled = duplicates(&items);
                for (element, item) in items {
                    // Items that cannot be told apart are owned together, without their fields.
                    let whole = doubled.contains(&element);
                    let below = if whole { FieldSet::new() } else { self.child(node.item(), item).1 };
                    set.set_child(element, true, below);
                }
            }
            _ => {}
        }
        set
    }

    /// Whether a child is a member by its own value, and what lies below it.
    fn child(self, node: Node<'_>, value: &Value) -> (bool, FieldSet) {
        let member = match node.shape(value) {
            None | Some(Shape::Leaf) => true,
            Some(Shape::Object) => value.as_object().is_some_and(Map::is_empty),
            Some(Shape::List) => self.empty_lists && value.as_array().is_some_and(Vec::is_empty),
        };
        (member, self.children(node, value))
    }
}

/// The value without the fields and items in the set. What became empty by that stays, as somebody owns it: upstream
/// makes it null. What lies in an atomic list or object cannot be removed alone, and stays too.
pub(crate) fn remove(node: Node<'_>, value: &Value, set: &FieldSet) -> Value {
    match (value, node.shape(value)) {
        (Value::Object(fields), Some(Shape::Object)) => fields
            .iter()
            .filter_map(|(name, value)| {
                let element = PathElement::field(name.as_str());
                Some((name.clone(), remove_child(node.field(name), value, set, &element)?))
            })
            .collect::<Map<String, Value>>()
            .into(),
        (Value::Array(list), Some(Shape::List)) => {
            let items = node.items(list).unwrap_or_default();
            items.iter().filter_map(|(element, item)| remove_child(node.item(), item, set, element)).collect()
        }
        _ => value.clone(),
    }
}

/// A child without what is in the set; none when it is in the set itself.
fn remove_child(node: Node<'_>, value: &Value, set: &FieldSet, element: &PathElement) -> Option<Value> {
    if set.has_element(element) {
        return None;
    }
    Some(set.below(element).map_or_else(|| value.clone(), |below| remove(node, value, below)))
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
        let check = |value: &Value, set: Value, expected: Value| {
            let got = remove(Node::Known(&schema), value, &FieldSet::from_json(&set).unwrap());
            assert_eq!(got, expected, "{value} - {set}");
        };
        let value = json!({"spec": {"size": 1, "ports": [{"name": "pa", "port": 1}, {"name": "pb"}], "args": ["a"]}});
        let without = |set: Value, spec: Value| check(&value, json!({"f:spec": set}), json!({"spec": spec}));
        check(&value, json!({}), value.clone());
        check(&value, json!({"f:spec": {}}), json!({}));
        without(json!({"f:size": {}, "f:ports": {}}), json!({"args": ["a"]}));
        without(
            json!({"f:ports": {"k:{\"name\":\"pa\"}": {}}, "f:size": {}, "f:args": {}}),
            json!({"ports": [{"name": "pb"}]}),
        );
        without(
            json!({"f:ports": {"k:{\"name\":\"pa\"}": {"f:port": {}}}, "f:size": {}, "f:args": {}}),
            json!({"ports": [{"name": "pa"}, {"name": "pb"}]}),
        );
        // What became empty stays, and so does what is in an atomic list.
        without(
            json!({"f:ports": {"k:{\"name\":\"pa\"}": {}, "k:{\"name\":\"pb\"}": {}}, "f:args": {"i:0": {}}, "f:size": {}}),
            json!({"ports": [], "args": ["a"]}),
        );
        without(json!({"f:size": {}, "f:ports": {}, "f:args": {}}), json!({}));
        let finalizers = json!({"metadata": {"finalizers": ["a", "b"]}});
        let set = json!({"f:metadata": {"f:finalizers": {"v:\"a\"": {}}}});
        check(&finalizers, set, json!({"metadata": {"finalizers": ["b"]}}));
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
