//! TLS on both sides: what clients are shown and asked for, what backends are asked for and shown.

use std::fmt;
use std::sync::Arc;

use super::ObjectName;

/// How TLS ends at a listener.
#[derive(Clone, Debug, PartialEq)]
pub struct Terminate {
    /// Chosen by SNI and by what the client can verify; never empty.
    pub certificates: Vec<Arc<Certificate>>,
    /// Whether clients are asked for a certificate (`tls.frontend` of the Gateway).
    pub client_auth: Option<Arc<ClientAuth>>,
}

/// A certificate chain and its key, from a Secret of type `kubernetes.io/tls`.
#[derive(Clone, PartialEq)]
pub struct Certificate {
    /// The Secret, for logs.
    pub secret: ObjectName,
    /// PEM of the chain, the leaf first.
    pub chain: Arc<[u8]>,
    /// PEM of the private key; never shown.
    pub key: Arc<[u8]>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("secret", &self.secret).finish_non_exhaustive()
    }
}

/// What a client's certificate is judged by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuth {
    /// PEM of the authorities, one entry a reference that resolved. Empty: no client is accepted, where a certificate is
    /// required.
    pub authorities: Vec<Arc<[u8]>>,
    /// `AllowValidOnly` (false), or `AllowInsecureFallback` (true): without a certificate, or with one that does not
    /// verify, the client is served as one that has shown none.
    pub optional: bool,
}

/// How a cluster's endpoints are spoken to under TLS (BackendTLSPolicy).
#[derive(Clone, Debug, PartialEq)]
pub struct BackendTls {
    /// SNI; also the name that the certificate must have, unless `names` says others.
    pub hostname: Arc<str>,
    /// Whom the certificate must be signed by.
    pub trust: Trust,
    /// `subjectAltNames`: the certificate must have one of these, and `hostname` is SNI only. Empty: it must have
    /// `hostname`.
    pub names: Vec<SubjectName>,
    /// What we show when asked (`tls.backend.clientCertificateRef` of the Gateway).
    pub certificate: Option<Arc<Certificate>>,
}

/// Which authorities are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Those of the system.
    System,
    /// PEM of these only. Empty: no backend is trusted.
    Authorities(Vec<Arc<[u8]>>),
}

/// A name in a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectName {
    /// A DNS name; may begin with `*.`.
    Dns(Arc<str>),
    /// A URI, as SPIFFE has it.
    Uri(Arc<str>),
}
