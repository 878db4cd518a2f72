//! The vocabulary of bounded values: what Kubernetes and Gateway API accept as a name, a host, a port, a duration, a
//! header, a condition.
//!
//! A field of a plain Rust type names its bounds by `#[schemars(with = "Hostname")]`, an optional one by
//! `with = "Option<Hostname>"`. Source of all figures: apimachinery's `metav1` types and the CRDs of Gateway API v1.6.3.

use schemars::transform::Transform;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::schema::map_by;

/// Defines types without values, each of which stands for a schema.
///
/// ```ignore
/// purlin_crd::bounds! {
///     /// A share in percent.
///     pub Percent { "type": "integer", "format": "int32", "minimum": 0, "maximum": 100 }
/// }
/// ```
///
/// The crate that uses it depends on schemars.
#[macro_export]
macro_rules! bounds {
    ($($(#[$meta:meta])* $vis:vis $name:ident { $($schema:tt)+ })+) => {$(
        $(#[$meta])*
        $vis enum $name {}

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ $($schema)+ })
            }
        }
    )+};
}

/// The list of an object's conditions, one of each type, at most eight.
pub enum Conditions {}

impl JsonSchema for Conditions {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Conditions".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = <Vec<ConditionSchema>>::json_schema(generator);
        schema.insert("maxItems".into(), 8.into());
        map_by("type").transform(&mut schema);
        schema
    }
}

const DNS_LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
const DNS_NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
const HOSTNAME: &str = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
const HEADER_NAME: &str = r"^[A-Za-z0-9!#$%&'*+\-.^_\x60|~]+$";

bounds! {
    /// An API group; empty is the core group.
    pub GroupName { "type": "string", "maxLength": 253,
        "pattern": r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$" }
    /// A kind.
    pub KindName { "type": "string", "minLength": 1, "maxLength": 63,
        "pattern": "^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$" }
    /// An object's name.
    pub ObjectName { "type": "string", "minLength": 1, "maxLength": 253 }
    /// A namespace's name.
    pub NamespaceName { "type": "string", "minLength": 1, "maxLength": 63, "pattern": DNS_LABEL }
    /// The name of a part of an object: a listener, a rule, a port.
    pub SectionName { "type": "string", "minLength": 1, "maxLength": 253, "pattern": DNS_NAME }
    /// A host, perhaps with a wildcard as its first label.
    pub Hostname { "type": "string", "minLength": 1, "maxLength": 253, "pattern": HOSTNAME }
    /// A host without a wildcard.
    pub PreciseHostname { "type": "string", "minLength": 1, "maxLength": 253, "pattern": DNS_NAME }
    /// A port.
    pub PortNumber { "type": "integer", "format": "int32", "minimum": 1, "maximum": 65535 }
    /// A label's value.
    pub LabelValue { "type": "string", "minLength": 0, "maxLength": 63,
        "pattern": "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$" }
    /// An annotation's value, as far as Gateway API copies it; also a TLS option's.
    pub AnnotationValue { "type": "string", "minLength": 0, "maxLength": 4096 }
    /// An HTTP header's name.
    pub HeaderName { "type": "string", "minLength": 1, "maxLength": 256, "pattern": HEADER_NAME }
    /// An HTTP header's value.
    pub HeaderValue { "type": "string", "minLength": 1, "maxLength": 4096 }
    /// A GEP-2257 duration: 10s, 1h30m, 500ms.
    pub DurationText { "type": "string", "pattern": "^([0-9]{1,5}(h|m|s|ms)){1,4}$" }
    /// A share in percent.
    pub Percent { "type": "integer", "format": "int32", "minimum": 0, "maximum": 100 }
    /// A whole number from 0.
    pub Whole { "type": "integer", "format": "int32", "minimum": 0 }
    /// A whole number from 1.
    pub Positive { "type": "integer", "format": "int32", "minimum": 1 }

    /// `metav1.Condition`.
    pub ConditionSchema {
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
    pub LabelSelectorSchema {
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
