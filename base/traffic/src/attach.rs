//! Routes at their parents: which listeners a route attaches to, and what its status says of that.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use purlin_gateway_api::{GROUP, ParentReference};

use crate::backends::Backends;
use crate::compiled::{CompiledRoute, Serves};
use crate::condition::Condition;
use crate::hostname::{self, intersect};
use crate::input::Input;
use crate::listeners::{ListenerState, Refusal, Speaks};
use crate::model::{Action, ClusterName, Hostname, Mirror, ObjectName, RouteKind, RouteName, StreamRoute, Usage};
use crate::precedence::{Candidate, HostRank};
use crate::reasons::{self, condition};
use crate::route::Route;
use crate::translate::GatewayState;

/// A parent of a route that is ours.
pub(crate) struct Parent<'r> {
    /// The place of the Gateway in the list of Gateways.
    pub gateway: usize,
    /// The ListenerSet, where that is the parent.
    pub set: Option<ObjectName>,
    /// As the route has it.
    pub reference: &'r ParentReference,
}

/// Gateways of ours and the ListenerSets that name them, to the place of the Gateway.
#[derive(Default)]
pub(crate) struct Ours {
    pub gateways: HashMap<ObjectName, usize>,
    pub sets: HashMap<ObjectName, usize>,
}

pub(crate) fn our_parents<'r>(name: &RouteName, route: &'r Route, ours: &Ours) -> Vec<Parent<'r>> {
    let find = |reference: &'r ParentReference| {
        if reference.group != GROUP {
            return None;
        }
        let namespace = reference.namespace.as_deref().unwrap_or(&name.object.namespace);
        let parent = ObjectName::new(namespace, &reference.name);
        match reference.kind.as_str() {
            "Gateway" => Some(Parent { gateway: *ours.gateways.get(&parent)?, set: None, reference }),
            "ListenerSet" => Some(Parent { gateway: *ours.sets.get(&parent)?, set: Some(parent), reference }),
            _ => None,
        }
    };
    route.parent_refs().iter().filter_map(find).collect()
}

/// A route and which of its rules are not served, by index.
pub(crate) struct RouteState<'a> {
    name: &'a RouteName,
    compiled: &'a CompiledRoute,
    refused: BTreeMap<usize, Refusal>,
}

impl<'a> RouteState<'a> {
    /// The rules that are not served are those that we refuse and those that the data plane did.
    pub(crate) fn new(name: &'a RouteName, compiled: &'a CompiledRoute, input: &Input) -> Self {
        let of_route = (name.clone(), 0)..=(name.clone(), u32::MAX);
        let by_plane = input.plane.rules.range(of_route).filter_map(|((_, index), message)| {
            let refusal = (reasons::UNSUPPORTED_VALUE, format!("rules[{index}]: {message}"));
            usize::try_from(*index).ok().map(|index| (index, refusal))
        });
        RouteState { name, compiled, refused: by_plane.chain(compiled.refused.iter().cloned()).collect() }
    }

    /// Why none of its rules is served.
    fn refusal(&self) -> Option<&Refusal> {
        self.refused.values().next().filter(|_| self.refused.len() == self.compiled.rules())
    }

    /// What its status says of a parent.
    pub(crate) fn conditions(&self, outcome: Result<String, Refusal>) -> Vec<Condition> {
        let outcome = outcome.and_then(|message| self.refusal().cloned().map_or(Ok(message), Err));
        let accepted = match &outcome {
            Ok(message) => Condition::yes(condition::ACCEPTED, reasons::ACCEPTED, message),
            Err((reason, message)) => Condition::no(condition::ACCEPTED, reason, message),
        };
        let mut conditions = vec![accepted, resolved(self.compiled)];
        if let (Ok(_), Some((reason, _))) = (&outcome, self.refused.values().next()) {
            let dropped: Vec<String> =
                self.refused.iter().map(|(index, (_, message))| format!("Dropped Rule {index}: {message}")).collect();
            let message = format!(
                "{}; requests that they match, as far as the matches are understood, are answered with 500",
                dropped.join("; ")
            );
            conditions.push(Condition::yes(condition::PARTIALLY_INVALID, reason, message));
        }
        conditions
    }
}

fn resolved(route: &CompiledRoute) -> Condition {
    let problems = route.ref_problems();
    let Some(first) = problems.first() else {
        return Condition::yes(condition::RESOLVED_REFS, reasons::RESOLVED_REFS, "all references resolve");
    };
    let messages: Vec<&str> = problems.iter().map(|p| p.message.as_str()).collect();
    Condition::no(condition::RESOLVED_REFS, first.reason, messages.join("; "))
}

/// The hosts under which a route is served on a listener, each with how precisely the route names it.
type Hosts = BTreeMap<Option<Hostname>, HostRank>;

/// Attaches a route to the listeners that a parentRef selects, and says which, or why to none.
///
/// `attachedRoutes` counts routes "with the Accepted condition set to True" (ListenerStatus, Gateway API v1.6). So a
/// route all of whose rules the data plane has refused is not counted, though it stays in the model: what it matches is
/// answered with 500 and slips to no wider route, and the data plane says when it can serve it.
pub(crate) fn attach(
    route: &RouteState<'_>,
    parent: &Parent<'_>,
    gateway: &mut GatewayState<'_>,
    (input, backends): (&Input, &Backends<'_>),
) -> Result<String, Refusal> {
    let (name, kind) = (route.name, route.name.kind.name());
    let reference = parent.reference;
    let whose = match &parent.set {
        None => format!("Gateway {}", gateway.name),
        Some(set) => format!("ListenerSet {set}"),
    };
    if gateway.sets.iter().any(|set| Some(set.name) == parent.set.as_ref() && !set.allowed) {
        let message = format!("{whose} is not allowed by its Gateway");
        return Err((reasons::NO_MATCHING_PARENT, message));
    }
    let selects = |l: &ListenerState<'_>| {
        l.owner.set == parent.set.as_ref()
            && reference.section_name.as_deref().is_none_or(|section| section.is_empty() || section == &*l.name)
            && reference.port.is_none_or(|port| port == l.spec.port)
    };
    let mut selected: Vec<&mut ListenerState<'_>> = gateway.listeners.iter_mut().filter(|l| selects(l)).collect();
    if selected.is_empty() {
        let message = format!("{whose} has no listener with this sectionName and port");
        return Err((reasons::NO_MATCHING_PARENT, message));
    }
    selected.retain(|l| l.allows.permit(name.kind, &l.owner.object().namespace, &name.object.namespace, input));
    if selected.is_empty() {
        let message = format!("no listener of {whose} allows {kind}s of namespace {}", name.object.namespace);
        return Err((reasons::NOT_ALLOWED_BY_LISTENERS, message));
    }
    let mut hosted: Vec<(&mut ListenerState<'_>, Hosts)> = Vec::new();
    for listener in selected {
        let hosts = hosts(listener.hostname.as_ref(), &route.compiled.hostnames);
        if !hosts.is_empty() {
            hosted.push((listener, hosts));
        }
    }
    if hosted.is_empty() {
        let message = format!("no hostname of the route is one of a listener of {whose}");
        return Err((reasons::NO_MATCHING_LISTENER_HOSTNAME, message));
    }
    if let Some(refusal) = route.compiled.refusal() {
        return Err(refusal.clone());
    }
    if let Some(other) = excluded(name.kind) {
        hosted.retain(|(listener, hosts)| !listener.has_host_of(other, hosts.keys()));
        if hosted.is_empty() {
            let message = format!(
                "{whose} has a {} that is older, or first by name, and has hostnames in common with this {kind}",
                other.name()
            );
            return Err((reasons::HOSTNAME_CONFLICT, message));
        }
    }
    let names: Vec<&str> = hosted.iter().map(|(listener, _)| &*listener.spec.name).collect();
    let noun = if names.len() == 1 { "listener" } else { "listeners" };
    let message = format!("attached to the {noun} {} of {whose}", names.join(", "));
    let client = gateway.client.as_ref().map(|_| gateway.name);
    for (listener, hosts) in hosted {
        join(route, (listener, client), hosts, backends);
    }
    Ok(message)
}

/// The kind that cannot share a host with this one: their rules have no common order.
fn excluded(kind: RouteKind) -> Option<RouteKind> {
    match kind {
        RouteKind::HttpRoute => Some(RouteKind::GrpcRoute),
        RouteKind::GrpcRoute => Some(RouteKind::HttpRoute),
        RouteKind::TcpRoute | RouteKind::TlsRoute | RouteKind::UdpRoute => None,
    }
}

/// Adds what a route serves to a listener; the Gateway is named where it has a certificate for backends. Routes come the
/// oldest first.
fn join(
    route: &RouteState<'_>,
    (listener, client): (&mut ListenerState<'_>, Option<&ObjectName>),
    hosts: Hosts,
    backends: &Backends<'_>,
) {
    if !listener.attached.insert(route.name.clone()) {
        return;
    }
    if route.refusal().is_none() {
        listener.accepted_routes += 1;
    }
    let own = own_clusters(route.compiled, (listener, client), backends);
    match &route.compiled.serves {
        Serves::Rules(candidates) => {
            let candidates: Cow<'_, [Candidate]> = match own.is_empty() {
                true => Cow::Borrowed(candidates),
                false => candidates.iter().map(|candidate| own_rule(candidate, &own)).collect(),
            };
            for (host, rank) in hosts {
                listener.claim(route.name.kind, &host);
                let ranked = candidates.iter().cloned().map(|mut candidate| {
                    candidate.host = rank;
                    candidate
                });
                listener.hosts.entry(host).or_default().extend(ranked);
            }
        }
        Serves::Stream(stream) => {
            let stream = match own.is_empty() {
                true => Arc::clone(stream),
                false => Arc::new(own_stream(stream, &own)),
            };
            for (host, rank) in hosts {
                listener.offer_stream(host, rank, &stream);
            }
        }
    }
    listener.own_clusters.extend(own.into_values());
}

/// What a cluster of the route is on this listener, where that is another one. Under TLS a cluster is not the same
/// everywhere: bytes that come out of a client's TLS go into that of the backend, and each Gateway shows its own certificate.
fn own_clusters(
    route: &CompiledRoute,
    (listener, client): (&mut ListenerState<'_>, Option<&ObjectName>),
    backends: &Backends<'_>,
) -> HashMap<ClusterName, ClusterName> {
    let mut own = HashMap::new();
    for name in route.clusters() {
        let usage = match (name.usage, listener.speaks) {
            (Usage::Stream, Some(Speaks::Terminate)) => Usage::Terminated,
            (Usage::Http | Usage::Grpc, _) => name.usage,
            _ => continue,
        };
        if !backends.has_policy(&name.object) {
            continue;
        }
        let here = ClusterName { usage, client: client.cloned(), ..name.clone() };
        listener.secured.insert(here.clone());
        if here != *name && backends.is_secured(name) {
            own.insert(name.clone(), here);
        }
    }
    own
}

fn own_stream(stream: &StreamRoute, own: &HashMap<ClusterName, ClusterName>) -> StreamRoute {
    let mut stream = stream.clone();
    for backend in &mut stream.backends {
        replace(&mut backend.cluster, own);
    }
    stream
}

fn own_rule(candidate: &Candidate, own: &HashMap<ClusterName, ClusterName>) -> Candidate {
    let mut candidate = candidate.clone();
    let mut rule = (*candidate.rule).clone();
    let mut mirrors: Vec<&mut Mirror> = rule.mirrors.iter_mut().collect();
    if let Action::Forward(backends) = &mut rule.action {
        for backend in backends {
            replace(&mut backend.cluster, own);
            mirrors.extend(&mut backend.mirrors);
        }
    }
    mirrors.into_iter().for_each(|mirror| replace(&mut mirror.cluster, own));
    candidate.rule = Arc::new(rule);
    candidate
}

fn replace(cluster: &mut Option<ClusterName>, own: &HashMap<ClusterName, ClusterName>) {
    if let Some(here) = cluster.as_ref().and_then(|cluster| own.get(cluster)) {
        *cluster = Some(here.clone());
    }
}

fn hosts(listener: Option<&Hostname>, route: &[Hostname]) -> Hosts {
    let mut hosts = Hosts::new();
    if route.is_empty() {
        hosts.insert(listener.cloned(), hostname::rank(None));
    }
    for named in route {
        let host = match listener {
            Some(listener) => intersect(listener, named),
            None => Some(named),
        };
        if let Some(host) = host {
            let rank = hostname::rank(Some(named));
            hosts.entry(Some(host.clone())).and_modify(|r| *r = rank.min(*r)).or_insert(rank);
        }
    }
    hosts
}
