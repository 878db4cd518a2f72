//! Objects that a server has to accept, and objects that it has to refuse with the reason: `cases/<kind>.yaml`.

pub use purlin_crd::cases::{Case, Refusal};

const FILES: [(&str, &str); 4] = [
    ("GatewayClass", include_str!("../cases/gatewayclass.yaml")),
    ("Gateway", include_str!("../cases/gateway.yaml")),
    ("HTTPRoute", include_str!("../cases/httproute.yaml")),
    ("ReferenceGrant", include_str!("../cases/referencegrant.yaml")),
];

/// All cases of all kinds, in version v1.
///
/// # Panics
/// Where an embedded file is not well-formed; the tests of this crate read them all.
pub fn cases() -> Vec<Case> {
    let crds = crate::crds();
    let cases = |(kind, text): &(&str, &str)| {
        let crd = crds.iter().find(|crd| crd["spec"]["names"]["kind"] == *kind);
        purlin_crd::cases::read(crd.unwrap_or_else(|| panic!("no kind {kind}")), "v1", text)
    };
    FILES.iter().flat_map(cases).collect()
}
