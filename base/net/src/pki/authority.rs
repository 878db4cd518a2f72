//! One certificate authority: a P-256 key with its certificate, kept together in one file.
//!
//! Key and certificate share a file so that a crash can never separate them.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, io};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::X509Certificate;

use super::PkiError;
use crate::file::write_private;

/// Clocks differ: a certificate is valid from a little before it is made.
pub(super) const BACKDATE: Duration = Duration::from_secs(60 * 60);
/// The root and what it signs live as long as this.
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(3650 * 24 * 60 * 60);

/// What is wanted of an authority that does not exist yet.
pub(super) struct AuthoritySpec<'a> {
    /// The common name starts with this.
    pub(super) title: &'a str,
    /// Purposes of the certificates that it may sign; any when empty.
    pub(super) purposes: Vec<ExtendedKeyUsagePurpose>,
    /// What signs it; itself when none.
    pub(super) parent: Option<&'a Authority>,
}

/// A certificate authority.
pub(super) struct Authority {
    pub(super) certificate: CertificateDer<'static>,
    pub(super) certificate_pem: String,
    pub(super) issuer: Issuer<'static, KeyPair>,
    pub(super) not_after: SystemTime,
}

impl Authority {
    /// Reads the authority in `path`, where there is one.
    pub(super) fn load(path: &Path) -> Result<Option<Authority>, PkiError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(PkiError::Io { path: path.to_owned(), source }),
        };
        let damaged = |what: String| PkiError::Damaged { path: path.to_owned(), what };
        let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|e| damaged(format!("its key: {e}")))?;
        let key = KeyPair::try_from(&key).map_err(|e| damaged(format!("its key: {e}")))?;
        let certificate =
            CertificateDer::from_pem_slice(text.as_bytes()).map_err(|e| damaged(format!("its certificate: {e}")))?;
        let parsed = parse(&certificate).map_err(|e| damaged(format!("its certificate: {e}")))?;
        if parsed.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
            return Err(damaged("its certificate belongs to another key".to_owned()));
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(|e| damaged(e.to_string()))?;
        let not_after = not_after(&parsed);
        let certificate_pem = super::pem("CERTIFICATE", &certificate);
        Ok(Some(Authority { certificate, certificate_pem, issuer, not_after }))
    }

    /// Makes an authority and writes it to `path`.
    pub(super) fn create(path: &Path, spec: &AuthoritySpec<'_>, now: SystemTime) -> Result<Authority, PkiError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let end = now + AUTHORITY_LIFETIME;
        let end = spec.parent.map_or(end, |parent| parent.not_after.min(end));
        let mut params = params(now, end);
        // Two platforms' authorities are told apart in trust stores, which look names up.
        let id: String = params.key_identifier(&key).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        params.distinguished_name.push(DnType::OrganizationName, "purlin");
        params.distinguished_name.push(DnType::CommonName, format!("{} {id}", spec.title));
        params.is_ca = IsCa::Ca(match spec.parent {
            None => BasicConstraints::Unconstrained,
            Some(_) => BasicConstraints::Constrained(0),
        });
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.extended_key_usages = spec.purposes.clone();
        let certificate = match spec.parent {
            None => params.self_signed(&key)?,
            Some(parent) => params.signed_by(&key, &parent.issuer)?,
        };
        let certificate_pem = certificate.pem();
        let text = format!("{certificate_pem}{}", key.serialize_pem());
        write_private(path, text.as_bytes()).map_err(|source| PkiError::Io { path: path.to_owned(), source })?;
        Ok(Authority {
            certificate: certificate.der().clone(),
            certificate_pem,
            issuer: Issuer::new(params, key),
            not_after: end,
        })
    }

    /// Whether `parent` signed this authority: by its key identifier, which is a hash of the key.
    pub(super) fn is_signed_by(&self, parent: &Authority) -> bool {
        let (Ok(own), Ok(parent)) = (parse(&self.certificate), parse(&parent.certificate)) else { return false };
        let authority = own.iter_extensions().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|id| id.0),
            _ => None,
        });
        let subject = parent.iter_extensions().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0),
            _ => None,
        });
        authority.is_some() && authority == subject
    }

    /// Whether it was made under `title`: files that change places would move what their verifiers trust.
    pub(super) fn has_title(&self, title: &str) -> bool {
        let Ok(own) = parse(&self.certificate) else { return false };
        let name = own.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        name.and_then(|name| name.strip_prefix(title)).is_some_and(|id| id.starts_with(' '))
    }

    /// Refuses an authority whose time is over.
    pub(super) fn check_time(&self, path: PathBuf, now: SystemTime) -> Result<(), PkiError> {
        if now >= self.not_after { Err(PkiError::Expired { path }) } else { Ok(()) }
    }
}

/// Parameters that every certificate here shares.
pub(super) fn params(now: SystemTime, end: SystemTime) -> CertificateParams {
    let moment = |at: SystemTime| {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(since.as_secs())
    };
    let mut params = CertificateParams::default();
    params.not_before = moment(now - BACKDATE);
    params.not_after = moment(end);
    params.distinguished_name = DistinguishedName::new();
    // Strict verifiers refuse a certificate without it (RFC 5280, 4.2.1.1).
    params.use_authority_key_identifier_extension = true;
    params
}

pub(super) fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, String> {
    x509_parser::parse_x509_certificate(der).map(|(_, parsed)| parsed).map_err(|e| e.to_string())
}

pub(super) fn not_after(certificate: &X509Certificate<'_>) -> SystemTime {
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0);
    UNIX_EPOCH + Duration::from_secs(seconds)
}
