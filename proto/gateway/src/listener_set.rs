//! ListenerSet: listeners that are added to a Gateway from outside, perhaps from another namespace.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use purlin_crd::bounds::Conditions;
use purlin_crd::schema::{Rules, map_by, rules};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::gateway::pending;
use crate::listener::{Listener, ListenerStatus, listeners};
use crate::refs::reference;

/// As a Gateway's rule, which takes the port for granted.
const DISTINCT_LISTENERS: Rules = &[(
    "self.all(l1, !has(l1.port) || self.exists_one(l2, has(l2.port) && l1.port == l2.port && \
     l1.protocol == l2.protocol && \
     (has(l1.hostname) && has(l2.hostname) ? l1.hostname == l2.hostname : !has(l1.hostname) && !has(l2.hostname))))",
    "Combination of port, protocol and hostname must be unique for each listener",
)];

/// Which listeners are added to which Gateway.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1",
    kind = "ListenerSet",
    namespaced,
    status = "ListenerSetStatus",
    schema = "disabled",
    derive = "PartialEq"
)]
pub struct ListenerSetSpec {
    /// The ports that are listened on besides the Gateway's own, each with its protocol and host.
    #[schemars(transform = listeners, transform = rules(DISTINCT_LISTENERS))]
    pub listeners: Vec<Listener>,
    /// The Gateway that gets the listeners; its allowedListeners decide whether they may come.
    pub parent_ref: ParentGatewayReference,
}

reference! {
    /// A Gateway, in this or another namespace.
    pub struct ParentGatewayReference to "Gateway" {
        group = "crate::refs::gateway_group",
        kind = "crate::route::gateway_kind",
        name,
        namespace,
    }
}

/// How the set and each of its listeners stand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ListenerSetStatus {
    /// How the set stands: Accepted, Programmed and more.
    #[schemars(with = "Conditions")]
    pub conditions: Vec<Condition>,
    /// How each listener stands.
    #[schemars(length(max = 64), transform = map_by("name"))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<ListenerStatus>,
}

impl Default for ListenerSetStatus {
    fn default() -> Self {
        ListenerSetStatus { conditions: vec![pending("Accepted"), pending("Programmed")], listeners: Vec::new() }
    }
}
