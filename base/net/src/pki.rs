//! The platform's certificates: one root, an intermediate for each purpose, and what they issue.
//!
//! Below `<data>/pki` stands one file for each authority (certificate and key) and `sa.key`, which signs service
//! account tokens. The root is written first: an intermediate that is missing was cut off by a crash or is new in this
//! version, and is made; a root that is missing beside intermediates was lost, and is refused.
//!
//! Each verifier's only anchor is the intermediate that it means, so that a workload's certificate does not log in to
//! the API. Kubeconfigs hold the root, because verifiers such as OpenSSL's anchor only at what is self-signed;
//! extended key usages keep the other intermediates from naming API servers where these are honoured.

mod authority;
mod serving;
mod subject;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use std::{fmt, fs, io};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::crypto::install_crypto;
use crate::file::{create_private_dir, write_private};
use authority::{Authority, AuthoritySpec, params};

pub use serving::{ServerNames, ServingCertificate};

/// What goes wrong with the platform's certificates.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file holds something else than it should.
    #[error("{} is damaged: {what}; restore it from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The root is gone while what it signed is there.
    #[error(
        "{} is missing, but certificates that it signed are there: restore it from a backup, or remove the directory \
         to start with new certificates, which makes all kubeconfigs and tokens of this platform invalid",
        path.display()
    )]
    RootLost {
        /// Where the root should be.
        path: PathBuf,
    },
    /// An authority's time is over.
    #[error("the certificate authority in {} has expired; remove the directory to start with new certificates", path.display())]
    Expired {
        /// Where it stands.
        path: PathBuf,
    },
    /// A certificate cannot be issued.
    #[error("cannot issue a certificate: {0}")]
    Issue(String),
}

impl From<rcgen::Error> for PkiError {
    fn from(e: rcgen::Error) -> Self {
        PkiError::Issue(e.to_string())
    }
}

/// A certificate with its chain and its key, in DER.
pub struct Leaf {
    /// The certificate first, then the intermediate; the root is not sent.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key in PKCS#8.
    pub key: PrivateKeyDer<'static>,
    /// When it expires.
    pub not_after: SystemTime,
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaf").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

impl Leaf {
    /// The chain in PEM.
    pub fn chain_pem(&self) -> String {
        self.chain.iter().map(|der| pem("CERTIFICATE", der)).collect()
    }

    /// The key in PEM.
    pub fn key_pem(&self) -> String {
        pem("PRIVATE KEY", self.key.secret_der())
    }

    /// As rustls wants it.
    pub fn certified_key(&self) -> Result<rustls::sign::CertifiedKey, PkiError> {
        install_crypto();
        let key = rustls::crypto::aws_lc_rs::sign::any_ecdsa_type(&self.key)
            .map_err(|e| PkiError::Issue(format!("its key is not accepted: {e}")))?;
        Ok(rustls::sign::CertifiedKey::new(self.chain.clone(), key))
    }
}

/// The platform's authorities and its token key.
pub struct Pki {
    root: Authority,
    api_serving: Authority,
    clients: Authority,
    spiffe: Authority,
    internal: Authority,
    token_key: PrivatePkcs8KeyDer<'static>,
}

impl fmt::Debug for Pki {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pki").finish_non_exhaustive()
    }
}

impl Pki {
    /// Reads the certificates in `dir`, and makes what is missing of them. One process at a time.
    pub fn open(dir: &Path, now: SystemTime) -> Result<Pki, PkiError> {
        use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
        create_private_dir(dir).map_err(|source| PkiError::Io { path: dir.to_owned(), source })?;
        let root = open_root(dir, now)?;
        let open = |name, title, purposes| open_intermediate(dir, name, title, purposes, &root, now);
        Ok(Pki {
            api_serving: open("api-serving.pem", "purlin API serving", vec![ServerAuth])?,
            clients: open("clients.pem", "purlin clients", vec![ClientAuth])?,
            spiffe: open("spiffe.pem", "purlin workloads", vec![ServerAuth, ClientAuth])?,
            internal: open("internal.pem", "purlin internal", vec![ServerAuth, ClientAuth])?,
            token_key: open_token_key(&dir.join("sa.key"))?,
            root,
        })
    }

    /// The root's certificate, which `certificate-authority-data` of kubeconfigs and `kube-root-ca.crt` hold.
    pub fn root_pem(&self) -> &str {
        &self.root.certificate_pem
    }

    /// The key (P-256, PKCS#8 in DER) that signs service account tokens.
    pub fn token_key(&self) -> &[u8] {
        self.token_key.secret_pkcs8_der()
    }

    /// A certificate for a server of the API.
    pub fn issue_server(&self, names: &ServerNames, ttl: Duration, now: SystemTime) -> Result<Leaf, PkiError> {
        let mut leaf = params(now, self.api_serving.not_after.min(now + ttl));
        for name in &names.dns {
            leaf.subject_alt_names.push(SanType::DnsName(name.as_str().try_into()?));
        }
        leaf.subject_alt_names.extend(names.ips.iter().copied().map(SanType::IpAddress));
        leaf.distinguished_name.push(DnType::CommonName, "purlin API server");
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        issue(&self.api_serving, leaf, now + ttl, None)
    }

    /// A certificate by which `user`, a member of `groups`, logs in to the API.
    pub fn issue_client(&self, user: &str, groups: &[&str], ttl: Duration, now: SystemTime) -> Result<Leaf, PkiError> {
        if user.is_empty() || groups.contains(&"") {
            return Err(PkiError::Issue("a user or group has no name".to_owned()));
        }
        let mut leaf = params(now, self.clients.not_after.min(now + ttl));
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        issue(&self.clients, leaf, now + ttl, Some((user, groups)))
    }

    /// An X.509 SVID: a certificate whose one name is the SPIFFE id `id`.
    pub fn issue_spiffe(&self, id: &str, ttl: Duration, now: SystemTime) -> Result<Leaf, PkiError> {
        if !id.starts_with("spiffe://") {
            return Err(PkiError::Issue(format!("{id:?} is no SPIFFE id: it must start with spiffe://")));
        }
        let mut leaf = params(now, self.spiffe.not_after.min(now + ttl));
        leaf.subject_alt_names.push(SanType::URI(id.try_into()?));
        leaf.distinguished_name.push(DnType::OrganizationName, "purlin workload");
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        issue(&self.spiffe, leaf, now + ttl, None)
    }

    /// Verifies the certificates by which clients log in to the API. A client may show none; one that another
    /// authority signed fails the handshake.
    pub fn client_verifier(&self) -> Result<Arc<dyn ClientCertVerifier>, PkiError> {
        install_crypto();
        WebPkiClientVerifier::builder(anchor(&self.clients)?)
            .allow_unauthenticated()
            .build()
            .map_err(|e| PkiError::Issue(e.to_string()))
    }

    /// The anchor for verifying purlin's own processes to each other.
    pub fn internal_anchor(&self) -> Result<Arc<RootCertStore>, PkiError> {
        anchor(&self.internal)
    }
}

fn anchor(authority: &Authority) -> Result<Arc<RootCertStore>, PkiError> {
    let mut store = RootCertStore::empty();
    store.add(authority.certificate.clone()).map_err(|e| PkiError::Issue(e.to_string()))?;
    Ok(Arc::new(store))
}

fn open_root(dir: &Path, now: SystemTime) -> Result<Authority, PkiError> {
    let path = dir.join("root.pem");
    if let Some(root) = Authority::load(&path)? {
        root.check_time(path, now)?;
        return Ok(root);
    }
    let mut entries = fs::read_dir(dir).map_err(|source| PkiError::Io { path: dir.to_owned(), source })?;
    if entries.any(|entry| entry.is_ok_and(|entry| entry.path().extension().is_some_and(|end| end == "pem"))) {
        return Err(PkiError::RootLost { path });
    }
    Authority::create(&path, &AuthoritySpec { title: "purlin root", purposes: vec![], parent: None }, now)
}

fn open_intermediate(
    dir: &Path,
    name: &str,
    title: &str,
    purposes: Vec<ExtendedKeyUsagePurpose>,
    root: &Authority,
    now: SystemTime,
) -> Result<Authority, PkiError> {
    let path = dir.join(name);
    match Authority::load(&path)? {
        None => Authority::create(&path, &AuthoritySpec { title, purposes, parent: Some(root) }, now),
        Some(found) if !found.is_signed_by(root) => {
            Err(PkiError::Damaged { path, what: "another root signed its certificate".to_owned() })
        }
        Some(found) if !found.has_title(title) => {
            Err(PkiError::Damaged { path, what: "it holds another authority".to_owned() })
        }
        Some(found) => {
            found.check_time(path, now)?;
            Ok(found)
        }
    }
}

fn open_token_key(path: &Path) -> Result<PrivatePkcs8KeyDer<'static>, PkiError> {
    let key = match fs::read(path) {
        Ok(text) => PrivatePkcs8KeyDer::from_pem_slice(&text)
            .map_err(|e| PkiError::Damaged { path: path.to_owned(), what: e.to_string() })?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
            write_private(path, key.serialize_pem().as_bytes())
                .map_err(|source| PkiError::Io { path: path.to_owned(), source })?;
            PrivatePkcs8KeyDer::from(key.serialize_der())
        }
        Err(source) => return Err(PkiError::Io { path: path.to_owned(), source }),
    };
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.secret_pkcs8_der())
        .map_err(|e| PkiError::Damaged { path: path.to_owned(), what: format!("it is no P-256 key: {e}") })?;
    Ok(key)
}

fn issue(
    authority: &Authority,
    mut leaf: CertificateParams,
    end: SystemTime,
    subject: Option<(&str, &[&str])>,
) -> Result<Leaf, PkiError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    leaf.is_ca = IsCa::ExplicitNoCa;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let certificate = leaf.signed_by(&key, &authority.issuer)?;
    let certificate = match subject {
        None => certificate.der().clone(),
        Some((user, groups)) => subject::with_subject(certificate.der(), user, groups, authority.issuer.key())?,
    };
    Ok(Leaf {
        chain: vec![certificate, authority.certificate.clone()],
        key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        not_after: authority.not_after.min(end),
    })
}

/// PEM (RFC 7468): lines of 64 characters.
fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = more;
    }
    out + &format!("-----END {label}-----\n")
}
