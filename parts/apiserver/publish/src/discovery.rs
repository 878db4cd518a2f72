//! Discovery: which groups, versions, resources and verbs there are.
//!
//! Clients ask for the aggregated form (`apidiscovery.k8s.io`, all resources in two answers), and fall back to the
//! older one (`/api`, `/apis`, one list of resources a group version).

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use purlin_apiserver_schema::{ResourceDef, VersionDef};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::groups::{Group, GroupVersion, group, group_version, groups, namespaced, subresources};

/// The versions of the aggregated form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the API")]
pub enum DiscoveryVersion {
    V2,
    V2Beta1,
}

/// The two roots below which groups are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// `/api`: the core group.
    Api,
    /// `/apis`: all named groups.
    Apis,
}

/// `/api`: APIVersions. `server_address` is `host:port` as clients reach this server.
pub fn api_versions(defs: &[Arc<ResourceDef>], server_address: &str) -> Value {
    let versions: Vec<_> = group(defs, "").into_iter().flat_map(|core| core.versions).map(|v| v.version).collect();
    json!({
        "kind": "APIVersions",
        "versions": versions,
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
    })
}

/// `/apis`: APIGroupList.
pub fn api_groups(defs: &[Arc<ResourceDef>]) -> Value {
    let groups = groups(defs);
    let groups: Vec<_> = groups.iter().filter(|group| !group.name.is_empty()).map(group_summary).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/GROUP`: APIGroup; none where the group is not served.
pub fn api_group(defs: &[Arc<ResourceDef>], name: &str) -> Option<Value> {
    let mut out = Map::new();
    out.insert("kind".to_owned(), Value::from("APIGroup"));
    out.insert("apiVersion".to_owned(), Value::from("v1"));
    out.append(&mut group_summary(&group(defs, name).filter(|group| !group.name.is_empty())?));
    Some(Value::Object(out))
}

fn group_summary(group: &Group<'_>) -> Map<String, Value> {
    let version = |v: &GroupVersion<'_>| json!({"groupVersion": v.api_version(), "version": v.version});
    let mut out = Map::new();
    out.insert("name".to_owned(), Value::from(group.name));
    out.insert("versions".to_owned(), group.versions.iter().map(version).collect());
    out.insert("preferredVersion".to_owned(), group.versions.first().map_or(Value::Null, version));
    out
}

/// `/api/VERSION` (with the group empty) and `/apis/GROUP/VERSION`: APIResourceList; none where it is not served.
pub fn api_resources(defs: &[Arc<ResourceDef>], group: &str, version: &str) -> Option<Value> {
    let known = group_version(defs, group, version)?;
    let mut out = Map::new();
    out.insert("kind".to_owned(), Value::from("APIResourceList"));
    if !group.is_empty() {
        out.insert("apiVersion".to_owned(), Value::from("v1"));
    }
    out.insert("groupVersion".to_owned(), Value::from(known.api_version()));
    let resources = known.resources.iter().flat_map(|(def, version)| resource_and_subresources(def, version));
    out.insert("resources".to_owned(), resources.collect());
    Some(Value::Object(out))
}

fn resource_and_subresources(def: &ResourceDef, version: &VersionDef) -> Vec<Value> {
    let mut resource = json!({
        "name": def.names.plural,
        "singularName": def.names.singular,
        "namespaced": namespaced(def),
        "kind": def.names.kind,
        "verbs": def.verbs,
    });
    names(&mut resource, def);
    // What is not stored (reviews) has no storage version.
    if def.verbs.contains(&"get") {
        resource["storageVersionHash"] = Value::from(storage_version_hash(def));
    }
    let subresources = subresources(def, version).into_iter().map(|subresource| {
        let mut out = Map::new();
        out.insert("name".to_owned(), Value::from(format!("{}/{}", def.names.plural, subresource.name)));
        out.insert("singularName".to_owned(), Value::from(""));
        out.insert("namespaced".to_owned(), Value::from(namespaced(def)));
        if let Some((group, version, _)) = subresource.gvk {
            out.insert("group".to_owned(), Value::from(group));
            out.insert("version".to_owned(), Value::from(version));
        }
        out.insert("kind".to_owned(), Value::from(subresource.gvk.map_or(&*def.names.kind, |(_, _, kind)| kind)));
        out.insert("verbs".to_owned(), json!(subresource.verbs));
        Value::Object(out)
    });
    std::iter::once(resource).chain(subresources).collect()
}

/// `shortNames` and `categories`, where there are any.
fn names(resource: &mut Value, def: &ResourceDef) {
    for (field, names) in [("shortNames", &def.names.short_names), ("categories", &def.names.categories)] {
        if !names.is_empty() {
            resource[field] = json!(names);
        }
    }
}

/// Eight bytes of the SHA-256 of `group/version/kind` of the stored version, as kube-apiserver computes it.
fn storage_version_hash(def: &ResourceDef) -> String {
    let digest = Sha256::digest(format!("{}/{}/{}", def.group, def.stored().name, def.names.kind));
    STANDARD.encode(digest.get(..8).unwrap_or_default())
}

/// The aggregated form of `/api` or `/apis`: APIGroupDiscoveryList.
pub fn aggregated(defs: &[Arc<ResourceDef>], root: Root, version: DiscoveryVersion) -> Value {
    let groups = groups(defs);
    let items = groups.iter().filter(|group| group.name.is_empty() == (root == Root::Api)).map(group_discovery);
    let version = match version {
        DiscoveryVersion::V2 => "apidiscovery.k8s.io/v2",
        DiscoveryVersion::V2Beta1 => "apidiscovery.k8s.io/v2beta1",
    };
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": version,
        "metadata": {},
        "items": items.collect::<Vec<_>>(),
    })
}

fn group_discovery(group: &Group<'_>) -> Value {
    let mut metadata = Map::new();
    if !group.name.is_empty() {
        metadata.insert("name".to_owned(), Value::from(group.name));
    }
    let versions: Vec<_> = group.versions.iter().map(version_discovery).collect();
    json!({"metadata": metadata, "versions": versions})
}

fn version_discovery(version: &GroupVersion<'_>) -> Value {
    let resources: Vec<_> = version.resources.iter().map(|(def, v)| resource_discovery(version, def, v)).collect();
    json!({"version": version.version, "resources": resources, "freshness": "Current"})
}

fn resource_discovery(known: &GroupVersion<'_>, def: &ResourceDef, version: &VersionDef) -> Value {
    let gvk = |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
    let own = gvk(known.group, known.version, &def.names.kind);
    let mut resource = json!({
        "resource": def.names.plural,
        "responseKind": own,
        "scope": if namespaced(def) { "Namespaced" } else { "Cluster" },
        "singularResource": def.names.singular,
        "verbs": def.verbs,
    });
    names(&mut resource, def);
    let subresources: Vec<_> = subresources(def, version)
        .into_iter()
        .map(|subresource| {
            let kind = subresource.gvk.map_or_else(|| own.clone(), |(group, version, kind)| gvk(group, version, kind));
            json!({"subresource": subresource.name, "responseKind": kind, "verbs": subresource.verbs})
        })
        .collect();
    if !subresources.is_empty() {
        resource["subresources"] = Value::Array(subresources);
    }
    resource
}

/// The value of an `ETag` for a document (without the quotes): it changes when the document does.
pub fn etag(document: &Value) -> String {
    hex(&Sha256::digest(document.to_string()))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{custom, deployments, pods, review, service_accounts};

    fn defs() -> Vec<Arc<ResourceDef>> {
        vec![
            custom("zoo.example.com", "animals", "Animal", &["v1beta1", "v1"]),
            custom("example.com", "widgets", "Widget", &["v1"]),
            review(),
            service_accounts(),
            deployments(),
            pods(),
        ]
    }

    #[test]
    fn roots() {
        let expected = json!({
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1:6443"}],
        });
        assert_eq!(api_versions(&defs(), "127.0.0.1:6443"), expected);
        let groups = api_groups(&defs());
        let names: Vec<_> = groups["groups"].as_array().expect("groups").iter().map(|g| g["name"].clone()).collect();
        assert_eq!(json!(names), json!(["apps", "authentication.k8s.io", "example.com", "zoo.example.com"]));
        let expected = json!({
            "kind": "APIGroup",
            "apiVersion": "v1",
            "name": "zoo.example.com",
            "versions": [
                {"groupVersion": "zoo.example.com/v1", "version": "v1"},
                {"groupVersion": "zoo.example.com/v1beta1", "version": "v1beta1"},
            ],
            "preferredVersion": {"groupVersion": "zoo.example.com/v1", "version": "v1"},
        });
        assert_eq!(api_group(&defs(), "zoo.example.com"), Some(expected));
        assert_eq!(api_group(&defs(), "none.example.com"), None);
        assert_eq!(api_group(&defs(), ""), None);
    }

    #[test]
    fn resources_of_the_core_group() {
        let verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
        let expected = json!({
            "kind": "APIResourceList",
            "groupVersion": "v1",
            "resources": [
                {
                    "name": "pods", "singularName": "pod", "namespaced": true, "kind": "Pod", "verbs": verbs,
                    "shortNames": ["po"], "categories": ["all"], "storageVersionHash": "xPOwRZ+Yhw8=",
                },
                {
                    "name": "pods/status", "singularName": "", "namespaced": true, "kind": "Pod",
                    "verbs": ["get", "patch", "update"],
                },
                {
                    "name": "serviceaccounts", "singularName": "serviceaccount", "namespaced": true,
                    "kind": "ServiceAccount", "verbs": verbs, "shortNames": ["sa"],
                    "storageVersionHash": "pbx9ZvyFpBE=",
                },
                {
                    "name": "serviceaccounts/token", "singularName": "", "namespaced": true,
                    "group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest", "verbs": ["create"],
                },
            ],
        });
        assert_eq!(api_resources(&defs(), "", "v1"), Some(expected));
    }

    #[test]
    fn resources_of_named_groups() {
        let apps = api_resources(&defs(), "apps", "v1").expect("served");
        assert_eq!(apps["apiVersion"], "v1");
        assert_eq!(apps["resources"][0]["storageVersionHash"], "8aSe+NMegvE=");
        let scale = json!({
            "name": "deployments/scale", "singularName": "", "namespaced": true,
            "group": "autoscaling", "version": "v1", "kind": "Scale", "verbs": ["get", "patch", "update"],
        });
        assert_eq!(apps["resources"][1], scale);
        let review = api_resources(&defs(), "authentication.k8s.io", "v1").expect("served");
        let expected = json!([{
            "name": "tokenreviews", "singularName": "tokenreview", "namespaced": false, "kind": "TokenReview",
            "verbs": ["create"],
        }]);
        assert_eq!(review["resources"], expected);
        assert_eq!(api_resources(&defs(), "apps", "v2"), None);
    }

    #[test]
    fn a_version_that_is_not_served_is_not_shown() {
        let mut def = ResourceDef::clone(&custom("example.com", "widgets", "Widget", &["v1", "v2"]));
        def.versions[1].served = false;
        let defs = [Arc::new(def)];
        assert_eq!(api_resources(&defs, "example.com", "v2"), None);
        assert!(api_resources(&defs, "example.com", "v1").is_some());
    }

    #[test]
    fn aggregated_form() {
        let defs = [deployments(), review()];
        let verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
        let deployment = json!({"group": "apps", "version": "v1", "kind": "Deployment"});
        let expected = json!({
            "kind": "APIGroupDiscoveryList",
            "apiVersion": "apidiscovery.k8s.io/v2",
            "metadata": {},
            "items": [
                {"metadata": {"name": "apps"}, "versions": [{
                    "version": "v1",
                    "resources": [{
                        "resource": "deployments", "responseKind": deployment, "scope": "Namespaced",
                        "singularResource": "deployment", "verbs": verbs,
                        "shortNames": ["deploy"], "categories": ["all"],
                        "subresources": [
                            {
                                "subresource": "scale",
                                "responseKind": {"group": "autoscaling", "version": "v1", "kind": "Scale"},
                                "verbs": ["get", "patch", "update"],
                            },
                            {"subresource": "status", "responseKind": deployment, "verbs": ["get", "patch", "update"]},
                        ],
                    }],
                    "freshness": "Current",
                }]},
                {"metadata": {"name": "authentication.k8s.io"}, "versions": [{
                    "version": "v1",
                    "resources": [{
                        "resource": "tokenreviews",
                        "responseKind": {"group": "authentication.k8s.io", "version": "v1", "kind": "TokenReview"},
                        "scope": "Cluster", "singularResource": "tokenreview", "verbs": ["create"],
                    }],
                    "freshness": "Current",
                }]},
            ],
        });
        assert_eq!(aggregated(&defs, Root::Apis, DiscoveryVersion::V2), expected);
        let core = aggregated(&[pods()], Root::Api, DiscoveryVersion::V2Beta1);
        assert_eq!(core["apiVersion"], "apidiscovery.k8s.io/v2beta1");
        assert_eq!(core["items"][0]["metadata"], json!({}));
        assert_eq!(core["items"].as_array().map(Vec::len), Some(1));
        assert_eq!(aggregated(&[pods()], Root::Apis, DiscoveryVersion::V2)["items"], json!([]));
    }

    #[test]
    fn the_etag_follows_the_document() {
        let one = aggregated(&defs(), Root::Apis, DiscoveryVersion::V2);
        let other = aggregated(&defs()[1..], Root::Apis, DiscoveryVersion::V2);
        assert_eq!(etag(&one), etag(&one.clone()));
        assert_ne!(etag(&one), etag(&other));
    }
}
