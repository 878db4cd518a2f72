//! The user of a client certificate that TLS has verified: the common name is the user, organizations are the groups.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::caller::Principal;

/// Why a certificate names no user.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// It cannot be parsed.
    #[error("the client certificate cannot be parsed: {0}")]
    Malformed(String),
    /// Its subject has no common name.
    #[error("the client certificate's subject has no common name (CN), which would be the user's name")]
    NoName,
}

/// The user of the certificate in `der`.
pub fn principal_from_certificate(der: &[u8]) -> Result<Principal, CertificateError> {
    let malformed = |what: String| CertificateError::Malformed(what);
    let (_, certificate) = x509_parser::parse_x509_certificate(der).map_err(|e| malformed(e.to_string()))?;
    let subject = certificate.subject();
    // Several names: the last is the most specific.
    let name = subject.iter_common_name().last().ok_or(CertificateError::NoName)?;
    let name = name.as_str().map_err(|e| malformed(format!("its common name: {e}")))?;
    if name.is_empty() {
        return Err(CertificateError::NoName);
    }
    let mut groups = Vec::new();
    for group in subject.iter_organization() {
        groups.push(group.as_str().map_err(|e| malformed(format!("an organization: {e}")))?.into());
    }
    groups.push("system:authenticated".into());
    let hash: String = Sha256::digest(der).iter().map(|byte| format!("{byte:02x}")).collect();
    let credential = ("authentication.kubernetes.io/credential-id".to_owned(), vec![format!("X509SHA256={hash}")]);
    Ok(Principal { name: name.into(), uid: None, groups, extra: BTreeMap::from([credential]) })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    fn certificate(parts: &[(DnType, &str)]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_subject_is_the_user() {
        let der = certificate(&[(DnType::OrganizationName, "system:masters"), (DnType::CommonName, "ada")]);
        let principal = principal_from_certificate(&der).unwrap();
        assert_eq!(&*principal.name, "ada");
        assert_eq!(principal.groups, ["system:masters".into(), "system:authenticated".into()]);
        let credential = &principal.extra["authentication.kubernetes.io/credential-id"][0];
        assert_eq!((&credential[..11], credential.len()), ("X509SHA256=", 11 + 64));
    }

    #[test]
    fn what_names_no_user_is_refused() {
        assert_eq!(principal_from_certificate(&certificate(&[])), Err(CertificateError::NoName));
        assert_eq!(
            principal_from_certificate(&certificate(&[(DnType::CommonName, "")])),
            Err(CertificateError::NoName)
        );
        for der in [&b""[..], b"\x30\x03abc"] {
            assert!(matches!(principal_from_certificate(der), Err(CertificateError::Malformed(_))));
        }
    }
}
