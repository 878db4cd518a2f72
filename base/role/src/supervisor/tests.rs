use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use parking_lot::Mutex;
use purlin_net::pki::Pki;
use purlin_resource::{ApiHandle, Watches};
use purlin_store::Store;
use tokio_util::task::TaskTracker;

use super::*;
use crate::{Clock, Health};

fn platform(dir: &std::path::Path) -> Platform {
    let api = ApiHandle::default();
    Platform {
        data_dir: dir.to_owned(),
        store: Store::open(&dir.join("db"), &[]).unwrap(),
        pki: Arc::new(Pki::open(&dir.join("pki"), SystemTime::now()).unwrap()),
        watches: Watches::new(api.client("watches"), CancellationToken::new(), TaskTracker::new()),
        api,
        health: Health::default(),
        clock: Clock::default(),
    }
}

/// A role that opens its gate at its `good`th start and fails in the given way at those before.
fn fails_until(good: u32, starts: &Arc<AtomicU32>, fail: fn(&Context) -> anyhow::Result<()>) -> Role {
    Role::new("flaky", Arc::clone(starts), move |ctx: Context, starts: Arc<AtomicU32>| async move {
        let gate = ctx.gate("works");
        if starts.fetch_add(1, Ordering::SeqCst) + 1 < good {
            fail(&ctx)?;
            ctx.shutdown.cancelled().await;
            return Ok(());
        }
        gate.open();
        ctx.shutdown.cancelled().await;
        Ok(())
    })
}

async fn check(fail: fn(&Context) -> anyhow::Result<()>) {
    purlin_net::crypto::install_crypto();
    let dir = tempfile::tempdir().unwrap();
    let platform = platform(dir.path());
    let starts = Arc::new(AtomicU32::new(0));
    let other = Arc::new(AtomicU32::new(0));
    let mut supervisor = Supervisor::new(platform.clone());
    supervisor.start(fails_until(1, &other, |_| Ok(())));
    supervisor.start(fails_until(2, &starts, fail));
    let gate = || platform.health.gates().iter().all(|(_, open)| *open) && starts.load(Ordering::SeqCst) == 2;
    while !gate() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    supervisor.stop().await;
    assert_eq!((starts.load(Ordering::SeqCst), other.load(Ordering::SeqCst)), (2, 1), "the other role served on");
    platform.store.close().await;
}

#[tokio::test]
async fn a_role_that_panics_is_restarted() {
    check(|_| panic!("as it may")).await;
}

#[tokio::test]
async fn a_role_that_fails_is_restarted() {
    check(|_| anyhow::bail!("as it may")).await;
}

#[tokio::test]
async fn a_role_whose_task_panics_is_restarted() {
    check(|ctx| {
        ctx.tasks.spawn(async { panic!("as it may") });
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn roles_stop_in_reverse_order() {
    purlin_net::crypto::install_crypto();
    let dir = tempfile::tempdir().unwrap();
    let platform = platform(dir.path());
    let stopped = Arc::new(Mutex::new(Vec::new()));
    let mut supervisor = Supervisor::new(platform.clone());
    for name in ["first", "second", "third"] {
        let stopped = Arc::clone(&stopped);
        supervisor.start(Role::new(name, stopped, |ctx: Context, stopped: Arc<Mutex<Vec<&str>>>| async move {
            ctx.shutdown.cancelled().await;
            stopped.lock().push(ctx.role);
            Ok(())
        }));
    }
    tokio::task::yield_now().await;
    supervisor.stop().await;
    assert_eq!(*stopped.lock(), ["third", "second", "first"]);
    platform.store.close().await;
}
