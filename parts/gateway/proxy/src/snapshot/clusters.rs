//! Clusters, ready to use: each is compiled once a snapshot and shared by the rules that send to it.

use std::net::SocketAddr;

use purlin_traffic::model::{self, Address, BackendProtocol};

/// Endpoints that are equal for a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cluster {
    pub(crate) protocol: Wire,
    pub(crate) endpoints: Vec<SocketAddr>,
}

/// What endpoints speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Wire {
    Http1,
    Http2,
}

impl Cluster {
    /// What cannot be done as the model says is not done in another way.
    pub(crate) fn compile(cluster: &model::Cluster) -> Result<Self, String> {
        let protocol = match cluster.protocol {
            BackendProtocol::Http1 => Wire::Http1,
            BackendProtocol::Http2 => Wire::Http2,
            BackendProtocol::Tcp | BackendProtocol::Udp => return Err("its endpoints do not speak HTTP".to_owned()),
        };
        if cluster.tls.is_some() {
            return Err("TLS to endpoints is not built".to_owned());
        }
        let ip = |address: &Address| match address {
            Address::Ip(at) => Ok(*at),
            other => Err(format!("{other}: only endpoints with an IP address are built")),
        };
        Ok(Self { protocol, endpoints: cluster.endpoints.iter().map(ip).collect::<Result<_, _>>()? })
    }
}
