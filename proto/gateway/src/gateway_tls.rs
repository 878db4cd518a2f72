//! TLS of a Gateway: certificates of listeners, certificates asked from clients, and the one shown to backends.

use std::collections::BTreeMap;

use purlin_crd::bounds::{AnnotationValue, PortNumber};
use purlin_crd::open_enum;
use purlin_crd::schema::{Rules, atomic, map_by, rules};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::refs::{ObjectReference, SecretObjectReference};

const LISTENER_TLS_RULES: Rules = &[(
    "self.mode == 'Terminate' ? size(self.certificateRefs) > 0 || size(self.options) > 0 : true",
    "certificateRefs or options must be specified when mode is Terminate",
)];

/// TLS of one listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = rules(LISTENER_TLS_RULES))]
pub struct ListenerTlsConfig {
    /// The certificates with their keys, as Secrets of type kubernetes.io/tls; chosen by the name that a client asks
    /// for.
    #[schemars(length(max = 64), transform = atomic)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificate_refs: Vec<SecretObjectReference>,
    /// Terminate ends TLS here; Passthrough hands the connection on as it is.
    pub mode: TlsMode,
    /// Settings of the controller's own.
    #[schemars(with = "BTreeMap<String, AnnotationValue>", extend("maxProperties" = 16))]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

impl Default for ListenerTlsConfig {
    fn default() -> Self {
        ListenerTlsConfig { certificate_refs: Vec::new(), mode: TlsMode::Terminate, options: BTreeMap::new() }
    }
}

open_enum! {
    /// Who ends a listener's TLS.
    pub enum TlsMode {
        Terminate = "Terminate",
        Passthrough = "Passthrough",
    }
}

/// TLS settings that concern the whole Gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GatewayTlsConfig {
    /// TLS to backends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<GatewayBackendTls>,
    /// TLS from clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frontend: Option<FrontendTlsConfig>,
}

/// How the Gateway shows itself to backends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayBackendTls {
    /// The certificate with its key that backends are shown when they ask for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate_ref: Option<SecretObjectReference>,
}

const PORT_RULES: Rules = &[(
    "self.all(t1, self.exists_one(t2, t1.port == t2.port))",
    "Port for TLS configuration must be unique within the Gateway",
)];

/// What is asked of clients, for all ports and for single ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FrontendTlsConfig {
    /// What holds for every HTTPS listener whose port has no entry of its own.
    pub default: FrontendTls,
    /// What holds for the HTTPS listeners of single ports.
    #[schemars(length(max = 64), transform = map_by("port"), transform = rules(PORT_RULES))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub per_port: Vec<FrontendTlsPort>,
}

/// What is asked of the clients of one port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FrontendTlsPort {
    /// The port.
    #[schemars(with = "PortNumber")]
    pub port: u16,
    /// What is asked of its clients.
    pub tls: FrontendTls,
}

/// What is asked of clients.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FrontendTls {
    /// How clients' certificates are verified; none is asked for when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<FrontendTlsValidation>,
}

/// How clients' certificates are verified.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FrontendTlsValidation {
    /// The authorities that are trusted, as ConfigMaps with the key ca.crt or what else the controller knows.
    #[schemars(length(min = 1, max = 16), transform = atomic)]
    pub ca_certificate_refs: Vec<ObjectReference>,
    /// AllowValidOnly refuses clients without a valid certificate; AllowInsecureFallback lets them in.
    #[serde(default = "valid_only")]
    pub mode: FrontendValidationMode,
}

open_enum! {
    /// What becomes of clients without a valid certificate.
    pub enum FrontendValidationMode {
        AllowValidOnly = "AllowValidOnly",
        AllowInsecureFallback = "AllowInsecureFallback",
    }
}

fn valid_only() -> FrontendValidationMode {
    FrontendValidationMode::AllowValidOnly
}
