//! RBAC objects: nobody grants what they do not hold, unless they may `escalate` or `bind`.

use purlin_auth::rbac::{Attributes, MASTERS, PolicyRule, Target};
use serde::Deserialize as _;
use serde_json::Value;

use crate::error::{ApiError, ApiResult};
use crate::write::{Writer, metadata};

pub(super) fn prepare(writer: &Writer, new: &Value) -> ApiResult<()> {
    let principal = &writer.caller.principal;
    if principal.is_in(MASTERS) {
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
        Vec::<PolicyRule>::deserialize(&new["rules"]).unwrap_or_default()
    };
    rules
        .confirm_no_escalation(principal, namespace, &granted)
        .map_err(|why| ApiError::forbidden(plural, &def.group, name, &why))
}
