//! Users with passwords (RFC 7617) from lists as `htpasswd` writes them, and API keys.
//!
//! A hash that is slow on purpose would be a way to occupy this machine. So slow ones are checked on threads of their own,
//! few at once; how a check ended is remembered; a client may fail only so often; and when many wait, more are refused,
//! except for those whose password was found right before.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::answer::Reject;
use super::client::{Client, Failures};
use super::recent::Recent;
use super::secret::Secret;

pub mod api_keys;
mod hash;
#[cfg(test)]
mod tests;

use hash::Stored;

/// The value of `Authorization` may have this many bytes.
const MAX_HEADER_BYTES: usize = 4 * 1024;
/// A list may have this many bytes.
pub const MAX_LIST_BYTES: usize = 1024 * 1024;
/// A list may have this many users.
pub const MAX_USERS: usize = 10_000;

/// Slow checks at once.
const CHECKS: usize = 2;
/// Requests that wait for one of them.
const WAITING: usize = 64;
/// Checks whose end is remembered, of each sort.
const REMEMBERED: usize = 16 * 1024;

/// What a client claims to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user's name.
    pub user: Box<str>,
    /// What it has to prove it.
    pub password: Secret,
}

impl Login {
    /// Reads the value of `Authorization`.
    pub fn parse(header: &str) -> Result<Login, Reject> {
        if header.len() > MAX_HEADER_BYTES {
            return Err(Reject::Credentials);
        }
        let (scheme, text) = header.split_once(' ').ok_or(Reject::Credentials)?;
        if !scheme.eq_ignore_ascii_case("Basic") {
            return Err(Reject::Credentials);
        }
        let text = STANDARD.decode(text.trim_matches(' ')).map_err(|_| Reject::Credentials)?;
        let text = String::from_utf8(text).map_err(|_| Reject::Credentials)?;
        let (user, password) = text.split_once(':').ok_or(Reject::Credentials)?;
        if text.chars().any(char::is_control) {
            return Err(Reject::Credentials);
        }
        Ok(Login { user: user.into(), password: Secret::new(password) })
    }
}

/// Why a list of users cannot be used. Hashes are not told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsersError {
    /// It is too large.
    #[error("the list of users has more than {MAX_LIST_BYTES} bytes")]
    Large,
    /// It has too many users.
    #[error("the list of users has more than {MAX_USERS} lines with users")]
    Many,
    /// A line is not a user with a hash.
    #[error("line {line} of the list of users {reason}")]
    Line {
        /// Which, counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

/// Users and the hashes of their passwords.
pub struct Users {
    users: HashMap<Box<str>, (Arc<str>, Arc<Stored>)>,
    /// What is checked where there is no such user, so that it takes as long.
    decoy: Arc<Stored>,
    key: hmac::Key,
    state: Mutex<State>,
    checks: Arc<Semaphore>,
    waiting: Semaphore,
    since: Instant,
}

struct State {
    right: Recent<[u8; 32], ()>,
    /// Apart, so that wrong ones displace no right ones.
    wrong: Recent<[u8; 32], ()>,
    failures: Failures,
}

impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Users").field("count", &self.users.len()).finish_non_exhaustive()
    }
}

impl Users {
    /// Reads a list: lines of `user:hash`; empty ones and those that begin with `#` are skipped.
    pub fn parse(list: &str) -> Result<Users, UsersError> {
        if list.len() > MAX_LIST_BYTES {
            return Err(UsersError::Large);
        }
        let (mut users, mut decoy) = (HashMap::new(), None);
        for (i, text) in list.lines().enumerate() {
            if text.trim().is_empty() || text.starts_with('#') {
                continue;
            }
            let fail = |reason| UsersError::Line { line: i + 1, reason };
            let (user, hash) = text.split_once(':').ok_or(fail("has no colon after the user's name"))?;
            if user.is_empty() {
                return Err(fail("has no user's name"));
            }
            let stored = Arc::new(Stored::parse(hash.trim_end()).map_err(fail)?);
            if decoy.is_none() || stored.is_slow() {
                decoy = Some(Arc::clone(&stored));
            }
            if users.insert(user.into(), (user.into(), stored)).is_some() {
                return Err(fail("has a user that stands there before"));
            }
            if users.len() > MAX_USERS {
                return Err(UsersError::Many);
            }
        }
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).map_err(|_| UsersError::Random)?;
        let [right, wrong] = [REMEMBERED; 2].map(Recent::new);
        Ok(Users {
            users,
            decoy: decoy.unwrap_or_else(|| Arc::new(Stored::Sha1([0; 20]))),
            key,
            state: Mutex::new(State { right, wrong, failures: Failures::default() }),
            checks: Arc::new(Semaphore::new(CHECKS)),
            waiting: Semaphore::new(WAITING),
            since: Instant::now(),
        })
    }

    /// The user's name, where the password is right. `client` is where the request comes from.
    pub async fn authenticate(&self, login: &Login, client: IpAddr) -> Result<Arc<str>, Reject> {
        let found = self.users.get(&login.user);
        let stored = found.map_or(&self.decoy, |(_, stored)| stored);
        let right = match stored.is_slow() {
            true => self.check(login, stored, Client::new(client)).await?,
            false => stored.is_of(login.password.expose()),
        };
        match found {
            Some((name, _)) if right => Ok(Arc::clone(name)),
            _ => Err(Reject::Credentials),
        }
    }

    /// Whether the password is that of the hash, which is slow.
    async fn check(&self, login: &Login, stored: &Arc<Stored>, client: Client) -> Result<bool, Reject> {
        let tag = self.tag(login, stored);
        {
            let mut state = self.state.lock();
            if state.right.get(&tag).is_some() {
                return Ok(true);
            }
            if state.wrong.get(&tag).is_some() {
                return Ok(false);
            }
            if !state.failures.charge(client, self.since.elapsed()) {
                return Err(Reject::Busy);
            }
        }
        let _waiting = self.waiting.try_acquire().map_err(|_| Reject::Busy)?;
        let permit = Arc::clone(&self.checks).acquire_owned().await.map_err(|_| Reject::Busy)?;
        let (stored, password) = (Arc::clone(stored), login.password.clone());
        let check = tokio::task::spawn_blocking(move || {
            // Until it has ended, be it that nobody waits any more.
            let _permit = permit;
            stored.is_of(password.expose())
        });
        let right = check.await.map_err(|_| Reject::Unavailable)?;
        let mut state = self.state.lock();
        let forgotten = if right { state.right.insert(tag, (), 1) } else { state.wrong.insert(tag, (), 1) };
        if right {
            state.failures.refund(client);
        }
        drop(state);
        drop(forgotten);
        Ok(right)
    }

    /// Stands for user, password and stored hash: a new hash makes a new check. It is keyed, so that what is remembered
    /// is worth nothing elsewhere.
    fn tag(&self, login: &Login, stored: &Stored) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [login.user.as_bytes(), login.password.expose().as_bytes(), stored.bytes()] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut tag = [0; 32];
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }
}
