//! The hub: what is told of each commit, in commit order.
//!
//! Watchers pull from a ring per resource (the newest events, bounded by count and bytes); whoever falls behind
//! the ring goes on from the log. Observers (RBAC, namespaces, garbage collector) are called at each event.
//! Both happen on the store's writer thread before the write is acknowledged, so that who was answered sees it.

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};
use serde_json::Value;
use tokio::sync::watch;

use super::Key;

/// Events that a ring keeps at most.
const RING_EVENTS: usize = 512;
/// Bytes of bodies that a ring keeps at most.
const RING_BYTES: usize = 2 << 20;

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventKind {
    Added,
    Modified,
    Deleted,
}

/// One write, as watchers and observers see it.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) key: Key,
    pub(crate) kind: EventKind,
    pub(crate) rv: i64,
    /// The object after the write; before it, at the write's revision, where it was deleted.
    pub(crate) body: Arc<[u8]>,
    /// The object before the write.
    pub(crate) prev: Option<Arc<[u8]>>,
    parsed: OnceLock<Value>,
    parsed_prev: OnceLock<Value>,
}

impl Event {
    pub(crate) fn new(key: Key, kind: EventKind, rv: i64, body: Arc<[u8]>, prev: Option<Arc<[u8]>>) -> Event {
        Event { key, kind, rv, body, prev, parsed: OnceLock::new(), parsed_prev: OnceLock::new() }
    }

    /// Bytes of bodies.
    fn size(&self) -> usize {
        self.body.len() + self.prev.as_ref().map_or(0, |prev| prev.len())
    }

    /// `body` as JSON; parsed once, whoever asks.
    pub(crate) fn object(&self) -> &Value {
        self.parsed.get_or_init(|| serde_json::from_slice(&self.body).unwrap_or_default())
    }

    /// `prev` as JSON.
    pub(crate) fn previous(&self) -> Option<&Value> {
        let prev = self.prev.as_deref()?;
        Some(self.parsed_prev.get_or_init(|| serde_json::from_slice(prev).unwrap_or_default()))
    }
}

/// The newest events of one resource.
pub(crate) struct Ring {
    events: Mutex<Events>,
    /// The revision of the newest event; changes wake watchers.
    newest: watch::Sender<i64>,
}

struct Events {
    queue: VecDeque<Arc<Event>>,
    bytes: usize,
    /// Events up to this revision are not in the ring.
    gone: i64,
}

/// What a watcher finds after the revision that it has seen.
pub(crate) enum Next {
    /// These, in order; none yet when empty.
    Events(Vec<Arc<Event>>),
    /// The ring has moved on: read the log.
    Behind,
}

impl Ring {
    fn new(revision: i64) -> Ring {
        let events = Events { queue: VecDeque::new(), bytes: 0, gone: revision };
        Ring { events: Mutex::new(events), newest: watch::Sender::new(revision) }
    }

    fn push(&self, event: Arc<Event>) {
        let mut events = self.events.lock();
        let rv = event.rv;
        events.bytes += event.size();
        events.queue.push_back(event);
        while events.queue.len() > RING_EVENTS || events.bytes > RING_BYTES {
            let Some(old) = events.queue.pop_front() else { break };
            events.bytes -= old.size();
            events.gone = old.rv;
        }
        drop(events);
        self.newest.send_replace(rv);
    }

    /// At most `limit` events after revision `seen`.
    pub(crate) fn after(&self, seen: i64, limit: usize) -> Next {
        let events = self.events.lock();
        if seen < events.gone {
            return Next::Behind;
        }
        let start = events.queue.partition_point(|event| event.rv <= seen);
        Next::Events(events.queue.range(start..).take(limit).cloned().collect())
    }

    /// Fires at each new event.
    pub(crate) fn wake(&self) -> watch::Receiver<i64> {
        self.newest.subscribe()
    }
}

type Observer = Box<dyn Fn(&Arc<Event>) + Send + Sync>;

/// All rings and observers.
pub(crate) struct Hub {
    /// The newest committed revision that was published.
    revision: watch::Sender<i64>,
    /// Revision at the start of the process: what came before is only in the log.
    start: i64,
    rings: RwLock<HashMap<Arc<str>, Arc<Ring>>>,
    observers: RwLock<Vec<Observer>>,
}

impl Hub {
    pub(super) fn new(revision: i64) -> Hub {
        Hub {
            revision: watch::Sender::new(revision),
            start: revision,
            rings: RwLock::default(),
            observers: RwLock::default(),
        }
    }

    /// The newest committed revision.
    pub(crate) fn revision(&self) -> i64 {
        *self.revision.borrow()
    }

    /// Calls `observer` at each event from now on. It runs on the writer's thread: it must be quick.
    pub(crate) fn observe(&self, observer: impl Fn(&Arc<Event>) + Send + Sync + 'static) {
        self.observers.write().push(Box::new(observer));
    }

    /// The ring of one resource (`plural.group`).
    pub(crate) fn ring(&self, gr: &Arc<str>) -> Arc<Ring> {
        if let Some(ring) = self.rings.read().get(gr) {
            return Arc::clone(ring);
        }
        let mut rings = self.rings.write();
        // A ring that begins later than the process has missed nothing only if nobody wrote; so it begins at the start.
        Arc::clone(rings.entry(Arc::clone(gr)).or_insert_with(|| Arc::new(Ring::new(self.start))))
    }

    pub(super) fn publish(&self, event: Arc<Event>) {
        for observer in self.observers.read().iter() {
            // A fault of one must not hide the event from the others and from watchers, who would never notice.
            if std::panic::catch_unwind(AssertUnwindSafe(|| observer(&event))).is_err() {
                tracing::error!(object = ?event.key, rv = event.rv, "an observer of the API's objects panicked");
            }
        }
        let rv = event.rv;
        self.ring(&event.key.gr).push(event);
        self.revision.send_replace(rv);
    }
}
