//! Where objects are kept: the newest body of each, and a bounded undo log of what they were before.
//!
//! `obj` holds one row an object. `log` holds one row a write: which object, and its body *before* the write. So a
//! body is stored once, and the state at any revision that the log still reaches can be told: an object that was
//! written since is what its first later row says it was. Chunked lists, resumed watches and reads of the past
//! rest on that. `meta` has the revision, which a write takes in its own transaction, and the oldest one that the
//! log still reaches.
//!
//! A write's way: compare-and-swap and audit row in one store transaction -> after the commit, in commit order, the
//! [`Hub`] publishes it to watchers and observers -> the caller is answered.

mod body;
mod history;
mod hub;
mod read;

use std::sync::Arc;

use purlin_audit::Entry;
use purlin_store::{Migrations, Store, StoreError, Tx};

pub(crate) use body::{Draft, with_api_version};
pub(crate) use history::Compactor;
pub(crate) use hub::{Event, EventKind, Hub, Next, Ring};
pub(crate) use read::{Filter, PageQuery, ReadError};

pub(crate) const MIGRATIONS: Migrations = Migrations {
    part: "apiserver",
    scripts: &["
        CREATE TABLE obj (gr TEXT NOT NULL, ns TEXT NOT NULL, name TEXT NOT NULL, rv INTEGER NOT NULL, body BLOB NOT NULL);
        CREATE UNIQUE INDEX obj_key ON obj (gr, ns, name);
        CREATE INDEX obj_ns ON obj (ns) WHERE ns <> '';
        CREATE TABLE log (rv INTEGER PRIMARY KEY, gr TEXT NOT NULL, ns TEXT NOT NULL, name TEXT NOT NULL,
            deleted INTEGER NOT NULL, prev_rv INTEGER NOT NULL, prev BLOB);
        CREATE INDEX log_key ON log (gr, ns, name, rv);
        CREATE TABLE meta (k TEXT PRIMARY KEY, v INTEGER NOT NULL) WITHOUT ROWID;
        INSERT INTO meta VALUES ('revision', 1), ('compacted', 1);
    "],
};

/// Which object: `gr` is `plural.group`, `ns` is empty for cluster-scoped ones.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) gr: Arc<str>,
    pub(crate) ns: Arc<str>,
    pub(crate) name: Arc<str>,
}

/// An object as it is kept: JSON in its storage version, `apiVersion`, `kind`, `metadata` first.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) key: Key,
    pub(crate) rv: i64,
    pub(crate) body: Arc<[u8]>,
}

/// What a write does.
#[derive(Clone)]
pub(crate) enum Change {
    /// The object must not be there; a namespaced one needs its namespace.
    Create(Draft),
    /// The object must be there at this revision.
    Replace(i64, Draft),
    /// The object must be there at this revision. A namespace must be empty.
    Delete(i64),
}

/// Why a write did not happen.
#[derive(Debug)]
pub(crate) enum CommitError {
    /// The name is taken.
    Exists,
    /// There is no such object.
    Missing,
    /// The object is at another revision.
    Changed,
    /// The object's namespace is not there.
    NoNamespace,
    /// The namespace still has objects in it.
    NotEmpty,
    /// The store failed.
    Store(StoreError),
}

impl From<StoreError> for CommitError {
    fn from(error: StoreError) -> Self {
        CommitError::Store(error)
    }
}

/// The objects, and who is told of their changes; clones share them.
#[derive(Clone)]
pub(crate) struct Storage {
    store: Store,
    hub: Arc<Hub>,
}

impl Storage {
    /// Asks where the revisions stand: in the writer's turn, behind what an earlier run of the API server may have left
    /// in the queue, since that is published to the earlier run's watchers.
    pub(crate) async fn open(store: Store) -> Result<Storage, StoreError> {
        let revision = store.write(|tx| meta(tx, "revision")).await?;
        Ok(Storage { store, hub: Arc::new(Hub::new(revision)) })
    }

    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Writes one change with its audit row; returns what is stored now (what was deleted, at its last revision).
    pub(crate) async fn commit(&self, key: Key, change: Change, audit: Option<Entry>) -> Result<Stored, CommitError> {
        let hub = Arc::clone(&self.hub);
        let write = self.store.write(move |tx| {
            let event = Arc::new(apply(tx, &key, &change)?);
            if let Some(entry) = &audit {
                purlin_audit::record(tx, entry, event.rv)?;
            }
            let (hub, published) = (Arc::clone(&hub), Arc::clone(&event));
            tx.on_commit(move || hub.publish(published));
            Ok::<_, CommitError>(event)
        });
        let event = write.await?;
        Ok(Stored { key: event.key.clone(), rv: event.rv, body: Arc::clone(&event.body) })
    }
}

fn meta(tx: &mut Tx<'_>, name: &str) -> Result<i64, StoreError> {
    let found = tx.query_one("SELECT v FROM meta WHERE k = ?1", &[name.into()], |row| row.int(0))?;
    found.ok_or_else(|| StoreError::Sql(format!("the table meta has no row {name:?}")))
}

fn next_revision(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    let sql = "UPDATE meta SET v = v + 1 WHERE k = 'revision' RETURNING v";
    let found = tx.query_one(sql, &[], |row| row.int(0))?;
    found.ok_or_else(|| StoreError::Sql("the table meta has no row \"revision\"".into()))
}

fn apply(tx: &mut Tx<'_>, key: &Key, change: &Change) -> Result<Event, CommitError> {
    let at = [(&*key.gr).into(), (&*key.ns).into(), (&*key.name).into()];
    let sql = "SELECT rv, body FROM obj WHERE gr = ?1 AND ns = ?2 AND name = ?3";
    let found = tx.query_one(sql, &at, |row| Ok((row.int(0)?, Arc::<[u8]>::from(row.blob(1)?))))?;
    let expected = match change {
        Change::Create(_) => None,
        Change::Replace(rv, _) | Change::Delete(rv) => Some(*rv),
    };
    match (&found, expected) {
        (Some(_), None) => return Err(CommitError::Exists),
        (None, Some(_)) => return Err(CommitError::Missing),
        (Some((rv, _)), Some(expected)) if *rv != expected => return Err(CommitError::Changed),
        _ => {}
    }
    check_namespace(tx, key, change)?;
    let rv = next_revision(tx)?;
    let (prev_rv, prev) = found.map_or((0, None), |(rv, body)| (rv, Some(body)));
    let (kind, body) = match (change, &prev) {
        (Change::Create(draft), _) => (EventKind::Added, draft.at(rv)),
        (Change::Replace(_, draft), _) => (EventKind::Modified, draft.at(rv)),
        (Change::Delete(_), prev) => (EventKind::Deleted, body::moved_to(prev.as_deref().unwrap_or_default(), rv)),
    };
    let body: Arc<[u8]> = body.into();
    let sql = match kind {
        EventKind::Added => "INSERT INTO obj (gr, ns, name, rv, body) VALUES (?1, ?2, ?3, ?4, ?5)",
        EventKind::Modified => "UPDATE obj SET rv = ?4, body = ?5 WHERE gr = ?1 AND ns = ?2 AND name = ?3",
        EventKind::Deleted => "DELETE FROM obj WHERE gr = ?1 AND ns = ?2 AND name = ?3",
    };
    let [gr, ns, name] = at;
    match kind {
        EventKind::Deleted => tx.execute(sql, &at)?,
        _ => tx.execute(sql, &[gr, ns, name, rv.into(), (&*body).into()])?,
    };
    let deleted = i64::from(kind == EventKind::Deleted);
    let before = prev.as_deref().map_or(purlin_store::Param::Null, purlin_store::Param::Blob);
    tx.execute(
        "INSERT INTO log (rv, gr, ns, name, deleted, prev_rv, prev) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        &[rv.into(), gr, ns, name, deleted.into(), prev_rv.into(), before],
    )?;
    Ok(Event::new(key.clone(), kind, rv, body, prev))
}

/// A namespace cannot go while something is in it, and nothing can come into one that is gone: checked in the
/// transaction, so that no race leaves an object behind that nobody can reach.
fn check_namespace(tx: &mut Tx<'_>, key: &Key, change: &Change) -> Result<(), CommitError> {
    match change {
        Change::Create(_) if !key.ns.is_empty() => {
            let sql = "SELECT 1 FROM obj WHERE gr = 'namespaces' AND ns = '' AND name = ?1";
            let found = tx.query_one(sql, &[(&*key.ns).into()], |row| row.int(0))?;
            found.map(drop).ok_or(CommitError::NoNamespace)
        }
        Change::Delete(_) if &*key.gr == "namespaces" => {
            let sql = "SELECT 1 FROM obj WHERE ns = ?1 AND ns <> '' LIMIT 1";
            let found = tx.query_one(sql, &[(&*key.name).into()], |row| row.int(0))?;
            if found.is_some() { Err(CommitError::NotEmpty) } else { Ok(()) }
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
