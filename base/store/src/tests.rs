use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::{Migrations, Param, Store, StoreError, Tx};

const PART: Migrations = Migrations { part: "test", scripts: &["CREATE TABLE t (k TEXT PRIMARY KEY, v INTEGER)"] };

fn open(dir: &Path) -> Store {
    Store::open(&dir.join("db"), &[PART]).unwrap()
}

fn put(tx: &mut Tx<'_>, key: &str, value: i64) -> Result<(), StoreError> {
    tx.execute("INSERT INTO t VALUES (?1, ?2)", &[key.into(), value.into()]).map(drop)
}

async fn sum(store: &Store) -> i64 {
    let read = store.read(|tx| tx.query_one("SELECT coalesce(sum(v), 0) FROM t", &[], |row| row.int(0)));
    read.await.unwrap_or_else(|e: StoreError| panic!("{e}")).unwrap()
}

#[tokio::test]
async fn a_failed_write_leaves_its_neighbours_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let writes = (0..100i64).map(|i| {
        store.write(move |tx| {
            put(tx, &i.to_string(), i)?;
            if i % 2 == 1 { Err(StoreError::Sql("odd".into())) } else { Ok(i) }
        })
    });
    let results = futures::future::join_all(writes).await;
    for (i, result) in results.into_iter().enumerate() {
        assert_eq!(result.is_ok(), i % 2 == 0);
    }
    assert_eq!(sum(&store).await, (0..100).step_by(2).sum::<i64>());
}

#[tokio::test]
async fn hooks_run_in_commit_order_and_only_for_what_was_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let writes = (0..50i64).map(|i| {
        let seen = Arc::clone(&seen);
        store.write(move |tx| {
            put(tx, &i.to_string(), 1)?;
            let place = tx.query_one("SELECT count(*) FROM t", &[], |row| row.int(0))?.unwrap_or_default();
            let seen = Arc::clone(&seen);
            tx.on_commit(move || seen.lock().push(place));
            if i == 7 { Err(StoreError::Closed) } else { Ok(()) }
        })
    });
    futures::future::join_all(writes).await;
    assert_eq!(*seen.lock(), (1..50).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_panic_ends_its_write_only() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let panicked = store.write(|tx| -> Result<(), StoreError> {
        put(tx, "a", 1)?;
        panic!("no such luck")
    });
    assert_eq!(panicked.await, Err(StoreError::Panicked("no such luck".into())));
    store.write(|tx| put(tx, "b", 2)).await.unwrap();
    assert_eq!(sum(&store).await, 2);
    let read: Result<(), StoreError> = store.read(|_| panic!("nor here")).await;
    assert_eq!(read, Err(StoreError::Panicked("nor here".into())));
    assert_eq!(sum(&store).await, 2);
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_reopen() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.write(|tx| put(tx, "a", 5)).await.unwrap();
    store.close().await;
    assert_eq!(store.write(|tx| put(tx, "b", 1)).await, Err(StoreError::Closed));
    assert_eq!(sum(&open(dir.path())).await, 5);
}

#[tokio::test]
async fn a_newer_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    const TWO: Migrations = Migrations { part: "test", scripts: &[PART.scripts[0], "CREATE TABLE u (k TEXT)"] };
    Store::open(&dir.path().join("db"), &[TWO]).unwrap().close().await;
    let error = Store::open(&dir.path().join("db"), &[PART]).err().unwrap();
    assert_eq!(error, StoreError::Newer { part: "test", found: 2, known: 1 });
}

#[tokio::test]
async fn readers_cannot_write() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let tried = store.read(|tx| put(tx, "a", 1)).await;
    assert!(matches!(tried, Err(StoreError::Sql(_))), "{tried:?}");
}

#[tokio::test]
async fn a_full_disk_refuses_and_keeps_what_was_there() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.write(|tx| put(tx, "a", 1)).await.unwrap();
    let limited = store.write(|tx| tx.query_one("PRAGMA max_page_count = 16", &[], |row| row.int(0)));
    limited.await.unwrap();
    let big = "x".repeat(100_000);
    let full = store.write(move |tx| tx.execute("INSERT INTO t VALUES (?1, 1)", &[Param::Text(&big)])).await;
    assert_eq!(full, Err(StoreError::Full));
    store.write(|tx| put(tx, "b", 2)).await.unwrap();
    assert_eq!(sum(&store).await, 3);
}
