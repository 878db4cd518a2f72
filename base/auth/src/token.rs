//! Service account tokens: JSON web tokens (RFC 7519) signed with ES256 (RFC 7515, RFC 7518).
//!
//! One key signs and verifies. A token is accepted when its header names that key and ES256 and nothing critical, the
//! signature is right, and issuer, audience and time are. Whether the service account and what the token is bound to
//! still exist is for the API server to check, which has the objects: [`TokenClaims`] carries their uids.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::caller::Principal;

#[cfg(test)]
mod tests;

/// Where the public key is served.
pub const JWKS_PATH: &str = "/openid/v1/jwks";
/// Where the issuer is described.
pub const CONFIGURATION_PATH: &str = "/.well-known/openid-configuration";

/// Ours take less than 2 KiB.
const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// Two servers that share a key may have clocks that differ by this.
const CLOCK_SKEW_SECONDS: i64 = 60;
/// What precedes the point in the DER of a P-256 public key (SubjectPublicKeyInfo, RFC 5480).
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Why a token is refused, or cannot be made. The texts hold nothing of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is longer than any of ours.
    #[error("the token is longer than {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    /// It is not of the form of a service account token.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// It is signed by another key or algorithm.
    #[error("the token is not signed by this platform's key with ES256")]
    OtherKey,
    /// The signature is wrong.
    #[error("the token's signature is wrong")]
    Signature,
    /// It comes from another issuer.
    #[error("the token is of another issuer")]
    Issuer,
    /// It is meant for somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYet,
    /// The key is no P-256 key.
    #[error("the token key is no P-256 key in PKCS#8")]
    BadKey,
    /// Signing failed.
    #[error("the cryptographic library failed to sign")]
    Sign,
}

/// A name and uid of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRef {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
}

/// Whose token it is, and the object with whose end the token ends as well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The service account's namespace, and that of the pod or secret.
    pub namespace: String,
    /// The service account.
    pub serviceaccount: ObjectRef,
    /// The pod that it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<ObjectRef>,
    /// The secret that it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<ObjectRef>,
    /// The node of the pod, or that it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<ObjectRef>,
    /// When a client should have a newer token, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warnafter: Option<i64>,
}

/// A token to be made.
#[derive(Clone, Debug)]
pub struct TokenSpec {
    /// Whose it is.
    pub subject: Subject,
    /// For whom it is meant.
    pub audiences: Vec<String>,
    /// From when.
    pub issued_at: Timestamp,
    /// For how long.
    pub seconds: u32,
    /// Tells it from all others.
    pub id: Uuid,
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenClaims {
    /// For whom it is meant.
    pub aud: Vec<String>,
    /// When it expires, in seconds since 1970.
    pub exp: i64,
    /// When it was made.
    pub iat: i64,
    /// Who made it.
    pub iss: String,
    /// Tells it from all others.
    pub jti: String,
    /// Whose it is.
    #[serde(rename = "kubernetes.io")]
    pub subject: Subject,
    /// From when it is valid.
    pub nbf: i64,
    /// The user's name.
    pub sub: String,
}

impl TokenClaims {
    /// The user that the token stands for.
    pub fn principal(&self) -> Principal {
        let Subject { namespace, serviceaccount, pod, node, .. } = &self.subject;
        let mut extra = BTreeMap::new();
        let mut add = |key: &str, value: String| {
            extra.insert(format!("authentication.kubernetes.io/{key}"), vec![value]);
        };
        add("credential-id", format!("JTI={}", self.jti));
        for (kind, object) in [("pod", pod), ("node", node)] {
            if let Some(object) = object {
                add(&format!("{kind}-name"), object.name.clone());
                add(&format!("{kind}-uid"), object.uid.clone());
            }
        }
        let uid = Some(serviceaccount.uid.as_str().into());
        Principal { uid, extra, ..Principal::service_account(namespace, &serviceaccount.name) }
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    kid: String,
    #[serde(default, skip_serializing)]
    crit: Option<Value>,
}

/// The key that signs and verifies service account tokens.
pub struct TokenSigner {
    key: EcdsaKeyPair,
    /// The public point: 0x04, x, y.
    public: Vec<u8>,
    kid: String,
    issuer: String,
}

impl fmt::Debug for TokenSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSigner").field("kid", &self.kid).field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl TokenSigner {
    /// Signs with `key` (P-256 in PKCS#8) as `issuer`, a URL.
    pub fn new(key: &[u8], issuer: &str) -> Result<TokenSigner, TokenError> {
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key).map_err(|_| TokenError::BadKey)?;
        let public = key.public_key().as_ref().to_vec();
        let kid = BASE64.encode(Sha256::digest([&SPKI_PREFIX, public.as_slice()].concat()));
        Ok(TokenSigner { key, public, kid, issuer: issuer.to_owned() })
    }

    /// Makes a token.
    pub fn sign(&self, spec: TokenSpec) -> Result<String, TokenError> {
        let issued = spec.issued_at.as_second();
        let claims = TokenClaims {
            aud: spec.audiences,
            exp: issued.saturating_add(i64::from(spec.seconds)),
            iat: issued,
            iss: self.issuer.clone(),
            jti: spec.id.to_string(),
            nbf: issued,
            sub: user_name(&spec.subject),
            subject: spec.subject,
        };
        let header = Header { alg: "ES256".to_owned(), kid: self.kid.clone(), crit: None };
        let encode = |json: serde_json::Result<Vec<u8>>| json.map(|json| BASE64.encode(json));
        let (Ok(header), Ok(claims)) = (encode(serde_json::to_vec(&header)), encode(serde_json::to_vec(&claims)))
        else {
            return Err(TokenError::Malformed("its claims cannot be written"));
        };
        let signed = format!("{header}.{claims}");
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).map_err(|_| TokenError::Sign)?;
        let token = format!("{signed}.{}", BASE64.encode(signature.as_ref()));
        // What would not be accepted is not given out.
        if token.len() > MAX_TOKEN_BYTES { Err(TokenError::TooLong) } else { Ok(token) }
    }

    /// What `token` says, where it is ours, meant for one of `audiences`, and valid `now`.
    pub fn verify(&self, token: &str, audiences: &[&str], now: Timestamp) -> Result<TokenClaims, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLong);
        }
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, signature] = parts.as_slice() else {
            return Err(TokenError::Malformed("it does not have three parts"));
        };
        let parsed: Header = decode(header, "its header")?;
        if parsed.crit.is_some() {
            return Err(TokenError::Malformed("its header names critical extensions"));
        }
        if parsed.alg != "ES256" || parsed.kid != self.kid {
            return Err(TokenError::OtherKey);
        }
        let signature = BASE64.decode(signature).map_err(|_| TokenError::Malformed("its signature"))?;
        let signed = &token.as_bytes()[..header.len() + 1 + claims.len()];
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.public)
            .verify(signed, &signature)
            .map_err(|_| TokenError::Signature)?;
        let claims: TokenClaims = decode(claims, "its claims")?;
        self.check_claims(&claims, audiences, now.as_second())?;
        Ok(claims)
    }

    /// Whether `token` claims to be ours: a cheap look, for choosing among several kinds of tokens.
    pub fn is_ours(&self, token: &str) -> bool {
        let header = token.split('.').next().filter(|_| token.len() <= MAX_TOKEN_BYTES);
        header.and_then(|header| decode::<Header>(header, "").ok()).is_some_and(|header| header.kid == self.kid)
    }

    fn check_claims(&self, claims: &TokenClaims, audiences: &[&str], now: i64) -> Result<(), TokenError> {
        if claims.iss != self.issuer {
            return Err(TokenError::Issuer);
        }
        if claims.sub != user_name(&claims.subject) {
            return Err(TokenError::Malformed("its subject is another than its service account"));
        }
        if !claims.aud.iter().any(|audience| audiences.contains(&audience.as_str())) {
            return Err(TokenError::Audience);
        }
        if now >= claims.exp {
            return Err(TokenError::Expired);
        }
        if now.saturating_add(CLOCK_SKEW_SECONDS) < claims.nbf.max(claims.iat) {
            return Err(TokenError::NotYet);
        }
        Ok(())
    }

    /// The public key (RFC 7517), served at [`JWKS_PATH`].
    pub fn jwks(&self) -> Value {
        let (x, y) = self.public.get(1..).unwrap_or_default().split_at(self.public.len() / 2);
        json!({"keys": [{
            "use": "sig", "kty": "EC", "kid": self.kid, "crv": "P-256", "alg": "ES256",
            "x": BASE64.encode(x), "y": BASE64.encode(y),
        }]})
    }

    /// The issuer's description (OpenID Connect Discovery), served at [`CONFIGURATION_PATH`]; `jwks_uri` is the URL of
    /// [`JWKS_PATH`].
    pub fn configuration(&self, jwks_uri: &str) -> Value {
        json!({
            "issuer": self.issuer,
            "jwks_uri": jwks_uri,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        })
    }

    /// Who signs.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }
}

fn user_name(subject: &Subject) -> String {
    format!("system:serviceaccount:{}:{}", subject.namespace, subject.serviceaccount.name)
}

fn decode<T: for<'a> Deserialize<'a>>(part: &str, what: &'static str) -> Result<T, TokenError> {
    let json = BASE64.decode(part).map_err(|_| TokenError::Malformed(what))?;
    serde_json::from_slice(&json).map_err(|_| TokenError::Malformed(what))
}
