//! Clients that leave: their request is taken back from the backend.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use purlin_traffic::model::BackendProtocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::backend::Backend;
use crate::frames::{self, Client, frame, request};
use crate::rig::{PATIENCE, Rig, options, rule, talk, until};

/// `leave` speaks to the proxy and leaves once it is told that the backend has the request.
async fn check<F>(to: BackendProtocol, leave: impl AsyncFn(SocketAddr) -> F)
where
    F: Future<Output = ()>,
{
    let backend = Backend::start("one").await;
    let mut options = options(1);
    // Nothing but the client's leaving closes what leads to the backend.
    options.limits.pool_idle = PATIENCE * 60;
    let rig = Rig::with(options, vec![rule("/", "svc")], &[("svc", to, &[backend.at])]).await;
    let left = leave(rig.at).await;
    until("the request comes", || backend.seen.lock().len() == 1).await;
    assert_eq!(backend.left.load(Ordering::SeqCst), 0);
    left.await;
    until("the request is taken back", || backend.left.load(Ordering::SeqCst) == 1).await;
    // The next one is served, over HTTP/2 on the same connection.
    assert_eq!(rig.get("/").await.status, 200);
    let connections = if to == BackendProtocol::Http2 { 1 } else { 2 };
    assert_eq!(backend.connections.load(Ordering::SeqCst), connections);
}

async fn h1(at: SocketAddr, request: &str, expect: &str) -> impl Future<Output = ()> + use<> {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut got = Vec::new();
    while !String::from_utf8_lossy(&got).contains(expect) {
        assert_ne!(stream.read_buf(&mut got).await.unwrap(), 0);
    }
    async move { drop(stream) }
}

async fn h2(at: SocketAddr, method: &str, path: &str, answer: bool) -> impl Future<Output = ()> + use<> {
    let mut client = Client::connect(at).await;
    client.send(&frame(frames::HEADERS, frames::END_HEADERS, 1, &request(method, path.as_bytes(), &[]))).await;
    client.send(&frame(frames::DATA, 0, 1, b"abc")).await;
    if answer {
        client.until(&[frames::DATA]).await;
    }
    async move {
        client.send(&frame(frames::RST_STREAM, 0, 1, &frames::CANCEL.to_be_bytes())).await;
        // The connection stays: it is the stream that ended.
        client.send(&frame(frames::HEADERS, 5, 3, &request("OPTIONS", b"*", &[]))).await;
        assert_eq!(client.response(3).await.0, 404);
    }
}

/// Reset without an error, which hyper takes for an end: what was cut is not passed on as whole.
#[tokio::test]
async fn a_reset_is_never_an_end() {
    for to in [BackendProtocol::Http1, BackendProtocol::Http2] {
        let backend = Backend::start("one").await;
        let rig = Rig::new(vec![rule("/", "svc")], &[("svc", to, &[backend.at])]).await;
        let mut client = Client::connect(rig.at).await;
        client.send(&frame(frames::HEADERS, frames::END_HEADERS, 1, &request("POST", b"/body", &[]))).await;
        client.send(&frame(frames::DATA, 0, 1, b"abc")).await;
        until("the request comes", || backend.seen.lock().len() == 1).await;
        client.send(&frame(frames::RST_STREAM, 0, 1, &frames::NO_ERROR.to_be_bytes())).await;
        until("the body ends", || !backend.bodies.lock().is_empty()).await;
        assert_eq!(*backend.bodies.lock(), [false], "{to:?}");
    }
}

#[tokio::test]
async fn a_reset_is_never_an_end_of_a_response() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut server = Client::accept(&listener).await;
        // :status 200 is 0x88 in the static table. The first response ends before its reset, the second does not.
        for end in [frames::END_STREAM, 0] {
            let stream = server.until(&[frames::HEADERS]).await.stream;
            let head = frame(frames::HEADERS, frames::END_HEADERS, stream, &[0x88]);
            let data = frame(frames::DATA, end, stream, b"abc");
            let reset = frame(frames::RST_STREAM, 0, stream, &frames::NO_ERROR.to_be_bytes());
            server.send(&[head, data, reset].concat()).await;
        }
        while server.next().await.is_some() {}
    });
    let rig = Rig::new(vec![rule("/", "svc")], &[("svc", BackendProtocol::Http2, &[at])]).await;
    for whole in [true, false] {
        let got = talk(rig.at, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        assert_eq!(got.ends_with(b"3\r\nabc\r\n0\r\n\r\n"), whole, "{}", String::from_utf8_lossy(&got));
    }
}

const UPLOAD: &str = "POST /never HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc";

#[tokio::test]
async fn while_the_backend_thinks() {
    for to in [BackendProtocol::Http1, BackendProtocol::Http2] {
        check(to, async |at| h1(at, "GET /never HTTP/1.1\r\nHost: a\r\n\r\n", "").await).await;
    }
}

#[tokio::test]
async fn in_the_middle_of_an_upload() {
    for to in [BackendProtocol::Http1, BackendProtocol::Http2] {
        check(to, async |at| h1(at, UPLOAD, "").await).await;
        check(to, async |at| h2(at, "POST", "/never", false).await).await;
    }
}

#[tokio::test]
async fn in_the_middle_of_a_download() {
    for to in [BackendProtocol::Http1, BackendProtocol::Http2] {
        check(to, async |at| h1(at, "GET /endless HTTP/1.1\r\nHost: a\r\n\r\n", "data").await).await;
        check(to, async |at| h2(at, "POST", "/endless", true).await).await;
    }
}
