//! Streams and datagrams: what is passed on without being understood (TCPRoute, TLSRoute, UDPRoute).

use std::sync::Arc;

use super::{ClusterName, Hostname, ListenerName, RouteName};

/// The connections of one hostname on one listener.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamHost {
    /// By SNI; None takes every connection, also one that names nothing.
    pub hostname: Option<Hostname>,
    /// Where they go.
    pub route: Arc<StreamRoute>,
}

/// One listening UDP socket.
#[derive(Clone, Debug, PartialEq)]
pub struct Datagrams {
    /// Which one it is.
    pub listener: ListenerName,
    /// Where datagrams go; None drops them.
    pub route: Option<Arc<StreamRoute>>,
}

/// The one rule of a TCPRoute, TLSRoute or UDPRoute.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamRoute {
    /// Where it comes from.
    pub route: RouteName,
    /// One of these, by weight. None of any weight: connections are closed, datagrams dropped.
    pub backends: Vec<StreamBackend>,
}

/// One of a stream's backends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamBackend {
    /// Its share of the connections.
    pub weight: u32,
    /// None is a reference that did not resolve: its share is closed.
    pub cluster: Option<ClusterName>,
}
