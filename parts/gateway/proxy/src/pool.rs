//! A worker's connections to endpoints, keyed by address: idle HTTP/1 connections, one shared HTTP/2 connection.
//!
//! An endpoint's state is independent of snapshots: routes come and go, connections stay. A request holds a [`Lease`];
//! dropped before its response has ended it closes the connection, [`Lease::give_back`] makes it idle again.
//! Only a request that was not written at all is sent again, on a new connection.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout};

use crate::body::Upload;
use crate::config::Limits;
use crate::connection::{LocalExec, PING_EVERY, PING_WAIT};
use crate::metrics::Metrics;
use crate::snapshot::Wire;

type Key = (SocketAddr, bool);

#[derive(Debug, Default)]
pub(crate) struct Pool {
    upstreams: RefCell<HashMap<Key, Rc<Upstream>>>,
}

/// One endpoint, as this worker sees it.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) at: SocketAddr,
    h2: bool,
    /// Requests under way.
    active: Cell<u32>,
    /// The youngest last.
    idle: RefCell<Vec<Idle>>,
    shared: tokio::sync::Mutex<Option<http2::SendRequest<Upload>>>,
}

#[derive(Debug)]
struct Idle {
    sender: http1::SendRequest<Upload>,
    since: Instant,
}

#[derive(Debug)]
enum Sender {
    H1(http1::SendRequest<Upload>),
    H2(http2::SendRequest<Upload>),
}

/// A connection in use by one request.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) upstream: Rc<Upstream>,
    sender: Option<Sender>,
    pool_size: usize,
    pub(crate) reused: bool,
}

/// How sending ended without a response.
#[derive(Debug)]
pub(crate) enum NotSent {
    /// Nothing was written: it may be sent again.
    Unwritten(Box<Request<Upload>>),
    Failed(hyper::Error),
}

impl Pool {
    /// The state of an endpoint.
    pub(crate) fn upstream(&self, at: SocketAddr, protocol: Wire) -> Rc<Upstream> {
        let h2 = protocol == Wire::Http2;
        let mut upstreams = self.upstreams.borrow_mut();
        let upstream = upstreams.entry((at, h2)).or_insert_with(|| Rc::new(Upstream::new(at, h2)));
        Rc::clone(upstream)
    }

    /// Closes what is idle for too long, and forgets endpoints that no snapshot names.
    pub(crate) fn sweep(&self, limits: &Limits, used: Option<&HashSet<(SocketAddr, bool)>>) {
        self.upstreams.borrow_mut().retain(|key, upstream| {
            upstream.idle.borrow_mut().retain(|idle| idle.since.elapsed() < limits.pool_idle);
            upstream.active.get() > 0 || used.is_none_or(|used| used.contains(key))
        });
    }
}

impl Upstream {
    fn new(at: SocketAddr, h2: bool) -> Self {
        Self { at, h2, active: Cell::new(0), idle: RefCell::default(), shared: tokio::sync::Mutex::new(None) }
    }

    /// Requests under way, for balancing.
    pub(crate) fn load(&self) -> u32 {
        self.active.get()
    }

    /// A connection: a pooled one unless `fresh` is asked for.
    pub(crate) async fn lease(self: Rc<Self>, limits: &Limits, metrics: &Metrics, fresh: bool) -> io::Result<Lease> {
        let pooled = if fresh || self.h2 { None } else { self.take_idle(limits) };
        let (sender, reused) = match pooled {
            Some(sender) => (Sender::H1(sender), true),
            None if self.h2 => {
                let (sender, reused) = self.shared_h2(limits, fresh).await?;
                (Sender::H2(sender), reused)
            }
            None => (Sender::H1(connect_h1(self.at, limits).await?), false),
        };
        if reused {
            metrics.pool_reused.inc()
        } else {
            metrics.pool_new.inc()
        }
        self.active.set(self.active.get() + 1);
        Ok(Lease { upstream: self, sender: Some(sender), pool_size: limits.pool_size, reused })
    }

    fn take_idle(&self, limits: &Limits) -> Option<http1::SendRequest<Upload>> {
        let mut idle = self.idle.borrow_mut();
        while let Some(last) = idle.pop() {
            if last.since.elapsed() < limits.pool_idle && last.sender.is_ready() {
                return Some(last.sender);
            }
        }
        None
    }

    /// The HTTP/2 connection, and whether it was there already. One request connects, the others wait for it.
    async fn shared_h2(&self, limits: &Limits, fresh: bool) -> io::Result<(http2::SendRequest<Upload>, bool)> {
        let mut shared = self.shared.lock().await;
        if let Some(sender) = shared.as_ref()
            && !sender.is_closed()
            && !fresh
        {
            return Ok((sender.clone(), true));
        }
        let sender = connect_h2(self.at, limits).await?;
        *shared = Some(sender.clone());
        Ok((sender, false))
    }
}

async fn connect(at: SocketAddr, limits: &Limits) -> io::Result<TcpStream> {
    let stream = timeout(limits.connect, TcpStream::connect(at)).await??;
    stream.set_nodelay(true)?;
    socket2::SockRef::from(&stream).set_keepalive(true)?;
    Ok(stream)
}

async fn connect_h1(at: SocketAddr, limits: &Limits) -> io::Result<http1::SendRequest<Upload>> {
    let stream = connect(at, limits).await?;
    let (sender, connection) = http1::Builder::new()
        .max_headers(limits.headers)
        .max_buf_size(limits.head_bytes.max(8 << 10))
        .handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    // Its errors come back through the request; it ends with the sender.
    spawn_local(async move { drop(connection.with_upgrades().await) });
    Ok(sender)
}

async fn connect_h2(at: SocketAddr, limits: &Limits) -> io::Result<http2::SendRequest<Upload>> {
    let stream = connect(at, limits).await?;
    let head = u32::try_from(limits.head_bytes).unwrap_or(u32::MAX);
    let (sender, connection) = http2::Builder::new(LocalExec)
        .timer(TokioTimer::new())
        .max_header_list_size(head)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_WAIT)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    spawn_local(async move { drop(connection.await) });
    Ok(sender)
}

impl Lease {
    /// Sends a request and waits for the head of its response.
    pub(crate) async fn send(&mut self, request: Request<Upload>) -> Result<Response<Incoming>, NotSent> {
        let sent = match &mut self.sender {
            Some(Sender::H1(sender)) => sender.try_send_request(request).await,
            Some(Sender::H2(sender)) => sender.try_send_request(request).await,
            None => return Err(NotSent::Unwritten(Box::new(request))),
        };
        sent.map_err(|mut error| match error.take_message() {
            Some(request) => NotSent::Unwritten(Box::new(request)),
            None => NotSent::Failed(error.into_error()),
        })
    }

    /// The response has ended: the connection may serve another request, once the request has ended too.
    pub(crate) fn give_back(mut self) {
        let Some(Sender::H1(mut sender)) = self.sender.take() else { return };
        if sender.is_ready() {
            self.put(sender);
        } else if !sender.is_closed() {
            spawn_local(async move {
                if sender.ready().await.is_ok() {
                    self.put(sender);
                }
            });
        }
    }

    fn put(&self, sender: http1::SendRequest<Upload>) {
        let mut idle = self.upstream.idle.borrow_mut();
        if idle.len() < self.pool_size {
            idle.push(Idle { sender, since: Instant::now() });
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.upstream.active.set(self.upstream.active.get().saturating_sub(1));
    }
}
