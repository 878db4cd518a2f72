//! The log: events for watchers that fell behind the ring, and its compaction.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;

use purlin_store::{StoreError, Tx};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::read::ReadError;
use super::{Event, EventKind, Key, Storage, body, meta};

/// Writes that the log reaches back at most.
const KEEP_ROWS: i64 = 10_000;
/// Bytes of earlier bodies that the log keeps at most.
const KEEP_BYTES: i64 = 16 << 20;

impl Storage {
    /// At most `limit` events of a resource after revision `seen`, from the log, and the revision up to which these
    /// are all.
    pub(crate) async fn events_after(
        &self,
        gr: Arc<str>,
        seen: i64,
        limit: usize,
    ) -> Result<(Vec<Arc<Event>>, i64), ReadError> {
        self.store.read(move |tx| events_after(tx, &gr, seen, limit)).await
    }
}

fn events_after(tx: &mut Tx<'_>, gr: &Arc<str>, seen: i64, limit: usize) -> Result<(Vec<Arc<Event>>, i64), ReadError> {
    let now = meta(tx, "revision")?;
    if seen > now {
        return Err(ReadError::Future(now));
    }
    if seen < meta(tx, "compacted")? {
        return Err(ReadError::Compacted);
    }
    // Which rows, from the index alone: else the bodies of the whole log would be read and sorted for each batch.
    // After a write, an object is what its next row says it was before that one, or what is stored now.
    let sql = "SELECT l.rv, l.ns, l.name, l.deleted, l.prev, coalesce(
            (SELECT n.prev FROM log n WHERE n.gr = l.gr AND n.ns = l.ns AND n.name = l.name AND n.rv > l.rv ORDER BY n.rv LIMIT 1),
            (SELECT o.body FROM obj o WHERE o.gr = l.gr AND o.ns = l.ns AND o.name = l.name), x'')
        FROM (SELECT rv FROM log WHERE gr = ?2 AND rv > ?1 ORDER BY rv LIMIT ?3) batch
        CROSS JOIN log l ON l.rv = batch.rv ORDER BY batch.rv";
    let mut events: Vec<Arc<Event>> = Vec::new();
    tx.query(sql, &[seen.into(), (&**gr).into(), (limit as i64).into()], |row| {
        let rv = row.int(0)?;
        let key = Key { gr: Arc::clone(gr), ns: row.text(1)?.into(), name: row.text(2)?.into() };
        let prev: Option<Arc<[u8]>> = row.blob(4).ok().map(Into::into);
        let (kind, body) = match (row.int(3)?, &prev) {
            (0, None) => (EventKind::Added, row.blob(5)?.into()),
            (0, Some(_)) => (EventKind::Modified, row.blob(5)?.into()),
            (_, prev) => (EventKind::Deleted, body::moved_to(prev.as_deref().unwrap_or_default(), rv).into()),
        };
        events.push(Arc::new(Event::new(key, kind, rv, body, prev)));
        Ok::<(), ReadError>(())
    })?;
    let complete = match events.last() {
        Some(last) if events.len() == limit => last.rv,
        _ => now,
    };
    Ok((events, complete))
}

/// Keeps the log within its bounds, and a quarter of them more.
pub(crate) struct Compactor(pub(crate) Storage);

impl Compactor {
    /// Compacts at the start, and whenever the log has grown enough, until `shutdown`.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        self.keep(KEEP_ROWS, KEEP_BYTES, shutdown).await;
    }

    pub(super) async fn keep(&self, rows: i64, bytes: i64, shutdown: CancellationToken) {
        let due = Arc::new(Notify::new());
        self.0.hub().observe(growth(rows / 4, bytes / 4, Arc::clone(&due)));
        loop {
            if let Err(error) = self.compact(rows, bytes).await {
                tracing::error!(%error, "failed to compact the log of the API server; tried again when it has grown");
            }
            if shutdown.run_until_cancelled(due.notified()).await.is_none() {
                return;
            }
        }
    }

    /// Drops the oldest rows beyond `rows` or `bytes`; revisions before them are then `Expired`.
    pub(super) async fn compact(&self, rows: i64, bytes: i64) -> Result<(), StoreError> {
        let floor = self.0.store.read(move |tx| floor(tx, rows, bytes)).await?;
        let Some(floor) = floor else { return Ok(()) };
        let write = self.0.store.write(move |tx| {
            tx.execute("UPDATE meta SET v = ?1 WHERE k = 'compacted' AND v < ?1", &[floor.into()])?;
            tx.execute("DELETE FROM log WHERE rv <= ?1", &[floor.into()])
        });
        write.await.map(drop)
    }
}

/// An observer that says when the log has grown by so many rows or bytes. By a clock instead, it would grow without
/// bound under load, and the file with it, which never shrinks.
fn growth(rows: i64, bytes: i64, due: Arc<Notify>) -> impl Fn(&Arc<Event>) + Send + Sync + 'static {
    // Only the writer's thread counts.
    let (new_rows, new_bytes) = (AtomicI64::new(0), AtomicI64::new(0));
    move |event| {
        let kept = event.prev.as_ref().map_or(0, |prev| prev.len() as i64);
        let grown_rows = new_rows.fetch_add(1, Relaxed) + 1;
        let grown_bytes = new_bytes.fetch_add(kept, Relaxed) + kept;
        if grown_rows > rows || grown_bytes > bytes {
            new_rows.store(0, Relaxed);
            new_bytes.store(0, Relaxed);
            due.notify_one();
        }
    }
}

/// The newest revision that is to be dropped, where the log is over its bounds.
fn floor(tx: &mut Tx<'_>, rows: i64, bytes: i64) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT max(rv) FROM (
            SELECT rv, row_number() OVER newest AS n, sum(coalesce(length(prev), 0)) OVER newest AS total
            FROM log WINDOW newest AS (ORDER BY rv DESC ROWS UNBOUNDED PRECEDING)
        ) WHERE n > ?1 OR total > ?2";
    let found = tx.query_one(sql, &[rows.into(), bytes.into()], |row| Ok(row.int(0).ok()))?;
    Ok(found.flatten())
}
