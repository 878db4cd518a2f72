//! The write-ahead log's size: copied into the database now and then, and bounded whatever readers do.
//!
//! A log that was copied whole is written from its start again, but only by a commit that meets no reader in it.
//! Under a constant load of reads there may always be one, and the log would grow without end. So beyond a limit the
//! writer waits a moment for the readers of older snapshots: new ones read the database itself meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rusqlite::Connection;

use crate::{StoreError, TIME_LIMIT};

/// Pages in the log from which on it is copied: 4 MiB.
const COPY_AT: u32 = 1000;
/// Pages in the log from which on readers are waited for: 16 MiB.
const WAIT_AT: u32 = 4000;
/// How long they are waited for; then again once the log has grown by [`COPY_AT`] pages more.
const WAIT: Duration = Duration::from_millis(250);

pub(crate) struct Wal {
    /// Pages in the log after the last commit; 0 once they are copied.
    pages: Arc<AtomicU32>,
    wait_at: u32,
}

impl Wal {
    /// Takes the place of SQLite's own automatic checkpoints, which run before a commit returns.
    pub(crate) fn install(conn: &mut Connection) -> Result<Wal, StoreError> {
        let pages = Arc::<AtomicU32>::default();
        let seen = Arc::clone(&pages);
        conn.wal_hook(Some(move |_: &mut _, pages: i32| {
            seen.store(pages.unsigned_abs(), Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Wal { pages, wait_at: WAIT_AT })
    }

    /// To be called after each commit.
    pub(crate) fn bound(&mut self, conn: &Connection) {
        let pages = self.pages.load(Ordering::Relaxed);
        if pages < COPY_AT {
            self.wait_at = WAIT_AT;
            return;
        }
        let waits = pages >= self.wait_at;
        match if waits { copy_and_wait(conn) } else { copy(conn, "PASSIVE") } {
            Ok(true) => self.pages.store(0, Ordering::Relaxed),
            Ok(false) if waits => self.wait_at = pages + COPY_AT,
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "failed to copy the write-ahead log; tried again at the next commit"),
        }
    }
}

fn copy_and_wait(conn: &Connection) -> Result<bool, StoreError> {
    conn.busy_timeout(WAIT)?;
    let copied = copy(conn, "TRUNCATE");
    conn.busy_timeout(TIME_LIMIT)?;
    copied
}

/// Copies what it can; says whether that was all, so that the log can start anew.
fn copy(conn: &Connection, mode: &str) -> Result<bool, StoreError> {
    let mut checkpoint = conn.prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))?;
    let result =
        checkpoint.query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)));
    let (busy, pages, copied) = result?;
    Ok(busy == 0 && pages == copied)
}
