//! Bodies made of pieces: each is made on the blocking pool while the one before is being sent.
//!
//! What a file's cache holds is read where it is sent, without the pool: handing a piece over costs more than
//! copying it, and the socket finds it in the processor's cache. A slow client holds two pieces and no thread. The
//! pieces of files lie in a few buffers that are used again, because fresh memory for each costs more than the
//! reading.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, Bytes};
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use super::auth::Caller;
use crate::util::Shutdown;

/// Makes the pieces of a body. Runs where it may block.
pub trait Pieces: Send + 'static {
    /// The next piece; `None` after the last. An error ends the body early, which the client can tell.
    fn piece(&mut self) -> io::Result<Option<Bytes>>;

    /// As [`Pieces::piece`], where it may not block; `None` when it would have to.
    fn at_hand(&mut self) -> Option<io::Result<Option<Bytes>>> {
        None
    }
}

/// The next piece.
enum Ahead<P> {
    /// Not begun.
    Idle(P),
    /// Being made.
    Making(JoinHandle<(P, io::Result<Option<Bytes>>)>),
}

fn make<P: Pieces>(shutdown: &Shutdown, mut pieces: P) -> JoinHandle<(P, io::Result<Option<Bytes>>)> {
    shutdown.spawn_blocking(move || {
        let made = pieces.piece();
        (pieces, made)
    })
}

impl<P: Pieces> Ahead<P> {
    /// The piece, and the next; the latter is begun already where this one had to wait for the disk.
    async fn take(self, shutdown: &Shutdown) -> (io::Result<Option<Bytes>>, Option<Self>) {
        let making = match self {
            Self::Making(making) => making,
            Self::Idle(mut pieces) => {
                if let Some(made) = pieces.at_hand() {
                    return (made, Some(Self::Idle(pieces)));
                }
                // The head, or what there is of the body, goes out before a thread competes with it.
                tokio::task::yield_now().await;
                make(shutdown, pieces)
            }
        };
        match making.await {
            Ok((pieces, Ok(Some(piece)))) => (Ok(Some(piece)), Some(Self::Making(make(shutdown, pieces)))),
            Ok((_, made)) => (made, None),
            Err(error) => (Err(io::Error::other(error)), None),
        }
    }
}

/// A body of these pieces; `first` goes out before anything is made. It is broken off when its reader's token is not valid
/// any more.
pub fn body<P: Pieces>(shutdown: &Shutdown, reader: &Caller, first: Option<Bytes>, pieces: P) -> Body {
    let ahead = Ahead::Idle(pieces);
    let begin = (first, Some(ahead), shutdown.clone(), Box::pin(reader.revoked()));
    Body::from_stream(stream::unfold(begin, async |(first, ahead, shutdown, mut revoked)| {
        if let Some(first) = first {
            return Some((Ok(first), (None, ahead, shutdown, revoked)));
        }
        let taken = tokio::select! {
            biased;
            () = &mut revoked => (Err(io::Error::other("the token is not valid any more")), None),
            taken = ahead?.take(&shutdown) => taken,
        };
        match taken {
            (Ok(Some(piece)), ahead) => Some((Ok(piece), (None, ahead, shutdown, revoked))),
            (Ok(None), _) => None,
            (Err(error), _) => {
                tracing::warn!(%error, "an answer was cut short");
                Some((Err(error), (None, None, shutdown, revoked)))
            }
        }
    }))
}

/// Bytes of the first piece of a file, where it is at hand.
const FIRST_BYTES: usize = 16 * 1024;

/// The bytes of a file between two offsets.
pub struct FilePieces {
    file: File,
    at: u64,
    end: u64,
    buffers: Buffers,
    begun: bool,
    _permit: OwnedSemaphorePermit,
}

impl FilePieces {
    /// Reads `piece_bytes` at a time and gives the permit back at the end.
    pub fn new(file: File, start: u64, end: u64, piece_bytes: usize, permit: OwnedSemaphorePermit) -> Self {
        let buffers = Buffers { free: Arc::default(), size: piece_bytes };
        Self { file, at: start, end, buffers, begun: false, _permit: permit }
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

    #[cfg(target_os = "linux")]
    fn at_hand(&mut self) -> Option<io::Result<Option<Bytes>>> {
        use rustix::io::{ReadWriteFlags, preadv2};
        if self.at >= self.end {
            return Some(Ok(None));
        }
        let mut buffer = self.buffers.take();
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        // The head goes out with the first piece and should not wait for much.
        let most = left.min(buffer.bytes.len()).min(if self.begun { usize::MAX } else { FIRST_BYTES });
        self.begun = true;
        let mut into = [io::IoSliceMut::new(&mut buffer.bytes[..most])];
        // An error is a page on the disk, or a file system that can't tell; `piece` does without.
        buffer.used = preadv2(&self.file, &mut into, self.at, ReadWriteFlags::NOWAIT).unwrap_or(0);
        if buffer.used == 0 {
            return None;
        }
        self.at += buffer.used as u64;
        Some(Ok(Some(Bytes::from_owner(buffer))))
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
