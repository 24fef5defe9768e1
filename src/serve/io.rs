//! A socket with the time limits that the HTTP library does not give: for a request's head, for a connection
//! without a request, and for a client that stops taking its answer.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::Limits;
use super::connections::{Phase, Slot};

/// The socket of one connection.
#[derive(Debug)]
pub struct TimedSocket<S> {
    socket: S,
    slot: Arc<Slot>,
    limits: Limits,
    read_timer: Option<Pin<Box<Sleep>>>,
    write_timer: Option<Pin<Box<Sleep>>>,
    /// Since when the client takes nothing.
    stalled: Option<Instant>,
}

impl<S> TimedSocket<S> {
    /// Watches `socket` under these limits.
    pub fn new(socket: S, slot: Arc<Slot>, limits: Limits) -> Self {
        Self { socket, slot, limits, read_timer: None, write_timer: None, stalled: None }
    }

    /// The socket without the limits.
    pub fn into_socket(self) -> S {
        self.socket
    }

    fn poll_read_limit(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let deadline = match self.slot.phase() {
            Phase::Idle(since) => since + self.limits.idle_time,
            Phase::Head(since) => since + self.limits.head_time,
            Phase::Busy => return Poll::Pending,
        };
        ready!(poll_deadline(&mut self.read_timer, deadline, cx));
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "no request came in time"))
    }

    fn written(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.slot.set_unsent(result.is_pending());
        if result.is_ready() {
            self.stalled = None;
            return result;
        }
        let deadline = *self.stalled.get_or_insert_with(Instant::now) + self.limits.write_stall;
        ready!(poll_deadline(&mut self.write_timer, deadline, cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
    }
}

fn poll_deadline(timer: &mut Option<Pin<Box<Sleep>>>, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
    let deadline = deadline.into();
    let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
    if timer.deadline() != deadline {
        timer.as_mut().reset(deadline);
    }
    timer.as_mut().poll(cx)
}

impl<S: AsyncRead + Unpin> AsyncRead for TimedSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.socket).poll_read(cx, buffer) {
            Poll::Ready(result) => {
                if buffer.filled().len() > before {
                    self.slot.head_begins();
                }
                Poll::Ready(result)
            }
            Poll::Pending => self.poll_read_limit(cx).map(Err),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimedSocket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.written(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.written(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
