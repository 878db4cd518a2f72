//! Role-based access control (rbac.authorization.k8s.io/v1) over an index that follows the objects.
//!
//! Roles and bindings come in by [`Rules::upsert`] and leave by [`Rules::remove`]; bindings are indexed by the user or
//! group that they name, so that [`Rules::authorize`] looks at those of the principal only. Roles are looked up when
//! they are asked for: a binding may be there before its role. Rules only allow; what none allows is denied.

mod cover;
mod object;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::caller::Principal;
use object::{Binding, RoleRef, Subject};

pub use cover::covers;
pub use object::{Kind, PolicyRule, RbacError};

/// Members may do everything, whatever the rules say: the way back in when the rules are wrong.
pub const MASTERS: &str = "system:masters";

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes<'a> {
    /// `get`, `list`, `create` and so on.
    pub verb: &'a str,
    /// With what.
    pub target: Target<'a>,
}

/// With what something is to be done. An empty string stands for what a request does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// Objects.
    Resource {
        /// The API group, empty for the core's.
        group: &'a str,
        /// The resource's plural name.
        resource: &'a str,
        /// `status`, `scale` and others.
        subresource: &'a str,
        /// The namespace.
        namespace: &'a str,
        /// The object's name.
        name: &'a str,
    },
    /// A path that stands for no object, such as `/healthz`.
    Path(&'a str),
}

impl Attributes<'_> {
    /// Says in Kubernetes' words that `principal` may not; the reason of a denial follows it.
    pub fn forbidden(&self, principal: &Principal) -> String {
        let (user, verb) = (&principal.name, self.verb);
        match self.target {
            Target::Path(path) => format!("User {user:?} cannot {verb} path {path:?}"),
            Target::Resource { group, resource, subresource, namespace, .. } => {
                let slash = if subresource.is_empty() { "" } else { "/" };
                let scope = match namespace {
                    "" => "at the cluster scope".to_owned(),
                    _ => format!("in the namespace {namespace:?}"),
                };
                let resource = format!("{resource}{slash}{subresource}");
                format!("User {user:?} cannot {verb} resource {resource:?} in API group {group:?} {scope}")
            }
        }
    }

    fn namespace(&self) -> &str {
        match self.target {
            Target::Resource { namespace, .. } => namespace,
            Target::Path(_) => "",
        }
    }
}

/// The answer to [`Rules::authorize`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may be done.
    Allowed {
        /// The binding that allows it, for the audit.
        by: String,
    },
    /// No rule allows it.
    Denied {
        /// What kept rules from being found; mostly empty.
        reason: String,
    },
}

impl Decision {
    /// Whether it may be done.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Decision::Allowed { .. })
    }
}

type Name = Arc<str>;
/// By namespace, empty for what is cluster-wide, then by name.
type Scoped<T> = BTreeMap<Name, BTreeMap<Name, T>>;

/// All roles and bindings.
#[derive(Debug, Default)]
pub struct Rules {
    roles: Scoped<Arc<[PolicyRule]>>,
    bindings: Scoped<Arc<Binding>>,
    of_user: HashMap<Name, Scoped<Arc<Binding>>>,
    of_group: HashMap<Name, Scoped<Arc<Binding>>>,
}

impl Rules {
    /// Takes in an object in its place. One that cannot be read allows nothing from then on.
    pub fn upsert(&mut self, kind: Kind, object: &Value) -> Result<(), RbacError> {
        let (namespace, name) = object::place(kind, object)?;
        self.remove(kind, &namespace, &name);
        match kind {
            Kind::Role | Kind::ClusterRole => {
                let rules = object::rules(kind, &name, object)?;
                self.roles.entry(namespace).or_default().insert(name, rules);
            }
            Kind::RoleBinding | Kind::ClusterRoleBinding => {
                let binding = Arc::new(object::binding(kind, &namespace, &name, object)?);
                for subject in &binding.subjects {
                    let scopes = match subject {
                        Subject::User(user) => self.of_user.entry(user.clone()),
                        Subject::Group(group) => self.of_group.entry(group.clone()),
                    };
                    let bound = scopes.or_default().entry(namespace.clone()).or_default();
                    bound.insert(name.clone(), binding.clone());
                }
                self.bindings.entry(namespace).or_default().insert(name, binding);
            }
        }
        Ok(())
    }

    /// Forgets an object; `namespace` is empty for those without.
    pub fn remove(&mut self, kind: Kind, namespace: &str, name: &str) {
        if matches!(kind, Kind::Role | Kind::ClusterRole) {
            take(&mut self.roles, namespace, name);
            return;
        }
        let Some(binding) = take(&mut self.bindings, namespace, name) else { return };
        for subject in &binding.subjects {
            let (index, subject) = match subject {
                Subject::User(user) => (&mut self.of_user, user),
                Subject::Group(group) => (&mut self.of_group, group),
            };
            if let Some(scopes) = index.get_mut(subject) {
                take(scopes, namespace, name);
                if scopes.is_empty() {
                    index.remove(subject);
                }
            }
        }
    }

    /// Whether `principal` may do what `attributes` say.
    pub fn authorize(&self, principal: &Principal, attributes: &Attributes<'_>) -> Decision {
        if principal.is_in(MASTERS) {
            return Decision::Allowed { by: format!("membership of {MASTERS}") };
        }
        let mut missing: Vec<&RoleRef> = Vec::new();
        for binding in self.bindings_of(principal, attributes.namespace()) {
            match self.rules_of(&binding.role) {
                None if !missing.contains(&&binding.role) => missing.push(&binding.role),
                None => {}
                Some(rules) if rules.iter().any(|rule| rule.allows(attributes)) => {
                    return Decision::Allowed { by: format!("RBAC: allowed by {}", Because(binding, principal)) };
                }
                Some(_) => {}
            }
        }
        Decision::Denied { reason: not_found(&missing) }
    }

    /// All rules that hold for `principal` in `namespace`, or cluster-wide where it is empty.
    pub fn rules_for(&self, principal: &Principal, namespace: &str) -> Vec<PolicyRule> {
        let masters = principal.is_in(MASTERS).then(PolicyRule::everything).into_iter().flatten();
        let bound = self.bindings_of(principal, namespace).filter_map(|binding| self.rules_of(&binding.role));
        masters.chain(bound.flat_map(|rules| rules.iter().cloned())).collect()
    }

    /// The rules of the role that a binding of `namespace` (empty: cluster-wide) refers to by its `roleRef`.
    pub fn rules_of_reference(&self, namespace: &str, role_ref: &Value) -> Option<Vec<PolicyRule>> {
        let role = object::role_ref(namespace, role_ref)?;
        self.rules_of(&role).map(<[_]>::to_vec)
    }

    /// Refuses to let `principal` grant rules in `namespace` that it does not hold itself.
    pub fn confirm_no_escalation(
        &self,
        principal: &Principal,
        namespace: &str,
        requested: &[PolicyRule],
    ) -> Result<(), String> {
        let missing = covers(&self.rules_for(principal, namespace), requested);
        if missing.is_empty() {
            return Ok(());
        }
        let mut lines: Vec<String> = missing.iter().map(ToString::to_string).collect();
        lines.sort();
        lines.dedup();
        Err(format!(
            "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
            principal.name,
            object::quoted(&principal.groups),
            lines.join("\n")
        ))
    }

    /// Bindings that name the principal, cluster-wide ones first. One that names it twice comes twice.
    fn bindings_of<'a>(&'a self, principal: &'a Principal, namespace: &'a str) -> impl Iterator<Item = &'a Binding> {
        let namespaces = ["", namespace].into_iter().take(if namespace.is_empty() { 1 } else { 2 });
        namespaces.flat_map(move |namespace| {
            let groups = principal.groups.iter().filter_map(|group| self.of_group.get(&**group));
            let scopes = self.of_user.get(&*principal.name).into_iter().chain(groups);
            scopes.filter_map(move |scopes| scopes.get(namespace)).flat_map(|bound| bound.values().map(|b| &**b))
        })
    }

    fn rules_of(&self, role: &RoleRef) -> Option<&[PolicyRule]> {
        self.roles.get(&*role.namespace)?.get(&*role.name).map(|rules| &**rules)
    }
}

/// Removes what stands at a place, and the namespace when it was the last there.
fn take<T>(scopes: &mut Scoped<T>, namespace: &str, name: &str) -> Option<T> {
    let names = scopes.get_mut(namespace)?;
    let taken = names.remove(name);
    if names.is_empty() {
        scopes.remove(namespace);
    }
    taken
}

fn not_found(missing: &[&RoleRef]) -> String {
    let say = |role: &&RoleRef| {
        let kind = if role.namespace.is_empty() { "clusterrole" } else { "role" };
        format!("{kind}.rbac.authorization.k8s.io {:?} not found", role.name)
    };
    match missing {
        [] => String::new(),
        [one] => format!("RBAC: {}", say(one)),
        several => format!("RBAC: [{}]", several.iter().map(say).collect::<Vec<_>>().join(", ")),
    }
}

/// Names a binding and which of its subjects the principal is.
struct Because<'a>(&'a Binding, &'a Principal);

impl fmt::Display for Because<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Because(binding, principal) = self;
        let role = if binding.role.namespace.is_empty() { "ClusterRole" } else { "Role" };
        match &*binding.namespace {
            "" => write!(f, "ClusterRoleBinding {:?}", binding.name)?,
            namespace => write!(f, "RoleBinding {:?}", format!("{}/{namespace}", binding.name))?,
        }
        write!(f, " of {role} {:?} to ", binding.role.name)?;
        let subject = binding.subjects.iter().find(|subject| match subject {
            Subject::User(name) => *name == principal.name,
            Subject::Group(name) => principal.is_in(name),
        });
        match (subject, principal.as_service_account()) {
            (Some(Subject::Group(name)), _) => write!(f, "Group {name:?}"),
            (_, Some((namespace, name))) => write!(f, "ServiceAccount {:?}", format!("{name}/{namespace}")),
            (_, None) => write!(f, "User {:?}", principal.name),
        }
    }
}
