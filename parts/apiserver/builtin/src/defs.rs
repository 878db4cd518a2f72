//! The table of built-in resources: names, verbs, columns, selectable fields and the kind's functions.
//!
//! Names and verbs are those that kube-apiserver's discovery shows.

use purlin_apiserver_schema::{Names, Origin, ResourceDef, Scope, Strategy, Subresource, VersionDef};

use crate::columns::{self, Cell};
use crate::kinds::{config, crd, endpoints, event, lease, namespace, rbac, service};
use crate::schema::tree;
use crate::value::drop_nulls;

const ALL: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
/// Namespaces are not deleted by the collection.
const NO_COLLECTION: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];
const CREATE: &[&str] = &["create"];

const EVENT_FIELDS: &[&str] = &[
    "involvedObject.apiVersion",
    "involvedObject.fieldPath",
    "involvedObject.kind",
    "involvedObject.name",
    "involvedObject.namespace",
    "involvedObject.resourceVersion",
    "involvedObject.uid",
    "reason",
    "reportingComponent",
    "source",
    "type",
];

const NEW_EVENT_FIELDS: &[&str] = &[
    "reason",
    "regarding.apiVersion",
    "regarding.fieldPath",
    "regarding.kind",
    "regarding.name",
    "regarding.namespace",
    "regarding.resourceVersion",
    "regarding.uid",
    "reportingController",
    "type",
];

/// One row of the table. Every kind has one version, `v1`.
struct Row {
    group: &'static str,
    plural: &'static str,
    kind: &'static str,
    /// The package of the kind's definition, as OpenAPI names it.
    package: &'static str,
    short_names: &'static [&'static str],
    scope: Scope,
    verbs: &'static [&'static str],
    status: bool,
    columns: &'static [Cell],
    selectable: &'static [&'static str],
    strategy: fn() -> Strategy,
}

/// A namespaced kind with all verbs.
const fn row(group: &'static str, plural: &'static str, kind: &'static str, package: &'static str) -> Row {
    Row {
        group,
        plural,
        kind,
        package,
        short_names: &[],
        scope: Scope::Namespaced,
        verbs: ALL,
        status: false,
        columns: columns::PLAIN,
        selectable: &[],
        strategy: plain,
    }
}

const RBAC: (&str, &str) = ("rbac.authorization.k8s.io", "io.k8s.api.rbac.v1");
const AUTHENTICATION: (&str, &str) = ("authentication.k8s.io", "io.k8s.api.authentication.v1");
const AUTHORIZATION: (&str, &str) = ("authorization.k8s.io", "io.k8s.api.authorization.v1");
const CORE: &str = "io.k8s.api.core.v1";

const RESOURCES: &[Row] = &[
    Row {
        scope: Scope::Cluster,
        short_names: &["ns"],
        verbs: NO_COLLECTION,
        status: true,
        columns: columns::NAMESPACE,
        selectable: &["status.phase"],
        strategy: namespace::strategy,
        ..row("", "namespaces", "Namespace", CORE)
    },
    Row {
        short_names: &["cm"],
        columns: columns::CONFIG_MAP,
        strategy: config::config_map,
        ..row("", "configmaps", "ConfigMap", CORE)
    },
    Row {
        columns: columns::SECRET,
        selectable: &["type"],
        strategy: config::secret,
        ..row("", "secrets", "Secret", CORE)
    },
    Row {
        short_names: &["svc"],
        status: true,
        columns: columns::SERVICE,
        selectable: &["spec.clusterIP", "spec.type"],
        strategy: service::strategy,
        ..row("", "services", "Service", CORE)
    },
    Row { short_names: &["sa"], columns: columns::AGE_ONLY, ..row("", "serviceaccounts", "ServiceAccount", CORE) },
    Row {
        short_names: &["ev"],
        columns: columns::EVENT,
        selectable: EVENT_FIELDS,
        strategy: event::core,
        ..row("", "events", "Event", CORE)
    },
    Row {
        short_names: &["ep"],
        columns: columns::ENDPOINTS,
        strategy: endpoints::endpoints,
        ..row("", "endpoints", "Endpoints", CORE)
    },
    Row {
        columns: columns::ENDPOINT_SLICE,
        strategy: endpoints::slice,
        ..row("discovery.k8s.io", "endpointslices", "EndpointSlice", "io.k8s.api.discovery.v1")
    },
    Row {
        short_names: &["ev"],
        columns: columns::NEW_EVENT,
        selectable: NEW_EVENT_FIELDS,
        strategy: event::events,
        ..row("events.k8s.io", "events", "Event", "io.k8s.api.events.v1")
    },
    Row {
        columns: columns::LEASE,
        strategy: lease::strategy,
        ..row("coordination.k8s.io", "leases", "Lease", "io.k8s.api.coordination.v1")
    },
    Row { strategy: rbac::role, ..row(RBAC.0, "roles", "Role", RBAC.1) },
    Row {
        columns: columns::BINDING,
        strategy: rbac::role_binding,
        ..row(RBAC.0, "rolebindings", "RoleBinding", RBAC.1)
    },
    Row { scope: Scope::Cluster, strategy: rbac::cluster_role, ..row(RBAC.0, "clusterroles", "ClusterRole", RBAC.1) },
    Row {
        scope: Scope::Cluster,
        columns: columns::BINDING,
        strategy: rbac::cluster_role_binding,
        ..row(RBAC.0, "clusterrolebindings", "ClusterRoleBinding", RBAC.1)
    },
    Row {
        scope: Scope::Cluster,
        short_names: &["crd", "crds"],
        status: true,
        strategy: crd::strategy,
        ..row(
            "apiextensions.k8s.io",
            "customresourcedefinitions",
            "CustomResourceDefinition",
            "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1",
        )
    },
];

/// Questions to the server: created, answered, never stored.
const REVIEWS: &[Row] = &[
    review("tokenreviews", "TokenReview", AUTHENTICATION),
    review("selfsubjectreviews", "SelfSubjectReview", AUTHENTICATION),
    review("subjectaccessreviews", "SubjectAccessReview", AUTHORIZATION),
    review("selfsubjectaccessreviews", "SelfSubjectAccessReview", AUTHORIZATION),
    review("selfsubjectrulesreviews", "SelfSubjectRulesReview", AUTHORIZATION),
    Row { scope: Scope::Namespaced, ..review("localsubjectaccessreviews", "LocalSubjectAccessReview", AUTHORIZATION) },
];

const fn review(plural: &'static str, kind: &'static str, (group, package): (&'static str, &'static str)) -> Row {
    Row { scope: Scope::Cluster, verbs: CREATE, ..row(group, plural, kind, package) }
}

/// All built-in resources that are stored, or are the view of one that is (`Strategy::alias`).
pub fn resources() -> Vec<ResourceDef> {
    RESOURCES.iter().map(define).collect()
}

/// The resources that are only created and answered at once: nothing of them is stored, listed or watched, and
/// they have no list kind.
pub fn reviews() -> Vec<ResourceDef> {
    REVIEWS
        .iter()
        .map(|row| {
            let mut def = define(row);
            def.names.list_kind.clear();
            def
        })
        .collect()
}

fn plain() -> Strategy {
    Strategy { default: drop_nulls, ..Strategy::default() }
}

fn define(row: &Row) -> ResourceDef {
    let schema = tree(&format!("{}.{}", row.package, row.kind));
    let version = VersionDef {
        name: "v1".to_owned(),
        served: true,
        deprecated: deprecation(row.plural),
        columns: columns::columns(row.columns, &schema),
        schema,
        status: row.status,
        scale: None,
        selectable: row.selectable.iter().map(|s| (*s).to_owned()).collect(),
        subresources: subresources(row.plural),
    };
    ResourceDef {
        group: row.group.to_owned(),
        names: Names {
            plural: row.plural.to_owned(),
            singular: row.kind.to_lowercase(),
            kind: row.kind.to_owned(),
            list_kind: format!("{}List", row.kind),
            short_names: row.short_names.iter().map(|s| (*s).to_owned()).collect(),
            categories: categories(row.plural),
        },
        scope: row.scope,
        versions: vec![version],
        storage: 0,
        verbs: row.verbs,
        strategy: (row.strategy)(),
        origin: Origin::BuiltIn,
    }
}

fn deprecation(plural: &str) -> Option<String> {
    let words = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice";
    (plural == "endpoints").then(|| words.to_owned())
}

fn categories(plural: &str) -> Vec<String> {
    match plural {
        "services" => vec!["all".to_owned()],
        "customresourcedefinitions" => vec!["api-extensions".to_owned()],
        _ => Vec::new(),
    }
}

fn subresources(plural: &str) -> Vec<Subresource> {
    let (name, kind, group, package, verbs): (_, _, _, _, &[&str]) = match plural {
        "namespaces" => ("finalize", "Namespace", "", CORE, &["update"]),
        "serviceaccounts" => ("token", "TokenRequest", AUTHENTICATION.0, AUTHENTICATION.1, CREATE),
        _ => return Vec::new(),
    };
    vec![Subresource {
        name: name.to_owned(),
        kind: kind.to_owned(),
        group: group.to_owned(),
        version: "v1".to_owned(),
        verbs,
        schema: tree(&format!("{package}.{kind}")),
    }]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn discovery() {
        let line = |def: &ResourceDef| {
            let names = &def.names;
            let scope = if def.scope == Scope::Cluster { "cluster" } else { "namespaced" };
            let mut line = format!("{} {} {} {scope}", def.key(), names.singular, names.kind);
            for extra in names.short_names.iter().chain(&names.categories) {
                line = format!("{line} {extra}");
            }
            let version = def.stored();
            if version.status {
                line += " /status";
            }
            for sub in &version.subresources {
                line = format!("{line} /{}={}", sub.name, sub.kind);
            }
            line
        };
        let lines: Vec<String> = resources().iter().chain(&reviews()).map(line).collect();
        let expected = [
            "namespaces namespace Namespace cluster ns /status /finalize=Namespace",
            "configmaps configmap ConfigMap namespaced cm",
            "secrets secret Secret namespaced",
            "services service Service namespaced svc all /status",
            "serviceaccounts serviceaccount ServiceAccount namespaced sa /token=TokenRequest",
            "events event Event namespaced ev",
            "endpoints endpoints Endpoints namespaced ep",
            "endpointslices.discovery.k8s.io endpointslice EndpointSlice namespaced",
            "events.events.k8s.io event Event namespaced ev",
            "leases.coordination.k8s.io lease Lease namespaced",
            "roles.rbac.authorization.k8s.io role Role namespaced",
            "rolebindings.rbac.authorization.k8s.io rolebinding RoleBinding namespaced",
            "clusterroles.rbac.authorization.k8s.io clusterrole ClusterRole cluster",
            "clusterrolebindings.rbac.authorization.k8s.io clusterrolebinding ClusterRoleBinding cluster",
            "customresourcedefinitions.apiextensions.k8s.io customresourcedefinition CustomResourceDefinition cluster \
             crd crds api-extensions /status",
            "tokenreviews.authentication.k8s.io tokenreview TokenReview cluster",
            "selfsubjectreviews.authentication.k8s.io selfsubjectreview SelfSubjectReview cluster",
            "subjectaccessreviews.authorization.k8s.io subjectaccessreview SubjectAccessReview cluster",
            "selfsubjectaccessreviews.authorization.k8s.io selfsubjectaccessreview SelfSubjectAccessReview cluster",
            "selfsubjectrulesreviews.authorization.k8s.io selfsubjectrulesreview SelfSubjectRulesReview cluster",
            "localsubjectaccessreviews.authorization.k8s.io localsubjectaccessreview LocalSubjectAccessReview \
             namespaced",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn every_row_is_whole() {
        let keys: HashSet<String> = resources().iter().map(ResourceDef::key).collect();
        for def in resources().iter().chain(&reviews()) {
            let (key, version) = (def.key(), def.stored());
            assert!(
                version.schema.reference.as_deref().is_some_and(|r| r.ends_with(&def.names.kind)),
                "{key}: no tree"
            );
            for field in &version.selectable {
                let known = field.split('.').try_fold(&version.schema, |node, step| node.properties.get(step));
                assert!(known.is_some(), "{key} has no field {field}");
            }
            for column in &version.columns {
                assert!(!column.description.is_empty(), "{key}: column {} says nothing", column.name);
            }
            for sub in &version.subresources {
                assert!(sub.schema.reference.as_deref().is_some_and(|r| r.ends_with(&sub.kind)), "{key}/{}", sub.name);
            }
            if let Some(alias) = def.strategy.alias {
                assert!(keys.contains(alias.resource), "{key} shows {}, which is not there", alias.resource);
            }
        }
    }
}
