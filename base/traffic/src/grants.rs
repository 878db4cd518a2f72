//! ReferenceGrants: the owner of a namespace allows references into it.

use std::collections::BTreeMap;
use std::sync::Arc;

use purlin_gateway_api::{GROUP, ReferenceGrant};

use crate::input::Input;
use crate::model::ObjectName;

/// The grants by the namespace that gives them.
pub(crate) struct Grants<'a>(BTreeMap<&'a str, Vec<&'a ReferenceGrant>>);

/// Who refers: a kind of Gateway API in a namespace.
#[derive(Clone, Copy)]
pub(crate) struct Referrer<'a> {
    pub kind: &'a str,
    pub namespace: &'a str,
}

impl<'a> Grants<'a> {
    pub(crate) fn new(input: &'a Input) -> Self {
        let mut by_namespace: BTreeMap<&str, Vec<&ReferenceGrant>> = BTreeMap::new();
        for (name, grant) in &input.reference_grants {
            by_namespace.entry(&*name.namespace).or_default().push(Arc::as_ref(grant));
        }
        Grants(by_namespace)
    }

    /// Whether `from` may refer to the object of the core group: in its own namespace always, else by a grant.
    pub(crate) fn permit(&self, from: Referrer<'_>, to_kind: &str, to: &ObjectName) -> bool {
        if from.namespace == &*to.namespace {
            return true;
        }
        self.0.get(&*to.namespace).into_iter().flatten().any(|grant| {
            let from_fits = |f: &purlin_gateway_api::ReferenceGrantFrom| {
                f.group == GROUP && f.kind == from.kind && f.namespace == from.namespace
            };
            let to_fits = |t: &purlin_gateway_api::ReferenceGrantTo| {
                t.group.is_empty() && t.kind == to_kind && t.name.as_deref().is_none_or(|name| name == &*to.name)
            };
            grant.spec.from.iter().any(from_fits) && grant.spec.to.iter().any(to_fits)
        })
    }
}
