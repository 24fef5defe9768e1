//! Replacing a file as one step.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Whether a replacement has to survive a power loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// It is on the disk when the call returns.
    Synced,
    /// After a power loss there is the old file or the new one, whole.
    Ordered,
    /// It survives the death of the process; the disk has it when the system likes.
    Cached,
}

/// Writes `bytes` to a temporary file (0600) beside `path` and renames it there: a reader sees the old file
/// or the new one.
pub fn write_atomic(path: &Path, bytes: &[u8], durability: Durability) -> io::Result<()> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(dir)?;
    file.write_all(bytes)?;
    if durability != Durability::Cached {
        file.as_file().sync_all()?;
    }
    file.persist(path).map_err(|error| error.error)?;
    if durability == Durability::Synced {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}

/// As [`write_atomic`], synced, where nothing is at `path` yet; whether it was written. Of many who do it at once one
/// writes, and the others find what that one wrote.
pub fn write_new(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => File::open(dir)?.sync_all().map(|()| true),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error.error),
    }
}

/// Brings a file that was written `Cached` to the disk, with its name.
pub fn sync_written(path: &Path) -> io::Result<()> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    File::open(path)?.sync_all()?;
    File::open(dir)?.sync_all()
}
