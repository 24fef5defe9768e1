//! An exclusive lock that ends with its holder, however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Locks `file` against every other process; an error of kind `TimedOut` when another holds it for all of
/// `patience`. `File::unlock`, or the end of the process, releases it.
pub fn lock_within(file: &File, patience: Duration) -> io::Result<()> {
    poll(patience, || file.try_lock())
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

/// A held `flock` on a file that tells the holder's process id. Dropping it releases the lock; the file stays.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

/// How long somebody who only looks may hold a lock; on a loaded machine it can lose the processor meanwhile.
const PROBE: Duration = Duration::from_millis(500);

/// Longest note read from a lock file, in bytes.
const NOTE_MAX: u64 = 256;

impl FileLock {
    /// Takes the lock and notes our process id, or `Err` with the holder's note inside when it is held.
    pub fn try_take(path: &Path) -> io::Result<Result<Self, String>> {
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        // Whoever asks whether it is held holds it for a moment.
        match poll(PROBE, || file.try_lock()) {
            Ok(()) => {
                file.set_len(0)?;
                file.rewind()?;
                write!(file, "{}", std::process::id())?;
                Ok(Ok(Self { _file: file }))
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                let mut note = String::new();
                let _ = file.take(NOTE_MAX).read_to_string(&mut note);
                Ok(Err(note.trim().to_owned()))
            }
            Err(error) => Err(error),
        }
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
