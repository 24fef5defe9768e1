//! The one reader of the flow that all clients share. It runs only while there are clients.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::{Semaphore, watch};

use super::frame;
use super::ring::{Found, Ring};
use crate::flow::read::{FlowTail, Next};
use crate::model::Position;
use crate::util::{Clock, Shutdown};

/// Bytes of frames kept for clients that are a little behind.
const RING_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of frames in one chunk, about; the last record may go over it.
pub(super) const CHUNK_BYTES: usize = 128 * 1024;

/// Time between two looks at a quiet flow.
const QUIET: Duration = Duration::from_millis(50);

/// Time until the next look after something came: more of it goes into one write.
const LIVELY: Duration = Duration::from_millis(4);

/// Time until the next look after the flow could not be read.
const FAILED: Duration = Duration::from_secs(1);

/// Clients that read a file at one time.
const FILE_READERS: usize = 4;

/// What the clients share. Clones are the same hub.
#[derive(Debug, Clone)]
pub struct Hub {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    clock: Clock,
    shutdown: Shutdown,
    most: usize,
    state: Mutex<State>,
    /// Ends the reader's pause when the last client leaves.
    left: Condvar,
    /// Counts what was added to the ring.
    news: watch::Sender<u64>,
    readers: Semaphore,
}

#[derive(Debug)]
struct State {
    clients: usize,
    /// There while the reader runs.
    ring: Option<Ring>,
}

impl Hub {
    /// A hub for the flow in `dir` with at most `most` clients.
    pub fn new(dir: PathBuf, clock: Clock, shutdown: Shutdown, most: usize) -> Self {
        let shared = Shared {
            dir,
            clock,
            shutdown,
            most,
            state: Mutex::new(State { clients: 0, ring: None }),
            left: Condvar::new(),
            news: watch::Sender::new(0),
            readers: Semaphore::new(FILE_READERS),
        };
        Self { shared: Arc::new(shared) }
    }

    /// A place for a client; `None` when all are taken. Starts the reader for the first. May block.
    pub fn join(&self) -> std::io::Result<Option<Seat>> {
        let now = FlowTail::now(&self.shared.dir, &self.shared.clock)?;
        let mut state = self.shared.locked();
        if state.clients >= self.shared.most {
            return Ok(None);
        }
        state.clients += 1;
        let gaps = state.ring.as_ref().map_or(0, Ring::gaps);
        if state.ring.is_none() {
            state.ring = Some(Ring::new(now, RING_BYTES));
            let shared = Arc::clone(&self.shared);
            // Ends with the last client or with the daemon.
            drop(self.shared.shutdown.spawn_blocking(move || shared.follow(now)));
        }
        let news = self.shared.news.subscribe();
        Ok(Some(Seat { hub: self.clone(), now, gaps, news }))
    }
}

impl Shared {
    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The reader: looks, hands on, pauses, until there are no clients or the daemon stops.
    fn follow(&self, from: Position) {
        let mut tail = FlowTail::new(&self.dir, self.clock.clone(), from);
        let mut pause = Duration::ZERO;
        loop {
            let mut state = self.locked();
            if !pause.is_zero() && state.clients > 0 {
                let waited = self.left.wait_timeout(state, pause);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            if state.clients == 0 || self.shutdown.is_stopping() {
                state.ring = None;
                return;
            }
            drop(state);
            pause = self.look(&mut tail, pause);
        }
    }

    /// Adds one chunk, if something came; returns how long to pause.
    fn look(&self, tail: &mut FlowTail, last_pause: Duration) -> Duration {
        let mut frames = Vec::new();
        let mut gap = None;
        let pause = loop {
            match tail.poll() {
                Ok(Next::Record(record)) => frame::record(&mut frames, record),
                Ok(Next::Gap(found)) => {
                    gap = Some(found);
                    break Duration::ZERO;
                }
                Ok(Next::CaughtUp) if frames.is_empty() => break (last_pause * 2).clamp(LIVELY, QUIET),
                Ok(Next::CaughtUp) => break LIVELY,
                Err(error) => {
                    if last_pause != FAILED {
                        tracing::warn!(%error, "the flow can't be read; trying again every second");
                    }
                    break FAILED;
                }
            }
            if frames.len() >= CHUNK_BYTES {
                break Duration::ZERO;
            }
        };
        if let Some(ring) = self.locked().ring.as_mut() {
            if !frames.is_empty() {
                frames.shrink_to_fit();
                ring.push(
                    Bytes::from(std::mem::take(&mut frames)),
                    gap.map_or(tail.position(), |gap| gap.asked),
                );
            } else if gap.is_none() {
                return pause;
            }
            if let Some(gap) = gap {
                ring.gap(gap);
            }
        }
        self.news.send_modify(|count| *count += 1);
        pause
    }
}

/// A client's place.
#[derive(Debug)]
pub struct Seat {
    hub: Hub,
    /// The end of the flow when the client came.
    pub now: Position,
    gaps: u64,
    news: watch::Receiver<u64>,
}

impl Seat {
    /// What there is for this client at `at`. A gap is told once.
    pub(super) fn look(&mut self, at: Position) -> Found {
        self.news.mark_unchanged();
        let state = self.hub.shared.locked();
        // Without a ring the reader has ended, because the daemon stops.
        let Some(ring) = &state.ring else { return Found::Nothing };
        let found = ring.after(at, self.gaps);
        if matches!(found, Found::Gap(_)) {
            self.gaps = ring.gaps();
        }
        found
    }

    /// Resolves when there may be something new.
    pub(super) async fn news(&mut self) {
        // The sender lives in the hub, which this holds.
        let _ = self.news.changed().await;
    }

    /// Frames read from the files from `at` on, up to about a chunk or up to `until`, and where that ended.
    pub(super) async fn read(&self, at: Position, until: Position) -> std::io::Result<(Vec<u8>, Position)> {
        let shared = Arc::clone(&self.hub.shared);
        let Ok(_permit) = self.hub.shared.readers.acquire().await else { return Ok((Vec::new(), at)) };
        let read = self.hub.shared.shutdown.spawn_blocking(move || {
            let mut tail = FlowTail::new(&shared.dir, shared.clock.clone(), at);
            let mut frames = Vec::new();
            while tail.position() < until && frames.len() < CHUNK_BYTES {
                match tail.poll()? {
                    Next::Record(record) => frame::record(&mut frames, record),
                    Next::Gap(gap) => frame::gap(&mut frames, gap),
                    Next::CaughtUp => break,
                }
            }
            Ok((frames, tail.position()))
        });
        read.await.map_err(std::io::Error::other)?
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.hub.shared.locked();
        state.clients -= 1;
        if state.clients == 0 {
            self.hub.shared.left.notify_all();
        }
    }
}
