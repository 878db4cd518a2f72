//! Tokens whose signature was found valid: SHA-256 of the token -> what it says.
//!
//! Only what a key has verified comes in, so a flood of garbage displaces nothing. An entry says under which generation of
//! which issuer's keys it was verified; whoever takes it out compares that, and looks at the times again. Its memory is
//! bounded by bytes. It is cut into shards with a lock each, which are held for a look-up in a map.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use parking_lot::Mutex;

use super::claims::Claims;
use super::issuer::Issuer;
use super::jws::Typ;
use super::recent::Recent;

/// SHA-256 of a token.
pub(crate) type TokenHash = [u8; 32];

const SHARDS: usize = 16;
/// What an entry takes beside its claims: keys, maps, counts, the allocator's share.
const OVERHEAD: usize = 256;

/// A token that is authentic, at whatever time.
#[derive(Debug)]
pub(crate) struct Valid {
    pub(crate) claims: Claims,
    pub(crate) typ: Typ,
    pub(crate) issuer: Arc<str>,
    /// By how many seconds its times may be missed.
    pub(crate) leeway: i64,
}

/// By which keys it was verified.
#[derive(Debug)]
struct Entry {
    valid: Arc<Valid>,
    issuer: Arc<Issuer>,
    generation: u64,
}

/// The cache.
#[derive(Debug)]
pub(crate) struct Cache {
    shards: [Mutex<Recent<TokenHash, Entry>>; SHARDS],
}

/// The hash by which a token is found.
pub(crate) fn token_hash(token: &[u8]) -> TokenHash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, token).as_ref());
    hash
}

impl Cache {
    /// Takes up to `bytes`.
    pub(crate) fn new(bytes: usize) -> Self {
        Cache { shards: std::array::from_fn(|_| Mutex::new(Recent::new(bytes / SHARDS))) }
    }

    /// The token of that hash, where it was verified by keys that its issuer still has.
    pub(crate) fn get(&self, hash: &TokenHash) -> Option<Arc<Valid>> {
        let mut shard = self.shard(hash)?.lock();
        let entry = shard.get(hash)?;
        if entry.generation == entry.issuer.generation() {
            return Some(Arc::clone(&entry.valid));
        }
        let outdated = shard.remove(hash);
        drop(shard);
        drop(outdated);
        None
    }

    /// Keeps a token that was verified by the keys of `generation`.
    pub(crate) fn insert(&self, hash: TokenHash, valid: Arc<Valid>, issuer: Arc<Issuer>, generation: u64) {
        let Some(shard) = self.shard(&hash) else { return };
        let weight = OVERHEAD.saturating_add(valid.claims.heap());
        let forgotten = shard.lock().insert(hash, Entry { valid, issuer, generation }, weight);
        // The lock is not held any more.
        drop(forgotten);
    }

    fn shard(&self, hash: &TokenHash) -> Option<&Mutex<Recent<TokenHash, Entry>>> {
        let [first, ..] = hash;
        self.shards.get(usize::from(*first) % SHARDS)
    }
}
