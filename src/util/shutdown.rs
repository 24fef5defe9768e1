//! One way to stop: a token that everything watches and a tracker that everything is spawned on.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;

/// Hands out the stop signal and knows the tasks that have to end. Clones share both.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
    tasks: TaskTracker,
}

impl Shutdown {
    /// Nothing runs, nothing is stopped.
    pub fn new() -> Self {
        Self::default()
    }

    /// Spawns a task that `finish` waits for. It must watch `stopped` itself.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.spawn(task)
    }

    /// Spawns blocking work that `finish` waits for.
    pub fn spawn_blocking<F, T>(&self, work: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.tasks.spawn_blocking(work)
    }

    /// Tells everything to stop.
    pub fn stop(&self) {
        self.token.cancel();
    }

    /// Whether `stop` was called.
    pub fn is_stopping(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Resolves when `stop` is called.
    pub fn stopped(&self) -> WaitForCancellationFutureOwned {
        self.token.clone().cancelled_owned()
    }

    /// Waits for `pause`; `false` when `stop` is called before.
    pub async fn rest(&self, pause: Duration) -> bool {
        self.token.run_until_cancelled(tokio::time::sleep(pause)).await.is_some()
    }

    /// Stops and waits for the tasks; `false` when some still ran after `grace`.
    pub async fn finish(&self, grace: Duration) -> bool {
        self.stop();
        self.tasks.close();
        tokio::time::timeout(grace, self.tasks.wait()).await.is_ok()
    }
}
