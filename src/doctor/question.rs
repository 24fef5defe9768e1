//! Asking over the network from a check's thread.

use std::future::Future;
use std::time::Duration;

/// Waits for the answer, at most this long. An error is why there is none, in words.
pub fn question<T>(patience: Duration, answer: impl Future<Output = T>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    let answer = runtime.block_on(async { tokio::time::timeout(patience, answer).await });
    // A name that is still being looked up is not waited for.
    runtime.shutdown_background();
    answer.map_err(|_| format!("no answer within {} s", patience.as_secs_f32()))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn what_hangs_in_a_thread_is_not_waited_for() {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let began = Instant::now();
        // As a name that is being looked up.
        let hangs = tokio::task::spawn_blocking;
        let answer = question(Duration::from_millis(50), async move { hangs(move || held.recv()).await });
        assert!(answer.unwrap_err().contains("no answer within"));
        assert!(began.elapsed() < Duration::from_secs(20));
        drop(release);
    }
}
