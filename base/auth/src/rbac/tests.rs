use proptest::prelude::*;
use serde_json::json;

use super::*;

fn user(name: &str, groups: &[&str]) -> Principal {
    Principal { name: name.into(), groups: groups.iter().map(|g| (*g).into()).collect(), ..Default::default() }
}

/// `verb group/resource/subresource namespace name`, or `verb /path`; `-` stands for what is empty.
fn attributes(text: &str) -> Attributes<'_> {
    let words: Vec<&str> = text.split(' ').map(|word| if word == "-" { "" } else { word }).collect();
    let target = match words[..] {
        [_, path] => Target::Path(path),
        [_, group, resource, namespace, name] => {
            let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
            Target::Resource { group, resource, subresource, namespace, name }
        }
        _ => panic!("{text}"),
    };
    Attributes { verb: words[0], target }
}

fn rule(value: Value) -> PolicyRule {
    serde_json::from_value(value).unwrap()
}

/// One cluster-wide rule for everybody in `g`.
fn rules(rule: Value) -> Rules {
    let mut rules = Rules::default();
    let role = json!({"metadata": {"name": "r"}, "rules": [rule]});
    rules.upsert(Kind::ClusterRole, &role).unwrap();
    rules.upsert(Kind::ClusterRoleBinding, &cluster_binding("b", "r", "Group", "g")).unwrap();
    rules
}

fn cluster_binding(name: &str, role: &str, kind: &str, subject: &str) -> Value {
    json!({"metadata": {"name": name}, "roleRef": {"kind": "ClusterRole", "name": role},
        "subjects": [{"kind": kind, "name": subject}]})
}

#[test]
fn rules_allow_as_kubernetes_does() {
    let check = |rule: Value, allowed: &[&str], denied: &[&str]| {
        let rules = rules(rule.clone());
        let ask = |text: &str| rules.authorize(&user("ada", &["g"]), &attributes(text)).is_allowed();
        for text in allowed {
            assert!(ask(text), "{rule} must allow {text}");
        }
        for text in denied {
            assert!(!ask(text), "{rule} must not allow {text}");
        }
    };
    check(
        json!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}),
        &["get - pods ns p", "list - pods - -"],
        &["watch - pods ns p", "get apps pods ns p", "get - pods/log ns p", "get - services ns p", "get /pods"],
    );
    check(
        json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}),
        &["get - pods/log ns p", "delete apps deployments ns d", "x y.z w - -"],
        &["get /healthz"],
    );
    check(
        json!({"verbs": ["update"], "apiGroups": ["apps"], "resources": ["*/scale", "pods/log"]}),
        &["update apps deployments/scale ns d", "update apps pods/log ns p"],
        &["update apps deployments ns d", "update apps scale ns d", "update apps x/log ns p", "update apps pods ns p"],
    );
    check(
        json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods/*"]}),
        &[],
        &["get - pods ns p", "get - pods/log ns p"],
    );
    check(
        json!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a"]}),
        &["get - secrets ns a"],
        &["get - secrets ns b", "list - secrets ns -"],
    );
    check(
        json!({"verbs": ["get"], "nonResourceURLs": ["/healthz", "/api/*"]}),
        &["get /healthz", "get /api/", "get /api/v1"],
        &["get /healthz/x", "get /api", "post /healthz", "get - pods ns p"],
    );
    check(json!({"verbs": ["*"], "nonResourceURLs": ["*"]}), &["get /x", "post /"], &["get - pods ns p"]);
    check(json!({"verbs": [], "apiGroups": ["*"], "resources": ["*"]}), &[], &["get - pods ns p"]);
    check(json!({"verbs": null, "apiGroups": null, "resources": null}), &[], &["get - pods ns p"]);
}

#[test]
fn bindings_hold_for_their_subjects_in_their_namespace() {
    let mut rules = Rules::default();
    let role = |name: &str, namespace: &str| {
        json!({"metadata": {"name": name, "namespace": namespace},
            "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": [name]}]})
    };
    rules.upsert(Kind::Role, &role("pods", "ns")).unwrap();
    rules.upsert(Kind::ClusterRole, &role("secrets", "")).unwrap();
    let binding = |name: &str, kind: &str, role: &str, subjects: Value| json!({"metadata": {"name": name, "namespace": "ns"}, "roleRef": {"kind": kind, "name": role}, "subjects": subjects});
    let subjects = json!([{"kind": "User", "name": "ada"}, {"kind": "ServiceAccount", "name": "sa"},
        {"kind": "ServiceAccount", "name": "sa", "namespace": "other"}, {"kind": "Robot", "name": "r"}]);
    rules.upsert(Kind::RoleBinding, &binding("one", "Role", "pods", subjects)).unwrap();
    rules
        .upsert(Kind::RoleBinding, &binding("two", "ClusterRole", "secrets", json!([{"kind": "Group", "name": "g"}])))
        .unwrap();
    let check = |principal: &Principal, text: &str, by: Option<&str>| {
        let expected = match by {
            Some(by) => Decision::Allowed { by: format!("RBAC: allowed by {by}") },
            None => Decision::Denied { reason: String::new() },
        };
        assert_eq!(rules.authorize(principal, &attributes(text)), expected, "{} {text}", principal.name);
    };
    let to = |subject: &str| format!("RoleBinding \"one/ns\" of Role \"pods\" to {subject}");
    check(&user("ada", &[]), "get - pods ns p", Some(&to("User \"ada\"")));
    check(&user("ada", &[]), "get - pods other p", None);
    check(&user("ada", &[]), "get - pods - p", None);
    check(&user("bob", &["ada"]), "get - pods ns p", None);
    check(&user("r", &["r"]), "get - pods ns p", None);
    check(&Principal::service_account("ns", "sa"), "get - pods ns p", Some(&to("ServiceAccount \"sa/ns\"")));
    check(&Principal::service_account("other", "sa"), "get - pods ns p", Some(&to("ServiceAccount \"sa/other\"")));
    check(&Principal::service_account("third", "sa"), "get - pods ns p", None);
    let by = "RoleBinding \"two/ns\" of ClusterRole \"secrets\" to Group \"g\"";
    check(&user("bob", &["g"]), "get - secrets ns s", Some(by));
    check(&user("bob", &["g"]), "get - secrets - s", None);
    check(&user("g", &[]), "get - secrets ns s", None);
}

#[test]
fn objects_come_change_and_go() {
    let mut rules = Rules::default();
    let ada = user("ada", &[]);
    let ask = attributes("get - pods ns p");
    let role = |verb: &str| json!({"metadata": {"name": "r"}, "rules": [{"verbs": [verb], "apiGroups": [""], "resources": ["pods"]}]});
    rules.upsert(Kind::ClusterRoleBinding, &cluster_binding("b", "r", "User", "ada")).unwrap();
    let reason = "RBAC: clusterrole.rbac.authorization.k8s.io \"r\" not found".to_owned();
    assert_eq!(rules.authorize(&ada, &ask), Decision::Denied { reason });
    rules.upsert(Kind::ClusterRole, &role("get")).unwrap();
    assert!(rules.authorize(&ada, &ask).is_allowed());
    rules.upsert(Kind::ClusterRole, &role("list")).unwrap();
    assert!(!rules.authorize(&ada, &ask).is_allowed());
    rules.upsert(Kind::ClusterRole, &role("get")).unwrap();
    rules.upsert(Kind::ClusterRoleBinding, &cluster_binding("b", "r", "User", "bob")).unwrap();
    assert!(!rules.authorize(&ada, &ask).is_allowed());
    assert!(rules.authorize(&user("bob", &[]), &ask).is_allowed());
    // An object that cannot be read allows nothing.
    let broken = json!({"metadata": {"name": "b"}, "subjects": "bob"});
    let refused = rules.upsert(Kind::ClusterRoleBinding, &broken).unwrap_err().to_string();
    assert!(refused.starts_with("the ClusterRoleBinding \"b\" cannot be used: "), "{refused}");
    assert!(!rules.authorize(&user("bob", &[]), &ask).is_allowed());
    rules.upsert(Kind::ClusterRoleBinding, &cluster_binding("b", "r", "User", "ada")).unwrap();
    rules.remove(Kind::ClusterRoleBinding, "", "b");
    rules.remove(Kind::ClusterRole, "", "r");
    assert!(!rules.authorize(&ada, &ask).is_allowed());
    let Rules { roles, bindings, of_user, of_group } = rules;
    assert!(roles.is_empty() && bindings.is_empty() && of_user.is_empty() && of_group.is_empty(), "nothing leaks");
}

#[test]
fn broken_objects_are_refused() {
    let mut rules = Rules::default();
    let mut check = |kind, object: Value| assert!(rules.upsert(kind, &object).is_err(), "{object}");
    check(Kind::Role, json!({"metadata": {"name": "r"}}));
    check(Kind::ClusterRole, json!({}));
    check(Kind::ClusterRole, json!({"metadata": {"name": "r"}, "rules": {}}));
    let role = json!({"kind": "Role", "name": "r"});
    check(Kind::ClusterRoleBinding, json!({"metadata": {"name": "b"}, "roleRef": role}));
    check(Kind::ClusterRoleBinding, json!({"metadata": {"name": "b"}}));
}

#[test]
fn masters_may_do_everything() {
    let rules = Rules::default();
    let master = user("root", &[MASTERS]);
    assert!(rules.authorize(&master, &attributes("delete - pods ns p")).is_allowed());
    assert!(rules.authorize(&master, &attributes("get /x")).is_allowed());
    assert_eq!(rules.rules_for(&master, "ns").len(), 2);
    assert!(!rules.authorize(&user(MASTERS, &[]), &attributes("get /x")).is_allowed());
}

#[test]
fn denials_are_worded_as_in_kubernetes() {
    let check = |text: &str, expected: &str| assert_eq!(attributes(text).forbidden(&user("ada", &[])), expected);
    check("get - pods/log ns p", r#"User "ada" cannot get resource "pods/log" in API group "" in the namespace "ns""#);
    check(
        "list apps deployments - -",
        r#"User "ada" cannot list resource "deployments" in API group "apps" at the cluster scope"#,
    );
    check("get /x", r#"User "ada" cannot get path "/x""#);
}

#[test]
fn nobody_grants_what_they_do_not_hold() {
    let held = json!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "*/scale"]});
    let rules = rules(held);
    let check = |requested: Value, missing: &[&str]| {
        let result = rules.confirm_no_escalation(&user("ada", &["g"]), "", &[rule(requested)]);
        let said = "user \"ada\" (groups=[\"g\"]) is attempting to grant RBAC permissions not currently held:\n";
        match missing {
            [] => assert_eq!(result, Ok(())),
            lines => assert_eq!(result, Err(format!("{said}{}", lines.join("\n")))),
        }
    };
    check(json!({"verbs": ["list"], "apiGroups": [""], "resources": ["pods", "pods/scale", "*/scale"]}), &[]);
    check(json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]}), &[]);
    check(
        json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods", "secrets"]}),
        &[r#"{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}"#],
    );
    check(
        json!({"verbs": ["*"], "apiGroups": [""], "resources": ["pods"]}),
        &[r#"{APIGroups:[""], Resources:["pods"], Verbs:["*"]}"#],
    );
    check(
        json!({"verbs": ["get"], "apiGroups": ["*"], "resources": ["pods"]}),
        &[r#"{APIGroups:["*"], Resources:["pods"], Verbs:["get"]}"#],
    );
    check(json!({"verbs": ["get"], "nonResourceURLs": ["/x"]}), &[r#"{NonResourceURLs:["/x"], Verbs:["get"]}"#]);
    // A product too large to take apart is not held, and is found out at once.
    let many: Vec<String> = (0..10_000).map(|n| n.to_string()).collect();
    let huge = rule(json!({"verbs": many, "apiGroups": many, "resources": many, "resourceNames": many}));
    assert_eq!(covers(&[], std::slice::from_ref(&huge)).len(), 1);
    assert_eq!(covers(&PolicyRule::everything(), &[huge]), []);
}

#[test]
fn names_and_paths_are_contained() {
    let check = |held: Value, requested: Value, expected: bool| {
        assert_eq!(
            covers(&[rule(held.clone())], &[rule(requested.clone())]).is_empty(),
            expected,
            "{held} {requested}"
        );
    };
    let on = |names: Value| json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": names});
    check(on(json!(["a", "b"])), on(json!(["b"])), true);
    check(on(json!(["a"])), on(json!(["a", "b"])), false);
    check(on(json!(["a"])), on(json!([])), false);
    check(on(json!([])), on(json!(["a"])), true);
    let paths = |urls: Value| json!({"verbs": ["get"], "nonResourceURLs": urls});
    check(paths(json!(["/a/*"])), paths(json!(["/a/b", "/a/b/*"])), true);
    check(paths(json!(["/a/*"])), paths(json!(["/*"])), false);
    check(paths(json!(["*"])), paths(json!(["/x", "*"])), true);
}

#[test]
fn roles_are_found_by_reference() {
    let rules = rules(json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}));
    let find = |namespace: &str, kind: &str| rules.rules_of_reference(namespace, &json!({"kind": kind, "name": "r"}));
    assert_eq!(find("ns", "ClusterRole").unwrap().len(), 1);
    assert_eq!(find("ns", "Role"), None);
    assert_eq!(find("", "Role"), None);
}

fn words(of: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(prop::sample::select(of).prop_map(str::to_owned), 0..3)
}

fn any_rule() -> impl Strategy<Value = PolicyRule> {
    let parts = (
        words(&["get", "list", "*"]),
        words(&["", "apps", "*"]),
        words(&["pods", "pods/log", "*/log", "*"]),
        words(&["a", "b"]),
        words(&["/x", "/x/*", "*"]),
    );
    parts.prop_map(|(verbs, api_groups, resources, resource_names, non_resource_urls)| PolicyRule {
        verbs,
        api_groups,
        resources,
        resource_names,
        non_resource_urls,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whoever may grant a rule may do all that it allows.
    #[test]
    fn covered_rules_allow_no_more(held in prop::collection::vec(any_rule(), 0..4), requested in any_rule()) {
        if covers(&held, std::slice::from_ref(&requested)).is_empty() {
            for verb in ["get", "list", "x"] {
                for target in ["- pods - a", "- pods - -", "apps pods/log - b", "x pods/log - a", "x other - a"] {
                    let text = format!("{verb} {target}");
                    let ask = attributes(&text);
                    prop_assert!(!requested.allows(&ask) || held.iter().any(|own| own.allows(&ask)), "{text}");
                }
                for path in ["/x", "/x/y", "/z"] {
                    let ask = Attributes { verb, target: Target::Path(path) };
                    prop_assert!(!requested.allows(&ask) || held.iter().any(|own| own.allows(&ask)), "{verb} {path}");
                }
            }
        }
    }
}
