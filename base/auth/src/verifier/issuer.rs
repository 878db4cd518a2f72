//! An issuer of tokens: what is expected of its tokens and the keys that it has now.
//!
//! Keys stand behind one pointer that is swapped. Each set that verifies something else than the one before has a new
//! generation, by which results that rest on older keys are told. An issuer either has the keys that it was given, or
//! learns them: [`Issuer::run`] fetches them when [`super::refresh`] says so.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::jwk::{Algorithm, JwkError, KeySet};
use super::refresh::{Ask, Pace, Refresh, Step};

#[cfg(test)]
mod tests;

/// A request whose key is not known waits this long for it at most.
const PATIENCE: Duration = Duration::from_secs(2);
/// So many requests wait at once; more are refused without waiting.
const WAITERS: usize = 1024;
/// Clocks may differ by this and no more.
const MAX_LEEWAY: Duration = Duration::from_secs(600);

/// What is expected of an issuer's tokens.
#[derive(Clone, Debug)]
pub struct IssuerConfig {
    /// Its name, which `iss` has to equal.
    pub name: Arc<str>,
    /// The algorithms that its keys may have.
    pub algorithms: Vec<Algorithm>,
    /// By how much its clock and ours may differ, ten minutes at most. As Envoy, Spring and the API server do: a minute.
    pub leeway: Duration,
    /// Whether tokens without `exp` are taken, which are valid for as long as their key is.
    pub endless: bool,
}

impl IssuerConfig {
    /// What fits to most issuers.
    pub fn new(name: &str) -> Self {
        let algorithms = Algorithm::ALL.to_vec();
        IssuerConfig { name: name.into(), algorithms, leeway: Duration::from_secs(60), endless: false }
    }
}

/// Gets the bytes of a key set. How long it takes is limited by who calls it; how many bytes it reads is not, so it has to
/// stop after [`super::jwk::MAX_SET_BYTES`].
pub type Fetch = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Bytes, String>> + Send>> + Send + Sync>;

/// An issuer and its keys.
#[derive(Debug)]
pub struct Issuer {
    config: IssuerConfig,
    keys: ArcSwap<Keys>,
    learning: Option<Learning>,
}

/// The keys of a moment.
#[derive(Debug, Default)]
pub struct Keys {
    /// What verifies.
    pub set: KeySet,
    /// Counts the sets; 0 is none.
    pub generation: u64,
}

#[derive(Debug)]
struct Learning {
    refresh: Mutex<Refresh>,
    timeout: Duration,
    /// The point that the times of `refresh` count from.
    since: Instant,
    /// Somebody asks for a key.
    asked: Notify,
    /// Counts the fetches that have ended.
    fetched: watch::Sender<u64>,
    waiters: Semaphore,
}

impl Issuer {
    /// An issuer with the keys of `set`, which stay.
    pub fn fixed(config: IssuerConfig, set: &[u8]) -> Result<Issuer, JwkError> {
        let issuer = Issuer { config, keys: ArcSwap::default(), learning: None };
        issuer.replace(set)?;
        Ok(issuer)
    }

    /// An issuer whose keys are learned by [`Issuer::run`].
    pub fn learning(config: IssuerConfig, pace: Pace) -> Issuer {
        let learning = Learning {
            refresh: Mutex::new(Refresh::new(pace)),
            timeout: pace.timeout(),
            since: Instant::now(),
            asked: Notify::new(),
            fetched: watch::Sender::new(0),
            waiters: Semaphore::new(WAITERS),
        };
        Issuer { config, keys: ArcSwap::default(), learning: Some(learning) }
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.config.name
    }

    /// Whether its tokens may go without `exp`.
    pub fn allows_endless(&self) -> bool {
        self.config.endless
    }

    /// By how many seconds its clock and ours may differ.
    pub fn leeway(&self) -> i64 {
        self.config.leeway.min(MAX_LEEWAY).as_secs().cast_signed()
    }

    /// Its keys now.
    pub fn keys(&self) -> Arc<Keys> {
        self.keys.load_full()
    }

    /// The generation of its keys now.
    pub fn generation(&self) -> u64 {
        self.keys.load().generation
    }

    /// Fetches the keys whenever that is due, until `stop`. `random` gives numbers from 0 to 1. What is wrong is told in the
    /// log, and by [`Issuer::generation`], which stays 0 until there are keys.
    pub async fn run(&self, fetch: Fetch, random: impl Fn() -> f64 + Send, stop: CancellationToken) {
        let Some(learning) = &self.learning else { return };
        while !stop.is_cancelled() {
            let step = learning.refresh.lock().step(learning.now());
            match step {
                Step::Fetch => {
                    let mut running = Running { learning, good: false, random: random() };
                    let fetched = tokio::select! {
                        () = stop.cancelled() => return,
                        fetched = timeout(learning.timeout, fetch()) => fetched,
                    };
                    running.good = self.take(fetched.unwrap_or_else(|_| Err("it took too long".to_owned())));
                }
                Step::Sleep(at) => tokio::select! {
                    () = stop.cancelled() => return,
                    () = learning.asked.notified() => {}
                    () = learning.sleep(at) => {}
                },
            }
        }
    }

    /// Waits a short time for the key `kid`, where a fetch may bring it. Whoever calls looks again afterwards.
    pub async fn wait_for(&self, kid: &str) {
        let Some(learning) = &self.learning else { return };
        let patience = learning.now().saturating_add(PATIENCE);
        let deadline = Instant::now() + PATIENCE;
        let mut fetched = learning.fetched.subscribe();
        while !self.keys.load().set.knows(kid) {
            let Ask::At(at) = learning.refresh.lock().ask(kid, learning.now()) else { return };
            learning.asked.notify_one();
            let Ok(_permit) = learning.waiters.try_acquire() else { return };
            if at > patience || timeout_at(deadline, fetched.changed()).await.is_err() {
                return;
            }
        }
    }

    /// Whether what was fetched gives keys.
    fn take(&self, fetched: Result<Bytes, String>) -> bool {
        let issuer = &**self.name();
        let result = fetched.and_then(|set| self.replace(&set).map_err(|error| error.to_string()));
        match &result {
            Ok(()) => {}
            Err(error) if self.generation() == 0 => tracing::warn!(issuer, error, "no key of the issuer is known yet"),
            Err(error) => tracing::warn!(issuer, error, "the issuer's keys could not be fetched; those known are kept"),
        }
        result.is_ok()
    }

    /// Takes the keys of a set. A set that is refused leaves those that are there.
    fn replace(&self, set: &[u8]) -> Result<(), JwkError> {
        let set = KeySet::parse(set, &self.config.algorithms)?;
        let now = self.keys();
        if !now.set.same(&set) {
            let generation = now.generation.saturating_add(1);
            let issuer = &**self.name();
            tracing::info!(issuer, generation, keys = set.len(), skipped = ?set.skipped, "the issuer's keys have changed");
            self.keys.store(Arc::new(Keys { set, generation }));
        }
        Ok(())
    }
}

impl Learning {
    fn now(&self) -> Duration {
        self.since.elapsed()
    }

    async fn sleep(&self, at: Duration) {
        match self.since.checked_add(at) {
            Some(at) => sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
}

/// A fetch that runs; it has ended when this is dropped, be it that nobody waits for it any more.
struct Running<'a> {
    learning: &'a Learning,
    good: bool,
    random: f64,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.learning.refresh.lock().finished(self.learning.now(), self.good, self.random);
        self.learning.fetched.send_modify(|count| *count = count.wrapping_add(1));
    }
}
