//! The vocabulary of the schemas: bounded scalars, list types, CEL rules, and the step from JSON Schema to a structural
//! schema.
//!
//! A field of a plain Rust type names its bounds by `#[schemars(with = "Hostname")]`; lists and rules are added by
//! transforms. Source of all figures: the CRDs of Gateway API v1.6.3, standard channel.

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// Types without values that stand for a schema.
macro_rules! bounds {
    ($($(#[$meta:meta])* $name:ident { $($schema:tt)+ })+) => {$(
        $(#[$meta])*
        pub(crate) enum $name {}

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ $($schema)+ })
            }
        }
    )+};
}

const DNS_LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
const DNS_NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
const HOSTNAME: &str = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
const HEADER_NAME: &str = r"^[A-Za-z0-9!#$%&'*+\-.^_\x60|~]+$";

bounds! {
    /// An API group; empty is the core group.
    GroupName { "type": "string", "maxLength": 253,
        "pattern": r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$" }
    KindName { "type": "string", "minLength": 1, "maxLength": 63, "pattern": "^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$" }
    ObjectName { "type": "string", "minLength": 1, "maxLength": 253 }
    NamespaceName { "type": "string", "minLength": 1, "maxLength": 63, "pattern": DNS_LABEL }
    SectionName { "type": "string", "minLength": 1, "maxLength": 253, "pattern": DNS_NAME }
    /// A host, perhaps with a wildcard as its first label.
    Hostname { "type": "string", "minLength": 1, "maxLength": 253, "pattern": HOSTNAME }
    /// A host without a wildcard.
    PreciseHostname { "type": "string", "minLength": 1, "maxLength": 253, "pattern": DNS_NAME }
    PortNumber { "type": "integer", "format": "int32", "minimum": 1, "maximum": 65535 }
    ControllerName { "type": "string", "minLength": 1, "maxLength": 253,
        "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9\/\-._~%!$&'()*+,;=:]+$" }
    ProtocolName { "type": "string", "minLength": 1, "maxLength": 255,
        "pattern": r"^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9]+$" }
    AddressType { "type": "string", "minLength": 1, "maxLength": 253,
        "pattern": r"^Hostname|IPAddress|NamedAddress|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9\/\-._~%!$&'()*+,;=:]+$" }
    /// A label's value.
    LabelValue { "type": "string", "minLength": 0, "maxLength": 63,
        "pattern": "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$" }
    /// An annotation's value, as far as Gateway API copies it; also a TLS option's.
    AnnotationValue { "type": "string", "minLength": 0, "maxLength": 4096 }
    HeaderName { "type": "string", "minLength": 1, "maxLength": 256, "pattern": HEADER_NAME }
    HeaderValue { "type": "string", "minLength": 1, "maxLength": 4096 }
    QueryValue { "type": "string", "minLength": 1, "maxLength": 1024 }
    /// A path, or what replaces it.
    PathValue { "type": "string", "maxLength": 1024 }
    CorsOrigin { "type": "string", "minLength": 1, "maxLength": 253,
        "pattern": r"(^\*$)|(^(http(s)?):\/\/(((\*\.)?([a-zA-Z0-9\-]+\.)*[a-zA-Z0-9-]+|\*)(:([0-9]{1,5}))?)$)" }
    /// A GEP-2257 duration.
    DurationText { "type": "string", "pattern": "^([0-9]{1,5}(h|m|s|ms)){1,4}$" }
    RedirectStatus { "type": "integer", "enum": [301, 302, 303, 307, 308] }
    Weight { "type": "integer", "format": "int32", "minimum": 0, "maximum": 1000000 }
    Percent { "type": "integer", "format": "int32", "minimum": 0, "maximum": 100 }
    Whole { "type": "integer", "format": "int32", "minimum": 0 }
    Positive { "type": "integer", "format": "int32", "minimum": 1 }

    /// `metav1.Condition`.
    ConditionSchema {
        "type": "object",
        "required": ["lastTransitionTime", "message", "reason", "status", "type"],
        "properties": {
            "lastTransitionTime": { "type": "string", "format": "date-time",
                "description": "When the status last changed from one value to another." },
            "message": { "type": "string", "maxLength": 32768,
                "description": "The details, for people; may be empty." },
            "observedGeneration": { "type": "integer", "format": "int64", "minimum": 0,
                "description": "The metadata.generation that the condition was judged by." },
            "reason": { "type": "string", "minLength": 1, "maxLength": 1024,
                "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                "description": "Why the status is what it is, as one CamelCase word for programs." },
            "status": { "type": "string", "enum": ["True", "False", "Unknown"],
                "description": "Whether the condition holds." },
            "type": { "type": "string", "maxLength": 316,
                "pattern": r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
                "description": "What the condition tells, in CamelCase." }
        }
    }

    /// `metav1.LabelSelector`.
    LabelSelectorSchema {
        "type": "object",
        "x-kubernetes-map-type": "atomic",
        "properties": {
            "matchExpressions": {
                "type": "array", "x-kubernetes-list-type": "atomic",
                "description": "Requirements on labels; all have to hold.",
                "items": {
                    "type": "object",
                    "required": ["key", "operator"],
                    "properties": {
                        "key": { "type": "string", "description": "The label's key." },
                        "operator": { "type": "string", "description": "In, NotIn, Exists or DoesNotExist." },
                        "values": { "type": "array", "items": { "type": "string" }, "x-kubernetes-list-type": "atomic",
                            "description": "What In and NotIn compare with; empty for the others." }
                    }
                }
            },
            "matchLabels": { "type": "object", "additionalProperties": { "type": "string" },
                "description": "Labels that have to be there with these values." }
        }
    }
}

/// The list is replaced as a whole.
pub(crate) fn atomic(schema: &mut Schema) {
    schema.insert("x-kubernetes-list-type".into(), "atomic".into());
}

/// The list holds each value once.
pub(crate) fn set(schema: &mut Schema) {
    schema.insert("x-kubernetes-list-type".into(), "set".into());
}

/// The list's entries are told apart by the field `key`.
pub(crate) fn map_by(key: &'static str) -> impl Transform {
    move |schema: &mut Schema| {
        schema.insert("x-kubernetes-list-map-keys".into(), json!([key]));
        schema.insert("x-kubernetes-list-type".into(), "map".into());
    }
}

/// CEL rules as (rule, message).
pub(crate) fn rules(rules: &'static [(&'static str, &'static str)]) -> impl Transform {
    move |schema: &mut Schema| {
        let rules: Value = rules.iter().map(|(rule, message)| json!({ "message": message, "rule": rule })).collect();
        schema.insert("x-kubernetes-validations".into(), rules);
    }
}

/// A type's structural schema, with every type in place.
pub(crate) fn of<T: JsonSchema>() -> Value {
    let mut settings = SchemaSettings::openapi3();
    settings.inline_subschemas = true;
    settings.transforms.clear();
    let mut schema = settings.into_generator().subschema_for::<T>();
    structural(&mut schema);
    schema.to_value()
}

/// JSON Schema says "may be absent" by a second type, `null`; a structural schema only by not requiring the field.
/// Descriptions are one paragraph: the line breaks of a comment are not part of the text.
fn structural(schema: &mut Schema) {
    transform_subschemas(&mut structural, schema);
    let Some(object) = schema.as_object_mut() else { return };
    if let Some(Value::Array(types)) = object.get("type")
        && let Some(one) = types.iter().find(|one| *one != "null").cloned()
    {
        object.insert("type".into(), one);
    }
    if let Some(Value::Array(values)) = object.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(Value::String(text)) = object.get_mut("description") {
        *text = text.replace('\n', " ");
    }
}
