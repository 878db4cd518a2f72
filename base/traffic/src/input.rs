//! What a translation reads: the objects of a cluster as they are now, and what is known besides them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt as _;
use purlin_gateway_api::{
    BackendTlsPolicy, Gateway, GatewayClass, GrpcRoute, HttpRoute, ListenerSet, ReferenceGrant, TcpRoute, TlsRoute,
    UdpRoute,
};

use crate::model::{ListenerName, ObjectName, RouteName};

/// The objects and what else decides of the routes. All of a kind are given; translation picks what is ours.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the names are those of the kinds")]
pub struct Input {
    pub gateway_classes: BTreeMap<String, Arc<GatewayClass>>,
    pub gateways: BTreeMap<ObjectName, Arc<Gateway>>,
    pub listener_sets: BTreeMap<ObjectName, Arc<ListenerSet>>,
    pub http_routes: BTreeMap<ObjectName, Arc<HttpRoute>>,
    pub grpc_routes: BTreeMap<ObjectName, Arc<GrpcRoute>>,
    pub tls_routes: BTreeMap<ObjectName, Arc<TlsRoute>>,
    pub tcp_routes: BTreeMap<ObjectName, Arc<TcpRoute>>,
    pub udp_routes: BTreeMap<ObjectName, Arc<UdpRoute>>,
    pub backend_tls_policies: BTreeMap<ObjectName, Arc<BackendTlsPolicy>>,
    pub reference_grants: BTreeMap<ObjectName, Arc<ReferenceGrant>>,
    pub services: BTreeMap<ObjectName, Arc<Service>>,
    pub endpoint_slices: BTreeMap<ObjectName, Arc<EndpointSlice>>,
    /// Those of type `kubernetes.io/tls`; others are not looked at.
    pub secrets: BTreeMap<ObjectName, Arc<Secret>>,
    /// Their key `ca.crt` is what counts.
    pub config_maps: BTreeMap<ObjectName, Arc<ConfigMap>>,
    /// Their labels decide which routes a listener allows.
    pub namespaces: BTreeMap<String, Arc<Namespace>>,
    /// What the address pool says to each of our Gateways.
    pub addresses: BTreeMap<ObjectName, GatewayAddresses>,
    /// What the data plane said of the last model.
    pub plane: PlaneReport,
    /// The version of the Gateway API's definitions that the cluster has (`v1.6.3`), where it is known.
    pub bundle_version: Option<String>,
}

/// The addresses of a Gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewayAddresses {
    /// Where its listeners are bound.
    pub assigned: Vec<IpAddr>,
    /// Why not all that it asks for is there.
    pub problem: Option<AddressProblem>,
}

/// Why a Gateway has not the addresses that it asks for; with words that say what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressProblem {
    /// A requested address is not one that we may bind.
    NotUsable(String),
    /// There was none to assign.
    NotAssigned(String),
}

/// What could not be served of the last model, as the data plane reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlaneReport {
    /// Sockets that could not be bound, and why.
    pub binds: BTreeMap<SocketAddr, String>,
    /// Listeners that are not served, and why.
    pub refused: BTreeMap<ListenerName, String>,
    /// Listeners whose certificates could not all be used.
    pub listeners: BTreeMap<ListenerName, Unusable>,
    /// Rules (route and index) that could not be compiled, and why.
    pub rules: BTreeMap<(RouteName, u32), String>,
}

/// What is wrong with a listener's certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unusable {
    /// In words.
    pub message: String,
    /// The listener has others to serve with, or what was there before.
    pub served: bool,
}

impl ObjectName {
    /// The name of a namespaced object.
    pub fn of(object: &impl kube::Resource) -> ObjectName {
        let meta = object.meta();
        ObjectName::new(meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default())
    }

    /// `namespace/name`.
    pub fn new(namespace: &str, name: &str) -> ObjectName {
        ObjectName { namespace: namespace.into(), name: name.into() }
    }
}

impl Input {
    /// The labels of a namespace; None when it is not there.
    pub(crate) fn namespace_labels(&self, name: &str) -> Option<&BTreeMap<String, String>> {
        self.namespaces.get(name).map(|namespace| namespace.labels())
    }
}
