//! CustomResourceDefinitions: served at once, in all their versions, with all that a schema says; gone with all of it.

use purlin_gateway_api::cases::cases;
use serde_json::{Value, json};

use crate::platform::{APPLY, MERGE, Up, until, up};

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const BOXES: &str = "/apis/t.io/v1/namespaces/default/boxes";

fn schema() -> Value {
    json!({"type": "object", "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "size": {"type": "integer", "default": 3, "maximum": 10},
                "replicas": {"type": "integer"},
                "keep": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            },
            "x-kubernetes-validations": [{"rule": "self.size != 7", "message": "seven is taken"}],
        },
        "status": {"type": "object", "properties": {"replicas": {"type": "integer"}, "selector": {"type": "string"}}},
    }})
}

fn definition(plural: &str, kind: &str) -> Value {
    let version = |name: &str, storage: bool| {
        json!({
            "name": name, "served": true, "storage": storage, "schema": {"openAPIV3Schema": schema()},
            "subresources": {"status": {}, "scale": {
                "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector",
            }},
            "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
            "selectableFields": [{"jsonPath": ".spec.size"}],
        })
    };
    json!({
        "metadata": {"name": format!("{plural}.t.io")},
        "spec": {
            "group": "t.io", "scope": "Namespaced", "names": {"plural": plural, "kind": kind},
            "versions": [version("v1", true), version("v2", false)],
        },
    })
}

fn condition<'a>(crd: &'a Value, ty: &str) -> &'a Value {
    &crd["status"]["conditions"].as_array().unwrap().iter().find(|c| c["type"] == ty).unwrap()["status"]
}

async fn boxed(up: &Up, name: &str, spec: Value) -> Value {
    up.made(BOXES, json!({"apiVersion": "t.io/v1", "kind": "Box", "metadata": {"name": name}, "spec": spec})).await
}

#[tokio::test]
async fn a_definition_is_served_with_its_answer() {
    let up = up().await;
    let crd = up.made(CRDS, definition("boxes", "Box")).await;
    assert_eq!((condition(&crd, "Established"), condition(&crd, "NamesAccepted")), (&json!("True"), &json!("True")));
    let (_, resources) = up.get("/apis/t.io/v1").await;
    let said: Vec<&str> =
        resources["resources"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
    assert_eq!(said, ["boxes", "boxes/scale", "boxes/status"]);
    for accept in ["application/json", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"] {
        assert!(up.get_as("/apis", accept).await.1.to_string().contains("t.io"));
    }
    assert!(up.get("/openapi/v3").await.1["paths"].get("apis/t.io/v1").is_some());
    assert_eq!(up.get("/openapi/v3/apis/t.io/v1").await.0, 200);
    assert!(up.get("/openapi/v2").await.1["definitions"].get("io.t.v1.Box").is_some());
    let kubectls = ("accept", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf");
    let (code, headers, body) = up.full("GET", "/openapi/v2", &[kubectls], "").await;
    assert!(code == 200 && body.as_str().is_some_and(|text| text.contains("\u{a}\u{b}io.t.v1.Box")), "{code}");
    assert_eq!(headers["content-type"], "application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
    assert_eq!(up.get("/openapi/v3/apis/none.io/v1").await.0, 404);

    // Defaulted, pruned, judged by schema and rules.
    let made = boxed(&up, "a", json!({"stray": 1, "keep": {"any": {"thing": 1}}})).await;
    assert_eq!(made["spec"], json!({"size": 3, "keep": {"any": {"thing": 1}}}));
    for (spec, words) in [
        (json!({"size": 11}), "spec.size: Invalid value: 11: spec.size in body should be less than or equal to 10"),
        (
            json!({"size": "x"}),
            "spec.size: Invalid value: \"string\": spec.size in body must be of type integer: \"string\"",
        ),
        (json!({"size": 7}), "seven is taken"),
    ] {
        let (code, refused) = up.post(BOXES, &json!({"metadata": {"name": "x"}, "spec": spec})).await;
        assert!(code == 422 && refused["message"].as_str().unwrap().contains(words), "{refused}");
    }
    let (_, found) = up.get(&format!("{BOXES}?fieldSelector=spec.size%3D3")).await;
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    let (code, _) = up.send("PATCH", &format!("{BOXES}/a"), crate::platform::STRATEGIC, "{}").await;
    assert_eq!(code, 415);
    let (code, unversioned) = up.put(&format!("{BOXES}/a"), &json!({"metadata": {"name": "a"}, "spec": {}})).await;
    let words = "metadata.resourceVersion: Invalid value: 0: must be specified for an update";
    assert!(code == 422 && unversioned["message"].as_str().unwrap().contains(words), "{unversioned}");
    up.stop().await;
}

#[tokio::test]
async fn status_and_scale_are_the_other_half() {
    let up = up().await;
    up.made(CRDS, definition("boxes", "Box")).await;
    let a = &format!("{BOXES}/a");
    up.made(BOXES, json!({"metadata": {"name": "a"}, "spec": {"replicas": 1}, "status": {"replicas": 9}})).await;
    let (_, made) = up.get(a).await;
    assert_eq!((made.get("status"), &made["metadata"]["generation"]), (None, &json!(1)), "{made}");
    let both = json!({"spec": {"size": 4}, "status": {"replicas": 2, "selector": "a=b"}});
    let (_, status) = up.patch(&format!("{a}/status"), MERGE, &both).await;
    assert_eq!((&status["spec"]["size"], &status["status"]["replicas"]), (&json!(3), &json!(2)));
    assert_eq!(status["metadata"]["generation"], 1);
    let (_, spec) = up.patch(a, MERGE, &json!({"spec": {"size": 4}, "status": {"replicas": 7}})).await;
    assert_eq!((&spec["spec"]["size"], &spec["status"]["replicas"]), (&json!(4), &json!(2)));
    assert_eq!(spec["metadata"]["generation"], 2);
    let (_, scale) = up.get(&format!("{a}/scale")).await;
    assert_eq!(
        (&scale["kind"], &scale["spec"], &scale["status"]),
        (&json!("Scale"), &json!({"replicas": 1}), &json!({"replicas": 2, "selector": "a=b"}))
    );
    let (code, _) = up.patch(&format!("{a}/scale"), MERGE, &json!({"spec": {"replicas": 5}})).await;
    assert_eq!(code, 200);
    let mut scale = up.get(&format!("{a}/scale")).await.1;
    scale["spec"]["replicas"] = 6.into();
    assert_eq!(up.put(&format!("{a}/scale"), &scale).await.0, 200);
    assert_eq!(up.put(&format!("{a}/scale"), &scale).await.0, 409, "its revision is of before");
    assert_eq!(up.put(&format!("{a}/scale"), &json!({"kind": "Box", "apiVersion": "t.io/v1"})).await.0, 400);
    assert_eq!(up.patch(&format!("{a}/scale"), MERGE, &json!({"spec": {"replicas": -1}})).await.0, 422);
    assert_eq!(up.get(a).await.1["spec"]["replicas"], 6);
    // A status that is no status is refused, on definitions too.
    let crd = format!("{CRDS}/boxes.t.io/status");
    for status in [json!("x"), json!({"conditions": "x"}), json!([1])] {
        let (code, refused) = up.patch(&crd, MERGE, &json!({"status": status})).await;
        assert!(code < 500, "{refused}");
    }
    up.stop().await;
}

#[tokio::test]
async fn a_default_status_follows_the_one_that_is_dropped() {
    let up = up().await;
    let gateways = "/apis/gateway.networking.k8s.io/v1/namespaces/default/gateways";
    let gateway = |name: &str| {
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": name},
            "spec": {"gatewayClassName": "other", "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]},
            "status": {"attachedListenerSets": 7},
        })
    };
    let (posted, applied) = (format!("{gateways}/posted"), format!("{gateways}/applied"));
    let (_, tried) = up.post(&format!("{gateways}?dryRun=All"), &gateway("tried")).await;
    let made = up.made(gateways, gateway("posted")).await;
    let (code, merged) = up.patch(&format!("{applied}?fieldManager=t"), APPLY, &gateway("applied")).await;
    assert_eq!(code, 201, "{merged}");
    let (_, read) = up.get(&posted).await;
    for object in [&tried, &made, &merged, &read] {
        let said = object["status"]["conditions"].as_array().unwrap().iter();
        let said: Vec<_> = said.map(|c| (c["type"].as_str().unwrap(), c["status"].as_str().unwrap())).collect();
        assert_eq!(said, [("Accepted", "Unknown"), ("Programmed", "Unknown")], "{object}");
        assert_eq!(object["status"]["conditions"][0]["message"], "Waiting for controller");
        assert_eq!(object["status"].get("attachedListenerSets"), None, "{object}");
        assert!(!object["metadata"]["managedFields"].to_string().contains("f:status"), "{object}");
        assert_eq!(object["metadata"]["generation"], 1);
    }
    // Taken away by who may, it comes back.
    let (_, bare) = up.patch(&format!("{posted}/status"), MERGE, &json!({"status": null})).await;
    assert_eq!(bare["status"], made["status"]);
    up.stop().await;
}

#[tokio::test]
async fn several_versions_and_a_schema_that_changes() {
    let up = up().await;
    up.made(CRDS, definition("boxes", "Box")).await;
    boxed(&up, "a", json!({})).await;
    let second = BOXES.replace("v1", "v2");
    let mut watch = up.watch(&format!("{BOXES}?watch=1"), "application/json").await;
    watch.check(&["ADDED a"]).await;
    let (_, shown) = up.get(&format!("{second}/a")).await;
    assert_eq!(shown["apiVersion"], "t.io/v2");
    let (_, tried) = up.patch(&format!("{second}/a?dryRun=All"), MERGE, &json!({"spec": {"size": 5}})).await;
    assert_eq!((&tried["apiVersion"], &tried["spec"]["size"]), (&json!("t.io/v2"), &json!(5)));

    // The other version is stored from now on, and has a default and lacks a field.
    let mut changed = up.get(&format!("{CRDS}/boxes.t.io")).await.1;
    for (version, storage) in [(0, false), (1, true)] {
        changed["spec"]["versions"][version]["storage"] = storage.into();
        let properties =
            &mut changed["spec"]["versions"][version]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
        properties["colour"] = json!({"type": "string", "default": "red"});
    }
    let (code, changed) = up.put(&format!("{CRDS}/boxes.t.io"), &changed).await;
    assert_eq!((code, &changed["status"]["storedVersions"]), (200, &json!(["v1", "v2"])), "{changed}");
    for (path, version) in [(BOXES, "t.io/v1"), (second.as_str(), "t.io/v2")] {
        let (_, one) = up.get(&format!("{path}/a")).await;
        assert_eq!((&one["apiVersion"], &one["spec"]["colour"]), (&json!(version), &json!("red")), "{one}");
        let (_, list) = up.get(path).await;
        assert_eq!(list["items"], json!([one]));
    }
    let (_, same) = up.patch(&format!("{second}/a"), MERGE, &json!({"spec": {"size": 3}})).await;
    assert_eq!(same["spec"]["colour"], "red");
    up.patch(&format!("{second}/a"), MERGE, &json!({"spec": {"size": 4}})).await;
    let mut event = watch.next().await.unwrap();
    while event["object"]["spec"]["size"] != 4 {
        event = watch.next().await.unwrap();
    }
    assert_eq!(event["object"]["apiVersion"], "t.io/v1", "the watch goes on in its own version");
    up.stop().await;
}

#[tokio::test]
async fn names_are_given_once() {
    let up = up().await;
    let (first, second) = (definition("boxes", "Box"), definition("caskets", "Box"));
    let (a, b) = tokio::join!(up.made(CRDS, first), up.made(CRDS, second));
    let accepted = [&a, &b].map(|crd| condition(crd, "Established") == "True");
    assert_eq!(accepted.into_iter().filter(|a| *a).count(), 1, "{a} {b}");
    let (winner, loser) = if accepted[0] { ("boxes", "caskets") } else { ("caskets", "boxes") };
    let path = |plural: &str| format!("/apis/t.io/v1/namespaces/default/{plural}");
    assert_eq!((up.get(&path(winner)).await.0, up.get(&path(loser)).await.0), (200, 404));
    up.delete(&format!("{CRDS}/{winner}.t.io")).await;
    until("the other to get the name", || async { up.get(&path(loser)).await.0 == 200 }).await;
    up.stop().await;
}

#[tokio::test]
async fn a_definition_goes_with_its_objects_and_comes_back_without() {
    let up = up().await;
    up.made(CRDS, definition("boxes", "Box")).await;
    boxed(&up, "a", json!({})).await;
    up.made(BOXES, json!({"metadata": {"name": "held", "finalizers": ["x.io/y"]}})).await;
    let mut watch = up.watch(&format!("{BOXES}?watch=1"), "application/json").await;
    watch.check(&["ADDED a", "ADDED held"]).await;
    let crd = &format!("{CRDS}/boxes.t.io");
    let (code, dying) = up.delete(crd).await;
    assert!(code == 200 && dying["metadata"]["deletionTimestamp"].is_string(), "{dying}");
    let late = json!({"apiVersion": "t.io/v1", "kind": "Box", "metadata": {"name": "late"}});
    assert_eq!(up.post(BOXES, &late).await.0, 405);
    assert_eq!(up.patch(&format!("{BOXES}/late?fieldManager=t"), APPLY, &late).await.0, 405);
    up.gone(&format!("{BOXES}/a")).await;
    assert_eq!(up.get(crd).await.0, 200, "held by the object that is held");
    let (code, _) = up.patch(&format!("{BOXES}/held"), MERGE, &json!({"metadata": {"finalizers": null}})).await;
    assert_eq!(code, 200);
    up.gone(crd).await;
    up.gone(BOXES).await;
    while watch.next().await.is_some() {}
    up.made(CRDS, definition("boxes", "Box")).await;
    assert_eq!(up.get(BOXES).await.1["items"], json!([]));
    up.stop().await;
}

#[tokio::test]
async fn the_cases_of_the_gateway_api() {
    let up = up().await;
    let mut failures = Vec::new();
    let mut judged = 0;
    for case in cases() {
        let version = case.object["apiVersion"].as_str().unwrap();
        let path = match case.object["metadata"]["namespace"].as_str() {
            Some(namespace) => format!("/apis/{version}/namespaces/{namespace}/{}", case.plural),
            None => format!("/apis/{version}/{}", case.plural),
        };
        let one = format!("{path}/case");
        let (code, said) = match (&case.old, case.object.get("status")) {
            (Some(old), _) => {
                up.made(&path, old.clone()).await;
                let answer = up.patch(&format!("{one}?dryRun=All"), MERGE, &json!({"spec": case.object["spec"]})).await;
                up.delete(&one).await;
                answer
            }
            (None, Some(status)) => {
                let mut bare = case.object.clone();
                bare.as_object_mut().unwrap().shift_remove("status");
                let (code, made) = up.post(&path, &bare).await;
                if code != 201 {
                    failures.push(format!("{}: a status on what is refused: {made}", case.name));
                    continue;
                }
                let answer = up.patch(&format!("{one}/status?dryRun=All"), MERGE, &json!({"status": status})).await;
                up.delete(&one).await;
                answer
            }
            (None, None) => up.post(&format!("{path}?dryRun=All"), &case.object).await,
        };
        judged += 1;
        let message = said["message"].as_str().unwrap_or_default().to_owned();
        let causes: Vec<String> = said["details"]["causes"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|c| {
                format!("{}: {}", c["field"].as_str().unwrap_or_default(), c["message"].as_str().unwrap_or_default())
            })
            .collect();
        let fits = |refusal: &purlin_gateway_api::cases::Refusal| {
            causes.iter().any(|cause| cause.starts_with(&refusal.at) && cause.contains(&refusal.says))
        };
        let right = if case.refused.is_empty() { code < 300 } else { code == 422 && case.refused.iter().all(fits) };
        if !right {
            failures.push(format!("{}: {code} {message}; expected {:?}", case.name, case.refused));
        }
    }
    assert!(failures.is_empty(), "{} of {judged}:\n{}", failures.len(), failures.join("\n"));
    assert!(judged > 100, "{judged}");
    up.stop().await;
}
