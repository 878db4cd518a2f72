//! What a proxy can be told. The defaults are those of a gateway that faces strangers.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// How a [`Proxy`](crate::Proxy) runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// Threads that serve; each has its own sockets, connections and pool.
    pub workers: NonZeroUsize,
    /// Where the access log goes.
    pub access_log: AccessLog,
    /// Bounds of what a peer may take.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        let workers = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self { workers, access_log: AccessLog::Off, limits: Limits::default() }
    }
}

/// Where the access log goes: one JSON object a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// Nowhere.
    Off,
    /// Standard error.
    Stderr,
    /// Appended to a file.
    File(PathBuf),
}

/// Bounds of what a peer may take, in bytes, counts and time.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections a worker holds; more wait in the kernel's queue.
    pub connections: usize,
    /// A TLS handshake, and the first bytes of a plain connection.
    pub handshake: Duration,
    /// A whole request head on HTTP/1.1, and the pause between two requests.
    pub head: Duration,
    /// Size of a request or response head.
    pub head_bytes: usize,
    /// Header lines of a head.
    pub headers: usize,
    /// Concurrent streams of an HTTP/2 connection.
    pub streams: u32,
    /// An HTTP/2 connection without a stream.
    pub idle: Duration,
    /// A body, either way, that makes no progress; also a client that does not read.
    pub body_idle: Duration,
    /// Connecting to an endpoint.
    pub connect: Duration,
    /// From the last byte of the request to the response's head, where the route sets no timeout.
    pub response: Duration,
    /// A pooled connection is not used after this pause; below the keep-alive of common backends (5 s).
    pub pool_idle: Duration,
    /// Idle connections kept for an endpoint by a worker.
    pub pool_size: usize,
    /// Connections of a removed bind may go on this long.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(60),
            head_bytes: 64 << 10,
            headers: 100,
            streams: 128,
            idle: Duration::from_secs(300),
            body_idle: Duration::from_secs(300),
            connect: Duration::from_secs(5),
            response: Duration::from_secs(60),
            pool_idle: Duration::from_secs(4),
            pool_size: 256,
            drain: Duration::from_secs(30),
        }
    }
}
