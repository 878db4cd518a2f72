//! Routes of all kinds: what they have in common, so that attaching them is one piece of code.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use purlin_gateway_api::{
    ForwardRule, GrpcRoute, HttpRoute, ParentReference, RouteStatus, TcpRoute, TlsRoute, UdpRoute,
};
use purlin_resource::names::GATEWAY_CONTROLLER;

use crate::input::Input;
use crate::model::{ObjectName, RouteKind, RouteName};
use crate::precedence::compare_names;

/// A route as it stands in the API.
#[derive(Clone, Debug)]
pub(crate) enum Route {
    Grpc(Arc<GrpcRoute>),
    Http(Arc<HttpRoute>),
    Tcp(Arc<TcpRoute>),
    Tls(Arc<TlsRoute>),
    Udp(Arc<UdpRoute>),
}

/// The same expression for whichever kind it is.
macro_rules! each {
    ($route:expr, $object:ident => $value:expr) => {
        match $route {
            Route::Grpc($object) => $value,
            Route::Http($object) => $value,
            Route::Tcp($object) => $value,
            Route::Tls($object) => $value,
            Route::Udp($object) => $value,
        }
    };
}

impl Route {
    pub(crate) fn meta(&self) -> &ObjectMeta {
        each!(self, route => &route.metadata)
    }

    pub(crate) fn created(&self) -> Option<Timestamp> {
        self.meta().creation_timestamp.as_ref().map(|t| t.0)
    }

    pub(crate) fn parent_refs(&self) -> &[ParentReference] {
        each!(self, route => &route.spec.parent_refs)
    }

    /// None where the kind knows no hosts, or names none.
    pub(crate) fn hostnames(&self) -> &[String] {
        match self {
            Route::Grpc(route) => &route.spec.hostnames,
            Route::Http(route) => &route.spec.hostnames,
            Route::Tls(route) => &route.spec.hostnames,
            Route::Tcp(_) | Route::Udp(_) => &[],
        }
    }

    /// How many rules it has.
    pub(crate) fn rules(&self) -> usize {
        each!(self, route => route.spec.rules.len())
    }

    /// The rules of a route that does not look into what it forwards.
    pub(crate) fn forward_rules(&self) -> &[ForwardRule] {
        match self {
            Route::Tcp(route) => &route.spec.rules,
            Route::Tls(route) => &route.spec.rules,
            Route::Udp(route) => &route.spec.rules,
            Route::Grpc(_) | Route::Http(_) => &[],
        }
    }

    /// Whether its status says something in our name.
    pub(crate) fn has_our_entry(&self) -> bool {
        let status: Option<&RouteStatus> = each!(self, route => route.status.as_ref());
        status.iter().flat_map(|s| &s.parents).any(|entry| entry.controller_name == GATEWAY_CONTROLLER)
    }

    /// Whether both compile to the same.
    pub(crate) fn is_same(&self, other: &Route) -> bool {
        let specs = match (self, other) {
            (Route::Grpc(a), Route::Grpc(b)) => Arc::ptr_eq(a, b) || a.spec == b.spec,
            (Route::Http(a), Route::Http(b)) => Arc::ptr_eq(a, b) || a.spec == b.spec,
            (Route::Tcp(a), Route::Tcp(b)) => Arc::ptr_eq(a, b) || a.spec == b.spec,
            (Route::Tls(a), Route::Tls(b)) => Arc::ptr_eq(a, b) || a.spec == b.spec,
            (Route::Udp(a), Route::Udp(b)) => Arc::ptr_eq(a, b) || a.spec == b.spec,
            _ => false,
        };
        specs && self.meta().creation_timestamp == other.meta().creation_timestamp
    }
}

/// All routes, the oldest first, then by name: who comes first wins what only one can have.
pub(crate) fn by_age(input: &Input) -> Vec<(RouteName, Route)> {
    let name = |kind: RouteKind, object: &ObjectName| RouteName { kind, object: object.clone() };
    let grpc = input.grpc_routes.iter().map(|(n, r)| (name(RouteKind::GrpcRoute, n), Route::Grpc(Arc::clone(r))));
    let http = input.http_routes.iter().map(|(n, r)| (name(RouteKind::HttpRoute, n), Route::Http(Arc::clone(r))));
    let tcp = input.tcp_routes.iter().map(|(n, r)| (name(RouteKind::TcpRoute, n), Route::Tcp(Arc::clone(r))));
    let tls = input.tls_routes.iter().map(|(n, r)| (name(RouteKind::TlsRoute, n), Route::Tls(Arc::clone(r))));
    let udp = input.udp_routes.iter().map(|(n, r)| (name(RouteKind::UdpRoute, n), Route::Udp(Arc::clone(r))));
    let mut routes: Vec<_> = grpc.chain(http).chain(tcp).chain(tls).chain(udp).collect();
    routes.sort_by(|(a, x), (b, y)| {
        (x.created().cmp(&y.created()))
            .then_with(|| compare_names(&a.object, &b.object))
            .then_with(|| a.kind.cmp(&b.kind))
    });
    routes
}
