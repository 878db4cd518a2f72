//! Objects that a server has to accept, and objects that it has to refuse with the reason: `cases/*.yaml`.
//!
//! A file is for one kind, or for what several kinds have in common; there a case says only what it is about, and the
//! rest of the spec that a kind needs is filled in.

pub use purlin_crd::cases::{Case, Refusal};
use serde_json::{Value, json};

const ROUTE: &str = include_str!("../cases/route.yaml");
const L4_ROUTE: &str = include_str!("../cases/l4route.yaml");
const LISTENER: &str = include_str!("../cases/listener.yaml");

/// A kind, its own cases, and those that it shares with others.
type Files = (&'static str, &'static str, &'static [&'static str]);

const FILES: [Files; 10] = [
    ("GatewayClass", include_str!("../cases/gatewayclass.yaml"), &[]),
    ("Gateway", include_str!("../cases/gateway.yaml"), &[LISTENER]),
    ("ListenerSet", include_str!("../cases/listenerset.yaml"), &[LISTENER]),
    ("HTTPRoute", include_str!("../cases/httproute.yaml"), &[ROUTE]),
    ("GRPCRoute", include_str!("../cases/grpcroute.yaml"), &[ROUTE]),
    ("TLSRoute", include_str!("../cases/tlsroute.yaml"), &[ROUTE, L4_ROUTE]),
    ("TCPRoute", include_str!("../cases/tcproute.yaml"), &[ROUTE, L4_ROUTE]),
    ("UDPRoute", include_str!("../cases/udproute.yaml"), &[ROUTE, L4_ROUTE]),
    ("BackendTLSPolicy", include_str!("../cases/backendtlspolicy.yaml"), &[]),
    ("ReferenceGrant", include_str!("../cases/referencegrant.yaml"), &[]),
];

/// All cases of all kinds, in version v1.
///
/// # Panics
/// Where an embedded file is not well-formed; the tests of this crate read them all.
pub fn cases() -> Vec<Case> {
    let crds = crate::crds();
    let cases = |(kind, own, shared): &Files| {
        let crd = crds.iter().find(|crd| crd["spec"]["names"]["kind"] == *kind);
        let crd = crd.unwrap_or_else(|| panic!("no kind {kind}"));
        let mut cases = purlin_crd::cases::read(crd, "v1", own);
        for text in *shared {
            cases.extend(purlin_crd::cases::read(crd, "v1", text).into_iter().map(|case| filled_in(kind, case)));
        }
        cases
    };
    FILES.iter().flat_map(cases).collect()
}

/// The case with all that an object of its kind has to have, unless it has no spec at all.
fn filled_in(kind: &str, mut case: Case) -> Case {
    let rules = json!([{ "backendRefs": [{ "name": "web", "port": 80 }] }]);
    let needed = match kind {
        "Gateway" => json!({ "gatewayClassName": "purlin" }),
        "ListenerSet" => json!({ "parentRef": { "name": "edge" } }),
        "TLSRoute" => json!({ "hostnames": ["example.com"], "rules": rules }),
        "TCPRoute" | "UDPRoute" => json!({ "rules": rules }),
        _ => json!({}),
    };
    if let (Some(Value::Object(spec)), Value::Object(needed)) = (case.object.get_mut("spec"), needed) {
        for (field, value) in needed {
            spec.entry(field).or_insert(value);
        }
    }
    case
}
