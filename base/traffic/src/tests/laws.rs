//! Laws that hold for all inputs.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// A small world in which all kinds of trouble happen by chance.
fn route() -> impl Strategy<Value = String> {
    (
        0..6u8,
        select(vec!["default", "other"]),
        select(vec!["", "a.example.com", "'*.example.com'", "b.example.net"]),
        select(vec!["/", "/a", "/a/b", "/c/"]),
        select(vec!["PathPrefix", "Exact", "RegularExpression"]),
        select(vec!["web", "absent"]),
        0..3u8,
        any::<bool>(),
    )
        .prop_map(|(name, namespace, host, path, kind, service, day, grpc)| {
            let (route, matches) = match grpc {
                true => ("GRPCRoute", format!("method: {{service: s{day}}}")),
                false => ("HTTPRoute", format!("path: {{type: {kind}, value: {path}}}")),
            };
            format!(
                "kind: {route}\nmetadata: {{name: r{name}, namespace: {namespace}, creationTimestamp: \
                 '2026-01-0{}T00:00:00Z'}}\nspec: {{parentRefs: [{{name: gw, namespace: default}}], hostnames: [{host}], \
                 rules: [{{matches: [{{{matches}}}], backendRefs: [{{name: {service}, \
                 namespace: default, port: 80}}]}}]}}",
                day + 1
            )
        })
}

const GATEWAYS: &str = r"
kind: Gateway
metadata: {name: gw, namespace: default}
spec:
  gatewayClassName: purlin
  listeners:
  - {name: any, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}
  - {name: wild, port: 80, protocol: HTTP, hostname: '*.example.com'}
---
kind: Gateway
metadata: {name: rival, namespace: other}
spec: {gatewayClassName: purlin, listeners: [{name: http, port: 80, protocol: HTTP}]}
";

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Maps are ordered, so the order in which objects arrive can only show through an update in place: take the
    /// objects in two orders, one by one, each translation fed with the one before.
    #[test]
    fn the_order_of_objects_does_not_matter(routes in proptest::collection::vec(route(), 1..8), seed in any::<u64>()) {
        let mut objects: Vec<Value> = [BASE, GATEWAYS].iter().flat_map(|yaml| documents(yaml)).collect();
        let mut names = std::collections::HashSet::new();
        objects.extend(routes.iter().flat_map(|r| documents(r)).filter(|r| names.insert([&r["metadata"]["namespace"], &r["metadata"]["name"]].map(Value::to_string))));
        let apply = |objects: &[Value]| {
            let (mut input, mut output) = (Input::default(), Output::default());
            for object in objects {
                put(&mut input, object);
                output = translate(&input, Some(&output));
            }
            show(&output)
        };
        let first = apply(&objects);
        let length = objects.len();
        let mut state = seed;
        for i in (1..length).rev() {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            objects.swap(i, usize::try_from(state >> 33).unwrap() % (i + 1));
        }
        prop_assert_eq!(apply(&objects), first);
    }
}

#[test]
fn what_did_not_change_is_the_same_rule() {
    let routes = |weight: u8| {
        let route = |name: &str, weight: u8| {
            format!(
                "kind: HTTPRoute\nmetadata: {{name: {name}, namespace: default}}\nspec: {{parentRefs: [{{name: gw}}], \
                     rules: [{{backendRefs: [{{name: web, port: 80, weight: {weight}}}]}}]}}"
            )
        };
        input(&[BASE, GATEWAY, &route("changed", weight), &route("same", 1)])
    };
    let rules = |output: &Output| {
        let bind = output.model.binds.values().next().unwrap();
        bind.listeners[0].hosts()[0].rules.clone()
    };
    let first = translate(&routes(1), None);
    let second = translate(&routes(2), Some(&first));
    let same = |i: usize| Arc::ptr_eq(&rules(&first)[i], &rules(&second)[i]);
    assert!(!same(0) && same(1));
    let cluster = |output: &Output| Arc::clone(output.model.clusters.values().next().unwrap());
    assert!(Arc::ptr_eq(&cluster(&first), &cluster(&second)));

    // A Service that goes away changes the rules of the route that sends to it.
    let mut gone = routes(2);
    gone.services.clear();
    assert_eq!(show_rule(&rules(&translate(&gone, Some(&second)))[1]), "/ [same#0] -> 500*1");
}
