//! TLS towards clients: rustls on aws-lc-rs, certificates looked up in the newest snapshot at each handshake.
//!
//! So a certificate changes without a restart, and a handshake under way finishes with the one that it began with.
//! One `ServerConfig` a proxy and bind; session tickets rotate by rustls' ticketer.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use purlin_traffic::model::Certificate;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use crate::snapshot::Snapshot;

/// Certificates of a chain.
const MAX_CHAIN: usize = 16;

/// The parsed chain and key, checked to belong together.
pub(crate) fn certified_key(provider: &CryptoProvider, certificate: &Certificate) -> Result<Arc<CertifiedKey>, String> {
    let chain = CertificateDer::pem_slice_iter(&certificate.chain)
        .take(MAX_CHAIN)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| format!("tls.crt is not PEM: {e}"))?;
    if chain.is_empty() {
        return Err("tls.crt holds no certificate".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(&certificate.key).map_err(|_| "tls.key holds no private key".to_owned())?;
    let key = CertifiedKey::from_der(chain, key, provider).map_err(|e| format!("tls.crt and tls.key: {e}"))?;
    Ok(Arc::new(key))
}

/// What TLS connections of a bind are accepted with.
pub(crate) fn server_config(
    provider: &Arc<CryptoProvider>,
    snapshot: &Arc<ArcSwap<Snapshot>>,
    bind: SocketAddr,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let resolver = Arc::new(Resolver { snapshot: Arc::clone(snapshot), bind });
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct Resolver {
    snapshot: Arc<ArcSwap<Snapshot>>,
    bind: SocketAddr,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let snapshot = self.snapshot.load();
        let sni = hello.server_name().map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        let keys = snapshot.binds.get(&self.bind)?.certificates(sni.as_deref());
        let schemes = hello.signature_schemes();
        let usable = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(schemes).is_some();
        let fits = |key: &&Arc<CertifiedKey>| sni.as_deref().is_some_and(|name| covers(key, name));
        let best = keys.iter().filter(usable).find(fits).or_else(|| keys.iter().find(usable));
        best.or_else(|| keys.first()).cloned()
    }
}

/// Whether the leaf is for the name: of several certificates the one that is, is served.
fn covers(key: &CertifiedKey, name: &str) -> bool {
    let leaf = key.end_entity_cert().ok().and_then(|der| rustls::server::ParsedCertificate::try_from(der).ok());
    let name = ServerName::try_from(name).ok();
    leaf.zip(name).is_some_and(|(leaf, name)| rustls::client::verify_server_name(&leaf, &name).is_ok())
}
