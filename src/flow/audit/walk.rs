//! Verifying a day file from a known place on, a line at a time, in bounded memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;

use super::header::Header;
use super::link;

/// Longest line that is verified. Lines of ours are far shorter; one of 1.9 may hold 256 KiB of escaped text.
const LINE_BOUND: u64 = 4 * 1024 * 1024;

/// A place after a whole line of a day file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mark {
    /// Records before it.
    pub count: u64,
    /// Hash of the line before it.
    pub hash: String,
    /// Bytes before it.
    pub bytes: u64,
}

/// Why a walk ended before the end of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// The last line has no end.
    Torn,
    /// The chain is broken at the next line.
    Break(String),
    /// The lines have a form that is not verified here.
    Unknown(String),
}

/// What a walk found.
#[derive(Debug, Default)]
pub struct Walked {
    /// The header line, when the walk began at the start.
    pub header: Option<Header>,
    /// The last place up to which everything is valid.
    pub end: Mark,
    /// The place after the bytes that were asked for, when a line ends there.
    pub seen: Option<Mark>,
    /// Why it did not get to the end.
    pub stop: Option<Stop>,
}

impl Walked {
    /// Number of the line after the last valid one, the header counted.
    pub fn line(&self) -> u64 {
        self.end.count + if self.end.bytes == 0 { 1 } else { 2 }
    }
}

/// Verifies the first `len` bytes of `file` after `from`; `None` begins with the header line. Notes the place
/// at `watch` bytes.
pub fn walk(file: &File, from: Option<Mark>, len: u64, watch: Option<u64>) -> io::Result<Walked> {
    let end = from.unwrap_or_default();
    let rest = At { file, offset: end.bytes }.take(len.saturating_sub(end.bytes));
    let mut lines = BufReader::with_capacity(64 * 1024, rest);
    let mut walked = Walked { end, ..Walked::default() };
    let mut line = Vec::new();
    loop {
        if watch == Some(walked.end.bytes) {
            walked.seen = Some(walked.end.clone());
        }
        line.clear();
        let size = (&mut lines).take(LINE_BOUND).read_until(b'\n', &mut line)? as u64;
        if size == 0 {
            return Ok(walked);
        }
        walked.stop = match line.strip_suffix(b"\n") {
            Some(text) => step(&mut walked, text).err(),
            None if size == LINE_BOUND => {
                Some(Stop::Break(format!("the line is longer than {LINE_BOUND} bytes")))
            }
            None => Some(Stop::Torn),
        };
        if walked.stop.is_some() {
            return Ok(walked);
        }
        walked.end.bytes += size;
    }
}

/// The header line of a day file; `None` when its first line is none.
pub fn first_line(file: &File) -> io::Result<Option<Header>> {
    let mut line = Vec::new();
    BufReader::with_capacity(1024, At { file, offset: 0 }.take(LINE_BOUND)).read_until(b'\n', &mut line)?;
    Ok(line.strip_suffix(b"\n").and_then(Header::parse))
}

fn step(walked: &mut Walked, text: &[u8]) -> Result<(), Stop> {
    if walked.end.bytes == 0 {
        let header = Header::parse(text).ok_or_else(|| Stop::Break("the line is no schema header".into()))?;
        if let Some(format) = &header.hash_format {
            return Err(Stop::Unknown(format!(
                "its hashes have the form `{format}` of darkmux 2.9, which is not verified here"
            )));
        }
        walked.end.hash = link::hash(text);
        walked.header = Some(header);
    } else {
        walked.end.hash = link::verify(text, &walked.end.hash).map_err(Stop::Break)?;
        walked.end.count += 1;
    }
    Ok(())
}

/// A file from an offset on. Reading leaves the file's own position alone.
struct At<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for At<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(into, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}
