//! The supervisor: starts roles, restarts those that fail, stops them in reverse order.
//!
//! One task a role: run it, and when it ends before it was told to, wait (250 ms doubling to 30 s) and run it again
//! with a fresh context. A panic unwinds to here and ends that role's run only.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use purlin_telemetry::metrics;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{Context, Platform, Tasks};

type Run = Arc<dyn Fn(Context) -> BoxFuture<'static, anyhow::Result<()>> + Send + Sync>;

/// A role by name, and how to run it.
#[derive(Clone)]
pub struct Role {
    name: &'static str,
    run: Run,
}

impl Role {
    /// `run` is called once a start; its config is cloned into each.
    pub fn new<C, F, Fut>(name: &'static str, config: C, run: F) -> Role
    where
        C: Clone + Send + Sync + 'static,
        F: Fn(Context, C) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        Role { name, run: Arc::new(move |ctx| run(ctx, config.clone()).boxed()) }
    }
}

const FIRST_BACKOFF: Duration = Duration::from_millis(250);
const LAST_BACKOFF: Duration = Duration::from_secs(30);
/// How long a role may take to stop before it is left behind.
const STOP_LIMIT: Duration = Duration::from_secs(30);

struct Running {
    name: &'static str,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// The roles of this process.
pub struct Supervisor {
    platform: Platform,
    running: Vec<Running>,
}

impl Supervisor {
    /// A supervisor that runs nothing yet.
    pub fn new(platform: Platform) -> Self {
        Supervisor { platform, running: Vec::new() }
    }

    /// Starts a role; its gates should be taken by the time it first yields.
    pub fn start(&mut self, role: Role) {
        let stop = CancellationToken::new();
        let name = role.name;
        let gate = self.platform.health.gate(&format!("{name}/running"));
        let task = tokio::spawn(supervise(self.platform.clone(), role, stop.clone(), gate));
        self.running.push(Running { name, stop, task });
    }

    /// How many roles were started and not stopped.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Stops the role that was started last and waits for it; false when there is none.
    pub async fn stop_last(&mut self) -> bool {
        let Some(Running { name, stop, task }) = self.running.pop() else { return false };
        stop.cancel();
        if tokio::time::timeout(STOP_LIMIT, task).await.is_err() {
            tracing::error!(role = name, "did not stop within {} s and is left behind", STOP_LIMIT.as_secs());
        }
        true
    }

    /// Stops all roles, the last started first, and waits for each.
    pub async fn stop(mut self) {
        while self.stop_last().await {}
    }
}

async fn supervise(platform: Platform, role: Role, stop: CancellationToken, gate: crate::Gate) {
    let name = role.name;
    let restarts = metrics::counter("purlin_role_restarts_total", "Restarts of a role that failed.", &[("role", name)]);
    let mut backoff = FIRST_BACKOFF;
    loop {
        let (shutdown, tasks) = (stop.child_token(), Tasks::default());
        let client = platform.api.client(name);
        let ctx = Context {
            role: name,
            platform: platform.clone(),
            client,
            shutdown: shutdown.clone(),
            tasks: tasks.clone(),
        };
        gate.open();
        let started = tokio::time::Instant::now();
        let mut run = AssertUnwindSafe((role.run)(ctx)).catch_unwind();
        let ended = tokio::select! {
            ended = &mut run => ended,
            () = tasks.failed() => {
                shutdown.cancel();
                run.await.and(Ok(Err(anyhow::anyhow!("one of its tasks panicked"))))
            }
        };
        gate.shut();
        shutdown.cancel();
        tasks.finish().await;
        if stop.is_cancelled() {
            return;
        }
        match ended {
            Ok(Ok(())) => tracing::error!(role = name, "the role ended of itself and is started again"),
            Ok(Err(error)) => {
                tracing::error!(role = name, error = format!("{error:#}"), "the role failed and is started again")
            }
            Err(_) => tracing::error!(role = name, "the role panicked and is started again"),
        }
        restarts.inc();
        if started.elapsed() > LAST_BACKOFF {
            backoff = FIRST_BACKOFF;
        }
        if stop.run_until_cancelled(tokio::time::sleep(backoff)).await.is_none() {
            return;
        }
        backoff = (backoff * 2).min(LAST_BACKOFF);
    }
}

#[cfg(test)]
mod tests;
