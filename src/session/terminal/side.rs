//! The session as a terminal's socket sees it: within its host, or over a connection with it.

use std::io;

use crate::session::{Event, Events, Input};
use crate::wire::WindowSize;

/// What a session shows.
pub trait Source: Send {
    /// The next event; `None` when the session went away without saying its end. Can be dropped while it waits.
    fn next(&mut self) -> impl Future<Output = io::Result<Option<Event>>> + Send;
}

/// Where a session takes keys and sizes. They wait until [`flush`](Self::flush).
pub trait Keys: Send {
    /// Types `bytes`.
    fn send(&mut self, bytes: &[u8]);

    /// Changes the terminal's size, and takes the decision about it over.
    fn resize(&mut self, size: WindowSize);

    /// Says how large this client is.
    fn state_size(&mut self, size: WindowSize);

    /// Bytes that wait, with what each key costs beside them.
    fn waiting(&self) -> usize;

    /// Hands over what waits. Can be dropped while it waits, and called again.
    fn flush(&mut self) -> impl Future<Output = io::Result<()>> + Send;
}

impl Source for Events {
    async fn next(&mut self) -> io::Result<Option<Event>> {
        Self::next(self).await
    }
}

impl Keys for Input {
    fn send(&mut self, bytes: &[u8]) {
        Self::send(self, bytes);
    }

    fn resize(&mut self, size: WindowSize) {
        Self::resize(self, size);
    }

    fn state_size(&mut self, size: WindowSize) {
        Self::state_size(self, size);
    }

    fn waiting(&self) -> usize {
        Self::waiting(self)
    }

    async fn flush(&mut self) -> io::Result<()> {
        Self::flush(self).await
    }
}
