//! Tests of the translation: objects in YAML, the output in a short text.
//!
//! A line of a class, Gateway, listener or route shows only the conditions that are not as they are when all is well;
//! `ok` when all are.

mod backends;
mod gateways;
mod grpc;
mod laws;
mod policies;
mod routes;
mod rules;
mod sets;
mod statuses;
mod streams;

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::Value;

use crate::model::*;
use crate::{Condition, GatewayAddresses, Input, ListenerReport, Output, reasons, translate};

/// What every test starts from: a class, two namespaces, a Service with two endpoints.
const BASE: &str = r"
kind: GatewayClass
metadata: {name: purlin}
spec: {controllerName: purlin.dev/gateway}
---
kind: GatewayClass
metadata: {name: foreign}
spec: {controllerName: example.com/other}
---
kind: Namespace
metadata: {name: default, labels: {team: blue}}
---
kind: Namespace
metadata: {name: other, labels: {team: red}}
---
kind: Service
metadata: {name: web, namespace: default}
spec: {ports: [{port: 80, targetPort: 8080}]}
---
kind: EndpointSlice
metadata: {name: web-1, namespace: default, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [10.0.0.1]}, {addresses: [10.0.0.2]}]
";

/// A Gateway with one listener, `http` on port 80.
const GATEWAY: &str = r"
kind: Gateway
metadata: {name: gw, namespace: default, generation: 3}
spec: {gatewayClassName: purlin, listeners: [{name: http, port: 80, protocol: HTTP}]}
";

fn put(input: &mut Input, document: &Value) {
    fn read<K: serde::de::DeserializeOwned>(document: &Value) -> Arc<K> {
        Arc::new(serde_json::from_value(document.clone()).unwrap_or_else(|e| panic!("{e}: {document}")))
    }
    let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let name = ObjectName::new(&text("/metadata/namespace"), &text("/metadata/name"));
    match text("/kind").as_str() {
        "GatewayClass" => drop(input.gateway_classes.insert(name.name.to_string(), read(document))),
        "Gateway" => {
            let assigned = vec!["127.0.0.1".parse().unwrap()];
            input.addresses.insert(name.clone(), GatewayAddresses { assigned, problem: None });
            input.gateways.insert(name, read(document));
        }
        "ListenerSet" => drop(input.listener_sets.insert(name, read(document))),
        "HTTPRoute" => drop(input.http_routes.insert(name, read(document))),
        "GRPCRoute" => drop(input.grpc_routes.insert(name, read(document))),
        "TLSRoute" => drop(input.tls_routes.insert(name, read(document))),
        "TCPRoute" => drop(input.tcp_routes.insert(name, read(document))),
        "UDPRoute" => drop(input.udp_routes.insert(name, read(document))),
        "ReferenceGrant" => drop(input.reference_grants.insert(name, read(document))),
        "Service" => drop(input.services.insert(name, read(document))),
        "EndpointSlice" => drop(input.endpoint_slices.insert(name, read(document))),
        "BackendTLSPolicy" => drop(input.backend_tls_policies.insert(name, read(document))),
        "ConfigMap" => drop(input.config_maps.insert(name, read(document))),
        "Secret" => drop(input.secrets.insert(name, read(document))),
        "Namespace" => drop(input.namespaces.insert(name.name.to_string(), read(document))),
        kind => panic!("kind {kind:?}"),
    }
}

fn documents(yaml: &str) -> Vec<Value> {
    let documents = yaml.split("\n---\n").filter(|d| !d.trim().is_empty());
    documents.map(|d| serde_saphyr::from_str(d).unwrap_or_else(|e| panic!("{e}\n{d}"))).collect()
}

fn input(objects: &[&str]) -> Input {
    let mut input = Input::default();
    for document in objects.iter().flat_map(|yaml| documents(yaml)) {
        put(&mut input, &document);
    }
    input
}

/// The output for the base and these objects.
#[track_caller]
fn check(objects: &[&str], expected: &[&str]) {
    check_with(objects, |_| {}, expected);
}

/// The same after a change of the input.
#[track_caller]
fn check_with(objects: &[&str], change: impl FnOnce(&mut Input), expected: &[&str]) {
    let mut input = input(&[&[BASE], objects].concat());
    change(&mut input);
    let text = show(&translate(&input, None));
    let actual: Vec<&str> = text.lines().collect();
    assert!(actual == expected, "output:\n{text}\nexpected:\n{}\n", expected.join("\n"));
}

/// The words of one condition, for what the short text leaves out.
fn message_of(conditions: &[Condition], kind: &str) -> String {
    conditions.iter().find(|c| c.kind == kind).map(|c| c.message.clone()).unwrap_or_default()
}

fn show(output: &Output) -> String {
    let mut out = String::new();
    for (name, report) in output.classes.iter().filter(|(name, r)| *name != "purlin" || verdict(&r.conditions) != "ok")
    {
        let _ = writeln!(out, "class {name}: {}", verdict(&report.conditions));
    }
    for (name, report) in &output.gateways {
        let addresses: Vec<String> = report.addresses.iter().map(ToString::to_string).collect();
        let _ = writeln!(out, "gateway {name} [{}]: {}", addresses.join(" "), verdict(&report.conditions));
        show_listeners(&mut out, &report.listeners);
    }
    for (name, report) in &output.listener_sets {
        let _ = writeln!(out, "set {name}: {}", verdict(&report.conditions));
        show_listeners(&mut out, &report.listeners);
    }
    for (name, report) in &output.routes {
        let name = match name.kind {
            RouteKind::HttpRoute => format!("route {}", name.object),
            _ => name.to_string(),
        };
        if report.parents.is_empty() {
            let _ = writeln!(out, "{name}: no parents");
        }
        for parent in &report.parents {
            let section = parent.parent.section_name.as_deref().map(|s| format!("#{s}")).unwrap_or_default();
            let port = parent.parent.port.map(|p| format!(":{p}")).unwrap_or_default();
            let parent_name = format!("{}{section}{port}", parent.parent.name);
            let _ = writeln!(out, "{name} at {parent_name}: {}", verdict(&parent.conditions));
        }
    }
    for (name, report) in &output.backend_tls_policies {
        if report.ancestors.is_empty() {
            let _ = writeln!(out, "policy {name}: no ancestors");
        }
        for ancestor in &report.ancestors {
            let _ = writeln!(out, "policy {name} at {}: {}", ancestor.parent.name, verdict(&ancestor.conditions));
        }
    }
    show_model(&mut out, &output.model);
    out
}

fn show_listeners(out: &mut String, listeners: &[ListenerReport]) {
    for listener in listeners {
        let kinds: Vec<&str> = listener.kinds.iter().map(|kind| kind.name()).collect();
        let kinds = match kinds.join("+").as_str() {
            "" => " no kinds".to_owned(),
            "HTTPRoute+GRPCRoute" => String::new(),
            other => format!(" {other}"),
        };
        let conditions = verdict(&listener.conditions);
        let _ = writeln!(out, "  {} routes={}{kinds}: {conditions}", listener.name, listener.attached_routes);
    }
}

fn verdict(conditions: &[Condition]) -> String {
    let usual = |c: &&Condition| {
        c.status != (c.kind == "Conflicted")
            && c.reason != reasons::LISTENERS_NOT_VALID
            && !["InsecureFrontendValidationMode", "PartiallyInvalid", "OverlappingTLSConfig"].contains(&c.kind)
    };
    let unusual = conditions.iter().filter(|c| !usual(c));
    let shown: Vec<String> =
        unusual.map(|c| format!("{}={}/{}", c.kind, if c.status { "True" } else { "False" }, c.reason)).collect();
    if shown.is_empty() { "ok".to_owned() } else { shown.join(" ") }
}

fn show_model(out: &mut String, model: &RouteModel) {
    for (socket, bind) in &model.binds {
        let _ = writeln!(out, "bind {socket} {:?}", bind.protocol);
        for listener in &bind.listeners {
            let mut certificates: String =
                listener.certificates().iter().map(|c| format!(" certificate {}", c.secret)).collect();
            if let Some(auth) = listener.tls.as_ref().and_then(|tls| tls.client_auth.as_ref()) {
                let _ = write!(certificates, " clients({} bundles optional={})", auth.authorities.len(), auth.optional);
            }
            if bind.protocol == Protocol::Tls && listener.tls.is_none() {
                certificates.push_str(" passthrough");
            }
            let hostname = show_hostname(listener.hostname.as_ref());
            let owner = listener.set.as_ref().unwrap_or(&listener.gateway);
            let _ = writeln!(out, "  {}/{} {hostname}{certificates}", owner.name, listener.section);
            if let Serve::Streams(hosts) = &listener.serve {
                for host in hosts {
                    let _ = writeln!(out, "    {} {}", show_hostname(host.hostname.as_ref()), show_stream(&host.route));
                }
            }
            for host in listener.hosts() {
                for rule in &host.rules {
                    let _ = writeln!(out, "    {} {}", show_hostname(host.hostname.as_ref()), show_rule(rule));
                }
            }
        }
    }
    for (socket, datagrams) in &model.datagrams {
        let route = datagrams.route.as_ref().map(|route| show_stream(route)).unwrap_or_default();
        let _ = writeln!(
            out,
            "datagrams {socket} {}/{} {route}",
            datagrams.listener.gateway.name, datagrams.listener.section
        );
    }
    for (name, cluster) in &model.clusters {
        let endpoints: Vec<String> = cluster.endpoints.iter().map(ToString::to_string).collect();
        let tls = cluster.tls.as_ref().map(|tls| show_tls(tls)).unwrap_or_default();
        let _ = writeln!(out, "cluster {name} {:?}{tls} [{}]", cluster.protocol, endpoints.join(" "));
    }
}

fn show_tls(tls: &BackendTls) -> String {
    let trust = match &tls.trust {
        Trust::System => "system".to_owned(),
        Trust::Authorities(bundles) => format!("{} bundles", bundles.len()),
    };
    let names: String = tls.names.iter().map(|name| format!(" {name:?}")).collect();
    let shown = tls.certificate.as_ref().map(|c| format!(" shows {}", c.secret)).unwrap_or_default();
    format!(" tls({} by {trust}{names}{shown})", tls.hostname)
}

fn show_hostname(hostname: Option<&Hostname>) -> String {
    match hostname {
        None => "*".to_owned(),
        Some(Hostname::Exact(name)) => name.to_string(),
        Some(Hostname::Suffix(suffix)) => format!("*{suffix}"),
    }
}

fn show_stream(route: &StreamRoute) -> String {
    let backend = |b: &StreamBackend| {
        let cluster = b.cluster.as_ref().map_or("closed".to_owned(), ToString::to_string);
        format!(" -> {cluster}*{}", b.weight)
    };
    format!("[{}]{}", route.route.object.name, route.backends.iter().map(backend).collect::<String>())
}

fn show_rule(rule: &Rule) -> String {
    let mut out = match &rule.matches.path {
        PathMatch::Exact(path) => format!("={path}"),
        PathMatch::Prefix(path) => format!("{path}/"),
        PathMatch::Regex(path) => format!("~{path}"),
    };
    let value = |value: &ValueMatch| match value {
        ValueMatch::Exact(value) => format!("={value}"),
        ValueMatch::Regex(value) => format!("~{value}"),
    };
    if let Some(method) = &rule.matches.method {
        let _ = write!(out, " {method}");
    }
    for (name, v) in &rule.matches.headers {
        let _ = write!(out, " {name}{}", value(v));
    }
    for (name, v) in &rule.matches.query {
        let _ = write!(out, " ?{name}{}", value(v));
    }
    let _ = write!(out, " [{}#{}]", rule.route.object.name, rule.index);
    show_filters(&mut out, &rule.request_filters, &rule.response_filters);
    show_mirrors(&mut out, &rule.mirrors);
    if let Some(cors) = &rule.policy.cors {
        let _ = write!(
            out,
            " cors(origins{:?} credentials={} methods{:?} headers{:?} expose{:?} {:?})",
            cors.origins, cors.credentials, cors.methods, cors.headers, cors.expose, cors.max_age
        );
    }
    for (name, timeout) in [("request", rule.request_timeout), ("backend", rule.backend_timeout)] {
        if let Some(timeout) = timeout {
            let _ = write!(out, " {name}<{timeout:?}");
        }
    }
    match &rule.action {
        Action::Forward(backends) if backends.is_empty() => out.push_str(" -> 500"),
        Action::Forward(backends) => {
            for backend in backends {
                let cluster = backend.cluster.as_ref().map_or("500".to_owned(), ToString::to_string);
                let _ = write!(out, " -> {cluster}*{}", backend.weight);
                show_filters(&mut out, &backend.request_filters, &backend.response_filters);
                show_mirrors(&mut out, &backend.mirrors);
            }
        }
        Action::Redirect(r) => {
            let _ = write!(out, " -> {} {:?} {:?} {:?} {:?}", r.status, r.scheme, r.hostname, r.port, r.path);
        }
    }
    out
}

fn show_mirrors(out: &mut String, mirrors: &[Mirror]) {
    for Mirror { cluster, fraction: (numerator, denominator) } in mirrors {
        let cluster = cluster.as_ref().map_or("nowhere".to_owned(), ToString::to_string);
        let _ = write!(out, " mirror({cluster} {numerator}/{denominator})");
    }
}

fn show_filters(out: &mut String, request: &[RequestFilter], response: &[HeaderChange]) {
    let change = |c: &HeaderChange| format!("set{:?} add{:?} remove{:?}", c.set, c.add, c.remove);
    for filter in request {
        let _ = match filter {
            RequestFilter::Headers(headers) => write!(out, " request({})", change(headers)),
            RequestFilter::Rewrite { hostname, path } => write!(out, " rewrite({hostname:?} {path:?})"),
        };
    }
    for filter in response {
        let _ = write!(out, " response({})", change(filter));
    }
}
