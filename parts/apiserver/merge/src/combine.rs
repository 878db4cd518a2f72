//! The merge of an applied configuration into a live value.
//!
//! Follows `Merge` of structured-merge-diff: nothing is removed, the configuration's leaves win, and items keep the
//! live order unless the configuration orders those that it has differently.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Map, Value};

use crate::pathelement::PathElement;
use crate::shape::{Node, Shape, fields, list};

/// Merges the configuration into the live value. The configuration has no duplicate items: `check` saw to that.
pub(crate) fn combine(node: Node<'_>, live: &Value, config: &Value) -> Value {
    // Null takes the shape of the other side: with a non-empty object or list of items it changes nothing.
    let shape = node.shape(config).or_else(|| node.shape(live)).unwrap_or(Shape::Leaf);
    match shape {
        Shape::Object => match (fields(Some(live)), fields(Some(config))) {
            (Some(live), Some(config)) => Value::Object(objects(node, live, config)),
            (Some(live), None) => Value::Object(live.clone()),
            _ => config.clone(),
        },
        Shape::List => match (list(Some(live)), list(Some(config))) {
            (Some(live), Some(config)) => Value::Array(lists(node, live, config)),
            (Some(live), None) => Value::Array(live.to_vec()),
            _ => config.clone(),
        },
        Shape::Leaf => config.clone(),
    }
}

fn objects(node: Node<'_>, live: &Map<String, Value>, config: &Map<String, Value>) -> Map<String, Value> {
    let mut out = live.clone();
    for (name, value) in config {
        let merged = match live.get(name) {
            Some(live) => combine(node.field(name), live, value),
            None => value.clone(),
        };
        out.insert(name.clone(), merged);
    }
    out
}

/// The items of one side of the merge: in order, and the first of each element with whether it is the only one.
struct Side<'v> {
    order: Vec<(PathElement, &'v Value)>,
    by_element: BTreeMap<PathElement, (&'v Value, bool)>,
}

impl<'v> Side<'v> {
    fn of(node: Node<'_>, list: &'v [Value]) -> Option<Side<'v>> {
        let order = node.items(list)?;
        let mut by_element: BTreeMap<PathElement, (&'v Value, bool)> = BTreeMap::new();
        for (element, item) in &order {
            by_element.entry(element.clone()).and_modify(|(_, only)| *only = false).or_insert((item, true));
        }
        Some(Side { order, by_element })
    }

    fn has(&self, element: &PathElement) -> bool {
        self.by_element.contains_key(element)
    }

    /// The one item of an element: items that cannot be told apart are not merged into, but replaced.
    fn only(&self, element: &PathElement) -> Option<&'v Value> {
        self.by_element.get(element).filter(|(_, only)| *only).map(|(item, _)| *item)
    }
}

fn lists(node: Node<'_>, live: &[Value], config: &[Value]) -> Vec<Value> {
    // A side whose items cannot be told apart is as a whole: the configuration's wins.
    let (Some(live), Some(config)) = (Side::of(node, live), Side::of(node, config)) else { return config.to_vec() };
    let mut out = Vec::with_capacity(live.order.len() + config.order.len());
    let mut shared: VecDeque<&PathElement> =
        config.order.iter().map(|(element, _)| element).filter(|e| live.has(e)).collect();
    let mut merged = BTreeSet::new();
    let (mut left, mut right) = (live.order.iter().peekable(), config.order.iter().peekable());
    while left.peek().is_some() || right.peek().is_some() {
        if let Some(&(element, item)) = left.peek() {
            if !config.has(element) {
                // Only live: it stays where it is.
                out.push((*item).clone());
                left.next();
                continue;
            }
            // Not the next in the configuration's order: it comes when that order has it.
            let unordered = right.peek().is_some_and(|(next, _)| next != element);
            if unordered && shared.front().is_some_and(|next| *next != element) {
                left.next();
                continue;
            }
            if unordered || right.peek().is_none() {
                left.next_if(|(element, _)| merged.contains(element));
            }
        }
        let Some((element, item)) = right.next() else { continue };
        out.push(live.only(element).map_or_else(|| (*item).clone(), |live| combine(node.item(), live, item)));
        merged.insert(element);
        if shared.front() == Some(&element) {
            shared.pop_front();
        }
        left.next_if(|(next, _)| next == element);
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::fixtures::{any_json, any_schema, widget};

    #[track_caller]
    fn check(live: Value, config: Value, expected: Value) {
        let schema = widget();
        assert_eq!(combine(Node::Known(&schema), &live, &config), expected, "{live} + {config}");
    }

    #[test]
    fn fields() {
        check(
            json!({"spec": {"size": 1}}),
            json!({"spec": {"color": "red"}}),
            json!({"spec": {"size": 1, "color": "red"}}),
        );
        check(json!({"spec": {"size": 1}}), json!({"spec": {"size": 2}}), json!({"spec": {"size": 2}}));
        check(json!({"spec": {"size": 1}}), json!({"spec": null}), json!({"spec": {"size": 1}}));
        check(json!({"spec": {"size": 1}}), json!({"spec": {"size": null}}), json!({"spec": {"size": null}}));
        check(json!({"spec": {"size": 1}}), json!({"spec": {}}), json!({"spec": {"size": 1}}));
        check(json!({"spec": null}), json!({"spec": {}}), json!({"spec": {}}));
        check(
            json!({"spec": {"args": ["a", "b"]}}),
            json!({"spec": {"args": ["c"]}}),
            json!({"spec": {"args": ["c"]}}),
        );
        check(
            json!({"spec": {"selector": {"a": "b"}}}),
            json!({"spec": {"selector": {"c": "d"}}}),
            json!({"spec": {"selector": {"c": "d"}}}),
        );
        check(
            json!({"spec": {"raw": {"a": 1, "l": [1]}}}),
            json!({"spec": {"raw": {"b": 2, "l": [2]}}}),
            json!({"spec": {"raw": {"a": 1, "b": 2, "l": [2]}}}),
        );
        check(
            json!({"spec": {"raw": {"a": [1]}}}),
            json!({"spec": {"raw": {"a": {"b": 1}}}}),
            json!({"spec": {"raw": {"a": {"b": 1}}}}),
        );
    }

    #[test]
    fn items() {
        let ports = |ports: Value| json!({"spec": {"ports": ports}});
        check(
            ports(json!([{"name": "pa", "port": 1}])),
            ports(json!([{"name": "pb", "port": 2}, {"name": "pa", "tags": ["x"]}])),
            ports(json!([{"name": "pb", "port": 2}, {"name": "pa", "port": 1, "tags": ["x"]}])),
        );
        check(ports(json!([{"name": "pa"}])), ports(json!([])), ports(json!([{"name": "pa"}])));
        // Live items that cannot be told apart are replaced by the applied one.
        check(
            ports(json!([{"name": "p", "port": 1}, {"name": "p", "port": 2}])),
            ports(json!([{"name": "p"}])),
            ports(json!([{"name": "p"}])),
        );
        check(ports(json!([{"port": 1}])), ports(json!([{"name": "p"}])), ports(json!([{"name": "p"}])));
    }

    #[test]
    fn order_of_items() {
        let check = |live: &str, config: &str, expected: &str| {
            let list =
                |text: &str| json!({"metadata": {"finalizers": text.chars().map(String::from).collect::<Vec<_>>()}});
            check(list(live), list(config), list(expected));
        };
        check("", "ab", "ab");
        check("ab", "", "ab");
        check("abc", "b", "abc");
        check("abc", "ac", "abc");
        check("abc", "ca", "bca");
        check("abc", "d", "abcd");
        check("abc", "da", "dabc");
        check("abc", "cd", "abcd");
        check("abcd", "dxa", "bcdxa");
        check("aab", "b", "aab");
        check("aab", "a", "ab");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn never_panics_and_is_idempotent(schema in any_schema(), live in any_json(), config in any_json()) {
            let node = Node::Known(&schema);
            let once = combine(node, &live, &config);
            prop_assert_eq!(combine(node, &once, &config), once);
        }
    }
}
