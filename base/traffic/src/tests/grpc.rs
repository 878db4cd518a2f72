//! GRPCRoutes: matches, backends, and what happens where an HTTPRoute has the same host.

use super::*;

const SERVICES: &str = r"
kind: Service
metadata: {name: calls, namespace: default}
spec:
  ports:
  - {name: plain, port: 1}
  - {name: h2c, port: 2, appProtocol: kubernetes.io/h2c}
  - {name: ws, port: 3, appProtocol: kubernetes.io/ws}
";

fn route(kind: &str, name: &str, day: u8, spec: &str) -> String {
    format!(
        "kind: {kind}\nmetadata: {{name: {name}, namespace: default, creationTimestamp: '2026-01-0{day}T00:00:00Z'}}\n\
         spec: {{parentRefs: [{{name: gw}}], {spec}}}"
    )
}

/// The route's verdict with messages, where it is not `ok`, and the rules.
#[track_caller]
fn check_rules(rules: &str, expected: &[&str]) {
    let route = route("GRPCRoute", "r", 1, &format!("rules: [{rules}]"));
    let output = translate(&input(&[BASE, GATEWAY, SERVICES, &route]), None);
    let conditions = &output.routes.values().next().unwrap().parents[0].conditions;
    let mut lines = Vec::new();
    for condition in conditions.iter().filter(|c| c.status == (c.kind == "PartiallyInvalid")) {
        lines.push(format!("{}/{}: {}", condition.kind, condition.reason, condition.message));
    }
    let mut text = String::new();
    show_model(&mut text, &output.model);
    let shown = text.lines().filter(|l| l.starts_with("    * ") || l.starts_with("cluster"));
    lines.extend(shown.map(|l| l.trim_start_matches("    * ").to_owned()));
    assert!(lines == expected, "output:\n{}\n", lines.join("\n"));
}

#[test]
fn a_method_is_a_path() {
    check_rules("{}", &["/ [r#0] -> 500"]);
    let method = |method: &str| format!("{{matches: [{{method: {{{method}}}}}]}}");
    check_rules(&method("service: a.B, method: C"), &["=/a.B/C [r#0] -> 500"]);
    check_rules(&method("service: a.B"), &["/a.B/ [r#0] -> 500"]);
    check_rules(&method("method: C"), &["~/[^/]+/C [r#0] -> 500"]);
    let regular = |rest: &str| method(&format!("type: RegularExpression, {rest}"));
    check_rules(&regular("service: 'a|b', method: 'C.*'"), &["~/(?:a|b)/(?:C.*) [r#0] -> 500"]);
    check_rules(&regular("service: 'a|b'"), &["~/(?:a|b)/[^/]+ [r#0] -> 500"]);
    check_rules(&regular("method: C"), &["~/[^/]+/(?:C) [r#0] -> 500"]);
}

#[test]
fn the_most_precise_call_comes_first() {
    check_rules(
        "{matches: [{}]}, {matches: [{method: {type: RegularExpression, service: 'long.*service', method: '.*'}}]}, \
         {matches: [{method: {method: C}}]}, {matches: [{method: {service: a.B}}]}, \
         {matches: [{method: {service: a.B, method: C}}]}, \
         {matches: [{method: {service: a.B}, headers: [{name: X, value: v}, {name: Z, type: RegularExpression, value: .}]}]}, \
         {matches: [{method: {service: a.B, method: Longer}}]}",
        &[
            "=/a.B/Longer [r#6] -> 500",
            "=/a.B/C [r#4] -> 500",
            "/a.B/ x=v z~. [r#5] -> 500",
            "/a.B/ [r#3] -> 500",
            "~/[^/]+/C [r#2] -> 500",
            "~/(?:long.*service)/(?:.*) [r#1] -> 500",
            "/ [r#0] -> 500",
        ],
    );
}

#[test]
fn backends_speak_http2() {
    check_rules(
        "{backendRefs: [{name: calls, port: 1, weight: 2}, {name: calls, port: 2}]}",
        &[
            "/ [r#0] -> default/calls:1 (gRPC)*2 -> default/calls:2 (gRPC)*1",
            "cluster default/calls:1 (gRPC) Http2 []",
            "cluster default/calls:2 (gRPC) Http2 []",
        ],
    );
    check_rules(
        "{backendRefs: [{name: calls, port: 3}]}",
        &[
            "ResolvedRefs/UnsupportedProtocol: Service default/calls:3: appProtocol kubernetes.io/ws is not supported as a \
             backend of a GRPCRoute",
            "/ [r#0] -> 500*1",
        ],
    );
}

#[test]
fn filters_are_those_of_an_http_route() {
    check_rules(
        "{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [a]}}, {type: RequestMirror, requestMirror: \
         {backendRef: {name: calls, port: 1}, percent: 5}}], backendRefs: [{name: calls, port: 1, \
         filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {remove: [b]}}]}]}",
        &[
            r#"/ [r#0] request(set[] add[] remove["a"]) mirror(default/calls:1 (gRPC) 5/100) -> default/calls:1 (gRPC)*1 response(set[] add[] remove["b"])"#,
            "cluster default/calls:1 (gRPC) Http2 []",
        ],
    );
    check_rules(
        "{filters: [{type: ExtensionRef, extensionRef: {group: a.com, kind: B, name: c}}]}",
        &["Accepted/UnsupportedValue: rules[0].filters[0]: filter ExtensionRef is not supported"],
    );
}

#[test]
fn what_is_not_understood_is_refused_and_leaves_no_way_around() {
    check_rules(
        "{matches: [{method: {type: RegularExpression, service: 'a)|(b'}}]}",
        &[
            "Accepted/UnsupportedValue: rules[0].matches[0].method.service: \"a)|(b\" is not a regular expression that is \
           supported: unopened group",
        ],
    );
    check_rules(
        "{matches: [{method: {service: a}, headers: [{name: x, type: Glob, value: v}]}]}, {backendRefs: [{name: calls, port: 1}]}",
        &[
            "PartiallyInvalid/UnsupportedValue: Dropped Rule 0: rules[0].matches[0].headers: x: type Glob is not supported; \
             requests that they match, as far as the matches are understood, are answered with 500",
            "/a/ [r#0] -> 500",
            "/ [r#1] -> default/calls:1 (gRPC)*1",
            "cluster default/calls:1 (gRPC) Http2 []",
        ],
    );
    for method in ["type: Glob, service: a", "service: a/b", "method: 'a b'"] {
        let rules = format!("rules: [{{matches: [{{method: {{{method}}}}}]}}]");
        let output = translate(&input(&[BASE, GATEWAY, &route("GRPCRoute", "r", 1, &rules)]), None);
        let conditions = &output.routes.values().next().unwrap().parents[0].conditions;
        assert_eq!(verdict(conditions), "Accepted=False/UnsupportedValue", "{method}");
    }
}

#[test]
fn of_two_kinds_on_one_host_the_older_route_is_accepted() {
    let at = |kind: &str, name: &str, day: u8, hosts: &str| {
        route(kind, name, day, &format!("hostnames: [{hosts}], rules: [{{}}]"))
    };
    let accepted = |routes: &[String]| {
        let mut objects = vec![BASE, GATEWAY];
        objects.extend(routes.iter().map(String::as_str));
        let output = translate(&input(&objects), None);
        let listener = &output.gateways.values().next().unwrap().listeners[0];
        let parents = output
            .routes
            .iter()
            .map(|(name, report)| format!("{} {}", name.object.name, verdict(&report.parents[0].conditions)));
        (listener.attached_routes, parents.collect::<Vec<_>>().join(", "))
    };
    let (http, grpc) = ("HTTPRoute", "GRPCRoute");
    let refused = "Accepted=False/HostnameConflict";
    let cases = [
        (at(grpc, "g", 1, "a.com"), at(http, "h", 2, "a.com"), (1, format!("g ok, h {refused}"))),
        (at(grpc, "g", 2, "a.com"), at(http, "h", 1, "a.com"), (1, format!("g {refused}, h ok"))),
        (at(grpc, "b", 1, "a.com"), at(http, "a", 1, "a.com"), (1, format!("b {refused}, a ok"))),
        (at(grpc, "g", 1, "'*.com'"), at(http, "h", 2, "b.com, a.com"), (1, format!("g ok, h {refused}"))),
        (at(grpc, "g", 1, ""), at(http, "h", 2, "b.com"), (1, format!("g ok, h {refused}"))),
        (at(grpc, "g", 1, "a.com"), at(http, "h", 2, "b.com"), (2, "g ok, h ok".to_owned())),
        (at(http, "g", 1, "a.com"), at(http, "h", 2, "a.com"), (2, "g ok, h ok".to_owned())),
    ];
    for (one, other, expected) in cases {
        assert_eq!(accepted(&[one.clone(), other.clone()]), expected, "{one}\n{other}");
    }
}
