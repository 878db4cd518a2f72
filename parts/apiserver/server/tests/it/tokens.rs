//! Service accounts' tokens, over TLS; and those who show nothing.

use serde_json::{Value, json};

use crate::platform::{Up, until, up};

const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";

async fn token(up: &Up, spec: Value) -> String {
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
    let made = up.made(&format!("{ACCOUNTS}/robot/token"), request).await;
    assert!(made["status"]["expirationTimestamp"].is_string(), "{made}");
    made["status"]["token"].as_str().unwrap().to_owned()
}

async fn code(up: &Up, token: &str) -> u16 {
    up.over_tls(Some(token)).await.get("/api/v1/namespaces/default/configmaps").await.0
}

#[tokio::test]
async fn a_token_is_good_as_long_as_its_account() {
    let up = up().await;
    up.made(ACCOUNTS, json!({"metadata": {"name": "robot"}})).await;
    let good = token(&up, json!({})).await;
    let robot = up.over_tls(Some(&good)).await;
    let (code_now, refused) = robot.get("/api/v1/namespaces/default/configmaps").await;
    assert_eq!(code_now, 403);
    assert!(refused["message"].as_str().unwrap().contains("system:serviceaccount:default:robot"), "{refused}");
    let review =
        json!({"spec": {"token": good, "audiences": ["https://kubernetes.default.svc.cluster.local", "other"]}});
    let review = up.made("/apis/authentication.k8s.io/v1/tokenreviews", review).await;
    assert_eq!(review["status"]["authenticated"], true, "{review}");
    assert_eq!(review["status"]["audiences"], json!(["https://kubernetes.default.svc.cluster.local"]));

    let elsewhere = token(&up, json!({"audiences": ["elsewhere"]})).await;
    assert_eq!(code(&up, &elsewhere).await, 401);
    assert_eq!(code(&up, &format!("{good}x")).await, 401);
    assert_eq!(code(&up, "no.token.atall").await, 401);
    up.made("/api/v1/namespaces/default/secrets", json!({"metadata": {"name": "s"}})).await;
    let bound = token(&up, json!({"boundObjectRef": {"kind": "Secret", "apiVersion": "v1", "name": "s"}})).await;
    assert_eq!(code(&up, &bound).await, 403);
    up.delete("/api/v1/namespaces/default/secrets/s").await;
    assert_eq!(code(&up, &bound).await, 401, "what it was bound to is gone");
    for (spec, expected) in [
        (json!({"expirationSeconds": 1}), 422),
        (json!({"boundObjectRef": {"kind": "Secret", "name": "none"}}), 404),
        (json!({"boundObjectRef": {"kind": "Pod", "name": "p"}}), 400),
    ] {
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
        assert_eq!(up.post(&format!("{ACCOUNTS}/robot/token"), &request).await.0, expected);
    }

    up.delete(&format!("{ACCOUNTS}/robot")).await;
    assert_eq!(code(&up, &good).await, 401);
    up.made(ACCOUNTS, json!({"metadata": {"name": "robot"}})).await;
    assert_eq!(code(&up, &good).await, 401, "it is another account of that name");
    up.stop().await;
}

#[tokio::test]
async fn anonymous_sees_health_and_version() {
    let up = up().await;
    let nobody = up.over_tls(None).await;
    for path in ["/version", "/healthz", "/livez", "/readyz"] {
        assert_eq!(nobody.get(path).await.0, 200, "{path}");
    }
    let (code, refused) = nobody.get("/api/v1/namespaces").await;
    assert!(code == 403 && refused["message"].as_str().unwrap().contains("system:anonymous"), "{refused}");
    assert_eq!(nobody.get("/apis").await.0, 403);
    let (code, headers, _) = nobody.full("GET", "/version", &[("authorization", "Basic eDp5")], "").await;
    assert_eq!(code, 401);
    assert!(headers.contains_key("www-authenticate"));
    // Claims of the in-process kind mean nothing on the wire.
    let (code, _, _) = nobody.full("GET", "/api/v1/namespaces", &[("impersonate-user", "admin")], "").await;
    assert_eq!(code, 403);
    until("keys", || async { up.get("/openid/v1/jwks").await.1["keys"][0]["kty"] == "EC" }).await;
    up.stop().await;
}
