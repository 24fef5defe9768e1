//! Small tools that any layer may use and that know nothing of darkmux: the clock, shutdown, secrets, the
//! byte ring, and the one sanitiser for text from others.

mod backoff;
mod blocking;
mod body;
mod boottime;
pub mod clock;
pub mod human;
mod jitter;
mod ring;
mod sanitize;
mod secret;
mod shutdown;
mod sleep;
mod suggest;
mod tick;

pub use backoff::Backoff;
pub use blocking::OneThread;
pub use body::{BodyError, body_start, read_body};
pub use boottime::BootTime;
pub use clock::Clock;
pub use jitter::jitter;
pub use ring::ByteRing;
pub use sanitize::{visible, visible_line};
pub use secret::Secret;
pub use shutdown::Shutdown;
pub use sleep::SleepWatch;
pub use suggest::closest;
pub use tick::tick;

/// Waits for a moment; for ever where there is none.
pub async fn reached(moment: Option<tokio::time::Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// The innermost reason of an error: what the layers above it say is where, not why.
pub fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}
