//! Backends: what a route, or a filter of one, sends traffic to.

use purlin_crd::schema::rule;
use schemars::Schema;

use crate::refs::reference;

pub(crate) fn service_kind() -> String {
    "Service".to_owned()
}

pub(crate) fn one() -> i32 {
    1
}

/// A Service cannot be reached without a port.
pub(crate) fn service_has_port(schema: &mut Schema) {
    rule(
        schema,
        "(size(self.group) == 0 && self.kind == 'Service') ? has(self.port) : true",
        "Must have port for Service reference",
    );
}

reference! {
    /// A backend, in this or, where a ReferenceGrant allows it, in another namespace.
    #[schemars(transform = service_has_port)]
    pub struct BackendObjectReference to "backend" {
        backend,
    }
}

reference! {
    /// A backend with its share of what the rule gets.
    #[schemars(transform = service_has_port)]
    pub struct BackendRef to "backend" {
        backend,
        weight,
    }
}
