//! What a session puts out: the newest bytes in memory, more of them on disk, and the readers that follow.
//!
//! Invariant: a reader gets every byte from its offset on that is still held, in order, and is told of what
//! is not. A reader that holds (the caller who waits for the job) slows the terminal down like a pipe would
//! rather than miss something, but only while it moves.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::files;
use super::log::{LogReader, LogWriter};
use crate::util::ByteRing;
use crate::wire::OutputRange;

/// Bytes handed to a reader at a time.
const CHUNK: usize = 64 * 1024;

/// Output that is shown before it is on disk, in bytes; less than any scrollback, so that a reader finds it in
/// memory until then.
const QUICK: usize = 1024;

/// How far a holding reader may lag behind before the terminal is read no further, in bytes.
const HOLD_LAG: u64 = 4 * 1024 * 1024;

/// How far the model of the screen may lag behind before the terminal is read no further, in bytes.
const SCREEN_LAG: u64 = 16 * 1024 * 1024;

/// How long a holding reader may stand still before it no longer holds.
const HOLD_PATIENCE: Duration = Duration::from_secs(10);

/// The output of one session.
#[derive(Debug)]
pub struct Output {
    held: Mutex<Held>,
    progress: watch::Sender<Progress>,
    holds: Mutex<Vec<Weak<Hold>>>,
    moved: Notify,
    ended: AtomicBool,
    dir: std::path::PathBuf,
    hold_lag: u64,
    scrollback: u64,
    screen_lag: u64,
    /// Where the model of the screen is.
    screen_at: AtomicU64,
}

#[derive(Debug)]
struct Held {
    ring: ByteRing,
    log: LogWriter,
    /// Offset after the newest byte that was given to the disk.
    kept: u64,
    log_error: Option<String>,
}

/// How far the output has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Progress {
    end: u64,
    closed: bool,
}

/// Where a holding reader is.
#[derive(Debug)]
struct Hold {
    at: Mutex<Place>,
}

/// A place in the output.
#[derive(Debug)]
struct Place {
    offset: u64,
    /// When it was reached, or when it came to lag too far behind, whichever is later.
    since: Instant,
    lags: bool,
}

/// What a reader gets next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk {
    /// Bytes of the terminal.
    Bytes(Bytes),
    /// The bytes between these offsets are no longer held.
    Gap(u64, u64),
    /// Nothing will follow.
    End,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Output {
    /// No output yet in this run; keeps `scrollback` bytes in memory and `log_bytes` in the session's folder. Where
    /// earlier runs left output, it goes on after that, or at `from` where their disk lost some.
    pub fn create(folder: &Path, scrollback: usize, log_bytes: u64, from: u64) -> io::Result<Self> {
        let dir = folder.join(files::OUTPUT);
        let log = LogWriter::new(dir.clone(), log_bytes);
        let end = LogReader::new(dir.clone()).range()?.1.max(from);
        let ring = ByteRing::starting_at(end, scrollback);
        Ok(Self {
            held: Mutex::new(Held { ring, log, kept: end, log_error: None }),
            progress: watch::Sender::new(Progress { end, closed: false }),
            holds: Mutex::new(Vec::new()),
            moved: Notify::new(),
            ended: AtomicBool::new(false),
            dir,
            hold_lag: HOLD_LAG.min(log_bytes / 2),
            scrollback: scrollback as u64,
            screen_lag: SCREEN_LAG.min(log_bytes / 2),
            screen_at: AtomicU64::new(u64::MAX),
        })
    }

    /// Offset after the newest byte.
    pub fn end(&self) -> u64 {
        self.progress.borrow().end
    }

    /// Resolves when there is more than `seen` bytes, or nothing will follow; `false` then.
    pub async fn grown(&self, seen: u64) -> bool {
        let mut progress = self.progress.subscribe();
        // The sender is ours.
        let now = progress.wait_for(|progress| progress.closed || progress.end > seen).await;
        now.is_ok_and(|now| now.end > seen)
    }

    /// Resolves when nothing will follow.
    pub async fn closed(&self) {
        let mut progress = self.progress.subscribe();
        let _ = progress.wait_for(|progress| progress.closed).await;
    }

    /// The model of the screen has taken in the output up to `offset`. From the first call on the terminal is read no
    /// further ahead of it than it can find again.
    pub fn screen_is_at(&self, offset: u64) {
        self.screen_at.store(offset, Ordering::Release);
        self.moved.notify_one();
    }

    /// How far the model of the screen may lag behind, in bytes.
    pub fn screen_lag_max(&self) -> u64 {
        // What the disk refuses is in memory alone.
        if lock(&self.held).log_error.is_some() { self.scrollback / 2 } else { self.screen_lag }
    }

    fn screen_lags(&self) -> bool {
        let lag = self.end().saturating_sub(self.screen_at.load(Ordering::Acquire));
        // Cheap while it is near; the bound takes a lock.
        lag > self.scrollback / 2 && lag > self.screen_lag_max()
    }

    /// Appends what the terminal showed. One at a time; the end of one is waited for.
    pub async fn push(&self, bytes: &[u8]) {
        if bytes.len() > QUICK {
            self.keep(bytes);
            self.show(bytes);
            return;
        }
        // An echo of a key: whoever typed it sees it before the disk does.
        self.show(bytes);
        tokio::task::yield_now().await;
        self.keep(bytes);
    }

    /// Hands the bytes to the readers.
    fn show(&self, bytes: &[u8]) {
        let mut held = lock(&self.held);
        held.ring.push(bytes);
        let end = held.ring.end();
        drop(held);
        self.progress.send_modify(|progress| progress.end = end);
    }

    /// Writes the bytes to the disk. A disk that does not take them costs its copy, not the session.
    fn keep(&self, bytes: &[u8]) {
        let mut held = lock(&self.held);
        let at = held.kept;
        held.kept += bytes.len() as u64;
        if let Err(error) = held.log.append(at, bytes) {
            if held.log_error.is_none() {
                tracing::warn!(%error, "the output is no longer kept on disk");
            }
            held.log_error = Some(error.to_string());
        }
    }

    /// Says that nothing will follow.
    pub fn close(&self) {
        self.progress.send_modify(|progress| progress.closed = true);
    }

    /// What is held.
    pub fn range(&self) -> OutputRange {
        let held = lock(&self.held);
        let in_memory = held.ring.start();
        let on_disk = LogReader::new(self.dir.clone()).range().ok().filter(|(start, end)| start < end);
        let start = on_disk.map_or(in_memory, |(start, _)| start.min(in_memory));
        OutputRange { start, end: held.ring.end() }
    }

    /// Why the disk last refused output.
    pub fn log_error(&self) -> Option<String> {
        lock(&self.held).log_error.clone()
    }

    /// The process has ended: the little that its terminal still holds is waited for by nobody.
    pub fn hurry(&self) {
        self.ended.store(true, Ordering::Relaxed);
        self.moved.notify_one();
    }

    /// Waits until neither a holding reader nor the model of the screen lags too far behind.
    pub async fn room(&self) {
        while !self.ended.load(Ordering::Relaxed) {
            let moved = self.moved.notified();
            let model = self.screen_lags().then_some(HOLD_PATIENCE);
            let Some(patience) = self.lagging_hold().max(model) else { return };
            // Either it moves, or its patience ends, or it goes away.
            let _ = tokio::time::timeout(patience, moved).await;
        }
    }

    /// How long the most patient of the holding readers that lag too far may still stand still.
    fn lagging_hold(&self) -> Option<Duration> {
        let end = self.progress.borrow().end;
        let mut holds = lock(&self.holds);
        holds.retain(|hold| hold.strong_count() > 0);
        let lagging = holds.iter().filter_map(Weak::upgrade).filter_map(|hold| {
            let mut place = lock(&hold.at);
            let lags = end.saturating_sub(place.offset) > self.hold_lag;
            if lags && !place.lags {
                // Standing still while there was little to read is no lack of interest.
                place.since = Instant::now();
            }
            place.lags = lags;
            let patience = HOLD_PATIENCE.saturating_sub(place.since.elapsed());
            (lags && !patience.is_zero()).then_some(patience)
        });
        lagging.max()
    }

    /// A reader from `offset` on; `None` starts at the end. With `hold`, the terminal waits for it.
    pub fn reader(self: &Arc<Self>, offset: Option<u64>, hold: bool) -> OutputReader {
        let progress = self.progress.subscribe();
        let end = progress.borrow().end;
        let at = offset.unwrap_or(end).min(end);
        let hold = hold.then(|| {
            let place = Place { offset: at, since: Instant::now(), lags: false };
            let hold = Arc::new(Hold { at: Mutex::new(place) });
            lock(&self.holds).push(Arc::downgrade(&hold));
            hold
        });
        OutputReader { output: Arc::clone(self), progress, at, disk: LogReader::new(self.dir.clone()), hold }
    }
}

/// Follows the output.
#[derive(Debug)]
pub struct OutputReader {
    output: Arc<Output>,
    progress: watch::Receiver<Progress>,
    at: u64,
    disk: LogReader,
    hold: Option<Arc<Hold>>,
}

impl OutputReader {
    /// Offset of what comes next.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// What comes next, waiting for it. Can be dropped while it waits.
    pub async fn next(&mut self) -> Chunk {
        self.note_position();
        loop {
            let progress = *self.progress.borrow_and_update();
            if self.at < progress.end {
                return self.take();
            }
            if progress.closed || self.progress.changed().await.is_err() {
                return Chunk::End;
            }
        }
    }

    /// What there is already at our offset; `None` at the end.
    pub fn next_at_hand(&mut self) -> Option<Chunk> {
        let end = self.progress.borrow_and_update().end;
        (self.at < end).then(|| self.take())
    }

    /// Whether what comes next is still held.
    pub fn is_held(&self) -> bool {
        (self.output.range().start..=self.output.end()).contains(&self.at)
    }

    /// Goes on at another offset.
    pub fn seek(&mut self, offset: u64) {
        self.at = offset.min(self.output.end());
    }

    fn take(&mut self) -> Chunk {
        let chunk = self.held();
        match &chunk {
            Chunk::Bytes(bytes) => self.at += bytes.len() as u64,
            Chunk::Gap(_, to) => self.at = *to,
            Chunk::End => {}
        }
        chunk
    }

    fn note_position(&self) {
        if let Some(hold) = &self.hold {
            let mut place = lock(&hold.at);
            if place.offset != self.at {
                place.offset = self.at;
                place.since = Instant::now();
                self.output.moved.notify_one();
            }
        }
    }

    /// A chunk of what is held at our offset: from memory, else from disk, else the gap to what is held.
    fn held(&mut self) -> Chunk {
        if let Some(bytes) = self.in_memory() {
            return Chunk::Bytes(bytes);
        }
        let mut buffer = vec![0; CHUNK];
        match self.disk.read_at(self.at, &mut buffer) {
            Ok((from, count)) if count > 0 && from == self.at => {
                buffer.truncate(count);
                Chunk::Bytes(buffer.into())
            }
            Ok((from, count)) if count > 0 => {
                Chunk::Gap(self.at, from.min(lock(&self.output.held).ring.start()))
            }
            _ => Chunk::Gap(self.at, lock(&self.output.held).ring.start()),
        }
    }

    fn in_memory(&self) -> Option<Bytes> {
        let held = lock(&self.output.held);
        let (first, second) = held.ring.from(self.at, CHUNK)?;
        let mut bytes = Vec::with_capacity(first.len() + second.len());
        bytes.extend_from_slice(first);
        bytes.extend_from_slice(second);
        Some(bytes.into())
    }
}

impl Drop for OutputReader {
    fn drop(&mut self) {
        if self.hold.take().is_some() {
            self.output.moved.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(scrollback: usize, log: u64) -> (tempfile::TempDir, Arc<Output>) {
        let root = tempfile::tempdir().unwrap();
        let output = Arc::new(Output::create(root.path(), scrollback, log, 0).unwrap());
        (root, output)
    }

    #[tokio::test]
    async fn a_reader_gets_memory_disk_and_gaps() {
        let (_root, output) = output(4, 16);
        let mut early = output.reader(Some(0), false);
        for byte in 0..40_u8 {
            output.push(&[byte]).await;
        }
        output.close();
        let mut got = Vec::new();
        let mut gap = None;
        loop {
            match early.next().await {
                Chunk::Bytes(bytes) => got.extend_from_slice(&bytes),
                Chunk::Gap(from, to) => gap = Some((from, to)),
                Chunk::End => break,
            }
        }
        let (from, to) = gap.unwrap();
        assert_eq!(from, 0);
        assert_eq!(got, (u8::try_from(to).unwrap()..40).collect::<Vec<_>>());
        assert_eq!(output.range(), OutputRange { start: to, end: 40 });
    }

    #[tokio::test(start_paused = true)]
    async fn a_holding_reader_slows_the_terminal_only_while_it_moves() {
        let (_root, output) = output(1024, 16);
        let _other = output.reader(Some(0), false);
        output.push(&[0; 9]).await;
        tokio::time::timeout(Duration::from_millis(1), output.room()).await.unwrap();
        let mut reader = output.reader(Some(0), true);
        let waits = tokio::time::timeout(Duration::from_millis(1), output.room()).await;
        assert!(waits.is_err(), "nine bytes of lag are more than half the log");
        reader.next().await;
        let next = tokio::time::timeout(Duration::from_millis(1), reader.next()).await;
        assert!(next.is_err());
        tokio::time::timeout(Duration::from_millis(1), output.room()).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_had_nothing_to_read_has_all_its_patience_left() {
        let (_root, output) = output(1024, 16);
        let mut reader = output.reader(Some(0), true);
        output.push(&[0; 4]).await;
        reader.next().await;
        let idle = tokio::time::timeout(Duration::from_hours(1), reader.next()).await;
        assert!(idle.is_err());
        output.push(&[0; 9]).await;
        let waits = tokio::time::timeout(HOLD_PATIENCE / 2, output.room()).await;
        assert!(waits.is_err(), "it has stood still for a moment, not for an hour");
        tokio::time::timeout(HOLD_PATIENCE, output.room()).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_holds_what_is_left_after_the_end() {
        let (_root, output) = output(1024, 16);
        let _reader = output.reader(Some(0), true);
        output.push(&[0; 9]).await;
        let room = output.room();
        output.hurry();
        tokio::time::timeout(Duration::from_millis(1), room).await.unwrap();
    }
}
