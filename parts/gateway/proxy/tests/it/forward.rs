//! Backends, connections to them, filters, timeouts, tunnels.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use purlin_gateway_proxy::AccessLog;
use purlin_traffic::model::{Action, BackendProtocol, HeaderChange, PathRewrite, Redirect, RequestFilter};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::backend::Backend;
use crate::rig::{Rig, free, options, read_reply, rule, share};

const H1: BackendProtocol = BackendProtocol::Http1;

#[tokio::test]
async fn failures_have_their_status() {
    let backend = Backend::start("one").await;
    let action = |prefix, action| purlin_traffic::model::Rule { action, ..rule(prefix, "svc") };
    let rules = vec![
        action("/zero", Action::Forward(vec![share(0, Some("svc"))])),
        action("/empty", Action::Forward(Vec::new())),
        action("/unresolved", Action::Forward(vec![share(1, None)])),
        rule("/down", "down"),
        rule("/none", "none"),
        rule("/status", "svc"),
    ];
    let down = free();
    let clusters = [("svc", H1, &[backend.at][..]), ("down", H1, &[down][..]), ("none", H1, &[][..])];
    let rig = Rig::new(rules, &clusters).await;
    for (path, status) in [
        ("/zero", 500),
        ("/empty", 500),
        ("/unresolved", 500),
        ("/down", 503),
        ("/none", 503),
        ("/other", 404),
        ("/status/404", 404),
        ("/status/500", 500),
    ] {
        let reply = rig.get(path).await;
        assert_eq!(reply.status, status, "{path}");
        // What the proxy says itself can be told from what a backend says.
        let own = !path.starts_with("/status");
        assert_eq!(reply.header("server") == Some("purlin"), own, "{path}: {reply:?}");
        assert_eq!(reply.header("x-request-id").is_some(), own, "{path}: {reply:?}");
    }
    let bodiless = rig.send("HEAD /status/200 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert_eq!((bodiless.status, bodiless.body.as_str()), (200, ""));
    assert!(bodiless.header("content-length").is_some_and(|n| n != "0"), "{bodiless:?}");
    let unmodified = rig.get("/status/304").await;
    assert_eq!((unmodified.status, unmodified.body.as_str()), (304, ""));
}

#[tokio::test]
async fn another_endpoint_is_tried_once() {
    let backend = Backend::start("one").await;
    let endpoints = [free(), backend.at];
    let rig = Rig::new(vec![rule("/", "svc")], &[("svc", H1, &endpoints)]).await;
    for _ in 0..20 {
        assert_eq!(rig.get("/").await.status, 200);
    }
}

#[tokio::test]
async fn the_endpoint_with_less_to_do_is_chosen() {
    let (one, two) = (Backend::start("one").await, Backend::start("two").await);
    let rig = Rig::new(vec![rule("/", "svc")], &[("svc", H1, &[one.at, two.at])]).await;
    let mut busy = TcpStream::connect(rig.at).await.unwrap();
    busy.write_all(b"GET /gate HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    while one.seen.lock().len() + two.seen.lock().len() == 0 {
        tokio::task::yield_now().await;
    }
    let free = if one.seen.lock().is_empty() { "one" } else { "two" };
    for _ in 0..20 {
        assert_eq!(rig.get("/").await.header("x-backend"), Some(free));
    }
}

/// The answer comes while the request is still being sent: the client gets it.
#[tokio::test]
async fn an_early_answer_reaches_the_client() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert_ne!(stream.read(&mut [0; 1024]).await.unwrap(), 0);
        let early = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno";
        stream.write_all(early).await.unwrap();
        stream.shutdown().await.unwrap();
        while stream.read(&mut [0; 4096]).await.is_ok_and(|n| n > 0) {}
    });
    let rig = Rig::simple(at).await;
    let mut stream = TcpStream::connect(rig.at).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n").await.unwrap();
    let (mut reading, mut writing) = stream.split();
    let upload = async {
        // Ends when the proxy closes.
        while writing.write_all(&[b'x'; 4096]).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    let answer = async {
        let mut got = Vec::new();
        while !got.ends_with(b"no") {
            let read = reading.read_buf(&mut got).await;
            assert!(read.is_ok_and(|n| n > 0), "{:?}", String::from_utf8_lossy(&got));
        }
        String::from_utf8(got).unwrap()
    };
    tokio::pin!(upload);
    let got = tokio::select! {
        got = answer => got,
        () = &mut upload => panic!("closed before the answer came"),
    };
    assert!(got.starts_with("HTTP/1.1 413"), "{got}");
}

#[tokio::test]
async fn connections_to_backends_are_reused() {
    let backend = Backend::start("one").await;
    let rig = Rig::simple(backend.at).await;
    for _ in 0..10 {
        assert_eq!(rig.get("/").await.status, 200);
    }
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
    assert!(rig.send(request).await.body.ends_with("abc"));
    assert_eq!(backend.connections.load(Ordering::SeqCst), 1);
}

/// A backend that keeps alive in words and closes in deeds: the pooled connection is dead when the next request comes.
#[tokio::test]
async fn a_pooled_connection_that_was_closed_costs_no_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (closed, mut on_closed) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut got = Vec::new();
            while !got.ends_with(b"\r\n\r\nbody") {
                assert_ne!(stream.read_buf(&mut got).await.unwrap(), 0);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
            drop(stream);
            closed.send(()).unwrap();
        }
    });
    let rig = Rig::simple(at).await;
    for _ in 0..50 {
        let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody";
        assert_eq!(rig.send(request).await.status, 200);
        on_closed.recv().await.unwrap();
    }
}

#[tokio::test]
async fn weights_are_kept() {
    let (one, two) = (Backend::start("one").await, Backend::start("two").await);
    let mut both = rule("/", "one");
    both.action = Action::Forward(vec![share(1, Some("one")), share(9, Some("two")), share(0, Some("one"))]);
    let rig = Rig::new(vec![both], &[("one", H1, &[one.at]), ("two", H1, &[two.at])]).await;
    let mut stream = TcpStream::connect(rig.at).await.unwrap();
    let mut counts: HashMap<String, u32> = HashMap::new();
    for _ in 0..400 {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let reply = read_reply(&mut stream).await;
        *counts.entry(reply.header("x-backend").unwrap().to_owned()).or_default() += 1;
    }
    // 40 expected; the chance to be outside is below one in a hundred million.
    assert!((8..=90).contains(&counts["one"]), "{counts:?}");
}

#[tokio::test]
async fn filters() {
    let backend = Backend::start("one").await;
    let change = |name: &str, value: &str| HeaderChange {
        set: vec![(name.into(), value.into())],
        remove: vec!["x-gone".into()],
        ..HeaderChange::default()
    };
    let mut changed = rule("/foo", "svc");
    changed.request_filters = vec![
        RequestFilter::Headers(change("x-rule", "1")),
        RequestFilter::Rewrite {
            hostname: Some("internal.example".into()),
            path: Some(PathRewrite::Prefix("/bar".into())),
        },
    ];
    changed.response_filters = vec![change("x-out", "rule")];
    let mut backend_share = share(1, Some("svc"));
    backend_share.request_filters = vec![RequestFilter::Headers(change("x-share", "2"))];
    backend_share.response_filters = vec![HeaderChange { remove: vec!["x-backend".into()], ..Default::default() }];
    changed.action = Action::Forward(vec![backend_share]);
    let to = Redirect { scheme: Some("https".into()), hostname: None, path: None, port: None, status: 301 };
    let redirect = purlin_traffic::model::Rule { action: Action::Redirect(to), ..rule("/old", "svc") };
    let rig = Rig::new(vec![changed, redirect], &[("svc", H1, &[backend.at])]).await;
    let reply = rig
        .send("GET /foo/x?y HTTP/1.1\r\nHost: a.example\r\nX-Gone: 1\r\nX-Rule: 0\r\nConnection: close\r\n\r\n")
        .await;
    for (text, there) in [
        ("GET /bar/x?y\n", true),
        ("host: internal.example\n", true),
        ("x-rule: 1\n", true),
        ("x-share: 2\n", true),
        ("x-forwarded-host: a.example\n", true),
        ("x-gone", false),
    ] {
        assert_eq!(reply.body.contains(text), there, "{text}: {reply:?}");
    }
    assert_eq!((reply.header("x-out"), reply.header("x-backend")), (Some("rule"), None));
    let reply = rig.get("/old/x?y=1").await;
    assert_eq!((reply.status, reply.header("location")), (301, Some("https://a.example/old/x?y=1")));
    assert!(reply.header("x-request-id").is_some_and(|id| !id.is_empty()), "{reply:?}");
}

#[tokio::test]
async fn timeouts() {
    let backend = Backend::start("one").await;
    let short = Some(Duration::from_millis(50));
    let mut request = rule("/never", "svc");
    request.request_timeout = short;
    let mut attempt = rule("/never", "svc");
    attempt.backend_timeout = short;
    let mut none = rule("/gate", "svc");
    none.request_timeout = Some(Duration::ZERO);
    none.backend_timeout = Some(Duration::ZERO);
    for rule in [request, attempt] {
        let rig = Rig::new(vec![rule], &[("svc", H1, &[backend.at])]).await;
        assert_eq!(rig.get("/never").await.status, 504);
    }
    let mut options = options(1);
    options.limits.response = Duration::from_millis(50);
    let rules = vec![none, rule("/", "svc")];
    let rig = Rig::with(options, rules, &[("svc", H1, &[backend.at])]).await;
    assert_eq!(rig.get("/never").await.status, 504);
    // Zero means none: the default does not hold either.
    let waiting = rig.get("/gate");
    tokio::pin!(waiting);
    let early = tokio::time::timeout(Duration::from_millis(200), waiting.as_mut()).await;
    assert!(early.is_err(), "{early:?}");
    backend.gate.add_permits(1);
    assert_eq!(waiting.await.status, 200);
}

#[tokio::test]
async fn a_body_is_asked_for_with_100_continue() {
    let backend = Backend::start("one").await;
    let rig = Rig::simple(backend.at).await;
    let mut stream = TcpStream::connect(rig.at).await.unwrap();
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head).await.unwrap();
    assert_eq!(read_reply(&mut stream).await.status, 100);
    stream.write_all(b"abc").await.unwrap();
    let reply = read_reply(&mut stream).await;
    assert!(reply.status == 200 && reply.body.ends_with("abc") && !reply.body.contains("expect"), "{reply:?}");
    let other = "POST / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\nConnection: close\r\n\r\n";
    assert_eq!(rig.send(other).await.status, 417);
}

const HANDSHAKE: &[u8] = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[tokio::test]
async fn websocket_frames_pass_both_ways_and_half_close_is_kept() {
    let backend = Backend::start("one").await;
    let rig = Rig::simple(backend.at).await;
    let mut stream = TcpStream::connect(rig.at).await.unwrap();
    stream.write_all(HANDSHAKE).await.unwrap();
    let reply = read_reply(&mut stream).await;
    assert_eq!((reply.status, reply.header("upgrade")), (101, Some("websocket")));
    for text in [&b"hello"[..], b"", b"again"] {
        let mask = [1, 2, 3, 4];
        let mut frame = vec![0x81, 0x80 | text.len() as u8];
        frame.extend(mask);
        frame.extend(text.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
        stream.write_all(&frame).await.unwrap();
        let mut echo = vec![0; 2 + text.len()];
        stream.read_exact(&mut echo).await.unwrap();
        assert_eq!(echo, [&[0x81, text.len() as u8][..], text].concat());
    }
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"\x81\x03bye");
}

#[tokio::test]
async fn no_tunnel_without_the_backends_101() {
    let backend = Backend::start("one").await;
    let rig = Rig::simple(backend.at).await;
    // The backend answers `/` with 200: what follows is a request, not a tunnel.
    let handshake = String::from_utf8_lossy(HANDSHAKE).replace("/ws", "/");
    let both = format!("{handshake}GET /after HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let got = crate::rig::talk(rig.at, both.as_bytes()).await;
    let statuses: Vec<u16> =
        crate::rig::Reply::parse_all(&String::from_utf8_lossy(&got)).iter().map(|r| r.status).collect();
    assert_eq!(statuses, [200, 200]);
}

#[tokio::test]
async fn the_access_log_has_a_line_for_each_request() {
    let backend = Backend::start("one").await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("access.log");
    let mut options = options(2);
    options.access_log = AccessLog::File(file.clone());
    let to = Redirect { scheme: None, hostname: None, path: None, port: None, status: 302 };
    let redirect = purlin_traffic::model::Rule { action: Action::Redirect(to), index: 1, ..rule("/old", "svc") };
    let rig = Rig::with(options, vec![rule("/p", "svc"), redirect], &[("svc", H1, &[backend.at])]).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = format!(
        "POST /p?secret=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nX-Request-Id: r1\r\n\
         Traceparent: 00-{trace}-00f067aa0ba902b7-01\r\nConnection: close\r\n\r\nabc"
    );
    let body_len = rig.send(&request).await.body.len();
    rig.get("/other").await;
    let moved = rig.get("/old?y").await;
    rig.proxy.drain(crate::rig::PATIENCE).await;
    let text = std::fs::read_to_string(file).unwrap();
    let mut lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    lines.sort_by_key(|l| l["status"].as_u64());
    assert_eq!(lines.len(), 3, "{text}");
    for (name, value) in [
        ("method", "POST"),
        ("host", "a"),
        ("path", "/p"),
        ("protocol", "HTTP/1.1"),
        ("route", "default/route/0"),
        ("upstream", &backend.at.to_string()),
        ("request_id", "r1"),
        ("trace_id", trace),
    ] {
        assert_eq!(lines[0][name], value, "{name}: {text}");
    }
    assert_eq!((lines[0]["bytes_in"].as_u64(), lines[0]["bytes_out"].as_u64()), (Some(3), Some(body_len as u64)));
    let id = moved.header("x-request-id").expect("a redirect says its id");
    for (name, value) in [("path", "/old"), ("route", "default/route/1"), ("request_id", id)] {
        assert_eq!(lines[1][name], value, "{name}: {text}");
    }
    assert_eq!((&lines[1]["status"], &lines[1]["bytes_out"]), (&302.into(), &0.into()));
    assert!(lines[1].get("flag").is_none() && lines[1].get("upstream").is_none(), "{text}");
    assert_eq!((&lines[2]["status"], &lines[2]["flag"]), (&404.into(), &"no_route".into()));
    assert!(lines[0].get("flag").is_none(), "{text}");
}
