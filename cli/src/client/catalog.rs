//! Which kinds the server has, by aggregated discovery (two requests, apidiscovery.k8s.io/v2).

use kube::core::discovery::v2::{APIGroupDiscovery, APIGroupDiscoveryList};
use serde::de::DeserializeOwned;

use crate::client::connect::Connection;
use crate::client::request::{Ask, segment};
use crate::failure::Failure;

/// A resource of one version of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resource {
    /// The group; empty for the core.
    pub group: String,
    /// The version.
    pub version: String,
    /// The name in paths.
    pub plural: String,
    /// The name of one.
    pub singular: String,
    /// The kind.
    pub kind: String,
    /// What people type.
    pub short_names: Vec<String>,
    /// Whether its objects stand in namespaces.
    pub namespaced: bool,
}

impl Resource {
    /// The path of an object, or of all: in the namespace, or in all of them where none is given.
    pub(crate) fn path(&self, namespace: Option<&str>, name: Option<&str>) -> String {
        let mut path = match self.group.as_str() {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        };
        if let (true, Some(namespace)) = (self.namespaced, namespace) {
            path.push_str("/namespaces/");
            path.push_str(&segment(namespace));
        }
        path.push('/');
        path.push_str(&self.plural);
        if let Some(name) = name {
            path.push('/');
            path.push_str(&segment(name));
        }
        path
    }

    /// `apiVersion` of its objects.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// An object as kubectl calls it: `httproute.gateway.networking.k8s.io/web`.
    pub(crate) fn label(&self, name: &str) -> String {
        let kind = self.kind.to_lowercase();
        if self.group.is_empty() { format!("{kind}/{name}") } else { format!("{kind}.{}/{name}", self.group) }
    }
}

/// All resources of a server, the preferred versions of a group first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalog(Vec<Resource>);

impl Catalog {
    /// Asks the server.
    pub(crate) async fn fetch(connection: &Connection) -> Result<Catalog, Failure> {
        let (core, groups) = tokio::try_join!(discover(connection, "/api"), discover(connection, "/apis"))?;
        Ok(Catalog(core.items.iter().chain(&groups.items).flat_map(resources).collect()))
    }

    /// The resource of a manifest's `apiVersion` and `kind`.
    pub(crate) fn of_kind(&self, api_version: &str, kind: &str) -> Option<&Resource> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        self.0.iter().find(|r| r.group == group && r.version == version && r.kind == kind)
    }

    /// The resource that a person calls `name`: plural, singular, short name or kind, and where several groups have
    /// it, with the group after a dot (`deployments.apps`).
    pub(crate) fn called(&self, name: &str) -> Result<&Resource, Failure> {
        let name = name.to_lowercase();
        let (bare, group) = match name.split_once('.') {
            Some((bare, group)) => (bare, Some(group)),
            None => (name.as_str(), None),
        };
        let is_called = |r: &&Resource| {
            let fits = r.plural == bare || r.singular == bare || r.kind.to_lowercase() == bare;
            (fits || r.short_names.iter().any(|short| short == bare)) && group.is_none_or(|group| r.group == group)
        };
        // A full name wins over another resource's short one.
        let exact = self.0.iter().filter(is_called).find(|r| r.plural == bare || r.singular == bare);
        exact.or_else(|| self.0.iter().find(is_called)).ok_or_else(|| {
            Failure::from(anyhow::anyhow!("the server has no kind {name:?}"))
                .hint("`kubectl api-resources` lists what it has; a kind of another group is written kind.group")
        })
    }
}

async fn discover(connection: &Connection, path: &str) -> Result<APIGroupDiscoveryList, Failure> {
    let accept = kube::core::discovery::v2::ACCEPT_AGGREGATED_DISCOVERY_V2;
    let answer = connection.ask(Ask { accept, ..Ask::get(path.to_owned()) }).await?;
    parse(answer.body).map_err(|e| e.context(format!("cannot read which kinds {} has", connection.url)))
}

fn parse<T: DeserializeOwned>(body: serde_json::Value) -> Result<T, Failure> {
    Ok(serde_json::from_value(body)?)
}

fn resources(group: &APIGroupDiscovery) -> Vec<Resource> {
    let name = group.metadata.as_ref().and_then(|meta| meta.name.clone()).unwrap_or_default();
    let mut found = Vec::new();
    for version in &group.versions {
        for resource in &version.resources {
            let kind = resource.response_kind.as_ref().and_then(|kind| kind.kind.clone());
            found.push(Resource {
                group: name.clone(),
                version: version.version.clone().unwrap_or_default(),
                plural: resource.resource.clone().unwrap_or_default(),
                singular: resource.singular_resource.clone().unwrap_or_default(),
                kind: kind.unwrap_or_default(),
                short_names: resource.short_names.clone(),
                namespaced: resource.scope.as_deref() == Some("Namespaced"),
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::fake;

    #[tokio::test]
    async fn kinds_are_found_by_what_people_call_them() {
        let catalog = Catalog::fetch(&fake::Server::new().connection()).await.unwrap();
        let check = |name: &str, expected: Option<&str>| {
            let found = catalog.called(name).ok().map(|r| r.path(Some("n"), Some("x")));
            assert_eq!(found.as_deref(), expected, "{name}");
        };
        for name in ["cm", "configmap", "configmaps", "ConfigMap"] {
            check(name, Some("/api/v1/namespaces/n/configmaps/x"));
        }
        for name in ["httproutes", "HTTPRoute", "httproute.gateway.networking.k8s.io"] {
            check(name, Some("/apis/gateway.networking.k8s.io/v1/namespaces/n/httproutes/x"));
        }
        check("ns", Some("/api/v1/namespaces/x"));
        check("httproute.other.group", None);
        check("pizza", None);
        let route = catalog.of_kind("gateway.networking.k8s.io/v1", "HTTPRoute").unwrap();
        assert_eq!(route.label("web"), "httproute.gateway.networking.k8s.io/web");
        assert_eq!(route.api_version(), "gateway.networking.k8s.io/v1");
        assert_eq!(catalog.of_kind("v1", "ConfigMap").unwrap().label("web"), "configmap/web");
        assert_eq!(catalog.of_kind("v1", "HTTPRoute"), None);
    }
}
