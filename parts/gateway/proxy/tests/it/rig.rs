//! A proxy with a model, and clients that speak in bytes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use purlin_gateway_proxy::{Limits, Options, Proxy};
use purlin_traffic::model::{
    Action, Backend, BackendKind, BackendProtocol, Bind, Cluster, ClusterName, Host, Hostname, Listener, ObjectName,
    PathMatch, Protocol, RouteKind, RouteModel, RouteName, Rule, Serve,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Nothing here takes so long unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Rig {
    pub(crate) proxy: Proxy,
    pub(crate) at: SocketAddr,
    pub(crate) model: RouteModel,
}

/// An address that nothing listens on.
pub(crate) fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

pub(crate) fn options(workers: usize) -> Options {
    let limits = Limits { connect: Duration::from_secs(2), ..Limits::default() };
    Options { workers: NonZeroUsize::new(workers).unwrap(), limits, ..Options::default() }
}

impl Rig {
    /// One worker, one plain listener for all hosts.
    pub(crate) async fn new(rules: Vec<Rule>, clusters: &[(&str, BackendProtocol, &[SocketAddr])]) -> Self {
        Self::with(options(1), rules, clusters).await
    }

    pub(crate) async fn with(
        options: Options,
        rules: Vec<Rule>,
        clusters: &[(&str, BackendProtocol, &[SocketAddr])],
    ) -> Self {
        let at = free();
        let mut model = RouteModel::default();
        for (name, protocol, endpoints) in clusters {
            let cluster = Cluster::new(*protocol, endpoints.iter().copied());
            model.clusters.insert(cluster_name(name), Arc::new(cluster));
        }
        let bind = Bind { protocol: Protocol::Http, client: Arc::default(), listeners: vec![listener("", rules)] };
        model.binds = BTreeMap::from([(at, bind)]);
        let proxy = Proxy::start(options).unwrap();
        let report = proxy.apply(&model).await;
        assert_eq!(report, Default::default());
        Self { proxy, at, model }
    }

    /// Everything to one HTTP/1.1 backend.
    pub(crate) async fn simple(backend: SocketAddr) -> Self {
        Self::new(vec![rule("/", "svc")], &[("svc", BackendProtocol::Http1, &[backend])]).await
    }

    pub(crate) async fn send(&self, request: &str) -> Reply {
        let replies = talk(self.at, request.as_bytes()).await;
        let text = String::from_utf8_lossy(&replies).into_owned();
        Reply::parse_all(&text).into_iter().next().unwrap_or_else(|| panic!("no reply to {request:?}: {text:?}"))
    }

    /// `GET path` on a connection of its own.
    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")).await
    }
}

/// Looks again until it is so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what}: it does not come to that"));
}

pub(crate) fn object(name: &str) -> ObjectName {
    ObjectName { namespace: "default".into(), name: name.into() }
}

pub(crate) fn cluster_name(name: &str) -> ClusterName {
    ClusterName::new(BackendKind::Service, object(name), 80)
}

pub(crate) fn listener(host: &str, rules: Vec<Rule>) -> Listener {
    let hostname = (!host.is_empty()).then(|| Hostname::Exact(host.into()));
    let rules = rules.into_iter().map(Arc::new).collect();
    let hosts = vec![Host { hostname: hostname.clone(), rules }];
    let (set, tls, access) = (None, None, None);
    Listener { gateway: object("gw"), set, section: "web".into(), hostname, tls, serve: Serve::Http(hosts), access }
}

pub(crate) fn share(weight: u32, cluster: Option<&str>) -> Backend {
    Backend::new(weight, cluster.map(cluster_name))
}

/// A prefix to a cluster.
pub(crate) fn rule(prefix: &str, cluster: &str) -> Rule {
    let route = RouteName { kind: RouteKind::HttpRoute, object: object("route") };
    let path = PathMatch::Prefix(prefix.trim_end_matches('/').into());
    Rule::new(route, path, Action::Forward(vec![share(1, Some(cluster))]))
}

/// Sends bytes, and reads until the other side closes.
pub(crate) async fn talk(at: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(at).await.unwrap();
    // The other side may refuse before it has read all.
    let _ = stream.write_all(bytes).await;
    let mut got = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut got)).await.expect("the connection stays open");
    got
}

/// A response, parsed just enough.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1);
        lines.filter_map(|l| l.split_once(':')).find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim())
    }

    /// Responses that follow each other; those without a length take the rest.
    pub(crate) fn parse_all(mut text: &str) -> Vec<Self> {
        let mut replies = Vec::new();
        while let Some((head, rest)) = text.split_once("\r\n\r\n") {
            let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
            let mut reply = Self { status, head: head.to_owned(), body: String::new() };
            let length =
                if status < 200 { Some(0) } else { reply.header("content-length").map(|n| n.parse().unwrap()) };
            let (body, rest) = rest.split_at(length.unwrap_or(rest.len()).min(rest.len()));
            body.clone_into(&mut reply.body);
            replies.push(reply);
            text = rest;
        }
        replies
    }
}

/// Reads one response with a Content-Length from a connection that stays open.
pub(crate) async fn read_reply(stream: &mut TcpStream) -> Reply {
    let mut got = Vec::new();
    let read = async {
        loop {
            let text = String::from_utf8_lossy(&got).into_owned();
            if let Some(reply) = Reply::parse_all(&text).into_iter().next() {
                let length = reply.header("content-length").map_or(0, |n| n.parse().unwrap());
                if reply.status < 200 || reply.body.len() >= length {
                    return reply;
                }
            }
            assert_ne!(stream.read_buf(&mut got).await.unwrap(), 0, "closed after {text:?}");
        }
    };
    timeout(PATIENCE, read).await.expect("no reply")
}
