//! The audit log: who changed what, when, and what led to it.
//!
//! [`record`] writes a row in the transaction of the change itself, so that there is no change without its row.
//! [`Ledger::run`] seals rows into files of JSON lines below the data directory once there are many, so that the
//! database stays small: append, fsync, then delete from the table. A crash in between repeats rows, never loses one:
//! `seq` tells them apart.

use std::io::Write as _;
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

/// Rows in the table before a file is sealed.
const SEAL_AT: i64 = 10_000;
/// How often the table is looked at.
const EVERY: Duration = Duration::from_secs(30);

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
        while shutdown.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
            while match self.seal().await {
                Ok(sealed) => sealed,
                Err(error) => {
                    tracing::error!(%error, "failed to seal audit rows; they stay in the database");
                    false
                }
            } {}
        }
    }

    /// Moves the oldest [`SEAL_AT`] rows into a file, where there are as many; says whether there were.
    async fn seal(&self) -> std::io::Result<bool> {
        let rows: Vec<(i64, String)> =
            self.store.read(oldest).await.map_err(|e: StoreError| std::io::Error::other(e.to_string()))?;
        let (Some(first), Some(last)) = (rows.first().map(|r| r.0), rows.last().map(|r| r.0)) else { return Ok(false) };
        let path = self.dir.join(format!("{first:016}.jsonl"));
        tokio::task::spawn_blocking(move || write_file(&path, &rows)).await.map_err(std::io::Error::other)??;
        let deleted = self.store.write(move |tx| tx.execute("DELETE FROM audit WHERE seq <= ?1", &[last.into()]));
        deleted.await.map_err(|e: StoreError| std::io::Error::other(e.to_string()))?;
        Ok(true)
    }
}

fn oldest(tx: &mut Tx<'_>) -> Result<Vec<(i64, String)>, StoreError> {
    let mut rows = Vec::new();
    let count = tx.query_one("SELECT count(*) FROM audit", &[], |row| row.int(0))?.unwrap_or_default();
    if count < SEAL_AT {
        return Ok(rows);
    }
    let sql = "SELECT seq, json_object('seq', seq, 'at', at, 'change', change, 'cause', cause, 'actor', actor,
        'impersonator', impersonator, 'verb', verb, 'object', object, 'rv', rv) FROM audit ORDER BY seq LIMIT ?1";
    tx.query(sql, &[SEAL_AT.into()], |row| {
        rows.push((row.int(0)?, row.text(1)?.to_owned()));
        Ok::<(), StoreError>(())
    })?;
    Ok(rows)
}

fn write_file(path: &Path, rows: &[(i64, String)]) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)?;
    let mut text = String::with_capacity(rows.iter().map(|r| r.1.len() + 1).sum());
    for (_, row) in rows {
        text.push_str(row);
        text.push('\n');
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    // The file's name is durable only once its directory is.
    std::fs::File::open(path.parent().unwrap_or(path))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn rows_are_sealed_whole_and_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("db"), &[MIGRATIONS]).unwrap();
        let entry = Entry {
            at: 5,
            change: "c".into(),
            cause: None,
            actor: "a\"b".into(),
            impersonator: None,
            verb: "create",
            object: "configmaps/default/x".into(),
        };
        let rows = SEAL_AT + 10;
        let written = store.write(move |tx| (1..=rows).try_for_each(|rv| record(tx, &entry, rv)));
        written.await.unwrap_or_else(|e: StoreError| panic!("{e}"));
        let ledger = Ledger::new(store.clone(), dir.path());
        assert!(ledger.seal().await.unwrap());
        assert!(!ledger.seal().await.unwrap());
        let text = std::fs::read_to_string(dir.path().join("0000000000000001.jsonl")).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(lines.len() as i64, SEAL_AT);
        assert_eq!((lines[7]["seq"].as_i64(), lines[7]["actor"].as_str()), (Some(8), Some("a\"b")));
        let left = store.read(|tx| tx.query_one("SELECT min(seq) FROM audit", &[], |row| row.int(0))).await;
        assert_eq!(left.unwrap_or_else(|e: StoreError| panic!("{e}")), Some(SEAL_AT + 1));
    }
}
