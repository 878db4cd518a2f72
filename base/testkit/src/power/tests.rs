use std::path::PathBuf;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::*;
use crate::temp_dir;

struct Bench {
    _dir: tempfile::TempDir,
    path: PathBuf,
    disk: PowerLoss,
}

/// What a database is asked to promise.
#[derive(Clone, Copy, Debug)]
struct Mode {
    journal: &'static str,
    synchronous: &'static str,
}

const WAL_FULL: Mode = Mode { journal: "wal", synchronous: "full" };

impl Bench {
    /// A database with an empty table, which is durable.
    fn new() -> Bench {
        let dir = temp_dir().unwrap();
        let (path, disk) = (dir.path().join("test.db"), PowerLoss::new().unwrap());
        let bench = Bench { _dir: dir, path, disk };
        let db = bench.open(WAL_FULL);
        db.execute_batch("create table t (n integer primary key, text text); pragma wal_checkpoint(truncate)").unwrap();
        bench
    }

    fn open(&self, mode: Mode) -> Connection {
        let db = Connection::open_with_flags_and_vfs(&self.path, OpenFlags::default(), self.disk.vfs_name()).unwrap();
        let Mode { journal, synchronous } = mode;
        db.execute_batch(&format!("pragma journal_mode = {journal}; pragma synchronous = {synchronous}")).unwrap();
        db
    }

    /// The rows that are found after a loss of power, in a database that must not be corrupt.
    fn rows_after(&self, damage: Damage) -> Vec<u64> {
        let into = temp_dir().unwrap();
        self.disk.lose_power(into.path(), damage).unwrap();
        let db = Connection::open(into.path().join("test.db")).unwrap();
        let check: String = db.query_row("pragma integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok", "{damage:?}");
        let mut rows = db.prepare("select n from t order by n").unwrap();
        let rows = rows.query_map([], |row| row.get::<_, i64>(0)).unwrap();
        rows.map(|n| u64::try_from(n.unwrap()).unwrap()).collect()
    }
}

fn insert(db: &Connection, n: u64) {
    // Rows of several pages, so that there is something to tear.
    db.execute("insert into t values (?1, ?2)", (i64::try_from(n).unwrap(), "x".repeat(9000))).unwrap();
}

#[test]
fn acknowledged_commits_survive_with_full_syncs_in_each_journal_mode() {
    for journal in ["wal", "delete", "truncate", "persist"] {
        let bench = Bench::new();
        let db = bench.open(Mode { journal, synchronous: "full" });
        for n in 1..=8 {
            insert(&db, n);
            bench.disk.acknowledge(n);
            let expected: Vec<u64> = (1..=n).collect();
            let torn = (0..4).map(|seed| Damage::Torn(n * 100 + seed));
            for damage in [Damage::Dropped, Damage::Kept].into_iter().chain(torn) {
                // In mode delete the commit is the deletion of the journal, which only synchronous=extra syncs.
                let rows = bench.rows_after(damage);
                let complete = rows == expected || journal == "delete" && rows == expected[..expected.len() - 1];
                assert!(complete, "{journal} {damage:?} after {n}: {rows:?}");
            }
        }
        // In the events a write-ahead log is written and synced; without one there is nothing to say.
        let log = |event: &Event| matches!(event, Event::Sync(path) if is_log(path));
        assert_eq!(bench.disk.events().iter().filter(|event| log(event)).count() > 8, journal == "wal");
        assert_eq!(bench.disk.early_acknowledgement(), None, "{journal}");
    }
}

#[test]
fn commits_survive_checkpoints() {
    let bench = Bench::new();
    let db = bench.open(WAL_FULL);
    db.execute_batch("pragma wal_autocheckpoint = 4").unwrap();
    for n in 1..=20 {
        insert(&db, n);
        bench.disk.acknowledge(n);
        for damage in [Damage::Dropped, Damage::Torn(n)] {
            assert_eq!(bench.rows_after(damage), (1..=n).collect::<Vec<_>>(), "{damage:?}");
        }
    }
    assert_eq!(bench.disk.early_acknowledgement(), None);
}

#[test]
fn a_missing_sync_is_found() {
    for (synchronous, journal) in [("off", "wal"), ("normal", "wal"), ("off", "delete")] {
        let bench = Bench::new();
        let db = bench.open(Mode { journal, synchronous });
        insert(&db, 1);
        bench.disk.acknowledge(1);
        assert_eq!(bench.rows_after(Damage::Kept), [1], "a kill alone does not find it");
        assert_eq!(bench.rows_after(Damage::Dropped), [] as [u64; 0], "{journal} {synchronous}");
        if journal == "wal" {
            assert_eq!(bench.disk.early_acknowledgement(), Some(1), "{synchronous}");
        }
    }
}

#[test]
fn connections_and_databases_that_were_there_are_seen() {
    let bench = Bench::new();
    let before = Connection::open(&bench.path).unwrap();
    insert(&before, 1);
    drop(before);
    // A model that begins here takes what it finds for durable.
    let later = Bench { _dir: temp_dir().unwrap(), path: bench.path.clone(), disk: PowerLoss::new().unwrap() };
    let (first, second) = (later.open(WAL_FULL), later.open(WAL_FULL));
    insert(&first, 2);
    insert(&second, 3);
    assert_eq!(later.rows_after(Damage::Dropped), [1, 2, 3]);
}

#[test]
fn a_transaction_that_is_not_committed_is_not_found() {
    let bench = Bench::new();
    let db = bench.open(WAL_FULL);
    insert(&db, 1);
    // A small cache writes pages before the commit.
    db.execute_batch("pragma cache_size = 2; begin").unwrap();
    for n in 2..=10 {
        insert(&db, n);
    }
    for seed in 0..20 {
        assert_eq!(bench.rows_after(Damage::Torn(seed)), [1]);
    }
    db.execute_batch("commit").unwrap();
    assert_eq!(bench.rows_after(Damage::Dropped).len(), 10);
}

#[test]
fn a_file_is_not_there_before_its_directory_is_synced() {
    let dir = temp_dir().unwrap();
    let (path, other) = (dir.path().join("a"), dir.path().join("b"));
    let mut disk = disk::State::default();
    let a = disk.open(&path, None);
    disk.write(a, &path, 0, b"one");
    disk.sync(a, &path);
    let names = |disk: &disk::State| disk.image(Damage::Dropped).into_iter().collect::<Vec<_>>();
    assert_eq!(names(&disk), []);
    disk.sync_directory_of(&path);
    assert_eq!(names(&disk), [(path.clone(), b"one".to_vec())]);
    // A deletion that is not synced is undone; a file made anew under the name is another file.
    disk.delete(&path);
    let again = disk.open(&path, None);
    disk.write(again, &path, 2, b"two");
    disk.sync(again, &path);
    assert_eq!(names(&disk), [(path.clone(), b"one".to_vec())]);
    disk.sync_directory_of(&other);
    assert_eq!(names(&disk), [(path.clone(), b"\0\0two".to_vec())]);
    // A sync that failed cannot be made up for by another one.
    disk.write(again, &path, 2, b"TWO");
    disk.fail_sync(again);
    disk.sync(again, &path);
    assert_eq!(names(&disk), [(path.clone(), b"\0\0two".to_vec())]);
    // What was there before is durable as it was.
    disk.open(&other, Some(b"old".to_vec()));
    assert_eq!(names(&disk).len(), 2);
    disk.truncate(again, &path, 1);
    assert_eq!(disk.image(Damage::Kept)[&path], b"\0");
}

#[test]
fn a_broken_disk_refuses_until_it_is_mended() {
    let code = |result: rusqlite::Result<()>| result.unwrap_err().sqlite_error_code();
    for (fault, expected) in [(Fault::Io, ErrorCode::SystemIoFailure), (Fault::Full, ErrorCode::DiskFull)] {
        let bench = Bench::new();
        let db = bench.open(WAL_FULL);
        let insert_one = |n: i64| db.execute("insert into t values (?1, 'x')", [n]).map(drop);
        bench.disk.break_after(2, fault);
        assert!(!bench.disk.is_broken());
        assert_eq!(code(insert_one(1).and_then(|()| insert_one(2))), Some(expected));
        assert!(bench.disk.is_broken());
        bench.disk.mend();
        insert_one(3).unwrap();
        assert!(bench.rows_after(Damage::Dropped).contains(&3), "{fault:?}");
    }
}
