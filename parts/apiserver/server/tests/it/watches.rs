//! Watches: where they begin, what they say, how they end.

use futures::StreamExt as _;
use kube::runtime::watcher;
use serde_json::json;

use crate::platform::{MERGE, Up, up};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const JSON: &str = "application/json";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

async fn make(up: &Up, name: &str) {
    up.made(MAPS, json!({"metadata": {"name": name, "labels": {"mine": "1"}}})).await;
}

async fn label(up: &Up, name: &str, value: &str) {
    let (code, _) = up.patch(&format!("{MAPS}/{name}"), MERGE, &json!({"metadata": {"labels": {"l": value}}})).await;
    assert_eq!(code, 200);
}

#[tokio::test]
async fn from_the_start_from_a_revision_and_of_one_object() {
    let up = up().await;
    make(&up, "a").await;
    // What every namespace is given is behind it: the watch from there has no selector.
    let rv = up.settled().await;
    make(&up, "b").await;
    let mut all = up.watch(&format!("{MAPS}?watch=1&labelSelector=mine"), JSON).await;
    all.check(&["ADDED a", "ADDED b"]).await;
    let mut since = up.watch(&format!("{MAPS}?watch=1&resourceVersion={rv}"), JSON).await;
    since.check(&["ADDED b"]).await;
    let mut one = up.watch(&format!("{MAPS}?watch=1&fieldSelector=metadata.name%3Db"), JSON).await;
    one.check(&["ADDED b"]).await;
    let mut old = up.watch("/api/v1/watch/namespaces/default/configmaps/b", JSON).await;
    old.check(&["ADDED b"]).await;
    label(&up, "a", "x").await;
    label(&up, "b", "x").await;
    up.delete(&format!("{MAPS}/b")).await;
    for watch in [&mut all, &mut since] {
        watch.check(&["MODIFIED a", "MODIFIED b", "DELETED b"]).await;
    }
    for watch in [&mut one, &mut old] {
        watch.check(&["MODIFIED b", "DELETED b"]).await;
    }
    up.stop().await;
}

#[tokio::test]
async fn a_selector_makes_objects_come_and_go() {
    let up = up().await;
    make(&up, "a").await;
    let mut watch = up.watch(&format!("{MAPS}?watch=1&labelSelector=l%3Dx"), JSON).await;
    label(&up, "a", "x").await;
    label(&up, "a", "y").await;
    let added = watch.next().await.unwrap();
    assert_eq!(added["type"], "ADDED");
    let gone = watch.next().await.unwrap();
    assert_eq!(gone["type"], "DELETED");
    assert_eq!(gone["object"]["metadata"]["labels"]["l"], "x", "as it was when it matched: {gone}");
    assert_ne!(gone["object"]["metadata"]["resourceVersion"], added["object"]["metadata"]["resourceVersion"]);
    label(&up, "a", "x").await;
    up.delete(&format!("{MAPS}/a")).await;
    watch.check(&["ADDED a", "DELETED a"]).await;
    up.stop().await;
}

#[tokio::test]
async fn initial_events_end_with_a_bookmark() {
    let up = up().await;
    make(&up, "a").await;
    up.settled().await;
    let query =
        "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&labelSelector=mine";
    for (accept, kind) in [
        (JSON, "ConfigMap"),
        (TABLE, "Table"),
        ("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", "PartialObjectMetadata"),
    ] {
        let mut watch = up.watch(&format!("{MAPS}?{query}"), accept).await;
        let first = watch.next().await.unwrap();
        assert_eq!((&first["type"], &first["object"]["kind"]), (&json!("ADDED"), &json!(kind)), "{first}");
        let bookmark = watch.next().await.unwrap();
        assert_eq!((&bookmark["type"], &bookmark["object"]["kind"]), (&json!("BOOKMARK"), &json!(kind)), "{bookmark}");
        assert!(bookmark.to_string().contains("k8s.io/initial-events-end"), "{bookmark}");
        assert_eq!(bookmark["object"]["metadata"]["resourceVersion"], up.revision().await.to_string());
    }
    for (query, code) in [
        ("watch=1&sendInitialEvents=true", 422),
        ("watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan", 422),
        ("watch=1&resourceVersionMatch=NotOlderThan", 422),
        ("watch=1&resourceVersion=99999", 504),
        ("watch=1&resourceVersion=x", 400),
        ("watch=1&labelSelector=(", 400),
    ] {
        assert_eq!(up.get(&format!("{MAPS}?{query}")).await.0, code, "{query}");
    }
    up.stop().await;
}

#[tokio::test]
async fn a_bookmark_tells_how_far_a_quiet_watch_has_come() {
    let up = up().await;
    let mut watch = up.watch("/api/v1/secrets?watch=1&allowWatchBookmarks=true&timeoutSeconds=1", JSON).await;
    make(&up, "a").await;
    let newest = up.revision().await;
    let last = watch.next().await.unwrap();
    assert_eq!(last["type"], "BOOKMARK");
    let told: i64 = last["object"]["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    assert!(told >= newest, "{told} {newest}");
    assert_eq!(watch.next().await, None, "its time is over");
    up.stop().await;
}

#[tokio::test]
async fn a_watch_goes_on_from_the_log_until_that_is_gone() {
    let mut up = up().await;
    let rv = up.revision().await;
    let names: Vec<String> = (0..600).map(|i| format!("m{i:03}")).collect();
    for chunk in names.chunks(50) {
        futures::future::join_all(chunk.iter().map(|name| make(&up, name))).await;
    }
    // The ring keeps 512: the first come from the log.
    let path = format!("{MAPS}?watch=1&resourceVersion={rv}&labelSelector=mine");
    let check = async |up: &Up| {
        let mut watch = up.watch(&path, JSON).await;
        let mut seen = Vec::new();
        while seen.len() < 600 {
            let event = watch.next().await.unwrap();
            assert_eq!(event["type"], "ADDED");
            seen.push(event["object"]["metadata"]["name"].as_str().unwrap().to_owned());
        }
        make(up, "later").await;
        watch.check(&["ADDED later"]).await;
        up.delete(&format!("{MAPS}/later")).await;
        seen.sort();
        assert_eq!(seen, names);
    };
    check(&up).await;
    up.halt().await;
    up.start().await;
    check(&up).await;
    let now = up.revision().await;
    up.store
        .write::<_, purlin_store::StoreError, _>(move |tx| {
            tx.execute("UPDATE meta SET v = ?1 WHERE k = 'compacted'", &[now.into()])?;
            tx.execute("DELETE FROM log WHERE rv <= ?1", &[now.into()]).map(drop)
        })
        .await
        .unwrap();
    up.halt().await;
    up.start().await;
    let mut watch = up.watch(&path, JSON).await;
    let error = watch.next().await.unwrap();
    assert_eq!((&error["type"], &error["object"]["code"]), (&json!("ERROR"), &json!(410)), "{error}");
    assert_eq!(error["object"]["reason"], "Expired");
    assert_eq!(watch.next().await, None);
    up.stop().await;
}

#[tokio::test]
async fn shutdown_ends_watches_and_what_is_in_flight_finishes() {
    let mut up = up().await;
    let mut watch = up.watch(&format!("{MAPS}?watch=1&labelSelector=none"), JSON).await;
    let tls = up.over_tls(None).await;
    assert_eq!(tls.get("/version").await.0, 200);
    up.halt().await;
    assert_eq!(watch.next().await, None);
    assert_eq!(up.get("/version").await.0, 503);
    up.stop().await;
}

#[tokio::test]
async fn a_kube_watcher_with_a_streaming_list() {
    let up = up().await;
    make(&up, "a").await;
    type Meta = kube::core::DynamicObject;
    let resource = kube::core::ApiResource {
        group: String::new(),
        version: "v1".into(),
        api_version: "v1".into(),
        kind: "ConfigMap".into(),
        plural: "configmaps".into(),
    };
    let maps: kube::Api<Meta> = kube::Api::namespaced_with(up.0.clone(), "default", &resource);
    let config = watcher::Config::default().labels("mine").streaming_lists();
    let mut events = watcher(maps, config).boxed();
    let mut said = Vec::new();
    while said.len() < 4 {
        said.push(match events.next().await.unwrap().unwrap() {
            watcher::Event::Init => "init".to_owned(),
            watcher::Event::InitApply(map) => format!("there {}", map.metadata.name.unwrap()),
            watcher::Event::InitDone => {
                make(&up, "b").await;
                "done".to_owned()
            }
            watcher::Event::Apply(map) => format!("new {}", map.metadata.name.unwrap()),
            watcher::Event::Delete(_) => "gone".to_owned(),
        });
    }
    assert_eq!(said, ["init", "there a", "done", "new b"]);
    up.stop().await;
}
