//! A token as it comes: JWS compact serialization (RFC 7515), split, its header read, its signature checked by a key.
//!
//! The header says which key the sender claims to have used, and nothing else is taken from it: the algorithm has to be
//! the key's, and whatever would bring keys along or change what is signed is refused.

use super::base64::{decode, decode_into};
use super::json::{self, Json, JsonError, Limits};
use super::jwk::{Algorithm, Key, MAX_KID_BYTES};

/// A token may have this many bytes, as text.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

const MAX_HEADER_BYTES: usize = 4 * 1024;
const LIMITS: Limits = Limits { depth: 6, values: 64 };
/// The signature of a key of 8192 bits takes 1024, and the decoder rounds up.
const SIGNATURE_BUFFER: usize = 1026;

/// Why a token cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// It is longer than [`MAX_TOKEN_BYTES`].
    #[error("the token is longer than {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    /// It is not three parts in base64url.
    #[error("the token is not of the form of a JWS")]
    Form,
    /// Its header is no JSON within the limits.
    #[error("the token's header cannot be read: {0}")]
    Header(JsonError),
    /// Its header has what is not allowed.
    #[error("the token's header {0}")]
    Refused(&'static str),
    /// Its algorithm is not one of those that can be trusted.
    #[error("the token's algorithm is not supported")]
    Algorithm,
    /// Its signature is not that of the key.
    #[error("the token's signature is wrong")]
    Signature,
}

/// What the header says that a token is (RFC 7515 section 4.1.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typ {
    /// Nothing.
    Absent,
    /// `JWT`.
    Jwt,
    /// `at+jwt`: an access token by RFC 9068.
    AccessToken,
    /// Something else, as a proof of possession or a logout token.
    Other,
}

impl Typ {
    fn read(text: &str) -> Typ {
        const PREFIX: &str = "application/";
        let name = match text.split_at_checked(PREFIX.len()) {
            Some((prefix, name)) if prefix.eq_ignore_ascii_case(PREFIX) => name,
            _ => text,
        };
        match name {
            name if name.eq_ignore_ascii_case("JWT") => Typ::Jwt,
            name if name.eq_ignore_ascii_case("at+jwt") => Typ::AccessToken,
            _ => Typ::Other,
        }
    }
}

/// What is used of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// With which algorithm the sender claims to have signed.
    pub algorithm: Algorithm,
    /// With which key.
    pub kid: Option<Box<str>>,
    /// What it is.
    pub typ: Typ,
}

/// A token that is split; nothing in it can be trusted before [`Jws::verify`].
#[derive(Clone)]
pub struct Jws<'a> {
    /// Its header.
    pub header: Header,
    /// What is signed: header and payload as text.
    signed: &'a [u8],
    payload: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Jws<'a> {
    /// Splits a token and reads its header.
    pub fn parse(token: &'a str) -> Result<Jws<'a>, JwsError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(JwsError::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(JwsError::Form)?;
        let (header, payload) = signed.split_once('.').ok_or(JwsError::Form)?;
        if payload.contains('.') || signature.is_empty() || header.len() > MAX_HEADER_BYTES {
            return Err(JwsError::Form);
        }
        let header = read_header(header.as_bytes())?;
        Ok(Jws { header, signed: signed.as_bytes(), payload: payload.as_bytes(), signature: signature.as_bytes() })
    }

    /// The payload's bytes.
    pub fn payload(&self) -> Result<Vec<u8>, JwsError> {
        decode(self.payload).ok_or(JwsError::Form)
    }

    /// Checks the signature.
    pub fn verify(&self, key: &Key) -> Result<(), JwsError> {
        if key.algorithm != self.header.algorithm {
            return Err(JwsError::Algorithm);
        }
        let mut buffer = [0; SIGNATURE_BUFFER];
        let signature = decode_into(self.signature, &mut buffer).ok_or(JwsError::Form)?;
        if key.verify(self.signed, signature) { Ok(()) } else { Err(JwsError::Signature) }
    }
}

fn read_header(text: &[u8]) -> Result<Header, JwsError> {
    let text = decode(text).ok_or(JwsError::Form)?;
    let members = json::parse(&text, LIMITS).map_err(JwsError::Header)?;
    let (mut algorithm, mut kid, mut typ) = (None, None, Typ::Absent);
    for (name, value) in members {
        match (&*name, value) {
            ("alg", Json::Text(name)) => algorithm = Some(Algorithm::from_name(&name).ok_or(JwsError::Algorithm)?),
            ("kid", Json::Text(name)) if name.len() <= MAX_KID_BYTES => kid = Some(name),
            ("typ", Json::Text(name)) => typ = Typ::read(&name),
            ("alg" | "kid" | "typ", _) => {
                return Err(JwsError::Refused("has an alg, kid or typ that is no short string"));
            }
            // No extension is known here, b64 of RFC 7797 included; an empty list is wrong by RFC 7515.
            ("crit" | "b64", _) => return Err(JwsError::Refused("demands an extension")),
            ("jwk" | "jku" | "x5u" | "x5c", _) => return Err(JwsError::Refused("brings its own key")),
            ("enc" | "zip", _) => return Err(JwsError::Refused("is that of an encrypted token")),
            // Thumbprints, cty and what issuers add.
            _ => {}
        }
    }
    Ok(Header { algorithm: algorithm.ok_or(JwsError::Refused("has no alg"))?, kid, typ })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verifier::base64::encode;

    fn check(header: &str, expected: Result<(Algorithm, Option<&str>, Typ), JwsError>) {
        let token = format!("{}.e30.AA", encode(header.as_bytes()));
        let read = Jws::parse(&token).map(|jws| jws.header);
        let expected = expected.map(|(algorithm, kid, typ)| Header { algorithm, kid: kid.map(Into::into), typ });
        assert_eq!(read, expected, "{header}");
    }

    #[test]
    fn a_header_names_a_key_and_nothing_more() {
        check(r#"{"alg":"RS256"}"#, Ok((Algorithm::Rs256, None, Typ::Absent)));
        check(r#"{"typ":"JWT","alg":"EdDSA","kid":"1"}"#, Ok((Algorithm::EdDsa, Some("1"), Typ::Jwt)));
        check(r#"{"alg":"Ed25519"}"#, Ok((Algorithm::EdDsa, None, Typ::Absent)));
        check(r#"{"alg":"PS512","x5t":"abc","cty":"x","more":{"a":[1]}}"#, Ok((Algorithm::Ps512, None, Typ::Absent)));
        for (typ, expected) in [
            ("jwt", Typ::Jwt),
            ("application/JWT", Typ::Jwt),
            ("AT+JWT", Typ::AccessToken),
            ("application/at+jwt", Typ::AccessToken),
            ("dpop+jwt", Typ::Other),
            ("", Typ::Other),
        ] {
            check(&format!(r#"{{"alg":"ES256","typ":"{typ}"}}"#), Ok((Algorithm::Es256, None, expected)));
        }
    }

    #[test]
    fn a_header_that_wants_more_is_refused() {
        for alg in ["none", "None", "HS256", "rs256", "RS1", "ES256K", ""] {
            check(&format!(r#"{{"alg":"{alg}"}}"#), Err(JwsError::Algorithm));
        }
        check(r#"{"kid":"1"}"#, Err(JwsError::Refused("has no alg")));
        for member in [r#""crit":["exp"]"#, r#""crit":[]"#, r#""b64":false"#, r#""b64":true"#] {
            check(&format!(r#"{{"alg":"ES256",{member}}}"#), Err(JwsError::Refused("demands an extension")));
        }
        for name in ["jwk", "jku", "x5u", "x5c"] {
            check(&format!(r#"{{"alg":"ES256","{name}":null}}"#), Err(JwsError::Refused("brings its own key")));
        }
        let wrong = Err(JwsError::Refused("has an alg, kid or typ that is no short string"));
        for header in [r#"{"alg":["ES256"]}"#.to_owned(), format!(r#"{{"alg":"ES256","kid":"{}"}}"#, "k".repeat(257))] {
            check(&header, wrong);
        }
        check(r#"{"alg":"ES256","alg":"ES256"}"#, Err(JwsError::Header(JsonError::Duplicate)));
        check(r#"{"alg":"ES256","x":{"a":1,"a":1}}"#, Err(JwsError::Header(JsonError::Duplicate)));
        check("[]", Err(JwsError::Header(JsonError::Syntax)));
    }

    #[test]
    fn a_token_has_three_parts_and_a_size() {
        let header = encode(br#"{"alg":"ES256"}"#);
        let parse = |token: &str| Jws::parse(token).map(|_| ()).err();
        assert_eq!(parse(&format!("{header}.e30.AA")), None);
        for token in [
            "",
            ".",
            "..",
            "a",
            &header,
            &format!("{header}.e30"),
            &format!("{header}.e30."),
            &format!("{header}..AA."),
        ] {
            assert_eq!(parse(token), Some(JwsError::Form), "{token}");
        }
        assert_eq!(parse(&format!("{header}.e30.AA.AA")), Some(JwsError::Form));
        assert_eq!(parse(&format!("{header}=.e30.AA")), Some(JwsError::Form));
        assert_eq!(parse(&format!("{header}.{}.AA", "A".repeat(MAX_TOKEN_BYTES))), Some(JwsError::TooLong));
        assert_eq!(parse(&format!("{}.e30.AA", "A".repeat(MAX_HEADER_BYTES + 1))), Some(JwsError::Form));
        let jws = Jws::parse("eyJhbGciOiJFUzI1NiJ9.e3=.AA").unwrap();
        assert_eq!(jws.payload(), Err(JwsError::Form));
    }
}
