//! The storage against a model that keeps every revision: random writes, compactions and restarts; after each, pages
//! and events at random revisions are what the model says.

use std::collections::BTreeMap;
use std::path::Path;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::super::read::Page;
use super::*;

const RESOURCES: [&str; 3] = ["configmaps", "secrets", "widgets.example.com"];
const SPACES: [&str; 2] = ["a", "ab"];
const NAMES: [&str; 4] = ["x", "x.y", "x-y", "z"];

/// One write.
#[derive(Clone, Debug)]
struct Write {
    rv: i64,
    key: Key,
    kind: EventKind,
    /// After it; at its deletion, before it.
    value: i64,
    before: Option<(i64, i64)>,
    /// Bytes that the log keeps of it.
    kept: i64,
}

impl Write {
    fn text(&self) -> String {
        let before = self.before.map(|(rv, value)| format!("{value}@{rv}->")).unwrap_or_default();
        format!("{:?} {} {before}{}@{}", self.kind, name_of(&self.key), self.value, self.rv)
    }
}

fn name_of(key: &Key) -> String {
    format!("{}/{}/{}", key.gr, key.ns, key.name)
}

/// `value@rv` of a body.
fn text_of(object: &Value) -> String {
    format!("{}@{}", object["v"], object["metadata"]["resourceVersion"].as_str().unwrap())
}

struct Model {
    writes: Vec<Write>,
    revision: i64,
    compacted: i64,
}

impl Model {
    /// Objects at a revision: (rv, value).
    fn at(&self, rv: i64) -> BTreeMap<Key, (i64, i64)> {
        let mut objects = BTreeMap::new();
        for write in self.writes.iter().take_while(|write| write.rv <= rv) {
            match write.kind {
                EventKind::Deleted => drop(objects.remove(&write.key)),
                _ => drop(objects.insert(write.key.clone(), (write.rv, write.value))),
            }
        }
        objects
    }

    fn compact(&mut self, rows: usize, bytes: i64) {
        let mut total = 0;
        let log = self.writes.iter().rev().take_while(|write| write.rv > self.compacted);
        let floor = log.enumerate().find(|(n, write)| {
            total += write.kept;
            *n >= rows || total > bytes
        });
        self.compacted = floor.map_or(self.compacted, |(_, write)| write.rv);
    }

    /// What is to be said of a revision that cannot be read.
    fn refusal(&self, rv: i64) -> Option<&'static str> {
        match rv {
            rv if rv > self.revision => Some("future"),
            rv if rv < self.compacted => Some("compacted"),
            _ => None,
        }
    }
}

fn refused(error: &ReadError) -> Option<&'static str> {
    match error {
        ReadError::Compacted => Some("compacted"),
        ReadError::Future(_) => Some("future"),
        ReadError::Store(error) => panic!("{error}"),
    }
}

struct Run<'a> {
    dir: &'a Path,
    storage: Storage,
    /// The revision at which the storage was opened.
    opened: i64,
    model: Model,
    random: StdRng,
}

impl Run<'_> {
    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.random.random_range(0..from.len())]
    }

    async fn step(&mut self, value: i64) {
        match self.random.random_range(0..100) {
            0..88 => self.write(value).await,
            88..94 => {
                let rows = self.random.random_range(0..40);
                let bytes = self.pick(&[i64::MAX, 0, 500, 3000]);
                self.model.compact(rows, bytes);
                Compactor(self.storage.clone()).compact(rows as i64, bytes).await.unwrap();
            }
            _ => {
                self.storage.store.close().await;
                self.storage = open(self.dir).await;
                self.opened = self.storage.hub().revision();
            }
        }
        assert_eq!(self.storage.hub().revision(), self.model.revision);
    }

    async fn write(&mut self, value: i64) {
        let (gr, ns, name) = (self.pick(&RESOURCES), self.pick(&SPACES), self.pick(&NAMES));
        let key = Key { gr: gr.into(), ns: ns.into(), name: name.into() };
        let before = self.model.at(self.model.revision).get(&key).copied();
        let current = before.map_or(0, |(rv, _)| rv);
        let (action, stale) = (self.random.random_range(0..5), self.random.random_range(0..8) == 0);
        let rv = if stale { current - 1 } else { current };
        let (change, kind) = match action {
            0 | 1 => (Change::Create(draft(name, value)), EventKind::Added),
            2 | 3 => (Change::Replace(rv, draft(name, value)), EventKind::Modified),
            _ => (Change::Delete(rv), EventKind::Deleted),
        };
        let expected = match (kind, before) {
            (EventKind::Added, Some(_)) => "Exists",
            (EventKind::Modified | EventKind::Deleted, None) => "Missing",
            (EventKind::Modified | EventKind::Deleted, _) if stale => "Changed",
            _ => "",
        };
        match self.storage.commit(key.clone(), change, None).await {
            Err(error) => assert_eq!(format!("{error:?}"), expected),
            Ok(stored) => {
                assert_eq!((expected, stored.rv), ("", self.model.revision + 1));
                let value = if kind == EventKind::Deleted { before.unwrap().1 } else { value };
                let kept = before.map_or(0, |(rv, value)| draft(name, value).at(rv).len() as i64);
                self.model.revision = stored.rv;
                self.model.writes.push(Write { rv: stored.rv, key, kind, value, before, kept });
            }
        }
    }

    /// A revision that can be read, or just cannot.
    fn revision(&mut self) -> i64 {
        self.random.random_range(self.model.compacted - 2..=self.model.revision + 1)
    }

    /// A list in chunks is the model's state at its first chunk's revision.
    async fn check_list(&mut self) {
        let (gr, limit) = (self.pick(&RESOURCES), self.random.random_range(0..5));
        let ns = self.pick(&[None, Some("a"), Some("ab")]);
        let at = self.random.random_bool(0.8).then(|| self.revision());
        let newest = self.model.revision;
        let what = format!("{gr} {ns:?} by {limit} at {at:?} of {}..={newest}", self.model.compacted);
        let expected: Vec<String> = self
            .model
            .at(at.unwrap_or(newest))
            .into_iter()
            .filter(|(key, _)| &*key.gr == gr && ns.is_none_or(|ns| &*key.ns == ns))
            .map(|(key, (rv, value))| format!("{} {value}@{rv}", name_of(&key)))
            .collect();
        let (mut found, mut after, mut rv) = (Vec::new(), None, at);
        loop {
            let query = PageQuery { gr: gr.into(), ns: ns.map(Into::into), after: after.take(), limit, at: rv };
            let page: Page = match self.storage.page(query, None).await {
                Ok(page) => page,
                Err(error) => {
                    assert_eq!(refused(&error), at.and_then(|at| self.model.refusal(at)), "{what}");
                    return;
                }
            };
            assert_eq!(page.rv, at.unwrap_or(newest), "{what}");
            found.extend(page.items.iter().map(|item| {
                let object: Value = serde_json::from_slice(&item.body).unwrap();
                format!("{} {}", name_of(&item.key), text_of(&object))
            }));
            if page.rv == newest {
                let left = page.more.then(|| (expected.len() - found.len()) as i64);
                assert_eq!(page.remaining, left, "{what}");
            }
            if !page.more {
                break;
            }
            assert_eq!(page.items.len(), limit, "{what}");
            after = page.items.last().map(|item| (item.key.ns.to_string(), item.key.name.to_string()));
            rv = Some(page.rv);
        }
        assert_eq!(at.and_then(|at| self.model.refusal(at)), None, "{what}");
        assert_eq!(found, expected, "{what}");
    }

    /// Events from the log and from the ring are the model's writes.
    async fn check_events(&mut self) {
        let (gr, seen, limit) = (self.pick(&RESOURCES), self.revision(), self.random.random_range(1..6));
        let what = format!("{gr} after {seen} by {limit} of {}..={}", self.model.compacted, self.model.revision);
        let writes = self.model.writes.iter().filter(|write| &*write.key.gr == gr && write.rv > seen);
        let expected: Vec<String> = writes.map(Write::text).collect();
        let text = |event: &Arc<Event>| {
            let before = event.previous().map(|object| format!("{}->", text_of(object))).unwrap_or_default();
            format!("{:?} {} {before}{}", event.kind, name_of(&event.key), text_of(event.object()))
        };
        let (mut found, mut from) = (Vec::new(), seen);
        while from != self.model.revision || found.is_empty() {
            match self.storage.events_after(gr.into(), from, limit).await {
                Ok((events, complete)) => {
                    assert!(events.len() <= limit && complete >= from, "{what}");
                    found.extend(events.iter().map(text));
                    if complete == from || events.is_empty() {
                        break;
                    }
                    from = complete;
                }
                Err(error) => return assert_eq!(refused(&error), self.model.refusal(seen), "{what}"),
            }
        }
        assert_eq!(self.model.refusal(seen), None, "{what}");
        assert_eq!(found, expected, "{what}");
        match self.storage.hub().ring(&gr.into()).after(seen, limit) {
            Next::Events(events) => {
                let first: Vec<_> = expected.into_iter().take(limit).collect();
                assert_eq!(events.iter().map(text).collect::<Vec<_>>(), first, "{what}");
                assert!(seen >= self.opened, "{what}");
            }
            Next::Behind => assert!(seen < self.opened, "{what}"),
        }
    }
}

#[tokio::test]
async fn storage_is_as_a_model_that_forgets_nothing() {
    let seeds = if std::env::var_os("PURLIN_SOAK").is_some() { 1000 } else { 8 };
    for seed in 0..seeds {
        let dir = memory_dir().unwrap();
        let storage = open(dir.path()).await;
        for ns in SPACES {
            create(&storage, ns, 0).await;
        }
        let revision = storage.hub().revision();
        let model = Model { writes: Vec::new(), revision, compacted: 1 };
        let mut run = Run { dir: dir.path(), storage, opened: 1, model, random: StdRng::seed_from_u64(seed) };
        // What happened before the model begins is not asked for.
        run.model.compacted = revision;
        Compactor(run.storage.clone()).compact(0, i64::MAX).await.unwrap();
        for value in 0..250 {
            run.step(value).await;
            run.check_list().await;
            run.check_events().await;
        }
        run.storage.store.close().await;
    }
}
