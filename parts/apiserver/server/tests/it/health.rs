//! `/healthz`, `/livez`, `/readyz` and the checks below them, and `/metrics`.

use crate::platform::up;

#[tokio::test]
async fn each_check_is_told_and_fails_alone() {
    let up = up().await;
    let health = async |path: &str| {
        let (code, headers, body) = up.full("GET", path, &[], "").await;
        assert_eq!(headers["content-type"], "text/plain; charset=utf-8", "{path}: {body}");
        (code, body.as_str().unwrap_or_default().to_owned())
    };
    let good = |text: &str| (200, text.to_owned());
    for path in ["/healthz", "/livez", "/readyz", "/readyz/ping", "/livez/store", "/readyz/shutdown"] {
        assert_eq!(health(path).await, good("ok"), "{path}");
    }
    assert_eq!(health("/livez?verbose").await, good("[+]ping ok\n[+]store ok\nlivez check passed\n"));
    let all = "[+]ping ok\n[+]store ok\n[+]shutdown ok\nreadyz check passed\n";
    assert_eq!(health("/readyz?verbose").await, good(all));
    for path in ["/readyz/nothing", "/livez/shutdown", "/readyz/", "/readyz/ping/x"] {
        assert_eq!(up.get(path).await.0, 404, "{path}");
    }
    let (_, root) = up.get("/").await;
    assert!(root["paths"].as_array().unwrap().contains(&"/readyz/store".into()), "{root}");
    // Anybody may ask whether all is well, but not for the reasons.
    let nobody = up.as_user("system:anonymous", &["system:unauthenticated"]);
    assert_eq!((nobody.get("/readyz?verbose").await.0, nobody.get("/readyz/store").await.0), (200, 403));

    up.store.close().await;
    let failed = |endpoint: &str, rest: &str| {
        (500, format!("[+]ping ok\n[-]store failed: reason withheld\n{rest}{endpoint} check failed\n"))
    };
    assert_eq!(health("/livez").await, failed("livez", ""));
    assert_eq!(health("/readyz").await, failed("readyz", "[+]shutdown ok\n"));
    assert_eq!(health("/livez/ping").await, good("ok"));
    let (code, why) = health("/livez/store").await;
    assert!(code == 500 && why.starts_with("internal server error: the store cannot be read: "), "{code} {why}");
    let excluded = "[+]ping ok\n[+]store excluded: ok\nlivez check passed\n";
    assert_eq!(health("/livez?exclude=store&verbose").await, good(excluded));
    up.stop().await;
}

#[tokio::test]
async fn metrics_are_for_who_may_read_them() {
    let up = up().await;
    let monitor = up.as_user("prometheus", &["system:monitoring"]);
    let (code, headers, text) = monitor.full("GET", "/metrics", &[], "").await;
    assert_eq!((code, &headers["content-type"]), (200, &"text/plain; version=0.0.4; charset=utf-8".parse().unwrap()));
    let text = text.as_str().unwrap();
    for line in ["# TYPE purlin_apiserver_request_seconds histogram\n", "\nprocess_resident_memory_bytes "] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert_eq!(up.get("/metrics").await.0, 200);
    for stranger in [up.as_user("ada", &[]), up.as_user("system:anonymous", &["system:unauthenticated"])] {
        assert_eq!(stranger.get("/metrics").await.0, 403);
    }
    assert_eq!((up.post("/metrics", &"".into()).await.0, up.get("/metrics/slis").await.0), (405, 404));
    up.stop().await;
}
