//! The disk breaks in the middle of a commit: all of the group get an error, and writes go on once it is mended.

use std::collections::BTreeSet;

use purlin_store::Store;
use purlin_testkit::memory_dir;
use purlin_testkit::power::{Damage, Fault, PowerLoss};

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
