//! BackendTLSPolicy: TLS on the way to a backend, and how its certificate is verified.

use std::collections::BTreeMap;

use kube::CustomResource;
use purlin_crd::bounds::{AnnotationValue, Hostname, PreciseHostname};
use purlin_crd::open_enum;
use purlin_crd::schema::{Rules, atomic, rules};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bounds::{AbsoluteUri, WellKnownAuthorities};
use crate::policy::{PolicyStatus, PolicyTargetReference, policy_targets};
use crate::refs::LocalObjectReference;

/// Which backends are reached by TLS, and how they are verified.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1",
    kind = "BackendTLSPolicy",
    root = "BackendTlsPolicy",
    namespaced,
    status = "PolicyStatus",
    schema = "disabled",
    derive = "Default",
    derive = "PartialEq"
)]
pub struct BackendTlsPolicySpec {
    /// Settings of the controller's own.
    #[schemars(with = "BTreeMap<String, AnnotationValue>", extend("maxProperties" = 16))]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// The backends: Services, or single ports of them by sectionName.
    #[schemars(transform = policy_targets)]
    pub target_refs: Vec<PolicyTargetReference>,
    /// How the backends' certificates are verified.
    pub validation: BackendTlsPolicyValidation,
}

const VALIDATION_RULES: Rules = &[
    (
        "!(has(self.caCertificateRefs) && size(self.caCertificateRefs) > 0 && has(self.wellKnownCACertificates) && \
         self.wellKnownCACertificates != \"\")",
        "must not contain both CACertificateRefs and WellKnownCACertificates",
    ),
    (
        "(has(self.caCertificateRefs) && size(self.caCertificateRefs) > 0 || has(self.wellKnownCACertificates) && \
         self.wellKnownCACertificates != \"\")",
        "must specify either CACertificateRefs or WellKnownCACertificates",
    ),
];

/// How a backend's certificate is verified: who may have signed it, and for which name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules(VALIDATION_RULES))]
pub struct BackendTlsPolicyValidation {
    /// The authorities that are trusted, as ConfigMaps with the key ca.crt or what else the controller knows.
    #[schemars(length(max = 8), transform = atomic)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ca_certificate_refs: Vec<LocalObjectReference>,
    /// The name that the backend is asked for (SNI), and that its certificate has to have unless subjectAltNames are
    /// given.
    #[schemars(with = "PreciseHostname")]
    pub hostname: String,
    /// Names of which the certificate has to have one, in place of hostname.
    #[schemars(length(max = 5), transform = atomic)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subject_alt_names: Vec<SubjectAltName>,
    /// A known set of authorities in place of caCertificateRefs: System, or one of the controller's own as domain/name.
    #[schemars(with = "Option<WellKnownAuthorities>")]
    #[serde(rename = "wellKnownCACertificates", skip_serializing_if = "Option::is_none")]
    pub well_known_ca_certificates: Option<String>,
}

const NAME_RULES: Rules = &[
    (
        "!(self.type == \"Hostname\" && (!has(self.hostname) || self.hostname == \"\"))",
        "SubjectAltName element must contain Hostname, if Type is set to Hostname",
    ),
    (
        "!(self.type != \"Hostname\" && has(self.hostname) && self.hostname != \"\")",
        "SubjectAltName element must not contain Hostname, if Type is not set to Hostname",
    ),
    (
        "!(self.type == \"URI\" && (!has(self.uri) || self.uri == \"\"))",
        "SubjectAltName element must contain URI, if Type is set to URI",
    ),
    (
        "!(self.type != \"URI\" && has(self.uri) && self.uri != \"\")",
        "SubjectAltName element must not contain URI, if Type is not set to URI",
    ),
];

/// A name in a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = rules(NAME_RULES))]
pub struct SubjectAltName {
    /// For Hostname: the DNS name.
    #[schemars(with = "Option<Hostname>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Hostname or URI; the name stands in the field of that name.
    #[serde(rename = "type")]
    pub type_: SubjectAltNameType,
    /// For URI: the whole URI, such as a SPIFFE ID.
    #[schemars(with = "Option<AbsoluteUri>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
}

open_enum! {
    /// The form of a name in a certificate.
    pub enum SubjectAltNameType {
        Hostname = "Hostname",
        Uri = "URI",
    }
}
