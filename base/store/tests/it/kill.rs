//! kill -9: this binary runs itself as a child that writes, and kills it.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use purlin_store::Store;
use purlin_testkit::memory_dir;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::bench::{PART, check, write};
use crate::count;

/// The database of the child, and its first id.
const CHILD: &str = "PURLIN_STORE_TEST_CHILD";
const WRITERS: i64 = 8;

/// What the child does, for ever: writes, and tells on its standard output what was acknowledged. No test by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(arguments) = std::env::var(CHILD) else { return };
    let (first, path) = arguments.split_once(' ').unwrap();
    let (first, store) = (first.parse::<i64>().unwrap(), Store::open(Path::new(path), &[PART]).unwrap());
    let tasks = (0..WRITERS).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            for id in (0..).map(|i| first + i * WRITERS + writer) {
                write(&store, id, |_| {}).await.unwrap();
                // One system call a line, so that lines stay whole.
                std::io::stdout().write_all(format!("\nacknowledged {id}\n").as_bytes()).unwrap();
            }
        })
    });
    futures::future::join_all(tasks).await;
}

/// Runs the child until it has acknowledged so many writes, kills it, and returns all that it has acknowledged.
fn run_and_kill(path: &Path, first: i64, writes: usize) -> BTreeSet<i64> {
    let this: PathBuf = std::env::current_exe().unwrap();
    let mut child = Command::new(this)
        .args(["--exact", "kill::child", "--nocapture"])
        .env(CHILD, format!("{first} {}", path.display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = BTreeSet::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        if let Some(id) = line.unwrap().strip_prefix("acknowledged ") {
            acknowledged.insert(id.parse().unwrap());
            if acknowledged.len() == writes {
                child.kill().unwrap();
            }
        }
    }
    child.wait().unwrap();
    assert!(acknowledged.len() >= writes, "the child ended by itself");
    acknowledged
}

#[test]
fn acknowledged_writes_outlive_kill_9() {
    let (dir, mut random) = (memory_dir().unwrap(), StdRng::seed_from_u64(4));
    let path = dir.path().join("db");
    let mut acknowledged = BTreeSet::new();
    for round in 0..count(6, 1000) as i64 {
        acknowledged.extend(run_and_kill(&path, round * 1_000_000, random.random_range(1..200)));
        // The next child goes on with what this one left: its recovery is what is tested, not this check's.
        let copy = memory_dir().unwrap();
        for name in ["db", "db-wal"] {
            let _ = std::fs::copy(dir.path().join(name), copy.path().join(name));
        }
        check(&copy.path().join("db"), &acknowledged, &format!("round {round}"));
    }
}
