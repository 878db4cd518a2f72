//! Tables of what is matched by what.

use std::collections::BTreeMap;

use http::Request;
use purlin_traffic::model::{
    self, Action, Backend, BackendKind, BackendProtocol, Bind, ClusterName, Host, Hostname, Listener, Match,
    ObjectName, PathMatch, RouteKind, RouteModel, RouteName, Serve, ValueMatch,
};

use super::*;

const AT: &str = "127.0.0.1:8080";

fn object(name: &str) -> ObjectName {
    ObjectName { namespace: "default".into(), name: name.into() }
}

/// A rule that only has a name; the name is its route's.
fn rule(name: &str, path: PathMatch) -> purlin_traffic::model::Rule {
    let route = RouteName { kind: RouteKind::HttpRoute, object: object(name) };
    purlin_traffic::model::Rule::new(route, path, Action::Forward(Vec::new()))
}

fn exact(path: &str) -> PathMatch {
    PathMatch::Exact(path.into())
}

fn prefix(path: &str) -> PathMatch {
    PathMatch::Prefix(path.into())
}

fn hostname(text: &str) -> Option<Hostname> {
    match text.strip_prefix('*') {
        _ if text.is_empty() => None,
        Some(suffix) => Some(Hostname::Suffix(suffix.into())),
        None => Some(Hostname::Exact(text.into())),
    }
}

fn host(name: &str, rules: Vec<purlin_traffic::model::Rule>) -> Host {
    Host { hostname: hostname(name), rules: rules.into_iter().map(Arc::new).collect() }
}

fn listener(name: &str, hosts: Vec<Host>) -> Listener {
    let (set, tls, access) = (None, None, None);
    let serve = Serve::Http(hosts);
    Listener { gateway: object("gw"), set, section: name.into(), hostname: hostname(name), tls, serve, access }
}

fn model(protocol: Protocol, listeners: Vec<Listener>) -> RouteModel {
    let binds = BTreeMap::from([(AT.parse().unwrap(), Bind { protocol, client: Arc::default(), listeners })]);
    RouteModel { binds, ..RouteModel::default() }
}

fn compiled(model: &RouteModel) -> (Snapshot, Vec<crate::CompileError>) {
    let mut errors = Vec::new();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    (compile(model, &provider, &mut Legacy::default(), &mut errors), errors)
}

/// The name of the rule that serves, or `-`.
fn served(snapshot: &Snapshot, request: &Request<()>) -> String {
    let target = crate::head::judge(&request.clone().into_parts().0).unwrap();
    let bind = &snapshot.binds[&AT.parse().unwrap()];
    let listener = bind.listener(target.host(), None).ok();
    let head = request.clone().into_parts().0;
    let id = listener.and_then(|listener| listener.rule(&snapshot.rules, &head, &target));
    id.map_or("-".to_owned(), |id| snapshot.rule(id).unwrap().label.split('/').nth(1).unwrap().to_owned())
}

fn get(url: &str) -> Request<()> {
    Request::get(url).header("host", "unused").body(()).unwrap()
}

#[test]
fn paths() {
    let rules = vec![
        rule("exact", exact("/a/b")),
        rule("deep", prefix("/a/b")),
        rule("pattern", PathMatch::Regex("/a/[0-9]+|/n".into())),
        rule("shallow", prefix("/a")),
        rule("late", exact("/a/c")),
    ];
    let (snapshot, errors) = compiled(&model(Protocol::Http, vec![listener("", vec![host("", rules)])]));
    assert_eq!(errors, []);
    let check =
        |path: &str, expected| assert_eq!(served(&snapshot, &get(&format!("http://h{path}"))), expected, "{path}");
    check("/a/b", "exact");
    check("/a/b/", "deep");
    check("/a/b/c", "deep");
    check("/a/bc", "shallow");
    check("/a", "shallow");
    check("/a/", "shallow");
    check("/ab", "-");
    check("/a/12", "pattern");
    check("/a/12x", "shallow");
    check("/n", "pattern");
    check("/nn", "-");
    check("/", "-");
    // Behind a rule that has taken it already.
    check("/a/c", "shallow");
    check("/a/../a/b", "exact");
}

#[test]
fn conditions() {
    let with = |name: &str, change: &dyn Fn(&mut Match)| {
        let mut rule = rule(name, prefix(""));
        change(&mut rule.matches);
        rule
    };
    let rules = vec![
        with("post", &|m| m.method = Some("POST".into())),
        with("both", &|m| {
            m.headers = vec![
                ("version".into(), ValueMatch::Exact("two".into())),
                ("color".into(), ValueMatch::Regex("red|blue".into())),
            ];
        }),
        with("header", &|m| m.headers = vec![("version".into(), ValueMatch::Exact("two".into()))]),
        with("query", &|m| m.query = vec![("a b".into(), ValueMatch::Exact("c d".into()))]),
        with("pattern", &|m| m.query = vec![("n".into(), ValueMatch::Regex("[0-9]+".into()))]),
    ];
    let (snapshot, errors) = compiled(&model(Protocol::Http, vec![listener("", vec![host("", rules)])]));
    assert_eq!(errors, []);
    let check = |method: &str, path: &str, headers: &[(&str, &str)], expected: &str| {
        let mut request = get(&format!("http://h{path}"));
        *request.method_mut() = method.parse().unwrap();
        for (name, value) in headers {
            request.headers_mut().append(http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        assert_eq!(served(&snapshot, &request), expected, "{method} {path} {headers:?}");
    };
    check("POST", "/", &[("version", "two")], "post");
    check("GET", "/", &[("Version", "two")], "header");
    check("GET", "/", &[("version", "Two")], "-");
    // Several lines are one list: neither of its members alone.
    check("GET", "/", &[("version", "one"), ("version", "two")], "-");
    check("GET", "/", &[("version", "two"), ("color", "red"), ("color", "blue")], "header");
    check("GET", "/", &[("version", "two"), ("color", "blue")], "both");
    check("GET", "/", &[("version", "two"), ("color", "blueish")], "header");
    check("GET", "/?a%20b=c+d", &[], "query");
    check("GET", "/?x=1&a+b=c%20d", &[], "query");
    check("GET", "/?a%20b=x&a%20b=c+d", &[], "-");
    check("GET", "/?a%20b=%ff&a%20b=c+d", &[], "-");
    check("GET", "/?n=12", &[], "pattern");
    check("GET", "/?n=12a", &[], "-");
    check("GET", "/?n", &[], "-");
}

#[test]
fn a_host_without_a_matching_rule_leaves_the_request_to_the_next_one() {
    let rules = |name: &str, path: &str| vec![rule(name, prefix(path))];
    let hosts = vec![
        host("a.b.example", rules("exact", "/exact")),
        host("*.b.example", rules("near", "/near")),
        host("*.example", rules("far", "")),
    ];
    let (snapshot, _) = compiled(&model(Protocol::Http, vec![listener("", hosts)]));
    let check = |path: &str, expected| {
        assert_eq!(served(&snapshot, &get(&format!("http://a.b.example{path}"))), expected, "{path}");
    };
    check("/exact", "exact");
    check("/near", "near");
    check("/else", "far");
}

#[test]
fn hosts_and_listeners() {
    let any = |name: &str| vec![rule(name, prefix(""))];
    let listeners = vec![
        listener("a.example", vec![host("a.example", any("exact"))]),
        listener(
            "*.b.example",
            vec![
                host("x.b.example", any("host")),
                host("*.y.b.example", any("deeper")),
                host("*.b.example", any("suffix")),
            ],
        ),
        listener("*.example", vec![host("z.example", any("isolated"))]),
    ];
    let (snapshot, errors) = compiled(&model(Protocol::Http, listeners));
    assert_eq!(errors, []);
    let check =
        |host: &str, expected| assert_eq!(served(&snapshot, &get(&format!("http://{host}/"))), expected, "{host}");
    check("a.example", "exact");
    check("A.EXAMPLE.:80", "exact");
    check("x.b.example", "host");
    check("q.b.example", "suffix");
    check("q.y.b.example", "deeper");
    check("r.q.b.example", "suffix");
    check("z.example", "isolated");
    // For the listener of `*.example`, which has no such host.
    check("b.example", "-");
    check("q.example", "-");
    check("example", "-");
    check("other", "-");
}

#[test]
fn misdirected() {
    let listeners = ["a.example", "*.example", ""].map(|name| listener(name, Vec::new()));
    let all = model(Protocol::Tls, listeners[..2].to_vec());
    let (snapshot, _) = compiled(&all);
    let bind = &snapshot.binds[&AT.parse().unwrap()];
    let check = |sni: Option<&str>, host: &str, expected: Option<NoListener>| {
        assert_eq!(bind.listener(host, Some(sni)).err(), expected, "{sni:?} {host}");
    };
    check(Some("a.example"), "a.example", None);
    check(Some("b.example"), "c.example", None);
    check(Some("b.example"), "a.example", Some(NoListener::Misdirected));
    check(Some("a.example"), "b.example", Some(NoListener::Misdirected));
    check(Some("a.example"), "other", Some(NoListener::Unknown));
    check(None, "a.example", Some(NoListener::Misdirected));
    let (snapshot, _) = compiled(&model(Protocol::Tls, listeners.to_vec()));
    let bind = &snapshot.binds[&AT.parse().unwrap()];
    assert!(bind.listener("other", Some(None)).is_ok());
    assert!(bind.listener("a.example", Some(None)).is_err());
}

#[test]
fn what_does_not_compile_fails_closed() {
    let mut header = rule("header", prefix("/h"));
    header.matches.headers = vec![("a".into(), ValueMatch::Regex("(".into()))];
    let mut cluster = rule("cluster", prefix("/c"));
    let name = ClusterName::new(BackendKind::Service, object("svc"), 80);
    cluster.action = Action::Forward(vec![Backend::new(1, Some(name.clone()))]);
    let rules = vec![rule("regex", PathMatch::Regex("a)|(b".into())), header, cluster, rule("rest", prefix(""))];
    let mut model = model(Protocol::Http, vec![listener("", vec![host("", rules)])]);
    let (snapshot, errors) = compiled(&model);
    let places: Vec<String> = errors.iter().map(|e| e.place.to_string()).collect();
    let route = |name| format!("rule 0 of HTTPRoute default/{name}");
    assert_eq!(places, [route("regex"), route("header"), route("cluster")], "{errors:?}");
    assert_eq!(served(&snapshot, &get("http://h/b")), "rest");
    assert_eq!(served(&snapshot, &get("http://h/c")), "cluster");
    assert!(matches!(snapshot.rules[2].act, Act::Broken));
    let cluster = model::Cluster::new(BackendProtocol::Http1, []);
    model.clusters.insert(name, Arc::new(cluster));
    assert_eq!(compiled(&model).1.len(), 2);
}

/// The index finds what a scan in order finds.
#[test]
fn many_rules_keep_their_order() {
    let rules: Vec<_> = (0..1_000)
        .map(|i| {
            rule(
                &format!("r{i}"),
                if i % 3 == 0 { exact(&format!("/p{}/x", i / 7)) } else { prefix(&format!("/p{}", i / 9)) },
            )
        })
        .collect();
    let by_scan = |path: &str| {
        let found = rules.iter().find(|rule| match &rule.matches.path {
            PathMatch::Exact(exact) => **exact == *path,
            PathMatch::Prefix(prefix) => {
                path.strip_prefix(&**prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            PathMatch::Regex(_) => false,
        });
        found.map_or("-".to_owned(), |rule| rule.route.object.name.to_string())
    };
    let (snapshot, _) = compiled(&model(Protocol::Http, vec![listener("", vec![host("", rules.clone())])]));
    for path in (0..200).flat_map(|i| [format!("/p{i}"), format!("/p{i}/x"), format!("/p{i}/x/y")]) {
        assert_eq!(served(&snapshot, &get(&format!("http://h{path}"))), by_scan(&path), "{path}");
    }
}
