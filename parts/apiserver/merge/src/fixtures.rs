//! Schemas built by hand, and generators of arbitrary values, schemas and sets: for tests only.

use std::sync::Arc;

use proptest::prelude::*;
use purlin_apiserver_schema::{ListType, MapType, Schema, Type};
use serde_json::{Value, json};

use crate::fieldset::FieldSet;

pub(crate) fn of_type(ty: Type) -> Schema {
    Schema { ty, ..Schema::default() }
}

pub(crate) fn string() -> Schema {
    of_type(Type::String)
}

pub(crate) fn integer() -> Schema {
    of_type(Type::Integer)
}

pub(crate) fn deduced() -> Schema {
    Schema { preserve_unknown: true, ..of_type(Type::Object) }
}

pub(crate) fn object<const N: usize>(fields: [(&str, Schema); N]) -> Schema {
    let properties = fields.into_iter().map(|(name, schema)| (name.into(), Arc::new(schema))).collect();
    Schema { properties, ..of_type(Type::Object) }
}

pub(crate) fn map_of(value: Schema) -> Schema {
    Schema { additional: Some(Arc::new(value)), ..of_type(Type::Object) }
}

pub(crate) fn list_of(item: Schema, list: ListType) -> Schema {
    Schema { items: Some(Arc::new(item)), list, ..of_type(Type::Array) }
}

pub(crate) fn list_map(item: Schema, keys: &[&str]) -> Schema {
    list_of(item, ListType::Map(keys.iter().map(|&key| key.into()).collect()))
}

pub(crate) fn set_of_strings() -> Schema {
    list_of(string(), ListType::Set)
}

/// The schema, owned as a whole.
pub(crate) fn atomic(mut schema: Schema) -> Schema {
    schema.list = ListType::Atomic;
    schema.map = MapType::Atomic;
    schema
}

pub(crate) fn metadata() -> Schema {
    object([
        ("name", string()),
        ("namespace", string()),
        ("uid", string()),
        ("resourceVersion", string()),
        ("generation", integer()),
        ("creationTimestamp", string()),
        ("labels", map_of(string())),
        ("annotations", map_of(string())),
        ("finalizers", set_of_strings()),
        ("managedFields", atomic(list_of(deduced(), ListType::Atomic))),
    ])
}

/// A custom resource with every kind of field.
pub(crate) fn widget() -> Schema {
    let port = object([("name", string()), ("port", integer()), ("tags", set_of_strings())]);
    object([
        ("apiVersion", string()),
        ("kind", string()),
        ("metadata", metadata()),
        (
            "spec",
            object([
                ("size", integer()),
                ("replicas", integer()),
                ("color", string()),
                ("ports", list_map(port, &["name"])),
                ("args", atomic(list_of(string(), ListType::Atomic))),
                ("selector", atomic(map_of(string()))),
                ("raw", deduced()),
            ]),
        ),
        ("status", object([("replicas", integer())])),
    ])
}

/// Any JSON value of few names, so that two values often have the same.
pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2..3i64).prop_map(Value::from),
        Just(json!(1.5)),
        "[ab]{0,1}".prop_map(Value::from),
    ];
    scalar.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("[abc]", inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Any small schema over the names of [`any_json`].
pub(crate) fn any_schema() -> impl Strategy<Value = Schema> {
    let scalar = prop_oneof![
        Just(string()),
        Just(integer()),
        Just(of_type(Type::Boolean)),
        Just(of_type(Type::IntOrString)),
        Just(of_type(Type::Any)),
        Just(deduced()),
    ];
    scalar.prop_recursive(4, 16, 3, |inner| {
        let fields = prop::collection::vec(("[abc]", inner.clone()), 0..3);
        let list = prop_oneof![
            Just(ListType::Atomic),
            Just(ListType::Set),
            Just(ListType::Map(vec!["a".into()])),
            Just(ListType::Map(vec!["a".into(), "b".into()])),
        ];
        prop_oneof![
            (fields, any::<bool>(), any::<bool>()).prop_map(|(fields, preserve_unknown, whole)| {
                let properties = fields.into_iter().map(|(name, schema)| (name.into(), Arc::new(schema))).collect();
                let map = if whole { MapType::Atomic } else { MapType::Granular };
                Schema { properties, preserve_unknown, map, ..of_type(Type::Object) }
            }),
            (inner.clone(), list).prop_map(|(item, list)| list_of(item, list)),
            inner.prop_map(map_of),
        ]
    })
}

/// Any small set of fields.
pub(crate) fn any_field_set() -> impl Strategy<Value = FieldSet> {
    use crate::pathelement::{PathElement, PathValue};
    let value = prop_oneof![
        any::<i64>().prop_map(PathValue::Int),
        "[ -~é<&>]{0,4}".prop_map(|text| PathValue::String(text.into())),
        any::<bool>().prop_map(PathValue::Bool),
        // Few digits: serde_json reads longer fractions to the last bit only with a feature that nothing needs.
        any::<i16>().prop_map(|n| PathValue::Float(f64::from(n) + 0.25)),
    ];
    let key = prop::collection::btree_map("[a-c]", value.clone(), 1..3)
        .prop_map(|keys| PathElement::Key(keys.into_iter().map(|(name, value)| (name.into(), value)).collect()));
    let element = prop_oneof![
        4 => "[a-c./:\"]{0,3}".prop_map(PathElement::field),
        1 => key,
        1 => value.prop_map(PathElement::Value),
        1 => any::<i64>().prop_map(PathElement::Index),
    ];
    prop::collection::vec(prop::collection::vec(element, 0..4), 0..8).prop_map(|paths| {
        let mut set = FieldSet::new();
        paths.into_iter().for_each(|path| set.insert(path));
        set
    })
}
