//! Bodies made of pieces: each is made on the blocking pool while the one before is being sent.
//!
//! A slow client holds two pieces and no thread. The pieces of files lie in a few buffers that are used again,
//! because fresh memory for each costs more than the reading.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, Bytes};
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use crate::util::Shutdown;

/// Makes the pieces of a body. Runs where it may block.
pub trait Pieces: Send + 'static {
    /// The next piece; `None` after the last. An error ends the body early, which the client can tell.
    fn piece(&mut self) -> io::Result<Option<Bytes>>;
}

type Made<P> = JoinHandle<(P, io::Result<Option<Bytes>>)>;

fn make<P: Pieces>(shutdown: &Shutdown, mut pieces: P) -> Made<P> {
    shutdown.spawn_blocking(move || {
        let made = pieces.piece();
        (pieces, made)
    })
}

/// A body of these pieces; `first` goes out before anything is made.
pub fn body<P: Pieces>(shutdown: &Shutdown, first: Option<Bytes>, pieces: P) -> Body {
    let ahead = make(shutdown, pieces);
    let begin = (first, Some(ahead), shutdown.clone());
    Body::from_stream(stream::unfold(begin, async |(first, ahead, shutdown)| {
        if let Some(first) = first {
            return Some((Ok(first), (None, ahead, shutdown)));
        }
        match ahead?.await {
            Ok((pieces, Ok(Some(piece)))) => {
                let ahead = make(&shutdown, pieces);
                Some((Ok(piece), (None, Some(ahead), shutdown)))
            }
            Ok((_, Ok(None))) => None,
            Ok((_, Err(error))) => {
                tracing::warn!(%error, "an answer was cut short");
                Some((Err(error), (None, None, shutdown)))
            }
            Err(error) => Some((Err(io::Error::other(error)), (None, None, shutdown))),
        }
    }))
}

/// The bytes of a file between two offsets.
pub struct FilePieces {
    file: File,
    at: u64,
    end: u64,
    buffers: Buffers,
    _permit: OwnedSemaphorePermit,
}

impl FilePieces {
    /// Reads `piece_bytes` at a time and gives the permit back at the end.
    pub fn new(file: File, start: u64, end: u64, piece_bytes: usize, permit: OwnedSemaphorePermit) -> Self {
        let buffers = Buffers { free: Arc::default(), size: piece_bytes };
        Self { file, at: start, end, buffers, _permit: permit }
    }
}

impl Pieces for FilePieces {
    fn piece(&mut self) -> io::Result<Option<Bytes>> {
        if self.at >= self.end {
            return Ok(None);
        }
        let mut buffer = self.buffers.take();
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        buffer.used = left.min(buffer.bytes.len());
        let used = buffer.used;
        // A file that became shorter can't give what was announced; the connection is closed.
        self.file.read_exact_at(&mut buffer.bytes[..used], self.at)?;
        self.at += used as u64;
        Ok(Some(Bytes::from_owner(buffer)))
    }
}

struct Buffers {
    free: Arc<Mutex<Vec<Vec<u8>>>>,
    size: usize,
}

impl Buffers {
    fn take(&self) -> Buffer {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Buffer { bytes: free.unwrap_or_else(|| vec![0; self.size]), used: 0, home: Arc::clone(&self.free) }
    }
}

/// A buffer that goes back to its home when the last byte of it is sent.
struct Buffer {
    bytes: Vec<u8>,
    used: usize,
    home: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.used]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.home.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
    }
}
