//! A plain HTTP/1.1 client that shows what a server does: one connection, no retries, no redirects followed.

use std::net::SocketAddr;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use purlin_testkit::PATIENCE;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// One connection, kept alive between requests.
pub(crate) struct Connection(SendRequest<Empty<Bytes>>);

impl Connection {
    /// Connects to `address`.
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("failed to connect to {address}"))?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Connection(sender))
    }

    /// Asks for `path` of `host`.
    pub(crate) async fn get(&mut self, host: &str, path: &str) -> anyhow::Result<Response<Bytes>> {
        let request = Request::get(path).header(header::HOST, host).body(Empty::new())?;
        let whole = async {
            self.0.ready().await?;
            let (head, body) = self.0.send_request(request).await?.into_parts();
            anyhow::Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
        };
        timeout(PATIENCE, whole).await.with_context(|| format!("no answer to GET {path} of {host}"))?
    }
}

/// Asks once, on a connection of its own.
pub(crate) async fn get(address: SocketAddr, host: &str, path: &str) -> anyhow::Result<(StatusCode, Bytes)> {
    let (head, body) = Connection::open(address).await?.get(host, path).await?.into_parts();
    Ok((head.status, body))
}
