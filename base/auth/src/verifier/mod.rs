//! Who sends a request, by the token that it brings: JSON web tokens of several issuers.
//!
//! Two steps. Before the route is known, [`Verifier::authenticate`] says whose token it is: it takes the token apart
//! ([`jws`]), reads what it says ([`claims`]), finds its issuer by the claim `iss`, which nothing vouches for yet, has one
//! of that issuer's keys ([`jwk`]) check the signature, and remembers what was found valid (`cache`). Times are looked at
//! for each request. Once the route is known, [`Requirement::check`] says whether the token suffices. Why not becomes an
//! [`answer`] that helps nobody to guess.
//!
//! Tokens that say nothing by themselves are asked about ([`introspection`]); passwords and API keys are looked up
//! ([`basic`]). There is no I/O here: keys and answers are fetched by closures of the caller's.
//!
//! What holds: the algorithm is the key's; nothing is accepted that its issuer's keys of now did not sign; strangers can
//! cause one fetch in 30 s; an issuer that is down costs no valid token; all memory that requests can fill is bounded.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

pub mod answer;
mod base64;
pub mod basic;
mod cache;
pub mod claims;
mod client;
pub mod introspection;
pub mod issuer;
pub mod json;
pub mod jwk;
pub mod jws;
mod recent;
pub mod refresh;
pub mod requirement;
pub mod secret;

#[cfg(test)]
mod bench;
#[cfg(test)]
mod mutation;
#[cfg(test)]
mod testkeys;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wycheproof;

pub use answer::{Answer, Denied, Realm, Reject};
pub use claims::Claims;
pub use issuer::{Issuer, IssuerConfig};
pub use requirement::{Proof, Requirement};

use cache::{Cache, TokenHash, Valid, token_hash};
use jws::{Jws, JwsError, MAX_TOKEN_BYTES, Typ};

/// A token that names no key is tried with so many of those that have its algorithm.
const MAX_UNNAMED: usize = 4;

/// Verifies the tokens of several issuers. Cheap to share, not to make: it holds the cache.
#[derive(Debug)]
pub struct Verifier {
    issuers: HashMap<Arc<str>, Arc<Issuer>>,
    cache: Cache,
}

/// A token that was found authentic.
#[derive(Clone, Debug)]
pub struct Verified(Arc<Valid>);

impl Verified {
    /// What it says.
    pub fn claims(&self) -> &Claims {
        &self.0.claims
    }

    /// Who made it.
    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// What its header says that it is.
    pub fn typ(&self) -> Typ {
        self.0.typ
    }

    /// In seconds since 1970: a stream that this token has opened ends then. The leeway is included.
    pub fn expires(&self) -> Option<i64> {
        Some(self.0.claims.expires()?.saturating_add(self.0.leeway))
    }
}

/// Why there is no answer yet, or none that says yes.
enum Failure {
    Reject(Reject),
    /// Whether the issuer has a key of that name may be found out.
    Key(Arc<Issuer>, Box<str>),
}

impl<E: Into<Reject>> From<E> for Failure {
    fn from(reject: E) -> Self {
        Failure::Reject(reject.into())
    }
}

impl Verifier {
    /// Trusts these issuers, each for the tokens that bear its name, and remembers tokens in `cache_bytes`. Of two
    /// issuers of one name the last counts.
    pub fn new(issuers: impl IntoIterator<Item = Arc<Issuer>>, cache_bytes: usize) -> Verifier {
        let issuers = issuers.into_iter().map(|issuer| (Arc::clone(issuer.name()), issuer)).collect();
        Verifier { issuers, cache: Cache::new(cache_bytes) }
    }

    /// Whose token this is. Waits a short time for a key that is not known, where it can be fetched.
    pub async fn authenticate(&self, token: &str, now: Timestamp) -> Result<Verified, Reject> {
        let (issuer, kid) = match self.examine(token, now) {
            Ok(verified) => return Ok(verified),
            Err(Failure::Reject(reject)) => return Err(reject),
            Err(Failure::Key(issuer, kid)) => (issuer, kid),
        };
        issuer.wait_for(&kid).await;
        self.examine(token, now).map_err(reject)
    }

    /// Like [`Verifier::authenticate`], by the keys that are known now.
    pub fn authenticate_now(&self, token: &str, now: Timestamp) -> Result<Verified, Reject> {
        self.examine(token, now).map_err(reject)
    }

    fn examine(&self, token: &str, now: Timestamp) -> Result<Verified, Failure> {
        // Before it is hashed: the hash of a long token is work too.
        if token.len() > MAX_TOKEN_BYTES {
            return Err(JwsError::TooLong.into());
        }
        let hash = token_hash(token.as_bytes());
        if let Some(valid) = self.cache.get(&hash) {
            check_times(&valid.claims, valid.leeway, now)?;
            return Ok(Verified(valid));
        }
        self.examine_new(token, hash, now)
    }

    fn examine_new(&self, token: &str, hash: TokenHash, now: Timestamp) -> Result<Verified, Failure> {
        let jws = Jws::parse(token)?;
        let claims = Claims::parse(&jws.payload()?)?;
        let issuer = claims.issuer().and_then(|name| self.issuers.get(name)).ok_or(Reject::Issuer)?;
        // Before the signature, which costs a hundred times as much: old tokens buy no work, and no fetch.
        check_times(&claims, issuer.leeway(), now)?;
        if claims.expires().is_none() && !issuer.allows_endless() {
            return Err(Reject::Endless.into());
        }
        let generation = check_signature(&jws, issuer)?;
        let (name, leeway) = (Arc::clone(issuer.name()), issuer.leeway());
        let valid = Arc::new(Valid { claims, typ: jws.header.typ, issuer: name, leeway });
        self.cache.insert(hash, Arc::clone(&valid), Arc::clone(issuer), generation);
        Ok(Verified(valid))
    }
}

fn reject(failure: Failure) -> Reject {
    match failure {
        Failure::Reject(reject) => reject,
        Failure::Key(issuer, _) if issuer.generation() == 0 => Reject::Unavailable,
        Failure::Key(..) => Reject::Key,
    }
}

/// The generation of the keys that have verified the token.
fn check_signature(jws: &Jws<'_>, issuer: &Arc<Issuer>) -> Result<u64, Failure> {
    let keys = issuer.keys();
    let algorithm = jws.header.algorithm;
    let Some(kid) = &jws.header.kid else {
        if keys.set.is_empty() {
            return Err(Failure::Key(Arc::clone(issuer), "".into()));
        }
        // Issuers of one key often do not name it. Which key is missing cannot be said, so none is fetched.
        let mut candidates = keys.set.of(algorithm).take(MAX_UNNAMED);
        let verified = candidates.any(|key| jws.verify(key).is_ok());
        return if verified { Ok(keys.generation) } else { Err(Reject::Signature.into()) };
    };
    let Some(key) = keys.set.named(kid, algorithm) else {
        return match keys.set.knows(kid) {
            true => Err(JwsError::Algorithm.into()),
            false => Err(Failure::Key(Arc::clone(issuer), kid.clone())),
        };
    };
    match jws.verify(key) {
        Ok(()) => Ok(keys.generation),
        Err(JwsError::Signature) => Err(Reject::Signature.into()),
        Err(error) => Err(error.into()),
    }
}

fn check_times(claims: &Claims, leeway: i64, now: Timestamp) -> Result<(), Reject> {
    let now = now.as_second();
    if claims.expires().is_some_and(|expires| now >= expires.saturating_add(leeway)) {
        return Err(Reject::Expired);
    }
    if claims.not_before().is_some_and(|begins| now < begins.saturating_sub(leeway)) {
        return Err(Reject::NotYet);
    }
    Ok(())
}
