//! From reports to the statuses that objects get.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use super::*;
use purlin_resource::names::GATEWAY_CONTROLLER;

use crate::status;

fn at(second: i64) -> Time {
    Time(Timestamp::from_second(second).unwrap())
}

const ROUTE: &str = r"
kind: HTTPRoute
metadata: {name: r, namespace: default, generation: 7}
spec: {parentRefs: [{name: gw}, {name: gw, namespace: default, sectionName: http}], rules: [{backendRefs: [{name: web, port: 80}]}]}
";

#[test]
fn features_are_in_order() {
    assert!(status::FEATURES.is_sorted());
    assert!(status::FEATURES.len() <= 64);
}

#[test]
fn a_written_status_needs_no_second_writing() {
    let output = translate(&input(&[BASE, GATEWAY, ROUTE]), None);
    let class = output.classes.values().next().unwrap();
    let first = status::class(None, class, &at(1));
    assert_eq!(status::class(Some(&first), class, &at(2)), first);
    let gateway = output.gateways.values().next().unwrap();
    let first = status::gateway(None, gateway, &at(1));
    assert_eq!(status::gateway(Some(&first), gateway, &at(2)), first);
    let route = output.routes.values().next().unwrap();
    let first = status::route(None, route, &at(1));
    assert_eq!(status::route(Some(&first), route, &at(2)), first);
}

#[test]
fn the_status_of_a_gateway() {
    let output = translate(&input(&[BASE, GATEWAY, ROUTE]), None);
    // The defaults that the API server fills in, and what another controller says.
    let pending: purlin_gateway_api::GatewayStatus = serde_json::from_value(json!({
        "attachedListenerSets": 2,
        "conditions": [
            {"type": "Accepted", "status": "Unknown", "reason": "Pending", "message": "", "lastTransitionTime": "1970-01-01T00:00:00Z"},
            {"type": "a.com/Other", "status": "True", "reason": "X", "message": "", "lastTransitionTime": "1970-01-01T00:00:00Z"},
        ],
        "listeners": [{"name": "gone", "attachedRoutes": 1, "conditions": [], "supportedKinds": []}],
    }))
    .unwrap();
    let written = status::gateway(Some(&pending), output.gateways.values().next().unwrap(), &at(1_000_000_000));
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        json!({"type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": 3,
               "lastTransitionTime": "2001-09-09T01:46:40Z"})
    };
    let other = json!({"type": "a.com/Other", "status": "True", "reason": "X", "message": "",
                       "lastTransitionTime": "1970-01-01T00:00:00Z"});
    assert_eq!(
        serde_json::to_value(written).unwrap(),
        json!({
            "addresses": [{"type": "IPAddress", "value": "127.0.0.1"}],
            "attachedListenerSets": 0,
            "conditions": [
                condition("Accepted", "True", "Accepted", "all listeners are accepted"),
                other,
                condition("Programmed", "True", "Programmed", "listening on 127.0.0.1 for http"),
                condition("ResolvedRefs", "True", "ResolvedRefs", "all references resolve"),
            ],
            "listeners": [{
                "name": "http",
                "attachedRoutes": 1,
                "supportedKinds": [
                    {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute"},
                    {"group": "gateway.networking.k8s.io", "kind": "GRPCRoute"},
                ],
                "conditions": [
                    condition("Accepted", "True", "Accepted", "HTTP on port 80"),
                    condition("Conflicted", "False", "NoConflicts", "no other listener conflicts with it"),
                    condition("Programmed", "True", "Programmed", "listening on 127.0.0.1:80"),
                    condition("ResolvedRefs", "True", "ResolvedRefs", "all references resolve"),
                ],
            }],
        })
    );
}

#[test]
fn entries_of_a_route_keep_their_places_and_stale_ones_go() {
    let output = translate(&input(&[BASE, GATEWAY, ROUTE]), None);
    let report = output.routes.values().next().unwrap();
    let entry = |controller: &str, parent: Value| {
        json!({"controllerName": controller, "parentRef": parent, "conditions": [
            {"type": "Accepted", "status": "True", "reason": "Accepted", "message": "", "lastTransitionTime": "1970-01-01T00:00:05Z"},
        ]})
    };
    let has: purlin_gateway_api::RouteStatus = serde_json::from_value(json!({"parents": [
        entry(GATEWAY_CONTROLLER, json!({"name": "gw", "namespace": "default", "sectionName": "http"})),
        entry("example.com/other", json!({"name": "gw"})),
        entry(GATEWAY_CONTROLLER, json!({"name": "stale"})),
        entry("example.com/other", json!({"name": "mesh"})),
    ]}))
    .unwrap();
    let written = status::route(Some(&has), report, &at(9));
    let shown: Vec<String> = written
        .parents
        .iter()
        .map(|entry| {
            let (controller, _) = entry.controller_name.split_once('.').unwrap();
            let since: Vec<String> = entry
                .conditions
                .iter()
                .map(|c| format!("{}@{}", c.type_, c.last_transition_time.0.as_second()))
                .collect();
            format!("{controller} {} {}", entry.parent_ref.name, since.join(" "))
        })
        .collect();
    assert_eq!(
        shown,
        [
            "purlin gw Accepted@5 ResolvedRefs@9",
            "example gw Accepted@5",
            "example mesh Accepted@5",
            "purlin gw Accepted@9 ResolvedRefs@9",
        ]
    );
    assert_eq!(written.parents[0].conditions[0].observed_generation, Some(7));
    assert_eq!(written.parents[1], has.parents[1]);
}
