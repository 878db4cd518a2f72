//! The tables that these tests write, and what must be true of them at any time.
//!
//! Each write takes the next number from `head`, in commit order, and puts it into two tables and one of a few large
//! slots. So a file is whole when the numbers are without a gap, everything agrees, and what was acknowledged is there.

use std::collections::BTreeSet;
use std::path::Path;

use purlin_store::{Migrations, Store, StoreError, Tx};
use rusqlite::Connection;

pub(crate) const PART: Migrations = Migrations {
    part: "bench",
    scripts: &["CREATE TABLE head (n INTEGER NOT NULL);
        INSERT INTO head VALUES (0);
        CREATE TABLE a (n INTEGER PRIMARY KEY, id INTEGER NOT NULL);
        CREATE TABLE b (n INTEGER PRIMARY KEY, id INTEGER NOT NULL);
        CREATE TABLE slot (k INTEGER PRIMARY KEY, n INTEGER NOT NULL, text TEXT NOT NULL);
        INSERT INTO slot VALUES (0, 0, ''), (1, 0, ''), (2, 0, ''), (3, 0, '')"],
};

/// What is written for the number `n`: several pages, so that there is something to tear and to copy.
fn text(n: i64) -> String {
    format!("{n} ").repeat(5000)
}

fn put(tx: &mut Tx<'_>, id: i64) -> Result<i64, StoreError> {
    let n = tx.query_one("UPDATE head SET n = n + 1 RETURNING n", &[], |row| row.int(0))?.unwrap_or_default();
    tx.execute("INSERT INTO a VALUES (?1, ?2)", &[n.into(), id.into()])?;
    tx.execute("UPDATE slot SET n = ?1, text = ?2 WHERE k = ?3", &[n.into(), text(n).as_str().into(), (n % 4).into()])?;
    tx.execute("INSERT INTO b VALUES (?1, ?2)", &[n.into(), id.into()])?;
    Ok(n)
}

/// Writes `id`; `committed` is called with its number after the commit, before the next one begins.
pub(crate) async fn write(
    store: &Store,
    id: i64,
    committed: impl Fn(i64) + Clone + Send + 'static,
) -> Result<i64, StoreError> {
    let write = store.write(move |tx| {
        let (n, committed) = (put(tx, id)?, committed.clone());
        tx.on_commit(move || committed(n));
        Ok(n)
    });
    write.await
}

/// Checks the file; returns the ids in it.
pub(crate) fn check(path: &Path, acknowledged: &BTreeSet<i64>, what: &str) -> BTreeSet<i64> {
    let db = Connection::open(path).unwrap();
    let integrity: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(integrity, "ok", "{what}");
    let int = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let head = int("SELECT n FROM head");
    assert_eq!(
        int("SELECT count(*) FROM a JOIN b USING (n, id) WHERE n BETWEEN 1 AND (SELECT n FROM head)"),
        head,
        "{what}"
    );
    assert_eq!((int("SELECT count(*) FROM a"), int("SELECT count(*) FROM b")), (head, head), "{what}");
    for k in 0..4 {
        let newest = (0..=head).rev().find(|n| n % 4 == k && *n > 0);
        let found = db.query_row("SELECT n, text FROM slot WHERE k = ?1", [k], |row| Ok((row.get(0)?, row.get(1)?)));
        assert_eq!(found.unwrap(), newest.map_or((0, String::new()), |n| (n, text(n))), "{what}");
    }
    let mut ids = db.prepare("SELECT id FROM a").unwrap();
    let ids: BTreeSet<i64> = ids.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let lost: Vec<_> = acknowledged.difference(&ids).collect();
    assert!(lost.is_empty(), "{what}: acknowledged and lost: {lost:?}");
    ids
}
