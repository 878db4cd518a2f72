//! Shared watches: one reflector a kind and process, however many parts read it.
//!
//! `Watches::of::<K>` starts the reflector at its first call; every call returns the same cache and a signal that
//! fires after each change. A reflector that fails backs off, starts again, and counts it.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use futures::StreamExt;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt, watcher};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The cache of one kind, and a signal for its changes.
pub struct Watched<K>
where
    K: kube::Resource + Clone + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    /// All objects of the kind, as of the last event.
    pub store: Store<K>,
    changes: watch::Receiver<u64>,
}

impl<K> Clone for Watched<K>
where
    K: kube::Resource + Clone + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    fn clone(&self) -> Self {
        Watched { store: self.store.clone(), changes: self.changes.clone() }
    }
}

impl<K> Watched<K>
where
    K: kube::Resource + Clone + Send + Sync + 'static,
    K::DynamicType: Eq + Hash + Clone + Send + Sync,
{
    /// Returns once the kind was listed for the first time; false when the process shuts down before.
    pub async fn synced(&self) -> bool {
        self.store.wait_until_ready().await.is_ok()
    }

    /// Returns after the next change since the last call; false when the watch has ended.
    pub async fn changed(&mut self) -> bool {
        self.changes.changed().await.is_ok()
    }
}

/// The reflectors of this process; clones share them.
#[derive(Clone)]
pub struct Watches(Arc<Inner>);

struct Inner {
    client: kube::Client,
    shutdown: CancellationToken,
    tasks: TaskTracker,
    running: Mutex<HashMap<Watch, Box<dyn Any + Send>>>,
}

/// A kind and the field selector that restricts it.
type Watch = (TypeId, Option<String>);

impl Watches {
    /// Watches through `client` until `shutdown`; the reflectors run in `tasks`.
    pub fn new(client: kube::Client, shutdown: CancellationToken, tasks: TaskTracker) -> Self {
        Watches(Arc::new(Inner { client, shutdown, tasks, running: Mutex::default() }))
    }

    /// All objects of kind `K` in all namespaces, restricted by a field selector where one is given.
    pub fn of<K>(&self, field_selector: Option<&str>) -> Watched<K>
    where
        K: kube::Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
        K::DynamicType: Default + Eq + Hash + Clone + Send + Sync,
    {
        let key = (TypeId::of::<K>(), field_selector.map(str::to_owned));
        let mut running = self.0.running.lock();
        if let Some(watched) = running.get(&key).and_then(|w| w.downcast_ref::<Watched<K>>()) {
            return watched.clone();
        }
        let watched = self.start::<K>(field_selector);
        running.insert(key, Box::new(watched.clone()));
        watched
    }

    fn start<K>(&self, field_selector: Option<&str>) -> Watched<K>
    where
        K: kube::Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
        K::DynamicType: Default + Eq + Hash + Clone + Send + Sync,
    {
        let (store, writer) = reflector::store::<K>();
        let (changed, changes) = watch::channel(0);
        let mut config = watcher::Config::default().streaming_lists();
        config.field_selector = field_selector.map(str::to_owned);
        let api = kube::Api::<K>::all(self.0.client.clone());
        let events = watcher(api, config).default_backoff().reflect(writer);
        let shutdown = self.0.shutdown.clone();
        let kind = ObjectRef::<K>::new("").to_string();
        self.0.tasks.spawn(async move {
            let mut events = std::pin::pin!(events);
            while let Some(Some(event)) = shutdown.run_until_cancelled(events.next()).await {
                match event {
                    Ok(_) => changed.send_modify(|n| *n += 1),
                    Err(error) => tracing::warn!(kind, %error, "a watch failed and starts again"),
                }
            }
        });
        Watched { store, changes }
    }
}
