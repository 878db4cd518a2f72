//! Objects written, read, patched and deleted: the verbs and their options.

use serde_json::{Value, json};

use crate::platform::{APPLY, Client, JSON_PATCH, MERGE, STRATEGIC, up};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const SERVICES: &str = "/api/v1/namespaces/default/services";

/// Sends a request; its code has to be `code`, and its answer has to contain `words`.
#[track_caller]
fn check<'a>(
    client: &'a Client,
    method: &'a str,
    path: &'a str,
    body: Value,
    code: u16,
    words: &'a str,
) -> impl Future<Output = Value> + 'a {
    let caller = std::panic::Location::caller();
    async move {
        let media = if method == "PATCH" { MERGE } else { "application/json" };
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (answered, answer) = client.send(method, path, media, &body).await;
        assert!(
            answered == code && answer.to_string().contains(words),
            "{caller}: {method} {path}: {answered} instead of {code} with {words:?}: {answer}"
        );
        answer
    }
}

fn map(name: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"k": "1"}})
}

#[tokio::test]
async fn a_config_map_lives_and_dies() {
    let up = up().await;
    let created = up.made(MAPS, map("a")).await;
    assert_eq!((&created["kind"], &created["apiVersion"]), (&json!("ConfigMap"), &json!("v1")));
    let rv = created["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    check(&up, "POST", MAPS, map("a"), 409, "AlreadyExists").await;

    let a = &format!("{MAPS}/a");
    let patched = check(&up, "PATCH", a, json!({"data": {"k": "2"}}), 200, "\"k\":\"2\"").await;
    let same = check(&up, "PATCH", a, json!({"data": {"k": "2"}}), 200, "").await;
    assert_eq!(same, patched, "a patch that changes nothing is no write");
    check(&up, "PATCH", a, json!({"metadata": {"resourceVersion": rv}, "data": {"k": "3"}}), 409, "Conflict").await;
    check(&up, "PATCH", a, json!({"metadata": {"uid": "x"}}), 409, "UID in precondition: x").await;
    check(&up, "PATCH", a, json!({"metadata": {"name": "b"}}), 400, "the name of the object (b)").await;
    let kept = check(&up, "PATCH", a, json!({"kind": null, "apiVersion": null, "data": {"k": "4"}}), 200, "").await;
    assert_eq!(kept["kind"], "ConfigMap", "{kept}");
    check(&up, "PATCH", a, json!({"metadata": {"labels": 5}}), 422, "metadata.labels").await;
    check(&up, "PATCH", a, json!({"metadata": null}), 400, "metadata").await;

    let fresh = check(&up, "GET", a, Value::Null, 200, "").await;
    check(&up, "PUT", a, json!({"metadata": {"name": "a", "resourceVersion": rv}}), 409, "Conflict").await;
    check(&up, "PUT", a, json!({"metadata": {"name": "a", "uid": "x"}}), 409, "UID").await;
    let put = check(&up, "PUT", a, json!({"metadata": {"name": "a"}, "data": {"z": "1"}}), 200, "").await;
    assert_eq!((&put["data"], &put["metadata"]["uid"]), (&json!({"z": "1"}), &fresh["metadata"]["uid"]));
    assert_eq!(put["metadata"]["creationTimestamp"], fresh["metadata"]["creationTimestamp"]);

    let conditions = |field: &str, value: &str| json!({"preconditions": {field: value}});
    check(&up, "DELETE", a, conditions("uid", "x"), 409, "UID in precondition").await;
    check(&up, "DELETE", a, conditions("resourceVersion", "1"), 409, "ResourceVersion in precondition").await;
    check(&up, "DELETE", a, json!({"kind": "ConfigMap", "apiVersion": "v1"}), 400, "DeleteOptions").await;
    let deleted = check(&up, "DELETE", a, Value::Null, 200, "Success").await;
    assert_eq!(deleted["details"]["uid"], fresh["metadata"]["uid"]);
    check(&up, "GET", a, Value::Null, 404, "configmaps \\\"a\\\" not found").await;
    check(&up, "DELETE", a, Value::Null, 404, "NotFound").await;
    check(&up, "PUT", a, map("a"), 404, "NotFound").await;
    check(&up, "PATCH", a, json!({}), 404, "NotFound").await;
    up.stop().await;
}

#[tokio::test]
async fn what_does_not_fit_its_path_is_refused() {
    let up = up().await;
    up.made(MAPS, map("a")).await;
    let a = &format!("{MAPS}/a");
    for (method, path, body, code, words) in [
        ("POST", MAPS, json!({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "x"}}), 400, "unrecognized"),
        ("POST", MAPS, json!({"kind": "ConfigMap", "apiVersion": "v2", "metadata": {"name": "x"}}), 400, "v2"),
        ("POST", MAPS, json!({"metadata": {"name": "x", "namespace": "other"}}), 400, "does not match the namespace"),
        ("POST", MAPS, json!({"metadata": {}}), 422, "metadata.name: Required value: name or generateName"),
        ("POST", MAPS, json!({"metadata": {"name": "X_"}}), 422, "metadata.name"),
        (
            "POST",
            MAPS,
            json!({"metadata": {"name": "x", "resourceVersion": "1"}}),
            400,
            "resourceVersion should not be",
        ),
        ("POST", MAPS, json!([1]), 400, "not an object"),
        ("POST", MAPS, json!({"metadata": "x"}), 400, "metadata"),
        ("POST", MAPS, json!({"metadata": {"name": 5}}), 422, "metadata.name"),
        ("POST", MAPS, json!({"metadata": {"name": "x"}, "data": [1]}), 422, "data"),
        ("PUT", a, map("b"), 400, "the name of the object (b) does not match the name on the URL (a)"),
        ("POST", "/api/v1/namespaces/none/configmaps", map("x"), 404, "namespaces \\\"none\\\" not found"),
        ("POST", "/api/v1/configmaps", map("x"), 404, ""),
        ("GET", "/api/v1/namespaces/default/nothings", Value::Null, 404, "could not find the requested resource"),
        ("GET", "/api/v1/namespaces/default/configmaps/a/status", Value::Null, 404, ""),
        ("PUT", MAPS, map("x"), 405, "MethodNotAllowed"),
        ("POST", a, map("a"), 405, "MethodNotAllowed"),
        ("POST", "/version", json!({}), 405, "MethodNotAllowed"),
        ("DELETE", "/api/v1/namespaces/default", Value::Null, 403, "may not be deleted"),
        // Options that do not hold.
        ("POST", &format!("{MAPS}?dryRun=Some"), map("x"), 422, "dryRun: Unsupported value: \\\"Some\\\""),
        ("POST", &format!("{MAPS}?fieldValidation=x"), map("x"), 422, "CreateOptions.meta.k8s.io"),
        ("PUT", &format!("{a}?fieldManager=%07"), map("a"), 422, "fieldManager"),
        ("PATCH", &format!("{a}?force=true"), json!({}), 422, "force: Forbidden"),
        ("DELETE", &format!("{a}?propagationPolicy=x"), Value::Null, 422, "propagationPolicy: Unsupported value"),
        ("DELETE", a, json!({"orphanDependents": true, "propagationPolicy": "Orphan"}), 422, "cannot be both set"),
        ("DELETE", a, json!({"dryRun": ["x"]}), 422, "dryRun"),
        ("GET", &format!("{MAPS}?limit=x"), Value::Null, 400, "limit"),
        ("GET", &format!("{MAPS}?nobody=knows&limit=9223372036854775807"), Value::Null, 200, "ConfigMapList"),
    ] {
        check(&up, method, path, body, code, words).await;
    }
    up.stop().await;
}

#[tokio::test]
async fn names_are_generated_and_generations_counted() {
    let up = up().await;
    let made = up.made(MAPS, json!({"metadata": {"generateName": format!("{}-", "x".repeat(70))}})).await;
    let name = made["metadata"]["name"].as_str().unwrap();
    assert!(name.len() == 63 && name.starts_with("xxx"), "{name}");

    let crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gateways.gateway.networking.k8s.io";
    let generation = |object: &Value| object["metadata"]["generation"].as_i64().unwrap();
    let before = generation(&up.get(crds).await.1);
    let (_, labelled) = up.patch(crds, MERGE, &json!({"metadata": {"labels": {"a": "b"}}})).await;
    assert_eq!(generation(&labelled), before, "labels are no spec");
    let (_, changed) = up.patch(crds, MERGE, &json!({"spec": {"names": {"categories": ["x"]}}})).await;
    assert_eq!(generation(&changed), before + 1);
    up.stop().await;
}

#[tokio::test]
async fn every_kind_of_patch() {
    let up = up().await;
    let a = &format!("{SERVICES}/a");
    let service =
        json!({"metadata": {"name": "a"}, "spec": {"ports": [{"name": "x", "port": 1}, {"name": "y", "port": 2}]}});
    let made = up.made(SERVICES, service).await;
    let owned = made["metadata"]["managedFields"].to_string();
    assert!(owned.contains("f:internalTrafficPolicy") && !owned.contains("f:clusterIP"), "{owned}");
    let ports = |service: &Value| -> Vec<String> {
        service["spec"]["ports"].as_array().unwrap().iter().map(|p| format!("{}={}", p["name"], p["port"])).collect()
    };
    let (code, merged) = up
        .patch(a, STRATEGIC, &json!({"spec": {"ports": [{"port": 1, "name": "z"}, {"port": 2, "$patch": "delete"}]}}))
        .await;
    assert_eq!((code, ports(&merged)), (200, vec![r#""z"=1"#.to_owned()]), "{merged}");
    let (code, patched) = up
        .patch(
            a,
            JSON_PATCH,
            &json!([
                {"op": "test", "path": "/spec/ports/0/name", "value": "z"},
                {"op": "add", "path": "/spec/ports/-", "value": {"name": "w", "port": 3}},
            ]),
        )
        .await;
    assert_eq!((code, ports(&patched).len()), (200, 2), "{patched}");
    let (code, failed) = up.patch(a, JSON_PATCH, &json!([{"op": "test", "path": "/kind", "value": "x"}])).await;
    assert_eq!((code, failed["reason"].as_str()), (422, Some("Invalid")), "{failed}");
    let (code, refused) = up.send("PATCH", a, "text/plain", "{}").await;
    assert!(code == 415 && refused["message"].as_str().unwrap().contains("application/apply-patch+yaml"), "{refused}");
    up.stop().await;
}

#[tokio::test]
async fn server_side_apply_owns_what_it_says() {
    let up = up().await;
    let path = |manager: &str, more: &str| format!("{SERVICES}/a?fieldManager={manager}{more}");
    let config = |port: u16| {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"},
            "spec": {"selector": {"app": "a"}, "ports": [{"port": port, "name": "x"}]}})
    };
    let (code, refused) = up.patch(&format!("{SERVICES}/a"), APPLY, &config(1)).await;
    assert_eq!((code, refused["details"]["causes"][0]["field"].as_str()), (422, Some("fieldManager")), "{refused}");
    let (code, made) = up.patch(&path("one", ""), APPLY, &config(1)).await;
    assert_eq!(code, 201, "{made}");
    assert!(made["spec"]["clusterIP"].is_string(), "{made}");
    let owned = made["metadata"]["managedFields"].to_string();
    let defaulted = ["f:internalTrafficPolicy", "f:clusterIP", "f:type", "f:targetPort"];
    assert!(defaulted.iter().all(|field| !owned.contains(field)), "defaults have no owner: {owned}");
    let (code, same) = up.patch(&path("one", ""), APPLY, &config(1)).await;
    assert_eq!((code, &same), (200, &made), "an apply that changes nothing is no write");

    let other =
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"selector": {"app": "b"}}});
    let (code, conflict) = up.patch(&path("two", ""), APPLY, &other).await;
    assert_eq!((code, conflict["reason"].as_str()), (409, Some("Conflict")));
    assert_eq!(conflict["details"]["causes"][0]["field"], ".spec.selector");
    let (code, forced) = up.patch(&path("two", "&force=true"), APPLY, &other).await;
    assert_eq!((code, &forced["spec"]["selector"]["app"]), (200, &json!("b")), "{forced}");
    let wrong = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "b"}});
    assert_eq!(up.patch(&path("one", ""), APPLY, &wrong).await.0, 400);
    up.stop().await;
}

#[tokio::test]
async fn a_dry_run_leaves_nothing_behind() {
    let up = up().await;
    up.made(MAPS, map("a")).await;
    let held = json!({"metadata": {"name": "held", "finalizers": ["x.io/y"]}});
    up.made(MAPS, held).await;
    let before = up.settled().await;
    let path = |name: &str| format!("{MAPS}{name}?dryRun=All&fieldManager=t");
    let applied = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new"}, "data": {"x": "y"}});
    check(&up, "POST", &path(""), map("new"), 201, "\"uid\"").await;
    check(&up, "POST", &path(""), map("a"), 409, "AlreadyExists").await;
    check(&up, "POST", "/api/v1/namespaces/none/configmaps?dryRun=All", map("a"), 404, "namespaces").await;
    check(&up, "PUT", &path("/a"), json!({"metadata": {"name": "a"}, "data": {"z": "9"}}), 200, "\"z\":\"9\"").await;
    check(&up, "PATCH", &path("/a"), json!({"data": {"k": "9"}}), 200, "\"k\":\"9\"").await;
    assert_eq!(up.patch(&path("/new"), APPLY, &applied).await.0, 201);
    check(&up, "DELETE", &path("/a"), Value::Null, 200, "Success").await;
    check(&up, "DELETE", &path("/held"), Value::Null, 200, "deletionTimestamp").await;
    check(&up, "DELETE", &path(""), Value::Null, 200, "").await;
    check(&up, "POST", "/api/v1/namespaces?dryRun=All", json!({"metadata": {"name": "n"}}), 201, "Active").await;
    let service = json!({"metadata": {"name": "s"}, "spec": {"clusterIP": "10.96.7.7", "ports": [{"port": 1}]}});
    check(&up, "POST", &format!("{SERVICES}?dryRun=All"), service.clone(), 201, "10.96.7.7").await;
    let finalize = json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "default"}, "spec": {}});
    check(&up, "PUT", "/api/v1/namespaces/default/finalize?dryRun=All", finalize, 200, "").await;
    assert_eq!(up.revision().await, before);
    check(&up, "POST", SERVICES, service, 201, "10.96.7.7").await;
    check(
        &up,
        "POST",
        SERVICES,
        json!({"metadata": {"name": "t"}, "spec": {"clusterIP": "10.96.7.7", "ports": [{"port": 1}]}}),
        422,
        "already allocated",
    )
    .await;
    up.stop().await;
}

#[tokio::test]
async fn unknown_and_doubled_fields() {
    let up = up().await;
    let body = r#"{"metadata":{"name":"NAME","nmae":"x"},"data":{"a":"1","a":"2"},"spec":1}"#;
    let post = async |name: &str, validation: &str| {
        let path = format!("{MAPS}{validation}");
        let headers = [("content-type", "application/json")];
        let (code, headers, answer) = up.full("POST", &path, &headers, body.replace("NAME", name)).await;
        let warnings = headers.get_all("warning").iter().map(|w| w.to_str().unwrap().to_owned());
        (code, warnings.collect::<Vec<_>>(), answer)
    };
    let (code, warnings, _) = post("a", "").await;
    let expected = [
        r#"299 - "unknown field \"metadata.nmae\"""#,
        r#"299 - "unknown field \"spec\"""#,
        r#"299 - "duplicate field \"data.a\"""#,
    ];
    assert_eq!((code, warnings), (201, expected.map(str::to_owned).to_vec()));
    let (code, warnings, answer) = post("b", "?fieldValidation=Ignore").await;
    assert_eq!((code, warnings.len(), &answer["data"]), (201, 0, &json!({"a": "2"})));
    let (code, _, answer) = post("c", "?fieldValidation=Strict").await;
    let words =
        "strict decoding error: unknown field \"metadata.nmae\", unknown field \"spec\", duplicate field \"data.a\"";
    assert!(code == 400 && answer["message"].as_str().unwrap().contains(words), "{answer}");
    up.stop().await;
}

#[tokio::test]
async fn a_collection_is_deleted_by_selector() {
    let up = up().await;
    for (name, label) in [("a", "x"), ("b", "y"), ("c", "x")] {
        up.made(MAPS, json!({"metadata": {"name": name, "labels": {"l": label}}})).await;
    }
    check(&up, "DELETE", &format!("{MAPS}?labelSelector=l%3Dx"), Value::Null, 200, "ConfigMapList").await;
    let (_, left) = up.get(&format!("{MAPS}?labelSelector=l")).await;
    assert_eq!(left["items"].as_array().unwrap().len(), 1, "{left}");
    assert_eq!(left["items"][0]["metadata"]["name"], "b");
    up.stop().await;
}

#[tokio::test]
async fn a_generated_name_is_tried_again_and_nobody_loses_an_update() {
    let up = up().await;
    up.made(MAPS, map("a")).await;
    // Without a revision, patches at the same time are all applied.
    let each = (0..32).map(|i| {
        let client = up.as_user("t", &["system:masters"]);
        async move { client.patch(&format!("{MAPS}/a"), MERGE, &json!({"data": {format!("k{i}"): "1"}})).await.0 }
    });
    assert!(futures::future::join_all(each).await.into_iter().all(|code| code == 200));
    let (_, all) = up.get(&format!("{MAPS}/a")).await;
    assert_eq!(all["data"].as_object().unwrap().len(), 33);
    up.stop().await;
}

#[tokio::test]
async fn what_is_emptied_is_left_out() {
    let up = up().await;
    let map = json!({"metadata": {"name": "e", "labels": {"a": "b"}}, "data": {"k": "1"}});
    assert_eq!(up.post(MAPS, &map).await.0, 201);
    let merge = "application/merge-patch+json";
    let emptied = r#"{"metadata":{"labels":{"a":null}},"data":{"k":null}}"#;
    let (code, left) = up.send("PATCH", &format!("{MAPS}/e"), merge, emptied).await;
    assert_eq!(code, 200, "{left}");
    assert_eq!((left.get("data"), left["metadata"].get("labels")), (None, None));
    assert_eq!(left["metadata"]["managedFields"].to_string().matches("f:labels").count(), 0, "{left}");
    up.stop().await;
}
