//! The audit log: who changed what, when, and what led to it.
//!
//! [`record`] writes a row in the transaction of the change itself, so that there is no change without its row.
//! [`Ledger::run`] seals rows into files of JSON lines below the data directory once there are many, so that the
//! database stays small: write a file, sync it, give it its name, then delete the rows from the table. A file is named
//! after the `seq` of its first row and is whole from the moment that it has this name. After a crash before the
//! deletion the rows are in both places, until the same file is written again; none is ever in neither.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use purlin_store::{Migrations, Param, Store, StoreError, Tx};
use tokio_util::sync::CancellationToken;

/// The tables of the audit log.
pub const MIGRATIONS: Migrations = Migrations {
    part: "audit",
    scripts: &["CREATE TABLE audit (
        seq INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        change TEXT NOT NULL,
        cause TEXT,
        actor TEXT NOT NULL,
        impersonator TEXT,
        verb TEXT NOT NULL,
        object TEXT NOT NULL,
        rv INTEGER NOT NULL
    )"],
};

/// One change, as it is recorded.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Milliseconds since 1970.
    pub at: i64,
    /// The change's id, a UUIDv7.
    pub change: String,
    /// The change that led to it.
    pub cause: Option<String>,
    /// On whose behalf.
    pub actor: String,
    /// Who really asked, where the actor was impersonated.
    pub impersonator: Option<String>,
    /// `create`, `update`, `patch`, `delete`.
    pub verb: &'static str,
    /// `resource.group/namespace/name`.
    pub object: String,
}

/// Writes `entry` in the transaction of the change; `rv` is the revision that it made.
///
/// # Errors
/// What the store says.
pub fn record(tx: &mut Tx<'_>, entry: &Entry, rv: i64) -> Result<(), StoreError> {
    fn optional(text: &Option<String>) -> Param<'_> {
        text.as_deref().map_or(Param::Null, Param::Text)
    }
    tx.execute(
        "INSERT INTO audit (at, change, cause, actor, impersonator, verb, object, rv) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        &[
            entry.at.into(),
            entry.change.as_str().into(),
            optional(&entry.cause),
            entry.actor.as_str().into(),
            optional(&entry.impersonator),
            entry.verb.into(),
            entry.object.as_str().into(),
            rv.into(),
        ],
    )
    .map(drop)
}

/// Rows in a file. The table always keeps some more: its newest row is where `seq` goes on from.
const SEAL: i64 = 10_000;
/// How often the table is looked at: under constant load it grows for so long, and SQLite's file never shrinks.
const EVERY: Duration = Duration::from_secs(2);
/// How long it is left alone after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(30);

/// Seals rows into files.
#[derive(Clone)]
pub struct Ledger {
    store: Store,
    dir: PathBuf,
}

impl Ledger {
    /// Seals the rows of `store` into files in `dir`.
    pub fn new(store: Store, dir: &Path) -> Self {
        Ledger { store, dir: dir.to_owned() }
    }

    /// Seals whenever there is enough, until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut pause = EVERY;
        while shutdown.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            pause = EVERY;
            while match self.seal().await {
                Ok(sealed) => sealed,
                Err(error) => {
                    tracing::error!(%error, "failed to seal audit rows; they stay in the database");
                    pause = AFTER_FAILURE;
                    false
                }
            } {}
        }
    }

    /// Moves the oldest [`SEAL`] rows into a file, where there are more; says whether there were.
    async fn seal(&self) -> std::io::Result<bool> {
        let Some(last) = self.write_oldest().await? else { return Ok(false) };
        let deleted = self.store.write(move |tx| tx.execute("DELETE FROM audit WHERE seq <= ?1", &[last.into()])).await;
        deleted.map(|_| true).map_err(|e: StoreError| std::io::Error::other(e))
    }

    /// Writes the file; returns the `seq` of its last row.
    async fn write_oldest(&self) -> std::io::Result<Option<i64>> {
        let rows = self.store.read(oldest).await.map_err(|e: StoreError| std::io::Error::other(e))?;
        let Some(Sealed { first, last, text }) = rows else { return Ok(None) };
        let path = self.dir.join(format!("{first:016}.jsonl"));
        tokio::task::spawn_blocking(move || write_file(&path, &text)).await.map_err(std::io::Error::other)??;
        Ok(Some(last))
    }
}

/// The content of a file.
struct Sealed {
    first: i64,
    last: i64,
    text: String,
}

fn oldest(tx: &mut Tx<'_>) -> Result<Option<Sealed>, StoreError> {
    // Numbers without a gap: the table is only ever cut at its beginning.
    let sql = "SELECT coalesce((SELECT max(seq) FROM audit) - (SELECT min(seq) FROM audit) + 1, 0)";
    if tx.query_one(sql, &[], |row| row.int(0))?.unwrap_or_default() <= SEAL {
        return Ok(None);
    }
    let sql = "SELECT seq, json_object('seq', seq, 'at', at, 'change', change, 'cause', cause, 'actor', actor,
        'impersonator', impersonator, 'verb', verb, 'object', object, 'rv', rv) FROM audit ORDER BY seq LIMIT ?1";
    let mut sealed: Option<Sealed> = None;
    tx.query(sql, &[SEAL.into()], |row| {
        let (seq, line) = (row.int(0)?, row.text(1)?);
        let sealed = sealed.get_or_insert_with(|| Sealed { first: seq, last: seq, text: String::new() });
        sealed.last = seq;
        sealed.text.push_str(line);
        sealed.text.push('\n');
        Ok::<(), StoreError>(())
    })?;
    Ok(sealed)
}

fn write_file(path: &Path, text: &str) -> std::io::Result<()> {
    let unnamed = path.with_extension("tmp");
    let written = write_and_sync(&unnamed, text);
    if written.is_err() {
        // A full disk gets its space back; the rows are still in the table.
        let _ = std::fs::remove_file(&unnamed);
    }
    written?;
    std::fs::rename(&unnamed, path)?;
    // The file's name is durable only once its directory is.
    std::fs::File::open(path.parent().unwrap_or(path))?.sync_all()
}

fn write_and_sync(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests;
