//! Certificates of listeners: from `certificateRefs` to Secrets of type `kubernetes.io/tls`.
//!
//! Here it is checked that a reference leads to such a Secret; whether what it holds can be served is for the data plane
//! to say, which loads it, and which knows what it can serve instead.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use purlin_gateway_api::{FrontendTlsValidation, SecretObjectReference};

use crate::authorities;
use crate::grants::{Grants, Referrer};
use crate::input::Input;
use crate::listeners::Refusal;
use crate::model::{Certificate, ClientAuth, ObjectName};
use crate::reasons;

/// Finds certificates; each Secret is read once.
pub(crate) struct Certificates<'a> {
    input: &'a Input,
    grants: &'a Grants<'a>,
    read: BTreeMap<ObjectName, Result<Arc<Certificate>, String>>,
}

impl<'a> Certificates<'a> {
    pub(crate) fn new(input: &'a Input, grants: &'a Grants<'a>) -> Self {
        Certificates { input, grants, read: BTreeMap::new() }
    }

    /// The certificates that a listener refers to, and what is wrong with the first of the other references.
    pub(crate) fn resolve(
        &mut self,
        from: Referrer<'_>,
        references: &[SecretObjectReference],
    ) -> (Vec<Arc<Certificate>>, Option<Refusal>) {
        if references.is_empty() {
            let message = "tls.certificateRefs: a listener at which TLS ends needs a certificate";
            return (Vec::new(), Some((reasons::INVALID_CERTIFICATE_REF, message.to_owned())));
        }
        let (mut found, mut problem) = (Vec::new(), None);
        for reference in references {
            match self.resolve_one(from, reference) {
                Ok(certificate) => found.push(certificate),
                Err(refusal) => problem = problem.or(Some(refusal)),
            }
        }
        (found, problem)
    }

    /// The certificate that a Gateway shows to backends.
    pub(crate) fn client(
        &mut self,
        from: Referrer<'_>,
        reference: &SecretObjectReference,
    ) -> Result<Arc<Certificate>, Refusal> {
        let has = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        let at = "tls.backend.clientCertificateRef";
        let found = self.resolve_one(from, reference).and_then(|certificate| {
            match has(&certificate.chain, "BEGIN CERTIFICATE-----") && has(&certificate.key, "PRIVATE KEY-----") {
                true => Ok(certificate),
                false => {
                    let message = format!("Secret {} has no certificate with its key in PEM", certificate.secret);
                    Err((reasons::INVALID_CERTIFICATE_REF, message))
                }
            }
        });
        found.map_err(|(reason, message)| match reason {
            reasons::INVALID_CERTIFICATE_REF => (reasons::INVALID_CLIENT_CERTIFICATE_REF, format!("{at}: {message}")),
            reason => (reason, format!("{at}: {message}")),
        })
    }

    /// What clients' certificates are judged by.
    pub(crate) fn client_auth(
        &self,
        from: Referrer<'_>,
        validation: &FrontendTlsValidation,
    ) -> (ClientAuth, Option<Refusal>) {
        authorities::client_auth((self.input, self.grants), from, validation)
    }

    fn resolve_one(
        &mut self,
        from: Referrer<'_>,
        reference: &SecretObjectReference,
    ) -> Result<Arc<Certificate>, Refusal> {
        let secret = ObjectName::new(reference.namespace.as_deref().unwrap_or(from.namespace), &reference.name);
        if !reference.group.is_empty() || reference.kind != "Secret" {
            let message = format!("a certificate of kind {} is not supported, only Secret", reference.kind);
            return Err((reasons::INVALID_CERTIFICATE_REF, message));
        }
        if !self.grants.permit(from, "Secret", &secret) {
            let message = format!(
                "no ReferenceGrant in namespace {} permits {}s of {} to refer to Secret {secret}",
                secret.namespace, from.kind, from.namespace
            );
            return Err((reasons::REF_NOT_PERMITTED, message));
        }
        let input = self.input;
        let read = self.read.entry(secret.clone()).or_insert_with(|| match input.secrets.get(&secret) {
            Some(object) => read(&secret, object).map(Arc::new),
            None => Err(format!("Secret {secret} of type kubernetes.io/tls not found")),
        });
        read.clone().map_err(|message| (reasons::INVALID_CERTIFICATE_REF, message))
    }
}

fn read(name: &ObjectName, secret: &Secret) -> Result<Certificate, String> {
    if secret.type_.as_deref() != Some("kubernetes.io/tls") {
        return Err(format!("Secret {name} is not of type kubernetes.io/tls"));
    }
    let get = |key: &str| secret.data.as_ref().and_then(|data| data.get(key)).map(|bytes| bytes.0.as_slice());
    let (chain, key) = (get("tls.crt").unwrap_or_default(), get("tls.key").unwrap_or_default());
    Ok(Certificate { secret: name.clone(), chain: chain.into(), key: key.into() })
}
