//! What is wrong with an applied configuration: only what says its own fields and items unmistakably can be merged.
//!
//! Follows `Validate` of structured-merge-diff: unknown fields, values of another type, items without keys and
//! duplicate items are refused, each with its path. Values themselves are checked later, on the merged object.

use std::collections::BTreeSet;

use purlin_apiserver_schema::{Schema, Type};
use serde_json::Value;

use crate::pathelement::{Path, PathElement};
use crate::shape::Node;

/// How many errors are told.
const MAX_ERRORS: usize = 20;

/// All that is wrong, each `.path: what`; empty when the configuration can be merged.
pub(crate) fn check(node: Node<'_>, config: &Value) -> Vec<String> {
    let mut walk = Walk::default();
    walk.value(node, config);
    walk.errors
}

#[derive(Default)]
struct Walk {
    path: Path,
    errors: Vec<String>,
}

impl Walk {
    fn error(&mut self, message: &str) {
        if self.errors.len() < MAX_ERRORS {
            let at = if self.path.0.is_empty() { String::new() } else { format!("{}: ", self.path) };
            self.errors.push(format!("{at}{message}"));
        }
    }

    fn value(&mut self, node: Node<'_>, value: &Value) {
        if let Node::Known(schema) = node
            && let Some(expected) = mismatch(schema, value)
        {
            self.error(&format!("expected {expected}, got {}", type_name(value)));
            return;
        }
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    self.path.0.push(PathElement::field(name.as_str()));
                    match node.declared(name) {
                        Some(node) => self.value(node, value),
                        None => self.error("field not declared in schema"),
                    }
                    self.path.0.pop();
                }
            }
            Value::Array(list) => self.items(node, list),
            _ => {}
        }
    }

    fn items(&mut self, node: Node<'_>, list: &[Value]) {
        let mut seen = BTreeSet::new();
        for (index, item) in list.iter().enumerate() {
            let element = match node.element(item) {
                Ok(Some(element)) => element,
                Ok(None) => PathElement::Index(i64::try_from(index).unwrap_or(i64::MAX)),
                Err(message) => {
                    self.error(&format!("element {index}: {message}"));
                    return;
                }
            };
            if !seen.insert(element.clone()) {
                self.error(&format!("duplicate entries for key {element}"));
            }
            self.path.0.push(element);
            self.value(node.item(), item);
            self.path.0.pop();
        }
    }
}

/// What the schema expects where the value is something else; `null` is of every type.
fn mismatch(schema: &Schema, value: &Value) -> Option<&'static str> {
    let (fits, expected) = match schema.ty {
        Type::Any => return None,
        Type::Object => (value.is_object(), "map"),
        Type::Array => (value.is_array(), "list"),
        Type::String => (value.is_string(), "string"),
        Type::Integer | Type::Number => (value.is_number(), "numeric (int or float)"),
        Type::Boolean => (value.is_boolean(), "boolean"),
        Type::IntOrString => (value.is_string() || value.is_number() || value.is_boolean(), "any scalar"),
    };
    (!fits && !value.is_null()).then_some(expected)
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "map",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::widget;

    #[test]
    fn refused_with_its_path() {
        let schema = widget();
        let check = |config: Value, expected: &[&str]| {
            assert_eq!(super::check(Node::Known(&schema), &config), expected, "{config}")
        };
        check(json!({"spec": {"size": 1, "color": null, "args": ["a", "a"], "raw": {"x": [{}]}}, "status": null}), &[]);
        check(
            json!({"spec": {"colour": 1, "size": "x"}}),
            &[".spec.colour: field not declared in schema", ".spec.size: expected numeric (int or float), got string"],
        );
        check(json!({"spec": []}), &[".spec: expected map, got list"]);
        check(json!({"spec": {"args": [1]}}), &[".spec.args[0]: expected string, got number"]);
        check(
            json!({"spec": {"ports": [{"name": "p"}, {"name": "p", "port": "x"}]}}),
            &[
                r#".spec.ports: duplicate entries for key [name="p"]"#,
                r#".spec.ports[name="p"].port: expected numeric (int or float), got string"#,
            ],
        );
        check(
            json!({"spec": {"ports": [{"port": 1}]}}),
            &[
                r#".spec.ports: element 0: associative list with keys has an element that omits all key fields ["name"] (and doesn't have default values for any key fields)"#,
            ],
        );
        check(
            json!({"spec": {"ports": [null]}}),
            &[".spec.ports: element 0: associative list with keys may not have a null element"],
        );
        check(
            json!({"spec": {"ports": [{"name": {}}]}}),
            &[".spec.ports: element 0: associative list has an element whose key name is no scalar"],
        );
        check(
            json!({"metadata": {"finalizers": ["a", "a"]}}),
            &[r#".metadata.finalizers: duplicate entries for key [="a"]"#],
        );
        check(
            json!({"metadata": {"finalizers": [null, {}]}}),
            &[".metadata.finalizers: element 0: associative list without keys has an element that's an explicit null"],
        );
        check(json!([]), &["expected map, got list"]);
    }

    #[test]
    fn errors_are_bounded() {
        let many: serde_json::Map<String, Value> = (0..100).map(|n| (format!("x{n}"), json!(1))).collect();
        assert_eq!(super::check(Node::Known(&widget()), &Value::Object(many)).len(), MAX_ERRORS);
    }
}
