//! Roles and bindings as they come from the API, and what one rule allows.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Attributes, Name, Target};

/// The kinds of objects that RBAC follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Rules in a namespace.
    Role,
    /// Rules everywhere, or in the namespace of the RoleBinding that refers to them.
    ClusterRole,
    /// Grants in a namespace.
    RoleBinding,
    /// Grants everywhere.
    ClusterRoleBinding,
}

impl Kind {
    fn is_namespaced(self) -> bool {
        matches!(self, Kind::Role | Kind::RoleBinding)
    }
}

/// Why an object cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the {kind:?} {name:?} cannot be used: {what}")]
pub struct RbacError {
    kind: Kind,
    name: String,
    what: String,
}

/// One rule of a role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRule {
    /// What may be done; `*` is everything.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub verbs: Vec<String>,
    /// With resources of these groups; `*` is any.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "Vec::is_empty")]
    pub api_groups: Vec<String>,
    /// `pods`, `pods/log`, `*/scale`, `*`.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// With objects of these names; any when empty.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    /// With these paths; a `*` at the end stands for any ending.
    #[serde(
        default,
        rename = "nonResourceURLs",
        deserialize_with = "null_as_empty",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub non_resource_urls: Vec<String>,
}

impl PolicyRule {
    /// What the members of `system:masters` may do.
    pub(super) fn everything() -> [PolicyRule; 2] {
        let all = || vec!["*".to_owned()];
        [
            PolicyRule { verbs: all(), api_groups: all(), resources: all(), ..Default::default() },
            PolicyRule { verbs: all(), non_resource_urls: all(), ..Default::default() },
        ]
    }

    pub(super) fn allows(&self, attributes: &Attributes<'_>) -> bool {
        has(&self.verbs, attributes.verb)
            && match attributes.target {
                Target::Path(path) => self.non_resource_urls.iter().any(|url| url_matches(url, path)),
                Target::Resource { group, resource, subresource, name, .. } => {
                    has(&self.api_groups, group)
                        && self.resources.iter().any(|own| resource_matches(own, resource, subresource))
                        && (self.resource_names.is_empty() || self.resource_names.iter().any(|own| own == name))
                }
            }
    }
}

/// As Kubernetes writes a rule in messages.
impl fmt::Display for PolicyRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.non_resource_urls),
            ("ResourceNames", &self.resource_names),
            ("Verbs", &self.verbs),
        ];
        let filled = fields.iter().filter(|(_, values)| !values.is_empty());
        let texts: Vec<String> = filled.map(|(name, values)| format!("{name}:{}", quoted(values))).collect();
        write!(f, "{{{}}}", texts.join(", "))
    }
}

/// `["a" "b"]`
pub(super) fn quoted(values: &[impl fmt::Debug]) -> String {
    let values: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
    format!("[{}]", values.join(" "))
}

/// Whether a list names `wanted` or everything.
pub(super) fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|own| own == "*" || own == wanted)
}

/// Whether `own` of a rule stands for `resource`, or for `subresource` of it.
pub(super) fn resource_matches(own: &str, resource: &str, subresource: &str) -> bool {
    match own.split_once('/') {
        _ if own == "*" => true,
        None => own == resource && subresource.is_empty(),
        Some((of, part)) => !subresource.is_empty() && part == subresource && (of == "*" || of == resource),
    }
}

pub(super) fn url_matches(own: &str, path: &str) -> bool {
    own == path || own.ends_with('*') && path.starts_with(own.trim_end_matches('*'))
}

/// A binding that has been taken in.
#[derive(Debug)]
pub(super) struct Binding {
    /// Empty for a ClusterRoleBinding.
    pub(super) namespace: Name,
    pub(super) name: Name,
    pub(super) role: RoleRef,
    pub(super) subjects: Vec<Subject>,
}

/// The place of a role; a ClusterRole has no namespace.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RoleRef {
    pub(super) namespace: Name,
    pub(super) name: Name,
}

/// Whom a binding names; a service account is the user of its name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Subject {
    User(Name),
    Group(Name),
}

#[derive(Deserialize)]
struct RawRole {
    #[serde(default, deserialize_with = "null_as_empty")]
    rules: Vec<PolicyRule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawBinding {
    role_ref: Value,
    #[serde(default, deserialize_with = "null_as_empty")]
    subjects: Vec<RawSubject>,
}

#[derive(Deserialize)]
struct RawSubject {
    kind: String,
    name: String,
    #[serde(default)]
    namespace: Option<String>,
}

/// Kubernetes writes an empty list as `null` as well.
fn null_as_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Where an object stands: its namespace, empty where its kind has none, and its name.
pub(super) fn place(kind: Kind, object: &Value) -> Result<(Name, Name), RbacError> {
    let field = |name: &str| object.get("metadata")?.get(name)?.as_str().filter(|text| !text.is_empty());
    let missing = |name: &str, what: &str| RbacError { kind, name: name.to_owned(), what: what.to_owned() };
    let name = field("name").ok_or_else(|| missing("", "it has no metadata.name"))?;
    let namespace = match kind.is_namespaced() {
        true => field("namespace").ok_or_else(|| missing(name, "it has no metadata.namespace"))?,
        false => "",
    };
    Ok((namespace.into(), name.into()))
}

pub(super) fn rules(kind: Kind, name: &str, object: &Value) -> Result<Arc<[PolicyRule]>, RbacError> {
    let role = RawRole::deserialize(object);
    let role = role.map_err(|e| RbacError { kind, name: name.to_owned(), what: e.to_string() })?;
    Ok(role.rules.into())
}

pub(super) fn binding(kind: Kind, namespace: &Name, name: &Name, object: &Value) -> Result<Binding, RbacError> {
    let error = |what: String| RbacError { kind, name: name.to_string(), what };
    let raw = RawBinding::deserialize(object).map_err(|e| error(e.to_string()))?;
    let role = role_ref(namespace, &raw.role_ref).ok_or_else(|| error("its roleRef names no role".to_owned()))?;
    let subjects = raw.subjects.into_iter().filter_map(|raw| subject(raw, namespace)).collect();
    Ok(Binding { namespace: namespace.clone(), name: name.clone(), role, subjects })
}

/// The role that a `roleRef` in `namespace` means. A ClusterRoleBinding cannot refer to a Role.
pub(super) fn role_ref(namespace: &str, reference: &Value) -> Option<RoleRef> {
    let name = reference.get("name")?.as_str()?;
    let namespace = match reference.get("kind")?.as_str()? {
        "ClusterRole" => "",
        "Role" if !namespace.is_empty() => namespace,
        _ => return None,
    };
    Some(RoleRef { namespace: namespace.into(), name: name.into() })
}

/// Subjects of unknown kinds, and service accounts without a namespace, are nobody.
fn subject(raw: RawSubject, binding_namespace: &str) -> Option<Subject> {
    match raw.kind.as_str() {
        "User" => Some(Subject::User(raw.name.into())),
        "Group" => Some(Subject::Group(raw.name.into())),
        "ServiceAccount" => {
            let namespace = raw.namespace.filter(|own| !own.is_empty());
            let namespace = namespace.as_deref().unwrap_or(binding_namespace);
            let user = || format!("system:serviceaccount:{namespace}:{}", raw.name);
            (!namespace.is_empty()).then(|| Subject::User(user().into()))
        }
        _ => None,
    }
}
