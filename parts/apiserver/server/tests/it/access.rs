//! RBAC: who may do what, and who may say so.

use serde_json::{Value, json};

use crate::platform::{APPLY, Client, Up, until, up};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn grant(up: &Up, name: &str, user: &str, rules: Value) {
    up.made(&format!("{RBAC}/clusterroles"), json!({"metadata": {"name": name}, "rules": rules})).await;
    bind(up, name, user).await;
}

fn binding(name: &str, user: &str) -> Value {
    json!({
        "metadata": {"name": name}, "subjects": [{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}],
        "roleRef": {"kind": "ClusterRole", "name": name, "apiGroup": "rbac.authorization.k8s.io"},
    })
}

async fn bind(up: &Up, name: &str, user: &str) {
    up.made(&format!("{RBAC}/clusterrolebindings"), binding(name, user)).await;
}

async fn refused(answer: (u16, Value), words: &str) {
    let (code, answer) = answer;
    assert!(code == 403 && answer["message"].as_str().unwrap().contains(words), "{code} {words}: {answer}");
}

#[tokio::test]
async fn roles_and_bindings_take_effect_at_once() {
    let up = up().await;
    let jane = up.as_user("jane", &[]);
    let words = "configmaps is forbidden: User \"jane\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"default\"";
    refused(jane.get(MAPS).await, words).await;
    let role = json!({"metadata": {"name": "r"}, "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]});
    let roles = format!("{RBAC}/namespaces/default");
    up.made(&format!("{roles}/roles"), role).await;
    let mut bound = binding("r", "jane");
    bound["roleRef"]["kind"] = "Role".into();
    up.made(&format!("{roles}/rolebindings"), bound).await;
    assert_eq!(jane.get(MAPS).await.0, 200);
    refused(jane.get("/api/v1/configmaps").await, "at the cluster scope").await;
    refused(jane.get("/api/v1/namespaces/kube-system/configmaps").await, "namespace \"kube-system\"").await;
    refused(jane.get(&format!("{MAPS}/x")).await, "configmaps \"x\" is forbidden").await;
    refused(jane.get("/metrics").await, "forbidden: User \"jane\" cannot get path \"/metrics\"").await;
    assert_eq!(jane.get("/apis").await.0, 200);
    up.delete(&format!("{roles}/rolebindings/r")).await;
    assert_eq!(jane.get(MAPS).await.0, 403);

    // A role for one name lets its bearer list and watch that one.
    grant(&up, "one", "joe", json!([{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["a"], "verbs": ["get", "list", "watch"]}])).await;
    let joe = up.as_user("joe", &[]);
    assert_eq!(joe.get(&format!("{MAPS}?fieldSelector=metadata.name%3Da")).await.0, 200);
    joe.watch(&format!("{MAPS}?watch=1&fieldSelector=metadata.name%3Da"), "application/json").await;
    assert_eq!(joe.get(&format!("{MAPS}?fieldSelector=metadata.name%3Db")).await.0, 403);
    assert_eq!(joe.get(MAPS).await.0, 403);
    assert_eq!(joe.get(&format!("{MAPS}/a?watch=1")).await.0, 404, "a single object is got");

    // To apply what is not there is to create it.
    grant(&up, "patcher", "jim", json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch"]}])).await;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new"}});
    let path = format!("{MAPS}/new?fieldManager=t");
    refused(up.as_user("jim", &[]).patch(&path, APPLY, &map).await, "cannot create resource \"configmaps\"").await;
    assert_eq!(up.patch(&path, APPLY, &map).await.0, 201);
    assert_eq!(up.as_user("jim", &[]).patch(&path, APPLY, &map).await.0, 200);
    up.stop().await;
}

#[tokio::test]
async fn nobody_grants_what_they_do_not_hold() {
    let up = up().await;
    let rbac = json!({"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["*"], "verbs": ["create", "update", "patch", "get"]});
    let maps = json!({"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]});
    let secrets = json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]});
    grant(&up, "granter", "jane", json!([rbac, maps])).await;
    let jane = up.as_user("jane", &[]);
    let roles = format!("{RBAC}/clusterroles");
    jane.made(&roles, json!({"metadata": {"name": "mine"}, "rules": [maps]})).await;
    refused(jane.post(&roles, &json!({"metadata": {"name": "more"}, "rules": [secrets]})).await, "not currently held")
        .await;
    let patch = async |body: Value| jane.patch(&format!("{roles}/mine"), crate::platform::MERGE, &body).await;
    refused(patch(json!({"rules": [secrets]})).await, "not currently held").await;
    let gathers = json!({"clusterRoleSelectors": [{"matchLabels": {"any": "thing"}}]});
    refused(patch(json!({"aggregationRule": gathers})).await, "not currently held").await;
    let applied = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "more"}, "rules": [secrets]});
    refused(
        jane.patch(&format!("{roles}/more?fieldManager=t"), crate::platform::APPLY, &applied).await,
        "not currently held",
    )
    .await;
    assert_eq!(patch(json!({"metadata": {"labels": {"a": "b"}}})).await.0, 200, "what is held may be kept");

    up.made(&roles, json!({"metadata": {"name": "reader"}, "rules": [secrets]})).await;
    let bindings = format!("{RBAC}/clusterrolebindings");
    refused(jane.post(&bindings, &binding("reader", "jane")).await, "not currently held").await;
    refused(jane.post(&bindings, &binding("none", "jane")).await, "does not exist").await;
    assert_eq!(jane.post(&bindings, &binding("mine", "joe")).await.0, 201);
    grant(&up, "binder", "jane", json!([{"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "resourceNames": ["reader"], "verbs": ["bind"]}])).await;
    assert_eq!(jane.post(&bindings, &binding("reader", "jane")).await.0, 201);
    grant(&up, "escalator", "joe", json!([rbac, {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "verbs": ["escalate"]}])).await;
    let joe = up.as_user("joe", &[]);
    joe.made(&roles, json!({"metadata": {"name": "more"}, "rules": [secrets]})).await;
    up.stop().await;
}

#[tokio::test]
async fn roles_are_aggregated() {
    let up = up().await;
    let selectors = json!({"clusterRoleSelectors": [{"matchLabels": {"sum": "yes"}}]});
    up.made(&format!("{RBAC}/clusterroles"), json!({"metadata": {"name": "sum"}, "aggregationRule": selectors})).await;
    bind(&up, "sum", "jane").await;
    let jane = up.as_user("jane", &[]);
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]);
    let part = json!({"metadata": {"name": "part", "labels": {"sum": "yes"}}, "rules": rules});
    up.made(&format!("{RBAC}/clusterroles"), part).await;
    until("the rules to be gathered", || async { jane.get(MAPS).await.0 == 200 }).await;
    up.delete(&format!("{RBAC}/clusterroles/part")).await;
    until("the rules to be taken back", || async { jane.get(MAPS).await.0 == 403 }).await;
    up.stop().await;
}

#[tokio::test]
async fn acting_as_others() {
    let up = up().await;
    grant(
        &up,
        "actor",
        "jane",
        json!([{"apiGroups": [""], "resources": ["users"], "resourceNames": ["joe"], "verbs": ["impersonate"]}]),
    )
    .await;
    grant(&up, "maps", "joe", json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}])).await;
    let jane = up.as_user("jane", &[]);
    let list = async |client: &Client, headers: &[(&str, &str)]| {
        let (code, _, answer) = client.full("GET", MAPS, headers, "").await;
        (code, answer)
    };
    assert_eq!(list(&jane, &[("impersonate-user", "joe")]).await.0, 200);
    refused(list(&jane, &[("impersonate-user", "jim")]).await, "cannot impersonate resource \"users\"").await;
    refused(list(&jane, &[("impersonate-user", "joe"), ("impersonate-group", "g")]).await, "\"groups\"").await;
    refused(list(&jane, &[("impersonate-user", "joe"), ("impersonate-extra-a", "b")]).await, "userextras").await;
    assert_eq!(list(&jane, &[("impersonate-group", "g")]).await.0, 400, "a group without a user");
    assert_eq!(list(&up, &[("impersonate-user", "jim")]).await.0, 403, "an administrator gives up their own rights");
    let who = async |headers: &[(&str, &str)]| {
        let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
        up.full("POST", path, headers, "{}").await.2["status"]["userInfo"].clone()
    };
    let info = who(&[
        ("impersonate-user", "jim"),
        ("impersonate-group", "g"),
        ("impersonate-uid", "7"),
        ("impersonate-extra-a", "b"),
    ])
    .await;
    assert_eq!((&info["username"], &info["uid"], &info["extra"]["a"]), (&json!("jim"), &json!("7"), &json!(["b"])));
    assert!(info["groups"].to_string().contains("\"g\""), "{info}");
    up.stop().await;
}

#[tokio::test]
async fn reviews() {
    let up = up().await;
    grant(&up, "maps", "jane", json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}])).await;
    let jane = up.as_user("jane", &[]);
    let reviews = "/apis/authorization.k8s.io/v1";
    let asks = |verb: &str| json!({"namespace": "default", "verb": verb, "resource": "configmaps"});
    for (verb, allowed) in [("list", true), ("delete", false)] {
        let own = json!({"spec": {"resourceAttributes": asks(verb)}});
        let answer = jane.made(&format!("{reviews}/selfsubjectaccessreviews"), own).await;
        assert_eq!(answer["status"]["allowed"], allowed, "{answer}");
        let others = json!({"spec": {"user": "jane", "resourceAttributes": asks(verb)}});
        let answer = up.made(&format!("{reviews}/subjectaccessreviews"), others.clone()).await;
        assert_eq!(answer["status"]["allowed"], allowed, "{answer}");
        let local = format!("{reviews}/namespaces/default/localsubjectaccessreviews");
        assert_eq!(up.made(&local, others).await["status"]["allowed"], allowed);
    }
    assert_eq!(jane.post(&format!("{reviews}/subjectaccessreviews"), &json!({"spec": {"user": "joe"}})).await.0, 403);
    let rules =
        jane.made(&format!("{reviews}/selfsubjectrulesreviews"), json!({"spec": {"namespace": "default"}})).await;
    assert!(rules["status"]["resourceRules"].to_string().contains("configmaps"), "{rules}");
    assert_eq!(up.get(&format!("{reviews}/selfsubjectaccessreviews")).await.0, 405);
    let everywhere = json!({"spec": {"user": "jane", "resourceAttributes": asks("list")}});
    let misplaced = format!("{reviews}/namespaces/default/subjectaccessreviews");
    assert_eq!(up.post(&misplaced, &everywhere).await.0, 404, "a role of one namespace asks about no other");
    up.stop().await;
}
