//! Bundles of certificate authorities: the key `ca.crt` of ConfigMaps.
//!
//! Here it is checked that there is PEM of a certificate; whether it can be used is for the data plane to say.

use std::sync::Arc;

use purlin_gateway_api::{FrontendTlsValidation, FrontendValidationMode, ObjectReference};

use crate::grants::{Grants, Referrer};
use crate::input::Input;
use crate::listeners::Refusal;
use crate::model::{ClientAuth, ObjectName};
use crate::reasons;

const KEY: &str = "ca.crt";
const PEM: &str = "-----BEGIN CERTIFICATE-----";

/// The bundle of a ConfigMap, or what is wrong with it.
pub(crate) fn read(input: &Input, name: &ObjectName) -> Result<Arc<[u8]>, String> {
    let Some(object) = input.config_maps.get(name) else { return Err(format!("ConfigMap {name} not found")) };
    let bundle = object.data.as_ref().and_then(|data| data.get(KEY));
    let Some(bundle) = bundle else { return Err(format!("ConfigMap {name} has no key {KEY}")) };
    match bundle.contains(PEM) {
        true => Ok(bundle.as_bytes().into()),
        false => Err(format!("ConfigMap {name}: {KEY} has no certificate in PEM")),
    }
}

/// What clients' certificates are judged by, and what is wrong with the first of the references that do not resolve.
pub(crate) fn client_auth(
    (input, grants): (&Input, &Grants<'_>),
    from: Referrer<'_>,
    validation: &FrontendTlsValidation,
) -> (ClientAuth, Option<Refusal>) {
    let (mut authorities, mut problem) = (Vec::new(), None);
    for reference in &validation.ca_certificate_refs {
        match referred((input, grants), from, reference) {
            Ok(bundle) => authorities.push(bundle),
            Err(refusal) => problem = problem.or(Some(refusal)),
        }
    }
    let optional = validation.mode == FrontendValidationMode::AllowInsecureFallback;
    (ClientAuth { authorities, optional }, problem)
}

fn referred(
    (input, grants): (&Input, &Grants<'_>),
    from: Referrer<'_>,
    reference: &ObjectReference,
) -> Result<Arc<[u8]>, Refusal> {
    let name = ObjectName::new(reference.namespace.as_deref().unwrap_or(from.namespace), &reference.name);
    if !reference.group.is_empty() || reference.kind != "ConfigMap" {
        let message = format!("caCertificateRefs: kind {} is not supported, only ConfigMap", reference.kind);
        return Err((reasons::INVALID_CA_CERTIFICATE_KIND, message));
    }
    if !grants.permit(from, "ConfigMap", &name) {
        let message = format!(
            "no ReferenceGrant in namespace {} permits {}s of {} to refer to ConfigMap {name}",
            name.namespace, from.kind, from.namespace
        );
        return Err((reasons::REF_NOT_PERMITTED, message));
    }
    read(input, &name).map_err(|message| (reasons::INVALID_CA_CERTIFICATE_REF, message))
}
