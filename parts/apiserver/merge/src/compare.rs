//! Which fields differ between two values.
//!
//! Follows `Compare` of structured-merge-diff: a field is in at most one of the three sets, and both a container and
//! what it contains are added or removed.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::fieldset::FieldSet;
use crate::pathelement::{PathElement, PathValue};
use crate::shape::{Node, Shape, fields, list};

/// What changed from one value to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Comparison {
    pub(crate) added: FieldSet,
    pub(crate) modified: FieldSet,
    pub(crate) removed: FieldSet,
}

impl Comparison {
    /// The same with each set passed through a filter.
    pub(crate) fn filter(self, keep: impl Fn(FieldSet) -> FieldSet) -> Comparison {
        Comparison { added: keep(self.added), modified: keep(self.modified), removed: keep(self.removed) }
    }
}

/// Compares an old value with a new one.
pub(crate) fn compare(node: Node<'_>, old: &Value, new: &Value) -> Comparison {
    let mut walk = Walk::default();
    walk.values(node, Some(old), Some(new));
    walk.out
}

/// Whether both are the same JSON; numbers are the same when they are equal (`1` and `1.0`).
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(_), Value::Number(_)) => PathValue::of(a) == PathValue::of(b),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

#[derive(Default)]
struct Walk {
    path: Vec<PathElement>,
    out: Comparison,
}

impl Walk {
    /// Compares what is at the current path; at least one side is there.
    fn values(&mut self, node: Node<'_>, old: Option<&Value>, new: Option<&Value>) {
        let before = old.and_then(|value| node.shape(value));
        let after = new.and_then(|value| node.shape(value));
        // A value that changed its shape is walked in both: its old fields go, its new ones come.
        if let (Some(before), Some(after)) = (before, after)
            && before != after
        {
            self.shaped(node, before, old, new);
        }
        let whole = self.shaped(node, after.or(before).unwrap_or(Shape::Leaf), old, new);
        if !whole && old.is_none() {
            self.out.added.insert(self.path.iter().cloned());
        } else if !whole && new.is_none() {
            self.out.removed.insert(self.path.iter().cloned());
        }
    }

    /// Compares in one shape; whether the values were compared as a whole.
    fn shaped(&mut self, node: Node<'_>, shape: Shape, old: Option<&Value>, new: Option<&Value>) -> bool {
        match shape {
            Shape::Object if fields(old).is_some() || fields(new).is_some() => {
                self.objects(node, fields(old), fields(new))
            }
            Shape::List if list(old).is_some() || list(new).is_some() => self.lists(node, list(old), list(new)),
            // Among them empty objects and lists, so that empty and null can be told apart.
            _ => {
                self.leaf(old, new);
                return true;
            }
        }
        false
    }

    fn leaf(&mut self, old: Option<&Value>, new: Option<&Value>) {
        let set = match (old, new) {
            (None, _) => &mut self.out.added,
            (_, None) => &mut self.out.removed,
            (Some(old), Some(new)) if !same(old, new) => &mut self.out.modified,
            _ => return,
        };
        set.insert(self.path.iter().cloned());
    }

    fn objects(&mut self, node: Node<'_>, old: Option<&Map<String, Value>>, new: Option<&Map<String, Value>>) {
        for (name, value) in old.into_iter().flatten() {
            let new = new.and_then(|fields| fields.get(name));
            self.child(node.field(name), PathElement::field(name.as_str()), Some(value), new);
        }
        for (name, value) in new.into_iter().flatten() {
            if old.is_none_or(|fields| !fields.contains_key(name)) {
                self.child(node.field(name), PathElement::field(name.as_str()), None, Some(value));
            }
        }
    }

    fn child(&mut self, node: Node<'_>, element: PathElement, old: Option<&Value>, new: Option<&Value>) {
        self.path.push(element);
        self.values(node, old, new);
        self.path.pop();
    }

    fn lists(&mut self, node: Node<'_>, old: Option<&[Value]>, new: Option<&[Value]>) {
        let mut all: BTreeMap<PathElement, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
        for (element, item) in old.and_then(|list| node.items(list)).into_iter().flatten() {
            all.entry(element).or_default().0.push(item);
        }
        for (element, item) in new.and_then(|list| node.items(list)).into_iter().flatten() {
            all.entry(element).or_default().1.push(item);
        }
        for (element, (old, new)) in all {
            self.items(node.item(), element, &old, &new);
        }
    }

    /// Compares the items of one element. Items that cannot be told apart are one field, which an item that becomes
    /// the only one adds its own fields to.
    fn items(&mut self, node: Node<'_>, element: PathElement, old: &[&Value], new: &[&Value]) {
        match (old, new) {
            ([] | [_], [] | [_]) => self.child(node, element, old.first().copied(), new.first().copied()),
            ([_, _, ..], [_, _, ..]) => {
                let equal = old.len() == new.len() && old.iter().zip(new).all(|(a, b)| same(a, b));
                if !equal {
                    self.path.push(element);
                    self.out.modified.insert(self.path.iter().cloned());
                    self.path.pop();
                }
            }
            ([_, _, ..], _) => {
                if let Some(only) = new.first() {
                    self.child(node, element.clone(), None, Some(only));
                }
                self.out.removed.insert(self.path.iter().cloned().chain([element]));
            }
            (_, [_, _, ..]) => {
                if let Some(only) = old.first() {
                    self.child(node, element.clone(), Some(only), None);
                }
                self.out.added.insert(self.path.iter().cloned().chain([element]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::fixtures::{any_json, any_schema, widget};

    #[track_caller]
    fn check(old: Value, new: Value, added: &str, modified: &str, removed: &str) {
        let schema = widget();
        let got = compare(Node::Known(&schema), &old, &new);
        let lines = |set: &FieldSet| set.to_string().replace('\n', " ");
        assert_eq!(
            (&*lines(&got.added), &*lines(&got.modified), &*lines(&got.removed)),
            (added, modified, removed),
            "{old} -> {new}"
        );
    }

    #[test]
    fn fields_differ() {
        check(json!({}), json!({}), "", "", "");
        check(json!({"spec": {"size": 1}}), json!({"spec": {"size": 1.0}}), "", "", "");
        check(
            json!({"spec": {"size": 1}}),
            json!({"spec": {"size": 2, "color": "red"}}),
            ".spec.color",
            ".spec.size",
            "",
        );
        check(json!({}), json!({"spec": {"size": 1}}), ".spec .spec.size", "", "");
        check(json!({"spec": {"size": 1}}), json!({}), "", "", ".spec .spec.size");
        check(json!({"spec": {"size": 1}}), json!({"spec": null}), "", "", ".spec.size");
        check(json!({"spec": {}}), json!({"spec": null}), "", ".spec", "");
        check(json!({"spec": {"args": ["a"]}}), json!({"spec": {"args": ["a", "b"]}}), "", ".spec.args", "");
        check(
            json!({"spec": {"selector": {"a": "b"}}}),
            json!({"spec": {"selector": {"c": "d"}}}),
            "",
            ".spec.selector",
            "",
        );
        check(
            json!({"spec": {"raw": {"a": [1]}}}),
            json!({"spec": {"raw": {"a": {"b": 1}}}}),
            ".spec.raw.a.b",
            ".spec.raw.a",
            "",
        );
    }

    #[test]
    fn items_differ() {
        let ports = |ports: Value| json!({"spec": {"ports": ports}});
        check(
            ports(json!([{"name": "pa", "port": 1}, {"name": "pb", "port": 2}])),
            ports(json!([{"name": "pb", "port": 3}, {"name": "pc"}])),
            r#".spec.ports[name="pc"] .spec.ports[name="pc"].name"#,
            r#".spec.ports[name="pb"].port"#,
            r#".spec.ports[name="pa"] .spec.ports[name="pa"].name .spec.ports[name="pa"].port"#,
        );
        check(
            json!({"metadata": {"finalizers": ["a", "b"]}}),
            json!({"metadata": {"finalizers": ["b", "c"]}}),
            r#".metadata.finalizers[="c"]"#,
            "",
            r#".metadata.finalizers[="a"]"#,
        );
        // The order of items is nobody's.
        check(
            json!({"metadata": {"finalizers": ["a", "b"]}}),
            json!({"metadata": {"finalizers": ["b", "a"]}}),
            "",
            "",
            "",
        );
    }

    #[test]
    fn duplicate_items() {
        let ports = |ports: Value| json!({"spec": {"ports": ports}});
        let (one, two) = (json!({"name": "p", "port": 1}), json!({"name": "p", "port": 2}));
        check(ports(json!([one, two])), ports(json!([one, two])), "", "", "");
        check(ports(json!([one, two])), ports(json!([two, one])), "", r#".spec.ports[name="p"]"#, "");
        check(
            ports(json!([one])),
            ports(json!([one, two])),
            r#".spec.ports[name="p"]"#,
            "",
            r#".spec.ports[name="p"] .spec.ports[name="p"].name .spec.ports[name="p"].port"#,
        );
        check(
            ports(json!([one, two])),
            ports(json!([one])),
            r#".spec.ports[name="p"] .spec.ports[name="p"].name .spec.ports[name="p"].port"#,
            "",
            r#".spec.ports[name="p"]"#,
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn nothing_differs_from_itself(schema in any_schema(), value in any_json()) {
            prop_assert_eq!(compare(Node::Known(&schema), &value, &value), Comparison::default());
        }

        #[test]
        fn backwards_is_the_opposite(schema in any_schema(), a in any_json(), b in any_json()) {
            let there = compare(Node::Known(&schema), &a, &b);
            let back = compare(Node::Known(&schema), &b, &a);
            prop_assert_eq!(there.added, back.removed);
            prop_assert_eq!(there.removed, back.added);
        }
    }
}
