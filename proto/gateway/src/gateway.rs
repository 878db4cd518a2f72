//! Gateway: the listeners that are wanted, the addresses, and how each of them stands.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, Time};
use k8s_openapi::jiff::Timestamp;
use kube::CustomResource;
use purlin_crd::bounds::{AnnotationValue, Conditions, LabelSelectorSchema, LabelValue, ObjectName};
use purlin_crd::open_enum;
use purlin_crd::schema::{Rules, atomic, map_by, rules};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bounds::AddressType;
use crate::gateway_tls::GatewayTlsConfig;
use crate::listener::{Listener, ListenerStatus, listeners};
use crate::refs::LocalObjectReference;

/// A condition as it stands before the controller has said anything.
pub(crate) fn pending(kind: &str) -> Condition {
    Condition {
        last_transition_time: Time(Timestamp::UNIX_EPOCH),
        message: "Waiting for controller".to_owned(),
        observed_generation: None,
        reason: "Pending".to_owned(),
        status: "Unknown".to_owned(),
        type_: kind.to_owned(),
    }
}

const DISTINCT_LISTENERS: Rules = &[(
    "self.all(l1, self.exists_one(l2, l1.port == l2.port && l1.protocol == l2.protocol && \
         (has(l1.hostname) && has(l2.hostname) ? l1.hostname == l2.hostname : !has(l1.hostname) && !has(l2.hostname))))",
    "Combination of port, protocol and hostname must be unique for each listener",
)];

const DISTINCT_ADDRESSES: Rules = &[
    (
        "self.all(a1, a1.type == 'IPAddress' && has(a1.value) ? \
         self.exists_one(a2, a2.type == a1.type && has(a2.value) && a2.value == a1.value) : true )",
        "IPAddress values must be unique",
    ),
    (
        "self.all(a1, a1.type == 'Hostname'  && has(a1.value) ? \
         self.exists_one(a2, a2.type == a1.type && has(a2.value) && a2.value == a1.value) : true )",
        "Hostname values must be unique",
    ),
];

/// What the Gateway listens on.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1",
    kind = "Gateway",
    namespaced,
    status = "GatewayStatus",
    schema = "disabled",
    derive = "Default",
    derive = "PartialEq"
)]
pub struct GatewaySpec {
    /// The addresses that are asked for; the controller chooses when there are none.
    #[schemars(length(max = 16), transform = atomic, transform = rules(DISTINCT_ADDRESSES))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<GatewayAddress>,
    /// Which ListenerSets may add listeners; none when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_listeners: Option<AllowedListeners>,
    /// The GatewayClass that serves this Gateway.
    #[schemars(with = "ObjectName")]
    pub gateway_class_name: String,
    /// What is passed on to the objects that are made for this Gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub infrastructure: Option<GatewayInfrastructure>,
    /// The ports that are listened on, each with its protocol and host.
    #[schemars(transform = listeners, transform = rules(DISTINCT_LISTENERS))]
    pub listeners: Vec<Listener>,
    /// TLS settings that concern the whole Gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<GatewayTlsConfig>,
}

/// Which ListenerSets may add listeners to the Gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AllowedListeners {
    /// The namespaces of ListenerSets.
    pub namespaces: ListenerNamespaces,
}

/// The namespaces whose ListenerSets may attach.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ListenerNamespaces {
    /// None, All, Same (the Gateway's own), or Selector.
    #[serde(default = "no_namespace")]
    pub from: FromListenerNamespaces,
    /// The labels of namespaces, where from is Selector; without effect otherwise.
    #[schemars(with = "Option<LabelSelectorSchema>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

impl Default for ListenerNamespaces {
    fn default() -> Self {
        ListenerNamespaces { from: no_namespace(), selector: None }
    }
}

open_enum! {
    /// Where ListenerSets may come from.
    pub enum FromListenerNamespaces {
        All = "All",
        Selector = "Selector",
        Same = "Same",
        None = "None",
    }
}

fn no_namespace() -> FromListenerNamespaces {
    FromListenerNamespaces::None
}

const ANNOTATION_RULES: Rules = &[
    (
        r#"self.all(key, key.matches(r"""^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]$"""))"#,
        "Annotation keys must be in the form of an optional DNS subdomain prefix followed by a required name segment \
         of up to 63 characters.",
    ),
    (
        r#"self.all(key, key.split("/")[0].size() < 253)"#,
        "If specified, the annotation key's prefix must be a DNS subdomain not longer than 253 characters in total.",
    ),
];

const LABEL_RULES: Rules = &[
    (
        ANNOTATION_RULES[0].0,
        "Label keys must be in the form of an optional DNS subdomain prefix followed by a required name segment of up \
         to 63 characters.",
    ),
    (
        ANNOTATION_RULES[1].0,
        "If specified, the label key's prefix must be a DNS subdomain not longer than 253 characters in total.",
    ),
];

/// What the objects that are made for a Gateway carry.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayInfrastructure {
    /// Annotations of those objects.
    #[schemars(
        with = "BTreeMap<String, AnnotationValue>",
        extend("maxProperties" = 16),
        transform = rules(ANNOTATION_RULES)
    )]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Labels of those objects.
    #[schemars(
        with = "BTreeMap<String, LabelValue>",
        extend("maxProperties" = 8),
        transform = rules(LABEL_RULES)
    )]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// An object with settings for this Gateway; what it may be is the controller's choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters_ref: Option<LocalObjectReference>,
}

/// The type of an address, where none is given.
fn ip_address() -> String {
    "IPAddress".to_owned()
}

/// An address of type IPAddress is an IPv4 or IPv6 address.
fn address_one_of() -> serde_json::Value {
    serde_json::json!([
        {
            "properties": {
                "type": { "enum": ["IPAddress"] },
                "value": { "anyOf": [{ "format": "ipv4" }, { "format": "ipv6" }] }
            }
        },
        { "properties": { "type": { "not": { "enum": ["IPAddress"] } } } }
    ])
}

const ADDRESS_RULES: Rules = &[(
    r#"self.type == 'Hostname' ? (!has(self.value) || self.value.matches(r"""^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$""")): true"#,
    r"Hostname value must be empty or contain only valid characters (matching ^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$)",
)];

const STATUS_ADDRESS_RULES: Rules = &[(
    r#"self.type == 'Hostname' ? self.value.matches(r"""^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"""): true"#,
    r"Hostname value must only contain valid characters (matching ^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$)",
)];

/// An address that is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("oneOf" = address_one_of()), transform = rules(ADDRESS_RULES))]
pub struct GatewayAddress {
    /// IPAddress, Hostname, NamedAddress, or a type of the controller's own as domain/name.
    #[schemars(with = "AddressType")]
    #[serde(rename = "type", default = "ip_address")]
    pub type_: String,
    /// The address; any of the type when absent or empty.
    #[schemars(length(max = 253))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// An address that the Gateway has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("oneOf" = address_one_of()), transform = rules(STATUS_ADDRESS_RULES))]
pub struct GatewayStatusAddress {
    /// IPAddress, Hostname, NamedAddress, or a type of the controller's own as domain/name.
    #[schemars(with = "AddressType")]
    #[serde(rename = "type", default = "ip_address")]
    pub type_: String,
    /// The address.
    #[schemars(length(min = 1, max = 253))]
    pub value: String,
}

/// How the Gateway and each of its listeners stand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayStatus {
    /// The addresses that the Gateway is reached at.
    #[schemars(length(max = 16), transform = atomic)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<GatewayStatusAddress>,
    /// How many ListenerSets have added listeners.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attached_listener_sets: Option<i32>,
    /// How the Gateway stands: Accepted, Programmed and more.
    #[schemars(with = "Conditions")]
    pub conditions: Vec<Condition>,
    /// How each listener stands.
    #[schemars(length(max = 64), transform = map_by("name"))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<ListenerStatus>,
}

impl Default for GatewayStatus {
    fn default() -> Self {
        GatewayStatus {
            addresses: Vec::new(),
            attached_listener_sets: None,
            conditions: vec![pending("Accepted"), pending("Programmed")],
            listeners: Vec::new(),
        }
    }
}
