//! API keys: a long random text that a client sends, of which only SHA-256 is stored.
//!
//! A fast hash is right here and wrong for passwords: a key that is drawn at random cannot be guessed, whatever a guess
//! costs. What is looked up is a keyed hash of that, so that how long a look-up takes tells nothing about stored keys.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;

use crate::verifier::answer::Reject;

/// A key may have this many bytes.
const MAX_KEY_BYTES: usize = 1024;
/// So many keys may be stored.
const MAX_KEYS: usize = 100_000;

/// Why keys cannot be used. What they are is not told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiKeysError {
    /// A hash is none.
    #[error("an API key of {0} is not stored as 64 hexadecimal digits, which are its SHA-256")]
    Hash(Arc<str>),
    /// A key would stand for two clients.
    #[error("{0} and {1} have the same API key")]
    Shared(Arc<str>, Arc<str>),
    /// There are too many.
    #[error("there are more than {MAX_KEYS} API keys")]
    Many,
    /// No random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

/// SHA-256 of an API key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// Of a key that is at hand.
    pub fn of(key: &str) -> KeyHash {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, key.as_bytes()).as_ref());
        KeyHash(hash)
    }

    /// Of 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<KeyHash> {
        let mut hash = [0; 32];
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != hash.len() || !rest.is_empty() {
            return None;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
            *byte = u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?;
        }
        Some(KeyHash(hash))
    }
}

/// Hashes are not told either.
impl std::fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyHash(..)")
    }
}

/// The keys of clients, each of which may have several.
#[derive(Debug)]
pub struct ApiKeys {
    clients: Clients,
    key: hmac::Key,
}

/// The name of the client for each key.
struct Clients(HashMap<[u8; 32], Arc<str>>);

impl std::fmt::Debug for Clients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} keys", self.0.len())
    }
}

impl ApiKeys {
    /// Takes the keys of clients by their names.
    pub fn new(keys: impl IntoIterator<Item = (Arc<str>, KeyHash)>) -> Result<ApiKeys, ApiKeysError> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).map_err(|_| ApiKeysError::Random)?;
        let mut clients = HashMap::new();
        for (client, hash) in keys {
            if clients.len() >= MAX_KEYS {
                return Err(ApiKeysError::Many);
            }
            match clients.insert(tag(&key, hash), Arc::clone(&client)) {
                Some(other) if other != client => return Err(ApiKeysError::Shared(other, client)),
                _ => {}
            }
        }
        Ok(ApiKeys { clients: Clients(clients), key })
    }

    /// Like [`ApiKeys::new`], of hashes in hexadecimal digits.
    pub fn parse<'a>(keys: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<ApiKeys, ApiKeysError> {
        let mut hashes = Vec::new();
        for (client, text) in keys {
            let client: Arc<str> = client.into();
            let hash = KeyHash::parse(text.trim()).ok_or_else(|| ApiKeysError::Hash(Arc::clone(&client)))?;
            hashes.push((client, hash));
        }
        ApiKeys::new(hashes)
    }

    /// Whose key this is.
    pub fn authenticate(&self, key: &str) -> Result<Arc<str>, Reject> {
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            return Err(Reject::Credentials);
        }
        self.clients.0.get(&tag(&self.key, KeyHash::of(key))).cloned().ok_or(Reject::Credentials)
    }
}

fn tag(key: &hmac::Key, hash: KeyHash) -> [u8; 32] {
    let mut tag = [0; 32];
    tag.copy_from_slice(hmac::sign(key, &hash.0).as_ref());
    tag
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_client_may_have_several_keys() {
        let two = KeyHash::of("two");
        let keys = ApiKeys::new([
            ("ada".into(), KeyHash::parse(ABC).unwrap()),
            ("ada".into(), two),
            ("bob".into(), KeyHash::of("3")),
        ]);
        let keys = keys.unwrap();
        for (key, client) in
            [("abc", Some("ada")), ("two", Some("ada")), ("3", Some("bob")), ("", None), ("ABC", None), (ABC, None)]
        {
            assert_eq!(keys.authenticate(key).ok().as_deref(), client, "{key}");
        }
        assert_eq!(keys.authenticate(&"a".repeat(MAX_KEY_BYTES + 1)), Err(Reject::Credentials));
        assert!(!format!("{keys:?} {two:?}").contains("ada"));
    }

    #[test]
    fn keys_that_cannot_be_used_are_refused() {
        let parse = |hashes: &[(&'static str, &str)]| ApiKeys::parse(hashes.iter().copied()).map(|_| ()).unwrap_err();
        for text in ["", "abc", &ABC[1..], &format!("{ABC}00"), &ABC.replace('b', "g"), &ABC.replacen("ba", "é", 1)] {
            assert_eq!(parse(&[("ada", text)]), ApiKeysError::Hash("ada".into()), "{text}");
        }
        let upper = ABC.to_uppercase();
        assert_eq!(parse(&[("ada", ABC), ("bob", &upper)]), ApiKeysError::Shared("ada".into(), "bob".into()));
        assert!(ApiKeys::parse([("ada", ABC), ("ada", &upper)]).is_ok());
    }
}
