//! TLSRoute, TCPRoute and UDPRoute: connections and datagrams that go to backends without a look at what they carry.

use kube::CustomResource;
use purlin_crd::bounds::{Hostname, SectionName};
use purlin_crd::schema::{Rules, atomic, rules};
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use crate::backend::BackendRef;
use crate::route::{ParentReference, RouteStatus, parent_refs};

const HOSTNAMES_RULES: Rules = &[
    ("self.all(h, !isIP(h))", "Hostnames cannot contain an IP"),
    (
        r"self.all(h, !h.contains('*') ? h.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)$') : true)",
        "Hostnames must be valid based on RFC-1123",
    ),
    (
        r"self.all(h, h.contains('*') ? (h.startsWith('*.') && h.substring(2).matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)$')) : true)",
        "Wildcards on hostnames must be the first label, and the rest of hostname must be valid based on RFC-1123",
    ),
];

/// The list of rules, of which there is one: nothing is there that could choose between several.
fn one_rule(schema: &mut Schema) {
    schema.insert("minItems".into(), 1.into());
    schema.insert("maxItems".into(), 1.into());
    atomic(schema);
}

/// Which TLS connections are taken where, by the name that the client asks for (SNI).
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1",
    kind = "TLSRoute",
    root = "TlsRoute",
    namespaced,
    status = "RouteStatus",
    schema = "disabled",
    derive = "Default",
    derive = "PartialEq"
)]
pub struct TlsRouteSpec {
    /// The hosts whose connections are served, each exact or with a wildcard for its first labels.
    #[schemars(
        with = "Vec<Hostname>",
        length(min = 1, max = 1024),
        transform = atomic,
        transform = rules(HOSTNAMES_RULES)
    )]
    pub hostnames: Vec<String>,
    /// The Gateways or listeners that the route attaches to.
    #[schemars(transform = parent_refs)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parent_refs: Vec<ParentReference>,
    /// Where the connections go.
    #[schemars(transform = one_rule)]
    pub rules: Vec<ForwardRule>,
}

/// Where the TCP connections of a listener go.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1",
    kind = "TCPRoute",
    root = "TcpRoute",
    namespaced,
    status = "RouteStatus",
    schema = "disabled",
    derive = "Default",
    derive = "PartialEq"
)]
pub struct TcpRouteSpec {
    /// The Gateways or listeners that the route attaches to.
    #[schemars(transform = parent_refs)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parent_refs: Vec<ParentReference>,
    /// Where the connections go.
    #[schemars(transform = one_rule)]
    pub rules: Vec<ForwardRule>,
}

/// Where the UDP datagrams of a listener go.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1",
    kind = "UDPRoute",
    root = "UdpRoute",
    namespaced,
    status = "RouteStatus",
    schema = "disabled",
    derive = "Default",
    derive = "PartialEq"
)]
pub struct UdpRouteSpec {
    /// The Gateways or listeners that the route attaches to.
    #[schemars(transform = parent_refs)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parent_refs: Vec<ParentReference>,
    /// Where the datagrams go.
    #[schemars(transform = one_rule)]
    pub rules: Vec<ForwardRule>,
}

/// The backends that traffic goes to as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForwardRule {
    /// The backends, each with its share of the connections or datagrams.
    #[schemars(length(min = 1, max = 16), transform = atomic)]
    pub backend_refs: Vec<BackendRef>,
    /// The rule's name, unique in the route.
    #[schemars(with = "Option<SectionName>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}
