//! HTTP/2 with prior knowledge, on both sides.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use purlin_traffic::model::BackendProtocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::backend::Backend;
use crate::rig::{Rig, rule};

async fn connect(at: SocketAddr) -> SendRequest<Full<Bytes>> {
    let io = TokioIo::new(TcpStream::connect(at).await.unwrap());
    let (sender, connection) = handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn post(uri: &str, body: &'static [u8]) -> Request<Full<Bytes>> {
    Request::post(uri).version(Version::HTTP_2).body(Full::from(body)).unwrap()
}

async fn text(sender: &mut SendRequest<Full<Bytes>>, request: Request<Full<Bytes>>) -> (u16, String) {
    let response = sender.send_request(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn streams_reach_an_http1_backend() {
    let backend = Backend::start("one").await;
    let rig = Rig::simple(backend.at).await;
    let sender = connect(rig.at).await;
    let streams = (0..20).map(|_| {
        let mut sender = sender.clone();
        tokio::spawn(async move { text(&mut sender, post("http://a.example/x?y", b"body")).await })
    });
    for (status, body) in futures::future::try_join_all(streams).await.unwrap() {
        assert_eq!(status, 200);
        for part in
            ["POST /x?y\n", "host: a.example\n", "content-length: 4\n", "x-forwarded-for: 127.0.0.1\n", "\n\nbody"]
        {
            assert!(body.contains(part), "{part}: {body}");
        }
    }
}

#[tokio::test]
async fn heads_are_judged() {
    let backend = Backend::start("one").await;
    let rig = Rig::simple(backend.at).await;
    let mut sender = connect(rig.at).await;
    for (uri, host, expected) in [
        ("http://a.example/", Some("a.example"), 200),
        ("http://a.example/", Some("b.example"), 400),
        ("http://u@a.example/", None, 400),
        ("http://a.example/..", None, 400),
        ("http://a.example/a/../b", None, 200),
    ] {
        let mut request = post(uri, b"");
        if let Some(host) = host {
            request.headers_mut().insert("host", host.parse().unwrap());
        }
        assert_eq!(text(&mut sender, request).await.0, expected, "{uri} {host:?}");
    }
    let mut request = post("http://a.example/", b"");
    request.headers_mut().append("cookie", "a=1".parse().unwrap());
    request.headers_mut().append("cookie", "b=2".parse().unwrap());
    assert!(text(&mut sender, request).await.1.contains("cookie: a=1; b=2\n"));
}

#[tokio::test]
async fn an_h2c_backend_is_spoken_to_in_http2_and_trailers_pass() {
    let backend = Backend::start("one").await;
    let rig = Rig::new(vec![rule("/", "svc")], &[("svc", BackendProtocol::Http2, &[backend.at])]).await;
    let mut sender = connect(rig.at).await;
    for _ in 0..5 {
        let (status, body) = text(&mut sender, post("http://a.example/x", b"body")).await;
        assert!(status == 200 && body.contains(":authority: a.example\n") && body.ends_with("body"), "{body}");
    }
    let response = sender.send_request(post("http://a.example/trailers", b"")).await.unwrap();
    let collected = response.collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(collected.to_bytes(), "data");
    // One connection carries all of it, and requests from HTTP/1.1.
    assert_eq!(rig.get("/").await.status, 200);
    assert_eq!(backend.connections.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_drain_says_goaway() {
    let backend = Backend::start("one").await;
    let rig = Rig::simple(backend.at).await;
    let mut sender = connect(rig.at).await;
    let busy = tokio::spawn({
        let mut sender = sender.clone();
        async move { text(&mut sender, post("http://a.example/gate", b"")).await.0 }
    });
    while backend.seen.lock().is_empty() {
        tokio::task::yield_now().await;
    }
    let gate = backend.gate.clone();
    let drain = rig.proxy.drain(crate::rig::PATIENCE);
    let release = async {
        // Until GOAWAY has come, new streams are accepted.
        while sender.ready().await.is_ok() && !sender.is_closed() && TcpStream::connect(rig.at).await.is_ok() {
            tokio::task::yield_now().await;
        }
        gate.add_permits(1);
    };
    tokio::join!(drain, release);
    assert_eq!(busy.await.unwrap(), 200);
}

#[tokio::test]
async fn a_websocket_over_http2_reaches_an_http1_backend() {
    let backend = Backend::start("one").await;
    let rig = Rig::simple(backend.at).await;
    let mut sender = connect(rig.at).await;
    // The server's settings have come with the first response.
    assert_eq!(text(&mut sender, post("http://a.example/", b"")).await.0, 200);
    let connect = |path: &str| {
        let mut request = Request::connect(format!("http://a.example{path}")).version(Version::HTTP_2);
        request.extensions_mut().unwrap().insert(hyper::ext::Protocol::from_static("websocket"));
        request.header("sec-websocket-version", "13").body(Full::default()).unwrap()
    };
    let mut response = sender.send_request(connect("/ws")).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut stream = TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap());
    stream.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']).await.unwrap();
    let mut echo = [0; 4];
    stream.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"\x81\x02hi");
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"\x81\x03bye");
    // No tunnel where the backend does not agree, or for another protocol.
    assert_eq!(sender.send_request(connect("/plain")).await.unwrap().status(), 501);
    let mut other = connect("/ws");
    other.extensions_mut().insert(hyper::ext::Protocol::from_static("other"));
    assert_eq!(sender.send_request(other).await.unwrap().status(), 501);
    assert_eq!(*backend.seen.lock(), ["POST /", "GET /ws", "GET /plain"]);
}
