//! Schema trees as OpenAPI v3 schemas: the `components.schemas` of a document.
//!
//! A tree with a `reference` is published once under that name and referred to; others are written in place. What
//! the API machinery itself defines (ObjectMeta, Status, Scale, ...) stands in `meta.json`.

use std::sync::LazyLock;

use purlin_apiserver_schema::{
    Checks, ListType, MapType, PatchStrategy, ResourceDef, Rule, RuleReason, Schema, Strategic, Type, VersionDef,
};
use serde_json::{Map, Value, json};

/// What begins a reference to a schema of the document.
pub(crate) const PREFIX: &str = "#/components/schemas/";

pub(crate) const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
pub(crate) const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
pub(crate) const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";

/// `{"$ref": ...}`.
pub(crate) fn reference(name: &str) -> Value {
    json!({"$ref": format!("{PREFIX}{name}")})
}

/// The name under which a kind is published.
pub(crate) fn kind_name(def: &ResourceDef, version: &VersionDef) -> String {
    match &version.schema.reference {
        Some(name) => name.to_string(),
        None => canonical_name(&def.group, &version.name, &def.names.kind),
    }
}

/// The name under which the list of a kind is published: beside the kind.
pub(crate) fn list_name(def: &ResourceDef, version: &VersionDef) -> String {
    let kind = kind_name(def, version);
    match kind.rsplit_once('.') {
        Some((package, _)) => format!("{package}.{}", def.names.list_kind),
        None => def.names.list_kind.clone(),
    }
}

/// The name under which the kind of a subresource is published.
pub(crate) fn subresource_kind_name((group, version, kind): (&str, &str, &str)) -> String {
    format!("io.k8s.api.{}.{version}.{kind}", group.trim_end_matches(".k8s.io"))
}

/// `com.example.v1.Widget`.
fn canonical_name(group: &str, version: &str, kind: &str) -> String {
    let parts = group.rsplit('.').chain([version, kind]).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(".")
}

/// The schemas of a document, by name.
pub(crate) struct Definitions {
    schemas: Map<String, Value>,
}

impl Definitions {
    /// Begins with what the API machinery defines.
    pub(crate) fn new() -> Self {
        static META: LazyLock<Map<String, Value>> = LazyLock::new(|| {
            #[expect(clippy::expect_used, reason = "the text is compiled in, and every test of a document reads it")]
            serde_json::from_str(include_str!("meta.json")).expect("meta.json is an object")
        });
        Definitions { schemas: META.clone() }
    }

    pub(crate) fn finish(self) -> Map<String, Value> {
        self.schemas
    }

    /// Publishes a kind, and its list where it can be listed.
    pub(crate) fn add(&mut self, def: &ResourceDef, version: &VersionDef) {
        let mut schema = self.inline(&version.schema);
        self.add_object_fields(&mut schema);
        schema.insert(GVK.to_owned(), json!([gvk(def, version, &def.names.kind)]));
        if !version.selectable.is_empty() {
            let fields: Vec<_> = version.selectable.iter().map(|path| json!({"fieldPath": path})).collect();
            schema.insert("x-kubernetes-selectable-fields".to_owned(), Value::Array(fields));
        }
        self.schemas.insert(kind_name(def, version), Value::Object(schema));
        if def.verbs.contains(&"list") {
            self.schemas.insert(list_name(def, version), list(def, version));
        }
    }

    /// A schema where it is used: a reference to it, or the schema itself.
    fn node(&mut self, schema: &Schema) -> Value {
        let Some(name) = schema.reference.as_deref() else {
            return Value::Object(self.inline(schema));
        };
        if !self.schemas.contains_key(name) {
            // Holds the name while the schema below is written.
            self.schemas.insert(name.to_owned(), Value::Null);
            let body = match schema.ty {
                Type::IntOrString => int_or_string(name),
                _ => self.inline(&Schema { default: None, doc: None, strategic: None, ..schema.clone() }),
            };
            self.schemas.insert(name.to_owned(), Value::Object(body));
        }
        let mut around = Map::new();
        around.extend(schema.doc.as_deref().map(|doc| ("description".to_owned(), Value::from(doc))));
        around.extend(schema.default.clone().map(|default| ("default".to_owned(), default)));
        around.extend(schema.strategic.as_deref().into_iter().flat_map(strategic));
        if around.is_empty() {
            return reference(name);
        }
        around.insert("allOf".to_owned(), json!([reference(name)]));
        Value::Object(around)
    }

    fn inline(&mut self, schema: &Schema) -> Map<String, Value> {
        let mut out = Map::new();
        let mut put = |name: &str, value: Value| out.insert(name.to_owned(), value);
        if let Some(doc) = schema.doc.as_deref() {
            put("description", Value::from(doc));
        }
        match schema.ty {
            Type::Any => None,
            Type::Object => put("type", Value::from("object")),
            Type::Array => put("type", Value::from("array")),
            Type::String => put("type", Value::from("string")),
            Type::Integer => put("type", Value::from("integer")),
            Type::Number => put("type", Value::from("number")),
            Type::Boolean => put("type", Value::from("boolean")),
            Type::IntOrString => {
                put("anyOf", integer_or_string());
                put("x-kubernetes-int-or-string", Value::Bool(true))
            }
        };
        if let Some(format) = schema.format.as_deref() {
            put("format", Value::from(format));
        }
        if !schema.properties.is_empty() {
            let properties = schema.properties.iter().map(|(name, field)| (name.to_string(), self.node(field)));
            put("properties", Value::Object(properties.collect()));
        }
        if !schema.required.is_empty() {
            put("required", schema.required.iter().map(|name| Value::from(&**name)).collect());
        }
        if let Some(values) = &schema.additional {
            put("additionalProperties", self.node(values));
        }
        if let Some(items) = &schema.items {
            put("items", self.node(items));
        }
        if let Some(default) = &schema.default {
            put("default", default.clone());
        }
        for (name, set) in [
            ("nullable", schema.nullable),
            ("x-kubernetes-preserve-unknown-fields", schema.preserve_unknown),
            ("x-kubernetes-embedded-resource", schema.embedded),
        ] {
            if set {
                put(name, Value::Bool(true));
            }
        }
        match &schema.list {
            ListType::Atomic => {}
            ListType::Set => {
                put("x-kubernetes-list-type", Value::from("set"));
            }
            ListType::Map(keys) => {
                put("x-kubernetes-list-type", Value::from("map"));
                put("x-kubernetes-list-map-keys", keys.iter().map(|key| Value::from(&**key)).collect());
            }
        }
        if schema.map == MapType::Atomic {
            put("x-kubernetes-map-type", Value::from("atomic"));
        }
        if !schema.rules.is_empty() {
            put("x-kubernetes-validations", schema.rules.iter().map(rule).collect());
        }
        out.extend(schema.strategic.as_deref().into_iter().flat_map(strategic));
        if let Some(checks) = &schema.checks {
            self.checks(checks, &mut out);
            // An anyOf of its own takes the place of the two types, which then stand before what all must be.
            if schema.ty == Type::IntOrString && !checks.any_of.is_empty() {
                let mut all = vec![json!({"anyOf": integer_or_string()})];
                if let Some(Value::Array(own)) = out.shift_remove("allOf") {
                    all.extend(own);
                }
                out.insert("allOf".to_owned(), Value::Array(all));
            }
        }
        if schema.embedded {
            self.add_object_fields(&mut out);
        }
        out
    }

    fn checks(&mut self, checks: &Checks, out: &mut Map<String, Value>) {
        let mut put = |name: &str, value: Option<Value>| out.extend(value.map(|value| (name.to_owned(), value)));
        let flag = |set: bool| set.then_some(Value::Bool(true));
        put("minimum", checks.minimum.map(number));
        put("exclusiveMinimum", flag(checks.exclusive_minimum));
        put("maximum", checks.maximum.map(number));
        put("exclusiveMaximum", flag(checks.exclusive_maximum));
        put("multipleOf", checks.multiple_of.map(number));
        put("minLength", checks.min_length.map(Value::from));
        put("maxLength", checks.max_length.map(Value::from));
        put("pattern", checks.pattern.as_deref().map(Value::from));
        put("minItems", checks.min_items.map(Value::from));
        put("maxItems", checks.max_items.map(Value::from));
        put("uniqueItems", flag(checks.unique_items));
        put("minProperties", checks.min_properties.map(Value::from));
        put("maxProperties", checks.max_properties.map(Value::from));
        put("enum", (!checks.enum_values.is_empty()).then(|| Value::Array(checks.enum_values.clone())));
        put("not", checks.not.as_deref().map(|schema| self.node(schema)));
        for (name, schemas) in [("allOf", &checks.all_of), ("anyOf", &checks.any_of), ("oneOf", &checks.one_of)] {
            if !schemas.is_empty() {
                put(name, Some(schemas.iter().map(|schema| self.node(schema)).collect()));
            }
        }
    }

    /// `apiVersion`, `kind` and `metadata`, which the trees of custom resources do not say or say differently.
    fn add_object_fields(&self, schema: &mut Map<String, Value>) {
        let mut properties = Map::new();
        properties.insert("apiVersion".to_owned(), json!({"type": "string", "description": API_VERSION_DOC}));
        properties.insert("kind".to_owned(), json!({"type": "string", "description": KIND_DOC}));
        let doc = "What every stored object has: its name, labels, annotations, and what the server keeps of it.";
        let metadata = json!({"allOf": [reference(OBJECT_META)], "default": {}, "description": doc});
        properties.insert("metadata".to_owned(), metadata);
        if let Some(Value::Object(own)) = schema.shift_remove("properties") {
            properties
                .extend(own.into_iter().filter(|(name, _)| !["apiVersion", "kind", "metadata"].contains(&&**name)));
        }
        schema.insert("properties".to_owned(), Value::Object(properties));
    }
}

const API_VERSION_DOC: &str = "The group and version in which this object is written: `group/version`, or `v1`.";
const KIND_DOC: &str = "The kind of this object in CamelCase; it cannot be changed.";

/// The extension that says which kind a schema or an operation is about.
pub(crate) const GVK: &str = "x-kubernetes-group-version-kind";

pub(crate) fn gvk(def: &ResourceDef, version: &VersionDef, kind: &str) -> Value {
    json!({"group": def.group, "version": version.name, "kind": kind})
}

fn list(def: &ResourceDef, version: &VersionDef) -> Value {
    json!({
        "type": "object",
        "description": format!("{} is a list of {}.", def.names.list_kind, def.names.kind),
        "properties": {
            "apiVersion": {"type": "string", "description": API_VERSION_DOC},
            "items": {
                "type": "array",
                "description": format!("The {}.", def.names.plural),
                "items": {"allOf": [reference(&kind_name(def, version))], "default": {}},
            },
            "kind": {"type": "string", "description": KIND_DOC},
            "metadata": {
                "allOf": [reference(LIST_META)],
                "default": {},
                "description": "The version of the list, and where it can be continued.",
            },
        },
        "required": ["items"],
        GVK: [gvk(def, version, &def.names.list_kind)],
    })
}

fn integer_or_string() -> Value {
    json!([{"type": "integer"}, {"type": "string"}])
}

/// The built-in types that are a string or a number.
fn int_or_string(name: &str) -> Map<String, Value> {
    let mut out = Map::new();
    if name == INT_OR_STRING {
        out.insert("format".to_owned(), Value::from("int-or-string"));
        out.insert("oneOf".to_owned(), integer_or_string());
    } else {
        out.insert("oneOf".to_owned(), json!([{"type": "string"}, {"type": "number"}]));
    }
    out
}

/// Bounds are kept as floats; whole ones are published as integers.
fn number(value: f64) -> Value {
    // 2^53: above it, a float is no longer exact as an integer. `as` is exact below.
    if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 {
        Value::from(value as i64)
    } else {
        Value::from(value)
    }
}

fn strategic(strategic: &Strategic) -> Vec<(String, Value)> {
    let strategy = match strategic.strategy {
        PatchStrategy::Merge => "merge",
        PatchStrategy::RetainKeys => "retainKeys",
        PatchStrategy::MergeRetainKeys => "merge,retainKeys",
        PatchStrategy::Replace => "replace",
    };
    let mut out = vec![("x-kubernetes-patch-strategy".to_owned(), Value::from(strategy))];
    let key = strategic.merge_key.as_deref();
    out.extend(key.map(|key| ("x-kubernetes-patch-merge-key".to_owned(), Value::from(key))));
    out
}

fn rule(rule: &Rule) -> Value {
    let mut out = Map::new();
    out.insert("rule".to_owned(), Value::from(&*rule.rule));
    for (name, text) in
        [("message", &rule.message), ("messageExpression", &rule.message_expression), ("fieldPath", &rule.field_path)]
    {
        out.extend(text.as_deref().map(|text| (name.to_owned(), Value::from(text))));
    }
    let reason = match rule.reason {
        RuleReason::FieldValueInvalid => None,
        RuleReason::FieldValueForbidden => Some("FieldValueForbidden"),
        RuleReason::FieldValueRequired => Some("FieldValueRequired"),
        RuleReason::FieldValueDuplicate => Some("FieldValueDuplicate"),
    };
    out.extend(reason.map(|reason| ("reason".to_owned(), Value::from(reason))));
    if rule.optional_old_self {
        out.insert("optionalOldSelf".to_owned(), Value::Bool(true));
    }
    Value::Object(out)
}
