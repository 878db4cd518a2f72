//! Definitions for the tests of this crate.

use std::sync::Arc;

use purlin_apiserver_schema::{
    Checks, ListType, Names, Origin, PatchStrategy, ResourceDef, ScaleDef, Schema, Scope, Strategic, Strategy, Type,
    VersionDef,
};

const ALL: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

pub(crate) fn leaf(ty: Type) -> Arc<Schema> {
    Arc::new(Schema { ty, ..Schema::default() })
}

pub(crate) fn object(properties: Vec<(&str, Arc<Schema>)>) -> Schema {
    let properties = properties.into_iter().map(|(name, schema)| (name.into(), schema)).collect();
    Schema { ty: Type::Object, properties, ..Schema::default() }
}

fn version(name: &str, schema: Schema) -> VersionDef {
    VersionDef {
        name: name.into(),
        served: true,
        deprecated: None,
        schema: Arc::new(schema),
        columns: Vec::new(),
        status: false,
        scale: None,
        selectable: Vec::new(),
        subresources: Vec::new(),
    }
}

fn def(group: &str, names: (&str, &str, &str), versions: Vec<VersionDef>) -> ResourceDef {
    let (plural, singular, kind) = names;
    ResourceDef {
        group: group.into(),
        names: Names {
            plural: plural.into(),
            singular: singular.into(),
            kind: kind.into(),
            list_kind: format!("{kind}List"),
            short_names: Vec::new(),
            categories: Vec::new(),
        },
        scope: Scope::Namespaced,
        versions,
        storage: 0,
        verbs: ALL,
        strategy: Strategy::default(),
        origin: Origin::BuiltIn,
    }
}

/// A custom resource with a spec that has one of everything.
pub(crate) fn custom(group: &str, plural: &str, kind: &str, versions: &[&str]) -> Arc<ResourceDef> {
    let size = Schema {
        ty: Type::Integer,
        format: Some("int32".into()),
        default: Some(1.into()),
        doc: Some("How many.".into()),
        checks: Some(Box::new(Checks { minimum: Some(1.0), maximum: Some(10.0), ..Checks::default() })),
        ..Schema::default()
    };
    let free = Schema { ty: Type::Object, preserve_unknown: true, ..Schema::default() };
    let mut spec = object(vec![("size", Arc::new(size)), ("port", leaf(Type::IntOrString)), ("free", Arc::new(free))]);
    spec.required = vec!["size".into()];
    let schema = object(vec![("spec", Arc::new(spec)), ("status", Arc::new(object(vec![])))]);
    let versions = versions.iter().map(|name| version(name, schema.clone())).collect();
    let mut def = def(group, (plural, &kind.to_lowercase(), kind), versions);
    def.origin = Origin::Custom { uid: "1".into() };
    def.versions[0].status = true;
    Arc::new(def)
}

fn container() -> Schema {
    let mut container = object(vec![("name", leaf(Type::String))]);
    container.reference = Some("io.k8s.api.core.v1.Container".into());
    container.required = vec!["name".into()];
    container
}

fn pod_spec() -> Schema {
    let containers = Schema {
        ty: Type::Array,
        items: Some(Arc::new(container())),
        list: ListType::Map(vec!["name".into()]),
        strategic: Some(Box::new(Strategic { strategy: PatchStrategy::Merge, merge_key: Some("name".into()) })),
        doc: Some("The containers.".into()),
        ..Schema::default()
    };
    let mut spec = object(vec![("containers", Arc::new(containers))]);
    spec.reference = Some("io.k8s.api.core.v1.PodSpec".into());
    spec.doc = Some("What runs.".into());
    spec
}

pub(crate) fn pods() -> Arc<ResourceDef> {
    let mut schema = object(vec![("metadata", leaf(Type::Object)), ("spec", Arc::new(pod_spec()))]);
    schema.reference = Some("io.k8s.api.core.v1.Pod".into());
    let mut def = def("", ("pods", "pod", "Pod"), vec![version("v1", schema)]);
    def.names.short_names = vec!["po".into()];
    def.names.categories = vec!["all".into()];
    def.versions[0].status = true;
    Arc::new(def)
}

pub(crate) fn service_accounts() -> Arc<ResourceDef> {
    let mut schema = object(vec![("secrets", leaf(Type::Array))]);
    schema.reference = Some("io.k8s.api.core.v1.ServiceAccount".into());
    let mut def = def("", ("serviceaccounts", "serviceaccount", "ServiceAccount"), vec![version("v1", schema)]);
    def.names.short_names = vec!["sa".into()];
    Arc::new(def)
}

pub(crate) fn deployments() -> Arc<ResourceDef> {
    let mut schema = object(vec![("spec", Arc::new(object(vec![("template", Arc::new(pod_spec()))])))]);
    schema.reference = Some("io.k8s.api.apps.v1.Deployment".into());
    let mut def = def("apps", ("deployments", "deployment", "Deployment"), vec![version("v1", schema)]);
    def.names.short_names = vec!["deploy".into()];
    def.names.categories = vec!["all".into()];
    def.versions[0].status = true;
    def.versions[0].scale = Some(ScaleDef {
        spec_replicas_path: ".spec.replicas".into(),
        status_replicas_path: ".status.replicas".into(),
        label_selector_path: None,
    });
    Arc::new(def)
}

/// A kind that can only be created.
pub(crate) fn review() -> Arc<ResourceDef> {
    let mut schema = object(vec![("spec", leaf(Type::Object))]);
    schema.reference = Some("io.k8s.api.authentication.v1.TokenReview".into());
    let names = ("tokenreviews", "tokenreview", "TokenReview");
    let mut def = def("authentication.k8s.io", names, vec![version("v1", schema)]);
    def.scope = Scope::Cluster;
    def.verbs = &["create"];
    Arc::new(def)
}
