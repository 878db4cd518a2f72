//! The disk breaks in the middle of a commit: all of the group get an error, and writes go on once it is mended.

use std::collections::BTreeSet;

use purlin_store::Store;
use purlin_testkit::memory_dir;
use purlin_testkit::power::{Damage, Event, Fault, PowerLoss};

use crate::bench::{PART, check, write};

/// The disk breaks after so many changes more; says whether that was within the writes.
async fn break_in(fault: Fault, changes: usize) -> bool {
    let what = format!("{fault:?} after {changes}");
    let (dir, disk) = (memory_dir().unwrap(), PowerLoss::new().unwrap());
    let path = dir.path().join("db");
    let store = Store::open_with_vfs(&path, &[PART], disk.vfs_name()).unwrap();
    let mut acknowledged = BTreeSet::new();
    write(&store, 0, |_| {}).await.unwrap();
    acknowledged.insert(0);
    disk.break_after(changes, fault);
    let results = futures::future::join_all((1..=6).map(|id| write(&store, id, |_| {}))).await;
    let broken = disk.is_broken();
    acknowledged.extend((1..=6).zip(&results).filter(|(_, result)| result.is_ok()).map(|(id, _)| id));
    assert!(broken || results.iter().all(Result::is_ok), "{what}: {results:?}");
    disk.mend();
    for id in 7..10 {
        write(&store, id, |_| {}).await.unwrap_or_else(|error| panic!("{what}, mended: {error}"));
        acknowledged.insert(id);
    }
    for damage in [Damage::Dropped, Damage::Torn(changes as u64)] {
        let into = memory_dir().unwrap();
        disk.lose_power(into.path(), damage).unwrap();
        check(&into.path().join("db"), &acknowledged, &format!("{what}, {damage:?}"));
    }
    store.close().await;
    assert_eq!(check(&path, &acknowledged, &what), acknowledged, "{what}: an error, and yet it was written");
    broken
}

#[tokio::test]
async fn a_disk_that_breaks_mid_commit_fails_the_group_and_nothing_else() {
    for fault in [Fault::Io, Fault::Full] {
        let mut changes = 0;
        while break_in(fault, changes).await {
            // The many pages of a commit are alike; its beginning and its end are met in the steps of one.
            changes += if changes < 12 { 1 } else { 3 };
        }
        assert!(changes > 12, "{fault:?}: {changes}");
    }
}

/// Writes one after the other, enough for a checkpoint, on a disk that breaks after so many changes and is mended at
/// the first error; returns whether each change was one of the database file itself, which only checkpoints write.
async fn write_through_checkpoints(changes: usize) -> Vec<bool> {
    let (dir, disk) = (memory_dir().unwrap(), PowerLoss::new().unwrap());
    let store = Store::open_with_vfs(&dir.path().join("db"), &[PART], disk.vfs_name()).unwrap();
    let opened = disk.events().len();
    disk.break_after(changes, Fault::Io);
    let mut acknowledged = BTreeSet::new();
    for id in 0..300 {
        match write(&store, id, |_| {}).await {
            Ok(_) => drop(acknowledged.insert(id)),
            Err(_) => disk.mend(),
        }
    }
    assert_eq!(acknowledged.len() < 300, changes < usize::MAX);
    for damage in [Damage::Dropped, Damage::Torn(changes as u64)] {
        let into = memory_dir().unwrap();
        disk.lose_power(into.path(), damage).unwrap();
        let what = format!("broken after {changes}, {damage:?}");
        assert_eq!(check(&into.path().join("db"), &acknowledged, &what), acknowledged, "{what}");
    }
    let file = |event: &Event| match event {
        Event::Write(path) | Event::Truncate(path) | Event::Sync(path) | Event::Delete(path) => {
            Some(path.ends_with("db"))
        }
        Event::SyncDirectory(_) | Event::Acknowledged(_) => None,
    };
    disk.events()[opened..].iter().filter_map(file).collect()
}

#[tokio::test]
async fn a_disk_that_breaks_in_a_checkpoint_loses_nothing() {
    let changes = write_through_checkpoints(usize::MAX).await;
    let first = changes.iter().position(|database| *database).expect("there was no checkpoint");
    let length = changes[first..].iter().take_while(|database| **database).count();
    // The checkpoint's first and last writes, and its sync, the last of its changes.
    for at in [first - 1, first, first + length / 2, first + length - 2, first + length - 1, first + length] {
        write_through_checkpoints(at).await;
    }
}
