//! A client's connection from accept to close: TLS or the first bytes decide the protocol, hyper speaks it.
//!
//! When its bind stops, the connection finishes what is under way (`Connection: close`, GOAWAY) within the drain time.

use std::cell::Cell;
use std::convert::Infallible;
use std::error::Error as _;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt as _;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use purlin_telemetry::metrics::Gauge;
use purlin_traffic::model::Protocol;
use rustls::ServerConfig;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::config::Limits;
use crate::exchange;
use crate::io::{Io, Unread};
use crate::metrics::Malformed;
use crate::stall::Streams;
use crate::worker::Worker;

/// What an HTTP/2 client sends first (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// An HTTP/2 peer is asked this often whether it is there, and has this long to answer.
pub(crate) const PING_EVERY: Duration = Duration::from_secs(30);
pub(crate) const PING_WAIT: Duration = Duration::from_secs(20);
/// Once its bind has stopped, a connection without a request yet has this long for it.
const FIRST_REQUEST: Duration = Duration::from_secs(1);
/// Streams reset by a client before we took them (rapid reset), and by us for its errors (MadeYouReset).
const MAX_PENDING_RESETS: usize = 20;
const MAX_ERROR_RESETS: usize = 100;
/// Requests that a client left before their answer, each at the price of a request to a backend (rapid reset, paced):
/// an HTTP/2 connection ends at so many, if they are more than half of its requests.
const MAX_LEFT: u32 = 100;

/// Runs hyper's tasks in this thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalExec;

impl<F: Future + 'static> hyper::rt::Executor<F> for LocalExec {
    fn execute(&self, future: F) {
        drop(tokio::task::spawn_local(async move { drop(future.await) }));
    }
}

/// A connection as the listener hands it over.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) stream: TcpStream,
    pub(crate) client: SocketAddr,
    pub(crate) bind: SocketAddr,
    pub(crate) tls: Arc<ServerConfig>,
    pub(crate) stop: CancellationToken,
}

/// What the requests of a connection have in common.
#[derive(Debug)]
pub(crate) struct Downstream {
    pub(crate) worker: Rc<Worker>,
    pub(crate) bind: SocketAddr,
    pub(crate) client: SocketAddr,
    /// Under TLS: the name of the handshake, if any.
    pub(crate) tls: Option<Option<String>>,
    pub(crate) stop: CancellationToken,
    /// Those of its bind.
    pub(crate) limits: Limits,
    unread: Unread,
    requests: Cell<u32>,
    /// Those of them that the client left before their answer.
    left: Cell<u32>,
    too_many_left: Notify,
    active: Cell<u32>,
    quiet_since: Cell<Instant>,
}

impl Downstream {
    /// A request begins; its record calls [`Self::ended`].
    pub(crate) fn began(&self) {
        self.requests.set(self.requests.get().saturating_add(1));
        self.active.set(self.active.get() + 1);
    }

    pub(crate) fn ended(&self, read_to_its_end: bool, answered: bool) {
        if !read_to_its_end {
            self.unread.store(true, Ordering::Relaxed);
        }
        if !answered {
            self.left.set(self.left.get().saturating_add(1));
            if self.left.get() >= MAX_LEFT && self.left.get() > self.requests.get() / 2 {
                self.too_many_left.notify_one();
            }
        }
        self.active.set(self.active.get().saturating_sub(1));
        self.quiet_since.set(Instant::now());
    }

    /// Until when it may stay without a request.
    fn idle_until(&self, limit: Duration) -> Instant {
        if self.active.get() > 0 { Instant::now() + limit } else { self.quiet_since.get() + limit }
    }
}

/// Serves one connection to its end.
pub(crate) async fn serve(worker: Rc<Worker>, accepted: Accepted) {
    let _counted = Counted::new(&worker.shared.metrics.connections);
    let stop = accepted.stop.clone();
    let cut = async {
        stop.cancelled().await;
        sleep(worker.drain.get()).await;
    };
    tokio::select! {
        () = speak(Rc::clone(&worker), accepted) => {}
        () = cut => {}
    }
}

/// Counts a connection for as long as it is held.
struct Counted(Gauge);

impl Counted {
    fn new(gauge: &Gauge) -> Self {
        gauge.add(1);
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

async fn speak(worker: Rc<Worker>, accepted: Accepted) {
    let Accepted { stream, client, bind, tls, stop } = accepted;
    let snapshot = worker.snapshot();
    let plan = snapshot.binds.get(&bind);
    let own = &worker.shared.limits;
    let limits = plan.and_then(|plan| plan.client.as_ref()).map_or_else(|| own.clone(), |client| client.limits(own));
    let protocol = plan.map_or(Protocol::Http, |plan| plan.protocol);
    drop(snapshot);
    let open = async {
        match protocol {
            Protocol::Http => timeout(limits.head, open_plain(stream, limits.body_idle)).await,
            // Refused when it was compiled.
            Protocol::Tcp => Ok(Err(io::ErrorKind::Unsupported.into())),
            Protocol::Tls => timeout(limits.handshake, open_tls(stream, tls, limits.body_idle)).await,
        }
    };
    let opened = tokio::select! {
        opened = open => opened,
        () = stopped_for(&stop, FIRST_REQUEST) => return,
    };
    let opened = match opened {
        Ok(Ok(opened)) => opened,
        Err(_) => return worker.shared.metrics.malformed(Malformed::Late),
        Ok(Err(_)) if protocol == Protocol::Tls => return worker.shared.metrics.malformed(Malformed::Handshake),
        // The client left.
        Ok(Err(_)) => return,
    };
    let downstream = Rc::new(Downstream {
        worker,
        limits,
        bind,
        client,
        tls: opened.tls,
        stop,
        unread: opened.io.unread(),
        requests: Cell::new(0),
        left: Cell::new(0),
        too_many_left: Notify::new(),
        active: Cell::new(0),
        quiet_since: Cell::new(Instant::now()),
    });
    let ended = if opened.h2 {
        speak_h2(Rc::clone(&downstream), opened.io).await
    } else {
        speak_h1(Rc::clone(&downstream), opened.io).await
    };
    if let Some(reason) = ended.err().and_then(|error| malformed(&error, opened.h2)) {
        downstream.worker.shared.metrics.malformed(reason);
    }
}

/// Whether hyper ended a connection because of what the client sent, or did not send.
fn malformed(error: &hyper::Error, h2: bool) -> Option<Malformed> {
    if error.is_timeout() {
        return Some(Malformed::Late);
    }
    // HTTP/2 has one kind of error for all that is not allowed, and wraps an I/O error where the client left.
    let mut causes = std::iter::successors(error.source(), |&cause| cause.source());
    let broken = error.is_parse() || (h2 && !causes.any(|cause| cause.is::<io::Error>()));
    broken.then_some(Malformed::Syntax)
}

struct Opened {
    io: Io,
    h2: bool,
    tls: Option<Option<String>>,
}

/// Reads until the bytes are, or are not, the preface of HTTP/2.
async fn open_plain(mut stream: TcpStream, stall: Duration) -> io::Result<Opened> {
    prepare(&stream)?;
    let mut first = [0; PREFACE.len()];
    let mut len = 0;
    while len < first.len() && first[..len] == PREFACE[..len] {
        match stream.read(&mut first[len..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => len += n,
        }
    }
    let h2 = first == *PREFACE;
    Ok(Opened { io: Io::plain(stream, &first[..len], stall), h2, tls: None })
}

async fn open_tls(stream: TcpStream, tls: Arc<ServerConfig>, stall: Duration) -> io::Result<Opened> {
    prepare(&stream)?;
    let stream = TlsAcceptor::from(tls).accept(stream).await?;
    let (_, session) = stream.get_ref();
    let sni = session.server_name().map(|name| name.trim_end_matches('.').to_ascii_lowercase());
    let h2 = session.alpn_protocol() == Some(b"h2");
    Ok(Opened { io: Io::tls(stream, stall), h2, tls: Some(sni) })
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    socket2::SockRef::from(stream).set_keepalive(true)
}

async fn speak_h1(downstream: Rc<Downstream>, io: Io) -> hyper::Result<()> {
    let limits = &downstream.limits;
    let service = {
        let downstream = Rc::clone(&downstream);
        service_fn(move |request: Request<Incoming>| {
            let exchange = exchange::serve(Rc::clone(&downstream), request);
            async move { Ok::<_, Infallible>(exchange.await) }
        })
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_headers(limits.headers)
        .max_buf_size(limits.head_bytes.max(8 << 10))
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = downstream.stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    // hyper waits for a first request.
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = sleep(FIRST_REQUEST) => {}
    }
    if downstream.requests.get() > 0 { connection.await } else { Ok(()) }
}

async fn stopped_for(stop: &CancellationToken, time: Duration) {
    stop.cancelled().await;
    sleep(time).await;
}

async fn speak_h2(downstream: Rc<Downstream>, io: Io) -> hyper::Result<()> {
    let limits = &downstream.limits;
    let service = {
        let downstream = Rc::clone(&downstream);
        service_fn(move |request: Request<Incoming>| {
            let exchange = exchange::serve(Rc::clone(&downstream), request);
            async move { Ok::<_, Infallible>(exchange.await) }
        })
    };
    let connection = http2::Builder::new(Streams { limit: limits.body_idle })
        .timer(TokioTimer::new())
        .enable_connect_protocol()
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_ERROR_RESETS)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_WAIT)
        .serve_connection(TokioIo::new(io), service);
    let mut connection = pin!(connection);
    let mut closing = false;
    loop {
        let idle_until = downstream.idle_until(limits.idle);
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = downstream.stop.cancelled(), if !closing => {}
            () = downstream.too_many_left.notified() => {
                downstream.worker.shared.metrics.malformed(Malformed::Resets);
                // Says GOAWAY, and does not wait for a client that would only go on.
                connection.as_mut().graceful_shutdown();
                return connection.as_mut().now_or_never().unwrap_or(Ok(()));
            }
            () = tokio::time::sleep_until(idle_until) => {
                if downstream.idle_until(limits.idle) > Instant::now() {
                    continue;
                }
                // It was told to go, and what it has not taken since is not waited for.
                if closing {
                    return Ok(());
                }
                downstream.quiet_since.set(Instant::now());
            }
        }
        closing = true;
        connection.as_mut().graceful_shutdown();
    }
}
