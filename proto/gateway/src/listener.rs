//! Listeners, which Gateways and ListenerSets have: a port with its protocol, host, TLS and the routes that may attach.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use purlin_crd::bounds::{Conditions, GroupName, Hostname, KindName, LabelSelectorSchema, PortNumber, SectionName};
use purlin_crd::open_enum;
use purlin_crd::schema::{Rules, atomic, map_by, rules};
use schemars::transform::Transform;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use crate::bounds::ProtocolName;
use crate::gateway_tls::ListenerTlsConfig;
use crate::refs::gateway_group;

const LISTENER_RULES: Rules = &[
    (
        "self.all(l, l.protocol in ['HTTP', 'TCP', 'UDP'] ? !has(l.tls) : true)",
        "tls must not be specified for protocols ['HTTP', 'TCP', 'UDP']",
    ),
    (
        "self.all(l, (l.protocol == 'HTTPS' && has(l.tls)) ? (l.tls.mode == '' || l.tls.mode == 'Terminate') : true)",
        "tls mode must be Terminate for protocol HTTPS",
    ),
    (
        "self.all(l, (l.protocol == 'TLS' ? has(l.tls) && has(l.tls.mode) && l.tls.mode != '' : true))",
        "tls mode must be set for protocol TLS",
    ),
    (
        "self.all(l, l.protocol in ['TCP', 'UDP']  ? (!has(l.hostname) || l.hostname == '') : true)",
        "hostname must not be specified for protocols ['TCP', 'UDP']",
    ),
    ("self.all(l1, self.exists_one(l2, l1.name == l2.name))", "Listener name must be unique within the Gateway"),
];

/// The list of an object's listeners.
pub(crate) fn listeners(schema: &mut Schema) {
    schema.insert("minItems".into(), 1.into());
    schema.insert("maxItems".into(), 64.into());
    map_by("name").transform(schema);
    rules(LISTENER_RULES).transform(schema);
}

/// One port with one protocol, for one host or all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// Which routes may attach: those of the same namespace, unless this says more.
    #[serde(default)]
    pub allowed_routes: AllowedRoutes,
    /// The host that is served; a wildcard may stand for the first labels; every host when absent.
    #[schemars(with = "Option<Hostname>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The listener's name; routes refer to it by sectionName.
    #[schemars(with = "SectionName")]
    pub name: String,
    /// The port; listeners may share one where protocol and host tell them apart.
    #[schemars(with = "PortNumber")]
    pub port: u16,
    /// HTTP, HTTPS, TLS, TCP, UDP, or a protocol of the controller's own as domain/name.
    #[schemars(with = "ProtocolName")]
    pub protocol: String,
    /// TLS of this listener; needed for HTTPS and TLS, refused for the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerTlsConfig>,
}

/// Which routes may attach to a listener.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AllowedRoutes {
    /// The kinds of routes; those that fit the protocol when there are none.
    #[schemars(length(max = 8), transform = atomic)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<RouteGroupKind>,
    /// The namespaces of routes.
    pub namespaces: RouteNamespaces,
}

/// A kind of route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouteGroupKind {
    /// The route's API group.
    #[schemars(with = "GroupName")]
    #[serde(default = "gateway_group")]
    pub group: String,
    /// The route's kind.
    #[schemars(with = "KindName")]
    pub kind: String,
}

/// The namespaces whose routes may attach.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RouteNamespaces {
    /// All, Same (the Gateway's own), or Selector.
    #[serde(default = "same_namespace")]
    pub from: FromNamespaces,
    /// The labels of namespaces, where from is Selector; without effect otherwise.
    #[schemars(with = "Option<LabelSelectorSchema>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

impl Default for RouteNamespaces {
    fn default() -> Self {
        RouteNamespaces { from: same_namespace(), selector: None }
    }
}

open_enum! {
    /// Where attached routes may come from.
    pub enum FromNamespaces {
        All = "All",
        Selector = "Selector",
        Same = "Same",
    }
}

fn same_namespace() -> FromNamespaces {
    FromNamespaces::Same
}

/// How a listener stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListenerStatus {
    /// How many accepted routes are attached.
    pub attached_routes: i32,
    /// How the listener stands: Accepted, Programmed, ResolvedRefs, Conflicted and more.
    #[schemars(with = "Conditions")]
    pub conditions: Vec<Condition>,
    /// The listener's name, as in the spec.
    #[schemars(with = "SectionName")]
    pub name: String,
    /// The kinds of routes that can attach.
    #[schemars(length(max = 8), transform = atomic)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supported_kinds: Vec<RouteGroupKind>,
}
