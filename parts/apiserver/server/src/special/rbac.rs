//! RBAC objects: nobody grants what they do not hold, unless they may `escalate` or `bind`.

use purlin_auth::rbac::{Attributes, MASTERS, PolicyRule, Target};
use serde::Deserialize as _;
use serde_json::Value;

use crate::error::{ApiError, ApiResult};
use crate::write::{Writer, metadata};

pub(super) fn prepare(writer: &Writer, new: &Value, old: Option<&Value>) -> ApiResult<()> {
    let principal = &writer.caller.principal;
    // What only lets the object be collected as garbage grants nothing.
    if principal.is_in(MASTERS) || old.is_some_and(|old| granting(old) == granting(new)) {
        return Ok(());
    }
    let def = writer.served.def();
    let plural = def.names.plural.as_str();
    let namespace = metadata(new, "namespace").unwrap_or_default();
    let name = metadata(new, "name").unwrap_or_default();
    let rules = writer.api.rbac.read();
    let granted = if plural.ends_with("bindings") {
        let reference = &new["roleRef"];
        let resource = if reference["kind"] == "ClusterRole" { "clusterroles" } else { "roles" };
        let role = reference["name"].as_str().unwrap_or_default();
        let target = Target::Resource { group: &def.group, resource, subresource: "", namespace, name: role };
        if rules.authorize(principal, &Attributes { verb: "bind", target }).is_allowed() {
            return Ok(());
        }
        rules.rules_of_reference(namespace, reference).ok_or_else(|| {
            let why = format!(
                "the role {role:?} that is to be bound does not exist, so it cannot be told whether you may grant it"
            );
            ApiError::forbidden(plural, &def.group, name, &why)
        })?
    } else {
        let target = Target::Resource { group: &def.group, resource: plural, subresource: "", namespace, name };
        if rules.authorize(principal, &Attributes { verb: "escalate", target }).is_allowed() {
            return Ok(());
        }
        let mut rules = Vec::<PolicyRule>::deserialize(&new["rules"]).unwrap_or_default();
        // An aggregated role gathers whatever others put in its way: only who may do all may have or touch one.
        let aggregates = |role: &Value| role.get("aggregationRule").is_some_and(|rule| !rule.is_null());
        if aggregates(new) || old.is_some_and(aggregates) {
            rules.extend(everything());
        }
        rules
    };
    rules
        .confirm_no_escalation(principal, namespace, &granted)
        .map_err(|why| ApiError::forbidden(plural, &def.group, name, &why))
}

/// All of an RBAC object but what concerns garbage collection.
fn granting(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in ["ownerReferences", "finalizers", "managedFields"] {
            metadata.shift_remove(field);
        }
    }
    object
}

/// Rules that allow everything.
fn everything() -> [PolicyRule; 2] {
    let all = || vec!["*".to_owned()];
    [
        PolicyRule { verbs: all(), api_groups: all(), resources: all(), ..PolicyRule::default() },
        PolicyRule { verbs: all(), non_resource_urls: all(), ..PolicyRule::default() },
    ]
}
