//! Answers without an end, written by hand.
//!
//! The HTTP library reads the request; the handler answers with [`answer`]; then the connection leaves the library
//! with its buffers, and the handler's own code writes to the socket for as long as it likes. The answer is ended
//! by the end of the connection.
//!
//! Invariants: what a client sends meanwhile is thrown away, and its end ends the answer; a client that takes no
//! byte for the stall limit is let go; the connection keeps its place in the list and counts as busy.
//!
//! Not here: what is written (`stream`), and how a connection comes to be (`accept`).

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::fmt::rfc2822::DateTimePrinter;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;

use super::Limits;
use super::connections::Busy;
use crate::util::Clock;

/// Pieces of one write.
const PIECES: usize = 16;

/// Bytes of what a client sends that are read at a time.
const HEARD: usize = 512;

type Writing = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;
type Write = Box<dyn FnOnce(Outlet) -> Writing + Send>;

/// The part of a response that says who writes its body.
#[derive(Clone)]
struct Order(Arc<Mutex<Option<Write>>>);

/// A response with this head, whose body `write` writes.
pub fn answer<F>(head: impl IntoResponse, write: impl FnOnce(Outlet) -> F + Send + 'static) -> Response
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let mut response = head.into_response();
    let write: Write = Box::new(move |outlet| Box::pin(write(outlet)));
    response.extensions_mut().insert(Order(Arc::new(Mutex::new(Some(write)))));
    response
}

/// An answer that is written by hand.
pub struct Taken {
    head: Bytes,
    write: Write,
    _busy: Busy,
}

impl Taken {
    /// The answer that a response asks for; `Err` gives back one that is to be sent as it is.
    pub fn of<B>(mut response: Response<B>, busy: Busy, clock: &Clock) -> Result<Self, (Response<B>, Busy)> {
        let order = response.extensions_mut().remove::<Order>();
        let write = order.and_then(|order| order.0.lock().unwrap_or_else(PoisonError::into_inner).take());
        let Some(write) = write else { return Err((response, busy)) };
        Ok(Self { head: head(response.status(), response.headers(), clock), write, _busy: busy })
    }

    /// Writes it all.
    pub async fn run(self, socket: Socket, limits: Limits) -> io::Result<()> {
        let mut outlet = Outlet { socket: Arc::new(socket), unsent: VecDeque::new(), limits };
        let ears = Ears { socket: outlet.socket(), left: limits.head_bytes };
        outlet.queue(self.head);
        let writing = (self.write)(outlet);
        tokio::select! {
            biased;
            left = ears.end() => left,
            written = writing => written,
        }
    }
}

impl fmt::Debug for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Taken").field("head", &self.head).finish_non_exhaustive()
    }
}

/// Status and headers as they are sent: without a length, so that the end of the connection is the body's.
fn head(status: StatusCode, headers: &HeaderMap, clock: &Clock) -> Bytes {
    let mut out = format!("HTTP/1.1 {} {}\r\n", status.as_str(), status.canonical_reason().unwrap_or(""));
    let of_connection: [HeaderName; 3] =
        [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION];
    for (name, value) in headers {
        // Ours are all text.
        if let (false, Ok(value)) = (of_connection.contains(name), value.to_str()) {
            let _ = write!(out, "{name}: {value}\r\n");
        }
    }
    if let Ok(date) = DateTimePrinter::new().timestamp_to_rfc9110_string(&clock.now()) {
        let _ = write!(out, "date: {date}\r\n");
    }
    out.push_str("connection: close\r\n\r\n");
    out.into()
}

/// A connection of either kind.
#[derive(Debug)]
pub enum Socket {
    /// Over the network.
    Tcp(TcpStream),
    /// Of this user.
    Unix(UnixStream),
}

impl From<TcpStream> for Socket {
    fn from(socket: TcpStream) -> Self {
        Self::Tcp(socket)
    }
}

impl From<UnixStream> for Socket {
    fn from(socket: UnixStream) -> Self {
        Self::Unix(socket)
    }
}

impl Socket {
    /// Writes what there is room for now.
    pub fn try_write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match (self, pieces) {
            (Self::Tcp(socket), [piece]) => socket.try_write(piece),
            (Self::Tcp(socket), pieces) => socket.try_write_vectored(pieces),
            (Self::Unix(socket), pieces) => socket.try_write_vectored(pieces),
        }
    }

    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.try_read(buffer),
            Self::Unix(socket) => socket.try_read(buffer),
        }
    }

    async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.readable().await,
            Self::Unix(socket) => socket.readable().await,
        }
    }

    async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.writable().await,
            Self::Unix(socket) => socket.writable().await,
        }
    }
}

/// The way to one client.
#[derive(Debug)]
pub struct Outlet {
    socket: Arc<Socket>,
    unsent: VecDeque<Bytes>,
    limits: Limits,
}

impl Outlet {
    /// Adds what the next [`flush`](Self::flush) sends.
    pub fn queue(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.unsent.push_back(bytes);
        }
    }

    /// Sends all that was queued, at the client's pace. Dropped in the middle, it can be called again.
    pub async fn flush(&mut self) -> io::Result<()> {
        let mut stalled: Option<Instant> = None;
        while !self.unsent.is_empty() {
            match self.write() {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    advance(&mut self.unsent, written);
                    stalled = None;
                    tokio::task::consume_budget().await;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let since = *stalled.get_or_insert_with(Instant::now);
                    let waited =
                        tokio::time::timeout_at(since + self.limits.write_stall, self.socket.writable());
                    let deaf = |_| io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing");
                    waited.await.map_err(deaf)??;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The socket, for who writes to it instead while nothing is queued here.
    pub fn socket(&self) -> Arc<Socket> {
        Arc::clone(&self.socket)
    }

    fn write(&self) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); PIECES];
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(&self.unsent) {
            *slice = IoSlice::new(piece);
            count += 1;
        }
        self.socket.try_write(&slices[..count])
    }
}

/// Forgets the first `written` bytes.
pub fn advance(pieces: &mut VecDeque<Bytes>, mut written: usize) {
    while let Some(first) = pieces.front_mut() {
        if written < first.len() {
            drop(first.split_to(written));
            return;
        }
        written -= first.len();
        pieces.pop_front();
    }
}

/// What the client still sends.
struct Ears {
    socket: Arc<Socket>,
    /// How much of it is put up with.
    left: usize,
}

impl Ears {
    /// Resolves when the client has ended its side.
    async fn end(mut self) -> io::Result<()> {
        loop {
            self.socket.readable().await?;
            let mut buffer = [0; HEARD];
            match self.socket.try_read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) if count > self.left => {
                    let message = "the client sends more than a request";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, message));
                }
                Ok(count) => self.left -= count,
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(error) => return Err(error),
            }
        }
    }
}
