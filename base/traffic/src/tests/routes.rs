//! Routes at their parents: attachment, hostnames, precedence across routes.

use super::*;

fn route(name: &str, spec: &str) -> String {
    format!("kind: HTTPRoute\nmetadata: {{name: {name}, namespace: default}}\nspec: {spec}")
}

#[test]
fn a_route_is_served() {
    check(
        &[GATEWAY, &route("r", "{parentRefs: [{name: gw}], rules: [{backendRefs: [{name: web, port: 80}]}]}")],
        &[
            "gateway default/gw [127.0.0.1]: ok",
            "  http routes=1: ok",
            "route default/r at gw: ok",
            "bind 127.0.0.1:80 Http",
            "  gw/http *",
            "    * / [r#0] -> default/web:80*1",
            "cluster default/web:80 Http1 [10.0.0.1:8080 10.0.0.2:8080]",
        ],
    );
}

const TWO_LISTENERS: &str = r"
kind: Gateway
metadata: {name: gw, namespace: default}
spec:
  gatewayClassName: purlin
  listeners:
  - {name: wide, port: 80, protocol: HTTP, hostname: '*.example.com'}
  - {name: other, port: 81, protocol: HTTP, hostname: a.example.com}
";

#[test]
fn parents_are_selected_by_section_and_port() {
    let parents = "[{name: gw, sectionName: wide}, {name: gw, port: 81}, {name: gw, sectionName: wide, port: 81}, \
                   {name: gw, sectionName: none}, {name: gw, port: 82}, {name: absent}, {kind: Service, group: '', name: web}]";
    check(
        &[TWO_LISTENERS, &route("r", &format!("{{parentRefs: {parents}}}"))],
        &[
            "gateway default/gw [127.0.0.1]: ok",
            "  wide routes=1: ok",
            "  other routes=1: ok",
            "route default/r at gw#wide: ok",
            "route default/r at gw:81: ok",
            "route default/r at gw#wide:81: Accepted=False/NoMatchingParent",
            "route default/r at gw#none: Accepted=False/NoMatchingParent",
            "route default/r at gw:82: Accepted=False/NoMatchingParent",
            "bind 127.0.0.1:80 Http",
            "  gw/wide *.example.com",
            "    *.example.com / [r#0] -> 500",
            "bind 127.0.0.1:81 Http",
            "  gw/other a.example.com",
            "    a.example.com / [r#0] -> 500",
        ],
    );
}

#[test]
fn hostnames_decide_where_a_route_attaches() {
    let spec = |hosts: &str| format!("{{parentRefs: [{{name: gw}}], hostnames: [{hosts}]}}");
    check(
        &[
            TWO_LISTENERS,
            &route("exact", &spec("a.example.com, b.example.com, a.example.net")),
            &route("none", &spec("example.com, a.example.net")),
            &route("wild", &spec("'*.example.com', A.example.com, '*.b.example.com'")),
        ],
        &[
            "gateway default/gw [127.0.0.1]: ok",
            "  wide routes=2: ok",
            "  other routes=2: ok",
            "route default/exact at gw: ok",
            "route default/none at gw: Accepted=False/NoMatchingListenerHostname",
            "route default/wild at gw: ok",
            "bind 127.0.0.1:80 Http",
            "  gw/wide *.example.com",
            "    a.example.com / [exact#0] -> 500",
            "    a.example.com / [wild#0] -> 500",
            "    b.example.com / [exact#0] -> 500",
            "    *.b.example.com / [wild#0] -> 500",
            "    *.example.com / [wild#0] -> 500",
            "bind 127.0.0.1:81 Http",
            "  gw/other a.example.com",
            "    a.example.com / [exact#0] -> 500",
            "    a.example.com / [wild#0] -> 500",
        ],
    );
}

#[test]
fn the_route_that_names_the_host_best_goes_first() {
    let spec = |hosts: &str, path: &str| {
        let matches = format!("[{{path: {{value: {path}}}}}]");
        format!(
            "{{parentRefs: [{{name: gw, sectionName: other}}], hostnames: [{hosts}], rules: [{{matches: {matches}}}]}}"
        )
    };
    check(
        &[
            TWO_LISTENERS,
            &route("any", &spec("", "/much/longer/path")),
            &route("exact", &spec("a.example.com", "/")),
            &route("wild", &spec("'*.example.com'", "/longer/path")),
            &route("wilder", &spec("'*.com'", "/longer/path/still")),
        ],
        &[
            "gateway default/gw [127.0.0.1]: ok",
            "  wide routes=0: ok",
            "  other routes=4: ok",
            "route default/any at gw#other: ok",
            "route default/exact at gw#other: ok",
            "route default/wild at gw#other: ok",
            "route default/wilder at gw#other: ok",
            "bind 127.0.0.1:80 Http",
            "  gw/wide *.example.com",
            "bind 127.0.0.1:81 Http",
            "  gw/other a.example.com",
            "    a.example.com / [exact#0] -> 500",
            "    a.example.com /longer/path/ [wild#0] -> 500",
            "    a.example.com /longer/path/still/ [wilder#0] -> 500",
            "    a.example.com /much/longer/path/ [any#0] -> 500",
        ],
    );
}

#[test]
fn rules_of_several_routes_are_merged_in_order() {
    let route = |name: &str, created: &str, rules: &str| {
        format!(
            "kind: HTTPRoute\nmetadata: {{name: {name}, namespace: default, creationTimestamp: '{created}'}}\n\
             spec: {{parentRefs: [{{name: gw}}], rules: {rules}}}"
        )
    };
    check(
        &[
            GATEWAY,
            &route(
                "young",
                "2026-02-01T00:00:00Z",
                "[{matches: [{path: {value: /a}}, {path: {type: Exact, value: /a}}]}]",
            ),
            &route(
                "old",
                "2026-01-01T00:00:00Z",
                "[{matches: [{path: {value: /a/}}]}, {matches: [{method: GET}]}, {}]",
            ),
        ],
        &[
            "gateway default/gw [127.0.0.1]: ok",
            "  http routes=2: ok",
            "route default/old at gw: ok",
            "route default/young at gw: ok",
            "bind 127.0.0.1:80 Http",
            "  gw/http *",
            "    * =/a [young#0] -> 500",
            "    * /a/ [old#0] -> 500",
            "    * /a/ [young#0] -> 500",
            "    * / GET [old#1] -> 500",
            "    * / [old#2] -> 500",
        ],
    );
}

#[test]
fn listeners_say_which_namespaces_they_allow() {
    let gateway = r"
kind: Gateway
metadata: {name: gw, namespace: default}
spec:
  gatewayClassName: purlin
  listeners:
  - {name: same, port: 80, protocol: HTTP}
  - {name: all, port: 81, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}
  - {name: red, port: 82, protocol: HTTP, allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {team: red}}}}}
  - name: green
    port: 83
    protocol: HTTP
    allowedRoutes: {namespaces: {from: Selector, selector: {matchExpressions: [{key: team, operator: In, values: [green]}]}}}
  - {name: nothing, port: 84, protocol: HTTP, allowedRoutes: {namespaces: {from: Selector}}}
  - {name: unknown, port: 85, protocol: HTTP, allowedRoutes: {namespaces: {from: Galaxy}}}
";
    let mut parents = String::new();
    for section in ["same", "all", "red", "green", "nothing", "unknown"] {
        let _ = write!(parents, "{{name: gw, namespace: default, sectionName: {section}}},");
    }
    let route = |namespace: &str| {
        format!("kind: HTTPRoute\nmetadata: {{name: r, namespace: {namespace}}}\nspec: {{parentRefs: [{parents}]}}")
    };
    let text = show(&translate(&input(&[BASE, gateway, &route("other"), &route("absent")]), None));
    let routes: Vec<&str> = text.lines().filter(|l| l.starts_with("route")).collect();
    assert_eq!(
        routes,
        [
            "route absent/r at gw#same: Accepted=False/NotAllowedByListeners",
            "route absent/r at gw#all: ok",
            "route absent/r at gw#red: Accepted=False/NotAllowedByListeners",
            "route absent/r at gw#green: Accepted=False/NotAllowedByListeners",
            "route absent/r at gw#nothing: Accepted=False/NotAllowedByListeners",
            "route absent/r at gw#unknown: Accepted=False/NotAllowedByListeners",
            "route other/r at gw#same: Accepted=False/NotAllowedByListeners",
            "route other/r at gw#all: ok",
            "route other/r at gw#red: ok",
            "route other/r at gw#green: Accepted=False/NotAllowedByListeners",
            "route other/r at gw#nothing: Accepted=False/NotAllowedByListeners",
            "route other/r at gw#unknown: Accepted=False/NotAllowedByListeners",
        ]
    );
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let gateway = GATEWAY.replace("purlin", "foreign");
    let entry = |controller: &str| format!("{{controllerName: {controller}, parentRef: {{name: gw}}, conditions: []}}");
    let status = |name: &str, controller: &str| {
        let status = format!("\nstatus: {{parents: [{}]}}", entry(controller));
        route(name, "{parentRefs: [{name: gw}]}") + &status
    };
    check(
        &[&gateway, &status("foreign", "example.com/other"), &status("stale", "purlin.dev/gateway")],
        &["route default/stale: no parents"],
    );
}
