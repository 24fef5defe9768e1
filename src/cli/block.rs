//! From a verb, which waits, to what does not.

use super::exit::{Exit, Failure, FailureContext};

/// Runs asynchronous work of a short-lived command: one thread, and nothing that waits keeps the process.
pub fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().or_exit(Exit::Internal)?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_background();
    outcome
}
