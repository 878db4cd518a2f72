//! Power is lost at any time: what was acknowledged is there, nothing is torn.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use purlin_store::Store;
use purlin_testkit::memory_dir;
use purlin_testkit::power::{Damage, Event, Fault, PowerLoss};

use crate::bench::{PART, check, write};
use crate::count;

fn damages(seed: u64, torn: u64) -> impl Iterator<Item = Damage> {
    [Damage::Dropped, Damage::Kept].into_iter().chain((0..torn).map(move |i| Damage::Torn(seed * 1000 + i)))
}

/// Loses the power now, and checks what is left.
fn lose(disk: &PowerLoss, acknowledged: &BTreeSet<i64>, damage: Damage, what: &str) {
    let into = memory_dir().unwrap();
    disk.lose_power(into.path(), damage).unwrap();
    check(&into.path().join("db"), acknowledged, &format!("{damage:?} {what}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_outlive_a_loss_of_power() {
    let (writers, writes, every, torn) = (8, count(45, 1000) as i64, count(30, 7), count(2, 8));
    let dir = memory_dir().unwrap();
    let disk = PowerLoss::new().unwrap();
    let store = Store::open_with_vfs(&dir.path().join("db"), &[PART], disk.vfs_name()).unwrap();
    let (acknowledged, answered) = (Arc::<Mutex<BTreeSet<i64>>>::default(), Arc::<AtomicU64>::default());
    let tasks = (0..writers).map(|writer| {
        let (store, disk, acknowledged, answered) =
            (store.clone(), disk.clone(), acknowledged.clone(), answered.clone());
        tokio::spawn(async move {
            for id in (0..writes).map(|i| writer * writes + i) {
                // Noted on the writer's thread: later, the log may already hold bytes of the next group.
                let note = disk.clone();
                write(&store, id, move |n| note.acknowledge(n.unsigned_abs())).await.unwrap();
                acknowledged.lock().insert(id);
                let answered = answered.fetch_add(1, Ordering::Relaxed) + 1;
                if answered % every == 0 {
                    let acknowledged = acknowledged.lock().clone();
                    for damage in damages(answered, torn) {
                        lose(&disk, &acknowledged, damage, &format!("after {answered}"));
                    }
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    store.close().await;
    assert_eq!(disk.early_acknowledgement(), None);
    let acknowledged = acknowledged.lock().clone();
    assert_eq!(acknowledged.len() as i64, writers * writes);
    lose(&disk, &acknowledged, Damage::Dropped, "after the close");
    // It was no test of checkpoints unless there were some before the close.
    let database = |event: &Event| matches!(event, Event::Sync(path) if path.ends_with("db"));
    assert!(disk.events().iter().filter(|event| database(event)).count() > 2);
}

#[tokio::test]
async fn one_writer_is_answered_after_the_sync() {
    let dir = memory_dir().unwrap();
    let disk = PowerLoss::new().unwrap();
    let store = Store::open_with_vfs(&dir.path().join("db"), &[PART], disk.vfs_name()).unwrap();
    let mut acknowledged = BTreeSet::new();
    for id in 0..count(10, 500) as i64 {
        let n = write(&store, id, |_| {}).await.unwrap();
        disk.acknowledge(n.unsigned_abs());
        acknowledged.insert(id);
        for damage in damages(id.unsigned_abs(), 1) {
            lose(&disk, &acknowledged, damage, &format!("after {id}"));
        }
    }
    assert_eq!(disk.early_acknowledgement(), None);
}

/// Whether the file has the tables, all of them; it has none when it has not.
fn has_tables(path: &Path) -> bool {
    if !path.exists() {
        return false;
    }
    let db = rusqlite::Connection::open(path).unwrap();
    let tables: i64 =
        db.query_row("SELECT count(*) FROM sqlite_master WHERE type = 'table'", [], |row| row.get(0)).unwrap();
    assert!(tables == 0 || tables == 5, "{tables} tables");
    tables == 5
}

#[tokio::test]
async fn a_new_file_is_there_once_it_is_opened_and_whole_at_any_time_before() {
    for changes in 0.. {
        let (dir, disk) = (memory_dir().unwrap(), PowerLoss::new().unwrap());
        disk.break_after(changes, Fault::Io);
        let opened = Store::open_with_vfs(&dir.path().join("db"), &[PART], disk.vfs_name());
        let unbroken = !disk.is_broken();
        for damage in damages(changes as u64, 2) {
            let into = memory_dir().unwrap();
            disk.lose_power(into.path(), damage).unwrap();
            let path = into.path().join("db");
            assert!(has_tables(&path) || opened.is_err(), "{damage:?} after {changes} changes");
            let store = Store::open(&path, &[PART]).unwrap();
            write(&store, 1, |_| {}).await.unwrap();
            store.close().await;
            check(&path, &[1].into(), "opened again");
        }
        if unbroken {
            assert!(changes > 8, "nothing was interrupted");
            break;
        }
    }
}
