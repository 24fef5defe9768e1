//! Giving an ended session another id.

use std::io;
use std::path::Path;

use super::{STATE_MAX, Table, files, table};
use crate::model::SessionId;
use crate::store::{Durability, FileLock, find_in, read_open, write_atomic};
use crate::wire::SessionSpec;

/// What the session in a folder was asked to be; `None` where there is none that can be read.
pub fn spec_in(folder: &Path) -> io::Result<Option<SessionSpec>> {
    read(folder, files::SPEC)
}

/// As [`spec_in`], what it was asked to be at its first run.
pub fn first_spec_in(folder: &Path) -> io::Result<Option<SessionSpec>> {
    match read(folder, files::FIRST_SPEC)? {
        Some(spec) => Ok(Some(spec)),
        None => spec_in(folder),
    }
}

fn read(folder: &Path, name: &str) -> io::Result<Option<SessionSpec>> {
    let Some(file) = find_in(folder, name)? else { return Ok(None) };
    Ok(serde_json::from_slice(&read_open(&file, STATE_MAX)?).ok())
}

/// Gives a session whose host is gone another id, so that its own can be used again. Under its lease, which a
/// living host holds.
pub fn rename(table: &Table, from: &SessionId, to: &SessionId) -> io::Result<()> {
    let (old, new) = (table.folder(from), table.folder(to));
    let Ok(_lease) = FileLock::try_take(&old.join(files::LEASE))? else {
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, "its session still has a host"));
    };
    if new.exists() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("there is a session `{to}`")));
    }
    let status = table::read_state(&old)?;
    let spec = spec_in(&old)?;
    std::fs::rename(&old, &new)?;
    // Readers leave a folder out whose state has another id; it is theirs again with the second write.
    if let Some(mut spec) = spec {
        spec.id = to.clone();
        write_atomic(&new.join(files::SPEC), &serde_json::to_vec(&spec)?, Durability::Cached)?;
    }
    if let Some(mut status) = status {
        status.id = to.clone();
        write_atomic(&new.join(files::STATE), &serde_json::to_vec(&status)?, Durability::Cached)?;
    }
    Ok(())
}
