//! GatewayClass: which controller serves the Gateways that name the class.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use purlin_crd::bounds::Conditions;
use purlin_crd::schema::{Rules, map_by, rules};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bounds::ControllerName;
use crate::gateway::pending;
use crate::refs::ObjectReference;

const IMMUTABLE: Rules = &[("self == oldSelf", "Value is immutable")];

/// Who serves the class, and with which parameters.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1",
    kind = "GatewayClass",
    plural = "gatewayclasses",
    status = "GatewayClassStatus",
    schema = "disabled",
    derive = "Default",
    derive = "PartialEq"
)]
pub struct GatewayClassSpec {
    /// The controller that serves Gateways of this class, as domain/path; it cannot be changed.
    #[schemars(with = "ControllerName", transform = rules(IMMUTABLE))]
    pub controller_name: String,
    /// What the class is for, in a few words.
    #[schemars(length(max = 64))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// An object with settings for all Gateways of the class; what it may be is the controller's choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters_ref: Option<ObjectReference>,
}

/// How the class stands at its controller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayClassStatus {
    /// Whether the controller accepts the class.
    #[schemars(with = "Conditions")]
    pub conditions: Vec<Condition>,
    /// The features of Gateway API that the controller offers with this class, in alphabetical order.
    #[schemars(length(max = 64), transform = map_by("name"))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub supported_features: Vec<SupportedFeature>,
}

impl Default for GatewayClassStatus {
    fn default() -> Self {
        GatewayClassStatus { conditions: vec![pending("Accepted")], supported_features: Vec::new() }
    }
}

/// A feature's name, as the conformance tests call it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SupportedFeature {
    /// The feature's name.
    pub name: String,
}
