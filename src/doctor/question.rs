//! Asking over the network from a check's thread.

use std::future::Future;
use std::time::Duration;

/// Waits for the answer, at most this long. An error is why there is none, in words.
pub fn question<T>(patience: Duration, answer: impl Future<Output = T>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    runtime
        .block_on(async { tokio::time::timeout(patience, answer).await })
        .map_err(|_| format!("no answer within {} s", patience.as_secs_f32()))
}
