//! Backends: one that answers what it saw, and one that says bytes by a script.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Answers what it saw: the request line, the headers, an empty line, the body, the trailers.
#[derive(Clone, Debug)]
pub(crate) struct Backend {
    pub(crate) at: SocketAddr,
    name: Arc<str>,
    /// Request lines.
    pub(crate) seen: Arc<Mutex<Vec<String>>>,
    pub(crate) connections: Arc<AtomicUsize>,
    /// Requests for `/gate` wait for a permit.
    pub(crate) gate: Arc<Semaphore>,
    /// Whether the bodies of requests came to their end.
    pub(crate) bodies: Arc<Mutex<Vec<bool>>>,
    /// Requests for `/never` and `/endless` that were given up by the other side.
    pub(crate) left: Arc<AtomicUsize>,
}

/// Counts when it is dropped.
struct Leaves(Arc<AtomicUsize>);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

type Body = BoxBody<Bytes, Infallible>;

impl Backend {
    pub(crate) async fn start(name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let backend = Self {
            at: listener.local_addr().unwrap(),
            name: name.into(),
            seen: Arc::default(),
            connections: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
            bodies: Arc::default(),
            left: Arc::default(),
        };
        let serving = backend.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                serving.connections.fetch_add(1, Ordering::SeqCst);
                let serving = serving.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let serving = serving.clone();
                        async move { serving.answer(request).await }
                    });
                    let server = auto::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
                });
            }
        });
        backend
    }

    async fn answer(&self, mut request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
        let line = format!("{} {}", request.method(), request.uri().path_and_query().unwrap());
        self.seen.lock().push(line.clone());
        match request.uri().path() {
            "/gate" => self.gate.acquire().await.unwrap().forget(),
            "/never" => {
                let _leaves = Leaves(Arc::clone(&self.left));
                // hyper notices an end only where it reads.
                request.body_mut().collect().await?;
                std::future::pending().await
            }
            "/endless" => return Ok(endless(request.into_body(), Leaves(Arc::clone(&self.left)))),
            "/ws" => return Ok(websocket(&mut request)),
            "/trailers" => return Ok(with_trailers()),
            _ => {}
        }
        let mut text = format!("{line}\n");
        if let Some(authority) = request.uri().authority() {
            text.push_str(&format!(":authority: {authority}\n"));
        }
        for (name, value) in request.headers() {
            text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
        }
        let status = request.uri().path().strip_prefix("/status/").and_then(|s| s.parse().ok()).unwrap_or(200);
        let body = request.collect().await;
        self.bodies.lock().push(body.is_ok());
        let body = body?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        text.push('\n');
        text.push_str(&String::from_utf8_lossy(&body.to_bytes()));
        for (name, value) in &trailers {
            text.push_str(&format!("\n{name}: {}", String::from_utf8_lossy(value.as_bytes())));
        }
        let response = Response::builder()
            .status(status)
            .header("x-backend", &*self.name)
            .header("connection", "x-hop")
            .header("x-hop", "1");
        Ok(response.body(Full::new(text.into()).boxed()).unwrap())
    }
}

/// A body that begins, and goes on only when the request breaks off.
fn endless(request: Incoming, leaves: Leaves) -> Response<Body> {
    let rest = futures::stream::once(async move {
        let _leaves = leaves;
        if request.collect().await.is_ok() {
            std::future::pending::<()>().await;
        }
        Ok(Frame::data(Bytes::new()))
    });
    let first = futures::stream::iter([Ok(Frame::data(Bytes::from_static(b"data")))]);
    Response::new(BodyExt::boxed(StreamBody::new(futures::StreamExt::chain(first, rest))))
}

fn with_trailers() -> Response<Body> {
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
    let frames = [Ok(Frame::data(Bytes::from_static(b"data"))), Ok(Frame::trailers(trailers))];
    Response::new(BodyExt::boxed(StreamBody::new(futures::stream::iter(frames))))
}

/// Echoes text frames; ends after a close frame.
fn websocket(request: &mut Request<Incoming>) -> Response<Body> {
    let upgrade = hyper::upgrade::on(request);
    tokio::spawn(async move {
        let mut io = TokioIo::new(upgrade.await.unwrap());
        loop {
            let mut head = [0; 6];
            if io.read_exact(&mut head).await.is_err() {
                // The client has ended its half: say so on ours.
                io.write_all(b"\x81\x03bye").await.unwrap();
                return io.shutdown().await.unwrap();
            }
            let mut payload = vec![0; usize::from(head[1] & 0x7f)];
            io.read_exact(&mut payload).await.unwrap();
            payload.iter_mut().zip(head[2..].iter().cycle()).for_each(|(b, mask)| *b ^= mask);
            let frame = [&[head[0], payload.len() as u8][..], &payload].concat();
            io.write_all(&frame).await.unwrap();
        }
    });
    let response = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
    let response = response.header("connection", "upgrade").header("upgrade", "websocket");
    response.body(Full::default().boxed()).unwrap()
}

/// Reads one request's head, says `reply`, closes. One connection after the other.
pub(crate) async fn scripted(reply: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut got = Vec::new();
            while !got.windows(4).any(|w| w == b"\r\n\r\n") {
                if stream.read_buf(&mut got).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            let _ = stream.write_all(&reply).await;
        }
    });
    at
}
