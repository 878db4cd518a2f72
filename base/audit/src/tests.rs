use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn open(dir: &Path) -> Ledger {
    Ledger::new(Store::open(&dir.join("db"), &[MIGRATIONS]).unwrap(), dir)
}

async fn fill(ledger: &Ledger, rows: i64) {
    let entry = Entry {
        at: 5,
        change: "c".into(),
        cause: None,
        actor: "a\"b".into(),
        impersonator: None,
        verb: "create",
        object: "configmaps/default/x".into(),
    };
    let written = ledger.store.write(move |tx| (0..rows).try_for_each(|_| record(tx, &entry, 7)));
    written.await.unwrap_or_else(|e: StoreError| panic!("{e}"));
}

/// The numbers that are in files, and those that are in the table.
async fn found(ledger: &Ledger) -> (Vec<i64>, Vec<i64>) {
    let mut names: Vec<PathBuf> = std::fs::read_dir(&ledger.dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|e| e == "jsonl"));
    names.sort();
    let mut sealed = Vec::new();
    for path in names {
        let before = sealed.len();
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!((&row["actor"], &row["rv"], &row["cause"]), (&"a\"b".into(), &7.into(), &().into()));
            sealed.push(row["seq"].as_i64().unwrap());
        }
        assert_eq!(path.file_stem().unwrap().to_str(), Some(&*format!("{:016}", sealed[before])));
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let rows = ledger.store.read(|tx| {
        let mut rows = Vec::new();
        tx.query("SELECT seq FROM audit ORDER BY seq", &[], |row| {
            rows.push(row.int(0)?);
            Ok::<_, StoreError>(())
        })?;
        Ok::<_, StoreError>(rows)
    });
    (sealed, rows.await.unwrap())
}

fn numbers(from: i64, to: i64) -> Vec<i64> {
    (from..=to).collect()
}

#[tokio::test]
async fn rows_are_sealed_whole_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    assert!(!ledger.seal().await.unwrap());
    fill(&ledger, SEAL * 2 + 10).await;
    assert!(ledger.seal().await.unwrap() && ledger.seal().await.unwrap());
    assert!(!ledger.seal().await.unwrap());
    assert_eq!(found(&ledger).await, (numbers(1, SEAL * 2), numbers(SEAL * 2 + 1, SEAL * 2 + 10)));
}

#[tokio::test]
async fn numbers_go_on_when_all_could_be_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    fill(&ledger, SEAL).await;
    while ledger.seal().await.unwrap() {}
    fill(&ledger, SEAL).await;
    while ledger.seal().await.unwrap() {}
    let (mut all, rows) = found(&ledger).await;
    all.extend(rows);
    assert_eq!(all, numbers(1, SEAL * 2), "a file was written over another");
}

#[tokio::test]
async fn a_crash_while_sealing_loses_no_row() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    fill(&ledger, SEAL + 5).await;
    // In the middle of the file: it has no name that counts.
    write_and_sync(&dir.path().join("0000000000000001.tmp"), "{\"seq\": 1").unwrap();
    assert_eq!(found(&ledger).await, (vec![], numbers(1, SEAL + 5)));
    // Between the file and the deletion: rows are in both places,
    ledger.write_oldest().await.unwrap();
    assert_eq!(found(&ledger).await, (numbers(1, SEAL), numbers(1, SEAL + 5)));
    ledger.store.close().await;
    // and the next start writes the same file again.
    let ledger = open(dir.path());
    fill(&ledger, 1).await;
    assert!(ledger.seal().await.unwrap());
    assert_eq!(found(&ledger).await, (numbers(1, SEAL), numbers(SEAL + 1, SEAL + 6)));
    assert!(!dir.path().join("0000000000000001.tmp").exists());
}

#[tokio::test]
async fn a_full_disk_leaves_the_rows_where_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    fill(&ledger, SEAL + 1).await;
    let unnamed = dir.path().join("0000000000000001.tmp");
    std::os::unix::fs::symlink("/dev/full", &unnamed).unwrap();
    let failed = ledger.seal().await.unwrap_err();
    assert_eq!(failed.kind(), std::io::ErrorKind::StorageFull);
    assert_eq!(found(&ledger).await, (vec![], numbers(1, SEAL + 1)));
    assert!(unnamed.symlink_metadata().is_err(), "what was written is removed");
    assert!(ledger.seal().await.unwrap());
    assert_eq!(found(&ledger).await, (numbers(1, SEAL), numbers(SEAL + 1, SEAL + 1)));
}
