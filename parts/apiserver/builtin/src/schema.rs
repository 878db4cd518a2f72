//! The schema trees of the built-in kinds.
//!
//! k8s-openapi gives the shape and the words of each kind as a JSON schema; [`FACTS`] adds what it does not carry:
//! how lists and objects merge, and defaults. A definition (`io.k8s.api.core.v1.ServicePort`) becomes one node that
//! all that refer to it share. All trees are built once, at first use.
//!
//! What differs from the published schemas, and why:
//! - `required` is left out. kube-apiserver does not enforce it for built-in kinds (Go's zero values are accepted
//!   where validation accepts them); what must be there is said by each kind's `validate`.
//! - A recursive definition (the schema inside a CustomResourceDefinition) keeps unknown fields and ends there.
//! - The words beside a reference are dropped for objects, whose own words OpenAPI publishes once; a scalar
//!   (`Time`) takes the field's words.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use k8s_openapi::api::{
    authentication::v1 as authentication, authorization::v1 as authorization, coordination::v1 as coordination,
    core::v1 as core, discovery::v1 as discovery, events::v1 as events, rbac::v1 as rbac,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as apiextensions;
use purlin_apiserver_schema::{Checks, Format, ListType, MapType, PatchStrategy, Schema, Strategic, Type};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

/// The table of list types, merge keys and defaults.
const FACTS: &str = include_str!("facts.txt");

/// Definitions that refer to themselves.
const RECURSIVE: [&str; 1] = ["io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"];

/// Where the generator puts definitions, as it stands in a `$ref`.
const REF_PREFIX: &str = "#/$defs/";

static TREES: LazyLock<HashMap<String, Arc<Schema>>> = LazyLock::new(build_all);

/// The tree of a definition, by its full name (`io.k8s.api.core.v1.ConfigMap`); an empty object for a name that is
/// none of ours.
pub(crate) fn tree(name: &str) -> Arc<Schema> {
    TREES.get(name).cloned().unwrap_or_default()
}

/// What the tree says of the field at a dotted path, for the description of a column.
pub(crate) fn doc_at(schema: &Schema, path: &str) -> String {
    let (head, rest) = path.split_once('.').unwrap_or((path, ""));
    match schema.properties.get(head) {
        Some(node) if rest.is_empty() => node.doc.as_deref().unwrap_or_default().to_owned(),
        Some(node) => doc_at(node, rest),
        None => String::new(),
    }
}

fn build_all() -> HashMap<String, Arc<Schema>> {
    let mut builder = Builder { definitions: definitions(), facts: facts(), built: HashMap::new() };
    let names: Vec<String> = builder.definitions.keys().cloned().collect();
    for name in &names {
        builder.definition(name);
    }
    builder.built
}

/// The JSON schemas of all kinds that this crate defines, and of all they refer to.
fn definitions() -> Map<String, Value> {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    generator.subschema_for::<core::Namespace>();
    generator.subschema_for::<core::ConfigMap>();
    generator.subschema_for::<core::Secret>();
    generator.subschema_for::<core::Service>();
    generator.subschema_for::<core::ServiceAccount>();
    generator.subschema_for::<core::Event>();
    generator.subschema_for::<core::Endpoints>();
    generator.subschema_for::<events::Event>();
    generator.subschema_for::<discovery::EndpointSlice>();
    generator.subschema_for::<coordination::Lease>();
    generator.subschema_for::<rbac::Role>();
    generator.subschema_for::<rbac::RoleBinding>();
    generator.subschema_for::<rbac::ClusterRole>();
    generator.subschema_for::<rbac::ClusterRoleBinding>();
    generator.subschema_for::<apiextensions::CustomResourceDefinition>();
    generator.subschema_for::<authentication::TokenReview>();
    generator.subschema_for::<authentication::SelfSubjectReview>();
    generator.subschema_for::<authentication::TokenRequest>();
    generator.subschema_for::<authorization::SubjectAccessReview>();
    generator.subschema_for::<authorization::SelfSubjectAccessReview>();
    generator.subschema_for::<authorization::LocalSubjectAccessReview>();
    generator.subschema_for::<authorization::SelfSubjectRulesReview>();
    generator.take_definitions(false)
}

/// One row of the table.
#[derive(Debug, Default)]
struct Fact {
    list: Option<ListType>,
    atomic: bool,
    strategic: Option<Strategic>,
    default: Option<Value>,
}

impl Fact {
    fn put(&self, node: &mut Schema) {
        if let Some(list) = &self.list {
            node.list = list.clone();
        }
        if self.atomic {
            node.map = MapType::Atomic;
        }
        node.strategic = self.strategic.clone().map(Box::new);
        node.default = self.default.clone();
    }
}

/// The rows by definition and property.
type Facts = HashMap<(&'static str, &'static str), Fact>;

fn facts() -> Facts {
    let mut facts = Facts::new();
    let mut definition = "";
    for line in FACTS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if !line.starts_with(' ') {
            definition = line;
            continue;
        }
        let mut words = line.split_whitespace();
        let property = words.next().unwrap_or_default();
        let mut fact = Fact::default();
        for word in words {
            match word.split_once('=').unwrap_or((word, "")) {
                ("list", "set") => fact.list = Some(ListType::Set),
                ("list", keys) => {
                    let keys = keys.strip_prefix("map:").unwrap_or_default();
                    fact.list = Some(ListType::Map(keys.split(',').map(Into::into).collect()));
                }
                ("map", _) => fact.atomic = true,
                ("merge", key) => {
                    let merge_key = (!key.is_empty()).then(|| key.into());
                    fact.strategic = Some(Strategic { strategy: PatchStrategy::Merge, merge_key });
                }
                ("default", json) => fact.default = serde_json::from_str(json).ok(),
                _ => {}
            }
        }
        facts.insert((definition, property), fact);
    }
    facts
}

struct Builder {
    definitions: Map<String, Value>,
    facts: Facts,
    built: HashMap<String, Arc<Schema>>,
}

impl Builder {
    /// The node of a definition, built at the first reference to it.
    fn definition(&mut self, name: &str) -> Arc<Schema> {
        if let Some(node) = self.built.get(name) {
            return node.clone();
        }
        // Taken out, so that it is dropped once it is built.
        let json = self.definitions.shift_remove(name).unwrap_or_default();
        let mut node = if RECURSIVE.contains(&name) {
            Schema { ty: Type::Object, preserve_unknown: true, doc: doc(&json), ..Schema::default() }
        } else {
            self.node(&json)
        };
        for (property, fact) in
            self.facts.iter().filter(|((definition, _), _)| *definition == name).map(|((_, p), f)| (*p, f))
        {
            if property == "." {
                fact.put(&mut node);
            } else if let Some(child) = node.properties.get_mut(property) {
                fact.put(Arc::make_mut(child));
            }
        }
        if matches!(node.ty, Type::Object | Type::IntOrString) {
            node.reference = Some(name.into());
        }
        let node = Arc::new(node);
        self.built.insert(name.to_owned(), node.clone());
        node
    }

    /// The node of a property, of items or of values: shared where it is a reference to an object.
    fn child(&mut self, json: &Value) -> Arc<Schema> {
        let Some(name) = json["$ref"].as_str().and_then(|r| r.strip_prefix(REF_PREFIX)) else {
            return Arc::new(self.node(json));
        };
        let shared = self.definition(name);
        match doc(json) {
            Some(doc) if shared.ty != Type::Object => Arc::new(Schema { doc: Some(doc), ..Schema::clone(&shared) }),
            _ => shared,
        }
    }

    fn node(&mut self, json: &Value) -> Schema {
        let mut node = Schema { ty: kind(json), doc: doc(json), ..Schema::default() };
        if let Some(properties) = json["properties"].as_object() {
            node.properties = properties.iter().map(|(name, json)| (name.as_str().into(), self.child(json))).collect();
        }
        node.additional = json["additionalProperties"].as_object().map(|_| self.child(&json["additionalProperties"]));
        node.items = json["items"].as_object().map(|_| self.child(&json["items"]));
        // An object of which nothing is said (FieldsV1, RawExtension) holds anything, and so does what has no type.
        node.preserve_unknown = match node.ty {
            Type::Object => node.properties.is_empty() && node.additional.is_none(),
            ty => ty == Type::Any,
        };
        node.format = json["format"].as_str().map(Into::into);
        let format = match json["format"].as_str() {
            Some("int32") => Some(Format::Int32),
            Some("int64") => Some(Format::Int64),
            Some("double") => Some(Format::Double),
            Some("date-time") => Some(Format::DateTime),
            // `byte` is left to each kind, whose message tells what to do.
            _ => None,
        };
        node.checks = format.map(|format| Box::new(Checks { format: Some(format), ..Checks::default() }));
        node
    }
}

fn kind(json: &Value) -> Type {
    if json["x-kubernetes-int-or-string"] == true {
        return Type::IntOrString;
    }
    match json["type"].as_str() {
        Some("object") => Type::Object,
        Some("array") => Type::Array,
        Some("string") => Type::String,
        Some("integer") => Type::Integer,
        Some("number") => Type::Number,
        Some("boolean") => Type::Boolean,
        _ => Type::Any,
    }
}

fn doc(json: &Value) -> Option<Arc<str>> {
    json["description"].as_str().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The node at a dotted path below a definition; `[]` steps into a list's items.
    fn at(definition: &str, path: &str) -> Arc<Schema> {
        path.split('.').fold(tree(definition), |node, step| match step {
            "[]" => node.items.clone().expect(path),
            _ => node.properties.get(step).cloned().unwrap_or_else(|| panic!("{definition} has no {path}")),
        })
    }

    #[test]
    fn every_fact_names_what_exists() {
        let facts = facts();
        assert_eq!(facts.len(), FACTS.lines().filter(|l| l.starts_with(' ')).count(), "a row stands twice");
        for ((definition, property), fact) in &facts {
            let node = match *property {
                "." => tree(definition),
                _ => at(definition, property),
            };
            assert!(!node.ty.eq(&Type::Any), "{definition}.{property} has no type");
            let list = fact.list.is_some() || fact.strategic.is_some();
            assert_eq!(node.ty == Type::Array, list, "{definition}.{property}: {fact:?}");
            assert!(list || fact.atomic || fact.default.is_some(), "{definition}.{property} says nothing");
            if let Some(ListType::Map(keys)) = &fact.list {
                let items = node.items.as_ref().expect("items");
                for key in keys {
                    assert!(items.properties.contains_key(key), "{definition}.{property} has no key {key}");
                }
            }
        }
    }

    #[test]
    fn trees() {
        let service = "io.k8s.api.core.v1.Service";
        let ports = at(service, "spec.ports");
        assert_eq!(ports.list, ListType::Map(vec!["port".into(), "protocol".into()]));
        assert_eq!(ports.strategic.as_ref().and_then(|s| s.merge_key.as_deref()), Some("port"));
        assert_eq!(at(service, "spec.selector").map, MapType::Atomic);
        assert_eq!(at(service, "spec.ports.[].protocol").default, Some("TCP".into()));
        let target = at(service, "spec.ports.[].targetPort");
        assert_eq!(target.ty, Type::IntOrString);
        assert_eq!(target.reference.as_deref(), Some("io.k8s.apimachinery.pkg.util.intstr.IntOrString"));
        assert_eq!(at(service, "spec.ports.[].port").checks.as_ref().and_then(|c| c.format), Some(Format::Int32));
        assert_eq!(at(service, "spec").reference.as_deref(), Some("io.k8s.api.core.v1.ServiceSpec"));
        assert!(at(service, "metadata.managedFields.[].fieldsV1").preserve_unknown);
        assert_eq!(at(service, "metadata.finalizers").list, ListType::Set);
        let created = at(service, "metadata.creationTimestamp");
        assert_eq!((created.ty, created.format.as_deref()), (Type::String, Some("date-time")));
        assert!(created.doc.as_deref().is_some_and(|d| d.starts_with("CreationTimestamp")));
        let data = at("io.k8s.api.core.v1.Secret", "data");
        assert_eq!(data.additional.as_ref().and_then(|a| a.format.as_deref()), Some("byte"));
        assert!(!data.preserve_unknown);
        assert_eq!(doc_at(&tree(service), "nothing.here"), "");
    }

    #[test]
    fn definitions_are_shared_and_end() {
        let crd = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition";
        let schema = at(crd, "spec.versions.[].schema.openAPIV3Schema");
        assert!(schema.preserve_unknown && schema.properties.is_empty());
        assert!(Arc::ptr_eq(
            &at("io.k8s.api.core.v1.ConfigMap", "metadata"),
            &at("io.k8s.api.core.v1.Secret", "metadata")
        ));
        for (name, node) in TREES.iter() {
            walk(name, node, 0);
        }
    }

    /// Every object that is a definition says so, and no tree is deeper than the deepest of Kubernetes.
    fn walk(name: &str, node: &Schema, depth: usize) {
        assert!(depth < 16, "{name} does not end");
        assert!(node.properties.is_empty() || node.reference.is_some(), "{name} is an object without a name");
        assert!(node.ty != Type::Any || node.preserve_unknown);
        for child in node.properties.values().chain(&node.items).chain(&node.additional) {
            walk(name, child, depth + 1);
        }
    }
}
