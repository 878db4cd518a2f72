//! Lists: chunks, revisions, selectors, and the forms in which they are shown.

use serde_json::{Value, json};

use crate::platform::{Client, MERGE, Up, up};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// Maps `a0`..`a9` with a label that says whether the number is even.
async fn ten(up: &Up) {
    for i in 0..10 {
        let labels = json!({"even": (i % 2 == 0).to_string(), "n": i.to_string()});
        up.made(MAPS, json!({"metadata": {"name": format!("a{i}"), "labels": labels}})).await;
    }
}

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

/// What a list with this query says: names, or code and message.
async fn check(client: &Client, query: &str, expected: &str) -> Value {
    let (code, list) = client.get(&format!("{MAPS}?{query}")).await;
    let said =
        if code == 200 { names(&list).join(" ") } else { format!("{code} {}", list["message"].as_str().unwrap()) };
    assert!(said == expected || (code != 200 && said.contains(expected)), "{query}: {said}");
    list
}

#[tokio::test]
async fn a_chunked_list_is_true_at_one_revision() {
    let up = up().await;
    ten(&up).await;
    let first = check(&up, "labelSelector=n&limit=4", "a0 a1 a2 a3").await;
    assert_eq!(first["metadata"].get("remainingItemCount"), None, "unknown with a selector");
    let whole = check(&up, "limit=4", "a0 a1 a2 a3").await;
    assert_eq!(whole["metadata"]["remainingItemCount"], 7, "kube-root-ca.crt is there too");
    let token = whole["metadata"]["continue"].as_str().unwrap().to_owned();
    up.delete(&format!("{MAPS}/a5")).await;
    up.patch(&format!("{MAPS}/a6"), MERGE, &json!({"data": {"x": "later"}})).await;
    up.made(MAPS, json!({"metadata": {"name": "a55"}})).await;
    let second = check(&up, &format!("limit=4&continue={token}"), "a4 a5 a6 a7").await;
    assert_eq!(second["items"][2].get("data"), None, "as it was");
    assert_eq!(second["metadata"]["resourceVersion"], whole["metadata"]["resourceVersion"]);
    check(&up, &format!("limit=4&continue={token}&resourceVersion=5"), "400 specifying resource version").await;

    // When the log no longer reaches, the answer says how to go on.
    let now = up.revision().await;
    up.store
        .write::<_, purlin_store::StoreError, _>(move |tx| {
            tx.execute("UPDATE meta SET v = ?1 WHERE k = 'compacted'", &[now.into()]).map(drop)
        })
        .await
        .unwrap();
    let expired =
        check(&up, &format!("limit=4&continue={token}"), "410 The provided continue parameter is too old").await;
    assert_eq!(expired["reason"], "Expired");
    let token = expired["metadata"]["continue"].as_str().unwrap();
    check(&up, &format!("limit=4&continue={token}"), "a4 a55 a6 a7").await;
    let old: i64 = whole["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    check(&up, &format!("resourceVersion={old}&resourceVersionMatch=Exact"), "410 ").await;
    for token in ["x", "!", "eyJydiI6MX0", "%00"] {
        check(&up, &format!("continue={token}"), "400 continue key is not valid").await;
    }
    up.stop().await;
}

#[tokio::test]
async fn revisions_of_lists() {
    let up = up().await;
    ten(&up).await;
    let then = up.revision().await;
    up.delete(&format!("{MAPS}/a0")).await;
    let future = up.revision().await + 100;
    let selected = "labelSelector=even%3Dtrue";
    for (query, expected) in [
        (format!("resourceVersion={then}&resourceVersionMatch=Exact"), "a0 a2 a4 a6 a8"),
        (format!("resourceVersion={then}&resourceVersionMatch=NotOlderThan"), "a2 a4 a6 a8"),
        (format!("resourceVersion={then}"), "a2 a4 a6 a8"),
        (format!("resourceVersion={then}&limit=3"), "a0 a2 a4"),
        ("resourceVersion=0".to_owned(), "a2 a4 a6 a8"),
        (format!("resourceVersion={future}"), "504 Timeout: Too large resource version"),
        (format!("resourceVersion={future}&resourceVersionMatch=Exact"), "504 Timeout: Too large resource version"),
        ("resourceVersion=x".to_owned(), "400 resourceVersion"),
        ("resourceVersion=-1".to_owned(), "400 resourceVersion"),
        ("resourceVersionMatch=Exact".to_owned(), "422 ListOptions.meta.k8s.io \"\" is invalid"),
        ("resourceVersion=1&resourceVersionMatch=x".to_owned(), "422 "),
        ("resourceVersion=0&resourceVersionMatch=Exact".to_owned(), "422 "),
        ("sendInitialEvents=true".to_owned(), "422 "),
    ] {
        check(&up, &format!("{selected}&{query}"), expected).await;
    }
    let (code, _) = up.get(&format!("{MAPS}/a1?resourceVersion={future}")).await;
    assert_eq!(code, 504);
    up.stop().await;
}

#[tokio::test]
async fn selectors() {
    let up = up().await;
    ten(&up).await;
    for (query, expected) in [
        ("labelSelector=even%3Dtrue,n!%3D2", "a0 a4 a6 a8"),
        ("labelSelector=n+in+(1,3),even", "a1 a3"),
        ("labelSelector=n,n+notin+(0,1,2,3,4,5,6,7)", "a8 a9"),
        ("labelSelector=!n", "kube-root-ca.crt"),
        ("labelSelector=n%3E7", "a8 a9"),
        ("fieldSelector=metadata.name%3Da3", "a3"),
        ("fieldSelector=metadata.name%3Da3,metadata.namespace!%3Ddefault", ""),
        ("labelSelector=n+in+(", "400 unable to parse"),
        ("labelSelector=n%3D%3D%3D1", "400 "),
        ("fieldSelector=data.x%3D1", "400 field label not supported: data.x"),
    ] {
        check(&up, query, expected).await;
    }
    up.stop().await;
}

#[tokio::test]
async fn events_are_the_same_objects_in_both_groups() {
    let up = up().await;
    let core = "/api/v1/namespaces/default/events";
    let events = "/apis/events.k8s.io/v1/namespaces/default/events";
    let event = json!({
        "metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "reason": "Born", "message": "hello", "type": "Normal", "source": {"component": "t"},
    });
    let mut watch = up.watch(&format!("{events}?watch=1&fieldSelector=metadata.name%3De"), "application/json").await;
    up.made(core, event).await;
    let seen = watch.next().await.unwrap();
    assert_eq!((&seen["type"], &seen["object"]["note"]), (&json!("ADDED"), &json!("hello")), "{seen}");
    assert_eq!(seen["object"]["apiVersion"], "events.k8s.io/v1");
    let (_, shown) = up.get(&format!("{events}/e")).await;
    assert_eq!((&shown["note"], &shown["regarding"]["name"]), (&json!("hello"), &json!("p")));
    let (_, found) = up.get(&format!("{core}?fieldSelector=involvedObject.name%3Dp,reason%3DBorn")).await;
    assert_eq!(names(&found), ["e"]);
    let (code, patched) =
        up.patch(&format!("{events}/e"), MERGE, &json!({"metadata": {"finalizers": ["x.io/y"]}})).await;
    assert_eq!(code, 200, "{patched}");
    // Deleted through the one group, it stays what it is in the other.
    assert_eq!(up.delete(&format!("{events}/e")).await.0, 200);
    let (_, held) = up.get(&format!("{core}/e")).await;
    assert_eq!((&held["apiVersion"], &held["message"]), (&json!("v1"), &json!("hello")), "{held}");
    up.stop().await;
}

#[tokio::test]
async fn forms() {
    let up = up().await;
    ten(&up).await;
    for version in ["v1", "v1beta1"] {
        let accept = format!("application/json;as=Table;v={version};g=meta.k8s.io");
        let (code, table) = up.get_as(&format!("{MAPS}?limit=2"), &accept).await;
        assert_eq!((code, table["kind"].as_str()), (200, Some("Table")), "{table}");
        assert_eq!(table["apiVersion"], format!("meta.k8s.io/{version}"));
        assert_eq!(table["rows"].as_array().unwrap().len(), 2);
        assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
        assert!(table["metadata"]["continue"].is_string());
        let (_, one) = up.get_as(&format!("{MAPS}/a1?includeObject=Object"), &accept).await;
        assert_eq!(one["rows"][0]["object"]["kind"], "ConfigMap", "{one}");
        let accept = format!("application/json;as=PartialObjectMetadataList;v={version};g=meta.k8s.io");
        let (_, list) = up.get_as(MAPS, &accept).await;
        assert_eq!(list["kind"], "PartialObjectMetadataList");
        assert_eq!(list["items"][0].get("data"), None);
    }
    for accept in ["text/html", "application/json;as=Table;v=v9;g=meta.k8s.io", "application/vnd.kubernetes.protobuf"] {
        let (code, refused) = up.get_as(MAPS, accept).await;
        assert_eq!((code, refused["reason"].as_str()), (406, Some("NotAcceptable")), "{accept}");
    }
    up.stop().await;
}
