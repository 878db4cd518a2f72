//! Owner references: what goes with its owner, what waits, what stays.

use serde_json::{Value, json};

use crate::platform::{MERGE, Up, until, up};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn uid(up: &Up, name: &str) -> String {
    up.get(&format!("{MAPS}/{name}")).await.1["metadata"]["uid"].as_str().unwrap().to_owned()
}

async fn reference(up: &Up, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid(up, name).await, "blockOwnerDeletion": true})
}

/// Makes a map with these owners, and finalizers.
async fn make(up: &Up, name: &str, owners: &[&str], finalizers: &[&str]) {
    let mut references = Vec::new();
    for owner in owners {
        references.push(reference(up, owner).await);
    }
    up.made(MAPS, json!({"metadata": {"name": name, "ownerReferences": references, "finalizers": finalizers}})).await;
}

async fn delete(up: &Up, name: &str, policy: &str) -> Value {
    let (code, answer) = up
        .send(
            "DELETE",
            &format!("{MAPS}/{name}"),
            "application/json",
            &json!({"propagationPolicy": policy}).to_string(),
        )
        .await;
    assert_eq!(code, 200, "{answer}");
    answer
}

async fn gone(up: &Up, name: &str) {
    up.gone(&format!("{MAPS}/{name}")).await;
}

async fn owners(up: &Up, name: &str) -> Vec<String> {
    let (code, map) = up.get(&format!("{MAPS}/{name}")).await;
    assert_eq!(code, 200, "{name} is to stay");
    let list = map["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
    list.iter().map(|r| r["name"].as_str().unwrap().to_owned()).collect()
}

async fn owned_by(up: &Up, name: &str, expected: &[&str]) {
    until(name, || async { owners(up, name).await == expected }).await;
}

#[tokio::test]
async fn background_takes_what_is_owned_afterwards() {
    let up = up().await;
    make(&up, "a", &[], &[]).await;
    make(&up, "b", &["a"], &[]).await;
    make(&up, "c", &["b"], &[]).await;
    make(&up, "other", &[], &[]).await;
    make(&up, "shared", &["a", "other"], &[]).await;
    delete(&up, "a", "Background").await;
    gone(&up, "b").await;
    gone(&up, "c").await;
    owned_by(&up, "shared", &["other"]).await;
    delete(&up, "other", "Background").await;
    gone(&up, "shared").await;
    up.stop().await;
}

#[tokio::test]
async fn foreground_takes_what_is_owned_first() {
    let up = up().await;
    make(&up, "a", &[], &[]).await;
    make(&up, "b", &["a"], &[]).await;
    make(&up, "held", &["b"], &["x.io/y"]).await;
    make(&up, "other", &[], &[]).await;
    make(&up, "shared", &["a", "other"], &[]).await;
    let dying = delete(&up, "a", "Foreground").await;
    assert_eq!(dying["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    owned_by(&up, "shared", &["other"]).await;
    let marked = || async { up.get(&format!("{MAPS}/held")).await.1["metadata"]["deletionTimestamp"].is_string() };
    until("what is held to be deleted", marked).await;
    assert_eq!(up.get(&format!("{MAPS}/a")).await.0, 200);
    up.patch(&format!("{MAPS}/held"), MERGE, &json!({"metadata": {"finalizers": null}})).await;
    for name in ["held", "b", "a"] {
        gone(&up, name).await;
    }
    assert_eq!(owners(&up, "shared").await, ["other"]);
    up.stop().await;
}

#[tokio::test]
async fn an_owner_is_let_go_when_what_it_waits_for_leaves_it() {
    let up = up().await;
    make(&up, "a", &[], &[]).await;
    make(&up, "held", &["a"], &["x.io/y"]).await;
    delete(&up, "a", "Foreground").await;
    let marked = || async { up.get(&format!("{MAPS}/held")).await.1["metadata"]["deletionTimestamp"].is_string() };
    until("what is held to be deleted", marked).await;
    up.patch(&format!("{MAPS}/held"), MERGE, &json!({"metadata": {"ownerReferences": null}})).await;
    gone(&up, "a").await;
    // A later delete decides anew: what waited in the foreground goes at once.
    make(&up, "b", &[], &[]).await;
    make(&up, "held2", &["b"], &["x.io/y"]).await;
    delete(&up, "b", "Foreground").await;
    delete(&up, "b", "Background").await;
    gone(&up, "b").await;
    up.stop().await;
}

#[tokio::test]
async fn orphans_stay() {
    let up = up().await;
    make(&up, "a", &[], &[]).await;
    make(&up, "b", &["a"], &[]).await;
    delete(&up, "a", "Orphan").await;
    gone(&up, "a").await;
    owned_by(&up, "b", &[]).await;
    up.stop().await;
}

#[tokio::test]
async fn owners_that_never_were_and_circles() {
    let up = up().await;
    let never = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "never", "uid": "0-0"});
    up.made(MAPS, json!({"metadata": {"name": "lost", "ownerReferences": [never]}})).await;
    gone(&up, "lost").await;
    let unknown = json!({"apiVersion": "none.io/v1", "kind": "Never", "name": "never", "uid": "0-0"});
    up.made(MAPS, json!({"metadata": {"name": "kept", "ownerReferences": [unknown]}})).await;
    let class = "/apis/gateway.networking.k8s.io/v1/gatewayclasses";
    let spec = json!({"controllerName": "x.io/y"});
    up.made(class, json!({"metadata": {"name": "wide", "ownerReferences": [never]}, "spec": spec})).await;

    make(&up, "a", &[], &[]).await;
    make(&up, "b", &["a"], &[]).await;
    let back = json!({"metadata": {"ownerReferences": [reference(&up, "b").await]}});
    up.patch(&format!("{MAPS}/a"), MERGE, &back).await;
    delete(&up, "a", "Foreground").await;
    gone(&up, "a").await;
    gone(&up, "b").await;
    assert_eq!(up.get(&format!("{MAPS}/kept")).await.0, 200, "its owner's kind may come back");
    assert_eq!(up.get(&format!("{class}/wide")).await.0, 200, "an owner in no namespace cannot be looked up");
    up.stop().await;
}

#[tokio::test]
async fn what_was_left_undone_is_done_after_a_restart() {
    let mut up = up().await;
    make(&up, "a", &[], &[]).await;
    make(&up, "b", &["a"], &["x.io/y"]).await;
    make(&up, "c", &["b"], &[]).await;
    delete(&up, "a", "Foreground").await;
    until("b to be deleted", || async {
        up.get(&format!("{MAPS}/b")).await.1["metadata"]["deletionTimestamp"].is_string()
    })
    .await;
    up.halt().await;
    up.start().await;
    up.patch(&format!("{MAPS}/b"), MERGE, &json!({"metadata": {"finalizers": null}})).await;
    for name in ["a", "b", "c"] {
        gone(&up, name).await;
    }
    up.stop().await;
}
