//! The demo backend, asked over sockets as a gateway asks it.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Bytes};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use purlin_testkit::{PATIENCE, process::Launch};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

struct Backend {
    address: std::net::SocketAddr,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

async fn backend() -> Backend {
    let listener = purlin_net::listen::bind("127.0.0.1:0".parse().unwrap(), "--listen").unwrap();
    let (address, shutdown) = (listener.local_addr().unwrap(), CancellationToken::new());
    let task = tokio::spawn(purlin::demo_backend::serve(listener, "b".to_owned(), shutdown.clone()));
    Backend { address, shutdown, task }
}

fn client(http2: bool) -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).http2_only(http2).build_http()
}

async fn body(response: Response<hyper::body::Incoming>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn it_tells_what_it_was_asked() {
    let backend = backend().await;
    for http2 in [false, true] {
        let request = Request::post(format!("http://{}/a/b?c=d", backend.address))
            .header("x-one", "1")
            .header("x-one", "2")
            .body(Full::from("hello"))
            .unwrap();
        let response = client(http2).request(request).await.unwrap();
        assert_eq!(response.status(), 200);
        let told: Value = serde_json::from_slice(&body(response).await).unwrap();
        assert_eq!(told["headers"]["x-one"], "1, 2");
        let told: Vec<_> = ["name", "method", "path", "body_bytes"].iter().map(|field| told[field].clone()).collect();
        assert_eq!(told, [json!("b"), json!("POST"), json!("/a/b?c=d"), json!(5)]);
    }
}

#[tokio::test]
async fn it_answers_as_paths_say() {
    let backend = backend().await;
    let client = client(false);
    let get = async |path: &str| {
        let response = client.get(format!("http://{}{path}", backend.address).parse().unwrap()).await.unwrap();
        let length = response.headers().get("content-length").and_then(|v| v.to_str().ok()).map(str::to_owned);
        (response.status().as_u16(), length, body(response).await)
    };
    assert_eq!(get("/status/418").await.0, 418);
    assert_eq!(get("/status/204").await.2, "");
    assert_eq!(get("/status/999").await.0, 400);
    assert_eq!(get("/delay/1").await.0, 200);
    for size in [0, 1, 65_536, 200_000] {
        let (status, length, bytes) = get(&format!("/bytes/{size}")).await;
        assert_eq!((status, length, bytes.len()), (200, Some(size.to_string()), size));
    }
    let (status, length, streamed) = get("/stream/3").await;
    assert_eq!((status, length), (200, None));
    let expected: Vec<Value> = (0..3).map(|line| json!({"name": "b", "line": line})).collect();
    assert_eq!(lines(&streamed), expected);
}

fn lines(body: &Bytes) -> Vec<Value> {
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

#[tokio::test]
async fn it_echoes_websockets_and_drains() {
    let backend = backend().await;
    let mut socket = TcpStream::connect(backend.address).await.unwrap();
    // The key and its answer are the example of RFC 6455, 1.3.
    let handshake = "GET /chat HTTP/1.1\r\nhost: b\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    socket.write_all(handshake.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    assert!(head.starts_with("http/1.1 101") && head.contains("s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
    socket.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']).await.unwrap();
    let mut echoed = [0; 4];
    socket.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, &[0x81, 2, b'h', b'i']);

    // A request in flight is finished.
    let stream = TokioIo::new(TcpStream::connect(backend.address).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("/stream/20").header("host", "b").body(Full::<Bytes>::default()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    backend.shutdown.cancel();
    assert_eq!(lines(&body(response).await).len(), 20);
    let mut goodbye = Vec::new();
    socket.read_to_end(&mut goodbye).await.unwrap();
    assert_eq!(goodbye, [0x88, 2, 0x03, 0xe9]);
    tokio::time::timeout(PATIENCE, backend.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn it_runs_as_a_command() {
    let launch =
        Launch::new(env!("CARGO_BIN_EXE_purlin"), ["demo-backend", "--listen", "127.0.0.1:0", "--name", "x", "--json"]);
    let process = launch.start(PATIENCE).await.unwrap();
    let url = format!("http://{}/", process.ready["listen"].as_str().unwrap());
    let response = client(false).get(url.parse().unwrap()).await.unwrap();
    let told: Value = serde_json::from_slice(&body(response).await).unwrap();
    assert_eq!((&told["name"], &process.ready["event"]), (&json!("x"), &json!("ready")));
    let status = process.terminate(Duration::from_secs(20)).await.unwrap();
    assert_eq!(status.code(), Some(0));
}
