//! The role ends, in order or not, and comes back knowing all that it knew.

use serde_json::{Value, json};

use crate::platform::{MERGE, Up, up};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const SERVICES: &str = "/api/v1/namespaces/default/services";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

fn service(name: &str, ip: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"clusterIP": ip, "ports": [{"port": 1}]}})
}

async fn furnish(up: &Up) {
    up.made(MAPS, json!({"metadata": {"name": "a"}, "data": {"k": "v"}})).await;
    up.made(SERVICES, service("s", "10.96.9.9")).await;
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]);
    up.made(&format!("{RBAC}/clusterroles"), json!({"metadata": {"name": "r"}, "rules": rules})).await;
    let group = "rbac.authorization.k8s.io";
    let binding = json!({
        "metadata": {"name": "r"}, "subjects": [{"kind": "User", "name": "jane", "apiGroup": group}],
        "roleRef": {"kind": "ClusterRole", "name": "r", "apiGroup": group},
    });
    up.made(&format!("{RBAC}/clusterrolebindings"), binding).await;
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let crd = json!({"metadata": {"name": "boxes.t.io"}, "spec": {
        "group": "t.io", "scope": "Cluster", "names": {"plural": "boxes", "kind": "Box"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}],
    }});
    up.made(CRDS, crd).await;
    up.made("/apis/t.io/v1/boxes", json!({"metadata": {"name": "b"}})).await;
    up.made("/api/v1/namespaces", json!({"metadata": {"name": "dying"}})).await;
    let held = json!({"metadata": {"name": "held", "finalizers": ["x.io/y"]}});
    up.made("/api/v1/namespaces/dying/configmaps", held).await;
    up.delete("/api/v1/namespaces/dying").await;
}

async fn check(up: &Up, spare: &str) {
    assert_eq!(up.get(&format!("{MAPS}/a")).await.1["data"]["k"], "v");
    assert_eq!(up.get("/apis/t.io/v1/boxes/b").await.0, 200);
    let jane = up.as_user("jane", &[]);
    assert_eq!((jane.get(MAPS).await.0, jane.get(SERVICES).await.0), (200, 403));
    let (code, taken) = up.post(SERVICES, &service(spare, "10.96.9.9")).await;
    assert!(code == 422 && taken["message"].as_str().unwrap().contains("already allocated"), "{taken}");
    let (code, late) = up.post("/api/v1/namespaces/dying/configmaps", &json!({"metadata": {"name": spare}})).await;
    assert_eq!(code, 403, "{late}");
}

#[tokio::test]
async fn what_was_there_is_learned_again() {
    let mut up = up().await;
    furnish(&up).await;
    check(&up, "x").await;
    let mut watch = up.watch(&format!("{MAPS}?watch=1&labelSelector=none"), "application/json").await;
    up.crash().await;
    assert_eq!(watch.next().await, None, "a watch ends with its role");
    check(&up, "y").await;
    up.halt().await;
    up.start().await;
    check(&up, "z").await;
    up.patch("/api/v1/namespaces/dying/configmaps/held", MERGE, &json!({"metadata": {"finalizers": null}})).await;
    up.gone("/api/v1/namespaces/dying").await;
    up.stop().await;
}

#[tokio::test]
async fn a_second_start_changes_nothing() {
    let mut up = up().await;
    let before = up.settled().await;
    up.halt().await;
    up.start().await;
    assert_eq!(up.settled().await, before);
    up.crash().await;
    assert_eq!(up.settled().await, before);
    up.stop().await;
}
