//! What a role spawns: tasks that the supervisor waits for, and whose panic ends the role as one of its own would.

use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The tasks of one run of a role; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    running: TaskTracker,
    failed: CancellationToken,
}

impl Tasks {
    /// Runs `task` beside the role; it has to end soon after the role's shutdown.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let failed = self.failed.clone();
        self.running.spawn(async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                failed.cancel();
            }
        });
    }

    /// Returns once a task has panicked.
    pub(crate) async fn failed(&self) {
        self.failed.cancelled().await;
    }

    /// Waits for all tasks; none can be added that it would not wait for.
    pub(crate) async fn finish(&self) {
        self.running.close();
        self.running.wait().await;
    }
}
