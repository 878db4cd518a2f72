//! `RouteModel` -> [`Snapshot`].
//!
//! What does not compile is reported and fails closed: a rule with a bad filter answers 500, one with a bad regular
//! expression takes no request, a listener without a usable certificate refuses handshakes. The rest serves.
//! A certificate that turns bad does not: the listener that served it goes on with what it was when it was last good.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use purlin_gateway_policy::Fraction;
use purlin_traffic::model::{
    self, Action, ClusterName, ListenerName, ObjectName, PathMatch, Protocol, ProxyProtocol, RouteModel, RouteName,
    Serve, ValueMatch,
};
use regex::{Regex, RegexBuilder};
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;

use super::rules::{PathTest, Test};
use super::{Act, BindPlan, Cluster, HostMap, HostRules, ListenerPlan, Rule, RuleId, Share, Snapshot};
use crate::client::Client;
use crate::filters::{Change, Filter};
use crate::metrics::RouteMetrics;
use crate::mirror::Mirror;
use crate::policy::Plan;
use crate::proxy::{CompileError, Place};
use crate::rates::Registry;
use crate::tls;

/// Compiled size of a regular expression; RE2 syntax has no backtracking, so its time is bounded by its size.
const MAX_REGEX_BYTES: usize = 1 << 20;

/// What a model leaves to the next one, of what that still has.
#[derive(Debug, Default)]
pub(crate) struct Legacy {
    /// Metric handles by route.
    series: HashMap<RouteName, Arc<RouteMetrics>>,
    /// What listeners serve, by Secret: only what the listener itself served once, and while it refers to it.
    certificates: HashMap<Reference, Arc<CertifiedKey>>,
    /// Counters of rate limits.
    rates: Registry,
}

/// A listener's reference to a certificate: listener, Secret.
type Reference = (ListenerName, ObjectName);

/// Compiles a model; what is wrong with it is appended to `errors`.
pub(crate) fn compile(
    model: &RouteModel,
    provider: &CryptoProvider,
    legacy: &mut Legacy,
    errors: &mut Vec<CompileError>,
) -> Snapshot {
    let (mut before, mut after) = (std::mem::take(legacy), Legacy::default());
    after.rates = std::mem::take(&mut before.rates);
    after.rates.turn();
    let mut compiler = Compiler { model, provider, before, after, errors, clusters: HashMap::new(), rules: Vec::new() };
    let binds = model.binds.iter().map(|(at, bind)| (*at, compiler.bind(*at, bind))).collect();
    for datagrams in model.datagrams.values() {
        compiler.error(Place::Listener(datagrams.listener.clone()), "datagrams are not built".to_owned());
    }
    *legacy = compiler.after;
    Snapshot { binds, rules: compiler.rules }
}

struct Compiler<'a> {
    model: &'a RouteModel,
    provider: &'a CryptoProvider,
    before: Legacy,
    after: Legacy,
    errors: &'a mut Vec<CompileError>,
    clusters: HashMap<ClusterName, Result<Arc<Cluster>, String>>,
    rules: Vec<Rule>,
}

impl Compiler<'_> {
    fn bind(&mut self, at: std::net::SocketAddr, bind: &model::Bind) -> BindPlan {
        let client = Client::compile(&bind.client);
        let (client, refused) = client.map_or_else(|why| (None, Some(why)), |client| (client, None));
        let protocol = bind.protocol;
        let mut plan = BindPlan { protocol, client, listeners: Vec::new(), by_host: HostMap::default() };
        for listener in &bind.listeners {
            if let Some(why) = &refused {
                self.error(place(listener), why.clone());
                continue;
            }
            if let Some(what) = not_built(bind, listener) {
                self.error(place(listener), format!("{what} not built"));
                continue;
            }
            let compiled = self.listener(bind.protocol, listener);
            if plan.by_host.add(listener.hostname.as_ref(), plan.listeners.len()) {
                plan.listeners.push(compiled);
            } else {
                let message = format!("{at} has another listener with this hostname: it is served, this one is not");
                self.error(place(listener), message);
            }
        }
        plan
    }

    fn listener(&mut self, protocol: Protocol, listener: &model::Listener) -> ListenerPlan {
        let certificates = if protocol == Protocol::Tls { self.certificates(listener) } else { Vec::new() };
        let mut hosts = HostMap::default();
        for host in listener.hosts() {
            let mut rules = HostRules::default();
            for rule in &host.rules {
                rules.add(&rule.matches.path, self.rule(rule));
            }
            if !hosts.add(host.hostname.as_ref(), rules) {
                self.error(
                    place(listener),
                    format!("hostname {:?} is there twice: the first is served", host.hostname),
                );
            }
        }
        ListenerPlan { certificates, hosts }
    }

    fn certificates(&mut self, listener: &model::Listener) -> Vec<Arc<CertifiedKey>> {
        let (mut usable, mut problems) = (Vec::new(), Vec::new());
        for certificate in listener.certificates() {
            let secret = &certificate.secret;
            let reference = (listener.name(), secret.clone());
            let key = tls::certified_key(self.provider, certificate).or_else(|why| {
                let last = self.before.certificates.get(&reference).cloned();
                let instead = if last.is_some() { "; the one from before is served" } else { "" };
                problems.push(format!("Secret {secret}: {why}{instead}"));
                last.ok_or(())
            });
            if let Ok(key) = key {
                self.after.certificates.insert(reference, Arc::clone(&key));
                usable.push(key);
            }
        }
        if !problems.is_empty() {
            let (place, message) = (Place::Certificates(listener.name()), problems.join("; "));
            self.errors.push(CompileError { place, message, served: !usable.is_empty() });
        }
        usable
    }

    fn rule(&mut self, rule: &model::Rule) -> RuleId {
        let id = RuleId::try_from(self.rules.len()).unwrap_or(RuleId::MAX);
        let mut broken = Vec::new();
        let path = match &rule.matches.path {
            PathMatch::Exact(path) => PathTest::Exact(Arc::clone(path)),
            PathMatch::Prefix(prefix) => PathTest::Prefix(Arc::clone(prefix)),
            PathMatch::Regex(text) => ok(whole(text), &mut broken).map_or(PathTest::Never, PathTest::Regex),
        };
        let test = |value: &ValueMatch, broken: &mut Vec<String>| match value {
            ValueMatch::Exact(text) => Test::Exact(Arc::clone(text)),
            ValueMatch::Regex(text) => ok(whole(text), broken).map_or(Test::Never, Test::Regex),
        };
        let query = rule.matches.query.iter().map(|(n, v)| (Arc::clone(n), test(v, &mut broken))).collect();
        let mut headers = Vec::new();
        for (name, value) in &rule.matches.headers {
            match name.parse() {
                Ok(name) => headers.push((name, test(value, &mut broken))),
                Err(_) => broken.push(format!("{name:?} is not a header name")),
            }
        }
        let method = rule.matches.method.as_deref();
        let method = method.map(|m| Method::from_bytes(m.as_bytes()).map_err(|_| format!("{m:?} is not a method")));
        let method = method.and_then(|method| ok(method, &mut broken));
        // A rule that cannot tell its requests takes none; one that can, but not serve them, answers 500.
        let path = if broken.is_empty() { path } else { PathTest::Never };
        let request_filters = filters(&rule.request_filters, &mut broken);
        let response_filters = changes(&rule.response_filters, &mut broken);
        let mirrors = self.mirrors(&rule.mirrors, &mut broken);
        let act = self.act(&rule.action, &mut broken);
        broken.extend(not_built_of(rule).map(|what| format!("{what} not built")));
        let policy = ok(Plan::compile(&rule.policy, &mut self.after.rates), &mut broken).flatten();
        let compiled = Rule {
            label: format!("{}/{}", rule.route.object, rule.index).into(),
            path,
            method,
            headers,
            query,
            request_filters,
            response_filters,
            mirrors,
            act: if broken.is_empty() { act } else { Act::Broken },
            request_timeout: rule.request_timeout.filter(|t| *t > Duration::ZERO),
            backend_timeout: rule.backend_timeout.map(|t| Some(t).filter(|t| *t > Duration::ZERO)),
            policy,
            metrics: self.metrics(&rule.route),
        };
        self.rules.push(compiled);
        for message in broken {
            self.error(Place::Rule { route: rule.route.clone(), index: rule.index }, message);
        }
        id
    }

    fn act(&mut self, action: &Action, broken: &mut Vec<String>) -> Act {
        match action {
            Action::Redirect(redirect) => Act::Redirect(redirect.clone()),
            Action::Forward(backends) => {
                let total = backends.iter().map(|b| u64::from(b.weight)).sum();
                Act::Forward(backends.iter().map(|b| self.share(b, broken)).collect(), total)
            }
        }
    }

    fn share(&mut self, backend: &model::Backend, broken: &mut Vec<String>) -> Share {
        let cluster = backend.cluster.as_ref().and_then(|name| ok(self.cluster(name), broken));
        Share {
            weight: backend.weight,
            cluster,
            request_filters: filters(&backend.request_filters, broken),
            response_filters: changes(&backend.response_filters, broken),
            mirrors: self.mirrors(&backend.mirrors, broken),
        }
    }

    /// Those whose reference resolved.
    fn mirrors(&mut self, mirrors: &[model::Mirror], broken: &mut Vec<String>) -> Vec<Mirror> {
        let compiled = mirrors.iter().filter_map(|mirror| {
            let cluster = ok(self.cluster(mirror.cluster.as_ref()?), broken)?;
            Some(Mirror { cluster, fraction: Fraction::new(mirror.fraction, &mut rand::rng()) })
        });
        compiled.collect()
    }

    fn cluster(&mut self, name: &ClusterName) -> Result<Arc<Cluster>, String> {
        if let Some(found) = self.clusters.get(name) {
            return found.clone();
        }
        let compiled = match self.model.clusters.get(name) {
            Some(cluster) => Cluster::compile(cluster).map_err(|why| format!("cluster {name}: {why}")),
            None => Err(format!("the model has no cluster {name}")),
        };
        let compiled = compiled.map(Arc::new);
        self.clusters.insert(name.clone(), compiled.clone());
        compiled
    }

    fn metrics(&mut self, route: &RouteName) -> Arc<RouteMetrics> {
        if let Some(found) = self.after.series.get(route) {
            return Arc::clone(found);
        }
        let before = self.before.series.remove(route);
        let series = before.unwrap_or_else(|| Arc::new(RouteMetrics::new(Some(route))));
        self.after.series.insert(route.clone(), Arc::clone(&series));
        series
    }

    fn error(&mut self, place: Place, message: String) {
        self.errors.push(CompileError { place, message, served: false });
    }
}

fn place(listener: &model::Listener) -> Place {
    Place::Listener(listener.name())
}

/// What a listener asks for that is not built: it is not served without it.
fn not_built(bind: &model::Bind, listener: &model::Listener) -> Option<&'static str> {
    match () {
        () if bind.protocol == Protocol::Tcp || matches!(listener.serve, Serve::Streams(_)) => Some("streams are"),
        () if bind.client.proxy_protocol != ProxyProtocol::Off => Some("PROXY headers are"),
        () if !bind.client.forward_certificate.is_empty() => Some("forwarded client certificates are"),
        () if bind.client.tls13_only => Some("listeners of TLS 1.3 only are"),
        () if listener.access.is_some() => Some("access policies are"),
        () if listener.tls.as_ref().is_some_and(|tls| tls.client_auth.is_some()) => Some("client certificates are"),
        () => None,
    }
}

/// What the policies of a rule ask for that is not built.
fn not_built_of(rule: &model::Rule) -> impl Iterator<Item = &'static str> {
    let policy = &rule.policy;
    let asked = [
        (policy.access.is_some(), "access policies are"),
        (policy.retry.is_some(), "retries are"),
        (policy.persistence.is_some(), "session persistence is"),
        (policy.sticky_split.is_some(), "sticky splits are"),
    ];
    asked.into_iter().filter_map(|(asked, what)| asked.then_some(what))
}

fn ok<T>(result: Result<T, String>, broken: &mut Vec<String>) -> Option<T> {
    result.map_err(|message| broken.push(message)).ok()
}

fn filters(list: &[model::RequestFilter], broken: &mut Vec<String>) -> Vec<Filter> {
    list.iter().filter_map(|filter| ok(Filter::compile(filter), broken)).collect()
}

fn changes(list: &[model::HeaderChange], broken: &mut Vec<String>) -> Vec<Change> {
    list.iter().filter_map(|change| ok(Change::compile(change), broken)).collect()
}

/// A regular expression that matches whole values.
fn whole(text: &str) -> Result<Regex, String> {
    let build = |pattern: &str| {
        let built = RegexBuilder::new(pattern).size_limit(MAX_REGEX_BYTES).build();
        built.map_err(|e| format!("regular expression {text:?}: {e}"))
    };
    // Alone first, so that a lone parenthesis cannot leave the group.
    build(text)?;
    build(&format!("^(?:{text})$"))
}
