//! The roles and bindings that every cluster is born with, and how ClusterRoles aggregate.
//!
//! Facts from the default policy of kube-apiserver 1.36 (`bootstrappolicy`): the roles for people, for discovery
//! and for monitoring. Roles of components that are not here (scheduler, kubelet, controllers) are left out, and so
//! are resources of groups that purlin will not serve.

use serde_json::{Map, Value, json};

use crate::value::{entries, list, text, texts};

const RBAC: &str = "rbac.authorization.k8s.io";

const READ: &str = "get list watch";
const WRITE: &str = "create delete deletecollection patch update";
const READ_WRITE: &str = "create delete deletecollection get list patch update watch";

/// A rule: groups, then resources (or paths, which begin with a slash), then verbs, each separated by blanks;
/// the core group is written `core`.
type Rule = (&'static str, &'static str, &'static str);

/// A ClusterRole with rules of its own: its name, the role that it adds to, its rules.
type Role = (&'static str, Option<&'static str>, &'static [Rule]);

const ROLES: &[Role] = &[
    ("cluster-admin", None, &[("*", "*", "*"), ("", "/*", "*")]),
    (
        "system:discovery",
        None,
        &[("", "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/", "get")],
    ),
    (
        "system:basic-user",
        None,
        &[
            ("authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews", "create"),
            ("authentication.k8s.io", "selfsubjectreviews", "create"),
        ],
    ),
    ("system:public-info-viewer", None, &[("", "/healthz /livez /readyz /version /version/", "get")]),
    (
        "system:service-account-issuer-discovery",
        None,
        &[(
            "",
            "/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/",
            "get",
        )],
    ),
    (
        "system:monitoring",
        None,
        &[
            ("", "/flagz /healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/* /statusz", "get"),
            ("core", "nodes/metrics", "get"),
        ],
    ),
    (
        "system:auth-delegator",
        None,
        &[
            ("authentication.k8s.io", "tokenreviews", "create"),
            ("authorization.k8s.io", "subjectaccessreviews", "create"),
        ],
    ),
    (
        "system:aggregate-to-admin",
        Some("admin"),
        &[("authorization.k8s.io", "localsubjectaccessreviews", "create"), (RBAC, "rolebindings roles", READ_WRITE)],
    ),
    (
        "system:aggregate-to-edit",
        Some("edit"),
        &[
            ("core", "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy", READ),
            ("core", "serviceaccounts", "impersonate"),
            ("core", "pods pods/attach pods/exec pods/portforward pods/proxy", WRITE),
            ("core", "pods/eviction", "create"),
            ("core", "configmaps persistentvolumeclaims secrets serviceaccounts services services/proxy", WRITE),
            ("core", "serviceaccounts/token", "create"),
            ("core events.k8s.io", "events", WRITE),
            (
                "apps",
                "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale \
                 statefulsets statefulsets/scale",
                WRITE,
            ),
            ("autoscaling", "horizontalpodautoscalers", WRITE),
            ("batch", "cronjobs jobs", WRITE),
            ("policy", "poddisruptionbudgets", WRITE),
            ("networking.k8s.io", "ingresses networkpolicies", WRITE),
            ("coordination.k8s.io", "leases", READ_WRITE),
        ],
    ),
    (
        "system:aggregate-to-view",
        Some("view"),
        &[
            (
                "core",
                "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods serviceaccounts \
                 services services/status",
                READ,
            ),
            ("core", "limitranges namespaces/status pods/log pods/status resourcequotas resourcequotas/status", READ),
            ("core", "namespaces", READ),
            ("core events.k8s.io", "events", READ),
            ("discovery.k8s.io", "endpointslices", READ),
            (
                "apps",
                "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status \
                 replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
                READ,
            ),
            ("autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status", READ),
            ("batch", "cronjobs cronjobs/status jobs jobs/status", READ),
            ("policy", "poddisruptionbudgets poddisruptionbudgets/status", READ),
            ("networking.k8s.io", "ingresses ingresses/status networkpolicies", READ),
        ],
    ),
];

/// The roles for people: the name, and the role that it is a part of. Their rules are aggregated, so that they
/// stand in the order in which each sees the one before.
const AGGREGATED: [(&str, Option<&str>); 3] = [("view", Some("edit")), ("edit", Some("admin")), ("admin", None)];

/// Who has which ClusterRole: the role, which also names the binding, and groups.
const BINDINGS: &[(&str, &[&str])] = &[
    ("cluster-admin", &["system:masters"]),
    ("system:monitoring", &["system:monitoring"]),
    ("system:discovery", &["system:authenticated"]),
    ("system:basic-user", &["system:authenticated"]),
    ("system:public-info-viewer", &["system:authenticated", "system:unauthenticated"]),
    ("system:service-account-issuer-discovery", &["system:serviceaccounts"]),
];

/// The ClusterRoles, the ClusterRoleBindings and the one Role (in kube-system, by which an extension API server
/// reads how to authenticate), as they are created at the first start. Labels and annotations are those by which
/// they are brought up to date at later ones.
pub fn bootstrap_roles() -> Vec<Value> {
    let mut all: Vec<Value> = ROLES.iter().map(|(name, into, rules)| cluster_role(name, *into, rules)).collect();
    for (name, into) in AGGREGATED {
        let mut role = cluster_role(name, into, &[]);
        let label = format!("{RBAC}/aggregate-to-{name}");
        role["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]});
        role["rules"] = aggregate(&role, &all).into();
        all.push(role);
    }
    all.extend(BINDINGS.iter().map(|(role, groups)| cluster_role_binding(role, groups)));
    all.push(authentication_reader());
    all
}

/// The rules of a ClusterRole with an `aggregationRule`: those of all ClusterRoles that its selectors match, by
/// name, each rule once. A role does not match itself. A role without `aggregationRule` has its own rules.
pub fn aggregate(role: &Value, all: &[Value]) -> Vec<Value> {
    if role.get("aggregationRule").is_none_or(Value::is_null) {
        return list(role, "rules").to_vec();
    }
    let mut others: Vec<&Value> = all
        .iter()
        .filter(|other| {
            text(other, "kind") == "ClusterRole" && text(other, "metadata.name") != text(role, "metadata.name")
        })
        .collect();
    others.sort_by_key(|other| text(other, "metadata.name"));
    let mut rules: Vec<Value> = Vec::new();
    for selector in list(role, "aggregationRule.clusterRoleSelectors") {
        for other in others.iter().filter(|other| matches(selector, other)) {
            for rule in list(other, "rules") {
                if !rules.contains(rule) {
                    rules.push(rule.clone());
                }
            }
        }
    }
    rules
}

/// Whether a label selector matches an object; an operator that is none matches nothing.
fn matches(selector: &Value, object: &Value) -> bool {
    let label = |key: &str| object.pointer("/metadata/labels").and_then(|l| l.get(key)).and_then(Value::as_str);
    let equal = entries(selector, "matchLabels").all(|(key, value)| label(key) == value.as_str() && value.is_string());
    equal
        && list(selector, "matchExpressions").iter().all(|expression| {
            let value = label(text(expression, "key"));
            let among = || texts(expression, "values").any(|v| Some(v) == value);
            match text(expression, "operator") {
                "In" => among(),
                "NotIn" => !among(),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

fn metadata(name: &str, into: Option<&str>) -> Value {
    let mut labels = Map::new();
    labels.insert("kubernetes.io/bootstrapping".to_owned(), "rbac-defaults".into());
    if let Some(into) = into {
        labels.insert(format!("{RBAC}/aggregate-to-{into}"), "true".into());
    }
    json!({
        "name": name,
        "labels": labels,
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
    })
}

fn cluster_role(name: &str, into: Option<&str>, rules: &[Rule]) -> Value {
    json!({
        "apiVersion": format!("{RBAC}/v1"),
        "kind": "ClusterRole",
        "metadata": metadata(name, into),
        "rules": rules.iter().map(rule).collect::<Vec<_>>(),
    })
}

fn rule((groups, what, verbs): &Rule) -> Value {
    let words = |text: &str| text.split_whitespace().map(Value::from).collect::<Vec<_>>();
    // `/*` stands for all paths in the table, and is `*` in a rule.
    let paths = || words(what).into_iter().map(|p| if p == "/*" { "*".into() } else { p }).collect::<Vec<Value>>();
    if what.starts_with('/') {
        return json!({"nonResourceURLs": paths(), "verbs": words(verbs)});
    }
    let groups: Vec<&str> = groups.split_whitespace().map(|g| if g == "core" { "" } else { g }).collect();
    json!({"apiGroups": groups, "resources": words(what), "verbs": words(verbs)})
}

fn cluster_role_binding(role: &str, groups: &[&str]) -> Value {
    let subject = |group: &&str| json!({"apiGroup": RBAC, "kind": "Group", "name": group});
    json!({
        "apiVersion": format!("{RBAC}/v1"),
        "kind": "ClusterRoleBinding",
        "metadata": metadata(role, None),
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": groups.iter().map(subject).collect::<Vec<_>>(),
    })
}

fn authentication_reader() -> Value {
    let name = "extension-apiserver-authentication";
    let mut metadata = metadata(&format!("{name}-reader"), None);
    metadata["namespace"] = "kube-system".into();
    json!({
        "apiVersion": format!("{RBAC}/v1"),
        "kind": "Role",
        "metadata": metadata,
        "rules": [{
            "apiGroups": [""],
            "resources": ["configmaps"],
            "resourceNames": [name],
            "verbs": ["get", "list", "watch"],
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources;

    fn named<'a>(all: &'a [Value], kind: &str, name: &str) -> &'a Value {
        all.iter().find(|o| text(o, "kind") == kind && text(o, "metadata.name") == name).expect(name)
    }

    /// Whether a role allows a verb on a resource.
    fn allows(role: &Value, verb: &str, group: &str, resource: &str) -> bool {
        let has = |rule: &Value, field: &str, value: &str| texts(rule, field).any(|v| v == value || v == "*");
        list(role, "rules")
            .iter()
            .any(|r| has(r, "verbs", verb) && has(r, "apiGroups", group) && has(r, "resources", resource))
    }

    #[test]
    fn they_are_valid() {
        let defs = resources();
        for mut object in bootstrap_roles() {
            let kind = text(&object, "kind").to_owned();
            let strategy = defs.iter().find(|d| d.names.kind == kind).expect("a definition").strategy;
            assert_eq!(strategy.name.check(text(&object, "metadata.name"), false), [""; 0]);
            let before = object.clone();
            (strategy.default)(&mut object);
            assert_eq!(object, before, "a default was left out");
            assert_eq!((strategy.validate)(&object, None), [], "{object}");
            assert_eq!(object["metadata"]["labels"]["kubernetes.io/bootstrapping"], "rbac-defaults");
            assert_eq!(object["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"], "true");
        }
    }

    #[test]
    fn every_binding_names_a_role() {
        let all = bootstrap_roles();
        let bindings: Vec<&Value> = all.iter().filter(|o| text(o, "kind") == "ClusterRoleBinding").collect();
        assert_eq!(bindings.len(), BINDINGS.len());
        for binding in bindings {
            named(&all, "ClusterRole", text(binding, "roleRef.name"));
        }
        let viewer = named(&all, "ClusterRoleBinding", "system:public-info-viewer");
        assert_eq!(list(viewer, "subjects").len(), 2);
    }

    #[test]
    fn roles_for_people() {
        let all = bootstrap_roles();
        let table = [
            // verb, group, resource: view, edit, admin, cluster-admin
            ("get", "", "configmaps", [true, true, true, true]),
            ("get", "", "secrets", [false, true, true, true]),
            ("update", "", "services", [false, true, true, true]),
            ("create", "", "serviceaccounts/token", [false, true, true, true]),
            ("list", "events.k8s.io", "events", [true, true, true, true]),
            ("create", RBAC, "rolebindings", [false, false, true, true]),
            ("create", RBAC, "clusterroles", [false, false, false, true]),
            ("delete", "", "namespaces", [false, false, false, true]),
            ("update", "discovery.k8s.io", "endpointslices", [false, false, false, true]),
        ];
        for (verb, group, resource, expected) in table {
            let roles = ["view", "edit", "admin", "cluster-admin"];
            let found = roles.map(|role| allows(named(&all, "ClusterRole", role), verb, group, resource));
            assert_eq!(found, expected, "{verb} {resource}.{group}");
        }
        let everything = list(named(&all, "ClusterRole", "cluster-admin"), "rules");
        assert_eq!(everything[1], json!({"nonResourceURLs": ["*"], "verbs": ["*"]}));
    }

    #[test]
    fn aggregation() {
        let rule = |verb: &str| json!({"verbs": [verb], "apiGroups": [""], "resources": ["pods"]});
        let role = |name: &str, labels: Value, rules: Vec<Value>| json!({"kind": "ClusterRole", "metadata": {"name": name, "labels": labels}, "rules": rules});
        let all = [
            role("z", json!({"a": "true"}), vec![rule("get"), rule("list")]),
            role("b", json!({"a": "true"}), vec![rule("list")]),
            role("c", json!({"a": "false"}), vec![rule("delete")]),
            json!({"kind": "Role", "metadata": {"name": "d", "labels": {"a": "true"}}, "rules": [rule("delete")]}),
        ];
        let check = |selectors: Value, expected: &[&str]| {
            let mut role = role("x", json!({"a": "true"}), vec![rule("update")]);
            role["aggregationRule"] = json!({"clusterRoleSelectors": selectors});
            let expected: Vec<Value> = expected.iter().map(|v| rule(v)).collect();
            let with_itself: Vec<Value> = all.iter().cloned().chain([role.clone()]).collect();
            assert_eq!(aggregate(&role, &with_itself), expected, "{selectors}");
        };
        check(json!([{"matchLabels": {"a": "true"}}]), &["list", "get"]);
        check(json!([{"matchLabels": {"a": "no"}}]), &[]);
        check(json!([{"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["true"]}]}]), &["delete"]);
        check(json!([{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]), &["list", "delete", "get"]);
        check(json!([{"matchExpressions": [{"key": "a", "operator": "Sounds"}]}]), &[]);
        check(json!([]), &[]);
        assert_eq!(aggregate(&all[1], &all), [rule("list")]);
    }
}
