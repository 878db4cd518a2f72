//! Which groups, versions and resources are served, in the order in which they are published.

use std::cmp::Reverse;
use std::sync::Arc;

use purlin_apiserver_schema::{Origin, ResourceDef, Scope, VersionDef, compare_versions};

/// A group with its served versions, the preferred one first.
pub(crate) struct Group<'a> {
    pub(crate) name: &'a str,
    pub(crate) versions: Vec<GroupVersion<'a>>,
}

/// The resources that are served in one version of a group, by name.
pub(crate) struct GroupVersion<'a> {
    pub(crate) group: &'a str,
    pub(crate) version: &'a str,
    pub(crate) resources: Vec<(&'a ResourceDef, &'a VersionDef)>,
}

impl GroupVersion<'_> {
    /// `group/version`, or `version` in the core group.
    pub(crate) fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// `api/v1`, `apis/apps/v1`: the path without its leading slash.
    pub(crate) fn path(&self) -> String {
        format!("{}/{}", if self.group.is_empty() { "api" } else { "apis" }, self.api_version())
    }
}

/// All groups: the built-in ones in the order of kube-apiserver's priorities, then those of custom resources by name.
pub(crate) fn groups(defs: &[Arc<ResourceDef>]) -> Vec<Group<'_>> {
    let mut names: Vec<&str> = defs.iter().map(|def| def.group.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let mut groups: Vec<_> = names.into_iter().filter_map(|name| group(defs, name)).collect();
    groups.sort_by_key(|group| Reverse(priority(group)));
    groups
}

/// The group of this name, where any version of it is served.
pub(crate) fn group<'a>(defs: &'a [Arc<ResourceDef>], name: &str) -> Option<Group<'a>> {
    let mut resources: Vec<(&ResourceDef, &VersionDef)> = defs
        .iter()
        .filter(|def| def.group == name)
        .flat_map(|def| def.versions.iter().filter(|version| version.served).map(|version| (&**def, version)))
        .collect();
    resources.sort_by(|(a, _), (b, _)| a.names.plural.cmp(&b.names.plural));
    let mut versions: Vec<GroupVersion<'a>> = Vec::new();
    for (def, version) in resources {
        match versions.iter_mut().find(|known| known.version == version.name) {
            Some(known) => known.resources.push((def, version)),
            None => {
                let resources = vec![(def, version)];
                versions.push(GroupVersion { group: &def.group, version: &version.name, resources });
            }
        }
    }
    versions.sort_by(|a, b| compare_versions(a.version, b.version));
    Some(Group { name: versions.first()?.group, versions })
}

/// One version of a group.
pub(crate) fn group_version<'a>(defs: &'a [Arc<ResourceDef>], group: &str, version: &str) -> Option<GroupVersion<'a>> {
    self::group(defs, group)?.versions.into_iter().find(|known| known.version == version)
}

/// `groupPriorityMinimum` as kube-apiserver registers it; groups of equal priority stay in the order of their names.
fn priority(group: &Group<'_>) -> u32 {
    let built_in = |(def, _): &(&ResourceDef, &VersionDef)| def.origin == Origin::BuiltIn;
    if !group.versions.iter().flat_map(|version| &version.resources).any(built_in) {
        return 1000;
    }
    match group.name {
        "" => 18_000,
        "apiregistration.k8s.io" => 17_900,
        "apps" => 17_800,
        "events.k8s.io" => 17_750,
        "authentication.k8s.io" => 17_700,
        "authorization.k8s.io" => 17_600,
        "autoscaling" => 17_500,
        "batch" => 17_400,
        "certificates.k8s.io" => 17_300,
        "networking.k8s.io" => 17_200,
        "policy" => 17_100,
        "rbac.authorization.k8s.io" => 17_000,
        "storage.k8s.io" => 16_800,
        "apiextensions.k8s.io" | "admissionregistration.k8s.io" => 16_700,
        "scheduling.k8s.io" => 16_600,
        "coordination.k8s.io" => 16_500,
        "node.k8s.io" => 16_300,
        "discovery.k8s.io" => 16_200,
        _ => 1000,
    }
}

/// A subresource of a resource.
pub(crate) struct Subresource {
    pub(crate) name: &'static str,
    /// The group, version and kind of its objects; none for those of the resource itself.
    pub(crate) gvk: Option<(&'static str, &'static str, &'static str)>,
    pub(crate) verbs: &'static [&'static str],
}

/// The subresources that every kind can have.
const STATUS: Subresource = Subresource { name: "status", gvk: None, verbs: &["get", "patch", "update"] };
const SCALE: Subresource =
    Subresource { name: "scale", gvk: Some(("autoscaling", "v1", "Scale")), verbs: &["get", "patch", "update"] };

/// The subresources that a single built-in resource has: (key of the definition, subresource).
const OTHERS: &[(&str, Subresource)] = &[
    ("namespaces", Subresource { name: "finalize", gvk: None, verbs: &["update"] }),
    (
        "serviceaccounts",
        Subresource { name: "token", gvk: Some(("authentication.k8s.io", "v1", "TokenRequest")), verbs: &["create"] },
    ),
];

/// The subresources of a resource, by name.
pub(crate) fn subresources(def: &ResourceDef, version: &VersionDef) -> Vec<&'static Subresource> {
    let key = def.key();
    let own = OTHERS.iter().filter(|(owner, _)| *owner == key && def.origin == Origin::BuiltIn);
    let mut all: Vec<_> = own.map(|(_, subresource)| subresource).collect();
    all.extend(version.scale.as_ref().map(|_| &SCALE));
    all.extend(version.status.then_some(&STATUS));
    all.sort_by_key(|subresource| subresource.name);
    all
}

pub(crate) fn namespaced(def: &ResourceDef) -> bool {
    def.scope == Scope::Namespaced
}
