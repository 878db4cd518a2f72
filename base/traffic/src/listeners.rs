//! Listeners of a Gateway: which are served, and what their conditions say.
//!
//! Data flows: the listener alone (protocol, TLS, kinds) -> against its siblings (conflicts) -> certificates. Routes
//! are attached afterwards, whatever the listener's own state is: Gateway API counts them all the same.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use kube::core::{Selector, SelectorExt as _};
use purlin_gateway_api::{FromNamespaces, GROUP, Gateway, Listener, ListenerTlsConfig, TlsMode};

use crate::certificates::Certificates;
use crate::input::Input;
use crate::model::{Certificate, Host, Hostname, ObjectName, Protocol};
use crate::precedence::{self, Candidate};
use crate::{hostname, reasons};

/// A reason and its words.
pub(crate) type Refusal = (&'static str, String);

/// A listener, as far as it is known.
pub(crate) struct ListenerState<'a> {
    pub spec: &'a Listener,
    pub name: Arc<str>,
    pub hostname: Option<Hostname>,
    /// None where we do not speak it.
    pub protocol: Option<Protocol>,
    /// Why it is not accepted.
    pub refused: Option<Refusal>,
    /// With which siblings it cannot be told apart.
    pub conflict: Option<Refusal>,
    /// Siblings whose hostnames overlap, where that concerns TLS.
    pub overlap: Option<String>,
    /// What it refers to and is not there, or not ours to serve.
    pub unresolved: Option<Refusal>,
    pub certificates: Vec<Arc<Certificate>>,
    pub allows: AllowedRoutes,
    /// The routes that are attached.
    pub attached: BTreeSet<ObjectName>,
    /// How many of them are accepted; the data plane may have refused all that the others ask for.
    pub accepted_routes: i32,
    /// Their rules by hostname.
    pub hosts: HashMap<Option<Hostname>, Vec<Candidate>>,
}

/// Which routes may attach to a listener.
pub(crate) struct AllowedRoutes {
    /// HTTPRoute is one of the kinds.
    pub http: bool,
    namespaces: AllowedNamespaces,
}

enum AllowedNamespaces {
    All,
    Same,
    Selected(Selector),
    None,
}

impl AllowedRoutes {
    /// Whether an HTTPRoute of `namespace` may attach to a listener of a Gateway in `gateway_namespace`.
    pub(crate) fn permit(&self, gateway_namespace: &str, namespace: &str, input: &Input) -> bool {
        self.http
            && match &self.namespaces {
                AllowedNamespaces::All => true,
                AllowedNamespaces::Same => gateway_namespace == namespace,
                AllowedNamespaces::Selected(selector) => {
                    input.namespace_labels(namespace).is_some_and(|labels| selector.matches(labels))
                }
                AllowedNamespaces::None => false,
            }
    }
}

impl ListenerState<'_> {
    /// Whether the data plane gets it.
    pub(crate) fn is_served(&self) -> bool {
        let usable = match self.protocol {
            None => false,
            Some(Protocol::Http | Protocol::Tcp) => true,
            Some(Protocol::Tls) => !self.certificates.is_empty(),
        };
        usable && self.refused.is_none() && self.conflict.is_none()
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

/// The listeners of a Gateway, without routes.
pub(crate) fn read<'a>(
    name: &ObjectName,
    gateway: &'a Gateway,
    certificates: &mut Certificates<'_>,
) -> Vec<ListenerState<'a>> {
    let mut listeners: Vec<_> = gateway.spec.listeners.iter().map(|spec| read_one(gateway, spec)).collect();
    find_conflicts(&mut listeners);
    find_overlaps(&mut listeners);
    for listener in listeners.iter_mut().filter(|l| l.protocol == Some(Protocol::Tls)) {
        let references = listener.spec.tls.as_ref().map(|tls| tls.certificate_refs.as_slice()).unwrap_or_default();
        let (found, problem) = certificates.resolve(name, references);
        listener.certificates = found;
        // Of two reasons the one that stops traffic is said.
        listener.unresolved = problem.or(listener.unresolved.take());
    }
    listeners
}

fn read_one<'a>(gateway: &Gateway, spec: &'a Listener) -> ListenerState<'a> {
    let protocol = match spec.protocol.as_str() {
        "HTTP" => Some(Protocol::Http),
        "HTTPS" => Some(Protocol::Tls),
        _ => None,
    };
    let refused = match protocol {
        None => Some((
            reasons::UNSUPPORTED_PROTOCOL,
            format!("protocol {} is not supported; HTTP and HTTPS are", spec.protocol),
        )),
        Some(protocol) => unsupported_tls(gateway, spec, protocol).map(|message| (reasons::UNSUPPORTED_VALUE, message)),
    };
    let (allows, unresolved) = allowed_routes(spec, protocol);
    ListenerState {
        spec,
        name: spec.name.as_str().into(),
        hostname: spec.hostname.as_deref().filter(|h| !h.is_empty()).map(Hostname::parse),
        protocol,
        refused,
        conflict: None,
        overlap: None,
        unresolved,
        certificates: Vec::new(),
        allows,
        attached: BTreeSet::new(),
        accepted_routes: 0,
        hosts: HashMap::new(),
    }
}

/// What of the TLS settings is not built: never served without it.
fn unsupported_tls(gateway: &Gateway, spec: &Listener, protocol: Protocol) -> Option<String> {
    if protocol == Protocol::Http {
        return spec.tls.is_some().then(|| "tls must not be set with protocol HTTP".to_owned());
    }
    if let Some(ListenerTlsConfig { mode, options, .. }) = &spec.tls {
        if *mode != TlsMode::Terminate {
            return Some(format!("tls.mode {mode} is not supported with protocol HTTPS; Terminate is"));
        }
        if let Some(option) = options.keys().next() {
            return Some(format!("tls.options: {option} is not supported; no option is"));
        }
    }
    let frontend = gateway.spec.tls.as_ref()?.frontend.as_ref()?;
    let (field, validation) = match frontend.per_port.iter().find(|p| p.port == spec.port) {
        Some(port) => ("perPort[].tls", &port.tls.validation),
        None => ("default", &frontend.default.validation),
    };
    validation
        .is_some()
        .then(|| format!("the Gateway's tls.frontend.{field}.validation (client certificates) is not supported"))
}

fn allowed_routes(spec: &Listener, protocol: Option<Protocol>) -> (AllowedRoutes, Option<Refusal>) {
    let namespaces = match &spec.allowed_routes.namespaces.from {
        FromNamespaces::All => AllowedNamespaces::All,
        FromNamespaces::Same => AllowedNamespaces::Same,
        FromNamespaces::Selector => match spec.allowed_routes.namespaces.selector.clone().map(Selector::try_from) {
            Some(Ok(selector)) => AllowedNamespaces::Selected(selector),
            Some(Err(_)) | None => AllowedNamespaces::None,
        },
        FromNamespaces::Other(_) => AllowedNamespaces::None,
    };
    let kinds = &spec.allowed_routes.kinds;
    let is_http = |kind: &purlin_gateway_api::RouteGroupKind| kind.group == GROUP && kind.kind == "HTTPRoute";
    let invalid: BTreeSet<String> =
        kinds.iter().filter(|k| !is_http(k)).map(|k| format!("{}.{}", k.kind, k.group)).collect();
    let unresolved = (protocol.is_some() && !invalid.is_empty()).then(|| {
        let invalid: Vec<String> = invalid.into_iter().collect();
        (
            reasons::INVALID_ROUTE_KINDS,
            format!(
                "allowedRoutes.kinds: {} not supported with protocol {}; HTTPRoute is",
                invalid.join(", "),
                spec.protocol
            ),
        )
    });
    let http = protocol.is_some() && (kinds.is_empty() || kinds.iter().any(is_http));
    (AllowedRoutes { http, namespaces }, unresolved)
}

/// Listeners on one port must agree on the protocol and differ in the hostname; of those that do not, none is served.
/// One whose protocol we do not speak is refused anyway and takes nothing from the others.
fn find_conflicts(listeners: &mut [ListenerState<'_>]) {
    let mut ports: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
    for (i, listener) in listeners.iter().enumerate().filter(|(_, l)| l.protocol.is_some()) {
        ports.entry(listener.spec.port).or_default().push(i);
    }
    for (port, members) in ports {
        let mixed = members.windows(2).any(|w| listeners[w[0]].protocol != listeners[w[1]].protocol);
        let mut conflicts: Vec<(usize, Refusal)> = Vec::new();
        for &i in &members {
            let same: Vec<&str> = members
                .iter()
                .filter(|&&j| j != i && (mixed || listeners[j].hostname == listeners[i].hostname))
                .map(|&j| &*listeners[j].name)
                .collect();
            if same.is_empty() {
                continue;
            }
            let (reason, what) = match mixed {
                true => (reasons::PROTOCOL_CONFLICT, "protocols differ"),
                false => (reasons::HOSTNAME_CONFLICT, "hostnames are equal"),
            };
            conflicts.push((i, (reason, format!("{what} on port {port}: in conflict with {}", same.join(", ")))));
        }
        for (i, conflict) in conflicts {
            listeners[i].conflict = Some(conflict);
        }
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
        let https = |l: &ListenerState<'_>| l.protocol == Some(Protocol::Tls);
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
