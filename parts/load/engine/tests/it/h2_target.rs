//! A target that speaks HTTP/2 without TLS, by the `h2` crate.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A target on loopback, until it is dropped.
pub(crate) struct H2Target {
    /// Where it listens.
    pub address: SocketAddr,
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
}

impl H2Target {
    /// Starts one.
    pub(crate) async fn start(manner: Manner) -> H2Target {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut builder = h2::server::Builder::new();
                    let mut connection =
                        builder.max_concurrent_streams(manner.max_streams).handshake::<_, Bytes>(stream).await.ok()?;
                    let mut served = 0;
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        tokio::spawn(answer(request, respond));
                        served += 1;
                        if served == manner.requests {
                            connection.graceful_shutdown();
                        }
                    }
                    Some(())
                });
            }
        });
        H2Target { address, task }
    }
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
