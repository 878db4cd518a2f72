//! The translation: objects in, route model and reports out.
//!
//! Data flows: Gateways with their listeners -> sockets are claimed -> each route is compiled and attached to the
//! listeners that its parentRefs select -> the model of what is served, and the reports of how all stands.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use kube::ResourceExt as _;
use purlin_gateway_api::{GROUP, Gateway, GatewayClass, HttpRoute, ParentReference};
use purlin_resource::names::GATEWAY_CONTROLLER;

use crate::backends::{self, Backends};
use crate::certificates::Certificates;
use crate::condition::Condition;
use crate::grants::Grants;
use crate::hostname::{self, intersect};
use crate::input::{GatewayAddresses, Input};
use crate::listeners::{self, ListenerState, Refusal};
use crate::model::{
    Bind, Hostname, Listener, ObjectName, Protocol, RouteKind, RouteModel, RouteName, Serve, Terminate,
};
use crate::precedence::{HostRank, compare_names};
use crate::reasons::{self, condition};
use crate::report::{self, ClassReport, GatewayFacts, GatewayReport, ParentReport, RouteReport};
use crate::rules::CompiledRoute;

/// What comes out of a translation.
#[derive(Debug, Default)]
pub struct Output {
    /// What is to be served.
    pub model: Arc<RouteModel>,
    /// Of the GatewayClasses of our controller.
    pub classes: BTreeMap<String, ClassReport>,
    /// Of the Gateways of those classes.
    pub gateways: BTreeMap<ObjectName, GatewayReport>,
    /// Of the routes that have, or had, a Gateway of ours as a parent.
    pub http_routes: BTreeMap<ObjectName, RouteReport>,
    /// For the next translation.
    compiled: BTreeMap<ObjectName, Arc<CompiledRoute>>,
}

struct GatewayState<'a> {
    name: &'a ObjectName,
    object: &'a Gateway,
    refused: Option<Refusal>,
    addresses: GatewayAddresses,
    listeners: Vec<ListenerState<'a>>,
}

/// A route and which of its rules are not served, by index.
struct RouteState<'a> {
    name: &'a ObjectName,
    compiled: &'a CompiledRoute,
    refused: BTreeMap<usize, Refusal>,
}

impl RouteState<'_> {
    /// Why none of its rules is served.
    fn refusal(&self) -> Option<&Refusal> {
        self.refused.values().next().filter(|_| self.refused.len() == self.compiled.rules())
    }
}

/// Translates the objects. What `previous` has compiled is taken over where it is still the same.
pub fn translate(input: &Input, previous: Option<&Output>) -> Output {
    let grants = Grants::new(input);
    let backends = Backends::new(input, &grants);
    let mut gateways = read_gateways(input, &mut Certificates::new(input, &grants));
    claim_sockets(&mut gateways);

    let by_name: HashMap<&ObjectName, usize> = gateways.iter().enumerate().map(|(i, g)| (g.name, i)).collect();
    let mut output = Output::default();
    for (name, route) in &input.http_routes {
        let parents: Vec<(usize, &ParentReference)> = our_parents(name, route, &by_name);
        if parents.is_empty() {
            if has_our_entry(route) {
                let report = RouteReport { generation: route.metadata.generation, parents: Vec::new() };
                output.http_routes.insert(name.clone(), report);
            }
            continue;
        }
        let old = previous.and_then(|p| p.compiled.get(name));
        let compiled = CompiledRoute::new(name, route, &backends, old);
        let state = RouteState { name, compiled: &compiled, refused: refused_rules(name, &compiled, input) };
        let report = |(gateway, parent): (usize, &ParentReference)| {
            let outcome = attach(&state, parent, &mut gateways[gateway], input);
            ParentReport { parent: parent.clone(), conditions: route_conditions(&state, outcome) }
        };
        let parents = parents.into_iter().map(report).collect();
        output.http_routes.insert(name.clone(), RouteReport { generation: route.metadata.generation, parents });
        output.compiled.insert(name.clone(), compiled);
    }
    output.classes = our_classes(input)
        .map(|(name, class)| (name.clone(), class_report(class, input.bundle_version.as_deref())))
        .collect();
    output.gateways = gateways.iter().map(|g| (g.name.clone(), gateway_report(g, input))).collect();
    output.model = Arc::new(model(&mut gateways, &output.compiled, &backends, previous.map(|p| &*p.model)));
    output
}

fn our_classes(input: &Input) -> impl Iterator<Item = (&String, &GatewayClass)> {
    let ours = |class: &Arc<GatewayClass>| class.spec.controller_name == GATEWAY_CONTROLLER;
    input.gateway_classes.iter().filter(move |(_, class)| ours(class)).map(|(name, class)| (name, &**class))
}

/// Settings by another object are not built.
fn class_refusal(class: &GatewayClass) -> Option<Refusal> {
    let parameters = class.spec.parameters_ref.as_ref()?;
    let message = format!("parametersRef: {} {} is not supported; leave it out", parameters.kind, parameters.name);
    Some((reasons::INVALID_PARAMETERS, message))
}

fn class_report(class: &GatewayClass, bundle_version: Option<&str>) -> ClassReport {
    let accepted = match class_refusal(class) {
        None => Condition::yes(condition::ACCEPTED, reasons::ACCEPTED, "Gateways of this class are served"),
        Some((reason, message)) => Condition::no(condition::ACCEPTED, reason, message),
    };
    let conditions = [Some(accepted), bundle_version.map(supported_version)].into_iter().flatten().collect();
    ClassReport { generation: class.metadata.generation, conditions }
}

/// Whether the definitions are of the minor version whose fields we know.
fn supported_version(bundle: &str) -> Condition {
    let minor = |version: &str| version.split('.').take(2).collect::<Vec<_>>().join(".");
    let ours = minor(purlin_gateway_api::VERSION);
    if minor(bundle) == ours {
        let message = format!("the Gateway API's definitions are of version {bundle}");
        return Condition::yes(condition::SUPPORTED_VERSION, reasons::SUPPORTED_VERSION, message);
    }
    let message = format!("the Gateway API's definitions are of version {bundle}; this gateway knows {ours}");
    Condition::no(condition::SUPPORTED_VERSION, reasons::UNSUPPORTED_VERSION, message)
}

/// Our Gateways, the oldest first.
fn read_gateways<'a>(input: &'a Input, certificates: &mut Certificates<'_>) -> Vec<GatewayState<'a>> {
    let classes: HashMap<&str, &GatewayClass> =
        our_classes(input).map(|(name, class)| (name.as_str(), class)).collect();
    let mut gateways = Vec::new();
    for (name, object) in &input.gateways {
        let Some(class) = classes.get(object.spec.gateway_class_name.as_str()) else { continue };
        gateways.push(GatewayState {
            name,
            object,
            refused: gateway_refusal(object, class),
            addresses: input.addresses.get(name).cloned().unwrap_or_default(),
            listeners: listeners::read(name, object, certificates),
        });
    }
    let age = |g: &GatewayState<'_>| g.object.creation_timestamp().map(|t| t.0);
    gateways.sort_by(|a, b| age(a).cmp(&age(b)).then_with(|| compare_names(a.name, b.name)));
    gateways
}

/// Why a Gateway is not accepted as a whole.
fn gateway_refusal(gateway: &Gateway, class: &GatewayClass) -> Option<Refusal> {
    let spec = &gateway.spec;
    if let Some((reason, message)) = class_refusal(class) {
        return Some((reason, format!("GatewayClass {}: {message}", class.name_any())));
    }
    if let Some(parameters) = spec.infrastructure.as_ref().and_then(|i| i.parameters_ref.as_ref()) {
        let what = format!("{} {}", parameters.kind, parameters.name);
        let message = format!("infrastructure.parametersRef: {what} is not supported; leave it out");
        return Some((reasons::INVALID_PARAMETERS, message));
    }
    if let Some(address) = spec.addresses.iter().find(|a| a.type_ != "IPAddress") {
        let message = format!("addresses: type {} is not supported; IPAddress is", address.type_);
        return Some((reasons::UNSUPPORTED_ADDRESS, message));
    }
    if spec.tls.as_ref().and_then(|t| t.backend.as_ref()).is_some_and(|b| b.client_certificate_ref.is_some()) {
        let message = "tls.backend.clientCertificateRef is not supported; leave it out";
        return Some((reasons::UNSUPPORTED_VALUE, message.to_owned()));
    }
    None
}

/// A socket belongs to one Gateway, the oldest that wants it; listeners of different Gateways are never merged.
fn claim_sockets(gateways: &mut [GatewayState<'_>]) {
    let mut owners: BTreeMap<SocketAddr, &ObjectName> = BTreeMap::new();
    for gateway in gateways.iter_mut().filter(|g| g.refused.is_none()) {
        for listener in &mut gateway.listeners {
            if listener.protocol.is_none() || listener.refused.is_some() || listener.conflict.is_some() {
                continue;
            }
            let sockets = gateway.addresses.assigned.iter().map(|ip| SocketAddr::new(*ip, listener.spec.port));
            let taken = sockets.clone().find_map(|s| owners.get(&s).filter(|o| **o != gateway.name).map(|o| (s, *o)));
            match taken {
                Some((socket, owner)) => {
                    let message = format!("{socket} belongs to Gateway {owner}, which is older");
                    listener.refused = Some((reasons::PORT_UNAVAILABLE, message));
                }
                None => owners.extend(sockets.map(|socket| (socket, gateway.name))),
            }
        }
    }
}

fn our_parents<'r>(
    name: &ObjectName,
    route: &'r HttpRoute,
    gateways: &HashMap<&ObjectName, usize>,
) -> Vec<(usize, &'r ParentReference)> {
    let ours = |parent: &'r ParentReference| {
        if parent.group != GROUP || parent.kind != "Gateway" {
            return None;
        }
        let namespace = parent.namespace.as_deref().unwrap_or(&name.namespace);
        gateways.get(&ObjectName::new(namespace, &parent.name)).map(|gateway| (*gateway, parent))
    };
    route.spec.parent_refs.iter().filter_map(ours).collect()
}

fn has_our_entry(route: &HttpRoute) -> bool {
    route.status.iter().flat_map(|s| &s.parents).any(|entry| entry.controller_name == GATEWAY_CONTROLLER)
}

/// Attaches a route to the listeners that a parentRef selects, and says which, or why to none.
///
/// `attachedRoutes` counts routes "with the Accepted condition set to True" (ListenerStatus, Gateway API v1.6). So a
/// route all of whose rules the data plane has refused is not counted, though it stays in the model: what it matches is
/// answered with 500 and slips to no wider route, and the data plane says when it can serve it.
fn attach(
    route: &RouteState<'_>,
    parent: &ParentReference,
    gateway: &mut GatewayState<'_>,
    input: &Input,
) -> Result<String, Refusal> {
    let (name, compiled) = (route.name, route.compiled);
    let selects = |l: &ListenerState<'_>| {
        parent.section_name.as_deref().is_none_or(|section| section.is_empty() || section == &*l.name)
            && parent.port.is_none_or(|port| port == l.spec.port)
    };
    let mut selected: Vec<&mut ListenerState<'_>> = gateway.listeners.iter_mut().filter(|l| selects(l)).collect();
    if selected.is_empty() {
        let message = format!("Gateway {} has no listener with this sectionName and port", gateway.name);
        return Err((reasons::NO_MATCHING_PARENT, message));
    }
    selected.retain(|l| l.allows.permit(&gateway.name.namespace, &name.namespace, input));
    if selected.is_empty() {
        let message =
            format!("no listener of Gateway {} allows HTTPRoutes of namespace {}", gateway.name, name.namespace);
        return Err((reasons::NOT_ALLOWED_BY_LISTENERS, message));
    }
    let mut hosted: Vec<(&mut ListenerState<'_>, BTreeMap<Option<Hostname>, HostRank>)> = Vec::new();
    for listener in selected {
        let hosts = hosts(listener.hostname.as_ref(), &compiled.hostnames);
        if !hosts.is_empty() {
            hosted.push((listener, hosts));
        }
    }
    if hosted.is_empty() {
        let message = format!("no hostname of the route is one of a listener of Gateway {}", gateway.name);
        return Err((reasons::NO_MATCHING_LISTENER_HOSTNAME, message));
    }
    if let Some(refusal) = compiled.refusal() {
        return Err(refusal.clone());
    }
    let names: Vec<&str> = hosted.iter().map(|(listener, _)| &*listener.spec.name).collect();
    let noun = if names.len() == 1 { "listener" } else { "listeners" };
    let message = format!("attached to the {noun} {} of Gateway {}", names.join(", "), gateway.name);
    for (listener, hosts) in hosted {
        if !listener.attached.insert(name.clone()) {
            continue;
        }
        if route.refusal().is_none() {
            listener.accepted_routes += 1;
        }
        for (host, rank) in hosts {
            let ranked = compiled.candidates.iter().cloned().map(|mut candidate| {
                candidate.host = rank;
                candidate
            });
            listener.hosts.entry(host).or_default().extend(ranked);
        }
    }
    Ok(message)
}

/// The hosts under which a route is served on a listener, each with how precisely the route names it.
fn hosts(listener: Option<&Hostname>, route: &[Hostname]) -> BTreeMap<Option<Hostname>, HostRank> {
    let mut hosts: BTreeMap<Option<Hostname>, HostRank> = BTreeMap::new();
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

fn route_conditions(route: &RouteState<'_>, outcome: Result<String, Refusal>) -> Vec<Condition> {
    let outcome = outcome.and_then(|message| route.refusal().cloned().map_or(Ok(message), Err));
    let accepted = match &outcome {
        Ok(message) => Condition::yes(condition::ACCEPTED, reasons::ACCEPTED, message),
        Err((reason, message)) => Condition::no(condition::ACCEPTED, reason, message),
    };
    let mut conditions = vec![accepted, route_resolved(route.compiled)];
    if let (Ok(_), Some((reason, _))) = (&outcome, route.refused.values().next()) {
        let dropped: Vec<String> =
            route.refused.iter().map(|(index, (_, message))| format!("Dropped Rule {index}: {message}")).collect();
        let message = format!(
            "{}; requests that they match, as far as the matches are understood, are answered with 500",
            dropped.join("; ")
        );
        conditions.push(Condition::yes(condition::PARTIALLY_INVALID, reason, message));
    }
    conditions
}

/// The rules that are not served, by index: those that we refuse and those that the data plane did.
fn refused_rules(name: &ObjectName, route: &CompiledRoute, input: &Input) -> BTreeMap<usize, Refusal> {
    let name = RouteName { kind: RouteKind::HttpRoute, object: name.clone() };
    let of_route = (name.clone(), 0)..=(name, u32::MAX);
    let by_plane = input.plane.rules.range(of_route).filter_map(|((_, index), message)| {
        let refusal = (reasons::UNSUPPORTED_VALUE, format!("rules[{index}]: {message}"));
        usize::try_from(*index).ok().map(|index| (index, refusal))
    });
    by_plane.chain(route.refused.iter().cloned()).collect()
}

fn route_resolved(route: &CompiledRoute) -> Condition {
    let problems = route.ref_problems();
    let Some(first) = problems.first() else {
        return Condition::yes(condition::RESOLVED_REFS, reasons::RESOLVED_REFS, "all references resolve");
    };
    let messages: Vec<&str> = problems.iter().map(|p| p.message.as_str()).collect();
    Condition::no(condition::RESOLVED_REFS, first.reason, messages.join("; "))
}

fn gateway_report(gateway: &GatewayState<'_>, input: &Input) -> GatewayReport {
    let facts = GatewayFacts {
        name: gateway.name,
        generation: gateway.object.metadata.generation,
        refused: gateway.refused.clone(),
        addresses: gateway.addresses.clone(),
        listeners: &gateway.listeners,
    };
    report::gateway(&facts, input)
}

fn model(
    gateways: &mut [GatewayState<'_>],
    compiled: &BTreeMap<ObjectName, Arc<CompiledRoute>>,
    backends: &Backends<'_>,
    previous: Option<&RouteModel>,
) -> RouteModel {
    let mut model = RouteModel::default();
    let mut served: BTreeSet<ObjectName> = BTreeSet::new();
    for gateway in gateways.iter_mut().filter(|g| g.refused.is_none()) {
        for state in gateway.listeners.iter_mut().filter(|l| l.is_served()) {
            served.append(&mut state.attached);
            let protocol = state.protocol.unwrap_or(Protocol::Http);
            let listener = Listener {
                gateway: gateway.name.clone(),
                section: Arc::clone(&state.name),
                hostname: state.hostname.clone(),
                set: None,
                tls: (protocol == Protocol::Tls)
                    .then(|| Terminate { certificates: std::mem::take(&mut state.certificates), client_auth: None }),
                serve: Serve::Http(state.take_hosts()),
                access: None,
            };
            for ip in &gateway.addresses.assigned {
                let bind = model.binds.entry(SocketAddr::new(*ip, state.spec.port));
                let bind = bind.or_insert_with(|| Bind { protocol, client: Arc::default(), listeners: Vec::new() });
                bind.listeners.push(listener.clone());
            }
        }
    }
    for bind in model.binds.values_mut() {
        bind.listeners.sort_by(|a, b| {
            hostname::specificity(a.hostname.as_ref()).cmp(&hostname::specificity(b.hostname.as_ref()))
        });
    }
    let names = served.iter().filter_map(|name| compiled.get(name)).flat_map(|route| route.clusters());
    model.clusters = backends::collect_clusters(backends, names, previous.map(|p| &p.clusters));
    model
}
