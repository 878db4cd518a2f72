//! Backends of routes: which resolve, and to which endpoints.

use super::*;

fn route(references: &str) -> String {
    format!(
        "kind: HTTPRoute\nmetadata: {{name: r, namespace: default}}\nspec: {{parentRefs: [{{name: gw}}], rules: \
         [{{backendRefs: [{references}]}}]}}"
    )
}

/// The route's line, its rule, and the clusters.
#[track_caller]
fn check_refs(objects: &[&str], references: &str, expected: &[&str]) {
    let output = translate(&input(&[&[BASE, GATEWAY, &route(references)], objects].concat()), None);
    let text = show(&output);
    let lines: Vec<&str> =
        text.lines().map(str::trim).filter(|l| ["route", "* /", "clust"].iter().any(|p| l.starts_with(p))).collect();
    assert!(lines == expected, "output:\n{}\n", lines.join("\n"));
}

const SERVICES: &str = r"
kind: Service
metadata: {name: external, namespace: default}
spec: {type: ExternalName, externalName: example.com, ports: [{port: 80}]}
---
kind: Service
metadata: {name: many, namespace: default}
spec:
  ports:
  - {name: h2c, port: 1, appProtocol: kubernetes.io/h2c}
  - {name: ws, port: 2, appProtocol: kubernetes.io/ws}
  - {name: wss, port: 3, appProtocol: kubernetes.io/wss}
  - {name: udp, port: 4, protocol: UDP}
  - {name: dns-udp, port: 5, protocol: UDP}
  - {name: dns-tcp, port: 5, protocol: TCP}
---
kind: Service
metadata: {name: far, namespace: other}
spec: {ports: [{port: 80}]}
";

#[test]
fn references_that_do_not_resolve_answer_500_for_their_share() {
    let bad = |reference: &str, reason: &str| {
        check_refs(
            &[SERVICES],
            &format!("{{name: web, port: 80, weight: 3}}, {reference}"),
            &[
                &format!("route default/r at gw: ResolvedRefs=False/{reason}"),
                "* / [r#0] -> default/web:80*3 -> 500*1",
                "cluster default/web:80 Http1 [10.0.0.1:8080 10.0.0.2:8080]",
            ],
        );
    };
    bad("{name: absent, port: 80}", "BackendNotFound");
    bad("{name: web, port: 81}", "BackendNotFound");
    bad("{name: web}", "BackendNotFound");
    bad("{name: web, kind: Pod, port: 80}", "InvalidKind");
    bad("{name: web, group: example.com, port: 80}", "InvalidKind");
    bad("{name: external, port: 80}", "InvalidKind");
    bad("{name: far, namespace: other, port: 80}", "RefNotPermitted");
    bad("{name: absent, namespace: other, port: 80}", "RefNotPermitted");
    bad("{name: many, port: 3}", "UnsupportedProtocol");
    bad("{name: many, port: 4}", "UnsupportedProtocol");
}

#[test]
fn a_route_says_all_that_does_not_resolve() {
    let routes = route("{name: a, port: 80}, {name: b, port: 80}, {name: a, port: 80}");
    let output = translate(&input(&[BASE, GATEWAY, &routes]), None);
    let report = output.routes.values().next().unwrap();
    let message = message_of(&report.parents[0].conditions, "ResolvedRefs");
    assert_eq!(message, "Service default/a not found; Service default/b not found");
}

#[test]
fn grants_open_a_namespace() {
    let grant = |from: &str, to: &str| {
        format!("kind: ReferenceGrant\nmetadata: {{name: g, namespace: other}}\nspec: {{from: [{from}], to: [{to}]}}")
    };
    let from = "{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: default}";
    let cases = [
        (grant(from, "{group: '', kind: Service}"), true),
        (grant(from, "{group: '', kind: Service, name: near}, {group: '', kind: Service, name: far}"), true),
        (grant(from, "{group: '', kind: Service, name: near}"), false),
        (grant(from, "{group: '', kind: Secret}"), false),
        (grant(&from.replace("default", "other"), "{group: '', kind: Service}"), false),
        (grant(&from.replace("HTTPRoute", "GRPCRoute"), "{group: '', kind: Service}"), false),
        (grant(&from.replace("gateway.networking.k8s.io", "''"), "{group: '', kind: Service}"), false),
        (
            grant(from, "{group: '', kind: Service}").replace("namespace: other}\nspec", "namespace: default}\nspec"),
            false,
        ),
    ];
    for (grant, permitted) in cases {
        let expected: &[&str] = match permitted {
            true => &["route default/r at gw: ok", "* / [r#0] -> other/far:80*1", "cluster other/far:80 Http1 []"],
            false => &["route default/r at gw: ResolvedRefs=False/RefNotPermitted", "* / [r#0] -> 500*1"],
        };
        check_refs(&[SERVICES, &grant], "{name: far, namespace: other, port: 80}", expected);
    }
}

#[test]
fn protocols_come_from_the_service_port() {
    check_refs(
        &[SERVICES],
        "{name: many, port: 1}, {name: many, port: 2}, {name: many, port: 5}, {name: web, port: 80}",
        &[
            "route default/r at gw: ok",
            "* / [r#0] -> default/many:1*1 -> default/many:2*1 -> default/many:5*1 -> default/web:80*1",
            "cluster default/many:1 Http2 []",
            "cluster default/many:2 Http1 []",
            "cluster default/many:5 Http1 []",
            "cluster default/web:80 Http1 [10.0.0.1:8080 10.0.0.2:8080]",
        ],
    );
}

fn slice(name: &str, rest: &str) -> String {
    format!(
        "kind: EndpointSlice\nmetadata: {{name: {name}, namespace: default, labels: {{kubernetes.io/service-name: many}}}}\n{rest}"
    )
}

/// The endpoints of Service `many`, port `h2c`, for these slices.
#[track_caller]
fn check_endpoints(slices: &[&str], expected: &str) {
    let slices: Vec<String> = slices.iter().enumerate().map(|(i, rest)| slice(&format!("s{i}"), rest)).collect();
    let mut objects = vec![SERVICES];
    objects.extend(slices.iter().map(String::as_str));
    let cluster = format!("cluster default/many:1 Http2 [{expected}]");
    check_refs(
        &objects,
        "{name: many, port: 1}",
        &["route default/r at gw: ok", "* / [r#0] -> default/many:1*1", &cluster],
    );
}

#[test]
fn endpoints_are_the_ready_ones_else_those_that_drain() {
    let with =
        |endpoints: &str| format!("addressType: IPv4\nports: [{{name: h2c, port: 9}}]\nendpoints: [{endpoints}]");
    let endpoint = |ip: &str, conditions: &str| format!("{{addresses: [{ip}], conditions: {{{conditions}}}}}");
    let ready = endpoint("10.0.0.1", "ready: true");
    let unknown = endpoint("10.0.0.2", "");
    let draining = endpoint("10.0.0.3", "ready: false, serving: true, terminating: true");
    let away = endpoint("10.0.0.4", "ready: false");
    let ending = endpoint("10.0.0.5", "ready: false, serving: false, terminating: true");
    let unready = endpoint("10.0.0.6", "ready: false, serving: true, terminating: false");
    let all = [&ready, &unknown, &draining, &away, &ending, &unready].map(String::as_str).join(", ");
    check_endpoints(&[&with(&all)], "10.0.0.1:9 10.0.0.2:9");
    check_endpoints(&[&with(&[draining.as_str(), &away, &ending, &unready].join(", "))], "10.0.0.3:9");
    check_endpoints(&[&with(&away)], "");
    check_endpoints(&[], "");
}

#[test]
fn slices_are_merged_by_the_name_of_the_port() {
    check_endpoints(
        &[
            "addressType: IPv4\nports: [{name: ws, port: 8}, {name: h2c, port: 9}]\nendpoints: [{addresses: [10.0.0.2, 10.0.0.9]}]",
            "addressType: IPv4\nports: [{name: h2c, port: 7, protocol: TCP}]\nendpoints: [{addresses: [10.0.0.1]}, {addresses: [10.0.0.1]}]",
            "addressType: IPv6\nports: [{name: h2c, port: 9}]\nendpoints: [{addresses: ['fd00::1']}]",
            "addressType: FQDN\nports: [{name: h2c, port: 9}]\nendpoints: [{addresses: [10.0.0.3]}]",
            "addressType: IPv4\nports: [{name: h2c, port: 9, protocol: UDP}]\nendpoints: [{addresses: [10.0.0.4]}]",
            "addressType: IPv4\nports: [{name: h2c}]\nendpoints: [{addresses: [10.0.0.5]}]",
            "addressType: IPv4\nports: [{name: h2c, port: 70000}]\nendpoints: [{addresses: [10.0.0.6]}]",
            "addressType: IPv4\nports: [{name: h2c, port: 9}]\nendpoints: [{addresses: [nonsense]}, {addresses: []}]",
            "addressType: IPv4\nports: []\nendpoints: [{addresses: [10.0.0.7]}]",
        ],
        "10.0.0.1:7 10.0.0.2:9 [fd00::1]:9",
    );
}
