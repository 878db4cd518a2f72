//! Objects written, read, patched and deleted.

use serde_json::json;

use crate::platform::up;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn a_config_map_lives_and_dies() {
    let up = up().await;
    let map = json!({"metadata": {"name": "a"}, "data": {"k": "1"}});
    let (code, created) = up.post(MAPS, &map).await;
    assert_eq!(code, 201, "{created}");
    assert_eq!(created["kind"], "ConfigMap");
    let rv = created["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let (code, refused) = up.post(MAPS, &map).await;
    assert_eq!((code, refused["reason"].as_str()), (409, Some("AlreadyExists")));

    let merge = "application/merge-patch+json";
    let (code, patched) = up.send("PATCH", &format!("{MAPS}/a"), merge, r#"{"data":{"k":"2"}}"#).await;
    assert_eq!((code, &patched["data"]), (200, &json!({"k": "2"})));
    assert!(patched["metadata"]["resourceVersion"].as_str().unwrap() > rv.as_str());
    let (_, same) = up.send("PATCH", &format!("{MAPS}/a"), merge, r#"{"data":{"k":"2"}}"#).await;
    assert_eq!(same, patched, "a patch that changes nothing is no write");
    let stale = format!(r#"{{"metadata":{{"resourceVersion":"{rv}"}}}}"#);
    let (code, _) = up.send("PATCH", &format!("{MAPS}/a"), merge, &stale).await;
    assert_eq!(code, 409);

    let (_, list) = up.get(&format!("{MAPS}?fieldSelector=metadata.name%3Da")).await;
    assert_eq!(list["items"], json!([patched]));
    assert_eq!(list["kind"], "ConfigMapList");
    let (code, deleted) = up.send("DELETE", &format!("{MAPS}/a"), "application/json", "").await;
    assert_eq!((code, deleted["status"].as_str()), (200, Some("Success")));
    let (code, missing) = up.get(&format!("{MAPS}/a")).await;
    assert_eq!((code, missing["message"].as_str()), (404, Some("configmaps \"a\" not found")));
    up.stop().await;
}

#[tokio::test]
async fn a_namespace_goes_with_all_that_is_in_it() {
    let up = up().await;
    let (code, _) = up.post("/api/v1/namespaces", &json!({"metadata": {"name": "t"}})).await;
    assert_eq!(code, 201);
    for i in 0..50 {
        let map = json!({"metadata": {"name": format!("m{i}")}});
        assert_eq!(up.post("/api/v1/namespaces/t/configmaps", &map).await.0, 201);
    }
    let (code, dying) = up.send("DELETE", "/api/v1/namespaces/t", "application/json", "").await;
    assert_eq!((code, dying["status"]["phase"].as_str()), (200, Some("Terminating")));
    let (code, refused) = up.post("/api/v1/namespaces/t/configmaps", &json!({"metadata": {"name": "late"}})).await;
    assert!(matches!(code, 403 | 404), "{refused}");
    for _ in 0..500 {
        if up.get("/api/v1/namespaces/t").await.0 == 404 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(up.get("/api/v1/namespaces/t").await.0, 404);
    let (_, left) = up.get("/api/v1/namespaces/t/configmaps").await;
    assert_eq!(left["items"], json!([]));
    up.stop().await;
}
