//! GRPCRoute: which gRPC calls go to which backends, and what is done to them on the way.

use kube::CustomResource;
use purlin_crd::bounds::{Hostname, SectionName};
use purlin_crd::open_enum;
use purlin_crd::schema::{Rules, atomic, map_by, rules};
use schemars::transform::Transform;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use crate::backend::service_has_port;
use crate::filter::{at_most_once, settings_of_type};
use crate::header::{HttpHeaderFilter, HttpHeaderMatch, ValueMatchType, exact};
use crate::mirror::HttpRequestMirrorFilter;
use crate::refs::{LocalObjectReference, reference};
use crate::route::{ParentReference, RouteStatus, matches_total, parent_refs};

/// How many matches a rule has.
fn matches(rule: usize) -> String {
    format!("(has(self[{rule}].matches) ? self[{rule}].matches.size() : 0)")
}

/// Which calls are served, and how.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1",
    kind = "GRPCRoute",
    root = "GrpcRoute",
    namespaced,
    status = "RouteStatus",
    schema = "disabled",
    derive = "Default",
    derive = "PartialEq"
)]
pub struct GrpcRouteSpec {
    /// The hosts whose calls are served, each exact or with a wildcard for its first labels; the listener's own when
    /// there are none.
    #[schemars(with = "Vec<Hostname>", length(max = 16), transform = atomic)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// The Gateways or listeners that the route attaches to.
    #[schemars(transform = parent_refs)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parent_refs: Vec<ParentReference>,
    /// What is done with calls; of all rules that match, the most specific match decides.
    #[schemars(length(max = 16), transform = atomic, transform = matches_total(matches))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<GrpcRouteRule>,
}

/// Calls that match, the filters they pass, and the backends they go to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcRouteRule {
    /// The backends, each with its share of the calls.
    #[schemars(length(max = 16), transform = atomic)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub backend_refs: Vec<GrpcBackendRef>,
    /// What is done to every call of the rule and to its response.
    #[schemars(transform = grpc_filters)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<GrpcRouteFilter>,
    /// Which calls the rule is for; one match is enough; every call when there are none.
    #[schemars(length(max = 64), transform = atomic)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<GrpcRouteMatch>,
    /// The rule's name, unique in the route.
    #[schemars(with = "Option<SectionName>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What a call has to have; all of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct GrpcRouteMatch {
    /// Headers that have to be there with these values.
    #[schemars(length(max = 16), transform = map_by("name"))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HttpHeaderMatch>,
    /// The service and method that are called; any when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<GrpcMethodMatch>,
}

const METHOD_RULES: Rules = &[
    (
        "has(self.type) ? has(self.service) || has(self.method) : true",
        "One or both of 'service' or 'method' must be specified",
    ),
    (
        r#"(!has(self.type) || self.type == 'Exact') && has(self.service) ? self.service.matches(r"""^(?i)\.?[a-z_][a-z_0-9]*(\.[a-z_][a-z_0-9]*)*$"""): true"#,
        r"service must only contain valid characters (matching ^(?i)\.?[a-z_][a-z_0-9]*(\.[a-z_][a-z_0-9]*)*$)",
    ),
    (
        r#"(!has(self.type) || self.type == 'Exact') && has(self.method) ? self.method.matches(r"""^[A-Za-z_][A-Za-z_0-9]*$"""): true"#,
        "method must only contain valid characters (matching ^[A-Za-z_][A-Za-z_0-9]*$)",
    ),
];

/// How the service and method of a call are compared; one of them may be absent, which is any.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = rules(METHOD_RULES))]
pub struct GrpcMethodMatch {
    /// What the method's name is compared with.
    #[schemars(length(max = 1024))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// What the service's full name, with its package, is compared with.
    #[schemars(length(max = 1024))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Exact or RegularExpression.
    #[serde(rename = "type", default = "exact")]
    pub type_: ValueMatchType,
}

/// The list of filters of a rule or a backend.
fn grpc_filters(schema: &mut Schema) {
    schema.insert("maxItems".into(), 16.into());
    atomic(schema);
    rules(at_most_once!["RequestHeaderModifier", "ResponseHeaderModifier"]).transform(schema);
}

const FILTER_RULES: Rules = settings_of_type![
    "requestHeaderModifier" for "RequestHeaderModifier",
    "responseHeaderModifier" for "ResponseHeaderModifier",
    "requestMirror" for "RequestMirror",
    "extensionRef" for "ExtensionRef",
];

/// One step that a call or its response passes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules(FILTER_RULES))]
pub struct GrpcRouteFilter {
    /// For ExtensionRef: a filter of the controller's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extension_ref: Option<LocalObjectReference>,
    /// For RequestHeaderModifier: what changes in the call's headers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_header_modifier: Option<HttpHeaderFilter>,
    /// For RequestMirror: where a copy of the call goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_mirror: Option<HttpRequestMirrorFilter>,
    /// For ResponseHeaderModifier: what changes in the response's headers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_header_modifier: Option<HttpHeaderFilter>,
    /// What the filter does; its settings stand in the field of that name.
    #[serde(rename = "type")]
    pub type_: GrpcRouteFilterType,
}

open_enum! {
    /// What a filter does.
    pub enum GrpcRouteFilterType {
        RequestHeaderModifier = "RequestHeaderModifier",
        ResponseHeaderModifier = "ResponseHeaderModifier",
        RequestMirror = "RequestMirror",
        ExtensionRef = "ExtensionRef",
    }
}

reference! {
    /// A backend with its share of the rule's calls.
    #[schemars(transform = service_has_port)]
    pub struct GrpcBackendRef to "backend" {
        /// What is done to the calls of this backend and to their responses.
        #[schemars(transform = grpc_filters)]
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub filters: Vec<GrpcRouteFilter>,
        backend,
        weight,
    }
}
