use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use parking_lot::Mutex;

use crate::{Location, Migrations, Param, Store, StoreError, Tx};

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
async fn files_are_for_this_user_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.write(|tx| put(tx, "a", 5)).await.unwrap();
    for name in ["db", "db-wal", "db-shm"] {
        let mode = std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
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

/// Holds the writer in a write of its own until the sender is dropped, so that what is queued meanwhile is one group.
async fn hold(store: &Store) -> mpsc::Sender<()> {
    let (release, held) = mpsc::channel::<()>();
    let (began, begun) = tokio::sync::oneshot::channel();
    let (held, began) = (Mutex::new(held), Mutex::new(Some(began)));
    let holding = store.clone();
    tokio::spawn(async move {
        let write = holding.write(move |_| {
            began.lock().take().map(|began| began.send(()));
            let _ = held.lock().recv();
            Ok::<_, StoreError>(())
        });
        write.await.unwrap();
    });
    begun.await.unwrap();
    release
}

/// The same as `futures::future::join_all`, with the first poll of each (which queues a write) before the release.
async fn in_one_group<F: Future<Output = T> + Unpin, T>(store: &Store, writes: impl IntoIterator<Item = F>) -> Vec<T> {
    let release = hold(store).await;
    // Else a task is made to yield before it has polled them all.
    let mut all = Box::pin(tokio::task::unconstrained(futures::future::join_all(writes)));
    assert!(futures::poll!(&mut all).is_pending());
    drop(release);
    all.await
}

const FOREVER: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)";

fn open_with_limit(dir: &Path, limit: Duration) -> Store {
    Store::open_at(Location { path: dir.join("db"), vfs: None, limit }, &[PART]).unwrap()
}

#[tokio::test]
async fn a_write_that_takes_too_long_is_interrupted_and_its_neighbours_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_with_limit(dir.path(), Duration::from_millis(200));
    let hooks = Arc::new(Mutex::new(Vec::new()));
    let writes = (0..6i64).map(|i| {
        let hooks = Arc::clone(&hooks);
        Box::pin(store.write(move |tx| {
            put(tx, &i.to_string(), 1)?;
            let hooks = Arc::clone(&hooks);
            tx.on_commit(move || hooks.lock().push(i));
            match i {
                // SQLite rolls back the whole transaction when it interrupts this one,
                1 => tx.execute(&format!("{FOREVER} INSERT INTO t SELECT 'n' || i, 1 FROM n"), &[]).map(drop),
                // but not for a mere read.
                2 => tx.query_one(&format!("{FOREVER} SELECT count(*) FROM n"), &[], |_| Ok(())).map(drop),
                3 => {
                    let failed = tx.execute(&format!("{FOREVER} INSERT INTO t SELECT 'm' || i, 1 FROM n"), &[]);
                    assert_eq!(failed, Err(StoreError::TimedOut));
                    assert!(put(tx, "outside of any transaction", 1).is_err());
                    Ok(())
                }
                _ => Ok(()),
            }
        }))
    });
    let results = in_one_group(&store, writes).await;
    for (i, result) in results.into_iter().enumerate() {
        match i {
            1 | 2 => assert_eq!(result, Err(StoreError::TimedOut), "{i}"),
            3 => assert!(matches!(result, Err(StoreError::Sql(_))), "{result:?}"),
            _ => assert_eq!(result, Ok(()), "{i}"),
        }
    }
    assert_eq!(*hooks.lock(), [0, 4, 5]);
    assert_eq!(sum(&store).await, 3);
    let read = store.read(|tx| tx.query_one(&format!("{FOREVER} SELECT count(*) FROM n"), &[], |_| Ok(()))).await;
    assert_eq!(read, Err(StoreError::TimedOut));
    assert_eq!(sum(&store).await, 3);
}

#[tokio::test]
async fn readers_see_a_group_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut seen = std::collections::BTreeSet::new();
    let reads = async {
        while !seen.contains(&200) {
            seen.insert(sum(&store).await);
        }
    };
    let writes = (0..200i64).map(|i| Box::pin(store.write(move |tx| put(tx, &i.to_string(), 1))));
    futures::join!(in_one_group(&store, writes), reads);
    assert!(seen.iter().all(|n| [0, 200].contains(n)), "{seen:?}");
}

#[tokio::test]
async fn a_write_stands_when_its_caller_goes_away() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let release = hold(&store).await;
    let mut write = Box::pin(store.write(|tx| put(tx, "a", 1)));
    assert!(futures::poll!(&mut write).is_pending());
    drop((write, release));
    store.write(|tx| put(tx, "b", 2)).await.unwrap();
    assert_eq!(sum(&store).await, 3);
}

#[tokio::test]
async fn closing_finishes_what_is_queued() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let release = hold(&store).await;
    // More than the queue holds: some wait for a place in it.
    let writes = (0..2000i64).map(|i| Box::pin(store.write(move |tx| put(tx, &i.to_string(), 1))));
    let mut writes = Box::pin(tokio::task::unconstrained(futures::future::join_all(writes)));
    assert!(futures::poll!(&mut writes).is_pending());
    let mut close = Box::pin(store.close());
    assert!(futures::poll!(&mut close).is_pending());
    assert_eq!(store.write(|tx| put(tx, "late", 1)).await, Err(StoreError::Closed));
    drop(release);
    let (results, ()) = futures::join!(writes, close);
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(std::fs::metadata(dir.path().join("db-wal")).map_or(0, |file| file.len()), 0);
    assert_eq!(sum(&open(dir.path())).await, 2000);
}

#[tokio::test]
async fn readers_whose_callers_went_away_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut releases = Vec::new();
    for _ in 0..4 {
        let (release, held) = mpsc::channel::<()>();
        let (began, begun) = tokio::sync::oneshot::channel();
        let mut read = Box::pin(store.read(move |_| {
            let _ = began.send(());
            let _ = held.recv();
            Ok::<_, StoreError>(())
        }));
        assert!(futures::poll!(&mut read).is_pending());
        begun.await.unwrap();
        releases.push(release);
    }
    let mut fifth = Box::pin(sum(&store));
    assert!(futures::poll!(&mut fifth).is_pending());
    tokio::time::timeout(Duration::from_millis(20), &mut fifth).await.expect_err("a fifth reader");
    releases.pop();
    assert_eq!(fifth.await, 0);
}

#[tokio::test]
async fn the_log_is_bounded_although_there_is_always_a_reader() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    // Each read ends only once the next one has begun.
    let begin = || {
        let (release, held) = mpsc::channel::<()>();
        let (began, begun) = tokio::sync::oneshot::channel();
        let store = store.clone();
        tokio::spawn(async move {
            let read = store.read(move |tx| {
                tx.query_one("SELECT count(*) FROM t", &[], |row| row.int(0))?;
                let _ = began.send(());
                let _ = held.recv();
                Ok::<_, StoreError>(())
            });
            read.await.unwrap();
        });
        (release, begun)
    };
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let reads = async {
        let (mut _release, begun) = begin();
        begun.await.unwrap();
        while stopped.try_recv().is_err() {
            let (next, begun) = begin();
            begun.await.unwrap();
            _release = next;
            tokio::task::yield_now().await;
        }
    };
    let writes = async {
        let (mut largest, big) = (0, "x".repeat(1 << 20));
        for i in 0..60i64 {
            let big = big.clone();
            let write = store.write(move |tx| {
                tx.execute("INSERT OR REPLACE INTO t VALUES (?1, ?2)", &[Param::Text(&big), i.into()])
            });
            write.await.unwrap_or_else(|e: StoreError| panic!("{e}"));
            largest = largest.max(std::fs::metadata(dir.path().join("db-wal")).unwrap().len());
        }
        stop.send(()).unwrap();
        largest
    };
    let (largest, ()) = futures::join!(writes, reads);
    assert!(largest < 32 << 20, "{largest}");
}
