//! From reports to statuses: what an object's status is after we have said what we have to say.
//!
//! Each function takes the status that the object has and returns the one that it should have; when the two are equal
//! nothing needs to be written. What other controllers wrote stays.

use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use purlin_gateway_api::{
    GROUP, GatewayClassStatus, GatewayStatus, GatewayStatusAddress, ListenerSetStatus, ListenerStatus,
    PolicyAncestorStatus, PolicyStatus, RouteGroupKind, RouteParentStatus, RouteStatus, SupportedFeature,
};
use purlin_resource::names::GATEWAY_CONTROLLER;

use crate::condition::merge;
use crate::model::RouteKind;
use crate::reasons::condition;
use crate::report::{
    ClassReport, GatewayReport, ListenerReport, ListenerSetReport, ParentReport, PolicyReport, RouteReport,
};

/// The features of Gateway API that the data plane serves, in alphabetical order. That a feature is translated is not
/// enough: its name is added when requests and connections are treated as it says.
pub const FEATURES: [&str; 27] = [
    "Gateway",
    "GatewayAddressEmpty",
    "GatewayHTTPListenerIsolation",
    "GatewayHTTPSListenerDetectMisdirectedRequests",
    "GatewayPort8080",
    "GatewayStaticAddresses",
    "HTTPRoute",
    "HTTPRoute303RedirectStatusCode",
    "HTTPRoute307RedirectStatusCode",
    "HTTPRoute308RedirectStatusCode",
    "HTTPRouteBackendProtocolH2C",
    "HTTPRouteBackendProtocolWebSocket",
    "HTTPRouteBackendRequestHeaderModification",
    "HTTPRouteBackendTimeout",
    "HTTPRouteHostRewrite",
    "HTTPRouteMethodMatching",
    "HTTPRouteNamedRouteRule",
    "HTTPRouteParentRefPort",
    "HTTPRoutePathRedirect",
    "HTTPRoutePathRewrite",
    "HTTPRoutePortRedirect",
    "HTTPRouteQueryParamMatching",
    "HTTPRouteRequestTimeout",
    "HTTPRouteResponseHeaderModification",
    "HTTPRouteSchemeRedirect",
    "ListenerSet",
    "ReferenceGrant",
];

/// The schema's bound of `status.parents`.
const MAX_PARENTS: usize = 32;

/// The schema's bound of `status.ancestors`.
const MAX_ANCESTORS: usize = 16;

const OF_CLASS: [&str; 2] = [condition::ACCEPTED, condition::SUPPORTED_VERSION];
const OF_GATEWAY: [&str; 4] = [
    condition::ACCEPTED,
    condition::INSECURE_FRONTEND_VALIDATION_MODE,
    condition::PROGRAMMED,
    condition::RESOLVED_REFS,
];
const OF_LISTENER: [&str; 5] = [
    condition::ACCEPTED,
    condition::CONFLICTED,
    condition::OVERLAPPING_TLS_CONFIG,
    condition::PROGRAMMED,
    condition::RESOLVED_REFS,
];
const OF_POLICY: [&str; 2] = [condition::ACCEPTED, condition::RESOLVED_REFS];
const OF_SET: [&str; 2] = [condition::ACCEPTED, condition::PROGRAMMED];
const OF_ROUTE: [&str; 3] = [condition::ACCEPTED, condition::PARTIALLY_INVALID, condition::RESOLVED_REFS];

/// The status of a GatewayClass.
pub fn class(has: Option<&GatewayClassStatus>, report: &ClassReport, now: &meta::Time) -> GatewayClassStatus {
    let conditions = has.map(|s| s.conditions.as_slice()).unwrap_or_default();
    GatewayClassStatus {
        conditions: merge(conditions, &report.conditions, &OF_CLASS, report.generation, now),
        supported_features: FEATURES.iter().map(|name| SupportedFeature { name: (*name).to_owned() }).collect(),
    }
}

/// The status of a Gateway.
pub fn gateway(has: Option<&GatewayStatus>, report: &GatewayReport, now: &meta::Time) -> GatewayStatus {
    let conditions = has.map(|s| s.conditions.as_slice()).unwrap_or_default();
    let listeners = has.map(|s| s.listeners.as_slice()).unwrap_or_default();
    GatewayStatus {
        addresses: report
            .addresses
            .iter()
            .map(|ip| GatewayStatusAddress { type_: "IPAddress".to_owned(), value: ip.to_string() })
            .collect(),
        conditions: merge(conditions, &report.conditions, &OF_GATEWAY, report.generation, now),
        attached_listener_sets: Some(report.attached_listener_sets),
        listeners: report.listeners.iter().map(|l| listener(listeners, l, report.generation, now)).collect(),
    }
}

/// The status of a ListenerSet.
pub fn listener_set(
    has: Option<&ListenerSetStatus>,
    report: &ListenerSetReport,
    now: &meta::Time,
) -> ListenerSetStatus {
    let conditions = has.map(|s| s.conditions.as_slice()).unwrap_or_default();
    let listeners = has.map(|s| s.listeners.as_slice()).unwrap_or_default();
    ListenerSetStatus {
        conditions: merge(conditions, &report.conditions, &OF_SET, report.generation, now),
        listeners: report.listeners.iter().map(|l| listener(listeners, l, report.generation, now)).collect(),
    }
}

fn listener(
    has: &[ListenerStatus],
    report: &ListenerReport,
    generation: Option<i64>,
    now: &meta::Time,
) -> ListenerStatus {
    let has = has.iter().find(|l| l.name == *report.name);
    let conditions = has.map(|s| s.conditions.as_slice()).unwrap_or_default();
    let kind = |kind: &RouteKind| RouteGroupKind { group: GROUP.to_owned(), kind: kind.name().to_owned() };
    ListenerStatus {
        name: report.name.to_string(),
        supported_kinds: report.kinds.iter().map(kind).collect(),
        attached_routes: report.attached_routes,
        conditions: merge(conditions, &report.conditions, &OF_LISTENER, generation, now),
    }
}

/// The status of a route. Entries keep their places, so that two controllers do not reorder each other's work for ever.
pub fn route(has: Option<&RouteStatus>, report: &RouteReport, now: &meta::Time) -> RouteStatus {
    let entry = |parent: &ParentReport, conditions: &[meta::Condition]| RouteParentStatus {
        parent_ref: parent.parent.clone(),
        controller_name: GATEWAY_CONTROLLER.to_owned(),
        conditions: merge(conditions, &parent.conditions, &OF_ROUTE, report.generation, now),
    };
    let mut missing: Vec<&ParentReport> = report.parents.iter().collect();
    let mut parents = Vec::new();
    for existing in has.map(|s| s.parents.as_slice()).unwrap_or_default() {
        if existing.controller_name != GATEWAY_CONTROLLER {
            parents.push(existing.clone());
        } else if let Some(at) = missing.iter().position(|p| p.parent == existing.parent_ref) {
            parents.push(entry(missing.remove(at), &existing.conditions));
        }
    }
    parents.extend(missing.into_iter().map(|parent| entry(parent, &[])));
    parents.truncate(MAX_PARENTS);
    RouteStatus { parents }
}

/// The status of a policy. Entries keep their places, as those of a route do.
pub fn policy(has: Option<&PolicyStatus>, report: &PolicyReport, now: &meta::Time) -> PolicyStatus {
    let entry = |ancestor: &ParentReport, conditions: &[meta::Condition]| PolicyAncestorStatus {
        ancestor_ref: ancestor.parent.clone(),
        controller_name: GATEWAY_CONTROLLER.to_owned(),
        conditions: merge(conditions, &ancestor.conditions, &OF_POLICY, report.generation, now),
    };
    let mut missing: Vec<&ParentReport> = report.ancestors.iter().collect();
    let mut ancestors = Vec::new();
    for existing in has.map(|s| s.ancestors.as_slice()).unwrap_or_default() {
        if existing.controller_name != GATEWAY_CONTROLLER {
            ancestors.push(existing.clone());
        } else if let Some(at) = missing.iter().position(|a| a.parent == existing.ancestor_ref) {
            ancestors.push(entry(missing.remove(at), &existing.conditions));
        }
    }
    ancestors.extend(missing.into_iter().map(|ancestor| entry(ancestor, &[])));
    ancestors.truncate(MAX_ANCESTORS);
    PolicyStatus { ancestors }
}
