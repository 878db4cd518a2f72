//! The definition of one resource: built-in or custom, the same shape for both.
//!
//! A definition says everything that the API server needs to serve a resource; there is no code per kind but the
//! few functions of its [`Strategy`].

use std::sync::Arc;

use serde_json::Value;

use crate::{FieldError, NameForm, Schema};

/// Whether objects live in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the API")]
pub enum Scope {
    Namespaced,
    Cluster,
}

/// How a resource is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of CustomResourceDefinitionNames")]
pub struct Names {
    pub plural: String,
    pub singular: String,
    pub kind: String,
    pub list_kind: String,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
}

/// Where a resource comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Compiled in.
    BuiltIn,
    /// A CustomResourceDefinition, with its uid: another uid is another resource with another life.
    Custom {
        /// `metadata.uid` of the definition.
        uid: String,
    },
}

/// One resource in all its versions.
#[derive(Clone, Debug)]
pub struct ResourceDef {
    /// The API group; empty for the core group.
    pub group: String,
    /// Plural, kind and the other names.
    pub names: Names,
    /// Namespaced or not.
    pub scope: Scope,
    /// All versions, the preferred one first.
    pub versions: Vec<VersionDef>,
    /// Index in `versions` of the one in which objects are stored.
    pub storage: usize,
    /// The verbs that discovery lists and requests may use: a subset of
    /// `create delete deletecollection get list patch update watch`.
    pub verbs: &'static [&'static str],
    /// What is done by code.
    pub strategy: Strategy,
    /// Built in or custom.
    pub origin: Origin,
}

/// One version of a resource.
#[derive(Clone, Debug, Default)]
pub struct VersionDef {
    /// `v1`, `v1beta1`.
    pub name: String,
    /// Whether requests may use it.
    pub served: bool,
    /// A warning for each request that uses it.
    pub deprecated: Option<String>,
    /// The tree of the whole object, `metadata` included.
    pub schema: Arc<Schema>,
    /// Columns of a Table, without `Name`, which is first; custom resources without any have `Age`. Where one of
    /// them has the format `name` (Event), they are all columns and nothing is put before them.
    pub columns: Vec<Column>,
    /// Whether `/status` is served, and `status` then ignored on the main resource.
    pub status: bool,
    /// `/scale`, where served.
    pub scale: Option<ScaleDef>,
    /// Field selectors beyond `metadata.name` and `metadata.namespace`: dotted paths, without the leading dot.
    pub selectable: Vec<String>,
    /// Subresources other than `/status` and `/scale`: `/token`, `/finalize`.
    pub subresources: Vec<Subresource>,
}

/// A subresource that has a kind of its own or a meaning of its own.
#[derive(Clone, Debug)]
pub struct Subresource {
    /// The last segment of the path: `token`.
    pub name: String,
    /// The kind of the body: `TokenRequest`.
    pub kind: String,
    /// The group of the body's kind; empty for the core group.
    pub group: String,
    /// The version of the body's kind.
    pub version: String,
    /// The verbs that discovery lists and requests may use.
    pub verbs: &'static [&'static str],
    /// The tree of the body.
    pub schema: Arc<Schema>,
}

/// Where `/scale` finds its fields: dotted paths with a leading dot, as in a CustomResourceDefinition.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of CustomResourceSubresourceScale")]
pub struct ScaleDef {
    pub spec_replicas_path: String,
    pub status_replicas_path: String,
    pub label_selector_path: Option<String>,
}

/// A column of a Table (`TableColumnDefinition`, meta.k8s.io/v1).
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names are those of the API")]
pub struct Column {
    pub name: String,
    pub ty: String,
    pub format: String,
    pub description: String,
    /// 0 is always shown, more only with `-o wide`.
    pub priority: i32,
    pub source: ColumnSource,
}

/// How a cell is found.
#[derive(Clone, Debug)]
pub enum ColumnSource {
    /// A JSONPath of a custom resource (`.spec.size`).
    JsonPath(String),
    /// A function of the object and the time in seconds since 1970; yields a JSON scalar.
    Func(fn(&Value, i64) -> Value),
}

/// What a kind needs beyond its schema. Each function is pure; the defaults do nothing.
#[derive(Clone, Copy, Debug)]
pub struct Strategy {
    /// Sets what the server fills in on every write and read of older data (protocol TCP, type Opaque, ...).
    pub default: fn(&mut Value),
    /// Drops or sets what a creator may not decide (status, phase).
    pub prepare_create: fn(&mut Value),
    /// Carries over what an updater of the main resource may not change: (new, old).
    pub prepare_update: fn(&mut Value, &Value),
    /// What the schema cannot say: (new, old on an update).
    pub validate: fn(&Value, Option<&Value>) -> Vec<FieldError>,
    /// Whether `metadata.generation` counts changes of the spec.
    pub generation: bool,
    /// What `metadata.name` may look like.
    pub name: NameForm,
    /// The value of a selectable field that is no path of the object (`source` of an Event); `None`: take the path.
    pub select: fn(&Value, &str) -> Option<String>,
    /// Set where the objects are those of another resource, shown in another shape.
    pub alias: Option<Alias>,
}

/// One stored resource under a second group (`events` of the core group under events.k8s.io).
///
/// The definition that has it stores nothing. Requests are decoded, defaulted, prepared and validated in its own
/// shape by its own strategy; `to_stored` then yields the object that is kept under `resource`, and what is read
/// or watched there is shown through `from_stored`.
#[derive(Clone, Copy, Debug)]
pub struct Alias {
    /// [`ResourceDef::key`] of the resource whose objects these are.
    pub resource: &'static str,
    /// From this shape to the stored one, `apiVersion` included.
    pub to_stored: fn(&mut Value),
    /// From the stored shape to this one, `apiVersion` included.
    pub from_stored: fn(&mut Value),
}

impl Default for Strategy {
    fn default() -> Self {
        Strategy {
            default: |_| {},
            prepare_create: |_| {},
            prepare_update: |_, _| {},
            validate: |_, _| Vec::new(),
            generation: false,
            name: NameForm::default(),
            select: |_, _| None,
            alias: None,
        }
    }
}

impl ResourceDef {
    /// `plural.group`, or `plural` in the core group: the name of a CustomResourceDefinition and of a `GroupResource`.
    pub fn key(&self) -> String {
        if self.group.is_empty() { self.names.plural.clone() } else { format!("{}.{}", self.names.plural, self.group) }
    }

    /// The version of this name, where it is served.
    pub fn version(&self, name: &str) -> Option<&VersionDef> {
        self.versions.iter().find(|v| v.name == name && v.served)
    }

    /// The version in which objects are stored.
    pub fn stored(&self) -> &VersionDef {
        &self.versions[self.storage]
    }

    /// `group/version`, or `version` in the core group.
    pub fn api_version(&self, version: &str) -> String {
        if self.group.is_empty() { version.to_owned() } else { format!("{}/{version}", self.group) }
    }
}
