//! What policies do to requests and answers.

use std::sync::Arc;
use std::time::Duration;

use purlin_traffic::model::{
    AbortStatus, Action, BackendProtocol, Coding, Compression, Cors, Fault, Mirror, RateLimit, RateScope,
    RequestLimits, Rule, RulePolicy,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::backend::{Backend, scripted};
use crate::rig::{PATIENCE, Reply, Rig, cluster_name, free, options, rule, talk, until};

const H1: BackendProtocol = BackendProtocol::Http1;

fn policed(prefix: &str, policy: RulePolicy) -> Rule {
    Rule { policy: Arc::new(policy), ..rule(prefix, "svc") }
}

fn request(line: &str, headers: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n")
}

#[tokio::test]
async fn cross_origin_requests() {
    let reply = b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nX-A: 1\r\nContent-Length: 0\r\n\r\n";
    let cors = Cors {
        origins: vec!["https://*.example".into()],
        credentials: true,
        methods: vec!["PUT".into()],
        headers: vec!["*".into()],
        expose: vec!["x-a".into()],
        max_age: Duration::from_secs(5),
    };
    let at = scripted(reply.to_vec()).await;
    let limits = RequestLimits { target_bytes: Some(10), ..RequestLimits::default() };
    let policy = RulePolicy { cors: Some(Arc::new(cors)), limits, ..RulePolicy::default() };
    let rig = Rig::new(vec![policed("/", policy)], &[("svc", H1, &[at])]).await;
    let asks = "Access-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: x-b\r\n";
    let preflight = rig.send(&request("OPTIONS /", &format!("Origin: https://a.example\r\n{asks}"))).await;
    assert_eq!((preflight.status, preflight.header("content-length")), (204, None));
    for (name, value) in
        [("origin", "https://a.example"), ("methods", "PUT"), ("headers", "x-b"), ("credentials", "true")]
    {
        assert_eq!(preflight.header(&format!("access-control-allow-{name}")), Some(value), "{preflight:?}");
    }
    assert_eq!(preflight.header("access-control-max-age"), Some("5"));
    let refused = rig.send(&request("OPTIONS /", &format!("Origin: https://b.other\r\n{asks}"))).await;
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (403, None));
    for (line, origin, status, allowed) in [
        ("GET /", "Origin: https://a.example\r\n", 200, Some("https://a.example")),
        ("GET /", "Origin: https://b.other\r\n", 200, None),
        ("GET /", "", 200, None),
        ("GET /0123456789", "Origin: https://a.example\r\n", 414, Some("https://a.example")),
    ] {
        let reply = rig.send(&request(line, origin)).await;
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (status, allowed), "{line} {origin}");
        assert_eq!(reply.header("vary"), Some("Origin"));
    }
}

#[tokio::test]
async fn requests_that_are_too_large() {
    let backend = Backend::start("one").await;
    let limits = RequestLimits { body_bytes: Some(4), header_bytes: Some(100), target_bytes: Some(20) };
    let policy = RulePolicy { limits, ..RulePolicy::default() };
    let rig = Rig::new(vec![policed("/", policy)], &[("svc", H1, &[backend.at])]).await;
    let long = format!("X: {}\r\n", "x".repeat(60));
    let post = |length: usize| {
        format!("{}{}", request("POST /", &format!("Content-Length: {length}\r\n")), "x".repeat(length))
    };
    let chunked = |chunks: &str| format!("{}{chunks}", request("POST /", "Transfer-Encoding: chunked\r\n"));
    for (sent, status) in [
        (request("GET /234567890123456789?", ""), 200),
        (request("GET /234567890123456789?1", ""), 414),
        (request("GET /", &long), 200),
        (request("GET /", &long.repeat(2)), 431),
        (post(4), 200),
        (post(5), 413),
        (chunked("2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n"), 200),
        (chunked("2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"), 413),
    ] {
        assert_eq!(rig.send(&sent).await.status, status, "{sent:?}");
    }
    // Refused before it is sent, and the connection is not used again.
    let mut stream = TcpStream::connect(rig.at).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await.unwrap();
    let mut got = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut got)).await.unwrap().unwrap();
    let reply = Reply::parse_all(&got).remove(0);
    assert_eq!((reply.status, reply.header("connection")), (413, Some("close")), "{got}");
}

#[tokio::test]
async fn failures_on_purpose() {
    let backend = Backend::start("one").await;
    let all = 1_000_000;
    let fault = |delay, abort| RulePolicy { fault: Some(Fault { delay, abort }), ..RulePolicy::default() };
    let delay = Duration::from_millis(30);
    let rules = vec![
        policed("/http", fault(None, Some((AbortStatus::Http(418), all)))),
        policed("/grpc", fault(None, Some((AbortStatus::Grpc(14), all)))),
        policed("/none", fault(Some((delay, 0)), Some((AbortStatus::Http(418), 0)))),
        policed("/slow", fault(Some((delay, all)), None)),
    ];
    let rig = Rig::new(rules, &[("svc", H1, &[backend.at])]).await;
    assert_eq!(rig.get("/http").await.status, 418);
    assert_eq!(rig.get("/none").await.status, 200);
    assert_eq!(rig.get("/grpc").await.status, 503);
    let grpc = rig.send(&request("POST /grpc", "Content-Type: application/grpc+proto\r\nContent-Length: 0\r\n")).await;
    assert_eq!((grpc.status, grpc.header("grpc-status")), (200, Some("14")), "{grpc:?}");
    assert_eq!(grpc.header("content-type"), Some("application/grpc"));
    let began = tokio::time::Instant::now();
    assert_eq!(rig.get("/slow").await.status, 200);
    assert!(began.elapsed() >= delay);
    assert_eq!(*backend.seen.lock(), ["GET /none", "GET /slow"]);
}

#[tokio::test]
async fn too_many_requests() {
    let backend = Backend::start("one").await;
    let (window, scope) = (Duration::from_secs(3600), RateScope::Local);
    let limit = RateLimit { name: "ns/p/r".into(), scope, requests: 3, window, burst: 2, keys: Vec::new() };
    let policy = || RulePolicy { rate_limits: vec![Arc::new(limit.clone())], ..RulePolicy::default() };
    let rules = vec![policed("/a", policy()), policed("/b", policy()), rule("/free", "svc")];
    let rig = Rig::with(options(2), rules, &[("svc", H1, &[backend.at])]).await;
    let first = rig.get("/a").await;
    assert_eq!((first.status, first.header("ratelimit")), (200, Some("\"r\";r=1;t=1200")));
    assert_eq!(first.header("ratelimit-policy"), Some("\"r\";q=3;w=3600"));
    // Another route of the same policy, maybe another worker, and another snapshot.
    assert_eq!(rig.proxy.apply(&rig.model).await, Default::default());
    assert_eq!(rig.get("/b").await.status, 200);
    let refused = rig.get("/a").await;
    assert_eq!(refused.status, 429);
    assert!(
        refused.header("retry-after").is_some_and(|s| (1..=1200).contains(&s.parse::<u32>().unwrap())),
        "{refused:?}"
    );
    let free = rig.get("/free").await;
    assert_eq!((free.status, free.header("ratelimit")), (200, None));
}

#[tokio::test]
async fn copies_for_mirrors() {
    let (main, one, two) = (Backend::start("main").await, Backend::start("one").await, Backend::start("two").await);
    let mirror = |name, fraction| Mirror { cluster: Some(cluster_name(name)), fraction };
    let unresolved = Mirror { cluster: None, fraction: (1, 1) };
    let mut rule = rule("/", "svc");
    rule.mirrors = vec![mirror("one", (1, 1)), mirror("down", (1, 1)), unresolved];
    if let Action::Forward(backends) = &mut rule.action {
        backends[0].mirrors = vec![mirror("two", (1, 4))];
    }
    let down = free();
    let clusters = [("svc", H1, &[main.at][..]), ("one", H1, &[one.at]), ("two", H1, &[two.at]), ("down", H1, &[down])];
    let rig = Rig::new(vec![rule], &clusters).await;
    for sent in [
        request("POST /a", "Content-Length: 3\r\n") + "abc",
        request("POST /b", "Transfer-Encoding: chunked\r\n") + "3\r\nabc\r\n0\r\n\r\n",
        request("GET /c", ""),
        // Nobody waits for a copy's answer.
        request("GET /status/200", ""),
    ] {
        let reply = rig.send(&sent).await;
        assert_eq!((reply.status, reply.header("x-backend")), (200, Some("main")), "{sent}");
        assert_eq!(reply.body.ends_with("\nabc"), sent.contains("POST"), "{reply:?}");
    }
    until("all are copied", || one.bodies.lock().len() == 4).await;
    let seen = |backend: &Backend| {
        let mut lines = backend.seen.lock().clone();
        lines.sort();
        lines
    };
    assert_eq!(seen(&one), seen(&main));
    assert_eq!(*one.bodies.lock(), [true; 4]);
    until("one in four is copied", || two.bodies.lock().len() == 1).await;
    assert_eq!(main.seen.lock().len(), 4);
}

#[tokio::test]
async fn a_mirror_that_takes_nothing_holds_up_nobody() {
    let main = Backend::start("main").await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut rule = rule("/", "svc");
    rule.mirrors = vec![Mirror { cluster: Some(cluster_name("silent")), fraction: (1, 1) }];
    let clusters = [("svc", H1, &[main.at][..]), ("silent", H1, &[silent.local_addr().unwrap()])];
    let rig = Rig::new(vec![rule], &clusters).await;
    let body = "x".repeat(16 << 20);
    let reply = rig.send(&format!("{}{body}", request("POST /", &format!("Content-Length: {}\r\n", body.len())))).await;
    assert_eq!((reply.status, reply.body.ends_with(&body)), (200, true));
}

fn compressing() -> RulePolicy {
    let codings = vec![Coding::Gzip];
    let compression = Compression { codings, min_bytes: 10, types: vec!["text/*".into()] };
    RulePolicy { compression: Some(Arc::new(compression)), ..RulePolicy::default() }
}

fn gunzip(chunked: &[u8]) -> String {
    let (mut body, mut rest) = (Vec::new(), chunked);
    while let Some(at) = rest.windows(2).position(|w| w == b"\r\n") {
        let length = usize::from_str_radix(str::from_utf8(&rest[..at]).unwrap(), 16).unwrap();
        body.extend_from_slice(&rest[at + 2..at + 2 + length]);
        rest = &rest[at + 4 + length..];
    }
    let mut text = Vec::new();
    // A stream that goes on is no error before its last byte.
    let _ = std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&*body), &mut text);
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn answers_are_compressed() {
    let text = "hello ".repeat(50_000);
    let answer = |headers: &str, body: &str| {
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
    };
    let big = scripted(answer("ETag: \"1\"\r\nAccept-Ranges: bytes\r\n", &text).into_bytes()).await;
    let small = scripted(answer("", "small").into_bytes()).await;
    let coded = scripted(answer("Content-Encoding: br\r\n", &text).into_bytes()).await;
    let name = |prefix: &str, name: &str| Rule { policy: Arc::new(compressing()), ..rule(prefix, name) };
    let rules = vec![name("/big", "big"), name("/small", "small"), name("/coded", "coded")];
    let clusters = [("big", H1, &[big][..]), ("small", H1, &[small]), ("coded", H1, &[coded])];
    let rig = Rig::new(rules, &clusters).await;
    let got = talk(rig.at, request("GET /big", "Accept-Encoding: br, gzip\r\n").as_bytes()).await;
    let end = got.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let head = Reply::parse_all(str::from_utf8(&got[..end]).unwrap()).remove(0);
    let of = |names: [&str; 5]| names.map(|name| head.header(name).map(str::to_owned));
    let expected = [Some("gzip"), Some("Accept-Encoding"), Some("W/\"1\""), None, None].map(|v| v.map(str::to_owned));
    assert_eq!(of(["content-encoding", "vary", "etag", "content-length", "accept-ranges"]), expected);
    assert!(got.len() < text.len() / 50 && gunzip(&got[end..]) == text);
    for (line, accept, vary) in [
        ("GET /big", "", Some("Accept-Encoding")),
        ("GET /big", "Accept-Encoding: gzip;q=0\r\n", Some("Accept-Encoding")),
        ("HEAD /big", "Accept-Encoding: gzip\r\n", Some("Accept-Encoding")),
        ("GET /small", "Accept-Encoding: gzip\r\n", None),
        ("GET /coded", "Accept-Encoding: gzip\r\n", None),
    ] {
        let reply = rig.send(&request(line, accept)).await;
        assert_eq!(reply.header("vary"), vary, "{line} {accept}");
        assert_ne!(reply.header("content-encoding"), Some("gzip"), "{line} {accept}");
        assert!(reply.header("content-length").is_some());
    }
}

/// An event reaches the client though the stream goes on.
#[tokio::test]
async fn events_are_not_held_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert_ne!(stream.read(&mut [0; 1024]).await.unwrap(), 0);
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: one\n\n";
        stream.write_all(head).await.unwrap();
        // Open until the proxy closes.
        while stream.read(&mut [0; 1024]).await.is_ok_and(|n| n > 0) {}
    });
    let rig = Rig::new(vec![policed("/", compressing())], &[("svc", H1, &[at])]).await;
    let mut stream = TcpStream::connect(rig.at).await.unwrap();
    stream.write_all(request("GET /", "Accept-Encoding: gzip\r\n").as_bytes()).await.unwrap();
    let read = async {
        let mut got = Vec::new();
        loop {
            assert_ne!(stream.read_buf(&mut got).await.unwrap(), 0);
            let body = got.windows(4).position(|w| w == b"\r\n\r\n").map(|at| &got[at + 4..]);
            if body.is_some_and(|body| body.ends_with(b"\r\n") && gunzip(body) == "data: one\n\n") {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("the event is held back");
}
