//! An append-only file of JSON lines that several processes write at once.
//!
//! Invariant: what is in the file are whole lines, apart from the last one after a crash or a power loss; the
//! next append ends such a torn line, so that only it is lost. A line is one write under an exclusive lock;
//! what could not be written whole is taken back, so a full disk leaves nothing behind.
//!
//! Not here: what is in a line, which file a day has, reading.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, OFlags};

use super::ensure_private_dir;
use super::lock::{is_at, lock_within};

/// Longest line, in bytes, its newline included. Readers count on it.
pub const LINE_WRITE_MAX: usize = 64 * 1024;

/// Time within which appended lines reach the disk, where not every one is synced at once.
pub const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// How long an append waits for another process's append, unless it is told otherwise.
pub const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// How often the file at the path may change between opening and locking it. Files are moved away by hand or
/// by a rotation, so once is rare.
const REOPENS: usize = 16;

/// Why an append failed.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The file could not be opened.
    #[error("{path}: opening it for appending failed: {source}; check the folder's owner and permissions")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something else than a regular file stands at the path.
    #[error("{path}: it is no regular file; move it away, and the next record makes a new one")]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// Another process kept the lock.
    #[error("{path}: its lock was not to be had: {source}; see `lsof` for the process that holds the file")]
    Lock {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The line could not be written whole; nothing of it stays in the file.
    #[error("{path}: the line was not written: {source}; nothing of it was kept{}", advice(.source))]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The line could not be written whole, and what was written could not be taken back.
    #[error(
        "{path}: a line was cut short ({source}) and taking it back failed ({undo}); readers skip it, and the \
         next line starts on its own"
    )]
    Torn {
        /// The file.
        path: PathBuf,
        /// Why the write failed.
        source: io::Error,
        /// Why taking it back failed.
        undo: io::Error,
    },
    /// The line is written, but whether it survives a power loss is not known.
    #[error("{path}: the line is written, but syncing it to the disk failed: {source}; check the disk")]
    Sync {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The line is longer than [`LINE_WRITE_MAX`], or holds a newline.
    #[error("{path}: {length} bytes are no line of this file: one line of at most {LINE_WRITE_MAX} bytes is")]
    NotALine {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::WriteZero => {
            ". Make room on the disk; the next record goes on by itself"
        }
        _ => "",
    }
}

/// When lines reach the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncPolicy {
    /// At most [`SYNC_INTERVAL`] apart while lines come, when asked for, and when the log is dropped.
    Interval,
    /// Each line before its append returns.
    Always,
    /// As [`Self::Interval`], but the first line does not wait for the disk: the caller sees to it that it is there
    /// within [`SYNC_INTERVAL`].
    Later,
}

/// One file that lines are appended to.
#[derive(Debug)]
pub struct AppendLog {
    path: PathBuf,
    policy: SyncPolicy,
    file: Option<File>,
    synced: Option<Instant>,
    dirty: bool,
    /// The file was empty when we came, so that its name may not be on the disk either.
    fresh: bool,
    /// How long an append waits for another process's.
    patience: Duration,
}

impl AppendLog {
    /// A log at `path`; opens nothing yet. The file and its folder are made by the first append.
    pub fn new(path: PathBuf, policy: SyncPolicy) -> Self {
        Self { path, policy, file: None, synced: None, dirty: false, fresh: false, patience: LOCK_PATIENCE }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// From now on an append waits so long for another process's; with none it fails at once where one has the lock.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Appends `line` (without its newline); an empty file gets `header` as its first line, in the same
    /// write. Returns the offset after the line, or `None` when this is no longer the right file once its lock
    /// is held, which may take a while; nothing is written then.
    pub fn append(
        &mut self,
        line: &[u8],
        header: &[u8],
        still_right: impl FnOnce() -> bool,
    ) -> Result<Option<u64>, AppendError> {
        if line.len() >= LINE_WRITE_MAX || memchr::memchr(b'\n', line).is_some() {
            return Err(AppendError::NotALine { path: self.path.clone(), length: line.len() });
        }
        let mut locked = self.lock()?;
        if !still_right() {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(line.len() + header.len() + 2);
        let fresh = locked.is_empty();
        if fresh {
            bytes.extend_from_slice(header);
            bytes.push(b'\n');
        } else if locked.ends_torn()? {
            bytes.push(b'\n');
        }
        bytes.extend_from_slice(line);
        bytes.push(b'\n');
        let end = locked.write(&bytes)?;
        drop(locked);
        self.fresh |= fresh;
        self.written()?;
        Ok(Some(end))
    }

    /// Locks the file at the path, which is made when it is missing, against every other writer.
    pub fn lock(&mut self) -> Result<Locked<'_>, AppendError> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => self.open()?,
        };
        for _ in 0..REOPENS {
            if let Err(source) = lock_within(&file, self.patience) {
                self.file = Some(file);
                return Err(AppendError::Lock { path: self.path.clone(), source });
            }
            let meta = file.metadata().map_err(|source| self.unopened(source))?;
            if is_at(&self.path, &meta) {
                let file = self.file.insert(file);
                return Ok(Locked { path: &self.path, file, len: meta.len() });
            }
            // It was moved away or deleted. What was written to it goes to the disk with it.
            if std::mem::take(&mut self.dirty) {
                let _ = file.sync_data();
            }
            file = self.open()?;
        }
        let source = io::Error::new(io::ErrorKind::ResourceBusy, "it is replaced all the time");
        Err(self.unopened(source))
    }

    /// Notes that a line was written, and syncs it when the policy says so.
    fn written(&mut self) -> Result<(), AppendError> {
        self.dirty = true;
        let due = match self.policy {
            SyncPolicy::Always => true,
            SyncPolicy::Interval => self.synced.is_none_or(|synced| synced.elapsed() >= SYNC_INTERVAL),
            SyncPolicy::Later => self.synced.get_or_insert_with(Instant::now).elapsed() >= SYNC_INTERVAL,
        };
        if due { self.sync() } else { Ok(()) }
    }

    /// Brings what was appended to the disk; does nothing when it is there already.
    pub fn sync(&mut self) -> Result<(), AppendError> {
        let Some(file) = self.file.as_ref().filter(|_| self.dirty) else { return Ok(()) };
        let mut synced = file.sync_data();
        if self.fresh && synced.is_ok() {
            let dir = self.path.parent().unwrap_or(Path::new("/"));
            synced = File::open(dir).and_then(|dir| dir.sync_all());
        }
        synced.map_err(|source| AppendError::Sync { path: self.path.clone(), source })?;
        self.dirty = false;
        self.fresh = false;
        self.synced = Some(Instant::now());
        Ok(())
    }

    fn unopened(&self, source: io::Error) -> AppendError {
        AppendError::Open { path: self.path.clone(), source }
    }

    fn open(&self) -> Result<File, AppendError> {
        let dir = self.path.parent().unwrap_or(Path::new("/"));
        ensure_private_dir(dir).map_err(|source| self.unopened(source))?;
        // NONBLOCK: a pipe that somebody put there must not hang us.
        let flags = OFlags::RDWR
            | OFlags::APPEND
            | OFlags::CREATE
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(CWD, &self.path, flags, Mode::RUSR | Mode::WUSR) {
            Ok(fd) => File::from(fd),
            Err(rustix::io::Errno::LOOP) => return Err(AppendError::NotAFile { path: self.path.clone() }),
            Err(errno) => return Err(self.unopened(errno.into())),
        };
        match file.metadata() {
            Ok(meta) if meta.is_file() => Ok(file),
            Ok(_) => Err(AppendError::NotAFile { path: self.path.clone() }),
            Err(source) => Err(self.unopened(source)),
        }
    }
}

impl Drop for AppendLog {
    fn drop(&mut self) {
        // Whoever needs to know calls `sync`; here nobody is left to tell.
        let _ = self.sync();
    }
}

/// The file while it is locked. Dropping it releases the lock.
#[derive(Debug)]
pub struct Locked<'a> {
    path: &'a Path,
    file: &'a File,
    len: u64,
}

impl Locked<'_> {
    /// Length of the file in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The open file, for reading at offsets.
    pub fn file(&self) -> &File {
        self.file
    }

    /// Whether the last line has no end.
    pub fn ends_torn(&self) -> Result<bool, AppendError> {
        let Some(last) = self.len.checked_sub(1) else { return Ok(false) };
        let mut byte = [0];
        self.file
            .read_exact_at(&mut byte, last)
            .map_err(|source| AppendError::Open { path: self.path.to_owned(), source })?;
        Ok(byte[0] != b'\n')
    }

    /// Appends `bytes` in one write, whole or not at all. Returns the offset after them.
    pub fn write(&mut self, bytes: &[u8]) -> Result<u64, AppendError> {
        let written = loop {
            match rustix::io::write(self.file, bytes) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other,
            }
        };
        let (done, source) = match written {
            Ok(done) if done == bytes.len() => {
                self.len += done as u64;
                return Ok(self.len);
            }
            Ok(done) => {
                let said = format!("the disk took {done} of {} bytes", bytes.len());
                (done as u64, io::Error::new(io::ErrorKind::StorageFull, said))
            }
            Err(errno) => (0, errno.into()),
        };
        let path = self.path.to_owned();
        match self.take_back(done) {
            Ok(()) => Err(AppendError::Write { path, source }),
            Err(undo) => Err(AppendError::Torn { path, source, undo }),
        }
    }

    /// Cuts the file to `len` bytes.
    pub fn truncate(&mut self, len: u64) -> Result<(), AppendError> {
        self.file.set_len(len).map_err(|source| AppendError::Write { path: self.path.to_owned(), source })?;
        self.len = len;
        Ok(())
    }

    fn take_back(&self, done: u64) -> io::Result<()> {
        // A writer that takes no lock (darkmux 1.9) may have appended after us; its line is not ours to cut.
        if done > 0 && self.file.metadata()?.len() == self.len + done {
            self.file.set_len(self.len)?;
        }
        Ok(())
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    const HEADER: &[u8] = b"{\"head\":1}";

    fn log(dir: &tempfile::TempDir) -> AppendLog {
        AppendLog::new(dir.path().join("flows/day.jsonl"), SyncPolicy::Interval)
    }

    #[test]
    fn a_file_that_is_no_longer_the_right_one_gets_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("day.jsonl");
        let mut log = AppendLog::new(path.clone(), SyncPolicy::Interval);
        log.append(b"{}", HEADER, || true).unwrap();
        let before = fs::read(&path).unwrap();
        assert_eq!(log.append(b"{}", HEADER, || false).unwrap(), None);
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn the_header_comes_with_the_first_line_and_offsets_stand_after_lines() {
        let dir = tempfile::tempdir().unwrap();
        let (mut one, mut two) = (log(&dir), log(&dir));
        assert_eq!(one.append(b"{}", HEADER, || true).unwrap(), Some(14));
        assert_eq!(two.append(b"{\"a\":1}", HEADER, || true).unwrap(), Some(22));
        assert_eq!(fs::read(one.path()).unwrap(), b"{\"head\":1}\n{}\n{\"a\":1}\n");
        assert_eq!(fs::metadata(one.path()).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(one.path().parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn each_policy_has_its_time_to_reach_the_disk() {
        let waits = |policy| {
            let dir = tempfile::tempdir().unwrap();
            let mut log = AppendLog::new(dir.path().join("day.jsonl"), policy);
            let mut append = || {
                log.append(b"{}", HEADER, || true).unwrap();
                log.dirty
            };
            [append(), append()]
        };
        assert_eq!(waits(SyncPolicy::Always), [false, false]);
        assert_eq!(waits(SyncPolicy::Interval), [false, true], "the second is within the interval");
        assert_eq!(waits(SyncPolicy::Later), [true, true]);
    }

    #[test]
    fn a_file_that_was_moved_or_deleted_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(&dir);
        log.append(b"{}", HEADER, || true).unwrap();
        let old = dir.path().join("flows/old");
        fs::rename(log.path(), &old).unwrap();
        assert_eq!(log.append(b"{\"b\":2}", HEADER, || true).unwrap(), Some(19));
        assert_eq!(fs::read(&old).unwrap(), b"{\"head\":1}\n{}\n");
        fs::remove_dir_all(dir.path().join("flows")).unwrap();
        assert_eq!(log.append(b"{\"c\":3}", HEADER, || true).unwrap(), Some(19));
    }

    #[test]
    fn links_pipes_and_what_is_no_line_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(&dir);
        ensure_private_dir(log.path().parent().unwrap()).unwrap();
        fs::write(dir.path().join("else"), "x").unwrap();
        symlink(dir.path().join("else"), log.path()).unwrap();
        assert!(matches!(log.append(b"{}", HEADER, || true), Err(AppendError::NotAFile { .. })));
        fs::remove_file(log.path()).unwrap();
        for bad in [&b"{}\n{}"[..], &vec![b'x'; LINE_WRITE_MAX]] {
            assert!(matches!(log.append(bad, HEADER, || true), Err(AppendError::NotALine { .. })));
        }
        assert!(!log.path().exists());
        assert!(log.append(&vec![b'x'; LINE_WRITE_MAX - 1], HEADER, || true).is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn a_tail_torn_anywhere_costs_only_the_torn_line(lines in prop::collection::vec("[a-z]{1,12}", 1..6)) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("day.jsonl");
            let whole = lines.iter().fold(b"{\"head\":1}\n".to_vec(), |mut all, line| {
                all.extend_from_slice(line.as_bytes());
                all.push(b'\n');
                all
            });
            for cut in 0..=whole.len() {
                fs::write(&path, &whole[..cut]).unwrap();
                let end = AppendLog::new(path.clone(), SyncPolicy::Interval).append(b"{\"new\":1}", HEADER, || true);
                let after = fs::read(&path).unwrap();
                prop_assert_eq!(end.unwrap(), Some(after.len() as u64));
                let kept = memchr::memchr_iter(b'\n', &whole[..cut]).count();
                let torn = usize::from(cut > 0 && whole[cut - 1] != b'\n');
                let made: Vec<_> = after.split_inclusive(|byte| *byte == b'\n').collect();
                prop_assert_eq!(made.len(), if cut == 0 { 2 } else { kept + torn + 1 });
                prop_assert_eq!(&made.concat()[..cut], &whole[..cut]);
                prop_assert_eq!(made[made.len() - 1], b"{\"new\":1}\n");
            }
        }
    }
}
