//! What is too much, too deep, or no request at all: a 4xx that says so, and the server goes on.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::platform::{APPLY, JSON_PATCH, MERGE, up};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const JSON: &str = "application/json";
const YAML: &str = "application/yaml";

fn bomb() -> String {
    let mut out = String::from("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\na0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for i in 1..10 {
        let list = vec![format!("*a{}", i - 1); 10].join(",");
        out.push_str(&format!("a{i}: &a{i} [{list}]\n"));
    }
    out
}

#[tokio::test]
async fn too_much_is_refused_in_words() {
    let up = up().await;
    up.made(MAPS, json!({"metadata": {"name": "a"}})).await;
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(100_000), close.repeat(100_000));
    let operations = vec![json!({"op": "test", "path": "/kind", "value": "ConfigMap"}); 10_001];
    let doubling = vec![json!({"op": "copy", "from": "/data", "path": "/data/x"}); 60];
    let data = |bytes: usize| json!({"metadata": {"name": "big"}, "data": {"x": "y".repeat(bytes)}}).to_string();
    let a = &format!("{MAPS}/a");
    for (method, path, media, body, code, words) in [
        ("POST", MAPS, JSON, data(4 << 20), 413, "Request entity too large"),
        ("POST", MAPS, JSON, data((1 << 20) + 1), 422, "Too long"),
        ("POST", MAPS, JSON, deep("[", "]"), 400, ""),
        ("POST", MAPS, JSON, deep("{\"a\":", "}"), 400, ""),
        ("POST", MAPS, YAML, deep("[", "]"), 400, ""),
        ("POST", MAPS, YAML, bomb(), 400, ""),
        ("POST", MAPS, JSON, "{".to_owned(), 400, "could not be decoded"),
        ("POST", MAPS, JSON, "\u{0}".to_owned(), 400, "could not be decoded"),
        ("POST", MAPS, YAML, "a: [".to_owned(), 400, "could not be decoded"),
        ("POST", MAPS, "application/vnd.kubernetes.protobuf", "k8s\u{0}xxxx".to_owned(), 415, ""),
        ("POST", MAPS, "text/plain", "{}".to_owned(), 415, "application/json, application/yaml"),
        ("PATCH", a, JSON_PATCH, Value::from(operations).to_string(), 413, "10000"),
        ("PATCH", a, JSON_PATCH, Value::from(doubling).to_string(), 422, ""),
        ("PATCH", a, JSON_PATCH, "{}".to_owned(), 400, ""),
        ("PATCH", a, MERGE, "[]".to_owned(), 400, "not an object"),
        ("PATCH", a, MERGE, deep("{\"a\":", "}"), 400, ""),
        ("PATCH", &format!("{a}?fieldManager=t"), APPLY, bomb(), 400, ""),
        ("DELETE", a, JSON, "[".to_owned(), 400, ""),
    ] {
        let (answered, answer) = up.send(method, path, media, &body).await;
        let shown: String = body.chars().take(40).collect();
        assert!(
            answered == code && answer.to_string().contains(words),
            "{method} {media} {shown}: {answered} {answer}"
        );
    }
    // A URI has at most 64 KiB.
    let long = "x".repeat(60_000);
    let many = "a%3Db,".repeat(10_000);
    for query in [
        format!("labelSelector={long}"),
        format!("labelSelector={many}"),
        format!("fieldSelector=metadata.name%3D{long}"),
        format!("continue={long}"),
        format!("resourceVersion={}", "9".repeat(100)),
        format!("labelSelector={}", "%28".repeat(10_000)),
    ] {
        let (code, answer) = up.get(&format!("{MAPS}?{query}")).await;
        assert!(code < 500, "{code} {}", answer.to_string().chars().take(200).collect::<String>());
    }
    let (code, _) = up.get(&format!("{MAPS}?watch=1&timeoutSeconds=9223372036854775807&labelSelector=(")).await;
    assert_eq!(code, 400);
    up.watch(&format!("{MAPS}?watch=1&timeoutSeconds=9223372036854775807"), JSON).await;
    assert_eq!(up.get(a).await.0, 200, "the server goes on");
    up.stop().await;
}

#[tokio::test]
async fn hundreds_at_a_time() {
    let up = up().await;
    let each = (0..400_u32).map(|i| {
        let client = up.as_user("t", &["system:masters"]);
        async move {
            let name = format!("m{}", i % 50);
            let one = format!("{MAPS}/{name}");
            match i % 5 {
                0 => client.post(MAPS, &json!({"metadata": {"name": name}})).await.0,
                1 => client.patch(&one, MERGE, &json!({"data": {format!("k{i}"): "v"}})).await.0,
                2 => client.get(&one).await.0,
                3 => client.get(&format!("{MAPS}?limit=10")).await.0,
                _ => client.delete(&one).await.0,
            }
        }
    });
    let codes = futures::future::join_all(each).await;
    let strange: Vec<&u16> = codes.iter().filter(|code| !matches!(**code, 200 | 201 | 404 | 409 | 429)).collect();
    assert!(strange.is_empty(), "{strange:?}");
    assert!(codes.iter().filter(|code| matches!(**code, 200 | 201)).count() > 50);
    up.stop().await;
}

#[tokio::test]
async fn beyond_what_fits_requests_are_shed() {
    const ROOM: usize = 200;
    let up = Arc::new(up().await);
    let arrive = CancellationToken::new();
    // Writes that are in flight for as long as their bodies are not there.
    let waiting = (0..ROOM).map(|i| {
        let (up, arrive) = (Arc::clone(&up), arrive.clone());
        let body = async move {
            arrive.cancelled().await;
            json!({"metadata": {"name": format!("m{i}")}}).to_string()
        };
        tokio::spawn(async move { up.late(MAPS, body).await })
    });
    let waiting: Vec<_> = waiting.collect();
    let (headers, answer) = loop {
        let (code, headers, answer) = up.full("POST", MAPS, &[], "{}").await;
        if code == 429 {
            break (headers, answer);
        }
        assert_eq!(code, 422, "a map needs a name: {answer}");
        tokio::task::yield_now().await;
    };
    assert_eq!((answer["reason"].as_str(), &headers["retry-after"]), (Some("TooManyRequests"), &"1".parse().unwrap()));
    assert_eq!(up.get("/api/v1/namespaces/default").await.0, 200, "reads have room of their own");
    arrive.cancel();
    for code in futures::future::join_all(waiting).await {
        assert_eq!(code.unwrap(), 201);
    }
    up.made(MAPS, json!({"metadata": {"name": "afterwards"}})).await;
    Arc::into_inner(up).unwrap().stop().await;
}
