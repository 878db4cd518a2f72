//! A target that speaks HTTP/2, by the `h2` crate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::TcpMaxSeg;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A target on loopback, until it is dropped.
pub(crate) struct H2Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// How many requests it has got, those that it refused among them.
    pub asked: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Drop for H2Target {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How the server behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// Streams at a time.
    pub max_streams: u32,
    /// After so many requests a connection says GOAWAY and ends in good order.
    pub requests: usize,
    /// How often it refuses before it answers.
    pub refusals: u64,
}

/// How much a client may send before it has been read.
const WINDOW: u32 = 16 << 20;
/// How much a slow target reads at a time.
const PIECE: usize = 16 * 1024;

impl H2Target {
    /// Starts one.
    pub(crate) async fn start(manner: Manner) -> H2Target {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        H2Target::on(listener, manner, None)
    }

    /// Starts one behind TLS that reads slowly, so that its clients' sockets are full all the time.
    pub(crate) async fn start_slow(manner: Manner, tls: TlsAcceptor) -> H2Target {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(PIECE as u32).unwrap();
        // Small segments make small buffers on the other side, too.
        setsockopt(&socket, TcpMaxSeg, &536).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        H2Target::on(socket.listen(64).unwrap(), manner, Some(tls))
    }

    fn on(listener: TcpListener, manner: Manner, slow: Option<TlsAcceptor>) -> H2Target {
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicU64::new(0));
        let counter = asked.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (slow, counter) = (slow.clone(), counter.clone());
                tokio::spawn(async move {
                    match slow {
                        Some(tls) => serve(tls.accept(slowly(stream)).await.ok()?, manner, counter).await,
                        None => serve(stream, manner, counter).await,
                    }
                });
            }
        });
        H2Target { address, asked, task }
    }
}

/// What reads `stream` by pieces.
fn slowly(stream: TcpStream) -> DuplexStream {
    let (near, far) = tokio::io::duplex(PIECE);
    let (mut reading, mut writing) = stream.into_split();
    let (mut from, mut to) = tokio::io::split(far);
    tokio::spawn(async move { tokio::io::copy(&mut from, &mut writing).await });
    tokio::spawn(async move {
        let mut piece = vec![0; PIECE];
        while let Ok(read @ 1..) = reading.read(&mut piece).await {
            to.write_all(&piece[..read]).await.ok()?;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Some(())
    });
    near
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, manner: Manner, asked: Arc<AtomicU64>) -> Option<()> {
    let mut builder = h2::server::Builder::new();
    builder.initial_window_size(WINDOW).initial_connection_window_size(WINDOW);
    let mut connection = builder.max_concurrent_streams(manner.max_streams).handshake::<_, Bytes>(stream).await.ok()?;
    let mut served = 0;
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let before = asked.fetch_add(1, Ordering::Relaxed);
        if manner.refusals == u64::MAX || before % (manner.refusals + 1) != manner.refusals {
            respond.send_reset(Reason::REFUSED_STREAM);
            continue;
        }
        tokio::spawn(answer(request, respond));
        served += 1;
        if served == manner.requests {
            connection.graceful_shutdown();
        }
    }
    Some(())
}

/// `/echo` answers with the body, `/grpc/STATUS` with an empty message and that status, `/slow` after 20 ms, all else
/// with a greeting.
async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> Option<()> {
    let path = request.uri().path().to_owned();
    let mut body = request.into_body();
    let mut content = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.ok()?;
        content.extend_from_slice(&data);
        body.flow_control().release_capacity(data.len()).ok()?;
    }
    if let Some(status) = path.strip_prefix("/test.Echo/Status") {
        let response = Response::builder().header("content-type", "application/grpc").body(()).ok()?;
        let mut send = respond.send_response(response, false).ok()?;
        send.send_data(Bytes::from_static(&[0; 5]), false).ok()?;
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", status.parse().ok()?);
        return send.send_trailers(trailers).ok();
    }
    if path == "/slow" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let answer = if path == "/echo" { content.into() } else { Bytes::from_static(b"hello") };
    let response = Response::builder().header("x-token", "abc").body(()).ok()?;
    respond.send_response(response, false).ok()?.send_data(answer, true).ok()
}
