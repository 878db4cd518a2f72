//! A subject with several organizations: Kubernetes reads a client's groups from them.
//!
//! rcgen keeps one value for each type of attribute. The certificate is therefore built with an empty subject, which
//! is then replaced in the signed part, and the whole is signed again. DER (X.690): tag, length, content.

use rcgen::{KeyPair, SigningKey as _};
use rustls_pki_types::CertificateDer;

use super::PkiError;
use super::authority::parse;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const UTF8_STRING: u8 = 0x0c;
const BIT_STRING: u8 = 0x03;
const ORGANIZATION: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x0a];
const COMMON_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x03];

/// `certificate` with the subject `O=groups.., CN=user`, signed by `key`, which must have signed it before.
pub(super) fn with_subject(
    certificate: &CertificateDer<'_>,
    user: &str,
    groups: &[&str],
    key: &KeyPair,
) -> Result<CertificateDer<'static>, PkiError> {
    let bug = |what: &str| PkiError::Issue(format!("a certificate of ours cannot be read back: {what}"));
    let parsed = parse(certificate).map_err(|e| bug(&e))?;
    let signed: &[u8] = parsed.tbs_certificate.as_ref();
    let old = parsed.tbs_certificate.subject.as_raw();
    // Both are slices of the certificate: the distance of their starts is the place of the subject.
    let at = (old.as_ptr() as usize).wrapping_sub(signed.as_ptr() as usize);
    let header = header_length(signed).ok_or_else(|| bug("header"))?;
    let before = signed.get(header..at).ok_or_else(|| bug("before the subject"))?;
    let after = signed.get(at + old.len()..).ok_or_else(|| bug("after the subject"))?;
    let signed = tlv(SEQUENCE, &[before, &name(user, groups), after].concat());
    let signature = key.sign(&signed)?;
    let algorithm = algorithm(&parsed);
    let signature = tlv(BIT_STRING, &[&[0], signature.as_slice()].concat());
    Ok(CertificateDer::from(tlv(SEQUENCE, &[signed, algorithm, signature].concat())))
}

/// ecdsa-with-SHA256, the only algorithm of our authorities: an identifier without parameters (RFC 5758).
fn algorithm(certificate: &x509_parser::prelude::X509Certificate<'_>) -> Vec<u8> {
    const OBJECT_IDENTIFIER: u8 = 0x06;
    tlv(SEQUENCE, &tlv(OBJECT_IDENTIFIER, certificate.signature_algorithm.algorithm.as_bytes()))
}

fn name(user: &str, groups: &[&str]) -> Vec<u8> {
    let attribute =
        |kind: &[u8], value: &str| tlv(SET, &tlv(SEQUENCE, &[kind, &tlv(UTF8_STRING, value.as_bytes())].concat()));
    let groups = groups.iter().flat_map(|group| attribute(ORGANIZATION, group));
    tlv(SEQUENCE, &groups.chain(attribute(COMMON_NAME, user)).collect::<Vec<u8>>())
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match u8::try_from(content.len()) {
        Ok(short @ 0..=127) => out.push(short),
        _ => {
            let length = content.len().to_be_bytes();
            let significant = length.iter().skip_while(|byte| **byte == 0);
            let count = u8::try_from(significant.clone().count()).unwrap_or(u8::MAX);
            out.push(0x80 | count);
            out.extend(significant);
        }
    }
    out.extend_from_slice(content);
    out
}

/// How many bytes the tag and the length at the start of `der` take.
fn header_length(der: &[u8]) -> Option<usize> {
    match *der.get(1)? {
        0..=127 => Some(2),
        long => Some(2 + usize::from(long & 0x7f)),
    }
}
