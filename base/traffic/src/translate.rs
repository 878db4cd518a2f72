//! The translation: objects in, route model and reports out.
//!
//! Data flows: Gateways with their listeners -> sockets are claimed -> each route, the oldest first, is compiled and
//! attached to the listeners that its parentRefs select -> the model of what is served, and the reports of how all
//! stands.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use kube::ResourceExt as _;
use purlin_gateway_api::{FrontendTls, FrontendValidationMode, Gateway, GatewayClass};
use purlin_resource::names::GATEWAY_CONTROLLER;

use crate::attach::{self, Ours, RouteState};
use crate::backends::{self, Backends};
use crate::certificates::Certificates;
use crate::compiled::CompiledRoute;
use crate::condition::Condition;
use crate::grants::{Grants, Referrer};
use crate::hostname;
use crate::input::{GatewayAddresses, Input};
use crate::listeners::{self, ListenerState, Owner, Refusal, Speaks};
use crate::model::{
    Bind, Certificate, ClusterName, Datagrams, Listener, ObjectName, RouteKind, RouteModel, RouteName, Serve,
    StreamRoute, Terminate,
};
use crate::policies::Policies;
use crate::precedence::compare_names;
use crate::reasons::{self, condition};
use crate::report::{
    self, ClassReport, GatewayFacts, GatewayReport, ListenerSetReport, ParentReport, PolicyReport, RouteReport,
};
use crate::route;
use crate::sets::{self, SetState};

/// What comes out of a translation.
#[derive(Debug, Default)]
pub struct Output {
    /// What is to be served.
    pub model: Arc<RouteModel>,
    /// Of the GatewayClasses of our controller.
    pub classes: BTreeMap<String, ClassReport>,
    /// Of the Gateways of those classes.
    pub gateways: BTreeMap<ObjectName, GatewayReport>,
    /// Of the ListenerSets that name those Gateways.
    pub listener_sets: BTreeMap<ObjectName, ListenerSetReport>,
    /// Of the routes that have, or had, a Gateway of ours as a parent.
    pub routes: BTreeMap<RouteName, RouteReport>,
    /// Of the BackendTLSPolicies that have, or had, an effect at a Gateway of ours.
    pub backend_tls_policies: BTreeMap<ObjectName, PolicyReport>,
    /// For the next translation.
    compiled: BTreeMap<RouteName, Arc<CompiledRoute>>,
}

/// A Gateway, as far as it is known.
pub(crate) struct GatewayState<'a> {
    pub name: &'a ObjectName,
    pub object: &'a Gateway,
    pub refused: Option<Refusal>,
    /// What it shows to backends.
    pub client: Option<Arc<Certificate>>,
    /// What it refers to, besides its listeners, and is not there.
    pub unresolved: Option<Refusal>,
    pub addresses: GatewayAddresses,
    /// Its own, then those of its ListenerSets.
    pub listeners: Vec<ListenerState<'a>>,
    /// The ListenerSets that name it, the oldest first.
    pub sets: Vec<SetState<'a>>,
}

/// Translates the objects. What `previous` has compiled is taken over where it is still the same.
pub fn translate(input: &Input, previous: Option<&Output>) -> Output {
    let grants = Grants::new(input);
    let policies = Policies::new(input);
    let backends = Backends::new(input, &grants, &policies);
    let mut gateways = read_gateways(input, &mut Certificates::new(input, &grants));
    claim_sockets(&mut gateways);

    let mut ours = Ours::default();
    for (i, gateway) in gateways.iter().enumerate() {
        ours.gateways.insert(gateway.name.clone(), i);
        ours.sets.extend(gateway.sets.iter().map(|set| (set.name.clone(), i)));
    }
    let mut output = Output::default();
    for (name, route) in route::by_age(input) {
        let parents = attach::our_parents(&name, &route, &ours);
        let generation = route.meta().generation;
        if parents.is_empty() {
            if route.has_our_entry() {
                output.routes.insert(name, RouteReport { generation, parents: Vec::new() });
            }
            continue;
        }
        let old = previous.and_then(|p| p.compiled.get(&name));
        let compiled = CompiledRoute::new(&name, &route, &backends, old);
        let state = RouteState::new(&name, &compiled, input);
        let parents = parents.into_iter().map(|parent| {
            let outcome = attach::attach(&state, &parent, &mut gateways[parent.gateway], (input, &backends));
            ParentReport { parent: parent.reference.clone(), conditions: state.conditions(outcome) }
        });
        let parents = parents.collect();
        output.routes.insert(name.clone(), RouteReport { generation, parents });
        output.compiled.insert(name, compiled);
    }
    output.classes = our_classes(input)
        .map(|(name, class)| (name.clone(), class_report(class, input.bundle_version.as_deref())))
        .collect();
    for gateway in &gateways {
        let (report, sets) = gateway_reports(gateway, input);
        output.gateways.insert(gateway.name.clone(), report);
        output.listener_sets.extend(sets);
    }
    let secured = gateways.iter().map(|g| (g.name, g.listeners.iter().flat_map(|l| &l.secured).collect()));
    output.backend_tls_policies = policies.reports(&secured.collect());
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
    let sets = sets::by_gateway(input);
    let mut gateways = Vec::new();
    for (name, object) in &input.gateways {
        let Some(class) = classes.get(object.spec.gateway_class_name.as_str()) else { continue };
        let backend_tls = object.spec.tls.as_ref().and_then(|tls| tls.backend.as_ref());
        let from = Referrer { kind: "Gateway", namespace: &name.namespace };
        let client = backend_tls.and_then(|tls| tls.client_certificate_ref.as_ref());
        let client = client.map(|reference| certificates.client(from, reference)).transpose();
        let owner = Owner { gateway: name, set: None };
        let mut listeners = listeners::read(owner, &object.spec.listeners, object, &[], certificates);
        let named = sets.get(name).map(Vec::as_slice).unwrap_or_default();
        let sets = sets::add((name, object), named, &mut listeners, (input, certificates));
        gateways.push(GatewayState {
            name,
            object,
            refused: gateway_refusal(object, class),
            unresolved: client.as_ref().err().cloned(),
            client: client.ok().flatten(),
            addresses: input.addresses.get(name).cloned().unwrap_or_default(),
            listeners,
            sets,
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
    None
}

/// A socket belongs to one Gateway, the oldest that wants it; listeners of different Gateways are never merged.
fn claim_sockets(gateways: &mut [GatewayState<'_>]) {
    let mut owners: BTreeMap<(bool, SocketAddr), &ObjectName> = BTreeMap::new();
    for gateway in gateways.iter_mut().filter(|g| g.refused.is_none()) {
        for listener in &mut gateway.listeners {
            if listener.refused.is_some() || listener.conflict.is_some() {
                continue;
            }
            let Some(speaks) = listener.speaks else { continue };
            let ips = gateway.addresses.assigned.iter();
            let sockets = ips.map(|ip| (speaks == Speaks::Udp, SocketAddr::new(*ip, listener.spec.port)));
            let taken = sockets.clone().find_map(|s| owners.get(&s).filter(|o| **o != gateway.name).map(|o| (s, *o)));
            match taken {
                Some(((_, socket), owner)) => {
                    let message = format!("{socket} belongs to Gateway {owner}, which is older");
                    listener.refused = Some((reasons::PORT_UNAVAILABLE, message));
                }
                None => owners.extend(sockets.map(|socket| (socket, gateway.name))),
            }
        }
    }
}

/// Of a Gateway, and of its ListenerSets.
fn gateway_reports(gateway: &GatewayState<'_>, input: &Input) -> (GatewayReport, Vec<(ObjectName, ListenerSetReport)>) {
    let facts = GatewayFacts {
        generation: gateway.object.metadata.generation,
        refused: gateway.refused.clone(),
        unresolved: gateway.unresolved.as_ref(),
        insecure: insecure_ports(gateway.object),
        addresses: gateway.addresses.clone(),
        listeners: gateway.listeners.iter().filter(|l| l.owner.set.is_none()).collect(),
    };
    let sets = gateway.sets.iter().map(|set| {
        let listeners: Vec<_> = gateway.listeners.iter().filter(|l| l.owner.set == Some(set.name)).collect();
        let generation = set.object.metadata.generation;
        (set.name.clone(), report::listener_set(&facts, (generation, set.allowed), &listeners, input))
    });
    let sets: Vec<_> = sets.collect();
    let attached = sets.iter().filter(|(_, report)| report.is_accepted()).count();
    (report::gateway(&facts, attached, input), sets)
}

/// Where clients are served whose certificates do not verify: `default` and ports.
fn insecure_ports(gateway: &Gateway) -> Vec<String> {
    let Some(frontend) = gateway.spec.tls.as_ref().and_then(|tls| tls.frontend.as_ref()) else { return Vec::new() };
    let is_insecure = |tls: &FrontendTls| {
        tls.validation.as_ref().is_some_and(|v| v.mode == FrontendValidationMode::AllowInsecureFallback)
    };
    let ports =
        frontend.per_port.iter().filter(|port| is_insecure(&port.tls)).map(|port| format!("port {}", port.port));
    is_insecure(&frontend.default).then(|| "default".to_owned()).into_iter().chain(ports).collect()
}

fn model(
    gateways: &mut [GatewayState<'_>],
    compiled: &BTreeMap<RouteName, Arc<CompiledRoute>>,
    backends: &Backends<'_>,
    previous: Option<&RouteModel>,
) -> RouteModel {
    let mut model = RouteModel::default();
    let (mut served, mut own_clusters): (BTreeSet<RouteName>, BTreeSet<ClusterName>) = Default::default();
    for gateway in gateways.iter_mut().filter(|g| g.refused.is_none()) {
        for state in gateway.listeners.iter_mut().filter(|l| l.is_served()) {
            served.append(&mut state.attached);
            own_clusters.append(&mut state.own_clusters);
            let sockets = gateway.addresses.assigned.iter().map(|ip| SocketAddr::new(*ip, state.spec.port));
            add_listener(&mut model, state, sockets);
        }
    }
    for bind in model.binds.values_mut() {
        bind.listeners.sort_by(|a, b| {
            hostname::specificity(a.hostname.as_ref()).cmp(&hostname::specificity(b.hostname.as_ref()))
        });
    }
    let names = served.iter().filter_map(|name| compiled.get(name)).flat_map(|route| route.clusters());
    let names = names.chain(&own_clusters);
    let clients = gateways.iter().filter_map(|g| Some((g.name, g.client.as_ref()?))).collect();
    model.clusters = backends::collect_clusters(backends, names, &clients, previous.map(|p| &p.clusters));
    model
}

fn add_listener(model: &mut RouteModel, state: &mut ListenerState<'_>, sockets: impl Iterator<Item = SocketAddr>) {
    let Some(speaks) = state.speaks else { return };
    let Some(protocol) = speaks.wire() else {
        let route: Option<Arc<StreamRoute>> = state.take_streams().into_iter().next().map(|host| host.route);
        let datagrams = Datagrams { listener: state.full_name(), route };
        model.datagrams.extend(sockets.map(|socket| (socket, datagrams.clone())));
        return;
    };
    let listener = Listener {
        gateway: state.owner.gateway.clone(),
        set: state.owner.set.cloned(),
        section: Arc::clone(&state.name),
        hostname: state.hostname.clone(),
        tls: speaks.terminates().then(|| Terminate {
            certificates: std::mem::take(&mut state.certificates),
            client_auth: state.client_auth.take(),
        }),
        serve: match speaks.kinds().contains(&RouteKind::HttpRoute) {
            true => Serve::Http(state.take_hosts()),
            false => Serve::Streams(state.take_streams()),
        },
        access: None,
    };
    for socket in sockets {
        let bind = model.binds.entry(socket);
        let bind = bind.or_insert_with(|| Bind { protocol, client: Arc::default(), listeners: Vec::new() });
        bind.listeners.push(listener.clone());
    }
}
