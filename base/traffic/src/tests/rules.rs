//! Rules of a route: matches, filters, timeouts; what is compiled and what is refused.

use super::*;

fn route(rules: &str) -> String {
    format!(
        "kind: HTTPRoute\nmetadata: {{name: r, namespace: default}}\nspec: {{parentRefs: [{{name: gw}}], rules: [{rules}]}}"
    )
}

/// The rules of the model and, where it is not `ok`, the route's verdict with the message.
fn compiled(rules: &str) -> Vec<String> {
    let output = translate(&input(&[BASE, GATEWAY, &route(rules)]), None);
    let conditions = &output.routes.values().next().unwrap().parents[0].conditions;
    let mut lines = Vec::new();
    for condition in conditions.iter().filter(|c| c.status == (c.kind == "PartiallyInvalid")) {
        lines.push(format!("{}/{}: {}", condition.kind, condition.reason, condition.message));
    }
    let mut text = String::new();
    show_model(&mut text, &output.model);
    lines.extend(text.lines().filter_map(|l| l.strip_prefix("    * ")).map(str::to_owned));
    lines
}

#[track_caller]
fn check_rules(rules: &str, expected: &[&str]) {
    let actual = compiled(rules);
    assert!(actual == expected, "output:\n{}\n", actual.join("\n"));
}

#[test]
fn matches() {
    check_rules("{}", &["/ [r#0] -> 500"]);
    check_rules("{matches: []}", &["/ [r#0] -> 500"]);
    check_rules("{matches: [{path: {value: /a/}}, {path: {value: /}}]}", &["/a/ [r#0] -> 500", "/ [r#0] -> 500"]);
    check_rules("{matches: [{path: {type: RegularExpression, value: '/a[0-9]+'}}]}", &["~/a[0-9]+ [r#0] -> 500"]);
    check_rules(
        "{matches: [{path: {type: Exact, value: /a/}, method: POST, headers: [{name: X-A, value: b}, {name: x-a, value: c}, \
         {name: w, type: RegularExpression, value: 'z.*'}], queryParams: [{name: Q, value: '1'}, {name: q, value: '2'}, \
         {name: q, value: '3'}]}]}",
        &["=/a/ POST x-a=b w~z.* ?Q=1 ?q=2 [r#0] -> 500"],
    );
}

#[test]
fn filters() {
    check_rules(
        "{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: A, value: b}, {name: a, value: c}], \
         add: [{name: X, value: 'y, z'}], remove: [Q, q]}}, {type: ResponseHeaderModifier, responseHeaderModifier: \
         {set: [{name: A, value: b}]}}]}",
        &[
            r#"/ [r#0] request(set[("a", "b")] add[("x", "y, z")] remove["q"]) response(set[("a", "b")] add[] remove[]) -> 500"#,
        ],
    );
    let rewrite = |path: &str| {
        format!(
            "{{matches: [{{path: {{value: /a}}}}], filters: [{{type: URLRewrite, urlRewrite: {{hostname: h.com, path: {{{path}}}}}}}]}}"
        )
    };
    check_rules(
        &rewrite("type: ReplacePrefixMatch, replacePrefixMatch: /b/"),
        &[r#"/a/ [r#0] rewrite(Some("h.com") Some(Prefix("/b"))) -> 500"#],
    );
    check_rules(
        &rewrite("type: ReplacePrefixMatch, replacePrefixMatch: ''"),
        &[r#"/a/ [r#0] rewrite(Some("h.com") Some(Prefix(""))) -> 500"#],
    );
    check_rules(
        &rewrite("type: ReplaceFullPath, replaceFullPath: /b%20c/"),
        &[r#"/a/ [r#0] rewrite(Some("h.com") Some(Full("/b%20c/"))) -> 500"#],
    );
    check_rules(
        "{backendRefs: [{name: web, port: 80, weight: 0, filters: [{type: RequestHeaderModifier, requestHeaderModifier: \
         {remove: [a]}}, {type: ResponseHeaderModifier, responseHeaderModifier: {remove: [b]}}]}, {name: web, port: 80}]}",
        &[
            r#"/ [r#0] -> default/web:80*0 request(set[] add[] remove["a"]) response(set[] add[] remove["b"]) -> default/web:80*1"#,
        ],
    );
}

#[test]
fn redirects() {
    let redirect =
        |settings: &str| format!("{{filters: [{{type: RequestRedirect, requestRedirect: {{{settings}}}}}]}}");
    check_rules(&redirect(""), &["/ [r#0] -> 302 None None None None"]);
    check_rules(&redirect("scheme: https"), &[r#"/ [r#0] -> 302 Some("https") None Some(443) None"#]);
    check_rules(
        &redirect("scheme: http, hostname: a.com"),
        &[r#"/ [r#0] -> 302 Some("http") Some("a.com") Some(80) None"#],
    );
    check_rules(
        &redirect("scheme: https, port: 8443, statusCode: 301"),
        &[r#"/ [r#0] -> 301 Some("https") None Some(8443) None"#],
    );
    check_rules(
        &redirect("statusCode: 308, path: {type: ReplacePrefixMatch, replacePrefixMatch: /x}"),
        &[r#"/ [r#0] -> 308 None None None Some(Prefix("/x"))"#],
    );
}

#[test]
fn mirrors() {
    let mirror = |service: &str, rest: &str| {
        format!("{{type: RequestMirror, requestMirror: {{backendRef: {{name: {service}, port: 80}}, {rest}}}}}")
    };
    check_rules(
        &format!(
            "{{filters: [{}, {}], backendRefs: [{{name: web, port: 80, filters: [{}, {}]}}]}}",
            mirror("web", ""),
            mirror("web", "percent: 0"),
            mirror("web", "percent: 7"),
            mirror("web", "fraction: {numerator: 1, denominator: 3}"),
        ),
        &[
            "/ [r#0] mirror(default/web:80 1/1) mirror(default/web:80 0/100) -> default/web:80*1 mirror(default/web:80 7/100) \
           mirror(default/web:80 1/3)",
        ],
    );
    // What is not there gets no copies, and the status says so.
    check_rules(
        &format!("{{filters: [{}], backendRefs: [{{name: web, port: 80}}]}}", mirror("absent", "")),
        &[
            "ResolvedRefs/BackendNotFound: Service default/absent not found",
            "/ [r#0] mirror(nowhere 1/1) -> default/web:80*1",
        ],
    );
    for (rest, what) in [
        ("percent: 1, fraction: {numerator: 1}", "percent and fraction cannot both be set"),
        ("fraction: {numerator: 2, denominator: 1}", "2 of 1 is not a share of requests"),
        ("fraction: {numerator: 0, denominator: 0}", "0 of 0 is not a share of requests"),
        ("percent: -1", "-1 of 100 is not a share of requests"),
    ] {
        check_rules(
            &format!("{{filters: [{}]}}", mirror("web", rest)),
            &[&format!("Accepted/UnsupportedValue: rules[0].filters[0]: {what}")],
        );
    }
}

#[test]
fn cors() {
    let cors = |settings: &str| format!("{{filters: [{{type: CORS, cors: {{{settings}}}}}]}}");
    check_rules(&cors(""), &["/ [r#0] cors(origins[] credentials=false methods[] headers[] expose[] 5s) -> 500"]);
    check_rules(
        &cors(
            "allowOrigins: ['https://*.Example.com:8443'], allowCredentials: true, allowMethods: [GET, '*'], allowHeaders: \
             [X-A, '*'], exposeHeaders: [X-B], maxAge: 60",
        ),
        &[
            r#"/ [r#0] cors(origins["https://*.example.com:8443"] credentials=true methods["GET", "*"] headers["x-a", "*"] expose["x-b"] 60s) -> 500"#,
        ],
    );
    for (settings, what) in [
        ("allowOrigins: [\"http://a\\r\\nb\"]", "allowOrigins: \"http://a\\r\\nb\" is not an origin"),
        ("allowHeaders: [a b]", "allowHeaders: \"a b\" is not a header name"),
        ("exposeHeaders: [a b]", "exposeHeaders: \"a b\" is not a header name"),
        ("allowMethods: [BREW]", "allowMethods: BREW is not supported"),
    ] {
        check_rules(&cors(settings), &[&format!("Accepted/UnsupportedValue: rules[0].filters[0].cors.{what}")]);
    }
}

#[test]
fn timeouts() {
    check_rules("{timeouts: {request: 1s500ms, backendRequest: 0s}}", &["/ [r#0] request<1.5s backend<0ns -> 500"]);
}

#[test]
fn what_is_not_built_is_refused_by_name() {
    let refused = |rule: &str, expected: &str| check_rules(rule, &[expected]);
    let filter = |filter: &str| format!("{{filters: [{filter}], backendRefs: [{{name: web, port: 80}}]}}");
    refused(
        &filter("{type: ExtensionRef, extensionRef: {group: a.com, kind: B, name: c}}"),
        "Accepted/UnsupportedValue: rules[0].filters[0]: filter ExtensionRef is not supported",
    );
    refused(
        &filter("{type: ExternalAuth}"),
        "Accepted/UnsupportedValue: rules[0].filters[0]: filter ExternalAuth is not supported",
    );
    refused(
        "{backendRefs: [{name: web, port: 80, filters: [{type: CORS, cors: {}}]}]}",
        "Accepted/UnsupportedValue: rules[0].backendRefs[0].filters: CORS is not supported for a backend",
    );
    refused(
        "{backendRefs: [{name: web, port: 80, filters: [{type: RequestRedirect, requestRedirect: {}}]}]}",
        "Accepted/UnsupportedValue: rules[0].backendRefs[0].filters: RequestRedirect is not supported for a backend",
    );
    refused(
        "{matches: [{method: CONNECT}]}",
        "Accepted/UnsupportedValue: rules[0].matches[0].method: CONNECT is not supported",
    );
    refused(
        "{matches: [{method: BREW}]}",
        "Accepted/UnsupportedValue: rules[0].matches[0].method: BREW is not supported",
    );
    refused(
        "{matches: [{path: {type: Glob, value: /a}}]}",
        "Accepted/UnsupportedValue: rules[0].matches[0].path.type: Glob is not supported",
    );
    refused(
        "{matches: [{headers: [{name: a, type: Glob, value: b}]}]}",
        "Accepted/UnsupportedValue: rules[0].matches[0].headers: a: type Glob is not supported",
    );
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let refused = |rule: &str, reason: &str| {
        let lines = compiled(rule);
        assert!(lines.len() == 1 && lines[0].starts_with(&format!("Accepted/{reason}: ")), "{rule}: {lines:?}");
    };
    let request =
        |change: &str| format!("{{filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {{{change}}}}}]}}");
    for change in [
        "set: [{name: a, value: b}], remove: [A]",
        "set: [{name: a, value: b}], add: [{name: a, value: c}]",
        "set: [{name: a b, value: c}]",
        "set: [{name: a, value: \"b\\r\\nc: d\"}]",
        "set: [{name: Host, value: a.com}]",
        "set: [{name: Content-Length, value: '1'}]",
        "remove: [transfer-encoding]",
    ] {
        refused(&request(change), "UnsupportedValue");
    }
    let rewrite = "{type: URLRewrite, urlRewrite: {hostname: a.com}}";
    refused(&format!("{{filters: [{rewrite}, {rewrite}]}}"), "IncompatibleFilters");
    refused(
        &format!("{{filters: [{rewrite}, {{type: RequestRedirect, requestRedirect: {{}}}}]}}"),
        "IncompatibleFilters",
    );
    refused(
        "{filters: [{type: RequestRedirect, requestRedirect: {}}], backendRefs: [{name: web, port: 80}]}",
        "IncompatibleFilters",
    );
    for (matches, path) in [
        ("{type: Exact, value: /a}", "type: ReplacePrefixMatch, replacePrefixMatch: /b"),
        ("{value: /a}", "type: ReplacePrefixMatch, replacePrefixMatch: b"),
        ("{value: /a}", "type: ReplaceFullPath, replaceFullPath: '/b?c'"),
        ("{value: /a}", "type: ReplaceFullPath, replaceFullPath: '/b%2'"),
        ("{value: /a}", "type: ReplaceFullPath, replaceFullPath: \"/b\\n\""),
        ("{value: /a}", "type: ReplaceFullPath, replaceFullPath: ''"),
        ("{value: /a}", "type: ReplaceFullPath"),
        ("{value: /a}", "type: ReplaceWord, replaceFullPath: /a"),
    ] {
        for filter in [("URLRewrite", "urlRewrite"), ("RequestRedirect", "requestRedirect")] {
            let (kind, field) = filter;
            refused(
                &format!(
                    "{{matches: [{{path: {matches}}}], filters: [{{type: {kind}, {field}: {{path: {{{path}}}}}}}]}}"
                ),
                "UnsupportedValue",
            );
        }
    }
    for settings in ["scheme: ftp", "statusCode: 200"] {
        refused(
            &format!("{{filters: [{{type: RequestRedirect, requestRedirect: {{{settings}}}}}]}}"),
            "UnsupportedValue",
        );
    }
    refused("{filters: [{type: URLRewrite}]}", "UnsupportedValue");
    refused("{timeouts: {request: soon}}", "UnsupportedValue");
    for pattern in ["'['", "'a)|(b'", "'(?=a)'", "'a{1000}{1000}'"] {
        refused(&format!("{{matches: [{{path: {{type: RegularExpression, value: {pattern}}}}}]}}"), "UnsupportedValue");
    }
    refused("{matches: [{path: {value: a}}]}", "UnsupportedValue");
}

#[test]
fn a_route_with_some_rules_refused_is_partially_invalid_and_fails_closed() {
    let mirror = "{type: ExternalAuth}";
    check_rules(
        &format!(
            "{{matches: [{{path: {{value: /a}}}}], filters: [{mirror}], backendRefs: [{{name: web, port: 80}}]}}, \
             {{backendRefs: [{{name: web, port: 80}}]}}, {{matches: [{{path: {{value: /b}}}}, {{method: CONNECT}}]}}"
        ),
        &[
            "PartiallyInvalid/UnsupportedValue: Dropped Rule 0: rules[0].filters[0]: filter ExternalAuth is not supported; \
             Dropped Rule 2: rules[2].matches[1].method: CONNECT is not supported; requests that they match, as far as the matches are understood, are answered with 500",
            "/a/ [r#0] -> 500",
            "/b/ [r#2] -> 500",
            "/ CONNECT [r#2] -> 500",
            "/ [r#1] -> default/web:80*1",
        ],
    );
}

#[test]
fn a_condition_that_is_not_understood_leaves_no_way_around_its_rule() {
    check_rules(
        "{matches: [{path: {value: /admin}, headers: [{name: x, type: RegularExpression, value: '(?=a)b'}]}, \
         {path: {type: RegularExpression, value: '['}}]}, {backendRefs: [{name: web, port: 80}]}",
        &[
            "PartiallyInvalid/UnsupportedValue: Dropped Rule 0: rules[0].matches[0].headers: x: \"(?=a)b\" is not a regular \
             expression that is supported: look-around, including look-ahead and look-behind, is not supported; requests that \
             they match, as far as the matches are understood, are answered with 500",
            "/admin/ [r#0] -> 500",
            "/ [r#1] -> default/web:80*1",
        ],
    );
}

#[test]
fn rules_that_the_data_plane_refuses_are_said() {
    let name = ObjectName::new("default", "r");
    let two = route("{}, {matches: [{path: {value: /a}}]}");
    // The route's verdict, `attachedRoutes`, and the rules that are in the model all the same.
    let after = |refused: &[u32]| {
        let mut input = input(&[BASE, GATEWAY, &two]);
        input.plane.rules = refused
            .iter()
            .map(|i| ((RouteName { kind: RouteKind::HttpRoute, object: name.clone() }, *i), "too large".to_owned()))
            .collect();
        let output = translate(&input, None);
        let attached = output.gateways.values().next().unwrap().listeners[0].attached_routes;
        let bind = output.model.binds.values().next().unwrap();
        let rules: usize = bind.listeners.iter().flat_map(|l| l.hosts()).map(|host| host.rules.len()).sum();
        (verdict(&output.routes.values().next().unwrap().parents[0].conditions), attached, rules)
    };
    assert_eq!(after(&[]), ("ok".to_owned(), 1, 2));
    assert_eq!(after(&[1]), ("PartiallyInvalid=True/UnsupportedValue".to_owned(), 1, 2));
    assert_eq!(after(&[0, 1]), ("Accepted=False/UnsupportedValue".to_owned(), 0, 2));
}
