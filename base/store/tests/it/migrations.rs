//! Files of the version before: migrated whole or not at all.

use std::path::{Path, PathBuf};

use purlin_store::{Migrations, Store, StoreError};
use purlin_testkit::memory_dir;
use purlin_testkit::power::{Damage, Fault, PowerLoss};
use rusqlite::Connection;

const ONE: Migrations =
    Migrations { part: "shop", scripts: &["CREATE TABLE item (name TEXT PRIMARY KEY, price INTEGER NOT NULL)"] };
const TWO: Migrations = Migrations {
    part: "shop",
    scripts: &[
        ONE.scripts[0],
        "ALTER TABLE item ADD COLUMN cents INTEGER NOT NULL DEFAULT 0;
         UPDATE item SET cents = price * 100;
         CREATE TABLE shelf (item TEXT PRIMARY KEY, text TEXT NOT NULL);
         INSERT INTO shelf SELECT name, hex(zeroblob(500)) FROM item",
    ],
};

/// A file that purlin 0.1 wrote: version one with the items 0 to 49, item i at price i. Never written again.
fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/v1.db")
}

/// Checks that the file is of one version as a whole; returns which.
fn version(path: &Path) -> i64 {
    let db = Connection::open(path).unwrap();
    let int = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0));
    assert_eq!(int("SELECT sum(price) FROM item WHERE name = 'item ' || price").unwrap(), 49 * 50 / 2);
    let version = int("SELECT version FROM migration WHERE part = 'shop'").unwrap();
    if version == 2 {
        assert_eq!(int("SELECT sum(cents) FROM item JOIN shelf ON item = name").unwrap(), 49 * 50 * 50);
    } else {
        assert!(int("SELECT count(*) FROM shelf").is_err() && int("SELECT sum(cents) FROM item").is_err());
    }
    version
}

#[tokio::test]
async fn a_file_of_the_version_before_is_brought_up_to_date() {
    let dir = memory_dir().unwrap();
    let path = dir.path().join("db");
    std::fs::copy(fixture(), &path).unwrap();
    assert_eq!(version(&path), 1);
    for _ in 0..2 {
        Store::open(&path, &[TWO]).unwrap().close().await;
        assert_eq!(version(&path), 2);
    }
    let refused = Store::open(&path, &[ONE]).err();
    assert_eq!(refused, Some(StoreError::Newer { part: "shop", found: 2, known: 1 }));
    assert_eq!(version(&path), 2);
}

#[tokio::test]
async fn a_migration_that_fails_leaves_the_file_as_it_was() {
    const WRONG: Migrations = Migrations { part: "shop", scripts: &[ONE.scripts[0], TWO.scripts[1], "no SQL"] };
    const OTHER: Migrations = Migrations { part: "other", scripts: &["CREATE TABLE other (k TEXT)"] };
    let dir = memory_dir().unwrap();
    let path = dir.path().join("db");
    std::fs::copy(fixture(), &path).unwrap();
    assert!(matches!(Store::open(&path, &[OTHER, WRONG]).err(), Some(StoreError::Sql(_))));
    assert_eq!(version(&path), 1);
    Store::open(&path, &[OTHER, TWO]).unwrap().close().await;
    assert_eq!(version(&path), 2);
}

#[tokio::test]
async fn a_migration_that_is_interrupted_is_complete_or_absent() {
    let mut seen = [0, 0];
    for changes in 0.. {
        let (dir, disk) = (memory_dir().unwrap(), PowerLoss::new().unwrap());
        let path = dir.path().join("db");
        std::fs::copy(fixture(), &path).unwrap();
        disk.break_after(changes, Fault::Io);
        let opened = Store::open_with_vfs(&path, &[TWO], disk.vfs_name());
        let unbroken = !disk.is_broken();
        for damage in [Damage::Dropped, Damage::Kept, Damage::Torn(changes as u64)] {
            let into = memory_dir().unwrap();
            disk.lose_power(into.path(), damage).unwrap();
            let path = into.path().join("db");
            let found = version(&path);
            assert!(found == 2 || opened.is_err(), "{damage:?} after {changes} changes");
            seen[found as usize - 1] += 1;
            Store::open(&path, &[TWO]).unwrap().close().await;
            assert_eq!(version(&path), 2);
        }
        if unbroken {
            break;
        }
    }
    assert!(seen[0] > 8 && seen[1] > 2, "{seen:?}");
}
