//! Listeners of a Gateway: which are served, and what their conditions say.
//!
//! Data flows: the listener alone (protocol, TLS, kinds) -> against its siblings (conflicts) -> certificates. Routes
//! are attached afterwards, whatever the listener's own state is: Gateway API counts them all the same.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use kube::core::{Selector, SelectorExt as _};
use purlin_gateway_api::{
    FromNamespaces, FrontendValidationMode, GROUP, Gateway, Listener, ListenerTlsConfig, RouteGroupKind, TlsMode,
};

use crate::certificates::Certificates;
use crate::grants::Referrer;
use crate::input::Input;
use crate::model::{
    Certificate, ClientAuth, ClusterName, Host, Hostname, ListenerName, ObjectName, Protocol, RouteKind, RouteName,
    StreamHost, StreamRoute,
};
use crate::precedence::{self, Candidate, HostRank};
use crate::{hostname, reasons};

/// A reason and its words.
pub(crate) type Refusal = (&'static str, String);

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    Http,
    Https,
    /// TLS that is passed on as it is.
    Passthrough,
    /// TLS that ends here, whatever is in it.
    Terminate,
    Tcp,
    Udp,
}

impl Speaks {
    fn of(spec: &Listener) -> Option<Speaks> {
        match spec.protocol.as_str() {
            "HTTP" => Some(Speaks::Http),
            "HTTPS" => Some(Speaks::Https),
            "TLS" if spec.tls.as_ref().is_some_and(|tls| tls.mode == TlsMode::Passthrough) => Some(Speaks::Passthrough),
            "TLS" => Some(Speaks::Terminate),
            "TCP" => Some(Speaks::Tcp),
            "UDP" => Some(Speaks::Udp),
            _ => None,
        }
    }

    /// The routes that can attach.
    pub(crate) const fn kinds(self) -> &'static [RouteKind] {
        match self {
            Speaks::Http | Speaks::Https => &[RouteKind::HttpRoute, RouteKind::GrpcRoute],
            Speaks::Passthrough | Speaks::Terminate => &[RouteKind::TlsRoute],
            Speaks::Tcp => &[RouteKind::TcpRoute],
            Speaks::Udp => &[RouteKind::UdpRoute],
        }
    }

    /// What is spoken on its TCP socket; None has a UDP socket.
    pub(crate) const fn wire(self) -> Option<Protocol> {
        match self {
            Speaks::Http => Some(Protocol::Http),
            Speaks::Https | Speaks::Passthrough | Speaks::Terminate => Some(Protocol::Tls),
            Speaks::Tcp => Some(Protocol::Tcp),
            Speaks::Udp => None,
        }
    }

    /// Whether TLS ends at it.
    pub(crate) const fn terminates(self) -> bool {
        matches!(self, Speaks::Https | Speaks::Terminate)
    }
}

/// Whose a listener is: the Gateway's own, or that of a ListenerSet.
#[derive(Clone, Copy)]
pub(crate) struct Owner<'a> {
    pub gateway: &'a ObjectName,
    pub set: Option<&'a ObjectName>,
}

impl<'a> Owner<'a> {
    /// The object that the listener stands in.
    pub(crate) fn object(self) -> &'a ObjectName {
        self.set.unwrap_or(self.gateway)
    }

    fn referrer(self) -> Referrer<'a> {
        let kind = if self.set.is_some() { "ListenerSet" } else { "Gateway" };
        Referrer { kind, namespace: &self.object().namespace }
    }
}

/// A listener, as far as it is known.
pub(crate) struct ListenerState<'a> {
    pub owner: Owner<'a>,
    pub spec: &'a Listener,
    pub name: Arc<str>,
    pub hostname: Option<Hostname>,
    /// None where we do not speak it.
    pub speaks: Option<Speaks>,
    /// Why it is not accepted.
    pub refused: Option<Refusal>,
    /// With which siblings it cannot be told apart.
    pub conflict: Option<Refusal>,
    /// Siblings whose hostnames overlap, where that concerns TLS.
    pub overlap: Option<String>,
    /// What it refers to and is not there, or not ours to serve.
    pub unresolved: Option<Refusal>,
    pub certificates: Vec<Arc<Certificate>>,
    /// How its clients have to show who they are.
    pub client_auth: Option<Arc<ClientAuth>>,
    pub allows: AllowedRoutes,
    /// The routes that are attached.
    pub attached: BTreeSet<RouteName>,
    /// How many of them are accepted; the data plane may have refused all that the others ask for.
    pub accepted_routes: i32,
    /// Their rules by hostname.
    pub hosts: HashMap<Option<Hostname>, Vec<Candidate>>,
    /// Which kinds of routes have which of these hostnames.
    claimed: HashMap<RouteKind, HashSet<Option<Hostname>>>,
    /// Where connections and datagrams go, by hostname, and how precisely that route names it.
    streams: HashMap<Option<Hostname>, (HostRank, Arc<StreamRoute>)>,
    /// Clusters that its routes send to in another way than elsewhere.
    pub own_clusters: BTreeSet<ClusterName>,
    /// Clusters that its routes send to and that policies speak of.
    pub secured: BTreeSet<ClusterName>,
}

/// Which routes may attach to a listener.
pub(crate) struct AllowedRoutes {
    pub kinds: Vec<RouteKind>,
    namespaces: AllowedNamespaces,
}

enum AllowedNamespaces {
    All,
    Same,
    Selected(Selector),
    None,
}

impl AllowedRoutes {
    /// Whether a route of `namespace` may attach to a listener of an object in `owner_namespace`.
    pub(crate) fn permit(&self, kind: RouteKind, owner_namespace: &str, namespace: &str, input: &Input) -> bool {
        self.kinds.contains(&kind)
            && match &self.namespaces {
                AllowedNamespaces::All => true,
                AllowedNamespaces::Same => owner_namespace == namespace,
                AllowedNamespaces::Selected(selector) => {
                    input.namespace_labels(namespace).is_some_and(|labels| selector.matches(labels))
                }
                AllowedNamespaces::None => false,
            }
    }
}

impl ListenerState<'_> {
    /// Its name in the model.
    pub(crate) fn full_name(&self) -> ListenerName {
        let (gateway, set) = (self.owner.gateway.clone(), self.owner.set.cloned());
        ListenerName { gateway, set, section: Arc::clone(&self.name) }
    }

    /// Whether the data plane gets it.
    pub(crate) fn is_served(&self) -> bool {
        let usable = self.speaks.is_some_and(|speaks| !speaks.terminates() || !self.certificates.is_empty());
        usable && self.refused.is_none() && self.conflict.is_none()
    }

    /// Whether a route of this kind is attached for a host that is one of these.
    pub(crate) fn has_host_of<'h>(
        &self,
        kind: RouteKind,
        mut hosts: impl Iterator<Item = &'h Option<Hostname>>,
    ) -> bool {
        let meets = |a: &Option<Hostname>, b: &Option<Hostname>| match (a, b) {
            (Some(a), Some(b)) => hostname::intersect(a, b).is_some(),
            _ => true,
        };
        let Some(claimed) = self.claimed.get(&kind) else { return false };
        hosts.any(|host| claimed.contains(host) || claimed.iter().any(|other| meets(host, other)))
    }

    /// A route of this kind has the host.
    pub(crate) fn claim(&mut self, kind: RouteKind, host: &Option<Hostname>) {
        let claimed = self.claimed.entry(kind).or_default();
        if !claimed.contains(host) {
            claimed.insert(host.clone());
        }
    }

    /// Takes a route for a host unless there is one that names it as precisely and came before.
    pub(crate) fn offer_stream(&mut self, host: Option<Hostname>, rank: HostRank, route: &Arc<StreamRoute>) {
        match self.streams.get(&host) {
            Some((before, _)) if *before <= rank => {}
            _ => drop(self.streams.insert(host, (rank, Arc::clone(route)))),
        }
    }

    /// Where its connections go, the most specific host first.
    pub(crate) fn take_streams(&mut self) -> Vec<StreamHost> {
        let mut streams: Vec<_> = std::mem::take(&mut self.streams).into_iter().collect();
        streams.sort_by(|(a, _), (b, _)| hostname::specificity(a.as_ref()).cmp(&hostname::specificity(b.as_ref())));
        streams.into_iter().map(|(hostname, (_, route))| StreamHost { hostname, route }).collect()
    }

    /// Its hosts in order, each with its rules in order.
    pub(crate) fn take_hosts(&mut self) -> Vec<Host> {
        let mut hosts: Vec<_> = std::mem::take(&mut self.hosts).into_iter().collect();
        hosts.sort_by(|(a, _), (b, _)| hostname::specificity(a.as_ref()).cmp(&hostname::specificity(b.as_ref())));
        hosts
            .into_iter()
            .map(|(hostname, mut candidates)| {
                candidates.sort_by(precedence::compare);
                Host { hostname, rules: candidates.into_iter().map(|c| c.rule).collect() }
            })
            .collect()
    }
}

/// The listeners of a Gateway, or of a ListenerSet, without routes. They give way to those `before` them.
pub(crate) fn read<'a>(
    owner: Owner<'a>,
    specs: &'a [Listener],
    gateway: &Gateway,
    before: &[ListenerState<'a>],
    certificates: &mut Certificates<'_>,
) -> Vec<ListenerState<'a>> {
    let mut listeners: Vec<_> = specs.iter().map(|spec| read_one(owner, spec)).collect();
    find_conflicts(&mut listeners);
    give_way(&mut listeners, before);
    find_overlaps(&mut listeners);
    let from = owner.referrer();
    for listener in listeners.iter_mut().filter(|l| l.speaks.is_some_and(Speaks::terminates)) {
        let references = listener.spec.tls.as_ref().map(|tls| tls.certificate_refs.as_slice()).unwrap_or_default();
        let (found, problem) = certificates.resolve(from, references);
        listener.certificates = found;
        let unverified = ask_clients(listener, gateway, certificates);
        // Of several reasons the one that stops traffic is said.
        listener.unresolved = problem.or(unverified).or(listener.unresolved.take());
    }
    listeners
}

/// Has the clients of an HTTPS listener show who they are, where the Gateway asks for that. Without an authority to judge
/// them by the listener is not served.
fn ask_clients(
    listener: &mut ListenerState<'_>,
    gateway: &Gateway,
    certificates: &Certificates<'_>,
) -> Option<Refusal> {
    let from = Referrer { kind: "Gateway", namespace: &listener.owner.gateway.namespace };
    let frontend = gateway.spec.tls.as_ref()?.frontend.as_ref()?;
    let own = frontend.per_port.iter().find(|p| p.port == listener.spec.port).map(|p| &p.tls);
    let validation = own.unwrap_or(&frontend.default).validation.as_ref()?;
    if listener.speaks != Some(Speaks::Https) {
        return None;
    }
    let (client_auth, problem) = certificates.client_auth(from, validation);
    let refused = match &validation.mode {
        FrontendValidationMode::Other(mode) => {
            Some((reasons::UNSUPPORTED_VALUE, format!("the Gateway's tls.frontend: mode {mode} is not supported")))
        }
        _ if client_auth.authorities.is_empty() => {
            let why = problem.as_ref().map_or("no authority is named", |(_, message)| message);
            Some((reasons::NO_VALID_CA_CERTIFICATE, format!("the Gateway's tls.frontend: {why}")))
        }
        _ => None,
    };
    listener.refused = listener.refused.take().or(refused);
    listener.client_auth = Some(Arc::new(client_auth));
    problem
}

fn read_one<'a>(owner: Owner<'a>, spec: &'a Listener) -> ListenerState<'a> {
    let speaks = Speaks::of(spec);
    let refused = match speaks {
        None => Some((
            reasons::UNSUPPORTED_PROTOCOL,
            format!("protocol {} is not supported; HTTP, HTTPS, TLS, TCP and UDP are", spec.protocol),
        )),
        Some(speaks) => unsupported_tls(spec, speaks).map(|message| (reasons::UNSUPPORTED_VALUE, message)),
    };
    let (allows, unresolved) = allowed_routes(spec, speaks);
    ListenerState {
        owner,
        spec,
        name: spec.name.as_str().into(),
        hostname: spec.hostname.as_deref().filter(|h| !h.is_empty()).map(Hostname::parse),
        speaks,
        refused,
        conflict: None,
        overlap: None,
        unresolved,
        certificates: Vec::new(),
        client_auth: None,
        allows,
        attached: BTreeSet::new(),
        accepted_routes: 0,
        hosts: HashMap::new(),
        claimed: HashMap::new(),
        streams: HashMap::new(),
        own_clusters: BTreeSet::new(),
        secured: BTreeSet::new(),
    }
}

/// What of the TLS settings is not built: never served without it.
fn unsupported_tls(spec: &Listener, speaks: Speaks) -> Option<String> {
    if speaks.wire() != Some(Protocol::Tls) {
        return spec.tls.is_some().then(|| format!("tls must not be set with protocol {}", spec.protocol));
    }
    if let Some(ListenerTlsConfig { mode, options, .. }) = &spec.tls {
        if speaks.terminates() && *mode != TlsMode::Terminate {
            return Some(format!("tls.mode {mode} is not supported with protocol {}", spec.protocol));
        }
        if let Some(option) = options.keys().next() {
            return Some(format!("tls.options: {option} is not supported; no option is"));
        }
    }
    None
}

fn allowed_routes(spec: &Listener, speaks: Option<Speaks>) -> (AllowedRoutes, Option<Refusal>) {
    let namespaces = match &spec.allowed_routes.namespaces.from {
        FromNamespaces::All => AllowedNamespaces::All,
        FromNamespaces::Same => AllowedNamespaces::Same,
        FromNamespaces::Selector => match spec.allowed_routes.namespaces.selector.clone().map(Selector::try_from) {
            Some(Ok(selector)) => AllowedNamespaces::Selected(selector),
            Some(Err(_)) | None => AllowedNamespaces::None,
        },
        FromNamespaces::Other(_) => AllowedNamespaces::None,
    };
    let Some(speaks) = speaks else { return (AllowedRoutes { kinds: Vec::new(), namespaces }, None) };
    let wanted = &spec.allowed_routes.kinds;
    let names = |kind: &RouteKind, wanted: &RouteGroupKind| wanted.group == GROUP && wanted.kind == kind.name();
    let is_wanted = |kind: &RouteKind| wanted.is_empty() || wanted.iter().any(|w| names(kind, w));
    let kinds = speaks.kinds().iter().copied().filter(is_wanted).collect();
    let is_known = |wanted: &&RouteGroupKind| speaks.kinds().iter().any(|kind| names(kind, wanted));
    let invalid: BTreeSet<String> =
        wanted.iter().filter(|w| !is_known(w)).map(|w| format!("{}.{}", w.kind, w.group)).collect();
    let unresolved = (!invalid.is_empty()).then(|| {
        let invalid: Vec<String> = invalid.into_iter().collect();
        let known: Vec<&str> = speaks.kinds().iter().map(|kind| kind.name()).collect();
        let message = format!(
            "allowedRoutes.kinds: {} not supported with protocol {}, only {}",
            invalid.join(", "),
            spec.protocol,
            known.join(" and ")
        );
        (reasons::INVALID_ROUTE_KINDS, message)
    });
    (AllowedRoutes { kinds, namespaces }, unresolved)
}

/// Listeners on one port must agree on what is spoken there and be told apart by hostname; of those that do not, none is
/// served. One whose protocol we do not speak is refused anyway and takes nothing from the others. A UDP port is another
/// port than the TCP port of the same number.
fn find_conflicts(listeners: &mut [ListenerState<'_>]) {
    let mut ports: BTreeMap<(bool, u16), Vec<usize>> = BTreeMap::new();
    for (i, listener) in listeners.iter().enumerate() {
        if let Some(speaks) = listener.speaks {
            ports.entry((speaks == Speaks::Udp, listener.spec.port)).or_default().push(i);
        }
    }
    for members in ports.values() {
        let conflicts: Vec<(usize, Refusal)> = members
            .iter()
            .filter_map(|&i| {
                let others = members.iter().filter(|&&j| j != i);
                let found: Vec<_> = others
                    .filter_map(|&j| conflict(&listeners[i], &listeners[j]).map(|what| (what, &*listeners[j].name)))
                    .collect();
                let ((reason, what), _) =
                    *found.iter().min_by_key(|((reason, _), _)| *reason != reasons::PROTOCOL_CONFLICT)?;
                let names: Vec<&str> = found.iter().map(|(_, name)| *name).collect();
                let port = listeners[i].spec.port;
                Some((i, (reason, format!("{what} on port {port}: in conflict with {}", names.join(", ")))))
            })
            .collect();
        // Whoever shares a port on which protocols differ is in conflict with somebody.
        for (i, conflict) in conflicts {
            listeners[i].conflict = Some(conflict);
        }
    }
}

/// Of a listener and one of an object before it, the latter is served. Who owns it is not said: it may be somebody else's.
fn give_way(listeners: &mut [ListenerState<'_>], before: &[ListenerState<'_>]) {
    let is_udp = |l: &ListenerState<'_>| l.speaks == Some(Speaks::Udp);
    for listener in listeners.iter_mut().filter(|l| l.conflict.is_none()) {
        let shares = |other: &&ListenerState<'_>| {
            other.conflict.is_none() && other.spec.port == listener.spec.port && is_udp(other) == is_udp(listener)
        };
        let found = before.iter().filter(shares).find_map(|other| conflict(listener, other));
        listener.conflict = found.map(|(reason, what)| {
            let port = listener.spec.port;
            let message =
                format!("{what} on port {port}: a listener of the Gateway, or of an older ListenerSet, is served");
            (reason, message)
        });
    }
}

/// Why two listeners on a port cannot be told apart.
fn conflict(a: &ListenerState<'_>, b: &ListenerState<'_>) -> Option<(&'static str, &'static str)> {
    let (wire, other) = (a.speaks?.wire(), b.speaks?.wire());
    if wire != other {
        Some((reasons::PROTOCOL_CONFLICT, "protocols differ"))
    } else if matches!(wire, None | Some(Protocol::Tcp)) {
        Some((reasons::PROTOCOL_CONFLICT, "nothing tells the listeners apart"))
    } else if a.hostname == b.hostname {
        Some((reasons::HOSTNAME_CONFLICT, "hostnames are equal"))
    } else {
        None
    }
}

/// A connection that was made for one hostname can be used for another that the same certificate covers: said of HTTPS
/// listeners on one port whose hostnames overlap.
fn find_overlaps(listeners: &mut [ListenerState<'_>]) {
    let overlap = |a: &ListenerState<'_>, b: &ListenerState<'_>| {
        let hostnames = match (&a.hostname, &b.hostname) {
            (Some(a), Some(b)) => hostname::intersect(a, b).is_some(),
            _ => true,
        };
        let https = |l: &ListenerState<'_>| l.speaks == Some(Speaks::Https);
        https(a) && https(b) && a.spec.port == b.spec.port && hostnames
    };
    let messages: Vec<Option<String>> = (0..listeners.len())
        .map(|i| {
            let others = (0..listeners.len()).filter(|&j| j != i && overlap(&listeners[i], &listeners[j]));
            let names: Vec<&str> = others.map(|j| &*listeners[j].name).collect();
            (!names.is_empty()).then(|| format!("the hostname overlaps with that of {}", names.join(", ")))
        })
        .collect();
    for (listener, message) in listeners.iter_mut().zip(messages) {
        listener.overlap = message;
    }
}
