//! An exclusive lock that ends with its holder, however that ends.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

/// Locks `file` against every other process; an error of kind `TimedOut` when another holds it for all of
/// `patience`. `File::unlock`, or the end of the process, releases it.
pub fn lock_within(file: &File, patience: Duration) -> io::Result<()> {
    poll(patience, || file.try_lock())
}

/// The lock of those who write the file at `path`, on a file beside it that ends in `.lock`. Held until it is dropped.
pub fn lock_beside(path: &Path, patience: Duration) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let lock =
        options.create(true).truncate(false).write(true).mode(0o600).open(path.with_extension("lock"))?;
    lock_within(&lock, patience).map(|()| lock)
}

/// As [`lock_within`], together with others that only read.
pub fn lock_shared_within(file: &File, patience: Duration) -> io::Result<()> {
    poll(patience, || file.try_lock_shared())
}

fn poll(patience: Duration, attempt: impl Fn() -> Result<(), TryLockError>) -> io::Result<()> {
    let deadline = Instant::now() + patience;
    let mut pause = Duration::from_micros(20);
    loop {
        match attempt() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                let said = format!("another process held it for {} s", patience.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, said));
            }
            Err(TryLockError::WouldBlock) => {
                wait(pause);
                pause = (pause * 2).min(Duration::from_millis(2));
            }
        }
    }
}

#[allow(clippy::disallowed_methods)] // A lock that is asked for with a deadline can only be polled.
fn wait(pause: Duration) {
    std::thread::sleep(pause);
}

/// Whether the file that was opened as `path` is still there: it may have been moved away or deleted before its lock
/// was had.
pub(super) fn is_at(path: &Path, open: &Metadata) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|there| there.dev() == open.dev() && there.ino() == open.ino())
}

/// A held `flock` on a file that tells the holder's process id. Dropping it releases the lock; the file stays.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

/// How long somebody who only looks may hold a lock; on a loaded machine it can lose the processor meanwhile.
const PROBE: Duration = Duration::from_millis(500);

/// Longest note read from a lock file, in bytes.
const NOTE_MAX: u64 = 256;

/// How often the file at the path may be another one once its lock is had. Its folder is renamed under the lock, so
/// once is rare.
const REOPENS: usize = 16;

impl FileLock {
    /// Takes the lock and notes our process id, or `Err` with the holder's note inside when it is held. The lock is that of
    /// the file at `path`: one that was moved away while we waited for it is let go.
    pub fn try_take(path: &Path) -> io::Result<Result<Self, String>> {
        for _ in 0..REOPENS {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(path)?;
            // Whoever asks whether it is held holds it for a moment.
            match poll(PROBE, || file.try_lock()) {
                Ok(()) if is_at(path, &file.metadata()?) => {
                    note(&file);
                    return Ok(Ok(Self { _file: file }));
                }
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    let mut note = String::new();
                    let _ = file.take(NOTE_MAX).read_to_string(&mut note);
                    return Ok(Err(note.trim().to_owned()));
                }
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::ResourceBusy, "it is replaced all the time"))
    }

    /// Whether somebody holds the lock on `path`; a missing file is held by nobody.
    pub fn is_held(path: &Path) -> io::Result<bool> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// Notes our process id in a lock that we hold. The note is for people: a disk that has no room for it keeps nobody from
/// the lock, whose holder may be about to make room.
fn note(file: &File) {
    let pid = std::process::id().to_string();
    // Over what is there, which takes no room, and then cut.
    let noted = file.write_all_at(pid.as_bytes(), 0).and_then(|()| file.set_len(pid.len() as u64));
    if noted.is_err() {
        // Rather none than an earlier holder's.
        let _ = file.set_len(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_and_the_other_learns_who() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert!(!FileLock::is_held(&path).unwrap());
        let held = FileLock::try_take(&path).unwrap().unwrap();
        assert_eq!(FileLock::try_take(&path).unwrap().unwrap_err(), std::process::id().to_string());
        assert!(FileLock::is_held(&path).unwrap());
        drop(held);
        assert!(FileLock::try_take(&path).unwrap().is_ok());
    }

    #[test]
    fn a_file_that_was_moved_away_is_not_the_lock() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("folder");
        // Often, because the other one is not always as far as to wait.
        for round in 0..100 {
            std::fs::create_dir(&folder).unwrap();
            let held = FileLock::try_take(&folder.join("lock")).unwrap().unwrap();
            let begins = std::sync::Barrier::new(2);
            std::thread::scope(|scope| {
                let waits = scope.spawn(|| {
                    begins.wait();
                    FileLock::try_take(&folder.join("lock"))
                });
                begins.wait();
                std::thread::yield_now();
                std::fs::rename(&folder, root.path().join(round.to_string())).unwrap();
                drop(held);
                assert_eq!(waits.join().unwrap().unwrap_err().kind(), io::ErrorKind::NotFound);
            });
        }
    }

    /// `/dev/full` takes no byte, as a full disk.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_keeps_nobody_from_a_lock() {
        let path = Path::new("/dev/full");
        let held = FileLock::try_take(path).unwrap().unwrap();
        assert!(FileLock::is_held(path).unwrap());
        drop(held);
    }

    #[test]
    fn asking_whether_it_is_held_keeps_nobody_from_taking_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    FileLock::is_held(&path).unwrap();
                }
            });
            let taken = (0..2_000).all(|_| FileLock::try_take(&path).unwrap().is_ok());
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(taken);
        });
    }
}
