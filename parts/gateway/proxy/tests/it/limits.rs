//! Peers that take their time.

use std::time::Duration;

use purlin_traffic::model::BackendProtocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::backend::{Backend, scripted};
use crate::rig::{PATIENCE, Reply, Rig, options, rule};

const SHORT: Duration = Duration::from_millis(50);

/// What comes until the connection ends.
async fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut got = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut got)).await.expect("the connection stays open");
    got
}

#[tokio::test]
async fn a_head_has_to_come_in_time() {
    let backend = Backend::start("one").await;
    let mut options = options(1);
    options.limits.head = SHORT;
    let rig = Rig::with(options, vec![rule("/", "svc")], &[("svc", BackendProtocol::Http1, &[backend.at])]).await;
    for sent in ["", "G", "PRI * HTTP/2.0", "GET / HTTP/1.1\r\nHost: a\r\n", "GET / HTTP/1.1\r\nHost: a\r\nA"] {
        let mut stream = TcpStream::connect(rig.at).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let got = rest(stream).await;
        assert!(!String::from_utf8_lossy(&got).contains("200"), "{sent:?}");
    }
    // The pause between two requests is limited too.
    let mut stream = TcpStream::connect(rig.at).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(rest(stream).await.starts_with(b"HTTP/1.1 200"));
    assert_eq!(*backend.seen.lock(), ["GET /"]);
}

#[tokio::test]
async fn an_upload_that_stops_is_given_up() {
    let backend = Backend::start("one").await;
    let mut options = options(1);
    options.limits.body_idle = SHORT;
    let rig = Rig::with(options, vec![rule("/", "svc")], &[("svc", BackendProtocol::Http1, &[backend.at])]).await;
    let mut stream = TcpStream::connect(rig.at).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc").await.unwrap();
    let got = String::from_utf8_lossy(&rest(stream).await).into_owned();
    let reply = Reply::parse_all(&got).into_iter().next().unwrap();
    assert_eq!((reply.status, reply.header("connection")), (408, Some("close")));
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut() {
    let mut big = b"HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n".to_vec();
    big.resize(big.len() + (64 << 20), b'x');
    let at = scripted(big).await;
    let mut options = options(1);
    options.limits.body_idle = SHORT;
    let rig = Rig::with(options, vec![rule("/", "svc")], &[("svc", BackendProtocol::Http1, &[at])]).await;
    let mut stream = TcpStream::connect(rig.at).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    // Drained at once, while the client still does not read: only a connection that was cut lets this return early.
    tokio::time::sleep(SHORT * 4).await;
    rig.proxy.drain(PATIENCE * 60).await;
    assert!(rest(stream).await.len() < 64 << 20);
}

#[tokio::test]
async fn a_backend_that_falls_silent_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert_ne!(stream.read(&mut [0; 1024]).await.unwrap(), 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").await.unwrap();
            // Open, but silent, until the proxy closes.
            while stream.read(&mut [0; 1024]).await.is_ok_and(|n| n > 0) {}
        }
    });
    for (idle, whole) in [(SHORT, None), (PATIENCE * 60, Some(SHORT))] {
        let mut options = options(1);
        options.limits.body_idle = idle;
        let mut rule = rule("/", "svc");
        rule.request_timeout = whole;
        let rig = Rig::with(options, vec![rule], &[("svc", BackendProtocol::Http1, &[at])]).await;
        let mut stream = TcpStream::connect(rig.at).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let got = rest(stream).await;
        assert!(got.starts_with(b"HTTP/1.1 200") && got.ends_with(b"abc"), "{got:?}");
    }
}

#[tokio::test]
async fn bytes_may_come_one_by_one() {
    let backend = Backend::start("one").await;
    let rig = Rig::simple(backend.at).await;
    let mut stream = TcpStream::connect(rig.at).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for byte in b"PRI /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc" {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let got = String::from_utf8_lossy(&rest(stream).await).into_owned();
    assert!(got.starts_with("HTTP/1.1 200") && got.ends_with("abc"), "{got}");
    assert_eq!(*backend.seen.lock(), ["PRI /x"]);
}
