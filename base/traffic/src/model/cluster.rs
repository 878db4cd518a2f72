//! Clusters: endpoints that are equal for a request, and how they are used.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{BackendTls, HashKey, ObjectName};

/// A port of a Service, or of an ExternalBackend, and what it is used for: stable over changes of its endpoints. One port
/// can be several clusters; its endpoints are the same ones in each.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ClusterName {
    pub kind: BackendKind,
    pub object: ObjectName,
    pub port: u16,
    pub usage: Usage,
    /// The Gateway whose certificate the endpoints are shown, if they are shown one.
    pub client: Option<ObjectName>,
}

impl ClusterName {
    /// For requests.
    pub fn new(kind: BackendKind, object: ObjectName, port: u16) -> Self {
        Self { kind, object, port, usage: Usage::Http, client: None }
    }
}

/// What a cluster is used for, which decides what is spoken with its endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Usage {
    /// Requests, as the port's appProtocol says.
    Http,
    /// gRPC calls: always HTTP/2.
    Grpc,
    /// Bytes as they come.
    Stream,
    /// Bytes that came out of a client's TLS, and go into the backend's own where it has a policy for that.
    Terminated,
    /// Datagrams.
    Datagrams,
}

/// What a backend is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are those of the API")]
pub enum BackendKind {
    Service,
    ExternalBackend,
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            BackendKind::Service => write!(f, "{}:{}", self.object, self.port),
            BackendKind::ExternalBackend => write!(f, "ExternalBackend {}:{}", self.object, self.port),
        }?;
        f.write_str(match self.usage {
            Usage::Http => "",
            Usage::Grpc => " (gRPC)",
            Usage::Stream => " (stream)",
            Usage::Terminated => " (terminated)",
            Usage::Datagrams => " (datagrams)",
        })?;
        self.client.iter().try_for_each(|gateway| write!(f, " (shown the certificate of Gateway {gateway})"))
    }
}

/// Endpoints that are equal for a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// What the endpoints speak.
    pub protocol: BackendProtocol,
    /// Under TLS, and how.
    pub tls: Option<Arc<BackendTls>>,
    /// Endpoints that take new requests: ready, or serving while all terminate; ordered, without doubles.
    /// None at all: 503.
    pub endpoints: Vec<Address>,
    /// How they are used.
    pub settings: Arc<ClusterSettings>,
}

impl Cluster {
    /// Endpoints with IP addresses, used as they are where no policy says otherwise.
    pub fn new(protocol: BackendProtocol, endpoints: impl IntoIterator<Item = SocketAddr>) -> Self {
        let endpoints = endpoints.into_iter().map(Address::Ip).collect();
        Self { protocol, tls: None, endpoints, settings: Arc::default() }
    }
}

/// What endpoints speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BackendProtocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, with prior knowledge or by ALPN.
    Http2,
    /// A stream of bytes.
    Tcp,
    /// Datagrams.
    Udp,
}

/// Where an endpoint is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// A name that DNS knows, and a port: all its addresses are endpoints.
    Dns(Arc<str>, u16),
    /// A Unix socket.
    Unix(Arc<Path>),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(at) => at.fmt(f),
            Self::Dns(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// How the endpoints of a cluster are used (BackendPolicy); the defaults are those without one.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterSettings {
    /// Which endpoint takes a request.
    pub balancing: Balancing,
    /// After it became an endpoint, or well again, its share grows to a whole one over this time.
    pub slow_start: Option<Duration>,
    /// How much may be under way.
    pub breaker: Breaker,
    /// Endpoints that fail are left out for a while.
    pub outliers: Option<Outliers>,
    /// Endpoints are asked how they are.
    pub health: Option<HealthCheck>,
    /// How much may be retried.
    pub retry_budget: RetryBudget,
    /// Connecting, TLS included.
    pub connect_timeout: Duration,
    /// A pooled connection is not used after this pause; below the keep-alive of common backends (5 s).
    pub idle_timeout: Duration,
    /// A connection is not used for more requests than this.
    pub requests_per_connection: Option<u32>,
}

impl Default for ClusterSettings {
    fn default() -> Self {
        Self {
            balancing: Balancing::LeastRequest,
            slow_start: None,
            breaker: Breaker::default(),
            outliers: None,
            health: None,
            retry_budget: RetryBudget::default(),
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(4),
            requests_per_connection: None,
        }
    }
}

/// Which endpoint takes a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Balancing {
    /// One after the other.
    RoundRobin,
    /// Any.
    Random,
    /// Of two random ones that with fewer requests under way.
    LeastRequest,
    /// Of two random ones that with the lower product of requests under way and peak EWMA of latency, which decays with
    /// this time constant.
    PeakEwma(Duration),
    /// That which a hash of the request leads to, by rendezvous of endpoints (highest random weight); the next one
    /// where it cannot take it. Random where the request has nothing to hash.
    ConsistentHash(HashKey),
}

/// How much may be under way at once, summed over all workers; what is more is answered with 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// Connections to an endpoint.
    pub connections: u32,
    /// Requests that wait for a connection.
    pub pending: u32,
    /// Requests.
    pub requests: u32,
    /// Retries.
    pub retries: u32,
}

impl Default for Breaker {
    /// Envoy's.
    fn default() -> Self {
        Self { connections: 1024, pending: 1024, requests: 1024, retries: 3 }
    }
}

/// When an endpoint is left out (outlier ejection), seen from the requests that it serves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outliers {
    /// Failures in a row: 5xx, connection errors, timeouts.
    pub consecutive_errors: Option<u32>,
    /// Failures in a row of which the endpoint cannot have made the answer: 502, 503, 504, connection errors, timeouts.
    pub consecutive_gateway_errors: Option<u32>,
    /// An endpoint whose latency is this many times the median of all, over an interval of enough requests.
    pub slow_factor: Option<f64>,
    /// How often latency is judged, and who was left out looked through.
    pub interval: Duration,
    /// How long it is left out, times how often it was.
    pub base_ejection: Duration,
    /// The longest that it is left out.
    pub max_ejection: Duration,
    /// At most so many of a cluster's endpoints are left out, in percent; one always may be if there are others.
    pub max_percent: u32,
}

/// How endpoints are asked how they are.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthCheck {
    /// What is asked.
    pub probe: Probe,
    /// Between two questions to an endpoint.
    pub interval: Duration,
    /// For an answer.
    pub timeout: Duration,
    /// Good answers in a row until it is used again.
    pub healthy: u32,
    /// Bad ones in a row until it is not.
    pub unhealthy: u32,
}

/// What an endpoint is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Probe {
    /// To accept a connection.
    Tcp,
    /// GET; a status of these ranges (inclusive) is good.
    Http {
        /// The path and query.
        path: Arc<str>,
        /// The Host.
        host: Option<Arc<str>>,
        /// First and last.
        statuses: Vec<(u16, u16)>,
    },
    /// `grpc.health.v1.Health/Check`: SERVING is good.
    Grpc {
        /// The service that is asked for; empty asks for the server.
        service: Arc<str>,
    },
}

/// How much may be retried (GEP-3388): a share of all requests of the last interval, and a rate that is always free.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryBudget {
    /// Retries in percent of requests.
    pub percent: u32,
    /// Over which it is counted.
    pub interval: Duration,
    /// Retries that are free...
    pub min_retries: u32,
    /// ... in this time.
    pub min_interval: Duration,
}

impl Default for RetryBudget {
    /// As GEP-3388 has it: 20 % of the requests of 10 s, 10 a second free.
    fn default() -> Self {
        Self { percent: 20, interval: Duration::from_secs(10), min_retries: 10, min_interval: Duration::from_secs(1) }
    }
}
