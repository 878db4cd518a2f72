//! ListenerSets: listeners that are added to a Gateway from outside.
//!
//! A Gateway says which namespaces may; what they add comes after its own listeners, the oldest set first, and gives way
//! to what came before. Routes attach to a set by its name: they are none of the Gateway's, nor of another set's.

use std::collections::HashMap;
use std::sync::Arc;

use kube::ResourceExt as _;
use kube::core::{Selector, SelectorExt as _};
use purlin_gateway_api::{FromListenerNamespaces, GROUP, Gateway, ListenerSet};

use crate::certificates::Certificates;
use crate::input::Input;
use crate::listeners::{self, ListenerState, Owner};
use crate::model::ObjectName;
use crate::precedence::compare_names;

/// A set whose Gateway is ours.
pub(crate) struct SetState<'a> {
    pub name: &'a ObjectName,
    pub object: &'a ListenerSet,
    /// Whether the Gateway lets it add listeners.
    pub allowed: bool,
}

/// All sets by the Gateway that they name, the oldest first.
pub(crate) fn by_gateway(input: &Input) -> HashMap<ObjectName, Vec<(&ObjectName, &ListenerSet)>> {
    let mut sets: HashMap<ObjectName, Vec<(&ObjectName, &ListenerSet)>> = HashMap::new();
    for (name, set) in &input.listener_sets {
        let parent = &set.spec.parent_ref;
        if parent.group == GROUP && parent.kind == "Gateway" {
            let namespace = parent.namespace.as_deref().unwrap_or(&name.namespace);
            sets.entry(ObjectName::new(namespace, &parent.name)).or_default().push((name, Arc::as_ref(set)));
        }
    }
    let age = |set: &ListenerSet| set.creation_timestamp().map(|t| t.0);
    for sets in sets.values_mut() {
        sets.sort_by(|(a, x), (b, y)| age(x).cmp(&age(y)).then_with(|| compare_names(a, b)));
    }
    sets
}

/// Adds the listeners of the sets that the Gateway allows.
pub(crate) fn add<'a>(
    (gateway_name, gateway): (&'a ObjectName, &'a Gateway),
    sets: &[(&'a ObjectName, &'a ListenerSet)],
    listeners: &mut Vec<ListenerState<'a>>,
    (input, certificates): (&Input, &mut Certificates<'_>),
) -> Vec<SetState<'a>> {
    let mut states = Vec::with_capacity(sets.len());
    for (name, object) in sets.iter().copied() {
        let allowed = allows(gateway_name, gateway, &name.namespace, input);
        if allowed {
            let owner = Owner { gateway: gateway_name, set: Some(name) };
            let added = listeners::read(owner, &object.spec.listeners, gateway, listeners, certificates);
            listeners.extend(added);
        }
        states.push(SetState { name, object, allowed });
    }
    states
}

/// Whether ListenerSets of a namespace may add listeners to the Gateway.
fn allows(name: &ObjectName, gateway: &Gateway, namespace: &str, input: &Input) -> bool {
    let Some(allowed) = &gateway.spec.allowed_listeners else { return false };
    match &allowed.namespaces.from {
        FromListenerNamespaces::All => true,
        FromListenerNamespaces::Same => *name.namespace == *namespace,
        FromListenerNamespaces::Selector => {
            let selector = allowed.namespaces.selector.clone().map(Selector::try_from);
            let labels = input.namespace_labels(namespace);
            matches!((selector, labels), (Some(Ok(selector)), Some(labels)) if selector.matches(labels))
        }
        FromListenerNamespaces::None | FromListenerNamespaces::Other(_) => false,
    }
}
