//! JWK sets (RFC 7517, RFC 7518, RFC 8037, RFC 8725): what an issuer publishes, to keys that can verify.
//!
//! A [`Key`] has one algorithm, which comes from the issuer and never from a token. A key without `alg` is good for what
//! its type allows: one algorithm for an elliptic curve, several for RSA, each of which becomes a [`Key`] of its own.
//! What cannot verify a signature (other types, curves and uses, keys for encryption, keys that are weak or whose private
//! half is public) is left out and told of in [`KeySet::skipped`]; a set of the future must not lock anyone out. What
//! makes the set itself doubtful (syntax, duplicates, sizes) refuses it.

use aws_lc_rs::signature::{self, EcdsaVerificationAlgorithm, ParsedPublicKey, RsaParameters, RsaPublicKeyComponents};

use super::base64::decode;
use super::json::{self, Json, JsonError, Limits, Members, member};

#[cfg(test)]
mod tests;

/// A set may have this many bytes: a hundred RSA keys with certificates.
pub const MAX_SET_BYTES: usize = 256 * 1024;
/// A set may have this many keys.
pub const MAX_KEYS: usize = 100;
/// A name of a key may have this many bytes.
pub const MAX_KID_BYTES: usize = 256;

const LIMITS: Limits = Limits { depth: 8, values: 8192 };
/// The largest exponent that aws-lc takes.
const MAX_EXPONENT: u64 = (1 << 33) - 1;
/// The smallest that FIPS 186-5 allows, and in fact the only one in use.
const MIN_EXPONENT: u64 = 65_537;

/// An algorithm of a signature (RFC 7518, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// ECDSA on P-521 with SHA-512.
    Es512,
    /// Ed25519, by its old name `EdDSA` or that of RFC 9864.
    EdDsa,
}

impl Algorithm {
    /// All that are implemented. No HMAC: its key would let everyone sign who verifies.
    pub const ALL: [Algorithm; 10] = [
        Algorithm::Rs256,
        Algorithm::Rs384,
        Algorithm::Rs512,
        Algorithm::Ps256,
        Algorithm::Ps384,
        Algorithm::Ps512,
        Algorithm::Es256,
        Algorithm::Es384,
        Algorithm::Es512,
        Algorithm::EdDsa,
    ];

    /// Its name in a header and in a key.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Rs256 => "RS256",
            Algorithm::Rs384 => "RS384",
            Algorithm::Rs512 => "RS512",
            Algorithm::Ps256 => "PS256",
            Algorithm::Ps384 => "PS384",
            Algorithm::Ps512 => "PS512",
            Algorithm::Es256 => "ES256",
            Algorithm::Es384 => "ES384",
            Algorithm::Es512 => "ES512",
            Algorithm::EdDsa => "EdDSA",
        }
    }

    /// The algorithm of that name.
    pub fn from_name(name: &str) -> Option<Algorithm> {
        let name = if name == "Ed25519" { "EdDSA" } else { name };
        Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    fn rsa(self) -> Option<&'static RsaParameters> {
        match self {
            Algorithm::Rs256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
            Algorithm::Rs384 => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
            Algorithm::Rs512 => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
            Algorithm::Ps256 => Some(&signature::RSA_PSS_2048_8192_SHA256),
            Algorithm::Ps384 => Some(&signature::RSA_PSS_2048_8192_SHA384),
            Algorithm::Ps512 => Some(&signature::RSA_PSS_2048_8192_SHA512),
            Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512 | Algorithm::EdDsa => None,
        }
    }
}

/// A key that verifies.
#[derive(Debug)]
pub struct Key {
    /// Its name, where the issuer gave it one.
    pub kid: Option<Box<str>>,
    /// The only algorithm that it verifies.
    pub algorithm: Algorithm,
    public: ParsedPublicKey,
}

impl Key {
    /// Whether `signature` is that of `message`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.public.verify_sig(message, signature).is_ok()
    }

    /// The name, algorithm and value, by which keys are told from each other.
    fn identity(&self) -> (Option<&str>, Algorithm, &[u8]) {
        (self.kid.as_deref(), self.algorithm, self.public.as_ref())
    }
}

/// The keys of an issuer.
#[derive(Debug, Default)]
pub struct KeySet {
    /// Ordered by name, those without first.
    keys: Vec<Key>,
    /// What was left out, for the log.
    pub skipped: Vec<Skipped>,
}

/// A key that was left out of a set.
#[derive(Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Which one, counted from 0.
    pub position: usize,
    /// Why.
    pub reason: &'static str,
}

/// Why a set is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwkError {
    /// It is too large.
    #[error("the key set has more than {MAX_SET_BYTES} bytes")]
    Large,
    /// It has too many keys.
    #[error("the key set has more than {MAX_KEYS} keys")]
    Many,
    /// It cannot be read.
    #[error("the key set cannot be read: {0}")]
    Json(#[from] JsonError),
    /// It is no key set.
    #[error("the key set has no member \"keys\" that is a list of objects")]
    NoKeys,
    /// Two keys cannot be told from each other.
    #[error("the key set has two different keys for {0} under one kid")]
    Ambiguous(&'static str),
    /// Nothing in it verifies a signature.
    #[error("the key set has no key that can verify a signature: {}", reasons(.0))]
    Useless(Vec<&'static str>),
}

fn reasons(reasons: &[&'static str]) -> String {
    if reasons.is_empty() { "it is empty".to_owned() } else { reasons.join("; ") }
}

impl KeySet {
    /// Reads a set, of which the algorithms of `allowed` are wanted.
    pub fn parse(text: &[u8], allowed: &[Algorithm]) -> Result<KeySet, JwkError> {
        if text.len() > MAX_SET_BYTES {
            return Err(JwkError::Large);
        }
        let document = json::parse(text, LIMITS)?;
        let Some(Json::List(list)) = member(&document, "keys") else { return Err(JwkError::NoKeys) };
        if list.len() > MAX_KEYS {
            return Err(JwkError::Many);
        }
        let mut set = KeySet::default();
        for (position, key) in list.iter().enumerate() {
            let Json::Object(key) = key else { return Err(JwkError::NoKeys) };
            match read(key, allowed) {
                Ok(keys) => set.keys.extend(keys),
                Err(reason) => set.skipped.push(Skipped { position, reason }),
            }
        }
        set.keys.sort_by(|a, b| a.identity().cmp(&b.identity()));
        set.keys.dedup_by(|a, b| a.identity() == b.identity());
        for pair in set.keys.windows(2) {
            if let [a, b] = pair
                && a.kid.is_some()
                && (&a.kid, a.algorithm) == (&b.kid, b.algorithm)
            {
                return Err(JwkError::Ambiguous(a.algorithm.name()));
            }
        }
        // Whoever wants to withdraw a key publishes another: an empty answer is far more often a fault.
        if set.keys.is_empty() {
            let mut reasons: Vec<&str> = set.skipped.iter().map(|skipped| skipped.reason).collect();
            reasons.dedup();
            return Err(JwkError::Useless(reasons));
        }
        Ok(set)
    }

    /// The key of that name and algorithm.
    pub fn named(&self, kid: &str, algorithm: Algorithm) -> Option<&Key> {
        self.with_name(kid).iter().find(|key| key.algorithm == algorithm)
    }

    /// Whether there is a key of that name, of whatever algorithm.
    pub fn knows(&self, kid: &str) -> bool {
        !self.with_name(kid).is_empty()
    }

    /// The keys of that algorithm, with and without a name.
    pub fn of(&self, algorithm: Algorithm) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(move |key| key.algorithm == algorithm)
    }

    /// Whether both sets verify the same.
    pub fn same(&self, other: &KeySet) -> bool {
        self.keys.iter().map(Key::identity).eq(other.keys.iter().map(Key::identity))
    }

    /// How many keys there are; an RSA key counts once for each of its algorithms.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    fn with_name(&self, kid: &str) -> &[Key] {
        let start = self.keys.partition_point(|key| key.kid.as_deref() < Some(kid));
        let rest = self.keys.get(start..).unwrap_or_default();
        let count = rest.iter().take_while(|key| key.kid.as_deref() == Some(kid)).count();
        rest.get(..count).unwrap_or_default()
    }
}

/// The keys that one JWK stands for, or why it stands for none.
fn read(jwk: &Members, allowed: &[Algorithm]) -> Result<Vec<Key>, &'static str> {
    const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
    let text = |name: &str| match member(jwk, name) {
        None => Ok(None),
        Some(Json::Text(text)) => Ok(Some(&**text)),
        Some(_) => Err("a member that is a string by RFC 7517 is none"),
    };
    let kind = text("kty")?.ok_or("it has no kty")?;
    if !matches!(kind, "RSA" | "EC" | "OKP") {
        return Err("its kty is none of RSA, EC, OKP");
    }
    if PRIVATE.iter().any(|name| member(jwk, name).is_some()) {
        return Err("it holds the private key, which is now everybody's");
    }
    if text("use")?.is_some_and(|used| used != "sig") {
        return Err("its use is not sig");
    }
    if let Some(operations) = member(jwk, "key_ops") {
        let operations = operations.texts().ok_or("its key_ops are no list of strings")?;
        if !operations.contains(&"verify") {
            return Err("its key_ops do not have verify");
        }
    }
    let kid = text("kid")?;
    if kid.is_some_and(|kid| kid.len() > MAX_KID_BYTES) {
        return Err("its kid is too long");
    }
    let stated = match text("alg")? {
        Some(name) => Some(Algorithm::from_name(name).ok_or("its alg is not supported")?),
        None => None,
    };
    let bytes =
        |name: &str| decode(text(name)?.ok_or("a part of the key is missing")?.as_bytes()).ok_or("it is no base64url");
    let keys = match kind {
        "RSA" => rsa(&bytes("n")?, &bytes("e")?, stated, allowed)?,
        "EC" => vec![curve(text("crv")?.ok_or("it has no crv")?, &bytes("x")?, &bytes("y")?)?],
        _ => vec![edwards(text("crv")?.ok_or("it has no crv")?, &bytes("x")?)?],
    };
    let fits = |algorithm: &Algorithm| stated.is_none_or(|stated| stated == *algorithm);
    let keys: Vec<_> =
        keys.into_iter().filter(|(algorithm, _)| fits(algorithm) && allowed.contains(algorithm)).collect();
    if keys.is_empty() {
        return Err("its alg does not fit to its type, or is not allowed for this issuer");
    }
    Ok(keys.into_iter().map(|(algorithm, public)| Key { kid: kid.map(Into::into), algorithm, public }).collect())
}

type Parsed = (Algorithm, ParsedPublicKey);

fn rsa(n: &[u8], e: &[u8], stated: Option<Algorithm>, allowed: &[Algorithm]) -> Result<Vec<Parsed>, &'static str> {
    let (Some(first), Some(last)) = (n.first(), n.last()) else { return Err("its modulus is empty") };
    if *first == 0 || e.first() == Some(&0) {
        return Err("a number in it has leading zeros, which RFC 7518 forbids");
    }
    let bits = n.len().saturating_mul(8).saturating_sub(first.leading_zeros() as usize);
    if !(2048..=8192).contains(&bits) {
        return Err("its modulus does not have 2048 to 8192 bits");
    }
    let exponent = e.iter().try_fold(0_u64, |sum, byte| Some(sum.checked_mul(256)? | u64::from(*byte)));
    if !exponent.is_some_and(|e| (MIN_EXPONENT..=MAX_EXPONENT).contains(&e) && e % 2 == 1) {
        return Err("its exponent is not odd and between 65537 and 2^33");
    }
    if last % 2 == 0 || is_roca(n) {
        return Err("its modulus can be factored");
    }
    let mut keys = Vec::new();
    for algorithm in Algorithm::ALL {
        let Some(parameters) = algorithm.rsa() else { continue };
        if stated.is_none_or(|stated| stated == algorithm) && allowed.contains(&algorithm) {
            let key = RsaPublicKeyComponents { n, e }.to_parsed_public_key(parameters);
            keys.push((algorithm, key.map_err(|_| "it is no RSA key")?));
        }
    }
    Ok(keys)
}

/// Whether the modulus has the mark of CVE-2017-15361: modulo each small prime it is a power of 65537.
fn is_roca(n: &[u8]) -> bool {
    const PRIMES: [u32; 17] = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];
    PRIMES.iter().all(|prime| {
        let rest = n.iter().fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime);
        let mut power = 1;
        (0..*prime).any(|_| {
            power = power * (65_537 % prime) % prime;
            power == rest
        })
    })
}

fn curve(name: &str, x: &[u8], y: &[u8]) -> Result<Parsed, &'static str> {
    let (algorithm, parameters, length): (_, &'static EcdsaVerificationAlgorithm, _) = match name {
        "P-256" => (Algorithm::Es256, &signature::ECDSA_P256_SHA256_FIXED, 32),
        "P-384" => (Algorithm::Es384, &signature::ECDSA_P384_SHA384_FIXED, 48),
        "P-521" => (Algorithm::Es512, &signature::ECDSA_P521_SHA512_FIXED, 66),
        _ => return Err("its crv is none of P-256, P-384, P-521"),
    };
    if (x.len(), y.len()) != (length, length) {
        return Err("a coordinate has not the length of its curve");
    }
    let point = [&[4], x, y].concat();
    let key = ParsedPublicKey::new(parameters, point).map_err(|_| "its point is not on the curve")?;
    Ok((algorithm, key))
}

fn edwards(name: &str, x: &[u8]) -> Result<Parsed, &'static str> {
    if name != "Ed25519" {
        return Err("its crv is not Ed25519");
    }
    // Other lengths would be taken for DER.
    if x.len() != signature::ED25519_PUBLIC_KEY_LEN {
        return Err("its public key does not have 32 bytes");
    }
    let key = ParsedPublicKey::new(&signature::ED25519, x).map_err(|_| "it is no Ed25519 key")?;
    Ok((Algorithm::EdDsa, key))
}
