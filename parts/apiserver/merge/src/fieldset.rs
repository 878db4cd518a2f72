//! A set of fields of an object, and its JSON form FieldsV1.
//!
//! A tree: each node is a path element that may be a member of the set, with the set of what lies below it. Follows
//! `fieldpath.Set` of structured-merge-diff: an object and its fields are members on their own, so that one manager
//! can own a list's item while another owns one of its fields.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use crate::MAX_DEPTH;
use crate::pathelement::{Path, PathElement};

/// A set of fields. Equal sets are written alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    /// Never a node that is neither a member nor has one below.
    nodes: BTreeMap<PathElement, Node>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    member: bool,
    below: FieldSet,
}

/// Why FieldsV1 cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldSetError {
    /// Each value in FieldsV1 is an object.
    #[error("FieldsV1: expected an object at {0:?}")]
    NotAnObject(String),
    /// A key that is not a path element.
    #[error("FieldsV1: {0}")]
    Element(String),
    /// Nested deeper than any object may be.
    #[error("FieldsV1: nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

impl FieldSet {
    /// The empty set.
    pub fn new() -> FieldSet {
        FieldSet::default()
    }

    /// The set of these fields, each a path of names.
    pub fn of_fields(paths: &[&[&str]]) -> FieldSet {
        let mut set = FieldSet::new();
        for path in paths {
            set.insert(path.iter().map(|name| PathElement::field(*name)));
        }
        set
    }

    /// Whether no field is a member.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Adds one field; what it lies in is not added. The empty path, the whole object, is never a member.
    pub fn insert(&mut self, path: impl IntoIterator<Item = PathElement>) {
        let mut elements = path.into_iter().peekable();
        let mut set = self;
        while let Some(element) = elements.next() {
            let node = set.nodes.entry(element).or_default();
            if elements.peek().is_none() {
                node.member = true;
                return;
            }
            set = &mut node.below;
        }
    }

    /// Whether the field itself is a member.
    pub fn has(&self, path: &Path) -> bool {
        let Some((last, above)) = path.0.split_last() else { return false };
        let mut set = self;
        for element in above {
            match set.nodes.get(element) {
                Some(node) => set = &node.below,
                None => return false,
            }
        }
        set.has_element(last)
    }

    /// Whether a child of the root is a member.
    pub(crate) fn has_element(&self, element: &PathElement) -> bool {
        self.nodes.get(element).is_some_and(|node| node.member)
    }

    /// What lies below a child of the root, where anything does.
    pub(crate) fn below(&self, element: &PathElement) -> Option<&FieldSet> {
        self.nodes.get(element).map(|node| &node.below).filter(|below| !below.is_empty())
    }

    /// The children of the root: whether each is a member, and what lies below it.
    pub(crate) fn children(&self) -> impl Iterator<Item = (&PathElement, bool, &FieldSet)> {
        self.nodes.iter().map(|(element, node)| (element, node.member, &node.below))
    }

    /// Sets a child of the root; a child that is no member and has none below is left out.
    pub(crate) fn set_child(&mut self, element: PathElement, member: bool, below: FieldSet) {
        if member || !below.is_empty() {
            self.nodes.insert(element, Node { member, below });
        }
    }

    /// The fields that are in one of both.
    #[must_use]
    pub fn union(&self, other: &FieldSet) -> FieldSet {
        let mut out = self.clone();
        out.add(other);
        out
    }

    fn add(&mut self, other: &FieldSet) {
        for (element, node) in &other.nodes {
            let mine = self.nodes.entry(element.clone()).or_default();
            mine.member |= node.member;
            mine.below.add(&node.below);
        }
    }

    /// The fields that are in both.
    #[must_use]
    pub fn intersection(&self, other: &FieldSet) -> FieldSet {
        let mut out = FieldSet::new();
        for (element, node) in &self.nodes {
            if let Some(theirs) = other.nodes.get(element) {
                out.set_child(element.clone(), node.member && theirs.member, node.below.intersection(&theirs.below));
            }
        }
        out
    }

    /// The fields that are not in the other set. A field stays when only what it lies in is in the other.
    #[must_use]
    pub fn difference(&self, other: &FieldSet) -> FieldSet {
        let mut out = FieldSet::new();
        for (element, node) in &self.nodes {
            match other.nodes.get(element) {
                Some(theirs) => {
                    out.set_child(element.clone(), node.member && !theirs.member, node.below.difference(&theirs.below));
                }
                None => out.set_child(element.clone(), node.member, node.below.clone()),
            }
        }
        out
    }

    /// The fields that are not in the other set, and do not lie in one that is.
    #[must_use]
    pub fn recursive_difference(&self, other: &FieldSet) -> FieldSet {
        let mut out = FieldSet::new();
        for (element, node) in &self.nodes {
            match other.nodes.get(element) {
                Some(theirs) if theirs.member => {}
                Some(theirs) => {
                    out.set_child(element.clone(), node.member, node.below.recursive_difference(&theirs.below));
                }
                None => out.set_child(element.clone(), node.member, node.below.clone()),
            }
        }
        out
    }

    /// The part that lies in this field of the root, the field included.
    #[must_use]
    pub(crate) fn only(&self, field: &str) -> FieldSet {
        let element = PathElement::field(field);
        let nodes = self.nodes.get(&element).cloned().map(|node| (element, node));
        FieldSet { nodes: nodes.into_iter().collect() }
    }

    /// The members that have no member below.
    #[must_use]
    pub fn leaves(&self) -> FieldSet {
        let mut out = FieldSet::new();
        for (element, node) in &self.nodes {
            out.set_child(element.clone(), node.member && node.below.is_empty(), node.below.leaves());
        }
        out
    }

    /// All members, what contains before what is contained.
    pub fn paths(&self) -> Vec<Path> {
        let mut out = Vec::new();
        self.collect(&mut Vec::new(), &mut out);
        out
    }

    fn collect(&self, prefix: &mut Vec<PathElement>, out: &mut Vec<Path>) {
        for (element, node) in &self.nodes {
            prefix.push(element.clone());
            if node.member {
                out.push(Path(prefix.clone()));
            }
            node.below.collect(prefix, out);
            prefix.pop();
        }
    }

    /// FieldsV1.
    pub fn to_json(&self) -> Value {
        Value::Object(self.to_fields(false))
    }

    fn to_fields(&self, member: bool) -> Map<String, Value> {
        let mut out = Map::new();
        if member && !self.is_empty() {
            out.insert(".".to_owned(), Value::Object(Map::new()));
        }
        for (element, node) in &self.nodes {
            out.insert(element.serialize(), Value::Object(node.below.to_fields(node.member)));
        }
        out
    }

    /// Reads FieldsV1. Kinds of path elements that are not known are left out, as a later version may know them.
    pub fn from_json(fields: &Value) -> Result<FieldSet, FieldSetError> {
        Ok(Node::from_json(fields, "", 0)?.below)
    }
}

impl Node {
    /// A node with nothing below is a member; else it is one where it has `.`.
    fn from_json(fields: &Value, at: &str, depth: usize) -> Result<Node, FieldSetError> {
        let Value::Object(fields) = fields else { return Err(FieldSetError::NotAnObject(at.to_owned())) };
        if depth > MAX_DEPTH {
            return Err(FieldSetError::TooDeep);
        }
        let mut node = Node::default();
        for (key, value) in fields {
            if key == "." {
                node.member = true;
                continue;
            }
            if let Some(element) = PathElement::parse(key).map_err(FieldSetError::Element)? {
                let child = Node::from_json(value, key, depth + 1)?;
                let mine = node.below.nodes.entry(element).or_default();
                mine.member |= child.member;
                mine.below.add(&child.below);
            }
        }
        node.member |= node.below.is_empty();
        Ok(node)
    }
}

impl fmt::Display for FieldSet {
    /// One path a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, path) in self.paths().iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{path}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::fixtures::any_field_set;

    fn set(fields: Value) -> FieldSet {
        FieldSet::from_json(&fields).unwrap()
    }

    #[test]
    fn written_as_it_was_read() {
        let check = |text: &str| {
            let fields: Value = serde_json::from_str(text).unwrap();
            assert_eq!(set(fields).to_json().to_string(), text);
        };
        check("{}");
        check(r#"{"f:metadata":{"f:labels":{".":{},"f:a":{}}}}"#);
        check(r#"{"f:spec":{"f:ports":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:name":{},"f:port":{}}}}}"#);
        check(r#"{"f:metadata":{"f:finalizers":{"v:\"a\"":{},"v:\"b\"":{}}}}"#);
        check(r#"{"f:a":{"i:0":{},"i:10":{}}}"#);
    }

    #[test]
    fn order_and_form_are_canonical() {
        let fields = json!({"f:b": {}, "f:a": {"k:{\"y\":1,\"x\":2}": {"f:z": {}, ".": {}}, "future:x": {}, "v:2": {}, "v:1": {}}});
        // A key of two letters before the colon is not an element; one of a single unknown letter is of the future.
        assert!(matches!(FieldSet::from_json(&fields), Err(FieldSetError::Element(_))));
        let fields =
            json!({"f:b": {}, "f:a": {"k:{\"y\":1,\"x\":2}": {"f:z": {}, ".": {}}, "x:new": {}, "v:2": {}, "v:1": {}}});
        assert_eq!(
            set(fields).to_json().to_string(),
            r#"{"f:a":{"k:{\"x\":2,\"y\":1}":{".":{},"f:z":{}},"v:1":{},"v:2":{}},"f:b":{}}"#
        );
    }

    #[test]
    fn refused() {
        let check =
            |fields: Value, message: &str| assert_eq!(FieldSet::from_json(&fields).unwrap_err().to_string(), message);
        check(json!(1), "FieldsV1: expected an object at \"\"");
        check(json!({"f:a": null}), "FieldsV1: expected an object at \"f:a\"");
        check(json!({"spec": {}}), "FieldsV1: path element \"spec\" does not begin with a letter and a colon");
        let mut deep = json!({});
        for _ in 0..=MAX_DEPTH {
            deep = json!({ "f:a": deep });
        }
        check(deep, "FieldsV1: nested deeper than 256 levels");
    }

    #[test]
    fn operations() {
        let a = set(json!({"f:x": {".": {}, "f:1": {}, "f:2": {}}, "f:y": {}}));
        let b = set(json!({"f:x": {"f:2": {}, "f:3": {}}, "f:z": {}}));
        let check = |got: FieldSet, expected: Value| assert_eq!(got.to_json(), expected);
        check(a.union(&b), json!({"f:x": {".": {}, "f:1": {}, "f:2": {}, "f:3": {}}, "f:y": {}, "f:z": {}}));
        check(a.intersection(&b), json!({"f:x": {"f:2": {}}}));
        check(a.difference(&b), json!({"f:x": {".": {}, "f:1": {}}, "f:y": {}}));
        check(b.difference(&a), json!({"f:x": {"f:3": {}}, "f:z": {}}));
        check(b.recursive_difference(&a), json!({"f:z": {}}));
        check(a.leaves(), json!({"f:x": {"f:1": {}, "f:2": {}}, "f:y": {}}));
        check(a.only("x"), json!({"f:x": {".": {}, "f:1": {}, "f:2": {}}}));
        check(a.only("w"), json!({}));
        assert_eq!(a.to_string(), ".x\n.x.1\n.x.2\n.y");
        assert!(a.has(&Path(vec![PathElement::field("x")])));
        assert!(!b.has(&Path(vec![PathElement::field("x")])));
        assert!(!a.has(&Path::default()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn fields_v1_roundtrip(set in any_field_set()) {
            let text = set.to_json().to_string();
            let read: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(FieldSet::from_json(&read).unwrap(), set);
        }

        #[test]
        fn laws(a in any_field_set(), b in any_field_set()) {
            prop_assert_eq!(a.union(&b), b.union(&a));
            prop_assert_eq!(a.intersection(&b), b.intersection(&a));
            prop_assert_eq!(a.difference(&b).union(&a.intersection(&b)), a.clone());
            prop_assert!(a.difference(&b).intersection(&b).is_empty());
            prop_assert!(a.recursive_difference(&a).is_empty());
            let paths = a.paths();
            prop_assert!(paths.iter().all(|p| a.has(p)));
            let mut rebuilt = FieldSet::new();
            paths.into_iter().for_each(|p| rebuilt.insert(p.0));
            prop_assert_eq!(rebuilt, a);
        }
    }
}
