//! A kind, and the CustomResourceDefinition that it makes.

use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use kube::core::Resource;
use kube::core::object::HasSpec;
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use crate::schema;

/// All that a CustomResourceDefinition says of a kind.
#[derive(Clone, Debug)]
pub struct Kind {
    /// Group, kind, plural and scope, as the type has them.
    pub names: Names,
    /// Short names for kubectl.
    pub short_names: &'static [&'static str],
    /// Groups of kinds that kubectl lists together.
    pub categories: &'static [&'static str],
    /// Labels of the definition.
    pub labels: &'static [(&'static str, &'static str)],
    /// Annotations of the definition.
    pub annotations: &'static [(&'static str, &'static str)],
    /// What the kind is for, as `kubectl explain` says it.
    pub about: &'static str,
    /// The version that objects are stored in.
    pub stored: Version,
    /// The other versions; objects are read and written in them without conversion.
    pub others: Vec<Version>,
}

/// The names of a kind, which its type has from `#[kube(...)]`, so that the two cannot differ.
#[derive(Clone, Debug)]
pub struct Names {
    group: String,
    kind: String,
    plural: String,
    scope: &'static str,
}

/// One version of a kind.
#[derive(Clone, Debug)]
pub struct Version {
    /// The version's name: `v1`, `v1beta1`.
    pub name: String,
    /// Whether clients may use it; one that they may not use is there for what was once stored in it.
    pub served: bool,
    /// What clients are warned of who use it.
    pub deprecated: Option<String>,
    /// The columns of `kubectl get`.
    pub columns: Vec<Column>,
    /// The schema of `spec`.
    pub spec: Value,
    /// The schema of `status`, which is then a subresource; none where the kind has no status.
    pub status: Option<Value>,
}

/// A column of `kubectl get`.
#[derive(Clone, Debug)]
pub struct Column {
    name: &'static str,
    type_: &'static str,
    path: String,
    wide: bool,
}

/// The scopes that a definition can have.
trait Scope {
    const NAME: &'static str;
}

impl Scope for ClusterResourceScope {
    const NAME: &'static str = "Cluster";
}

impl Scope for NamespaceResourceScope {
    const NAME: &'static str = "Namespaced";
}

impl Kind {
    /// The kind of the type `K`, without short names, categories, labels, annotations and other versions.
    #[expect(private_bounds, reason = "a type has one of the two scopes of Kubernetes, and nobody adds a third")]
    pub fn of<K>(about: &'static str, stored: Version) -> Self
    where
        K: Resource<DynamicType = (), Scope: Scope>,
    {
        let names = Names {
            group: K::group(&()).into_owned(),
            kind: K::kind(&()).into_owned(),
            plural: K::plural(&()).into_owned(),
            scope: K::Scope::NAME,
        };
        Kind {
            names,
            short_names: &[],
            categories: &[],
            labels: &[],
            annotations: &[],
            about,
            stored,
            others: Vec::new(),
        }
    }

    /// The CustomResourceDefinition (apiextensions.k8s.io/v1), its versions from the newest to the oldest.
    pub fn definition(&self) -> Value {
        let Names { group, kind, plural, scope } = &self.names;
        let mut names = json!({
            "kind": kind,
            "listKind": format!("{kind}List"),
            "plural": plural,
            "singular": kind.to_lowercase(),
        });
        let mut metadata = json!({ "name": format!("{plural}.{group}") });
        for (field, list) in [("categories", self.categories), ("shortNames", self.short_names)] {
            if !list.is_empty() {
                names[field] = json!(list);
            }
        }
        for (field, pairs) in [("labels", self.labels), ("annotations", self.annotations)] {
            if !pairs.is_empty() {
                metadata[field] =
                    pairs.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect::<Map<_, _>>().into();
            }
        }
        let mut versions: Vec<(&Version, bool)> = self.others.iter().map(|version| (version, false)).collect();
        versions.push((&self.stored, true));
        versions
            .sort_by_cached_key(|(version, _)| std::cmp::Reverse(kube::core::Version::parse(&version.name).priority()));
        let versions: Vec<Value> =
            versions.into_iter().map(|(version, stored)| version.definition(self.about, stored)).collect();
        json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": metadata,
            "spec": { "group": group, "names": names, "scope": scope, "versions": versions },
        })
    }
}

impl Version {
    /// The version of the type `K`, served; `status` is the schema of its status where it has one.
    pub fn of<K>(status: Option<Value>, columns: Vec<Column>) -> Self
    where
        K: Resource<DynamicType = ()> + HasSpec<Spec: JsonSchema>,
    {
        let name = K::version(&()).into_owned();
        Version { name, served: true, deprecated: None, columns, spec: schema::of::<K::Spec>(), status }
    }

    fn definition(&self, about: &str, stored: bool) -> Value {
        let mut properties = json!({
            "apiVersion": { "type": "string", "description": "The API group and version that the object is written in." },
            "kind": { "type": "string", "description": "The object's kind." },
            "metadata": { "type": "object" },
            "spec": self.spec,
        });
        let mut subresources = json!({});
        if let Some(status) = &self.status {
            properties["status"] = status.clone();
            subresources["status"] = json!({});
        }
        let schema = json!({ "type": "object", "description": about, "properties": properties, "required": ["spec"] });
        let mut version = json!({
            "name": self.name,
            "served": self.served,
            "storage": stored,
            "subresources": subresources,
            "schema": { "openAPIV3Schema": schema },
        });
        if !self.columns.is_empty() {
            version["additionalPrinterColumns"] = self.columns.iter().map(Column::definition).collect();
        }
        if let Some(warning) = &self.deprecated {
            version["deprecated"] = json!(true);
            version["deprecationWarning"] = json!(warning);
        }
        version
    }
}

impl Column {
    /// What stands at `path`, as text.
    pub fn text(name: &'static str, path: &str) -> Self {
        Column { name, type_: "string", path: path.to_owned(), wide: false }
    }

    /// The status of the condition of type `name`.
    pub fn condition(name: &'static str) -> Self {
        Column::text(name, &format!(".status.conditions[?(@.type==\"{name}\")].status"))
    }

    /// How old the object is.
    pub fn age() -> Self {
        Column { name: "Age", type_: "date", path: ".metadata.creationTimestamp".to_owned(), wide: false }
    }

    /// Only shown with `-o wide`.
    pub fn wide(self) -> Self {
        Column { wide: true, ..self }
    }

    fn definition(&self) -> Value {
        let mut column = json!({ "name": self.name, "type": self.type_, "jsonPath": self.path });
        if self.wide {
            column["priority"] = json!(1);
        }
        column
    }
}

#[cfg(test)]
mod tests {
    use kube::CustomResource;
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(CustomResource, Clone, Debug, Serialize, Deserialize, JsonSchema)]
    #[kube(group = "example.com", version = "v1", kind = "Policy", namespaced, schema = "disabled")]
    struct PolicySpec {
        /// How often.
        #[schemars(with = "crate::bounds::Percent")]
        share: i32,
    }

    #[derive(CustomResource, Clone, Debug, Serialize, Deserialize, JsonSchema)]
    #[kube(group = "example.com", version = "v1beta1", kind = "Pool", schema = "disabled")]
    struct PoolSpec {}

    #[test]
    fn a_definition_has_all_that_its_kind_says() {
        let status = schema::of::<bool>();
        let columns = vec![Column::condition("Ready"), Column::age(), Column::text("Share", ".spec.share").wide()];
        let v1 = Version::of::<Policy>(Some(status), columns);
        let old = Version { served: false, deprecated: Some("use v1".to_owned()), columns: vec![], ..v1.clone() };
        let kind = Kind {
            short_names: &["pol"],
            categories: &["all"],
            labels: &[("a", "b")],
            annotations: &[("c", "d")],
            others: ["v1alpha2", "v2beta1", "v1alpha10"]
                .map(|name| Version { name: name.to_owned(), ..old.clone() })
                .into(),
            ..Kind::of::<Policy>("Policy says how often.", v1)
        };
        let mut definition = kind.definition();
        let versions = definition["spec"]["versions"].take();
        let expected = json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": { "name": "policies.example.com", "labels": { "a": "b" }, "annotations": { "c": "d" } },
            "spec": {
                "group": "example.com",
                "names": {
                    "kind": "Policy", "listKind": "PolicyList", "plural": "policies", "singular": "policy",
                    "categories": ["all"], "shortNames": ["pol"],
                },
                "scope": "Namespaced",
                "versions": null,
            },
        });
        assert_eq!(definition, expected);
        let names: Vec<&str> = (0..4).filter_map(|i| versions[i]["name"].as_str()).collect();
        assert_eq!(names, ["v1", "v2beta1", "v1alpha10", "v1alpha2"]);
        let share =
            json!({ "type": "integer", "format": "int32", "minimum": 0, "maximum": 100, "description": "How often." });
        let mut v1 = versions[0].clone();
        assert_eq!(v1["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["share"], share);
        assert_eq!(v1["schema"]["openAPIV3Schema"]["properties"]["status"], json!({ "type": "boolean" }));
        v1["schema"].take();
        let expected = json!({
            "name": "v1", "served": true, "storage": true, "subresources": { "status": {} }, "schema": null,
            "additionalPrinterColumns": [
                { "name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status" },
                { "name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp" },
                { "name": "Share", "type": "string", "jsonPath": ".spec.share", "priority": 1 },
            ],
        });
        assert_eq!(v1, expected);
        let mut old = versions[1].clone();
        old["schema"].take();
        let expected = json!({
            "name": "v2beta1", "served": false, "storage": false, "subresources": { "status": {} }, "schema": null,
            "deprecated": true, "deprecationWarning": "use v1",
        });
        assert_eq!(old, expected);
    }

    #[test]
    fn what_a_kind_does_not_have_is_left_out() {
        let definition = Kind::of::<Pool>("Pool is empty.", Version::of::<Pool>(None, vec![])).definition();
        assert_eq!(definition["spec"]["scope"], "Cluster");
        assert_eq!(definition["spec"]["versions"][0]["name"], "v1beta1");
        assert_eq!(definition["spec"]["versions"][0]["subresources"], json!({}));
        for absent in ["/metadata/labels", "/metadata/annotations", "/spec/names/shortNames", "/spec/names/categories"]
        {
            assert_eq!(definition.pointer(absent), None, "{absent}");
        }
        let properties = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
        assert_eq!(properties.get("status"), None);
    }
}
