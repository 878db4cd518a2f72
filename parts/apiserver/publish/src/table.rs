//! Objects as a `Table` or as `PartialObjectMetadata` of meta.k8s.io: what `kubectl get` and metadata informers ask
//! for with `Accept: application/json;as=Table;g=meta.k8s.io;v=v1`.
//!
//! Column definitions are sent once: with a list, and with the first event of a watch.

use jiff::Timestamp;
use purlin_apiserver_schema::{Column, ColumnSource, human_duration};
use serde_json::{Map, Value, json};

use crate::jsonpath::{self, JsonPath};

/// The versions of meta.k8s.io that a client may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the API")]
pub enum MetaVersion {
    V1,
    V1Beta1,
}

impl MetaVersion {
    fn api_version(self) -> &'static str {
        match self {
            MetaVersion::V1 => "meta.k8s.io/v1",
            MetaVersion::V1Beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

/// `includeObject`: what of an object comes with its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names are those of the API")]
pub enum IncludeObject {
    None,
    #[default]
    Metadata,
    Object,
}

impl IncludeObject {
    /// Reads the query parameter; the error is the message of a 400.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "None" => Ok(IncludeObject::None),
            "" | "Metadata" => Ok(IncludeObject::Metadata),
            "Object" => Ok(IncludeObject::Object),
            other => Err(format!("unrecognized includeObject value: {other:?}")),
        }
    }
}

/// How a table is to look.
#[derive(Clone, Copy, Debug)]
pub struct TableOptions {
    /// The version of the Table itself.
    pub version: MetaVersion,
    /// What comes with each row.
    pub include: IncludeObject,
    /// Whether to send the column definitions: not with the second and later events of a watch.
    pub headers: bool,
    /// The time in seconds since 1970, for ages.
    pub now: i64,
}

/// The table of `objects`; `list_meta` is the list's `metadata` (resourceVersion, continue, remainingItemCount), or
/// that of the only object, of which the resourceVersion is shown. Without any columns, there is `Age`.
pub fn table(columns: &[Column], objects: &[Value], list_meta: &Value, options: TableOptions) -> Value {
    let age = [age_column()];
    let columns = if columns.is_empty() { &age } else { columns };
    let cells: Vec<_> = columns.iter().map(|column| Cell::new(column, options.now)).collect();
    let rows = objects.iter().map(|object| row(&cells, object, options)).collect();
    let mut out = Map::new();
    out.insert("kind".to_owned(), Value::from("Table"));
    out.insert("apiVersion".to_owned(), Value::from(options.version.api_version()));
    out.insert("metadata".to_owned(), list_metadata(list_meta));
    let definitions = if options.headers { definitions(columns) } else { Value::Null };
    out.insert("columnDefinitions".to_owned(), definitions);
    out.insert("rows".to_owned(), Value::Array(rows));
    Value::Object(out)
}

/// The object's `apiVersion`, `kind` and `metadata`, as `PartialObjectMetadata`.
pub fn partial_object(object: &Value, version: MetaVersion) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": version.api_version(),
        "metadata": object.get("metadata").cloned().unwrap_or_else(|| json!({})),
    })
}

/// The objects as a `PartialObjectMetadataList`.
pub fn partial_list(objects: &[Value], list_meta: &Value, version: MetaVersion) -> Value {
    let items = objects.iter().map(|object| partial_object(object, version)).collect();
    json!({
        "kind": "PartialObjectMetadataList",
        "apiVersion": version.api_version(),
        "metadata": list_metadata(list_meta),
        "items": Value::Array(items),
    })
}

fn age_column() -> Column {
    Column {
        name: "Age".to_owned(),
        ty: "date".to_owned(),
        format: String::new(),
        description: "How long ago the object was created.".to_owned(),
        priority: 0,
        source: ColumnSource::JsonPath(".metadata.creationTimestamp".to_owned()),
    }
}

fn list_metadata(meta: &Value) -> Value {
    let fields = ["resourceVersion", "continue", "remainingItemCount"];
    Value::Object(fields.iter().filter_map(|name| Some(((*name).to_owned(), meta.get(*name)?.clone()))).collect())
}

fn definitions(columns: &[Column]) -> Value {
    let definition = |name: &str, ty: &str, format: &str, description: &str, priority: i32| json!({"name": name, "type": ty, "format": format, "description": description, "priority": priority});
    let name = definition("Name", "string", "name", "The object's name, unique among its kind in a namespace.", 0);
    let others = columns.iter().map(|column| match &column.source {
        ColumnSource::JsonPath(path) if column.description.is_empty() => {
            let description = format!("Custom resource definition column (in JSONPath format): {path}");
            definition(&column.name, &column.ty, &column.format, &description, column.priority)
        }
        _ => definition(&column.name, &column.ty, &column.format, &column.description, column.priority),
    });
    std::iter::once(name).chain(others).collect()
}

fn row(cells: &[Cell<'_>], object: &Value, options: TableOptions) -> Value {
    let name = object.pointer("/metadata/name").cloned().unwrap_or_else(|| Value::from(""));
    let cells: Vec<_> = std::iter::once(name).chain(cells.iter().map(|cell| cell.value(object))).collect();
    let object = match options.include {
        IncludeObject::None => Value::Null,
        IncludeObject::Metadata => partial_object(object, options.version),
        IncludeObject::Object => object.clone(),
    };
    json!({"cells": cells, "object": object})
}

/// A column that is ready to be evaluated.
struct Cell<'a> {
    column: &'a Column,
    /// None for a function, and for an expression that cannot be parsed: its cells stay empty, as in Kubernetes.
    path: Option<JsonPath>,
    now: i64,
}

impl<'a> Cell<'a> {
    fn new(column: &'a Column, now: i64) -> Self {
        let path = match &column.source {
            ColumnSource::JsonPath(path) => jsonpath::parse(path).ok(),
            ColumnSource::Func(_) => None,
        };
        Cell { column, path, now }
    }

    fn value(&self, object: &Value) -> Value {
        match &self.column.source {
            ColumnSource::Func(cell) => cell(object, self.now),
            ColumnSource::JsonPath(_) => self
                .path
                .as_ref()
                .and_then(|path| path.find(object).first().copied())
                .map_or(Value::Null, |value| convert(&self.column.ty, value, self.now)),
        }
    }
}

/// The cell of a value: null where the value is not of the column's type.
fn convert(ty: &str, value: &Value, now: i64) -> Value {
    match (ty, value) {
        ("string", value) => Value::from(printed(value)),
        ("integer", Value::Number(number)) => match number.as_i64() {
            Some(_) => value.clone(),
            // A float is cut to its integer; `as` saturates.
            None => number.as_f64().map_or(Value::Null, |number| Value::from(number as i64)),
        },
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => value.clone(),
        ("date", Value::String(text)) => Value::from(age(text, now)),
        _ => Value::Null,
    }
}

/// A value as text: objects and lists as JSON with sorted keys.
fn printed(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(_) | Value::Object(_) => {
            let mut sorted = value.clone();
            sorted.sort_all_objects();
            sorted.to_string()
        }
    }
}

fn age(text: &str, now: i64) -> String {
    match text.parse::<Timestamp>() {
        Ok(time) => human_duration(now.saturating_sub(time.as_second())),
        Err(_) if text.is_empty() || text == "null" => "<unknown>".to_owned(),
        Err(_) => "<invalid>".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, ty: &str, source: ColumnSource) -> Column {
        Column {
            name: name.into(),
            ty: ty.into(),
            format: String::new(),
            description: String::new(),
            priority: 0,
            source,
        }
    }

    fn path(name: &str, ty: &str, path: &str) -> Column {
        column(name, ty, ColumnSource::JsonPath(path.into()))
    }

    fn object() -> Value {
        json!({
            "apiVersion": "example.com/v1",
            "kind": "Widget",
            "metadata": {"name": "w1", "creationTimestamp": "2026-03-04T05:06:07Z", "resourceVersion": "7"},
            "spec": {"size": 3, "ratio": 1.75, "on": true, "map": {"b": 1, "a": [true]}, "null": null},
        })
    }

    /// `2026-03-04T05:06:07Z` and an hour and a half.
    const NOW: i64 = 1_772_600_767 + 5_400;

    const OPTIONS: TableOptions =
        TableOptions { version: MetaVersion::V1, include: IncludeObject::Metadata, headers: true, now: NOW };

    #[test]
    fn cells_have_the_type_of_their_column() {
        for (ty, expression, expected) in [
            ("integer", ".spec.size", json!(3)),
            ("integer", ".spec.ratio", json!(1)),
            ("integer", ".spec.on", json!(null)),
            ("number", ".spec.ratio", json!(1.75)),
            ("number", ".spec.size", json!(3)),
            ("boolean", ".spec.on", json!(true)),
            ("boolean", ".spec.size", json!(null)),
            ("string", ".spec.size", json!("3")),
            ("string", ".spec.on", json!("true")),
            ("string", ".spec.map", json!(r#"{"a":[true],"b":1}"#)),
            ("string", ".spec.null", json!("<no value>")),
            ("string", ".spec.missing", json!(null)),
            ("string", ".spec[", json!(null)),
            ("date", ".metadata.creationTimestamp", json!("90m")),
            ("date", ".metadata.name", json!("<invalid>")),
            ("date", ".spec.size", json!(null)),
            ("date", ".metadata.deletionTimestamp", json!(null)),
        ] {
            let table = table(&[path("C", ty, expression)], &[object()], &json!({}), OPTIONS);
            assert_eq!(table["rows"][0]["cells"], json!(["w1", expected]), "{ty} of {expression}");
        }
    }

    #[test]
    fn a_list() {
        let mut described =
            column("Twice", "integer", ColumnSource::Func(|object, now| json!([object["spec"]["size"], now])));
        described.description = "The size.".into();
        described.priority = 1;
        let meta = json!({"resourceVersion": "9", "continue": "c", "remainingItemCount": 4, "selfLink": "x"});
        let found = table(&[path("Size", "integer", ".spec.size"), described], &[object()], &meta, OPTIONS);
        let expected = json!({
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": {"resourceVersion": "9", "continue": "c", "remainingItemCount": 4},
            "columnDefinitions": [
                {
                    "name": "Name", "type": "string", "format": "name", "priority": 0,
                    "description": "The object's name, unique among its kind in a namespace.",
                },
                {
                    "name": "Size", "type": "integer", "format": "", "priority": 0,
                    "description": "Custom resource definition column (in JSONPath format): .spec.size",
                },
                {"name": "Twice", "type": "integer", "format": "", "priority": 1, "description": "The size."},
            ],
            "rows": [{
                "cells": ["w1", 3, [3, NOW]],
                "object": {
                    "kind": "PartialObjectMetadata",
                    "apiVersion": "meta.k8s.io/v1",
                    "metadata": {"name": "w1", "creationTimestamp": "2026-03-04T05:06:07Z", "resourceVersion": "7"},
                },
            }],
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn later_events_have_no_columns() {
        let options = TableOptions { headers: false, include: IncludeObject::Object, ..OPTIONS };
        let found = table(&[], &[object()], &object()["metadata"], options);
        let expected = json!({
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": {"resourceVersion": "7"},
            "columnDefinitions": null,
            "rows": [{"cells": ["w1", "90m"], "object": object()}],
        });
        assert_eq!(found, expected);
        let none = table(&[], &[object()], &json!({}), TableOptions { include: IncludeObject::None, ..OPTIONS });
        assert_eq!(none["rows"][0]["object"], Value::Null);
    }

    #[test]
    fn metadata_alone() {
        let found = partial_list(&[object(), json!({})], &json!({"resourceVersion": "9"}), MetaVersion::V1Beta1);
        let expected = json!({
            "kind": "PartialObjectMetadataList",
            "apiVersion": "meta.k8s.io/v1beta1",
            "metadata": {"resourceVersion": "9"},
            "items": [
                {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1beta1", "metadata": object()["metadata"]},
                {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1beta1", "metadata": {}},
            ],
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn include_object() {
        assert_eq!(IncludeObject::parse(""), Ok(IncludeObject::Metadata));
        assert_eq!(IncludeObject::parse("Object"), Ok(IncludeObject::Object));
        assert_eq!(IncludeObject::parse("x"), Err("unrecognized includeObject value: \"x\"".to_owned()));
    }
}
