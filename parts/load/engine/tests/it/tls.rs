//! TLS for targets: a certificate that signs itself, and what trusts it.

use std::sync::Arc;

use purlin_load_model::plan::Tls;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::TlsAcceptor;

/// What a target needs to be asked over TLS for HTTP/2.
pub(crate) struct Identity {
    pub acceptor: TlsAcceptor,
    /// Trusts it.
    pub tls: Tls,
}

impl Identity {
    /// A new one, of 127.0.0.1.
    pub(crate) fn new() -> Identity {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let tls = Tls { roots_pem: Some(made.cert.pem()), ..Tls::default() };
        Identity { acceptor: TlsAcceptor::from(Arc::new(config)), tls }
    }
}
