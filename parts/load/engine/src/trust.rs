//! Whose certificates are trusted: authorities from a file, those of the system, or (when told so) anybody's; and why one
//! was not, in words that say what to do.

use std::io;
use std::sync::Arc;

use purlin_load_model::plan::Tls;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::Error;

/// A configuration without client certificates that judges servers as `tls` says.
pub(crate) fn client_config(tls: &Tls) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    if tls.insecure {
        let verifier = Arc::new(Anybody(provider));
        return Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth());
    }
    Ok(builder.with_root_certificates(roots(tls)?).with_no_client_auth())
}

/// The longest reason: a server may have a certificate for very many names.
const MAX_WHY: usize = 400;

/// Why a handshake failed.
pub(crate) fn why(error: &io::Error) -> String {
    let Some(failed) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return format!("the handshake did not end: {error}");
    };
    let said: String = failed.to_string().chars().take(MAX_WHY).collect();
    match failed {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its certificate is from no authority that is trusted here: name that authority's with --ca-file".to_owned()
        }
        rustls::Error::InvalidCertificate(CertificateError::BadSignature) => {
            "an authority of the name that signed its certificate is trusted here, but with another key: name the right one's with --ca-file".to_owned()
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => format!("{said}: name the one that is right with --server-name"),
        // rustls has no case for it, and passes on what webpki calls it.
        rustls::Error::InvalidCertificate(CertificateError::Other(other)) if other.to_string() == CA_AS_SERVER => {
            "its certificate is an authority's own (CA:TRUE), with which no server may show itself: give it one that has CA:FALSE, signed by that authority or by itself, as openssl makes it with -addext basicConstraints=critical,CA:FALSE; or take any certificate with --insecure".to_owned()
        }
        rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            "it does not speak what this load speaks, says its ALPN: say another --protocol".to_owned()
        }
        rustls::Error::InvalidMessage(_) => format!("{said}: is it TLS at all?"),
        _ => said,
    }
}

/// What webpki calls it when an authority's own certificate is a server's.
const CA_AS_SERVER: &str = "CaUsedAsEndEntity";

fn roots(tls: &Tls) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    match &tls.roots_pem {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let wrong = |error: String| Error::Roots(format!("the file of --ca-file or tls.ca_file: {error}"));
                store.add(certificate.map_err(|e| wrong(e.to_string()))?).map_err(|e| wrong(e.to_string()))?;
            }
        }
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    match (store.is_empty(), &tls.roots_pem) {
        (true, Some(_)) => {
            Err(Error::Roots("there is no certificate in the file of --ca-file or tls.ca_file".to_owned()))
        }
        (true, None) => Err(Error::Roots("this system has none: name a file with --ca-file".to_owned())),
        (false, _) => Ok(store),
    }
}

/// Takes any certificate, though its holder must still prove that it has the key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
