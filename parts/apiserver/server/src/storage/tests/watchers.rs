//! Watchers follow by ring and log, as `watch.rs` does, while others write and the log is compacted: each sees every
//! revision once and in order, or is told that it cannot.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::*;

const RESOURCES: [&str; 2] = ["configmaps", "secrets"];
const WRITERS: i64 = 6;
const WRITES: i64 = 400;

fn inner(gr: &str, name: &str) -> Key {
    Key { gr: gr.into(), ns: "a".into(), name: name.into() }
}

/// Creates, replaces and deletes objects that no other writer touches.
async fn write(storage: Storage, writer: i64, written: Arc<AtomicI64>) {
    let mut random = StdRng::seed_from_u64(writer as u64);
    let mut objects: BTreeMap<Key, i64> = BTreeMap::new();
    for value in 0..WRITES {
        let name = format!("{writer}-{}", random.random_range(0..3));
        let key = inner(RESOURCES[random.random_range(0..2)], &name);
        let change = match objects.get(&key) {
            None => Change::Create(draft(&name, value)),
            Some(rv) if random.random_range(0..4) == 0 => Change::Delete(*rv),
            Some(rv) => Change::Replace(*rv, draft(&name, value)),
        };
        let deletes = matches!(change, Change::Delete(_));
        let stored = storage.commit(key.clone(), change, None).await.unwrap();
        if deletes {
            objects.remove(&key)
        } else {
            objects.insert(key, stored.rv)
        };
        written.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a watcher has seen.
#[derive(Default)]
struct Seen {
    rv: i64,
    objects: BTreeMap<Key, Arc<[u8]>>,
    events: Vec<i64>,
    from_log: usize,
    expired: usize,
}

impl Seen {
    /// An event is the next one of its object: what was before it is what this watcher has.
    fn take(&mut self, event: &Event) {
        assert!(event.rv > self.rv, "{} after {}", event.rv, self.rv);
        assert_eq!(self.objects.get(&event.key), event.prev.as_ref(), "{:?}: an event was left out", event.key);
        match event.kind {
            EventKind::Deleted => self.objects.remove(&event.key),
            _ => self.objects.insert(event.key.clone(), Arc::clone(&event.body)),
        };
        self.rv = event.rv;
        self.events.push(event.rv);
    }

    async fn list(&mut self, storage: &Storage, gr: &str) {
        let query = PageQuery { gr: gr.into(), ns: None, after: None, limit: 0, at: None };
        let page = storage.page(query, None).await.unwrap();
        self.objects = page.items.into_iter().map(|item| (item.key, item.body)).collect();
        self.rv = page.rv;
    }
}

/// Follows until the object `end` is there. A slow watcher lets so many writes happen before it looks.
async fn follow(storage: Storage, gr: &'static str, mut seen: Seen, slow: i64, written: Arc<AtomicI64>) -> Seen {
    let ring = storage.hub().ring(&gr.into());
    let mut wake = ring.wake();
    while written.load(Ordering::Relaxed) < slow {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    while !seen.objects.contains_key(&inner(gr, "end")) {
        // Asked for first: up to it the ring has all there is, although that may concern other resources only.
        let published = storage.hub().revision();
        match ring.after(seen.rv, 16) {
            Next::Events(events) if events.is_empty() => {
                seen.rv = seen.rv.max(published);
                wake.changed().await.unwrap();
            }
            Next::Events(events) => events.iter().for_each(|event| seen.take(event)),
            Next::Behind => match storage.events_after(gr.into(), seen.rv, 16).await {
                Ok((events, complete)) => {
                    events.iter().for_each(|event| seen.take(event));
                    seen.from_log += events.len();
                    seen.rv = complete;
                }
                Err(ReadError::Compacted) => {
                    seen.list(&storage, gr).await;
                    seen.expired += 1;
                }
                Err(error) => panic!("{error:?}"),
            },
        }
    }
    seen
}

async fn run(keep: i64) -> Vec<(&'static str, Seen)> {
    let dir = memory_dir().unwrap();
    let storage = open(dir.path()).await;
    create(&storage, "a", 0).await;
    let (written, shutdown) = (Arc::<AtomicI64>::default(), CancellationToken::new());
    let (compactor, stop) = (Compactor(storage.clone()), shutdown.clone());
    let compacting = tokio::spawn(async move { compactor.keep(keep, i64::MAX, stop).await });
    let mut watchers = Vec::new();
    for i in 0..8 {
        let (gr, mut seen) = (RESOURCES[i % 2], Seen::default());
        seen.list(&storage, gr).await;
        // More than a ring holds of one resource.
        let slow = if i < 4 { WRITERS * WRITES * 3 / 4 } else { 0 };
        watchers.push((gr, tokio::spawn(follow(storage.clone(), gr, seen, slow, Arc::clone(&written)))));
    }
    let writers: Vec<_> =
        (0..WRITERS).map(|writer| tokio::spawn(write(storage.clone(), writer, Arc::clone(&written)))).collect();
    for writer in writers {
        writer.await.unwrap();
    }
    for gr in RESOURCES {
        storage.commit(inner(gr, "end"), Change::Create(draft("end", 0)), None).await.unwrap();
    }
    let mut all = Vec::new();
    for (gr, watcher) in watchers {
        let seen = watcher.await.unwrap();
        let mut now = Seen::default();
        now.list(&storage, gr).await;
        assert_eq!(seen.objects, now.objects);
        all.push((gr, seen));
    }
    shutdown.cancel();
    compacting.await.unwrap();
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_see_each_revision_once_and_in_order() {
    let all = run(i64::MAX).await;
    for gr in RESOURCES {
        let mut of: Vec<&Seen> = all.iter().filter(|(of, _)| *of == gr).map(|(_, seen)| seen).collect();
        let first = of.pop().unwrap();
        assert!(of.iter().all(|seen| seen.expired == 0 && seen.events == first.events));
    }
    let revisions: usize = all[..2].iter().map(|(_, seen)| seen.events.len()).sum();
    assert_eq!(revisions as i64, WRITERS * WRITES + 2);
    assert!(all.iter().any(|(_, seen)| seen.from_log > 0), "no watcher fell behind the rings");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_of_a_short_log_see_no_gap_or_are_told() {
    let all = run(100).await;
    assert!(all.iter().any(|(_, seen)| seen.expired > 0), "the log was never too short");
}
