//! Namespaces: what is in them from the start, and how they go.

use std::time::Instant;

use serde_json::json;

use crate::platform::{MERGE, until, up};

const ALL: &str = "/api/v1/namespaces";

#[tokio::test]
async fn a_namespace_has_its_account_and_root_ca() {
    let up = up().await;
    up.made(ALL, json!({"metadata": {"name": "t"}})).await;
    let account = "/api/v1/namespaces/t/serviceaccounts/default";
    let root = "/api/v1/namespaces/t/configmaps/kube-root-ca.crt";
    let there = async |path: &str| until(path, || async { up.get(path).await.0 == 200 }).await;
    there(account).await;
    there(root).await;
    up.delete(account).await;
    up.delete(root).await;
    there(account).await;
    there(root).await;
    up.patch(root, MERGE, &json!({"data": {"ca.crt": "spoilt"}})).await;
    let restored = || async { up.get(root).await.1["data"]["ca.crt"].as_str().unwrap().contains("BEGIN CERTIFICATE") };
    until("the certificate to be restored", restored).await;
    up.stop().await;
}

#[tokio::test]
async fn a_namespace_waits_for_finalizers() {
    let up = up().await;
    let (namespace, map) = ("/api/v1/namespaces/t", "/api/v1/namespaces/t/configmaps/held");
    up.made(ALL, json!({"metadata": {"name": "t"}, "spec": {"finalizers": ["x.io/spec"]}})).await;
    up.made("/api/v1/namespaces/t/configmaps", json!({"metadata": {"name": "held", "finalizers": ["x.io/y"]}})).await;
    up.made("/api/v1/namespaces/t/secrets", json!({"metadata": {"name": "free"}})).await;
    let (code, dying) = up.delete(namespace).await;
    assert_eq!((code, dying["status"]["phase"].as_str()), (200, Some("Terminating")));
    let (code, late) = up.post("/api/v1/namespaces/t/secrets", &json!({"metadata": {"name": "late"}})).await;
    assert_eq!((code, late["details"]["causes"][0]["reason"].as_str()), (403, Some("NamespaceTerminating")), "{late}");
    up.gone("/api/v1/namespaces/t/secrets/free").await;
    let told = async || {
        let (_, namespace) = up.get(namespace).await;
        let conditions = namespace["status"]["conditions"].as_array().into_iter().flatten();
        conditions.map(|c| ["type", "status", "message"].map(|f| c[f].as_str().unwrap()).join(": ")).collect::<Vec<_>>()
    };
    let held = [
        "NamespaceDeletionDiscoveryFailure: False: All resources successfully discovered",
        "NamespaceDeletionGroupVersionParsingFailure: False: All legacy kube types successfully parsed",
        "NamespaceDeletionContentFailure: False: All content successfully deleted, may be waiting on finalization",
        "NamespaceContentRemaining: True: Some resources are remaining: configmaps. has 1 resource instances",
        "NamespaceFinalizersRemaining: True: Some content in the namespace has finalizers remaining: x.io/y in 1 resource instances",
    ];
    until("the conditions", || async { told().await == held }).await;
    up.patch(map, MERGE, &json!({"metadata": {"finalizers": null}})).await;
    until("its own finalizer", || async { up.get(namespace).await.1["spec"]["finalizers"] == json!(["x.io/spec"]) })
        .await;
    let free = "NamespaceFinalizersRemaining: False: All content-preserving finalizers finished";
    until("the last condition", || async { told().await.get(4).is_some_and(|last| last == free) }).await;
    let quiet = up.revision().await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(up.revision().await, quiet, "waiting writes nothing");
    let stale =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "t", "resourceVersion": "1"}, "spec": {}});
    assert_eq!(up.put(&format!("{namespace}/finalize"), &stale).await.0, 409);
    let last = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "t"}, "spec": {"finalizers": []}});
    let (code, answer) = up.put(&format!("{namespace}/finalize"), &last).await;
    assert_eq!(code, 200, "{answer}");
    up.gone(namespace).await;
    up.stop().await;
}

#[tokio::test]
async fn a_namespace_that_comes_anew_is_left_alone() {
    let up = up().await;
    let namespace = "/api/v1/namespaces/t";
    let free = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "t"}, "spec": {"finalizers": []}});
    for round in 0..5 {
        up.made(ALL, json!({"metadata": {"name": "t"}})).await;
        let map = json!({"metadata": {"name": "held", "finalizers": ["x.io/y"]}});
        up.made("/api/v1/namespaces/t/configmaps", map).await;
        up.delete(namespace).await;
        up.patch("/api/v1/namespaces/t/configmaps/held", MERGE, &json!({"metadata": {"finalizers": null}})).await;
        up.put(&format!("{namespace}/finalize"), &free).await;
        until("the namespace to go", || async { up.get(namespace).await.0 == 404 }).await;
        up.made(ALL, json!({"metadata": {"name": "t"}})).await;
        up.made("/api/v1/namespaces/t/secrets", json!({"metadata": {"name": "mine"}})).await;
        tokio::time::sleep(std::time::Duration::from_millis(120)).await;
        assert_eq!(up.get("/api/v1/namespaces/t/secrets/mine").await.0, 200, "round {round}");
        let (_, living) = up.get(namespace).await;
        assert_eq!(living["spec"]["finalizers"], json!(["kubernetes"]), "round {round}");
        // Even one that lost its finalizer is emptied.
        up.put(&format!("{namespace}/finalize"), &free).await;
        let (code, dying) = up.delete(namespace).await;
        assert_eq!((code, dying["status"]["phase"].as_str()), (200, Some("Terminating")), "{dying}");
        up.gone(namespace).await;
    }
    up.stop().await;
}

#[tokio::test]
async fn a_thousand_objects_go_with_their_namespace() {
    let up = up().await;
    up.made(ALL, json!({"metadata": {"name": "t"}})).await;
    let maps = "/api/v1/namespaces/t/configmaps";
    let owner = up.made(maps, json!({"metadata": {"name": "owner"}})).await;
    let owners = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}]);
    for chunk in 0..10 {
        let each = (0..100).map(|i| {
            let name = format!("m{}", chunk * 100 + i);
            up.made(maps, json!({"metadata": {"name": name, "ownerReferences": owners}}))
        });
        futures::future::join_all(each).await;
    }
    let began = Instant::now();
    up.delete("/api/v1/namespaces/t").await;
    up.gone("/api/v1/namespaces/t").await;
    tracing::info!(took = ?began.elapsed(), "a namespace of 1,001 objects is gone");
    assert_eq!(up.get(maps).await.1["items"], json!([]));
    up.stop().await;
}

#[tokio::test]
async fn the_service_of_the_api_comes_back() {
    let up = up().await;
    let service = "/api/v1/namespaces/default/services/kubernetes";
    let slice = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes";
    let endpoints = "/api/v1/namespaces/default/endpoints/kubernetes";
    let (ip, port) = (up.address.ip().to_string(), up.address.port());
    let right = async || {
        let [service, slice, endpoints] = [up.get(service).await.1, up.get(slice).await.1, up.get(endpoints).await.1];
        let subset = &endpoints["subsets"][0];
        service["spec"]["clusterIP"] == "10.96.0.1"
            && service["spec"]["ports"][0]["targetPort"] == port
            && slice["metadata"]["labels"]["kubernetes.io/service-name"] == "kubernetes"
            && slice["endpoints"] == json!([{"addresses": [ip], "conditions": {"ready": true}}])
            && slice["ports"] == json!([{"name": "https", "port": port, "protocol": "TCP"}])
            && (&subset["addresses"][0]["ip"], &subset["ports"][0]["port"]) == (&json!(ip), &json!(port))
    };
    assert!(right().await);
    for path in [service, slice, endpoints] {
        let before = up.get(path).await.1["metadata"]["uid"].clone();
        assert_eq!(up.delete(path).await.0, 200);
        until(path, || async { right().await && up.get(path).await.1["metadata"]["uid"] != before }).await;
    }
    let stray =
        json!({"metadata": {"labels": {"kubernetes.io/service-name": "other", "mine": "kept"}}, "endpoints": []});
    assert_eq!(up.patch(slice, MERGE, &stray).await.0, 200);
    until("the slice to be put right", &right).await;
    assert_eq!(up.get(slice).await.1["metadata"]["labels"]["mine"], "kept");
    // What is right is not written again and again.
    up.settled().await;
    up.stop().await;
}
