//! A session's output on disk: a bounded row of segment files, each named after the offset of its first byte.
//!
//! Invariant: a segment is only appended to; the oldest goes when the bound is reached. A hole (the disk was
//! full for a while) shows as a segment that starts later than the one before it ends.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::store::ensure_private_dir;

/// Segments the bound is divided into: what is forgotten at a time.
const SEGMENTS: u64 = 8;

/// Most segments there are: a disk that is full again and again leaves short ones.
const FILES_MAX: usize = 64;

/// Ending of a segment's name.
const ENDING: &str = ".out";

fn segment_name(start: u64) -> String {
    format!("{start:016}{ENDING}")
}

/// Starts of the segments in `dir`, ascending.
fn segments(dir: &Path) -> io::Result<Vec<u64>> {
    let mut starts = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let start = name
            .to_str()
            .and_then(|name| name.strip_suffix(ENDING))
            .and_then(|digits| digits.parse::<u64>().ok());
        starts.extend(start);
    }
    starts.sort_unstable();
    Ok(starts)
}

/// The writing side; one at a time, the session's host.
#[derive(Debug)]
pub struct LogWriter {
    dir: PathBuf,
    bound: u64,
    segment_bytes: u64,
    current: Option<(File, u64)>,
    end: u64,
}

impl LogWriter {
    /// A log of at most `bound` bytes in the folder `dir`, which is made with the first of them: most of what starts
    /// does not wait for the disk to make it, and what puts nothing out needs none.
    pub fn new(dir: PathBuf, bound: u64) -> Self {
        let segment_bytes = (bound / SEGMENTS).max(1);
        Self { dir, bound, segment_bytes, current: None, end: 0 }
    }

    /// Appends what the session put out at its offset `at`. After an error the bytes are missing on disk and
    /// the next call begins a new segment.
    pub fn append(&mut self, at: u64, mut bytes: &[u8]) -> io::Result<()> {
        let mut at = at;
        while !bytes.is_empty() {
            let (file, start) = match self.current.take() {
                Some((file, start)) if self.end == at && at - start < self.segment_bytes => (file, start),
                _ => (self.begin_segment(at)?, at),
            };
            let room = usize::try_from(self.segment_bytes - (at - start)).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(bytes.len().min(room));
            if let Err(error) = (&file).write_all(now) {
                // An empty segment would only push a full one out.
                if file.metadata().is_ok_and(|meta| meta.len() == 0) {
                    let _ = fs::remove_file(self.dir.join(segment_name(start)));
                }
                return Err(error);
            }
            at += now.len() as u64;
            bytes = later;
            self.end = at;
            self.current = Some((file, start));
        }
        Ok(())
    }

    fn begin_segment(&self, start: u64) -> io::Result<File> {
        ensure_private_dir(&self.dir)?;
        self.make_room()?;
        let path = self.dir.join(segment_name(start));
        OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)
    }

    /// Forgets the oldest segments until another one fits within the bound.
    fn make_room(&self) -> io::Result<()> {
        let path = |start: &u64| self.dir.join(segment_name(*start));
        let starts = segments(&self.dir)?;
        let mut held = 0;
        for start in &starts {
            held += fs::metadata(path(start))?.len();
        }
        for (index, start) in starts.iter().enumerate() {
            if held + self.segment_bytes <= self.bound.max(self.segment_bytes)
                && starts.len() - index < FILES_MAX
            {
                break;
            }
            held -= fs::metadata(path(start))?.len();
            fs::remove_file(path(start))?;
        }
        Ok(())
    }
}

/// The reading side; any number, also after the session's end.
#[derive(Debug)]
pub struct LogReader {
    dir: PathBuf,
    current: Option<(File, u64)>,
}

impl LogReader {
    /// A reader of the log in `dir`.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, current: None }
    }

    /// Reads into `buffer` from `offset` on, or from the first byte after it that is on disk. Returns the
    /// offset of what was read and its length; a length of 0 means that nothing is there yet.
    pub fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<(u64, usize)> {
        if let Some((file, start)) = &self.current
            && let Some(within) = offset.checked_sub(*start)
        {
            let count = file.read_at(buffer, within)?;
            if count > 0 {
                return Ok((offset, count));
            }
        }
        self.current = None;
        let starts = match segments(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((offset, 0)),
            starts => starts?,
        };
        let holding = starts.partition_point(|start| *start <= offset).saturating_sub(1);
        for start in &starts[holding.min(starts.len())..] {
            let file = match File::open(self.dir.join(segment_name(*start))) {
                // It was the oldest and has just gone.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                file => file?,
            };
            let from = offset.max(*start);
            let count = file.read_at(buffer, from - start)?;
            self.current = Some((file, *start));
            if count > 0 {
                return Ok((from, count));
            }
        }
        Ok((offset, 0))
    }

    /// Offsets of the oldest byte and after the newest one.
    pub fn range(&self) -> io::Result<(u64, u64)> {
        let starts = match segments(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((0, 0)),
            starts => starts?,
        };
        let (Some(first), Some(last)) = (starts.first(), starts.last()) else { return Ok((0, 0)) };
        let len = fs::metadata(self.dir.join(segment_name(*last)))?.len();
        Ok((*first, last + len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_all(reader: &mut LogReader, mut at: u64) -> (u64, Vec<u8>) {
        let mut out = Vec::new();
        let mut first = None;
        let mut buffer = [0; 7];
        loop {
            let (from, count) = reader.read_at(at, &mut buffer).unwrap();
            if count == 0 {
                return (first.unwrap_or(at), out);
            }
            first.get_or_insert(from);
            out.extend_from_slice(&buffer[..count]);
            at = from + count as u64;
        }
    }

    proptest! {
        #[test]
        fn the_log_is_the_tail_of_the_stream(pushes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..30)) {
            let root = tempfile::tempdir().unwrap();
            let dir = root.path().join("output");
            let mut log = LogWriter::new(dir.clone(), 80);
            let mut stream = Vec::new();
            for push in &pushes {
                log.append(stream.len() as u64, push).unwrap();
                stream.extend_from_slice(push);
            }
            let mut reader = LogReader::new(dir);
            let (start, end) = reader.range().unwrap();
            prop_assert_eq!(end, stream.len() as u64);
            prop_assert!(end - start <= 80 && (start == 0 || end - start > 70));
            let (from, bytes) = read_all(&mut reader, 0);
            prop_assert_eq!(from, if stream.is_empty() { 0 } else { start });
            prop_assert_eq!(&bytes[..], &stream[usize::try_from(start).unwrap()..]);
        }
    }

    #[test]
    fn a_hole_is_skipped() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("output");
        let mut log = LogWriter::new(dir.clone(), 8_000);
        assert_eq!(LogReader::new(dir.clone()).range().unwrap(), (0, 0));
        assert!(!dir.exists(), "it is made with the first byte");
        log.append(0, b"abc").unwrap();
        log.append(10, b"xyz").unwrap();
        let mut reader = LogReader::new(dir);
        let mut buffer = [0; 16];
        assert_eq!(reader.read_at(1, &mut buffer).unwrap(), (1, 2));
        assert_eq!(reader.read_at(3, &mut buffer).unwrap(), (10, 3));
        assert_eq!(reader.read_at(13, &mut buffer).unwrap(), (13, 0));
    }
}
