//! HTTP/2 clients that make the proxy work and take nothing: each loses its connection, the others are served.

use std::time::Duration;

use purlin_traffic::model::BackendProtocol;

use crate::backend::{Backend, scripted};
use crate::frames::{self, Client, frame, request};
use crate::rig::{Rig, options, rule, until};

/// Others are served, and no request of the flood is left at the backend.
async fn check_calm(rig: &Rig, backend: &Backend) {
    assert_eq!(rig.get("/calm").await.status, 200);
    let asked = backend.seen.lock().iter().filter(|line| line.contains("/never")).count();
    until("requests are left at the backend", || backend.left.load(std::sync::atomic::Ordering::SeqCst) == asked).await;
}

fn headers(stream: u32, path: &str) -> Vec<u8> {
    let flags = frames::END_HEADERS | frames::END_STREAM;
    frame(frames::HEADERS, flags, stream, &request("GET", path.as_bytes(), &[]))
}

fn reset(stream: u32) -> Vec<u8> {
    frame(frames::RST_STREAM, 0, stream, &frames::CANCEL.to_be_bytes())
}

#[tokio::test]
async fn rapid_reset() {
    let backend = Backend::start("one").await;
    let rig = Rig::simple(backend.at).await;
    let mut client = Client::connect(rig.at).await;
    let flood: Vec<u8> = (0..2_000).flat_map(|n| [headers(2 * n + 1, "/never"), reset(2 * n + 1)].concat()).collect();
    client.send(&flood).await;
    assert_eq!(client.goaway().await, frames::ENHANCE_YOUR_CALM);
    assert!(backend.seen.lock().len() < 100, "{}", backend.seen.lock().len());
    check_calm(&rig, &backend).await;
}

#[tokio::test]
async fn rapid_reset_of_what_the_backend_has_got() {
    let backend = Backend::start("one").await;
    let rig = Rig::simple(backend.at).await;
    let mut client = Client::connect(rig.at).await;
    for round in 0..2 {
        let streams: Vec<u32> = (50 * round..50 * round + 50).map(|n| 2 * n + 1).collect();
        client.send(&streams.iter().flat_map(|stream| headers(*stream, "/never")).collect::<Vec<_>>()).await;
        until("the requests come", || backend.seen.lock().len() == 50 * (round as usize + 1)).await;
        client.send(&streams.iter().flat_map(|stream| reset(*stream)).collect::<Vec<_>>()).await;
    }
    // hyper cannot be told another code than that of an orderly end.
    assert_eq!(client.goaway().await, frames::NO_ERROR);
    assert_eq!(backend.seen.lock().len(), 100);
    check_calm(&rig, &backend).await;
}

#[tokio::test]
async fn a_client_may_leave_half_of_its_requests() {
    let backend = Backend::start("one").await;
    let rig = Rig::simple(backend.at).await;
    let mut client = Client::connect(rig.at).await;
    for n in 0..150 {
        let (answered, left) = (4 * n + 1, 4 * n + 3);
        client.send(&headers(answered, "/x")).await;
        assert_eq!(client.response(answered).await.0, 200);
        client.send(&headers(left, "/never")).await;
        until("the request comes", || backend.seen.lock().len() == 2 * n as usize + 2).await;
        client.send(&reset(left)).await;
    }
    client.send(&headers(1001, "/x")).await;
    assert_eq!(client.response(1001).await.0, 200);
    check_calm(&rig, &backend).await;
}

/// Makes the proxy reset its streams itself: a window that grows too large is an error of the stream.
#[tokio::test]
async fn made_you_reset() {
    let backend = Backend::start("one").await;
    let rig = Rig::simple(backend.at).await;
    let mut client = Client::connect(rig.at).await;
    let broken = |stream| frame(frames::WINDOW_UPDATE, 0, stream, &i32::MAX.to_be_bytes());
    let flood: Vec<u8> = (0..500).flat_map(|n| [headers(2 * n + 1, "/never"), broken(2 * n + 1)].concat()).collect();
    client.send(&flood).await;
    assert_eq!(client.goaway().await, frames::ENHANCE_YOUR_CALM);
    check_calm(&rig, &backend).await;
}

#[tokio::test]
async fn continuations_without_end() {
    let backend = Backend::start("one").await;
    let rig = Rig::simple(backend.at).await;
    let first = frame(frames::HEADERS, frames::END_STREAM, 1, &request("GET", b"/never", &[]));
    let field = frames::block(&[(b"x-more", &[b'x'; 100])]);
    let floods = [Vec::new(), field.clone(), field.repeat(100)].map(async |part| {
        let mut client = Client::connect(rig.at).await;
        let flood = frame(frames::CONTINUATION, 0, 1, &part).repeat(1_000);
        client.send(&[first.clone(), flood].concat()).await;
        assert_eq!(client.goaway().await, frames::ENHANCE_YOUR_CALM, "{}", part.len());
    });
    futures::future::join_all(floods).await;
    assert_eq!(backend.seen.lock().len(), 0);
    check_calm(&rig, &backend).await;
}

#[tokio::test]
async fn data_without_content() {
    let backend = Backend::start("one").await;
    let rig = Rig::simple(backend.at).await;
    let mut client = Client::connect(rig.at).await;
    client.send(&frame(frames::HEADERS, frames::END_HEADERS, 1, &request("POST", b"/never", &[]))).await;
    client.send(&frame(frames::DATA, 0, 1, &[]).repeat(100_000)).await;
    assert_eq!(client.goaway().await, frames::ENHANCE_YOUR_CALM);
    check_calm(&rig, &backend).await;
}

/// The client opens no window: its stream ends, the connection goes on, and the backend is not read on its behalf.
#[tokio::test]
async fn a_stream_that_takes_nothing() {
    const SIZE: usize = 64 << 20;
    let mut big = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n").into_bytes();
    big.resize(big.len() + SIZE, b'x');
    let (slow, backend) = (scripted(big).await, Backend::start("one").await);
    let mut options = options(1);
    options.limits.body_idle = Duration::from_millis(50);
    let rules = vec![rule("/big", "big"), rule("/", "svc")];
    let h1 = BackendProtocol::Http1;
    let rig = Rig::with(options, rules, &[("big", h1, &[slow]), ("svc", h1, &[backend.at])]).await;
    let mut client = Client::connect(rig.at).await;
    client.send(&headers(1, "/big")).await;
    let ended = client.until(&[frames::RST_STREAM, frames::GOAWAY]).await;
    assert_eq!((ended.kind, ended.stream, ended.code()), (frames::RST_STREAM, 1, frames::CANCEL));
    client.send(&frame(frames::WINDOW_UPDATE, 0, 0, &(1u32 << 20).to_be_bytes())).await;
    client.send(&headers(3, "/x")).await;
    assert_eq!(client.response(3).await.0, 200);
    // The scripted backend serves one connection after the other: the first one has been closed.
    client.send(&headers(5, "/big")).await;
    assert_eq!(client.until(&[frames::HEADERS]).await.stream, 5);
}
