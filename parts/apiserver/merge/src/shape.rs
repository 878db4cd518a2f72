//! What a schema says of a value's ownership: a leaf, an object of fields, or a list of items that can be told apart.
//!
//! Follows the atoms of structured-merge-diff. Where the schema is silent (unknown or preserved fields) the shape is
//! deduced from the value: objects have fields, lists are leaves. A value that is not what the schema says (stored
//! before the schema changed, items without their keys) is a leaf here: only `check` refuses, and only what is applied.

use std::collections::BTreeSet;

use purlin_apiserver_schema::{ListType, MapType, Schema, Type};
use serde_json::{Map, Value};

use crate::pathelement::{PathElement, PathValue};

/// What is known of a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Node<'s> {
    /// What the schema says.
    Known(&'s Schema),
    /// Nothing.
    Deduced,
}

/// How a value is owned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// As a whole: a scalar, an atomic list or object.
    Leaf,
    /// Field by field.
    Object,
    /// Item by item.
    List,
}

/// The items of a list, each with what tells it from the others, in the list's order.
pub(crate) type Items<'v> = Vec<(PathElement, &'v Value)>;

impl<'s> Node<'s> {
    /// What is known of a field; none where the schema does not allow it.
    pub(crate) fn declared(self, name: &str) -> Option<Node<'s>> {
        let Node::Known(schema) = self else { return Some(Node::Deduced) };
        if let Some(field) = schema.properties.get(name) {
            return Some(Node::Known(field));
        }
        if let Some(value) = &schema.additional {
            return Some(Node::Known(value));
        }
        let implied = schema.embedded && matches!(name, "apiVersion" | "kind" | "metadata");
        (schema.preserve_unknown || schema.ty == Type::Any || implied).then_some(Node::Deduced)
    }

    /// What is known of a field.
    pub(crate) fn field(self, name: &str) -> Node<'s> {
        self.declared(name).unwrap_or(Node::Deduced)
    }

    /// Whether the schema names the field. Named fields are not members of a set on their own where they have
    /// members below; keys of maps and unknown fields are.
    pub(crate) fn names(self, field: &str) -> bool {
        matches!(self, Node::Known(schema) if schema.properties.contains_key(field))
    }

    /// What is known of a list's items.
    pub(crate) fn item(self) -> Node<'s> {
        match self {
            Node::Known(Schema { items: Some(item), .. }) => Node::Known(item),
            _ => Node::Deduced,
        }
    }

    /// What is known of what a path element leads to.
    pub(crate) fn child(self, element: &PathElement) -> Node<'s> {
        match element {
            PathElement::Field(name) => self.field(name),
            _ => self.item(),
        }
    }

    /// How a value is owned; none for `null`, which takes the shape of what it is compared or merged with.
    pub(crate) fn shape(self, value: &Value) -> Option<Shape> {
        let shape = match (self, value) {
            (_, Value::Null) => return None,
            (Node::Deduced, Value::Object(_)) => Shape::Object,
            (Node::Known(schema), Value::Object(_)) if self.is_object() && schema.map == MapType::Granular => {
                Shape::Object
            }
            (Node::Known(_), Value::Array(list)) if self.items(list).is_some() => Shape::List,
            _ => Shape::Leaf,
        };
        Some(shape)
    }

    fn is_object(self) -> bool {
        matches!(self, Node::Known(Schema { ty: Type::Object | Type::Any, .. }))
    }

    /// Whether the schema owns this value as a whole, whatever a set of fields of another time says.
    pub(crate) fn is_atomic(self) -> bool {
        let Node::Known(schema) = self else { return false };
        match schema.ty {
            Type::Object => schema.map == MapType::Atomic,
            Type::Array => schema.list == ListType::Atomic,
            _ => false,
        }
    }

    /// The items of a list with what tells them apart; none for an atomic list and for one with an item that
    /// cannot be told from others.
    pub(crate) fn items<'v>(self, list: &'v [Value]) -> Option<Items<'v>> {
        // Asked first, as an empty list has no item that says so.
        if !self.has_items() {
            return None;
        }
        list.iter().map(|item| Some((self.element(item).ok()??, item))).collect()
    }

    fn has_items(self) -> bool {
        matches!(self, Node::Known(Schema { list: ListType::Set | ListType::Map(_), .. }))
    }

    /// What tells an item from the others: `Ok(None)` in an atomic list, `Err` where it has nothing that does.
    pub(crate) fn element(self, item: &Value) -> Result<Option<PathElement>, String> {
        let Node::Known(schema) = self else { return Ok(None) };
        match &schema.list {
            ListType::Atomic => Ok(None),
            ListType::Set => set_element(item).map(Some),
            ListType::Map(keys) => key_element(schema.items.as_deref(), keys, item).map(Some),
        }
    }
}

fn set_element(item: &Value) -> Result<PathElement, String> {
    match (item, PathValue::of(item)) {
        (Value::Null, _) => Err("associative list without keys has an element that's an explicit null".to_owned()),
        (_, Some(value)) => Ok(PathElement::Value(value)),
        (Value::Array(_), _) => Err("not supported: associative list with lists as elements".to_owned()),
        _ => Err("associative list without keys has an element that's a map type".to_owned()),
    }
}

/// A key that is not given takes its default; one without default is left out, which makes for another item.
fn key_element(schema: Option<&Schema>, keys: &[Box<str>], item: &Value) -> Result<PathElement, String> {
    let fields = match item {
        Value::Object(fields) => fields,
        Value::Null => return Err("associative list with keys may not have a null element".to_owned()),
        _ => return Err("associative list with keys may not have non-map elements".to_owned()),
    };
    let default = |key: &str| schema.and_then(|s| s.properties.get(key)).and_then(|field| field.default.as_ref());
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        if let Some(value) = fields.get(&**key).or_else(|| default(key)) {
            let value = PathValue::of(value)
                .ok_or_else(|| format!("associative list has an element whose key {key} is no scalar"))?;
            found.push((key.clone(), value));
        }
    }
    if found.is_empty() {
        return Err(format!(
            "associative list with keys has an element that omits all key fields {keys:?} (and doesn't have default values for any key fields)"
        ));
    }
    found.sort();
    Ok(PathElement::Key(found))
}

/// The elements that more than one item has.
pub(crate) fn duplicates(items: &Items<'_>) -> BTreeSet<PathElement> {
    let mut seen = BTreeSet::new();
    items.iter().filter(|(element, _)| !seen.insert(element)).map(|(element, _)| element.clone()).collect()
}

/// The object, where it has any field.
pub(crate) fn fields(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value.and_then(Value::as_object).filter(|fields| !fields.is_empty())
}

/// The list, where it has any item.
pub(crate) fn list(value: Option<&Value>) -> Option<&[Value]> {
    value.and_then(Value::as_array).map(Vec::as_slice).filter(|list| !list.is_empty())
}
