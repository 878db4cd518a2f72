//! The control database: one writer with group commit, snapshots for readers, migrations per part.
//!
//! A write's way: `Store::write(closure)` -> queue -> writer thread -> one transaction for all that is queued, a
//! SAVEPOINT each -> COMMIT (fsync) -> what the closures left with [`Tx::on_commit`], in commit order -> replies.
//! So an acknowledged write is durable, and whoever publishes from `on_commit` publishes in commit order.
//! Between groups the writer copies the write-ahead log into the database, so that both stay small.
//! A read's way: `Store::read(closure)` -> a blocking thread with a connection of its own -> one snapshot.
//!
//! The backend is SQLite in WAL mode with `synchronous=FULL`. [`Tx`] hides it: PostgreSQL is to run the same closures.

mod migrate;
mod reader;
mod tx;
mod wal;
mod writer;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

pub use migrate::Migrations;
pub use tx::{Param, Row, Tx};

/// What can go wrong below a closure.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum StoreError {
    /// The store was closed: the process shuts down.
    #[error("the store is closed")]
    Closed,
    /// No space: nothing of the write was kept.
    #[error("no space left on the disk of the data directory: free some, then try again")]
    Full,
    /// A statement ran longer than a write or read may.
    #[error("the database took longer than {} s", TIME_LIMIT.as_secs())]
    TimedOut,
    /// A closure panicked; its write was rolled back.
    #[error("a database operation panicked: {0}")]
    Panicked(String),
    /// The database file was written by a newer purlin.
    #[error("the database has version {found} of `{part}`, this purlin knows {known}: run a newer purlin")]
    Newer {
        /// Whose tables.
        part: &'static str,
        /// In the file.
        found: i64,
        /// In this binary.
        known: i64,
    },
    /// Anything else that SQLite says.
    #[error("database: {0}")]
    Sql(String),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => StoreError::Full,
            Some(rusqlite::ErrorCode::OperationInterrupted) => StoreError::TimedOut,
            _ => StoreError::Sql(error.to_string()),
        }
    }
}

/// How long one closure may keep the database busy.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// A handle to the database; clones share it.
#[derive(Clone)]
pub struct Store {
    writer: Arc<writer::Writer>,
    readers: Arc<reader::Readers>,
}

/// Where the database is and through which SQLite VFS it is reached.
#[derive(Clone, Debug)]
struct Location {
    path: PathBuf,
    vfs: Option<String>,
    /// How long one closure may keep the database busy.
    limit: Duration,
}

impl Location {
    fn connect(&self) -> Result<Connection, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = match &self.vfs {
            Some(vfs) => Connection::open_with_flags_and_vfs(&self.path, flags, vfs.as_str())?,
            None => Connection::open_with_flags(&self.path, flags)?,
        };
        conn.set_prepared_statement_cache_capacity(64);
        conn.busy_timeout(TIME_LIMIT)?;
        // What SQLite sorts, and what it needs to undo a savepoint, would else go to files in the system's /tmp.
        conn.pragma_update(None, "temp_store", "MEMORY")?;
        Ok(conn)
    }
}

impl Store {
    /// Opens the database file, creating it where there is none, and brings the tables of all parts up to date.
    ///
    /// # Errors
    /// When the file cannot be opened, is no database, or was written by a newer purlin.
    pub fn open(path: &Path, parts: &[Migrations]) -> Result<Store, StoreError> {
        Self::open_at(Location { path: path.to_owned(), vfs: None, limit: TIME_LIMIT }, parts)
    }

    /// As [`Store::open`], through a SQLite VFS that the caller has registered: for tests of power loss.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_with_vfs(path: &Path, parts: &[Migrations], vfs: &str) -> Result<Store, StoreError> {
        Self::open_at(Location { path: path.to_owned(), vfs: Some(vfs.to_owned()), limit: TIME_LIMIT }, parts)
    }

    fn open_at(location: Location, parts: &[Migrations]) -> Result<Store, StoreError> {
        let mut conn = location.connect()?;
        // There are Secrets in it. The log and its index, which are made later, take their mode from the database.
        std::fs::set_permissions(&location.path, Permissions::from_mode(0o600))
            .map_err(|e| StoreError::Sql(format!("failed to make {} private: {e}", location.path.display())))?;
        conn.pragma_update(None, "journal_mode", "WAL")?;
        conn.pragma_update(None, "synchronous", "FULL")?;
        conn.pragma_update(None, "cache_size", -4096)?;
        migrate::run(&mut conn, parts)?;
        let writer = writer::Writer::start(conn, location.limit)?;
        Ok(Store { writer: Arc::new(writer), readers: Arc::new(reader::Readers::new(location)) })
    }

    /// Runs `f` in the next group commit; returns once it is on disk.
    ///
    /// `f` may be run again (a batch that is replayed), so it must do nothing but SQL, and leave what is to happen
    /// afterwards with [`Tx::on_commit`]. An `Err` rolls back what this closure wrote and nothing else.
    ///
    /// # Errors
    /// What `f` returned, or a [`StoreError`] when nothing was written.
    pub async fn write<T, E, F>(&self, f: F) -> Result<T, E>
    where
        F: Fn(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.writer.write(f).await
    }

    /// Runs `f` on a snapshot of the last commit.
    ///
    /// # Errors
    /// What `f` returned, or a [`StoreError`].
    pub async fn read<T, E, F>(&self, f: F) -> Result<T, E>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        reader::Readers::read(&self.readers, f).await
    }

    /// Finishes what is queued, checkpoints and closes the file. Later writes fail with [`StoreError::Closed`].
    pub async fn close(&self) {
        self.readers.close();
        self.writer.close().await;
    }
}

#[cfg(test)]
mod tests;
