//! The writer: one thread that owns the only writing connection and commits what is queued in groups.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use purlin_telemetry::metrics::{Counter, Histogram, counter, histogram};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::StoreError;
use crate::tx::Tx;
use crate::wal::Wal;

/// Writes that wait for the next commit; beyond it `write` waits for a place.
const QUEUE: usize = 1024;
/// Writes in one commit: bounds how long the first of them waits for the last.
const GROUP: usize = 256;

/// One queued write, its result type erased.
trait Job: Send {
    /// Runs the closure; true keeps what it wrote.
    fn run(&mut self, tx: &mut Tx<'_>) -> bool;
    /// Tells the writer's caller, once the group is committed or lost.
    fn finish(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Write<F, T, E> {
    f: F,
    result: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Job for Write<F, T, E>
where
    F: Fn(&mut Tx<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn run(&mut self, tx: &mut Tx<'_>) -> bool {
        let result = std::panic::catch_unwind(AssertUnwindSafe(|| (self.f)(tx)))
            .unwrap_or_else(|panic| Err(StoreError::Panicked(panic_text(&*panic)).into()));
        let keep = result.is_ok();
        self.result = Some(result);
        keep
    }

    fn finish(self: Box<Self>, committed: Result<(), StoreError>) {
        let result = match (self.result, committed) {
            // A refusal, too, may rest on what another write of the lost group had done.
            (_, Err(e)) => Err(e.into()),
            (Some(result), Ok(())) => result,
            (None, Ok(())) => Err(StoreError::Closed.into()),
        };
        // The caller may have gone away (its request was cancelled): the write stands all the same.
        let _ = self.reply.send(result);
    }
}

pub(crate) struct Writer {
    queue: Mutex<Option<mpsc::Sender<Box<dyn Job>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub(crate) fn start(mut conn: Connection, limit: Duration) -> Result<Writer, StoreError> {
        let deadline = Deadline::install(&mut conn, limit)?;
        let wal = Wal::install(&mut conn)?;
        let (queue, jobs) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || run(conn, &deadline, wal, jobs))
            .map_err(|e| StoreError::Sql(format!("failed to start the writer's thread: {e}")))?;
        Ok(Writer { queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)) })
    }

    pub(crate) async fn write<T, E, F>(&self, f: F) -> Result<T, E>
    where
        F: Fn(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let Some(queue) = self.queue.lock().clone() else { return Err(StoreError::Closed.into()) };
        let (reply, result) = oneshot::channel();
        queue.send(Box::new(Write { f, result: None, reply })).await.map_err(|_| StoreError::Closed)?;
        result.await.map_err(|_| StoreError::Closed)?
    }

    pub(crate) async fn close(&self) {
        drop(self.queue.lock().take());
        let Some(thread) = self.thread.lock().take() else { return };
        let _ = tokio::task::spawn_blocking(move || thread.join()).await;
    }
}

struct Metrics {
    commits: Histogram,
    writes: Counter,
    failures: Counter,
}

fn run(conn: Connection, deadline: &Deadline, mut wal: Wal, mut jobs: mpsc::Receiver<Box<dyn Job>>) {
    let metrics = Metrics {
        commits: histogram("purlin_store_commit_seconds", "Time of a group commit, fsync included.", &[]),
        writes: counter("purlin_store_writes_total", "Writes that were committed.", &[]),
        failures: counter("purlin_store_commit_failures_total", "Groups that could not be committed.", &[]),
    };
    let mut group = Vec::new();
    while let Some(first) = jobs.blocking_recv() {
        group.push(first);
        while group.len() < GROUP {
            let Ok(next) = jobs.try_recv() else { break };
            group.push(next);
        }
        commit(&conn, deadline, &mut group, &metrics);
        // Those who wait for this commit need not wait for the copying.
        wal.bound(&conn);
    }
    // The last one out leaves a small file; failing that, the next start does it.
    let _ = conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
}

fn commit(conn: &Connection, deadline: &Deadline, group: &mut Vec<Box<dyn Job>>, metrics: &Metrics) {
    let started = Instant::now();
    match transaction(conn, deadline, group) {
        Ok(done) => {
            metrics.commits.record(started.elapsed());
            metrics.writes.add(done.kept);
            for f in done.after {
                // What is published is the publisher's affair; the data is safe and the writer goes on.
                if let Err(panic) = std::panic::catch_unwind(AssertUnwindSafe(f)) {
                    tracing::error!(panic = panic_text(&*panic), "an on_commit hook panicked");
                }
            }
            group.drain(..).for_each(|job| job.finish(Ok(())));
        }
        Err(error) => {
            metrics.failures.inc();
            tracing::error!(%error, writes = group.len(), "a group commit failed; nothing of it was kept");
            if !conn.is_autocommit() {
                let _ = conn.execute_batch("ROLLBACK");
            }
            group.drain(..).for_each(|job| job.finish(Err(error.clone())));
        }
    }
}

/// What a transaction leaves to be done after its commit.
#[derive(Default)]
struct Done {
    after: Vec<Box<dyn FnOnce() + Send>>,
    /// Writes that it keeps.
    kept: u64,
}

/// Commits the group. A write that took the whole transaction with it is answered and left out, and the others are
/// run again: SQLite rolls everything back when it interrupts a write, and for some errors of the disk.
fn transaction(conn: &Connection, deadline: &Deadline, group: &mut Vec<Box<dyn Job>>) -> Result<Done, StoreError> {
    while !group.is_empty() {
        conn.execute_batch("BEGIN IMMEDIATE")?;
        match run_all(conn, deadline, group)? {
            Ran::All(done) => {
                conn.execute_batch("COMMIT")?;
                return Ok(done);
            }
            Ran::Lost { at, swallowed } => {
                let lost = StoreError::Sql("a statement failed and the transaction was rolled back".into());
                group.remove(at).finish(if swallowed { Err(lost) } else { Ok(()) });
            }
        }
    }
    Ok(Done::default())
}

enum Ran {
    All(Done),
    /// The write at this place ended the transaction, and did not say so itself when it `swallowed` the error.
    Lost {
        at: usize,
        swallowed: bool,
    },
}

fn run_all(conn: &Connection, deadline: &Deadline, group: &mut [Box<dyn Job>]) -> Result<Ran, StoreError> {
    let (mut tx, mut kept) = (Tx::new(conn), 0);
    for (at, job) in group.iter_mut().enumerate() {
        conn.prepare_cached("SAVEPOINT job")?.execute([])?;
        let hooks = tx.after.len();
        deadline.start();
        let keep = job.run(&mut tx);
        deadline.stop();
        if conn.is_autocommit() {
            return Ok(Ran::Lost { at, swallowed: keep });
        }
        if keep {
            kept += 1;
        } else {
            tx.after.truncate(hooks);
            conn.prepare_cached("ROLLBACK TO job")?.execute([])?;
        }
        conn.prepare_cached("RELEASE job")?.execute([])?;
    }
    Ok(Ran::All(Done { after: tx.after, kept }))
}

/// Interrupts a connection's statements once a closure has had its time.
pub(crate) struct Deadline {
    origin: Instant,
    /// Milliseconds after `origin`; `u64::MAX` while nothing runs.
    at: Arc<AtomicU64>,
    limit: Duration,
}

impl Deadline {
    pub(crate) fn install(conn: &mut Connection, limit: Duration) -> Result<Self, StoreError> {
        let (origin, at) = (Instant::now(), Arc::new(AtomicU64::new(u64::MAX)));
        let seen = Arc::clone(&at);
        let passed = move || origin.elapsed().as_millis() as u64 > seen.load(Ordering::Relaxed);
        conn.progress_handler(10_000, Some(passed))?;
        Ok(Deadline { origin, at, limit })
    }

    pub(crate) fn start(&self) {
        let at = self.origin.elapsed() + self.limit;
        self.at.store(at.as_millis() as u64, Ordering::Relaxed);
    }

    pub(crate) fn stop(&self) {
        self.at.store(u64::MAX, Ordering::Relaxed);
    }
}

pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
