//! The logs of services, `logs/<name>.log` in the home folder: bounded here, because no tool of the system is needed for
//! that, and read for `darkmux service logs`.
//!
//! The daemon puts its own log aside under another name and points its stdout and stderr at a new file: no line is lost
//! or copied, and nobody else writes into it. Redis opens its log for each line, and the nightly check runs for a moment,
//! so theirs are put aside under another name at any time.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Kind;
use crate::config::Paths;
use crate::pty;
use crate::util::{Shutdown, tick};

/// Size at which a log is put aside, where nothing else is set.
pub const LOG_BYTES: u64 = 8 * 1024 * 1024;

/// Older logs that are kept.
const KEPT: usize = 4;

/// Time between two looks at the sizes.
const LOOK: Duration = Duration::from_secs(4);

/// Most bytes that are shown of what was.
const SHOWN_MAX: u64 = 4 * 1024 * 1024;

/// Bytes that are read at once.
const CHUNK: u64 = 64 * 1024;

/// Longest line that is waited for.
const LINE_MAX: usize = 1024 * 1024;

/// The log of a service.
pub fn log_file(paths: &Paths, kind: Kind) -> PathBuf {
    paths.logs().join(format!("{}.log", kind.name()))
}

/// Puts aside what is too large. Called at the daemon's very start, so that one that fails and is started again and
/// again is bounded, too. What can't be done is left for the next time.
pub fn bound_at_start(paths: &Paths, most: u64) {
    for kind in Kind::ALL {
        let _ = bound(paths, kind, most);
    }
}

/// Keeps the logs of this home within their bounds while the daemon runs.
pub fn keep_bounded(paths: &Paths, most: u64, shutdown: &Shutdown) {
    let (paths, stopped) = (paths.clone(), shutdown.stopped());
    drop(shutdown.spawn(async move {
        tokio::pin!(stopped);
        loop {
            tokio::select! {
                () = &mut stopped => return,
                () = tick(LOOK) => {}
            }
            for kind in Kind::ALL {
                if let Err(error) = bound(&paths, kind, most) {
                    tracing::warn!(%error, log = kind.name(), "a log could not be put aside");
                }
            }
        }
    }));
}

fn bound(paths: &Paths, kind: Kind, most: u64) -> io::Result<bool> {
    let path = log_file(paths, kind);
    let own = pty::stderr_goes_to(&path);
    // Somebody else's open file would go on under its other name.
    if kind == Kind::Serve && !own { Ok(false) } else { put_aside(&path, most, own) }
}

/// Puts a log of at least `most` bytes aside; with `own`, what this process writes goes into a new one from then on.
fn put_aside(path: &Path, most: u64, own: bool) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(meta) if meta.len() >= most => {}
        Ok(_) => return Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    }
    // Made first: whatever fails, there is a file that is written to.
    let fresh = numbered(path, "new");
    let next = own.then(|| open_new(&fresh)).transpose()?;
    for number in (1..KEPT).rev() {
        let older =
            fs::rename(numbered(path, &number.to_string()), numbered(path, &(number + 1).to_string()));
        older.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
    }
    fs::rename(path, numbered(path, "1"))?;
    if let Some(next) = next {
        fs::rename(fresh, path)?;
        pty::point_output_at(&next)?;
    }
    Ok(true)
}

fn open_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

fn numbered(path: &Path, number: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(number);
    PathBuf::from(name)
}

/// The last lines of a log and of the one before it, and what follows on them.
pub fn last_lines(path: &Path, count: usize) -> io::Result<(Vec<u8>, Follow)> {
    let mut follow = Follow { path: path.to_owned(), open: open(path)?, pending: Vec::new() };
    let mut text = Vec::new();
    if let Some(log) = &mut follow.open {
        log.at = log.file.metadata()?.len();
        text = tail(&log.file, log.at, count)?;
    }
    let have = lines_in(&text) + usize::from(text.last().is_some_and(|last| *last != b'\n'));
    if have < count
        && let Some(older) = open(&numbered(path, "1"))?
    {
        let mut before = tail(&older.file, older.file.metadata()?.len(), count - have)?;
        before.append(&mut text);
        text = before;
    }
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    follow.pending = text.split_off(whole);
    Ok((text, follow))
}

fn lines_in(text: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', text).count()
}

/// The last `count` lines before `end`.
fn tail(file: &File, end: u64, count: usize) -> io::Result<Vec<u8>> {
    let mut text: Vec<u8> = Vec::new();
    let mut at = end;
    // One more than wanted: the first of them ends the line before.
    while at > 0 && lines_in(&text) <= count && (text.len() as u64) < SHOWN_MAX {
        let start = at.saturating_sub(CHUNK);
        let mut part = vec![0; usize::try_from(at - start).unwrap_or(0)];
        file.read_exact_at(&mut part, start)?;
        part.append(&mut text);
        text = part;
        at = start;
    }
    let ends: Vec<usize> =
        text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect();
    let is_torn = ends.last().is_some_and(|last| *last < text.len());
    let begin = (ends.len() + usize::from(is_torn)).checked_sub(count + 1).and_then(|at| ends.get(at));
    // With no line wanted the last end is the text's own.
    Ok(text.split_off(begin.copied().unwrap_or(if count == 0 { text.len() } else { 0 })))
}

/// An open log, and how far it was read.
#[derive(Debug)]
struct Open {
    file: File,
    id: (u64, u64),
    at: u64,
}

fn open(path: &Path) -> io::Result<Option<Open>> {
    match File::open(path) {
        Ok(file) => {
            let meta = file.metadata()?;
            Ok(Some(Open { file, id: (meta.dev(), meta.ino()), at: 0 }))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads what is added to a log, also when it is put aside meanwhile.
#[derive(Debug)]
pub struct Follow {
    path: PathBuf,
    open: Option<Open>,
    pending: Vec<u8>,
}

impl Follow {
    /// Whether there is a log.
    pub fn is_there(&self) -> bool {
        self.open.is_some()
    }

    /// The beginning of a line that is not ended.
    pub fn pending(&self) -> &[u8] {
        &self.pending
    }

    /// The whole lines that were added; none when nothing was.
    pub fn read(&mut self) -> io::Result<Vec<u8>> {
        if self.open.is_none() {
            self.open = open(&self.path)?;
        }
        let Some(log) = &mut self.open else { return Ok(Vec::new()) };
        let mut part = vec![0; usize::try_from(CHUNK).unwrap_or(0)];
        let mut got = log.file.read_at(&mut part, log.at)?;
        if got == 0 {
            match fs::metadata(&self.path) {
                Ok(meta) if (meta.dev(), meta.ino()) != log.id => {
                    // It was put aside; what came in between is at its end.
                    got = log.file.read_at(&mut part, log.at)?;
                    if got == 0 {
                        self.open = open(&self.path)?;
                        return Ok(Vec::new());
                    }
                }
                Ok(meta) if meta.len() < log.at => log.at = 0,
                _ => {}
            }
        }
        log.at += got as u64;
        self.pending.extend_from_slice(&part[..got]);
        let whole = self.pending.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let whole = if self.pending.len() > LINE_MAX { self.pending.len() } else { whole };
        let rest = self.pending.split_off(whole);
        Ok(std::mem::replace(&mut self.pending, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn add(path: &Path, text: &str) {
        OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn last(path: &Path, count: usize) -> String {
        let (text, follow) = last_lines(path, count).unwrap();
        format!("{}|{}", String::from_utf8(text).unwrap(), String::from_utf8_lossy(follow.pending()))
    }

    #[test]
    fn logs_are_put_aside_and_four_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("redis.log");
        assert!(!put_aside(&path, 4, false).unwrap(), "there is none");
        for number in 0..7 {
            add(&path, &format!("log {number}\n"));
            assert!(!put_aside(&path, 100, false).unwrap());
            assert!(put_aside(&path, 4, false).unwrap());
        }
        let mut names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["redis.log.1", "redis.log.2", "redis.log.3", "redis.log.4"]);
        assert_eq!(fs::read_to_string(numbered(&path, "1")).unwrap(), "log 6\n");
        assert_eq!(fs::read_to_string(numbered(&path, "4")).unwrap(), "log 3\n");
    }

    #[test]
    fn the_last_lines_reach_into_the_log_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("serve.log");
        assert_eq!(last(&path, 5), "|");
        add(&numbered(&path, "1"), "a\nb\n");
        assert_eq!(last(&path, 1), "b\n|");
        add(&path, "c\nd\n");
        assert_eq!(
            (last(&path, 0), last(&path, 1), last(&path, 2)),
            ("|".into(), "d\n|".into(), "c\nd\n|".into())
        );
        assert_eq!((last(&path, 3), last(&path, 99)), ("b\nc\nd\n|".into(), "a\nb\nc\nd\n|".into()));
        add(&path, "torn");
        assert_eq!(last(&path, 2), "d\n|torn");
        let long = dir.path().join("long");
        add(&long, &"x".repeat(200_000));
        add(&long, "\ny\n");
        assert_eq!(last(&long, 2).len(), 200_004);
    }

    #[test]
    fn a_follower_misses_nothing_when_the_log_is_put_aside_or_emptied() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("serve.log");
        let (_, mut follow) = last_lines(&path, 1).unwrap();
        assert!(!follow.is_there() && follow.read().unwrap().is_empty());
        add(&path, "a\nb");
        assert_eq!(follow.read().unwrap(), b"a\n");
        let open = OpenOptions::new().append(true).open(&path).unwrap();
        assert!(put_aside(&path, 1, false).unwrap());
        // As a daemon that writes before it has the new file.
        (&open).write_all(b"c\n").unwrap();
        add(&path, "d\n");
        let mut read = Vec::new();
        for _ in 0..4 {
            read.append(&mut follow.read().unwrap());
        }
        assert_eq!(read, b"bc\nd\n");
        fs::write(&path, "").unwrap();
        assert!(follow.read().unwrap().is_empty());
        add(&path, "e\n");
        assert_eq!(follow.read().unwrap(), b"e\n");
    }
}
