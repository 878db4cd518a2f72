//! The one rule of a TLSRoute, TCPRoute or UDPRoute.

use purlin_gateway_api::{BackendObjectReference, ForwardRule};

use crate::compiled::References;
use crate::listeners::Refusal;
use crate::model::{RouteName, StreamBackend, StreamRoute};
use crate::reasons;

/// Compiles the rule; the route is refused where there is not one, since nothing says which of several is meant.
pub(crate) fn compile(
    name: &RouteName,
    rules: &[ForwardRule],
    references: &mut References<'_>,
) -> (StreamRoute, Vec<(usize, Refusal)>) {
    let [rule] = rules else {
        let message = format!("rules: there must be one, not {}", rules.len());
        let refused = (0..rules.len()).map(|i| (i, (reasons::UNSUPPORTED_VALUE, message.clone()))).collect();
        return (StreamRoute { route: name.clone(), backends: Vec::new() }, refused);
    };
    let backends = rule.backend_refs.iter().map(|reference| StreamBackend {
        weight: u32::try_from(reference.weight).unwrap_or(0),
        cluster: references.resolve(BackendObjectReference {
            group: reference.group.clone(),
            kind: reference.kind.clone(),
            name: reference.name.clone(),
            namespace: reference.namespace.clone(),
            port: reference.port,
        }),
    });
    (StreamRoute { route: name.clone(), backends: backends.collect() }, Vec::new())
}
