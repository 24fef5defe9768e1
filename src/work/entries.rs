//! A folder of JSON files, each an entry that stands by itself: what the journal is made of.
//!
//! Invariant: an entry that cannot be read now is an error and no absence; only one that no reading will mend stands
//! for nothing. How old an entry is its file's time says, so that what is old need not be read.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::{Durability, ensure_private_dir, read_if_there, write_atomic};
use crate::util::Clock;

/// How long what has ended is remembered: longer than any Redis goes back.
pub const KEPT: Duration = Duration::from_mins(10);

/// How the name of every entry ends.
pub const ENTRY: &str = ".json";

/// Largest entry, in bytes: message, spec and result.
const ENTRY_MAX: u64 = 2 * 1024 * 1024;

/// Most entries that are remembered only for a time of which one look knows: the newest ones.
const RECENT_MAX: usize = 10_000;

/// One folder of entries. It need not exist before the first is written.
#[derive(Debug, Clone)]
pub struct Entries {
    dir: PathBuf,
    clock: Clock,
}

impl Entries {
    /// Those in this folder.
    pub fn new(dir: PathBuf, clock: Clock) -> Self {
        Self { dir, clock }
    }

    /// Writes one, or replaces it.
    pub fn write(&self, name: &str, value: &impl Serialize) -> io::Result<()> {
        ensure_private_dir(&self.dir)?;
        let text = serde_json::to_vec(value)?;
        if text.len() as u64 > ENTRY_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the job has more than 2 MiB"));
        }
        write_atomic(&self.dir.join(name), &text, Durability::Cached)
    }

    /// Gives one another name, if it is there.
    pub fn rename(&self, name: &str, to: &str) -> io::Result<()> {
        unless_gone(std::fs::rename(self.dir.join(name), self.dir.join(to)))
    }

    /// Removes one, if it is there.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        unless_gone(std::fs::remove_file(self.dir.join(name)))
    }

    /// Every entry of such a name, or why it cannot be read now.
    pub fn all<T: DeserializeOwned>(&self, is: impl Fn(&str) -> bool) -> io::Result<Vec<io::Result<T>>> {
        Ok(self.paths(is)?.iter().filter_map(|path| read(path).transpose()).collect())
    }

    /// The entries of such a name that were written in the last ten minutes, the newest of them where there are many.
    pub fn recent<T: DeserializeOwned>(&self, is: impl Fn(&str) -> bool) -> io::Result<Vec<T>> {
        let mut dated = self.dated(is)?;
        dated.retain(|(at, _)| !self.is_old(*at));
        dated.sort();
        dated.reverse();
        dated.truncate(RECENT_MAX);
        dated.iter().filter_map(|(_, path)| read(path).transpose()).collect()
    }

    /// Removes the entries of such a name that were written longer ago.
    pub fn prune(&self, is: impl Fn(&str) -> bool) -> io::Result<()> {
        let dated = self.dated(is)?;
        let old = dated.iter().filter(|(at, _)| self.is_old(*at));
        old.map(|(_, path)| path).try_for_each(|path| unless_gone(std::fs::remove_file(path)))
    }

    /// Whether what was at that time is longer ago than ten minutes.
    pub fn is_old(&self, at: SystemTime) -> bool {
        at.checked_add(KEPT).is_some_and(|until| until < SystemTime::from(self.clock.now()))
    }

    /// The names of all.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let name = |path: PathBuf| Some(path.file_name()?.to_str()?.to_owned());
        Ok(self.paths(|_| true)?.into_iter().filter_map(name).collect())
    }

    fn dated(&self, is: impl Fn(&str) -> bool) -> io::Result<Vec<(SystemTime, PathBuf)>> {
        let mut dated = Vec::new();
        for path in self.paths(is)? {
            match std::fs::symlink_metadata(&path).and_then(|file| file.modified()) {
                Ok(at) => dated.push((at, path)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(dated)
    }

    fn paths(&self, is: impl Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
        let entries = match std::fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut paths = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| name.ends_with(ENTRY) && is(name)) {
                paths.push(entry.path());
            }
        }
        Ok(paths)
    }
}

/// `None` when it is gone, or stands for nothing however often it is read.
fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let nothing = |error: &dyn std::fmt::Display| {
        tracing::warn!(%error, path = %path.display(), "an entry of the journal is none");
        Ok(None)
    };
    match read_if_there(path, ENTRY_MAX) {
        Ok(None) => Ok(None),
        Ok(Some(bytes)) => serde_json::from_slice(&bytes).map(Some).or_else(|error| nothing(&error)),
        Err(error) if matches!(error.kind(), io::ErrorKind::FileTooLarge | io::ErrorKind::IsADirectory) => {
            nothing(&error)
        }
        Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
    }
}

fn unless_gone(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
