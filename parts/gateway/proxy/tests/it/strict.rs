//! Requests and responses as bytes: what is refused, what is passed on, and that both sides agree where they end.

use purlin_telemetry::metrics::counter;
use purlin_traffic::model::{Action, BackendProtocol, PathMatch, Redirect, Rule};

use crate::backend::{Backend, scripted};
use crate::frames::{self, Client, frame, request};
use crate::rig::{PATIENCE, Reply, Rig, rule, talk};

/// Follows each case on the same connection: it must be answered exactly when the case leaves the connection usable.
const AFTER: &str = "GET /after HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Sends a request and [`AFTER`]; expects these statuses and that the backend saw these request lines.
async fn check_raw(request: &str, statuses: &[u16], seen: &[&str]) -> Vec<Reply> {
    let backend = Backend::start("one").await;
    let rig = Rig::simple(backend.at).await;
    let got = talk(rig.at, format!("{request}{AFTER}").as_bytes()).await;
    let replies = Reply::parse_all(&String::from_utf8_lossy(&got));
    assert_eq!(replies.iter().map(|r| r.status).collect::<Vec<_>>(), statuses, "{request:?}");
    assert_eq!(*backend.seen.lock(), seen, "{request:?}");
    replies
}

/// Refused, closed, and nothing of it reaches the backend.
async fn check_refused(request: &str) {
    check_raw(request, &[400], &[]).await;
}

#[tokio::test]
async fn plain_requests() {
    let both = |first| [first, "GET /after"];
    check_raw("GET / HTTP/1.1\r\nHost: a\r\n\r\n", &[200, 200], &both("GET /")).await;
    check_raw("GET /x?y=1 HTTP/1.1\r\nHost: a:80\r\n\r\n", &[200, 200], &both("GET /x?y=1")).await;
    let absolute = "GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n";
    let replies = check_raw(absolute, &[200, 200], &both("GET /x")).await;
    assert!(replies[0].body.contains("\nhost: b\n"), "{replies:?}");
    check_raw("GET /a/../b HTTP/1.1\r\nHost: a\r\n\r\n", &[200, 200], &both("GET /b")).await;
    check_raw("GET /a/%2e%2E/b?/../ HTTP/1.1\r\nHost: a\r\n\r\n", &[200, 200], &both("GET /b?/../")).await;
    check_raw("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", &[200, 200], &both("POST /p")).await;
    let padded = "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 0003\r\n\r\nabc";
    let replies = check_raw(padded, &[200, 200], &both("POST /p")).await;
    assert!(replies[0].body.contains("\ncontent-length: 3\n"), "{replies:?}");
    let chunked = "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let replies = check_raw(chunked, &[200, 200], &both("POST /p")).await;
    assert!(replies[0].body.ends_with("\n\nabc"), "{replies:?}");
    check_raw("GET / HTTP/1.0\r\nHost: a\r\n\r\n", &[200], &["GET /"]).await;
}

#[tokio::test]
async fn hosts() {
    check_refused("GET / HTTP/1.1\r\n\r\n").await;
    check_refused("GET / HTTP/1.0\r\n\r\n").await;
    check_refused("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n").await;
    check_refused("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").await;
    check_refused("GET / HTTP/1.1\r\nHost:\r\n\r\n").await;
    check_refused("GET / HTTP/1.1\r\nHost: a b\r\n\r\n").await;
    check_refused("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n").await;
    check_refused("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n").await;
    check_refused("GET http://u@b/x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    check_refused("GET http://b/x HTTP/1.1\r\n\r\n").await;
    check_refused("GET / HTTP/1.1\r\nHost : a\r\n\r\n").await;
}

#[tokio::test]
async fn targets() {
    check_refused("GET x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    check_refused("GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    check_refused("GET * HTTP/1.1\r\nHost: a\r\n\r\n").await;
    check_refused("GET ftp://a/x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    check_refused("GET /../x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    check_refused("GET /a%00 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    check_refused("GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n").await;
    check_refused("GET /a/..%2fb HTTP/1.1\r\nHost: a\r\n\r\n").await;
    check_refused("GET /a/..;/b HTTP/1.1\r\nHost: a\r\n\r\n").await;
    check_refused("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n").await;
    check_raw("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", &[404, 200], &["GET /after"]).await;
    check_raw("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", &[501], &[]).await;
}

/// hyper cuts a fragment before we see the target. What is left is what the rules, their filters, the backend and the
/// log see: there is no second reading of it, and nothing of the fragment moves the end of the request.
#[tokio::test]
async fn fragments_are_seen_by_nobody() {
    let both = |first| [first, "GET /after"];
    for (target, sent) in [
        ("/x#frag", "GET /x"),
        ("/x?y=1#frag", "GET /x?y=1"),
        ("/x#/../../secret?y=1", "GET /x"),
        ("/x#%00%zz", "GET /x"),
        ("/x##", "GET /x"),
        ("/#", "GET /"),
        ("/a/../b#c", "GET /b"),
        ("http://b/x#frag", "GET /x"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        check_raw(&request, &[200, 200], &both(sent)).await;
    }
    check_refused("GET #frag HTTP/1.1\r\nHost: a\r\n\r\n").await;
    check_refused("GET x#frag HTTP/1.1\r\nHost: a\r\n\r\n").await;
    check_refused("GET /..#frag HTTP/1.1\r\nHost: a\r\n\r\n").await;
    check_refused("GET /x#a\0b HTTP/1.1\r\nHost: a\r\n\r\n").await;

    // The rules match what the backend gets: not the fragment, and not less than the rest.
    let backend = Backend::start("one").await;
    let mut exact = rule("/", "svc");
    exact.matches.path = PathMatch::Exact("/exact".into());
    let to = Redirect { scheme: None, hostname: None, path: None, port: None, status: 302 };
    let redirect = Rule { action: Action::Redirect(to), ..rule("/old", "svc") };
    let rig = Rig::new(vec![exact, redirect], &[("svc", BackendProtocol::Http1, &[backend.at])]).await;
    for (target, status) in
        [("/exact#f", 200), ("/exact#", 200), ("/exac#t", 404), ("/other#/exact", 404), ("/exact/#", 404)]
    {
        assert_eq!(rig.get(target).await.status, status, "{target}");
    }
    for (target, status) in [(&b"/exact#f"[..], 200), (b"/exac#t", 404)] {
        let mut client = Client::connect(rig.at).await;
        client.send(&frame(frames::HEADERS, 5, 1, &request("GET", target, &[]))).await;
        assert_eq!(client.response(1).await.0, status, "{target:?} over HTTP/2");
    }
    assert_eq!(*backend.seen.lock(), ["GET /exact"; 3]);
    let moved = rig.get("/old/x?y#f").await;
    assert_eq!(moved.header("location"), Some(format!("http://a.example:{}/old/x?y", rig.at.port()).as_str()));
}

#[tokio::test]
async fn framing() {
    let post = |headers: &str, body: &str| format!("POST /p HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\n{body}");
    let end = "0\r\n\r\n";
    check_refused(&post("Transfer-Encoding: chunked, chunked", end)).await;
    check_refused(&post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", end)).await;
    check_refused(&post("Transfer-Encoding: gzip, chunked", end)).await;
    check_refused(&post("Transfer-Encoding: identity", "")).await;
    check_refused(&post("Transfer-Encoding: xchunked", end)).await;
    check_refused(&post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", end)).await;
    check_refused("POST /p HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").await;
    check_refused(&post("Content-Length: 1\r\nContent-Length: 2", "ab")).await;
    check_refused(&post("Content-Length: 1, 1", "a")).await;
    check_refused(&post("Content-Length: +1", "a")).await;
    check_refused(&post("Content-Length: -1", "a")).await;
    check_refused(&post("Content-Length: 0x1", "a")).await;
    check_refused(&post("Content-Length: 99999999999999999999", "a")).await;
    check_refused(&post("A: b\r\n Content-Length: 1", "a")).await;
    check_refused(&post("A: b\rContent-Length: 1", "a")).await;
    check_refused(&post("A: b\0c", "")).await;
    // Length next to coding: the coding counts, the length is not passed on, the connection is not used further.
    let both = post("Content-Length: 4\r\nTransfer-Encoding: chunked", "3\r\nabc\r\n0\r\n\r\n");
    let replies = check_raw(&both, &[200], &["POST /p"]).await;
    assert!(!replies[0].body.contains("content-length") && replies[0].body.ends_with("\n\nabc"), "{replies:?}");
}

#[tokio::test]
async fn trailers_are_announced_only_where_they_can_follow() {
    let end = "2\r\nhi\r\n0\r\nX-End: 1\r\nConnection: x\r\n\r\n";
    for method in ["POST", "GET"] {
        let chunked = format!(
            "{method} /p HTTP/1.1\r\nHost: a\r\nTrailer: X-End, Connection\r\nTransfer-Encoding: chunked\r\n\r\n{end}"
        );
        let replies = check_raw(&chunked, &[200, 200], &[&format!("{method} /p"), "GET /after"]).await;
        let body = &replies[0].body;
        assert!(body.contains("\ntrailer: X-End, Connection\n") && body.ends_with("\n\nhi\nx-end: 1"), "{body}");
    }
    for (length, body) in [("Content-Length: 2\r\n", "hi"), ("", "")] {
        let plain = format!("POST /p HTTP/1.1\r\nHost: a\r\nTrailer: X-End\r\n{length}\r\n{body}");
        let replies = check_raw(&plain, &[200, 200], &["POST /p", "GET /after"]).await;
        assert!(!replies[0].body.contains("x-end") && !replies[0].body.contains("trailer"), "{replies:?}");
    }
}

#[tokio::test]
async fn bad_chunks_never_reach_the_end_of_a_request() {
    for chunks in ["x\r\nabc\r\n0\r\n\r\n", "0x3\r\nabc\r\n0\r\n\r\n", "3\nabc\n0\n\n", "3\r\nabcd\r\n0\r\n\r\n"] {
        let request = format!("POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        let backend = Backend::start("one").await;
        let rig = Rig::simple(backend.at).await;
        let got = talk(rig.at, format!("{request}{AFTER}").as_bytes()).await;
        let text = String::from_utf8_lossy(&got);
        let statuses: Vec<u16> = Reply::parse_all(&text).iter().map(|reply| reply.status).collect();
        assert_eq!(statuses, [400], "{chunks:?} {text}");
        assert!(!backend.seen.lock().iter().any(|line| line.contains("after")), "{chunks:?}");
    }
}

#[tokio::test]
async fn heads_are_limited() {
    let big = format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "x".repeat(70 << 10));
    check_raw(&big, &[431], &[]).await;
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(200));
    check_raw(&many, &[431], &[]).await;
}

#[tokio::test]
async fn what_concerns_one_connection_is_not_passed_on() {
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, x-secret, content-length\r\nX-Secret: 1\r\n\
                   Keep-Alive: 5\r\nTE: trailers, gzip\r\nProxy-Connection: x\r\nUpgrade: h2c\r\nX-Kept: 1\r\n\
                   X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nX-Request-Id: id-1\r\n\r\n";
    let replies = check_raw(request, &[200, 200], &["GET /", "GET /after"]).await;
    let body = &replies[0].body;
    for gone in ["x-secret", "keep-alive", "proxy-connection", "upgrade", "gzip", "connection"] {
        assert!(!body.contains(gone), "{gone}: {body}");
    }
    let kept = ["x-kept: 1", "te: trailers", "x-forwarded-for: 9.9.9.9, 127.0.0.1", "x-forwarded-proto: http\n"];
    for kept in kept.into_iter().chain(["x-forwarded-host: a", "x-request-id: id-1", "traceparent: 00-", "host: a\n"]) {
        assert!(body.contains(kept), "{kept}: {body}");
    }
    assert_eq!((replies[0].header("x-hop"), replies[0].header("x-backend")), (None, Some("one")));
    assert!(replies[0].header("date").is_some());
}

#[tokio::test]
async fn what_is_refused_is_counted() {
    let count = |reason| counter("purlin_gateway_malformed_requests_total", "", &[("reason", reason)]).get();
    for (reason, request) in [
        ("syntax", "GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
        ("host", "GET / HTTP/1.1\r\n\r\n"),
        ("target", "GET /.. HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("framing", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
        ("method", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n"),
        ("expectation", "GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\nConnection: close\r\n\r\n"),
        ("body", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"),
    ] {
        let before = count(reason);
        let rig = Rig::simple(Backend::start("one").await.at).await;
        talk(rig.at, request.as_bytes()).await;
        // Counted when the connection is done with, which a drain waits for.
        rig.proxy.drain(PATIENCE).await;
        assert!(count(reason) > before, "{reason}");
    }
}

/// What a backend says, and what the client gets.
async fn check_response(reply: &str, status: u16, body: &str) {
    let rig = Rig::simple(scripted(reply.as_bytes().to_vec()).await).await;
    let got = rig.get("/").await;
    assert_eq!(got.status, status, "{reply:?}: {got:?}");
    if status == 200 {
        assert!(got.body.contains(body), "{reply:?}: {got:?}");
    }
}

#[tokio::test]
async fn responses() {
    check_response("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok").await;
    check_response("HTTP/1.1 200 OK\r\n\r\nok", 200, "ok").await;
    let rig = Rig::simple(scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 002\r\n\r\nok".to_vec()).await).await;
    assert_eq!(rig.get("/").await.header("content-length"), Some("2"));
    check_response("HTTP/1.0 200 OK\r\n\r\nok", 200, "ok").await;
    check_response("HTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok").await;
    check_response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, "ok").await;
    for bad in [
        "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: gzip\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
        "Content-Length: 2\r\nContent-Length: 3\r\n\r\nokk",
        "Content-Length: +2\r\n\r\nok",
        "A b: c\r\n\r\n",
        "A: b\r\n c\r\n\r\n",
    ] {
        check_response(&format!("HTTP/1.1 200 OK\r\n{bad}"), 502, "").await;
    }
    check_response("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", 502, "").await;
    check_response("HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n", 502, "").await;
    check_response("nonsense\r\n\r\n", 502, "").await;
    check_response("HTTP/1.1 200 OK\r\nConte", 502, "").await;
    check_response("", 502, "").await;
}

#[tokio::test]
async fn a_response_that_breaks_off_is_not_completed() {
    for reply in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok",
    ] {
        let rig = Rig::simple(scripted(reply.as_bytes().to_vec()).await).await;
        let got = talk(rig.at, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let text = String::from_utf8_lossy(&got);
        assert!(!text.contains("\r\n0\r\n\r\n") && !text.contains("okok"), "{text}");
    }
}
