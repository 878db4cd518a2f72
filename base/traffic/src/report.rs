//! What is to be said in status: of a class, of a Gateway and its listeners, of a route at each of its parents.
//!
//! Reports hold what is so; [`crate::status`] merges them into the statuses that the objects have.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use purlin_gateway_api::ParentReference;

use crate::condition::Condition;
use crate::input::{AddressProblem, GatewayAddresses, Input, Unusable};
use crate::listeners::{ListenerState, Refusal};
use crate::model::RouteKind;
use crate::reasons::{self, condition};

/// Of a GatewayClass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassReport {
    /// The generation that was looked at.
    pub generation: Option<i64>,
    /// Accepted, SupportedVersion.
    pub conditions: Vec<Condition>,
}

/// Of a Gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayReport {
    /// The generation that was looked at.
    pub generation: Option<i64>,
    /// Accepted, Programmed, ResolvedRefs, InsecureFrontendValidationMode.
    pub conditions: Vec<Condition>,
    /// Where it is bound.
    pub addresses: Vec<IpAddr>,
    /// How many ListenerSets are accepted.
    pub attached_listener_sets: i32,
    /// One entry for each of its own listeners, in its order.
    pub listeners: Vec<ListenerReport>,
}

/// Of a ListenerSet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSetReport {
    /// The generation that was looked at.
    pub generation: Option<i64>,
    /// Accepted, Programmed.
    pub conditions: Vec<Condition>,
    /// One entry a listener, in the set's order.
    pub listeners: Vec<ListenerReport>,
}

impl ListenerSetReport {
    pub(crate) fn is_accepted(&self) -> bool {
        self.conditions.iter().any(|c| c.kind == condition::ACCEPTED && c.status)
    }
}

/// Of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerReport {
    /// `listeners[].name`.
    pub name: Arc<str>,
    /// The kinds of routes that may attach.
    pub kinds: Vec<RouteKind>,
    /// Routes that are attached and accepted.
    pub attached_routes: i32,
    /// Accepted, Conflicted, Programmed, ResolvedRefs, OverlappingTLSConfig.
    pub conditions: Vec<Condition>,
}

/// Of a route.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteReport {
    /// The generation that was looked at.
    pub generation: Option<i64>,
    /// One entry for each parentRef that is a Gateway of ours.
    pub parents: Vec<ParentReport>,
}

/// Of a route at one parent.
#[derive(Clone, Debug, PartialEq)]
pub struct ParentReport {
    /// As the route has it.
    pub parent: ParentReference,
    /// Accepted, ResolvedRefs, PartiallyInvalid.
    pub conditions: Vec<Condition>,
}

/// Of a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyReport {
    /// The generation that was looked at.
    pub generation: Option<i64>,
    /// One entry for each Gateway of ours that it takes effect at: Accepted, ResolvedRefs.
    pub ancestors: Vec<ParentReport>,
}

/// What a Gateway's report is made of.
pub(crate) struct GatewayFacts<'a> {
    pub generation: Option<i64>,
    /// Why it is not accepted as a whole.
    pub refused: Option<Refusal>,
    /// What it refers to, besides its listeners, and is not there.
    pub unresolved: Option<&'a Refusal>,
    /// Where clients are served whose certificates do not verify.
    pub insecure: Vec<String>,
    pub addresses: GatewayAddresses,
    /// Its own.
    pub listeners: Vec<&'a ListenerState<'a>>,
}

pub(crate) fn gateway(facts: &GatewayFacts<'_>, attached_sets: usize, input: &Input) -> GatewayReport {
    let listeners: Vec<ListenerReport> = facts.listeners.iter().map(|l| listener(facts, l, input)).collect();
    let mut conditions = vec![
        gateway_accepted(facts, &listeners, input),
        gateway_programmed(facts, &listeners),
        gateway_resolved(facts, &listeners),
    ];
    if !facts.insecure.is_empty() {
        let message = format!(
            "tls.frontend ({}): clients are served though their certificates are missing or do not verify",
            facts.insecure.join(", ")
        );
        let kind = condition::INSECURE_FRONTEND_VALIDATION_MODE;
        conditions.push(Condition::yes(kind, reasons::CONFIGURATION_CHANGED, message));
    }
    let addresses = if facts.refused.is_none() { facts.addresses.assigned.clone() } else { Vec::new() };
    let attached_listener_sets = i32::try_from(attached_sets).unwrap_or(i32::MAX);
    GatewayReport { generation: facts.generation, conditions, addresses, attached_listener_sets, listeners }
}

/// Of a set with these listeners, which the Gateway allows or not.
pub(crate) fn listener_set(
    facts: &GatewayFacts<'_>,
    (generation, allowed): (Option<i64>, bool),
    listeners: &[&ListenerState<'_>],
    input: &Input,
) -> ListenerSetReport {
    let listeners: Vec<ListenerReport> = listeners.iter().map(|l| listener(facts, l, input)).collect();
    let named = |kind: &str| listeners.iter().filter(|l| has(l, kind)).map(|l| &*l.name).collect::<Vec<_>>();
    let (accepted, programmed) = (named(condition::ACCEPTED), named(condition::PROGRAMMED));
    let both = |reason, message: &str| [Err((reason, message.to_owned())), Err((reason, message.to_owned()))];
    let [accepted, programmed] = match () {
        () if !allowed => {
            both(reasons::NOT_ALLOWED, "the Gateway's allowedListeners do not allow sets of this namespace")
        }
        () if facts.refused.is_some() => [
            Err((reasons::PARENT_NOT_ACCEPTED, "the Gateway is not accepted".to_owned())),
            Err((reasons::PARENT_NOT_PROGRAMMED, "the Gateway is not accepted".to_owned())),
        ],
        () if accepted.is_empty() => {
            both(reasons::LISTENERS_NOT_VALID, "no listener is accepted; see the conditions of the listeners")
        }
        () => [
            match accepted.len() == listeners.len() {
                true => Ok((reasons::ACCEPTED, "all listeners are accepted".to_owned())),
                false => {
                    let message = format!("only {} accepted; see the conditions of the listeners", accepted.join(", "));
                    Ok((reasons::LISTENERS_NOT_VALID, message))
                }
            },
            match () {
                () if facts.addresses.assigned.is_empty() => {
                    Err((reasons::PARENT_NOT_PROGRAMMED, "the Gateway has no address".to_owned()))
                }
                () if programmed.is_empty() => Err((
                    reasons::LISTENERS_NOT_VALID,
                    "no listener is served; see the conditions of the listeners".to_owned(),
                )),
                () => Ok((reasons::PROGRAMMED, format!("listening for {}", programmed.join(", ")))),
            },
        ],
    };
    let condition = |kind, verdict: Result<Refusal, Refusal>| match verdict {
        Ok((reason, message)) => Condition::yes(kind, reason, message),
        Err((reason, message)) => Condition::no(kind, reason, message),
    };
    let conditions = vec![condition(condition::ACCEPTED, accepted), condition(condition::PROGRAMMED, programmed)];
    ListenerSetReport { generation, conditions, listeners }
}

/// The names of the listeners that do not have the condition.
fn without<'l>(listeners: &'l [ListenerReport], kind: &str) -> Vec<&'l str> {
    listeners.iter().filter(|l| !has(l, kind)).map(|l| &*l.name).collect()
}

fn has(listener: &ListenerReport, kind: &str) -> bool {
    listener.conditions.iter().any(|c| c.kind == kind && c.status)
}

fn gateway_accepted(facts: &GatewayFacts<'_>, listeners: &[ListenerReport], input: &Input) -> Condition {
    if let Some((reason, message)) = &facts.refused {
        return Condition::no(condition::ACCEPTED, reason, message);
    }
    let refused = without(listeners, condition::ACCEPTED);
    if refused.len() == listeners.len() {
        let message = "no listener is accepted; see the conditions of the listeners";
        return Condition::no(condition::ACCEPTED, reasons::LISTENERS_NOT_VALID, message);
    }
    let is_invalid = |l: &&&ListenerState<'_>| !serves(l, input) || refused.contains(&&*l.name);
    let invalid: Vec<&str> = facts.listeners.iter().filter(is_invalid).map(|l| &*l.name).collect();
    if invalid.is_empty() {
        return Condition::yes(condition::ACCEPTED, reasons::ACCEPTED, "all listeners are accepted");
    }
    let message = format!("accepted without the listeners {}; see their conditions", invalid.join(", "));
    Condition::yes(condition::ACCEPTED, reasons::LISTENERS_NOT_VALID, message)
}

fn gateway_programmed(facts: &GatewayFacts<'_>, listeners: &[ListenerReport]) -> Condition {
    let no = |reason, message: &str| Condition::no(condition::PROGRAMMED, reason, message);
    if facts.refused.is_some() {
        return no(reasons::INVALID, "the Gateway is not accepted");
    }
    match &facts.addresses.problem {
        Some(AddressProblem::NotUsable(message)) => return no(reasons::ADDRESS_NOT_USABLE, message),
        Some(AddressProblem::NotAssigned(message)) => return no(reasons::ADDRESS_NOT_ASSIGNED, message),
        None if facts.addresses.assigned.is_empty() => {
            return no(reasons::ADDRESS_NOT_ASSIGNED, "no address is assigned yet");
        }
        None => {}
    }
    let served: Vec<&str> = listeners.iter().filter(|l| has(l, condition::PROGRAMMED)).map(|l| &*l.name).collect();
    if served.is_empty() {
        return no(reasons::INVALID, "no listener is served; see the conditions of the listeners");
    }
    let addresses: Vec<String> = facts.addresses.assigned.iter().map(ToString::to_string).collect();
    let message = format!("listening on {} for {}", addresses.join(", "), served.join(", "));
    Condition::yes(condition::PROGRAMMED, reasons::PROGRAMMED, message)
}

fn gateway_resolved(facts: &GatewayFacts<'_>, listeners: &[ListenerReport]) -> Condition {
    if let Some((reason, message)) = facts.unresolved {
        return Condition::no(condition::RESOLVED_REFS, reason, message);
    }
    let unresolved = without(listeners, condition::RESOLVED_REFS);
    if unresolved.is_empty() {
        return Condition::yes(condition::RESOLVED_REFS, reasons::RESOLVED_REFS, "all references resolve");
    }
    let message = format!("see the conditions of the listeners {}", unresolved.join(", "));
    Condition::no(condition::RESOLVED_REFS, reasons::LISTENERS_NOT_RESOLVED, message)
}

fn listener(facts: &GatewayFacts<'_>, listener: &ListenerState<'_>, input: &Input) -> ListenerReport {
    let verdict = |kind, good, words: String, problem: Option<&Refusal>| match problem {
        None => Condition::yes(kind, good, words),
        Some((reason, message)) => Condition::no(kind, reason, message),
    };
    let sockets: Vec<String> = sockets(facts, listener).map(|socket| socket.to_string()).collect();
    let accepts = format!("{} on port {}", listener.spec.protocol, listener.spec.port);
    let listens = format!("listening on {}", sockets.join(", "));
    let resolves = "all references resolve".to_owned();
    let unbound = refused(listener, input).or_else(|| unbound(facts, listener, input));
    let unusable = unusable(listener, input).map(|why| (reasons::INVALID_CERTIFICATE_REF, why.message.clone()));
    let accepted = listener.refused.as_ref().or(listener.conflict.as_ref()).or(unbound.as_ref());
    let unresolved = unusable.as_ref().or(listener.unresolved.as_ref());
    let programmed = match () {
        () if facts.refused.is_some() => Some((reasons::INVALID, "the Gateway is not accepted".to_owned())),
        () if accepted.is_some() => {
            // Of a listener in a set, Programmed has the reason of the conflict too.
            let conflict = listener.conflict.as_ref().filter(|_| listener.owner.set.is_some());
            let reason = conflict.map_or(reasons::INVALID, |(reason, _)| reason);
            Some((reason, "the listener is not accepted".to_owned()))
        }
        () if !serves(listener, input) => {
            Some((reasons::INVALID, "the listener has no certificate that can be served".to_owned()))
        }
        () if facts.addresses.assigned.is_empty() => Some((reasons::INVALID, "the Gateway has no address".to_owned())),
        () => None,
    };
    let conflicted = match &listener.conflict {
        Some((reason, message)) => Condition::yes(condition::CONFLICTED, reason, message),
        None => Condition::no(condition::CONFLICTED, reasons::NO_CONFLICTS, "no other listener conflicts with it"),
    };
    let mut conditions = vec![
        verdict(condition::ACCEPTED, reasons::ACCEPTED, accepts, accepted),
        conflicted,
        verdict(condition::PROGRAMMED, reasons::PROGRAMMED, listens, programmed.as_ref()),
        verdict(condition::RESOLVED_REFS, reasons::RESOLVED_REFS, resolves, unresolved),
    ];
    if let Some(message) = &listener.overlap {
        conditions.push(Condition::yes(condition::OVERLAPPING_TLS_CONFIG, reasons::OVERLAPPING_HOSTNAMES, message));
    }
    ListenerReport {
        name: Arc::clone(&listener.name),
        kinds: listener.allows.kinds.clone(),
        attached_routes: listener.accepted_routes,
        conditions,
    }
}

/// What the data plane says of the listener's certificates.
fn unusable<'i>(listener: &ListenerState<'_>, input: &'i Input) -> Option<&'i Unusable> {
    input.plane.listeners.get(&listener.full_name())
}

/// Why the data plane does not serve the listener.
fn refused(listener: &ListenerState<'_>, input: &Input) -> Option<Refusal> {
    let why = input.plane.refused.get(&listener.full_name())?;
    Some((reasons::UNSUPPORTED_VALUE, why.clone()))
}

/// Whether the data plane has the listener, and something to serve it with.
fn serves(listener: &ListenerState<'_>, input: &Input) -> bool {
    listener.is_served() && unusable(listener, input).is_none_or(|why| why.served)
}

/// Where the listener is bound.
fn sockets(facts: &GatewayFacts<'_>, listener: &ListenerState<'_>) -> impl Iterator<Item = SocketAddr> {
    facts.addresses.assigned.iter().map(|ip| SocketAddr::new(*ip, listener.spec.port))
}

/// Why the data plane has not bound a socket of the listener.
fn unbound(facts: &GatewayFacts<'_>, listener: &ListenerState<'_>, input: &Input) -> Option<Refusal> {
    let (socket, error) =
        sockets(facts, listener).filter_map(|socket| input.plane.binds.get_key_value(&socket)).next()?;
    Some((reasons::PORT_UNAVAILABLE, format!("cannot listen on {socket}: {error}")))
}
