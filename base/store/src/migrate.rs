//! Migrations: each part owns a list of SQL scripts; the file remembers how many of them it has seen.

use rusqlite::Connection;

use crate::StoreError;

/// The scripts of one part, oldest first. A script that was released is never changed: add another.
#[derive(Clone, Copy, Debug)]
pub struct Migrations {
    /// Whose tables.
    pub part: &'static str,
    /// One script a version.
    pub scripts: &'static [&'static str],
}

pub(crate) fn run(conn: &mut Connection, parts: &[Migrations]) -> Result<(), StoreError> {
    let tx = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    tx.execute_batch(
        "CREATE TABLE IF NOT EXISTS migration (part TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID",
    )?;
    for Migrations { part, scripts } in parts {
        let found: i64 = tx
            .query_row("SELECT version FROM migration WHERE part = ?1", [part], |row| row.get(0))
            .or_else(|e| if e == rusqlite::Error::QueryReturnedNoRows { Ok(0) } else { Err(e) })?;
        let known = scripts.len() as i64;
        if found > known {
            return Err(StoreError::Newer { part, found, known });
        }
        for script in scripts.iter().skip(found as usize) {
            tx.execute_batch(script)?;
        }
        if found < known {
            tx.execute("INSERT OR REPLACE INTO migration VALUES (?1, ?2)", (part, known))?;
        }
    }
    tx.commit()?;
    Ok(())
}
