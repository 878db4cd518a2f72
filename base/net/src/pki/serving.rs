//! The certificate of a TLS server, replaced before it expires without a restart of the listener.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{Pki, PkiError};
use crate::crypto::install_crypto;

/// How long a serving certificate lives; it is replaced when a third of that is left.
const LIFETIME: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// The names under which a server is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerNames {
    /// DNS names.
    pub dns: Vec<String>,
    /// Addresses.
    pub ips: Vec<IpAddr>,
}

#[derive(Debug)]
struct Current {
    key: Arc<CertifiedKey>,
    not_after: SystemTime,
}

/// A server's current certificate; rustls asks it at each handshake.
#[derive(Debug)]
pub struct ServingCertificate {
    names: ServerNames,
    current: ArcSwap<Current>,
}

impl ServingCertificate {
    /// Issues the first certificate.
    pub fn issue(pki: &Pki, names: ServerNames, now: SystemTime) -> Result<Arc<Self>, PkiError> {
        let current = ArcSwap::from_pointee(Self::fresh(pki, &names, now)?);
        Ok(Arc::new(ServingCertificate { names, current }))
    }

    /// When it is time to call [`Self::renew_if_due`] with success.
    pub fn due(&self) -> SystemTime {
        self.current.load().not_after - LIFETIME / 3
    }

    /// Replaces the certificate where less than a third of its life is left; says whether it did.
    pub fn renew_if_due(&self, pki: &Pki, now: SystemTime) -> Result<bool, PkiError> {
        if now < self.due() {
            return Ok(false);
        }
        self.current.store(Arc::new(Self::fresh(pki, &self.names, now)?));
        Ok(true)
    }

    fn fresh(pki: &Pki, names: &ServerNames, now: SystemTime) -> Result<Current, PkiError> {
        let leaf = pki.issue_server(names, LIFETIME, now)?;
        Ok(Current { not_after: leaf.not_after, key: Arc::new(leaf.certified_key()?) })
    }
}

impl ResolvesServerCert for ServingCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load().key.clone())
    }
}

impl Pki {
    /// TLS of the API server: this certificate, HTTP/2 and HTTP/1.1, and clients that may show a certificate of the
    /// clients' authority and no other.
    pub fn api_server_config(&self, certificate: Arc<ServingCertificate>) -> Result<Arc<ServerConfig>, PkiError> {
        install_crypto();
        let mut config =
            ServerConfig::builder().with_client_cert_verifier(self.client_verifier()?).with_cert_resolver(certificate);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}
