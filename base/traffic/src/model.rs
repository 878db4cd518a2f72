//! The route model: what a data plane has to serve, with all references resolved.
//!
//! `RouteModel` -> binds (one socket each) -> listeners (told apart by SNI or host) -> hosts (exact before wildcard,
//! longest first) -> rules in order of precedence -> backends (weighted) -> clusters (endpoints).
//! Order is decided here, once, so that a data plane takes the first rule that matches.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// `namespace/name` of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ObjectName {
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// All that one data plane serves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouteModel {
    /// One entry a socket, ordered by address.
    pub binds: BTreeMap<SocketAddr, Bind>,
    /// The backends that rules refer to.
    pub clusters: BTreeMap<ClusterName, Arc<Cluster>>,
}

/// One listening socket.
#[derive(Clone, Debug, PartialEq)]
pub struct Bind {
    /// What is spoken on it; all its listeners agree.
    pub protocol: Protocol,
    /// Gateway listeners that share the socket, the most specific hostname first.
    pub listeners: Vec<Listener>,
}

/// What is spoken on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 and HTTP/2 with prior knowledge.
    Http,
    /// The same under TLS, chosen by ALPN.
    Https,
}

/// A listener of a Gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// The Gateway.
    pub gateway: ObjectName,
    /// `listeners[].name`.
    pub section: Arc<str>,
    /// None accepts every host.
    pub hostname: Option<Hostname>,
    /// The certificates, where the bind is [`Protocol::Https`]; never empty there.
    pub certificates: Vec<Arc<Certificate>>,
    /// What is served, the most specific hostname first.
    pub hosts: Vec<Host>,
}

/// A certificate chain and its key, from a Secret of type `kubernetes.io/tls`.
#[derive(Clone, PartialEq)]
pub struct Certificate {
    /// The Secret, for logs.
    pub secret: ObjectName,
    /// PEM of the chain, the leaf first.
    pub chain: Arc<[u8]>,
    /// PEM of the private key; never shown.
    pub key: Arc<[u8]>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("secret", &self.secret).finish_non_exhaustive()
    }
}

/// A hostname of a listener or route, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hostname {
    /// `foo.example.com`.
    Exact(Arc<str>),
    /// `*.example.com`, kept as `.example.com`: one or more labels before it.
    Suffix(Arc<str>),
}

/// The rules of one hostname on one listener.
#[derive(Clone, Debug, PartialEq)]
pub struct Host {
    /// None accepts every host.
    pub hostname: Option<Hostname>,
    /// In order of precedence: the first whose match holds serves the request.
    pub rules: Vec<Arc<Rule>>,
}

/// One match of one route rule, and what is done then.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The HTTPRoute it comes from.
    pub route: ObjectName,
    /// Index of the rule in the route, for logs and metrics.
    pub index: u32,
    /// When the rule applies.
    pub matches: Match,
    /// Done to the request, in order, before it is sent.
    pub request_filters: Vec<RequestFilter>,
    /// Done to the response, in order.
    pub response_filters: Vec<HeaderChange>,
    /// What answers.
    pub action: Action,
    /// `timeouts.request`: the whole exchange; zero means none.
    pub request_timeout: Option<Duration>,
    /// `timeouts.backendRequest`: one attempt; zero means none.
    pub backend_timeout: Option<Duration>,
}

/// All conditions of one `HTTPRouteMatch`; each must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// The path.
    pub path: PathMatch,
    /// Upper case, as HTTPRoute has it.
    pub method: Option<Arc<str>>,
    /// Header names in lower case.
    pub headers: Vec<(Arc<str>, ValueMatch)>,
    /// Query parameters, names as they are.
    pub query: Vec<(Arc<str>, ValueMatch)>,
}

/// `HTTPPathMatch`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathMatch {
    /// The whole path, case-sensitive.
    Exact(Arc<str>),
    /// Whole elements; without a trailing slash, `""` for `/`.
    Prefix(Arc<str>),
    /// A regular expression (RE2 syntax) that the whole path must match.
    Regex(Arc<str>),
}

/// `HTTPHeaderMatch` and `HTTPQueryParamMatch`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueMatch {
    /// Equal.
    Exact(Arc<str>),
    /// A regular expression (RE2 syntax) that the whole value must match.
    Regex(Arc<str>),
}

/// What is done to a request before it is sent.
#[derive(Clone, Debug, PartialEq)]
pub enum RequestFilter {
    /// `RequestHeaderModifier`.
    Headers(HeaderChange),
    /// `URLRewrite`.
    Rewrite {
        /// The new Host.
        hostname: Option<Arc<str>>,
        /// The new path.
        path: Option<PathRewrite>,
    },
}

/// `HTTPHeaderFilter`: remove, then set, then add. Names in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the API")]
pub struct HeaderChange {
    pub set: Vec<(Arc<str>, Arc<str>)>,
    pub add: Vec<(Arc<str>, Arc<str>)>,
    pub remove: Vec<Arc<str>>,
}

/// `HTTPPathModifier`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathRewrite {
    /// `ReplaceFullPath`.
    Full(Arc<str>),
    /// `ReplacePrefixMatch`: the prefix that matched, whole elements.
    Prefix(Arc<str>),
}

/// What answers a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Send it to one of these by weight. All weights zero, or no backend: 500.
    Forward(Vec<Backend>),
    /// `RequestRedirect`.
    Redirect(Redirect),
}

/// `HTTPRequestRedirectFilter`; what is None stays as requested.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the API")]
pub struct Redirect {
    pub scheme: Option<Arc<str>>,
    pub hostname: Option<Arc<str>>,
    pub path: Option<PathRewrite>,
    pub port: Option<u16>,
    pub status: u16,
}

/// One of a rule's backends.
#[derive(Clone, Debug, PartialEq)]
pub struct Backend {
    /// Its share of the requests.
    pub weight: u32,
    /// None is a reference that did not resolve: its share is answered with 500.
    pub cluster: Option<ClusterName>,
    /// `backendRefs[].filters`, request side.
    pub request_filters: Vec<RequestFilter>,
    /// `backendRefs[].filters`, response side.
    pub response_filters: Vec<HeaderChange>,
}

/// A port of a Service: stable over changes of its endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ClusterName {
    pub service: ObjectName,
    pub port: u16,
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.service, self.port)
    }
}

/// Endpoints that are equal for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// What the endpoints speak.
    pub protocol: BackendProtocol,
    /// Endpoints that take new requests: ready, or serving while all terminate; ordered, without doubles.
    /// None at all: 503.
    pub endpoints: Vec<SocketAddr>,
}

/// `appProtocol` of the Service's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendProtocol {
    /// HTTP/1.1.
    Http1,
    /// `kubernetes.io/h2c`: HTTP/2 with prior knowledge.
    H2c,
}
