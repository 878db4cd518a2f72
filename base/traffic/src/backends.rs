//! Backends: from a reference in a route to a port of a Service, and from that to its endpoints.
//!
//! Only Services are backends. A port's endpoints are found through the slices of its Service, by the port's name:
//! a slice carries target ports, already resolved for its pods.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::ResourceExt as _;
use purlin_gateway_api::BackendObjectReference;
use purlin_resource::names::SERVICE_NAME_LABEL;

use crate::grants::{Grants, Referrer};
use crate::input::Input;
use crate::model::{
    Address, BackendKind, BackendProtocol, BackendTls, Certificate, Cluster, ClusterName, ClusterSettings, ObjectName,
    Usage,
};
use crate::policies::Policies;
use crate::reasons;

/// Why a reference of a route does not resolve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefProblem {
    pub reason: &'static str,
    pub message: String,
}

fn problem<T>(reason: &'static str, message: String) -> Result<T, RefProblem> {
    Err(RefProblem { reason, message })
}

/// The certificates that Gateways show to backends.
pub(crate) type Clients<'a> = HashMap<&'a ObjectName, &'a Arc<Certificate>>;

/// Finds what references mean.
pub(crate) struct Backends<'a> {
    input: &'a Input,
    grants: &'a Grants<'a>,
    policies: &'a Policies<'a>,
    slices: HashMap<(&'a str, &'a str), Vec<&'a EndpointSlice>>,
    /// Of clusters without a policy.
    settings: Arc<ClusterSettings>,
}

impl<'a> Backends<'a> {
    pub(crate) fn new(input: &'a Input, grants: &'a Grants<'a>, policies: &'a Policies<'a>) -> Self {
        let mut slices: HashMap<(&str, &str), Vec<&EndpointSlice>> = HashMap::new();
        for (name, slice) in &input.endpoint_slices {
            if let Some(service) = slice.labels().get(SERVICE_NAME_LABEL) {
                slices.entry((&*name.namespace, service)).or_default().push(Arc::as_ref(slice));
            }
        }
        Backends { input, grants, policies, slices, settings: Arc::default() }
    }

    /// The port of a Service that a route refers to, for what the route does with it.
    pub(crate) fn resolve(
        &self,
        from: Referrer<'_>,
        usage: Usage,
        reference: &BackendObjectReference,
    ) -> Result<ClusterName, RefProblem> {
        let service = ObjectName::new(reference.namespace.as_deref().unwrap_or(from.namespace), &reference.name);
        if !reference.group.is_empty() || reference.kind != "Service" {
            let kind = [&*reference.kind, &*reference.group].join(".");
            let kind = kind.trim_end_matches('.');
            return problem(
                reasons::INVALID_KIND,
                format!("backend {service}: kind {kind} is not supported, only Service"),
            );
        }
        // Before anything is said of the object: who may not refer to it learns nothing of it.
        if !self.grants.permit(from, "Service", &service) {
            return problem(
                reasons::REF_NOT_PERMITTED,
                format!(
                    "no ReferenceGrant in namespace {} permits {}s of {} to refer to Service {service}",
                    service.namespace, from.kind, from.namespace
                ),
            );
        }
        let Some(object) = self.input.services.get(&service) else {
            return problem(reasons::BACKEND_NOT_FOUND, format!("Service {service} not found"));
        };
        if object.spec.as_ref().and_then(|spec| spec.type_.as_deref()) == Some("ExternalName") {
            return problem(
                reasons::INVALID_KIND,
                format!("Service {service} is of type ExternalName, which is not supported as a backend"),
            );
        }
        let Some(port) = reference.port else {
            return problem(reasons::BACKEND_NOT_FOUND, format!("reference to Service {service} has no port"));
        };
        let Some(found) = service_port(object, port, usage) else {
            return problem(reasons::BACKEND_NOT_FOUND, format!("Service {service} has no port {port}"));
        };
        let secured = self.policies.of(&service, found).is_some();
        match backend_protocol(found, usage, secured) {
            Ok(_) => Ok(ClusterName { usage, ..ClusterName::new(BackendKind::Service, service, port) }),
            Err(what) => problem(
                reasons::UNSUPPORTED_PROTOCOL,
                format!("Service {service}:{port}: {what} is not supported as a backend of a {}", from.kind),
            ),
        }
    }

    /// Whether a policy speaks of the Service, or of one of its ports.
    pub(crate) fn has_policy(&self, service: &ObjectName) -> bool {
        self.policies.has(service)
    }

    /// Whether a policy says how the cluster's port is spoken to under TLS.
    pub(crate) fn is_secured(&self, name: &ClusterName) -> bool {
        let service = self.input.services.get(&name.object);
        let port = service.and_then(|service| service_port(service, name.port, name.usage));
        port.is_some_and(|port| self.policies.of(&name.object, port).is_some())
    }

    /// What a resolved reference stands for.
    fn cluster(&self, name: &ClusterName, clients: &Clients<'_>) -> Option<Cluster> {
        let port = service_port(self.input.services.get(&name.object)?, name.port, name.usage)?;
        let policy = self.policies.of(&name.object, port);
        let protocol = backend_protocol(port, name.usage, policy.is_some()).ok()?;
        let tls = match name.usage {
            Usage::Http | Usage::Grpc | Usage::Terminated => policy.cloned(),
            Usage::Stream | Usage::Datagrams => None,
        };
        let shown = name.client.as_ref().and_then(|gateway| clients.get(gateway));
        let tls = match (tls, shown) {
            (Some(tls), Some(shown)) => {
                Some(Arc::new(BackendTls { certificate: Some(Arc::clone(shown)), ..(*tls).clone() }))
            }
            (tls, _) => tls,
        };
        let slices = self.slices.get(&(&*name.object.namespace, &*name.object.name));
        let slices = slices.map(Vec::as_slice).unwrap_or_default();
        let endpoints = endpoints(slices, port.name.as_deref().unwrap_or_default(), transport(name.usage));
        Some(Cluster { protocol, tls, endpoints, settings: Arc::clone(&self.settings) })
    }
}

/// The transport of a port, as Services and slices name it.
const fn transport(usage: Usage) -> &'static str {
    match usage {
        Usage::Http | Usage::Grpc | Usage::Stream | Usage::Terminated => "TCP",
        Usage::Datagrams => "UDP",
    }
}

/// Whether what a Service or slice says of a port is this transport.
fn is_transport(said: Option<&str>, transport: &str) -> bool {
    said.unwrap_or("TCP") == transport
}

fn service_port(service: &Service, port: u16, usage: Usage) -> Option<&ServicePort> {
    let ports = service.spec.as_ref()?.ports.as_ref()?.iter().filter(|p| p.port == i32::from(port));
    // The same number can stand there twice, for TCP and UDP.
    ports.min_by_key(|p| !is_transport(p.protocol.as_deref(), transport(usage)))
}

/// What the port's endpoints speak when they are used so, or what of it we do not. `secured` is under TLS.
fn backend_protocol(port: &ServicePort, usage: Usage, secured: bool) -> Result<BackendProtocol, String> {
    if !is_transport(port.protocol.as_deref(), transport(usage)) {
        return Err(format!("protocol {}", port.protocol.as_deref().unwrap_or("TCP")));
    }
    let app_protocol = port.app_protocol.as_deref().unwrap_or_default();
    match (usage, app_protocol) {
        (Usage::Stream | Usage::Terminated, _) => Ok(BackendProtocol::Tcp),
        (Usage::Datagrams, _) => Ok(BackendProtocol::Udp),
        (_, "kubernetes.io/h2c" | "grpc") | (Usage::Grpc, "" | "http") => Ok(BackendProtocol::Http2),
        (Usage::Http, "" | "http" | "kubernetes.io/ws") => Ok(BackendProtocol::Http1),
        (Usage::Http, "https" | "kubernetes.io/wss") if secured => Ok(BackendProtocol::Http1),
        (Usage::Grpc, "https") if secured => Ok(BackendProtocol::Http2),
        (Usage::Http | Usage::Grpc, other) => Err(format!("appProtocol {other}")),
    }
}

/// The endpoints that take new requests: the ready ones; when there are none, those that still serve while they end.
fn endpoints(slices: &[&EndpointSlice], port_name: &str, transport: &str) -> Vec<Address> {
    let (mut ready, mut draining) = (BTreeSet::new(), BTreeSet::new());
    for slice in slices {
        let Some(port) = slice_port(slice, port_name, transport) else { continue };
        for endpoint in slice.endpoints.as_deref().unwrap_or_default() {
            // Kubernetes gives no meaning to a second address.
            let Some(ip) = endpoint.addresses.first().and_then(|a| a.parse::<IpAddr>().ok()) else { continue };
            match endpoint_state(endpoint) {
                EndpointState::Ready => ready.insert(SocketAddr::new(ip, port)),
                EndpointState::Draining => draining.insert(SocketAddr::new(ip, port)),
                EndpointState::Away => false,
            };
        }
    }
    let chosen = if ready.is_empty() { draining } else { ready };
    chosen.into_iter().map(Address::Ip).collect()
}

fn slice_port(slice: &EndpointSlice, name: &str, transport: &str) -> Option<u16> {
    if slice.address_type == "FQDN" {
        return None;
    }
    let ports = slice.ports.as_deref().unwrap_or_default();
    let port = ports
        .iter()
        .find(|p| p.name.as_deref().unwrap_or_default() == name && is_transport(p.protocol.as_deref(), transport))?;
    u16::try_from(port.port?).ok().filter(|port| *port != 0)
}

enum EndpointState {
    Ready,
    Draining,
    Away,
}

/// What is unknown: ready counts as true, serving as ready, terminating as false.
fn endpoint_state(endpoint: &Endpoint) -> EndpointState {
    let conditions = endpoint.conditions.as_ref();
    let ready = conditions.and_then(|c| c.ready).unwrap_or(true);
    let serving = conditions.and_then(|c| c.serving).unwrap_or(ready);
    let terminating = conditions.and_then(|c| c.terminating).unwrap_or(false);
    match (ready, serving && terminating) {
        (true, _) => EndpointState::Ready,
        (false, true) => EndpointState::Draining,
        (false, false) => EndpointState::Away,
    }
}

/// The clusters of a model under construction: each is built once, and is the same `Arc` while it is equal.
pub(crate) fn collect_clusters<'n>(
    backends: &Backends<'_>,
    names: impl Iterator<Item = &'n ClusterName>,
    clients: &Clients<'_>,
    previous: Option<&BTreeMap<ClusterName, Arc<Cluster>>>,
) -> BTreeMap<ClusterName, Arc<Cluster>> {
    let mut clusters = BTreeMap::new();
    for name in names {
        if clusters.contains_key(name) {
            continue;
        }
        let Some(cluster) = backends.cluster(name, clients) else { continue };
        let same = previous.and_then(|p| p.get(name)).filter(|old| ***old == cluster);
        clusters.insert(name.clone(), same.cloned().unwrap_or_else(|| Arc::new(cluster)));
    }
    clusters
}
