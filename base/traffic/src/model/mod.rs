//! The route model: what a data plane has to serve, with all references resolved.
//!
//! ```text
//! RouteModel -> binds (one TCP socket each) -> listeners (told apart by SNI or host)
//!                 Serve::Http    -> hosts (exact before wildcard, longest first) -> rules in order of precedence
//!                 Serve::Streams -> connections, by SNI
//!            -> datagrams (one UDP socket each)
//!            -> clusters (endpoints and how they are used), which rules, streams and datagrams refer to by name
//! ```
//!
//! Order is decided here, once, so that a data plane takes the first rule that matches. What is not set has its default
//! already: a data plane knows none.

mod cluster;
mod http;
mod policy;
mod stream;
mod tls;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

pub use cluster::*;
pub use http::*;
pub use policy::*;
pub use stream::*;
pub use tls::*;

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

/// The kinds of routes. The order is that of the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are those of the API")]
pub enum RouteKind {
    GrpcRoute,
    HttpRoute,
    TcpRoute,
    TlsRoute,
    UdpRoute,
}

impl RouteKind {
    /// The kind as the API has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::GrpcRoute => "GRPCRoute",
            Self::HttpRoute => "HTTPRoute",
            Self::TcpRoute => "TCPRoute",
            Self::TlsRoute => "TLSRoute",
            Self::UdpRoute => "UDPRoute",
        }
    }
}

/// A route: two of different kinds may have one name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub struct RouteName {
    pub kind: RouteKind,
    pub object: ObjectName,
}

impl fmt::Display for RouteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.name(), self.object)
    }
}

/// All that one data plane serves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouteModel {
    /// One entry a TCP socket, ordered by address.
    pub binds: BTreeMap<SocketAddr, Bind>,
    /// One entry a UDP socket, ordered by address.
    pub datagrams: BTreeMap<SocketAddr, Datagrams>,
    /// The backends that are referred to.
    pub clusters: BTreeMap<ClusterName, Arc<Cluster>>,
}

/// One listening TCP socket.
#[derive(Clone, Debug, PartialEq)]
pub struct Bind {
    /// What is spoken on it; all its listeners agree.
    pub protocol: Protocol,
    /// How clients may connect.
    pub client: Arc<ClientSettings>,
    /// Gateway listeners that share the socket, the most specific hostname first. One only where the protocol is
    /// [`Protocol::Tcp`].
    pub listeners: Vec<Listener>,
}

/// What is spoken on a TCP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 and HTTP/2 with prior knowledge; listeners are told apart by Host.
    Http,
    /// TLS; listeners are told apart by SNI.
    Tls,
    /// Anything; there is one listener.
    Tcp,
}

/// A listener of a Gateway, or of a ListenerSet that is attached to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// The Gateway.
    pub gateway: ObjectName,
    /// The ListenerSet that it comes from, if it does.
    pub set: Option<ObjectName>,
    /// `listeners[].name`.
    pub section: Arc<str>,
    /// None accepts every host.
    pub hostname: Option<Hostname>,
    /// On a bind of [`Protocol::Tls`]: how TLS ends here. None there passes it through unopened, and the listener serves
    /// streams.
    pub tls: Option<Terminate>,
    /// What becomes of connections.
    pub serve: Serve,
    /// Who may ask, as far as it can be told before the route is known.
    pub access: Option<Arc<Access>>,
}

/// Names a listener: sections of a Gateway and of its ListenerSets may have the same name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the fields are those of the listener")]
pub struct ListenerName {
    pub gateway: ObjectName,
    pub set: Option<ObjectName>,
    pub section: Arc<str>,
}

impl fmt::Display for ListenerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.set {
            None => write!(f, "listener {} of Gateway {}", self.section, self.gateway),
            Some(set) => write!(f, "listener {} of ListenerSet {set}", self.section),
        }
    }
}

/// What a listener does with its connections.
#[derive(Clone, Debug, PartialEq)]
pub enum Serve {
    /// Speaks HTTP on them. The most specific hostname first.
    Http(Vec<Host>),
    /// Copies their bytes. The most specific hostname first.
    Streams(Vec<StreamHost>),
}

/// A hostname of a listener or route, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hostname {
    /// `foo.example.com`.
    Exact(Arc<str>),
    /// `*.example.com`, kept as `.example.com`: one or more labels before it.
    Suffix(Arc<str>),
}

impl Listener {
    /// Which one it is.
    pub fn name(&self) -> ListenerName {
        ListenerName { gateway: self.gateway.clone(), set: self.set.clone(), section: Arc::clone(&self.section) }
    }

    /// The hosts that it serves by HTTP.
    pub fn hosts(&self) -> &[Host] {
        match &self.serve {
            Serve::Http(hosts) => hosts,
            Serve::Streams(_) => &[],
        }
    }

    /// The certificates that it shows.
    pub fn certificates(&self) -> &[Arc<Certificate>] {
        self.tls.as_ref().map_or(&[], |tls| &tls.certificates)
    }
}
