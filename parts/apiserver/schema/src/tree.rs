//! The schema tree: what a structural schema says of one value and what lies below it.
//!
//! Built from a CustomResourceDefinition's `openAPIV3Schema` or, for built-in kinds, from k8s-openapi's schemas
//! and our table of list types and defaults. Immutable once built and shared by `Arc`.
//! Follows "Specifying a structural schema" of the Kubernetes documentation and the OpenAPI extensions
//! `x-kubernetes-*` of kube-openapi.

use std::sync::{Arc, OnceLock};

use indexmap::IndexMap;
use regex::Regex;
use serde_json::Value;

/// The JSON type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Type {
    /// Any JSON value: a field without a type, allowed only with `x-kubernetes-preserve-unknown-fields`.
    #[default]
    Any,
    /// `type: object`, with `properties` or with `additional`.
    Object,
    /// `type: array`.
    Array,
    /// `type: string`.
    String,
    /// `type: integer`: a JSON number without a fraction, within i64.
    Integer,
    /// `type: number`.
    Number,
    /// `type: boolean`.
    Boolean,
    /// `x-kubernetes-int-or-string`.
    IntOrString,
}

/// `x-kubernetes-list-type`: how items of a list are told apart when several writers own some of them.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum ListType {
    /// The list is replaced as a whole.
    #[default]
    Atomic,
    /// Scalars, each at most once.
    Set,
    /// Objects told apart by the named fields (`x-kubernetes-list-map-keys`).
    Map(Vec<Box<str>>),
}

/// `x-kubernetes-map-type`: whether fields of an object have owners of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MapType {
    /// Each field is owned by itself.
    #[default]
    Granular,
    /// The object is replaced as a whole.
    Atomic,
}

/// `x-kubernetes-patch-strategy` and `x-kubernetes-patch-merge-key`: only strategic merge patch reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strategic {
    /// What a strategic merge patch does with the list or object.
    pub strategy: PatchStrategy,
    /// The field by which items of a list of objects are told apart.
    pub merge_key: Option<Box<str>>,
}

/// The patch strategies of strategic merge patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchStrategy {
    /// `merge`.
    Merge,
    /// `retainKeys`.
    RetainKeys,
    /// `merge,retainKeys`.
    MergeRetainKeys,
    /// `replace`, the default.
    Replace,
}

/// A string format that is checked; unknown formats are annotations and are not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the OpenAPI formats")]
pub enum Format {
    Int32,
    Int64,
    Float,
    Double,
    Byte,
    Date,
    DateTime,
    Duration,
    Email,
    Hostname,
    Ipv4,
    Ipv6,
    Cidr,
    Mac,
    Uri,
    Uuid,
}

/// Bounds and value checks of one node: rare enough to be boxed.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the names are those of the JSON schema keywords")]
pub struct Checks {
    pub enum_values: Vec<Value>,
    pub format: Option<Format>,
    pub minimum: Option<f64>,
    pub exclusive_minimum: bool,
    pub maximum: Option<f64>,
    pub exclusive_maximum: bool,
    pub multiple_of: Option<f64>,
    pub min_length: Option<u64>,
    pub max_length: Option<u64>,
    pub pattern: Option<Box<str>>,
    /// The pattern compiled, from its first use on.
    pub compiled: OnceLock<Result<Regex, String>>,
    pub min_items: Option<u64>,
    pub max_items: Option<u64>,
    pub unique_items: bool,
    pub min_properties: Option<u64>,
    pub max_properties: Option<u64>,
    pub all_of: Vec<Schema>,
    pub any_of: Vec<Schema>,
    pub one_of: Vec<Schema>,
    pub not: Option<Box<Schema>>,
}

/// One entry of `x-kubernetes-validations`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The CEL expression; `self` is the value, `oldSelf` its previous one.
    pub rule: Box<str>,
    /// What the user is told when the rule does not hold.
    pub message: Option<Box<str>>,
    /// A CEL expression that yields the message; takes precedence over `message`.
    pub message_expression: Option<Box<str>>,
    /// The cause that a refusal carries.
    pub reason: RuleReason,
    /// The field, relative to the value, that a refusal names.
    pub field_path: Option<Box<str>>,
    /// With `true`, the rule also runs when there is no old value; `oldSelf` is then an optional.
    pub optional_old_self: bool,
}

/// `x-kubernetes-validations[].reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names are those of the API")]
pub enum RuleReason {
    #[default]
    FieldValueInvalid,
    FieldValueForbidden,
    FieldValueRequired,
    FieldValueDuplicate,
}

/// What is said of one value and of what lies below it.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    /// The JSON type.
    pub ty: Type,
    /// `null` is a value of its own, neither pruned nor defaulted.
    pub nullable: bool,
    /// `x-kubernetes-preserve-unknown-fields`: fields not named here are kept.
    pub preserve_unknown: bool,
    /// `x-kubernetes-embedded-resource`: `apiVersion`, `kind` and `metadata` are implied.
    pub embedded: bool,
    /// Named fields of an object.
    pub properties: IndexMap<Box<str>, Arc<Schema>>,
    /// Fields that must be there.
    pub required: Vec<Box<str>>,
    /// The schema of a map's values (`additionalProperties`).
    pub additional: Option<Arc<Schema>>,
    /// The schema of a list's items.
    pub items: Option<Arc<Schema>>,
    /// How a list merges.
    pub list: ListType,
    /// How an object merges.
    pub map: MapType,
    /// What a strategic merge patch does; built-in kinds only.
    pub strategic: Option<Box<Strategic>>,
    /// The value that is set where none is given.
    pub default: Option<Value>,
    /// Bounds and value checks.
    pub checks: Option<Box<Checks>>,
    /// CEL rules.
    pub rules: Vec<Rule>,
    /// What `kubectl explain` says.
    pub doc: Option<Arc<str>>,
    /// `format` as published in OpenAPI, whether or not it is checked.
    pub format: Option<Box<str>>,
    /// The name under which OpenAPI publishes this object once (`io.k8s.api.core.v1.Container`).
    pub reference: Option<Arc<str>>,
}
