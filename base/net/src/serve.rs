//! HTTP over a listener: accepts, speaks TLS, serves HTTP/1.1 and HTTP/2, drains.
//!
//! One loop accepts; each connection is a task that does its handshake, then serves requests until the peer leaves or
//! the drain begins. The drain stops the accepting, lets requests in flight finish, and after a deadline drops what is
//! left. [`serve`] returns when the last task has ended, so nothing outlives it but connections that the service
//! upgraded and took over. A slow or silent peer meets a limit at each step: handshake, first request, headers.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use purlin_telemetry::metrics::{self, Counter, Gauge};
use rustls::ServerConfig;
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Whom a request comes from, as far as the connection tells; stands in the request's extensions.
#[derive(Clone, Debug)]
pub struct ConnInfo {
    /// The other end of the connection.
    pub peer: SocketAddr,
    /// The certificates that the client showed and TLS verified, its own first.
    pub client_certs: Option<Arc<Vec<CertificateDer<'static>>>>,
}

/// Limits of a listener. The defaults suit the API server.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Names the listener in metrics and logs.
    pub name: &'static str,
    /// Connections at a time; more wait in the system's queue.
    pub max_connections: usize,
    /// How long the TLS handshake may take.
    pub handshake_timeout: Duration,
    /// How long a connection may take to send its first request, and an HTTP/1.1 request its headers.
    pub header_timeout: Duration,
    /// Requests at a time on an HTTP/2 connection.
    pub max_streams: u32,
    /// Bytes of a request's headers.
    pub max_header_bytes: u32,
    /// How often an idle HTTP/2 peer is asked whether it lives; it has 20 seconds to answer.
    pub ping_interval: Duration,
    /// How long requests in flight may take to finish once the drain begins.
    pub drain: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        ServeOptions {
            name: "http",
            max_connections: 10_000,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(30),
            max_streams: 1000,
            max_header_bytes: 64 * 1024,
            ping_interval: Duration::from_secs(30),
            drain: Duration::from_secs(10),
        }
    }
}

struct Metrics {
    accepted: Counter,
    open: Gauge,
    accept_failures: Counter,
    handshake_failures: Counter,
}

impl Metrics {
    fn of(name: &str) -> Metrics {
        let labels = &[("listener", name)];
        Metrics {
            accepted: metrics::counter("purlin_net_connections_total", "Connections accepted.", labels),
            open: metrics::gauge("purlin_net_connections", "Connections open now.", labels),
            accept_failures: metrics::counter("purlin_net_accept_failures_total", "Failures to accept.", labels),
            handshake_failures: metrics::counter(
                "purlin_net_handshake_failures_total",
                "TLS handshakes that failed or took too long.",
                labels,
            ),
        }
    }
}

/// Where the tasks of a listener run: counted, and ended together.
#[derive(Clone)]
struct Tasks {
    running: TaskTracker,
    /// Cancelled when the drain is over.
    kill: CancellationToken,
}

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, future: F) {
        let kill = self.kill.clone();
        self.running.spawn(async move {
            tokio::select! {
                () = kill.cancelled() => {}
                _ = future => {}
            }
        });
    }
}

/// What the connections of a listener share.
struct Server<S> {
    service: S,
    tls: Option<TlsAcceptor>,
    http: auto::Builder<Tasks>,
    options: ServeOptions,
    metrics: Metrics,
    shutdown: CancellationToken,
}

/// Serves requests by `service` until `shutdown` is cancelled and the connections have drained.
/// Dropped before that, it ends its connections at once.
pub async fn serve<S, F, B>(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    service: S,
    options: ServeOptions,
    shutdown: CancellationToken,
) where
    S: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let tasks = Tasks { running: TaskTracker::new(), kill: CancellationToken::new() };
    let _ended_when_dropped = tasks.kill.clone().drop_guard();
    let slots = Arc::new(Semaphore::new(options.max_connections.min(Semaphore::MAX_PERMITS)));
    let server = Arc::new(Server {
        service,
        tls: tls.map(TlsAcceptor::from),
        http: builder(&options, tasks.clone()),
        metrics: Metrics::of(options.name),
        options,
        shutdown: shutdown.clone(),
    });
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &slots, &server.metrics) => accepted,
        };
        let Some((stream, peer, slot)) = accepted else { break };
        let server = server.clone();
        hyper::rt::Executor::execute(&tasks, async move {
            server.metrics.accepted.inc();
            server.metrics.open.add(1);
            let _open = Open(server.metrics.open.clone(), slot);
            connection(&server, stream, peer).await;
        });
    }
    drop(listener);
    tasks.running.close();
    if timeout(server.options.drain, tasks.running.wait()).await.is_err() {
        tracing::warn!(
            listener = server.options.name,
            left = tasks.running.len(),
            "drain is over: closing what is left"
        );
        tasks.kill.cancel();
        tasks.running.wait().await;
    }
}

/// Counts a connection as open and holds its slot, whichever way its task ends.
struct Open(Gauge, #[expect(dead_code, reason = "held until dropped")] OwnedSemaphorePermit);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

fn builder(options: &ServeOptions, tasks: Tasks) -> auto::Builder<Tasks> {
    let mut http = auto::Builder::new(tasks);
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        .max_buf_size((options.max_header_bytes as usize).max(8192));
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(options.max_streams)
        .max_header_list_size(options.max_header_bytes)
        .keep_alive_interval(options.ping_interval)
        .keep_alive_timeout(Duration::from_secs(20));
    http
}

/// The next connection, together with its slot; `None` when there are no slots any more.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    metrics: &Metrics,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    const LONGEST_PAUSE: Duration = Duration::from_secs(1);
    let slot = slots.clone().acquire_owned().await.ok()?;
    let mut pause = Duration::from_millis(5);
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return Some((stream, peer, slot)),
            // The peer gave up while it waited in the queue.
            Err(e) if matches!(e.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {}
            // Out of file descriptors or memory: the connection stays in the queue, so trying at once would spin.
            Err(error) => {
                metrics.accept_failures.inc();
                tracing::warn!(%error, "cannot accept a connection; trying again");
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

async fn connection<S, F, B>(server: &Server<S>, stream: TcpStream, peer: SocketAddr)
where
    S: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    // Small messages, such as events of a watch, must not wait for more. A failure means that the peer is gone.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let Some(acceptor) = &server.tls else {
        return http(server, stream, ConnInfo { peer, client_certs: None }).await;
    };
    let handshake = tokio::select! {
        () = server.shutdown.cancelled() => return,
        handshake = timeout(server.options.handshake_timeout, acceptor.accept(stream)) => handshake,
    };
    match handshake {
        Ok(Ok(stream)) => {
            let shown = stream.get_ref().1.peer_certificates();
            let client_certs =
                shown.map(|certs| Arc::new(certs.iter().map(|cert| cert.clone().into_owned()).collect()));
            http(server, stream, ConnInfo { peer, client_certs }).await;
        }
        Ok(Err(error)) => {
            server.metrics.handshake_failures.inc();
            tracing::debug!(%peer, %error, "TLS handshake failed");
        }
        Err(_) => {
            server.metrics.handshake_failures.inc();
            tracing::debug!(%peer, "TLS handshake took too long");
        }
    }
}

async fn http<S, F, B, I>(server: &Server<S>, stream: I, info: ConnInfo)
where
    S: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let peer = info.peer;
    let asked = AtomicBool::new(false);
    let service = service_fn(|mut request: Request<Incoming>| {
        asked.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(info.clone());
        let response = (server.service)(request);
        async move { Ok::<_, Infallible>(response.await) }
    });
    let mut serving = pin!(server.http.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let mut first_request = pin!(sleep(server.options.header_timeout));
    let (mut waiting, mut draining) = (true, false);
    loop {
        tokio::select! {
            result = serving.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%peer, %error, "connection failed");
                }
                return;
            }
            // hyper limits the time of headers once it knows the protocol; a peer that never says it has this limit.
            () = first_request.as_mut(), if waiting => {
                if !asked.load(Ordering::Relaxed) {
                    tracing::debug!(%peer, "no request came in time");
                    return;
                }
                waiting = false;
            }
            () = server.shutdown.cancelled(), if !draining => {
                draining = true;
                serving.as_mut().graceful_shutdown();
            }
        }
    }
}

#[cfg(test)]
mod tests;
