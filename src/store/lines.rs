//! The lines of a growing file, from a byte offset on.
//!
//! Invariants: a line is yielded once and only when its newline is there; what is yielded does not depend on
//! how the bytes arrived; memory stays under [`LINE_MAX`] + `CHUNK` bytes whatever the file holds. A line
//! over the bound is reported without being held. Bytes of an unfinished line are read again at every look,
//! because a writer that ran out of space takes them back.
//!
//! Not here: what a line means.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use memchr::memchr;

/// Longest line that is yielded, in bytes, without its line end.
pub const LINE_MAX: usize = 1024 * 1024;

/// Bytes looked at first for the last newline, which is seldom far from the end.
const LAST_STEP: u64 = 4 * 1024;

/// Bytes asked of the system at a time.
const CHUNK: usize = 64 * 1024;

/// What one look at the file brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A line, which [`Lines::line`] returns until the next step.
    Line,
    /// A line over [`LINE_MAX`], passed over.
    TooLong,
    /// No further finished line now; there may be one later.
    End,
    /// The file has become shorter than what was read of it.
    Truncated,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Skip {
    /// Nothing.
    No,
    /// The rest of a line over the bound.
    TooLong,
    /// The rest of the line that the start offset fell into.
    Partial,
}

/// A reader of finished lines.
#[derive(Debug)]
pub struct Lines {
    file: File,
    buffer: Vec<u8>,
    /// Offset in the file of the buffer's first byte.
    base: u64,
    /// Unread bytes of the buffer.
    start: usize,
    end: usize,
    /// Bytes after `start` that hold no newline.
    scanned: usize,
    /// The line of the last step, in the buffer.
    line: (usize, usize),
    /// Offset in the file after the last finished line.
    after: u64,
    until: u64,
    skip: Skip,
    pending: u64,
    at_hand: bool,
}

impl Lines {
    /// Reads `file` from `offset` on, without looking at it yet. An offset inside a line starts at the next one.
    pub fn new(file: File, offset: u64) -> io::Result<Self> {
        let mut before = [b'\n'];
        let skip = match offset.checked_sub(1) {
            Some(at) if file.read_at(&mut before, at)? == 1 && before[0] != b'\n' => Skip::Partial,
            _ => Skip::No,
        };
        Ok(Self {
            file,
            buffer: Vec::new(),
            base: offset,
            start: 0,
            end: 0,
            scanned: 0,
            line: (0, 0),
            after: offset,
            until: u64::MAX,
            skip,
            pending: 0,
            at_hand: false,
        })
    }

    /// Reads nothing at or after this offset.
    #[must_use]
    pub fn until(mut self, offset: u64) -> Self {
        self.until = offset;
        self
    }

    /// From now on reads only what is in memory, if `only`: what is not is an error of the kind `WouldBlock`, after
    /// which a further step goes on where this one was.
    pub fn at_hand(&mut self, only: bool) {
        self.at_hand = only;
    }

    /// Looks for the next line.
    pub fn step(&mut self) -> io::Result<Step> {
        loop {
            let from = self.start + self.scanned;
            if let Some(found) = memchr(b'\n', &self.buffer[from..self.end]) {
                let newline = from + found;
                self.line = (self.start, newline);
                self.start = newline + 1;
                self.scanned = 0;
                self.after = self.base + self.start as u64;
                match std::mem::replace(&mut self.skip, Skip::No) {
                    Skip::No if newline - self.line.0 <= LINE_MAX + 1 && self.line().len() <= LINE_MAX => {
                        return Ok(Step::Line);
                    }
                    Skip::No | Skip::TooLong => return Ok(Step::TooLong),
                    Skip::Partial => continue,
                }
            }
            self.scanned = self.end - self.start;
            // One byte more than the bound may still be the CR of a line end.
            if self.skip == Skip::No && self.scanned > LINE_MAX + 1 {
                self.skip = Skip::TooLong;
            }
            if self.fill()? == 0 {
                return self.at_end();
            }
        }
    }

    /// The line of the last [`Step::Line`], without its line end.
    pub fn line(&self) -> &[u8] {
        let line = &self.buffer[self.line.0..self.line.1];
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    /// Offset after the last finished line.
    pub fn after(&self) -> u64 {
        self.after
    }

    /// At [`Step::End`]: bytes of a last line that has no newline yet.
    pub fn pending(&self) -> u64 {
        self.pending
    }

    /// The file that is read.
    pub fn file(&self) -> &File {
        &self.file
    }

    fn fill(&mut self) -> io::Result<usize> {
        if self.skip != Skip::No {
            self.start = self.end;
            self.scanned = 0;
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.base += self.start as u64;
        self.end -= self.start;
        self.start = 0;
        // The line of the last step is gone from here on.
        self.line = (0, 0);
        if self.end == 0 && self.buffer.len() > CHUNK {
            self.buffer.truncate(CHUNK);
            self.buffer.shrink_to_fit();
        }
        if self.end == self.buffer.len() {
            let room = (self.buffer.len() * 2).clamp(CHUNK, LINE_MAX + CHUNK);
            self.buffer.reserve_exact(room - self.buffer.len());
            self.buffer.resize(room, 0);
        }
        let at = self.base + self.end as u64;
        let room = (self.buffer.len() - self.end) as u64;
        let room = usize::try_from(room.min(self.until.saturating_sub(at))).unwrap_or(0);
        loop {
            let into = &mut self.buffer[self.end..self.end + room];
            let read =
                if self.at_hand { read_at_hand(&self.file, into, at) } else { self.file.read_at(into, at) };
            match read {
                Ok(count) => {
                    self.end += count;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn at_end(&mut self) -> io::Result<Step> {
        let length = self.file.metadata()?.len();
        let seen = self.base + self.end as u64;
        self.pending = seen.saturating_sub(self.after);
        if length < self.after {
            return Ok(Step::Truncated);
        }
        if self.skip == Skip::No || length < seen {
            // What is unfinished may be taken back and written anew.
            (self.base, self.start, self.end, self.scanned) = (self.after, 0, 0, 0);
            if self.skip == Skip::TooLong {
                self.skip = Skip::No;
            }
        }
        Ok(Step::End)
    }
}

/// Offset after the last finished line of `file`, looking back at most [`LINE_MAX`] bytes; a longer
/// unfinished line counts as if it ended with the file.
pub fn end_of_lines(file: &File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let lowest = length.saturating_sub(LINE_MAX as u64);
    let mut end = length;
    let mut step = LAST_STEP;
    while end > lowest {
        let start = end.saturating_sub(step).max(lowest);
        step = CHUNK as u64;
        if let Some(found) = last_newline(file, start, end)? {
            return Ok(found + 1);
        }
        end = start;
    }
    Ok(if lowest == 0 { 0 } else { length })
}

/// As [`end_of_lines`], where it may not block; `None` when the end is not in memory or a line is long.
pub fn end_of_lines_at_hand(file: &File) -> Option<u64> {
    let length = file.metadata().ok()?.len();
    let start = length.saturating_sub(LAST_STEP);
    let mut block = vec![0; usize::try_from(length - start).ok()?];
    let held = read_at_hand(file, &mut block, start).ok()?;
    let found = memchr::memrchr(b'\n', &block)?;
    (held == block.len()).then(|| start + found as u64 + 1)
}

/// Reads what is in memory; of nothing is an error of the kind `WouldBlock`.
#[cfg(target_os = "linux")]
fn read_at_hand(file: &File, into: &mut [u8], at: u64) -> io::Result<usize> {
    use rustix::io::{ReadWriteFlags, preadv2};
    // Another error is a file system that can't tell.
    preadv2(file, &mut [io::IoSliceMut::new(into)], at, ReadWriteFlags::NOWAIT)
        .map_err(|_| io::ErrorKind::WouldBlock.into())
}

/// As on Linux; this system can't tell.
#[cfg(not(target_os = "linux"))]
fn read_at_hand(_file: &File, _into: &mut [u8], _at: u64) -> io::Result<usize> {
    Err(io::ErrorKind::WouldBlock.into())
}

/// Offset of the last newline in `start..end`, which spans at most `CHUNK` bytes.
pub fn last_newline(file: &File, start: u64, end: u64) -> io::Result<Option<u64>> {
    let mut block = vec![0; usize::try_from(end - start).unwrap_or(CHUNK).min(CHUNK)];
    let mut held = 0;
    while held < block.len() {
        match file.read_at(&mut block[held..], start + held as u64) {
            Ok(0) => break,
            Ok(count) => held += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(memchr::memrchr(b'\n', &block[..held]).map(|found| start + found as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn file_of(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn all(lines: &mut Lines) -> Vec<Option<Vec<u8>>> {
        let mut found = Vec::new();
        loop {
            let step = lines.step().unwrap();
            // At each step: what a long line took is given back at the end.
            assert!(lines.buffer.capacity() <= LINE_MAX + CHUNK, "{}", lines.buffer.capacity());
            match step {
                Step::Line => found.push(Some(lines.line().to_vec())),
                Step::TooLong => found.push(None),
                Step::End | Step::Truncated => return found,
            }
        }
    }

    #[test]
    fn an_unfinished_line_waits_and_may_be_taken_back() {
        let mut file = file_of(b"one\r\ntw");
        let mut lines = Lines::new(file.try_clone().unwrap(), 0).unwrap();
        assert_eq!(all(&mut lines), [Some(b"one".to_vec())]);
        assert_eq!((lines.after(), lines.pending()), (5, 2));
        file.set_len(5).unwrap();
        assert_eq!(lines.step().unwrap(), Step::End);
        file.write_at(b"2\n", 5).unwrap();
        assert_eq!(all(&mut lines), [Some(b"2".to_vec())]);
        file.set_len(3).unwrap();
        assert_eq!(lines.step().unwrap(), Step::Truncated);
        file.flush().unwrap();
    }

    #[test]
    fn long_lines_are_counted_without_being_held() {
        let mut bytes = vec![b'x'; LINE_MAX];
        bytes.extend_from_slice(b"\r\n");
        bytes.extend(std::iter::repeat_n(b'y', 2 * LINE_MAX));
        bytes.extend_from_slice(b"\nend\n");
        let mut lines = Lines::new(file_of(&bytes), 0).unwrap();
        let found = all(&mut lines);
        assert_eq!(found[0].as_ref().map(Vec::len), Some(LINE_MAX));
        assert_eq!(found[1..], [None, Some(b"end".to_vec())]);
    }

    #[test]
    fn an_unfinished_long_line_that_is_taken_back_is_no_bad_line() {
        let file = file_of(&[vec![b'a', b'\n'], vec![b'y'; 2 * LINE_MAX]].concat());
        let mut lines = Lines::new(file.try_clone().unwrap(), 0).unwrap();
        assert_eq!(all(&mut lines).len(), 1);
        file.set_len(2).unwrap();
        assert!(all(&mut lines).is_empty());
        file.write_at(b"b\n", 2).unwrap();
        assert_eq!(all(&mut lines), [Some(b"b".to_vec())]);
    }

    #[test]
    fn an_offset_inside_a_line_starts_at_the_next_and_the_end_is_kept() {
        let mut lines = Lines::new(file_of(b"one\ntwo\nthree\nfour\n"), 5).unwrap().until(14);
        assert_eq!(all(&mut lines), [Some(b"three".to_vec())]);
        assert_eq!(lines.after(), 14);
    }

    #[test]
    fn the_end_of_the_lines_is_found_from_behind() {
        assert_eq!(end_of_lines(&file_of(b"")).unwrap(), 0);
        assert_eq!(end_of_lines(&file_of(b"torn")).unwrap(), 0);
        assert_eq!(end_of_lines(&file_of(b"a\ntorn")).unwrap(), 2);
        let long = [b"a\n".to_vec(), vec![b'x'; 3 * CHUNK]].concat();
        assert_eq!(end_of_lines(&file_of(&long)).unwrap(), 2);
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            pieces in prop::collection::vec("[a\n\r]{0,12}", 0..12), offset in 0usize..20,
        ) {
            let whole = pieces.concat();
            let mut file = tempfile::tempfile().unwrap();
            let mut lines = Lines::new(file.try_clone().unwrap(), 0).unwrap();
            let mut grown = Vec::new();
            for piece in &pieces {
                file.write_all(piece.as_bytes()).unwrap();
                grown.extend(all(&mut lines));
            }
            let finished = whole.rfind('\n').map_or("", |at| &whole[..=at]);
            let expected: Vec<_> = finished
                .split_terminator('\n')
                .map(|line| Some(line.strip_suffix('\r').unwrap_or(line).as_bytes().to_vec()))
                .collect();
            prop_assert_eq!(&grown, &expected);
            prop_assert_eq!(lines.after(), finished.len() as u64);

            let offset = offset.min(whole.len());
            let mut late = Lines::new(file, offset as u64).unwrap();
            let skipped = whole[..offset].matches('\n').count()
                + usize::from(offset > 0 && !whole[..offset].ends_with('\n'));
            prop_assert_eq!(all(&mut late), expected[skipped.min(expected.len())..].to_vec());
        }
    }
}
