//! Blocking work that may hang, and keeps no more than one thread while it does.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;

/// One question that only a thread can answer. While a thread is at it, no other is started.
#[derive(Debug)]
pub struct OneThread<T>(Option<JoinHandle<T>>);

impl<T> Default for OneThread<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Send + 'static> OneThread<T> {
    /// The answer, if it comes within `patience`. One that came late is that of the next call.
    pub async fn ask(&mut self, patience: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let asked = self.0.get_or_insert_with(|| tokio::task::spawn_blocking(work));
        let answer = timeout(patience, asked).await.ok()?;
        self.0 = None;
        answer.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn what_hangs_keeps_one_thread_and_is_answered_later() {
        let (go, wait) = mpsc::channel::<()>();
        let mut question = OneThread::default();
        let soon = Duration::from_millis(10);
        assert_eq!(question.ask(soon, move || wait.recv().is_err()).await, None);
        let second = || panic!("another thread was started");
        assert_eq!(question.ask(soon, second).await, None);
        drop(go);
        assert_eq!(question.ask(Duration::from_secs(10), second).await, Some(true));
        assert_eq!(question.ask(Duration::from_secs(10), || false).await, Some(false));
    }
}
