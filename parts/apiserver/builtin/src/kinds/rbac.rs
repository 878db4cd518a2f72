//! Roles and bindings: what a rule must say, which role and which subjects a binding may name.

use purlin_apiserver_schema::{
    FieldError, NameForm, Strategy, dns1123_subdomain, label_value, path_segment, qualified_name,
};
use serde_json::Value;

use crate::value::{at, default_text, drop_nulls, entries, invalid_if, list, text, unsupported};

/// The group of RBAC, which roleRef and subjects carry.
const GROUP: &str = "rbac.authorization.k8s.io";

pub(crate) fn role() -> Strategy {
    Strategy {
        default: drop_nulls,
        validate: |role, _| check_rules(role, true),
        name: NameForm::PathSegment,
        ..Strategy::default()
    }
}

pub(crate) fn cluster_role() -> Strategy {
    Strategy {
        default: drop_nulls,
        validate: |role, _| {
            let mut errors = check_rules(role, false);
            check_aggregation(&mut errors, role);
            errors
        },
        name: NameForm::PathSegment,
        ..Strategy::default()
    }
}

pub(crate) fn role_binding() -> Strategy {
    Strategy {
        default: default_binding,
        validate: |new, old| check_binding(new, old, true),
        name: NameForm::PathSegment,
        ..Strategy::default()
    }
}

pub(crate) fn cluster_role_binding() -> Strategy {
    Strategy { validate: |new, old| check_binding(new, old, false), ..role_binding() }
}

fn check_rules(role: &Value, namespaced: bool) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (i, rule) in list(role, "rules").iter().enumerate() {
        let empty = |field| list(rule, field).is_empty();
        if empty("verbs") {
            errors.push(FieldError::required(format!("rules[{i}].verbs"), "verbs must contain at least one value"));
        }
        if empty("nonResourceURLs") {
            if empty("apiGroups") {
                let what = "resource rules must supply at least one api group";
                errors.push(FieldError::required(format!("rules[{i}].apiGroups"), what));
            }
            if empty("resources") {
                let what = "resource rules must supply at least one resource";
                errors.push(FieldError::required(format!("rules[{i}].resources"), what));
            }
            continue;
        }
        let mut wrong = |what| {
            let urls = list(rule, "nonResourceURLs").to_vec();
            errors.push(FieldError::invalid(format!("rules[{i}].nonResourceURLs"), urls.into(), what));
        };
        if namespaced {
            wrong("namespaced rules cannot apply to non-resource URLs");
        }
        if !(empty("apiGroups") && empty("resources") && empty("resourceNames")) {
            wrong("rules cannot apply to both regular resources and non-resource URLs");
        }
    }
    errors
}

fn check_aggregation(errors: &mut Vec<FieldError>, role: &Value) {
    if at(role, "aggregationRule").is_none() {
        return;
    }
    let field = "aggregationRule.clusterRoleSelectors";
    let selectors = list(role, field);
    if selectors.is_empty() {
        let what = "at least one clusterRoleSelector required if aggregationRule is non-nil";
        errors.push(FieldError::required(field, what));
    }
    for (i, selector) in selectors.iter().enumerate() {
        check_selector(errors, selector, &format!("{field}[{i}]"));
    }
}

/// A label selector (meta/v1).
fn check_selector(errors: &mut Vec<FieldError>, selector: &Value, path: &str) {
    for (key, value) in entries(selector, "matchLabels") {
        let path = format!("{path}.matchLabels");
        invalid_if(errors, &path, key, qualified_name(key));
        let value = value.as_str().unwrap_or_default();
        invalid_if(errors, &path, value, label_value(value));
    }
    for (i, expression) in list(selector, "matchExpressions").iter().enumerate() {
        let path = format!("{path}.matchExpressions[{i}]");
        let none = list(expression, "values").is_empty();
        match text(expression, "operator") {
            "In" | "NotIn" if none => errors.push(FieldError::required(
                format!("{path}.values"),
                "must be specified when `operator` is 'In' or 'NotIn'",
            )),
            "Exists" | "DoesNotExist" if !none => errors.push(crate::value::forbidden(
                &format!("{path}.values"),
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            )),
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => errors.push(FieldError::invalid(
                format!("{path}.operator"),
                other.into(),
                "not a valid selector operator",
            )),
        }
        let key = text(expression, "key");
        invalid_if(errors, &format!("{path}.key"), key, qualified_name(key));
    }
}

fn default_binding(binding: &mut Value) {
    drop_nulls(binding);
    if let Some(reference) = crate::value::object(binding, "roleRef") {
        default_text(reference, "apiGroup", GROUP);
    }
    for subject in binding.get_mut("subjects").and_then(Value::as_array_mut).into_iter().flatten() {
        if matches!(text(subject, "kind"), "User" | "Group")
            && let Some(subject) = subject.as_object_mut()
        {
            default_text(subject, "apiGroup", GROUP);
        }
    }
}

fn check_binding(new: &Value, old: Option<&Value>, namespaced: bool) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let group = text(new, "roleRef.apiGroup");
    if group != GROUP {
        errors.push(unsupported("roleRef.apiGroup", group, &[GROUP]));
    }
    let kinds: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    let kind = text(new, "roleRef.kind");
    if !kinds.contains(&kind) {
        errors.push(unsupported("roleRef.kind", kind, kinds));
    }
    match text(new, "roleRef.name") {
        "" => errors.push(FieldError::required("roleRef.name", "")),
        name => invalid_if(&mut errors, "roleRef.name", name, path_segment(name, false)),
    }
    for (i, subject) in list(new, "subjects").iter().enumerate() {
        check_subject(&mut errors, subject, namespaced, &format!("subjects[{i}]"));
    }
    if let Some(old) = old
        && at(old, "roleRef") != at(new, "roleRef")
    {
        let value = at(new, "roleRef").cloned().unwrap_or_default();
        errors.push(FieldError::invalid("roleRef", value, "cannot change roleRef"));
    }
    errors
}

fn check_subject(errors: &mut Vec<FieldError>, subject: &Value, namespaced: bool, path: &str) {
    let (name, group) = (text(subject, "name"), text(subject, "apiGroup"));
    if name.is_empty() {
        errors.push(FieldError::required(format!("{path}.name"), ""));
    }
    let group_path = format!("{path}.apiGroup");
    match text(subject, "kind") {
        "ServiceAccount" => {
            if !name.is_empty() {
                invalid_if(errors, &format!("{path}.name"), name, dns1123_subdomain(name));
            }
            if !group.is_empty() {
                errors.push(unsupported(&group_path, group, &[""]));
            }
            if !namespaced && text(subject, "namespace").is_empty() {
                errors.push(FieldError::required(format!("{path}.namespace"), ""));
            }
        }
        "User" | "Group" if group != GROUP => errors.push(unsupported(&group_path, group, &[GROUP])),
        "User" | "Group" => {}
        kind => errors.push(unsupported(&format!("{path}.kind"), kind, &["ServiceAccount", "User", "Group"])),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::testing::{create, update};

    #[test]
    fn roles() {
        let check = |strategy: Strategy, rule, expected: &str| {
            assert_eq!(create(&strategy, json!({"rules": [rule]})), expected);
        };
        check(role(), json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}), "");
        check(cluster_role(), json!({"verbs": ["get"], "nonResourceURLs": ["/healthz"]}), "");
        assert_eq!(create(&role(), json!({})), "");
        check(
            role(),
            json!({}),
            "rules[0].verbs: Required value: verbs must contain at least one value\n\
             rules[0].apiGroups: Required value: resource rules must supply at least one api group\n\
             rules[0].resources: Required value: resource rules must supply at least one resource",
        );
        check(
            role(),
            json!({"verbs": ["get"], "nonResourceURLs": ["/a"]}),
            "rules[0].nonResourceURLs: Invalid value: [\"/a\"]: namespaced rules cannot apply to non-resource URLs",
        );
        check(
            cluster_role(),
            json!({"verbs": ["get"], "nonResourceURLs": ["/a"], "resources": ["pods"]}),
            "rules[0].nonResourceURLs: Invalid value: [\"/a\"]: rules cannot apply to both regular resources and \
             non-resource URLs",
        );
    }

    #[test]
    fn aggregation() {
        let check = |selectors, expected: &str| {
            let role = json!({"aggregationRule": {"clusterRoleSelectors": selectors}});
            assert_eq!(create(&cluster_role(), role), expected);
        };
        check(json!([{"matchLabels": {"a": "true"}}]), "");
        check(json!([{"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}]), "");
        check(
            json!([]),
            "aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if \
             aggregationRule is non-nil",
        );
        check(
            json!([{"matchExpressions": [{"key": "a", "operator": "In"}, {"key": "a", "operator": "Is"}]}]),
            "aggregationRule.clusterRoleSelectors[0].matchExpressions[0].values: Required value: must be specified \
             when `operator` is 'In' or 'NotIn'\n\
             aggregationRule.clusterRoleSelectors[0].matchExpressions[1].operator: Invalid value: \"Is\": not a valid \
             selector operator",
        );
    }

    #[test]
    fn bindings() {
        let binding =
            |kind: &str, subject: Value| json!({"roleRef": {"kind": kind, "name": "system:x"}, "subjects": [subject]});
        let check = |strategy: Strategy, object, expected: &str| assert_eq!(create(&strategy, object), expected);
        let user = json!({"kind": "User", "name": "a"});
        check(role_binding(), binding("Role", user.clone()), "");
        check(role_binding(), binding("ClusterRole", json!({"kind": "ServiceAccount", "name": "a"})), "");
        check(
            cluster_role_binding(),
            binding("Role", user.clone()),
            "roleRef.kind: Unsupported value: \"Role\": supported values: \"ClusterRole\"",
        );
        check(
            cluster_role_binding(),
            binding("ClusterRole", json!({"kind": "ServiceAccount", "name": "a", "apiGroup": "x"})),
            "subjects[0].apiGroup: Unsupported value: \"x\": supported values: \"\"\n\
             subjects[0].namespace: Required value",
        );
        check(
            role_binding(),
            binding("Role", json!({"kind": "Robot"})),
            "subjects[0].name: Required value\n\
             subjects[0].kind: Unsupported value: \"Robot\": supported values: \"ServiceAccount\", \"User\", \"Group\"",
        );
        check(
            role_binding(),
            json!({}),
            "roleRef.kind: Unsupported value: \"\": supported values: \"Role\", \"ClusterRole\"\n\
             roleRef.name: Required value",
        );
        assert_eq!(
            update(&role_binding(), binding("Role", user.clone()), binding("ClusterRole", user)),
            "roleRef: Invalid value: {\"kind\":\"ClusterRole\",\"name\":\"system:x\",\"apiGroup\":\
             \"rbac.authorization.k8s.io\"}: cannot change roleRef"
        );
    }
}
